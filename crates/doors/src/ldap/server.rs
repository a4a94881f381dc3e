//! Takes binds and asks the judge. A connection begins with StartTLS: nothing is judged before, and nothing in the clear.
//!
//! Not `ldaps`, where TLS comes first: PostgreSQL's LDAP client waits for a handshake without a limit, and for the answer
//! to StartTLS no longer than `LDAPTIMEOUT`. So a door that hangs is given up in time.
//!
//! Meant for the loopback: whoever reaches it can ask about a token that he holds, for any database, and learns
//! whether it would be accepted there. He gains no login by it, since that takes a connection to the database.
//! Unlike the socket it cannot tell who asks and from where the client came, so `client` stays empty.
//!
//! How long PostgreSQL waits for a door that hangs is not ours to say: its LDAP client waits for as long as
//! `authentication_timeout`, unless the server's environment has `LDAPTIMEOUT=2` and `LDAPNETWORK_TIMEOUT=2`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipc::{RequestId, Secret};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Identity;
use super::message::{
    Bind, Credentials, MessageError, Operation, Request, Response, ResponseKind, ResultCode, needed,
};
use super::name::BindName;
use crate::door::{Answer, DEADLINE, DoorKind, Judge, RawLogin, keep_open, stopped, within};

/// Connections open at one time; more wait in the backlog. PostgreSQL's lasts for one bind.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection that has bound once may stay open between two requests.
const IDLE: Duration = Duration::from_secs(10);

/// Finds the database that `dc=<resource id>` names: its resource id, or `None` if there is none.
pub type Resolve = dyn Fn(&str) -> Option<Arc<str>> + Send + Sync;

/// The LDAP door of all databases that this Countersign knows.
#[derive(Clone)]
pub struct LdapDoor {
    identity: Identity,
    resolve: Arc<Resolve>,
    judge: Arc<dyn Judge>,
}

impl LdapDoor {
    /// A door that is known by `identity`, finds databases with `resolve` and asks `judge`.
    #[must_use]
    pub fn new(identity: Identity, resolve: Arc<Resolve>, judge: Arc<dyn Judge>) -> Self {
        Self { identity, resolve, judge }
    }

    /// Answers on `listener` until `stop` turns true or its sender is gone, then lets the open binds end.
    pub async fn serve(self, listener: TcpListener, stop: watch::Receiver<bool>) {
        let accept = || listener.accept();
        keep_open(accept, MAX_CONNECTIONS, stop, |(stream, peer), stop| {
            self.clone().attend(stream, peer, stop)
        })
        .await;
    }

