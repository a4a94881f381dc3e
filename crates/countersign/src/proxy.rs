//! `countersign proxy`: its settings, from flags or a file, and its life from the first socket to the last session.

use crate::client::check_health;
use crate::config::{LogFormat, UsageError};
use crate::logging;
use anyhow::Context;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use client::trust;
use client::{Chain, Endpoint, Host, region_of};
use prometheus_client::registry::Registry;
use proxy::{Access, Engine, Identity, Limits, Listen, Metrics, Running, Settings, SocketMode, Target};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Flags of `proxy`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Ready when the log says so, and GET /health on --metrics-listen answers 200. SIGTERM and Ctrl-C end it when its sessions have
ended, or after --drain-seconds; a second one ends it at once.

Examples:
  countersign proxy --listen 127.0.0.1:5432 --to mydb.c7tj4example.us-east-1.rds.amazonaws.com:5432
  psql 'host=127.0.0.1 user=mydbuser dbname=postgres'

  countersign proxy --listen /run/user/1000/mysql.sock --to mydb.c7tj4example.us-east-1.rds.amazonaws.com:3306 --user app
  mysql --socket=/run/user/1000/mysql.sock --user=app

  ssh -N -L 15432:mydb.c7tj4example.us-east-1.rds.amazonaws.com:5432 bastion &
  countersign proxy --listen 127.0.0.1:5432 --to mydb.c7tj4example.us-east-1.rds.amazonaws.com:5432 \\
      --connect-to 127.0.0.1:15432

  countersign proxy --config proxy.toml")]
pub(crate) struct Arguments {
    /// A TOML file with these settings and several proxies, in the place of the flags for one
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_PROXY_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    proxy: One,
    /// Where GET /metrics and GET /health are answered; a loopback address [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT")]
    metrics_listen: Option<SocketAddr>,
    /// How long sessions may go on once the proxy is told to end [default: 30]
    #[arg(long, value_name = "SECONDS")]
    drain_seconds: Option<u64>,
    /// How the log looks, on standard error [default: auto]
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, or a filter such as info,countersign_proxy=debug [default: info]
    #[arg(long, value_name = "FILTER", env = "COUNTERSIGN_LOG")]
    log: Option<String>,
    /// Asks the proxy with this --metrics-listen whether it is ready, and ends with 0 if it is: for probes
    #[arg(long, value_name = "ADDR:PORT", exclusive = true)]
    check_health: Option<SocketAddr>,
}

/// One proxy, as flags and as a table of the file.
#[derive(Debug, Clone, Default, PartialEq, clap::Args, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct One {
    /// Its name in log and metrics [default: host and port of the database]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where clients connect: 127.0.0.1:5432, [::1]:5432, localhost:5432, or the path of a Unix socket or of the directory in
    /// which it gets its usual name; may be given several times
    #[arg(long, value_name = "PLACE", value_delimiter = ',')]
    #[serde(deserialize_with = "one_or_several")]
    listen: Vec<String>,
    /// The database: its endpoint's host name and port
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
    /// What the database speaks, postgres or mysql (MariaDB's too) [default: by the port, 5432 or 3306]
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
    /// The database user that every session logs in as [default: the one that the client names]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The database's region [default: what its host name says, else AWS_REGION or the profile]
    #[arg(long, value_name = "R")]
    region: Option<String>,
    /// The profile whose credentials make the tokens [default: AWS_PROFILE, else the usual chain]
    #[arg(long, value_name = "P")]
    profile: Option<String>,
    /// A PEM file with the authorities to trust [default: Amazon's for its hosts, else those of AWS_ENDPOINT_URL's Countersign]
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// Another address to dial, such as a tunnel's; certificate and token stay those of --to
    #[arg(long, value_name = "HOST:PORT")]
    connect_to: Option<String>,
    /// The mode of Unix sockets, octal [default: 0600]
    #[arg(long, value_name = "MODE")]
    socket_mode: Option<String>,
    /// A certificate for TLS with clients, PEM, with those that lead to its authority
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// A file whose first line is the password that clients must have
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A PEM file with authorities: clients must have a certificate of one of them
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Sessions at a time [default: 1000]
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,
    /// Connections at a time that are still logging in; others wait [default: 256]
    #[arg(long, value_name = "N")]
    max_startups: Option<usize>,
    /// How long a client may take to say who it is [default: 10]
    #[arg(long, value_name = "SECONDS")]
    startup_seconds: Option<u64>,
    /// How long an address of the database may take to answer [default: 10]
    #[arg(long, value_name = "SECONDS")]
    connect_seconds: Option<u64>,
    /// How long a login may take altogether [default: 30]
    #[arg(long, value_name = "SECONDS")]
    login_seconds: Option<u64>,
    /// How long a session may pass no byte; 0 for as long as it likes [default: 0]
    #[arg(long, value_name = "SECONDS")]
    idle_seconds: Option<u64>,
}

