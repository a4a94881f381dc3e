//! Arbitrary bytes as a server's greeting, and as what it says to a login: never a panic, the same end however they are cut,
//! and the token only inside TLS.
#![no_main]

use bytes::{Bytes, BytesMut};
use gateway::mysql::{Client, Greet, Login, MAX_PACKET, Session, packet};
use gateway::{Conversation, Next};
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

const TOKEN: &str = "db.example:3306/?Action=connect&X-Amz-Signature=0f";

/// Gives `stream` to it in pieces of `size`; how it ends, and what it sent meanwhile.
fn run<C: Conversation>(
    conversation: &mut C,
    stream: &[u8],
    size: usize,
) -> (Result<Next<C::Outcome>, C::Error>, BytesMut) {
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let mut pieces = stream.chunks(size);
    loop {
        match (conversation.advance(&mut input, &mut output), pieces.next()) {
            (Ok(Next::Read), Some(piece)) => input.extend_from_slice(piece),
            (end, _) => return (end, output),
        }
    }
}

fn has_token(sent: &[u8]) -> bool {
    sent.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes())
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[size, split], rest)) = bytes.split_first_chunk() else { return };
    let size = usize::from(size).max(1);
    let (hello, verdict) = rest.split_at(usize::from(split).min(rest.len()));

    // With the header that they need, or their own.
    for hello in [packet(0, hello), Bytes::copy_from_slice(hello)] {
        let (end, sent) = run(&mut Greet::new(), &hello, usize::MAX);
        assert!(sent.is_empty());
        assert_eq!(run(&mut Greet::new(), &hello, size).0, end);
        let Ok(Next::Done(greeting)) = end else { continue };

        let client = Client::new("app", Some("shop"));
        let login = || Login::new(&greeting, &client, "app", Zeroizing::new(TOKEN.to_owned()));
        for verdict in [packet(3, verdict), Bytes::copy_from_slice(verdict)] {
            let ends = [usize::MAX, size].map(|size| {
                let mut login = login();
                let (begun, request) = run(&mut login, &[], size);
                assert!(!has_token(&request));
                if begun != Ok(Next::StartTls) {
                    assert!(!greeting.supports_tls() && begun.is_err() && request.is_empty());
                    return None;
                }
                let (end, sent) = run(&mut login, &verdict, size);
                assert!(!format!("{login:?}").contains("Signature"));
                if let Ok(Next::Done(Session { ok })) = &end {
                    assert!(ok.len() <= MAX_PACKET && has_token(&sent));
                    assert!(client.packet(ok).ends_with(ok));
                }
                Some((end, sent))
            });
            assert_eq!(ends[0], ends[1]);
        }
    }
});
