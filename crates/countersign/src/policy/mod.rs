//! `countersign policy`: what can be done with a policy document before it is attached to anybody.

mod check;

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
}

/// Runs it; an exit code other than 0 has been explained already.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Check(arguments) => check::run(arguments),
    }
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
