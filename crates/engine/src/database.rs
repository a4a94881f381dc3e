//! One database's server: the steps that bring it to what is wanted of it, each of which can be repeated.

use crate::Installation;
use crate::kind::{Kind, Kinds};
use crate::layout::{FileError, Layout, make_folder, remove_folder, sync_folder, update_file, write_file};
use crate::mysql::MysqlError;
use crate::postgres::AdminError;
use crate::process::{Process, ServerError};
use crate::reconcile::{Context, DoorError, OpenDoor};
use crate::target::Target;
use crate::template::{self, TemplateError};
use iam::{Product, ResourceId};
use pki::{Authority, CaIdentifier, PkiError, SERVER_LIFETIME};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use store::authorities::{self, AuthorityError};
use store::{RecordsError, SealError};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// How long log files are kept: rds.log_retention_period's default.
const LOGS_KEPT: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Why a database is not as it is wanted.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No server of the version is installed.
    #[error("{product} {wanted} is not installed: {}", installed(*.product, .found))]
    NotInstalled {
        /// Of which product.
        product: Product,
        /// The version that is wanted.
        wanted: String,
        /// Those that are there.
        found: Vec<String>,
    },
    /// Data that was there is gone.
    #[error("the data directory `{0}` is gone: restore it, or delete the instance")]
    DataLost(String),
    /// The server was told to reload and did not.
    #[error("the server does not load its configuration: see its log")]
    NotReloaded,
    /// A member that cannot be served.
    #[error("a cluster is served by one instance here: `{0}` serves it")]
    SecondMember(String),
    /// An instance without what it needs.
    #[error("the record of `{0}` names neither a master user nor a cluster that there is")]
    Incomplete(String),
    /// The server's process.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Inside the server.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Inside MySQL or MariaDB.
    #[error(transparent)]
    Mysql(#[from] MysqlError),
    /// Its data directory.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The door.
    #[error("the door cannot be opened: {0}")]
    Door(#[source] DoorError),
    /// The records.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// A sealed secret.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The certificate authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] PkiError),
}

fn installed(product: Product, found: &[String]) -> String {
    match found {
        [] => {
            let package = match product {
                Product::PostgreSql => "such as Debian's `postgresql`",
                Product::MySql => "such as MySQL's own `mysql-community-server`",
                Product::MariaDb => "such as Debian's `mariadb-server-core`",
            };
            format!("no server is; install one, {package}")
        }
        found => format!("installed are {}", found.join(", ")),
    }
}

/// How far the status says that we have come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) generation: u64,
    pub(crate) password_generation: u64,
    pub(crate) reboots: u64,
}

/// A server that is as wanted.
pub(crate) struct Served {
    pub(crate) certificate_valid_till: OffsetDateTime,
    /// What of the parameter group has no effect.
    pub(crate) left_out: Vec<String>,
    /// How it asks.
    pub(crate) door: &'static str,
}

/// One database's server.
pub(crate) struct Database {
    context: Arc<Context>,
    id: ResourceId,
    layout: Layout,
    kinds: Kinds,
    /// There as soon as the product is known.
    kind: Option<Box<dyn Kind>>,
    server: Option<Process>,
    door_is_open: bool,
    /// Whether the server may not have loaded what stands in its files.
    stale: bool,
}

impl Database {
    pub(crate) fn new(context: Arc<Context>, id: ResourceId) -> Self {
        let layout = context.data_dir.database(&id);
        let kinds = Kinds::new(Arc::clone(&context), id.clone(), layout.clone());
        Self { context, id, layout, kinds, kind: None, server: None, door_is_open: false, stale: true }
    }

    /// Makes the server be there and as wanted.
    pub(crate) async fn serve(&mut self, target: &Target, progress: Progress) -> Result<Served, Problem> {
        let mut kind = match self.kind.take() {
            Some(kind) if kind.product() == target.engine.product() => kind,
            _ => self.kinds.of(target.engine.product()),
        };
        let served = self.serve_as(&mut *kind, target, progress).await;
        self.kind = Some(kind);
        served
    }

