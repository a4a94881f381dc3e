//! `countersign token`: the token that the AWS CLI makes, from every source of credentials; and what is said of a given one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Database, Door, Key, Output, Server, countersign, run, run_with};
use std::fs;
use std::path::Path;
use std::process::Command;

const RDS: &str = "mydb.c7tj4example.us-east-1.rds.amazonaws.com";
const LONG_TERM: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
];
const TEMPORARY: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "ASIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("AWS_SESSION_TOKEN", "IQoJb3JpZ2luX2VjEXAMPLE/+token=="),
];

/// A program that sees these variables and nothing else of AWS.
fn alone(program: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/absent");
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("COUNTERSIGN_DATA_DIR", "/absent");
    for name in ["PYENV_ROOT", "PYENV_VERSION"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.envs(environment.iter().copied());
    command
}

fn token(environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    run(alone(&countersign(), environment).arg("token").args(arguments))
}

/// The same with something on standard input.
fn token_with(input: &str, arguments: &[&str]) -> Output {
    let mut command = alone(&countersign(), &[]);
    run_with(command.arg("token").args(arguments), input)
}

fn date(token: &str) -> &str {
    let at = token.find("X-Amz-Date=").expect("a token") + "X-Amz-Date=".len();
    &token[at..at + 16]
}

/// Both are asked until both answer in the same second: then all is equal, the signature too.
#[test]
fn the_text_is_that_of_the_aws_cli() {
    for (environment, host, port, region, user) in [
        (&LONG_TERM[..], RDS, "5432", "us-east-1", "jane_doe"),
        (&TEMPORARY[..], RDS, "3306", "us-east-1", "jane doe+x@é/%~*'()"),
        (
            &TEMPORARY[..],
            "MyDB.cluster-ro-C7TJ4example.rds.cn-north-1.amazonaws.com.cn",
            "443",
            "cn-north-1",
            "u",
        ),
    ] {
        let equal = (0..20).any(|_| {
            let theirs = run(alone(Path::new("aws"), environment)
                .args(["rds", "generate-db-auth-token"])
                .args(["--hostname", host, "--port", port, "--region", region, "--username", user]));
            let ours = token(environment, &["--host", host, "--port", port, "--user", user]);
            assert!(ours.ok() && ours.stderr.is_empty() && ours.stdout.ends_with('\n'), "{ours}");
            let (theirs, ours) = (theirs.succeed(), ours.succeed());
            let same_second = date(&theirs) == date(&ours);
            assert!(!same_second || theirs == ours, "{theirs}\n{ours}");
            same_second
        });
        assert!(equal, "never in the same second");
    }
}

#[test]
fn the_region_is_the_host_names_or_the_flags_or_what_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    fs::write(
        &config,
        "[profile far]\nregion = ap-south-1\naws_access_key_id = AKIAFAR\naws_secret_access_key = far\n\
         [profile none]\noutput = json\n",
    )
    .unwrap();
    let set = |more: &[(&'static str, &'static str)]| {
        let mut all = LONG_TERM.to_vec();
        all.push(("AWS_CONFIG_FILE", config.to_str().unwrap()));
        all.extend_from_slice(more);
        all
    };
    let region = |more: &[(&'static str, &'static str)], arguments: &[&str]| {
        let made = token(&set(more), &[&["--user", "u"], arguments].concat()).succeed();
        let decoded = token_with(&made, &["--decode", "--json"]).succeed();
        let decoded: serde_json::Value = serde_json::from_str(&decoded).unwrap();
        (decoded["region"].as_str().unwrap().to_owned(), decoded["port"].as_u64().unwrap())
    };
    let (aws_region, default) = (("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-2"));
    for (more, arguments, expected) in [
        (&[aws_region][..], &["--host", RDS][..], ("us-east-1", 5432)),
        (
            &[aws_region],
            &["--host", RDS, "--region", "us-east-1", "--engine", "mariadb"],
            ("us-east-1", 3306),
        ),
        (&[aws_region, default], &["--host", "localhost"], ("eu-west-1", 5432)),
        (&[default], &["--host", "localhost", "--port", "6000"], ("eu-west-2", 6000)),
        (&[aws_region], &["--host", "localhost", "--region", "eu-north-1"], ("eu-north-1", 5432)),
        (&[("AWS_PROFILE", "far")], &["--host", "::1"], ("ap-south-1", 5432)),
        (&[], &["--host", "db.example.com", "--profile", "far"], ("ap-south-1", 5432)),
        (
            &[aws_region],
            &["--host", "g.global-c7tj4example.global.rds.amazonaws.com", "--region", "sa-east-1"],
            ("sa-east-1", 5432),
        ),
    ] {
        assert_eq!(region(more, arguments), (expected.0.to_owned(), expected.1), "{arguments:?}");
    }

    let refused = |more: &[(&'static str, &'static str)], arguments: &[&str], code: i32, said: &[&str]| {
        let output = token(&set(more), &[&["--user", "u"], arguments].concat());
        assert_eq!(output.code, Some(code), "{output}");
        assert!(output.stdout.is_empty(), "{output}");
        for text in said {
            assert!(output.stderr.contains(text), "`{text}` is not named:\n{output}");
        }
    };
    let nothing = ["`localhost`", "--region", "AWS_REGION", "profile"];
    refused(&[], &["--host", "localhost"], 1, &nothing);
    refused(&[], &["--host", "localhost", "--profile", "none"], 1, &nothing);
    // Only of Amazon's names.
    refused(&[], &["--host", "mydb.c7tj4example.us-east-1.db.example.com"], 1, &["is not known"]);
    refused(
        &[],
        &["--host", "mydb.c7tj4example.us-east-1.rds.amazonaws.com.evil.example"],
        1,
        &["is not known"],
    );
    refused(&[aws_region], &["--host", RDS, "--region", "eu-west-1"], 2, &["contradicts", "us-east-1"]);
    let global = "g.global-c7tj4example.global.rds.amazonaws.com";
    refused(&[aws_region], &["--host", global], 2, &["global database", "--region"]);
    refused(&[("AWS_REGION", "Mars")], &["--host", "localhost"], 1, &["`Mars`", "AWS_REGION"]);
    refused(&[], &["--host", "localhost", "--region", "Mars"], 2, &["Mars", "us-east-1"]);
}

