//! What all connections of a proxy share, and the seat that each has: whoever leaves it, however, leaves nothing behind.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gateway::ClientTls;
use gateway::postgres::CancelKey;
use rustls::ServerConfig;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::access::AccessError;
use crate::credentials::Tokens;
use crate::failure::{Failure, Reason};
use crate::metrics::ProxyMetrics;
use crate::postgres::Passwords;
use crate::relay::Passed;
use crate::settings::{Engine, Settings};
use crate::upstream::Database;

/// A proxy.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) passwords: Passwords,
    pub(crate) database: Database,
    pub(crate) tokens: Tokens,
    pub(crate) metrics: ProxyMetrics,
    /// Those that are no sessions yet.
    pub(crate) startups: Arc<Semaphore>,
    /// Sessions, those that are logging in included.
    slots: Arc<Semaphore>,
    draining: AtomicBool,
    ended: AtomicBool,
    seats: Mutex<HashMap<u64, Entry>>,
    next: AtomicU64,
    /// All seats have been left.
    pub(crate) empty: Notify,
    /// The very server that each session is with: a name may stand for several.
    cancels: Mutex<HashMap<CancelKey, SocketAddr>>,
}

struct Entry {
    activity: Arc<Activity>,
    task: AbortHandle,
    /// What has been counted, up and down.
    counted: (u64, u64),
    /// When a byte passed last, as far as the sweep saw.
    moved: Instant,
}

/// A session as the sweep sees it.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    pub(crate) passed: Passed,
    begun: AtomicBool,
    /// [`IDLE`], [`DRAINED`] or 0.
    ending: AtomicU8,
}

/// How a session came to its end, where it was not one of the peers that ended it.
const IDLE: u8 = 1;
const DRAINED: u8 = 2;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(settings: Settings, metrics: ProxyMetrics) -> Result<Self, AccessError> {
        let target = &settings.target;
        Ok(Self {
            tls: settings.access.server_config(settings.engine)?,
            passwords: Passwords::new(&settings.access)?,
            database: Database::new(target, settings.limits.connect),
            tokens: Tokens::new(target.chain.clone(), target.endpoint.clone(), settings.clock.clone()),
            metrics,
            startups: Arc::new(Semaphore::new(settings.limits.startups)),
            slots: Arc::new(Semaphore::new(settings.limits.connections)),
            draining: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            seats: Mutex::default(),
            next: AtomicU64::new(0),
            empty: Notify::new(),
            cancels: Mutex::default(),
            settings,
        })
    }

    /// Room for one more session.
    pub(crate) fn slot(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Failure::new(Reason::ShuttingDown, "the proxy is shutting down"));
        }
        self.slots.clone().try_acquire_owned().map_err(|_| {
            Failure::new(
                Reason::TooManyConnections,
                format!(
                    "too many connections through the proxy: max-connections is {}",
                    self.settings.limits.connections
                ),
            )
            .hint("Close some, or set --max-connections higher if the database can take more.")
        })
    }

    /// No session begins any more.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Ends all that is left.
    pub(crate) fn end_all(&self) {
        let seats = lock(&self.seats);
        // Seen by those that take their seat later.
        self.ended.store(true, Ordering::Relaxed);
        for entry in seats.values() {
            entry.activity.ending.store(DRAINED, Ordering::Relaxed);
            entry.task.abort();
        }
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        lock(&self.seats).len()
    }

    /// Adds to the counters what has passed since the last time, and ends the sessions that have been idle for too long.
    pub(crate) fn sweep(&self, now: Instant) {
        let idle = self.settings.limits.idle;
        for entry in lock(&self.seats).values_mut() {
            if self.count(entry) {
                entry.moved = now;
            } else if entry.activity.begun.load(Ordering::Relaxed)
                && idle.is_some_and(|idle| now.saturating_duration_since(entry.moved) >= idle)
            {
                entry.activity.ending.store(IDLE, Ordering::Relaxed);
                entry.task.abort();
            }
        }
    }

    /// True if anything has passed.
    fn count(&self, entry: &mut Entry) -> bool {
        let passed = &entry.activity.passed;
        let (up, down) = (passed.up.load(Ordering::Relaxed), passed.down.load(Ordering::Relaxed));
        let before = std::mem::replace(&mut entry.counted, (up, down));
        self.metrics.up.inc_by(up.saturating_sub(before.0));
        self.metrics.down.inc_by(down.saturating_sub(before.1));
        before != (up, down)
    }

    /// The server of the session that this key cancels.
    pub(crate) fn server_of(&self, key: &CancelKey) -> Option<SocketAddr> {
        lock(&self.cancels).get(key).copied()
    }
}

