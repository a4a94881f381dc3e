//! `--source-ip`: with it policies see the client's address at a login; without it, as on AWS, it is absent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Database, Door, Key, Server};

/// Puts a policy of jane's and logs in as `mydbuser`; what the audit trail has then.
#[track_caller]
fn login(server: &Server, db: &Database, key: &Key, document: &str) -> String {
    let arguments = ["--user-name", "jane", "--policy-name", "connect", "--policy-document", document];
    server.aws(&[&["iam", "put-user-policy"], &arguments[..]].concat()).succeed();
    let token = server.token(db, "mydbuser", key).text();
    let output = server.login(db, "mydbuser", &token, "select 1");
    let record = server.audit().pop().unwrap();
    let reason = record["reason"].as_str().unwrap_or("allowed");
    assert_eq!(output.ok(), reason == "allowed", "{output}\n{record}");
    reason.to_owned()
}

/// Allows from the addresses, and from anywhere else where the second statement denies nothing.
fn documents(db: &Database, addresses: &str) -> [String; 2] {
    let Database { region, resource_id, .. } = db;
    let about = format!(
        r#""Action": "rds-db:connect", "Resource": "arn:aws:rds-db:{region}:123456789012:dbuser:{resource_id}/mydbuser""#
    );
    let condition =
        |operator: &str| format!(r#""Condition": {{"{operator}": {{"aws:SourceIp": [{addresses}]}}}}"#);
    let policy = |statements: &str| format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
    [
        policy(&format!(r#"{{"Effect": "Allow", {about}, {}}}"#, condition("IpAddress"))),
        policy(&format!(
            r#"{{"Effect": "Allow", {about}}}, {{"Effect": "Deny", {about}, {}}}"#,
            condition("NotIpAddress")
        )),
    ]
}

#[test]
fn policies_see_the_clients_address_where_they_are_to() {
    let Some(door) = Door::pam() else { return };
    for (setting, near, near_or_denied, far) in [
        ("--source-ip=false", "not-authorized", "explicit-deny", "not-authorized"),
        ("--source-ip", "allowed", "allowed", "not-authorized"),
    ] {
        let server = Server::start_with(door, &[setting]);
        let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
        server.as_master(&db, "create user mydbuser; grant rds_iam to mydbuser");
        let key = server.create_user("jane", None);
        let [allow, deny] = documents(&db, r#""127.0.0.0/8", "::1""#);
        assert_eq!(login(&server, &db, &key, &allow), near, "{setting}");
        assert_eq!(login(&server, &db, &key, &deny), near_or_denied, "{setting}");
        let [allow, deny] = documents(&db, r#""10.0.0.0/8""#);
        assert_eq!(login(&server, &db, &key, &allow), far, "{setting}");
        assert_eq!(login(&server, &db, &key, &deny), "explicit-deny", "{setting}");

        let principal = "arn:aws:iam::123456789012:user/jane";
        let arguments = ["policy", "explain", "--principal", principal, "--db", "mydb", "--user", "mydbuser"];
        let text = server.countersign(&arguments).succeed();
        let note = if setting == "--source-ip" {
            "`--context aws:SourceIp=ADDRESS`"
        } else {
            "`countersign serve --source-ip`"
        };
        assert!(text.contains(note), "{setting}:\n{text}");
    }
}

/// PostgreSQL's LDAP method says nothing of the client.
#[test]
fn the_ldap_door_has_none_to_give() {
    let server = Server::start_with(Door::Ldap, &["--source-ip"]);
    let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
    server.as_master(&db, "create user mydbuser; grant rds_iam to mydbuser");
    let key = server.create_user("jane", None);
    let [allow, _] = documents(&db, r#""0.0.0.0/0", "::/0""#);
    assert_eq!(login(&server, &db, &key, &allow), "not-authorized");
}
