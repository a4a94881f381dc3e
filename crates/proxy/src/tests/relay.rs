//! What passes once a session has begun.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::kit::*;
use crate::*;

/// Bytes that do not repeat soon.
fn data(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// A proxy with one session: the client's end and the server's.
async fn session() -> (Proxy, TcpStream, TlsStream<TcpStream>) {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let proxy = Proxy::start(settings(&ca, Engine::PostgreSql, address, &Source::default()));
    let mut client = proxy.connect().await;
    let tls = ca.server("localhost");
    let ((server, startup, token), ()) = tokio::join!(admit(&listener, &tls, 1), begin(&mut client));
    assert!(String::from_utf8_lossy(&startup).contains("user\0app\0database\0shop"));
    assert!(token.starts_with("localhost:5432/?Action=connect&DBUser=app&"), "{token}");
    (proxy, client, server)
}

async fn send(mut stream: impl AsyncWrite + Unpin, bytes: &[u8]) {
    // In pieces of all sizes.
    let (mut rest, mut size) = (bytes, 1);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(size));
        stream.write_all(piece).await.unwrap();
        (rest, size) = (after, (size * 3) % 100_003 + 1);
    }
    stream.shutdown().await.unwrap();
}

async fn receive(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn both_directions_pass_at_once_and_whole() {
    let (proxy, client, server) = session().await;
    let (up, down) = (data(9_000_001, 1), data(11_000_003, 2));
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = tokio::io::split(server);
    let ((), (), came_up, came_down) = soon(async {
        tokio::join!(
            send(client_writes, &up),
            send(server_writes, &down),
            receive(server_reads),
            receive(client_reads)
        )
    })
    .await;
    assert_eq!((digest(&came_up), digest(&came_down)), (digest(&up), digest(&down)));
    proxy.await_metric("sessions_open", "proxy", 0.0).await;
    assert_eq!(proxy.metric("bytes_total", r#"to="server""#), up.len() as f64);
    assert_eq!(proxy.metric("sessions_total", "proxy"), 1.0);
    assert_eq!(proxy.end().await, 0);
}

#[tokio::test]
async fn an_end_passes_and_the_other_direction_goes_on() {
    let (proxy, mut client, mut server) = session().await;
    client.write_all(b"last words").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await, b"last words");
    server.write_all(b"an answer all the same").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, b"an answer all the same");
    proxy.await_metric("sessions_open", "proxy", 0.0).await;

    let (proxy, mut client, mut server) = session().await;
    server.write_all(b"FATAL: administrator").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, b"FATAL: administrator");
    client.write_all(b"still here").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await, b"still here");
    proxy.await_metric("sessions_open", "proxy", 0.0).await;
}

#[tokio::test]
async fn a_peer_that_breaks_ends_the_session() {
    let (proxy, client, mut server) = session().await;
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    // Closed without a word of TLS, or with.
    let mut rest = Vec::new();
    drop(soon(server.read_to_end(&mut rest)).await);
    proxy.await_metric("sessions_open", "proxy", 0.0).await;

    let (proxy, mut client, server) = session().await;
    drop(server.into_inner().0);
    assert_eq!(read_all(&mut client).await, b"");
    drop(client);
    proxy.await_metric("sessions_open", "proxy", 0.0).await;
}

#[tokio::test]
async fn what_is_not_tls_ends_the_session() {
    let (proxy, mut client, server) = session().await;
    let (mut socket, _) = server.into_inner();
    socket.write_all(&[0x17, 3, 3, 0, 32]).await.unwrap();
    socket.write_all(&[1; 32]).await.unwrap();
    assert_eq!(read_all(&mut client).await, b"");
    proxy.await_metric("sessions_open", "proxy", 0.0).await;
}

/// Writes until nothing is taken for a while; how much was taken.
async fn fill(stream: &mut (impl AsyncWrite + Unpin)) -> usize {
    let chunk = data(64 * 1024, 3);
    let mut taken = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(500), stream.write(&chunk)).await {
        taken += written.unwrap();
        assert!(taken < 256 << 20, "a peer that does not read holds no memory without bounds");
    }
    taken
}

