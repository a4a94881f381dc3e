//! Start-ups of PostgreSQL: the client's, the login, and requests to cancel.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::rand;
use bytes::{Bytes, BytesMut};
use client::connection::{Reached, TalkError, talk};
use gateway::ClientTls;
use gateway::postgres::{
    Accept, AcceptError, AcceptOptions, Arrival, Cancel, CancelKey, ClientAuth, Login, LoginError, Session,
    Startup, Verifier, error_response,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::access::{Access, AccessError};
use crate::failure::{Failure, Reason, Refused, Told};
use crate::session::{Started, client_side, converse, farewell, secure_client, server_side};
use crate::shared::{Seat, Shared};
use crate::stream::{ClientStream, Socket};

/// What clients that begin with TLS ask for, so that no other protocol is taken for this one.
pub(crate) const ALPN: &[u8] = b"postgresql";

/// The first byte of TLS.
const HANDSHAKE: u8 = 0x16;

/// What local passwords are checked against.
pub(crate) struct Passwords(Option<Verifier>);

impl Passwords {
    pub(crate) fn new(access: &Access) -> Result<Self, AccessError> {
        let Some(password) = &access.password else { return Ok(Self(None)) };
        Ok(Self(Verifier::new(password.as_bytes(), random()?)))
    }

    fn auth(&self) -> Result<ClientAuth, AccessError> {
        Ok(match &self.0 {
            None => ClientAuth::Open,
            Some(verifier) => ClientAuth::Password { verifier: verifier.clone(), nonce: random()? },
        })
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], AccessError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| AccessError::NoRandomness)?;
    Ok(bytes)
}

/// Takes a connection as far as it goes: to a session, or to nothing where it was a request to cancel or was refused by now.
pub(crate) async fn start(seat: &mut Seat, socket: Socket) -> Result<Option<Started>, Failure> {
    let mut stream = ClientStream::Plain(socket);
    let mut input = BytesMut::new();
    let patience = seat.shared.settings.limits.startup;
    // The stream goes in and comes out: TLS may be around it then.
    let accepted = timeout(patience, accept(seat, stream, &mut input)).await.map_err(|_| {
        let message = format!("the client did not say who it is within {} s", patience.as_secs());
        Failure::new(Reason::StartupTimeout, message).silent()
    })?;
    let arrival;
    (stream, arrival) = accepted?;
    let startup = match arrival {
        Arrival::Session(startup) => startup,
        Arrival::Cancel(key) => {
            cancel(&seat.shared, key).await;
            return Ok(None);
        }
    };
    match log_in(seat, startup).await {
        Ok(LoggedIn { server, early, session }) => {
            let broken = |error: io::Error| Failure::new(Reason::Unreachable, error.to_string()).silent();
            let (client, to_server) = client_side(stream, input).map_err(broken)?;
            let (server, early) = server_side(server, early).map_err(broken)?;
            let to_client = [session.opening.as_ref(), &early].concat();
            Ok(Some(Started { client, server, to_server, to_client }))
        }
        Err(failure) => {
            let words = match &failure.told {
                Told::Nothing => Bytes::new(),
                Told::Verbatim(words) => words.clone(),
                Told::Ours => {
                    error_response(sqlstate(failure.reason), &failure.message, None, failure.hint.as_deref())
                }
            };
            seat.refused(&failure);
            farewell(&mut stream, &words).await;
            Ok(None)
        }
    }
}

/// The conditions of PostgreSQL that come next to what happened.
fn sqlstate(reason: Reason) -> &'static str {
    match reason {
        Reason::TooManyConnections => "53300",
        Reason::ShuttingDown => "57P01",
        Reason::ClientProtocol | Reason::ClientTls | Reason::ServerProtocol | Reason::StartupTimeout => {
            "08P01"
        }
        Reason::LocalPassword => "28P01",
        Reason::Replication => "0A000",
        Reason::Credentials | Reason::Refused => "28000",
        Reason::Unreachable | Reason::ServerTls => "08001",
        Reason::LoginTimeout => "08006",
    }
}

