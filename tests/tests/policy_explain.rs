//! `countersign policy explain`: what it says is what a login comes to, and why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Database, Door, Key, Output, Server};
use serde_json::Value;

const IAM: &[&str] = &["--enable-iam-database-authentication"];
const JANE: &str = "arn:aws:iam::123456789012:user/jane";

/// Explains a login at `mydb` as `mydbuser`.
fn explain(server: &Server, principal: &str, more: &[&str]) -> Output {
    let arguments = ["policy", "explain", "--principal", principal, "--db", "mydb", "--user", "mydbuser"];
    server.countersign(&[&arguments[..], more].concat())
}

#[track_caller]
fn json(output: Output) -> Value {
    serde_json::from_str(&output.succeed()).expect("JSON")
}

/// What a login comes to, by the audit trail: `allowed`, or the reason for its refusal.
#[track_caller]
fn login(server: &Server, db: &Database, key: &Key) -> String {
    let before = server.audit().len();
    let token = server.token(db, "mydbuser", key).text();
    let output = server.login(db, "mydbuser", &token, "select 1");
    let records = server.audit().split_off(before);
    assert_eq!(records.len(), 1, "{records:?}\n{output}");
    let reason = records[0]["reason"].as_str();
    assert_eq!(reason.is_none(), output.ok(), "{output}");
    reason.unwrap_or("allowed").to_owned()
}

/// What the explanation comes to, in the same words.
#[track_caller]
fn explained(server: &Server, principal: &str) -> String {
    let answer = json(explain(server, principal, &["--json"]));
    let reason = answer["reason"].as_str();
    assert_eq!(answer["decision"], if reason.is_none() { "allowed" } else { "refused" }, "{answer:#}");
    reason.unwrap_or("allowed").to_owned()
}

fn resource(db: &Database, user: &str) -> String {
    format!("arn:aws:rds-db:{}:123456789012:dbuser:{}/{user}", db.region, db.resource_id)
}

#[track_caller]
fn put_user_policy(server: &Server, name: &str, document: &str) {
    let arguments = ["--user-name", "jane", "--policy-name", name, "--policy-document", document];
    server.aws(&[&["iam", "put-user-policy"], &arguments[..]].concat()).succeed();
}

#[track_caller]
fn create_policy(server: &Server, name: &str, document: &str) -> String {
    let arguments = ["iam", "create-policy", "--policy-name", name, "--policy-document", document];
    let answer: Value = serde_json::from_str(&server.aws(&arguments).succeed()).unwrap();
    answer["Policy"]["Arn"].as_str().unwrap().to_owned()
}

/// The reports of a policy's statements.
#[track_caller]
fn statements<'a>(answer: &'a Value, policy: &str) -> &'a [Value] {
    let policies = answer["policies"].as_array().unwrap().iter();
    let mut policies = policies.flat_map(|of_type| of_type["policies"].as_array().unwrap());
    let found = policies.find(|shown| shown["name"] == policy);
    found.unwrap_or_else(|| panic!("no `{policy}` in {answer:#}"))["statements"].as_array().unwrap()
}

