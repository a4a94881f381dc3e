//! Follows the store and wakes the task of each database whose records change. One task per database: a slow one holds
//! up no other.

use crate::database::Problem;
use crate::kind::Kinds;
use crate::layout::{DataDir, FileError};
use crate::postgres::DoorChoice;
use crate::task::Task;
use crate::template::Templates;
use crate::{Installation, OsUser, OsUserError, discover, engine_versions};
use futures_util::StreamExt;
use futures_util::future::join_all;
use iam::{Engine, Naming, Product, Region, ResourceId};
use std::collections::{BTreeMap, HashMap};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::records::{Cluster, EngineVersion, Instance, ParameterGroup, Record as _};
use store::{MasterKey, Operation, Records, RecordsError, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinSet};

/// What is watched.
const PREFIX: &str = "/rds/";
/// How long to wait after the store failed, or a task broke.
const PAUSE: Duration = Duration::from_secs(1);

/// How servers are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Countersign's data directory; it exists, and the servers' OS user can enter it.
    pub data_dir: PathBuf,
    /// The OS user of the servers, if we are root; `postgres` if none is given.
    pub os_user: Option<String>,
    /// Where servers listen: addresses or names; `localhost` stands for those loopback addresses that there are.
    pub listen_addresses: Vec<String>,
    /// What databases are called.
    pub naming: Naming,
    /// How servers ask about tokens.
    pub door: DoorChoice,
    /// Folders to look for a product's server programs in, before the usual ones.
    pub server_dirs: BTreeMap<Product, Vec<PathBuf>>,
    /// The library of the plugin by which MySQL and MariaDB ask, if there is one.
    pub mysql_plugin: Option<PathBuf>,
}

/// A door to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDoor {
    /// The database that asks there.
    pub resource_id: ResourceId,
    /// The socket, in the server's working directory.
    pub socket_path: PathBuf,
    /// Who may ask.
    pub server_uid: u32,
    /// The server's group.
    pub server_gid: u32,
}

/// Why a door cannot be opened.
pub type DoorError = Box<dyn std::error::Error + Send + Sync>;

/// Opens and closes the doors through which servers ask.
#[async_trait::async_trait]
pub trait Doors: Send + Sync + 'static {
    /// Opens a door; one that is open stays so.
    async fn open(&self, door: OpenDoor) -> Result<(), DoorError>;

    /// Closes the door of a database; there need be none.
    async fn close(&self, resource_id: &ResourceId);
}

/// Why servers cannot be run at all.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no OS user for them, or it cannot enter the data directory.
    #[error(transparent)]
    OsUser(#[from] OsUserError),
    /// The data directory.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What all tasks share.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) user: OsUser,
    pub(crate) data_dir: DataDir,
    pub(crate) addresses: Vec<String>,
    pub(crate) installations: Vec<Installation>,
    pub(crate) templates: Templates,
    pub(crate) records: Records,
    pub(crate) master_key: Arc<MasterKey>,
    pub(crate) doors: Arc<dyn Doors>,
}

impl Context {
    /// The installation for a version of an engine: the series decides, a release may have been updated since.
    pub(crate) fn installation(&self, engine: Engine, version: &str) -> Result<&Installation, Problem> {
        let product = engine.product();
        let ours = || self.installations.iter().filter(move |installation| installation.product == product);
        ours().find(|installation| installation.series == product.series(version)).ok_or_else(|| {
            let found = ours().map(|installation| installation.version.clone()).collect();
            Problem::NotInstalled { product, wanted: version.to_owned(), found }
        })
    }
}

/// Makes what is wanted of databases real.
#[derive(Clone)]
pub struct Reconciler {
    context: Arc<Context>,
}

