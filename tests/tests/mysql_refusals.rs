//! Every login to MySQL and MariaDB that must not be: what the client is told, and what the audit trail has. After each, the
//! next good login works, and a session that was open before has seen nothing of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use countersign_tests::refusal::{BadToken, bad_tokens, end_session, impostor};
use countersign_tests::wire::{Reply, introduce};
use countersign_tests::{Database, Flavor, Key, Login, OpenSession, Output, Server, Token};
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The number and the text for a connection without TLS where the server itself wants it.
const SECURE_TRANSPORT: u16 = 3159;

/// A refusal takes the plugin two seconds at most; the rest is the client's start, and a machine that does other things.
const SOON: Duration = Duration::from_millis(3500);

#[test]
fn mysql() {
    refusals(Flavor::MySql);
}

#[test]
fn mariadb() {
    refusals(Flavor::MariaDb);
}

#[test]
fn recent_mariadb() {
    refusals(Flavor::RecentMariaDb);
}

fn refusals(flavor: Flavor) {
    let mut world = World::new(flavor);
    world.tokens();
    world.odd_tokens();
    world.keys_and_policies();
    world.without_asking();
    world.without_tls();
    world.hosts_are_not_blocked();
    world.switched_off_and_on_under_load();
    world.ended_session();
    world.stopped();
    world.hanging();
    world.killed();
    world.garbage_is_answered();
    world.no_secret_is_written();
}

struct World {
    flavor: Flavor,
    server: Server,
    db: Database,
    /// Process id of the database's server, which is one and the same for the whole test.
    pid: i32,
    /// May log in as `mydbuser`.
    key: Key,
    /// A session from before all refusals.
    open: OpenSession,
    /// What no log may have: the secret, and the signatures of the tokens.
    secrets: BTreeSet<String>,
}

impl World {
    fn new(flavor: Flavor) -> Self {
        let server = Server::for_mysql(flavor, &[]);
        let family = format!("{}{}", flavor.engine(), flavor.server().series());
        let create = ["rds", "create-db-parameter-group", "--db-parameter-group-name", "group"];
        let rest = ["--db-parameter-group-family", &family, "--description", "test"];
        server.aws(&[&create[..], &rest].concat()).succeed();
        set_parameters(&server, &[("general_log", "1"), ("require_secure_transport", "0")]);
        let arguments = ["--enable-iam-database-authentication", "--db-parameter-group-name", "group"];
        let db = server.create_mysql_instance("mydb", flavor, &arguments);
        // Without REQUIRE SSL, so that nothing but the plugin stands between a token and a connection without TLS.
        server.as_mysql_master(
            &db,
            "CREATE USER mydbuser IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';
             CREATE USER otheruser IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';
             CREATE USER tlsuser IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';
             ALTER USER tlsuser REQUIRE SSL;
             CREATE USER plain IDENTIFIED BY 'Plain-pass-1'",
        );
        let key = server.create_user("mydbuser", Some(&db.policy("Allow", "mydbuser")));
        let open = server.open_mysql_session(&db, "mydbuser", &server.token(&db, "mydbuser", &key).text());
        let pid = *server.mysql_servers().values().next().unwrap();
        let secrets = BTreeSet::from([key.secret.clone()]);
        Self { flavor, server, db, pid, key, open, secrets }
    }

    fn good(&self) -> Token {
        self.server.token(&self.db, "mydbuser", &self.key)
    }

    fn login(&self, user: &str, password: &str) -> Login {
        self.server.mysql_login(&self.db, user, password)
    }

    /// MySQL's client, and MariaDB's.
    fn by_each_client(&self, login: &Login) -> Vec<Output> {
        let (home, arguments) = (self.server.work_dir(), ["--execute", "select current_user()"]);
        vec![login.mysql(&home, &arguments), login.mariadb(&home, &arguments)]
    }

    /// The clients that can log in with a password: MySQL's does not know the passwords of MariaDB any more.
    fn by_each_client_with_passwords(&self, login: &Login) -> Vec<Output> {
        if self.flavor == Flavor::MySql {
            return self.by_each_client(login);
        }
        vec![login.mariadb(&self.server.work_dir(), &["--execute", "select current_user()"])]
    }

    /// A login as `mydbuser` that must be refused by the plugin, whichever client makes it.
    #[track_caller]
    fn refused(&mut self, what: &str, password: &str, reason: &str) {
        self.case(what, "mydbuser", password, Some(reason));
    }

