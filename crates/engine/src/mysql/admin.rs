//! What is done inside a server, as its administrator over its Unix socket: accounts, databases, the plugin, parameters.
//!
//! The administrator's statements are in no log: they carry passwords, and what they do is for this server alone.

use super::config::{SECURE_TRANSPORT, SOCKET, normal, number, on_or_off};
use super::flavor::Flavor;
use super::plugins::LIBRARY;
use crate::layout::Layout;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// The administrator's account, as on RDS.
pub(crate) const ADMINISTRATOR: &str = "rdsadmin";

/// The plugin that users log in by.
const PLUGIN: &str = "AWSAuthenticationPlugin";

/// How long anything in here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The server's own word for "no such variable", "only at the start", and "not there".
const UNKNOWN_VARIABLE: u16 = 1193;
const READ_ONLY: u16 = 1238;
const NO_SUCH_PLUGIN: u16 = 1305;

/// Why something could not be done inside a server.
#[derive(Debug, thiserror::Error)]
pub enum MysqlError {
    /// The server's socket cannot be reached.
    #[error("the server's socket cannot be reached: {0}")]
    Socket(#[from] std::io::Error),
    /// The server refused, or the connection broke.
    #[error("the server refused: {}", text(.0))]
    Refused(#[from] mysql_async::Error),
    /// The administrator's account is not as it should be.
    #[error(
        "the server does not let its administrator in: {0}; reboot the instance, which makes the account anew, and if that \
         does not help see the server's log"
    )]
    Locked(String),
    /// It took too long.
    #[error("the server did not answer within {} s", LIMIT.as_secs())]
    TimedOut,
    /// A name that cannot be given.
    #[error("`{name}` cannot be {what}: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What it was to name.
        what: &'static str,
        /// Why it cannot.
        reason: &'static str,
    },
    /// A password that is no text.
    #[error("the master user's password is not UTF-8: set another")]
    Password,
    /// The plugin cannot be loaded.
    #[error("the plugin `{PLUGIN}` cannot be loaded: {0}")]
    Plugin(String),
    /// The plugin's library is missing.
    #[error(
        "the library of the plugin for MySQL and MariaDB was not found: put `libauth_countersign.so` beside the \
         `countersign` program, or name it with --mysql-plugin"
    )]
    NoLibrary,
    /// A parameter that the server does not take.
    #[error("parameter `{name}` cannot be `{value}`: {reason}")]
    Parameter {
        /// Its name.
        name: String,
        /// The value.
        value: String,
        /// What the server says.
        reason: String,
    },
}

async fn limited<T>(work: impl Future<Output = Result<T, MysqlError>>) -> Result<T, MysqlError> {
    tokio::time::timeout(LIMIT, work).await.unwrap_or(Err(MysqlError::TimedOut))
}

fn text(error: &mysql_async::Error) -> String {
    match error {
        mysql_async::Error::Server(error) => format!("{} ({})", error.message, error.code),
        other => other.to_string(),
    }
}

fn code(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(error) => Some(error.code),
        _ => None,
    }
}

/// A connection as administrator.
pub(crate) struct Admin {
    connection: Conn,
}

/// Whether a new connection can be had.
#[derive(Debug)]
pub(crate) enum Readiness {
    Ready,
    /// Nobody answers yet.
    Starting,
    /// It answers, and lets its administrator not in.
    LockedOut,
}

/// What became of the wanted parameters in a server that runs.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Those that the server does not have.
    pub(crate) unknown: Vec<String>,
    /// Those that wait for its next start.
    pub(crate) pending: Vec<String>,
}

/// For this session alone: no log has what it does, no other server repeats it, and text means what it says whatever
/// the parameter group has made of that.
const SESSION: [&str; 5] = [
    "SET SESSION sql_log_bin = 0",
    "SET SESSION sql_log_off = 1",
    "SET SESSION long_query_time = 31536000",
    "SET SESSION sql_mode = ''",
    "SET SESSION autocommit = 1",
];

