//! `countersign serve`: opens the data directory, starts the parts in the order in which they need each other, and stops
//! them in the reverse order.

use crate::config::{Arguments, DoorSetting, OnExit, Settings};
use crate::control::{self, Control};
use crate::doors::DoorKeeper;
use crate::{admin, logging, pam};
use anyhow::Context;
use doors::{Audit, Clock, Identity, LdapDoor, Metrics, Verifier};
use engine::{DoorChoice, Reconciler};
use iam::Naming;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{EmbeddedStore, MasterKey, Records};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Runs until a signal says stop.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = arguments.settle()?;
    logging::start(settings.log_format, &settings.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let data_dir = &settings.data_dir;
    make_data_dir(data_dir)?;
    let clock: Clock = Arc::new(OffsetDateTime::now_utc);
    let master_key = Arc::new(MasterKey::load_or_create(&data_dir.join("master.key"))?);
    let records = Records::new(Arc::new(EmbeddedStore::open(&data_dir.join("store.redb"))?));
    let account = admin::open_account(data_dir, &records, &master_key, settings.account_id, clock()).await?;
    let naming = Naming::new(account, settings.endpoint_domain.as_deref());
    let published = store::follow(records.clone(), master_key.clone(), naming.clone(), account).await?;
    let (stop, stopped) = watch::channel(false);

    let mut registry = Registry::default();
    let verifier = Verifier::new(
        published.clone(),
        clock.clone(),
        Audit::to_file(&data_dir.join("audit.jsonl")).context("cannot open the audit file")?,
        Metrics::registered(&mut registry),
        first_request_id()?,
    );
    let verifier = Arc::new(verifier.with_source_ip(settings.source_ip));

    let mut parts = tokio::task::JoinSet::new();
    let door = match choose_door(&settings) {
        DoorSetting::Ldap => {
            let (listener, address) = ldap_listener(&settings).await?;
            let snapshot = published.clone();
            let known = move |id: &str| {
                snapshot.peek().database(id).map(|database| database.resource_id.as_str().into())
            };
            let ldap =
                LdapDoor::new(ldap_identity(data_dir, address, clock())?, Arc::new(known), verifier.clone());
            let until = stopped.clone();
            parts.spawn(async move {
                ldap.serve(listener, until).await;
                Ok(())
            });
            DoorChoice::Ldap { address }
        }
        DoorSetting::Auto | DoorSetting::Pam => DoorChoice::Pam { service: settings.pam_service.clone() },
    };
    let keeper = Arc::new(DoorKeeper::new(verifier, stopped.clone()));
    let word = door.as_str();
    let reconciler = Reconciler::new(
        engine::Settings {
            data_dir: data_dir.clone(),
            os_user: settings.os_user.clone(),
            listen_addresses: settings.database_listen.iter().map(ToString::to_string).collect(),
            naming: naming.clone(),
            door,
            server_dirs: settings.server_dirs.clone(),
            mysql_plugin: settings.mysql_plugin.clone().or_else(mysql_plugin),
        },
        records.clone(),
        master_key.clone(),
        keeper,
    )
    .await?;
    let engine_versions = reconciler.engine_versions();

    let listener = TcpListener::bind(settings.listen).await.with_context(|| {
        format!(
            "cannot listen on {}: is another program using the port? Choose one with --listen",
            settings.listen
        )
    })?;
    let address = listener.local_addr()?;
    let control = Arc::new(Control {
        started: clock(),
        address,
        account,
        door: word,
        engine_versions: engine_versions.clone(),
        records: records.clone(),
        published: published.clone(),
        naming: naming.clone(),
        registry,
        clock: clock.clone(),
        source_ip: settings.source_ip,
        changing: tokio::sync::Mutex::default(),
    });
    let services = Arc::new(api::Services {
        records: records.clone(),
        master_key,
        published: published.clone(),
        naming,
        account,
        engine_versions,
        clock: clock.clone(),
    });
    let router = api::router(services.clone()).merge(control::metrics(control.clone()));
    let control_socket = control::bind(data_dir)?;
    admin::write_private(&data_dir.join("endpoint"), format!("http://{address}\n").as_bytes())?;

    parts.spawn(control::serve(control_socket, control, stopped.clone()));
    parts.spawn(api_server(listener, router, stopped.clone()));
    let reconciling = reconciler.clone();
    let until = stopped.clone();
    parts.spawn(async move {
        reconciling.run(until).await;
        Ok(())
    });
    parts.spawn(sweep_sessions(services, stopped));
    tracing::info!(%address, %account, door = word, data_dir = %data_dir.display(), "ready");

    let interrupted = tokio::select! {
        signal = asked_to_stop() => signal?,
        ended = parts.join_next() => {
            ended.context("nothing runs")???;
            anyhow::bail!("a part of the server ended by itself");
        }
    };
    tracing::info!("stopping");
    stop.send_replace(true);
    while let Some(ended) = parts.join_next().await {
        ended??;
    }
    let stop_databases = match settings.on_exit {
        OnExit::Auto => interrupted,
        OnExit::Leave => false,
        OnExit::Stop => true,
    };
    if stop_databases {
        reconciler.stop_all().await;
    }
    tracing::info!(databases_stopped = stop_databases, "stopped");
    Ok(())
}

