//! `countersign doctor` on MySQL and MariaDB: what is theirs alone among its findings, and a login that works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Database, Flavor, Key, Server};
use serde_json::Value;
use std::time::{Duration, Instant};

const PASSWORD: &str = "Master-pass-1";
const ON: &str = "--enable-iam-database-authentication";

#[test]
fn mysql() {
    examine(Flavor::MySql);
}

#[test]
fn mariadb() {
    examine(Flavor::MariaDb);
}

#[test]
fn recent_mariadb() {
    examine(Flavor::RecentMariaDb);
}

struct World {
    server: Server,
    db: Database,
    key: Key,
}

impl World {
    #[track_caller]
    fn of(&self, user: &str, arguments: &[&str]) -> (i32, Value) {
        let port = self.db.port.to_string();
        let base = ["doctor", "--json", "--host", &self.db.host, "--port", &port, "--user", user];
        let admin = ["--api-profile", "admin", "--admin-user", "admin"];
        let variables = [
            ("AWS_ACCESS_KEY_ID", Some(self.key.id.as_str())),
            ("AWS_SECRET_ACCESS_KEY", Some(self.key.secret.as_str())),
            ("MYSQL_PWD", Some(PASSWORD)),
        ];
        let output = self.server.countersign_with(&variables, &[&base[..], &admin, arguments].concat());
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(
            !said.contains(&self.key.secret) && !said.contains(PASSWORD) && !said.contains("X-Amz-"),
            "{output}"
        );
        let json = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}:\n{output}"));
        (output.code.unwrap(), json)
    }

    /// A step has a status and says this somewhere.
    #[track_caller]
    fn has(&self, report: &Value, step: &str, status: &str, text: &str) {
        let finding =
            report["findings"].as_array().unwrap().iter().find(|finding| finding["step"] == step).unwrap();
        let said = finding.to_string();
        assert!(
            finding["status"] == status && said.contains(text),
            "`{step}` is not {status} with `{text}`: {report:#}"
        );
    }

    /// The likely cause of a login that fails.
    #[track_caller]
    fn cause(&self, user: &str, step: &str, text: &str) -> Value {
        let (code, report) = self.of(user, &[]);
        assert!(code == 1 && report["cause"]["step"] == step, "{report:#}");
        self.has(&report, step, "failed", text);
        report
    }
}

fn examine(flavor: Flavor) {
    let server = Server::for_mysql(flavor, &[]);
    let db = server.create_mysql_instance("mydb", flavor, &[ON]);
    let environment = server.environment();
    let profile = format!(
        "[admin]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    );
    std::fs::write(server.work_dir().join("credentials"), profile).unwrap();
    server.as_mysql_master(
        &db,
        "create database shop;
         create user app identified with AWSAuthenticationPlugin as 'RDS' require ssl; grant select on shop.* to app;
         create user bare identified with AWSAuthenticationPlugin as 'RDS';
         create user plain identified by 'Plain-pass-1';
         create user locked identified with AWSAuthenticationPlugin as 'RDS' require ssl account lock;",
    );
    let key = server.create_user("app", Some(&db.policy("Allow", "*")));
    let world = World { server, db, key };

    // What kind of server it is, the API says.
    let (code, report) = world.of("app", &["--database", "shop"]);
    assert!(code == 0 && report["status"] == "ok" && report["engine"] == "mysql", "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["status"] == "ok"), "{report:#}");
    world.has(&report, "protocol", "ok", if flavor == Flavor::MySql { "MySQL" } else { "MariaDB" });
    // Without the API, the server says it.
    let port = world.db.port.to_string();
    let base = ["doctor", "--json", "--host", &world.db.host, "--port", &port, "--user", "app", "--no-api"];
    let nobody = world.server.create_user("nobody", None);
    let key = [("AWS_ACCESS_KEY_ID", Some(&*nobody.id)), ("AWS_SECRET_ACCESS_KEY", Some(&*nobody.secret))];
    let output = world.server.countersign_with(&key, &base);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["engine"], "mysql", "{output}");
    world.has(&report, "login", "failed", "ERROR 1045");

    let (code, report) = world.of("bare", &[]);
    assert_eq!(code, 0, "{report:#}");
    // Recent servers demand TLS of everybody, as on Amazon RDS.
    if flavor == Flavor::MariaDb {
        world.has(&report, "require-tls", "warning", "ALTER USER 'bare'@'%' REQUIRE SSL");
        assert_eq!(report["status"], "warning");
    } else {
        world.has(&report, "require-tls", "ok", "require_secure_transport");
    }
    world.has(&report, "login", "ok", "logged in as");

    let report =
        world.cause("plain", "token-user", "ALTER USER 'plain'@'%' IDENTIFIED WITH AWSAuthenticationPlugin");
    world.has(&report, "login", "failed", "not for a token");
    let report = world.cause("missing", "account", "CREATE USER 'missing'@'%'");
    world.has(&report, "login", "failed", "");
    world.cause("locked", "account", "ACCOUNT UNLOCK");
    let (_, report) = world.of("app", &["--database", "nowhere"]);
    assert_eq!(report["cause"]["step"], "privilege", "{report:#}");
    world.has(&report, "login", "failed", "");

    // PostgreSQL's client hears a greeting that it does not expect.
    let (_, report) = world.of("app", &["--engine", "postgres"]);
    assert_eq!(report["cause"]["step"], "protocol", "{report:#}");
    world.has(&report, "protocol", "failed", "--engine mysql");

    let off = [
        "rds",
        "modify-db-instance",
        "--db-instance-identifier",
        "mydb",
        "--no-enable-iam-database-authentication",
        "--apply-immediately",
    ];
    world.server.aws(&off).succeed();
    let started = Instant::now();
    let not_loaded = || {
        let (_, report) = world.of("app", &[]);
        report["findings"].to_string().contains("ERROR 1524").then_some(report)
    };
    let report = loop {
        if let Some(report) = not_loaded() {
            break report;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the plugin is still there");
    };
    assert_eq!(report["cause"]["step"], "iam-authentication", "{report:#}");
    world.has(&report, "login", "failed", "--enable-iam-database-authentication");
    world.has(&report, "token-user", "failed", "the plugin AWSAuthenticationPlugin is not there");
}
