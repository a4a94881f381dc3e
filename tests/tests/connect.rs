//! `countersign connect`: the real clients, on real servers, with TLS that is verified and a token that nobody sees.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Database, Door, Flavor, Server, run, run_with};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const AMAZON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/client/data/rds-global-bundle.pem");

/// `countersign connect`, with a runtime directory that is empty before and should be after.
fn connect(server: &Server, arguments: &[&str]) -> Command {
    let runtime = runtime_directory(server);
    if !runtime.exists() {
        fs::DirBuilder::new().mode(0o700).create(&runtime).unwrap();
    }
    let mut command = server.countersign_command(&[&["connect"], arguments].concat());
    command.env("XDG_RUNTIME_DIR", runtime);
    command
}

fn runtime_directory(server: &Server) -> PathBuf {
    server.work_dir().join("runtime")
}

#[track_caller]
fn nothing_is_left(server: &Server) {
    let left: Vec<_> = fs::read_dir(runtime_directory(server)).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A client that waits for statements.
struct Shell {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(mut command: Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, input: Some(input), output: BufReader::new(output) }
    }

    fn send(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{text}").and_then(|()| input.flush()).unwrap();
    }

    #[track_caller]
    fn ask(&mut self, sql: &str) -> String {
        self.send(sql);
        let mut line = String::new();
        if self.output.read_line(&mut line).unwrap() == 0 {
            let mut said = String::new();
            self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the client has ended: {said}");
        }
        line.trim_end().to_owned()
    }

    /// Reads up to a line that is `text`: a terminal echoes what is typed, too.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let mut seen = String::new();
        while !seen.lines().any(|line| line.trim_end() == text) {
            let read = self.output.read_line(&mut seen).unwrap();
            assert!(read > 0, "`{text}` does not come:\n{seen}");
        }
    }

    fn pid(&self) -> i32 {
        self.process.id() as i32
    }

    /// The client's process.
    #[track_caller]
    fn client(&self) -> i32 {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().next().expect("a client that runs").parse().unwrap()
    }

    fn signal(&self, pid: i32, signal: Signal) {
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Ends its input and waits; what it said on standard error.
    #[track_caller]
    fn end(mut self) -> (ExitStatus, String) {
        drop(self.input.take());
        self.wait()
    }

    /// The same with the input still open: it ends for another reason.
    #[track_caller]
    fn wait(mut self) -> (ExitStatus, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > Duration::from_secs(30) {
                panic!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            kill_process_group(Pid::from_child(&self.process), Signal::KILL).ok();
            drop(self.process.wait());
        }
    }
}

/// What others on the machine see of a process, and its owner besides.
#[track_caller]
fn has_no_token(pid: i32) {
    for file in ["cmdline", "environ"] {
        let seen = fs::read(format!("/proc/{pid}/{file}")).unwrap();
        let seen = String::from_utf8_lossy(&seen).replace('\0', "\n");
        assert!(!seen.is_empty() && !seen.contains("X-Amz-"), "{seen}");
    }
}

/// The file whose path a process has in its environment or behind an argument.
fn named(pid: i32, file: &str, before: &str) -> PathBuf {
    let seen = String::from_utf8(fs::read(format!("/proc/{pid}/{file}")).unwrap()).unwrap();
    seen.split('\0').find_map(|text| text.strip_prefix(before)).expect("the path of the file").into()
}

#[track_caller]
fn is_private(file: &Path) {
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(file), mode(file.parent().unwrap())), (0o600, 0o700), "{}", file.display());
}

/// Takes connections at another address of this machine on to `port`: a name that the certificate does not have.
fn in_the_middle(port: u16) -> (String, u16) {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, server) = (stream.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            let pipe = |mut from: TcpStream, mut to: TcpStream| {
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            };
            pipe(stream.try_clone().unwrap(), server.try_clone().unwrap());
            pipe(server, stream);
        }
    });
    (address.ip().to_string(), address.port())
}

fn postgres(user: &str) -> (Server, Database) {
    let server = Server::start(Door::usual());
    let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
    let quoted = format!("\"{}\"", user.replace('"', "\"\""));
    server.as_master(&db, &format!("create user {quoted}; grant rds_iam to {quoted}"));
    (server, db)
}

