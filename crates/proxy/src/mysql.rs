//! Start-ups of MySQL and MariaDB: the server speaks first, so the connection to it is opened first, and its greeting decides
//! what the client is shown.

use std::io;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use bytes::{Bytes, BytesMut};
use client::connection::{Reached, TalkError, talk};
use gateway::mysql::{
    Accept, AcceptError, AcceptOptions, Client, ClientAuth, Greet, GreetError, Greeting, Login, LoginError,
    Session, error_packet, packet,
};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::failure::{Failure, Reason, Refused, Told};
use crate::postgres::random;
use crate::session::{Started, client_side, converse, farewell, server_side};
use crate::shared::{Seat, Shared};
use crate::stream::{ClientStream, Socket};

/// A server that has greeted.
struct Greeted {
    plain: TcpStream,
    input: BytesMut,
    greeting: Greeting,
}

/// Takes a connection as far as it goes: to a session, or to nothing where it was refused by now.
pub(crate) async fn start(seat: &mut Seat, socket: Socket) -> Result<Option<Started>, Failure> {
    let mut stream = ClientStream::Plain(socket);
    let shared = seat.shared.clone();
    let (slot, greeted, took) = match open(&shared).await {
        Ok(opened) => opened,
        Err(failure) => {
            // In the place of a greeting.
            seat.refused(&failure);
            tell(&mut stream, &failure, |payload| packet(0, payload), 0).await;
            return Ok(None);
        }
    };
    let mut input = BytesMut::new();
    let patience = shared.settings.limits.startup;
    let accepted =
        timeout(patience, accept(seat, stream, &mut input, &greeted.greeting)).await.map_err(|_| {
            let message = format!("the client did not say who it is within {} s", patience.as_secs());
            Failure::new(Reason::StartupTimeout, message).silent()
        })?;
    let (mut stream, client) = accepted?;
    match log_in(seat, slot, greeted, took, &client).await {
        Ok((server, early, session)) => {
            let broken = |error: io::Error| Failure::new(Reason::Unreachable, error.to_string()).silent();
            let (client_side, to_server) = client_side(stream, input).map_err(broken)?;
            let (server, early) = server_side(server, early).map_err(broken)?;
            let to_client = [client.packet(&session.ok).as_ref(), &early].concat();
            Ok(Some(Started { client: client_side, server, to_server, to_client }))
        }
        Err(failure) => {
            seat.refused(&failure);
            tell(&mut stream, &failure, |payload| client.packet(payload), client.sequence).await;
            Ok(None)
        }
    }
}

/// Tells a client why; `frame` makes a packet of the server's payload.
async fn tell(stream: &mut ClientStream, failure: &Failure, frame: impl Fn(&[u8]) -> Bytes, sequence: u8) {
    let words = match &failure.told {
        Told::Nothing => return,
        Told::Verbatim(payload) => frame(payload),
        Told::Ours => {
            let (code, sqlstate) = condition(failure.reason);
            let message = match &failure.hint {
                None => failure.message.clone(),
                Some(hint) => format!("{} ({hint})", failure.message),
            };
            error_packet(sequence, code, sqlstate, &message)
        }
    };
    farewell(stream, &words).await;
}

/// The errors of MySQL that come next to what happened.
fn condition(reason: Reason) -> (u16, &'static [u8; 5]) {
    match reason {
        // ER_CON_COUNT_ERROR
        Reason::TooManyConnections => (1040, b"08004"),
        // ER_SERVER_SHUTDOWN
        Reason::ShuttingDown => (1053, b"08S01"),
        // ER_ACCESS_DENIED_ERROR
        Reason::LocalPassword | Reason::Credentials | Reason::Refused => (1045, b"28000"),
        // ER_HANDSHAKE_ERROR
        Reason::ClientProtocol | Reason::ClientTls | Reason::StartupTimeout | Reason::Replication => {
            (1043, b"08S01")
        }
        // CR_CONN_HOST_ERROR, as other proxies have it: no error of a server's own comes near.
        Reason::Unreachable | Reason::ServerTls | Reason::ServerProtocol | Reason::LoginTimeout => {
            (2003, b"HY000")
        }
    }
}

async fn open(shared: &Shared) -> Result<(OwnedSemaphorePermit, Greeted, Duration), Failure> {
    let slot = shared.slot()?;
    let since = Instant::now();
    let patience = shared.settings.limits.login;
    let greeted =
        timeout(patience, greet(shared)).await.map_err(|_| shared.database.too_slow(patience))??;
    Ok((slot, greeted, since.elapsed()))
}

async fn greet(shared: &Shared) -> Result<Greeted, Failure> {
    let database = &shared.database;
    let (mut plain, _) = database.connect().await?;
    let mut input = BytesMut::new();
    let reached = talk(&mut Greet::new(), &mut plain, &mut input).await.map_err(|error| {
        database.talk_failure(error, |error| match error {
            GreetError::Refused(error) => database.refusal(&error, error.payload.clone()),
            GreetError::Protocol(_) => database.protocol_failure(&error),
        })
    })?;
    match reached {
        Reached::End(greeting) => Ok(Greeted { plain, input, greeting }),
        Reached::Tls => Err(database.protocol_failure(&"it did not greet")),
    }
}