/// The directory may be entered by the user that database servers run as, whose own directories lie inside; what others
/// must not read has its own mode.
fn make_data_dir(path: &Path) -> anyhow::Result<()> {
    let make = || {
        if path.is_dir() {
            return Ok(());
        }
        std::fs::create_dir_all(path)?;
        // Said apart from the making, which a umask would narrow.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711))
    };
    make().with_context(|| format!("cannot make the data directory `{}`", path.display()))
}

/// The library of MySQL's and MariaDB's plugin: beside this program, or where the packages put it. Without it no
/// database of theirs is served, and the rest goes on.
fn mysql_plugin() -> Option<PathBuf> {
    const LIBRARY: &str = "libauth_countersign.so";
    let program = std::env::current_exe().ok()?;
    let folder = program.parent()?;
    let places = [folder.join(LIBRARY), folder.join("../lib/countersign").join(LIBRARY)];
    places.into_iter().find(|place| place.exists())
}

fn first_request_id() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn choose_door(settings: &Settings) -> DoorSetting {
    let installed = pam::installed(&settings.pam_service);
    match (settings.door, installed) {
        (DoorSetting::Ldap, _) => DoorSetting::Ldap,
        (DoorSetting::Auto, Err(missing)) => {
            tracing::info!(%missing, "PostgreSQL will ask through its LDAP method; `countersign pam install` gives it PAM");
            DoorSetting::Ldap
        }
        (DoorSetting::Pam, Err(missing)) => {
            tracing::warn!(%missing, "the PAM door was asked for but is not installed: every token will be refused until `countersign pam install` has run");
            DoorSetting::Pam
        }
        (_, Ok(())) => DoorSetting::Pam,
    }
}

/// The LDAP door keeps its port from run to run where it can: servers that outlived a restart have it in their hba file.
async fn ldap_listener(settings: &Settings) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let remembered = settings.data_dir.join("ldap-address");
    let last =
        std::fs::read_to_string(&remembered).ok().and_then(|text| text.trim().parse::<SocketAddr>().ok());
    let again =
        last.filter(|last| settings.ldap_listen.port() == 0 && last.ip() == settings.ldap_listen.ip());
    let listener = match again {
        Some(last) => TcpListener::bind(last).await.ok(),
        None => None,
    };
    let listener = match listener {
        Some(listener) => listener,
        None => TcpListener::bind(settings.ldap_listen).await.with_context(|| {
            format!("cannot listen on {}: choose another --ldap-listen", settings.ldap_listen)
        })?,
    };
    let address = listener.local_addr()?;
    admin::write_private(&remembered, format!("{address}\n").as_bytes())?;
    Ok((listener, address))
}

/// The LDAP door's certificate, a new one at every start: its key is never on disk, and servers that outlived a restart read
/// the file anew at each login.
fn ldap_identity(data_dir: &Path, address: SocketAddr, now: OffsetDateTime) -> anyhow::Result<Identity> {
    const LIFETIME: time::Duration = time::Duration::days(3650);
    let names = pki::ServerNames { ips: vec![address.ip()], ..pki::ServerNames::host("localhost") };
    let certificate = pki::self_signed(&names, now, LIFETIME)?;
    let path = data_dir.join(engine::DOOR_CERTIFICATE);
    store::write_whole(&path, certificate.cert_pem.as_bytes(), 0o644)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(Identity::new(&certificate.cert_pem, certificate.key_pem.expose())?)
}

/// Serves with the address at the other end, which policies may ask about.
async fn api_server(
    listener: TcpListener,
    router: axum::Router,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let stop = async move {
        // An error means that the sender is gone: time to stop as well.
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, service).with_graceful_shutdown(stop).await?)
}

/// Waits for a signal; true for an interrupt, false for SIGTERM.
async fn asked_to_stop() -> anyhow::Result<bool> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => true,
        _ = terminate.recv() => false,
    })
}

/// Takes sessions that ended out of the store, now and then.
async fn sweep_sessions(
    services: Arc<api::Services>,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    const EVERY: std::time::Duration = std::time::Duration::from_secs(15 * 60);
    loop {
        match api::sweep_sessions(&services).await {
            Ok(swept) => tracing::debug!(swept, "sessions that ended were removed"),
            Err(error) => tracing::warn!(%error, "sessions that ended cannot be removed"),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::ConnectInfo;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_api_is_served_with_the_peers_address() {
        let whoami = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| format!("you are {}", peer.ip());
        let router = axum::Router::new().route("/", get(whoami));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(api_server(listener, router, stopped));

        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.1.2.3\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("you are 127.0.0.1"), "{answer}");
        stop.send_replace(true);
        served.await.unwrap().unwrap();
    }
}
