//! Connections: opening them, and running a start-up over them.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use gateway::{Conversation, Next};
use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How much is read at a time during a start-up.
const CHUNK: usize = 4096;

/// Why a start-up ended.
#[derive(Debug, thiserror::Error)]
pub enum TalkError<E: std::error::Error> {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The peer hung up.
    #[error("the connection was closed in the middle of the start-up")]
    Closed,
    /// The conversation ended it.
    #[error(transparent)]
    Ended(E),
}

/// Where a start-up has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reached<T> {
    /// TLS is to begin; then [`talk`] goes on.
    Tls,
    /// The end.
    End(T),
}

/// Runs `conversation` over `stream` until TLS is to begin or it is over. `input` keeps what came and belongs to what
/// follows; it is the same buffer from call to call.
///
/// # Errors
/// [`TalkError`]. What the conversation had to say to the peer has been sent.
pub async fn talk<C: Conversation>(
    conversation: &mut C,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    input: &mut BytesMut,
) -> Result<Reached<C::Outcome>, TalkError<C::Error>> {
    let mut output = BytesMut::new();
    loop {
        let next = conversation.advance(input, &mut output);
        if !output.is_empty() {
            let sent = stream.write_all(&output).await;
            let sent = match sent {
                Ok(()) => stream.flush().await,
                failed => failed,
            };
            // A refusal that cannot be delivered is still that refusal.
            if next.is_ok() {
                sent?;
            }
            zeroize::Zeroize::zeroize(&mut output[..]);
            output.clear();
        }
        match next.map_err(TalkError::Ended)? {
            Next::Done(outcome) => return Ok(Reached::End(outcome)),
            Next::StartTls => return Ok(Reached::Tls),
            Next::Read => {
                input.reserve(CHUNK);
                if stream.read_buf(input).await? == 0 {
                    return Err(TalkError::Closed);
                }
            }
        }
    }
}

/// The name that a server's certificate must carry: a host name, or an IP address, IPv6 in brackets or without.
///
/// # Errors
/// The text is neither.
pub fn server_name(host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned())
}

/// Begins TLS with a server that must be `name`.
///
/// # Errors
/// As in the handshake; a certificate that is not accepted is an [`io::Error`] around a [`rustls::Error`].
pub async fn start_tls(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config).connect(name, stream).await
}
