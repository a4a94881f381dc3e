//! HTTP, as far as the tools need it: a question and an answer of limited size in limited time, over verified TLS. What an
//! answer means is for who asks.
//!
//! Without TLS nothing leaves this machine.

use std::time::Duration;

use ::http::header::USER_AGENT;
use ::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

use crate::host::is_loopback;
use crate::trust::Bundle;

/// How long a question may take, from the connection to the end of the answer.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes.
pub const LONGEST: usize = 8 * 1024 * 1024;

const AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is none.
    #[error(
        "`{url}` is not an address to ask: expected `https://host`, or `http://` for this machine itself"
    )]
    Address {
        /// What was given.
        url: String,
    },
    /// It would go over the network without TLS.
    #[error("`{url}` is not asked: over the network it must be https, http is for this machine itself")]
    Plain {
        /// The address.
        url: String,
    },
    /// The system has no certificates of authorities.
    #[error(
        "cannot verify `{url}`: this system has no certificates of authorities (install the package ca-certificates)"
    )]
    NoRoots {
        /// The address.
        url: String,
    },
    /// No connection, no TLS, or it broke.
    #[error("cannot ask `{url}`: {cause}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why, causes included.
        cause: String,
    },
    /// It takes too long.
    #[error("`{url}` does not answer within {} seconds", TIMEOUT.as_secs())]
    Timeout {
        /// The address.
        url: String,
    },
    /// The answer has no end.
    #[error("`{url}` answers more than {LONGEST} bytes")]
    TooLong {
        /// The address.
        url: String,
    },
    /// TLS cannot be set up: a defect.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

/// Asks over HTTP/1.1; connections are kept for the next question.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    has_roots: bool,
}

impl Client {
    /// One that trusts the authorities that the system trusts.
    ///
    /// # Errors
    /// None but a defect. A system without authorities is told of when TLS is wanted.
    pub fn new() -> Result<Self, HttpError> {
        // What cannot be read is left out: then it verifies nothing.
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::with_roots(roots)
    }

    /// One that trusts these authorities alone.
    ///
    /// # Errors
    /// None but a defect.
    pub fn trusting(bundle: &Bundle) -> Result<Self, HttpError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(bundle.certificates().iter().cloned());
        Self::with_roots(roots)
    }

    fn with_roots(roots: RootCertStore) -> Result<Self, HttpError> {
        let has_roots = !roots.is_empty();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Ok(Self { pool: Pool::builder(TokioExecutor::new()).build(connector), has_roots })
    }

    /// GET.
    ///
    /// # Errors
    /// [`HttpError`]; any status is an answer.
    pub async fn get(&self, url: &str) -> Result<Answer, HttpError> {
        let uri: Uri = url.parse().map_err(|_| HttpError::Address { url: shown(url) })?;
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri;
        self.send(request).await
    }

    /// Sends `request`, whose URI is a whole one; `host`, `content-length` and `user-agent` are added where they are not set.
    /// Redirections are not followed.
    ///
    /// # Errors
    /// [`HttpError`]; any status is an answer.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Answer, HttpError> {
        let mut request = request.map(Full::new);
        request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let url = shown(&request.uri().to_string());
        match (request.uri().scheme_str(), request.uri().host()) {
            (Some("https"), Some(_)) if self.has_roots => {}
            (Some("https"), Some(_)) => return Err(HttpError::NoRoots { url }),
            (Some("http"), Some(host)) if is_loopback(host) => {}
            (Some("http"), Some(_)) => return Err(HttpError::Plain { url }),
            _ => return Err(HttpError::Address { url }),
        }
        let answer = tokio::time::timeout(TIMEOUT, self.answer(request, &url)).await;
        answer.unwrap_or(Err(HttpError::Timeout { url }))
    }

    async fn answer(&self, request: Request<Full<Bytes>>, url: &str) -> Result<Answer, HttpError> {
        let unreachable = |error: &(dyn std::error::Error + 'static)| HttpError::Unreachable {
            url: url.to_owned(),
            cause: innermost(error),
        };
        let response = self.pool.request(request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                HttpError::TooLong { url: url.to_owned() }
            } else {
                unreachable(error.as_ref())
            }
        })?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

/// An address for a message: without user, password and query, which may be secret.
pub(crate) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

/// The cause that says most: hyper's own errors say only where it happened.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let last = std::iter::successors(Some(error), |cause| cause.source()).last();
    last.unwrap_or(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers one connection with `answer`, and returns what was asked.
    async fn serve(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.windows(4).any(|w| w == b"\r\n\r\n")
                && stream.read_buf(&mut asked).await.unwrap() > 0
            {}
            // Whoever stops reading may hang up.
            drop(stream.write_all(&answer).await);
            String::from_utf8(asked).unwrap()
        });
        (url, task)
    }

    #[tokio::test]
    async fn any_status_is_an_answer() {
        let answer = b"HTTP/1.1 404 Not Found\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello".to_vec();
        let (url, asked) = serve(answer).await;
        let answer = Client::new().unwrap().get(&format!("{url}/a/b.pem?x=1")).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (404, &b"hello"[..]));
        assert_eq!(answer.headers["x-a"], "b");
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /a/b.pem?x=1 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("user-agent: countersign/") && asked.contains("host: 127.0.0.1:"), "{asked}");
    }

    #[tokio::test]
    async fn a_body_is_sent() {
        let (url, asked) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let request =
            Request::post(format!("{url}/")).header("x-amz-date", "now").body(Bytes::from("Action=X"));
        let answer = Client::new().unwrap().send(request.unwrap()).await.unwrap();
        assert!(answer.status.is_success() && answer.body.is_empty());
        let asked = asked.await.unwrap();
        assert!(asked.contains("content-length: 8") && asked.contains("x-amz-date: now"), "{asked}");
    }

    #[tokio::test]
    async fn answers_without_end_are_cut() {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(LONGEST + 100, b'x');
        let (url, _asked) = serve(answer).await;
        let error = Client::new().unwrap().get(&url).await.unwrap_err();
        assert!(matches!(error, HttpError::TooLong { .. }), "{error}");
    }

    #[tokio::test]
    async fn nothing_leaves_this_machine_without_tls() {
        let client = Client::new().unwrap();
        for url in ["http://192.0.2.1/", "http://localhost.example/", "http://[2001:db8::1]/"] {
            let error = client.get(url).await.unwrap_err();
            assert!(matches!(error, HttpError::Plain { .. }), "{url}: {error}");
        }
        for url in ["ftp://localhost/", "localhost:80", "/x", "http://", "http://a b/"] {
            let error = client.get(url).await.unwrap_err();
            assert!(matches!(error, HttpError::Address { .. }), "{url}: {error}");
        }
    }

    #[tokio::test]
    async fn without_authorities_there_is_no_tls() {
        let client = Client::with_roots(RootCertStore::empty()).unwrap();
        let error = client.get("https://localhost/").await.unwrap_err();
        assert!(matches!(error, HttpError::NoRoots { .. }), "{error}");
    }

    #[tokio::test]
    async fn who_is_not_there_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x?secret", listener.local_addr().unwrap());
        drop(listener);
        let error = Client::new().unwrap().get(&url).await.unwrap_err().to_string();
        assert!(error.contains("Connection refused") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn messages_show_no_password() {
        assert_eq!(shown("https://u:p@h:1/x?token=y"), "https://h:1/x");
        assert_eq!(shown("x#y"), "x");
    }
}