/// What RDS's master user may, where the server has it. Not among them: what reads and writes the machine's files (FILE),
/// stops the server (SHUTDOWN), or makes a user the server's equal (SUPER, SYSTEM_USER, SYSTEM_VARIABLES_ADMIN,
/// CONNECTION_ADMIN, SET USER of MariaDB).
const MASTER: [&str; 43] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "RELOAD",
    "PROCESS",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "SHOW DATABASES",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EXECUTE",
    "REPLICATION SLAVE",
    "REPLICATION CLIENT",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "CREATE USER",
    "EVENT",
    "TRIGGER",
    "CREATE ROLE",
    "DROP ROLE",
    "ALLOW_NONEXISTENT_DEFINER",
    "APPLICATION_PASSWORD_ADMIN",
    "FLUSH_OPTIMIZER_COSTS",
    "FLUSH_PRIVILEGES",
    "FLUSH_STATUS",
    "FLUSH_TABLES",
    "FLUSH_USER_RESOURCES",
    "ROLE_ADMIN",
    "SET_ANY_DEFINER",
    "SET_USER_ID",
    "SHOW_ROUTINE",
    "XA_RECOVER_ADMIN",
    "BINLOG MONITOR",
    "SLAVE MONITOR",
    "REPLICATION SLAVE ADMIN",
    "DELETE HISTORY",
    "SHOW CREATE ROUTINE",
];

/// What it may not in the schemas that are the server's own.
///
/// MariaDB can say no such thing: whoever may write everywhere, and hand that on as Amazon's documentation has it, may
/// write `mysql.*` too, and so make itself the server's equal. There the server's bounds are those of its OS user.
const KEPT: &str = "INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, \
                    CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER";
const OWN_SCHEMAS: [&str; 2] = ["mysql", "sys"];

/// What a database is set up for.
pub(crate) struct Setup<'a> {
    pub(crate) flavor: Flavor,
    pub(crate) master: &'a str,
    pub(crate) password: &'a [u8],
    /// The database to be made.
    pub(crate) database: Option<&'a str>,
}

impl Setup<'_> {
    /// Does it all; what is there already stays.
    pub(crate) async fn carry_out(&self, layout: &Layout) -> Result<(), MysqlError> {
        check_master(self.master)?;
        let password = password_text(self.password)?;
        let master = account(self.master);
        let mut admin = Admin::connect(layout).await?;
        let done = limited(self.with(&mut admin, &master, &password)).await;
        admin.close().await;
        done
    }

    async fn with(&self, admin: &mut Admin, master: &str, password: &str) -> Result<(), MysqlError> {
        admin.run(&format!("CREATE USER IF NOT EXISTS {master}")).await?;
        admin.run(&format!("ALTER USER {master} IDENTIFIED BY {password}")).await?;
        let has = admin.privileges().await?;
        let is_there = |privilege: &&str| has.iter().any(|has| has.eq_ignore_ascii_case(privilege));
        let granted: Vec<&str> = MASTER.iter().copied().filter(is_there).collect();
        admin.run(&format!("GRANT {} ON *.* TO {master} WITH GRANT OPTION", granted.join(", "))).await?;
        if self.flavor.has_partial_revokes() {
            for schema in OWN_SCHEMAS {
                admin.run(&format!("REVOKE {KEPT} ON {schema}.* FROM {master}")).await?;
            }
        }
        if let Some(name) = self.database {
            check_database(name)?;
            admin.run(&format!("CREATE DATABASE IF NOT EXISTS {}", quote_identifier(name))).await?;
        }
        Ok(())
    }
}

impl Admin {
    /// Whether the server lets its administrator in by now.
    pub(crate) async fn readiness(layout: &Layout) -> Readiness {
        // The socket is there before anybody answers at it.
        const PATIENCE: Duration = Duration::from_secs(1);
        let greeted = async {
            let admin = Self::open(layout).await?;
            admin.close().await;
            Ok::<_, MysqlError>(())
        };
        match tokio::time::timeout(PATIENCE, greeted).await {
            Ok(Ok(())) => Readiness::Ready,
            Ok(Err(MysqlError::Locked(_))) => Readiness::LockedOut,
            Ok(Err(_)) | Err(_) => Readiness::Starting,
        }
    }

    /// A connection; whoever has it [closes](Self::close) it.
    pub(crate) async fn connect(layout: &Layout) -> Result<Self, MysqlError> {
        limited(Self::open(layout)).await
    }

