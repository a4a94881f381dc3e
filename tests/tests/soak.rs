//! Logins, changes and faults for as long as `COUNTERSIGN_SOAK_SECONDS` says: nothing is lost, nothing grows. Run by
//! `make soak`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use countersign_tests::{Door, Server};
use std::time::{Duration, Instant};

/// How many clients log in at once.
const CLIENTS: usize = 8;

/// What Countersign may have grown by, in KiB, between the first rounds and the last: nothing that goes on growing fits.
const GROWTH: u64 = 48 * 1024;

#[test]
#[ignore = "takes as long as it is told to: `make soak`"]
fn soak_logins_changes_and_faults() {
    let seconds =
        std::env::var("COUNTERSIGN_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut server = Server::start(Door::usual());
    let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
    server.as_master(&db, "create user mydbuser; grant rds_iam to mydbuser");
    let key = server.create_user("mydbuser", Some(&db.policy("Allow", "mydbuser")));
    let mut session = server.open_session(&db, "postgres", "Master-pass-1");
    let deny = ["--user-name", "mydbuser", "--policy-name", "deny"];
    let document = [
        "--policy-document",
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#,
    ];

    let (mut rounds, mut logins) = (0_u32, 0_usize);
    while rounds < 3 || Instant::now() < until {
        let all = |good: bool| {
            std::thread::scope(|scope| {
                for _ in 0..CLIENTS {
                    scope.spawn(|| {
                        let token = server.token(&db, "mydbuser", &key).text();
                        let login = server.login(&db, "mydbuser", &token, "select session_user");
                        assert_eq!(login.ok(), good, "{}", server.log());
                    });
                }
            });
        };
        for _ in 0..4 {
            all(true);
        }
        server.aws(&[&["iam", "put-user-policy"], &deny[..], &document].concat()).succeed();
        all(false);
        server.aws(&[&["iam", "delete-user-policy"], &deny[..]].concat()).succeed();
        all(true);
        logins += 6 * CLIENTS;

        match rounds % 3 {
            0 => server.kill(),
            1 => server.terminate(),
            _ => {
                server.pause();
                all(false);
                server.resume();
            }
        }
        if rounds % 3 < 2 {
            server.start_again();
            server.await_database("mydb");
        }
        session.check();
        rounds += 1;
    }
    println!("{rounds} rounds, {logins} logins");

    // Memory, without a restart in between.
    let before = resident(server.pid());
    for _ in 0..10 {
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let token = server.token(&db, "mydbuser", &key).text();
                    assert!(server.login(&db, "mydbuser", &token, "select 1").ok());
                });
            }
        });
    }
    let after = resident(server.pid());
    println!("resident: {before} KiB, then {after} KiB");
    assert!(after < before + GROWTH, "grew from {before} to {after} KiB");
}

/// The resident memory of a process, in KiB.
fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
