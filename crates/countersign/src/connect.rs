//! `countersign connect`: a shell in a database, by `psql`, `mysql` or `mariadb`, with a token as the password and TLS that is
//! verified. The token is in a file that only its owner can read, while the client runs, and nowhere else.

mod folder;
mod mysql;
mod postgres;

use crate::client::runtime;
use crate::config::UsageError;
use crate::target::{self, AwsArguments, TokenMaker};
use ::client::api::Api;
use ::client::{Bundle, Chain, Host, trust};
use anyhow::{Context, anyhow, ensure};
use folder::Private;
use iam::{Engine, Product, Region};
use rustix::process::{Pid, Signal, kill_process};
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// When the password file gets a new token.
#[derive(Clone, Copy, Debug)]
struct Renewal {
    /// How old the token in it may get: it is good for 15 minutes, or until its credentials end, and they have 5 at least when a
    /// token is made (`client::credentials::MARGIN`).
    after: Duration,
    /// How often that is looked at. The clock decides, so that a machine that slept has a new one soon.
    every: Duration,
}

const RENEWAL: Renewal = Renewal { after: Duration::from_secs(2 * 60), every: Duration::from_secs(20) };

/// Flags of `connect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The certificates that are trusted: those of --ca-bundle; else, for a host of Amazon RDS, Amazon's, which are built in; else those \
of the Countersign that AWS_ENDPOINT_URL names, as `countersign env` sets it. There is no way to do without.

psql's \\c works as long as there are credentials: its password file gets a new token every 2 minutes. The clients of MySQL and \
MariaDB keep the password that they began with, so they reconnect for 15 minutes.

Examples:
  countersign connect postgres --host mydb.c7tj4example.us-east-1.rds.amazonaws.com --user app
  countersign connect --host mydb --user app       # an identifier: looked up with the RDS API
  countersign connect mysql --host $RDSHOST --user app -- --execute 'select current_user()'
  countersign connect postgres --host db.example.com --region eu-west-1 --ca-bundle ca.pem \\
      --user app --database shop -- -c 'select 1'")]
pub(crate) struct Arguments {
    /// The client [default: by the engine of the identifier, else by --port 5432 or 3306]
    #[arg(value_enum, value_name = "postgres|mysql|mariadb")]
    kind: Option<Kind>,
    /// The host name of the database as its endpoint has it; or the identifier of a DB instance or cluster, which is looked up
    #[arg(long, value_name = "H")]
    host: String,
    /// The database user
    #[arg(long, value_name = "U", value_parser = target::user)]
    user: String,
    /// Its port [default: the identifier's, else 5432 for postgres and 3306 for mysql and mariadb]
    #[arg(long, value_name = "P", value_parser = ::client::host::port)]
    port: Option<u16>,
    /// The database to begin in [default: the client's own]
    #[arg(long, value_name = "D")]
    database: Option<String>,
    #[command(flatten)]
    aws: AwsArguments,
    /// The certificates that vouch for the server, PEM
    #[arg(long, value_name = "F")]
    ca_bundle: Option<PathBuf>,
    /// The client program [default: psql, mysql or mariadb on the PATH]
    #[arg(long, value_name = "PROGRAM")]
    client: Option<PathBuf>,
    /// Arguments for the client, after `--`
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Whose client is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// psql
    #[value(alias = "postgresql")]
    Postgres,
    /// mysql, or else mariadb
    Mysql,
    /// mariadb, or else mysql
    Mariadb,
}

/// A login that is to be made.
struct Session<'a> {
    host: &'a Host,
    port: u16,
    user: &'a str,
    database: Option<&'a str>,
    /// The file with the certificates that are trusted.
    authorities: &'a Path,
    token: &'a str,
}

/// Runs the client to its end; its exit code is ours.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(connect(arguments))
}

