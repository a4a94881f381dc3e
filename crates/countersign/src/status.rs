//! `countersign status`: what runs, for people and for scripts.

use crate::client;
use crate::config::DataDir;
use crate::control::Status;
use anyhow::Context;
use std::io::Write;

/// Flags of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Prints the state of the server on the data directory.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let answer = client::get_control(&arguments.data_dir.path()?, "/status")?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        out.write_all(&answer)?;
        return Ok(writeln!(out)?);
    }
    let status: Status = serde_json::from_slice(&answer).context("the server's answer cannot be read")?;
    writeln!(out, "API        {} (account {}, version {})", status.endpoint, status.account, status.version)?;
    writeln!(out, "started    {}", status.started)?;
    writeln!(out, "door       {}", status.door)?;
    writeln!(out, "revision   {}", status.revision)?;
    let engines =
        if status.engines.is_empty() { "none installed".to_owned() } else { status.engines.join(", ") };
    writeln!(out, "engines    {engines}")?;
    if status.databases.is_empty() {
        writeln!(out, "databases  none")?;
    }
    for database in &status.databases {
        let iam = if database.iam_authentication { "IAM on" } else { "IAM off" };
        writeln!(
            out,
            "database   {} ({}, {}) {} {}, {iam}, {}",
            database.identifier,
            database.region,
            database.engine,
            database.status,
            database.endpoint,
            database.resource_id
        )?;
        if let Some(message) = &database.message {
            writeln!(out, "           {message}")?;
        }
    }
    Ok(())
}
