//! Arbitrary bytes as a client's: never a panic, the same end however they are cut, nobody let in who does not know the
//! password, and an ERR for whoever is not.
#![no_main]

use bytes::{Buf as _, BytesMut};
use gateway::mysql::{Accept, AcceptError, AcceptOptions, Client, ClientAuth, Greet, Greeting, packet};
use gateway::{ClientTls, Conversation, Next};
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

const MYSQL: &[u8] =
    b"\x0a9.7.4-2\0\x0a\0\0\0<Wno\x6c@\x10>\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0\
    \x06\x6c~\x0a\x04\x16\x30\x27QQ'E\0caching_sha2_password\0";
const MARIADB: &[u8] =
    b"\x0a11.8.9-MariaDB\0\x05\0\0\0S&`5%Wj0\0\xfe\xff\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\x3d\0\0\0\
    Nu&Ym<!-_ydg\0mysql_native_password\0";

fn greeting(payload: &[u8]) -> Greeting {
    let mut input = BytesMut::from(packet(0, payload));
    match Greet::new().advance(&mut input, &mut BytesMut::new()) {
        Ok(Next::Done(greeting)) => greeting,
        other => panic!("{other:?}"),
    }
}

/// What it comes to with `plain` before TLS and `inside` after, and all that it sent.
fn run(
    mut accept: Accept,
    plain: &[u8],
    inside: &[u8],
    size: usize,
) -> (Option<Result<Next<Client>, AcceptError>>, BytesMut) {
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let mut pieces = plain.chunks(size);
    let mut inside = Some(inside);
    loop {
        match accept.advance(&mut input, &mut output) {
            Ok(Next::Read) => match pieces.next() {
                Some(piece) => input.extend_from_slice(piece),
                None => return (Some(Ok(Next::Read)), output),
            },
            Ok(Next::StartTls) => {
                // What is no TLS ends it, whether it came with the request or after.
                match (input.is_empty() && pieces.next().is_none(), inside.take()) {
                    (true, Some(inside)) => pieces = inside.chunks(size),
                    (_, inside) => {
                        assert!(inside.is_some());
                        return (None, output);
                    }
                }
            }
            end => return (Some(end), output),
        }
    }
}

/// The last packet that was sent.
fn last(mut sent: BytesMut) -> BytesMut {
    loop {
        let length = usize::try_from(sent.get_uint_le(3)).expect("a length");
        sent.advance(1);
        let payload = sent.split_to(length);
        if sent.is_empty() {
            return payload;
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[kind, size, split], rest)) = bytes.split_first_chunk() else { return };
    let size = usize::from(size).max(1);
    let server = greeting(if kind & 1 == 0 { MYSQL } else { MARIADB });
    let tls = [ClientTls::Off, ClientTls::Offered, ClientTls::Required][usize::from(kind >> 1) % 3];
    let demanded = kind & 0x80 != 0;
    let accept = || {
        let password = Zeroizing::new(b"correct horse battery".to_vec());
        let auth = match demanded {
            true => ClientAuth::Password { password, host: "localhost".to_owned() },
            false => ClientAuth::Open,
        };
        Accept::new(&server, AcceptOptions { tls, auth, scramble: [b'z'; 20] })
    };
    let (first, second) = rest.split_at(usize::from(split).min(rest.len()));
    let framed = |sequence, payload: &[u8]| packet(sequence, payload).to_vec();
    let streams = [
        // As they are.
        (first.to_vec(), second.to_vec()),
        // An answer, and one to a request for another plugin.
        ([framed(1, first), framed(3, second)].concat(), Vec::new()),
        // A request for TLS, and an answer inside.
        (framed(1, first), framed(2, second)),
    ];
    for (plain, inside) in &streams {
        let (end, sent) = run(accept(), plain, inside, usize::MAX);
        let pieces = run(accept(), plain, inside, size);
        assert!(pieces.0 == end && pieces.1 == sent);
        match end {
            None => assert!(tls != ClientTls::Off),
            Some(Ok(Next::Done(client))) => {
                // Nobody finds the password here: it is 21 bytes long, and the hashes are not in the corpus.
                assert!(!demanded || rest.windows(21).any(|part| part == b"correct horse battery"));
                assert!(tls != ClientTls::Required || client.tls);
                assert!(client.capabilities.0 & !(server.capabilities.0 | 1) == 0);
                assert_eq!(client.packet(&[0])[..], [1, 0, 0, client.sequence, 0]);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) => assert_eq!(last(sent).first(), Some(&0xff)),
        }
    }
});