    async fn serve_as(
        &mut self,
        kind: &mut dyn Kind,
        target: &Target,
        progress: Progress,
    ) -> Result<Served, Problem> {
        let mut clock = Clock::start(&self.id);
        let installation = self.context.installation(target.engine, &target.version)?.clone();
        self.adopt(kind)?;
        self.make_folders()?;
        let fresh = self.make_data(kind, &installation, progress, &mut clock).await?;
        kind.wanted(target, &installation);
        self.await_ready(kind).await?;
        kind.look(self.server.as_ref()).await?;
        let certificate_valid_till = self.certify(target).await?;
        clock.step("certificate");
        self.stale |= kind.configure(target)?;
        self.open_door().await?;
        clock.step("configuration and door");

        let restart = progress.reboots < target.reboots;
        if let Some(server) = &mut self.server
            && (restart || server.port() != target.port)
        {
            server.stop(kind).await?;
            self.server = None;
            clock.step("stop");
        }
        let started = self.start(kind, &installation, target).await?;
        clock.step("start");

        if fresh {
            let password = self.context.master_key.open(&target.sealed_for, &target.master.password)?;
            let set_up = kind.set_up(target, &installation, &password);
            let flushed = async { template::flush(self.layout.clone()).await.map_err(Problem::from) };
            futures_util::future::try_join(set_up, flushed).await?;
            template::finish(&self.layout)?;
            clock.step("roles and databases");
        } else {
            if !started && self.stale {
                self.load(kind, target).await?;
                clock.step("reload");
            }
            if progress.password_generation < target.master.generation {
                let password = self.context.master_key.open(&target.sealed_for, &target.master.password)?;
                kind.set_password(target, &password).await?;
                clock.step("password");
            }
        }
        self.stale = false;
        if kind.look(self.server.as_ref()).await? {
            self.stale |= kind.configure(target)?;
            self.load(kind, target).await?;
            clock.step("what the server's users changed");
        }
        kind.settle(target).await?;
        clock.step("settled");
        self.drop_old_logs();
        Ok(Served { certificate_valid_till, left_out: kind.left_out(target), door: kind.door() })
    }

    /// Makes the server be stopped.
    pub(crate) async fn halt(&mut self) -> Result<(), Problem> {
        let mut kind = self.kind.take();
        if kind.is_none() {
            // No product is known, and none need be: what runs there is to stop.
            let Some((found, process)) = self.kinds.adopt(&self.context.user)? else {
                self.close_door().await;
                return Ok(());
            };
            self.server = Some(process);
            kind = Some(found);
        }
        let halted = match &mut kind {
            Some(kind) => self.halt_as(&mut **kind).await,
            None => Ok(()),
        };
        self.kind = kind;
        halted
    }

    async fn halt_as(&mut self, kind: &mut dyn Kind) -> Result<(), Problem> {
        kind.rest();
        self.close_door().await;
        self.adopt(kind)?;
        if let Some(mut server) = self.server.take() {
            let stopped = server.stop(kind).await;
            if stopped.is_err() {
                self.server = Some(server);
            }
            stopped?;
        }
        Ok(())
    }

