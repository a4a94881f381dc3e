//! The door in the data directory: a Unix socket that the modules inside a database server ask.
//!
//! One socket per database, so the socket says which database asks. It is made in a directory that may belong
//! to a less privileged user than ours, who can rename, link and replace whatever we make there at any moment.
//! So every step works on an open directory and never follows a link, and the socket changes hands only after
//! it was seen to be a socket of ours with no other name. What reaches it is checked by the kernel's word for
//! who connected, whatever the file's mode.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipc::{Door, FrameError, HEADER, Question, RequestId, Secret, Status};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::door::{Answer, DEADLINE, DoorKind, Judge, RawLogin, keep_open, stopped, within};

/// Connections open at one time; more wait in the backlog. A PAM module's lasts for one question.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection may stay open between two questions.
const IDLE: Duration = Duration::from_secs(60);
/// Logins that may wait while the runtime is busy; a burst beyond it waits in the modules.
const BACKLOG: i32 = 1024;

/// The socket that one database's modules ask; removed when dropped.
pub struct SocketDoor {
    listener: StdListener,
    place: Place,
    guest: Arc<Reception>,
}

/// What every connection is served with.
struct Reception {
    database: Arc<str>,
    allowed_uids: Vec<u32>,
    judge: Arc<dyn Judge>,
    idle: Duration,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path does not name a file.
    #[error("`{}` is not a path of a socket, expected a file in a directory", .0.display())]
    Name(PathBuf),
    /// The directory is missing, is not a directory, or is reached through a link.
    #[error("`{}` cannot be opened as a directory: {source}; give its real path, not a link to it", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something else has the name.
    #[error("`{}` exists and is not a socket; move it away", .0.display())]
    Occupied(PathBuf),
    /// Somebody put another file in the socket's place while it was made.
    #[error("`{}` was replaced while it was made; somebody else works in its directory", .0.display())]
    Replaced(PathBuf),
    /// The system refuses.
    #[error("cannot make the socket `{}`: {source}", path.display())]
    System {
        /// The socket's path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl SocketDoor {
    /// Makes the socket at `path` and listens: mode 0600, belonging to `owner` (user id, group id) if given. A
    /// socket that has the name already is replaced, in one step.
    ///
    /// Only the users in `allowed_uids` are answered. Questions are those of `database`, a resource id, and
    /// `judge` decides them. The path may be of any length.
    ///
    /// # Errors
    /// [`BindError`], and nothing is left behind.
    pub fn bind(
        path: impl Into<PathBuf>,
        owner: Option<(u32, u32)>,
        database: Arc<str>,
        allowed_uids: Vec<u32>,
        judge: Arc<dyn Judge>,
    ) -> Result<Self, BindError> {
        let (listener, place) = Place::bind(path.into(), owner)?;
        let guest = Arc::new(Reception { database, allowed_uids, judge, idle: IDLE });
        Ok(Self { listener, place, guest })
    }

    /// Where the socket is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Answers until `stop` turns true or its sender is gone, then lets the open questions end and removes the
    /// socket.
    ///
    /// # Errors
    /// If the socket cannot be handed to the runtime; a connection's errors are logged and end only that one.
    pub async fn serve(self, stop: watch::Receiver<bool>) -> io::Result<()> {
        let Self { listener, place, guest } = self;
        let listener = UnixListener::from_std(listener)?;
        let accept = || async { listener.accept().await.map(|(stream, _)| stream) };
        keep_open(accept, MAX_CONNECTIONS, stop, |stream, stop| Arc::clone(&guest).attend(stream, stop))
            .await;
        drop(place);
        Ok(())
    }
}

impl Reception {
    async fn attend(self: Arc<Self>, mut stream: UnixStream, mut stop: watch::Receiver<bool>) {
        match stream.peer_cred() {
            Ok(peer) if self.allowed_uids.contains(&peer.uid()) => {}
            Ok(peer) => {
                tracing::warn!(
                    database = %self.database, uid = peer.uid(), pid = peer.pid(),
                    "a user that may not ask connected to the socket, closing"
                );
                return;
            }
            Err(error) => {
                tracing::warn!(database = %self.database, %error, "cannot tell who connected, closing");
                return;
            }
        }
        loop {
            let mut header = [0; HEADER];
            let first = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                first = within(self.idle, stream.read(&mut header)) => first,
            };
            let read = match first {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) => {
                    tracing::debug!(database = %self.database, %error, "closing a connection");
                    return;
                }
            };
            if let Err(error) = within(DEADLINE, self.answer(&mut stream, header, read)).await {
                tracing::warn!(database = %self.database, %error, "a question was not answered, closing");
                return;
            }
        }
    }

    /// Reads the rest of a question, of whose header `read` bytes are there, and answers it.
    async fn answer(&self, stream: &mut UnixStream, mut header: [u8; HEADER], read: usize) -> io::Result<()> {
        stream.read_exact(header.get_mut(read..).unwrap_or_default()).await?;
        let mut frame = Secret::new();
        frame.resize(Question::length(&header).map_err(invalid)?);
        if let Some((head, body)) = frame.as_mut_slice().split_first_chunk_mut::<HEADER>() {
            *head = header;
            stream.read_exact(body).await?;
        }
        let (question, _) =
            Question::decode(frame.as_slice()).map_err(invalid)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let answer = self.judge(&question);
        stream.write_all(&answer.encode().map_err(invalid)?).await
    }

    fn judge(&self, question: &Question<'_>) -> ipc::Answer {
        let door = match question.door {
            Door::Pam => DoorKind::Pam,
            Door::Mysql => DoorKind::Mysql,
        };
        let Question { user, token, remote, .. } = *question;
        let login = RawLogin { database: &self.database, user, token, client: address(remote), door };
        let verdict = login.judge(self.judge.as_ref());
        let status = match verdict.answer {
            Answer::Allowed { principal } => Status::Allowed { principal: principal.as_ref().to_owned() },
            Answer::Refused => Status::Refused,
        };
        ipc::Answer { request_id: RequestId(verdict.request_id), status }
    }
}

