//! Asking a running server over HTTP: its certificates over the API's port, all else over the control socket.

use crate::config::{DataDir, UsageError};
use anyhow::{Context, bail};
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use iam::Region;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// Flags of `ca-bundle`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign ca-bundle --region us-east-1 > us-east-1-bundle.pem
  psql \"host=localhost sslmode=verify-full sslrootcert=us-east-1-bundle.pem ...\"")]
pub(crate) struct BundleArguments {
    #[command(flatten)]
    data_dir: DataDir,
    /// The region whose certificates are printed; `global` for those of all regions
    #[arg(long, value_name = "R", env = "AWS_DEFAULT_REGION")]
    region: String,
}

/// What the server said to a request that it refuses.
#[derive(Debug)]
pub(crate) struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// How long a running server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints a region's certificates.
pub(crate) fn print_bundle(arguments: &BundleArguments) -> anyhow::Result<()> {
    let region = &arguments.region;
    if region != "global" {
        region.parse::<Region>().map_err(|error| UsageError(format!("--region {error}, or `global`")))?;
    }
    let endpoint = endpoint(&arguments.data_dir.path()?)?;
    let path = format!("/{region}/{region}-bundle.pem");
    let bundle = runtime()?.block_on(get_tcp(&endpoint, &path))?;
    std::io::stdout().write_all(&bundle)?;
    Ok(())
}

/// Where the API of the server on this data directory listens: `http://127.0.0.1:4590`.
pub(crate) fn endpoint(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("endpoint");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read `{}`: start `countersign serve` on this data directory first", path.display())
    })?;
    Ok(text.trim().to_owned())
}

/// GET over the control socket.
pub(crate) fn get_control(data_dir: &Path, path: &str) -> anyhow::Result<Bytes> {
    ask_control(data_dir, Method::GET, path, Bytes::new())
}

/// A request with a body over the control socket. What the server refuses is [`Refused`].
pub(crate) fn ask_control(data_dir: &Path, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
    let socket = data_dir.join(crate::control::SOCKET);
    runtime()?.block_on(async {
        let stream = UnixStream::connect(&socket).await.with_context(|| {
            format!(
                "cannot ask the server at `{}`: is `countersign serve` running on this data directory?",
                socket.display()
            )
        })?;
        ask(TokioIo::new(stream), "localhost", method, path, body).await
    })
}

async fn get_tcp(endpoint: &str, path: &str) -> anyhow::Result<Bytes> {
    let address =
        endpoint.strip_prefix("http://").with_context(|| format!("`{endpoint}` is not an http address"))?;
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot reach {endpoint}: is `countersign serve` running?"))?;
    ask(TokioIo::new(stream), address, Method::GET, path, Bytes::new()).await
}

async fn ask(
    stream: impl Read + Write + Unpin + Send + 'static,
    host: &str,
    method: Method,
    path: &str,
    body: Bytes,
) -> anyhow::Result<Bytes> {
    let answer = async {
        let (mut sender, connection) = http1::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        let request = hyper::Request::builder().method(method).uri(path).header("host", host);
        let request = request.body(Full::new(body))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        driver.abort();
        let text = String::from_utf8_lossy(&body);
        match text.trim() {
            _ if status == StatusCode::OK => {}
            said if status.is_client_error() && !said.is_empty() => {
                return Err(Refused(said.to_owned()).into());
            }
            said => bail!("the server answered {status} to {path}: {said}"),
        }
        Ok(body)
    };
    tokio::time::timeout(PATIENCE, answer).await.context("the server does not answer")?
}

/// Whether a proxy's `--metrics-listen` answers that it is ready.
pub(crate) fn check_health(address: std::net::SocketAddr) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let stream = TcpStream::connect(address).await.with_context(|| {
            format!("cannot reach {address}: is `countersign proxy --metrics-listen` running?")
        })?;
        ask(TokioIo::new(stream), &address.to_string(), Method::GET, "/health", Bytes::new()).await.map(drop)
    })
}

/// For a command that waits for something.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
