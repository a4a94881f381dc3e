//! Towards a client: TLS if it asks for it, the local password if one is asked for, and what it came for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, BytesMut};

use super::message::{Malformed, Message, put, split_number, split_string, take};
use super::report::error_response;
use super::scram::{Exchange, ScramError, Verifier};
use super::startup::{CancelKey, First, FirstError, Startup, StartupError, take_first};
use crate::{ClientTls, Conversation, Next};

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
                let (mechanism, rest) = split_string(answer.body()).ok_or(Malformed::Layout(b'p'))?;
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
                let answer = exchange.finish(answer.body()).map_err(|error| match error {
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
fn response(input: &mut BytesMut) -> Result<Option<Message>, AcceptError> {
    // Another letter is told at once: its length may be a long one.
    match input.first() {
        Some(b'p') | None => {}
        Some(&other) => return Err(AcceptError::Unexpected(other)),
    }
    // The mechanism and a length come on top of it.
    Ok(take(input, MAX_SASL + MECHANISM.len() + 5)?)
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

    use super::super::tests::{End, Run, message, packet, run, startup_packet};
    use super::*;

    const SSL: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
    const GSS: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 48];

    fn accept(tls: ClientTls) -> Accept {
        Accept::new(AcceptOptions { tls, auth: ClientAuth::Open, on_tls: false })
    }

    fn with_password() -> Accept {
        let verifier = Verifier::new(b"pencil", [7; 16]).unwrap();
        let auth = ClientAuth::Password { verifier, nonce: [9; 18] };
        Accept::new(AcceptOptions { tls: ClientTls::Off, auth, on_tls: false })
    }

    fn whole(accept: Accept, phases: &[&[u8]]) -> Run<Arrival, AcceptError> {
        run(accept, phases, |left| left)
    }

    fn refused(run: &Run<Arrival, AcceptError>) -> &AcceptError {
        match &run.end {
            End::Failed(error) => error,
            other => panic!("{other:?}"),
        }
    }

    fn session(run: Run<Arrival, AcceptError>) -> Startup {
        match run.end {
            End::Done(Arrival::Session(startup)) => startup,
            other => panic!("{other:?}"),
        }
    }

    /// The fields of the error message that `bytes` are.
    fn told(bytes: &[u8]) -> Vec<String> {
        assert_eq!(bytes[0], b'E');
        assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - 1);
        let body = bytes[5..].strip_suffix(b"\0\0").unwrap();
        body.split(|&byte| byte == 0).map(|field| String::from_utf8(field.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_session_without_tls() {
        let came = startup_packet(&[("user", "alice"), ("database", "app"), ("options", "-c x=y")]);
        for tls in [ClientTls::Off, ClientTls::Offered] {
            let run = whole(accept(tls), &[&came]);
            assert!(run.output[0].is_empty());
            let startup = session(run);
            assert_eq!(startup.user(), b"alice");
            assert_eq!(startup.database(), Some(&b"app"[..]));
            assert_eq!(startup.parameter("options"), Some(&b"-c x=y"[..]));
        }
    }

    #[test]
    fn a_request_for_tls_is_answered_once() {
        let startup = startup_packet(&[("user", "alice")]);
        let run = whole(accept(ClientTls::Off), &[&[GSS, SSL, &startup].concat()]);
        assert_eq!(run.output[0], b"NN");
        session(run);
        let run = whole(accept(ClientTls::Off), &[&[SSL, GSS, &startup].concat()]);
        assert_eq!(run.output[0], b"NN");
        session(run);
        for twice in [[SSL, SSL], [GSS, GSS]] {
            let run = whole(accept(ClientTls::Off), &[&twice.concat()]);
            assert_eq!(refused(&run), &AcceptError::EncryptionAgain);
            assert_eq!(told(&run.output[0][1..])[2], "C08P01");
        }
    }

    #[test]
    fn tls_begins_once() {
        let startup = startup_packet(&[("user", "alice")]);
        for tls in [ClientTls::Offered, ClientTls::Required] {
            let run = whole(accept(tls), &[SSL, &startup]);
            assert_eq!(run.output, [b"S".to_vec(), vec![]]);
            session(run);
            let run = whole(accept(tls), &[&[GSS, SSL].concat(), &startup]);
            assert_eq!(run.output, [b"NS".to_vec(), vec![]]);
            session(run);
            for again in [SSL, GSS] {
                let run = whole(accept(tls), &[SSL, again]);
                assert_eq!(refused(&run), &AcceptError::EncryptionAgain);
            }
        }
        let direct =
            || Accept::new(AcceptOptions { tls: ClientTls::Required, auth: ClientAuth::Open, on_tls: true });
        session(whole(direct(), &[&startup]));
        assert_eq!(refused(&whole(direct(), &[SSL])), &AcceptError::EncryptionAgain);
    }

    #[test]
    fn bytes_before_tls_are_an_attack() {
        let run = whole(accept(ClientTls::Offered), &[&[SSL, b"x"].concat()]);
        assert_eq!(refused(&run), &AcceptError::EarlyBytes);
        // No `S` before it.
        assert_eq!(told(&run.output[0])[3], "Mreceived unencrypted data after SSL request");
    }

    #[test]
    fn without_tls_where_it_is_required() {
        let run = whole(accept(ClientTls::Required), &[&startup_packet(&[("user", "alice")])]);
        assert_eq!(refused(&run), &AcceptError::TlsRequired);
        let told = told(&run.output[0]);
        assert_eq!(told[..3], ["SFATAL", "VFATAL", "C28000"]);
        assert!(told[4].starts_with("H") && told[4].contains("sslmode=require"), "{told:?}");
    }

    #[test]
    fn cancelling() {
        for secret in [&[1; 4][..], &[2; 32], &[3; 256]] {
            let came = packet(1234 << 16 | 5678, &[&77_u32.to_be_bytes(), secret].concat());
            for tls in [ClientTls::Off, ClientTls::Required] {
                let run = whole(accept(tls), &[&came]);
                assert_eq!(run.end, End::Done(Arrival::Cancel(CancelKey::new(77, secret).unwrap())));
                assert!(run.output[0].is_empty());
            }
            let run = whole(accept(ClientTls::Offered), &[SSL, &came]);
            assert_eq!(run.end, End::Done(Arrival::Cancel(CancelKey::new(77, secret).unwrap())));
        }
        for rest in [&[][..], &[0; 4], &[0; 7], &[0; 261]] {
            let run = whole(accept(ClientTls::Off), &[&packet(1234 << 16 | 5678, rest)]);
            assert_eq!(refused(&run), &AcceptError::Startup(StartupError::RequestLength));
        }
    }

    #[test]
    fn lengths_that_no_client_sends() {
        for length in [0, 1, 4, 7, 10_005, 0x1603_0100, u32::from_be_bytes(*b"GET "), u32::MAX] {
            let run = whole(accept(ClientTls::Offered), &[&length.to_be_bytes()]);
            assert_eq!(refused(&run), &AcceptError::Malformed(Malformed::Length(length)));
            assert!(run.output[0].is_empty());
        }
        let name = "x".repeat(10_004 - 8 - b"user\0\0\0".len());
        let longest = startup_packet(&[("user", &name)]);
        assert_eq!(longest.len(), 10_004);
        session(whole(accept(ClientTls::Off), &[&longest]));
        for code in [5679, 5680] {
            let run = whole(accept(ClientTls::Off), &[&packet(1234 << 16 | code, b"\0")]);
            assert_eq!(refused(&run), &AcceptError::Startup(StartupError::RequestLength));
        }
    }

    #[test]
    fn startups_that_are_refused() {
        let version = 3 << 16;
        for body in [
            &b""[..],
            b"user",
            b"user\0",
            b"user\0alice",
            b"user\0alice\0",
            b"user\0alice\0\0\0",
            b"user\0alice\0\0x\0y\0\0",
            b"user\0alice\0database\0\0",
        ] {
            let run = whole(accept(ClientTls::Off), &[&packet(version, body)]);
            assert_eq!(refused(&run), &AcceptError::Startup(StartupError::Layout), "{}", body.escape_ascii());
            assert_eq!(told(&run.output[0])[2], "C08P01");
        }
        for body in [&b"\0"[..], b"database\0app\0\0", b"user\0\0\0", b"user\0alice\0user\0\0\0"] {
            let run = whole(accept(ClientTls::Off), &[&packet(version, body)]);
            assert_eq!(
                told(&run.output[0]),
                ["SFATAL", "VFATAL", "C28000", "Mno PostgreSQL user name specified in startup packet"]
            );
        }
    }

    #[test]
    fn versions() {
        for (version, major, minor) in
            [(2 << 16, 2, 0), (4 << 16 | 1, 4, 1), (0, 0, 0), (1234 << 16 | 1, 1234, 1)]
        {
            let run = whole(accept(ClientTls::Off), &[&packet(version, b"user\0alice\0\0")]);
            assert_eq!(refused(&run), &AcceptError::Startup(StartupError::Version { major, minor }));
            let told = told(&run.output[0]);
            assert_eq!(told[2], "C0A000");
            assert!(
                told[3].starts_with(&format!("Munsupported frontend protocol {major}.{minor}: ")),
                "{told:?}"
            );
        }
        // Whether it speaks a later one is for the server to say.
        for minor in [0, 2, 9999] {
            let came = packet(3 << 16 | minor, b"user\0alice\0_pq_.x\0y\0\0");
            let startup = session(whole(accept(ClientTls::Off), &[&came]));
            assert_eq!(startup.version(), (3, minor as u16));
            let mut sent = BytesMut::new();
            startup.put(&mut sent);
            assert_eq!(sent, came);
        }
    }

    fn first_response(client: &ScramSha256) -> Vec<u8> {
        let data = client.message();
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        message(b'p', &[b"SCRAM-SHA-256\0", &length[..], data].concat())
    }

    /// As far as the client's second message, which is in the answer.
    fn exchange(password: &[u8], binding: ChannelBinding) -> (Accept, ScramSha256, Vec<u8>) {
        let mut accept = with_password();
        let mut client = ScramSha256::new(password, binding);
        let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
        input.extend_from_slice(&startup_packet(&[("user", "al\"ice")]));
        assert_eq!(accept.advance(&mut input, &mut output), Ok(Next::Read));
        assert_eq!(output, message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")[..]);
        input.extend_from_slice(&first_response(&client));
        output.clear();
        assert_eq!(accept.advance(&mut input, &mut output), Ok(Next::Read));
        assert_eq!(output[5..9], 11_u32.to_be_bytes());
        client.update(&output[9..]).unwrap();
        let last = message(b'p', client.message());
        (accept, client, last)
    }

    #[test]
    fn the_right_password() {
        for binding in [ChannelBinding::unrequested(), ChannelBinding::unsupported()] {
            let (mut accept, mut client, last) = exchange(b"pencil", binding);
            let mut input = BytesMut::from(&last[..]);
            // What a hasty client sends next is not ours.
            input.extend_from_slice(b"next");
            let mut output = BytesMut::new();
            let Ok(Next::Done(Arrival::Session(startup))) = accept.advance(&mut input, &mut output) else {
                panic!("refused");
            };
            assert_eq!(startup.user(), b"al\"ice");
            assert_eq!(output[5..9], 12_u32.to_be_bytes());
            client.finish(&output[9..]).unwrap();
            // One message: no `AuthenticationOk`.
            assert_eq!(u32::from_be_bytes(output[1..5].try_into().unwrap()) as usize, output.len() - 1);
            assert_eq!(input, &b"next"[..]);
            assert_eq!(accept.advance(&mut input, &mut output), Err(AcceptError::Over));
        }
    }

    #[test]
    fn a_wrong_password() {
        let (mut accept, _, last) = exchange(b"pencils", ChannelBinding::unsupported());
        let (mut input, mut output) = (BytesMut::from(&last[..]), BytesMut::new());
        let error = accept.advance(&mut input, &mut output).unwrap_err();
        assert_eq!(error, AcceptError::WrongPassword { user: "al\"ice".to_owned() });
        assert_eq!(
            told(&output),
            ["SFATAL", "VFATAL", "C28P01", "Mpassword authentication failed for user \"al\"ice\""]
        );
        // There is no second try.
        input.extend_from_slice(&last);
        assert_eq!(accept.advance(&mut input, &mut output), Err(AcceptError::Over));
    }

    #[test]
    fn answers_that_are_none() {
        let startup = startup_packet(&[("user", "alice")]);
        let answers: [(Vec<u8>, AcceptError); 8] = [
            (message(b'Q', b"select 1\0"), AcceptError::Unexpected(b'Q')),
            (message(b'X', b""), AcceptError::Unexpected(b'X')),
            // A password in clear text, which was not asked for.
            (message(b'p', b"pencil\0"), AcceptError::Scram(ScramError::Mechanism)),
            (message(b'p', b"SCRAM-SHA-256-PLUS\0\0\0\0\0"), AcceptError::Scram(ScramError::Mechanism)),
            (message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff"), Malformed::Layout(b'p').into()),
            (message(b'p', b"SCRAM-SHA-256\0\0\0\0\x02n,,n=,r=x"), Malformed::Layout(b'p').into()),
            (message(b'p', b"SCRAM-SHA-256"), Malformed::Layout(b'p').into()),
            (vec![b'p', 0, 1, 0, 0], Malformed::Length(65536).into()),
        ];
        for (answer, error) in answers {
            let run = whole(with_password(), &[&[&startup[..], &answer].concat()]);
            assert_eq!(refused(&run), &error, "{}", answer.escape_ascii());
        }
    }

    #[test]
    fn what_a_client_is_told_has_no_nul() {
        let message = error_response("08P01", "a\0Mb", Some("c\0"), Some("d"));
        assert_eq!(told(&message), ["SFATAL", "VFATAL", "C08P01", "MaMb", "Dc", "Hd"]);
        assert_eq!(message.slice(..1), Bytes::from_static(b"E"));
    }
}
