//! A server's process: started, found again, awaited, stopped.
//!
//! A server outlives Countersign. It is held by a pidfd, whether we started it or found it running, so that no signal
//! ever reaches another process that got its number. What is particular to a product is asked of its [`Kind`].

use crate::kind::{Kind, Said, Stop};
use crate::layout::{FileError, Layout, write_file};
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
/// How long processes of a server that was killed may keep the next one from starting.
const REMNANTS_WITHIN: Duration = Duration::from_secs(10);

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
pub(crate) struct Process {
    pid: u32,
    port: u16,
    process: AsyncFd<OwnedFd>,
    /// There if we are its parent, who must take its exit status.
    child: Option<Child>,
    since: Instant,
}

impl Process {
    /// Starts a server and waits until it accepts connections.
    pub(crate) async fn start(
        kind: &dyn Kind,
        installation: &Installation,
        layout: &Layout,
        addresses: &[String],
        port: u16,
    ) -> Result<Self, ServerError> {
        check_port(addresses, port)?;
        let deadline = Instant::now() + REMNANTS_WITHIN;
        loop {
            let mut server = Self::spawn(kind, installation, layout, port)?;
            match server.ready(kind).await {
                // What is left of a server that was killed ends by itself when it notices.
                Err(ServerError::Exited(said)) if kind.is_remnant(&said) && Instant::now() < deadline => {
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
        kind: &dyn Kind,
        installation: &Installation,
        layout: &Layout,
        port: u16,
    ) -> Result<Self, ServerError> {
        write_file(&layout.startup_log(), b"", 0o600, None)?;
        let output = || {
            let file = std::fs::OpenOptions::new().append(true).open(layout.startup_log());
            file.map_err(FileError::of(&layout.startup_log()))
        };
        let child = kind
            .command(installation, port)
            .current_dir(layout.data())
            .stdout(output()?)
            .stderr(output()?)
            // Out of our group: an interrupt from the terminal is for Countersign alone.
            .process_group(0)
            .spawn()
            .map_err(io("the server's program cannot be run"))?;
        let pid = child.id().ok_or_else(|| ServerError::Exited(kind.said()))?;
        let process = open(pid).map_err(io("a process cannot be followed"))?;
        Ok(Self { pid, port, process, child: Some(child), since: Instant::now() })
    }

    /// The server of a data directory that runs already, if one does.
    pub(crate) fn adopt(user: &OsUser, kind: &dyn Kind) -> Result<Option<Self>, ServerError> {
        let Some(Said { pid, port }) = kind.says() else { return Ok(None) };
        let process = match open(pid) {
            Ok(process) => process,
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(io("a process cannot be followed")(error)),
        };
        // The number in the file may be another process's by now, and the file is not ours.
        if !is_server(pid, user.uid, kind) {
            return Ok(None);
        }
        let server = Self { pid, port, process, child: None, since: Instant::now() };
        Ok(server.is_running().then_some(server))
    }

    /// Waits until the server accepts connections.
    pub(crate) async fn ready(&mut self, kind: &dyn Kind) -> Result<(), ServerError> {
        let deadline = Instant::now() + READY_WITHIN;
        let mut pause = Duration::from_millis(5);
        loop {
            let waits_for = kind.waits_for(self.pid).await;
            let Some(state) = waits_for else { return Ok(()) };
            if Instant::now() > deadline {
                return Err(ServerError::NotReady(state));
            }
            tokio::select! {
                () = self.exited() => return Err(ServerError::Exited(kind.said())),
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

    /// Stops it in the ways of its kind, one after the other, the gentlest first.
    pub(crate) async fn stop(&mut self, kind: &dyn Kind) -> Result<(), ServerError> {
        for Stop { signal, within } in kind.stops().await {
            let there = self.signal(signal)?;
            if !there || tokio::time::timeout(within, self.exited()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(pid = self.pid, ?signal, "a server does not stop within {} s", within.as_secs());
        }
        Err(ServerError::Unstoppable(self.pid))
    }

    /// Sends a signal; whether the process was there to get it.
    pub(crate) fn signal(&self, signal: Signal) -> Result<bool, ServerError> {
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

/// Whether the process is a server on the data directory: one of the user's, started by the words that we start it with.
fn is_server(pid: u32, uid: u32, kind: &dyn Kind) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let owned = std::fs::metadata(&process).is_ok_and(|metadata| metadata.uid() == uid);
    owned
        && std::fs::read(process.join("cmdline")).is_ok_and(|words| {
            let words: Vec<&[u8]> = words.split(|b| *b == 0).collect();
            kind.starts_with(&words)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Problem;
    use crate::target::Target;

    /// A server that is known by nothing but a process's number.
    struct Claims(u32);

    #[async_trait::async_trait]
    impl Kind for Claims {
        fn product(&self) -> iam::Product {
            iam::Product::PostgreSql
        }
        fn says(&self) -> Option<Said> {
            Some(Said { pid: self.0, port: 5432 })
        }
        fn starts_with(&self, words: &[&[u8]]) -> bool {
            words.contains(&&b"--datadir=/d/data"[..])
        }
        fn command(&self, _: &Installation, _: u16) -> tokio::process::Command {
            tokio::process::Command::new("false")
        }
        async fn waits_for(&self, _: u32) -> Option<String> {
            None
        }
        fn said(&self) -> String {
            String::new()
        }
        fn is_remnant(&self, _: &str) -> bool {
            false
        }
        async fn stops(&self) -> Vec<Stop> {
            vec![Stop { signal: Signal::KILL, within: Duration::from_secs(10) }]
        }
        fn wanted(&mut self, _: &Target, _: &Installation) {}
        fn configure(&mut self, _: &Target) -> Result<bool, Problem> {
            Ok(false)
        }
        async fn set_up(&mut self, _: &Target, _: &Installation, _: &[u8]) -> Result<(), Problem> {
            Ok(())
        }
        async fn load(&mut self, _: &Target, _: &Process) -> Result<(), Problem> {
            Ok(())
        }
        async fn set_password(&mut self, _: &Target, _: &[u8]) -> Result<(), Problem> {
            Ok(())
        }
        fn left_out(&self, _: &Target) -> Vec<String> {
            Vec::new()
        }
        fn door(&self) -> &'static str {
            "none"
        }
    }

    #[tokio::test]
    async fn another_process_is_not_adopted() {
        let mut ours = OsUser::resolve(None).unwrap();
        ours.uid = rustix::process::geteuid().as_raw();
        // This one has other words, that one does not exist.
        for pid in [std::process::id(), 4_000_000] {
            assert!(Process::adopt(&ours, &Claims(pid)).unwrap().is_none());
        }
        let mut server = std::process::Command::new("sh")
            .args(["-c", "read line", "sh", "--datadir=/d/data"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let kind = Claims(server.id());
        let mut somebody_else = ours.clone();
        somebody_else.uid += 1;
        assert!(Process::adopt(&somebody_else, &kind).unwrap().is_none());
        let found = Process::adopt(&ours, &kind).unwrap();
        let mut found = found.expect("the words are a server's, and the user is its");
        let (stopped, _) =
            tokio::join!(found.stop(&kind), tokio::task::spawn_blocking(move || server.wait()));
        stopped.unwrap();
        assert!(Process::adopt(&ours, &kind).unwrap().is_none());
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
