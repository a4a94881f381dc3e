//! Service control policies: put over the control socket, in force at the next login and call, and out of reach of the
//! account's own administrators.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Door, Output, Server};
use serde_json::Value;

fn scp(server: &Server, arguments: &[&str]) -> Output {
    server.countersign(&[&["policy", "scp"], arguments].concat())
}

/// Writes a document to a file and puts it.
fn put(server: &Server, name: &str, document: &str, more: &[&str]) -> Output {
    let path = server.work_dir().join(format!("{name}.json"));
    std::fs::write(&path, document).unwrap();
    scp(server, &[&["put", name, path.to_str().unwrap()], more].concat())
}

fn document(effect: &str, action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}", "Action": "{action}", "Resource": "{resource}"}}}}"#
    )
}

/// Level and name of each.
#[track_caller]
fn listed(server: &Server) -> Vec<String> {
    let all: Value = serde_json::from_str(&scp(server, &["list", "--json"]).succeed()).unwrap();
    let name = |policy: &Value| {
        format!("{}/{}", policy["level"].as_str().unwrap(), policy["name"].as_str().unwrap())
    };
    all.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_limit_is_in_force_at_the_next_login_and_the_next_call() {
    let mut server = Server::start(Door::usual());
    let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
    server.as_master(&db, "create user mydbuser; grant rds_iam to mydbuser");
    let key = server.create_user("jane", Some(&db.policy("Allow", "mydbuser")));
    let token = server.token(&db, "mydbuser", &key).text();
    let login = |server: &Server| {
        let output = server.login(&db, "mydbuser", &token, "select 1");
        let record = server.audit().pop().unwrap();
        let reason = record["reason"].as_str().unwrap_or("allowed").to_owned();
        assert_eq!(output.ok(), reason == "allowed", "{output}\n{record}");
        (reason, record)
    };
    let explained = |server: &Server| {
        let principal = "arn:aws:iam::123456789012:user/jane";
        let arguments = ["policy", "explain", "--principal", principal, "--db", "mydb", "--user", "mydbuser"];
        server.countersign(&arguments).succeed()
    };
    assert_eq!(login(&server).0, "allowed");
    assert!(scp(&server, &["list"]).succeed().contains("nothing limits the account"));

    // What is denied, is denied to the administrator too; the rest stays.
    let said = put(&server, "no-users", &document("Deny", "iam:CreateUser", "*"), &[]).succeed();
    assert!(said.contains("in force") && said.contains("FullAWSAccess came with it"), "{said}");
    assert_eq!(listed(&server), ["account/FullAWSAccess", "account/no-users"]);
    server.aws(&["iam", "create-user", "--user-name", "joan"]).fail_with(
        "User: arn:aws:iam::123456789012:user/administrator is not authorized to perform: iam:CreateUser on resource: \
         arn:aws:iam::123456789012:user/joan with an explicit deny in a service control policy",
    );
    assert_eq!(login(&server).0, "allowed");
    let text = explained(&server);
    assert!(
        text.contains("service control policies, level account: allowed\n  FullAWSAccess\n    1  Allow  4:5"),
        "{text}"
    );

    let said = put(&server, "No-Users", &document("Deny", "rds-db:*", "*"), &[]).succeed();
    assert!(said.contains("replaced") && !said.contains("came with it"), "{said}");
    let (reason, record) = login(&server);
    assert_eq!(
        (reason.as_str(), &record["policy_type"]),
        ("explicit-deny", &"service control policy".into())
    );
    assert_eq!(record["decided_by"], "No-Users statement 1");
    server.aws(&["iam", "create-user", "--user-name", "joan"]).succeed();
    let shown = scp(&server, &["show", "no-users"]).succeed();
    assert_eq!(shown, document("Deny", "rds-db:*", "*"));

    // Another level, a list of what is allowed: every level must allow.
    scp(&server, &["delete", "no-users"]).succeed();
    put(&server, "only-iam", &document("Allow", "iam:*", "*"), &["--level", "ou"]).succeed();
    assert_eq!(login(&server).0, "allowed");
    scp(&server, &["delete", "fullawsaccess", "--level", "ou"]).succeed();
    let (reason, record) = login(&server);
    assert_eq!(reason, "not-allowed-by-service-control-policy");
    assert_eq!(
        (&record["class"], &record["policy_type"]),
        (&"NotAuthorized".into(), &"service control policy".into())
    );
    server.aws(&["rds", "describe-db-instances"]).fail_with(
        "is not authorized to perform: rds:DescribeDBInstances on resource: \
         arn:aws:rds:us-east-1:123456789012:db:* because no service control policy allows the rds:DescribeDBInstances action",
    );
    server.aws(&["iam", "list-users"]).succeed();
    let text = explained(&server);
    assert!(
        text.starts_with("refused (not-allowed-by-service-control-policy): no service control policy allows"),
        "{text}"
    );
    assert!(text.contains("level account: allowed\n") && text.contains("level ou: not allowed\n"), "{text}");

    // Limits outlive the server.
    server.interrupt();
    server.start_again();
    server.await_database("mydb");
    assert_eq!(login(&server).0, "not-allowed-by-service-control-policy");

    // The last policy of a level goes only when the level is to go.
    scp(&server, &["delete", "only-iam", "--level", "ou"])
        .fail_with("`countersign policy scp put FullAWSAccess --level ou` first");
    scp(&server, &["put", "FullAWSAccess", "--level", "ou"]).succeed();
    scp(&server, &["delete", "only-iam", "--level", "ou"]).succeed();
    scp(&server, &["delete", "FullAWSAccess", "--level", "ou"]).succeed();
    assert_eq!(listed(&server), ["account/FullAWSAccess"]);
    assert_eq!(login(&server).0, "allowed");
    assert!(
        server.log().contains("service control policy put")
            && server.log().contains("service control policy deleted")
    );
}

#[test]
fn what_is_no_limit_is_refused() {
    let server = Server::start(Door::usual());
    let refused = |output: Output, texts: &[&str]| {
        assert_eq!(output.code, Some(1), "{output}");
        for text in texts {
            assert!(output.stderr.contains(text), "`{text}` is not named:\n{output}");
        }
    };
    refused(put(&server, "cut", "{\n  \"Version\": ", &[]), &["cut.json`: 2:", "Syntax errors in policy."]);
    let twice = r#"{"Version":"2012-10-17","Statement":[{"Effect":"allow","Action":"*","Resource":"*"}]}"#;
    refused(put(&server, "case", twice, &[]), &["The policy failed legacy parsing", "`Allow` or `Deny`"]);
    let principal = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}"#;
    refused(put(&server, "trust", principal, &[]), &["Policy document should not specify a principal."]);
    let long = format!("{}{}", document("Deny", "s3:*", "*"), " ".repeat(5_100));
    refused(put(&server, "long", &long, &[]), &["characters", "5120"]);
    refused(put(&server, "empty", "", &[]), &["is empty"]);
    refused(scp(&server, &["put", "absent", "/absent.json"]), &["/absent.json"]);
    refused(scp(&server, &["show", "absent"]), &["absent", "policy scp list"]);
    refused(scp(&server, &["delete", "absent"]), &["absent", "there are no service control policies"]);
    assert!(listed(&server).is_empty());

    for name in ["one", "two", "three", "four"] {
        put(&server, name, &document("Deny", "s3:*", "*"), &["--level", "root"]).succeed();
    }
    refused(
        put(&server, "five", &document("Deny", "s3:*", "*"), &["--level", "root"]),
        &["root", "5 policies"],
    );
    put(&server, "four", &document("Deny", "s3:Get*", "*"), &["--level", "root"]).succeed();
    refused(scp(&server, &["delete", "one"]), &["level `root` has", "--level"]);
    refused(scp(&server, &["delete", "fore", "--level", "root"]), &["`four`"]);
    let list = scp(&server, &["list"]).succeed();
    assert!(list.starts_with("level  policy") && list.lines().count() == 6, "{list}");
}
