//! `countersign serve` on a throw-away data directory, and everything a scenario does with it.

use crate::installed::{Flavor, mariadb_client, mysql_client};
use crate::program::{Output, countersign, isolated, missing, run};
use crate::{Clock, Door, Key, OpenSession, Token};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The master password of every database.
pub(crate) const MASTER_PASSWORD: &str = "Master-pass-1";

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Countersign. When it is dropped, it and its databases are stopped and its files are gone, also after a panic.
///
/// It ends too when the thread that started it does, so that a test that is killed leaves nothing behind.
pub struct Server {
    folder: TempDir,
    door: Door,
    arguments: Vec<String>,
    clock: Option<Clock>,
    process: Option<Child>,
    environment: BTreeMap<String, String>,
}

/// A database instance, as a client sees it.
#[derive(Clone, Debug)]
pub struct Database {
    /// `DBInstanceIdentifier`.
    pub identifier: String,
    /// `Endpoint.Address`.
    pub host: String,
    /// `Endpoint.Port`.
    pub port: u16,
    /// `DbiResourceId`, of a member of a cluster the cluster's.
    pub resource_id: String,
    /// The region.
    pub region: String,
    /// `Engine`.
    pub engine: String,
}

impl Server {
    /// Starts on an empty data directory.
    #[track_caller]
    pub fn start(door: Door) -> Self {
        Self::start_with(door, &[])
    }

    /// The same with more arguments.
    #[track_caller]
    pub fn start_with(door: Door, arguments: &[&str]) -> Self {
        Self::start_by(None, door, arguments)
    }

    /// On an empty data directory, going by a clock that the test moves.
    #[track_caller]
    pub fn start_with_clock(door: Door) -> Self {
        Self::start_by(Some(Clock::new()), door, &[])
    }

    #[track_caller]
    fn start_by(clock: Option<Clock>, door: Door, arguments: &[&str]) -> Self {
        let folder =
            tempfile::Builder::new().prefix("countersign-test-").tempdir().expect("a temporary folder");
        // The database servers run as another user when this is root, and must get to their own directories.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Self { folder, door, arguments, clock, process: None, environment: BTreeMap::new() };
        server.start_again();
        server
    }

    /// Starts with the database servers of a flavor beside those that the machine has, and with MySQL's and MariaDB's own
    /// clients as `mysql` and `mariadb` in [`shell`](Self::shell).
    #[track_caller]
    pub fn for_mysql(flavor: Flavor, arguments: &[&str]) -> Self {
        let folder = flavor.server().folder().to_owned();
        let option = format!("--{}-dir", flavor.engine());
        let dirs = [option.as_str(), folder.to_str().unwrap()];
        // PostgreSQL's door is not used.
        let server = Self::start_with(Door::Ldap, &[&dirs[..], arguments].concat());
        fs::create_dir(server.programs()).unwrap();
        for (name, program) in [("mysql", mysql_client()), ("mariadb", mariadb_client())] {
            symlink(program, server.programs().join(name)).unwrap();
        }
        server
    }

