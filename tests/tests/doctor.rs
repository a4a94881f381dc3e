//! `countersign doctor` on PostgreSQL: each of its findings is provoked, and a login that works has none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::pretender::{self, Authority};
use countersign_tests::refusal::end_session;
use countersign_tests::{Database, Door, Key, Server, free_port};
use serde_json::Value;
use std::net::TcpListener;

const PASSWORD: &str = "Master-pass-1";
const ROLE: &str = "arn:aws:iam::123456789012:role/apps/app";
const ON: &str = "--enable-iam-database-authentication";

/// A report, with the exit code.
struct Report {
    code: i32,
    json: Value,
}

impl Report {
    fn finding(&self, step: &str) -> &Value {
        let found = self.json["findings"].as_array().unwrap().iter().find(|finding| finding["step"] == step);
        found.unwrap_or_else(|| panic!("no finding `{step}`: {:#}", self.json))
    }

    /// A step has a status, and says this somewhere.
    #[track_caller]
    fn has(&self, step: &str, status: &str, text: &str) -> &Self {
        let finding = self.finding(step);
        let said = finding.to_string();
        assert!(
            finding["status"] == status && said.contains(text),
            "`{step}` is not {status} with `{text}`: {:#}",
            self.json
        );
        self
    }

    /// A step failed, is the likely cause, and says this somewhere.
    #[track_caller]
    fn cause(&self, step: &str, text: &str) -> &Self {
        self.has(step, "failed", text);
        assert!(self.code == 1 && self.json["status"] == "failed", "{:#}", self.json);
        assert_eq!(self.json["cause"]["step"], step, "{:#}", self.json);
        self
    }

    /// Nothing failed, and nothing is to be looked at.
    #[track_caller]
    fn all_ok(&self) {
        assert!(
            self.code == 0 && self.json["status"] == "ok" && self.json["cause"].is_null(),
            "{:#}",
            self.json
        );
        let findings = self.json["findings"].as_array().unwrap();
        assert!(findings.iter().all(|finding| finding["status"] == "ok"), "{:#}", self.json);
    }
}

struct World {
    server: Server,
    db: Database,
    /// May log in as `app`.
    key: Key,
}

impl World {
    fn new() -> Self {
        let server = Server::start(Door::usual());
        server.request_instance("off", &[]);
        let db = server.create_instance("mydb", &[ON]);
        server.as_master(
            &db,
            "create user app; grant rds_iam to app;
             create role team; grant rds_iam to team; create user nested; grant team to nested;
             create user plain password 'Plain-pass-1'; create role sleeper nologin; grant rds_iam to sleeper",
        );
        server.as_master(&db, "create database closed");
        server.as_master(&db, "revoke connect on database closed from public");
        let key = server.create_user("app", Some(&db.policy("Allow", "*")));
        Self { server, db, key }
    }

    /// Examines with other variables. Neither text nor JSON may hold a secret.
    #[track_caller]
    fn with(&self, key: &Key, variables: &[(&str, Option<&str>)], arguments: &[&str]) -> Report {
        let own = [
            ("AWS_ACCESS_KEY_ID", Some(key.id.as_str())),
            ("AWS_SECRET_ACCESS_KEY", Some(key.secret.as_str())),
            ("AWS_SESSION_TOKEN", key.session.as_deref()),
            ("PGPASSWORD", Some(PASSWORD)),
        ];
        let variables = [&own[..], variables].concat();
        let output = self.server.countersign_with(&variables, &[&["doctor", "--json"], arguments].concat());
        let said = format!("{}{}", output.stdout, output.stderr);
        for secret in
            [Some(&key.secret), key.session.as_ref(), Some(&PASSWORD.to_owned())].into_iter().flatten()
        {
            assert!(!secret.is_empty() && !said.contains(secret.as_str()), "a secret in:\n{output}");
        }
        assert!(!said.contains("X-Amz-"), "a token in:\n{output}");
        let json = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}:\n{output}"));
        Report { code: output.code.unwrap(), json }
    }

    /// Examines the login of a user to the database by a key; the administrator's key asks the API, for most may not.
    #[track_caller]
    fn of(&self, key: &Key, user: &str, arguments: &[&str]) -> Report {
        let port = self.db.port.to_string();
        let base = ["--host", &self.db.host, "--port", &port, "--user", user, "--api-profile", "admin"];
        let admin = ["--admin-user", "postgres"];
        let database = if arguments.contains(&"--database") { &[][..] } else { &["--database", "postgres"] };
        self.with(key, &[], &[&base[..], &admin, database, arguments].concat())
    }

    /// The same of `app`, without administrators.
    #[track_caller]
    fn at(&self, host: &str, port: u16, arguments: &[&str]) -> Report {
        let port = port.to_string();
        let base = ["--host", host, "--port", &port, "--user", "app", "--engine", "postgres"];
        self.with(&self.key, &[], &[&base[..], arguments].concat())
    }

    fn assume(&self, role: &str) -> Key {
        let assume = ["sts", "assume-role", "--role-session-name", "session", "--role-arn", role];
        let session: Value = serde_json::from_str(&self.server.aws(&assume).succeed()).unwrap();
        let text = |name: &str| session["Credentials"][name].as_str().unwrap().to_owned();
        Key { id: text("AccessKeyId"), secret: text("SecretAccessKey"), session: Some(text("SessionToken")) }
    }

    /// A profile of the administrator's.
    fn write_admin_profile(&self) {
        let environment = self.server.environment();
        let profile = format!(
            "[admin]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
        );
        std::fs::write(self.server.work_dir().join("credentials"), profile).unwrap();
    }
}

