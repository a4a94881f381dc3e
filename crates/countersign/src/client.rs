//! Asking a running server over HTTP: its certificates over the API's port, its state over the control socket.

use crate::config::{DataDir, UsageError};
use anyhow::{Context, bail};
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
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
    let socket = data_dir.join(crate::control::SOCKET);
    runtime()?.block_on(async {
        let stream = UnixStream::connect(&socket).await.with_context(|| {
            format!(
                "cannot ask the server at `{}`: is `countersign serve` running on this data directory?",
                socket.display()
            )
        })?;
        get(TokioIo::new(stream), "localhost", path).await
    })
}

async fn get_tcp(endpoint: &str, path: &str) -> anyhow::Result<Bytes> {
    let address =
        endpoint.strip_prefix("http://").with_context(|| format!("`{endpoint}` is not an http address"))?;
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot reach {endpoint}: is `countersign serve` running?"))?;
    get(TokioIo::new(stream), address, path).await
}

async fn get(
    stream: impl Read + Write + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> anyhow::Result<Bytes> {
    let answer = async {
        let (mut sender, connection) = http1::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        let request = hyper::Request::get(path).header("host", host).body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        driver.abort();
        if status != StatusCode::OK {
            bail!("the server answered {status} to {path}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(body)
    };
    tokio::time::timeout(PATIENCE, answer).await.context("the server does not answer")?
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
