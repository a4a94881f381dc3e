//! Logins, changes and faults for as long as `COUNTERSIGN_SOAK_SECONDS` says: nothing is lost, nothing grows. Run by
//! `make soak`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use countersign_tests::{Database, Door, Flavor, Key, Server};
use std::time::{Duration, Instant};

/// How many clients log in at once.
const CLIENTS: usize = 8;

/// What Countersign may have grown by, in KiB, between the first rounds and the last: nothing that goes on growing fits.
const GROWTH: u64 = 48 * 1024;

#[test]
#[ignore = "takes as long as it is told to: `make soak`"]
fn soak_logins_changes_and_faults() {
    let until = Instant::now() + length();
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

#[test]
#[ignore = "takes as long as it is told to: `make soak`"]
fn soak_mysql() {
    soak(Flavor::MySql);
}

#[test]
#[ignore = "takes as long as it is told to: `make soak`"]
fn soak_mariadb() {
    soak(Flavor::MariaDb);
}

#[test]
#[ignore = "takes as long as it is told to: `make soak`"]
fn soak_recent_mariadb() {
    soak(Flavor::RecentMariaDb);
}

/// The same on MySQL or MariaDB, whose server is one process for all sessions: it must be the same one at the end.
fn soak(flavor: Flavor) {
    let until = Instant::now() + length();
    let mut server = Server::for_mysql(flavor, &[]);
    let db = server.create_mysql_instance("mydb", flavor, &["--enable-iam-database-authentication"]);
    server.as_mysql_master(&db, "CREATE USER mydbuser IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'");
    let key = server.create_user("mydbuser", Some(&db.policy("Allow", "mydbuser")));
    let mut session = server.open_mysql_session(&db, "admin", "Master-pass-1");
    let servers = server.mysql_servers();
    let pid = *servers.values().next().unwrap();
    let modify = ["rds", "modify-db-instance", "--db-instance-identifier", "mydb", "--apply-immediately"];
    let switch = |server: &Server, switch: &str| {
        server.aws(&[&modify[..], &[switch]].concat()).succeed();
    };

    let (mut rounds, mut logins) = (0_u32, 0_usize);
    while rounds < 3 || Instant::now() < until {
        all(&server, &db, &key, 25, Some(true));
        match rounds % 3 {
            0 => server.kill(),
            1 => server.terminate(),
            _ => {
                server.pause();
                all(&server, &db, &key, 1, Some(false));
                server.resume();
            }
        }
        if rounds % 3 < 2 {
            all(&server, &db, &key, 25, Some(false));
            server.start_again();
            server.await_database("mydb");
        }
        all(&server, &db, &key, 25, Some(true));
        // The plugin goes while logins use it, and comes again.
        std::thread::scope(|scope| {
            scope.spawn(|| all(&server, &db, &key, 100, None));
            switch(&server, "--no-enable-iam-database-authentication");
        });
        await_login(&server, &db, &key, false);
        switch(&server, "--enable-iam-database-authentication");
        await_login(&server, &db, &key, true);
        logins += 150 * CLIENTS;
        session.check();
        assert_eq!(server.mysql_servers(), servers, "the same server goes on");
        rounds += 1;
    }
    println!("{rounds} rounds, {logins} logins");

    // Memory, without a restart in between: of Countersign and of the server, once all that they keep is there.
    all(&server, &db, &key, 100, Some(true));
    let before = [server.pid(), pid].map(resident);
    all(&server, &db, &key, 500, Some(true));
    let after = [server.pid(), pid].map(resident);
    println!("resident, Countersign and the server: {before:?} KiB, then {after:?} KiB");
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + GROWTH, "grew from {before} to {after} KiB");
    }
}

/// So many logins of each client, which must work or must not; or may do either, if they are told of it in the server's
/// words.
fn all(server: &Server, db: &Database, key: &Key, times: usize, good: Option<bool>) {
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..times {
                    let token = server.token(db, "mydbuser", key).text();
                    let told = server.mysql_login(db, "mydbuser", &token).by_driver();
                    match (&told, good) {
                        (Ok(()), Some(true) | None) => {}
                        (Err(told), Some(false)) if told.starts_with("1045 ") => {}
                        (Err(told), None) if told.starts_with("1524 ") || told.starts_with("1045 ") => {}
                        _ => panic!("{told:?}, and not {good:?}\n{}", server.log()),
                    }
                }
            });
        }
    });
}

/// Waits until logins work, or until there is no plugin for them.
fn await_login(server: &Server, db: &Database, key: &Key, good: bool) {
    let started = Instant::now();
    loop {
        let told = server.mysql_login(db, "mydbuser", &server.token(db, "mydbuser", key).text()).by_driver();
        if told.is_ok() == good {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{told:?}\n{}", server.log());
    }
}

/// How long to go on.
fn length() -> Duration {
    let seconds = std::env::var("COUNTERSIGN_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// The resident memory of a process, in KiB.
fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
