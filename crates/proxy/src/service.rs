//! All proxies of a process: from sockets to the end.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;

use crate::access::AccessError;
use crate::listen::{ListenError, Listener, bind};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::stream::Accepted;
use crate::workers::Workers;

/// How often what has passed is counted and idle sessions are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// How long nothing is accepted after the system could not.
const BREATHER: Duration = Duration::from_millis(100);

/// Why the proxies do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is demanded of clients.
    #[error("proxy `{name}`: {source}")]
    Access {
        /// Which.
        name: String,
        /// Why.
        source: AccessError,
    },
    /// A socket.
    #[error("proxy `{name}`: {source}")]
    Listen {
        /// Which.
        name: String,
        /// Why.
        source: ListenError,
    },
    /// A thread or what it needs.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// Proxies that run.
pub struct Running {
    proxies: Vec<Arc<Shared>>,
    acceptors: JoinSet<()>,
    places: Vec<(String, String)>,
    workers: Arc<Workers>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts proxies. To be called within a runtime, which accepts connections; threads of their own serve them.
///
/// # Errors
/// [`StartError`]; nothing listens then.
pub fn start(settings: Vec<Settings>, metrics: &Metrics) -> Result<Running, StartError> {
    let mut bound = Vec::new();
    for settings in settings {
        let name = settings.name.clone();
        let mut listeners = Vec::new();
        for listen in &settings.listen {
            let port = settings.target.endpoint.port;
            settings
                .access
                .check(listen)
                .map_err(|source| StartError::Access { name: name.clone(), source })?;
            let more = bind(listen, settings.engine, port, settings.socket_mode)
                .map_err(|source| StartError::Listen { name: name.clone(), source })?;
            listeners.extend(more);
        }
        let shared = Shared::new(settings, metrics.of(&name))
            .map_err(|source| StartError::Access { name: name.clone(), source })?;
        bound.push((Arc::new(shared), listeners));
    }
    let (workers, threads) = Workers::start()?;
    let workers = Arc::new(workers);
    let (mut proxies, mut acceptors, mut places) = (Vec::new(), JoinSet::new(), Vec::new());
    for (shared, listeners) in bound {
        for listener in listeners {
            places.push((shared.settings.name.clone(), listener.place()));
            acceptors.spawn(accept(shared.clone(), listener, workers.clone()));
        }
        let swept = shared.clone();
        acceptors.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                swept.sweep(Instant::now());
            }
        });
        proxies.push(shared);
    }
    Ok(Running { proxies, acceptors, places, workers, threads })
}

impl Running {
    /// Name of a proxy and where it listens, of each socket.
    pub fn places(&self) -> &[(String, String)] {
        &self.places
    }

    /// Brings the counters of bytes up to date.
    pub fn counter(&self) -> impl Fn() + Send + Sync + 'static + use<> {
        let proxies = self.proxies.clone();
        move || {
            for proxy in &proxies {
                proxy.sweep(Instant::now());
            }
        }
    }

    /// Listens no more, lets sessions go on until `patience` is over or `at_once` says so, and ends the rest. Returns how many
    /// had to be ended.
    pub async fn drain(mut self, patience: Duration, at_once: impl Future<Output = ()>) -> usize {
        for proxy in &self.proxies {
            proxy.begin_drain();
        }
        self.acceptors.shutdown().await;
        let all_gone = async {
            for proxy in &self.proxies {
                while proxy.connections() > 0 {
                    proxy.empty.notified().await;
                }
            }
        };
        tokio::select! {
            () = all_gone => {}
            () = tokio::time::sleep(patience) => {}
            () = at_once => {}
        }
        let left = self.proxies.iter().map(|proxy| proxy.connections()).sum();
        for proxy in &self.proxies {
            proxy.end_all();
        }
        drop(self.workers);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the proxy has ended in a panic");
            }
        }
        left
    }
}

async fn accept(shared: Arc<Shared>, listener: Listener, workers: Arc<Workers>) {
    let local = listener.is_local();
    loop {
        let Ok(startup) = shared.startups.clone().acquire_owned().await else { return };
        let accepted = match &listener {
            Listener::Tcp(listener) => match listener.accept().await {
                Ok((stream, client)) => stream.into_std().map(|stream| (Accepted::Tcp(stream), Some(client))),
                Err(error) => Err(error),
            },
            Listener::Unix(listener, _) => match listener.accept().await {
                Ok((stream, _)) => stream.into_std().map(|stream| (Accepted::Unix(stream), None)),
                Err(error) => Err(error),
            },
        };
        match accepted {
            Ok((accepted, client)) => workers.serve(&shared, accepted, client, local, startup),
            // A client that went while it waited.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(proxy = shared.settings.name, %error, "cannot accept a connection");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
}

/// Raises the limit of open files as far as it goes; none where that does not work. Each session takes two.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let most = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let raised = setrlimit(Resource::Nofile, most).is_ok();
    if raised { limit.maximum } else { limit.current }
}
