//! What the tests of the engine share: a data directory, its store and a reconciler at work.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "tests may; not every one uses everything"
)]

use engine::{DoorChoice, DoorError, Doors, OpenDoor, Reconciler, Settings};
use iam::{Engine, Naming, Product, Region, ResourceId, ResourceKind};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::records::{AuthorityRecord, Instance, InstanceStatus, MasterUser, State, Wanted};
use store::{Change, EmbeddedStore, MasterKey, Outcome, Record, Records};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const PASSWORD: &str = "Master-pass-1";
pub const LIMIT: Duration = Duration::from_secs(30);

/// Notes which doors are open.
#[derive(Default)]
pub struct Noted(pub Mutex<BTreeMap<String, OpenDoor>>);

#[async_trait::async_trait]
impl Doors for Noted {
    async fn open(&self, door: OpenDoor) -> Result<(), DoorError> {
        assert!(door.socket_path.parent().unwrap().is_dir(), "the data directory is there before the door");
        self.0.lock().unwrap().insert(door.resource_id.to_string(), door);
        Ok(())
    }

    async fn close(&self, resource_id: &ResourceId) {
        self.0.lock().unwrap().remove(resource_id.as_str());
    }
}

/// A data directory, its store, and a reconciler at work. What still runs when it is dropped is killed.
pub struct World {
    pub folder: tempfile::TempDir,
    pub records: Records,
    pub key: Arc<MasterKey>,
    pub doors: Arc<Noted>,
    pub server_dirs: BTreeMap<Product, Vec<PathBuf>>,
    pub mysql_plugin: Option<PathBuf>,
    pub running: Option<(watch::Sender<bool>, JoinHandle<()>, Reconciler)>,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((stop, ..)) = self.running.take() {
            stop.send_replace(true);
        }
        let alive = |pid: &u32| Path::new("/proc").join(pid.to_string()).exists();
        let end = Instant::now() + Duration::from_secs(10);
        // Twice nobody: the reconciler may have been about to start one.
        let mut nobody = 0;
        while nobody < 2 && Instant::now() < end {
            let pids: Vec<u32> = self.pids().into_iter().filter(alive).collect();
            nobody = if pids.is_empty() { nobody + 1 } else { 0 };
            for pid in pids {
                // Immediately: nothing of it is needed any more. PostgreSQL's has processes of its own to end.
                let signal = if self.mysql_plugin.is_some() { "-KILL" } else { "-QUIT" };
                let _status = Command::new("kill").args([signal, &pid.to_string()]).status();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl World {
    /// One with PostgreSQL's servers.
    pub async fn new() -> Self {
        let folder = std::env::var_os("COUNTERSIGN_TEST_POSTGRES").map(PathBuf::from);
        Self::with(folder.map(|folder| (Product::PostgreSql, vec![folder])).into_iter().collect(), None).await
    }

    pub async fn with(server_dirs: BTreeMap<Product, Vec<PathBuf>>, mysql_plugin: Option<PathBuf>) -> Self {
        let _repeated = tracing_subscriber::fmt()
            .with_env_filter("engine=debug,engine=debug")
            .with_test_writer()
            .try_init();
        let folder = tempfile::Builder::new().prefix("countersign").tempdir().unwrap();
        // As deep as data directories get, beyond what the path of a Unix socket may be.
        let data = folder
            .path()
            .join("a-data-directory-with-a-name-so-long/that-no-socket-path/could-hold-it-and-more");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
        let key = Arc::new(MasterKey::new(&[7; 32]).unwrap());
        let records = Records::new(Arc::new(store));
        let mut world =
            Self { folder, records, key, doors: Arc::default(), server_dirs, mysql_plugin, running: None };
        world.start().await;
        world
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder
            .path()
            .join("a-data-directory-with-a-name-so-long/that-no-socket-path/could-hold-it-and-more")
    }

    pub async fn start(&mut self) {
        let settings = Settings {
            data_dir: self.data_dir(),
            os_user: None,
            listen_addresses: vec!["localhost".into()],
            naming: Naming::new("123456789012".parse().unwrap(), None),
            door: DoorChoice::Ldap { address: ([127, 0, 0, 1], free_port()).into() },
            server_dirs: self.server_dirs.clone(),
            mysql_plugin: self.mysql_plugin.clone(),
        };
        let doors: Arc<dyn Doors> = self.doors.clone();
        let reconciler =
            Reconciler::new(settings, self.records.clone(), self.key.clone(), doors).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn({
            let reconciler = reconciler.clone();
            async move { reconciler.run(stopped).await }
        });
        self.running = Some((stop, task, reconciler));
    }

    pub async fn stop(&mut self) -> Reconciler {
        let (stop, task, reconciler) = self.running.take().unwrap();
        stop.send(true).unwrap();
        task.await.unwrap();
        reconciler
    }

    pub fn version(&self) -> String {
        let versions = self.running.as_ref().unwrap().2.engine_versions();
        let major = std::env::var("COUNTERSIGN_TEST_MAJOR").unwrap_or_else(|_| "15".into());
        let found = versions.iter().find(|v| v.version.starts_with(&format!("{major}.")));
        found.unwrap_or_else(|| panic!("PostgreSQL {major} must be installed for this test")).version.clone()
    }

    pub fn instance(&self, identifier: &str, port: u16) -> Instance {
        self.instance_of(Engine::Postgres, &self.version(), identifier, port)
    }

    pub fn instance_of(&self, engine: Engine, version: &str, identifier: &str, port: u16) -> Instance {
        let region: Region = "us-east-1".parse().unwrap();
        let mut instance = Instance {
            region,
            identifier: identifier.into(),
            resource_id: ResourceId::generate(ResourceKind::Instance, rand(identifier, port)),
            engine,
            engine_version: version.to_owned(),
            class: "db.t3.micro".into(),
            cluster: None,
            port,
            database: Some("my \"db".into()),
            master: None,
            iam_auth: true,
            pending_iam_auth: None,
            ca: "rds-ca-ecc384-g1".into(),
            pending_ca: None,
            parameter_group: "default".into(),
            subnet_group: "default".into(),
            deletion_protection: false,
            tags: BTreeMap::new(),
            created: OffsetDateTime::UNIX_EPOCH,
            settings: BTreeMap::new(),
            wanted: Wanted::Running,
            generation: 1,
            reboots: 0,
            reboot_awaited_after: None,
        };
        instance.master = Some(self.master(&instance.full_key(), "postgres", PASSWORD, 1));
        instance
    }

    pub fn master(&self, record: &str, name: &str, password: &str, generation: u64) -> MasterUser {
        MasterUser {
            name: name.into(),
            password: self.key.seal(record, password.as_bytes()).unwrap(),
            generation,
        }
    }

    /// Writes what is wanted and with it the word for it, as the API does.
    pub async fn create(&self, instance: &Instance) {
        let status = announced(instance, State::Creating);
        let change = Change::new().insert(instance).unwrap().insert(&status).unwrap();
        assert!(matches!(self.records.commit(change).await.unwrap(), Outcome::Committed(_)));
    }

    pub async fn change(&self, key: &str, state: State, change: impl Fn(&mut Instance)) {
        loop {
            let old = self.records.get::<Instance>(key).await.unwrap().unwrap();
            let status = self.records.get::<InstanceStatus>(key).await.unwrap().unwrap();
            let mut new = old.record.clone();
            change(&mut new);
            new.generation += 1;
            let announced = InstanceStatus { state, ..status.record.clone() };
            let change = Change::new().replace(&old, &new).unwrap().replace(&status, &announced).unwrap();
            if let Outcome::Committed(_) = self.records.commit(change).await.unwrap() {
                return;
            }
        }
    }

    pub async fn status(&self, key: &str) -> Option<InstanceStatus> {
        self.records.get::<InstanceStatus>(key).await.unwrap().map(|s| s.record)
    }

    pub async fn until(&self, key: &str, state: State) -> InstanceStatus {
        let mut last = None;
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            last = self.status(key).await;
            match &last {
                Some(status) if status.state == state => return status.clone(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("{key} is not {state:?} within {LIMIT:?}: {last:?}");
    }

    pub async fn gone(&self, key: &str) {
        let end = Instant::now() + LIMIT;
        while self.status(key).await.is_some() || self.records.get::<Instance>(key).await.unwrap().is_some() {
            assert!(Instant::now() < end, "{key} is still there: {:?}", self.status(key).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A file with the certificate of the region's authority.
    pub async fn authority(&self, authority: &str) -> PathBuf {
        let key = format!("us-east-1/{authority}");
        let record = self.records.get::<AuthorityRecord>(&key).await.unwrap().unwrap();
        let root = self.folder.path().join(format!("{authority}.pem"));
        std::fs::write(&root, &record.certificate).unwrap();
        root
    }

    pub fn database(&self, id: &ResourceId) -> PathBuf {
        self.data_dir().join("databases").join(id.as_str())
    }

    /// The server's process.
    pub fn pid(&self, id: &ResourceId) -> Option<u32> {
        let data = self.database(id).join("data").canonicalize().ok()?;
        if let Ok(file) = std::fs::read_to_string(data.join("postmaster.pid")) {
            return file.lines().next()?.parse().ok();
        }
        let word = format!("--datadir={}", data.display());
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|b| *b == 0).any(|found| found == word.as_bytes())
        })
    }

    pub fn pids(&self) -> Vec<u32> {
        let folders = std::fs::read_dir(self.data_dir().join("databases")).into_iter().flatten().flatten();
        folders.filter_map(|f| self.pid(&f.file_name().to_str()?.parse().ok()?)).collect()
    }
}

pub fn announced(instance: &Instance, state: State) -> InstanceStatus {
    InstanceStatus {
        region: instance.region.clone(),
        identifier: instance.identifier.clone(),
        resource_id: instance.resource_id.clone(),
        state,
        message: None,
        generation: 0,
        password_generation: 0,
        reboots: 0,
        certificate_valid_till: None,
        door: None,
    }
}

pub fn rand(identifier: &str, port: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(identifier.bytes().chain(port.to_be_bytes())) {
        *to = from;
    }
    bytes
}

/// A port that nobody listens at, below those that connections take for themselves.
pub fn free_port() -> u16 {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let start = 20_000 + (std::process::id() % 600) as u16 * 16;
    loop {
        let port = start + NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 1_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
