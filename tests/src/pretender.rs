//! What a client may find in a server's place: one without TLS, one with a certificate that must not be accepted, one that says
//! nothing, and an API whose clock is wrong.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// An authority of nobody's.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// TLS for a server of a name, with a certificate that ended so long ago, or ends so much later.
    pub fn server(&self, name: &str, ends: time::Duration) -> Arc<ServerConfig> {
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = now - time::Duration::days(30);
        params.not_after = now + ends;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        config(certificate.der().clone(), &key)
    }
}

/// TLS for a server that vouches for itself.
pub fn self_signed(name: &str) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    config(certificate.der().clone(), &key)
}

fn config(certificate: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}

/// A PostgreSQL server as far as its certificate; without TLS where it has none. Its port; it lives as long as the test.
pub fn postgres(tls: Option<Arc<ServerConfig>>) -> u16 {
    serve(move |mut stream| {
        let mut request = [0; 8];
        stream.read_exact(&mut request)?;
        let Some(tls) = &tls else { return stream.write_all(b"N") };
        stream.write_all(b"S")?;
        let mut session = ServerConnection::new(tls.clone()).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        // Nobody may come this far.
        panic!("a client went on with a certificate that it must not accept");
    })
}

/// Takes connections and says nothing.
pub fn silent() -> u16 {
    serve(|mut stream| {
        // Until the client has enough of it.
        while stream.read(&mut [0; 256])? > 0 {}
        Ok(())
    })
}

/// Answers every question over HTTP with a refusal, by a clock that is ahead.
pub fn http_ahead(by: time::Duration) -> u16 {
    serve(move |mut stream| {
        let form = time::macros::format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        let read = stream.read(&mut [0; 8192])?;
        let date = (OffsetDateTime::now_utc() + by).format(form).unwrap();
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code>\
                    <Message>Signature expired: it is now earlier</Message></Error></ErrorResponse>";
        let length = body.len();
        assert!(read > 0);
        write!(
            stream,
            "HTTP/1.1 403 Forbidden\r\ndate: {date}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    })
}

/// Serves one connection after the other; what a client breaks off is not looked at.
fn serve(each: impl Fn(TcpStream) -> std::io::Result<()> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            if let Err(error) = each(stream) {
                let broken_off = matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof
                        | ErrorKind::ConnectionReset
                        | ErrorKind::BrokenPipe
                        | ErrorKind::InvalidData
                );
                assert!(broken_off, "{error}");
            }
        }
    });
    port
}
