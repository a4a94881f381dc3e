//! Towards a client: TLS if it asks for it, the local password if one is asked for, and what it came for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, BytesMut};

use super::message::{Malformed, put, split_number, split_string, take};
use super::report::error_response;
use super::scram::{Exchange, ScramError, Verifier};
use super::startup::{CancelKey, First, FirstError, Startup, StartupError, take_first};
use crate::{Conversation, Next};

/// What PostgreSQL takes for a message of SCRAM.
const MAX_SASL: usize = 4 + 1024;

const MECHANISM: &[u8] = b"SCRAM-SHA-256";

/// Requests for a password, by their number.
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// How clients are let in.
#[derive(Debug)]
pub struct AcceptOptions {
    /// Whether there is TLS for them.
    pub tls: ClientTls,
    /// What they have to prove.
    pub auth: ClientAuth,
    /// Whether the connection is in TLS already, because the client began with it (`sslnegotiation=direct`).
    pub on_tls: bool,
}

/// Whether there is TLS for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTls {
    /// No; they go on without if they want to.
    Off,
    /// If they ask for it.
    Offered,
    /// Nobody begins a session without. A request to cancel is taken without all the same, as PostgreSQL does: older clients have no other.
    Required,
}

/// What clients have to prove.
#[derive(Debug)]
pub enum ClientAuth {
    /// Nothing.
    Open,
    /// A password, by SCRAM-SHA-256.
    Password {
        /// Of the password.
        verifier: Verifier,
        /// Random, for this connection alone.
        nonce: [u8; 18],
    },
}

/// What a client came for.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A session. It has been told that its password fits, but not `AuthenticationOk`: that is in what the server begins with.
    Session(Startup),
    /// To cancel what a session is at. There is no answer: the connection is closed.
    Cancel(CancelKey),
}

