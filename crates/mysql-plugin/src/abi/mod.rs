//! What MySQL and MariaDB agree on at the boundary to an authentication plugin: layouts, numbers, and the
//! arguments of the calls. What differs is in `mysql` and `mariadb`. Written from the documented interface, and
//! held to it by the assertions beside each layout.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulong};
use std::mem::offset_of;

pub mod mariadb;
pub mod mysql;

/// Plugin type "authentication".
pub const AUTHENTICATION: c_int = 7;
/// Licence "BSD": the word that both products have for permissive licences.
pub const LICENSE_PERMISSIVE: c_int = 2;

/// `MYSQL_PLUGIN_VIO`: the connection, as a plugin may use it. The servers have more fields behind these.
#[repr(C)]
#[derive(Debug)]
pub struct Vio {
    /// Points the argument at the client's next packet and returns its length, negative if there is none.
    pub read_packet: Option<unsafe extern "C" fn(*mut Vio, *mut *mut c_uchar) -> c_int>,
    /// Sends a packet.
    pub write_packet: Option<unsafe extern "C" fn(*mut Vio, *const c_uchar, c_int) -> c_int>,
    /// Describes the connection.
    pub info: Option<unsafe extern "C" fn(*mut Vio, *mut VioInfo)>,
}

/// `MYSQL_PLUGIN_VIO_INFO`, with room to spare: the servers know more fields the newer they are, and fill in
/// theirs whatever the plugin was built for.
#[repr(C)]
#[derive(Debug)]
pub struct VioInfo {
    /// [`PROTOCOL_TCP`], [`PROTOCOL_SOCKET`] or another.
    pub protocol: c_int,
    /// The connection's descriptor.
    pub socket: c_int,
    /// MySQL: one byte, and three of padding that are zeroed with it; MariaDB from 11.4 on: an `int`. Older
    /// servers leave it alone.
    pub tls: [u8; 4],
    /// For servers of the future.
    pub reserve: [u8; 52],
}

/// [`VioInfo::protocol`] of a TCP connection.
pub const PROTOCOL_TCP: c_int = 1;
/// [`VioInfo::protocol`] of the server's Unix socket.
pub const PROTOCOL_SOCKET: c_int = 2;
/// What [`VioInfo`]'s fields are filled with before the server is asked: no server writes it as a truth value.
pub const UNTOLD: u8 = 0xff;

/// [`AuthInfo::password_used`] for "YES".
pub const PASSWORD_USED: c_int = 1;
/// [`AuthInfo::password_used`] for nothing at all.
pub const PASSWORD_NOT_MENTIONED: c_int = 2;

const _: () = assert!(offset_of!(VioInfo, socket) == 4 && offset_of!(VioInfo, tls) == 8);
const _: () = assert!(size_of::<VioInfo>() == 64);

/// `MYSQL_SERVER_AUTH_INFO`: who logs in to which account. `USER` is the size of a user name's field.
///
/// MariaDB's `external_user` has one byte more in some series. It is not used, and the next field lies at the
/// same place with and without it.
#[repr(C)]
#[derive(Debug)]
pub struct AuthInfo<const USER: usize> {
    /// Null until the client's first packet was read.
    pub user_name: *const c_char,
    /// In bytes.
    pub user_name_length: c_uint,
    /// The account's authentication string; in MariaDB, what the plugin's `preprocess_hash` made of it.
    pub auth_string: *const c_char,
    /// In bytes.
    pub auth_string_length: c_ulong,
    /// The account; left as it is.
    pub authenticated_as: [c_char; USER],
    /// NUL-terminated; shown as `@@external_user`.
    pub external_user: [c_char; 512],
    /// What a refused client is told after "using password": 0 for "NO", [`PASSWORD_USED`] or
    /// [`PASSWORD_NOT_MENTIONED`].
    pub password_used: c_int,
    /// The client's name or address.
    pub host_or_ip: *const c_char,
    /// In bytes.
    pub host_or_ip_length: c_uint,
}

const _: () = {
    assert!(offset_of!(mysql::Info, auth_string) == 16);
    assert!(offset_of!(mysql::Info, authenticated_as) == 32);
    assert!(offset_of!(mysql::Info, external_user) == 129);
    assert!(offset_of!(mysql::Info, password_used) == 644);
    assert!(offset_of!(mysql::Info, host_or_ip) == 648);
    assert!(offset_of!(mariadb::Info, auth_string) == 16);
    assert!(offset_of!(mariadb::Info, authenticated_as) == 32);
    assert!(offset_of!(mariadb::Info, external_user) == 545);
    assert!(offset_of!(mariadb::Info, password_used) == 1060);
    assert!(offset_of!(mariadb::Info, host_or_ip) == 1064);
};

/// `authenticate_user` of a plugin's descriptor.
pub type Authenticate<const USER: usize> = unsafe extern "C" fn(*mut Vio, *mut AuthInfo<USER>) -> c_int;

/// A static that a server finds by its name and may write to, as to the array of a plugin in C.
#[repr(transparent)]
#[derive(Debug)]
pub struct Exported<T>(UnsafeCell<T>);

// SAFETY: nothing in this crate writes to one; a server does so under its own lock, while it loads the plugin.
unsafe impl<T> Sync for Exported<T> {}

impl<T> Exported<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The address of the value.
    #[must_use]
    pub const fn get(&self) -> *const T {
        self.0.get()
    }
}

/// The crate's version as the servers have it: major and minor, a byte each.
pub(crate) const VERSION: c_uint =
    number(env!("CARGO_PKG_VERSION_MAJOR")) << 8 | number(env!("CARGO_PKG_VERSION_MINOR"));

const fn number(digits: &str) -> c_uint {
    match c_uint::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => 0,
    }
}
