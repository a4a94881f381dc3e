//! Every login that must not be: what the client is told, and what the audit trail has. After each, the next good login
//! works, and a session that was open before has seen nothing of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use countersign_tests::refusal::{BadToken, answer_anything, bad_tokens, end_session, impostor};
use countersign_tests::{Database, Door, Key, OpenSession, Output, Server, Token};
use std::net::TcpListener;
use std::time::Duration;

#[test]
fn through_pam() {
    if let Some(door) = Door::pam() {
        refusals(door);
    }
}

#[test]
fn through_ldap() {
    refusals(Door::Ldap);
}

fn refusals(door: Door) {
    let mut world = World::new(door);
    world.tokens();
    world.keys_and_policies();
    world.without_asking();
    world.iam_switched_off();
    world.ended_session();
    world.nobody_answers();
    world.garbage_is_answered();
}

struct World {
    server: Server,
    db: Database,
    /// Another instance, with the same users.
    other_db: Database,
    /// May log in as `mydbuser`.
    key: Key,
    /// A session from before all refusals.
    open: OpenSession,
}

impl World {
    fn new(door: Door) -> Self {
        let server = Server::start(door);
        server.request_instance("otherdb", &["--enable-iam-database-authentication"]);
        let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
        let other_db = server.await_database("otherdb");
        for db in [&db, &other_db] {
            server.as_master(
                db,
                "create user mydbuser password 'Old-pass-1'; grant rds_iam to mydbuser;
                 create user otheruser; grant rds_iam to otheruser; create user plain password 'Plain-pass-1'",
            );
        }
        let key = server.create_user("mydbuser", Some(&db.policy("Allow", "mydbuser")));
        let open = server.open_session(&db, "mydbuser", &server.token(&db, "mydbuser", &key).text());
        Self { server, db, other_db, key, open }
    }

    fn good(&self) -> Token {
        self.server.token(&self.db, "mydbuser", &self.key)
    }

    /// A login as `mydbuser` that must be refused by the door.
    #[track_caller]
    fn refused(&mut self, what: &str, password: &str, reason: &str) {
        let text = self.server.door().refusal("mydbuser");
        let conninfo = self.server.conninfo(&self.db, "mydbuser");
        self.case(what, &conninfo, password, &text, Some(reason));
    }

    /// A login that must be refused with this text, and with this reason in the audit trail: with none where the database
    /// refuses by itself.
    #[track_caller]
    fn case(&mut self, what: &str, conninfo: &str, password: &str, text: &str, reason: Option<&str>) {
        println!("{what}");
        let before = self.server.audit().len();
        let output = self.server.psql(conninfo, password, "select 1");
        assert!(!output.ok() && output.stderr.contains(text), "{what}: expected `{text}`:\n{output}");
        let records = self.server.audit().split_off(before);
        match reason {
            None => assert!(records.is_empty(), "{what}: {records:?}"),
            Some(reason) => {
                assert_eq!(records.len(), 1, "{what}: {records:?}");
                assert_eq!(records[0]["reason"], reason, "{what}: {records:?}");
                assert_eq!(records[0]["decision"], "refused", "{what}: {records:?}");
                assert_eq!(records[0]["door"], self.server.door().as_str(), "{what}");
                assert_eq!(records[0]["database"], self.db.resource_id, "{what}");
                assert!(!output.stderr.contains(reason), "{what}: the client is told why:\n{output}");
            }
        }
        self.good_login();
    }

    /// The next good login works, and the open session is what it was.
    #[track_caller]
    fn good_login(&mut self) {
        let user = self.login(&self.good().text()).succeed();
        assert_eq!(user, "mydbuser");
        assert_eq!(self.server.audit().last().unwrap()["decision"], "allowed");
        self.open.check();
    }

    fn login(&self, password: &str) -> Output {
        self.server.login(&self.db, "mydbuser", password, "select session_user")
    }

