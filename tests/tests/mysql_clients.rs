//! The drivers of `docs/clients.md`, each over TLS with certificate and name checked, and `aws:SourceIp` at a login.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Database, Driver, Flavor, Key, Output, Server};

#[test]
fn mysql() {
    clients(Flavor::MySql);
}

#[test]
fn mariadb() {
    clients(Flavor::MariaDb);
}

#[test]
fn recent_mariadb() {
    clients(Flavor::RecentMariaDb);
}

fn clients(flavor: Flavor) {
    // With a domain, so that the instance has a name as on Amazon RDS; `localhost` is another name of it.
    let server = Server::for_mysql(flavor, &["--endpoint-domain", "db.example.com", "--source-ip"]);
    let db = server.create_mysql_instance("mydb", flavor, &["--enable-iam-database-authentication"]);
    assert!(db.host.ends_with(".us-east-1.db.example.com"), "{}", db.host);
    let on_aws = db.host.replace("db.example.com", "rds.amazonaws.com");
    let db = Database { host: "localhost".to_owned(), ..db };
    server.as_mysql_master(
        &db,
        "CREATE USER app IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'; ALTER USER app REQUIRE SSL",
    );
    let key = server.create_user("jane", Some(&from(&db, "127.0.0.0/8", "::1/128")));
    let version = flavor.server().version;
    for driver in Driver::ALL {
        drive(&server, &db, &key, driver, &version);
    }
    let wrapper = |key: &Key| {
        server.mysql_login(&db, "app", "").aws_wrapper(&server.work_dir(), key, &on_aws, &db.region)
    };
    logged_in(wrapper(&key), &version);
    let record = server.audit().pop().unwrap();
    assert_eq!(
        (&record["decision"], &record["client"]),
        (&"allowed".into(), &"127.0.0.1".into()),
        "{record}"
    );

    // From elsewhere only.
    let elsewhere = from(&db, "10.0.0.0/8", "2001:db8::/32");
    let arguments = ["--user-name", "jane", "--policy-name", "inline", "--policy-document", &elsewhere];
    server.aws(&[&["iam", "put-user-policy"], &arguments[..]].concat()).succeed();
    let token = server.token(&db, "app", &key).text();
    refused(&server, server.mysql(&db, "app", &token, "SELECT 1"), "not-authorized");
    refused(&server, server.mariadb(&db, "app", &token, "SELECT 1"), "not-authorized");
    refused(&server, wrapper(&key), "not-authorized");
}

/// What a pool does: a connection, another when the token is no longer good, and so on with a new one.
#[track_caller]
fn drive(server: &Server, db: &Database, key: &Key, driver: Driver, version: &str) {
    let mut token = server.token(db, "app", key);
    let log_in = |token: &str| driver.log_in(&server.work_dir(), &server.mysql_login(db, "app", token));
    logged_in(log_in(&token.text()), version);
    token.age = 901;
    refused(server, log_in(&token.text()), "expired");
    token.age = 1;
    logged_in(log_in(&token.text()), version);
}

/// The client has said who it is.
#[track_caller]
fn logged_in(output: Output, version: &str) {
    let said = output.succeed();
    let row: Vec<String> = serde_json::from_str(&said).expect("an array");
    assert!(row[0] == "app@%" && row[1].starts_with("app@") && row[2].starts_with(version), "{said}");
}

#[track_caller]
fn refused(server: &Server, output: Output, reason: &str) {
    let said = output.fail();
    assert!(said.contains("1045") && said.contains("Access denied for user 'app'@"), "{said}");
    assert_eq!(server.audit().pop().unwrap()["reason"], reason);
}

/// A policy that lets in as `app` from addresses.
fn from(db: &Database, v4: &str, v6: &str) -> String {
    let Database { region, resource_id, .. } = db;
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "rds-db:connect",
            "Resource": "arn:aws:rds-db:{region}:123456789012:dbuser:{resource_id}/app",
            "Condition": {{"IpAddress": {{"aws:SourceIp": ["{v4}", "{v6}"]}}}}}}]}}"#
    )
}