async fn accept(
    seat: &Seat,
    mut stream: ClientStream,
    input: &mut BytesMut,
) -> Result<(ClientStream, Arrival), Failure> {
    let shared = &seat.shared;
    let broken = |error: io::Error| {
        Failure::new(Reason::ClientProtocol, format!("the connection with the client broke: {error}"))
            .silent()
    };
    let tls = seat.client_tls();
    let mut on_tls = false;
    if tls != ClientTls::Off
        && let ClientStream::Plain(Socket::Tcp(socket)) = &stream
    {
        let mut first = [0];
        on_tls = socket.peek(&mut first).await.map_err(broken)? == 1 && first == [HANDSHAKE];
    }
    if on_tls {
        stream = secure_client(seat, stream, input).await?;
        if let ClientStream::Tls(stream) = &stream
            && stream.get_ref().1.alpn_protocol() != Some(ALPN)
        {
            let message = "a client that begins with TLS must ask for the protocol `postgresql` (ALPN)";
            return Err(Failure::new(Reason::ClientTls, message).silent());
        }
    }
    let auth =
        shared.passwords.auth().map_err(|error| Failure::new(Reason::LocalPassword, error.to_string()))?;
    let mut accept = Accept::new(AcceptOptions { tls, auth, on_tls });
    converse(seat, stream, input, &mut accept, |error| match error {
        AcceptError::TlsRequired => Reason::ClientTls,
        AcceptError::WrongPassword { .. } => Reason::LocalPassword,
        _ => Reason::ClientProtocol,
    })
    .await
}

/// A login that succeeded.
struct LoggedIn {
    server: TlsStream<TcpStream>,
    /// What the server has sent after it.
    early: BytesMut,
    session: Session,
}

async fn log_in(seat: &mut Seat, startup: Startup) -> Result<LoggedIn, Failure> {
    let shared = seat.shared.clone();
    if startup.is_replication() {
        return Err(Failure::new(Reason::Replication, "replication connections do not pass the proxy").hint(
            "IAM authentication is not for replication: connect to the database itself, with a password.",
        ));
    }
    let slot = shared.slot()?;
    let startup = match &shared.settings.user {
        Some(user) => startup.with_user(user).map_err(|error| {
            Failure::new(Reason::ClientProtocol, format!("`{user}` cannot be a database user: {error}"))
        })?,
        None => startup,
    };
    let user = String::from_utf8(startup.user().to_vec()).map_err(|_| {
        Failure::new(
            Reason::ClientProtocol,
            "a token is for a user whose name is UTF-8, which the client's is not",
        )
    })?;
    let database = startup.database().map(|name| String::from_utf8_lossy(name).into_owned());
    let since = Instant::now();
    let patience = shared.settings.limits.login;
    let login = timeout(patience, attempts(&shared, &startup, &user)).await;
    let (logged_in, address) = login.map_err(|_| shared.database.too_slow(patience))??;
    shared.metrics.login_seconds.observe(since.elapsed().as_secs_f64());
    let cancel = logged_in.session.key.clone().map(|key| (key, address));
    seat.begin(slot, &user, database.as_deref().unwrap_or(&user), cancel);
    Ok(logged_in)
}

/// One attempt, and another with a fresh token where the server did not take the first.
async fn attempts(shared: &Shared, startup: &Startup, user: &str) -> Result<(LoggedIn, SocketAddr), Failure> {
    let made = shared.tokens.make(user, &shared.metrics).await?;
    let refused = match attempt(shared, startup, made.token).await {
        Ok(logged_in) => return Ok(logged_in),
        Err(Refused { failure, by_token: false }) => return Err(failure),
        Err(Refused { failure, by_token: true }) => failure,
    };
    let proxy = &shared.settings.name;
    tracing::warn!(proxy, user, "{}; trying once more with a fresh token", refused.message);
    shared.metrics.retries.inc();
    match shared.tokens.make_after(&made.credentials, user, &shared.metrics).await {
        Ok(made) => attempt(shared, startup, made.token).await.map_err(|refused| refused.failure),
        Err(error) => {
            tracing::warn!(proxy, user, "no fresh token: {}", error.message);
            Err(refused)
        }
    }
}

