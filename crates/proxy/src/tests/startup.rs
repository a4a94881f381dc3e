//! Start-ups of PostgreSQL: logins, refusals, false and hostile peers on both sides.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::kit::*;
use crate::*;

#[tokio::test]
async fn a_false_server_is_refused_before_anything_secret_is_sent() {
    let (ca, other) = (Ca::new(), Ca::new());
    for (tls, said) in [
        (other.server("localhost"), "invalid peer certificate"),
        (ca.server("other.example.com"), "other.example.com"),
    ] {
        let (listener, address) = listener().await;
        let proxy = Proxy::start(settings(&ca, Engine::PostgreSql, address, &Source::default()));
        let middle = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"S").await.unwrap();
            match TlsAcceptor::from(tls).accept(stream).await {
                Ok(mut stream) => {
                    let mut heard = Vec::new();
                    drop(stream.read_to_end(&mut heard).await);
                    heard
                }
                Err(_) => Vec::new(),
            }
        });
        let (sqlstate, text) = refused(&mut proxy.connect().await).await;
        assert!(sqlstate == "08001" && text.contains(said) && text.contains("--ca-bundle"), "{text}");
        assert!(soon(middle).await.unwrap().is_empty(), "nothing was said within its TLS");
        assert_eq!(proxy.metric("refused_total", r#"reason="server-tls""#), 1.0);
    }
}

#[tokio::test]
async fn a_server_without_tls_gets_no_token() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let proxy = Proxy::start(settings(&ca, Engine::PostgreSql, address, &Source::default()));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_exactly(&mut stream, 8).await;
        stream.write_all(b"N").await.unwrap();
        read_all(&mut stream).await
    });
    let (sqlstate, text) = refused(&mut proxy.connect().await).await;
    assert!(sqlstate == "08001" && text.contains("no TLS"), "{text}");
    assert!(soon(server).await.unwrap().is_empty());
}

#[tokio::test]
async fn one_refusal_is_tried_again_with_other_credentials() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let source = Source::default();
    let proxy = Proxy::start(settings(&ca, Engine::PostgreSql, address, &source));
    let tls = ca.server("localhost");
    let mut client = proxy.connect().await;
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, _) = greet(stream, tls.clone()).await.unwrap();
        let first = ask(&mut stream).await;
        stream.write_all(&error("28P01", "password authentication failed")).await.unwrap();
        stream.shutdown().await.unwrap();
        let (server, _, second) = admit(&listener, &tls, 1).await;
        (server, first, second)
    };
    let ((_server, first, second), ()) = tokio::join!(server, begin(&mut client));
    assert!(first.contains("ASIA0") && second.contains("ASIA1"), "{first} {second}");
    assert_eq!(proxy.metric("login_retries_total", "proxy"), 1.0);

    // Refused again: in the server's words, and STS is not asked once more so soon.
    let server = async {
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut stream, _) = greet(stream, tls.clone()).await.unwrap();
            assert!(ask(&mut stream).await.contains("ASIA1"));
            stream.write_all(&error("28P01", "PAM authentication failed for \"app\"")).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    };
    let mut client = proxy.connect().await;
    let ((), (sqlstate, text)) = tokio::join!(server, refused(&mut client));
    assert_eq!(sqlstate, "28P01");
    assert!(text.contains("MPAM authentication failed for \"app\""), "{text}");
    assert_eq!(source.asked.load(std::sync::atomic::Ordering::SeqCst), 2);
    assert_eq!(proxy.metric("refused_total", r#"reason="refused""#), 1.0);
}

#[tokio::test]
async fn a_refusal_for_another_reason_is_passed_on_at_once() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let proxy = Proxy::start(settings(&ca, Engine::PostgreSql, address, &Source::default()));
    let tls = ca.server("localhost");
    let words = error("53300", "sorry, too many clients already");
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, _) = greet(stream, tls).await.unwrap();
        stream.write_all(&words).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let mut client = proxy.connect().await;
    client.write_all(&startup(&[("user", "app")])).await.unwrap();
    let ((), said) = tokio::join!(server, read_all(&mut client));
    assert_eq!(said, words, "as it came");
    assert_eq!(proxy.metric("login_retries_total", "proxy"), 0.0);
}

#[tokio::test]
async fn a_server_that_asks_for_something_else_gets_no_token_and_the_client_a_hint() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let proxy = Proxy::start(settings(&ca, Engine::PostgreSql, address, &Source::default()));
    let tls = ca.server("localhost");
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, _) = greet(stream, tls).await.unwrap();
        stream.write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")).await.unwrap();
        read_all(&mut stream).await
    };
    let mut client = proxy.connect().await;
    let (heard, (sqlstate, text)) = tokio::join!(server, refused(&mut client));
    assert!(heard.is_empty());
    assert!(sqlstate == "28000" && text.contains("GRANT rds_iam TO \"app\""), "{text}");
}