#[tokio::test]
async fn a_peer_that_does_not_read_stops_the_other() {
    let (proxy, mut client, mut server) = session().await;
    let down = fill(&mut server).await;
    // Meanwhile the other direction goes on.
    client.write_all(b"hello").await.unwrap();
    assert_eq!(read_exactly(&mut server, 5).await, b"hello");
    let up = fill(&mut client).await;
    let (mut server_reads, mut server_writes) = tokio::io::split(server);
    // What its TLS has taken and not sent yet must be asked to go.
    let (came_down, came_up, flushed) = tokio::join!(
        read_exactly(&mut client, down),
        read_exactly(&mut server_reads, up),
        soon(server_writes.flush())
    );
    flushed.unwrap();
    let expected = |length: usize| data(64 * 1024, 3).into_iter().cycle().take(length).collect::<Vec<_>>();
    assert_eq!(came_down.len(), down);
    assert_eq!(came_up.len(), up);
    // Writes may have been cut short, and the next began anew: the beginning is what it must be.
    assert_eq!(digest(&came_down[..65536]), digest(&expected(65536)));
    drop((client, server_reads, server_writes));
    proxy.await_metric("sessions_open", "proxy", 0.0).await;
}

#[tokio::test]
async fn an_idle_session_ends_where_that_is_told() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let mut settings = settings(&ca, Engine::PostgreSql, address, &Source::default());
    settings.limits.idle = Some(Duration::from_millis(300));
    let proxy = Proxy::start(settings);
    let mut client = proxy.connect().await;
    let tls = ca.server("localhost");
    let ((_server, ..), ()) = tokio::join!(admit(&listener, &tls, 1), begin(&mut client));
    // Asking for the metric sweeps.
    proxy.await_metric("sessions_open", "proxy", 0.0).await;
    assert_eq!(read_all(&mut client).await, b"");
}

#[tokio::test]
async fn a_drain_lets_sessions_go_on_until_its_end() {
    let (proxy, mut client, mut server) = session().await;
    let place = proxy.place.clone();
    let (now, at_once) = tokio::sync::oneshot::channel::<()>();
    let drained = tokio::spawn(proxy.running.drain(PATIENCE, async { drop(at_once.await) }));
    soon(async {
        while TcpStream::connect(&place).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    client.write_all(b"on").await.unwrap();
    assert_eq!(read_exactly(&mut server, 2).await, b"on");
    assert!(!drained.is_finished());
    now.send(()).unwrap();
    assert_eq!(soon(drained).await.unwrap(), 1);
    assert_eq!(read_all(&mut client).await, b"");
}

#[tokio::test]
async fn a_drain_is_over_with_the_last_session() {
    let (proxy, client, server) = session().await;
    let drained = tokio::spawn(proxy.running.drain(PATIENCE, std::future::pending()));
    drop((client, server));
    assert_eq!(soon(drained).await.unwrap(), 0);
}

#[tokio::test]
async fn the_clock_is_the_tokens_and_the_credentials() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let now = Arc::new(std::sync::Mutex::new(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
    let source = Source { lifetime: Some((now.clone(), Duration::from_secs(3600))), ..Source::default() };
    let mut settings = settings(&ca, Engine::PostgreSql, address, &source);
    let clock = now.clone();
    settings.clock = Arc::new(move || *clock.lock().unwrap());
    let proxy = Proxy::start(settings);
    let tls = ca.server("localhost");
    let mut tokens = Vec::new();
    // A pool over hours: each new connection has a token of its own moment, and credentials that last.
    let mut kept = Vec::new();
    for _ in 0..6 {
        let mut client = proxy.connect().await;
        let ((server, _, token), ()) = tokio::join!(admit(&listener, &tls, 1), begin(&mut client));
        tokens.push(token);
        kept.push((client, server));
        *now.lock().unwrap() += Duration::from_secs(20 * 60);
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 6);
    assert!(tokens[0].contains("ASIA0") && tokens[2].contains("ASIA0") && tokens[3].contains("ASIA1"));
    assert_eq!(proxy.metric("credentials_renewals_total", "proxy"), 2.0);
    for (client, server) in &mut kept {
        client.write_all(b"x").await.unwrap();
        assert_eq!(read_exactly(server, 1).await, b"x");
    }
}
