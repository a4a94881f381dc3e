//! Where clients connect: addresses of TCP, and Unix sockets with their mode.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::Mode;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

use crate::settings::Engine;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Where a proxy listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// The loopback addresses that there are, at this port.
    Loopback(u16),
    /// An address.
    Address(SocketAddr),
    /// A Unix socket: its path, or the directory in which it gets the name that clients look for.
    Unix(PathBuf),
}

/// Why a proxy cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Neither an address nor a path.
    #[error(
        "`{0}` is not a place to listen: expected an address and a port such as `127.0.0.1:5432`, `[::1]:5432` or \
         `localhost:5432`, or the path of a Unix socket"
    )]
    Place(String),
    /// Not the mode of a socket.
    #[error("`{0}` is not the mode of a socket: expected an octal number such as `0600` or `0660`")]
    Mode(String),
    /// The system refuses it.
    #[error("cannot listen on `{place}`: {source}")]
    Bind {
        /// Where.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Another process serves this socket.
    #[error("cannot listen on `{0}`: another process serves this socket")]
    Served(String),
    /// Something else has the name of the socket.
    #[error("cannot listen on `{0}`: there is a file of this name that is not a socket")]
    NotSocket(String),
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if text.contains('/') {
            return Ok(Self::Unix(text.into()));
        }
        let wrong = || ListenError::Place(text.to_owned());
        if let Some(port) = text.strip_prefix("localhost:") {
            return port.parse().map(Self::Loopback).map_err(|_| wrong());
        }
        text.parse().map(Self::Address).map_err(|_| wrong())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(port) => write!(f, "localhost:{port}"),
            Self::Address(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Listen {
    /// Whether only this machine gets there.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Loopback(_) | Self::Unix(_) => true,
            Self::Address(address) => address.ip().to_canonical().is_loopback(),
        }
    }

    /// Whether it is a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

/// Who may connect to a Unix socket: the permission bits of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketMode(u32);

impl Default for SocketMode {
    fn default() -> Self {
        Self(0o600)
    }
}

impl FromStr for SocketMode {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 => Ok(Self(mode)),
            _ => Err(ListenError::Mode(text.to_owned())),
        }
    }
}

/// A socket that listens.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// The address, with the port that it got.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|a| a.to_string()).unwrap_or_default(),
            Self::Unix(_, file) => file.path.display().to_string(),
        }
    }

    /// Whether only this machine gets there.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback())
            }
            Self::Unix(..) => true,
        }
    }
}

/// The file of a Unix socket; gone when this is, unless another took its place.
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Begins to listen. `port` is the database's, which names PostgreSQL's sockets. To be called within a runtime, before other
/// threads make files: the mode of a new socket is the process's.
pub(crate) fn bind(
    listen: &Listen,
    engine: Engine,
    port: u16,
    mode: SocketMode,
) -> Result<Vec<Listener>, ListenError> {
    let failed = |source| ListenError::Bind { place: listen.to_string(), source };
    match listen {
        Listen::Address(address) => Ok(vec![Listener::Tcp(bind_tcp(*address).map_err(failed)?)]),
        Listen::Loopback(port) => {
            let first = bind_tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), *port)).map_err(failed)?;
            let port = first.local_addr().map_err(failed)?.port();
            let mut listeners = vec![Listener::Tcp(first)];
            match bind_tcp(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port)) {
                Ok(second) => listeners.push(Listener::Tcp(second)),
                // A machine without IPv6.
                Err(error)
                    if [io::ErrorKind::AddrNotAvailable, io::ErrorKind::Unsupported]
                        .contains(&error.kind())
                        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => {}
                Err(error) => return Err(failed(error)),
            }
            Ok(listeners)
        }
        Listen::Unix(path) => {
            let path = socket_path(path, engine, port);
            Ok(vec![bind_unix(&path, mode)?])
        }
    }
}

/// In a directory, the socket gets the name that clients look for.
fn socket_path(path: &Path, engine: Engine, port: u16) -> PathBuf {
    match engine {
        _ if !path.is_dir() => path.to_owned(),
        Engine::PostgreSql => path.join(format!(".s.PGSQL.{port}")),
        Engine::MySql => path.join("mysql.sock"),
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind_unix(path: &Path, mode: SocketMode) -> Result<Listener, ListenError> {
    let place = path.display().to_string();
    let failed = |source| ListenError::Bind { place: place.clone(), source };
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(ListenError::NotSocket(place)),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(ListenError::Served(place)),
            // What an earlier run left behind.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let socket = UnixSocket::new_stream().map_err(failed)?;
    // Until the mode is set, nobody else gets in.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = socket.bind(path);
    rustix::process::umask(before);
    bound.map_err(failed)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path).map_err(failed)? };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode.0)).map_err(failed)?;
    Ok(Listener::Unix(socket.listen(BACKLOG).map_err(failed)?, file))
}
