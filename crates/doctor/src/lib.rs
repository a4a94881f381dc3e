//! Finds out why a login with a token fails, and what mends it: each step of a login in its order, then what the API and the
//! database say besides.
//!
//! One examination tells as much as it can. A step that cannot be tried because an earlier one failed is skipped, with the
//! reason; what the API and an administrator know is asked for all the same. What a server, an API or a simulator says is
//! turned into findings by functions that do nothing else, so that each can be tested by itself.
//!
//! Nothing is changed anywhere, no connection goes on that is not verified, and nothing that is told holds a secret: no
//! token, no password, no secret key.

mod accounts;
mod certificate;
mod database;
mod examine;
mod finding;
mod login;
mod network;
mod policy;
mod protocol;
mod refusal;
mod show;
mod source;
#[cfg(test)]
mod testing;

use std::path::PathBuf;

use client::Host;
use iam::Region;
use zeroize::Zeroizing;

pub use examine::examine;
pub use finding::{Cause, Finding, Mend, Report, Status, Step};

/// What kind of server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL, Aurora PostgreSQL.
    Postgres,
    /// MySQL, MariaDB, Aurora MySQL.
    MySql,
}

impl Engine {
    /// The word for it on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL or MariaDB",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::MySql => 3306,
        }
    }

    /// Of an engine as RDS names it, such as `aurora-mysql`.
    fn of_rds(name: &str) -> Option<Self> {
        match name {
            name if name.contains("postgres") => Some(Self::Postgres),
            name if name.contains("mysql") || name.contains("mariadb") => Some(Self::MySql),
            _ => None,
        }
    }
}

/// Reads a variable of the environment.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + Sync + 'a;

/// Somebody who may look at accounts.
pub struct Admin {
    /// The database user.
    pub user: String,
    /// Its password; without one that of PGPASSWORD or MYSQL_PWD, and without that a token is made.
    pub password: Option<Zeroizing<String>>,
}

/// The login that is examined.
pub struct Question {
    /// The host, as a client is given it.
    pub host: Host,
    /// The port; without one the API's, else the engine's.
    pub port: Option<u16>,
    /// What kind of server it is; without one what the API says, the port, or the server itself.
    pub engine: Option<Engine>,
    /// The database user.
    pub user: String,
    /// The database.
    pub database: Option<String>,
    /// `--region`.
    pub region: Option<Region>,
    /// The profile whose credentials log in.
    pub profile: Option<String>,
    /// The profile whose credentials ask the API; without one those that log in.
    pub api_profile: Option<String>,
    /// Whether the API is asked.
    pub ask_api: bool,
    /// The authorities that are trusted; without a file Amazon's, or a Countersign's.
    pub ca_bundle: Option<PathBuf>,
    /// Who may look at accounts.
    pub admin: Option<Admin>,
}
