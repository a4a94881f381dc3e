//! The server's side: shows a client a greeting, takes its answer, and checks a local password where one is demanded.

use std::fmt;
use std::mem;

use bytes::{BufMut as _, Bytes, BytesMut};
use zeroize::Zeroizing;

use super::capability::Capabilities;
use super::client::{Answer, Client, FIXED};
use super::greeting::Greeting;
use super::packet::{
    AUTH_SWITCH, MORE_DATA, Payload, ProtocolError, framed_error, printable, put_packet, take_packet,
};
use super::password::Method;
use crate::{ClientTls, Conversation, Next};

/// What a client with `caching_sha2_password` is told when its answer did, before the OK.
const FAST_AUTH_SUCCESS: u8 = 3;

/// A request for TLS by Connector/J before 5.1.32: the capabilities alone.
const SHORT_TLS_REQUEST: usize = 4;

/// How a client is received.
#[derive(Debug)]
pub struct AcceptOptions {
    /// Whether it gets TLS.
    pub tls: ClientTls,
    /// What it must know.
    pub auth: ClientAuth,
    /// The challenge: random bytes, others for each connection. They are made printable, as MySQL's are.
    pub scramble: [u8; 20],
}

/// What a client must know.
pub enum ClientAuth {
    /// Nothing: whatever it answers with will do.
    Open,
    /// A password. No client is let in by an empty one.
    Password {
        /// The password.
        password: Zeroizing<Vec<u8>>,
        /// The client's address, as a refusal names it: `Access denied for user 'u'@'host'`.
        host: String,
    },
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Password { .. } => "Password(..)",
        })
    }
}

/// Why a client is not received. It has been told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// It speaks the protocol of before MySQL 4.1.
    #[error("the client is too old: it does not speak MySQL's protocol since 4.1")]
    TooOld,
    /// It did not ask for TLS.
    #[error("the client does not use TLS, which is demanded of it")]
    TlsRequired,
    /// The password is wrong, or missing.
    #[error("the client gave {} for user `{user}`", if *password_used { "a wrong password" } else { "no password" })]
    Denied {
        /// The user that it named.
        user: String,
        /// Whether it gave a password at all.
        password_used: bool,
    },
    /// It broke the protocol.
    #[error("the client broke MySQL's protocol: {0}")]
    Protocol(#[from] ProtocolError),
}

/// The server's side of a start-up.
///
/// The greeting has the version, connection number, collation, status and capabilities of a server's, so that the client
/// behaves as if it were connected to that, and a challenge of its own. A client that would use another plugin than the
/// greeting's is asked to change, as a server asks whose account has another: some clients send nothing until then.
#[derive(Debug)]
pub struct Accept {
    greeting: Greeting,
    options: AcceptOptions,
    /// The greeting's plugin.
    method: Method,
    /// Of the next packet, from either side.
    sequence: u8,
    tls: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing has been sent.
    Start,
    /// The greeting has been sent.
    Greeted,
    /// The client was asked to answer by another plugin.
    Switched(Box<Client>, Method),
    Over,
}

impl Accept {
    /// For a client of the server that said `greeting`.
    #[must_use]
    pub fn new(greeting: &Greeting, options: AcceptOptions) -> Self {
        let method = if greeting.is_mariadb() { Method::Native } else { Method::CachingSha2 };
        let mut hidden = Capabilities::MULTI_FACTOR_AUTHENTICATION;
        if !greeting.is_mariadb() {
            hidden = hidden | Capabilities::CAPABILITY_EXTENSION;
        }
        let known = Capabilities::new(u32::MAX, 0) | Capabilities::MARIADB;
        let capabilities = (greeting.capabilities & known)
            .without(hidden)
            .with(Capabilities::SSL, options.tls != ClientTls::Off);
        // Some clients take the challenge as text, which ends at a NUL.
        let scramble = options.scramble.map(|byte| match byte & 0x7f {
            byte @ (0 | b'$') => byte + 1,
            byte => byte,
        });
        let greeting = Greeting {
            capabilities,
            plugin: Bytes::from_static(method.name().as_bytes()),
            scramble: Bytes::copy_from_slice(&scramble),
            ..greeting.clone()
        };
        Self { greeting, options, method, sequence: 0, tls: false, state: State::Start }
    }

    /// Appends a packet.
    fn send(&mut self, payload: &[u8], output: &mut BytesMut) {
        self.sequence = put_packet(output, self.sequence, payload);
    }

    /// Appends the ERR that tells the client why.
    fn explain(&self, error: &AcceptError, output: &mut BytesMut) {
        let (code, sqlstate, text) = match error {
            AcceptError::TooOld => (
                1251,
                None,
                "Client does not support authentication protocol requested by server; consider upgrading MySQL client"
                    .to_owned(),
            ),
            AcceptError::TlsRequired => (
                3159,
                Some(b"HY000"),
                "Connections using insecure transport are prohibited while --require_secure_transport=ON.".to_owned(),
            ),
            AcceptError::Denied { user, password_used } => {
                let host = match &self.options.auth {
                    ClientAuth::Password { host, .. } => host.as_str(),
                    ClientAuth::Open => "",
                };
                // MySQL's longest name has 32 characters; the rest of the sentence must not be cut off.
                let user = user.get(..user.floor_char_boundary(256)).unwrap_or_default();
                let used = if *password_used { "YES" } else { "NO" };
                let text = format!("Access denied for user '{user}'@'{host}' (using password: {used})");
                (1045, Some(b"28000"), text)
            }
            // It waits for nothing any more.
            AcceptError::Protocol(ProtocolError::Over) => return,
            AcceptError::Protocol(ProtocolError::TooLong(_)) => {
                (1153, Some(b"08S01"), "Got a packet bigger than 'max_allowed_packet' bytes".to_owned())
            }
            AcceptError::Protocol(ProtocolError::OutOfOrder { .. }) => {
                (1156, Some(b"08S01"), "Got packets out of order".to_owned())
            }
            AcceptError::Protocol(_) => (1043, Some(b"08S01"), "Bad handshake".to_owned()),
        };
        output.put_slice(&framed_error(self.sequence, code, sqlstate, &text));
    }