#[test]
fn what_is_explained_is_what_a_login_comes_to() {
    let server = Server::start(Door::usual());
    let db = server.create_instance("mydb", IAM);
    server.as_master(&db, "create user mydbuser; grant rds_iam to mydbuser");
    let key = server.create_user("jane", None);
    let agree = |server: &Server, expected: &str| {
        assert_eq!(explained(server, JANE), expected);
        assert_eq!(login(server, &db, &key), expected);
    };
    agree(&server, "not-authorized");

    // Each way in which a statement does not apply, and one in which one does.
    let ways = format!(
        r#"{{
  "Version": "2012-10-17",
  "Statement": [
    {{"Sid": "Reads", "Effect": "Allow", "Action": ["rds:Describe*", "s3:Get?bject"], "Resource": "*"}},
    {{
      "Sid": "Own",
      "Effect": "Allow",
      "Action": "rds-db:connect",
      "Resource": ["{}", "{}"]
    }},
    {{
      "Effect": "Allow", "Action": "rds-db:connect", "Resource": "{}",
      "Condition": {{
        "IpAddress": {{"aws:SourceIp": ["10.0.0.0/8", "192.0.2.7"]}},
        "StringEquals": {{"aws:username": "jane"}},
        "NumericLessThan": {{"aws:EpochTime": "4000000000"}}
      }}
    }},
    {{"Effect": "Deny", "NotAction": "rds-db:*", "NotResource": "*"}},
    {{"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:rds-db:*:*:dbuser:*/*"}}
  ]
}}"#,
        resource(&db, "${aws:PrincipalTag/team}"),
        resource(&db, "another"),
        resource(&db, "mydb*")
    );
    put_user_policy(&server, "ways", &ways);
    agree(&server, "not-authorized");
    let answer = json(explain(&server, JANE, &["--json"]));
    let ways = statements(&answer, "ways");
    let verdicts: Vec<_> = ways.iter().map(|s| (s["applies"].as_bool().unwrap(), &s["because"])).collect();
    assert_eq!(
        verdicts.iter().map(|(_, because)| because.as_str()).collect::<Vec<_>>(),
        [Some("action"), Some("resource"), Some("condition"), Some("action"), Some("resource")],
        "{answer:#}"
    );
    assert!(verdicts.iter().all(|(applies, _)| !applies));
    assert_eq!((&ways[1]["line"], &ways[1]["column"]), (&5.into(), &5.into()));
    assert_eq!(ways[0]["list"]["items"], serde_json::json!(["rds:describe*", "s3:get?bject"]), "{ways:#?}");
    assert_eq!(ways[1]["list"]["without_value"], serde_json::json!(["aws:PrincipalTag/team"]));
    assert_eq!(ways[2]["conditions"][0]["result"], "does-not-hold");
    assert_eq!(ways[2]["conditions"][0]["found"], Value::Null);
    assert_eq!(ways[3]["list"]["element"], "NotAction");

    let text = explain(&server, JANE, &[]).succeed();
    println!("{text}\n");
    for line in [
        "refused (not-authorized): no identity-based policy allows rds-db:connect on this database user",
        "principal  arn:aws:iam::123456789012:user/jane",
        "database   instance mydb in us-east-1, IAM database authentication is on",
        "service control policies: none, and so no limit",
        "identity-based policies: not allowed",
        "  ways, inline in user jane",
        "    1 Reads  Allow  4:5   does not apply: the action is not one of its own",
        &format!("        {}", resource(&db, "${aws:PrincipalTag/team}")),
        "      without value  ${aws:PrincipalTag/team}",
        "      Condition      IpAddress aws:SourceIp: does not hold",
        "        policy       10.0.0.0/8, 192.0.2.7",
        "        login        absent",
        "permissions boundary: none, and so no limit",
    ] {
        assert!(text.lines().any(|shown| shown == line), "`{line}` is not in\n{text}");
    }
    assert!(text.contains("countersign serve --source-ip") && !text.contains('\u{1b}'), "{text}");

    let wide = format!("        {}", resource(&db, "${aws:PrincipalTag/team}"));
    assert!(text.lines().all(|line| line.len() <= 100 || line == wide), "{text}");

    // What if. The login itself is not changed by it.
    let given = ["--context", "aws:sourceip=10.1.2.3", "--context", "aws:PrincipalTag/team=mydbuser"];
    let text = explain(&server, JANE, &given).succeed();
    println!("{text}\n");
    assert!(text.starts_with("allowed: ways statement 2 (Own) allows it\n"), "{text}");
    assert!(
        text.contains("10.1.2.3 (given)") && text.contains("was given, but a login does not have it"),
        "{text}"
    );
    let two =
        ["--context", "aws:username=jane", "--context", "aws:username=joan", "--context", "x:y=z", "--json"];
    let answer = json(explain(&server, JANE, &two));
    assert_eq!(
        statements(&answer, "ways")[2]["conditions"][1]["result"],
        "cannot-be-evaluated",
        "{answer:#}"
    );
    let x = answer["context"].as_array().unwrap().iter().find(|key| key["key"] == "x:y").unwrap();
    assert_eq!((&x["given"], &x["asked"]), (&true.into(), &false.into()));
    agree(&server, "not-authorized");

    put_user_policy(&server, "connect", &db.policy("Allow", "mydbuser"));
    agree(&server, "allowed");
    let text = explain(&server, JANE, &[]).succeed();
    assert!(text.starts_with("allowed: connect statement 1 allows it\n"), "{text}");

    // A group's managed policy denies.
    let deny = create_policy(&server, "deny", &db.policy("Deny", "my*"));
    server.aws(&["iam", "create-group", "--group-name", "Staff"]).succeed();
    server.aws(&["iam", "add-user-to-group", "--group-name", "Staff", "--user-name", "jane"]).succeed();
    let attach = ["--group-name", "Staff", "--policy-arn", &deny];
    server.aws(&[&["iam", "attach-group-policy"], &attach[..]].concat()).succeed();
    agree(&server, "explicit-deny");
    let text = explain(&server, JANE, &[]).succeed();
    assert!(
        text.starts_with("refused (explicit-deny): an explicit deny in an identity-based policy: "),
        "{text}"
    );
    assert!(text.contains(&format!("  {deny}, attached to group Staff\n    1  Deny")), "{text}");
    assert_eq!(server.audit().last().unwrap()["policy_type"], "identity-based policy");
    server.aws(&[&["iam", "detach-group-policy"], &attach[..]].concat()).succeed();

    // A boundary that does not allow.
    let boundary = create_policy(&server, "boundary", &db.policy("Allow", "another"));
    let put = ["iam", "put-user-permissions-boundary", "--user-name", "jane"];
    server.aws(&[&put[..], &["--permissions-boundary", &boundary]].concat()).succeed();
    agree(&server, "not-allowed-by-permissions-boundary");
    assert_eq!(server.audit().last().unwrap()["policy_type"], "permissions boundary");
    let text = explain(&server, JANE, &[]).succeed();
    assert!(text.contains("permissions boundary: not allowed\n"), "{text}");
    assert!(text.contains(&format!("  {boundary}, of user jane\n")), "{text}");
}

