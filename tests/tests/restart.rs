//! Ends and starts, wanted and not: nothing that was acknowledged is lost, and no session ends with Countersign.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Door, Server, countersign, run};
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

const IAM: &[&str] = &["--enable-iam-database-authentication"];

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills Countersign right after it has acknowledged something, again and again, and goes on from there.
#[test]
fn killed_at_any_moment() {
    let mut server = Server::start(Door::usual());
    server.request_instance("mydb", IAM);
    // The moments of a creation: at once, while the data directory is made, while the server starts.
    for moment in [0, 50, 200, 500, 900] {
        std::thread::sleep(Duration::from_millis(moment));
        server.kill();
        server.start_again();
    }
    let db = server.await_database("mydb");
    assert_eq!(server.postmasters().len(), 1);
    server.as_master(&db, "create user mydbuser; grant rds_iam to mydbuser");

    let key = server.create_user("mydbuser", None);
    server.kill();
    server.start_again();
    let policy = db.policy("Allow", "mydbuser");
    let arguments = ["--user-name", "mydbuser", "--policy-name", "connect", "--policy-document", &policy];
    server.aws(&[&["iam", "put-user-policy"], &arguments[..]].concat()).succeed();
    server.kill();
    server.start_again();
    let token = server.token(&db, "mydbuser", &key).text();
    wait_until("the door is open again", || server.login(&db, "mydbuser", &token, "select 1").ok());
    server
        .aws(&["iam", "delete-user-policy", "--user-name", "mydbuser", "--policy-name", "connect"])
        .succeed();
    server.kill();
    server.start_again();
    server.await_database("mydb");
    server.login(&db, "mydbuser", &token, "select 1").fail();
    wait_until("the refusal has its reason", || {
        server.login(&db, "mydbuser", &token, "select 1").fail();
        server.audit().last().unwrap()["reason"] == "not-authorized"
    });

    for moment in [0, 20, 100] {
        let switch = if moment == 20 {
            "--enable-iam-database-authentication"
        } else {
            "--no-enable-iam-database-authentication"
        };
        let arguments = ["--db-instance-identifier", "mydb", "--apply-immediately", switch];
        server.aws(&[&["rds", "modify-db-instance"], &arguments[..]].concat()).succeed();
        std::thread::sleep(Duration::from_millis(moment));
        server.kill();
        server.start_again();
        server.await_database("mydb");
        let method = if moment == 20 {
            server.door().refusal("mydbuser")
        } else {
            "password authentication failed".to_owned()
        };
        wait_until("the change is in force", || {
            server.login(&db, "mydbuser", "wrong", "select 1").fail().contains(&method)
        });
    }

    server
        .aws(&["rds", "delete-db-instance", "--db-instance-identifier", "mydb", "--skip-final-snapshot"])
        .succeed();
    server.kill();
    server.start_again();
    wait_until("the instance is gone", || server.status("mydb").is_none());
    server
        .aws(&["rds", "describe-db-instances", "--db-instance-identifier", "mydb"])
        .fail_with("DBInstanceNotFound");
    assert!(server.postmasters().is_empty());
    assert_eq!(
        std::fs::read_dir(server.data_dir().join("databases")).unwrap().count(),
        0,
        "its files are gone"
    );
    TcpListener::bind(("127.0.0.1", db.port)).expect("its port is free");
}

/// The databases do not need Countersign to live, and it finds them again.
#[test]
fn databases_outlive_countersign() {
    let mut server = Server::start(Door::usual());
    let db = server.create_instance("mydb", IAM);
    server.as_master(&db, "create user mydbuser; grant rds_iam to mydbuser");
    let key = server.create_user("mydbuser", Some(&db.policy("Allow", "mydbuser")));
    let token = server.token(&db, "mydbuser", &key).text();
    let mut open = server.open_session(&db, "mydbuser", &token);
    let postmasters = server.postmasters();
    assert_eq!(postmasters.len(), 1);

    server.kill();
    open.check();
    server.login(&db, "mydbuser", &token, "select 1").fail_with(&server.door().refusal("mydbuser"));
    server.as_master(&db, "select 1");
    server.start_again();
    assert_eq!(server.await_database("mydb").port, db.port);
    assert_eq!(server.postmasters(), postmasters, "the same server goes on");
    wait_until("the door is open again", || server.login(&db, "mydbuser", &token, "select 1").ok());
    open.check();

    server.terminate();
    assert_eq!(server.postmasters(), postmasters, "SIGTERM leaves the databases");
    open.check();
    // Started while its server is stopped by somebody else: it is made to run.
    let (data, &pid) = postmasters.iter().next().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    wait_until("the postmaster has ended", || server.postmasters().is_empty());
    server.start_again();
    server.await_database("mydb");
    wait_until("logins work again", || server.login(&db, "mydbuser", &token, "select 1").ok());

    // A postmaster that is killed is started again.
    let &pid = server.postmasters().get(data).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    wait_until("another postmaster runs", || server.postmasters().get(data).is_some_and(|&now| now != pid));
    wait_until("logins work again", || server.login(&db, "mydbuser", &token, "select 1").ok());

    server.interrupt();
    assert!(server.postmasters().is_empty(), "an interrupt stops the databases");
    server.start_again();
    server.await_database("mydb");
    server.login(&db, "mydbuser", &token, "select 1").succeed();
}

#[test]
fn one_server_for_a_data_directory() {
    let mut server = Server::start(Door::usual());
    let second = |server: &Server| {
        run(Command::new(countersign())
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(server.data_dir()))
    };
    let refused = second(&server);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("another"), "says that another server uses it: {refused}");
    // The first one has not been disturbed.
    server.aws(&["sts", "get-caller-identity"]).succeed();
    assert!(server.status("none").is_none());
    server.interrupt();
    server.start_again();
}

#[test]
fn a_port_in_use_is_an_error_that_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let server = Server::start(Door::usual());
    let listen = format!("127.0.0.1:{port}");
    let data_dir = server.work_dir().join("another");
    let output =
        run(Command::new(countersign()).args(["serve", "--listen", &listen, "--data-dir"]).arg(data_dir));
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains(&listen) && output.stderr.contains("--listen"), "{output}");
    let mut arguments =
        vec!["rds", "create-db-instance", "--db-instance-identifier", "mydb", "--engine", "postgres"];
    arguments.extend(["--db-instance-class", "db.t3.micro", "--allocated-storage", "20", "--port", &port]);
    arguments.extend(["--master-username", "postgres", "--master-user-password", "Master-pass-1"]);
    server.aws(&arguments).fail_with(&port);
    assert!(server.status("mydb").is_none(), "nothing is made");
}