    /// Starts the stopped server on the same data directory.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        // What an earlier run left would answer for this one.
        drop(fs::remove_file(self.data_dir().join("endpoint")));
        let log = File::options().append(true).create(true).open(self.log_file()).unwrap();
        let mut command = Command::new("setpriv");
        if let Some(clock) = &self.clock {
            clock.apply(&mut command);
        }
        let process = command
            .args(["--pdeathsig", "INT", "--"])
            .arg(countersign())
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--door", self.door.as_str()])
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // A test runner that gives up sends SIGTERM to the test's group, at which the databases would be left running.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| missing("setpriv".as_ref(), &error));
        self.process = Some(process);
        self.await_ready();
        let exports =
            run(Command::new(countersign()).arg("env").arg("--data-dir").arg(self.data_dir())).succeed();
        self.environment = exports.lines().filter_map(export).collect();
    }

    fn await_ready(&mut self) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                panic!("`countersign serve` ended, {status}:\n{}", self.log());
            }
            let healthy = self.endpoint().is_some_and(|endpoint| get(&endpoint, "/health").contains(" 200 "));
            if healthy {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "`countersign serve` is not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The clock that it goes by, where the test moves it.
    pub fn clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    /// `127.0.0.1:port` of the API.
    pub fn endpoint(&self) -> Option<String> {
        let url = fs::read_to_string(self.data_dir().join("endpoint")).ok()?;
        Some(url.trim().strip_prefix("http://")?.to_owned())
    }

    /// The door that PostgreSQL asks through.
    pub fn door(&self) -> Door {
        self.door
    }

    /// `--data-dir`.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where commands run, and their home.
    pub fn work_dir(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Programs that go before the machine's.
    fn programs(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The exports of `countersign env`.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Sets a variable for the commands that follow.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }

    /// The process id.
    pub fn pid(&self) -> i32 {
        self.process.as_ref().expect("the server runs").id() as i32
    }
}

/// Commands.
impl Server {
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = isolated(program, &self.work_dir());
        command.current_dir(self.work_dir()).envs(&self.environment);
        if self.programs().exists() {
            let path = self.environment.get("PATH").map(OsString::from).or_else(|| std::env::var_os("PATH"));
            let path = path.unwrap_or_default();
            let path = std::iter::once(self.programs()).chain(std::env::split_paths(&path));
            command.env("PATH", std::env::join_paths(path).unwrap());
        }
        command
    }

    /// A command line as a user types it.
    pub fn shell(&self, line: &str) -> Output {
        run(self.command("bash").args(["-o", "pipefail", "-c", line]))
    }

    /// The AWS CLI as the administrator.
    pub fn aws(&self, arguments: &[&str]) -> Output {
        run(self.command("aws").args(arguments))
    }

    /// The AWS CLI with an access key.
    pub fn aws_as(&self, key: &Key, arguments: &[&str]) -> Output {
        let mut command = self.command("aws");
        command.env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", &key.secret);
        if let Some(session) = &key.session {
            command.env("AWS_SESSION_TOKEN", session);
        }
        run(command.args(arguments))
    }

    /// `countersign` on this data directory.
    pub fn countersign(&self, arguments: &[&str]) -> Output {
        run(&mut self.countersign_command(arguments))
    }

    /// The same, yet to be run.
    pub fn countersign_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(countersign().to_str().unwrap());
        command.env("COUNTERSIGN_DATA_DIR", self.data_dir()).args(arguments);
        command
    }

    /// The same with other variables; without those that have no value.
    pub fn countersign_with(&self, variables: &[(&str, Option<&str>)], arguments: &[&str]) -> Output {
        let mut command = self.command(countersign().to_str().unwrap());
        for (name, value) in variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        run(command.env("COUNTERSIGN_DATA_DIR", self.data_dir()).args(arguments))
    }

    /// One statement by `psql`; `conninfo` as libpq takes it.
    pub fn psql(&self, conninfo: &str, password: &str, sql: &str) -> Output {
        run(self.psql_command(conninfo, password).args([
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "-c",
            sql,
        ]))
    }

    fn psql_command(&self, conninfo: &str, password: &str) -> Command {
        let mut command = self.command("psql");
        command.env("PGPASSWORD", password).arg(conninfo);
        command
    }

    /// How a user connects with TLS, the server's certificate and name checked.
    pub fn conninfo(&self, database: &Database, user: &str) -> String {
        let bundle = self.bundle(&database.region);
        let Database { host, port, .. } = database;
        format!(
            "host={host} port={port} dbname=postgres user={user} sslmode=verify-full sslrootcert={}",
            bundle.display()
        )
    }

    /// The file with a region's authorities.
    pub fn bundle(&self, region: &str) -> PathBuf {
        let path = self.work_dir().join(format!("{region}-bundle.pem"));
        if !path.exists() {
            let pem = self.countersign(&["ca-bundle", "--region", region]).succeed();
            fs::write(&path, pem + "\n").unwrap();
        }
        path
    }

    /// A login with TLS that runs one statement.
    pub fn login(&self, database: &Database, user: &str, password: &str, sql: &str) -> Output {
        self.psql(&self.conninfo(database, user), password, sql)
    }

    /// A login that stays.
    pub fn open_session(&self, database: &Database, user: &str, password: &str) -> OpenSession {
        OpenSession::psql(self.psql_command(&self.conninfo(database, user), password))
    }

    /// Statements as the master user.
    #[track_caller]
    pub fn as_master(&self, database: &Database, sql: &str) -> String {
        self.login(database, "postgres", MASTER_PASSWORD, sql).succeed()
    }
}