#[test]
fn wrong_usage_is_named() {
    for (arguments, code, said) in [
        (&["--user", "u"][..], 2, &["--host"][..]),
        (&["--host", RDS], 2, &["--user"]),
        (&["--host", RDS, "--user", ""], 2, &["--user"]),
        (&["--host", "h:5432", "--user", "u"], 2, &["`h`", "--port"]),
        (&["--host", "postgres://u:hidden@h/d", "--user", "u"], 2, &["URL"]),
        (&["--host", "h", "--port", "0", "--user", "u"], 2, &["--port", "1 to 65535"]),
        (&["--host", "h", "--port", "65536", "--user", "u"], 2, &["--port"]),
        (&["--host", "h", "--engine", "oracle", "--user", "u"], 2, &["oracle", "postgres"]),
        (&["--host", RDS, "--user", "u", "--json"], 2, &["--json"]),
        (&["--host", RDS, "--user", "u", "--decode"], 2, &["--decode"]),
        (&["--host", RDS, "--verify"], 2, &["--user"]),
        (&["--host", RDS, "--user", "u", "--verify", "token"], 2, &["--verify"]),
        (&["--verify", "--region", "us-east-1"], 2, &["--host"]),
        (&["--decode", "hunter2"], 1, &["not a token", "generate-db-auth-token"]),
        (&["--verify", "hunter2"], 1, &["not a token"]),
    ] {
        let output = token(&LONG_TERM, arguments);
        assert_eq!(output.code, Some(code), "{output}");
        assert!(output.stdout.is_empty() && !output.stderr.contains("hidden"), "{output}");
        for text in said {
            assert!(output.stderr.contains(text), "`{text}` is not named:\n{output}");
        }
    }
    let output = token(&[], &["--host", RDS, "--user", "u"]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("no AWS credentials") && output.stderr.contains("--profile"), "{output}");
    let output = token(&LONG_TERM, &["--host", RDS, "--user", "u", "--profile", "absent"]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("profile `absent`"), "{output}");
    let help = token(&[], &["--help"]).succeed();
    assert!(help.contains("Examples:") && help.contains("countersign token --host"), "{help}");
}

