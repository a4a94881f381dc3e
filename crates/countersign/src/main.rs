//! `countersign`: the one binary. It reads the command line and hands over; what it does stands in the libraries.

mod admin;
mod client;
mod config;
mod connect;
mod control;
mod demo;
mod doctor;
mod doors;
mod env;
mod logging;
mod manual;
mod pam;
mod policy;
mod proxy;
mod serve;
mod status;
mod target;
mod token;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// IAM database authentication for PostgreSQL, MySQL and MariaDB that you run yourself: the tokens, policies, SQL and AWS CLI
/// commands of Amazon RDS, checked by the database server itself; and the client tools for both.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  countersign serve &
  eval \"$(countersign env)\"
  aws rds create-db-instance --db-instance-identifier mydb --engine postgres --db-instance-class db.t3.micro \\
      --allocated-storage 20 --master-username postgres --master-user-password 'Master-pass-1' \\
      --enable-iam-database-authentication";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the API, the database servers and the doors they ask through, until it is told to stop
    Serve(config::Arguments),
    /// Prints the shell exports that point the AWS CLI and the SDKs here: eval "$(countersign env)"
    Env(env::Arguments),
    /// Prints the certificates that clients of a region's databases trust, PEM: for sslrootcert
    CaBundle(client::BundleArguments),
    /// Shows what runs: the API, the doors, the databases
    Status(status::Arguments),
    /// Walks through a whole login with the real aws and psql, on a throw-away data directory
    Demo(demo::Arguments),
    /// The PAM module that PostgreSQL asks through
    Pam(pam::Arguments),
    /// Prints the token that a database user logs in with; explains or verifies a given one
    Token(token::Arguments),
    /// Opens psql, mysql or mariadb on a database with a token and verified TLS
    Connect(connect::Arguments),
    /// Finds out why a login with a token fails, and says what mends it
    Doctor(doctor::Arguments),
    /// Lets applications connect without a password, and logs in to the database with a token for each connection
    Proxy(Box<proxy::Arguments>),
    /// Checks, writes and explains IAM policies
    Policy(policy::Arguments),
    /// Prints what completes commands and flags in a shell
    Completions(manual::CompletionArguments),
    /// Prints the manual page, or writes that of each command into a folder
    Man(manual::PageArguments),
}

fn main() -> ExitCode {
    // clap ends the process with 2 on wrong usage; a failure is 1.
    let result = match Cli::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Env(arguments) => env::run(&arguments),
        Command::CaBundle(arguments) => client::print_bundle(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Pam(arguments) => pam::run(&arguments),
        Command::Proxy(arguments) => proxy::run(*arguments),
        Command::Token(arguments) => match token::run(arguments) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Connect(arguments) => match connect::run(&arguments) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Doctor(arguments) => match doctor::run(arguments) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Completions(arguments) => manual::print_completions(&arguments, Cli::command()),
        Command::Man(arguments) => manual::print_pages(&arguments, Cli::command()),
        Command::Policy(arguments) => match policy::run(&arguments) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let usage = error.downcast_ref::<config::UsageError>().is_some();
            report(&error);
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is where a command's failure reaches the person who typed it")]
fn report(error: &anyhow::Error) {
    eprintln!("countersign: {error:#}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
