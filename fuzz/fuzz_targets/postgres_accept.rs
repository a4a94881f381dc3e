//! Arbitrary bytes from a client of PostgreSQL, in arbitrary pieces: never a panic, the same outcome however they are cut,
//! little said in answer, no session without TLS or a password where they are required.
#![no_main]

use std::sync::LazyLock;

use gateway::ClientTls;
use gateway::postgres::{Accept, AcceptError, AcceptOptions, Arrival, ClientAuth, Verifier};
use libfuzzer_sys::fuzz_target;

use crate::conversation::{Peer, talk};

mod conversation;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| Verifier::new(b"pencil", [7; 16]).expect("not empty"));

fuzz_target!(|bytes: &[u8]| {
    let Some(peer) = Peer::new(bytes) else {
        return;
    };
    let tls = match peer.choice % 3 {
        0 => ClientTls::Off,
        1 => ClientTls::Offered,
        _ => ClientTls::Required,
    };
    let (password, on_tls) = (peer.choice & 16 != 0, peer.choice & 32 != 0);
    let machine = || {
        let auth = if password {
            ClientAuth::Password { verifier: VERIFIER.clone(), nonce: [9; 18] }
        } else {
            ClientAuth::Open
        };
        Accept::new(AcceptOptions { tls, auth, on_tls })
    };
    let run = talk(&peer, machine, |error| matches!(error, AcceptError::EarlyBytes));
    // A name of 10,000 bytes that are no UTF-8 is said three times as long.
    assert!(run.sent.concat().len() < 32 * 1024);
    if let Some(Arrival::Session(startup)) = run.outcome {
        assert!(!startup.user().is_empty() && startup.version().0 == 3);
        assert!(tls != ClientTls::Required || on_tls || run.sent[0].ends_with(b"S"));
        // The nonce is known here, and the fuzzer has not proven the password with it all the same.
        assert!(!password);
    }
});