#[tokio::test]
async fn the_user_may_be_the_proxys() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let mut settings = settings(&ca, Engine::PostgreSql, address, &Source::default());
    settings.user = Some("reports".to_owned());
    let proxy = Proxy::start(settings);
    let mut client = proxy.connect().await;
    let tls = ca.server("localhost");
    let ((_, startup, token), ()) = tokio::join!(admit(&listener, &tls, 1), begin(&mut client));
    assert_eq!(&startup[4..], b"user\0reports\0database\0shop\0\0");
    assert!(token.contains("DBUser=reports&"), "{token}");
}

#[tokio::test]
async fn without_credentials_or_server_or_for_replication_the_client_is_told() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let source = Source { empty: true, ..Source::default() };
    let proxy = Proxy::start(settings(&ca, Engine::PostgreSql, address, &source));
    let (sqlstate, text) = refused(&mut proxy.connect().await).await;
    assert!(sqlstate == "28000" && text.contains("no AWS credentials were found"), "{text}");
    assert_eq!(proxy.metric("credentials_failures_total", "proxy"), 1.0);

    drop(listener);
    let proxy = Proxy::start(settings(&ca, Engine::PostgreSql, address, &Source::default()));
    let (sqlstate, text) = refused(&mut proxy.connect().await).await;
    assert!(sqlstate == "08001" && text.contains("cannot connect to `localhost:5432` by way of"), "{text}");

    let mut client = proxy.connect().await;
    client.write_all(&startup(&[("user", "app"), ("replication", "database")])).await.unwrap();
    let (sqlstate, text) = error_of(&read_all(&mut client).await);
    assert!(sqlstate == "0A000" && text.contains("replication"), "{text}");
}

#[tokio::test]
async fn hostile_servers_end_nothing_but_their_login() {
    let ca = Ca::new();
    let tls = ca.server("localhost");
    let (listener, address) = listener().await;
    let mut settings = settings(&ca, Engine::PostgreSql, address, &Source::default());
    settings.limits.login = Duration::from_millis(700);
    let proxy = Proxy::start(settings);

    // Before TLS: closed, silent, rubbish, bytes too early.
    for words in [Some(&b""[..]), None, Some(b"HTTP/1.1 400 Bad Request\r\n"), Some(b"SR\0\0\0\x08\0\0\0\0")]
    {
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_exactly(&mut stream, 8).await;
            match words {
                Some(words) => stream.write_all(words).await.unwrap(),
                None => drop(read_all(&mut stream).await),
            }
        };
        let mut client = proxy.connect().await;
        let ((), (sqlstate, text)) = tokio::join!(server, refused(&mut client));
        assert!(sqlstate.starts_with("08"), "{text}");
    }
    // In TLS.
    let endless = message(b'N', &vec![b'x'; 60_000]).repeat(8);
    let huge = [&b"R"[..], &u32::MAX.to_be_bytes()].concat();
    for words in [
        &endless[..],
        &huge,
        b"R\0\0\0\0",
        b"rubbish rubbish rubbish",
        &[OK, &message(b'D', b"row")].concat(),
    ] {
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut stream, _) = greet(stream, tls.clone()).await.unwrap();
            drop(stream.write_all(words).await);
            drop(stream.flush().await);
            read_all(&mut stream).await
        };
        let mut client = proxy.connect().await;
        let (heard, (sqlstate, text)) = tokio::join!(server, refused(&mut client));
        assert!(heard.is_empty() && sqlstate == "08P01", "{text}");
    }
    // Closes at each byte of what it has to say.
    let whole = [CLEARTEXT, OK, &key(1), READY].concat();
    for cut in 0..whole.len() {
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut stream, _) = greet(stream, tls.clone()).await.unwrap();
            if cut > CLEARTEXT.len() {
                ask(&mut stream).await;
                stream.write_all(&whole[CLEARTEXT.len()..cut]).await.unwrap();
            } else {
                stream.write_all(&whole[..cut]).await.unwrap();
            }
            stream.shutdown().await.unwrap();
        };
        let mut client = proxy.connect().await;
        let ((), (sqlstate, text)) = tokio::join!(server, refused(&mut client));
        assert!(sqlstate == "08001" && text.contains("closed in the middle"), "{cut}: {text}");
    }
    proxy.await_metric("sessions_open", "proxy", 0.0).await;
    assert_eq!(proxy.metric("sessions_total", "proxy"), 0.0);
    assert_eq!(proxy.end().await, 0);
}