/// A connection's place, from the moment at which it is accepted until it is gone.
pub(crate) struct Seat {
    pub(crate) shared: Arc<Shared>,
    worker: Arc<AtomicUsize>,
    number: u64,
    pub(crate) activity: Arc<Activity>,
    client: Option<SocketAddr>,
    /// Whether only this machine gets to where it was accepted.
    pub(crate) local: bool,
    session: Option<Box<Session>>,
}

/// A session that has begun.
struct Session {
    since: Instant,
    user: Box<str>,
    database: Box<str>,
    key: Option<CancelKey>,
    _slot: OwnedSemaphorePermit,
}

impl Seat {
    /// For a connection that `worker` is to serve; it has been counted there.
    pub(crate) fn new(
        shared: Arc<Shared>,
        worker: Arc<AtomicUsize>,
        client: Option<SocketAddr>,
        local: bool,
    ) -> Self {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        Self { shared, worker, number, activity: Arc::default(), client, local, session: None }
    }

    /// A person's name for the client.
    pub(crate) fn client(&self) -> String {
        self.client.map_or_else(|| "unix".to_owned(), |address| address.to_string())
    }

    /// The client's host, as a refusal names it.
    pub(crate) fn host(&self) -> String {
        self.client.map_or_else(|| "localhost".to_owned(), |address| address.ip().to_canonical().to_string())
    }

    /// Whether there is TLS for this client.
    pub(crate) fn client_tls(&self) -> ClientTls {
        match self.shared.tls {
            None => ClientTls::Off,
            Some(_) if self.shared.settings.access.tls_required(self.local) => ClientTls::Required,
            Some(_) => ClientTls::Offered,
        }
    }

    /// What lets the sweep and the end see it.
    pub(crate) fn entry(&self) -> impl FnOnce(AbortHandle) + use<> {
        let (shared, activity, number) = (self.shared.clone(), self.activity.clone(), self.number);
        move |task| {
            let entry = Entry { activity, task, counted: (0, 0), moved: Instant::now() };
            let mut seats = lock(&shared.seats);
            if shared.ended.load(Ordering::Relaxed) {
                entry.task.abort();
            }
            seats.insert(number, entry);
        }
    }

    /// The session begins.
    pub(crate) fn begin(
        &mut self,
        slot: OwnedSemaphorePermit,
        user: &str,
        database: &str,
        cancel: Option<(CancelKey, SocketAddr)>,
    ) {
        tracing::debug!(
            proxy = self.shared.settings.name,
            client = self.client(),
            user,
            database,
            "session begins"
        );
        let key = cancel.map(|(key, server)| {
            lock(&self.shared.cancels).insert(key.clone(), server);
            key
        });
        self.activity.begun.store(true, Ordering::Relaxed);
        self.shared.metrics.begun.inc();
        self.shared.metrics.open.inc();
        let since = Instant::now();
        let session = Session { since, user: user.into(), database: database.into(), key, _slot: slot };
        self.session = Some(Box::new(session));
    }

    /// A connection that became no session.
    pub(crate) fn refused(&self, failure: &Failure) {
        let shared = &self.shared;
        shared.metrics.refused(failure.reason);
        tracing::warn!(
            proxy = shared.settings.name,
            client = self.client(),
            reason = failure.reason.as_str(),
            hint = failure.hint,
            "{}",
            failure.message
        );
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let shared = &self.shared;
        {
            let mut seats = lock(&shared.seats);
            if let Some(mut entry) = seats.remove(&self.number) {
                shared.count(&mut entry);
            }
            if seats.is_empty() {
                shared.empty.notify_one();
            }
        }
        self.worker.fetch_sub(1, Ordering::Relaxed);
        let Some(session) = self.session.take() else { return };
        if let Some(key) = &session.key {
            lock(&shared.cancels).remove(key);
        }
        shared.metrics.open.dec();
        let passed = &self.activity.passed;
        let ending = match self.activity.ending.load(Ordering::Relaxed) {
            IDLE => "idle",
            DRAINED => "drained",
            _ => "closed",
        };
        tracing::info!(
            proxy = shared.settings.name,
            client = self.client(),
            user = %session.user,
            database = %session.database,
            seconds = seconds(session.since.elapsed()),
            to_server = passed.up.load(Ordering::Relaxed),
            to_client = passed.down.load(Ordering::Relaxed),
            ending,
            "session ends"
        );
    }
}

/// Seconds with milliseconds: more is noise in a log.
pub(crate) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

impl Shared {
    /// Which protocol.
    pub(crate) fn engine(&self) -> Engine {
        self.settings.engine
    }
}
