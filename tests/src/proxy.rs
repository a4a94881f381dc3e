//! `countersign proxy` in front of a database, and the drivers' suites that are run through it.

use crate::installed::{client_scripts, node_clients, python};
use crate::program::{Output, countersign, isolated, missing, run};
use crate::{Database, Key, Server};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy that runs. Ended when it is dropped, or when the thread that started it ends.
pub struct Proxy {
    process: Child,
    log: PathBuf,
    /// The port of its first socket of TCP.
    pub port: u16,
}

impl Server {
    /// A proxy on a free port of loopback to a database, with an access key, the database's authorities and more arguments.
    #[track_caller]
    pub fn proxy(&self, database: &Database, key: &Key, arguments: &[&str]) -> Proxy {
        let engine = if database.engine.contains("postgres") { "postgres" } else { "mysql" };
        let to = format!("{}:{}", database.host, database.port);
        let bundle = self.bundle(&database.region);
        let mut all = vec!["--listen", "127.0.0.1:0", "--to", &to, "--engine", engine];
        all.extend(["--region", &database.region, "--ca-bundle", bundle.to_str().unwrap()]);
        all.extend(arguments);
        self.proxy_with(key, &all)
    }

    /// A proxy with these arguments alone, once it is ready.
    #[track_caller]
    pub fn proxy_with(&self, key: &Key, arguments: &[&str]) -> Proxy {
        let log = self.work_dir().join(format!("proxy-{}.log", crate::free_port()));
        let mut command = self.command("setpriv");
        if let Some(clock) = self.clock() {
            clock.apply(&mut command);
        }
        command.args(["--pdeathsig", "KILL", "--"]).arg(countersign());
        command.args(["proxy", "--log-format", "json"]).args(arguments);
        if key.id.is_empty() {
            command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        } else {
            command.env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", &key.secret);
        }
        if let Some(session) = &key.session {
            command.env("AWS_SESSION_TOKEN", session);
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| missing(command.get_program(), &error));
        let mut proxy = Proxy { process, log, port: 0 };
        proxy.await_ready();
        proxy
    }
}

impl Proxy {
    #[track_caller]
    fn await_ready(&mut self) {
        let started = Instant::now();
        loop {
            let log = self.log();
            // After the last socket's line comes the first look for credentials, or nothing.
            if let Some(line) = log.lines().find(|line| line.contains(r#""message":"ready""#)) {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let address = line["address"].as_str().unwrap();
                self.port = address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
                return;
            }
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("`countersign proxy` ended, {status}:\n{log}");
            }
            assert!(started.elapsed() < PATIENCE, "`countersign proxy` is not ready:\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has logged this.
    #[track_caller]
    pub fn await_log(&self, text: &str) {
        let started = Instant::now();
        while !self.log().contains(text) {
            assert!(started.elapsed() < PATIENCE, "no `{text}` in the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let pid = Pid::from_raw(self.process.id() as i32).expect("a process id");
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for its end; the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("the proxy did not end: {error}");
        }
        if std::thread::panicking() {
            eprintln!("the proxy's log:\n{}", self.log());
        }
    }
}

/// A driver's suite of `tests/clients/proxied`: what applications do with it, without a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Python's psycopg.
    Psycopg,
    /// Python's asyncpg.
    Asyncpg,
    /// Node's pg.
    Pg,
    /// PostgreSQL's JDBC driver.
    JdbcPostgres,
    /// Python's PyMySQL.
    PyMySql,
    /// Node's mysql2.
    Mysql2,
    /// MariaDB's JDBC driver.
    JdbcMariaDb,
}

impl Suite {
    /// Of PostgreSQL.
    pub const POSTGRES: [Self; 4] = [Self::Psycopg, Self::Asyncpg, Self::Pg, Self::JdbcPostgres];
    /// Of MySQL and MariaDB.
    pub const MYSQL: [Self; 3] = [Self::PyMySql, Self::Mysql2, Self::JdbcMariaDb];

    /// Runs it as `user` in `database`, at a port of 127.0.0.1.
    #[track_caller]
    pub fn run(self, server: &Server, port: u16, user: &str, database: &str) -> Output {
        let (home, folder) = (server.work_dir(), client_scripts().join("proxied"));
        let python = |script: &str| {
            let mut command = isolated(python(), &home);
            // -B: no compiled files beside the scripts.
            command.arg("-B").arg(folder.join(script));
            command
        };
        let node = |script: &str| {
            let mut command = isolated("node", &home);
            command.env("NODE_CLIENTS", node_clients()).arg(folder.join(script));
            command
        };
        let java = |driver: &str, url: String| {
            let mut command = isolated("java", &home);
            let driver = format!("/usr/share/java/{driver}.jar");
            assert!(std::path::Path::new(&driver).exists(), "`{driver}` is missing: `make test` installs it");
            command.args(["-cp", &driver]).arg(folder.join("JdbcSuite.java")).args([&url, user]);
            command
        };
        let mut command: Command = match self {
            Self::Psycopg => python("psycopg_suite.py"),
            Self::Asyncpg => python("asyncpg_suite.py"),
            Self::PyMySql => python("pymysql_suite.py"),
            Self::Pg => node("pg_suite.mjs"),
            Self::Mysql2 => node("mysql2_suite.mjs"),
            Self::JdbcPostgres => {
                return run(&mut java(
                    "postgresql",
                    format!("jdbc:postgresql://127.0.0.1:{port}/{database}?sslmode=disable"),
                ));
            }
            Self::JdbcMariaDb => {
                return run(&mut java(
                    "mariadb-java-client",
                    format!("jdbc:mariadb://127.0.0.1:{port}/{database}"),
                ));
            }
        };
        run(command.args(["127.0.0.1", &port.to_string(), user, database]))
    }
}