/// The file.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct File {
    metrics_listen: Option<SocketAddr>,
    drain_seconds: Option<u64>,
    log_format: Option<LogFormat>,
    log: Option<String>,
    /// What holds for every proxy that does not say otherwise.
    defaults: One,
    proxy: Vec<One>,
}

fn one_or_several<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged, expecting = "expected a place to listen, or a list of them")]
    enum Places {
        One(String),
        Several(Vec<String>),
    }
    serde::Deserialize::deserialize(deserializer).map(|places| match places {
        Places::One(place) => vec![place],
        Places::Several(places) => places,
    })
}

/// All settings of the process, checked as far as that goes without asking anybody.
struct Plan {
    proxies: Vec<Planned>,
    metrics_listen: Option<SocketAddr>,
    drain: Duration,
    log_format: LogFormat,
    log: String,
}

/// One proxy's, all but what must be asked for.
struct Planned {
    name: String,
    engine: Engine,
    listen: Vec<Listen>,
    socket_mode: SocketMode,
    host: Host,
    port: u16,
    connect_to: Option<(String, u16)>,
    region: Option<iam::Region>,
    profile: Option<String>,
    ca_bundle: Option<PathBuf>,
    user: Option<String>,
    access: Access,
    limits: Limits,
}

impl Arguments {
    fn settle(self) -> anyhow::Result<Plan> {
        let (file, proxies) = match &self.config {
            None => (File::default(), vec![self.proxy]),
            Some(_) if self.proxy != One::default() => {
                let message = "--config and the flags of one proxy exclude each other: name them in the file, in `[[proxy]]` or \
                               `[defaults]`";
                return Err(UsageError(message.to_owned()).into());
            }
            Some(path) => {
                let mut file = read_file(path)?;
                let proxies = std::mem::take(&mut file.proxy);
                let defaults = file.defaults.clone();
                (file, proxies.into_iter().map(|proxy| proxy.or(&defaults)).collect())
            }
        };
        if proxies.is_empty() {
            return Err(UsageError(
                "the settings name no proxy: add a `[[proxy]]` with `listen` and `to`".to_owned(),
            )
            .into());
        }
        let metrics_listen = self.metrics_listen.or(file.metrics_listen);
        if let Some(address) = metrics_listen.filter(|address| !address.ip().is_loopback()) {
            return Err(UsageError(format!(
                "--metrics-listen `{address}` is not a loopback address: this port speaks without TLS; listen on 127.0.0.1 or \
                 [::1], and let what collects metrics run beside the proxy"
            ))
            .into());
        }
        let proxies = proxies.into_iter().map(One::settle).collect::<anyhow::Result<Vec<_>>>()?;
        let mut names = std::collections::HashSet::new();
        if let Some(twice) = proxies.iter().find(|proxy| !names.insert(proxy.name.as_str())) {
            return Err(UsageError(format!(
                "two proxies have the name `{}`: give each its own `name`",
                twice.name
            ))
            .into());
        }
        Ok(Plan {
            metrics_listen,
            drain: Duration::from_secs(self.drain_seconds.or(file.drain_seconds).unwrap_or(30)),
            log_format: self.log_format.or(file.log_format).unwrap_or(LogFormat::Auto),
            log: self.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            proxies,
        })
    }
}

fn read_file(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| UsageError(format!("cannot read the settings `{}`: {error}", path.display())))?;
    toml::from_str(&text)
        .map_err(|error| UsageError(format!("the settings `{}` are wrong: {error}", path.display())).into())
}

fn usage(error: impl std::fmt::Display) -> anyhow::Error {
    UsageError(error.to_string()).into()
}

/// `host:port`, an IPv6 address in brackets.
fn host_and_port(flag: &str, text: &str) -> anyhow::Result<(Host, u16)> {
    let (host, port) =
        text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')).ok_or_else(
            || usage(format!("{flag} `{text}` is not a host and a port: expected `host:5432`")),
        )?;
    let host = host.parse().map_err(|error| usage(format!("{flag}: {error}")))?;
    let port = client::host::port(port).map_err(|error| usage(format!("{flag}: {error}")))?;
    Ok((host, port))
}