    /// A login that must be refused, with this reason in the audit trail: with none where nobody is asked.
    #[track_caller]
    fn case(&mut self, what: &str, user: &str, password: &str, reason: Option<&str>) {
        println!("{what}");
        self.keep_secret(password);
        let before = self.server.audit().len();
        let login = self.login(user, password);
        let outputs = match reason {
            Some(_) => self.by_each_client(&login),
            None => self.by_each_client_with_passwords(&login),
        };
        for output in &outputs {
            assert_denied(what, output, user, "YES");
        }
        self.asked(what, before, outputs.len(), reason);
        self.good_login();
    }

    /// What the audit trail has since it had `before` records: so many questions, each refused for the reason.
    #[track_caller]
    fn asked(&self, what: &str, before: usize, times: usize, reason: Option<&str>) {
        let records = self.server.audit().split_off(before);
        let times = if reason.is_some() { times } else { 0 };
        assert_eq!(records.len(), times, "{what}: {records:?}");
        for record in records {
            assert_eq!(record["reason"].as_str(), reason, "{what}: {record}");
            assert_eq!(record["decision"], "refused", "{what}: {record}");
            assert_eq!(record["door"], "mysql", "{what}");
            assert_eq!(record["database"], self.db.resource_id, "{what}");
        }
    }

    /// The next good login works, and the open session is what it was.
    #[track_caller]
    fn good_login(&mut self) {
        let token = self.good().text();
        self.keep_secret(&token);
        self.login("mydbuser", &token).by_driver().expect("the next good login works");
        assert_eq!(self.server.audit().last().unwrap()["decision"], "allowed");
        self.open.check();
    }

    /// Passwords are none of Countersign's business, whatever it does.
    #[track_caller]
    fn password_users_work(&self) {
        self.login("plain", "Plain-pass-1").by_driver().expect("a login with a password works");
        self.server.mariadb(&self.db, "admin", "Master-pass-1", "select 1").succeed();
    }

    fn keep_secret(&mut self, password: &str) {
        if let Some((_, signature)) = password.split_once("&X-Amz-Signature=") {
            // Of a token that was cut short some of it is left.
            self.secrets.insert(signature.chars().take(64).collect::<String>());
        }
        self.secrets.retain(|secret| secret.len() > 20);
    }

    /// The database's folder of this name.
    fn folder(&self, name: &str) -> PathBuf {
        self.server.data_dir().join("databases").join(&self.db.resource_id).join(name)
    }

