//! IAM, STS, signatures and the trust store as boto3 sees them: its signatures are verified, its parsers read every
//! answer, and the scripts under `boto3/` check what was read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so by panicking")]
#![allow(dead_code, reason = "each test takes what it needs of `support`")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use store::Change;
use store::records::{ServiceControlPolicy, User};
use support::Server;
use time::OffsetDateTime;

async fn run(script: &str) {
    let server = Server::start(Vec::new()).await;
    let mut command = server.script(script);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}:\n{out}\n{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_groups_roles_policies_and_keys() {
    run("iam.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_and_temporary_credentials() {
    run("sts.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_and_the_wire() {
    run("wire.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_and_the_bucket() {
    run("truststore.py").await;
}

/// What the calls of AWS do not make, or not here, is made when the script asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn simulations() {
    let server = Server::start(Vec::new()).await;
    let mut command = server.script("simulate.py");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for line in from.lines() {
        match line.unwrap().as_str() {
            "boundary" => {
                let arn = "arn:aws:iam::123456789012:policy/limit".parse().unwrap();
                change_user(&server, "bounded", |user| user.boundary = Some(arn)).await;
            }
            "broken" => {
                change_user(&server, "broken", |user| {
                    user.inline.insert("p".parse().unwrap(), "{".to_owned());
                })
                .await;
            }
            "organization" => organize(&server).await,
            asked => panic!("the script asks for `{asked}`"),
        }
        to.write_all(b"done\n").unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn change_user(server: &Server, name: &str, change: impl FnOnce(&mut User)) {
    let old = server.records.get::<User>(name).await.unwrap().unwrap();
    let mut new = old.record.clone();
    change(&mut new);
    server.commit(Change::new().replace(&old, &new).unwrap()).await;
}

/// Two levels of service control: everything is allowed above, and below all but what has to do with SQS, and no SNS to
/// anybody.
async fn organize(server: &Server) {
    let mut change = Change::new();
    for (level, name, statements) in [
        ("1-root", "Full", r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#),
        (
            "2-unit",
            "Some",
            r#"{"Effect": "Allow", "NotAction": "sqs:*", "Resource": "*"},
               {"Effect": "Deny", "Action": "sns:*", "Resource": "*",
                "Condition": {"StringNotEquals": {"aws:RequestedRegion": "eu-west-1"}}}"#,
        ),
    ] {
        let policy = ServiceControlPolicy {
            level: level.to_owned(),
            name: name.parse().unwrap(),
            document: format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#),
            updated: OffsetDateTime::now_utc(),
        };
        change = change.insert(&policy).unwrap();
    }
    server.commit(change).await;
}
