//! A thousand logins from 64 clients at once, on MySQL and MariaDB: none is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Flavor, Server, run};
use std::process::Command;

#[test]
fn mysql() {
    load(Flavor::MySql);
}

#[test]
fn mariadb() {
    load(Flavor::MariaDb);
}

#[test]
fn recent_mariadb() {
    load(Flavor::RecentMariaDb);
}

fn load(flavor: Flavor) {
    let server = Server::for_mysql(flavor, &[]);
    let db = server.create_mysql_instance("mydb", flavor, &["--enable-iam-database-authentication"]);
    server.as_mysql_master(&db, "CREATE USER mydbuser IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'");
    let key = server.create_user("mydbuser", Some(&db.policy("Allow", "mydbuser")));
    let before = server.audit().len();
    let output = run(Command::new(env!("CARGO_BIN_EXE_mysql-logins"))
        .env("MYSQL_PWD", server.token(&db, "mydbuser", &key).text())
        .args([&db.host, &db.port.to_string(), "mydbuser"])
        .arg(server.bundle(&db.region))
        .args(["64", "16x"]));
    let said = output.succeed();
    assert!(said.starts_with("1024 0 "), "logins and failures: {said}");
    let records = server.audit().split_off(before);
    assert_eq!(records.len(), 1024);
    assert!(records.iter().all(|record| record["decision"] == "allowed"));
}
