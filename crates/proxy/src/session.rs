//! One connection, from accepted to gone.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use client::connection::{Reached, TalkError, talk};
use gateway::Conversation;
use rustls::{Connection, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;

use crate::failure::{Failure, Reason};
use crate::relay::{Relay, Side, leftover_plaintext};
use crate::settings::Engine;
use crate::shared::Seat;
use crate::stream::{Accepted, ClientStream, Socket};
use crate::{mysql, postgres};

/// How long a client that is refused may take to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// What it may still say meanwhile, in bytes.
const LAST_WORDS: usize = 64 * 1024;

/// A start-up that has come to a session.
pub(crate) struct Started {
    pub(crate) client: Side,
    pub(crate) server: Side,
    /// What came too early, and goes first.
    pub(crate) to_server: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
}

/// Serves a connection. `startup` is given back when it is a session, or gone.
pub(crate) async fn run(mut seat: Seat, accepted: Accepted, startup: OwnedSemaphorePermit) {
    // On the heap, and gone when it is over: what a session costs for the rest of its life does not include it.
    let started = Box::pin(start(&mut seat, accepted)).await;
    drop(startup);
    let Some(started) = started else { return };
    let Started { client, server, to_server, to_client } = started;
    let activity = seat.activity.clone();
    let relayed = match Relay::new(client, server, &to_server, &to_client, &activity.passed) {
        Ok(relay) => {
            drop((to_server, to_client));
            relay.await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = relayed {
        tracing::debug!(proxy = seat.shared.settings.name, client = seat.client(), %error, "session breaks");
    }
}

async fn start(seat: &mut Seat, accepted: Accepted) -> Option<Started> {
    let started = match accepted.into_socket() {
        Ok(socket) => match seat.shared.engine() {
            Engine::PostgreSql => postgres::start(seat, socket).await,
            Engine::MySql => mysql::start(seat, socket).await,
        },
        Err(error) => Err(Failure::new(Reason::ClientProtocol, format!("the connection broke: {error}"))),
    };
    started.unwrap_or_else(|failure| {
        seat.refused(&failure);
        None
    })
}

/// Runs the start-up of a client to its end, with TLS where it asks for it. `reason` classes what the conversation ends with
/// otherwise; it has told the client then.
pub(crate) async fn converse<C: Conversation>(
    seat: &Seat,
    mut stream: ClientStream,
    input: &mut BytesMut,
    conversation: &mut C,
    reason: impl Fn(&C::Error) -> Reason,
) -> Result<(ClientStream, C::Outcome), Failure> {
    loop {
        let error = match talk(conversation, &mut stream, input).await {
            Ok(Reached::End(outcome)) => return Ok((stream, outcome)),
            Ok(Reached::Tls) => {
                stream = secure_client(seat, stream, input).await?;
                continue;
            }
            Err(error) => error,
        };
        let mut class = Reason::ClientProtocol;
        if let TalkError::Ended(error) = &error {
            class = reason(error);
            farewell(&mut stream, &[]).await;
        }
        return Err(Failure::new(class, error.to_string()).silent());
    }
}

/// TLS with a client, of which `early` is the beginning that has been read already.
pub(crate) async fn secure_client(
    seat: &Seat,
    stream: ClientStream,
    early: &mut BytesMut,
) -> Result<ClientStream, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(Reason::ClientTls, format!("TLS with the client failed: {why}")).silent()
    };
    let (ClientStream::Plain(socket), Some(config)) = (stream, seat.shared.tls.clone()) else {
        return Err(failed(&"there is none to begin"));
    };
    let mut taken = Ok(());
    let accept = TlsAcceptor::from(config).accept_with(socket, |tls| taken = take_early(tls, early));
    taken.map_err(|error| failed(&error))?;
    let secured = accept.await.map_err(|error| failed(&error))?;
    Ok(ClientStream::Tls(Box::new(secured)))
}

/// Has TLS read what came before it began, and answer it if it is whole: there may be nothing more to wait for.
fn take_early(tls: &mut ServerConnection, early: &mut BytesMut) -> io::Result<()> {
    let mut rest = early.as_ref();
    while !rest.is_empty() {
        tls.read_tls(&mut rest)?;
        tls.process_new_packets().map_err(io::Error::other)?;
    }
    early.clear();
    Ok(())
}

/// Says last words to a client, and waits a moment for it to read them: a connection that is closed over bytes that were
/// never read takes what was sent with it.
pub(crate) async fn farewell(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), words: &[u8]) {
    let said = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let (mut buffer, mut heard) = (BytesMut::with_capacity(4096), 0);
        while heard < LAST_WORDS {
            buffer.clear();
            match stream.read_buf(&mut buffer).await? {
                0 => break,
                read => heard += read,
            }
        }
        io::Result::Ok(())
    };
    // A client that is gone needs no words.
    if let Ok(Err(error)) = timeout(FAREWELL, said).await {
        tracing::debug!(%error, "a client went before it was told why");
    }
}

/// The connection with the client as the relay takes it, and what of it was read already.
pub(crate) fn client_side(stream: ClientStream, mut early: BytesMut) -> io::Result<(Side, Vec<u8>)> {
    match stream {
        ClientStream::Plain(socket) => Ok((Side::new(socket, None), early.into())),
        ClientStream::Tls(stream) => {
            let (socket, connection) = stream.into_inner();
            let mut connection = Connection::Server(connection);
            early.extend_from_slice(&leftover_plaintext(&mut connection)?);
            Ok((Side::new(socket, Some(connection)), early.into()))
        }
    }
}

/// The same of the connection with the server.
pub(crate) fn server_side(stream: TlsStream<TcpStream>, mut early: BytesMut) -> io::Result<(Side, Vec<u8>)> {
    let (socket, connection) = stream.into_inner();
    let mut connection = Connection::Client(connection);
    early.extend_from_slice(&leftover_plaintext(&mut connection)?);
    Ok((Side::new(Socket::Tcp(socket), Some(connection)), early.into()))
}
