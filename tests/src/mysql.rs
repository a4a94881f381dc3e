//! Logins to MySQL and MariaDB, as the clients that people have make them: over TLS, with the server's certificate and name
//! checked, the token as the password.

use crate::installed::{client_scripts, mariadb_client, mysql_client, node_clients, python};
use crate::program::{Output, isolated, run};
use crate::server::MASTER_PASSWORD;
use crate::{Database, Key, OpenSession, Server};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who logs in where.
#[derive(Clone, Debug)]
pub struct Login {
    /// The host that is dialled.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database user.
    pub user: String,
    /// The password, or a token.
    pub password: String,
    /// The file with the authorities that are trusted.
    pub ca: PathBuf,
    /// The database; empty for none.
    pub database: String,
}

/// A driver that a script of `tests/clients` logs in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Python's PyMySQL.
    PyMySql,
    /// MySQL Connector/Python, its C extension.
    Connector,
    /// Node's mysql2.
    Mysql2,
}

impl Driver {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PyMySql, Self::Connector, Self::Mysql2];

    /// Logs in. Prints `current_user()`, `user()` and `version()` as an array of JSON; or, on standard error, the number of
    /// the error, `-` where it has none, and its message.
    #[track_caller]
    pub fn log_in(self, home: &Path, login: &Login) -> Output {
        let mut command = match self {
            Self::PyMySql => python_client("pymysql_login.py", home),
            Self::Connector => python_client("connector.py", home),
            Self::Mysql2 => {
                let mut node = isolated("node", home);
                node.env("NODE_CLIENTS", node_clients()).arg(client_scripts().join("mysql2.mjs"));
                node
            }
        };
        run(command.env("TOKEN", &login.password).args(login.arguments()))
    }
}

fn python_client(script: &str, home: &Path) -> Command {
    let mut python = isolated(python(), home);
    // -B: no compiled files beside the scripts.
    python.arg("-B").arg(client_scripts().join(script));
    python
}

impl Login {
    /// What the scripts of `tests/clients` take.
    fn arguments(&self) -> [String; 5] {
        let ca = self.ca.to_str().unwrap().to_owned();
        [self.host.clone(), self.port.to_string(), self.user.clone(), ca, self.database.clone()]
    }

    /// MySQL's own client, with the password on its command line as Amazon's documentation has it. `arguments` come last and
    /// win: such as `--ssl-mode=VERIFY_CA`, `--skip-enable-cleartext-plugin` or `--execute=...`.
    #[track_caller]
    pub fn mysql(&self, home: &Path, arguments: &[&str]) -> Output {
        run(self.mysql_command(home).args(arguments))
    }

    fn mysql_command(&self, home: &Path) -> Command {
        let mut command = isolated(mysql_client(), home);
        // The machine's settings are about other servers. For `localhost` without a protocol it would take a socket.
        command.args(["--no-defaults", "--protocol=TCP", "--batch", "--skip-column-names"]);
        command.args(["--enable-cleartext-plugin", "--ssl-mode=VERIFY_IDENTITY"]);
        command.arg(format!("--ssl-ca={}", self.ca.display())).args(self.address());
        command.arg(format!("--password={}", self.password)).args(self.database());
        command
    }

    /// MariaDB's client, with the password in its environment. Without TLS it takes two arguments, because to check a
    /// certificate turns TLS on: `--skip-ssl` and `--skip-ssl-verify-server-cert`.
    #[track_caller]
    pub fn mariadb(&self, home: &Path, arguments: &[&str]) -> Output {
        run(self.mariadb_command(home).args(arguments))
    }

    fn mariadb_command(&self, home: &Path) -> Command {
        let mut command = isolated(mariadb_client(), home);
        command.args(["--no-defaults", "--protocol=TCP", "--batch", "--skip-column-names"]);
        command.arg("--ssl-verify-server-cert").arg(format!("--ssl-ca={}", self.ca.display()));
        command.env("MYSQL_PWD", &self.password).args(self.address()).args(self.database());
        command
    }

    fn database(&self) -> Option<String> {
        (!self.database.is_empty()).then(|| format!("--database={}", self.database))
    }

    fn address(&self) -> [String; 3] {
        [format!("--host={}", self.host), format!("--port={}", self.port), format!("--user={}", self.user)]
    }

    /// The AWS Advanced Python Wrapper over MySQL Connector/Python: signs a token for `iam_host`, a name as on Amazon RDS, by
    /// the key, and logs in with it at `host`. The password of the login is not used. Prints as [`Driver::log_in`] does.
    #[track_caller]
    pub fn aws_wrapper(&self, home: &Path, key: &Key, iam_host: &str, region: &str) -> Output {
        let mut command = python_client("wrapper.py", home);
        command.env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", &key.secret);
        if let Some(session) = &key.session {
            command.env("AWS_SESSION_TOKEN", session);
        }
        run(command.args(self.arguments()).args([iam_host, region]))
    }
}

impl Server {
    /// How a user logs in to a MySQL or MariaDB database, with no database chosen.
    pub fn mysql_login(&self, database: &Database, user: &str, password: &str) -> Login {
        Login {
            host: database.host.clone(),
            port: database.port,
            user: user.to_owned(),
            password: password.to_owned(),
            ca: self.bundle(&database.region),
            database: String::new(),
        }
    }

    /// By the client of the server's own make. MySQL's 9 does not know the passwords that MariaDB keeps.
    fn own_client(&self, database: &Database, user: &str, password: &str) -> Command {
        let (login, home) = (self.mysql_login(database, user, password), self.work_dir());
        if database.engine == "mariadb" { login.mariadb_command(&home) } else { login.mysql_command(&home) }
    }

    /// Statements by the client of the server's own make.
    #[track_caller]
    pub fn sql(&self, database: &Database, user: &str, password: &str, sql: &str) -> Output {
        run(self.own_client(database, user, password).args(["--execute", sql]))
    }

    /// A session of that client that stays.
    #[track_caller]
    pub fn open_mysql_session(&self, database: &Database, user: &str, password: &str) -> OpenSession {
        OpenSession::mysql(self.own_client(database, user, password))
    }

    /// Statements as the master user; what they print.
    #[track_caller]
    pub fn as_mysql_master(&self, database: &Database, sql: &str) -> String {
        self.sql(database, "admin", MASTER_PASSWORD, sql).succeed()
    }

    /// One statement by MySQL's own client.
    #[track_caller]
    pub fn mysql(&self, database: &Database, user: &str, password: &str, sql: &str) -> Output {
        self.mysql_login(database, user, password).mysql(&self.work_dir(), &["--execute", sql])
    }

    /// One statement by MariaDB's client.
    #[track_caller]
    pub fn mariadb(&self, database: &Database, user: &str, password: &str, sql: &str) -> Output {
        self.mysql_login(database, user, password).mariadb(&self.work_dir(), &["--execute", sql])
    }
}
