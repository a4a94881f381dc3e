//! Who the door is: the certificate and key by which a database server knows it.
//!
//! A server hands its clients' tokens to whoever answers at the door's port and believes the answer. Without this, any
//! user of the machine could take the port while Countersign is away and let everybody in.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use tokio_rustls::TlsAcceptor;

/// The certificate and key of the door.
#[derive(Clone)]
pub struct Identity(pub(super) TlsAcceptor);

/// Why a certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// They are not PEM.
    #[error("the certificate or the key of the LDAP door is not PEM: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// They do not fit, or are of a kind that is not known.
    #[error("the certificate of the LDAP door cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl Identity {
    /// From a certificate and its key, PEM.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn new(certificate: &str, key: &str) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        // A connection lasts for one bind, in a process that ends with the session: nothing is ever resumed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}
