//! MariaDB 10.6 to 12: the plugin's declarations.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_void};
use std::mem::offset_of;
use std::ptr;

use super::{AUTHENTICATION, AuthInfo, Authenticate, Exported, LICENSE_PERMISSIVE, VERSION};
use crate::entry;

/// Size of a user name's field.
pub const USER: usize = 513;
/// MariaDB's `MYSQL_SERVER_AUTH_INFO`.
pub type Info = AuthInfo<USER>;

/// `st_maria_plugin`.
#[repr(C)]
#[derive(Debug)]
pub struct Plugin {
    /// [`AUTHENTICATION`].
    pub kind: c_int,
    /// The descriptor; null ends the array of plugins.
    pub info: *const Descriptor,
    /// What `INSTALL PLUGIN` calls it.
    pub name: *const c_char,
    author: *const c_char,
    description: *const c_char,
    license: c_int,
    /// Called with the plugin's handle when it was loaded.
    pub init: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    /// Called before it is unloaded, when no login uses it any more.
    pub deinit: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    version: c_uint,
    status_variables: *const c_void,
    system_variables: *const c_void,
    version_text: *const c_char,
    maturity: c_uint,
}

const _: () = {
    assert!(offset_of!(Plugin, info) == 8 && offset_of!(Plugin, license) == 40);
    assert!(offset_of!(Plugin, init) == 48 && offset_of!(Plugin, version) == 64);
    assert!(offset_of!(Plugin, version_text) == 88 && size_of::<Plugin>() == 104);
};

/// `st_mysql_auth`, as MariaDB has it.
#[repr(C)]
#[derive(Debug)]
pub struct Descriptor {
    interface_version: c_int,
    /// The client's half; null for any.
    pub client_plugin: *const c_char,
    /// One login.
    pub authenticate_user: Authenticate<USER>,
    /// `USING PASSWORD(..)` and `SET PASSWORD`; absent, and the server refuses both.
    pub hash_password: Option<unsafe extern "C" fn(*const c_char, usize, *mut c_char, *mut usize) -> c_int>,
    /// `USING ..`: 0 if the string may be kept, and what a login is given of it.
    pub preprocess_hash:
        Option<unsafe extern "C" fn(*const c_char, usize, *mut c_uchar, *mut usize) -> c_int>,
}

const _: () = {
    assert!(offset_of!(Descriptor, client_plugin) == 8 && offset_of!(Descriptor, authenticate_user) == 16);
    assert!(offset_of!(Descriptor, preprocess_hash) == 32 && size_of::<Descriptor>() == 40);
};

/// Version of the plugin interface.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static _maria_plugin_interface_version_: c_int = 0x010f;

/// Tells where the second plugin's declaration starts.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static _maria_sizeof_struct_st_plugin_: c_int = size_of::<Plugin>() as c_int;

/// The plugins, and the array's end.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static _maria_plugin_declarations_: Exported<[Plugin; 3]> = Exported::new([
    Plugin {
        info: TOKEN.get(),
        init: Some(entry::init_token),
        deinit: Some(entry::deinit_token),
        ..plugin(entry::TOKEN_PLUGIN, entry::TOKEN_DESCRIPTION)
    },
    Plugin {
        info: ADMINISTRATOR.get(),
        init: Some(entry::init_administrator),
        deinit: Some(entry::deinit_administrator),
        ..plugin(entry::ADMINISTRATOR_PLUGIN, entry::ADMINISTRATOR_DESCRIPTION)
    },
    Plugin { kind: 0, ..plugin(c"", c"") },
]);

static TOKEN: Exported<Descriptor> = Exported::new(Descriptor {
    interface_version: INTERFACE_VERSION,
    client_plugin: entry::CLEARTEXT.as_ptr(),
    authenticate_user: entry::mariadb_token,
    hash_password: None,
    preprocess_hash: Some(entry::mariadb_preprocess_token),
});

static ADMINISTRATOR: Exported<Descriptor> = Exported::new(Descriptor {
    interface_version: INTERFACE_VERSION,
    client_plugin: ptr::null(),
    authenticate_user: entry::mariadb_administrator,
    hash_password: None,
    preprocess_hash: Some(entry::mariadb_preprocess_administrator),
});

/// That of 10.6; newer servers take it too.
const INTERFACE_VERSION: c_int = 0x0202;
/// Servers load nothing below "gamma" by default.
const STABLE: c_uint = 5;

const fn plugin(name: &'static CStr, description: &'static CStr) -> Plugin {
    Plugin {
        kind: AUTHENTICATION,
        info: ptr::null(),
        name: name.as_ptr(),
        author: entry::AUTHOR.as_ptr(),
        description: description.as_ptr(),
        license: LICENSE_PERMISSIVE,
        init: None,
        deinit: None,
        version: VERSION,
        status_variables: ptr::null(),
        system_variables: ptr::null(),
        version_text: entry::VERSION_TEXT.as_ptr(),
        maturity: STABLE,
    }
}
