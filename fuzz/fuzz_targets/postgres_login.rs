//! Arbitrary bytes from a server of PostgreSQL, in arbitrary pieces: never a panic, the same outcome however they are cut, and
//! nothing sent but the request for TLS, the start-up and, to a question in clear text, the token.
#![no_main]

use gateway::postgres::{Cancel, CancelKey, Login, LoginError, Startup};
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

use crate::conversation::{Peer, talk};

mod conversation;

const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
const STARTUP: &[u8] = b"\0\0\0\x14\0\x03\0\0user\0alice\0\0";
const PASSWORD: &[u8] = b"p\0\0\0\x0bto-ken\0";
const QUESTION: &[u8] = b"R\0\0\0\x08\0\0\0\x03";

fuzz_target!(|bytes: &[u8]| {
    let Some(mut peer) = Peer::new(bytes) else {
        return;
    };
    if peer.choice & 1 != 0 {
        // Past the door, where most is to be found.
        peer.plain = b"S";
    }
    let early = |error: &LoginError| matches!(error, LoginError::EarlyBytes);
    let login = || {
        let startup = Startup::new("alice", None).expect("no NUL");
        Login::new(startup, Zeroizing::new("to-ken".to_owned()))
    };
    let run = talk(&peer, login, early);
    assert_eq!(run.sent[0], SSL_REQUEST);
    let asked = peer.tls.windows(QUESTION.len()).any(|bytes| bytes == QUESTION);
    let sent = &run.sent[1][..];
    assert!(sent.is_empty() || sent == STARTUP || asked && sent == [STARTUP, PASSWORD].concat());
    if let Some(session) = run.outcome {
        // What is passed on is what came, but for a question.
        let taken = session.opening.len() + if asked && sent != STARTUP { QUESTION.len() } else { 0 };
        assert!(peer.tls[..taken].ends_with(&session.opening[session.opening.len() - 6..]));
        let found = session.parameter("server_version");
        assert!(found.is_none_or(|value| value.len() < session.opening.len()));
    }

    let cancel = || Cancel::new(CancelKey::new(1, b"hush").expect("long enough"));
    let run = talk(&peer, cancel, early);
    assert_eq!(run.sent[0], SSL_REQUEST);
    assert!(run.sent[1].is_empty() || run.sent[1] == b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01hush");
});
