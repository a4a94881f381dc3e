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
#[derive(PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use super::super::tests::{End, Run, message, opening, packet, run, startup_packet};
    use super::*;

    const TOKEN: &str = "db:5432/?Action=connect&X-Amz-Signature=00";
    const SSL: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];

    fn login() -> Login {
        Login::new(Startup::new("alice", Some("app")).unwrap(), Zeroizing::new(TOKEN.to_owned()))
    }

    /// A server that goes on in TLS with `messages`.
    fn server(messages: &[&[u8]]) -> Run<Session, LoginError> {
        run(login(), &[b"S", &messages.concat()], |left| left)
    }

    fn question(request: u32, rest: &[u8]) -> Vec<u8> {
        message(b'R', &[&request.to_be_bytes(), rest].concat())
    }

    fn failed(run: Run<Session, LoginError>) -> LoginError {
        // Nothing but the request, the start-up and the token, whatever the server says.
        assert_eq!(run.output[0], SSL);
        match run.end {
            End::Failed(error) => error,
            other => panic!("{other:?}"),
        }
    }

    /// That it failed, and that the server has not seen the token.
    fn failed_without_token(run: Run<Session, LoginError>) -> LoginError {
        if let Some(sent) = run.output.get(1) {
            assert_eq!(sent, &startup_packet(&[("user", "alice"), ("database", "app")]));
        }
        failed(run)
    }

    fn refused(run: Run<Session, LoginError>) -> ServerError {
        match failed(run) {
            LoginError::Refused(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_that_is_asked_for() {
        let run = server(&[&question(3, b""), &opening(), b"next"]);
        assert_eq!(run.output[0], SSL);
        let startup = startup_packet(&[("user", "alice"), ("database", "app")]);
        let password = message(b'p', &[TOKEN.as_bytes(), b"\0"].concat());
        assert_eq!(run.output[1], [startup, password].concat());
        assert_eq!(run.left, b"next");
        let End::Done(session) = run.end else { panic!("{:?}", run.end) };
        // The question is not among it.
        assert_eq!(session.opening, opening());
        assert_eq!(session.key, CancelKey::new(4, b"hush"));
        assert_eq!(session.parameter("server_version"), Some(&b"17.2"[..]));
        assert_eq!(session.parameter("TimeZone"), Some(&b"UTC"[..]));
        assert_eq!(session.parameter("server"), None);
        assert!(!format!("{session:?}").contains("hush"));
    }

    #[test]
    fn a_server_that_asks_for_nothing() {
        let run = server(&[&opening()]);
        assert_eq!(run.output[1], startup_packet(&[("user", "alice"), ("database", "app")]));
        assert!(matches!(run.end, End::Done(_)));
    }

    #[test]
    fn what_is_for_the_client_is_kept_in_order() {
        let negotiate = message(b'v', b"\0\0\0\x02\0\0\0\x01_pq_.x\0");
        let notice = message(b'N', b"SNOTICE\0Mhello\0\0");
        let key = message(b'K', &[&9_u32.to_be_bytes()[..], &[1; 32]].concat());
        let messages = [
            &negotiate[..],
            &notice,
            &question(3, b""),
            &notice,
            &question(0, b""),
            &key,
            &message(b'S', b"a\x001\0"),
            &notice,
            &message(b'S', b"a\x002\0"),
            &message(b'Z', b"I"),
        ];
        let End::Done(session) = server(&messages).end else { panic!("refused") };
        let mut kept = messages.to_vec();
        kept.remove(2);
        assert_eq!(session.opening, kept.concat());
        assert_eq!(session.key, CancelKey::new(9, &[1; 32]));
        assert_eq!(session.parameter("a"), Some(&b"2"[..]));
    }

    #[test]
    fn no_token_without_tls() {
        let plain = |bytes: &[u8]| failed_without_token(run(login(), &[bytes], |left| left));
        assert_eq!(plain(b"N"), LoginError::NoTls);
        assert_eq!(plain(&[b"N", &question(3, b"")[..]].concat()), LoginError::NoTls);
        // What a man in the middle puts behind the consent.
        assert_eq!(plain(&[b"S", &question(3, b"")[..]].concat()), LoginError::EarlyBytes);
        let lie = message(b'E', b"SFATAL\0Mrun this\0\0");
        let error = plain(&lie);
        assert_eq!(error, LoginError::ErrorBeforeTls);
        assert!(!error.to_string().contains("run this"));
        assert_eq!(plain(b"HTTP/1.1 400"), LoginError::NotPostgres(b'H'));
        assert_eq!(plain(&question(3, b"")), LoginError::NotPostgres(b'R'));
    }

    #[test]
    fn no_token_for_another_question() {
        for (request, rest, method) in [
            (2, &b""[..], "Kerberos V5"),
            (5, b"salt", "MD5"),
            (7, b"", "GSSAPI"),
            (9, b"", "SSPI"),
            (10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", "SCRAM-SHA-256"),
            (10, b"OAUTHBEARER\0\0", "OAUTHBEARER"),
            (10, b"X\0\0", "SASL"),
            (10, b"", "SASL"),
            (11, b"r=", "an unknown proof"),
            (99, b"", "an unknown proof"),
        ] {
            let error = failed_without_token(server(&[&question(request, rest)]));
            assert_eq!(error, LoginError::OtherPassword(method));
            assert!(error.to_string().contains(method) && error.to_string().contains("rds_iam"));
        }
        for odd in [question(3, b"x"), question(0, b"x"), message(b'R', b"\0\0\0")] {
            assert_eq!(failed_without_token(server(&[&odd])), Malformed::Layout(b'R').into());
        }
    }

    #[test]
    fn a_token_is_sent_once() {
        for again in [question(3, b""), question(5, b"salt"), question(10, b"SCRAM-SHA-256\0\0")] {
            let run = server(&[&question(3, b""), &again]);
            let sent = run.output[1].windows(TOKEN.len()).filter(|bytes| *bytes == TOKEN.as_bytes()).count();
            assert_eq!(sent, 1);
            assert_eq!(failed(run), ProtocolError::AskedAgain.into());
        }
        // And not in a session that has begun.
        let run = server(&[&question(0, b""), &question(3, b"")]);
        assert_eq!(failed_without_token(run), ProtocolError::Unexpected(b'R').into());
    }

    #[test]
    fn a_token_that_would_be_cut() {
        let login = Login::new(Startup::new("alice", None).unwrap(), Zeroizing::new("a\0b".to_owned()));
        let run = run(login, &[b"S", &question(3, b"")], |left| left);
        assert_eq!(run.output[1], startup_packet(&[("user", "alice")]));
        assert_eq!(failed(run), LoginError::Token);
    }

    #[test]
    fn a_refused_login() {
        let said = message(b'E', b"SFATAAL\0VFATAL\0C28000\0MPAM authentication failed\0Dwhy\0Hdo\0\0");
        let notice = message(b'N', b"SNOTICE\0\0");
        let error = refused(server(&[&question(3, b""), &notice, &said]));
        assert_eq!(error.message(), &said);
        assert_eq!(error.before(), &notice);
        assert_eq!(error.severity(), "FATAL");
        assert_eq!(error.sqlstate(), "28000");
        assert_eq!(error.text(), "PAM authentication failed");
        assert_eq!(error.detail().as_deref(), Some("why"));
        assert_eq!(error.hint().as_deref(), Some("do"));
        assert!(error.is_authentication());
        assert_eq!(error.to_string(), "PAM authentication failed (28000)");
    }

    #[test]
    fn refused_for_other_reasons() {
        let full = message(b'E', b"SFATAL\0C53300\0Mtoo many\0\0");
        assert!(!refused(server(&[&full])).is_authentication());
        // After the login, whatever its class.
        let said = message(b'E', b"C28000\0M\xff\0\0");
        let error = refused(server(&[&question(0, b""), &said]));
        assert!(!error.is_authentication());
        assert_eq!(error.before(), &question(0, b""));
        assert_eq!((error.text().as_ref(), error.severity().as_ref(), error.hint()), ("\u{fffd}", "", None));
        let loud = refused(server(&[&message(b'E', b"C1\0Ma\x1b[2Jb\n\0\0")]));
        assert_eq!(loud.text(), "a\u{fffd}[2Jb\n");
        let bare = refused(server(&[&message(b'E', b"\0")]));
        assert!(bare.sqlstate().is_empty() && !bare.is_authentication());
        for odd in [&b""[..], b"M", b"Mx\0", b"Mx\0\0\0", b"\0x"] {
            assert_eq!(failed(server(&[&message(b'E', odd)])), Malformed::Layout(b'E').into());
        }
    }

    #[test]
    fn messages_out_of_turn() {
        for kind in [b'S', b'K', b'Z', b'T', b'D', b'1', 0] {
            let run = server(&[&message(kind, b"")]);
            assert_eq!(failed_without_token(run), ProtocolError::Unexpected(kind).into());
        }
        for kind in [b'v', b'T', b'D', b'A', b'G'] {
            let run = server(&[&question(0, b""), &message(kind, &[0; 8])]);
            assert_eq!(failed(run), ProtocolError::Unexpected(kind).into());
        }
        let key = message(b'K', &[0; 8]);
        let run = server(&[&question(0, b""), &key, &key]);
        assert_eq!(failed(run), ProtocolError::Unexpected(b'K').into());
    }

    #[test]
    fn messages_of_another_layout() {
        assert_eq!(failed(server(&[&message(b'v', &[0; 7])])), Malformed::Layout(b'v').into());
        for (kind, body) in [
            (b'S', &b""[..]),
            (b'S', b"a\0"),
            (b'S', b"a\0b"),
            (b'S', b"a\0b\0c"),
            (b'K', &[0; 7]),
            (b'K', &[0; 261]),
            (b'Z', b""),
            (b'Z', b"II"),
        ] {
            let run = server(&[&question(0, b""), &message(kind, body)]);
            assert_eq!(failed(run), Malformed::Layout(kind).into());
        }
    }

    #[test]
    fn no_more_than_is_due() {
        for length in [0, 3, 65537, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let run = server(&[&[b"R", &length.to_be_bytes()[..]].concat()]);
            assert_eq!(failed(run), Malformed::Length(length).into());
        }
        let long = message(b'N', &[b'x'; 65532]);
        assert_eq!(server(&[&long[..]; 3]).end, End::Waits);
        assert_eq!(failed(server(&[&long[..]; 4])), ProtocolError::TooMuch.into());
        let short = message(b'N', b"\0");
        assert_eq!(server(&[&short[..]; 1024]).end, End::Waits);
        assert_eq!(failed(server(&[&short[..]; 1025])), ProtocolError::TooMuch.into());
    }

    #[test]
    fn what_is_over_stays_over() {
        let mut login = login();
        let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
        assert_eq!(login.advance(&mut input, &mut output), Ok(Next::Read));
        input.put_u8(b'N');
        assert_eq!(login.advance(&mut input, &mut output), Err(LoginError::NoTls));
        input.clear();
        input.put_u8(b'S');
        assert_eq!(login.advance(&mut input, &mut output), Err(LoginError::Over));
        assert_eq!(output, SSL);
        assert!(!format!("{login:?}").contains("Signature"));
    }

    #[test]
    fn cancelling() {
        let cancel = || Cancel::new(CancelKey::new(9, b"hush").unwrap());
        let done = run(cancel(), &[b"S", b""], |left| left);
        assert_eq!(done.end, End::Done(()));
        assert_eq!(done.output, [SSL.to_vec(), packet(1234 << 16 | 5678, b"\0\0\0\x09hush")]);
        // The key does not go out without TLS either.
        for (plain, error) in [
            (&b"N"[..], LoginError::NoTls),
            (b"Sx", LoginError::EarlyBytes),
            (b"E", LoginError::ErrorBeforeTls),
            (b"\x15", LoginError::NotPostgres(0x15)),
        ] {
            let run = run(cancel(), &[plain, b""], |left| left);
            assert_eq!(run.end, End::Failed(error));
            assert_eq!(run.output, [SSL]);
        }
        assert!(!format!("{:?}", cancel()).contains("hush"));
    }
}
