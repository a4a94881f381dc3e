//! IAM, STS, signatures and the trust store as boto3 sees them: its signatures are verified, its parsers read every
//! answer, and the scripts under `boto3/` check what was read.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says so by panicking")]
#![allow(dead_code, reason = "each test takes what it needs of `support`")]

mod support;

use support::Server;

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