/// The client's address. PostgreSQL writes `[local]` for its own Unix socket, and a host name if it is told to
/// look names up, which is no evidence of anything; an interface may follow a link-local address.
fn address(remote: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(remote).ok()?;
    text.split('%').next()?.parse().ok()
}

fn invalid(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The socket's place in the file system: the file is removed with it, if it is still ours.
struct Place {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
    file: (u64, u64),
}

impl Place {
    fn bind(path: PathBuf, owner: Option<(u32, u32)>) -> Result<(StdListener, Self), BindError> {
        let Some(name) = path.file_name().map(OsStr::to_owned) else { return Err(BindError::Name(path)) };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty()).map_err(|error| {
            BindError::Directory { directory: directory.to_owned(), source: error.into() }
        })?;
        match rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_socket(&stat) => {}
            Ok(_) => return Err(BindError::Occupied(path)),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(BindError::System { path, source: error.into() }),
        }

        let system = |error: Errno| BindError::System { path: path.clone(), source: error.into() };
        // Made under another name: whoever finds a socket at `path` finds one that is ready, and an old one
        // goes only when the new one takes its place.
        let mut making = OsString::from(".");
        making.push(&name);
        making.push(format!(".{}", std::process::id()));
        remove(&directory, &making).map_err(system)?;
        let made = listen(&directory, &making).and_then(|socket| {
            let file = hand_over(&directory, &making, owner)?;
            if file.is_some() {
                rustix::fs::renameat(&directory, &making, &directory, &name)?;
            }
            Ok((socket, file))
        });
        let error = match made {
            Ok((socket, Some(file))) => {
                return Ok((StdListener::from(socket), Self { path, directory, name, file }));
            }
            Ok((_, None)) => BindError::Replaced(path.clone()),
            Err(error) => system(error),
        };
        if let Err(error) = remove(&directory, &making) {
            tracing::warn!(path = %path.display(), %error, "cannot remove an unfinished socket");
        }
        Err(error)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A successor may have taken the name.
        let ours = rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| identity(&stat) == self.file);
        if ours && let Err(error) = remove(&self.directory, &self.name) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

