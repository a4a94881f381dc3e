//! What the operator asks a running server: its state, why a login or a token is allowed or not, and the service control policies, over a
//! socket in the data directory that only its owner can open; and its metrics, beside the API.

pub(crate) mod database;
pub(crate) mod explain;
mod principal;
pub(crate) mod query;
mod refusal;
pub(crate) mod scp;
pub(crate) mod token;

use anyhow::Context;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use iam::{AccountId, Naming};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use store::records::{Cluster, EngineVersion, Instance, InstanceStatus, Records};
use store::{Published, RecordsError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// The name of the socket in the data directory.
pub(crate) const SOCKET: &str = "control.sock";

/// What there is to show.
pub(crate) struct Control {
    pub(crate) started: OffsetDateTime,
    pub(crate) address: SocketAddr,
    pub(crate) account: AccountId,
    pub(crate) door: &'static str,
    pub(crate) engine_versions: Vec<EngineVersion>,
    pub(crate) records: Records,
    pub(crate) published: Arc<Published>,
    pub(crate) naming: Naming,
    pub(crate) registry: Registry,
    pub(crate) clock: doors::Clock,
    /// Whether policies see the client's address at a login.
    pub(crate) source_ip: bool,
    /// Held while service control policies are changed: how many there are at a level is no record that could be locked on.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

/// The state of a running server.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) endpoint: String,
    pub(crate) account: String,
    pub(crate) started: String,
    pub(crate) door: String,
    pub(crate) engines: Vec<String>,
    pub(crate) revision: u64,
    pub(crate) databases: Vec<DatabaseStatus>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) clusters: Vec<ClusterStatus>,
}

/// The state of a database instance.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct DatabaseStatus {
    pub(crate) identifier: String,
    pub(crate) region: String,
    pub(crate) engine: String,
    pub(crate) endpoint: String,
    /// What policies name: the cluster's for an instance in a cluster.
    pub(crate) resource_id: String,
    /// The instance's own, where policies name the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance_resource_id: Option<String>,
    pub(crate) iam_authentication: bool,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// A cluster, with or without instances.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct ClusterStatus {
    pub(crate) identifier: String,
    pub(crate) region: String,
    pub(crate) resource_id: String,
}

/// The metrics, in Prometheus's text format.
pub(crate) fn metrics(control: Arc<Control>) -> Router {
    Router::new().route("/metrics", get(show_metrics)).with_state(control)
}

async fn show_metrics(State(control): State<Arc<Control>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &control.registry) {
        Ok(()) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The control socket; only the user that Countersign runs as can open it.
pub(crate) fn bind(data_dir: &Path) -> anyhow::Result<UnixListener> {
    let path = data_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace `{}`", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(&path).with_context(|| format!("cannot listen on `{}`", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// The socket with its mode is for the owner; between making it and giving it the mode it is not, and who gets in then could
/// set what the whole account may do. So who connects is looked at too.
struct OwnersOnly(UnixListener);

impl axum::serve::Listener for OwnersOnly {
    type Io = UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
            match stream.peer_cred() {
                Ok(peer) if is_owner(peer.uid()) => return (stream, address),
                Ok(peer) => {
                    tracing::warn!(
                        uid = peer.uid(),
                        pid = peer.pid(),
                        "a user that may not ask connected to the control socket"
                    );
                }
                Err(error) => tracing::warn!(%error, "who connected to the control socket cannot be told"),
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// Root, and the user that runs the server.
fn is_owner(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Answers until it is told to stop.
pub(crate) async fn serve(
    listener: UnixListener,
    control: Arc<Control>,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/status", get(show_status))
        .route(database::PATH, get(database::show))
        .route(explain::PATH, get(explain::show))
        .route(scp::PATH, get(scp::list))
        .route(token::PATH, post(token::show))
        .route(&format!("{}/{{level}}/{{name}}", scp::PATH), put(scp::put).delete(scp::delete))
        .with_state(control);
    let stop = async move {
        drop(stopped.wait_for(|stop| *stop).await);
    };
    Ok(axum::serve(OwnersOnly(listener), router).with_graceful_shutdown(stop).await?)
}

async fn show_status(State(control): State<Arc<Control>>) -> Response {
    match control.status().await {
        Ok(status) => Json(status).into_response(),
        Err(error) => {
            tracing::error!(%error, "the status cannot be read");
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl Control {
    async fn status(&self) -> Result<Status, RecordsError> {
        let mut databases = Vec::new();
        for instance in self.records.list::<Instance>("").await? {
            let key = format!("{}/{}", instance.region, instance.identifier);
            let status = self.records.get::<InstanceStatus>(&key).await?;
            let cluster = match &instance.cluster {
                Some(cluster) => {
                    self.records.get::<Cluster>(&format!("{}/{cluster}", instance.region)).await?
                }
                None => None,
            };
            let (resource_id, iam_authentication) = match &cluster {
                Some(cluster) => (&cluster.resource_id, cluster.iam_auth),
                None => (&instance.resource_id, instance.iam_auth),
            };
            databases.push(DatabaseStatus {
                identifier: instance.identifier.clone(),
                region: instance.region.to_string(),
                engine: format!("{} {}", instance.engine, instance.engine_version),
                endpoint: format!(
                    "{}:{}",
                    self.naming.instance_address(&instance.identifier, &instance.region),
                    instance.port
                ),
                resource_id: resource_id.to_string(),
                instance_resource_id: cluster.as_ref().map(|_| instance.resource_id.to_string()),
                iam_authentication,
                status: status.as_ref().map_or("unknown", |status| status.state.as_str()).to_owned(),
                message: status.and_then(|status| status.record.message),
            });
        }
        let clusters = self.records.list::<Cluster>("").await?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            endpoint: format!("http://{}", self.address),
            account: self.account.to_string(),
            started: self.started.format(&Rfc3339).unwrap_or_default(),
            door: self.door.to_owned(),
            engines: self.engine_versions.iter().map(|v| format!("{} {}", v.engine, v.version)).collect(),
            revision: self.published.current().revision(),
            databases,
            clusters: clusters
                .into_iter()
                .map(|cluster| ClusterStatus {
                    region: cluster.region.to_string(),
                    resource_id: cluster.resource_id.to_string(),
                    identifier: cluster.identifier.clone(),
                })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_owner_gets_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut listener = OwnersOnly(bind(folder.path()).unwrap());
        let path = folder.path().join(SOCKET);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (connected, _) =
            tokio::join!(UnixStream::connect(&path), axum::serve::Listener::accept(&mut listener));
        assert!(connected.is_ok());
        assert!(is_owner(0) && is_owner(rustix::process::geteuid().as_raw()) && !is_owner(u32::MAX - 1));
    }
}