#[test]
fn roles_and_sessions() {
    let server = Server::start(Door::usual());
    let db = server.create_instance("mydb", IAM);
    server.as_master(&db, "create user mydbuser; grant rds_iam to mydbuser");
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Principal":{"AWS":"123456789012"}}]}"#;
    let arguments = ["--role-name", "App", "--path", "/team/", "--assume-role-policy-document", trust];
    server.aws(&[&["iam", "create-role"], &arguments[..]].concat()).succeed();
    let policy = db.policy("Allow", "mydbuser");
    let arguments = ["--role-name", "App", "--policy-name", "connect", "--policy-document", &policy];
    server.aws(&[&["iam", "put-role-policy"], &arguments[..]].concat()).succeed();
    let role = "arn:aws:iam::123456789012:role/team/App";
    let session = "arn:aws:sts::123456789012:assumed-role/App/job";

    let text = explain(&server, role, &[]).succeed();
    assert!(text.starts_with("allowed: connect statement 1 allows it\n"), "{text}");
    assert!(text.contains("as a session of the role"), "{text}");
    let text = explain(&server, session, &[]).succeed();
    assert!(text.starts_with("allowed: ") && text.contains("no session called `job` lives"), "{text}");

    // The session that ends last is the one, with what was passed.
    let assume = |seconds: &str, more: &[&str]| {
        let arguments = ["sts", "assume-role", "--role-arn", role, "--role-session-name", "job"];
        let arguments = [&arguments[..], &["--duration-seconds", seconds], more].concat();
        let answer: Value = serde_json::from_str(&server.aws(&arguments).succeed()).unwrap();
        let text = |member: &str| answer["Credentials"][member].as_str().unwrap().to_owned();
        Key { id: text("AccessKeyId"), secret: text("SecretAccessKey"), session: Some(text("SessionToken")) }
    };
    let narrow = db.policy("Allow", "another");
    let (wide, limited) = (assume("900", &[]), assume("1800", &["--policy", &narrow]));
    assert_eq!(explained(&server, session), "not-allowed-by-session-policy");
    assert_eq!(login(&server, &db, &limited), "not-allowed-by-session-policy");
    assert_eq!(server.audit().last().unwrap()["policy_type"], "session policy");
    assert_eq!(login(&server, &db, &wide), "allowed");
    let answer = json(explain(&server, session, &["--json"]));
    assert_eq!((&answer["session"], &answer["principal_type"]), (&limited.id.into(), &"AssumedRole".into()));
    assert_eq!(statements(&answer, "session policy")[0]["line"], 1, "{answer:#}");
    let text = explain(&server, session, &[]).succeed();
    assert!(text.contains("session policies: not allowed\n  passed with the session\n"), "{text}");
    // The role by itself is not narrower for it.
    assert_eq!(explained(&server, role), "allowed");

    // A federated user has no more than its session policy.
    let bob = "arn:aws:sts::123456789012:federated-user/bob";
    explain(&server, bob, &[]).fail_with("there are no federated users");
    let vouching = server.federation_token(&server.create_access_key("administrator"), "bob", &[]);
    assert_eq!(login(&server, &db, &vouching), "not-allowed-by-session-policy");
    let text = explain(&server, bob, &[]).succeed();
    assert!(text.starts_with("refused (not-allowed-by-session-policy)"), "{text}");
    assert!(text.contains("session policies: none, and so nothing is allowed"), "{text}");
    explain(&server, "arn:aws:sts::123456789012:federated-user/rob", &[]).fail_with("`bob`");

    // Who is not there.
    for (principal, said) in [
        ("arn:aws:iam::123456789012:role/App", role),
        ("arn:aws:iam::123456789012:role/Ap", "roles that there are: `App`"),
        ("arn:aws:iam::123456789012:user/adminstrator", "users that there are: `administrator`"),
        ("arn:aws:iam::210987654321:user/jane", "123456789012"),
        ("arn:aws:sts::123456789012:assumed-role/Ap/job", "roles that there are: `App`"),
    ] {
        let output = explain(&server, principal, &[]);
        assert_eq!(output.code, Some(1), "{output}");
        output.fail_with(said);
    }
}

