//! Which authorities may vouch for a database: Amazon's, which are built in, those of a Countersign, or a file's.
//!
//! There is always a bundle and it is always used: a token is not sent to a server that has not shown who it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::http::StatusCode;
use iam::Region;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::Host;
use crate::api::EndpointUrls;
use crate::http::{self, Client, HttpError};

/// Amazon's authorities for databases in all regions; see `data/README.md`.
pub const AMAZON: &str = include_str!("../data/rds-global-bundle.pem");

/// Certificates of authorities.
#[derive(Clone, Debug)]
pub struct Bundle {
    pem: Arc<str>,
    certificates: Vec<CertificateDer<'static>>,
    origin: String,
}

/// Why a bundle is none.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read.
    #[error("cannot read the CA bundle `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no certificate that can be read.
    #[error("{origin} holds no certificate: expected PEM, as in `-----BEGIN CERTIFICATE-----`")]
    Empty {
        /// Where it comes from.
        origin: String,
    },
    /// A certificate in it is damaged.
    #[error("{origin} has a certificate that cannot be read, number {number}: {reason}")]
    Damaged {
        /// Where it comes from.
        origin: String,
        /// Which, from 1.
        number: usize,
        /// Why.
        reason: String,
    },
}

impl Bundle {
    /// Amazon's.
    ///
    /// # Errors
    /// None, as the tests show.
    pub fn amazon() -> Result<Self, BundleError> {
        Self::from_pem(AMAZON, "Amazon's bundle of RDS authorities, built in")
    }

    /// A file's.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let pem = std::fs::read_to_string(path)
            .map_err(|source| BundleError::Read { path: path.to_owned(), source })?;
        Self::from_pem(&pem, &format!("the CA bundle `{}`", path.display()))
    }

    /// PEM text's. `origin` tells a person where it comes from.
    ///
    /// # Errors
    /// [`BundleError`], but for reading a file.
    pub fn from_pem(pem: &str, origin: &str) -> Result<Self, BundleError> {
        let mut certificates = Vec::new();
        let mut roots = RootCertStore::empty();
        for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem.as_bytes())) {
            let damaged = |reason: String| BundleError::Damaged { origin: origin.to_owned(), number, reason };
            let certificate = certificate.map_err(|error| damaged(error.to_string()))?;
            roots.add(certificate.clone()).map_err(|error| damaged(error.to_string()))?;
            certificates.push(certificate);
        }
        if certificates.is_empty() {
            return Err(BundleError::Empty { origin: origin.to_owned() });
        }
        Ok(Self { pem: pem.into(), certificates, origin: origin.to_owned() })
    }

    /// As PEM, for a client that wants a file.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificates.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Where it comes from, for a person.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// TLS to a server that one of these authorities vouches for, under the name that it is asked by.
    ///
    /// # Errors
    /// None but a defect: the provider has the protocol versions that are asked for.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.certificates.iter().cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// Why it is not known whom to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The bundle is none.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Nobody says so.
    #[error(
        "it is not known which authorities vouch for `{host}`, which is not a host of Amazon RDS: give their certificates with \
         --ca-bundle, or set AWS_ENDPOINT_URL to its Countersign's address (`countersign env`)"
    )]
    Unknown {
        /// The host.
        host: String,
    },
    /// The truststore cannot be asked.
    #[error("the certificates for `{host}` cannot be had, give them with --ca-bundle: {source}")]
    Http {
        /// The host.
        host: String,
        /// Why.
        source: HttpError,
    },
    /// The truststore has none.
    #[error(
        "the certificates for `{host}` cannot be had, give them with --ca-bundle: `{url}` answers {status}"
    )]
    Status {
        /// The host.
        host: String,
        /// What was asked.
        url: String,
        /// The answer.
        status: u16,
    },
}

/// [`choose`], with the endpoint for RDS that environment or profile configure as the truststore: `countersign env` sets it.
///
/// # Errors
/// [`TrustError`].
pub async fn configured(
    host: &Host,
    region: &Region,
    ca_bundle: Option<&Path>,
    profile: Option<&str>,
) -> Result<Bundle, TrustError> {
    let urls = EndpointUrls::configured(profile, region).await;
    choose(host, region, ca_bundle, urls.rds.as_deref()).await
}

