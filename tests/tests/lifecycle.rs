//! What becomes of an instance between its making and its end: stopped, started, rebooted, reconfigured, and under
//! every name that a client may know it by.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Database, Door, Key, Server};
use std::time::{Duration, Instant};

const IAM: &[&str] = &["--enable-iam-database-authentication"];

/// `aws rds OPERATION --db-instance-identifier ID` with more words.
#[track_caller]
fn rds(server: &Server, operation: &str, identifier: &str, more: &str) -> String {
    let mut arguments = vec!["rds", operation, "--db-instance-identifier", identifier];
    arguments.extend(more.split_whitespace());
    server.aws(&arguments).succeed()
}

#[track_caller]
fn await_status(server: &Server, identifier: &str, wanted: &str) {
    let started = Instant::now();
    loop {
        let status = server.status(identifier).unwrap_or_else(|| panic!("there is no `{identifier}`"));
        if status["status"] == wanted {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "not {wanted}: {status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The token must let in, when it is made as the client sees the database now.
#[track_caller]
fn login(server: &Server, db: &Database, key: &Key) -> String {
    server.login(db, "mydbuser", &server.token(db, "mydbuser", key).text(), "select session_user").succeed()
}

#[test]
fn of_an_instance() {
    let server = Server::start(Door::usual());
    let db = server.create_instance("mydb", IAM);
    server.as_master(
        &db,
        "create user mydbuser; grant rds_iam to mydbuser; create table kept as select 1 as one",
    );
    let key = server.create_user("mydbuser", Some(&db.policy("Allow", "mydbuser")));
    login(&server, &db, &key);

    rds(&server, "stop-db-instance", "mydb", "");
    await_status(&server, "mydb", "stopped");
    server.login(&db, "mydbuser", "x", "select 1").fail_with("Connection refused");
    rds(&server, "start-db-instance", "mydb", "");
    server.await_database("mydb");
    login(&server, &db, &key);

    let before = server.postmasters();
    rds(&server, "reboot-db-instance", "mydb", "");
    let started = Instant::now();
    while server.postmasters() == before || server.postmasters().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(30), "not rebooted");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.await_database("mydb");
    login(&server, &db, &key);

    // The master user: a new password, and then a token like everybody who is granted rds_iam.
    rds(&server, "modify-db-instance", "mydb", "--master-user-password Another-pass-2 --apply-immediately");
    server.await_database("mydb");
    server.login(&db, "postgres", "Master-pass-1", "select 1").fail_with("password authentication failed");
    server.login(&db, "postgres", "Another-pass-2", "grant rds_iam to postgres").succeed();
    server.login(&db, "postgres", "Another-pass-2", "select 1").fail_with(&server.door().refusal("postgres"));
    let policy = db.policy("Allow", "postgres");
    let owner = server.create_user("owner", Some(&policy));
    let token = server.token(&db, "postgres", &owner).text();
    assert_eq!(server.login(&db, "postgres", &token, "select one from kept").succeed(), "1");

    // From ECC to RSA: clients that trust the region's bundle see no difference.
    rds(
        &server,
        "modify-db-instance",
        "mydb",
        "--ca-certificate-identifier rds-ca-rsa2048-g1 --apply-immediately",
    );
    server.await_database("mydb");
    login(&server, &db, &key);
    let line = format!(
        "openssl s_client -starttls postgres -connect localhost:{} </dev/null 2>/dev/null | openssl x509 -noout -text",
        db.port
    );
    let certificate = server.shell(&line).succeed();
    assert!(certificate.contains("rsaEncryption") && certificate.contains("DNS:localhost"), "{certificate}");

    // Passwords without TLS where it is asked for; a token never.
    let plaintext = |user: &str, password: &str| {
        let conninfo = format!("host=localhost port={} dbname=postgres user={user} sslmode=disable", db.port);
        server.psql(&conninfo, password, "select 1")
    };
    server.login(&db, "postgres", &token, "create user plain password 'Plain-pass-1'").succeed();
    plaintext("plain", "Plain-pass-1").fail_with("no encryption");
    server.shell(
        "aws rds create-db-parameter-group --db-parameter-group-name open --description x --db-parameter-group-family postgres$(
             aws rds describe-db-instances --query 'DBInstances[0].EngineVersion' --output text | cut -d. -f1) &&
         aws rds modify-db-parameter-group --db-parameter-group-name open \
             --parameters ParameterName=rds.force_ssl,ParameterValue=0,ApplyMethod=immediate",
    ).succeed();
    rds(&server, "modify-db-instance", "mydb", "--db-parameter-group-name open --apply-immediately");
    server.await_database("mydb");
    let started = Instant::now();
    while !plaintext("plain", "Plain-pass-1").ok() {
        assert!(started.elapsed() < Duration::from_secs(10), "rds.force_ssl=0 is not in force");
        std::thread::sleep(Duration::from_millis(50));
    }
    let token = server.token(&db, "mydbuser", &key).text();
    plaintext("mydbuser", &token).fail_with("pg_hba.conf rejects connection");
    login(&server, &db, &key);

    // What cannot be had is refused by name, and nothing is changed.
    let rename = [
        "--db-instance-identifier",
        "mydb",
        "--new-db-instance-identifier",
        "renamed",
        "--apply-immediately",
    ];
    server.aws(&[&["rds", "modify-db-instance"], &rename[..]].concat()).fail_with("NewDBInstanceIdentifier");
    login(&server, &server.await_database("mydb"), &key);
}

/// Names under a domain, in another region, and those that AWS would give.
#[test]
fn under_every_name() {
    let server = Server::start_with(Door::usual(), &["--endpoint-domain", "db.example.com"]);
    let db =
        server.create_instance("mydb", &["--enable-iam-database-authentication", "--region", "eu-west-1"]);
    assert_eq!(db.region, "eu-west-1");
    assert!(db.host.starts_with("mydb.") && db.host.ends_with(".eu-west-1.db.example.com"), "{}", db.host);
    let on_aws = Database { host: db.host.replace("db.example.com", "rds.amazonaws.com"), ..db.clone() };
    // The names are not in the DNS: libpq is told the address, and checks the name against the certificate.
    let conninfo = |db: &Database, user: &str| format!("{} hostaddr=127.0.0.1", server.conninfo(db, user));
    let sql = "create user mydbuser; grant rds_iam to mydbuser";
    server.psql(&conninfo(&db, "postgres"), "Master-pass-1", sql).succeed();
    let key = server.create_user("mydbuser", Some(&db.policy("Allow", "mydbuser")));
    for named in [&db, &on_aws, &Database { host: "localhost".to_owned(), ..db.clone() }] {
        let token = server.token(named, "mydbuser", &key).text();
        server.psql(&conninfo(named, "mydbuser"), &token, "select 1").succeed();
        // What is signed counts, not what is dialled.
        server.psql(&conninfo(&db, "mydbuser"), &token, "select 1").succeed();
    }
    let capitals = Database { host: db.host.to_uppercase(), ..db.clone() };
    let token = server.token(&capitals, "mydbuser", &key).text();
    server.psql(&conninfo(&db, "mydbuser"), &token, "select 1").succeed();
    let other = Database { host: db.host.replace("mydb.", "other."), ..db.clone() };
    let token = server.token(&other, "mydbuser", &key).text();
    server.psql(&conninfo(&db, "mydbuser"), &token, "select 1").fail();
    assert_eq!(server.audit().last().unwrap()["reason"], "wrong-endpoint");

    // Regions are apart: the same name is another instance, and the default region does not show it.
    assert_eq!(server.shell("aws rds describe-db-instances --query DBInstances --output text").succeed(), "");
    server
        .aws(&["rds", "describe-db-instances", "--db-instance-identifier", "mydb"])
        .fail_with("DBInstanceNotFound");
    let here = server.shell("aws rds describe-db-instances --region eu-west-1 --query 'DBInstances[].DBInstanceIdentifier' --output text");
    assert_eq!(here.succeed(), "mydb");
    // Nor do its clients trust another region's authority.
    let elsewhere = server.bundle("us-east-1");
    let own = server.bundle("eu-west-1");
    let wrong = conninfo(&db, "mydbuser").replace(own.to_str().unwrap(), elsewhere.to_str().unwrap());
    server.psql(&wrong, "x", "select 1").fail_with("certificate verify failed");
}