    fn error_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder("log").join("mysql-error.log")).unwrap()).into_owned()
    }

    /// The server that ran at first runs on.
    #[track_caller]
    fn server_lives(&self) {
        assert_eq!(
            self.server.mysql_servers().into_values().collect::<Vec<_>>(),
            [self.pid],
            "{}",
            self.error_log()
        );
    }

    /// Tokens that are wrong in themselves, or for something else.
    fn tokens(&mut self) {
        for BadToken { what, text, reason } in bad_tokens(&self.good(), self.db.port - 1) {
            self.refused(what, &text, reason);
        }
    }

    /// Passwords that no command line carries.
    fn odd_tokens(&mut self) {
        let text = self.good().text();
        self.keep_secret(&text);
        let with_nuls = [
            ("a NUL behind it", format!("{text}\0")),
            ("a NUL and more behind it", format!("{text}\0and more")),
            ("a NUL within it", text.replacen('&', "&\0", 1)),
            ("nothing but NULs", "\0\0\0".to_owned()),
        ];
        let cases = [
            // More than any question holds: Countersign is not asked.
            ("130,000 bytes", format!("{text}{}", "0".repeat(130_000 - text.len())), "YES", None),
            ("nothing", String::new(), "NO", Some("not-a-token")),
        ];
        let with_nuls = with_nuls.map(|(what, text)| (what, text, "YES", Some("not-a-token")));
        for (what, password, used, reason) in cases.into_iter().chain(with_nuls) {
            println!("{what}");
            let before = self.server.audit().len();
            let told = self.login("mydbuser", &password).by_driver().expect_err(what);
            assert!(is_denial(&told, "1045 ", "mydbuser", used), "{what}: {told}");
            self.asked(what, before, 1, reason);
            self.good_login();
        }
    }

    /// Keys that do not count any more, and principals that may not.
    fn keys_and_policies(&mut self) {
        let aws = |server: &Server, line: &str| server.aws(&line.split(' ').collect::<Vec<_>>()).succeed();
        let second = self.server.create_access_key("mydbuser");
        let token = self.server.token(&self.db, "mydbuser", &second).text();
        self.login("mydbuser", &token).by_driver().unwrap();
        let key = format!("--user-name mydbuser --access-key-id {}", second.id);
        aws(&self.server, &format!("iam update-access-key {key} --status Inactive"));
        self.refused("an inactive key", &token, "inactive-access-key");
        aws(&self.server, &format!("iam delete-access-key {key}"));
        self.refused("a deleted key", &token, "unknown-access-key");

        let key = self.server.create_user("newcomer", None);
        let token = self.server.token(&self.db, "mydbuser", &key).text();
        self.refused("no policy", &token, "not-authorized");
        let put = |world: &Self, name: &str, document: &str| {
            let arguments = ["--user-name", "newcomer", "--policy-name", name, "--policy-document", document];
            world.server.aws(&[&["iam", "put-user-policy"], &arguments[..]].concat()).succeed();
        };
        let elsewhere =
            Database { resource_id: "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ".to_owned(), ..self.db.clone() };
        put(self, "one", &elsewhere.policy("Allow", "mydbuser"));
        self.refused("a policy for another resource id", &token, "not-authorized");
        put(self, "one", &self.db.policy("Allow", "otheruser"));
        self.refused("a policy for another user", &token, "not-authorized");
        put(self, "one", &self.db.policy("Allow", "mydbuser"));
        self.login("mydbuser", &token).by_driver().unwrap();
        put(self, "deny", &self.db.policy("Deny", "my*"));
        self.refused("an explicit Deny", &token, "explicit-deny");
        self.secrets.extend([second.secret, key.secret]);
    }

    /// Logins about which nobody is asked.
    fn without_asking(&mut self) {
        let token = |world: &Self, user: &str| world.server.token(&world.db, user, &world.key).text();
        self.case("a token for an account with a password", "plain", &token(self, "plain"), None);
        self.password_users_work();
        let absent = token(self, "nobody");
        self.keep_secret(&absent);
        let before = self.server.audit().len();
        for output in self.by_each_client_with_passwords(&self.login("nobody", &absent)) {
            // MariaDB refuses before it has seen whether there is a password.
            let used = if self.flavor == Flavor::MySql { "YES" } else { "NO" };
            assert_denied("a token for an account that is not there", &output, "nobody", used);
        }
        self.asked("a token for an account that is not there", before, 0, None);
        self.good_login();
    }

    /// A token that would travel in the clear is not asked for.
    fn without_tls(&mut self) {
        // The parameter group says no to require_secure_transport: it is the plugin that refuses, where it can tell.
        self.refused_without_tls(1045);
        set_parameters(&self.server, &[("require_secure_transport", "1")]);
        self.await_variable("require_secure_transport", "1");
        // Only newer MariaDBs look at the parameter before the plugin does.
        self.refused_without_tls(if self.flavor == Flavor::RecentMariaDb { SECURE_TRANSPORT } else { 1045 });
        set_parameters(&self.server, &[("require_secure_transport", "0")]);
        self.await_variable("require_secure_transport", "0");
        let before = self.server.audit().len();
        let token = self.good().text();
        self.keep_secret(&token);
        let socket = self.folder("run").join("mysqld.sock");
        let socket_option = format!("--socket={}", socket.display());
        let at_socket = ["--host=localhost", "--protocol=SOCKET", &socket_option, "--execute=select 1"];
        let login = self.login("mydbuser", &token);
        let home = self.server.work_dir();
        for output in [
            login.mysql(&home, &[&["--ssl-mode=DISABLED"], &at_socket[..]].concat()),
            login
                .mariadb(&home, &[&["--skip-ssl", "--skip-ssl-verify-server-cert"], &at_socket[..]].concat()),
        ] {
            assert_denied("the Unix socket", &output, "mydbuser", "NO");
        }
        for plugin in ["caching_sha2_password", "mysql_native_password", "mysql_clear_password"] {
            let reply = introduce(UnixStream::connect(&socket).unwrap(), "mydbuser", plugin).unwrap();
            assert!(matches!(reply, Reply::Error(1045, _)), "{plugin}: {reply:?}");
        }
        self.asked("the Unix socket", before, 0, None);
        self.good_login();
    }

    /// Every client is refused with this error, before it is asked for anything.
    fn refused_without_tls(&mut self, wanted: u16) {
        for user in ["mydbuser", "tlsuser"] {
            println!("{user} without TLS: {wanted}");
            let before = self.server.audit().len();
            let token = self.server.token(&self.db, user, &self.key).text();
            self.keep_secret(&token);
            let login = self.login(user, &token);
            let home = self.server.work_dir();
            for output in [
                login.mysql(&home, &["--ssl-mode=DISABLED", "--execute=select 1"]),
                login.mariadb(&home, &["--skip-ssl", "--skip-ssl-verify-server-cert", "--execute=select 1"]),
            ] {
                assert!(!output.ok() && output.stdout.is_empty(), "no TLS:\n{output}");
                if wanted == SECURE_TRANSPORT {
                    let text = "Connections using insecure transport are prohibited";
                    assert!(said(&output).contains(text), "no TLS:\n{output}");
                } else {
                    assert_denied("no TLS", &output, user, "NO");
                }
            }
            // What the server itself sends: no question that a client could answer with its token.
            for plugin in ["caching_sha2_password", "mysql_native_password", "mysql_clear_password"] {
                let address = (self.db.host.as_str(), self.db.port);
                let reply = introduce(TcpStream::connect(address).unwrap(), user, plugin).unwrap();
                assert!(matches!(reply, Reply::Error(number, _) if number == wanted), "{plugin}: {reply:?}");
            }
            // Nor has anybody been asked about it.
            self.asked("no TLS", before, 0, None);
            self.good_login();
        }
    }

    #[track_caller]
    fn await_variable(&self, name: &str, value: &str) {
        let started = Instant::now();
        while self.server.as_mysql_master(&self.db, &format!("select @@global.{name}")) != value {
            assert!(started.elapsed() < Duration::from_secs(30), "`{name}` does not become {value}");
        }
    }

    /// The servers count failed handshakes of a client's host, and at 100 in a row let nobody in from there any more.
    fn hosts_are_not_blocked(&mut self) {
        let (refused, good) =
            (self.login("mydbuser", "Old-pass-1"), self.login("mydbuser", &self.good().text()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let told = refused.by_driver().unwrap_err();
                        assert!(told.starts_with("1045 "), "{told}");
                        let told = good.without_cleartext().unwrap_err();
                        assert!(told.contains("mysql_clear_password must be enabled"), "{told}");
                    }
                });
            }
        });
        self.good_login();
    }

    /// The plugin goes and comes while logins run: each works, or is refused as one without a token or without a plugin.
    fn switched_off_and_on_under_load(&mut self) {
        let login = self.login("mydbuser", &self.good().text());
        let ended = AtomicBool::new(false);
        let told = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let mut told = Vec::new();
                        while !ended.load(Ordering::Relaxed) {
                            told.push(login.by_driver());
                        }
                        told
                    })
                })
                .collect();
            // A failure must end the threads too.
            let switched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.switch("--no-enable-iam-database-authentication", "1524 ");
                self.switch("--enable-iam-database-authentication", "");
                self.switch("--no-enable-iam-database-authentication", "1524 ");
            }));
            ended.store(true, Ordering::Relaxed);
            let told: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            if let Err(panic) = switched {
                std::panic::resume_unwind(panic);
            }
            told
        });
        let not_loaded = "1524 Plugin 'AWSAuthenticationPlugin' is not loaded";
        let count =
            |wanted: &dyn Fn(&Result<(), String>) -> bool| told.iter().filter(|told| wanted(told)).count();
        let allowed = count(&Result::is_ok);
        let off = count(&|told| told.as_ref().is_err_and(|told| told == not_loaded));
        let denied = count(&|told| told.as_ref().is_err_and(|told| told.starts_with("1045 ")));
        println!(
            "{} logins while the plugin goes and comes: {allowed} allowed, {off} with 1524, {denied} with 1045",
            told.len()
        );
        let others: Vec<_> = told
            .iter()
            .filter_map(|told| told.as_ref().err())
            .filter(|told| *told != not_loaded && !told.starts_with("1045 "))
            .collect();
        assert!(others.is_empty(), "{others:?}\n{}", self.error_log());
        assert!(allowed > 0 && off > 0);
        self.server_lives();

        let before = self.server.audit().len();
        for output in self.by_each_client(&self.login("mydbuser", &self.good().text())) {
            let wanted = "ERROR 1524 (HY000): Plugin 'AWSAuthenticationPlugin' is not loaded";
            assert!(!output.ok() && said(&output) == wanted, "{output}");
        }
        self.asked("switched off", before, 0, None);
        self.password_users_work();
        self.open.check();
        self.switch("--enable-iam-database-authentication", "");
        self.good_login();
    }

    /// Changes the instance, and waits until a login is told this, or works where that is nothing.
    #[track_caller]
    fn switch(&self, switch: &str, told: &str) {
        let modify = ["rds", "modify-db-instance", "--db-instance-identifier", "mydb", "--apply-immediately"];
        self.server.aws(&[&modify[..], &[switch]].concat()).succeed();
        let login = self.login("mydbuser", &self.good().text());
        let started = Instant::now();
        loop {
            match login.by_driver() {
                Ok(()) if told.is_empty() => return,
                Err(said) if !told.is_empty() && said.starts_with(told) => return,
                last => assert!(
                    started.elapsed() < Duration::from_secs(30),
                    "{switch} has no effect: {last:?}\n{:?}\n{}",
                    self.server.status("mydb"),
                    self.error_log()
                ),
            }
        }
    }

    /// A temporary credential past its end.
    fn ended_session(&mut self) {
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"123456789012"}}]}"#;
        let arguments = ["--role-name", "app", "--assume-role-policy-document", trust];
        self.server.aws(&[&["iam", "create-role"], &arguments[..]].concat()).succeed();
        let policy = self.db.policy("Allow", "mydbuser");
        let arguments = ["--role-name", "app", "--policy-name", "connect", "--policy-document", &policy];
        self.server.aws(&[&["iam", "put-role-policy"], &arguments[..]].concat()).succeed();
        let key = self.server.assume_role("app");
        let token = self.server.token(&self.db, "mydbuser", &key);
        self.login("mydbuser", &token.text()).by_driver().unwrap();

        let mut bare = token.clone();
        bare.key.session = None;
        self.refused("a temporary key without its session token", &bare.text(), "security-token");

        self.server.terminate();
        end_session(&self.server, &key);
        self.server.start_again();
        self.server.await_database("mydb");
        self.refused("a temporary credential past its end", &token.text(), "session-expired");
        self.secrets.insert(key.secret);
    }

    /// A login that nobody decides about: refused, soon, with the cause in the server's log; nothing else is disturbed.
    #[track_caller]
    fn undecided(&mut self, what: &str, cause: &str, meanwhile: impl FnOnce(&mut Self)) {
        println!("{what}");
        let token = self.good().text();
        self.keep_secret(&token);
        let login = self.login("mydbuser", &token);
        let (before, home) = (self.error_log().len(), self.server.work_dir());
        let output = std::thread::scope(|scope| {
            let client = scope.spawn(|| login.mariadb(&home, &["--execute", "select 1"]));
            meanwhile(self);
            client.join().unwrap()
        });
        assert!(output.took < SOON, "{what}:\n{output}");
        assert_denied(what, &output, "mydbuser", "YES");
        let log = self.error_log().split_off(before);
        assert!(log.contains(cause), "{what}: expected `{cause}` in:\n{log}");
        self.password_users_work();
        self.open.check();
        self.server_lives();
    }

    fn stopped(&mut self) {
        self.server.terminate();
        let cause = "cannot ask Countersign at `countersign.sock`: no such socket";
        self.undecided("stopped", cause, |_| {});
        self.started_again();
    }

    fn hanging(&mut self) {
        self.server.pause();
        self.undecided(
            "hanging",
            "cannot ask Countersign at `countersign.sock`: no answer in time",
            |world| {
                // Many at once wait no longer than one.
                let login = world.login("mydbuser", &world.good().text());
                std::thread::scope(|scope| {
                    for _ in 0..16 {
                        scope.spawn(|| {
                            let started = Instant::now();
                            let told = login.by_driver().unwrap_err();
                            assert!(told.starts_with("1045 ") && started.elapsed() < SOON, "{told}");
                        });
                    }
                    world.password_users_work();
                });
            },
        );
        self.server.resume();
        self.good_login();
        self.server_lives();
    }

    /// The end comes while a login waits for the answer.
    fn killed(&mut self) {
        // The server's connections to the one before are of no more use: the next login makes one that can be seen.
        self.server.terminate();
        self.server.start_again();
        self.server.await_database("mydb");
        self.server.pause();
        let before = self.connections();
        self.undecided(
            "killed",
            "cannot ask Countersign at `countersign.sock`: the connection was closed",
            |world| {
                let started = Instant::now();
                while world.connections().is_subset(&before) {
                    assert!(started.elapsed() < SOON, "no question comes");
                    std::thread::sleep(Duration::from_millis(1));
                }
                world.server.kill();
            },
        );
        self.started_again();
    }

    /// The connected Unix sockets that the server has, by inode.
    fn connections(&self) -> BTreeSet<String> {
        let sockets = fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap().flatten();
        let held: BTreeSet<PathBuf> = sockets.filter_map(|fd| fs::read_link(fd.path()).ok()).collect();
        let unix = fs::read_to_string("/proc/net/unix").unwrap();
        let connected = unix.lines().filter_map(|line| {
            // Num RefCount Protocol Flags Type St Inode Path
            let columns: Vec<_> = line.split_whitespace().collect();
            let ours = held.contains(&PathBuf::from(format!("socket:[{}]", columns[6])));
            (columns[5] == "03" && ours).then(|| columns[6].to_owned())
        });
        connected.collect()
    }

    /// Something else answers in Countersign's place.
    fn garbage_is_answered(&mut self) {
        self.server.terminate();
        // An answer: magic, version, kind, length of the rest; number of the request, status, principal.
        const ALLOWED: &[u8] =
            b"CSGN\x01A\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x03arn";
        let answers: [(&str, &[u8], &str); 8] = [
            ("half an answer", &ALLOWED[..20], "closed before an answer came"),
            (
                "an answer, and one byte more",
                b"CSGN\x01A\x00\x00\x00\x11\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x03arn!",
                "not an answer",
            ),
            (
                "of another version",
                b"CSGN\x02A\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x03arn",
                "not an answer",
            ),
            (
                "allowed, and nobody",
                b"CSGN\x01A\x00\x00\x00\x0d\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00",
                "not an answer",
            ),
            ("noise", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "not an answer"),
            ("zeros", &[0; 4096], "not an answer"),
            ("ones", &[0xff; 4096], "not an answer"),
            ("nothing, and the end", b"", "closed before an answer came"),
        ];
        for (what, answer, cause) in answers {
            let listens = impostor(&self.folder("data").join("countersign.sock"), answer);
            self.undecided(what, cause, |_| {});
            listens.join().unwrap();
        }
        self.started_again();
    }

    #[track_caller]
    fn started_again(&mut self) {
        self.server.start_again();
        self.server.await_database("mydb");
        self.good_login();
        self.server_lives();
    }

    /// No log of anybody has a token or a secret.
    fn no_secret_is_written(&self) {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.folder("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.iter().any(|file| file.ends_with("mysql-general.log")), "{files:?}");
        files.push(self.server.data_dir().join("audit.jsonl"));
        let mut texts: Vec<(String, String)> = files
            .into_iter()
            .map(|file| {
                (file.display().to_string(), String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned())
            })
            .collect();
        texts.push(("Countersign's log".to_owned(), self.server.log()));
        assert!(self.secrets.len() > 20);
        for (file, text) in texts {
            for secret in self.secrets.iter().map(String::as_str).chain(["X-Amz-Signature="]) {
                assert!(!text.contains(secret), "{file} has `{secret}`");
            }
        }
    }
}

