//! `countersign policy scp`: service control policies, kept by whoever runs the server.

use crate::client;
use crate::config::{DataDir, UsageError};
use crate::control::scp::{FULL_AWS_ACCESS, PATH, PutAnswer, ScpAnswer, is_level};
use anyhow::{Context, bail};
use axum::http::Method;
use bytes::Bytes;
use iam::PolicyName;
use sigv4::encode::percent_encode;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use time::format_description::well_known::Rfc3339;

/// Flags of `policy scp`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Service control policies limit everybody in the account, its administrators too. On AWS they are set from another account,
the organization's; here they are set by whoever runs the server, and no call of the API reads or writes them.

A policy is at a level: `account` unless --level says another, such as `ou` or `root`. Every level must allow, by one of its
policies. The first policy of a level brings FullAWSAccess with it, which allows everything: then the others limit by what
they deny. Without it, the others list what is allowed.

Examples:
  countersign policy scp put no-deletes limits.json
  countersign policy scp list
  countersign policy scp show no-deletes
  countersign policy scp delete no-deletes
  countersign policy scp put FullAWSAccess --level root")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists the policies of all levels
    #[command(after_help = "Example:\n  countersign policy scp list --json")]
    List(List),
    /// Prints the document of a policy
    #[command(after_help = "Example:\n  countersign policy scp show no-deletes > limits.json")]
    Show(Named),
    /// Puts a policy at a level, in the place of the one with its name; it is in force when the command ends
    #[command(after_help = "\
Examples:
  countersign policy scp put no-deletes limits.json
  countersign policy scp put only-databases --level root - < only-databases.json
  countersign policy scp put FullAWSAccess")]
    Put(Put),
    /// Deletes a policy
    #[command(after_help = "Example:\n  countersign policy scp delete no-deletes --level root")]
    Delete(Named),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    data_dir: DataDir,
    /// Prints JSON, with the documents
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Named {
    #[command(flatten)]
    data_dir: DataDir,
    /// The policy's name
    #[arg(value_parser = name)]
    name: String,
    /// The level it is at: 1 to 32 of a-z, 0-9 and `-`
    #[arg(long, value_name = "LEVEL", default_value = "account", value_parser = level)]
    level: String,
}

#[derive(Debug, clap::Args)]
struct Put {
    #[command(flatten)]
    named: Named,
    /// The document; `-` is the standard input; none for FullAWSAccess, which is AWS's own
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

fn level(text: &str) -> Result<String, &'static str> {
    if is_level(text) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 32 of a-z, 0-9 and `-`, such as `account`, `ou` or `root`")
    }
}

fn name(text: &str) -> Result<String, String> {
    text.parse::<PolicyName>().map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// Runs it.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::List(arguments) => list(arguments),
        Command::Show(arguments) => show(arguments),
        Command::Put(arguments) => put(arguments),
        Command::Delete(arguments) => delete(arguments),
    }
}

fn all(data_dir: &DataDir) -> anyhow::Result<Vec<ScpAnswer>> {
    let answer = client::get_control(&data_dir.path()?, PATH)?;
    serde_json::from_slice(&answer).context("the server's answer cannot be read")
}

fn list(arguments: &List) -> anyhow::Result<()> {
    let policies = all(&arguments.data_dir)?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &policies)?;
        return Ok(writeln!(out)?);
    }
    if policies.is_empty() {
        return Ok(writeln!(out, "no service control policies: nothing limits the account")?);
    }
    let width =
        |text: fn(&ScpAnswer) -> &str| policies.iter().map(|p| text(p).len()).max().unwrap_or_default();
    let (level, name) = (width(|p| &p.level).max("level".len()), width(|p| &p.name));
    writeln!(out, "{:level$}  {:name$}  updated", "level", "policy")?;
    for policy in &policies {
        let updated = policy.updated.replace_nanosecond(0)?.format(&Rfc3339)?;
        writeln!(out, "{:level$}  {:name$}  {updated}", policy.level, policy.name)?;
    }
    Ok(())
}

fn show(arguments: &Named) -> anyhow::Result<()> {
    let policies = all(&arguments.data_dir)?;
    let at_level = |policy: &&ScpAnswer| policy.level == arguments.level;
    let named = |policy: &&ScpAnswer| policy.name.eq_ignore_ascii_case(&arguments.name);
    let Some(policy) = policies.iter().filter(at_level).find(named) else {
        bail!(
            "level `{}` has no service control policy `{}`: `countersign policy scp list` shows those that there are",
            arguments.level,
            arguments.name
        );
    };
    let mut out = std::io::stdout().lock();
    out.write_all(policy.document.as_bytes())?;
    if !policy.document.ends_with('\n') {
        writeln!(out)?;
    }
    Ok(())
}

fn path(named: &Named) -> String {
    format!("{PATH}/{}/{}", named.level, percent_encode(named.name.as_bytes()))
}

fn put(arguments: &Put) -> anyhow::Result<()> {
    let Named { data_dir, name, level } = &arguments.named;
    let is_full_access = name.eq_ignore_ascii_case(FULL_AWS_ACCESS);
    let document = match (&arguments.file, is_full_access) {
        (Some(file), false) => read(file)?,
        (None, true) => Vec::new(),
        (Some(file), true) => {
            return Err(UsageError(format!(
                "`{FULL_AWS_ACCESS}` is a policy of AWS's own: put it without a file, or choose another name for `{}`",
                file.display()
            ))
            .into());
        }
        (None, false) => {
            return Err(UsageError(format!(
                "FILE is missing: say where the document of `{name}` is, `-` for standard input"
            ))
            .into());
        }
    };
    if document.is_empty() && !is_full_access {
        bail!("the policy is empty: expected a JSON document");
    }
    let answer =
        client::ask_control(&data_dir.path()?, Method::PUT, &path(&arguments.named), document.into());
    let answer = match &arguments.file {
        Some(file) => answer.map_err(|error| match error.is::<client::Refused>() {
            true => error.context(format!("`{}`", file.display())),
            false => error,
        })?,
        None => answer?,
    };
    let answer: PutAnswer = serde_json::from_slice(&answer).context("the server's answer cannot be read")?;
    let mut out = std::io::stdout().lock();
    let done = if answer.replaced { "replaced" } else { "put" };
    writeln!(out, "{name} {done} at level {level}; it is in force")?;
    if answer.brought_full_access {
        writeln!(out, "{FULL_AWS_ACCESS} came with it: what the policy does not deny is still allowed")?;
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read the standard input")?;
    } else {
        bytes = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    }
    Ok(bytes)
}

fn delete(arguments: &Named) -> anyhow::Result<()> {
    client::ask_control(&arguments.data_dir.path()?, Method::DELETE, &path(arguments), Bytes::new())?;
    Ok(writeln!(std::io::stdout(), "{} deleted from level {}", arguments.name, arguments.level)?)
}