impl Reconciler {
    /// Looks for servers on this machine and checks that they could be run.
    pub async fn new(
        settings: Settings,
        records: Records,
        master_key: Arc<MasterKey>,
        doors: Arc<dyn Doors>,
    ) -> Result<Self, EngineError> {
        let user = OsUser::resolve(settings.os_user.as_deref())?;
        let path = settings.data_dir.canonicalize().map_err(FileError::of(&settings.data_dir))?;
        user.can_reach(&path)?;
        let data_dir = DataDir::new(path);
        let installations = discover(&settings.server_dirs, &user).await;
        let context = Context {
            addresses: addresses(&settings.listen_addresses),
            templates: Templates::new(&data_dir, user.clone()),
            settings,
            user,
            data_dir,
            installations,
            records,
            master_key,
            doors,
        };
        Ok(Self { context: Arc::new(context) })
    }

    /// The servers that were found, by product and series.
    pub fn installations(&self) -> &[Installation] {
        &self.context.installations
    }

    /// The engine versions that can be asked for.
    pub fn engine_versions(&self) -> Vec<EngineVersion> {
        engine_versions(&self.context.installations)
    }

    /// The OS user that servers run as.
    pub fn os_user(&self) -> &OsUser {
        &self.context.user
    }

    /// Follows the store until `shutdown` says true. Servers go on running then.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        self.context.templates.drop_others(&self.context.installations);
        let mut follower = Follower::new(Arc::clone(&self.context), shutdown.clone());
        follower.prepare();
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = follower.follow() => {}
        }
        follower.finish().await;
    }

    /// Stops every server of the data directory, fast. For after [`run`](Self::run) has ended, which would start them
    /// again.
    pub async fn stop_all(&self) {
        let context = &self.context;
        let folders = std::fs::read_dir(context.data_dir.databases()).into_iter().flatten().flatten();
        let stops = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<ResourceId>().ok()).map(
            |id| async move {
                let layout = context.data_dir.database(&id);
                let kinds = Kinds::new(Arc::clone(context), id.clone(), layout);
                let stopped = match kinds.adopt(&context.user) {
                    Ok(Some((kind, mut server))) => server.stop(&*kind).await,
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                if let Err(error) = stopped {
                    tracing::error!(database = %id, %error, "its server cannot be stopped");
                }
            },
        );
        join_all(stops).await;
    }
}

/// The addresses to listen on: of `localhost` those that the machine has.
fn addresses(configured: &[String]) -> Vec<String> {
    let mut addresses = Vec::new();
    for address in configured {
        match address.as_str() {
            "localhost" => {
                let there = |address: &&str| TcpListener::bind((*address, 0)).is_ok();
                addresses.extend(["127.0.0.1", "::1"].iter().filter(|a| there(a)).map(|a| (*a).to_owned()));
            }
            other => addresses.push(other.to_owned()),
        }
    }
    addresses
}

/// The tasks, and who is to be woken by what.
struct Follower {
    context: Arc<Context>,
    shutdown: watch::Receiver<bool>,
    tasks: JoinSet<Option<ResourceId>>,
    wakes: HashMap<ResourceId, (Arc<Notify>, Id)>,
    clusters: HashMap<(Region, String), ResourceId>,
}

impl Follower {
    fn new(context: Arc<Context>, shutdown: watch::Receiver<bool>) -> Self {
        Self { context, shutdown, tasks: JoinSet::new(), wakes: HashMap::new(), clusters: HashMap::new() }
    }

    /// Prepares the data directories that new databases are copied from: one after the other, so that what is wanted
    /// meanwhile does not wait for all of them.
    fn prepare(&mut self) {
        let context = Arc::clone(&self.context);
        self.tasks.spawn(async move {
            for installation in &context.installations {
                // Without its plugin a server is of no use.
                if installation.product != Product::PostgreSql && context.settings.mysql_plugin.is_none() {
                    continue;
                }
                if let Err(error) = context.templates.of(installation).await {
                    tracing::error!(product = %installation.product, version = installation.version, %error, "no data directory could be prepared");
                }
            }
            None
        });
    }