#[track_caller]
fn set_parameters(server: &Server, parameters: &[(&str, &str)]) {
    let modify = ["rds", "modify-db-parameter-group", "--db-parameter-group-name", "group", "--parameters"];
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, value)| format!("ParameterName={name},ParameterValue={value},ApplyMethod=immediate"))
        .collect();
    let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
    server.aws(&[&modify[..], &parameters].concat()).succeed();
}

/// What a client says, without what it says about its own command line.
fn said(output: &Output) -> &str {
    const WARNINGS: [&str; 2] = [
        "mysql: [Warning] Using a password on the command line interface can be insecure.\n",
        "WARNING: no verification of server certificate will be done. Use --ssl-mode=VERIFY_CA or VERIFY_IDENTITY.\n",
    ];
    let said = WARNINGS
        .iter()
        .fold(output.stderr.as_str(), |said, warning| said.strip_prefix(warning).unwrap_or(said));
    said.trim_end()
}

/// The client is told that access is denied, and not one word more.
#[track_caller]
fn assert_denied(what: &str, output: &Output, user: &str, used: &str) {
    let denied = is_denial(said(output), "ERROR 1045 (28000): ", user, used);
    assert!(!output.ok() && output.stdout.is_empty() && denied, "{what}: expected a denial:\n{output}");
}

fn is_denial(said: &str, number: &str, user: &str, used: &str) -> bool {
    ["localhost", "127.0.0.1", "::1"].iter().any(|host| {
        said == format!("{number}Access denied for user '{user}'@'{host}' (using password: {used})")
    })
}