async fn accept(
    seat: &Seat,
    stream: ClientStream,
    input: &mut BytesMut,
    greeting: &Greeting,
) -> Result<(ClientStream, Client), Failure> {
    let access = &seat.shared.settings.access;
    let tls = seat.client_tls();
    let auth = match &access.password {
        None => ClientAuth::Open,
        Some(password) => {
            ClientAuth::Password { password: Zeroizing::new(password.as_bytes().to_vec()), host: seat.host() }
        }
    };
    let scramble =
        random().map_err(|error| Failure::new(Reason::LocalPassword, error.to_string()).silent())?;
    let mut accept = Accept::new(greeting, AcceptOptions { tls, auth, scramble });
    converse(seat, stream, input, &mut accept, |error| match error {
        AcceptError::TlsRequired => Reason::ClientTls,
        AcceptError::Denied { .. } => Reason::LocalPassword,
        _ => Reason::ClientProtocol,
    })
    .await
}

type LoggedIn = (TlsStream<TcpStream>, BytesMut, Session);

async fn log_in(
    seat: &mut Seat,
    slot: OwnedSemaphorePermit,
    greeted: Greeted,
    took: Duration,
    client: &Client,
) -> Result<LoggedIn, Failure> {
    let shared = seat.shared.clone();
    let user = match &shared.settings.user {
        Some(user) => user.clone(),
        None => String::from_utf8(client.user.to_vec()).map_err(|_| {
            let message = "a token is for a user whose name is UTF-8, which the client's is not";
            Failure::new(Reason::ClientProtocol, message)
        })?,
    };
    let since = Instant::now();
    let patience = shared.settings.limits.login;
    let login = timeout(patience, attempts(&shared, greeted, client, &user)).await;
    let logged_in = login.map_err(|_| shared.database.too_slow(patience))??;
    shared.metrics.login_seconds.observe((took + since.elapsed()).as_secs_f64());
    let database = String::from_utf8_lossy(client.database.as_deref().unwrap_or_default());
    seat.begin(slot, &user, &database, None);
    Ok(logged_in)
}

/// One attempt, and another with a fresh token where the server did not take the first. The client has been shown the first
/// connection's number then, and its `KILL` names one that is gone.
async fn attempts(
    shared: &Shared,
    greeted: Greeted,
    client: &Client,
    user: &str,
) -> Result<LoggedIn, Failure> {
    let capabilities = greeted.greeting.capabilities;
    let made = shared.tokens.make(user, &shared.metrics).await?;
    let refused = match attempt(shared, greeted, client, user, made.token).await {
        Ok(logged_in) => return Ok(logged_in),
        Err(Refused { failure, by_token: false }) => return Err(failure),
        Err(Refused { failure, by_token: true }) => failure,
    };
    let proxy = &shared.settings.name;
    tracing::warn!(proxy, user, "{}; trying once more with a fresh token", refused.message);
    shared.metrics.retries.inc();
    match again(shared, &made.credentials, user).await {
        Ok((greeted, token)) if greeted.greeting.capabilities == capabilities => {
            attempt(shared, greeted, client, user, token).await.map_err(|refused| refused.failure)
        }
        // Another kind of server behind the same name: not the one that the client was shown.
        Ok(_) => Err(refused),
        Err(error) => {
            tracing::warn!(proxy, user, "no second attempt: {}", error.message);
            Err(refused)
        }
    }
}

async fn again(
    shared: &Shared,
    refused: &Arc<Credentials>,
    user: &str,
) -> Result<(Greeted, Zeroizing<String>), Failure> {
    let made = shared.tokens.make_after(refused, user, &shared.metrics).await?;
    Ok((greet(shared).await?, made.token))
}

async fn attempt(
    shared: &Shared,
    greeted: Greeted,
    client: &Client,
    user: &str,
    token: Zeroizing<String>,
) -> Result<LoggedIn, Refused> {
    let database = &shared.database;
    let Greeted { mut plain, mut input, greeting } = greeted;
    let explain = |error: TalkError<LoginError>| {
        let by_token =
            matches!(&error, TalkError::Ended(LoginError::Refused(error)) if error.is_authentication());
        let failure = database.talk_failure(error, |error| match error {
            LoginError::Refused(error) => database.refusal(&error, error.payload.clone()),
            LoginError::OtherPlugin(_) => {
                let failure = Failure::new(Reason::Refused, format!("{}: {error}", database.name()));
                failure.hint(format!(
                    "As the master user: CREATE USER '{0}' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL, or ALTER \
                     USER likewise",
                    user.replace('\'', "''")
                ))
            }
            LoginError::NoTls => {
                Failure { reason: Reason::ServerTls, ..database.protocol_failure(&error) }
            }
            _ => database.protocol_failure(&error),
        });
        Refused { failure, by_token }
    };
    let mut login = Login::new(&greeting, client, user, token);
    match talk(&mut login, &mut plain, &mut input).await.map_err(&explain)? {
        Reached::Tls => {}
        Reached::End(_) => return Err(database.protocol_failure(&"it began a session without TLS").into()),
    }
    let mut server = database.secure(plain).await?;
    match talk(&mut login, &mut server, &mut input).await.map_err(&explain)? {
        Reached::End(session) => Ok((server, input, session)),
        Reached::Tls => Err(database.protocol_failure(&"it asks for TLS within TLS").into()),
    }
}
