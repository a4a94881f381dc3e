//! Authorities, servers and clients to test with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use client::{Bundle, Chain, Endpoint};
use prometheus_client::registry::Registry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::*;

/// How long anything may take that is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this takes too long")
}

/// An authority.
pub(super) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn bundle(&self) -> Bundle {
        Bundle::from_pem(&self.pem(), "the test's").unwrap()
    }

    /// Certificate and key, PEM.
    pub(super) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    pub(super) fn server(&self, name: &str) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(name);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            );
        Arc::new(config.unwrap())
    }
}

/// Gives new credentials each time that it is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    pub(super) asked: Arc<AtomicUsize>,
    pub(super) lifetime: Option<(Arc<std::sync::Mutex<SystemTime>>, Duration)>,
    pub(super) empty: bool,
}

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let end = self.lifetime.as_ref().map(|(now, lifetime)| *now.lock().unwrap() + *lifetime);
        future::ProvideCredentials::ready(if self.empty {
            Err(aws_credential_types::provider::error::CredentialsError::not_loaded_no_source())
        } else {
            Ok(Credentials::new(format!("ASIA{number}"), "secret", None, end, "test"))
        })
    }
}

/// Settings for a proxy to a server at `address`, whose name is `localhost`.
pub(super) fn settings(ca: &Ca, engine: Engine, address: SocketAddr, source: &Source) -> Settings {
    Settings {
        name: "test".to_owned(),
        engine,
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        socket_mode: SocketMode::default(),
        target: Target {
            endpoint: Endpoint {
                host: "localhost".to_owned(),
                port: 5432,
                region: "us-east-1".parse().unwrap(),
            },
            connect_to: Some((address.ip().to_string(), address.port())),
            bundle: ca.bundle(),
            chain: Arc::new(Chain::from_provider(source.clone())),
        },
        user: None,
        access: Access::default(),
        limits: Limits { login: Duration::from_secs(5), ..Limits::default() },
        clock: Arc::new(SystemTime::now),
    }
}

/// A proxy that runs.
pub(super) struct Proxy {
    pub(super) running: Running,
    pub(super) place: String,
    registry: Registry,
}

impl Proxy {
    pub(super) fn start(settings: Settings) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        let running = start(vec![settings], &metrics).unwrap_or_else(|error| panic!("{error}"));
        let place = running.places()[0].1.clone();
        Self { running, place, registry }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(&self.place)).await.unwrap()
    }

    /// Ends it at once; how many connections had to be ended.
    pub(super) async fn end(self) -> usize {
        self.running.drain(Duration::ZERO, std::future::pending()).await
    }

    /// The value of a metric's line, such as `refused_total{...,reason="x"}`.
    pub(super) fn metric(&self, name: &str, label: &str) -> f64 {
        self.running.counter()();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("countersign_proxy_{name}{{")) && line.contains(label));
        let line = line.unwrap_or_else(|| panic!("no {name} with {label} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a metric has the value.
    pub(super) async fn await_metric(&self, name: &str, label: &str, value: f64) {
        soon(async {
            while self.metric(name, label) != value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// A server's listener.
pub(super) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A message of PostgreSQL.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

pub(super) const OK: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 0];
pub(super) const CLEARTEXT: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 3];
pub(super) const READY: &[u8] = &[b'Z', 0, 0, 0, 5, b'I'];

/// The key of the session with this number.
pub(super) fn key(number: u32) -> Vec<u8> {
    message(b'K', &[number.to_be_bytes(), [7; 4]].concat())
}

/// A whole error.
pub(super) fn error(sqlstate: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{sqlstate}\0M{text}\0\0").as_bytes())
}

pub(super) async fn read_exactly(stream: &mut (impl AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

pub(super) async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    match soon(stream.read_to_end(&mut bytes)).await {
        Ok(_) => {}
        // A connection that ends without a word is an end as well.
        Err(error)
            if [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::UnexpectedEof]
                .contains(&error.kind()) => {}
        Err(error) => panic!("{error}"),
    }
    bytes
}

/// One message: its kind and body.
pub(super) async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let head = read_exactly(stream, 5).await;
    let length = u32::from_be_bytes(head[1..5].try_into().unwrap()) as usize;
    (head[0], read_exactly(stream, length - 4).await)
}

/// The server's side up to the start-up message, which is returned: parameters and all.
pub(super) async fn greet(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
) -> std::io::Result<(TlsStream<TcpStream>, Vec<u8>)> {
    let mut stream = stream;
    let mut request = [0; 8];
    stream.read_exact(&mut request).await?;
    assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47], "a request for TLS");
    stream.write_all(b"S").await?;
    let mut stream = TlsAcceptor::from(tls).accept(stream).await?;
    let length = stream.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    stream.read_exact(&mut startup).await?;
    Ok((stream, startup))
}

/// Asks for the token, and returns it.
pub(super) async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(CLEARTEXT).await.unwrap();
    let (kind, mut body) = read_message(stream).await;
    assert_eq!((kind, body.pop()), (b'p', Some(0)));
    String::from_utf8(body).unwrap()
}

/// The server's side of a login that succeeds.
pub(super) async fn admit(
    listener: &TcpListener,
    tls: &Arc<ServerConfig>,
    number: u32,
) -> (TlsStream<TcpStream>, Vec<u8>, String) {
    let (stream, _) = soon(listener.accept()).await.unwrap();
    let (mut stream, startup) = soon(greet(stream, tls.clone())).await.unwrap();
    let token = ask(&mut stream).await;
    stream.write_all(&[OK, &key(number), READY].concat()).await.unwrap();
    stream.flush().await.unwrap();
    (stream, startup, token)
}

/// A client's start-up message.
pub(super) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    for (name, value) in parameters {
        body.extend([name.as_bytes(), &[0], value.as_bytes(), &[0]].concat());
    }
    body.push(0);
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
}

/// Says who it is, and reads until it may send a query.
pub(super) async fn begin(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    stream.write_all(&startup(&[("user", "app"), ("database", "shop")])).await.unwrap();
    stream.flush().await.unwrap();
    until_ready(stream).await;
}

pub(super) async fn until_ready(stream: &mut (impl AsyncRead + Unpin)) {
    loop {
        match read_message(stream).await {
            (b'Z', _) => return,
            (b'E', text) => panic!("{}", String::from_utf8_lossy(&text)),
            _ => {}
        }
    }
}

/// Says who it is, and reads the error: its SQLSTATE and all of it.
pub(super) async fn refused(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> (String, String) {
    stream.write_all(&startup(&[("user", "app")])).await.unwrap();
    stream.flush().await.unwrap();
    error_of(&read_all(stream).await)
}

pub(super) fn error_of(bytes: &[u8]) -> (String, String) {
    assert_eq!(bytes.first(), Some(&b'E'), "{}", String::from_utf8_lossy(bytes));
    let text = String::from_utf8_lossy(&bytes[5..]).into_owned();
    let sqlstate = text.split('\0').find_map(|field| field.strip_prefix('C')).unwrap().to_owned();
    (sqlstate, text.replace('\0', "|"))
}