    async fn follow(&mut self) {
        loop {
            match self.follow_once().await {
                Ok(()) => tracing::warn!("the store's watch has ended: reading all anew"),
                Err(error) => tracing::error!(%error, "the store cannot be followed: reading all anew"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow_once(&mut self) -> Result<(), StoreError> {
        let store = Arc::clone(self.context.records.store());
        let range = store.range(PREFIX).await?;
        // Clusters first: their members are woken by way of them.
        let (clusters, others): (Vec<_>, Vec<_>) =
            range.entries.iter().partition(|entry| entry.key.starts_with(Cluster::PREFIX));
        for entry in clusters.into_iter().chain(others) {
            self.look_at(&entry.key, &entry.value);
        }
        let mut events = store.watch(PREFIX, range.revision).await?;
        loop {
            tokio::select! {
                event = events.next() => {
                    let Some(event) = event else { return Ok(()) };
                    for operation in event?.operations {
                        match operation {
                            Operation::Put(key, value) => self.look_at(&key, &value),
                            Operation::Delete(key) => self.forget(&key),
                        }
                    }
                }
                Some(ended) = self.tasks.join_next_with_id() => self.reap(ended),
            }
        }
    }

    /// Wakes whom a record concerns.
    fn look_at(&mut self, key: &str, value: &[u8]) {
        if key.starts_with(Cluster::PREFIX) {
            if let Some(cluster) = read::<Cluster>(key, value) {
                self.clusters.insert((cluster.region, cluster.identifier), cluster.resource_id.clone());
                self.wake(cluster.resource_id);
            }
        } else if key.starts_with(Instance::PREFIX) {
            let Some(instance) = read::<Instance>(key, value) else { return };
            match instance.cluster {
                None => self.wake(instance.resource_id),
                Some(cluster) => match self.clusters.get(&(instance.region, cluster)).cloned() {
                    Some(id) => self.wake(id),
                    None => tracing::error!(key, "an instance of a cluster that there is not"),
                },
            }
        } else if key.starts_with(ParameterGroup::PREFIX) {
            self.wake_all();
        }
    }

    fn forget(&mut self, key: &str) {
        if key.starts_with(ParameterGroup::PREFIX) {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        for (wake, _) in self.wakes.values() {
            wake.notify_one();
        }
    }

    fn wake(&mut self, id: ResourceId) {
        if let Some((wake, _)) = self.wakes.get(&id) {
            wake.notify_one();
            return;
        }
        self.spawn(id, Duration::ZERO);
    }

    fn spawn(&mut self, id: ResourceId, pause: Duration) {
        let wake = Arc::new(Notify::new());
        let task = Task::new(Arc::clone(&self.context), id.clone(), Arc::clone(&wake));
        let shutdown = self.shutdown.clone();
        let handle = self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            Some(task.run(shutdown).await)
        });
        self.wakes.insert(id, (wake, handle.id()));
    }

    fn reap(&mut self, ended: Result<(Id, Option<ResourceId>), tokio::task::JoinError>) {
        match ended {
            Ok((_, None)) => {}
            Ok((_, Some(id))) => {
                self.wakes.remove(&id);
            }
            Err(error) => {
                tracing::error!(%error, "a task broke");
                let broken = self.wakes.iter().find(|(_, (_, task))| *task == error.id());
                if let Some(id) = broken.map(|(id, _)| id.clone()) {
                    self.spawn(id, PAUSE);
                }
            }
        }
    }

    /// Waits until every task has seen the shutdown.
    async fn finish(mut self) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn read<R: store::Record>(key: &str, value: &[u8]) -> Option<R> {
    let read = serde_json::from_slice(value)
        .map_err(|error| RecordsError::Malformed { key: key.to_owned(), reason: error.to_string() });
    read.inspect_err(|error| tracing::error!(%error, "a record is passed over")).ok()
}
