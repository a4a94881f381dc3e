//! Connects to Countersign's socket before a deadline, and makes sure that it is Countersign's: what every door
//! inside a database server's process does before it asks.
//!
//! System calls instead of `std`, because `UnixStream::connect` waits without limit while the listener's backlog
//! is full. The socket is given a send timeout before it connects, which Linux applies to that wait too: unlike a
//! non-blocking attempt repeated after a pause, the kernel wakes us as soon as there is room.
//!
//! **Who may answer.** The user that listens (`SO_PEERCRED`) must be root, the user we run as, or the owner of
//! the directory that holds the socket. Each of them can decide logins here anyway: root and our own user own
//! the database server, and the directory's owner can put any socket in that place. Somebody else's socket,
//! left in a directory that others may write to, is refused.

use std::fmt;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Why there is no connection to Countersign. Shown, it says what to do about it.
#[derive(Debug)]
pub enum DialError {
    /// Countersign took no connection before the deadline.
    Timeout,
    /// The socket could not be reached.
    Io(io::Error),
    /// The path does not fit into a socket address.
    PathTooLong,
    /// The listener is none of those who may answer.
    Stranger {
        /// The user id that listens.
        uid: u32,
    },
}

/// Connects to the socket at `path`, at most 107 bytes long, before `deadline`.
///
/// # Errors
/// [`DialError`], by `deadline` at the latest.
pub fn dial(path: &Path, deadline: Instant) -> Result<UnixStream, DialError> {
    let stream = connect(path, deadline)?;
    let peer = peer_uid(stream.as_fd()).map_err(DialError::Io)?;
    let ours = rustix::process::geteuid().as_raw();
    if peer == 0 || peer == ours || peer == owner_of_directory(path).map_err(DialError::Io)? {
        Ok(stream)
    } else {
        Err(DialError::Stranger { uid: peer })
    }
}

/// The user id at the other end of a connected Unix socket, when it connected or listened (`SO_PEERCRED`).
///
/// # Errors
/// If `socket` is no such socket.
// Not rustix's `socket_peercred`: its process id cannot be zero, and zero is what the kernel says of a peer in
// another pid namespace, which is where Countersign lives when it runs in a container beside the database's.
#[allow(unsafe_code)]
pub fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the option's value is one `ucred`; `length` says how much may be written, and both outlive the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if done == 0 { Ok(peer.uid) } else { Err(io::Error::last_os_error()) }
}

fn connect(path: &Path, deadline: Instant) -> Result<UnixStream, DialError> {
    // The kernel takes one byte more, without the terminating NUL; few programs can listen there.
    if path.as_os_str().len() > 107 {
        return Err(DialError::PathTooLong);
    }
    let address = SocketAddrUnix::new(path).map_err(|errno| DialError::Io(errno.into()))?;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|errno| DialError::Io(errno.into()))?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left < Duration::from_micros(1) {
            return Err(DialError::Timeout);
        }
        set_socket_timeout(&socket, Timeout::Send, Some(left))
            .map_err(|errno| DialError::Io(errno.into()))?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(UnixStream::from(socket)),
            // EAGAIN: the wait for room in the backlog ended. EINTR: a timer of the host; the time left is less now.
            Err(Errno::AGAIN | Errno::INPROGRESS) => return Err(DialError::Timeout),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(DialError::Io(errno.into())),
        }
    }
}

fn owner_of_directory(path: &Path) -> io::Result<u32> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok(std::fs::metadata(directory)?.uid())
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
            Self::PathTooLong => f.write_str("a socket's path has at most 107 bytes; give a shorter one"),
            Self::Stranger { uid } => write!(
                f,
                "user id {uid} listens there, who is neither root, nor this server's user, nor the directory's owner; \
                 remove that socket and restart `countersign serve`"
            ),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Timeout | Self::PathTooLong | Self::Stranger { .. } => None,
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
        // Listening again changes the backlog.
        rustix::net::listen(&listener, 0).unwrap();
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
        let none = dial(Path::new(&"x".repeat(107)), soon()).unwrap_err();
        assert!(none.to_string().starts_with("no such socket"), "{none}");
        assert!(matches!(dial(Path::new(&"x".repeat(108)), soon()), Err(DialError::PathTooLong)));
    }

    #[test]
    fn only_a_socket_has_a_peer() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(peer_uid(one.as_fd()).unwrap(), rustix::process::geteuid().as_raw());
        assert!(peer_uid(std::fs::File::open("/dev/null").unwrap().as_fd()).is_err());
    }

    #[test]
    fn the_directory_of_a_bare_name_is_the_working_directory() {
        assert_eq!(owner_of_directory(Path::new("s")).unwrap(), std::fs::metadata(".").unwrap().uid());
        assert_eq!(owner_of_directory(Path::new("/s")).unwrap(), 0);
    }

    #[test]
    #[allow(unsafe_code)]
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