    /// Tokens that are wrong in themselves, or for something else.
    fn tokens(&mut self) {
        for BadToken { what, text, reason } in bad_tokens(&self.good(), self.other_db.port) {
            self.refused(what, &text, reason);
        }
        // The same text is good where it belongs.
        let elsewhere = self.server.token(&self.other_db, "mydbuser", &self.key).text();
        self.refused("the other instance's token", &elsewhere, "wrong-endpoint");
    }

    /// Keys that do not count any more, and principals that may not.
    fn keys_and_policies(&mut self) {
        let aws = |server: &Server, line: &str| server.aws(&line.split(' ').collect::<Vec<_>>()).succeed();
        let second = self.server.create_access_key("mydbuser");
        let token = self.server.token(&self.db, "mydbuser", &second).text();
        self.login(&token).succeed();
        let update =
            format!("iam update-access-key --user-name mydbuser --access-key-id {} --status", second.id);
        aws(&self.server, &format!("{update} Inactive"));
        self.refused("an inactive key", &token, "inactive-access-key");
        aws(&self.server, &format!("{update} Active"));
        self.login(&token).succeed();
        aws(
            &self.server,
            &format!("iam delete-access-key --user-name mydbuser --access-key-id {}", second.id),
        );
        self.refused("a deleted key", &token, "unknown-access-key");

        let key = self.server.create_user("newcomer", None);
        let token = self.server.token(&self.db, "mydbuser", &key).text();
        self.refused("no policy", &token, "not-authorized");
        let put = |world: &Self, name: &str, document: &str| {
            let arguments = ["--user-name", "newcomer", "--policy-name", name, "--policy-document", document];
            world.server.aws(&[&["iam", "put-user-policy"], &arguments[..]].concat()).succeed();
        };
        put(self, "elsewhere", &self.other_db.policy("Allow", "mydbuser"));
        self.refused("a policy for another resource id", &token, "not-authorized");
        put(self, "as-another", &self.db.policy("Allow", "otheruser"));
        self.refused("a policy for another user", &token, "not-authorized");
        put(self, "here", &self.db.policy("Allow", "mydbuser"));
        self.login(&token).succeed();
        put(self, "deny", &self.db.policy("Deny", "my*"));
        self.refused("an explicit Deny", &token, "explicit-deny");
        aws(&self.server, "iam delete-user-policy --user-name newcomer --policy-name deny");
        self.login(&token).succeed();
        aws(&self.server, "iam delete-user-policy --user-name newcomer --policy-name here");
        self.refused("a policy that was taken away", &token, "not-authorized");
    }

    /// Logins about which nobody is asked.
    fn without_asking(&mut self) {
        let token = |world: &Self, user: &str| world.server.token(&world.db, user, &world.key).text();
        let as_password = token(self, "plain");
        let conninfo = self.server.conninfo(&self.db, "plain");
        let refused = "password authentication failed for user \"plain\"";
        self.case("a token for a role without rds_iam", &conninfo, &as_password, refused, None);
        self.server.psql(&conninfo, "Plain-pass-1", "select 1").succeed();

        let Database { host, port, .. } = &self.db;
        let plaintext = format!("host={host} port={port} dbname=postgres user=mydbuser sslmode=disable");
        let token = token(self, "mydbuser");
        self.case("no TLS", &plaintext, &token, "no encryption", None);
        let replication = format!("{} replication=database", self.server.conninfo(&self.db, "mydbuser"));
        let physical = replication.replace("replication=database", "replication=true");
        self.case("replication", &physical, &token, "no pg_hba.conf entry for replication", None);
    }

    fn iam_switched_off(&mut self) {
        let modify = |world: &Self, switch: &str| {
            let arguments = ["--db-instance-identifier", "mydb", "--apply-immediately", switch];
            world.server.aws(&[&["rds", "modify-db-instance"], &arguments[..]].concat()).succeed();
            world.server.await_database("mydb");
        };
        modify(self, "--no-enable-iam-database-authentication");
        let before = self.server.audit().len();
        self.login(&self.good().text()).fail_with("password authentication failed for user \"mydbuser\"");
        assert_eq!(self.server.audit().len(), before, "nobody is asked");
        self.login("Old-pass-1").succeed();
        self.open.check();
        modify(self, "--enable-iam-database-authentication");
        self.refused("the old password, with IAM on again", "Old-pass-1", "not-a-token");
    }

