//! What the tests of the APIs share: a server over a store of its own, with an administrator, and the Python that has boto3.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use store::records::{AccessKey, EngineVersion, KeyStatus, User};
use store::{Change, EmbeddedStore, MasterKey, Outcome, Published, Record, Records};
use time::OffsetDateTime;

const ADMIN_KEY: &str = "AKIACOUNTERSIGNADMIN";
const ADMIN_SECRET: &str = "0123456789abcdefghijABCDEFGHIJ+/+/+/+/+/";

/// A server over a store of its own, with an administrator.
pub(crate) struct Server {
    pub(crate) records: Records,
    published: Arc<Published>,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(engine_versions: Vec<EngineVersion>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(Arc::new(EmbeddedStore::open(&folder.path().join("store.redb")).unwrap()));
        let master_key = Arc::new(MasterKey::load_or_create(&folder.path().join("master.key")).unwrap());
        let account: iam::AccountId = "123456789012".parse().unwrap();
        keep_administrator(&records, &master_key).await;
        let naming = iam::Naming::new(account, None);
        let published =
            store::follow(records.clone(), master_key.clone(), naming.clone(), account).await.unwrap();
        let services = api::Services {
            records: records.clone(),
            master_key,
            published: published.clone(),
            naming,
            account,
            engine_versions,
            clock: Arc::new(OffsetDateTime::now_utc),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            axum::serve(listener, api::router(Arc::new(services))).await.unwrap();
        });
        Self { records, published, address, folder }
    }

    /// Commits a change; when it is done, calls are decided by it.
    pub(crate) async fn commit(&self, change: Change) {
        let outcome = self.records.commit(change).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed(_)), "somebody else changed the same records");
        if let Outcome::Committed(revision) = outcome {
            self.published.wait_for(revision).await;
        }
    }

    /// A script of `boto3/`, to be run as the administrator; its assertions are the test's.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = Command::new(python_with_boto3());
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boto3").join(name))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_ACCESS_KEY_ID", ADMIN_KEY)
            .env("AWS_SECRET_ACCESS_KEY", ADMIN_SECRET)
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
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
        boundary: None,
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
