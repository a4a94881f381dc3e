//! `countersign token`: a token for a login, made without asking anybody; and what a given one says and is worth.

mod describe;
mod verify;

use crate::client::runtime;
use crate::config::{DataDir, UsageError};
use crate::target::{self, AwsArguments, TokenMaker};
use anyhow::Context;
use describe::Description;
use iam::Engine;
use sigv4::rds_token::{LONGEST, TokenError};
use std::io::{BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;
use zeroize::{Zeroize, Zeroizing};

/// Flags of `token`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A token is made from the credentials that the AWS SDKs find (environment, profile, SSO, process, web identity, ECS, IMDS) and
is good for 15 minutes to log in with. Nothing is asked for it, but for the credentials.

Give a token that is to be explained or verified on standard input: what stands on the command line, others on the machine see.

Examples:
  countersign token --host mydb.c7tj4example.us-east-1.rds.amazonaws.com --user app
  PGPASSWORD=\"$(countersign token --host $RDSHOST --user app)\" psql \"host=$RDSHOST user=app sslmode=verify-full ...\"
  countersign token --host $RDSHOST --port 3306 --user app --profile staging
  countersign token --host localhost --port 5433 --region us-east-1 --user app | countersign token --decode
  countersign token --host localhost --port 5433 --region us-east-1 --user app --verify")]
pub(crate) struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
    /// The host name of the database, as its endpoint has it
    #[arg(long, value_name = "H", required_unless_present_any = ["decode", "verify"], conflicts_with = "decode")]
    host: Option<String>,
    /// Its port [default: 5432, with --engine that engine's]
    #[arg(long, value_name = "P", value_parser = ::client::host::port, conflicts_with = "decode")]
    port: Option<u16>,
    /// Its engine, for the port: postgres, mysql, mariadb, aurora-postgresql or aurora-mysql
    #[arg(long, value_name = "E", conflicts_with_all = ["decode", "port"])]
    engine: Option<Engine>,
    /// The database user; with --verify alone, the one who logs in [default: the token's]
    #[arg(
        long,
        value_name = "U",
        value_parser = target::user,
        required_unless_present_any = ["decode", "verify"],
        conflicts_with = "decode"
    )]
    user: Option<String>,
    #[command(flatten)]
    aws: AwsArguments,
    /// Explains a token instead: who, which database, until when; never its signature. `-` is standard input
    #[arg(long, value_name = "TOKEN", num_args = 0..=1, default_missing_value = "-", conflicts_with_all = ["region", "profile"])]
    decode: Option<String>,
    /// Asks the running Countersign whether a token lets its user in, and why not: the one made for --host and --user, or else
    /// the given one. `-` is standard input
    #[arg(long, value_name = "TOKEN", num_args = 0..=1, default_missing_value = "-", conflicts_with = "decode")]
    verify: Option<String>,
    /// Prints what --decode and --verify find as JSON
    #[arg(long)]
    json: bool,
}

/// Makes, explains or verifies a token; an exit code other than 0 has been explained already.
pub(crate) fn run(mut arguments: Arguments) -> anyhow::Result<ExitCode> {
    if arguments.json && arguments.decode.is_none() && arguments.verify.is_none() {
        return Err(UsageError("--json is for --decode and --verify: a token is text".to_owned()).into());
    }
    let made = arguments.host.as_deref().map(|host| make(&arguments, host)).transpose()?;
    if let Some(given) = arguments.decode.take() {
        return decode(&read(given)?, arguments.json);
    }
    match (made, arguments.verify.take()) {
        (Some(token), None) => {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", token.as_str())?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        (Some(_), Some(given)) if given != "-" => {
            Err(UsageError("--verify takes either a token or --host and --user".to_owned()).into())
        }
        (Some(token), Some(_)) => verify::run(&arguments.data_dir, &token, None, arguments.json),
        (None, Some(given)) => {
            if arguments.port.is_some() || arguments.engine.is_some() || arguments.aws.is_set() {
                let text =
                    "--port, --engine, --region and --profile are for a token that is made: they need --host";
                return Err(UsageError(text.to_owned()).into());
            }
            verify::run(&arguments.data_dir, &read(given)?, arguments.user.as_deref(), arguments.json)
        }
        (None, None) => Err(UsageError("--host is missing".to_owned()).into()),
    }
}

fn make(arguments: &Arguments, host: &str) -> anyhow::Result<Zeroizing<String>> {
    let host = target::host(host)?;
    let user = arguments.user.as_deref();
    let user =
        user.ok_or_else(|| UsageError("--host needs --user: a token is for a database user".to_owned()))?;
    let default = arguments.engine.unwrap_or(Engine::Postgres).default_port();
    let port = arguments.port.unwrap_or(default);
    runtime()?.block_on(async { TokenMaker::new(&host, port, &arguments.aws).await?.token(user).await })
}

fn decode(token: &str, json: bool) -> anyhow::Result<ExitCode> {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let description = Description::of(token, sigv4::Timestamp::from_unix(now))?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &description)?;
        writeln!(out)?;
    } else {
        out.write_all(description.text().as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The token that was given: the argument, or one line of standard input.
fn read(mut given: String) -> anyhow::Result<Zeroizing<String>> {
    if given != "-" {
        let token = Zeroizing::new(given.trim().to_owned());
        given.zeroize();
        return Ok(token);
    }
    let input = std::io::stdin();
    if input.is_terminal() {
        ask();
    }
    // Room for all of it: what grows is copied, and the copy left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 3));
    let mut limited = input.lock().take(LONGEST as u64 + 2);
    limited.read_until(b'\n', &mut bytes).context("cannot read standard input")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| TokenError::NotAToken)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

#[expect(clippy::print_stderr, reason = "a prompt is for the person at the terminal")]
fn ask() {
    eprintln!("The token, then Enter:");
}