fn listen(directory: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Linux gives the file the socket's own mode, less the umask: it is never open to others, even for a moment.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    // Through the open directory: it stays the same one whatever is renamed, and the path is short. A link at
    // the end is not followed, `bind` only makes new files.
    let through = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    rustix::net::bind(&socket, &SocketAddrUnix::new(through)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Gives the socket to `owner` and tells which file it is; `None` if the file there is not what was just made.
fn hand_over(
    directory: &OwnedFd,
    name: &OsStr,
    owner: Option<(u32, u32)>,
) -> Result<Option<(u64, u64)>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    // The directory's owner may have put a second name of some file of ours here, to be given that file.
    if !is_socket(&stat) || stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_nlink != 1 {
        return Ok(None);
    }
    if let Some((uid, gid)) = owner
        && (uid, gid) != (stat.st_uid, stat.st_gid)
    {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(file.as_fd(), "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    }
    Ok(Some(identity(&stat)))
}

fn remove(directory: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

fn is_socket(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Socket
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::testing::{Book, PRINCIPAL};
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
    use std::os::unix::net::UnixStream as StdStream;
    use std::time::Instant;
    use tokio::task::{JoinHandle, spawn_blocking};

    fn us() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn bind(path: &Path) -> Result<(SocketDoor, Arc<Book>), BindError> {
        let book = Arc::new(Book::default());
        let judge: Arc<dyn Judge> = book.clone();
        SocketDoor::bind(path, None, "db-ABC".into(), vec![us()], judge).map(|door| (door, book))
    }

    struct Open {
        _directory: tempfile::TempDir,
        path: PathBuf,
        book: Arc<Book>,
        stop: watch::Sender<bool>,
        served: JoinHandle<io::Result<()>>,
    }

    fn open(change: impl FnOnce(&mut Reception)) -> Open {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("countersign.sock");
        let (mut door, book) = bind(&path).unwrap();
        change(Arc::get_mut(&mut door.guest).unwrap());
        let (stop, stopping) = watch::channel(false);
        let served = tokio::spawn(door.serve(stopping));
        Open { _directory: directory, path, book, stop, served }
    }

    async fn ask(
        stream: StdStream,
        door: Door,
        user: &'static [u8],
        token: &'static [u8],
        remote: &'static [u8],
    ) -> Result<(ipc::Answer, StdStream), ipc::AskError> {
        let deadline = Instant::now() + DEADLINE;
        spawn_blocking(move || ipc::ask(stream, &Question { door, user, token, remote }, deadline))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn modules_ask_again_on_one_connection() {
        let open = open(|_| {});
        let stream = StdStream::connect(&open.path).unwrap();
        let (answer, stream) = ask(stream, Door::Pam, b"jane", b"good-jane", b"192.0.2.7").await.unwrap();
        let status = Status::Allowed { principal: PRINCIPAL.to_owned() };
        assert_eq!(answer, ipc::Answer { request_id: RequestId(1), status });
        let (answer, stream) = ask(stream, Door::Mysql, b"jane", b"bad", b"fe80::1%eth0").await.unwrap();
        assert_eq!(answer, ipc::Answer { request_id: RequestId(2), status: Status::Refused });
        let (answer, _) = ask(stream, Door::Pam, b"jane", b"good-jane\0", b"[local]").await.unwrap();
        assert_eq!(answer.status, Status::Refused);
        assert_eq!(
            open.book.entries(),
            ["pam db-ABC jane 192.0.2.7 9", "mysql db-ABC jane fe80::1 3", "pam db-ABC jane - 0"]
        );
    }

    #[tokio::test]
    async fn another_user_is_not_answered() {
        let open = open(|guest| guest.allowed_uids = vec![us() + 1]);
        let stream = StdStream::connect(&open.path).unwrap();
        let refused = ask(stream, Door::Pam, b"jane", b"good-jane", b"").await;
        assert!(matches!(refused, Err(ipc::AskError::Closed)), "{refused:?}");
        assert!(open.book.entries().is_empty());
    }

    #[tokio::test]
    async fn garbage_oversize_and_silence_close_that_connection_only() {
        let open = open(|guest| guest.idle = Duration::from_millis(50));
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"CSGN\x01Q\x00\xff\xff\xff",
            b"CSGN\x01Q\0\0\0\x02\x01\x00",
            b"",
        ] {
            let mut stream = UnixStream::connect(&open.path).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let closed = within(DEADLINE, stream.read(&mut [0; 1])).await;
            assert!(!matches!(closed, Ok(1..)), "{closed:?}");
            assert!(!matches!(&closed, Err(error) if error.kind() == io::ErrorKind::TimedOut), "{closed:?}");
        }
        let stream = StdStream::connect(&open.path).unwrap();
        assert!(ask(stream, Door::Pam, b"jane", b"good-jane", b"").await.is_ok());
    }

    #[tokio::test]
    async fn a_question_that_stalls_is_dropped_at_the_deadline() {
        let open = open(|_| {});
        let mut stream = UnixStream::connect(&open.path).await.unwrap();
        stream.write_all(b"CSGN\x01").await.unwrap();
        let asked = Instant::now();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
        let waited = asked.elapsed();
        assert!(waited > DEADLINE / 2 && waited < DEADLINE * 2, "{waited:?}");
    }

    #[tokio::test]
    async fn stopping_closes_idle_connections_and_removes_the_socket() {
        let open = open(|_| {});
        let stream = StdStream::connect(&open.path).unwrap();
        let (_, stream) = ask(stream, Door::Pam, b"jane", b"good-jane", b"").await.unwrap();
        open.stop.send(true).unwrap();
        within(Duration::from_secs(1), async { open.served.await.unwrap() }).await.unwrap();
        assert!(!open.path.exists());
        assert!(ask(stream, Door::Pam, b"jane", b"good-jane", b"").await.is_err());
    }

    #[test]
    fn the_socket_is_private_replaces_a_stale_one_and_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("countersign.sock");
        drop(StdListener::bind(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let (door, _) = bind(&path).unwrap();
        let made = fs::symlink_metadata(&path).unwrap();
        assert!(made.file_type().is_socket());
        assert_eq!(made.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        // A second one takes the name; the first does not remove it.
        let (second, _) = bind(&path).unwrap();
        drop(door);
        assert!(path.exists());
        assert_eq!(second.path(), path);
        drop(second);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn links_are_not_followed_and_other_files_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "kept").unwrap();
        let path = directory.path().join("countersign.sock");
        symlink(&victim, &path).unwrap();
        assert!(matches!(bind(&path), Err(BindError::Occupied(_))));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(matches!(bind(&path), Err(BindError::Occupied(_))));
        // A link in the place where the socket is made is removed, not followed.
        fs::remove_file(&path).unwrap();
        let making = directory.path().join(format!(".countersign.sock.{}", std::process::id()));
        symlink(&victim, &making).unwrap();
        assert!(bind(&path).is_ok());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
        // Nor is a link followed to the directory itself.
        let linked = directory.path().join("linked");
        fs::create_dir(directory.path().join("real")).unwrap();
        symlink(directory.path().join("real"), &linked).unwrap();
        assert!(matches!(bind(&linked.join("s")), Err(BindError::Directory { .. })));
        assert!(matches!(bind(Path::new("/")), Err(BindError::Name(_))));
    }

    #[test]
    fn a_file_with_a_second_name_is_not_handed_over() {
        let directory = tempfile::tempdir().unwrap();
        let _precious = StdListener::bind(directory.path().join("precious")).unwrap();
        fs::hard_link(directory.path().join("precious"), directory.path().join("making")).unwrap();
        let open = OFlags::PATH | OFlags::DIRECTORY;
        let handle = rustix::fs::open(directory.path(), open, Mode::empty()).unwrap();
        assert_eq!(hand_over(&handle, OsStr::new("making"), Some((us(), 1))).unwrap(), None);
        fs::write(directory.path().join("file"), "").unwrap();
        assert_eq!(hand_over(&handle, OsStr::new("file"), None).unwrap(), None);
    }

    #[test]
    fn root_gives_the_socket_to_the_servers_user() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("countersign.sock");
        let judge: Arc<dyn Judge> = Arc::new(Book::default());
        // Only root may give a file away; anybody may give one to himself.
        let owner = if us() == 0 { (65_534, 65_534) } else { (us(), rustix::process::getegid().as_raw()) };
        let door = SocketDoor::bind(&path, Some(owner), "db-ABC".into(), vec![owner.0], judge).unwrap();
        let made = fs::symlink_metadata(&path).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (owner.0, owner.1, 0o600));
        drop(door);
    }

    #[test]
    fn a_path_of_any_length_will_do() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(200));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("countersign.sock");
        let (_door, _) = bind(&path).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    }
}