async fn connect(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let host = target::host(&arguments.host)?;
    let found = if is_identifier(&arguments.host, &host) {
        Some(look_up(&host, &arguments.aws).await?)
    } else {
        None
    };
    let (kind, port) = client_and_port(arguments, found.as_ref())?;
    let (host, maker) = match found {
        Some(found) => {
            let maker = TokenMaker::by(found.chain, &found.host, port, found.region);
            (found.host, maker)
        }
        None => {
            let maker = TokenMaker::new(&host, port, &arguments.aws).await?;
            (host, maker)
        }
    };
    let program = find_program(arguments.client.as_deref(), kind)?;
    let bundle = authorities(arguments, &host, &maker.endpoint.region).await?;
    let made = SystemTime::now();
    let token = maker.token(&arguments.user).await?;

    // From here on a signal does not end this process: the folder must go first.
    let signals = Signals::watch()?;
    let folder = Private::new()?;
    let authorities = folder.put("authorities.pem", bundle.pem())?;
    let session = Session {
        host: &host,
        port,
        user: &arguments.user,
        database: arguments.database.as_deref(),
        authorities: &authorities,
        token: &token,
    };
    let (mut command, password_file) = match kind {
        Kind::Postgres => {
            let (command, file) = postgres::command(&program, &session, &folder)?;
            (command, Some(file))
        }
        Kind::Mysql | Kind::Mariadb => (mysql::command(&program, &session, &folder)?, None),
    };
    command.args(&arguments.arguments);
    drop(token);
    let child = supervise(command, signals);
    let status = match &password_file {
        Some(file) => {
            let put = |token: &str| file.put(token, &folder).map(drop);
            let make = async || maker.token(&arguments.user).await;
            tokio::select! {
                status = child => status,
                never = renew(RENEWAL, made, make, put) => match never {},
            }
        }
        None => child.await,
    };
    folder.remove()?;
    Ok(exit_code(status?))
}

/// Identifiers have neither dots nor colons. A host name of one label is told from one by a dot at its end.
fn is_identifier(typed: &str, host: &Host) -> bool {
    !host.is_loopback() && !typed.contains(['.', ':'])
}

/// A database that was looked up.
struct Found {
    chain: Arc<Chain>,
    region: Region,
    host: Host,
    port: Option<u16>,
    engine: Option<Engine>,
}

async fn look_up(identifier: &Host, aws: &AwsArguments) -> anyhow::Result<Found> {
    let profile = aws.profile.as_deref();
    let region = target::region(identifier, aws).await?;
    let chain = Arc::new(Chain::load(profile, Some(&region)).await);
    let api = Api::configured(chain.clone(), profile, region.clone()).await?;
    let found = api.find_database(identifier.as_str()).await.with_context(|| {
        format!(
            "`{identifier}` is taken for an identifier and looked up with the RDS API (a host of that name: `{identifier}.`)"
        )
    })?;
    let address = found.address.as_deref().with_context(|| {
        format!(
            "the {} `{}` has no address yet: it is {}",
            found.kind.as_str(),
            found.identifier,
            found.status
        )
    })?;
    if !found.iam_enabled {
        warn(&format!(
            "IAM database authentication is switched off for the {} `{}`, so it takes no token",
            found.kind.as_str(),
            found.identifier
        ));
    }
    Ok(Found {
        host: address.parse().context("the RDS API names an address that is none")?,
        port: found.port,
        engine: found.engine.parse().ok(),
        chain,
        region,
    })
}

fn client_and_port(arguments: &Arguments, found: Option<&Found>) -> anyhow::Result<(Kind, u16)> {
    let by_engine = found.and_then(|found| found.engine).map(|engine| match engine.product() {
        Product::PostgreSql => Kind::Postgres,
        Product::MySql => Kind::Mysql,
        Product::MariaDb => Kind::Mariadb,
    });
    let port = arguments.port.or(found.and_then(|found| found.port));
    let by_port = || match port {
        Some(5432) => Some(Kind::Postgres),
        Some(3306) => Some(Kind::Mysql),
        _ => None,
    };
    let kind = arguments.kind.or(by_engine).or_else(by_port).ok_or_else(|| {
        UsageError(
            "it is not known which client to run: `countersign connect postgres ...`, `mysql` or `mariadb`"
                .to_owned(),
        )
    })?;
    let default = match kind {
        Kind::Postgres => Engine::Postgres.default_port(),
        Kind::Mysql | Kind::Mariadb => Engine::Mysql.default_port(),
    };
    Ok((kind, port.unwrap_or(default)))
}

fn find_program(given: Option<&Path>, kind: Kind) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let (names, package) = match kind {
        Kind::Postgres => (&["psql"][..], "postgresql-client"),
        Kind::Mysql => (&["mysql", "mariadb"][..], "mysql-client, default-mysql-client or mariadb-client"),
        Kind::Mariadb => (&["mariadb", "mysql"][..], "mariadb-client"),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &&str| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_program(file))
    };
    names.iter().find_map(there).ok_or_else(|| {
        let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
        anyhow!("there is no {names} on the PATH: install the package {package}, or name the program with --client")
    })
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