#[test]
fn every_finding_is_provoked() {
    let mut world = World::new();
    world.write_admin_profile();
    world.logins_that_work();
    world.the_way_there();
    world.certificates();
    world.credentials_and_region();
    world.policies();
    world.accounts();
    world.iam_authentication();
    world.text();
    world.an_ended_session();
}

impl World {
    fn logins_that_work(&self) {
        self.of(&self.key, "app", &[]).all_ok();
        let nested = self.of(&self.key, "nested", &[]);
        nested.all_ok();
        nested.has("token-user", "ok", "nested -> team -> rds_iam");

        // A role's session; who may ask the API only by another profile; the server found out by its first words.
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}"#;
        let make = [
            "iam",
            "create-role",
            "--path",
            "/apps/",
            "--role-name",
            "app",
            "--assume-role-policy-document",
            trust,
        ];
        self.server.aws(&make).succeed();
        let policy = self.db.policy("Allow", "app");
        let put = [
            "iam",
            "put-role-policy",
            "--role-name",
            "app",
            "--policy-name",
            "p",
            "--policy-document",
            &policy,
        ];
        self.server.aws(&put).succeed();
        let session = self.assume(ROLE);
        let report = self.of(&session, "app", &[]);
        report.all_ok();
        report.has("caller", "ok", "assumed-role/app/session").has("policy", "ok", "allowed by").has(
            "credentials",
            "ok",
            "temporary",
        );

