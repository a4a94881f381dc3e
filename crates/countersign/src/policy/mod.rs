//! `countersign policy`: policies written, explained, and, for those that limit the whole account, kept.

mod explain;
mod generate;
mod scp;

use std::process::ExitCode;

/// Flags of `policy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Says whether a principal may log in as a database user, and why: every statement that has a say
    Explain(explain::Arguments),
    /// Prints the policy that lets its holder log in as database users
    Generate(generate::Arguments),
    /// Service control policies: limits for everybody in the account, set from outside of it
    Scp(scp::Arguments),
}

/// Runs it; an exit code other than 0 has been explained already.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Explain(arguments) => explain::run(arguments)?,
        Command::Generate(arguments) => generate::run(arguments)?,
        Command::Scp(arguments) => scp::run(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
