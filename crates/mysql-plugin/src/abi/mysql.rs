//! MySQL 8.0 to 9: the plugin's declarations, and its way to the error log.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_ulong, c_void};
use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::AtomicPtr;

use super::{AUTHENTICATION, AuthInfo, Authenticate, Exported, LICENSE_PERMISSIVE, VERSION};
use crate::entry;

/// Size of a user name's field: 32 characters of 3 bytes, and a NUL.
pub const USER: usize = 97;
/// MySQL's `MYSQL_SERVER_AUTH_INFO`.
pub type Info = AuthInfo<USER>;

/// `st_mysql_plugin`.
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
    check_uninstall: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    /// Called before it is unloaded, when no login uses it any more.
    pub deinit: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    version: c_uint,
    status_variables: *const c_void,
    system_variables: *const c_void,
    reserved: *const c_void,
    flags: c_ulong,
}

const _: () = {
    assert!(offset_of!(Plugin, info) == 8 && offset_of!(Plugin, license) == 40);
    assert!(offset_of!(Plugin, init) == 48 && offset_of!(Plugin, deinit) == 64);
    assert!(offset_of!(Plugin, status_variables) == 80 && size_of::<Plugin>() == 112);
};

/// `st_mysql_auth`. The server calls each of the functions without a look whether there is one.
#[repr(C)]
#[derive(Debug)]
pub struct Descriptor {
    interface_version: c_int,
    /// The client's half; null for any.
    pub client_plugin: *const c_char,
    /// One login.
    pub authenticate_user: Authenticate<USER>,
    /// `CREATE USER .. BY`: makes the string to keep from a password.
    pub generate_authentication_string:
        unsafe extern "C" fn(*mut c_char, *mut c_uint, *const c_char, c_uint) -> c_int,
    /// `CREATE USER .. AS`: 0 if the string may be kept.
    pub validate_authentication_string: unsafe extern "C" fn(*const c_char, c_uint) -> c_int,
    /// Makes what is kept in memory of the string.
    pub set_salt: unsafe extern "C" fn(*const c_char, c_uint, *mut c_uchar, *mut c_uchar) -> c_int,
    flags: c_ulong,
    /// `ALTER USER .. REPLACE`: 0 if the password is that of the string.
    pub compare_password_with_hash:
        unsafe extern "C" fn(*const c_char, c_ulong, *const c_char, c_ulong, *mut c_int) -> c_int,
}

const _: () = {
    assert!(offset_of!(Descriptor, client_plugin) == 8 && offset_of!(Descriptor, authenticate_user) == 16);
    assert!(offset_of!(Descriptor, flags) == 48 && size_of::<Descriptor>() == 64);
};

/// `my_plugin_log_service`.
#[repr(C)]
#[derive(Debug)]
pub struct PluginLog {
    /// Writes a line: a pointer to the plugin's handle, the level, and what `printf` takes.
    pub message: unsafe extern "C" fn(*const *mut c_void, c_int, *const c_char, ...) -> c_int,
}

/// Version 1.0 of the service; the server puts its address in the place of the number when it loads the plugin.
pub(crate) const PLUGIN_LOG_VERSION: usize = 0x0100;

/// The server's log service, by the name that it looks for.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static my_plugin_log_service: AtomicPtr<PluginLog> =
    AtomicPtr::new(ptr::without_provenance_mut(PLUGIN_LOG_VERSION));

/// Version of the plugin interface.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static _mysql_plugin_interface_version_: c_int = 0x010b;

/// Tells where the second plugin's declaration starts.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static _mysql_sizeof_struct_st_plugin_: c_int = size_of::<Plugin>() as c_int;

/// The plugins, and the array's end.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static _mysql_plugin_declarations_: Exported<[Plugin; 3]> = Exported::new([
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
    authenticate_user: entry::mysql_token,
    generate_authentication_string: entry::mysql_generate_token,
    validate_authentication_string: entry::mysql_validate_token,
    set_salt: entry::mysql_set_salt,
    flags: 0,
    compare_password_with_hash: entry::mysql_compare,
});

static ADMINISTRATOR: Exported<Descriptor> = Exported::new(Descriptor {
    interface_version: INTERFACE_VERSION,
    client_plugin: ptr::null(),
    authenticate_user: entry::mysql_administrator,
    generate_authentication_string: entry::mysql_generate_administrator,
    validate_authentication_string: entry::mysql_validate_administrator,
    set_salt: entry::mysql_set_salt,
    flags: 0,
    compare_password_with_hash: entry::mysql_compare,
});

/// Since 8.0.13; the servers take no other one.
const INTERFACE_VERSION: c_int = 0x0201;

const fn plugin(name: &'static CStr, description: &'static CStr) -> Plugin {
    Plugin {
        kind: AUTHENTICATION,
        info: ptr::null(),
        name: name.as_ptr(),
        author: entry::AUTHOR.as_ptr(),
        description: description.as_ptr(),
        license: LICENSE_PERMISSIVE,
        init: None,
        check_uninstall: None,
        deinit: None,
        version: VERSION,
        status_variables: ptr::null(),
        system_variables: ptr::null(),
        reserved: ptr::null(),
        flags: 0,
    }
}
