//! `countersign policy generate`: the policy that it prints lets in whom it names, and says what is left to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Door, Server, countersign, run};
use std::process::Command;

#[test]
fn a_generated_policy_lets_in_whom_it_names() {
    let server = Server::start(Door::usual());
    server.request_instance("off", &[]);
    let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
    let users = ["mydbuser", "odd*user"];
    let file = server.work_dir().join("connect.json");
    let file = file.to_str().unwrap();
    let arguments =
        ["policy", "generate", "--db", "mydb", "--user", users[0], "--user", users[1], "--output", file];
    let output = server.countersign(&arguments);
    assert!(output.ok() && output.stdout.is_empty(), "{output}");

    // What is said on standard error is what is typed then.
    let said: Vec<&str> = output.stderr.lines().map(str::trim).collect();
    let create = said.iter().find(|line| line.starts_with("aws iam create-policy ")).expect("how to make it");
    let attach =
        said.iter().find(|line| line.starts_with("aws iam attach-user-policy ")).expect("how to attach it");
    assert!(create.contains("mydb-connect") && create.ends_with(&format!("file://{file}")), "{output}");
    let key = server.create_user("jane", None);
    server.shell(create).succeed();
    server.shell(&attach.replace("NAME", "jane")).succeed();
    for line in said.iter().filter(|line| line.starts_with("CREATE USER")) {
        server.as_master(&db, line);
    }
    server.as_master(&db, "create user \"oddXuser\"; grant rds_iam to \"oddXuser\"");
    for user in users {
        let token = server.token(&db, user, &key).text();
        let conninfo = server.conninfo(&db, &format!("'{user}'"));
        assert_eq!(server.psql(&conninfo, &token, "select session_user").succeed(), user);
    }
    let token = server.token(&db, "oddXuser", &key).text();
    server.login(&db, "oddXuser", &token, "select 1").fail_with(&server.door().refusal("oddXuser"));

    let again = server.countersign(&arguments);
    assert_eq!(again.code, Some(1), "{again}");
    again.fail_with("--force");
    server.countersign(&[&arguments[..], &["--force"]].concat()).succeed();

    let output = server.countersign(&["policy", "generate", "--db", "off", "--user", "mydbuser"]);
    assert!(output.stderr.contains("warning: IAM database authentication is off for off"), "{output}");
    assert!(output.stderr.contains("modify-db-instance --db-instance-identifier off"), "{output}");
    let policy: serde_json::Value = serde_json::from_str(&output.succeed()).unwrap();
    let off = server.status("off").unwrap();
    assert_eq!(
        policy["Statement"][0]["Resource"][0],
        format!(
            "arn:aws:rds-db:us-east-1:123456789012:dbuser:{}/mydbuser",
            off["resource_id"].as_str().unwrap()
        )
    );
    server.countersign(&["policy", "generate", "--db", "mydp", "--user", "u"]).fail_with("`mydb`");
}

#[test]
fn without_a_server_everything_is_said() {
    let output = run(Command::new(countersign()).env_clear().args([
        "policy",
        "generate",
        "--resource-id",
        "db-ABCDEFGHIJKL01234",
        "--region",
        "us-gov-west-1",
        "--account-id",
        "210987654321",
        "--user",
        "a$b",
    ]));
    assert_eq!(
        output.succeed(),
        r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "rds-db:connect"
      ],
      "Resource": [
        "arn:aws-us-gov:rds-db:us-gov-west-1:210987654321:dbuser:db-ABCDEFGHIJKL01234/a${$}b"
      ]
    }
  ]
}"#
    );
}