#[test]
fn psql_logs_in_whatever_the_names_and_the_environment() {
    const USER: &str = "o'b:c\\d \"e=f";
    let (server, db) = postgres(USER);
    server.as_master(&db, "create database \"a b:'c\\d=\"");
    let port = db.port.to_string();
    let base = ["postgres", "--host", &db.host, "--port", &port, "--user", USER];
    let with = |more: &[&str]| run(&mut connect(&server, &[&base[..], more].concat()));
    let sql = "select session_user, current_database(), ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let said = with(&["--database", "a b:'c\\d=", "--", "-XAtc", sql]).succeed();
    assert_eq!(said, format!("{USER}|a b:'c\\d=|t"));
    let database = "select current_database()";
    assert_eq!(with(&["--", "-d", "template1", "-XAtc", database]).succeed(), "template1");
    assert_eq!(with(&["--", "-XAtc", database, "postgres"]).succeed(), "postgres");

    // An identifier tells the client, the host and the port.
    let found = run(&mut connect(
        &server,
        &["--host", "MyDB", "--user", USER, "--database", "postgres", "--", "-XAtc", database],
    ));
    assert_eq!(found.succeed(), "postgres");
    let missing = run(&mut connect(&server, &["--host", "mydp", "--user", USER]));
    assert_eq!(missing.code, Some(1), "{missing}");
    missing.fail_with("`mydp` is taken for an identifier");

    // What would lead elsewhere, or weaken it, is not looked at.
    let mut command =
        connect(&server, &[&base[..], &["--database", "postgres", "--", "-XAtc", sql]].concat());
    for (name, value) in [
        ("PGPASSWORD", "wrong"),
        ("PGSSLMODE", "disable"),
        ("PGSSLROOTCERT", "/absent"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGSERVICE", "absent"),
        ("PGREQUIRESSL", "0"),
        ("PGPASSFILE", "/absent"),
        ("PGCHANNELBINDING", "require"),
    ] {
        command.env(name, value);
    }
    assert_eq!(run(&mut command).succeed(), format!("{USER}|postgres|t"));

    // The exit code is the client's.
    let mut command =
        connect(&server, &[&base[..], &["--database", "postgres", "--", "-Xv", "ON_ERROR_STOP=1"]].concat());
    assert_eq!(run_with(&mut command, "select 1/0;\n").code, Some(3));

    let refused = with(&["--database", "postgres", "--ca-bundle", AMAZON, "--", "-Xc", "select 1"]);
    refused.fail_with("certificate verify failed");
    let (host, port) = in_the_middle(db.port);
    let bundle = server.bundle(&db.region);
    let elsewhere = ["postgres", "--host", &host, "--port", &port.to_string(), "--user", USER];
    let more = ["--database", "postgres", "--ca-bundle", bundle.to_str().unwrap(), "--", "-Xc", "select 1"];
    let refused = run(&mut connect(&server, &[&elsewhere[..], &more].concat()));
    refused.fail_with("does not match host name \"127.0.0.2\"");

    // Nobody says whom to trust.
    let mut command = connect(&server, &[&base[..], &["--", "-Xc", "select 1"]].concat());
    let refused = run(command.env_remove("AWS_ENDPOINT_URL"));
    assert_eq!(refused.code, Some(1), "{refused}");
    refused.fail_with("--ca-bundle");
    nothing_is_left(&server);
}

/// `connect` with psql that prints values alone.
fn connect_psql(server: &Server, db: &Database) -> Command {
    let port = db.port.to_string();
    let to = ["postgres", "--host", &db.host, "--port", &port, "--user", "app", "--database", "postgres"];
    connect(server, &[&to[..], &["--", "-XAtq"]].concat())
}

#[test]
fn psql_has_the_token_in_a_private_file_and_reads_it_again() {
    let (server, db) = postgres("app");
    let mut shell = Shell::start(connect_psql(&server, &db));
    let first = shell.ask("select pg_backend_pid();");
    let client = shell.client();
    has_no_token(client);
    has_no_token(shell.pid());
    let file = named(client, "environ", "PGPASSFILE=");
    is_private(&file);
    is_private(&named(client, "environ", "PGSSLROOTCERT="));
    assert!(file.starts_with(runtime_directory(&server)), "{}", file.display());
    shell.send("\\c");
    assert_ne!(shell.ask("select pg_backend_pid();"), first, "another connection");
    shell.send("\\c template1");
    assert_eq!(shell.ask("select current_database();"), "template1");

    // A token in the file that is none is refused: the file is what \c goes by.
    let content = fs::read_to_string(&file).unwrap();
    assert_eq!(content.matches("X-Amz-Signature=").count(), 1);
    fs::write(&file, content.replace("X-Amz-Signature=", "X-Amz-Signature=0")).unwrap();
    shell.send("\\c");
    let (status, said) = shell.end();
    assert!(said.contains(server.door().refusal("app").trim_start_matches("FATAL:  ")), "{said}");
    assert!(!said.contains("X-Amz-"), "{said}");
    assert!(status.code().is_some(), "{status}");
    nothing_is_left(&server);
}

#[test]
fn whatever_ends_it_nothing_is_left() {
    let (server, db) = postgres("app");
    for (signal, to_client, code) in [
        (Signal::TERM, false, 143),
        (Signal::HUP, false, 129),
        (Signal::KILL, true, 137),
        (Signal::TERM, true, 143),
    ] {
        let mut shell = Shell::start(connect_psql(&server, &db));
        assert_eq!(shell.ask("select 1;"), "1");
        let pid = if to_client { shell.client() } else { shell.pid() };
        shell.signal(pid, signal);
        let (status, said) = shell.wait();
        assert_eq!((status.code(), status.signal()), (Some(code), None), "{signal:?} {said}");
        nothing_is_left(&server);
    }

    // Ctrl-C is the client's: a script of psql ends with its statement, and psql says with which code.
    let mut shell = Shell::start(connect_psql(&server, &db));
    shell.send("\\echo asleep");
    assert_eq!(shell.ask("select pg_sleep(60);"), "asleep");
    let asleep =
        "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'";
    let started = Instant::now();
    while server.as_master(&db, asleep) != "1" {
        assert!(started.elapsed() < Duration::from_secs(30), "the statement does not run");
    }
    kill_process_group(Pid::from_child(&shell.process), Signal::INT).unwrap();
    let (status, said) = shell.end();
    assert!(said.contains("canceling statement due to user request"), "{said}");
    assert!(status.code().is_some_and(|code| code < 128), "{status}");
    nothing_is_left(&server);
}

/// `script` is the terminal.
#[test]
fn at_a_terminal_an_interrupt_ends_the_statement_alone() {
    let (server, db) = postgres("app");
    let program = countersign_tests::countersign();
    let line = format!(
        "exec {} connect postgres --host {} --port {} --user app --database postgres -- -XAtqn -P pager=off -v PROMPT1= -v PROMPT2=",
        program.display(),
        db.host,
        db.port
    );
    let mut command = Command::new("script");
    let like = connect(&server, &[]);
    command.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]).env_clear();
    command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(server.work_dir());
    let mut shell = Shell::start(command);
    shell.send("select 'ready';");
    shell.expect("ready");
    shell.send("select pg_sleep(60);");
    let asleep =
        "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'";
    let started = Instant::now();
    while server.as_master(&db, asleep) != "1" {
        assert!(started.elapsed() < Duration::from_secs(30), "the statement does not run");
    }
    shell.send("\x03");
    shell.expect("ERROR:  canceling statement due to user request");
    shell.send("\\c");
    shell.send("select 'awake';");
    shell.expect("awake");
    shell.send("\\q");
    let (status, said) = shell.end();
    assert_eq!(status.code(), Some(0), "{said}");
    nothing_is_left(&server);
}

