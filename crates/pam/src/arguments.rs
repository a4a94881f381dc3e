//! The module's arguments, from the service file. An argument that is not understood is an error, never
//! skipped: the line may have meant to restrict something.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// How to reach Countersign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arguments<'a> {
    /// The socket, relative to the working directory if not absolute.
    pub(crate) socket: &'a Path,
    /// The longest time from connecting to the answer.
    pub(crate) timeout: Duration,
}

/// What is wrong with the service file's line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ArgumentError {
    Unknown(String),
    Socket,
    Timeout(String),
}

impl<'a> Arguments<'a> {
    pub(crate) fn parse(words: &[&'a [u8]]) -> Result<Self, ArgumentError> {
        let mut arguments = Self { socket: Path::new("countersign.sock"), timeout: ipc::DEADLINE };
        for word in words {
            if let Some(path) = word.strip_prefix(b"socket=") {
                if path.is_empty() {
                    return Err(ArgumentError::Socket);
                }
                arguments.socket = Path::new(OsStr::from_bytes(path));
            } else if let Some(number) = word.strip_prefix(b"timeout_ms=") {
                arguments.timeout = milliseconds(number)
                    .filter(|timeout| !timeout.is_zero() && *timeout <= ipc::DEADLINE)
                    .ok_or_else(|| ArgumentError::Timeout(number.escape_ascii().to_string()))?;
            } else {
                return Err(ArgumentError::Unknown(word.escape_ascii().to_string()));
            }
        }
        Ok(arguments)
    }
}

fn milliseconds(digits: &[u8]) -> Option<Duration> {
    std::str::from_utf8(digits).ok()?.parse().ok().map(Duration::from_millis)
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => {
                write!(f, "unknown argument `{word}`, expected `socket=PATH` or `timeout_ms=N`")
            }
            Self::Socket => f.write_str("`socket=` without a path"),
            Self::Timeout(number) => write!(f, "`timeout_ms={number}` is not between 1 and 2000"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_both_arguments() {
        let arguments = Arguments::parse(&[]).unwrap();
        assert_eq!(
            (arguments.socket, arguments.timeout),
            (Path::new("countersign.sock"), Duration::from_secs(2))
        );
        let arguments = Arguments::parse(&[b"timeout_ms=250", b"socket=/run/x=y.sock"]).unwrap();
        assert_eq!(
            (arguments.socket, arguments.timeout),
            (Path::new("/run/x=y.sock"), Duration::from_millis(250))
        );
    }

    #[test]
    fn whatever_is_not_understood_is_an_error() {
        for word in [
            "debug",
            "sockets=/x",
            "socket=",
            "timeout_ms=",
            "timeout_ms=0",
            "timeout_ms=2001",
            "timeout_ms=1s",
        ] {
            assert!(Arguments::parse(&[word.as_bytes()]).is_err(), "{word}");
        }
        let error = Arguments::parse(&[b"de\nbug"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            r"unknown argument `de\nbug`, expected `socket=PATH` or `timeout_ms=N`"
        );
    }
}
