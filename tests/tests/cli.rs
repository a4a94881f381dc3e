//! The command line: what is wrong is named with what was expected, and the exit code tells wrong usage from failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Door, Output, Server, countersign, run};
use std::process::Command;

/// `countersign` without a server, with nothing else in the environment.
fn countersign_alone(arguments: &[&str]) -> Output {
    run(Command::new(countersign()).env_clear().env("COUNTERSIGN_DATA_DIR", "/absent").args(arguments))
}

const JANE: &str = "arn:aws:iam::123456789012:user/jane";

#[test]
fn wrong_usage_ends_with_2_and_names_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("countersign.toml");
    std::fs::write(&config, "lisen = \"127.0.0.1:1\"\n").unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["Usage:"]),
        (&["srve"], &["srve", "serve"]),
        (&["serve", "--lisen", "x"], &["--lisen", "--listen"]),
        (&["serve", "--listen", "nowhere"], &["nowhere", "--listen"]),
        (&["serve", "--listen", "0.0.0.0:4590"], &["0.0.0.0:4590", "loopback", "127.0.0.1"]),
        (&["serve", "--account-id", "12"], &["12", "--account-id", "digits"]),
        (&["serve", "--door", "window"], &["window", "auto", "pam", "ldap"]),
        (&["serve", "--endpoint-domain", "a..b"], &["a..b", "db.example.com"]),
        (&["serve", "--config", config.to_str().unwrap()], &["lisen", "listen"]),
        (&["serve", "--config", "/absent.toml"], &["/absent.toml"]),
        (&["env", "--data-dir", "/absent", "--region", "Mars"], &["Mars", "--region", "us-east-1"]),
        (&["ca-bundle", "--data-dir", "/absent"], &["--region"]),
        (&["ca-bundle", "--data-dir", "/absent", "--region", "Mars"], &["Mars", "--region", "global"]),
        (&["pam"], &["install"]),
        (&["serve", "--source-ip=maybe"], &["maybe", "--source-ip", "true"]),
        (&["policy"], &["explain", "generate", "scp"]),
        (&["policy", "explain", "--db", "d", "--user", "u"], &["--principal"]),
        (
            &["policy", "explain", "--principal", "jane", "--db", "d", "--user", "u"],
            &["jane", "arn:aws:iam::"],
        ),
        (&["policy", "explain", "--principal", JANE, "--db", "d", "--user", ""], &["--user"]),
        (
            &[
                "policy",
                "explain",
                "--principal",
                JANE,
                "--db",
                "d",
                "--user",
                "u",
                "--context",
                "aws:SourceIp",
            ],
            &["aws:SourceIp=203.0.113.7"],
        ),
        (
            &["policy", "explain", "--principal", JANE, "--db", "d", "--user", "u", "--region", "Mars"],
            &["Mars"],
        ),
        (&["policy", "generate", "--user", "u"], &["--db", "--resource-id"]),
        (&["policy", "generate", "--db", "d"], &["--user"]),
        (&["policy", "generate", "--user", "u", "--resource-id", "db-A"], &["--region", "--account-id"]),
        (
            &[
                "policy",
                "generate",
                "--user",
                "u",
                "--resource-id",
                "x",
                "--region",
                "us-east-1",
                "--account-id",
                "1",
            ],
            &["--resource-id", "DbiResourceId"],
        ),
        (&["policy", "generate", "--user", "u", "--db", "d", "--force"], &["--output"]),
        (&["policy", "scp", "put", "x", "f", "--level", "Root"], &["Root", "account"]),
        (&["policy", "scp", "put", "a b", "f"], &["a b", "[\\w+=,.@-]+"]),
        (&["policy", "scp", "put", "x"], &["FILE"]),
        (&["policy", "scp", "put", "FullAWSAccess", "f"], &["FullAWSAccess", "without a file"]),
    ];
    for (arguments, expected) in cases {
        let output = countersign_alone(arguments);
        assert_eq!(output.code, Some(2), "{output}");
        for text in *expected {
            assert!(output.stderr.contains(text), "`{text}` is not named:\n{output}");
        }
    }
}