    async fn open(layout: &Layout) -> Result<Self, MysqlError> {
        // By way of the folder's descriptor the path is short, however deep the data directory is.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let run = rustix::fs::open(layout.run(), flags, Mode::empty()).map_err(std::io::Error::from)?;
        let options = OptsBuilder::default()
            .socket(Some(format!("/proc/self/fd/{}/{SOCKET}", run.as_raw_fd())))
            .user(Some(ADMINISTRATOR))
            // Said here, they need not be asked of the server.
            .max_allowed_packet(Some(1 << 20))
            .wait_timeout(Some(60))
            .setup(SESSION.map(str::to_owned).into());
        match Conn::new(options).await {
            Ok(connection) => Ok(Self { connection }),
            Err(mysql_async::Error::Io(mysql_async::IoError::Io(error))) => Err(MysqlError::Socket(error)),
            Err(mysql_async::Error::Server(error)) => Err(MysqlError::Locked(error.message)),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn close(self) {
        // Without a goodbye the server's log has a line about it.
        if let Err(error) = self.connection.disconnect().await {
            tracing::debug!(%error, "the administrator's connection broke");
        }
    }

    /// Makes the plugin be loaded, or not.
    pub(crate) async fn load_plugin(&mut self, wanted: bool) -> Result<(), MysqlError> {
        const ACTIVE: &str = "SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_NAME = \
                              'AWSAuthenticationPlugin' AND PLUGIN_STATUS = 'ACTIVE'";
        const ROW: &str = "SELECT dl FROM mysql.plugin WHERE name = 'AWSAuthenticationPlugin'";
        let active = self.connection.query_first::<u64, _>(ACTIVE).await?.unwrap_or_default() > 0;
        let library: Option<String> = self.connection.query_first(ROW).await?;
        let ours = library.as_deref().is_none_or(|library| library == LIBRARY);
        if wanted && active && ours {
            return Ok(());
        }
        if active {
            match self.connection.query_drop(format!("UNINSTALL PLUGIN {PLUGIN}")).await {
                Err(error) if code(&error) != Some(NO_SUCH_PLUGIN) => return Err(error.into()),
                _ => {}
            }
        }
        if library.is_some() {
            // The row of a plugin that could not be loaded is in the way of the one that can.
            self.run("DELETE FROM mysql.plugin WHERE name = 'AWSAuthenticationPlugin'").await?;
        }
        if wanted {
            let installed =
                self.connection.query_drop(format!("INSTALL PLUGIN {PLUGIN} SONAME '{LIBRARY}'")).await;
            installed.map_err(|error| MysqlError::Plugin(text(&error)))?;
        }
        Ok(())
    }

    /// Makes new connections have the certificate in the file.
    pub(crate) async fn reload_tls(&mut self, flavor: Flavor) -> Result<(), MysqlError> {
        self.run(flavor.reload_tls()).await
    }

    /// Sets what can be set while the server runs, and gives back their defaults to those in `dropped`.
    pub(crate) async fn apply(
        &mut self,
        wanted: &[(String, String)],
        dropped: &[String],
        requires_tls: bool,
    ) -> Result<(), MysqlError> {
        for name in dropped {
            let reset = self.connection.query_drop(format!("SET GLOBAL {} = DEFAULT", dotted(name))).await;
            if let Err(error) = reset {
                tracing::debug!(
                    name,
                    error = text(&error),
                    "a parameter keeps its value until the next start"
                );
            }
        }
        for (name, value) in wanted.iter().filter(|(name, _)| name != SECURE_TRANSPORT) {
            let literal = number(value).map_or_else(|| quote(value), |number| number.to_string());
            match self.connection.query_drop(format!("SET GLOBAL {} = {literal}", dotted(name))).await {
                Ok(()) => {}
                Err(error) if matches!(code(&error), Some(UNKNOWN_VARIABLE | READ_ONLY)) => {}
                Err(mysql_async::Error::Server(error)) => {
                    let (name, value) = (name.clone(), value.clone());
                    return Err(MysqlError::Parameter { name, value, reason: error.message });
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.run(&format!("SET GLOBAL {SECURE_TRANSPORT} = {}", on_or_off(requires_tls))).await
    }

    /// Compares the server with what is wanted of it.
    pub(crate) async fn compare(&mut self, wanted: &[(String, String)]) -> Result<Applied, MysqlError> {
        let mut applied = Applied::default();
        if wanted.is_empty() {
            return Ok(applied);
        }
        let rows: Vec<(String, String)> = self.connection.query("SHOW GLOBAL VARIABLES").await?;
        let variables: BTreeMap<String, String> = rows.into_iter().collect();
        for (name, value) in wanted {
            match variables.get(name) {
                None => applied.unknown.push(name.clone()),
                Some(found) if normal(found) == normal(value) || name == SECURE_TRANSPORT => {}
                // Only what the server will not change now waits; what it shows in its own words does not.
                Some(_) if !self.is_dynamic(name).await? => applied.pending.push(name.clone()),
                Some(_) => {}
            }
        }
        Ok(applied)
    }

    async fn is_dynamic(&mut self, name: &str) -> Result<bool, MysqlError> {
        let name = dotted(name);
        match self.connection.query_drop(format!("SET GLOBAL {name} = @@GLOBAL.{name}")).await {
            Err(error) if code(&error) == Some(READ_ONLY) => Ok(false),
            Err(mysql_async::Error::Server(_)) | Ok(()) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the server open its log files anew, after they were renamed.
    pub(crate) async fn reopen_logs(&mut self) -> Result<(), MysqlError> {
        for log in ["ERROR", "SLOW", "GENERAL"] {
            self.run(&format!("FLUSH LOCAL {log} LOGS")).await?;
        }
        Ok(())
    }

    /// Gives a user a password.
    pub(crate) async fn set_password(&mut self, user: &str, password: &[u8]) -> Result<(), MysqlError> {
        check_master(user)?;
        let password = password_text(password)?;
        self.run(&format!("ALTER USER {} IDENTIFIED BY {password}", account(user))).await
    }

    /// The privileges that the server has.
    async fn privileges(&mut self) -> Result<Vec<String>, MysqlError> {
        let rows: Vec<mysql_async::Row> = self.connection.query("SHOW PRIVILEGES").await?;
        Ok(rows.iter().filter_map(|row| row.get(0)).collect())
    }

    async fn run(&mut self, statement: &str) -> Result<(), MysqlError> {
        Ok(self.connection.query_drop(statement).await?)
    }
}

/// A master user's account: from everywhere.
fn account(name: &str) -> String {
    format!("{}@'%'", quote(name))
}

fn password_text(password: &[u8]) -> Result<String, MysqlError> {
    Ok(quote(std::str::from_utf8(password).map_err(|_| MysqlError::Password)?))
}

/// Checks that a name is one that a master user may have.
fn check_master(name: &str) -> Result<(), MysqlError> {
    let wrong = |reason| Err(MysqlError::Name { name: name.to_owned(), what: "a master user", reason });
    let lower = name.to_ascii_lowercase();
    let reserved = lower == ADMINISTRATOR
        || ["mysql.", "mariadb.", "rds_"].iter().any(|prefix| lower.starts_with(prefix))
        || ["public", "none"].contains(&lower.as_str());
    if reserved { wrong("it is reserved") } else { check_length(name, 32).or_else(wrong) }
}

fn check_database(name: &str) -> Result<(), MysqlError> {
    let wrong = |reason| Err(MysqlError::Name { name: name.to_owned(), what: "a database", reason });
    let lower = name.to_ascii_lowercase();
    let reserved = ["mysql", "sys", "information_schema", "performance_schema", "innodb"];
    if reserved.contains(&lower.as_str()) {
        wrong("it is reserved")
    } else {
        check_length(name, 64).or_else(wrong)
    }
}

fn check_length(name: &str, most: usize) -> Result<(), &'static str> {
    let length = name.chars().count();
    if name.contains(char::is_control) || name.ends_with(' ') {
        Err("expected one line that does not end with a space")
    } else if length == 0 || length > most {
        Err(if most == 32 { "expected 1 to 32 characters" } else { "expected 1 to 64 characters" })
    } else {
        Ok(())
    }
}

/// A literal, for a session in which a backslash escapes.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''").replace('\0', "\\0"))
}

fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The name of a variable; one of a component has a dot in it, which belongs to no quotes.
fn dotted(name: &str) -> String {
    name.split('.').map(quote_identifier).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_stay_inside_their_quotes() {
        assert_eq!(quote("it's \\'; DROP"), "'it''s \\\\''; DROP'");
        assert_eq!(quote_identifier("a`; DROP DATABASE b; --"), "`a``; DROP DATABASE b; --`");
        assert_eq!(account("o'neil"), "'o''neil'@'%'");
        assert_eq!(dotted("validate_password.policy"), "`validate_password`.`policy`");
    }

    #[test]
    fn reserved_names_are_refused() {
        for bad in
            ["rdsadmin", "RdsAdmin", "mysql.sys", "mariadb.sys", "rds_superuser_role", "", "a\nb", "a "]
        {
            assert!(check_master(bad).is_err(), "{bad}");
        }
        check_master("root").unwrap();
        check_master(&"x".repeat(32)).unwrap();
        assert!(check_master(&"x".repeat(33)).is_err());
        for bad in ["mysql", "SYS", "performance_schema", ""] {
            assert!(check_database(bad).is_err(), "{bad}");
        }
        check_database(&"d".repeat(64)).unwrap();
        assert!(check_database(&"d".repeat(65)).is_err());
    }

    #[test]
    fn the_master_has_nothing_that_makes_it_the_servers_equal() {
        for never in ["SUPER", "FILE", "SHUTDOWN", "SYSTEM_USER", "SYSTEM_VARIABLES_ADMIN", "SET USER"] {
            assert!(!MASTER.contains(&never), "{never}");
        }
    }
}
