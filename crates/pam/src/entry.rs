//! The C entry points that libpam looks up by name, and nothing else.
//!
//! No panic leaves them: unwinding into C is undefined, and an abort would take the backend and, with
//! PostgreSQL, every other session with it. A panic is a refusal.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Once;

use crate::host::{Code, Host, Level};
use crate::libpam::LibPam;
use crate::login::authenticate;

pub use crate::libpam::Handle;

/// Authenticates the user by a token. Answers `PAM_SUCCESS`, `PAM_AUTH_ERR` (refused), `PAM_AUTHINFO_UNAVAIL`
/// (Countersign could not be asked), or the code of a host that gave no user or password.
///
/// # Safety
/// Called by libpam: `handle` is live and `arguments` has `count` NUL-terminated strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_authenticate(
    handle: *mut Handle,
    flags: c_int,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    guarded(|| {
        let Some(handle) = NonNull::new(handle) else { return Code::SERVICE_ERR };
        // SAFETY: libpam's own handle, used within this call only.
        let mut host = unsafe { LibPam::new(handle, flags) };
        // SAFETY: as the caller promises.
        let words = unsafe { words(count, arguments) };
        catch_unwind(AssertUnwindSafe(|| authenticate(&mut host, &words))).unwrap_or_else(|_| {
            host.log(Level::Error, "refused after an internal error; please report it");
            Code::SERVICE_ERR
        })
    })
}

/// There are no credentials beside the login itself, so there is nothing to set. It has to be a success all the
/// same: libpam takes a stack in which every module passes for a failure.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_setcred(
    _handle: *mut Handle,
    _flags: c_int,
    _count: c_int,
    _arguments: *const *const c_char,
) -> c_int {
    Code::SUCCESS.0
}

/// Always a success. Countersign decides about a login as a whole, account included, when the token is checked,
/// and a host asks about the account only after that: PostgreSQL refuses at the first of the two that fails. An
/// `account` line can only take rights away, so this one gives none; without one libpam would refuse everybody.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_acct_mgmt(
    _handle: *mut Handle,
    _flags: c_int,
    _count: c_int,
    _arguments: *const *const c_char,
) -> c_int {
    Code::SUCCESS.0
}

/// The module has no part in sessions.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_open_session(
    _handle: *mut Handle,
    _flags: c_int,
    _count: c_int,
    _arguments: *const *const c_char,
) -> c_int {
    Code::IGNORE.0
}

/// The module has no part in sessions.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_close_session(
    _handle: *mut Handle,
    _flags: c_int,
    _count: c_int,
    _arguments: *const *const c_char,
) -> c_int {
    Code::IGNORE.0
}

/// A token cannot be changed. An error, so that a `password` line with this module is noticed.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_chauthtok(
    _handle: *mut Handle,
    _flags: c_int,
    _count: c_int,
    _arguments: *const *const c_char,
) -> c_int {
    Code::SERVICE_ERR.0
}

/// Runs an entry point's body; a panic, of which nothing is printed, is an error to the host.
fn guarded(body: impl FnOnce() -> Code) -> c_int {
    static SILENCE: Once = Once::new();
    catch_unwind(AssertUnwindSafe(|| {
        // The hook is that of this module's own copy of `std`; the host's, if it has one, is not touched. The
        // default one prints to standard error, which may be anything in the host.
        SILENCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
        body()
    }))
    .unwrap_or(Code::SERVICE_ERR)
    .0
}

/// The arguments of the service file's line.
///
/// # Safety
/// `arguments` is null or has `count` pointers to NUL-terminated strings that outlive `'a`.
unsafe fn words<'a>(count: c_int, arguments: *const *const c_char) -> Vec<&'a [u8]> {
    let count = usize::try_from(count).unwrap_or(0);
    if arguments.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts(arguments, count) }
        .iter()
        .filter(|word| !word.is_null())
        // SAFETY: as the caller promises.
        .map(|word| unsafe { CStr::from_ptr(*word) }.to_bytes())
        .collect()
}
