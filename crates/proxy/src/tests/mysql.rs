//! Start-ups of MySQL: what is told in the place of a greeting, and hostile peers. Sessions with real servers and clients are in
//! the end-to-end tests.

use std::time::Duration;

use client::connection::server_name;
use rustls::ClientConnection;
use tokio::io::AsyncWriteExt;

use super::access::identity;
use super::kit::*;
use crate::*;

/// The error packet that comes instead of a greeting: its number and its words.
async fn refusal(proxy: &Proxy) -> (u16, String) {
    let bytes = read_all(&mut proxy.connect().await).await;
    assert_eq!((bytes[3], bytes[4]), (0, 0xff), "{bytes:?}");
    (u16::from_le_bytes([bytes[5], bytes[6]]), String::from_utf8_lossy(&bytes[7..]).into_owned())
}

/// A greeting as MySQL 8 has it.
fn greeting() -> Vec<u8> {
    let capabilities: u32 = 0xdfff_ffff;
    let [a, b, c, d] = capabilities.to_le_bytes();
    let payload = [
        &b"\x0a8.0.40\0\x07\0\0\0abcdefgh\0"[..],
        &[a, b, 45, 2, 0, c, d, 21],
        &[0; 10],
        b"ijklmnopqrst\0caching_sha2_password\0",
    ]
    .concat();
    let [length, more, ..] = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&[length, more, 0, 0], &payload[..]].concat()
}

#[tokio::test]
async fn a_server_that_does_not_greet_is_told_of() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let mut settings = settings(&ca, Engine::MySql, address, &Source::default());
    settings.limits.login = Duration::from_millis(500);
    let proxy = Proxy::start(settings.clone());
    for (words, number, said) in [
        (Some(&b""[..]), 2003, "closed in the middle"),
        (Some(b"HTTP/1.1 400 Bad Request\r\n\r\n"), 2003, "the login to"),
        (Some(b"\xff\xff\xff\0"), 2003, "the login to"),
        (None, 2003, "took longer"),
        (Some(b"\x17\0\0\0\xff\x10\x04Too many connections"), 1040, "Too many connections"),
    ] {
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            match words {
                Some(words) => stream.write_all(words).await.unwrap(),
                None => drop(read_all(&mut stream).await),
            }
        };
        let ((), (got, text)) = tokio::join!(server, refusal(&proxy));
        assert!(got == number && text.contains(said), "{got} {text}");
    }
    drop(listener);
    let (number, text) = refusal(&proxy).await;
    assert!(number == 2003 && text.contains("cannot connect to"), "{text}");

    settings.limits.connections = 1;
    let (listener, address) = self::listener().await;
    settings.target.connect_to = Some((address.ip().to_string(), address.port()));
    let proxy = Proxy::start(settings);
    let _first = proxy.connect().await;
    let _server = soon(listener.accept()).await.unwrap();
    let (number, text) = refusal(&proxy).await;
    assert!(number == 1040 && text.contains("max-connections is 1"), "{text}");
}

#[tokio::test]
async fn hostile_clients_hold_nothing() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let mut settings = settings(&ca, Engine::MySql, address, &Source::default());
    settings.limits.startup = Duration::from_millis(300);
    let proxy = Proxy::start(settings);
    let server = tokio::spawn(async move {
        let mut greeted = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&greeting()).await.unwrap();
            greeted.push(stream);
        }
    });
    for words in [&b""[..], b"\xff\xff\xff\x01", b"\x04\0\0\x01\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut client = proxy.connect().await;
        client.write_all(words).await.unwrap();
        client.shutdown().await.unwrap();
        read_all(&mut client).await;
    }
    // Silent.
    let mut client = proxy.connect().await;
    let greeting = read_all(&mut client).await;
    assert!(greeting.windows(6).any(|part| part == b"8.0.40"), "it was shown the server's version");
    proxy.await_metric("refused_total", r#"reason="startup-timeout""#, 1.0).await;
    proxy.await_metric("refused_total", r#"reason="client-protocol""#, 4.0).await;
    server.abort();
    assert_eq!(proxy.end().await, 0);
}

/// Clients send their request for TLS and begin TLS at once: both may come in one piece.
#[tokio::test]
async fn a_client_does_not_wait_before_it_begins_tls() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&ca, Engine::MySql, address, &Source::default());
    settings.access = Access::read(Some(identity(folder.path(), &ca)), None, None).unwrap();
    let proxy = Proxy::start(settings);
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&greeting()).await.unwrap();
        stream
    };
    let (mut client, _server) = tokio::join!(proxy.connect(), server);
    let header = read_exactly(&mut client, 4).await;
    read_exactly(&mut client, usize::from(header[0])).await;

    let mut tls =
        ClientConnection::new(ca.bundle().client_config().unwrap(), server_name("localhost").unwrap())
            .unwrap();
    // PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH; 16 MiB; utf8mb4.
    let capabilities: u32 = 0x200 | 0x800 | 0x8000 | 0x8_0000;
    let mut first = [&[32, 0, 0, 1], &capabilities.to_le_bytes()[..], &[0, 0, 0, 1, 45], &[0; 23]].concat();
    tls.write_tls(&mut first).unwrap();
    client.write_all(&first).await.unwrap();
    let mut client = client.into_std().unwrap();
    client.set_nonblocking(false).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let secured = tokio::task::spawn_blocking(move || {
        while tls.is_handshaking() {
            tls.complete_io(&mut client).expect("TLS with the proxy");
        }
    });
    soon(secured).await.unwrap();
}
