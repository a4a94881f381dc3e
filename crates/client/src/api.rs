//! The AWS APIs that tell about a database and about who may log in to it, asked as any client asks: of Amazon and of a
//! Countersign alike.
//!
//! A small client for six operations, signed by our own signer. Where to ask is settled as the AWS SDKs settle it
//! (`AWS_ENDPOINT_URL`, the profile, else Amazon's hosts). Nothing is changed by anything that is asked here.

mod endpoint;
mod identity;
mod rds;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use ::http::header::DATE;
use ::http::{HeaderValue, Method, Request as HttpRequest};
use bytes::Bytes;
use iam::Region;
use serde::de::DeserializeOwned;
use sigv4::request::{Body, Request, Rules, Signer, sign};
use sigv4::{SecretKey, Timestamp};

use crate::credentials::{Chain, CredentialsError};
use crate::http::{Answer, Client, HttpError};

use wire::Unreadable;

pub use endpoint::{EndpointUrls, ServiceEndpoint, UrlError};
pub use identity::{Decision, Identity, Matched, Simulation};
pub use rds::{Cluster, Found, Instance, Kind};

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Databases.
    Rds,
    /// Principals and policies.
    Iam,
    /// Who the caller is.
    Sts,
}

impl Service {
    /// The name in a signature's scope and in host names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rds => "rds",
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Rds => "2014-10-31",
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
        }
    }
}

/// Why an API did not tell what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is nothing to sign with.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// It is not known where to ask.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The credentials hold what no request can.
    #[error("the request cannot be signed: {0}")]
    Sign(#[from] sigv4::request::RequestError),
    /// The same, of a header.
    #[error("the request cannot be signed: its {0} has characters that HTTP does not carry")]
    Unsendable(&'static str),
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer is a refusal.
    #[error("{operation} is refused: {code}: {message}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// The code, such as `AccessDenied`.
        code: String,
        /// What is said besides.
        message: String,
    },
    /// The answer is none of this API.
    #[error("{url} answered {status} to {operation}, and not as this API does: {reason}")]
    Foreign {
        /// The endpoint.
        url: String,
        /// The operation.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such database.
    #[error("there is no database instance or cluster `{0}` in region {1}")]
    NoDatabase(String, Region),
}

impl ApiError {
    /// Whether the caller's policies keep it from asking.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if matches!(code.as_str(), "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation"))
    }

    /// The code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// The time of a server beside ours, both at the moment of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Where the answer came from.
    pub url: String,
    /// Its `Date`, in whole seconds.
    pub server: SystemTime,
    /// Ours.
    pub local: SystemTime,
}

/// The APIs, as one caller asks them.
#[derive(Debug)]
pub struct Api {
    chain: Arc<Chain>,
    region: Region,
    urls: EndpointUrls,
    http: Client,
    clocks: Mutex<Option<Clocks>>,
}

impl Api {
    /// Asks with the credentials of `chain`, in `region`, at `urls`, or at Amazon's own where these name none.
    ///
    /// # Errors
    /// None but a defect.
    pub fn new(chain: Arc<Chain>, region: Region, urls: EndpointUrls) -> Result<Self, HttpError> {
        Ok(Self { chain, region, urls, http: Client::new()?, clocks: Mutex::new(None) })
    }

    /// The same, of what environment and profile configure.
    ///
    /// # Errors
    /// None but a defect.
    pub async fn configured(
        chain: Arc<Chain>,
        profile: Option<&str>,
        region: Region,
    ) -> Result<Self, HttpError> {
        let urls = EndpointUrls::configured(profile, &region).await;
        Self::new(chain, region, urls)
    }

    /// The region that is asked.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Where a service is asked.
    ///
    /// # Errors
    /// What is configured is no address that may be asked.
    pub fn endpoint(&self, service: Service) -> Result<ServiceEndpoint, UrlError> {
        ServiceEndpoint::of(service, &self.region, &self.urls)
    }

    /// The clocks at the last answer that had a date, whatever else it said.
    pub fn clocks(&self) -> Option<Clocks> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gets an answer out of a service only for its date: nothing is signed, and what it says does not matter.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn compare_clocks(&self, service: Service) -> Result<Option<Clocks>, ApiError> {
        let endpoint = self.endpoint(service)?;
        self.exchange(&endpoint, HttpRequest::new(Bytes::new())).await?;
        Ok(self.clocks())
    }

    /// Asks for `operation`, and reads what is inside its result.
    async fn call<T: DeserializeOwned>(
        &self,
        service: Service,
        operation: &'static str,
        parameters: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let endpoint = self.endpoint(service)?;
        let now = SystemTime::now();
        let credentials = self.chain.credentials(now).await?;
        let body = wire::form(operation, service.version(), parameters);
        let secret = SecretKey::from(credentials.secret_access_key());
        let signer = Signer {
            access_key_id: credentials.access_key_id(),
            secret: &secret,
            session_token: credentials.session_token(),
            region: endpoint.signing_region(),
            service: service.name(),
            rules: Rules::DEFAULT,
            content_sha256: false,
        };
        let host = endpoint.host_header();
        let to_sign = Request {
            method: Method::POST.as_str(),
            path: endpoint.uri().path(),
            query: "",
            headers: &[("host", host.as_bytes()), ("content-type", wire::FORM.as_bytes())],
            body: Body::Bytes(body.as_bytes()),
        };
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let stamp = Timestamp::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX));
        let mut request = HttpRequest::post("/").header("content-type", wire::FORM);
        for (name, value) in sign(&signer, &to_sign, stamp)? {
            let mut value = HeaderValue::try_from(value).map_err(|_| ApiError::Unsendable(name))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let request = request.body(Bytes::from(body)).map_err(|_| ApiError::Unsendable("request"))?;
        let answer = self.exchange(&endpoint, request).await?;
        let status = answer.status.as_u16();
        wire::read(operation, status, &answer.body).map_err(|error| match error {
            Unreadable::Refusal { code, message } => ApiError::Refused { operation, code, message },
            Unreadable::Foreign(reason) => {
                ApiError::Foreign { url: endpoint.uri().to_string(), operation, status, reason }
            }
        })
    }

    async fn exchange(
        &self,
        endpoint: &ServiceEndpoint,
        mut request: HttpRequest<Bytes>,
    ) -> Result<Answer, HttpError> {
        *request.uri_mut() = endpoint.uri().clone();
        let answer = self.http.send(request).await?;
        let date = answer.headers.get(DATE).and_then(|date| date.to_str().ok()).and_then(wire::http_date);
        if let Some(server) = date {
            let clocks = Clocks { url: endpoint.uri().to_string(), server, local: SystemTime::now() };
            *self.clocks.lock().unwrap_or_else(PoisonError::into_inner) = Some(clocks);
        }
        Ok(answer)
    }
}
