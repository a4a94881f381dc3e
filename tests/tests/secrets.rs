//! Where secrets are, and where they are not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Door, Server, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"123456789012"}}]}"#;

fn mode(path: &Path) -> u32 {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.permissions().mode() & 0o777
}

#[test]
fn stay_where_they_belong() {
    let mut server = Server::start_with(Door::usual(), &["--log", "debug"]);
    let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
    server.as_master(&db, "create user mydbuser; grant rds_iam to mydbuser");
    let key = server.create_user("mydbuser", Some(&db.policy("Allow", "mydbuser")));
    server
        .aws(&["iam", "create-role", "--role-name", "app", "--assume-role-policy-document", TRUST])
        .succeed();
    let session = server.assume_role("app");
    let good = server.token(&db, "mydbuser", &key).text();
    server.login(&db, "mydbuser", &good, "select 1").succeed();
    let refused = server.token(&db, "mydbuser", &session).text();
    server.login(&db, "mydbuser", &refused, "select 1").fail();
    server.login(&db, "mydbuser", "A-password-typed-here", "select 1").fail();
    server.login(&db, "postgres", "A-master-password-mistyped", "select 1").fail();
    server.aws_as(&session, &["sts", "get-caller-identity"]).succeed();
    let rename = [
        "--db-instance-identifier",
        "mydb",
        "--apply-immediately",
        "--master-user-password",
        "Another-pass-2",
    ];
    server.aws(&[&["rds", "modify-db-instance"], &rename[..]].concat()).succeed();
    server.await_database("mydb");

    let signature = |token: &str| token.rsplit_once('=').unwrap().1.to_owned();
    let administrator = server.environment()["AWS_SECRET_ACCESS_KEY"].clone();
    let secrets = [
        ("the administrator's secret access key", administrator),
        ("a user's secret access key", key.secret),
        ("a session's secret access key", session.secret),
        ("a session token", session.session.unwrap()),
        ("the signature of a good token", signature(&good)),
        ("the signature of a refused token", signature(&refused)),
        ("a master password", "Master-pass-1".to_owned()),
        ("a new master password", "Another-pass-2".to_owned()),
        ("a password in a token's place", "A-password-typed-here".to_owned()),
        ("a mistyped password", "A-master-password-mistyped".to_owned()),
    ];
    let processes = processes(&server);
    let log = server.log();
    assert!(log.contains(&key.id) && processes.contains("serve"), "the log and the processes are looked at");
    for (what, secret) in &secrets {
        assert!(!log.contains(secret), "{what} is in the log");
        assert!(!processes.contains(secret), "{what} is seen among the processes");
        let found = run(Command::new("grep").args(["-rlaF", "--", secret]).arg(server.data_dir())).stdout;
        let elsewhere: Vec<_> = found.lines().filter(|file| !file.ends_with("/administrator.toml")).collect();
        assert!(elsewhere.is_empty(), "{what} is in {elsewhere:?}");
    }
    files(&server);
    server.interrupt();
}

/// Command lines and environments of Countersign and its databases.
fn processes(server: &Server) -> String {
    let mut pids: Vec<i32> = server.postmasters().into_values().collect();
    pids.push(server.pid());
    let read = |pid: i32, file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap();
    let all: Vec<u8> =
        pids.iter().flat_map(|&pid| [read(pid, "cmdline"), read(pid, "environ")].concat()).collect();
    String::from_utf8_lossy(&all).into_owned()
}

fn files(server: &Server) {
    let data_dir = server.data_dir();
    assert_eq!(mode(&data_dir), 0o711);
    let private =
        ["administrator.toml", "master.key", "store.redb", "audit.jsonl", "control.sock", "endpoint"];
    for name in private {
        assert_eq!(mode(&data_dir.join(name)), 0o600, "{name}");
    }
    for data in server.postmasters().into_keys() {
        assert_eq!(mode(&data), 0o700);
        let config = data.parent().unwrap().join("config");
        assert_eq!(mode(&config.join("server.pem")), 0o600);
        assert_eq!(mode(&data.join("countersign.sock")) & 0o077, 0, "only the database server may ask");
    }
    if rustix::process::geteuid().is_root() {
        // Nor can the user that the databases run as.
        for name in private {
            let path = data_dir.join(name);
            let read = Command::new("setpriv")
                .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "cat"])
                .arg(&path)
                .output()
                .unwrap();
            assert!(!read.status.success(), "{name} can be read");
        }
    }
}