/// Why a client is not let in. But for a length that no client sends, it has been told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// No PostgreSQL client sends this.
    #[error("the client does not speak PostgreSQL's protocol: {0}")]
    Malformed(#[from] Malformed),
    /// Its first packet is not taken.
    #[error(transparent)]
    Startup(#[from] StartupError),
    /// Bytes came behind the request for TLS, before TLS.
    #[error("received unencrypted data after SSL request")]
    EarlyBytes,
    /// It asks to encrypt what is encrypted, or a second time.
    #[error("the client asks for encryption again")]
    EncryptionAgain,
    /// It wants to begin a session without TLS.
    #[error("the client came without TLS")]
    TlsRequired,
    /// It does not answer the question for a password.
    #[error("expected SASL response, got message type `{}`", .0.escape_ascii())]
    Unexpected(u8),
    /// Its answer is not taken.
    #[error(transparent)]
    Scram(#[from] ScramError),
    /// The password is wrong.
    #[error("password authentication failed for user `{user}`")]
    WrongPassword {
        /// As the client says.
        user: String,
    },
    /// It is over already.
    #[error("the start-up is over")]
    Over,
}

/// Our side of the start-up of a client.
#[derive(Debug)]
pub struct Accept {
    tls: ClientTls,
    on_tls: bool,
    /// Taken where it is put to use.
    auth: Option<ClientAuth>,
    asked_ssl: bool,
    asked_gss: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The packets without a letter.
    First,
    /// `AuthenticationSASL` is sent.
    Mechanism(Startup, Verifier, [u8; 18]),
    /// The client's first message is answered.
    Proof(Startup, Box<Exchange>),
    Over,
}

/// What a step comes to.
enum Step {
    Again(State),
    Wait(State, Next<Arrival>),
    Done(Arrival),
}

impl Accept {
    /// For a connection that has sent nothing yet.
    #[must_use]
    pub fn new(options: AcceptOptions) -> Self {
        let AcceptOptions { tls, auth, on_tls } = options;
        Self { tls, on_tls, auth: Some(auth), asked_ssl: false, asked_gss: false, state: State::First }
    }

    fn step(
        &mut self,
        state: State,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Result<Step, AcceptError> {
        match state {
            State::First => self.first(input, output),
            State::Mechanism(startup, verifier, nonce) => {
                let Some(answer) = response(input)? else {
                    return Ok(Step::Wait(State::Mechanism(startup, verifier, nonce), Next::Read));
                };
                let (mechanism, rest) = split_string(&answer).ok_or(Malformed::Layout(b'p'))?;
                if mechanism != MECHANISM {
                    return Err(ScramError::Mechanism.into());
                }
                let (length, first) = split_number(rest).ok_or(Malformed::Layout(b'p'))?;
                if usize::try_from(length) != Ok(first.len()) {
                    return Err(Malformed::Layout(b'p').into());
                }
                let (exchange, answer) = Exchange::begin(verifier, &STANDARD.encode(nonce), first)?;
                ask(output, SASL_CONTINUE, answer.as_bytes());
                Ok(Step::Again(State::Proof(startup, Box::new(exchange))))
            }
            State::Proof(startup, exchange) => {
                let Some(answer) = response(input)? else {
                    return Ok(Step::Wait(State::Proof(startup, exchange), Next::Read));
                };
                let answer = exchange.finish(&answer).map_err(|error| match error {
                    ScramError::Proof => AcceptError::WrongPassword { user: lossy(startup.user()) },
                    other => other.into(),
                })?;
                ask(output, SASL_FINAL, answer.as_bytes());
                Ok(Step::Done(Arrival::Session(startup)))
            }
            State::Over => Err(AcceptError::Over),
        }
    }

    fn first(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Step, AcceptError> {
        let first = take_first(input).map_err(|error| match error {
            FirstError::Malformed(error) => AcceptError::Malformed(error),
            FirstError::Startup(error) => AcceptError::Startup(error),
        })?;
        match first {
            None => Ok(Step::Wait(State::First, Next::Read)),
            Some(First::Ssl) => {
                if self.on_tls || std::mem::replace(&mut self.asked_ssl, true) {
                    return Err(AcceptError::EncryptionAgain);
                }
                if self.tls == ClientTls::Off {
                    output.put_u8(b'N');
                    return Ok(Step::Again(State::First));
                }
                if !input.is_empty() {
                    return Err(AcceptError::EarlyBytes);
                }
                output.put_u8(b'S');
                self.on_tls = true;
                Ok(Step::Wait(State::First, Next::StartTls))
            }
            Some(First::Gss) => {
                if self.on_tls || std::mem::replace(&mut self.asked_gss, true) {
                    return Err(AcceptError::EncryptionAgain);
                }
                output.put_u8(b'N');
                Ok(Step::Again(State::First))
            }
            Some(First::Cancel(key)) => Ok(Step::Done(Arrival::Cancel(key))),
            Some(First::Startup(startup)) => {
                if self.tls == ClientTls::Required && !self.on_tls {
                    return Err(AcceptError::TlsRequired);
                }
                match self.auth.take() {
                    Some(ClientAuth::Open) => Ok(Step::Done(Arrival::Session(startup))),
                    Some(ClientAuth::Password { verifier, nonce }) => {
                        // One mechanism, and the end of the list.
                        ask(output, SASL, &[MECHANISM, b"\0\0"].concat());
                        Ok(Step::Again(State::Mechanism(startup, verifier, nonce)))
                    }
                    None => Err(AcceptError::Over),
                }
            }
        }
    }
}

impl Conversation for Accept {
    type Outcome = Arrival;
    type Error = AcceptError;

    fn advance(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Next<Arrival>, AcceptError> {
        loop {
            // What goes wrong, or is done, stays over.
            let state = std::mem::replace(&mut self.state, State::Over);
            match self.step(state, input, output) {
                Ok(Step::Again(state)) => self.state = state,
                Ok(Step::Wait(state, next)) => {
                    self.state = state;
                    return Ok(next);
                }
                Ok(Step::Done(arrival)) => return Ok(Next::Done(arrival)),
                Err(error) => {
                    tell(&error, output);
                    return Err(error);
                }
            }
        }
    }
}

/// Takes an answer to a question for a password, if all of it has come.
fn response(input: &mut BytesMut) -> Result<Option<BytesMut>, AcceptError> {
    // Another letter is told at once: its length may be a long one.
    match input.first() {
        Some(b'p') | None => {}
        Some(&other) => return Err(AcceptError::Unexpected(other)),
    }
    let message = take(input, MAX_SASL + MECHANISM.len() + 5)?;
    Ok(message.map(|message| BytesMut::from(message.body())))
}

fn ask(output: &mut BytesMut, request: u32, data: &[u8]) {
    put(output, Some(b'R'), &[&request.to_be_bytes(), data]);
}

/// Appends what the client is told, in the words of PostgreSQL where it has any.
fn tell(error: &AcceptError, output: &mut BytesMut) {
    let words = error.to_string();
    let message = match error {
        // To a stranger who speaks something else, a word of ours is noise.
        AcceptError::Malformed(Malformed::Length(_)) | AcceptError::Over => return,
        AcceptError::Malformed(Malformed::Layout(_)) => {
            error_response("08P01", "malformed message", Some(&words), None)
        }
        AcceptError::Startup(StartupError::Version { .. }) => error_response("0A000", &words, None, None),
        AcceptError::Startup(StartupError::NoUser) => error_response("28000", &words, None, None),
        AcceptError::Startup(StartupError::Layout | StartupError::RequestLength)
        | AcceptError::EncryptionAgain
        | AcceptError::Unexpected(_) => error_response("08P01", &words, None, None),
        AcceptError::EarlyBytes => error_response(
            "08P01",
            &words,
            Some(
                "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
            ),
            None,
        ),
        AcceptError::TlsRequired => error_response(
            "28000",
            "connections without TLS are not accepted here",
            None,
            Some("Set sslmode=require or a stricter one in the client."),
        ),
        AcceptError::Scram(ScramError::AuthorizationIdentity) => error_response("0A000", &words, None, None),
        AcceptError::Scram(_) => error_response("08P01", &words, None, None),
        AcceptError::WrongPassword { user } => error_response(
            "28P01",
            &format!("password authentication failed for user \"{user}\""),
            None,
            None,
        ),
    };
    output.put_slice(&message);
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