    async fn attend(self, mut stream: TcpStream, peer: SocketAddr, stop: watch::Receiver<bool>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "cannot ask for answers without delay");
        }
        let until = Instant::now() + DEADLINE;
        let secured = async {
            if start_tls(&mut stream).await? {
                self.identity.0.accept(stream).await.map(Some)
            } else {
                Ok(None)
            }
        };
        match within(DEADLINE, secured).await {
            Ok(Some(stream)) => self.talk(stream, peer, until, stop).await,
            Ok(None) => {
                tracing::warn!(%peer, "a request without TLS, closing; does the hba line have `ldaptls=1`?");
            }
            Err(error) => tracing::debug!(%peer, %error, "no TLS, closing"),
        }
    }

    /// Answers requests; the first must be there by `until`.
    async fn talk(
        self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        peer: SocketAddr,
        mut until: Instant,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let mut bytes = Secret::new();
            let left = until.saturating_duration_since(Instant::now());
            let read = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                read = within(left, read_message(&mut stream, &mut bytes)) => read,
            };
            let answer = match read {
                Ok(true) => self.answer(bytes.as_slice(), peer),
                Ok(false) => return,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!(%peer, %error, "not LDAP, closing");
                    Next::Close(Some(Response::disconnection("not an LDAP message")))
                }
                Err(error) => {
                    tracing::debug!(%peer, %error, "closing a connection");
                    return;
                }
            };
            drop(bytes);
            let (response, open) = match answer {
                Next::Answer(response) => (Some(response), true),
                Next::Bound(response) => {
                    until = Instant::now() + IDLE;
                    (Some(response), true)
                }
                Next::Silent => (None, true),
                Next::Close(response) => (response, false),
            };
            if let Some(response) = response
                && let Err(error) = within(DEADLINE, send(&mut stream, &response)).await
            {
                tracing::debug!(%peer, %error, "an answer was not taken, closing");
                return;
            }
            if !open {
                return;
            }
        }
    }

    fn answer(&self, bytes: &[u8], peer: SocketAddr) -> Next {
        let request = match Request::decode(bytes) {
            Ok(Some((request, _))) => request,
            Ok(None) => return Next::Close(None),
            Err(error) => {
                tracing::warn!(%peer, %error, "not an LDAP request, closing");
                return Next::Close(Some(Response::disconnection("not an LDAP request")));
            }
        };
        let Request { id, operation, critical_control } = request;
        let respond = |kind, code, diagnostic: &str| Response { id, kind, code, diagnostic }.encode();
        match operation {
            Operation::Unbind => Next::Close(None),
            Operation::Abandon => Next::Silent,
            Operation::Bind(_) if critical_control => Next::Answer(respond(
                ResponseKind::Bind,
                ResultCode::UnavailableCriticalExtension,
                "no controls are supported",
            )),
            Operation::Bind(bind) => {
                let (code, diagnostic) = self.bind(&bind, peer);
                Next::Bound(respond(ResponseKind::Bind, code, &diagnostic))
            }
            Operation::StartTls => Next::Answer(respond(
                ResponseKind::Extended,
                ResultCode::ProtocolError,
                "TLS is established already",
            )),
            // RFC 4511, 4.12: an extended operation that is not known is a protocol error.
            Operation::Other(kind @ ResponseKind::Extended) => {
                Next::Answer(respond(kind, ResultCode::ProtocolError, "only binds are served"))
            }
            Operation::Other(kind) => {
                Next::Answer(respond(kind, ResultCode::UnwillingToPerform, "only binds are served"))
            }
        }
    }

    fn bind(&self, bind: &Bind<'_>, peer: SocketAddr) -> (ResultCode, String) {
        if bind.version != 3 {
            return (ResultCode::ProtocolError, "only LDAP version 3 is served".to_owned());
        }
        let token = match bind.credentials {
            Credentials::Simple(token) => token,
            Credentials::Sasl => {
                return (ResultCode::AuthMethodNotSupported, "only simple binds are served".to_owned());
            }
        };
        // RFC 4513, 5.1.1 and 5.1.2: without a password a bind is anonymous, and many servers let it succeed. A
        // client takes that success for a proof.
        if token.is_empty() {
            return (ResultCode::UnwillingToPerform, "a bind needs a password".to_owned());
        }
        let Some(BindName { user, resource }) = BindName::parse(bind.name) else {
            tracing::warn!(%peer, name = %bind.name.escape_ascii(), "a bind with a name that is not ours");
            let expected = "expected cn=USER,dc=RESOURCE-ID,dc=countersign; check ldapprefix and ldapsuffix";
            return (ResultCode::InvalidDnSyntax, expected.to_owned());
        };
        let Some(database) = (self.resolve)(resource) else {
            tracing::warn!(%peer, resource, "a bind for a database that is not known here");
            return (ResultCode::InvalidCredentials, "refused".to_owned());
        };
        let login = RawLogin { database: &database, user, token, client: None, door: DoorKind::Ldap };
        let verdict = login.judge(self.judge.as_ref());
        match verdict.answer {
            Answer::Allowed { .. } => (ResultCode::Success, String::new()),
            Answer::Refused => {
                let request = RequestId(verdict.request_id);
                (ResultCode::InvalidCredentials, format!("refused, request {request}"))
            }
        }
    }
}

/// Whether the connection begins with StartTLS; anything else is refused. Reads not a byte more than the request: what
/// follows is the handshake.
async fn start_tls(stream: &mut TcpStream) -> io::Result<bool> {
    let mut bytes = Secret::new();
    if !read_message(stream, &mut bytes).await? {
        return Ok(false);
    }
    let Ok(Some((request, _))) = Request::decode(bytes.as_slice()) else {
        send(stream, &Response::disconnection("not an LDAP request")).await?;
        return Ok(false);
    };
    let (kind, code, diagnostic) = match request.operation {
        Operation::StartTls => (ResponseKind::Extended, ResultCode::Success, ""),
        Operation::Bind(_) => {
            (ResponseKind::Bind, ResultCode::ConfidentialityRequired, "StartTLS comes first")
        }
        Operation::Other(kind) => (kind, ResultCode::ConfidentialityRequired, "StartTLS comes first"),
        Operation::Unbind | Operation::Abandon => return Ok(false),
    };
    send(stream, &Response { id: request.id, kind, code, diagnostic }.encode()).await?;
    Ok(code == ResultCode::Success)
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), response: &[u8]) -> io::Result<()> {
    stream.write_all(response).await?;
    // Between here and the socket lies TLS, with a buffer of its own.
    stream.flush().await
}

/// What follows a request.
enum Next {
    /// Answer.
    Answer(Vec<u8>),
    /// Answer, and give the connection the time of one that has bound.
    Bound(Vec<u8>),
    /// Nothing: the request has no answer.
    Silent,
    /// Answer if there is something to say, and close.
    Close(Option<Vec<u8>>),
}