#[test]
fn a_token_is_explained_without_its_secrets() {
    let made = token(&TEMPORARY, &["--host", RDS, "--user", "jane doe"]).succeed();
    let signature = made.rsplit_once('=').unwrap().1;
    // In all the ways to give it.
    for output in [
        token_with(&made, &["--decode"]),
        token_with(&format!("{made}\r\n"), &["--decode", "-"]),
        token(&[], &["--decode", &made]),
    ] {
        assert!(output.ok() && output.stderr.is_empty(), "{output}");
        for text in [
            "jane doe",
            &format!("{RDS}:5432"),
            "us-east-1",
            "ASIAIOSFODNN7EXAMPLE (temporary",
            "for another 1",
        ] {
            assert!(output.stdout.contains(text), "`{text}` is not told:\n{output}");
        }
        assert!(!output.stdout.contains(signature) && !output.stdout.contains("IQoJ"), "{output}");
    }
    let json = token_with(&made, &["--decode", "--json"]).succeed();
    assert!(!json.contains(signature) && !json.contains("IQoJ"), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["state"], "valid");
    assert_eq!((json["size"].as_u64(), json["temporary"].as_bool()), (Some(made.len() as u64), Some(true)));

    for (text, said) in [
        ("", "not a token"),
        ("Master-pass-1", "not a token"),
        (&made[..100], "cut short"),
        (&made.replace("rds-db", "rds"), "not for the service"),
        (&made.replace("Action=connect", "Action=describe"), "action is not `connect`"),
        (&made.replace("Expires=900", "Expires=604800"), "outside 1 to 900"),
        (&"x".repeat(70_000), "64 KiB"),
    ] {
        let output = token_with(text, &["--decode"]);
        assert_eq!(output.code, Some(1), "{output}");
        assert!(output.stderr.contains(said) && !output.stderr.contains(signature), "{output}");
    }
}

/// Logs in with a token that `countersign token` makes.
#[track_caller]
fn logs_in(server: &Server, db: &Database, environment: &[(&str, &str)], arguments: &[&str]) {
    let port = db.port.to_string();
    let program = countersign();
    let mut command = alone(&program, &[]);
    command.env("AWS_ENDPOINT_URL", &server.environment()["AWS_ENDPOINT_URL"]).env("AWS_REGION", &db.region);
    command.env("AWS_CONFIG_FILE", server.work_dir().join("config"));
    command.env("AWS_SHARED_CREDENTIALS_FILE", server.work_dir().join("credentials"));
    command.envs(environment.iter().copied());
    command.args(["token", "--host", &db.host, "--port", &port, "--user", "app"]).args(arguments);
    let made = run(&mut command).succeed();
    assert_eq!(server.login(db, "app", &made, "select session_user").succeed(), "app", "{arguments:?}");
}