    /// Makes the server be gone, with its data.
    pub(crate) async fn erase(&mut self) -> Result<(), Problem> {
        self.halt().await?;
        let layout = self.layout.clone();
        let erase = move || {
            remove_folder(&layout.doomed())?;
            match std::fs::rename(layout.root(), layout.doomed()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FileError::of(layout.root())(error));
                }
                _ => {}
            }
            remove_folder(&layout.doomed())?;
            layout.root().parent().map_or(Ok(()), sync_folder)
        };
        Ok(tokio::task::spawn_blocking(erase).await.map_err(|_| TemplateError::Interrupted)??)
    }

    /// Waits until a server that ran has ended; forever if none runs. Says how long it ran.
    pub(crate) async fn ended(&mut self) -> Duration {
        match &mut self.server {
            Some(server) => {
                server.exited().await;
                let (pid, age) = (server.pid(), server.age());
                tracing::error!(database = %self.id, pid, "the server has ended unexpectedly");
                self.server = None;
                age
            }
            None => std::future::pending().await,
        }
    }

    /// Whether something inside the server must be looked at now and then.
    pub(crate) fn is_watching(&self) -> bool {
        self.server.is_some() && self.kind.as_ref().is_some_and(|kind| kind.is_watching())
    }

    /// Looks at it; whether a pass is needed because of it.
    pub(crate) async fn look(&mut self) -> Result<bool, Problem> {
        match &mut self.kind {
            Some(kind) => kind.look(self.server.as_ref()).await,
            None => Ok(false),
        }
    }

    fn adopt(&mut self, kind: &dyn Kind) -> Result<(), Problem> {
        if self.server.as_ref().is_some_and(|server| !server.is_running()) {
            self.server = None;
        }
        if self.server.is_none() {
            self.server = Process::adopt(&self.context.user, kind)?;
            self.stale = true;
            if let Some(server) = &self.server {
                tracing::info!(database = %self.id, pid = server.pid(), "found its server running");
            }
        }
        Ok(())
    }

    fn make_folders(&self) -> Result<(), FileError> {
        let theirs = self.context.user.owner();
        make_folder(&self.context.data_dir.databases(), 0o755, None)?;
        make_folder(self.layout.root(), 0o755, None)?;
        make_folder(&self.layout.config(), 0o755, None)?;
        make_folder(&self.layout.run(), 0o700, theirs)?;
        make_folder(&self.layout.log(), 0o700, theirs)
    }

    /// Makes a data directory if there never was a finished one; whether the database must still be set up.
    async fn make_data(
        &mut self,
        kind: &mut dyn Kind,
        installation: &Installation,
        progress: Progress,
        clock: &mut Clock,
    ) -> Result<bool, Problem> {
        let unfinished = self.layout.unfinished().exists();
        if !unfinished && self.layout.data().exists() {
            return Ok(false);
        }
        if !unfinished && progress.generation > 0 {
            return Err(Problem::DataLost(self.layout.data().display().to_string()));
        }
        self.halt_as(kind).await?;
        self.context.templates.copy(installation, &self.layout).await?;
        clock.step("data directory");
        Ok(true)
    }

    /// Makes the certificate be from the right authority, for the right names and not about to end.
    async fn certify(&mut self, target: &Target) -> Result<OffsetDateTime, Problem> {
        let context = &self.context;
        let now = OffsetDateTime::now_utc();
        let ca: CaIdentifier = target.ca.parse()?;
        let authority: Authority =
            authorities::get_or_create_one(&context.records, &context.master_key, &target.region, ca, now)
                .await?;
        self.stale |= update_file(&self.layout.authority(), authority.cert_pem(), 0o644, None)?;
        let path = self.layout.certificate();
        let current = Zeroizing::new(std::fs::read(&path).unwrap_or_default());
        let current = std::str::from_utf8(&current).unwrap_or_default();
        if !authority.must_reissue(current, &target.names, now) {
            return Ok(pki::valid_till(current)?);
        }
        let issued = authority.issue(&target.names, now, SERVER_LIFETIME)?;
        let mut text =
            Zeroizing::new(String::with_capacity(issued.cert_pem.len() + issued.key_pem.expose().len()));
        text.push_str(&issued.cert_pem);
        text.push_str(issued.key_pem.expose());
        write_file(&path, text.as_bytes(), 0o600, context.user.owner())?;
        self.stale = true;
        tracing::info!(database = %self.id, authority = %ca, till = %issued.not_after, "issued a server certificate");
        Ok(issued.not_after)
    }

    /// Starts the server unless it runs; whether it was started.
    async fn start(
        &mut self,
        kind: &dyn Kind,
        installation: &Installation,
        target: &Target,
    ) -> Result<bool, Problem> {
        if self.server.is_some() {
            return Ok(false);
        }
        let addresses = &self.context.addresses;
        let server = Process::start(kind, installation, &self.layout, addresses, target.port).await?;
        tracing::info!(database = %self.id, pid = server.pid(), port = target.port, "started its server");
        self.server = Some(server);
        self.await_ready(kind).await?;
        Ok(true)
    }

    /// Waits until the server, if there is one, accepts connections.
    async fn await_ready(&mut self, kind: &dyn Kind) -> Result<(), Problem> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let ready = server.ready(kind).await;
        if matches!(ready, Err(ServerError::Exited(_))) {
            self.server = None;
        }
        Ok(ready?)
    }

    /// Makes the server load its files, and waits until it has.
    async fn load(&mut self, kind: &mut dyn Kind, target: &Target) -> Result<(), Problem> {
        if let Some(server) = &self.server {
            kind.load(target, server).await?;
        }
        self.stale = false;
        Ok(())
    }

    async fn open_door(&mut self) -> Result<(), Problem> {
        if !self.door_is_open {
            let door = OpenDoor {
                resource_id: self.id.clone(),
                socket_path: self.layout.door(),
                server_uid: self.context.user.uid,
                server_gid: self.context.user.gid,
            };
            self.context.doors.open(door).await.map_err(Problem::Door)?;
            self.door_is_open = true;
        }
        Ok(())
    }

    async fn close_door(&mut self) {
        self.context.doors.close(&self.id).await;
        self.door_is_open = false;
    }

    fn drop_old_logs(&self) {
        let logs = std::fs::read_dir(self.layout.log()).into_iter().flatten().flatten();
        for log in logs {
            let written = log.metadata().and_then(|metadata| metadata.modified());
            let age = written.ok().and_then(|written| SystemTime::now().duration_since(written).ok());
            if age.is_some_and(|age| age > LOGS_KEPT)
                && let Err(error) = std::fs::remove_file(log.path())
            {
                tracing::warn!(log = %log.path().display(), %error, "an old log cannot be removed");
            }
        }
    }
}

/// Says how long the steps took.
struct Clock {
    id: ResourceId,
    last: Instant,
}

impl Clock {
    fn start(id: &ResourceId) -> Self {
        Self { id: id.clone(), last: Instant::now() }
    }

    fn step(&mut self, step: &'static str) {
        let now = Instant::now();
        let took = now.duration_since(self.last);
        tracing::debug!(database = %self.id, step, took_ms = took.as_millis(), "step done");
        self.last = now;
    }
}
