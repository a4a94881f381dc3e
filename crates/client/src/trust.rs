//! Which authorities may vouch for a database: Amazon's, which are built in, those of a Countersign, or a file's.
//!
//! There is always a bundle and it is always used: a token is not sent to a server that has not shown who it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

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

#[cfg(test)]
mod tests {
    use super::*;

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