#[test]
fn a_failure_ends_with_1_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let absent = absent.to_str().unwrap();
    for arguments in [
        &["env", "--data-dir", absent][..],
        &["ca-bundle", "--region", "us-east-1", "--data-dir", absent],
        &["status", "--data-dir", absent],
        &["policy", "explain", "--principal", JANE, "--db", "d", "--user", "u", "--data-dir", absent],
        &["policy", "generate", "--db", "d", "--user", "u", "--data-dir", absent],
        &["policy", "scp", "list", "--data-dir", absent],
        &["policy", "scp", "put", "FullAWSAccess", "--data-dir", absent],
    ] {
        let output = countersign_alone(arguments);
        assert_eq!(output.code, Some(1), "{output}");
        assert!(output.stderr.contains(absent) && output.stderr.contains("countersign serve"), "{output}");
        assert!(output.stdout.is_empty(), "{output}");
    }
    let output = countersign_alone(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "/proc/absent"]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("/proc/absent"), "{output}");
}

#[test]
fn help_shows_examples() {
    for arguments in [
        &["--help"][..],
        &["env", "--help"],
        &["ca-bundle", "--help"],
        &["policy", "explain", "--help"],
        &["policy", "generate", "--help"],
        &["policy", "scp", "--help"],
        &["policy", "scp", "list", "--help"],
        &["policy", "scp", "show", "--help"],
        &["policy", "scp", "put", "--help"],
        &["policy", "scp", "delete", "--help"],
        &["token", "--help"],
        &["connect", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
    ] {
        let help = countersign_alone(arguments).succeed();
        assert!(help.contains("Example") && help.contains("countersign "), "{help}");
    }
    let version = countersign_alone(&["--version"]).succeed();
    assert!(version.starts_with("countersign 0."), "{version}");
}

#[test]
fn shells_and_man_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = countersign_alone(&["completions", shell]).succeed();
        for word in ["token", "connect", "explain", "decode", "ca-bundle"] {
            assert!(script.contains(word), "{shell} does not complete `{word}`");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("completions");
    std::fs::write(&script, countersign_alone(&["completions", "bash"]).succeed()).unwrap();
    let complete = "source \"$0\"; COMP_WORDS=(countersign conn); COMP_CWORD=1; _countersign countersign conn countersign; \
                    echo \"${COMPREPLY[@]}\"";
    let completed = run(Command::new("bash").args(["--norc", "-c", complete]).arg(&script));
    assert_eq!(completed.succeed(), "connect");

    assert!(countersign_alone(&["man"]).succeed().contains(".TH countersign 1"));
    let pages = folder.path().join("man/man1");
    countersign_alone(&["man", pages.to_str().unwrap()]).succeed();
    for (page, text) in [
        ("countersign.1", "countersign\\-connect(1)"),
        ("countersign-connect.1", "ca\\-bundle"),
        ("countersign-policy-scp-put.1", "countersign"),
    ] {
        let page = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(page.contains(text), "`{text}` is not there:\n{page}");
    }
    let output = countersign_alone(&["man", "/proc/absent"]);
    assert_eq!(output.code, Some(1), "{output}");
    output.fail_with("/proc/absent");
    assert_eq!(countersign_alone(&["completions", "csh"]).code, Some(2));
}

#[test]
fn a_running_server_is_asked() {
    let mut server = Server::start(Door::usual());
    // What a shell makes of the exports, whatever was set before.
    let program = countersign();
    let program = program.to_str().unwrap();
    let data_dir = server.data_dir();
    let line = format!(
        "unset AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_DEFAULT_REGION
         export AWS_SESSION_TOKEN=stale AWS_PROFILE=absent
         eval \"$('{program}' env --data-dir '{}' --region eu-west-1)\"
         [ \"$AWS_DEFAULT_REGION\" = eu-west-1 ] && aws sts get-caller-identity --query Arn --output text",
        data_dir.display()
    );
    for shell in ["sh", "bash"] {
        let arn = server.shell(&format!("{shell} -c '{}'", line.replace('\'', r"'\''"))).succeed();
        assert_eq!(arn, "arn:aws:iam::123456789012:user/administrator", "{shell}");
    }

    let bundle = server.countersign(&["ca-bundle", "--region", "eu-central-1"]).succeed();
    assert!(bundle.contains("-----BEGIN CERTIFICATE-----") && bundle.ends_with("-----END CERTIFICATE-----"));
    assert!(server.countersign(&["ca-bundle", "--region", "global"]).succeed().contains(&bundle));
    let status = server.countersign(&["status"]).succeed();
    assert!(status.contains("databases  none") && status.contains(server.door().as_str()), "{status}");

    // The account is the data directory's.
    server.interrupt();
    let data_dir = data_dir.to_str().unwrap();
    let output = countersign_alone(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data_dir,
        "--account-id",
        "210987654321",
    ]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("210987654321") && output.stderr.contains("123456789012"), "{output}");
    // A stopped server is not taken for a running one.
    let output = server.countersign(&["status"]);
    assert_eq!(output.code, Some(1), "{output}");
}
