//! Whether a session of MariaDB's has TLS, from the status variable `Ssl_version`, for the servers whose plugin interface
//! does not tell: those before 11.4.
//!
//! A status variable is a name and a function of the session (`st_mysql_show_var`, a part of the plugin interface
//! like the rest of [`abi`](crate::abi)); `SHOW SESSION STATUS` calls the same one. The server exports the array of its
//! own under the name `status_vars`. Where any part of that is not as expected the answer is that it is not known.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::offset_of;
use std::ptr;

/// `st_mysql_show_var`.
#[repr(C)]
struct Variable {
    /// Null ends an array.
    name: *const c_char,
    /// A value, or the function that gives one, as `kind` says.
    value: *mut c_void,
    kind: c_int,
}

const _: () = {
    assert!(offset_of!(Variable, value) == 8 && offset_of!(Variable, kind) == 16);
    assert!(size_of::<Variable>() == 24);
};

/// [`Variable::kind`] of a NUL-terminated text.
const TEXT: c_int = 5;
/// [`Variable::kind`] of a function that fills in name, value and kind.
const FUNCTION: c_int = 13;
/// `enum_var_type`: of the session.
const SESSION: c_int = 1;
/// What a function may use to make its value in, in bytes.
const ROOM: usize = 1024;
/// More variables than any server has.
const MOST: usize = 2_000;

type Function = unsafe extern "C" fn(
    session: *mut c_void,
    variable: *mut Variable,
    buffer: *mut c_void,
    totals: *mut c_void,
    scope: c_int,
) -> c_int;

/// Whether the session of the calling thread has TLS; nothing if this server does not tell in this way either.
pub(crate) fn session_has_tls() -> Option<bool> {
    // SAFETY: MariaDB exports these two under these names: an array that ends with a variable without a name, and a
    // function of no arguments that gives the calling thread's session.
    unsafe {
        let variables: *const Variable = symbol(c"status_vars")?.cast();
        let current: unsafe extern "C" fn() -> *mut c_void = std::mem::transmute(symbol(c"_current_thd")?);
        let session = current();
        if session.is_null() {
            return None;
        }
        read(variables, session)
    }
}

/// Reads `Ssl_version` of a session: the protocol's name, or an empty text.
///
/// # Safety
/// `variables` is an array of a server's that ends with a variable without a name, and `session` what its functions
/// expect.
unsafe fn read(variables: *const Variable, session: *mut c_void) -> Option<bool> {
    // SAFETY: the array has a last entry (the caller), names are NUL-terminated, and a variable of the kind
    // FUNCTION has such a function as value.
    unsafe {
        let entry = (0..MOST)
            .map(|index| variables.add(index))
            .take_while(|entry| !(**entry).name.is_null())
            .find(|entry| CStr::from_ptr((**entry).name) == c"Ssl_version")?;
        if (*entry).kind != FUNCTION || (*entry).value.is_null() {
            return None;
        }
        let function: Function = std::mem::transmute((*entry).value);
        let mut variable = Variable { name: (*entry).name, value: ptr::null_mut(), kind: 0 };
        let mut buffer = [0_u64; ROOM / 8];
        let failed = function(session, &raw mut variable, (&raw mut buffer).cast(), ptr::null_mut(), SESSION);
        if failed != 0 || variable.kind != TEXT || variable.value.is_null() {
            return None;
        }
        match CStr::from_ptr(variable.value.cast()).to_bytes() {
            b"" => Some(false),
            version if version.starts_with(b"TLSv1") => Some(true),
            _ => None,
        }
    }
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: looks a name up, and reads a NUL-terminated string.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!symbol.is_null()).then_some(symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the text that stands in for a session.
    unsafe extern "C" fn version(
        session: *mut c_void,
        variable: *mut Variable,
        _: *mut c_void,
        _: *mut c_void,
        scope: c_int,
    ) -> c_int {
        assert_eq!(scope, SESSION);
        // SAFETY: the caller's own variable.
        unsafe { (*variable) = Variable { value: session, kind: TEXT, ..ptr::read(variable) } };
        0
    }

    fn array(name: &'static CStr, kind: c_int) -> [Variable; 3] {
        let of = |name: *const c_char, kind| Variable { name, value: version as *mut c_void, kind };
        [of(c"Aborted_clients".as_ptr(), 3), of(name.as_ptr(), kind), of(ptr::null(), 0)]
    }

    fn with(name: &'static CStr, kind: c_int, version: &'static CStr) -> Option<bool> {
        let variables = array(name, kind);
        // SAFETY: an array with an end, and the session that its function expects.
        unsafe { read(variables.as_ptr(), version.as_ptr().cast_mut().cast()) }
    }

    #[test]
    fn a_protocol_is_tls_and_none_is_none() {
        assert_eq!(with(c"Ssl_version", FUNCTION, c"TLSv1.3"), Some(true));
        assert_eq!(with(c"Ssl_version", FUNCTION, c"TLSv1.2"), Some(true));
        assert_eq!(with(c"Ssl_version", FUNCTION, c""), Some(false));
    }

    #[test]
    fn what_is_not_as_expected_is_not_known() {
        assert_eq!(with(c"Ssl_version", FUNCTION, c"unknown"), None);
        assert_eq!(with(c"Ssl_version", 8, c"TLSv1.3"), None);
        assert_eq!(with(c"Ssl_cipher", FUNCTION, c"TLSv1.3"), None);
    }

    #[test]
    fn a_program_that_is_no_server_does_not_tell() {
        assert_eq!(session_has_tls(), None);
    }
}
