//! Towards a server: TLS, the start-up message, the token where the server asks for it, up to the session; and the request to cancel.

use std::fmt;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use zeroize::Zeroizing;

use super::message::{Malformed, Message, put, split_message, split_number, split_string, take};
use super::report::ServerError;
use super::startup::{CancelKey, Startup, put_ssl_request};
use crate::{Conversation, Next};

/// The longest message before a session, by its length field.
const MAX_MESSAGE: usize = 64 * 1024;
/// What all of them may come to, in bytes.
const MAX_OPENING: usize = 256 * 1024;
/// How many of them there may be. A server reports some fifteen parameters; each role may bring notices.
const MAX_MESSAGES: usize = 1024;

/// A login that succeeded.
pub struct Session {
    /// Every message for the client, as it came: `NegotiateProtocolVersion`, `AuthenticationOk`, parameters, the key to cancel with,
    /// notices, `ReadyForQuery`. The question for the token is not among them.
    pub opening: Bytes,
    /// What cancels the session's queries, if the server has a key for that.
    pub key: Option<CancelKey>,
}

impl Session {
    /// What the server reports of a parameter, such as `server_version`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        let mut rest = self.opening.as_ref();
        let mut found = None;
        while let Some((kind, body, after)) = split_message(rest) {
            if kind == b'S'
                && let Some((known, value)) = parameter(body)
                && known == name.as_bytes()
            {
                found = Some(value);
            }
            rest = after;
        }
        found
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The opening holds the secret of the key.
        f.debug_struct("Session").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why there is no session.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The server refused: the login, or the session after it.
    #[error("the server refused: {0}")]
    Refused(ServerError),
    /// The server has no TLS.
    #[error("the server has no TLS: a token is not sent without (set `ssl = on` there)")]
    NoTls,
    /// Bytes came behind the server's word that TLS begins, before TLS.
    #[error(
        "bytes came before TLS that are not part of it: somebody between us and the server may have put them there"
    )]
    EarlyBytes,
    /// An error in answer to the request for TLS. Its text may be anybody's, and is not shown.
    #[error("the server answered the request for TLS with an error: see its log")]
    ErrorBeforeTls,
    /// Nothing that a PostgreSQL server answers the request for TLS with.
    #[error("this is no PostgreSQL server: it answered the request for TLS with byte {0:#04x}")]
    NotPostgres(u8),
    /// The server wants to see something else than a token, by this method. The token was not sent.
    #[error(
        "the server asks for {0}, not for a token: the database user does not have the role `rds_iam`, or pg_hba.conf \
         has another method for it"
    )]
    OtherPassword(&'static str),
    /// The token cannot be sent.
    #[error("the token contains a NUL")]
    Token,
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// It is over already.
    #[error("the start-up is over")]
    Over,
}

/// How a server broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A length or a layout.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A message that is not due.
    #[error("a message of kind `{}` came out of turn", .0.escape_ascii())]
    Unexpected(u8),
    /// Another question after the token was sent.
    #[error("it asked again after the token was sent")]
    AskedAgain,
    /// More than any server says before a session begins.
    #[error("it sent too much before the session began")]
    TooMuch,
}

impl From<Malformed> for LoginError {
    fn from(error: Malformed) -> Self {
        Self::Protocol(error.into())
    }
}

/// Our side of a login.
pub struct Login {
    startup: Startup,
    /// Until it is sent.
    token: Option<Zeroizing<String>>,
    state: State,
    opening: BytesMut,
    key: Option<CancelKey>,
    /// What has come, also what is not for the client.
    bytes: usize,
    messages: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is sent.
    New,
    /// TLS is asked for.
    Asked,
    /// TLS begins.
    Tls,
    /// The start-up message is sent.
    Authentication,
    /// The token is sent.
    Answered,
    /// The server has said `AuthenticationOk`.
    Authenticated,
    Over,
}

impl Login {
    /// A login with this start-up message; `token` is sent once, in TLS, and only if the server asks for a password in clear text.
    ///
    /// It is in the output then: whoever drives this wipes the output once it is sent.
    #[must_use]
    pub fn new(startup: Startup, token: Zeroizing<String>) -> Self {
        Self {
            startup,
            token: Some(token),
            state: State::New,
            opening: BytesMut::new(),
            key: None,
            bytes: 0,
            messages: 0,
        }
    }