async fn authorities(arguments: &Arguments, host: &Host, region: &Region) -> anyhow::Result<Bundle> {
    let profile = arguments.aws.profile.as_deref();
    Ok(trust::configured(host, region, arguments.ca_bundle.as_deref(), profile).await?)
}

/// What a client program prints for its version.
fn version(program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let name = program.display();
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run the client `{name}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{name} --version` fails: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Puts new tokens into the file as long as the client runs. The first was made at `made`.
async fn renew(
    renewal: Renewal,
    mut made: SystemTime,
    make: impl AsyncFn() -> anyhow::Result<Zeroizing<String>>,
    put: impl Fn(&str) -> anyhow::Result<()>,
) -> Infallible {
    let mut told = false;
    loop {
        tokio::time::sleep(renewal.every).await;
        let now = SystemTime::now();
        // A clock that was set back makes it old too.
        if now.duration_since(made).is_ok_and(|age| age < renewal.after) {
            continue;
        }
        match make().await.and_then(|token| put(&token)) {
            Ok(()) => (made, told) = (now, false),
            // Said once: the client has the terminal.
            Err(error) if !told => {
                warn(&format!("there is no new token for the next \\c: {error:#}"));
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// The signals that a terminal, or whoever started this, sends.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Runs the client to its end. What the terminal sends, it gets itself, being in the same group; the rest is passed on.
async fn supervise(command: Command, mut signals: Signals) -> anyhow::Result<ExitStatus> {
    let name = Path::new(command.get_program()).display().to_string();
    let mut child = tokio::process::Command::from(command);
    let mut child = child.spawn().with_context(|| format!("cannot run the client `{name}`"))?;
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let pass_on = |signal| {
        if let Some(pid) = pid {
            // It may have ended meanwhile.
            kill_process(pid, signal).ok();
        }
    };
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = signals.interrupt.recv() => {}
            _ = signals.quit.recv() => {}
            _ = signals.terminate.recv() => pass_on(Signal::TERM),
            _ = signals.hangup.recv() => pass_on(Signal::HUP),
        }
    }
}

/// As a shell has it: 128 and the signal's number where one ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[expect(clippy::print_stderr, reason = "standard output is the client's")]
fn warn(text: &str) {
    eprintln!("countersign: warning: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_told_from_hosts() {
        for (text, expected) in [
            ("mydb", true),
            ("my-db-1", true),
            ("localhost", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("db.example.com", false),
            ("db.", false),
        ] {
            assert_eq!(is_identifier(text, &text.parse().unwrap()), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn the_file_gets_new_tokens_also_after_a_failure() {
        let renewal = Renewal { after: Duration::ZERO, every: Duration::from_millis(1) };
        let asked = std::sync::atomic::AtomicU32::new(0);
        let make = async || match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            1 => Err(anyhow!("away")),
            number => Ok(Zeroizing::new(format!("token {number}"))),
        };
        let (put, mut got) = tokio::sync::mpsc::unbounded_channel();
        let put = |token: &str| Ok(put.send(token.to_owned())?);
        tokio::select! {
            never = renew(renewal, SystemTime::now(), make, put) => match never {},
            () = async {
                for expected in ["token 0", "token 2", "token 3"] {
                    assert_eq!(got.recv().await.as_deref(), Some(expected));
                }
            } => {}
        }
    }

    #[tokio::test]
    async fn a_fresh_token_is_left_alone() {
        let renewal = Renewal { after: Duration::from_secs(3600), every: Duration::from_millis(1) };
        let make = async || Ok(Zeroizing::new("another".to_owned()));
        let put = |_: &str| -> anyhow::Result<()> { panic!("replaced") };
        let looked = tokio::time::sleep(Duration::from_millis(20));
        tokio::select! {
            never = renew(renewal, SystemTime::now(), make, put) => match never {},
            () = looked => {}
        }
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        let code = |raw| format!("{:?}", exit_code(ExitStatus::from_raw(raw)));
        assert_eq!(code(3 << 8), format!("{:?}", ExitCode::from(3)));
        assert_eq!(code(15), format!("{:?}", ExitCode::from(143)));
    }
}