async fn attempt(
    shared: &Shared,
    startup: &Startup,
    token: Zeroizing<String>,
) -> Result<(LoggedIn, SocketAddr), Refused> {
    let database = &shared.database;
    let explain = |error: TalkError<LoginError>| {
        let by_token =
            matches!(&error, TalkError::Ended(LoginError::Refused(error)) if error.is_authentication());
        let failure = database.talk_failure(error, |error| match error {
            LoginError::Refused(error) => {
                database.refusal(&error, [error.before().as_ref(), error.message()].concat().into())
            }
            LoginError::OtherPassword(_) => {
                let user = String::from_utf8_lossy(startup.user()).into_owned();
                let failure = Failure::new(Reason::Refused, format!("{}: {error}", database.name()));
                failure
                    .hint(format!("As the master user: GRANT rds_iam TO \"{}\"", user.replace('"', "\"\"")))
            }
            LoginError::NoTls | LoginError::EarlyBytes => {
                Failure { reason: Reason::ServerTls, ..database.protocol_failure(&error) }
            }
            _ => database.protocol_failure(&error),
        });
        Refused { failure, by_token }
    };
    let (mut plain, address) = database.connect().await?;
    let mut input = BytesMut::new();
    let mut login = Login::new(startup.clone(), token);
    match talk(&mut login, &mut plain, &mut input).await.map_err(&explain)? {
        Reached::Tls => {}
        Reached::End(_) => return Err(database.protocol_failure(&"it began a session without TLS").into()),
    }
    let mut server = database.secure(plain).await?;
    match talk(&mut login, &mut server, &mut input).await.map_err(&explain)? {
        Reached::End(session) => Ok((LoggedIn { server, early: input, session }, address)),
        Reached::Tls => Err(database.protocol_failure(&"it asks for TLS within TLS").into()),
    }
}

/// Takes a request to cancel to the server that the session is with. A key that no session has is nobody's, and there is no
/// answer to either.
async fn cancel(shared: &Shared, key: CancelKey) {
    let proxy = &shared.settings.name;
    let Some(address) = shared.server_of(&key) else {
        tracing::debug!(proxy, "a request to cancel with a key that no session has");
        return;
    };
    let pid = key.pid();
    let passed_on = timeout(shared.settings.limits.login, pass_cancel(shared, key, address)).await;
    match passed_on.unwrap_or_else(|_| Err("it took too long".to_owned())) {
        Ok(()) => {
            shared.metrics.cancels.inc();
            tracing::debug!(proxy, pid, %address, "a request to cancel was passed on");
        }
        Err(error) => tracing::warn!(proxy, pid, %address, error, "a request to cancel was not passed on"),
    }
}

async fn pass_cancel(shared: &Shared, key: CancelKey, address: SocketAddr) -> Result<(), String> {
    let database = &shared.database;
    let mut plain = database.connect_to(address).await.map_err(|error| error.to_string())?;
    let (mut request, mut input) = (Cancel::new(key), BytesMut::new());
    match talk(&mut request, &mut plain, &mut input).await.map_err(|error| error.to_string())? {
        Reached::Tls => {}
        Reached::End(()) => return Err("it was sent without TLS".to_owned()),
    }
    let mut server = database.secure(plain).await.map_err(|failure| failure.message)?;
    talk(&mut request, &mut server, &mut input).await.map_err(|error| error.to_string())?;
    // The server hangs up when it has done it, and clients wait for that: whatever it sends or breaks is as good.
    let mut rest = [0; 64];
    while let Ok(1..) = server.read(&mut rest).await {}
    Ok(())
}