    fn step(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Next<Session>, LoginError> {
        loop {
            match self.state {
                State::New => {
                    put_ssl_request(output);
                    self.state = State::Asked;
                }
                State::Asked => {
                    if !tls_answer(input)? {
                        return Ok(Next::Read);
                    }
                    self.state = State::Tls;
                    return Ok(Next::StartTls);
                }
                State::Tls => {
                    self.startup.put(output);
                    self.state = State::Authentication;
                }
                State::Authentication | State::Answered | State::Authenticated => {
                    let Some(message) = take(input, MAX_MESSAGE)? else {
                        return Ok(Next::Read);
                    };
                    self.bytes += message.whole.len();
                    self.messages += 1;
                    if self.bytes > MAX_OPENING || self.messages > MAX_MESSAGES {
                        return Err(ProtocolError::TooMuch.into());
                    }
                    if self.message(&message, output)? {
                        let opening = std::mem::take(&mut self.opening).freeze();
                        return Ok(Next::Done(Session { opening, key: self.key.take() }));
                    }
                }
                State::Over => return Err(LoginError::Over),
            }
        }
    }

    /// Takes a message, and says whether the session begins.
    fn message(&mut self, message: &Message, output: &mut BytesMut) -> Result<bool, LoginError> {
        let authenticated = self.state == State::Authenticated;
        let body = message.body();
        match message.kind {
            b'E' => {
                let before = std::mem::take(&mut self.opening).freeze();
                return Err(LoginError::Refused(ServerError::new(message, before, authenticated)?));
            }
            b'N' => {}
            b'v' if self.state == State::Authentication => {
                // The version that it speaks, and how many parameters it does not know.
                split_number(body).and_then(|(_, rest)| split_number(rest)).ok_or(message.layout())?;
            }
            b'R' if !authenticated => {
                if self.request(message, output)? {
                    // The question is ours, and not for the client.
                    return Ok(false);
                }
                self.state = State::Authenticated;
            }
            b'S' if authenticated => {
                parameter(body).ok_or(message.layout())?;
            }
            b'K' if authenticated && self.key.is_none() => {
                self.key = Some(CancelKey::parse(body).ok_or(message.layout())?);
            }
            b'Z' if authenticated => {
                let &[_status] = body else {
                    return Err(message.layout().into());
                };
                self.opening.put_slice(&message.whole);
                return Ok(true);
            }
            other => return Err(ProtocolError::Unexpected(other).into()),
        }
        self.opening.put_slice(&message.whole);
        Ok(false)
    }

    /// Takes a request for a password, and says whether it was one: it may be the word that none is wanted.
    fn request(&mut self, message: &Message, output: &mut BytesMut) -> Result<bool, LoginError> {
        let (request, rest) = split_number(message.body()).ok_or(message.layout())?;
        match (request, self.state) {
            (0, _) if rest.is_empty() => Ok(false),
            (0 | 3, _) if !rest.is_empty() => Err(message.layout().into()),
            (_, State::Answered) => Err(ProtocolError::AskedAgain.into()),
            (3, _) => {
                let token = self.token.take().ok_or(ProtocolError::AskedAgain)?;
                if token.contains('\0') {
                    return Err(LoginError::Token);
                }
                put(output, Some(b'p'), &[token.as_bytes(), b"\0"]);
                self.state = State::Answered;
                Ok(true)
            }
            (other, _) => Err(LoginError::OtherPassword(method(other, rest))),
        }
    }
}

/// A method of authentication by its number, and the mechanisms where it has some.
fn method(request: u32, mut mechanisms: &[u8]) -> &'static str {
    match request {
        2 => "Kerberos V5",
        4 => "crypt",
        5 => "MD5",
        6 => "SCM credentials",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        10 => {
            let mut found = "SASL";
            while let Some((name, rest)) = split_string(mechanisms) {
                match name {
                    b"SCRAM-SHA-256" | b"SCRAM-SHA-256-PLUS" => return "SCRAM-SHA-256",
                    b"OAUTHBEARER" => found = "OAUTHBEARER",
                    _ => {}
                }
                mechanisms = rest;
            }
            found
        }
        _ => "an unknown proof",
    }
}

/// A parameter's name and value.
fn parameter(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = split_string(body)?;
    let (value, rest) = split_string(rest)?;
    rest.is_empty().then_some((name, value))
}

/// Takes the answer to the request for TLS: whether it has come and is the server's consent.
fn tls_answer(input: &mut BytesMut) -> Result<bool, LoginError> {
    match input.first() {
        None => Ok(false),
        Some(b'S') if input.len() > 1 => Err(LoginError::EarlyBytes),
        Some(b'S') => {
            input.advance(1);
            Ok(true)
        }
        Some(b'N') => Err(LoginError::NoTls),
        Some(b'E') => Err(LoginError::ErrorBeforeTls),
        Some(&other) => Err(LoginError::NotPostgres(other)),
    }
}

impl Conversation for Login {
    type Outcome = Session;
    type Error = LoginError;

    fn advance(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Next<Session>, LoginError> {
        let result = self.step(input, output);
        if !matches!(result, Ok(Next::Read | Next::StartTls)) {
            self.state = State::Over;
            // Wiped, if it was not sent.
            self.token = None;
        }
        result
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("startup", &self.startup)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Takes a request to cancel to a server: TLS, the request. The connection is to be closed then; the server does not answer.
#[derive(Debug)]
pub struct Cancel {
    key: CancelKey,
    state: State,
}

impl Cancel {
    /// Cancels what the session with this key is at.
    #[must_use]
    pub fn new(key: CancelKey) -> Self {
        Self { key, state: State::New }
    }

    fn step(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Next<()>, LoginError> {
        match self.state {
            State::New => {
                put_ssl_request(output);
                self.state = State::Asked;
                self.step(input, output)
            }
            State::Asked if tls_answer(input)? => {
                self.state = State::Tls;
                Ok(Next::StartTls)
            }
            State::Asked => Ok(Next::Read),
            State::Tls => {
                self.key.put_request(output);
                Ok(Next::Done(()))
            }
            _ => Err(LoginError::Over),
        }
    }
}

impl Conversation for Cancel {
    type Outcome = ();
    type Error = LoginError;

    fn advance(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Next<()>, LoginError> {
        let result = self.step(input, output);
        if !matches!(result, Ok(Next::Read | Next::StartTls)) {
            self.state = State::Over;
        }
        result
    }
}