/// Things in the account.
impl Server {
    /// Makes a PostgreSQL instance with the master user `postgres`, and waits until it is available.
    #[track_caller]
    pub fn create_instance(&self, identifier: &str, arguments: &[&str]) -> Database {
        self.request_instance(identifier, arguments);
        self.await_database(identifier)
    }

    /// The same without the wait.
    #[track_caller]
    pub fn request_instance(&self, identifier: &str, arguments: &[&str]) {
        self.request(identifier, &["--engine", "postgres", "--master-username", "postgres"], arguments);
    }

    /// Makes an instance of the flavor with the master user `admin`, and waits until it is available.
    #[track_caller]
    pub fn create_mysql_instance(&self, identifier: &str, flavor: Flavor, arguments: &[&str]) -> Database {
        self.request_mysql_instance(identifier, flavor, arguments);
        self.await_database(identifier)
    }

    /// The same without the wait.
    #[track_caller]
    pub fn request_mysql_instance(&self, identifier: &str, flavor: Flavor, arguments: &[&str]) {
        // The machine may have another series too.
        let series = flavor.server().series();
        let kind = ["--engine", flavor.engine(), "--engine-version", &series, "--master-username", "admin"];
        self.request(identifier, &kind, arguments);
    }

    #[track_caller]
    fn request(&self, identifier: &str, kind: &[&str], arguments: &[&str]) {
        let mut all = vec!["rds", "create-db-instance", "--db-instance-identifier", identifier];
        all.extend(kind);
        all.extend(["--db-instance-class", "db.t3.micro", "--allocated-storage", "20"]);
        all.extend(["--master-user-password", MASTER_PASSWORD]);
        all.extend(arguments);
        // Left to choose, two servers on one machine may choose the same port at the same moment.
        let port = free_port().to_string();
        if !arguments.contains(&"--port") {
            all.extend(["--port", &port]);
        }
        self.aws(&all).succeed();
    }

    /// `countersign status --json` of a database; none where there is no such.
    #[track_caller]
    pub fn status(&self, identifier: &str) -> Option<Value> {
        let status: Value = serde_json::from_str(&self.countersign(&["status", "--json"]).succeed()).unwrap();
        status["databases"]
            .as_array()
            .unwrap()
            .iter()
            .find(|database| database["identifier"] == identifier)
            .cloned()
    }

