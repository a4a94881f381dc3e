//! The client's side: asks a server for TLS, then logs in to it with a token.

use std::fmt;

use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

use super::capability::Capabilities;
use super::client::{Answer, Client};
use super::greeting::Greeting;
use super::packet::{
    AUTH_SWITCH, ERR, Fields, OK, ProtocolError, ServerError, printable, put_packet, take_packet,
};
use super::password::Method;
use crate::{Conversation, Next};

/// A session has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The server's OK without its header, for [`Client::packet`]. What it means depends on `PROTOCOL_41` and
    /// `SESSION_TRACK`, which are the same on both sides.
    pub ok: Bytes,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The server said no.
    #[error("the server refused the login: {0}")]
    Refused(ServerError),
    /// A token goes over TLS or not at all.
    #[error("the server does not offer TLS, without which no token is sent")]
    NoTls,
    /// The account is not one of IAM's, or there is none of this name: servers do not tell which.
    #[error(
        "the server asks for `{0}` instead of a token: the account does not exist or does not use AWSAuthenticationPlugin"
    )]
    OtherPlugin(String),
    /// Names, and tokens, end at a NUL.
    #[error("the {0} has a NUL in it")]
    Nul(&'static str),
    /// The server broke the protocol.
    #[error("the server broke MySQL's protocol: {0}")]
    Protocol(#[from] ProtocolError),
}

/// The client's side of a start-up, after [`Greet`](super::Greet).
///
/// The token goes with the first answer, as what the plugin `mysql_clear_password` sends. MySQL 9.7 and MariaDB 10.11 and 11.8
/// were seen to take it from there for an account of IAM's plugin, which saves a round trip. For every other account, and for a
/// name without one, they drop it unread, log nothing, and ask for the account's own plugin, where this ends. The other way
/// round would not do: an empty answer under that name is refused as an empty token.
pub struct Login {
    client: Client,
    /// With its NUL.
    token: Zeroizing<Vec<u8>>,
    /// The greeting's, named where the token cannot go first.
    plugin: Bytes,
    supports_tls: bool,
    sequence: u8,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has been sent.
    Start,
    /// TLS has been asked for.
    Tls,
    /// The answer to the greeting has been sent, with or without the token.
    Answered {
        with_token: bool,
    },
    /// The server asked for the token, and has it.
    Switched,
    Over,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, state, .. } = self;
        f.debug_struct("Login").field("client", client).field("state", state).finish_non_exhaustive()
    }
}

impl Login {
    /// Logs in as `user` for `client`, to the server that said `greeting` on this connection.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "the token is wiped here")]
    pub fn new(greeting: &Greeting, client: &Client, user: &str, token: Zeroizing<String>) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(token.len() + 1));
        bytes.extend_from_slice(token.as_bytes());
        bytes.push(0);
        let mut client = client.clone();
        client.user = Bytes::copy_from_slice(user.as_bytes());
        let lenenc = Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA;
        let asked = client
            .capabilities
            .with(Capabilities::CONNECT_WITH_DB, client.database.is_some())
            .with(Capabilities::CONNECT_ATTRS, client.attributes.is_some())
            .with(Capabilities::ZSTD_COMPRESSION_ALGORITHM, client.zstd_level.is_some());
        client.capabilities = (asked | Capabilities::SSL | Capabilities::REQUIRED | lenenc)
            & (greeting.capabilities | Capabilities::MYSQL);
        Self {
            client,
            token: bytes,
            plugin: greeting.plugin.clone(),
            supports_tls: greeting.supports_tls(),
            sequence: 1,
            state: State::Start,
        }
    }

    fn send(&mut self, payload: &[u8], output: &mut BytesMut) {
        self.sequence = put_packet(output, self.sequence, payload);
    }

    fn check(&self) -> Result<(), LoginError> {
        if !self.supports_tls {
            return Err(LoginError::NoTls);
        }
        let token = self.token.strip_suffix(&[0]).unwrap_or_default();
        for (what, bytes) in [
            ("user's name", self.client.user.as_ref()),
            ("database's name", self.client.database.as_deref().unwrap_or_default()),
            ("token", token),
        ] {
            if bytes.contains(&0) {
                return Err(LoginError::Nul(what));
            }
        }
        Ok(())
    }

    /// Whether the token may go with the first answer: it is too long for the one byte that counts it otherwise.
    fn goes_first(&self) -> bool {
        self.client.capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA)
    }

    /// The answer to the greeting.
    fn answer(&self) -> Zeroizing<Vec<u8>> {
        let (plugin, proof) = if self.goes_first() {
            (Bytes::from_static(Method::Clear.name().as_bytes()), self.token.clone())
        } else {
            (self.plugin.clone(), Zeroizing::default())
        };
        let client = Client { plugin: Some(plugin), ..self.client.clone() };
        Answer { client, proof }.print()
    }

    fn step(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Next<Session>, LoginError> {
        match self.state {
            State::Over => return Err(ProtocolError::Over.into()),
            State::Start => {
                self.check()?;
                if !input.is_empty() {
                    return Err(ProtocolError::BeforeTls.into());
                }
                let request = self.client.print_fixed();
                self.send(&request, output);
                self.state = State::Tls;
                return Ok(Next::StartTls);
            }
            State::Tls => {
                let answer = self.answer();
                self.send(&answer, output);
                self.state = State::Answered { with_token: self.goes_first() };
            }
            State::Answered { .. } | State::Switched => {}
        }
        while let Some(payload) = take_packet(input, self.sequence)? {
            self.sequence = self.sequence.wrapping_add(1);
            let payload = payload.keep();
            let mut fields = Fields::new(&payload, "server's request for another plugin");
            match fields.u8().map_err(|_| ProtocolError::Malformed("server's verdict"))? {
                // An account without a password takes an empty answer, but then it is not the account that was meant.
                OK if self.state == (State::Answered { with_token: false }) => {
                    return Err(ProtocolError::Unexpected(OK).into());
                }
                OK => {
                    check_ok(&payload)?;
                    return Ok(Next::Done(Session { ok: payload }));
                }
                ERR => return Err(LoginError::Refused(ServerError::parse(payload)?)),
                // Passwords of before MySQL 4.1 are asked for without a name.
                AUTH_SWITCH if fields.is_empty() => {
                    return Err(LoginError::OtherPlugin("mysql_old_password".to_owned()));
                }
                AUTH_SWITCH => {
                    let name = fields.name()?;
                    if name != Method::Clear.name().as_bytes() {
                        return Err(LoginError::OtherPlugin(printable(name)));
                    }
                    if self.state == State::Switched {
                        return Err(ProtocolError::Unexpected(AUTH_SWITCH).into());
                    }
                    self.state = State::Switched;
                    self.sequence = put_packet(output, self.sequence, &self.token);
                }
                other => return Err(ProtocolError::Unexpected(other).into()),
            }
        }
        Ok(Next::Read)
    }
}

/// The part of an OK packet that all clients read.
fn check_ok(payload: &[u8]) -> Result<(), ProtocolError> {
    let mut fields = Fields::new(payload, "server's OK");
    fields.u8()?;
    // Rows, the last id, the status, warnings.
    fields.integer()?;
    fields.integer()?;
    fields.u16()?;
    fields.u16()?;
    Ok(())
}

impl Conversation for Login {
    type Outcome = Session;
    type Error = LoginError;

    fn advance(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Next<Session>, LoginError> {
        let next = self.step(input, output);
        if matches!(next, Ok(Next::Done(_)) | Err(_)) {
            self.state = State::Over;
        }
        next
    }
}
