//! Who gets in: sockets and their modes, TLS, passwords, client certificates.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::connection::server_name;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

use super::kit::*;
use crate::*;

fn private(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

pub(super) fn identity(folder: &Path, ca: &Ca) -> Identity {
    let (certificate, key) = ca.issue("localhost");
    Identity::read(&private(folder, "cert.pem", &certificate), &private(folder, "key.pem", &key)).unwrap()
}

#[tokio::test]
async fn unix_sockets_have_their_mode_and_do_not_stay() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let folder = tempfile::tempdir().unwrap();
    let mut of = settings(&ca, Engine::PostgreSql, address, &Source::default());
    of.listen = vec![Listen::Unix(folder.path().to_owned())];
    let path = folder.path().join(".s.PGSQL.5432");
    let proxy = Proxy::start(of.clone());
    assert_eq!(proxy.place, path.to_str().unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = UnixStream::connect(&path).await.unwrap();
    let tls = ca.server("localhost");
    let ((mut server, ..), ()) = tokio::join!(admit(&listener, &tls, 1), begin(&mut client));
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await, b"hello");

    // One that is served is not taken.
    let metrics = Metrics::registered(&mut prometheus_client::registry::Registry::default());
    let error = start(vec![of.clone()], &metrics).err().expect("it is served").to_string();
    assert!(error.contains("another process serves"), "{error}");
    proxy.end().await;
    assert!(!path.exists());

    // What a dead one left is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    of.socket_mode = "0660".parse().unwrap();
    let proxy = Proxy::start(of.clone());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    // One that another put in its place stays.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    proxy.end().await;
    assert!(path.exists());
    let error = start(vec![of], &metrics).err().expect("it is a file").to_string();
    assert!(error.contains("not a socket"), "{error}");
}

#[test]
fn places_and_modes() {
    for (text, local) in [
        ("127.0.0.1:1", true),
        ("[::1]:1", true),
        ("localhost:1", true),
        ("./x.sock", true),
        ("0.0.0.0:1", false),
        ("10.0.0.1:1", false),
        ("[::]:1", false),
        ("[::ffff:10.0.0.1]:1", false),
        ("[::ffff:127.0.0.1]:1", true),
    ] {
        assert_eq!(text.parse::<Listen>().unwrap().is_local(), local, "{text}");
    }
    for text in ["", "5432", "localhost", "localhost:x", "db.example.com:5432", "localhost:65536"] {
        assert!(text.parse::<Listen>().is_err(), "{text}");
    }
    assert!("0600".parse::<SocketMode>().is_ok() && "666".parse::<SocketMode>().is_ok());
    for text in ["", "0x1", "1777", "rw", "888"] {
        assert!(text.parse::<SocketMode>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn others_than_this_machine_need_tls_and_a_proof() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let password = private(folder.path(), "password", "sesame\n");
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, ca.pem()).unwrap();
    let everywhere: Listen = "0.0.0.0:0".parse().unwrap();
    let tls = || Some(identity(folder.path(), &ca));
    let open = [
        Access::default(),
        Access::read(None, Some(&password), None).unwrap(),
        Access::read(tls(), None, None).unwrap(),
    ];
    for access in open {
        assert!(matches!(access.check(&everywhere), Err(AccessError::Open(_))));
        access.check(&"127.0.0.1:1".parse().unwrap()).unwrap();
    }
    Access::read(tls(), Some(&password), None).unwrap().check(&everywhere).unwrap();
    let certificates = Access::read(tls(), None, Some(&roots)).unwrap();
    certificates.check(&everywhere).unwrap();
    assert!(matches!(certificates.check(&Listen::Unix("/x".into())), Err(AccessError::UnixTls(_))));
    assert!(matches!(Access::read(None, None, Some(&roots)), Err(AccessError::NoTls)));

    // Not only the command looks.
    let (_, address) = listener().await;
    let mut of = settings(&ca, Engine::PostgreSql, address, &Source::default());
    of.listen = vec![everywhere];
    let metrics = Metrics::registered(&mut prometheus_client::registry::Registry::default());
    assert!(matches!(start(vec![of], &metrics), Err(StartError::Access { .. })));

    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = Access::read(None, Some(&password), None).err().unwrap().to_string();
    assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    for (name, text) in [("empty", ""), ("blank", "\nx")] {
        assert!(Access::read(None, Some(&private(folder.path(), name, text)), None).is_err());
    }
}

/// Logs in with a password; true if the server behind then says that it may send a query.
async fn with_password(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), password: &str) -> bool {
    stream.write_all(&startup(&[("user", "app")])).await.unwrap();
    let (kind, body) = read_message(stream).await;
    assert!(kind == b'R' && body.starts_with(&[0, 0, 0, 10]), "{kind}");
    let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    let first = scram.message();
    let length = u32::try_from(first.len()).unwrap().to_be_bytes();
    let initial = [&b"SCRAM-SHA-256\0"[..], &length, first].concat();
    stream.write_all(&message(b'p', &initial)).await.unwrap();
    let (_, body) = read_message(stream).await;
    scram.update(&body[4..]).unwrap();
    stream.write_all(&message(b'p', scram.message())).await.unwrap();
    match read_message(stream).await {
        (b'R', body) => scram.finish(&body[4..]).unwrap(),
        (b'E', text) => {
            let text = String::from_utf8_lossy(&text);
            assert!(text.contains("C28P01\0") && text.contains("password authentication failed"), "{text}");
            return false;
        }
        (kind, _) => panic!("{kind}"),
    }
    until_ready(stream).await;
    true
}