#[test]
fn databases_are_found_by_what_people_call_them() {
    let mut server = Server::start(Door::usual());
    let aws = |server: &Server, line: &str| server.aws(&line.split(' ').collect::<Vec<_>>()).succeed();
    server.request_instance("mydb", &[]);
    server.set("AWS_DEFAULT_REGION", "eu-west-1");
    server.request_instance("twice", IAM);
    server.set("AWS_DEFAULT_REGION", "us-east-1");
    server.request_instance("twice", IAM);
    let cluster = "rds create-db-cluster --engine aurora-postgresql --master-username postgres --master-user-password Master-pass-1 \
                   --enable-iam-database-authentication --db-cluster-identifier";
    aws(&server, &format!("{cluster} shop --port 15999"));
    let member = "rds create-db-instance --engine aurora-postgresql --db-instance-class db.t3.medium --db-cluster-identifier";
    aws(&server, &format!("{member} shop --db-instance-identifier shop-1"));
    let key = server.create_user("jane", None);
    assert!(key.id.starts_with("AKIA"));
    let explain = |db: &str, more: &[&str]| {
        let arguments = ["policy", "explain", "--principal", JANE, "--user", "mydbuser", "--db", db];
        server.countersign(&[&arguments[..], more].concat())
    };

    // Switched off comes first; what policies say is said too.
    let text = explain("mydb", &[]).succeed();
    assert!(
        text.starts_with("refused (iam-disabled): IAM database authentication is switched off"),
        "{text}"
    );
    assert!(
        text.lines().nth(1).unwrap().starts_with("with it switched on: refused (not-authorized)"),
        "{text}"
    );
    let answer = json(explain("MyDB", &["--json"]));
    assert_eq!(
        (&answer["reason"], &answer["otherwise"]["reason"]),
        (&"iam-disabled".into(), &"not-authorized".into())
    );

    let clusters: Value = serde_json::from_str(&aws(&server, "rds describe-db-clusters")).unwrap();
    let cluster_id = clusters["DBClusters"][0]["DbClusterResourceId"].as_str().unwrap();
    for db in ["shop", "shop-1", cluster_id] {
        let answer = json(explain(db, &["--json"]));
        assert_eq!(answer["database"]["resource_id"], cluster_id, "{answer:#}");
        assert_eq!(answer["database"]["kind"], "cluster");
    }
    let text = explain("shop-1", &[]).succeed();
    assert!(text.contains("`shop-1` is a member of the cluster `shop`"), "{text}");

    explain("twice", &[]).fail_with("choose one of `eu-west-1`, `us-east-1` with --region");
    let answer = json(explain("twice", &["--region", "eu-west-1", "--json"]));
    assert_eq!(answer["database"]["region"], "eu-west-1");
    explain("mydb", &["--region", "eu-west-1"]).fail_with("`mydb` is not in eu-west-1, but in `us-east-1`");
    explain("mydp", &[])
        .fail_with("no DB instance or cluster is called `mydp`; databases that there are: `mydb`");
}
