//! The login itself, as every client of ours makes it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use client::connection::{Reached, TalkError, server_name, start_tls, talk};
use client::{Bundle, Host};
use gateway::{Conversation, mysql, postgres};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::Engine;
use crate::finding::{Finding, Step};
use crate::refusal::Tried;

/// How long a login may take: RDS asks IAM the first time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where and how.
pub(crate) struct Way<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine,
    pub(crate) host: &'a Host,
    pub(crate) bundle: &'a Bundle,
    /// The database; none for the server's own choice.
    pub(crate) database: Option<&'a str>,
}

/// Why a login failed without a word of the server's about the token.
enum Failure {
    Told(Box<Finding>),
    Broken(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Logs in, hangs up, and tells.
pub(crate) async fn attempt(way: &Way<'_>, tried: &Tried<'_>, token: &Zeroizing<String>) -> Finding {
    let login = async {
        match way.engine {
            Engine::Postgres => by_postgres(way, tried, token).await,
            Engine::MySql => by_mysql(way, tried, token).await,
        }
    };
    match tokio::time::timeout(PATIENCE, login).await {
        Ok(Ok(seen)) => Finding::ok(Step::Login, seen),
        Ok(Err(Failure::Told(finding))) => *finding,
        Ok(Err(Failure::Broken(why))) => Finding::failed(Step::Login, why)
            .expected("a session")
            .mend("look into the server's log, and at what is in between"),
        Err(_) => Finding::failed(
            Step::Login,
            format!("the server does not answer within {} s", PATIENCE.as_secs()),
        )
        .expected("a session")
        .mend("look into the server's log: it may be asking an IAM, or a Countersign, that does not answer"),
    }
}

async fn by_postgres(way: &Way<'_>, tried: &Tried<'_>, token: &Zeroizing<String>) -> Result<String, Failure> {
    let told = |error: &postgres::LoginError| Failure::Told(Box::new(tried.by_postgres(error)));
    let startup = postgres::Startup::new(tried.user, way.database)
        .and_then(|startup| startup.with_parameter("application_name", "countersign doctor"))
        .map_err(|error| Failure::Broken(error.to_string()))?;
    let mut login = postgres::Login::new(startup, token.clone());
    let mut stream = TcpStream::connect(way.address).await?;
    let mut input = BytesMut::new();
    until_tls(&mut login, &mut stream, &mut input).await.map_err(|error| of(error, told))?;
    let mut stream = tls(stream, way).await?;
    let session = after_tls(&mut login, &mut stream, &mut input).await.map_err(|error| of(error, told))?;
    // Terminate.
    drop(stream.write_all(b"X\0\0\0\x04").await);
    drop(stream.shutdown().await);
    let version = session.parameter("server_version").map(crate::protocol::printable).unwrap_or_default();
    Ok(format!("logged in as `{}` (server {version})", tried.user))
}

async fn by_mysql(way: &Way<'_>, tried: &Tried<'_>, token: &Zeroizing<String>) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(way.address).await?;
    let mut input = BytesMut::new();
    let mut greet = mysql::Greet::new();
    let greeting = match talk(&mut greet, &mut stream, &mut input).await {
        Ok(Reached::End(greeting)) => greeting,
        Ok(Reached::Tls) => return Err(Failure::Broken("the server began with TLS".to_owned())),
        Err(error) => return Err(Failure::Broken(error.to_string())),
    };
    let told = |error: &mysql::LoginError| Failure::Told(Box::new(tried.by_mysql(error)));
    let client = mysql::Client::new(tried.user, way.database);
    let mut login = mysql::Login::new(&greeting, &client, tried.user, token.clone());
    until_tls(&mut login, &mut stream, &mut input).await.map_err(|error| of(error, told))?;
    let mut stream = tls(stream, way).await?;
    after_tls(&mut login, &mut stream, &mut input).await.map_err(|error| of(error, told))?;
    // COM_QUIT.
    drop(stream.write_all(&[1, 0, 0, 0, 1]).await);
    drop(stream.shutdown().await);
    Ok(format!("logged in as `{}` (server {})", tried.user, greeting.version_text()))
}

async fn tls(
    stream: TcpStream,
    way: &Way<'_>,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let config = way.bundle.client_config().map_err(|error| Failure::Broken(error.to_string()))?;
    let name = server_name(way.host.as_str()).map_err(|error| Failure::Broken(error.to_string()))?;
    Ok(start_tls(stream, config, name).await?)
}

/// Runs the part before TLS, after which there must be TLS.
async fn until_tls<C: Conversation>(
    conversation: &mut C,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> Result<(), TalkError<C::Error>> {
    match talk(conversation, stream, input).await? {
        Reached::Tls => Ok(()),
        Reached::End(_) => Err(TalkError::Closed),
    }
}

/// Runs the part in TLS.
async fn after_tls<C: Conversation>(
    conversation: &mut C,
    stream: &mut tokio_rustls::client::TlsStream<TcpStream>,
    input: &mut BytesMut,
) -> Result<C::Outcome, TalkError<C::Error>> {
    match talk(conversation, stream, input).await? {
        Reached::End(outcome) => Ok(outcome),
        Reached::Tls => Err(TalkError::Closed),
    }
}

fn of<E: std::error::Error>(error: TalkError<E>, told: impl Fn(&E) -> Failure) -> Failure {
    match error {
        TalkError::Ended(error) => told(&error),
        other => Failure::Broken(other.to_string()),
    }
}
