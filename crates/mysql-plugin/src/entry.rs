//! The functions that the servers call, and nothing else: they turn what they are given into values, and never
//! let a panic out. Unwinding into C is undefined, and an abort would take the server down; a panic is a refusal.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_ulong, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::{AuthInfo, Vio, mariadb, mysql};
use crate::administrator::{judge, user_ids};
use crate::countersign::{Countersign, Idle};
use crate::log::{Level, Log};
use crate::login::{Client, Outcome, authenticate, is_rds};
use crate::server::{Session, bytes, hand_out};

pub(crate) const TOKEN_PLUGIN: &CStr = c"AWSAuthenticationPlugin";
pub(crate) const TOKEN_DESCRIPTION: &CStr = c"IAM database authentication, by Countersign";
pub(crate) const ADMINISTRATOR_PLUGIN: &CStr = c"countersign_administrator";
pub(crate) const ADMINISTRATOR_DESCRIPTION: &CStr = c"Countersign's own sessions, through the Unix socket";
pub(crate) const AUTHOR: &CStr = c"Countersign";
pub(crate) const CLEARTEXT: &CStr = c"mysql_clear_password";
pub(crate) const VERSION_TEXT: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    };

/// Countersign's socket for this server: in the data directory, which is a server's working directory.
const SOCKET: &str = "countersign.sock";

const TOKEN_NAME: &str = "AWSAuthenticationPlugin";
const ADMINISTRATOR_NAME: &str = "countersign_administrator";

// The plugins' handles, from `init` to `deinit`; MySQL's log wants to know who writes.
static TOKEN: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static ADMINISTRATOR: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// The connections to Countersign, from login to login, until the plugin is unloaded.
static IDLE: Idle = Idle::new();

/// `AWSAuthenticationPlugin` was loaded.
pub(crate) unsafe extern "C" fn init_token(handle: *mut c_void) -> c_int {
    init(&TOKEN, handle)
}

/// `AWSAuthenticationPlugin` is unloaded.
pub(crate) unsafe extern "C" fn deinit_token(_handle: *mut c_void) -> c_int {
    TOKEN.store(ptr::null_mut(), Ordering::Release);
    guarded((), || IDLE.close());
    0
}

/// `countersign_administrator` was loaded.
pub(crate) unsafe extern "C" fn init_administrator(handle: *mut c_void) -> c_int {
    init(&ADMINISTRATOR, handle)
}

/// `countersign_administrator` is unloaded.
pub(crate) unsafe extern "C" fn deinit_administrator(_handle: *mut c_void) -> c_int {
    ADMINISTRATOR.store(ptr::null_mut(), Ordering::Release);
    0
}

fn init(place: &AtomicPtr<c_void>, handle: *mut c_void) -> c_int {
    guarded(1, || {
        // The hook is that of this file's own copy of `std`; the server's is not touched. The default one prints
        // to standard error, which is the server's log.
        std::panic::set_hook(Box::new(|_| {}));
        place.store(handle, Ordering::Release);
        0
    })
}

/// A login to MySQL with a token.
pub(crate) unsafe extern "C" fn mysql_token(vio: *mut Vio, info: *mut mysql::Info) -> c_int {
    // SAFETY: the server's own arguments, passed on.
    unsafe { token(vio, info, Log::MySql(TOKEN_NAME, &TOKEN)) }
}

/// A login to MariaDB with a token.
pub(crate) unsafe extern "C" fn mariadb_token(vio: *mut Vio, info: *mut mariadb::Info) -> c_int {
    // SAFETY: the server's own arguments, passed on.
    unsafe { token(vio, info, Log::MariaDb(TOKEN_NAME)) }
}

/// A login of Countersign's to MySQL.
pub(crate) unsafe extern "C" fn mysql_administrator(vio: *mut Vio, info: *mut mysql::Info) -> c_int {
    // SAFETY: the server's own arguments, passed on.
    unsafe { administrator(vio, info, Log::MySql(ADMINISTRATOR_NAME, &ADMINISTRATOR)) }
}

/// A login of Countersign's to MariaDB.
pub(crate) unsafe extern "C" fn mariadb_administrator(vio: *mut Vio, info: *mut mariadb::Info) -> c_int {
    // SAFETY: the server's own arguments, passed on.
    unsafe { administrator(vio, info, Log::MariaDb(ADMINISTRATOR_NAME)) }
}

/// `IDENTIFIED WITH AWSAuthenticationPlugin BY ..`: there are no passwords, so none is taken.
pub(crate) unsafe extern "C" fn mysql_generate_token(
    _out: *mut c_char,
    out_length: *mut c_uint,
    _password: *const c_char,
    length: c_uint,
) -> c_int {
    if length != 0 || out_length.is_null() {
        return 1;
    }
    // SAFETY: not null, and the server's place for the length.
    unsafe { *out_length = 0 };
    0
}

/// `IDENTIFIED WITH countersign_administrator BY ..`, or without a string: there is no account without user ids.
pub(crate) unsafe extern "C" fn mysql_generate_administrator(
    _out: *mut c_char,
    _out_length: *mut c_uint,
    _password: *const c_char,
    _length: c_uint,
) -> c_int {
    1
}

/// `IDENTIFIED WITH AWSAuthenticationPlugin AS ..`
pub(crate) unsafe extern "C" fn mysql_validate_token(string: *const c_char, length: c_uint) -> c_int {
    // SAFETY: the server's own arguments, passed on.
    unsafe { validate(string, length, is_rds) }
}