impl One {
    fn or(self, defaults: &Self) -> Self {
        let d = defaults.clone();
        Self {
            name: self.name,
            listen: if self.listen.is_empty() { d.listen } else { self.listen },
            to: self.to.or(d.to),
            engine: self.engine.or(d.engine),
            user: self.user.or(d.user),
            region: self.region.or(d.region),
            profile: self.profile.or(d.profile),
            ca_bundle: self.ca_bundle.or(d.ca_bundle),
            connect_to: self.connect_to.or(d.connect_to),
            socket_mode: self.socket_mode.or(d.socket_mode),
            tls_certificate: self.tls_certificate.or(d.tls_certificate),
            tls_key: self.tls_key.or(d.tls_key),
            password_file: self.password_file.or(d.password_file),
            client_ca: self.client_ca.or(d.client_ca),
            max_connections: self.max_connections.or(d.max_connections),
            max_startups: self.max_startups.or(d.max_startups),
            startup_seconds: self.startup_seconds.or(d.startup_seconds),
            connect_seconds: self.connect_seconds.or(d.connect_seconds),
            login_seconds: self.login_seconds.or(d.login_seconds),
            idle_seconds: self.idle_seconds.or(d.idle_seconds),
        }
    }

    fn settle(self) -> anyhow::Result<Planned> {
        let to = self
            .to
            .ok_or_else(|| usage("--to is missing: the database's host and port, as in `--to host:5432`"))?;
        let (host, port) = host_and_port("--to", &to)?;
        if self.listen.is_empty() {
            return Err(usage("--listen is missing: where clients connect, as in `--listen 127.0.0.1:5432`"));
        }
        let engine = match self.engine.as_deref() {
            Some("postgres" | "postgresql" | "aurora-postgresql") => Engine::PostgreSql,
            Some("mysql" | "mariadb" | "aurora-mysql") => Engine::MySql,
            Some(other) => return Err(usage(format!("--engine `{other}` is not known: expected `postgres` or `mysql`"))),
            None => Engine::by_port(port).ok_or_else(|| {
                usage(format!("port {port} does not say what the database speaks: give --engine postgres or --engine mysql"))
            })?,
        };
        let listen: Vec<Listen> = self
            .listen
            .iter()
            .map(|place| place.parse().map_err(|error| usage(format!("--listen {error}"))))
            .collect::<anyhow::Result<_>>()?;
        let identity = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Identity::read(certificate, key).map_err(usage)?),
            (None, None) => None,
            _ => return Err(usage(proxy::AccessError::Half)),
        };
        let access = Access::read(identity, self.password_file.as_deref(), self.client_ca.as_deref())
            .map_err(usage)?;
        for place in &listen {
            access.check(place).map_err(|error| usage(format!("--listen {error}")))?;
        }
        let seconds = |flag: &str, given: Option<u64>, default: Duration| match given {
            None => Ok(default),
            Some(0) => Err(usage(format!("--{flag} must be at least 1"))),
            Some(seconds) => Ok(Duration::from_secs(seconds)),
        };
        let count = |flag: &str, given: Option<usize>, default: usize| match given {
            None => Ok(default),
            Some(count @ 1..=1_000_000) => Ok(count),
            Some(_) => Err(usage(format!("--{flag} must be from 1 to 1000000"))),
        };
        let usual = Limits::default();
        let limits = Limits {
            connections: count("max-connections", self.max_connections, usual.connections)?,
            startups: count("max-startups", self.max_startups, usual.startups)?,
            startup: seconds("startup-seconds", self.startup_seconds, usual.startup)?,
            connect: seconds("connect-seconds", self.connect_seconds, usual.connect)?,
            login: seconds("login-seconds", self.login_seconds, usual.login)?,
            idle: self.idle_seconds.filter(|&seconds| seconds > 0).map(Duration::from_secs),
        };
        let socket_mode = self.socket_mode.map(|mode| mode.parse()).transpose();
        Ok(Planned {
            name: self.name.unwrap_or_else(|| format!("{host}:{port}")),
            engine,
            listen,
            socket_mode: socket_mode
                .map_err(|error| usage(format!("--socket-mode {error}")))?
                .unwrap_or_default(),
            connect_to: self
                .connect_to
                .map(|text| host_and_port("--connect-to", &text).map(|(host, port)| (host.to_string(), port)))
                .transpose()?,
            region: self
                .region
                .map(|region| region.parse().map_err(|error| usage(format!("--region {error}"))))
                .transpose()?,
            host,
            port,
            profile: self.profile,
            ca_bundle: self.ca_bundle,
            user: self.user,
            access,
            limits,
        })
    }
}