/// The authorities that vouch for `host`: those in the file `ca_bundle`; else Amazon's for a host of Amazon RDS; else those that
/// the Countersign at the URL `truststore` has for `region`.
///
/// # Errors
/// [`TrustError`].
pub async fn choose(
    host: &Host,
    region: &Region,
    ca_bundle: Option<&Path>,
    truststore: Option<&str>,
) -> Result<Bundle, TrustError> {
    if let Some(path) = ca_bundle {
        return Ok(Bundle::read(path)?);
    }
    if host.rds().is_some() {
        return Ok(Bundle::amazon()?);
    }
    let unknown = || TrustError::Unknown { host: host.to_string() };
    let base = truststore.ok_or_else(unknown)?.trim_end_matches('/');
    let failed = |source| TrustError::Http { host: host.to_string(), source };
    let client = Client::new().map_err(failed)?;
    let mut url = format!("{base}/{region}/{region}-bundle.pem");
    let mut answer = client.get(&url).await.map_err(failed)?;
    if answer.status == StatusCode::NOT_FOUND {
        url = format!("{base}/global/global-bundle.pem");
        answer = client.get(&url).await.map_err(failed)?;
    }
    if answer.status != StatusCode::OK {
        let status = answer.status.as_u16();
        return Err(TrustError::Status { host: host.to_string(), url: http::shown(&url), status });
    }
    Bundle::from_pem(&String::from_utf8_lossy(&answer.body), &format!("`{}`", http::shown(&url)))
        .map_err(TrustError::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const AMAZONS: &str = "mydb.c7tj4example.us-east-1.rds.amazonaws.com";

    async fn chosen(
        host: &str,
        ca_bundle: Option<&Path>,
        truststore: Option<&str>,
    ) -> Result<Bundle, TrustError> {
        choose(&host.parse().unwrap(), &"us-east-1".parse().unwrap(), ca_bundle, truststore).await
    }

    /// Serves Amazon's bundle at `path`, and nothing else.
    async fn serve(path: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") && stream.read_buf(&mut asked).await.unwrap() > 0 {}
                let found = asked.starts_with(format!("GET {path} ").as_bytes());
                let (status, body) = if found { ("200 OK", AMAZON) } else { ("404 Not Found", "") };
                let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        url
    }

    #[tokio::test]
    async fn a_file_goes_first_then_amazons_name_then_the_truststore() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let end = AMAZON.find("-----END CERTIFICATE-----").unwrap() + "-----END CERTIFICATE-----".len();
        let start = AMAZON.find("-----BEGIN CERTIFICATE-----").unwrap();
        std::fs::write(&file, &AMAZON[start..end]).unwrap();
        // Nobody listens there: who is asked fails.
        let nowhere = Some("http://127.0.0.1:9");
        assert_eq!(chosen(AMAZONS, Some(&file), nowhere).await.unwrap().certificates().len(), 1);
        assert_eq!(chosen("localhost", Some(&file), nowhere).await.unwrap().certificates().len(), 1);
        assert_eq!(chosen(AMAZONS, None, nowhere).await.unwrap().pem(), AMAZON);
        assert!(matches!(chosen("localhost", None, nowhere).await, Err(TrustError::Http { .. })));
        let error = chosen("localhost", None, None).await.unwrap_err().to_string();
        assert!(error.contains("--ca-bundle") && error.contains("AWS_ENDPOINT_URL"), "{error}");
        assert!(chosen("x.rds.amazonaws.com.evil.example", None, None).await.is_err());
        assert!(matches!(
            chosen(AMAZONS, Some(Path::new("/none.pem")), None).await,
            Err(TrustError::Bundle(_))
        ));
    }

    #[tokio::test]
    async fn a_truststore_is_asked_for_the_region_and_then_for_all() {
        for path in ["/us-east-1/us-east-1-bundle.pem", "/global/global-bundle.pem"] {
            let url = serve(path).await;
            let bundle = chosen("localhost", None, Some(&url)).await.unwrap();
            assert_eq!(bundle.pem(), AMAZON);
            assert!(bundle.origin().contains(path), "{}", bundle.origin());
        }
        let url = serve("/elsewhere").await;
        let error = chosen("localhost", None, Some(&url)).await.unwrap_err();
        assert!(matches!(error, TrustError::Status { status: 404, .. }), "{error}");
    }

    #[tokio::test]
    async fn certificates_do_not_come_over_the_network_without_tls() {
        let error = chosen("db.example.com", None, Some("http://countersign.example.com")).await.unwrap_err();
        assert!(error.to_string().contains("must be https"), "{error}");
    }

    #[test]
    fn every_certificate_of_amazons_is_read() {
        let bundle = Bundle::amazon().unwrap();
        assert_eq!(bundle.certificates().len(), AMAZON.matches("BEGIN CERTIFICATE").count());
        assert!(bundle.certificates().len() > 90, "{}", bundle.certificates().len());
        bundle.client_config().unwrap();
    }

    #[test]
    fn what_is_no_bundle_is_told_so() {
        let error = Bundle::from_pem("hello", "`x.pem`").unwrap_err();
        assert!(error.to_string().starts_with("`x.pem` holds no certificate"), "{error}");
        let cut = AMAZON.replacen("MII", "M!I", 1);
        let error = Bundle::from_pem(&cut, "`x.pem`").unwrap_err();
        assert!(matches!(error, BundleError::Damaged { number: 1, .. }), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let error = Bundle::read(&folder.path().join("none.pem")).unwrap_err();
        assert!(matches!(error, BundleError::Read { .. }), "{error}");
    }
}
