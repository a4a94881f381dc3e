//! PostgreSQL's servers.
//!
//! A member of `rds_iam` logs in by token, which the hba rules say ([`config`]); the server asks through PAM or LDAP.

mod admin;
mod config;
mod initdb;

pub(crate) use admin::ADMINISTRATOR;
pub use admin::AdminError;
pub use config::DoorChoice;
pub(crate) use initdb::initdb;

use crate::database::Problem;
use crate::kind::{Kind, Said, Stop};
use crate::layout::{Layout, read_end, update_file};
use crate::process::Process;
use crate::reconcile::Context;
use crate::target::Target;
use crate::{Installation, Settings};
use admin::{Admin, Setup, has_granters, verifier};
use config::Rules;
use iam::{Product, ResourceId};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// How long a server may take to act on a reload.
const RELOAD_WITHIN: Duration = Duration::from_secs(20);
/// How much of a log is shown with a failure.
const LOG_SHOWN: u64 = 2_000;

/// Fast, so that sessions are ended and everything is written by a checkpoint; then immediately; then killed.
const STOPS: [Stop; 3] = [
    Stop { signal: Signal::INT, within: Duration::from_secs(60) },
    Stop { signal: Signal::QUIT, within: Duration::from_secs(10) },
    Stop { signal: Signal::KILL, within: Duration::from_secs(10) },
];

/// One database's PostgreSQL server.
pub(crate) struct Postgres {
    context: Arc<Context>,
    id: ResourceId,
    layout: Layout,
    /// See [`Admin::granters`]; they are watched while IAM is on, in the versions that have them.
    granters: Vec<String>,
    watched: Option<u32>,
}

impl Postgres {
    pub(crate) fn new(context: Arc<Context>, id: ResourceId, layout: Layout) -> Self {
        Self { context, id, layout, granters: Vec::new(), watched: None }
    }

    fn pidfile(&self) -> Option<Pidfile> {
        parse_pidfile(&read_end(&self.layout.data().join("postmaster.pid"), 4_096).ok()?)
    }

    fn server_conf(&self) -> PathBuf {
        self.layout.config().join("countersign.conf")
    }
}

#[async_trait::async_trait]
impl Kind for Postgres {
    fn product(&self) -> Product {
        Product::PostgreSql
    }

    fn says(&self) -> Option<Said> {
        let Pidfile { pid, port, .. } = self.pidfile()?;
        Some(Said { pid, port })
    }

    fn starts_with(&self, words: &[&[u8]]) -> bool {
        names_data(words, &self.layout.data())
    }

    fn command(&self, installation: &Installation, _port: u16) -> Command {
        let mut command = self.context.user.command(installation.server());
        command
            .arg("-D")
            .arg(self.layout.data())
            .arg("-c")
            .arg(format!("config_file={}", self.server_conf().display()))
            // libldap's settings, in seconds: without them a login waits for an LDAP door that hangs as long as it may.
            .env("LDAPTIMEOUT", "2")
            .env("LDAPNETWORK_TIMEOUT", "2")
            // Whoever takes the door's port while Countersign is away has not its certificate, and is not asked.
            .env("LDAPTLS_CACERT", self.layout.door_certificate())
            .env("LDAPTLS_REQCERT", "demand");
        command
    }

    async fn waits_for(&self, pid: u32) -> Option<String> {
        match self.pidfile() {
            Some(file) if file.pid == pid && file.state == "ready" => None,
            Some(file) if file.pid == pid && !file.state.is_empty() => Some(file.state),
            _ => Some("starting".to_owned()),
        }
    }

    fn said(&self) -> String {
        said(&self.layout)
    }

    fn is_remnant(&self, said: &str) -> bool {
        said.contains("pre-existing shared memory block") || said.contains("is another postmaster")
    }

    async fn stops(&self) -> Vec<Stop> {
        STOPS.into()
    }

    fn wanted(&mut self, target: &Target, installation: &Installation) {
        let major = installation.major();
        self.watched = (target.iam && has_granters(major)).then_some(major);
    }

