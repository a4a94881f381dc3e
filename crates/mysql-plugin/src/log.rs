//! The server's error log. MySQL has a service for it. MariaDB's service would cut a line at 512 bytes, so there
//! the line goes where its own lines go, to standard error, which is the log file if there is one, in its format.

#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::mysql::{PLUGIN_LOG_VERSION, my_plugin_log_service};

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Warning,
    Info,
}

/// Where a plugin's lines go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Log {
    /// MySQL's log service, by the handle that `init` was given for the plugin of this name.
    MySql(&'static str, &'static AtomicPtr<c_void>),
    /// MariaDB, by the plugin's name.
    MariaDb(&'static str),
}

impl Log {
    /// Writes one line, which has no control characters.
    pub(crate) fn write(self, level: Level, line: &str) {
        let name = match self {
            Self::MySql(name, handle) => {
                if serve(handle.load(Ordering::Acquire), level, line) {
                    return;
                }
                name
            }
            // Countersign's audit trail has every login; MySQL's service leaves these lines out by default.
            Self::MariaDb(_) if level == Level::Info => return,
            Self::MariaDb(name) => name,
        };
        let line = format!("{} 0 [{}] {name}: {line}\n", now(), level.word());
        // SAFETY: reads `line`'s bytes only. One call, so that lines of several threads do not mix; a log that
        // takes no line is no reason to decide otherwise about a login.
        let _written = unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }
}

impl Level {
    /// MariaDB's.
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "Warning",
            Self::Info => "Note",
        }
    }

    /// MySQL's `plugin_log_level`.
    const fn number(self) -> c_int {
        match self {
            Self::Error => 0,
            Self::Warning => 1,
            Self::Info => 2,
        }
    }
}

/// Hands the line to MySQL's service; false if there is none.
fn serve(handle: *mut c_void, level: Level, line: &str) -> bool {
    let service = my_plugin_log_service.load(Ordering::Acquire);
    if handle.is_null() || service.addr() <= PLUGIN_LOG_VERSION {
        return false;
    }
    // The lines are made of escaped text, so none has a NUL; one that had would not be worth a failed login.
    let Ok(line) = CString::new(line) else { return true };
    // SAFETY: the server put its service's address in the place of the version number, and the handle is that of
    // a plugin in use; the format is ours and takes the one NUL-terminated string that follows.
    unsafe { ((*service).message)(&raw const handle, level.number(), c"%s".as_ptr(), line.as_ptr()) };
    true
}

/// Local time as MariaDB's log writes it.
fn now() -> String {
    // SAFETY: a null pointer means that only the return value is wanted.
    let seconds = unsafe { libc::time(std::ptr::null_mut()) };
    // SAFETY: all zeros is a value of this struct of numbers and a pointer.
    let mut time: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both are places of the right types, and outlive the call.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut time) };
    let (year, month) = (time.tm_year.saturating_add(1900), time.tm_mon.saturating_add(1));
    let libc::tm { tm_mday: day, tm_hour: hour, tm_min: minute, tm_sec: second, .. } = time;
    format!("{year}-{month:02}-{day:02} {hour:>2}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_written_as_mariadb_writes_it() {
        let now = now();
        assert_eq!(now.len(), "2026-11-24  9:57:07".len());
        let punctuation: Vec<(usize, char)> =
            now.char_indices().filter(|(_, char)| !char.is_ascii_digit() && *char != ' ').collect();
        assert_eq!(punctuation, [(4, '-'), (7, '-'), (13, ':'), (16, ':')]);
    }

    #[test]
    fn without_the_service_the_caller_writes_the_line() {
        let mut thing = 0_u8;
        assert!(!serve((&raw mut thing).cast(), Level::Info, "line"));
        assert!(!serve(std::ptr::null_mut(), Level::Info, "line"));
    }
}
