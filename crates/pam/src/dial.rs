//! Connects to Countersign's socket before a deadline, and makes sure that it is Countersign's.
//!
//! libc instead of `std`, because `UnixStream::connect` waits without limit while the listener's backlog is
//! full. The socket is given a send timeout before it connects, which Linux applies to that wait too: unlike a
//! non-blocking attempt repeated after a pause, the kernel wakes us as soon as there is room.
//!
//! **Who may answer.** The user that listens (`SO_PEERCRED`) must be root, the user we run as, or the owner of
//! the directory that holds the socket. Each of them can decide logins here anyway: root and our own user own
//! the database server, and the directory's owner can put any socket in that place. Somebody else's socket,
//! left in a directory that others may write to, is refused.

#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Why there is no connection to Countersign.
#[derive(Debug)]
pub(crate) enum DialError {
    /// Countersign took no connection before the deadline.
    Timeout,
    /// The socket could not be reached.
    Io(io::Error),
    /// The path does not fit into a socket address.
    PathTooLong,
    /// The listener is none of those who may answer.
    Stranger { uid: u32 },
}

/// Connects to the socket at `path` before `deadline`.
pub(crate) fn dial(path: &Path, deadline: Instant) -> Result<UnixStream, DialError> {
    let stream = connect(path, deadline)?;
    let peer = peer_uid(&stream).map_err(DialError::Io)?;
    // SAFETY: takes nothing, touches no memory, cannot fail.
    let ours = unsafe { libc::geteuid() };
    if peer == 0 || peer == ours || peer == owner_of_directory(path).map_err(DialError::Io)? {
        Ok(stream)
    } else {
        Err(DialError::Stranger { uid: peer })
    }
}

fn connect(path: &Path, deadline: Instant) -> Result<UnixStream, DialError> {
    let (address, length) = address(path)?;
    // SAFETY: takes numbers only.
    let fd = checked(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })
        .map_err(DialError::Io)?;
    // SAFETY: `fd` was just opened and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left < Duration::from_micros(1) {
            return Err(DialError::Timeout);
        }
        send_timeout(socket.as_raw_fd(), left).map_err(DialError::Io)?;
        // SAFETY: `address` is a `sockaddr_un` of which `length` bytes are meant; it outlives the call.
        let done = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) };
        match checked(done).map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) => return Ok(UnixStream::from(socket)),
            // EAGAIN: the wait for room in the backlog ended. EINTR: a timer of the host; the time left is less now.
            Err((Some(libc::EAGAIN | libc::EINPROGRESS), _)) => return Err(DialError::Timeout),
            Err((Some(libc::EINTR), _)) => {}
            Err((_, error)) => return Err(DialError::Io(error)),
        }
    }
}

fn address(path: &Path) -> Result<(libc::sockaddr_un, libc::socklen_t), DialError> {
    let mut address =
        libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
    let bytes = path.as_os_str().as_bytes();
    // One byte is left for the terminating NUL.
    if bytes.len() >= address.sun_path.len() {
        return Err(DialError::PathTooLong);
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let length = offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
    Ok((address, length as libc::socklen_t))
}

fn send_timeout(socket: RawFd, left: Duration) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_usec: left.subsec_micros() as libc::suseconds_t,
    };
    let length = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: the option's value is one `timeval`, of which the address and the size are given; it is only read.
    let done = unsafe {
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, (&raw const time).cast(), length)
    };
    checked(done).map(drop)
}

fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the option's value is one `ucred`; `length` says how much may be written, and both outlive the call.
    let done = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    checked(done).map(|_| peer.uid)
}

fn owner_of_directory(path: &Path) -> io::Result<u32> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok(std::fs::metadata(directory)?.uid())
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => {
                f.write_str("it takes no connection in time; is `countersign serve` overloaded or stopped?")
            }
            Self::Io(error) => match error.kind() {
                io::ErrorKind::NotFound => f.write_str(
                    "no such socket; is `countersign serve` running, and does it know this data directory?",
                ),
                io::ErrorKind::ConnectionRefused => {
                    f.write_str("connection refused; is `countersign serve` running?")
                }
                io::ErrorKind::PermissionDenied => {
                    f.write_str("permission denied; the socket must belong to the database server's user")
                }
                _ => write!(f, "{error}"),
            },
            Self::PathTooLong => {
                f.write_str("a socket's path has at most 107 bytes; give a shorter `socket=`")
            }
            Self::Stranger { uid } => write!(
                f,
                "user id {uid} listens there, who is neither root, nor this server's user, nor the directory's owner; \
                 remove that socket and restart `countersign serve`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(150)
    }

    #[test]
    fn reaches_a_listener_of_our_own_user() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let stream = dial(&path, soon()).unwrap();
        assert!(listener.accept().is_ok());
        drop(stream);
        drop(listener);
        let error = dial(&path, soon()).unwrap_err();
        assert_eq!(error.to_string(), "connection refused; is `countersign serve` running?");
        assert!(
            dial(&directory.path().join("none"), soon())
                .unwrap_err()
                .to_string()
                .starts_with("no such socket")
        );
    }

    #[test]
    fn a_full_backlog_ends_at_the_deadline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        // SAFETY: takes numbers only; listening again changes the backlog.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let queued = dial(&path, soon()).unwrap();
        let asked = Instant::now();
        assert!(matches!(dial(&path, soon()), Err(DialError::Timeout)));
        let waited = asked.elapsed();
        assert!(waited > Duration::from_millis(100) && waited < Duration::from_secs(1), "{waited:?}");
        // Room in the backlog wakes a waiting dial.
        let accepting = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            listener.accept().map(|_| listener)
        });
        assert!(dial(&path, soon()).is_ok());
        accepting.join().unwrap().unwrap();
        drop(queued);
    }

    #[test]
    fn a_path_of_107_bytes_fits_and_108_do_not() {
        assert!(address(Path::new(&"x".repeat(107))).is_ok());
        assert!(matches!(address(Path::new(&"x".repeat(108))), Err(DialError::PathTooLong)));
    }

    #[test]
    fn the_directory_of_a_bare_name_is_the_working_directory() {
        assert_eq!(owner_of_directory(Path::new("s")).unwrap(), std::fs::metadata(".").unwrap().uid());
        assert_eq!(owner_of_directory(Path::new("/s")).unwrap(), 0);
    }

    #[test]
    fn writing_to_a_closed_connection_is_an_error_and_not_a_signal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let stream = dial(&path, soon()).unwrap();
        drop(listener.accept().unwrap());
        // SAFETY: sets the disposition that a host which ignores nothing has; SIGPIPE would end this process.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let question = ipc::Question { door: ipc::Door::Pam, user: b"u", token: b"t", remote: b"" };
        assert!(matches!(ipc::ask(stream, &question, soon()), Err(ipc::AskError::Closed)));
    }
}
