//! What the tests of this protocol share, and what holds of both sides together.

use std::sync::LazyLock;

use bytes::BytesMut;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::{ClientTls, Conversation, Next};

/// How a conversation ended with a peer that said all it had to say.
#[derive(Debug, PartialEq)]
pub(super) enum End<T, E> {
    Done(T),
    Failed(E),
    /// It waits for more.
    Waits,
    /// TLS was to begin, and plain bytes were still to come: nothing of them was taken.
    PlainBeforeTls,
}

#[derive(Debug)]
pub(super) struct Run<T, E> {
    pub(super) end: End<T, E>,
    /// What was sent: before TLS, and in it.
    pub(super) output: Vec<Vec<u8>>,
    pub(super) left: Vec<u8>,
}

/// Lets `machine` talk with a peer that sends `phases`, each but the first in TLS, in pieces of at most what `cut` says of the bytes left.
pub(super) fn run<C: Conversation>(
    mut machine: C,
    phases: &[&[u8]],
    mut cut: impl FnMut(usize) -> usize,
) -> Run<C::Outcome, C::Error> {
    let mut input = BytesMut::new();
    let mut sent = Vec::new();
    let mut end = End::Waits;
    'phases: for phase in phases {
        let mut output = BytesMut::new();
        let mut rest = *phase;
        let mut turn = machine.advance(&mut input, &mut output);
        let ended = loop {
            match turn {
                Ok(Next::Read) if rest.is_empty() => break Some(End::Waits),
                Ok(Next::Read) => {
                    let (piece, after) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
                    input.extend_from_slice(piece);
                    rest = after;
                    turn = machine.advance(&mut input, &mut output);
                }
                Ok(Next::StartTls) if rest.is_empty() => {
                    assert!(input.is_empty());
                    break None;
                }
                Ok(Next::StartTls) => break Some(End::PlainBeforeTls),
                Ok(Next::Done(outcome)) => {
                    input.extend_from_slice(rest);
                    break Some(End::Done(outcome));
                }
                Err(error) => break Some(End::Failed(error)),
            }
        };
        sent.push(output.to_vec());
        if let Some(ended) = ended {
            end = ended;
            break 'phases;
        }
    }
    Run { end, output: sent, left: input.to_vec() }
}

pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], &length[..], body].concat()
}

pub(super) fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&length[..], &code.to_be_bytes(), body].concat()
}

pub(super) fn startup_packet(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parameters {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    packet(3 << 16, &body)
}

/// What a server says of a session that begins.
pub(super) fn opening() -> Vec<u8> {
    [
        message(b'R', &0_u32.to_be_bytes()),
        message(b'S', b"server_version\x0017.2\0"),
        message(b'S', b"TimeZone\0UTC\0"),
        message(b'K', b"\0\0\0\x04hush"),
        message(b'Z', b"I"),
    ]
    .concat()
}

fn accept() -> Accept {
    Accept::new(AcceptOptions { tls: ClientTls::Required, auth: ClientAuth::Open, on_tls: false })
}

/// Carries bytes between two conversations until neither has any to say, and gives what they came to.
fn talk<A: Conversation, B: Conversation>(mut a: A, mut b: B) -> (Option<A::Outcome>, Option<B::Outcome>) {
    let (mut to_a, mut to_b) = (BytesMut::new(), BytesMut::new());
    let (mut of_a, mut of_b) = (None, None);
    let mut tls = (false, false);
    for _ in 0..20 {
        if of_a.is_none() {
            match a.advance(&mut to_a, &mut to_b).unwrap() {
                Next::Done(outcome) => of_a = Some(outcome),
                next => tls.0 |= matches!(next, Next::StartTls),
            }
        }
        if of_b.is_none() {
            match b.advance(&mut to_b, &mut to_a).unwrap() {
                Next::Done(outcome) => of_b = Some(outcome),
                next => tls.1 |= matches!(next, Next::StartTls),
            }
        }
    }
    assert_eq!(tls, (true, true));
    (of_a, of_b)
}

#[test]
fn our_client_at_our_server() {
    let startup = Startup::new("alice", Some("app")).unwrap().with_parameter("x", "y").unwrap();
    let (session, arrival) = talk(Login::new(startup.clone(), Zeroizing::new("token".to_owned())), accept());
    // What the server begins with is not ours to say.
    assert!(session.is_none());
    assert_eq!(arrival, Some(Arrival::Session(startup)));

    let key = CancelKey::new(7, &[5; 32]).unwrap();
    let (done, arrival) = talk(Cancel::new(key.clone()), accept());
    assert_eq!(done, Some(()));
    assert_eq!(arrival, Some(Arrival::Cancel(key)));
}

/// Pieces of what is sent, valid or not, so that whole messages are likely.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just(opening()),
        Just(message(b'R', &3_u32.to_be_bytes())),
        Just(message(b'R', &0_u32.to_be_bytes())),
        Just(message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")),
        Just(message(b'E', b"SFATAL\0C28P01\0Mno\0\0")),
        Just(message(b'N', b"SNOTICE\0\0")),
        Just(message(b'v', b"\0\0\0\0\0\0\0\0")),
        Just(message(b'p', b"SCRAM-SHA-256\0\0\0\0\x09n,,n=,r=x")),
        Just(startup_packet(&[("user", "alice")])),
        Just(packet(1234 << 16 | 5679, b"")),
        Just(packet(1234 << 16 | 5680, b"")),
        Just(packet(1234 << 16 | 5678, b"\0\0\0\x01hush")),
        proptest::collection::vec(any::<u8>(), 0..9),
    ];
    proptest::collection::vec(known, 0..5).prop_map(|parts| parts.concat())
}