/// Runs until a signal says stop.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(address) = arguments.check_health {
        return check_health(address);
    }
    let plan = arguments.settle()?;
    logging::start(plan.log_format, &plan.log)?;
    let files = proxy::raise_file_limit();
    let wanted: u64 = plan.proxies.iter().map(|proxy| proxy.limits.connections as u64 * 2).sum();
    if let Some(files) = files.filter(|&files| files < wanted) {
        tracing::warn!(
            files,
            wanted,
            "the limit of open files is lower than max-connections need, two each: raise it (LimitNOFILE, ulimit -Hn)"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(plan))
}

async fn serve(plan: Plan) -> anyhow::Result<()> {
    // Before anything else: from here on a signal is an orderly end.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let settings = targets(plan.proxies).await?;
    let mut registry = Registry::default();
    let metrics = Metrics::registered(&mut registry);
    let web =
        match plan.metrics_listen {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.with_context(|| {
                    format!("cannot listen on {address}: choose another --metrics-listen")
                })?)
            }
            None => None,
        };
    let chains: Vec<_> = settings.iter().map(|one| (one.name.clone(), one.target.chain.clone())).collect();
    let running = proxy::start(settings, &metrics)?;
    if let Some(listener) = web {
        tracing::info!(address = %listener.local_addr()?, "metrics");
        tokio::spawn(serve_metrics(listener, registry, &running));
    }
    for (proxy, place) in running.places() {
        tracing::info!(proxy, address = place, "ready");
    }
    tokio::spawn(async move {
        // Said now and not only at the first login. They may still come.
        for (proxy, chain) in chains {
            if let Err(error) = chain.credentials(SystemTime::now()).await {
                tracing::warn!(proxy, "{error}");
            }
        }
    });
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!(
        seconds = plan.drain.as_secs(),
        "stopping: no new connections; sessions may go on for a while"
    );
    let again = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let ended = running.drain(plan.drain, again).await;
    tracing::info!(sessions_ended = ended, "stopped");
    Ok(())
}

/// Finds out what must be asked for: regions, authorities, where credentials come from.
async fn targets(planned: Vec<Planned>) -> anyhow::Result<Vec<Settings>> {
    let mut chains: HashMap<(Option<String>, iam::Region), Arc<Chain>> = HashMap::new();
    let mut settings = Vec::new();
    for one in planned {
        let region = region_of(&one.host, one.region.as_ref(), one.profile.as_deref()).await;
        let region = region.map_err(|error| if error.is_usage() { usage(error) } else { error.into() })?;
        let bundle =
            trust::configured(&one.host, &region, one.ca_bundle.as_deref(), one.profile.as_deref()).await?;
        let key = (one.profile.clone(), region.clone());
        let chain = match chains.get(&key) {
            Some(chain) => chain.clone(),
            None => {
                let chain = Arc::new(Chain::load(one.profile.as_deref(), Some(&region)).await);
                chains.insert(key, chain.clone());
                chain
            }
        };
        let endpoint = Endpoint { host: one.host.to_string(), port: one.port, region };
        settings.push(Settings {
            name: one.name,
            engine: one.engine,
            listen: one.listen,
            socket_mode: one.socket_mode,
            target: Target { endpoint, connect_to: one.connect_to, bundle, chain },
            user: one.user,
            access: one.access,
            limits: one.limits,
            clock: Arc::new(SystemTime::now),
        });
    }
    Ok(settings)
}

/// GET /metrics and GET /health.
fn serve_metrics(
    listener: TcpListener,
    registry: Registry,
    running: &Running,
) -> impl Future<Output = ()> + use<> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let (registry, count) = (Arc::new(registry), Arc::new(running.counter()));
    let metrics = async move || {
        count();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)
            .map(|()| ([(CONTENT_TYPE, OPEN_METRICS)], text))
            .map_err(|error| (axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    };
    let router = axum::Router::new().route("/metrics", get(metrics)).route("/health", get(async || "ok\n"));
    async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "metrics are no longer served");
        }
    }
}