#[tokio::test]
async fn hostile_clients_hold_nothing() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let mut settings = settings(&ca, Engine::PostgreSql, address, &Source::default());
    settings.limits.startup = Duration::from_millis(400);
    settings.limits.startups = 4;
    let proxy = Proxy::start(settings);
    for words in
        [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 64], &[0, 0, 0, 4], &[0, 0, 0x27, 0x10, 0, 3, 0, 0]]
    {
        let mut client = proxy.connect().await;
        client.write_all(words).await.unwrap();
        client.shutdown().await.unwrap();
        read_all(&mut client).await;
    }
    let mut whole = startup(&[("user", "app")]);
    whole.pop();
    for cut in 0..whole.len() {
        let mut client = proxy.connect().await;
        client.write_all(&whole[..cut]).await.unwrap();
        client.shutdown().await.unwrap();
        read_all(&mut client).await;
    }
    // More than may start up, silent or slow: each is dropped in time, and the next gets in.
    let mut slow = Vec::new();
    for _ in 0..9 {
        let mut client = proxy.connect().await;
        client.write_all(&whole[..7]).await.unwrap();
        slow.push(client);
    }
    let mut client = proxy.connect().await;
    let tls = ca.server("localhost");
    let ((_server, ..), ()) = tokio::join!(admit(&listener, &tls, 1), begin(&mut client));
    for client in &mut slow {
        read_all(client).await;
    }
    proxy.await_metric("refused_total", r#"reason="startup-timeout""#, 9.0).await;
    assert_eq!(proxy.end().await, 1);
}

#[tokio::test]
async fn there_are_no_more_sessions_than_may_be() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let mut settings = settings(&ca, Engine::PostgreSql, address, &Source::default());
    settings.limits.connections = 1;
    let proxy = Proxy::start(settings);
    let tls = ca.server("localhost");
    let mut first = proxy.connect().await;
    let ((server, ..), ()) = tokio::join!(admit(&listener, &tls, 1), begin(&mut first));
    let (sqlstate, text) = refused(&mut proxy.connect().await).await;
    assert!(sqlstate == "53300" && text.contains("max-connections is 1"), "{text}");
    drop((first, server));
    proxy.await_metric("sessions_open", "proxy", 0.0).await;
    let mut second = proxy.connect().await;
    tokio::join!(admit(&listener, &tls, 2), begin(&mut second));
    assert_eq!(proxy.metric("refused_total", r#"reason="too-many-connections""#), 1.0);
}

/// Sends a request to cancel and waits until it is answered with the end of the connection.
async fn ask_to_cancel(proxy: &Proxy, key: &[u8]) {
    let mut client = proxy.connect().await;
    client.write_all(&[&[0, 0, 0, 16, 4, 210, 22, 46], key].concat()).await.unwrap();
    assert!(read_all(&mut client).await.is_empty());
}

#[tokio::test]
async fn a_request_to_cancel_goes_to_the_sessions_server_and_no_other() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let proxy = Proxy::start(settings(&ca, Engine::PostgreSql, address, &Source::default()));
    let tls = ca.server("localhost");
    let mut client = proxy.connect().await;
    let ((server, ..), ()) = tokio::join!(admit(&listener, &tls, 77), begin(&mut client));

    let known = [77_u32.to_be_bytes(), [7; 4]].concat();
    let canceled = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_exactly(&mut stream, 8).await;
        stream.write_all(b"S").await.unwrap();
        let mut stream = TlsAcceptor::from(tls.clone()).accept(stream).await.unwrap();
        read_exactly(&mut stream, 16).await
    };
    let (request, ()) = tokio::join!(canceled, ask_to_cancel(&proxy, &known));
    assert_eq!(request, [&[0, 0, 0, 16, 4, 210, 22, 46], &known[..]].concat());

    // A key that nobody has, and one that is nobody's any more: dropped without a connection.
    ask_to_cancel(&proxy, &[77_u32.to_be_bytes(), [8; 4]].concat()).await;
    drop((client, server));
    proxy.await_metric("sessions_open", "proxy", 0.0).await;
    ask_to_cancel(&proxy, &known).await;
    assert_eq!(proxy.metric("cancels_total", "proxy"), 1.0);
    let more = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(more.is_err(), "nobody else asks the server");
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let mut settings = settings(&ca, Engine::PostgreSql, address, &Source::default());
    // `localhost` is ::1 too on most machines, where nobody listens.
    settings.target.connect_to = Some(("localhost".to_owned(), address.port()));
    let proxy = Proxy::start(settings);
    let tls = ca.server("localhost");
    let mut client: TcpStream = proxy.connect().await;
    tokio::join!(admit(&listener, &tls, 1), begin(&mut client));
}
