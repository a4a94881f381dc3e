//! `countersign policy check`: findings with their place, for people and for programs, and what it ends with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Output, countersign, run};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const GOOD: &str = r#"{
  "Version": "2012-10-17",
  "Statement": {
    "Effect": "Allow",
    "Action": "rds-db:connect",
    "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/${aws:username}"
  }
}
"#;

/// `countersign policy check` without a server, in the folder.
fn check(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(countersign());
    command.env_clear().env("COUNTERSIGN_DATA_DIR", "/absent").current_dir(folder);
    run(command.args(["policy", "check"]).args(arguments))
}

/// A folder with a good policy, a wrong one and one that is only dubious.
fn policies() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let wrong = GOOD.replace("rds-db:connect", "rds:connect").replace("dbuser:*", "dbuser:mydb");
    let dubious = GOOD.replace("${aws:username}", "*");
    for (name, text) in [("good.json", GOOD), ("wrong.json", &wrong), ("dubious.json", &dubious)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn findings_have_their_place_and_decide_the_exit_code() {
    let folder = policies();
    let output = check(folder.path(), &["good.json"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "good.json: fine\n"), "{output}");

    let output = check(folder.path(), &["good.json", "wrong.json", "dubious.json"]);
    assert_eq!(output.code, Some(1), "{output}");
    for text in [
        "good.json: fine\n",
        "wrong.json:5:15",
        "did you mean `rds-db:connect`?",
        "wrong.json:6:63",
        "describe-db-instances",
        "wrong.json: 2 errors\n",
        "dubious.json:6:65",
        "dubious.json: 1 warning\n",
    ] {
        assert!(output.stdout.contains(text), "`{text}` is not there:\n{output}");
    }
    // This is no terminal.
    assert!(!output.stdout.contains('\u{1b}') && output.stderr.is_empty(), "{output}");

    assert_eq!(check(folder.path(), &["dubious.json"]).code, Some(0));
    assert_eq!(check(folder.path(), &["--deny-warnings", "dubious.json"]).code, Some(1));
    assert_eq!(check(folder.path(), &["--kind", "trust", "good.json"]).code, Some(1));
}

#[test]
fn programs_get_json() {
    let folder = policies();
    let output = check(folder.path(), &["--format", "json", "good.json", "wrong.json"]);
    assert_eq!(output.code, Some(1), "{output}");
    let found: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let first = &found[0];
    assert_eq!(
        *first,
        serde_json::json!({
            "file": "wrong.json", "line": 5, "column": 15, "end_line": 5, "end_column": 28,
            "severity": "error", "code": "unknown-action",
            "message": "`rds:connect` is not an action: logging in to a database is of the service `rds-db`",
            "help": "did you mean `rds-db:connect`?",
        })
    );
    assert_eq!(found.as_array().unwrap().len(), 2, "{output}");
    let output = check(folder.path(), &["--format", "json", "good.json"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "[]\n"), "{output}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_failure_and_the_others_are_checked() {
    let folder = policies();
    std::fs::write(folder.path().join("latin1.json"), b"{\"\xe9\": 1}").unwrap();
    let output = check(folder.path(), &["absent.json", "latin1.json", "good.json"]);
    assert_eq!(output.code, Some(1), "{output}");
    for text in ["`absent.json`", "No such file", "`latin1.json`: not UTF-8 text at byte 3"] {
        assert!(output.stderr.contains(text), "{output}");
    }
    assert_eq!(output.stdout, "good.json: fine\n", "{output}");
    for wrong in [&[][..], &["--kind", "resource", "good.json"], &["--format", "xml", "good.json"]] {
        assert_eq!(check(folder.path(), wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn the_standard_input_is_a_file_as_well() {
    let mut child = Command::new(countersign())
        .args(["policy", "check", "-"])
        .env_clear()
        .env("COUNTERSIGN_DATA_DIR", "/absent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"Version\": \"2012-10-17\",\n \"Statment\": []}").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for expected in
        ["Syntax errors in policy.", "<stdin>:2:2", "`Statment` is not an element", "<stdin>: 1 error\n"]
    {
        assert!(text.contains(expected), "`{expected}` is not there:\n{text}");
    }
}
