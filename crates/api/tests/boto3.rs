//! The APIs as boto3 sees them: its signatures are verified, its parsers read every answer, and the scripts under
//! `boto3/` check what was read.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says so by panicking")]

use countersign_api as api;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use store::records::{AccessKey, KeyStatus, User};
use store::{Change, EmbeddedStore, MasterKey, Outcome, Record, Records};
use time::OffsetDateTime;

const ADMIN_KEY: &str = "AKIACOUNTERSIGNADMIN";
const ADMIN_SECRET: &str = "0123456789abcdefghijABCDEFGHIJ+/+/+/+/+/";

/// A server over a store of its own, with an administrator.
struct Server {
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(Arc::new(EmbeddedStore::open(&folder.path().join("store.redb")).unwrap()));
        let master_key = Arc::new(MasterKey::load_or_create(&folder.path().join("master.key")).unwrap());
        let account: iam::AccountId = "123456789012".parse().unwrap();
        keep_administrator(&records, &master_key).await;
        let naming = iam::Naming::new(account, None);
        let published =
            store::follow(records.clone(), master_key.clone(), naming.clone(), account).await.unwrap();
        let services = api::Services {
            records,
            master_key,
            published,
            naming,
            account,
            engine_versions: Vec::new(),
            clock: Arc::new(OffsetDateTime::now_utc),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, api::router(Arc::new(services))).await.unwrap() });
        Self { address, _folder: folder }
    }

    /// Runs a script of `boto3/` as the administrator; its assertions are the test's.
    async fn run(&self, script: &str) {
        let path = scripts().join(script);
        let mut command = Command::new(python_with_boto3());
        command
            .arg(&path)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self._folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_ACCESS_KEY_ID", ADMIN_KEY)
            .env("AWS_SECRET_ACCESS_KEY", ADMIN_SECRET)
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}:\n{out}\n{err}", path.display());
    }
}

async fn keep_administrator(records: &Records, master_key: &MasterKey) {
    let administrator = User {
        name: "admin".parse().unwrap(),
        id: "AIDAADMINISTRATOR2345".parse().unwrap(),
        path: iam::Path::default(),
        created: OffsetDateTime::now_utc(),
        tags: BTreeMap::new(),
        attached: BTreeSet::from(["arn:aws:iam::aws:policy/AdministratorAccess".parse().unwrap()]),
        inline: BTreeMap::new(),
        groups: BTreeSet::new(),
    };
    let sealed_for = [AccessKey::PREFIX, ADMIN_KEY].concat();
    let key = AccessKey {
        id: ADMIN_KEY.parse().unwrap(),
        user: administrator.name.clone(),
        status: KeyStatus::Active,
        created: OffsetDateTime::now_utc(),
        secret: master_key.seal(&sealed_for, ADMIN_SECRET.as_bytes()).unwrap(),
    };
    let change = Change::new().insert(&administrator).unwrap().insert(&key).unwrap();
    assert!(matches!(records.commit(change).await.unwrap(), Outcome::Committed(_)));
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boto3")
}

/// A Python that has boto3: the one on the PATH, or that of the workspace's own environment.
fn python_with_boto3() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/venv/bin/python3");
    let has_boto3 = |python: &PathBuf| {
        let tried = Command::new(python).args(["-c", "import boto3"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    [PathBuf::from("python3"), own]
        .into_iter()
        .find(has_boto3)
        .expect("this test needs `python3` with the package `boto3`, on the PATH or in .cache/venv")
}

#[tokio::test(flavor = "multi_thread")]
async fn users_groups_roles_policies_and_keys() {
    Server::start().await.run("iam.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_and_temporary_credentials() {
    Server::start().await.run("sts.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_and_the_wire() {
    Server::start().await.run("wire.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_and_the_bucket() {
    Server::start().await.run("truststore.py").await;
}