#[test]
fn mysql_and_mariadb_log_in_whatever_the_users_own_files_say() {
    for flavor in Flavor::ALL {
        let server = Server::for_mysql(flavor, &[]);
        let db = server.create_mysql_instance("mydb", flavor, &["--enable-iam-database-authentication"]);
        const USER: &str = "o'b:c\\d #\"e";
        for user in ["app", "o\\'b:c\\\\d #\\\"e"] {
            let create = format!(
                "create user '{user}' identified with AWSAuthenticationPlugin as 'RDS'; alter user '{user}' require ssl; \
                 grant select on *.* to '{user}'@'%'"
            );
            server.as_mysql_master(&db, &create);
        }
        server.as_mysql_master(&db, "create database `a b'c#d`");
        fs::write(
            server.work_dir().join(".my.cnf"),
            "[client]\npassword=wrong\nuser=nobody\nhost=192.0.2.1\nport=1\nprotocol=socket\nskip-ssl\nssl-ca=/absent\nssl-capath=/absent\n\
             [mysql]\npassword=wrong\nskip-column-names\nbatch\n[mariadb-client]\nskip-ssl-verify-server-cert\n",
        )
        .unwrap();
        let port = db.port.to_string();
        let kinds: &[&str] = if flavor == Flavor::MySql { &["mysql"] } else { &["mysql", "mariadb"] };
        for kind in kinds {
            let base = [*kind, "--host", &db.host, "--port", &port];
            let with = |more: &[&str]| run(&mut connect(&server, &[&base[..], more].concat()));
            let sql = "select current_user(), database(), variable_value <> '' from performance_schema.session_status \
                       where variable_name = 'Ssl_cipher'";
            // MariaDB has it elsewhere.
            let sql = if flavor == Flavor::MySql {
                sql.to_owned()
            } else {
                sql.replace("performance_schema", "information_schema")
            };
            let said =
                with(&["--user", USER, "--database", "a b'c#d", "--", "--raw", "--execute", &sql]).succeed();
            assert_eq!(said, format!("{USER}@%\ta b'c#d\t1"), "{flavor:?} {kind}");
            let refused = with(&["--user", "app", "--ca-bundle", AMAZON, "--", "--execute", "select 1"]);
            assert!(refused.stderr.contains("certificate") && refused.code == Some(1), "{refused}");
            let (host, elsewhere) = in_the_middle(db.port);
            let bundle = server.bundle(&db.region);
            let refused = run(&mut connect(
                &server,
                &[
                    *kind,
                    "--host",
                    &host,
                    "--port",
                    &elsewhere.to_string(),
                    "--user",
                    "app",
                    "--ca-bundle",
                    bundle.to_str().unwrap(),
                    "--",
                    "--execute",
                    "select 1",
                ],
            ));
            assert!(refused.code == Some(1) && refused.stderr.contains("ERROR 2026"), "{refused}");

            let mut command =
                connect(&server, &[&base[..], &["--user", "app", "--", "--unbuffered"]].concat());
            // The password that is read besides files.
            command.env("MYSQL_PWD", "wrong");
            let mut shell = Shell::start(command);
            assert_eq!(shell.ask("select current_user();"), "app@%");
            let client = shell.client();
            has_no_token(client);
            has_no_token(shell.pid());
            let file = named(client, "cmdline", "--defaults-file=");
            is_private(&file);
            assert!(fs::read_to_string(&file).unwrap().contains("X-Amz-Signature="));
            shell.signal(shell.pid(), Signal::TERM);
            let (status, said) = shell.wait();
            assert_eq!(status.code(), Some(143), "{said}");
            nothing_is_left(&server);
        }
        // An identifier tells the client, the host and the port.
        let found = run(&mut connect(
            &server,
            &["--host", "mydb", "--user", "app", "--", "--execute", "select current_user()"],
        ));
        assert_eq!(found.succeed(), "app@%");
        nothing_is_left(&server);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let alone = |arguments: &[&str]| {
        let mut command = Command::new(countersign_tests::countersign());
        command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("TMPDIR", folder.path());
        command.env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").env("AWS_SECRET_ACCESS_KEY", "secret");
        run(command.arg("connect").args(arguments))
    };
    let rds = "mydb.c7tj4example.us-east-1.rds.amazonaws.com";
    for (arguments, code, said) in [
        (&["--host", rds, "--user", "u"][..], 2, &["which client", "postgres"][..]),
        (&["oracle", "--host", rds, "--user", "u"], 2, &["oracle", "postgres"]),
        (&["postgres", "--user", "u"], 2, &["--host"]),
        (&["postgres", "--host", rds], 2, &["--user"]),
        (&["postgres", "--host", "h:5432", "--user", "u"], 2, &["--port"]),
        (&["postgres", "--host", rds, "--user", "u", "--region", "eu-west-1"], 2, &["contradicts"]),
        (&["postgres", "--host", rds, "--user", "u"], 1, &["`psql`", "postgresql-client", "--client"]),
        (&["mysql", "--host", rds, "--user", "u"], 1, &["`mysql` or `mariadb`", "default-mysql-client"]),
        (&["--host", rds, "--port", "3306", "--user", "u"], 1, &["`mysql` or `mariadb`"]),
        (&["mariadb", "--host", rds, "--user", "u"], 1, &["mariadb-client"]),
        (&["postgres", "--host", rds, "--user", "u", "--client", "/absent/psql"], 1, &["/absent/psql"]),
        (&["postgres", "--host", rds, "--user", "u", "--client", "/bin/echo"], 1, &["/bin/echo", "not psql"]),
        (&["mysql", "--host", rds, "--user", "u", "--client", "/bin/echo"], 1, &["/bin/echo", "no client"]),
        (
            &[
                "postgres",
                "--host",
                rds,
                "--user",
                "u",
                "--client",
                "/bin/echo",
                "--ca-bundle",
                "/absent.pem",
            ],
            1,
            &["/absent.pem"],
        ),
        (
            &[
                "postgres",
                "--host",
                "db.example.com",
                "--user",
                "u",
                "--client",
                "/bin/echo",
                "--region",
                "eu-west-1",
            ],
            1,
            &["`db.example.com`", "--ca-bundle", "AWS_ENDPOINT_URL"],
        ),
    ] {
        let output = alone(arguments);
        assert_eq!(output.code, Some(code), "{output}");
        for text in said {
            assert!(output.stderr.contains(text), "`{text}` is not named:\n{output}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