#[test]
fn credentials_come_from_the_whole_chain_and_a_server_verifies() {
    let server = Server::start(Door::usual());
    let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
    server.as_master(&db, "create user app; grant rds_iam to app");
    let Key { id, secret, .. } = server.create_user("jane", Some(&db.policy("Allow", "app")));
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}"#;
    server
        .aws(&["iam", "create-role", "--role-name", "dba", "--assume-role-policy-document", trust])
        .succeed();
    let policy = db.policy("Allow", "app");
    server
        .aws(&[
            "iam",
            "put-role-policy",
            "--role-name",
            "dba",
            "--policy-name",
            "p",
            "--policy-document",
            &policy,
        ])
        .succeed();
    let assume = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}"#;
    let bob = server.create_user("bob", Some(assume));

    let work = server.work_dir();
    let process = format!(r#"{{"Version":1,"AccessKeyId":"{id}","SecretAccessKey":"{secret}"}}"#);
    fs::write(work.join("process.json"), process).unwrap();
    let (bob_id, bob_secret) = (&bob.id, &bob.secret);
    fs::write(
        work.join("credentials"),
        format!(
            "[jane]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n\
             [bob]\naws_access_key_id = {bob_id}\naws_secret_access_key = {bob_secret}\n"
        ),
    )
    .unwrap();
    fs::write(
        work.join("config"),
        format!(
            "[profile dba]\nrole_arn = arn:aws:iam::123456789012:role/dba\nsource_profile = bob\n\
             role_session_name = shift\nregion = us-east-1\n\
             [profile process]\ncredential_process = cat {}\n",
            work.join("process.json").display()
        ),
    )
    .unwrap();

    let environment = [("AWS_ACCESS_KEY_ID", id.as_str()), ("AWS_SECRET_ACCESS_KEY", secret.as_str())];
    logs_in(&server, &db, &environment, &[]);
    logs_in(&server, &db, &[], &["--profile", "jane"]);
    logs_in(&server, &db, &[("AWS_PROFILE", "jane")], &[]);
    logs_in(&server, &db, &[], &["--profile", "dba"]);
    logs_in(&server, &db, &[], &["--profile", "process"]);
    let session = server.assume_role("dba");
    let session_token = session.session.as_deref().unwrap();
    let environment = [
        ("AWS_ACCESS_KEY_ID", session.id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", session.secret.as_str()),
        ("AWS_SESSION_TOKEN", session_token),
    ];
    logs_in(&server, &db, &environment, &[]);
    let logins = server.audit().len();

    // What the server says of a token.
    let port = db.port.to_string();
    let base = ["token", "--host", &db.host, "--port", &port, "--user", "app", "--verify"];
    let as_jane = server.countersign(&[&base[..], &["--profile", "jane"]].concat());
    // A profile that is named goes before the key in the environment, which is the administrator's.
    assert!(as_jane.ok(), "{as_jane}");
    for text in [
        "allowed: ",
        "inline statement 1",
        "arn:aws:iam::123456789012:user/jane",
        "instance mydb",
        &db.resource_id,
    ] {
        assert!(as_jane.stdout.contains(text), "`{text}` is not told:\n{as_jane}");
    }
    let as_bob = server.countersign(&[&base[..], &["--profile", "bob", "--json"]].concat());
    assert_eq!(as_bob.code, Some(1), "{as_bob}");
    let answer: serde_json::Value = serde_json::from_str(&as_bob.stdout).unwrap();
    assert_eq!((&answer["decision"], &answer["reason"]), (&"refused".into(), &"not-authorized".into()));
    assert_eq!(answer["principal"], "arn:aws:iam::123456789012:user/bob");

    let key = Key { id, secret, session: None };
    let good = server.token(&db, "app", &key);
    for (token, user, said) in [
        (good.text(), None, "allowed: "),
        (good.text(), Some("App"), "refused (wrong-user)"),
        (
            good.text().replace("Signature=", "Signature=0")[..good.text().len()].to_owned(),
            None,
            "refused (signature-mismatch)",
        ),
        (countersign_tests::Token { age: 1000, ..good.clone() }.text(), None, "refused (expired)"),
        (
            countersign_tests::Token { port: 1, ..good.clone() }.text(),
            None,
            &*format!("there are `localhost:{port}`"),
        ),
        (
            countersign_tests::Token { region: "eu-west-1".to_owned(), ..good.clone() }.text(),
            None,
            "refused (wrong-region)",
        ),
    ] {
        let mut arguments = vec!["token", "--verify"];
        arguments.extend(user.iter().flat_map(|user| ["--user", user]));
        let mut command = alone(&countersign(), &[]);
        let output =
            run_with(command.env("COUNTERSIGN_DATA_DIR", server.data_dir()).args(&arguments), &token);
        assert_eq!(output.ok(), said == "allowed: ", "{output}");
        assert!(output.stdout.contains(said) && output.stderr.is_empty(), "`{said}` is not told:\n{output}");
        assert!(!output.stdout.contains(token.rsplit_once('=').unwrap().1), "{output}");
    }
    assert_eq!(server.audit().len(), logins, "nobody logged in");
}
