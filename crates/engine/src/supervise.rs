//! A server's process: started, found again, awaited, stopped. Signals are PostgreSQL's own.
//!
//! A server outlives Countersign. It is held by a pidfd, whether we started it or found it running, so that no signal
//! ever reaches another process that got its number.

use crate::layout::{FileError, Layout, read_end, write_file};
use crate::{Installation, OsUser};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::net::{IpAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;

/// How long a server may take until it accepts connections, before that is reported. It goes on.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a fast shutdown, with its checkpoint, may take before an immediate one follows.
const FAST_WITHIN: Duration = Duration::from_secs(60);
/// How long an immediate shutdown may take before the process is killed.
const IMMEDIATE_WITHIN: Duration = Duration::from_secs(10);
/// How long processes of a server that was killed may keep the next one from starting.
const REMNANTS_WITHIN: Duration = Duration::from_secs(10);
/// How much of a log is shown with a failure.
const LOG_SHOWN: u64 = 2_000;

/// Why a server does not run, or goes on running.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Somebody else listens there.
    #[error("port {port} is in use on {address} by another program: stop it, or choose another port")]
    PortInUse {
        /// The port.
        port: u16,
        /// The address.
        address: String,
    },
    /// It ended while it started.
    #[error("the server did not start: {0}")]
    Exited(String),
    /// It still starts, or recovers from a crash.
    #[error("the server does not accept connections yet: it is {0}")]
    NotReady(String),
    /// It cannot be stopped.
    #[error("the server with pid {0} does not stop")]
    Unstoppable(u32),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

fn io<E: Into<std::io::Error>>(what: &'static str) -> impl Fn(E) -> ServerError {
    move |source| ServerError::Io { what, source: source.into() }
}

/// A server that runs, as far as is known.
pub(crate) struct Server {
    pid: u32,
    port: u16,
    process: AsyncFd<OwnedFd>,
    /// There if we are its parent, who must take its exit status.
    child: Option<Child>,
    since: Instant,
}

impl Server {
    /// Starts a server and waits until it accepts connections.
    pub(crate) async fn start(
        user: &OsUser,
        installation: &Installation,
        layout: &Layout,
        addresses: &[String],
        port: u16,
    ) -> Result<Self, ServerError> {
        check_port(addresses, port)?;
        let deadline = Instant::now() + REMNANTS_WITHIN;
        loop {
            let mut server = Self::spawn(user, installation, layout, port)?;
            match server.ready(layout).await {
                // What is left of a server that was killed ends by itself when it notices.
                Err(ServerError::Exited(said)) if is_remnant(&said) && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(ServerError::NotReady(state)) => {
                    tracing::warn!(pid = server.pid, state, "a server takes its time");
                    return Ok(server);
                }
                result => return result.map(|()| server),
            }
        }
    }

    fn spawn(
        user: &OsUser,
        installation: &Installation,
        layout: &Layout,
        port: u16,
    ) -> Result<Self, ServerError> {
        write_file(&layout.startup_log(), b"", 0o600, None)?;
        let output = || {
            let file = std::fs::OpenOptions::new().append(true).open(layout.startup_log());
            file.map_err(FileError::of(&layout.startup_log()))
        };
        let child = user
            .command(installation.program("postgres"))
            .arg("-D")
            .arg(layout.data())
            .arg("-c")
            .arg(format!("config_file={}", layout.server_conf().display()))
            .current_dir(layout.data())
            // libldap's settings, in seconds: without them a login waits for an LDAP door that hangs as long as it may.
            .env("LDAPTIMEOUT", "2")
            .env("LDAPNETWORK_TIMEOUT", "2")
            // Whoever takes the door's port while Countersign is away has not its certificate, and is not asked.
            .env("LDAPTLS_CACERT", layout.door_certificate())
            .env("LDAPTLS_REQCERT", "demand")
            .stdout(output()?)
            .stderr(output()?)
            // Out of our group: an interrupt from the terminal is for Countersign alone.
            .process_group(0)
            .spawn()
            .map_err(io("`postgres` cannot be run"))?;
        let pid = child.id().ok_or_else(|| ServerError::Exited(said(layout)))?;
        let process = open(pid).map_err(io("a process cannot be followed"))?;
        Ok(Self { pid, port, process, child: Some(child), since: Instant::now() })
    }

    /// The server of a data directory that runs already, if one does.
    pub(crate) fn adopt(user: &OsUser, layout: &Layout) -> Result<Option<Self>, ServerError> {
        let Some(Pidfile { pid, port, .. }) = read_pidfile(layout) else { return Ok(None) };
        let process = match open(pid) {
            Ok(process) => process,
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(io("a process cannot be followed")(error)),
        };
        // The number in the file may be another process's by now, and the file is not ours.
        if !is_server(pid, user.uid, &layout.data()) {
            return Ok(None);
        }
        let server = Self { pid, port, process, child: None, since: Instant::now() };
        Ok(server.is_running().then_some(server))
    }

    /// Waits until the server accepts connections.
    pub(crate) async fn ready(&mut self, layout: &Layout) -> Result<(), ServerError> {
        let deadline = Instant::now() + READY_WITHIN;
        let mut pause = Duration::from_millis(5);
        loop {
            let state = match read_pidfile(layout) {
                Some(file) if file.pid == self.pid => file.state,
                _ => String::new(),
            };
            if state == "ready" {
                return Ok(());
            }
            if Instant::now() > deadline {
                let state = if state.is_empty() { "starting".to_owned() } else { state };
                return Err(ServerError::NotReady(state));
            }
            tokio::select! {
                () = self.exited() => return Err(ServerError::Exited(said(layout))),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_millis(100)),
            }
        }
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The port it was started on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How long we have held it.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether the process is there.
    pub(crate) fn is_running(&self) -> bool {
        let mut poll = [rustix::event::PollFd::new(&self.process, rustix::event::PollFlags::IN)];
        matches!(rustix::event::poll(&mut poll, Some(&rustix::event::Timespec::default())), Ok(0))
    }

    /// Waits until the process has ended.
    pub(crate) async fn exited(&mut self) {
        if let Some(child) = &mut self.child {
            match child.wait().await {
                Ok(status) => tracing::debug!(pid = self.pid, %status, "a server has ended"),
                Err(error) => tracing::warn!(pid = self.pid, %error, "a server cannot be waited for"),
            }
            self.child = None;
        }
        while self.is_running() {
            if self.process.readable().await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Makes it read its configuration, its hba rules and its certificate again.
    pub(crate) fn reload(&self) -> Result<(), ServerError> {
        self.signal(Signal::HUP).map(|_there| ())
    }

    /// Stops it: fast, so that sessions are ended and everything is written; immediately if that takes too long.
    pub(crate) async fn stop(&mut self) -> Result<(), ServerError> {
        let ways =
            [(Signal::INT, FAST_WITHIN), (Signal::QUIT, IMMEDIATE_WITHIN), (Signal::KILL, IMMEDIATE_WITHIN)];
        for (signal, limit) in ways {
            if !self.signal(signal)? || tokio::time::timeout(limit, self.exited()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(pid = self.pid, ?signal, "a server does not stop within {} s", limit.as_secs());
        }
        Err(ServerError::Unstoppable(self.pid))
    }

    /// Sends a signal; whether the process was there to get it.
    fn signal(&self, signal: Signal) -> Result<bool, ServerError> {
        match pidfd_send_signal(self.process.get_ref(), signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(io("a signal cannot be sent")(error)),
        }
    }
}

/// Checks that nobody listens where a server is about to.
fn check_port(addresses: &[String], port: u16) -> Result<(), ServerError> {
    for address in addresses {
        let bound = match address.parse::<IpAddr>() {
            Ok(ip) => TcpListener::bind((ip, port)),
            Err(_) if address == "*" => TcpListener::bind(("0.0.0.0", port)),
            Err(_) => TcpListener::bind((address.as_str(), port)),
        };
        match bound {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                return Err(ServerError::PortInUse { port, address: address.clone() });
            }
            // What else is wrong with an address the server says better.
            Err(_) | Ok(_) => {}
        }
    }
    Ok(())
}

fn open(pid: u32) -> Result<AsyncFd<OwnedFd>, Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    // The successor is an unsafe function for descriptors that could change; one that is owned does not.
    #[allow(deprecated)]
    AsyncFd::with_interest(process, Interest::READABLE)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Whether the process is a server on this data directory: one of the user's, started by the words that we start it with.
fn is_server(pid: u32, uid: u32, data: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let owned = std::fs::metadata(&process).is_ok_and(|metadata| metadata.uid() == uid);
    owned && std::fs::read(process.join("cmdline")).is_ok_and(|words| names_data(&words, data))
}

fn names_data(command_line: &[u8], data: &Path) -> bool {
    let words: Vec<&[u8]> = command_line.split(|b| *b == 0).collect();
    words.windows(2).any(|pair| pair == [b"-D", data.as_os_str().as_encoded_bytes()])
}

/// What `postmaster.pid` says.
#[derive(Debug, PartialEq, Eq)]
struct Pidfile {
    pid: u32,
    /// 0 before it is known.
    port: u16,
    /// `starting`, `ready`, `stopping` or `standby`; empty before there is any.
    state: String,
}

fn read_pidfile(layout: &Layout) -> Option<Pidfile> {
    parse_pidfile(&read_end(&layout.pidfile(), 4_096).ok()?)
}

/// The first line is the postmaster's pid, the fourth its port, the eighth its state.
fn parse_pidfile(text: &str) -> Option<Pidfile> {
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 1)?;
    let port = lines.nth(2).and_then(|port| port.trim().parse().ok()).unwrap_or_default();
    Some(Pidfile { pid, port, state: lines.nth(3).unwrap_or_default().trim().to_owned() })
}

fn is_remnant(said: &str) -> bool {
    said.contains("pre-existing shared memory block") || said.contains("is another postmaster")
}

/// What a server said last: in its log, or before it had one.
fn said(layout: &Layout) -> String {
    let early = read_end(&layout.startup_log(), LOG_SHOWN).unwrap_or_default();
    let logs = std::fs::read_dir(layout.log()).into_iter().flatten().flatten();
    let newest = logs.map(|entry| entry.path()).max();
    let late = newest.and_then(|log| read_end(&log, LOG_SHOWN).ok()).unwrap_or_default();
    // The log goes on from run to run: only the last run's lines count, and no statement of a session is shown.
    let late = late.rsplit_once("starting PostgreSQL").map_or(late.as_str(), |(_, last_run)| last_run);
    let complaints: Vec<&str> = early
        .lines()
        .chain(late.lines())
        .filter(|line| {
            ["FATAL:", "PANIC:", "HINT:", "LOG:  could not"].iter().any(|level| line.contains(level))
        })
        .collect();
    let last = complaints.split_at(complaints.len().saturating_sub(4)).1.join("; ");
    if last.is_empty() { format!("see `{}`", layout.startup_log().display()) } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "4711\n/d/data\n1700000000\n5432\n../run\n127.0.0.1\n  5432001   229376\nready   \n";

    #[test]
    fn the_pidfile_gives_pid_and_state() {
        assert_eq!(parse_pidfile(FILE), Some(Pidfile { pid: 4711, port: 5432, state: "ready".into() }));
        let early = FILE.lines().take(5).collect::<Vec<_>>().join("\n");
        assert_eq!(parse_pidfile(&early), Some(Pidfile { pid: 4711, port: 5432, state: String::new() }));
        // A single-user server writes a negative number; nobody ever means init.
        for bad in ["", "\n", "-4711\n", "0\n", "1\n", "99999999999\n", "x"] {
            assert_eq!(parse_pidfile(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_server_is_known_by_its_words() {
        let data = Path::new("/d/data");
        assert!(names_data(b"/usr/lib/postgresql/15/bin/postgres\0-D\0/d/data\0-c\0x=y\0", data));
        for other in [&b"postgres\0-D\0/d/data2\0"[..], b"postgres: walwriter \0", b"vi\0/d/data\0", b""] {
            assert!(!names_data(other, data));
        }
    }

    #[tokio::test]
    async fn another_process_is_not_adopted() {
        let folder = tempfile::tempdir().unwrap();
        let user = OsUser::resolve(None).unwrap();
        let data_dir = crate::layout::DataDir::new(folder.path().to_owned());
        let id = iam::ResourceId::generate(iam::ResourceKind::Instance, [1; 16]);
        let layout = data_dir.database(&id);
        std::fs::create_dir_all(layout.data()).unwrap();
        assert!(Server::adopt(&user, &layout).unwrap().is_none());
        for pid in [std::process::id(), 4_000_000] {
            std::fs::write(layout.pidfile(), FILE.replace("4711", &pid.to_string())).unwrap();
            assert!(Server::adopt(&user, &layout).unwrap().is_none());
        }
    }

    #[test]
    fn a_port_in_use_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses = ["127.0.0.1".to_owned()];
        let error = check_port(&addresses, port).unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} is in use on 127.0.0.1")), "{error}");
        drop(listener);
        check_port(&addresses, port).unwrap();
    }
}