#[tokio::test]
async fn a_password_is_demanded_where_there_is_one() {
    let ca = Ca::new();
    let (listener, address) = listener().await;
    let folder = tempfile::tempdir().unwrap();
    let mut of = settings(&ca, Engine::PostgreSql, address, &Source::default());
    of.access = Access::read(None, Some(&private(folder.path(), "password", "sesame\n")), None).unwrap();
    let proxy = Proxy::start(of);
    assert!(!with_password(&mut proxy.connect().await, "Sesame").await);
    proxy.await_metric("refused_total", r#"reason="local-password""#, 1.0).await;
    let tls = ca.server("localhost");
    let mut client = proxy.connect().await;
    let ((_server, ..), admitted) =
        tokio::join!(admit(&listener, &tls, 1), with_password(&mut client, "sesame"));
    assert!(admitted);
}

fn client_config(ca: &Ca, own: Option<(String, String)>, alpn: &[u8]) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(ca.bundle().certificates().iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn client_certificates_are_demanded_where_that_is_told() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (listener, address) = listener().await;
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, ca.pem()).unwrap();
    let mut of = settings(&ca, Engine::PostgreSql, address, &Source::default());
    of.access = Access::read(Some(identity(folder.path(), &ca)), None, Some(&roots)).unwrap();
    let proxy = Proxy::start(of);
    // Without TLS.
    let (sqlstate, text) = refused(&mut proxy.connect().await).await;
    assert!(sqlstate == "28000", "{text}");
    // Without a certificate, with another's, or for another protocol. TLS 1.3 tells at the first read.
    for connector in [
        client_config(&ca, None, b"postgresql"),
        client_config(&ca, Some(other.issue("app")), b"postgresql"),
        client_config(&ca, Some(ca.issue("app")), b"http/1.1"),
    ] {
        let stream = connector.connect(server_name("localhost").unwrap(), proxy.connect().await).await;
        if let Ok(mut stream) = stream {
            drop(stream.write_all(&startup(&[("user", "app")])).await);
            let mut answer = Vec::new();
            drop(soon(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)).await);
            assert!(answer.is_empty());
        }
    }
    // Beginning with TLS, and asking for it.
    let tls = ca.server("localhost");
    for direct in [true, false] {
        let mut plain = proxy.connect().await;
        if !direct {
            plain.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.unwrap();
            assert_eq!(read_exactly(&mut plain, 1).await, b"S");
        }
        let connector = client_config(&ca, Some(ca.issue("app")), b"postgresql");
        let mut client = connector.connect(server_name("localhost").unwrap(), plain).await.unwrap();
        let ((mut server, ..), ()) = tokio::join!(admit(&listener, &tls, 1), begin(&mut client));
        let long = vec![b'x'; 300_000];
        client.write_all(&long).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut server).await, long);
        server.write_all(&long).await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(read_all(&mut client).await, long);
    }
    proxy.await_metric("refused_total", r#"reason="client-tls""#, 4.0).await;
}