    fn configure(&mut self, target: &Target) -> Result<bool, Problem> {
        let Context { settings: Settings { door, .. }, user, addresses, .. } = &*self.context;
        let config = self.layout.config();
        let (hba, ident, certificate) =
            (config.join("pg_hba.conf"), config.join("pg_ident.conf"), self.layout.certificate());
        let rules = Rules {
            id: &self.id,
            iam: target.iam,
            force_ssl: config::force_ssl(&target.parameters),
            door,
            granters: &self.granters,
        };
        let server = config::Server {
            id: &self.id,
            port: target.port,
            addresses,
            parameters: &target.parameters,
            hba: &hba,
            ident: &ident,
            certificate: &certificate,
        };
        // Not ours alone to read: nothing in them is secret, and the server must.
        let mut changed = update_file(&ident, &config::ident(&user.administrator, &user.name), 0o644, None)?;
        changed |= update_file(&hba, &config::hba(&rules), 0o644, None)?;
        changed |= update_file(&self.server_conf(), &config::server(&server), 0o644, None)?;
        Ok(changed)
    }

    async fn set_up(
        &mut self,
        target: &Target,
        installation: &Installation,
        password: &[u8],
    ) -> Result<(), Problem> {
        let verifier = verifier(password);
        let setup = Setup {
            engine: target.engine,
            major: installation.major(),
            version: &target.version,
            master: &target.master.name,
            verifier: &verifier,
            database: target.database.as_deref(),
        };
        Ok(setup.carry_out(&self.layout, target.port).await?)
    }

    /// Checks the files, has them read again and waits until they are.
    async fn load(&mut self, target: &Target, process: &Process) -> Result<(), Problem> {
        let (layout, port) = (&self.layout, target.port);
        let admin = Admin::connect(layout, port).await?;
        admin.check_files().await?;
        let before = admin.loaded_at().await?;
        drop(admin);
        process.signal(Signal::HUP)?;
        let deadline = Instant::now() + RELOAD_WITHIN;
        // A session knows the time at which the postmaster had loaded everything when the session began.
        while Admin::connect(layout, port).await?.loaded_at().await? <= before {
            if Instant::now() > deadline {
                return Err(Problem::NotReloaded);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn set_password(&mut self, target: &Target, password: &[u8]) -> Result<(), Problem> {
        let admin = Admin::connect(&self.layout, target.port).await?;
        Ok(admin.set_password(&target.master.name, &verifier(password)).await?)
    }

    fn is_watching(&self) -> bool {
        self.watched.is_some()
    }

    /// Looks who may grant `rds_iam` without being granted it.
    async fn look(&mut self, process: Option<&Process>) -> Result<bool, Problem> {
        let found = match (process, self.watched) {
            (Some(process), Some(major)) => {
                Admin::connect(&self.layout, process.port()).await?.granters(major).await?
            }
            _ => Vec::new(),
        };
        let changed = found != self.granters;
        self.granters = found;
        Ok(changed)
    }

    fn rest(&mut self) {
        self.watched = None;
    }

    fn left_out(&self, target: &Target) -> Vec<String> {
        config::left_out(&target.parameters)
    }

    fn door(&self) -> &'static str {
        self.context.settings.door.as_str()
    }
}

fn names_data(words: &[&[u8]], data: &Path) -> bool {
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

/// The first line is the postmaster's pid, the fourth its port, the eighth its state.
fn parse_pidfile(text: &str) -> Option<Pidfile> {
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 1)?;
    let port = lines.nth(2).and_then(|port| port.trim().parse().ok()).unwrap_or_default();
    Some(Pidfile { pid, port, state: lines.nth(3).unwrap_or_default().trim().to_owned() })
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
        let names = |line: &[u8]| names_data(&line.split(|b| *b == 0).collect::<Vec<_>>(), data);
        assert!(names(b"/usr/lib/postgresql/15/bin/postgres\0-D\0/d/data\0-c\0x=y\0"));
        for other in [&b"postgres\0-D\0/d/data2\0"[..], b"postgres: walwriter \0", b"vi\0/d/data\0", b""] {
            assert!(!names(other));
        }
    }
}