    /// A temporary credential past its end. The shortest lives for 15 minutes: the test moves its end in the store.
    fn ended_session(&mut self) {
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"123456789012"}}]}"#;
        let arguments = ["--role-name", "app", "--assume-role-policy-document", trust];
        self.server.aws(&[&["iam", "create-role"], &arguments[..]].concat()).succeed();
        let policy = self.db.policy("Allow", "mydbuser");
        let arguments = ["--role-name", "app", "--policy-name", "connect", "--policy-document", &policy];
        self.server.aws(&[&["iam", "put-role-policy"], &arguments[..]].concat()).succeed();
        let key = self.server.assume_role("app");
        let token = self.server.token(&self.db, "mydbuser", &key);
        self.login(&token.text()).succeed();

        let mut bare = token.clone();
        bare.key.session = None;
        self.refused("a temporary key without its session token", &bare.text(), "security-token");
        let another = Key { session: self.server.assume_role("app").session, ..key.clone() };
        let mixed = Token { key: another, ..token.clone() }.text();
        self.refused("a temporary key with another's session token", &mixed, "security-token");

        self.server.terminate();
        end_session(&self.server, &key);
        self.server.start_again();
        self.refused("a temporary credential past its end", &token.text(), "session-expired");
        self.server.aws_as(&key, &["sts", "get-caller-identity"]).fail_with("ExpiredToken");
    }

    /// Countersign stopped and hanging.
    fn nobody_answers(&mut self) {
        let token = self.good().text();
        let refusal = self.server.door().refusal("mydbuser");
        let databases = self.server.postmasters();
        self.server.terminate();
        let output = self.login(&token);
        assert!(output.took < Duration::from_millis(2500), "stopped:\n{output}");
        output.fail_with(&refusal);
        self.open.check();
        assert_eq!(self.server.postmasters(), databases);
        self.server.start_again();
        self.server.await_database("mydb");
        self.good_login();

        self.server.pause();
        let output = self.login(&token);
        self.server.resume();
        assert!(output.took < Duration::from_millis(3500), "hanging:\n{output}");
        output.fail_with(&refusal);
        self.good_login();
        assert_eq!(self.server.postmasters(), databases);
    }

    /// Something else answers in Countersign's place.
    fn garbage_is_answered(&mut self) {
        let token = self.good().text();
        let refusal = self.server.door().refusal("mydbuser");
        self.server.terminate();
        let answers: [(&str, &[u8]); 6] = [
            ("a bind that succeeds", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"),
            (
                "yes to TLS, and a bind that succeeds in the clear",
                b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\
                  \x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
            ),
            ("noise", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            ("zeros", &[0; 4096]),
            ("ones", &[0xff; 4096]),
            ("nothing, and the end", b""),
        ];
        for (what, answer) in answers {
            println!("garbage: {what}");
            let impostor = self.impostor(answer);
            let output = self.login(&token);
            assert!(output.took < Duration::from_millis(3500), "{what}:\n{output}");
            output.fail_with(&refusal);
            self.open.check();
            drop(impostor);
        }
        self.server.start_again();
        self.server.await_database("mydb");
        self.good_login();
    }

    /// Listens where Countersign would, and gives every caller the same answer.
    fn impostor(&self, answer: &'static [u8]) -> std::thread::JoinHandle<()> {
        match self.server.door() {
            Door::Pam => {
                let data = self.server.postmasters().into_keys().find(|data| {
                    data.components().any(|part| part.as_os_str() == self.db.resource_id.as_str())
                });
                impostor(&data.unwrap().join("countersign.sock"), answer)
            }
            Door::Ldap => {
                let address = std::fs::read_to_string(self.server.data_dir().join("ldap-address")).unwrap();
                let listener = TcpListener::bind(address.trim()).unwrap();
                std::thread::spawn(move || answer_anything(listener.accept().unwrap().0, answer))
            }
        }
    }
}