/// Whether both came to the same. Plain bytes where TLS is to begin may come in the same read, and are refused, or later, as
/// a part of TLS, which refuses them.
fn same<T: PartialEq, E: PartialEq>(whole: &Run<T, E>, cut: &Run<T, E>, early: &E) -> bool {
    let plain_before_tls = |run: &Run<T, E>| match &run.end {
        End::PlainBeforeTls => true,
        End::Failed(error) => error == early,
        _ => false,
    };
    if plain_before_tls(whole) || plain_before_tls(cut) {
        return plain_before_tls(whole) && plain_before_tls(cut);
    }
    let failed = matches!(whole.end, End::Failed(_));
    whole.end == cut.end && whole.output == cut.output && (failed || whole.left == cut.left)
}

/// Made once, as a listener does.
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| Verifier::new(b"pencil", [7; 16]).unwrap());

fn with_password() -> Accept {
    let auth = ClientAuth::Password { verifier: VERIFIER.clone(), nonce: [9; 18] };
    Accept::new(AcceptOptions { tls: ClientTls::Offered, auth, on_tls: false })
}

fn login() -> Login {
    Login::new(Startup::new("alice", None).unwrap(), Zeroizing::new("to-ken".to_owned()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_client_may_cut_what_it_sends_anywhere(
        plain in fragments(),
        tls in fragments(),
        cuts in proptest::collection::vec(1_usize..40, 1..20),
    ) {
        let phases = [&plain[..], &tls];
        let cut = || {
            let mut cuts = cuts.iter().cycle();
            move |_| *cuts.next().unwrap()
        };
        let (whole, pieces) = (run(accept(), &phases, |left| left), run(accept(), &phases, cut()));
        prop_assert!(same(&whole, &pieces, &AcceptError::EarlyBytes), "{whole:?} {pieces:?}");
        let (whole, pieces) = (run(with_password(), &phases, |left| left), run(with_password(), &phases, cut()));
        prop_assert!(same(&whole, &pieces, &AcceptError::EarlyBytes), "{whole:?} {pieces:?}");
    }

    #[test]
    fn a_server_may_cut_what_it_sends_anywhere(
        plain in prop_oneof![Just(b"S".to_vec()), fragments()],
        tls in fragments(),
        cuts in proptest::collection::vec(1_usize..40, 1..20),
    ) {
        let phases = [&plain[..], &tls];
        let mut cuts = cuts.iter().cycle();
        let whole = run(login(), &phases, |left| left);
        let pieces = run(login(), &phases, |_| *cuts.next().unwrap());
        prop_assert!(same(&whole, &pieces, &LoginError::EarlyBytes), "{whole:?} {pieces:?}");
        // The token goes out in TLS, and to a question alone.
        let has_token = |sent: &Vec<u8>| sent.windows(6).any(|bytes| bytes == b"to-ken");
        prop_assert!(!has_token(&whole.output[0]));
        if whole.output.get(1).is_some_and(has_token) {
            let question = message(b'R', &3_u32.to_be_bytes());
            prop_assert!(tls.windows(question.len()).any(|bytes| bytes == question));
        }
    }
}

#[test]
fn nothing_cut_short_succeeds() {
    let question = message(b'R', &3_u32.to_be_bytes());
    let whole = [question, opening()].concat();
    for length in 0..whole.len() {
        let run = run(login(), &[b"S", &whole[..length]], |left| left);
        assert_eq!(run.end, End::Waits, "{length}");
    }
    assert!(matches!(run(login(), &[b"S", &whole], |_| 1).end, End::Done(_)));

    for whole in [startup_packet(&[("user", "alice")]), packet(1234 << 16 | 5678, b"\0\0\0\x01hush")] {
        for length in 0..whole.len() {
            let run = run(accept(), &[&packet(1234 << 16 | 5679, b""), &whole[..length]], |left| left);
            assert_eq!(run.end, End::Waits, "{length}");
        }
        let run = run(accept(), &[&packet(1234 << 16 | 5679, b""), &whole], |_| 1);
        assert!(matches!(run.end, End::Done(_)));
    }
}
