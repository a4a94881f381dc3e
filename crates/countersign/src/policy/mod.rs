//! `countersign policy`: documents checked before they are attached to anybody, decisions explained, policies written, and
//! those that limit the whole account kept.

mod check;
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
    /// Says what is wrong with policy documents, where, and what was probably meant
    Check(check::Arguments),
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
        Command::Check(arguments) => return check::run(arguments),
        Command::Explain(arguments) => explain::run(arguments)?,
        Command::Generate(arguments) => generate::run(arguments)?,
        Command::Scp(arguments) => scp::run(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The documents that AWS has rules for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A managed policy
    Managed,
    /// A policy embedded in a user, group or role
    Inline,
    /// A role's trust policy
    Trust,
    /// A policy passed with AssumeRole or GetFederationToken
    Session,
    /// A service control policy
    Scp,
}

impl From<Kind> for policy::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Managed => Self::Managed,
            Kind::Inline => Self::Inline,
            Kind::Trust => Self::Trust,
            Kind::Session => Self::Session,
            Kind::Scp => Self::ServiceControl,
        }
    }
}