    /// Waits until an instance is available.
    #[track_caller]
    pub fn await_database(&self, identifier: &str) -> Database {
        let started = Instant::now();
        loop {
            let status = self.status(identifier).unwrap_or_else(|| panic!("there is no `{identifier}`"));
            if status["status"] == "available" {
                let (host, port) = status["endpoint"].as_str().unwrap().rsplit_once(':').unwrap();
                return Database {
                    identifier: identifier.to_owned(),
                    host: host.to_owned(),
                    port: port.parse().unwrap(),
                    resource_id: status["resource_id"].as_str().unwrap().to_owned(),
                    region: status["region"].as_str().unwrap().to_owned(),
                    engine: status["engine"].as_str().unwrap().split(' ').next().unwrap().to_owned(),
                };
            }
            assert!(started.elapsed() < PATIENCE && status["status"] != "failed", "not available: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until an instance is no longer there.
    #[track_caller]
    pub fn await_gone(&self, identifier: &str) {
        let started = Instant::now();
        while let Some(status) = self.status(identifier) {
            assert!(started.elapsed() < PATIENCE, "not gone: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until an instance has a status.
    #[track_caller]
    pub fn await_status(&self, identifier: &str, wanted: &str) {
        let started = Instant::now();
        loop {
            let status = self.status(identifier).unwrap_or_else(|| panic!("there is no `{identifier}`"));
            if status["status"] == wanted {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "not {wanted}: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes a user with an access key, and an inline policy where one is given.
    #[track_caller]
    pub fn create_user(&self, name: &str, policy: Option<&str>) -> Key {
        self.aws(&["iam", "create-user", "--user-name", name]).succeed();
        if let Some(policy) = policy {
            let arguments = ["--user-name", name, "--policy-name", "inline", "--policy-document", policy];
            self.aws(&[&["iam", "put-user-policy"], &arguments[..]].concat()).succeed();
        }
        self.create_access_key(name)
    }

    /// Makes an access key of a user.
    #[track_caller]
    pub fn create_access_key(&self, user: &str) -> Key {
        key(&self.aws(&["iam", "create-access-key", "--user-name", user]).succeed(), "AccessKey")
    }

    /// Assumes a role as the administrator.
    #[track_caller]
    pub fn assume_role(&self, role: &str) -> Key {
        self.assume_role_with(role, &[])
    }

    /// The same with more arguments.
    #[track_caller]
    pub fn assume_role_with(&self, role: &str, arguments: &[&str]) -> Key {
        let arn = format!("arn:aws:iam::123456789012:role/{role}");
        let assume = ["sts", "assume-role", "--role-session-name", "test", "--role-arn", &arn];
        key(&self.aws(&[&assume[..], arguments].concat()).succeed(), "Credentials")
    }

    /// Vouches for somebody as the user with the key, who must be allowed to.
    #[track_caller]
    pub fn federation_token(&self, by: &Key, name: &str, arguments: &[&str]) -> Key {
        let get = ["sts", "get-federation-token", "--name", name];
        key(&self.aws_as(by, &[&get[..], arguments].concat()).succeed(), "Credentials")
    }

    /// A token for a user of a database, by a key, as a client makes it.
    pub fn token(&self, database: &Database, user: &str, key: &Key) -> Token {
        Token {
            host: database.host.clone(),
            port: database.port,
            user: user.to_owned(),
            region: database.region.clone(),
            service: "rds-db".to_owned(),
            action: "connect".to_owned(),
            signed_headers: "host".to_owned(),
            expires: 900,
            age: 0,
            key: key.clone(),
        }
    }

    /// The audit trail.
    pub fn audit(&self) -> Vec<Value> {
        let trail = fs::read_to_string(self.data_dir().join("audit.jsonl")).unwrap_or_default();
        trail.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

impl Database {
    /// A policy document that allows, or denies, to connect as a user.
    pub fn policy(&self, effect: &str, user: &str) -> String {
        let Self { region, resource_id, .. } = self;
        let resource = format!("arn:aws:rds-db:{region}:123456789012:dbuser:{resource_id}/{user}");
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Action":"rds-db:connect","Resource":"{resource}"}}]}}"#
        )
    }
}

/// Life and death.
impl Server {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), signal).expect("the server can be signalled");
    }

    #[track_caller]
    fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let mut process = self.process.take().unwrap();
        let started = Instant::now();
        loop {
            if let Some(status) = process.try_wait().unwrap() {
                return status;
            }
            if started.elapsed() > PATIENCE {
                self.process = Some(process);
                panic!("`countersign serve` does not end:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// As Ctrl-C does: the databases stop too.
    #[track_caller]
    pub fn interrupt(&mut self) {
        let status = self.end(Signal::INT);
        assert!(status.success(), "{status}");
    }

    /// SIGTERM: the databases stay.
    #[track_caller]
    pub fn terminate(&mut self) {
        let status = self.end(Signal::TERM);
        assert!(status.success(), "{status}");
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// SIGSTOP: it hangs until [`Server::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The postmasters that run on this data directory: data directory and process id.
    pub fn postmasters(&self) -> BTreeMap<PathBuf, i32> {
        self.running("data/postmaster.pid")
    }

    /// The same of the servers of MySQL and MariaDB.
    pub fn mysql_servers(&self) -> BTreeMap<PathBuf, i32> {
        self.running("run/mysqld.pid")
    }

    fn running(&self, pidfile: &str) -> BTreeMap<PathBuf, i32> {
        let mut running = BTreeMap::new();
        for folder in fs::read_dir(self.data_dir().join("databases")).into_iter().flatten().flatten() {
            let data = folder.path().join("data");
            let pidfile = fs::read_to_string(folder.path().join(pidfile)).unwrap_or_default();
            let pid = pidfile.lines().next().and_then(|line| line.trim().parse().ok());
            // The number may be another process's by now.
            if let Some(pid) = pid
                && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| same(&cwd, &data))
            {
                running.insert(data, pid);
            }
        }
        running
    }
}

impl Server {
    /// Everything that works in a data directory, whatever its files say: a server that is about to start has none yet.
    fn in_data_directories(&self) -> BTreeMap<i32, PathBuf> {
        let folders = fs::read_dir(self.data_dir().join("databases")).into_iter().flatten().flatten();
        let data: Vec<_> = folders.map(|folder| folder.path().join("data")).collect();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let works = processes.filter_map(|process| {
            let cwd = fs::read_link(process.path().join("cwd")).ok()?;
            let pid = process.file_name().to_str()?.parse().ok()?;
            Some((pid, data.iter().find(|data| same(&cwd, data))?.clone()))
        });
        works.collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("the end of the server's log:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
        let servers = self.in_data_directories();
        if let Some(mut process) = self.process.take() {
            let pid = Pid::from_child(&process);
            let ended = kill_process(pid, Signal::CONT).and_then(|()| kill_process(pid, Signal::INT));
            if ended.is_err() || !wait_for(|| !matches!(process.try_wait(), Ok(None))) {
                eprintln!("`countersign serve` does not end and is killed");
                drop(process.kill());
                drop(process.wait());
            }
        }
        for (pid, data) in self.in_data_directories().into_iter().chain(servers) {
            let Some(pid) = Pid::from_raw(pid) else { continue };
            let runs = || {
                let cwd = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
                test_kill_process(pid).is_ok() && cwd.is_ok_and(|cwd| same(&cwd, &data))
            };
            if runs() {
                let asked = kill_process(pid, Signal::QUIT).is_ok() && wait_for(|| !runs());
                if !asked && let Err(error) = kill_process(pid, Signal::KILL) {
                    eprintln!("the database server {pid:?} does not end: {error}");
                }
            }
        }
    }
}

fn wait_for(mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(15) {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// A folder that is being deleted has another name in /proc than on disk.
fn same(cwd: &Path, data: &Path) -> bool {
    cwd == data || fs::canonicalize(data).is_ok_and(|data| cwd == data)
}

/// A port that is free, and that other tests do not look at: each process begins at its own, below those that the system
/// gives to outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 1000) as u16 * 10 + 20_000;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn export(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    Some((name.to_owned(), value.trim_matches('\'').to_owned()))
}

fn key(json: &str, member: &str) -> Key {
    let json: Value = serde_json::from_str(json).expect("JSON");
    let text = |name: &str| json[member][name].as_str().map(str::to_owned);
    Key {
        id: text("AccessKeyId").unwrap(),
        secret: text("SecretAccessKey").unwrap(),
        session: text("SessionToken"),
    }
}

/// The answer to a GET, head and body; empty where there is none.
fn get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().unwrap_or_default()
}