/// Reads exactly one message; `false` if the client closed the connection instead.
async fn read_message(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Secret) -> io::Result<bool> {
    loop {
        let have = bytes.as_slice().len();
        let want = needed(bytes.as_slice()).map_err(invalid)?;
        if have >= want {
            return Ok(true);
        }
        bytes.resize(want);
        let rest = bytes.as_mut_slice().get_mut(have..).unwrap_or_default();
        match stream.read_exact(rest).await {
            Ok(_) => {}
            Err(error) if have == 0 && error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn invalid(error: MessageError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::testing::Book;
    use crate::ldap::message::testing::{answer, bind, bind_content, controlled, request};
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use tokio::task::JoinHandle;
    use tokio_rustls::TlsConnector;

    const JANE: &[u8] = b"cn=jane,dc=db-ABC,dc=countersign";

    struct Open {
        address: SocketAddr,
        book: Arc<Book>,
        stop: watch::Sender<bool>,
        served: JoinHandle<()>,
    }

    fn identity() -> (Identity, String) {
        let mut names = pki::ServerNames::host("localhost");
        names.ips.push([127, 0, 0, 1].into());
        let now = time::OffsetDateTime::now_utc();
        let certificate = pki::self_signed(&names, now, pki::SERVER_LIFETIME).unwrap();
        let identity = Identity::new(&certificate.cert_pem, certificate.key_pem.expose()).unwrap();
        (identity, certificate.cert_pem)
    }

    fn start_tls() -> Vec<u8> {
        request(1, 0x77, b"\x80\x161.3.6.1.4.1.1466.20037")
    }

    /// Without TLS, for what lies inside it.
    async fn open() -> Open {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::new(Book::default());
        let judge: Arc<dyn Judge> = book.clone();
        let resolve: Arc<Resolve> = Arc::new(|name| (name == "db-ABC").then(|| "db-ABC".into()));
        let (stop, stopping) = watch::channel(false);
        let door = LdapDoor::new(identity().0, resolve, judge);
        let served = tokio::spawn(async move {
            let talk =
                |(stream, peer), stop| door.clone().talk(stream, peer, Instant::now() + DEADLINE, stop);
            keep_open(|| listener.accept(), MAX_CONNECTIONS, stopping, talk).await;
        });
        Open { address, book, stop, served }
    }

    /// Sends `request` and reads one answer, or `None` if the connection was closed.
    async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<(u32, u8, u8, String)> {
        stream.write_all(request).await.unwrap();
        let mut bytes = Secret::new();
        let read = within(DEADLINE * 2, read_message(stream, &mut bytes)).await.unwrap();
        read.then(|| answer(bytes.as_slice()))
    }

    #[tokio::test]
    async fn the_door_is_known_by_its_certificate_and_speaks_tls_only() {
        let (identity, certificate) = identity();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let resolve: Arc<Resolve> = Arc::new(|name| (name == "db-ABC").then(|| "db-ABC".into()));
        let (_stop, stopping) = watch::channel(false);
        tokio::spawn(LdapDoor::new(identity, resolve, Arc::new(Book::default())).serve(listener, stopping));

        let trusting = |certificate: &str| {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(certificate.as_bytes()) {
                roots.add(certificate.unwrap()).unwrap();
            }
            let config = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
            let config = config.with_safe_default_protocol_versions().unwrap();
            TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
        };
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let started = async || {
            let mut stream = TcpStream::connect(address).await.unwrap();
            assert_eq!(exchange(&mut stream, &start_tls()).await.unwrap(), (1, 0x78, 0, String::new()));
            stream
        };
        let mut stream = trusting(&certificate).connect(name.clone(), started().await).await.unwrap();
        stream.write_all(&bind(1, JANE, b"good-jane")).await.unwrap();
        let mut bytes = Secret::new();
        assert!(within(DEADLINE, read_message(&mut stream, &mut bytes)).await.unwrap());
        assert_eq!(answer(bytes.as_slice()), (1, 0x61, 0, String::new()));

        let other = self::identity().1;
        assert!(trusting(&other).connect(name, started().await).await.is_err(), "another door's certificate");

        let mut stream = TcpStream::connect(address).await.unwrap();
        let refused = exchange(&mut stream, &bind(1, JANE, b"good-jane")).await.unwrap();
        assert_eq!(refused, (1, 0x61, 13, "StartTLS comes first".to_owned()));
        assert_eq!(exchange(&mut stream, &bind(2, JANE, b"good-jane")).await, None, "closed");
    }

    #[tokio::test]
    async fn a_bind_with_a_token_is_judged() {
        let open = open().await;
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        let allowed = exchange(&mut stream, &bind(1, JANE, b"good-jane")).await.unwrap();
        assert_eq!(allowed, (1, 0x61, 0, String::new()));
        let refused = exchange(&mut stream, &bind(2, JANE, b"bad")).await.unwrap();
        assert_eq!(refused, (2, 0x61, 49, "refused, request 0000000000000002".to_owned()));
        let long = vec![b'x'; 65_530];
        assert_eq!(exchange(&mut stream, &bind(3, JANE, &long)).await.unwrap().2, 49);
        assert_eq!(
            open.book.entries(),
            ["ldap db-ABC jane - 9", "ldap db-ABC jane - 3", "ldap db-ABC jane - 65530"]
        );
        assert_eq!(exchange(&mut stream, b"\x30\x05\x02\x01\x04\x42\x00").await, None);
    }

    #[tokio::test]
    async fn a_user_name_cannot_reach_another_database() {
        let open = open().await;
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        let sly = b"cn=jane,dc=db-OTHER,dc=countersign,dc=db-ABC,dc=countersign";
        assert_eq!(exchange(&mut stream, &bind(1, sly, b"good-jane")).await.unwrap().2, 49);
        assert_eq!(open.book.entries(), ["ldap db-ABC jane,dc=db-OTHER,dc=countersign - 9"]);
        let unknown =
            exchange(&mut stream, &bind(2, b"cn=jane,dc=db-OTHER,dc=countersign", b"good-jane")).await;
        assert_eq!(unknown.unwrap(), (2, 0x61, 49, "refused".to_owned()));
        let foreign = exchange(&mut stream, &bind(3, b"uid=jane,o=example", b"good-jane")).await.unwrap();
        assert_eq!(foreign.2, 34);
        assert!(foreign.3.contains("ldapsuffix"));
        assert_eq!(open.book.entries().len(), 1);
    }

    #[tokio::test]
    async fn nothing_but_a_good_bind_succeeds() {
        let open = open().await;
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        let version_2 = request(5, 0x60, &bind_content(2, JANE, 0x80, b"good-jane"));
        let sasl = request(6, 0x60, &bind_content(3, JANE, 0xa3, b"\x04\x05PLAIN"));
        for (request, id, tag, code) in [
            (bind(1, JANE, b""), 1, 0x61, 53),
            (bind(2, b"", b""), 2, 0x61, 53),
            (controlled(3, true), 3, 0x61, 12),
            (bind(4, JANE, b"good-jane\0"), 4, 0x61, 49),
            (version_2, 5, 0x61, 2),
            (sasl, 6, 0x61, 7),
            (request(7, 0x63, b"search"), 7, 0x65, 53),
            (request(8, 0x77, b"\x80\x161.3.6.1.4.1.1466.20037"), 8, 0x78, 2),
        ] {
            let (got_id, got_tag, got_code, _) = exchange(&mut stream, &request).await.unwrap();
            assert_eq!((got_id, got_tag, got_code), (id, tag, code));
        }
        // An abandoned request has no answer; the next one has.
        let both = [request(9, 0x50, b"\x01"), bind(10, JANE, b"good-jane")].concat();
        assert_eq!(exchange(&mut stream, &both).await.unwrap(), (10, 0x61, 0, String::new()));
    }

    #[tokio::test]
    async fn what_is_not_ldap_is_told_so_and_closed() {
        let open = open().await;
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x30\x80\0\0",
            b"\x30\x84\x7f\xff\xff\xff",
            b"\x30\x02\x05\x00",
        ] {
            let mut stream = TcpStream::connect(open.address).await.unwrap();
            let (id, tag, code, _) = exchange(&mut stream, bytes).await.unwrap();
            assert_eq!((id, tag, code), (0, 0x78, 2));
            assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        }
        assert!(open.book.entries().is_empty());
    }

    #[tokio::test]
    async fn a_client_that_does_not_bind_is_dropped_at_the_deadline() {
        let open = open().await;
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        let connected = Instant::now();
        // Other requests do not buy time, nor does a bind that never ends.
        exchange(&mut stream, &request(1, 0x63, b"search")).await.unwrap();
        stream.write_all(&bind(2, JANE, b"good-jane")[..20]).await.unwrap();
        assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        let waited = connected.elapsed();
        assert!(waited > DEADLINE / 2 && waited < DEADLINE * 2, "{waited:?}");
    }

    #[tokio::test]
    async fn stopping_closes_connections_that_wait() {
        let open = open().await;
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        exchange(&mut stream, &bind(1, JANE, b"good-jane")).await.unwrap();
        open.stop.send(true).unwrap();
        within(Duration::from_secs(1), async { open.served.await.map_err(io::Error::other) }).await.unwrap();
        assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        assert!(TcpStream::connect(open.address).await.is_err());
    }
}