        // Those who may not ask are not at fault.
        let report = self.at(&self.db.host, self.db.port, &["--database", "postgres"]);
        assert_eq!(report.code, 0, "{:#}", report.json);
        report.has("login", "ok", "logged in as").has("database", "skipped", "may not ask");
        report.has("policy", "skipped", "").has("account", "skipped", "--admin-user");
        let report = self.at(
            &self.db.host,
            self.db.port,
            &["--database", "postgres", "--no-api", "--region", "us-east-1"],
        );
        report
            .has("login", "ok", "")
            .has("clock", "skipped", "--no-api")
            .has("caller", "skipped", "--no-api");
    }

    fn the_way_there(&self) {
        let report = self.at("no-such-host.invalid", 5432, &[]);
        report.cause("name", "does not resolve").has("port", "skipped", "name").has(
            "login",
            "skipped",
            "not reached",
        );
        // All the same, what can be known is told.
        report
            .has("credentials", "ok", &self.key.id)
            .has("token", "ok", "characters")
            .has("caller", "ok", "user/app");

        let closed = self.at("localhost", free_port(), &[]);
        closed.cause("port", "nothing listens").has("protocol", "skipped", "port");
        // The API knows where the database is.
        let port = self.db.port.to_string();
        let elsewhere = free_port().to_string();
        let wrong = ["--host", &self.db.host, "--port", &elsewhere, "--user", "app", "--engine", "postgres"];
        let server = self.server.countersign(&[&["doctor", "--json"], &wrong[..]].concat());
        assert!(server.code == Some(1) && server.stdout.contains("nothing listens"), "{server}");

        self.at("localhost", pretender::silent(), &[]).cause("protocol", "says nothing");
        // A backlog that nobody takes connections from.
        let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
        self.at("localhost", deaf.local_addr().unwrap().port(), &[]).cause("protocol", "says nothing");
        let api = self.server.endpoint().unwrap();
        let api: u16 = api.rsplit(':').next().unwrap().parse().unwrap();
        self.at("localhost", api, &[]).cause("protocol", "an HTTP server");
        self.at("localhost", pretender::postgres(None), &[]).cause("protocol", "ssl = on");
        // MySQL's client waits for a greeting that does not come.
        let other = ["--host", "localhost", "--port", &port, "--user", "app", "--engine", "mysql"];
        self.with(&self.key, &[], &other).cause("protocol", "--engine postgres");
    }

    fn certificates(&self) {
        let (ours, theirs) = (Authority::new("Ours"), Authority::new("Theirs"));
        let file = |name: &str, pem: &str| {
            let path = self.server.work_dir().join(name);
            std::fs::write(&path, pem).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let bundle = file("ours.pem", &ours.pem());
        let day = time::Duration::DAY;
        let at = |port: u16, arguments: &[&str]| {
            self.at("localhost", port, &[&["--ca-bundle", &bundle], arguments].concat())
        };

        let report = at(self.db.port, &[]);
        report.cause("certificate", "countersign ca-bundle --region us-east-1").has(
            "login",
            "skipped",
            "not verified",
        );
        report.has("certificate", "failed", "is not in the CA bundle");
        report.has("certificate", "failed", "vouches for it");
        let foreign = at(pretender::postgres(Some(theirs.server("localhost", day))), &[]);
        foreign.cause("certificate", "authority `Theirs`").has("certificate", "failed", "do not go on");
        at(pretender::postgres(Some(ours.server("db.example.com", day))), &[])
            .cause("certificate", "countersign doctor --host db.example.com");
        at(pretender::postgres(Some(ours.server("localhost", -day))), &[])
            .cause("certificate", "has expired");
        at(pretender::postgres(Some(pretender::self_signed("localhost"))), &[])
            .cause("certificate", "self-signed");
        let none = file("none.pem", "hello");
        self.at("localhost", self.db.port, &["--ca-bundle", &none])
            .cause("certificate", "holds no certificate");
    }

    fn credentials_and_region(&self) {
        let port = self.db.port.to_string();
        let base = ["--host", &self.db.host, "--port", &port, "--user", "app", "--database", "postgres"];
        let without = [("AWS_ACCESS_KEY_ID", None), ("AWS_SECRET_ACCESS_KEY", None)];
        let report = self.with(&self.key, &without, &base);
        report
            .cause("credentials", "aws configure")
            .has("token", "skipped", "credentials")
            .has("login", "skipped", "token");
        // The server is looked at all the same, and its clock.
        report.has("certificate", "ok", "").has("clock", "ok", "");
        let report = self.with(&self.key, &[], &[&base[..], &["--profile", "nobody"]].concat());
        report.cause("credentials", "nobody");
        let half = [("AWS_SECRET_ACCESS_KEY", None)];
        self.with(&self.key, &half, &base).has("credentials", "failed", "only one of");
        let both = [("AWS_PROFILE", Some("admin"))];
        self.with(&self.key, &both, &base).has("credentials", "warning", "--profile").has("login", "ok", "");

        let wrong = Key { secret: "x".repeat(40), ..self.key.clone() };
        self.with(&wrong, &[], &base).cause("caller", "does not belong").has("login", "failed", "");
        let unknown = Key { id: "AKIAIOSFODNN7EXAMPLE".to_owned(), ..self.key.clone() };
        self.with(&unknown, &[], &base).cause("caller", "inactive").has("login", "failed", "");

        let nowhere = [("AWS_REGION", None), ("AWS_DEFAULT_REGION", None)];
        let report = self.with(&self.key, &nowhere, &base);
        report
            .cause("region", "export AWS_REGION")
            .has("token", "skipped", "region")
            .has("login", "skipped", "");
        let elsewhere = [("AWS_REGION", Some("eu-west-1")), ("AWS_DEFAULT_REGION", Some("eu-west-1"))];
        let report = self.with(&self.key, &elsewhere, &[&base[..], &["--api-profile", "admin"]].concat());
        report.cause("certificate", "--region us-east-1").has(
            "database",
            "warning",
            "another account or region",
        );
        let amazons = [
            "--host",
            "mydb.c7tj4example.us-east-1.rds.amazonaws.com",
            "--user",
            "app",
            "--region",
            "eu-west-1",
        ];
        let report = self.with(&self.key, &[], &[&amazons[..], &["--no-api"]].concat());
        report.has("region", "failed", "contradicts");

        // An API whose clock is ten minutes ahead.
        let ahead = format!("http://127.0.0.1:{}", pretender::http_ahead(time::Duration::minutes(10)));
        let bundle = self.server.bundle("us-east-1");
        let arguments = [&base[..], &["--ca-bundle", bundle.to_str().unwrap()]].concat();
        let report = self.with(&self.key, &[("AWS_ENDPOINT_URL", Some(&ahead))], &arguments);
        report.cause("clock", "timedatectl").has("clock", "failed", "behind").has(
            "caller",
            "failed",
            "timedatectl",
        );
    }

    fn policies(&self) {
        let nobody = self.server.create_user("nobody", None);
        let report = self.of(&nobody, "app", &[]);
        report.cause("policy", "aws iam put-user-policy --user-name nobody").has(
            "login",
            "failed",
            "token was refused",
        );
        let arn = format!("arn:aws:rds-db:us-east-1:123456789012:dbuser:{}/app", self.db.resource_id);
        report.has("policy", "failed", &arn);
        // The command that is told mends it.
        let command = report.finding("policy")["mend"][0]["command"].as_str().unwrap();
        self.server.shell(command).succeed();
        self.of(&nobody, "app", &[]).all_ok();

        let denied = self.server.create_user("denied", Some(&self.db.policy("Deny", "app")));
        self.of(&denied, "app", &[]).cause("policy", "denied by `user_denied_inline`");

        let boundary =
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
        let make = ["iam", "create-policy", "--policy-name", "boundary", "--policy-document", boundary];
        self.server.aws(&make).succeed();
        let limited = self.server.create_user("limited", Some(&self.db.policy("Allow", "app")));
        let arn = "arn:aws:iam::123456789012:policy/boundary";
        let put =
            ["iam", "put-user-permissions-boundary", "--user-name", "limited", "--permissions-boundary", arn];
        self.server.aws(&put).succeed();
        self.of(&limited, "app", &[]).cause("policy", "permissions boundary");
    }

    fn accounts(&self) {
        let report = self.of(&self.key, "missing", &[]);
        report.cause("account", "CREATE USER \\\"missing\\\"").has("token-user", "skipped", "");
        let report = self.of(&self.key, "plain", &[]);
        report
            .cause("token-user", "GRANT rds_iam TO \\\"plain\\\"")
            .has("account", "ok", "")
            .has("login", "failed", "rds_iam");
        self.of(&self.key, "sleeper", &[]).cause("account", "LOGIN");
        self.of(&self.key, "app", &["--database", "nowhere"]).cause("privilege", "no database `nowhere`");
        let closed = self.of(&self.key, "app", &["--database", "closed"]);
        closed.cause("privilege", "GRANT CONNECT").has("login", "failed", "42501");

        // Passwords by a file; and a wrong one, which keeps nothing else from being told.
        let file = self.server.work_dir().join("password");
        std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        self.of(&self.key, "app", &["--admin-password-file", file.to_str().unwrap()]).all_ok();
        std::fs::write(&file, "Wrong-pass-1\n").unwrap();
        let report = self.of(&self.key, "app", &["--admin-password-file", file.to_str().unwrap()]);
        report.cause("admin", "--admin-password-file").has("login", "ok", "").has("account", "skipped", "");
    }

    fn iam_authentication(&self) {
        let off = self.server.await_database("off");
        self.server.as_master(&off, "create user app password 'Old-pass-1'");
        let port = off.port.to_string();
        let base = [
            "--host",
            &off.host,
            "--port",
            &port,
            "--user",
            "app",
            "--database",
            "postgres",
            "--api-profile",
            "admin",
        ];
        let report = self.with(&self.key, &[], &base);
        report
            .cause("iam-authentication", "modify-db-instance --db-instance-identifier off")
            .has("login", "failed", "");
        self.server.aws(&["rds", "modify-db-instance", "--db-instance-identifier", "off", ON]).succeed();
        let report = self.with(&self.key, &[], &base);
        report.cause("iam-authentication", "maintenance window");
    }

    /// What a person sees: no colours, for it is no terminal.
    fn text(&self) {
        let port = self.db.port.to_string();
        let base = ["doctor", "--host", &self.db.host, "--port", &port, "--database", "postgres", "--user"];
        let output = self.server.countersign(&[&base[..], &["app"]].concat());
        assert!(output.ok() && output.stdout.ends_with("the login works\n"), "{output}");
        let output = self.server.countersign(&[&base[..], &["plain"]].concat());
        assert!(output.code == Some(1) && output.stdout.contains("likely cause: login: "), "{output}");
        assert!(output.stdout.contains("    GRANT rds_iam TO \"plain\";\n"), "{output}");
        assert!(!output.stdout.contains('\u{1b}'), "{output}");
        for wrong in
            [&["--port", "0"][..], &["--no-api", "--api-profile", "x"], &["--admin-password-file", "x"]]
        {
            let output = self.server.countersign(&[&base[..], &["app"], wrong].concat());
            assert_eq!(output.code, Some(2), "{output}");
        }
        let output = self.server.countersign(&["doctor", "--host", "http://localhost/", "--user", "app"]);
        assert_eq!(output.code, Some(2), "{output}");
    }

    fn an_ended_session(&mut self) {
        let session = self.assume(ROLE);
        self.server.terminate();
        end_session(&self.server, &session);
        self.server.start_again();
        let report = self.of(&session, "app", &[]);
        report
            .cause("caller", "the session is over")
            .has("login", "failed", "")
            .has("policy", "skipped", "caller");
    }
}