    fn step(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Next<Client>, AcceptError> {
        if let State::Start = self.state {
            let greeting = self.greeting.print();
            self.send(&greeting, output);
            self.state = State::Greeted;
        }
        loop {
            if let State::Over = self.state {
                return Err(ProtocolError::Over.into());
            }
            let payload = match take_packet(input, self.sequence) {
                Ok(Some(payload)) => payload,
                Ok(None) => return Ok(Next::Read),
                Err(error) => {
                    // Ours comes after the one that was wrong.
                    self.sequence = self.sequence.wrapping_add(1);
                    return Err(error.into());
                }
            };
            self.sequence = self.sequence.wrapping_add(1);
            let done = match mem::replace(&mut self.state, State::Over) {
                State::Start | State::Over => return Err(ProtocolError::Over.into()),
                State::Greeted if self.asks_for_tls(&payload)? => {
                    // What follows in `input` is TLS already.
                    self.tls = true;
                    self.state = State::Greeted;
                    return Ok(Next::StartTls);
                }
                State::Greeted => self.answered(&payload, output)?,
                State::Switched(client, method) => Some(self.finish(*client, method, &payload, output)?),
            };
            if let Some(client) = done {
                return Ok(Next::Done(client));
            }
        }
    }

    /// Whether the first packet is a request for TLS. If not, it is an answer in the clear, or one inside TLS.
    fn asks_for_tls(&self, payload: &Payload) -> Result<bool, AcceptError> {
        let malformed = ProtocolError::Malformed("client's answer to the greeting");
        let Some((lower, _)) = payload.split_first_chunk() else {
            return Err(malformed.into());
        };
        let lower = Capabilities(u16::from_le_bytes(*lower).into());
        if !lower.contains(Capabilities::PROTOCOL_41) {
            return Err(AcceptError::TooOld);
        }
        if self.tls {
            return Ok(false);
        }
        if self.greeting.supports_tls() && lower.contains(Capabilities::SSL) {
            // A whole answer, name and all, has no place in the clear.
            return match payload.len() {
                FIXED | SHORT_TLS_REQUEST => Ok(true),
                _ => Err(malformed.into()),
            };
        }
        if self.options.tls == ClientTls::Required {
            return Err(AcceptError::TlsRequired);
        }
        Ok(false)
    }

    /// Takes the client's answer: the end, or a request to answer by another plugin.
    fn answered(&mut self, payload: &[u8], output: &mut BytesMut) -> Result<Option<Client>, AcceptError> {
        let Answer { mut client, proof } = Answer::parse(payload, self.greeting.capabilities)?;
        client.tls = self.tls;
        let named = match &client.plugin {
            Some(name) => name.as_ref(),
            // Clients without plugins have but one way.
            None if !client.capabilities.contains(Capabilities::PLUGIN_AUTH) => {
                return self.finish(client, Method::Native, &proof, output).map(Some);
            }
            None => &[],
        };
        let clear_will_do = self.tls || matches!(self.options.auth, ClientAuth::Open);
        let method = if named == self.method.name().as_bytes() {
            self.method
        } else if named == Method::Clear.name().as_bytes() && clear_will_do && !proof.is_empty() {
            Method::Clear
        } else {
            // Its own, where it is one that is known here: MySQL's client since 9 has no other than the newer one.
            let known = [Method::Native, Method::CachingSha2];
            let own = known.into_iter().find(|known| named == known.name().as_bytes());
            let other = own.unwrap_or(self.method);
            let mut request = vec![AUTH_SWITCH];
            request.put_slice(other.name().as_bytes());
            request.put_u8(0);
            request.put_slice(&self.greeting.scramble);
            request.put_u8(0);
            self.send(&request, output);
            self.state = State::Switched(Box::new(client), other);
            return Ok(None);
        };
        self.finish(client, method, &proof, output).map(Some)
    }

    /// Judges the client's proof.
    fn finish(
        &mut self,
        mut client: Client,
        method: Method,
        proof: &[u8],
        output: &mut BytesMut,
    ) -> Result<Client, AcceptError> {
        let is_empty = method.is_empty(proof);
        if let ClientAuth::Password { password, .. } = &self.options.auth
            && !method.verify(password, &self.greeting.scramble, proof)
        {
            return Err(AcceptError::Denied { user: printable(&client.user), password_used: !is_empty });
        }
        // A client that gave no password waits for the OK alone.
        if method == Method::CachingSha2 && !is_empty {
            self.send(&[MORE_DATA, FAST_AUTH_SUCCESS], output);
        }
        client.sequence = self.sequence;
        Ok(client)
    }
}

impl Conversation for Accept {
    type Outcome = Client;
    type Error = AcceptError;

    fn advance(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Next<Client>, AcceptError> {
        self.step(input, output).inspect_err(|error| {
            self.explain(error, output);
            self.state = State::Over;
        })
    }
}