/// `IDENTIFIED WITH countersign_administrator AS ..`
pub(crate) unsafe extern "C" fn mysql_validate_administrator(string: *const c_char, length: c_uint) -> c_int {
    // SAFETY: the server's own arguments, passed on.
    unsafe { validate(string, length, |string| user_ids(string).is_some()) }
}

/// Nothing is kept in memory of a string beside itself.
pub(crate) unsafe extern "C" fn mysql_set_salt(
    _string: *const c_char,
    _length: c_uint,
    _salt: *mut c_uchar,
    salt_length: *mut c_uchar,
) -> c_int {
    if !salt_length.is_null() {
        // SAFETY: not null, and the server's place for the length.
        unsafe { *salt_length = 0 };
    }
    0
}

/// No password is that of an account: there are none.
pub(crate) unsafe extern "C" fn mysql_compare(
    _string: *const c_char,
    _string_length: c_ulong,
    _password: *const c_char,
    _password_length: c_ulong,
    error: *mut c_int,
) -> c_int {
    if !error.is_null() {
        // SAFETY: not null, and the server's place for a flag.
        unsafe { *error = 1 };
    }
    1
}

/// `IDENTIFIED VIA AWSAuthenticationPlugin USING ..`
pub(crate) unsafe extern "C" fn mariadb_preprocess_token(
    string: *const c_char,
    length: usize,
    out: *mut c_uchar,
    out_length: *mut usize,
) -> c_int {
    // SAFETY: the server's own arguments, passed on.
    unsafe { preprocess(string, length, out, out_length, is_rds) }
}

/// `IDENTIFIED VIA countersign_administrator USING ..`
pub(crate) unsafe extern "C" fn mariadb_preprocess_administrator(
    string: *const c_char,
    length: usize,
    out: *mut c_uchar,
    out_length: *mut usize,
) -> c_int {
    // SAFETY: the server's own arguments, passed on.
    unsafe { preprocess(string, length, out, out_length, |string| user_ids(string).is_some()) }
}

/// # Safety
/// Called by the server: both are live until this returns.
unsafe fn token<const USER: usize>(vio: *mut Vio, info: *mut AuthInfo<USER>, log: Log) -> c_int {
    let countersign = Countersign { socket: Path::new(SOCKET), timeout: ipc::DEADLINE, idle: &IDLE };
    let outcome = |session: &mut Session<USER>| authenticate(session, &countersign);
    // SAFETY: as the caller promises.
    unsafe { login(vio, info, log, outcome) }
}

/// # Safety
/// As for [`token`].
unsafe fn administrator<const USER: usize>(vio: *mut Vio, info: *mut AuthInfo<USER>, log: Log) -> c_int {
    let outcome = |session: &mut Session<USER>| {
        session.introduce();
        let (protocol, peer) = session.peer();
        let user = session.user().unwrap_or_default();
        let shown = user.escape_ascii();
        match judge(protocol, peer, &session.string()) {
            Ok(uid) => {
                session.no_password();
                log.write(Level::Info, &format!("allowed `{shown}`, user id {uid}"));
                Outcome::Allowed
            }
            Err(why) => {
                log.write(Level::Warning, &format!("refused `{shown}`: {why}"));
                Outcome::Refused
            }
        }
    };
    // SAFETY: as the caller promises.
    unsafe { login(vio, info, log, outcome) }
}

/// # Safety
/// As for [`token`].
unsafe fn login<const USER: usize>(
    vio: *mut Vio,
    info: *mut AuthInfo<USER>,
    log: Log,
    decide: impl FnOnce(&mut Session<USER>) -> Outcome,
) -> c_int {
    let outcome = guarded(None, || {
        let (Some(vio), Some(info)) = (NonNull::new(vio), NonNull::new(info)) else {
            return Some(Outcome::Failed);
        };
        // SAFETY: as the caller promises, and this is the only use of them.
        Some(decide(&mut unsafe { Session::new(vio, info, log) }))
    });
    let outcome = outcome.unwrap_or_else(|| {
        let line = "refused after an internal error; please report it";
        guarded((), || log.write(Level::Error, line));
        Outcome::Failed
    });
    outcome as c_int
}

/// # Safety
/// `string` is null or points at `length` bytes.
unsafe fn validate(string: *const c_char, length: c_uint, valid: impl Fn(&[u8]) -> bool) -> c_int {
    guarded(1, || {
        // SAFETY: as the caller promises.
        let string = unsafe { bytes(string, usize::try_from(length).unwrap_or(0)) };
        c_int::from(!valid(&string.unwrap_or_default()))
    })
}

/// # Safety
/// As for [`validate`], and as for [`hand_out`].
unsafe fn preprocess(
    string: *const c_char,
    length: usize,
    out: *mut c_uchar,
    out_length: *mut usize,
    valid: impl Fn(&[u8]) -> bool,
) -> c_int {
    guarded(1, || {
        // SAFETY: as the caller promises.
        let string = unsafe { bytes(string, length) }.unwrap_or_default();
        // SAFETY: as the caller promises.
        if valid(&string) { unsafe { hand_out(&string, out, out_length) } } else { 1 }
    })
}

/// Runs an entry point's body; a panic, of which nothing is printed, is `otherwise`.
fn guarded<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_does_not_leave() {
        assert_eq!(guarded(7, || panic!("on purpose")), 7);
        let mut vio = Vio { read_packet: None, write_packet: None, info: None };
        // SAFETY: all zeros is a value of this struct of pointers and numbers.
        let mut info: mysql::Info = unsafe { std::mem::zeroed() };
        let log = Log::MariaDb("test");
        // SAFETY: both outlive the call.
        let code = unsafe { login(&raw mut vio, &raw mut info, log, |_| panic!("on purpose")) };
        assert_eq!(code, 3);
    }
}
