//! What is demanded of clients: nothing on loopback and Unix sockets unless told otherwise; elsewhere TLS, and a password or a
//! client certificate.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::listen::Listen;
use crate::settings::Engine;

/// A password longer than this is a mistake: another file.
const LONGEST_PASSWORD: usize = 1024;

/// Why access cannot be as it is told to be.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be read.
    #[error("cannot read the {what} `{}`: {source}", path.display())]
    Read {
        /// What it is to hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file with a secret that others can read.
    #[error("the {what} `{}` can be read by others (mode {mode:04o}): `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// What it holds.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file that holds something else.
    #[error("the {what} `{}` is of no use: {reason}", path.display())]
    Content {
        /// What it is to hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Others than those on this machine could connect.
    #[error(
        "`{0}` is not a loopback address: whoever reaches it would be let in to the database. Listen on `127.0.0.1`, `[::1]`, \
         `localhost` or a Unix socket, or give a certificate and its key (`tls-certificate`, `tls-key`) and demand a password \
         (`password-file`) or client certificates (`client-ca`)"
    )]
    Open(String),
    /// A certificate without its key, or the other way round.
    #[error(
        "a certificate needs its key, and a key its certificate: give both `tls-certificate` and `tls-key`"
    )]
    Half,
    /// Client certificates are demanded where there is no TLS.
    #[error("client certificates (`client-ca`) come over TLS: give `tls-certificate` and `tls-key`")]
    NoTls,
    /// Nothing to make salts of.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// Client certificates are demanded on a Unix socket.
    #[error(
        "clients use no TLS over the Unix socket `{0}`, so `client-ca` would keep all of them out: use its mode"
    )]
    UnixTls(String),
}

/// The certificate that clients are shown.
#[derive(Clone)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    files: (PathBuf, PathBuf),
}

impl Identity {
    /// Reads certificate (with those that lead to its authority) and key, both PEM.
    ///
    /// # Errors
    /// They cannot be read, are no such thing, or others can read the key.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, AccessError> {
        let content =
            |what, path: &Path, reason: String| AccessError::Content { what, path: path.into(), reason };
        let pem = std::fs::read(certificate).map_err(|source| AccessError::Read {
            what: "certificate",
            path: certificate.into(),
            source,
        })?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.map_err(|error| content("certificate", certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(content("certificate", certificate, "it holds no certificate in PEM".to_owned()));
        }
        let pem = read_secret("key", key)?;
        let private = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|error| content("key", key, format!("it holds no private key in PEM: {error}")))?;
        Ok(Self { chain, key: Arc::new(private), files: (certificate.into(), key.into()) })
    }
}

/// Reads a file that nobody but its owner may read.
fn read_secret(what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, AccessError> {
    let failed = |source| AccessError::Read { what, path: path.into(), source };
    let mut file = File::open(path).map_err(failed)?;
    // Of the file that was opened, not of one that takes its place.
    let metadata = file.metadata().map_err(failed)?;
    // Group and others; a group that owns a mounted secret, as in Kubernetes with fsGroup, is its owner's business only
    // where it cannot be helped, so it is not let through here.
    if metadata.mode() & 0o077 != 0 {
        return Err(AccessError::Exposed { what, path: path.into(), mode: metadata.mode() & 0o7777 });
    }
    let mut text =
        Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1));
    file.read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

/// What is demanded of clients.
#[derive(Clone, Default)]
pub struct Access {
    /// The password.
    pub(crate) password: Option<Zeroizing<String>>,
    identity: Option<Identity>,
    client_ca: Option<Arc<RootCertStore>>,
}

impl Access {
    /// Reads the files. Without any, every client that gets to the socket is let in.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn read(
        tls: Option<Identity>,
        password_file: Option<&Path>,
        client_ca: Option<&Path>,
    ) -> Result<Self, AccessError> {
        let password = password_file.map(read_password).transpose()?;
        let client_ca = client_ca.map(read_roots).transpose()?.map(Arc::new);
        if client_ca.is_some() && tls.is_none() {
            return Err(AccessError::NoTls);
        }
        Ok(Self { password, identity: tls, client_ca })
    }

    /// Whether nobody is let in who should not be.
    ///
    /// # Errors
    /// [`AccessError::Open`] or [`AccessError::UnixTls`].
    pub fn check(&self, listen: &Listen) -> Result<(), AccessError> {
        let demands = self.password.is_some() || self.client_ca.is_some();
        let guarded = demands && self.identity.is_some();
        if !(listen.is_local() || guarded) {
            return Err(AccessError::Open(listen.to_string()));
        }
        if listen.is_unix() && self.client_ca.is_some() {
            return Err(AccessError::UnixTls(listen.to_string()));
        }
        Ok(())
    }

    /// Whether a client that comes to `local` addresses may do without TLS.
    pub(crate) fn tls_required(&self, local: bool) -> bool {
        self.client_ca.is_some() || !local
    }

    /// TLS as clients are shown it.
    pub(crate) fn server_config(&self, engine: Engine) -> Result<Option<Arc<ServerConfig>>, AccessError> {
        let Some(identity) = &self.identity else { return Ok(None) };
        let content = |error: &dyn std::fmt::Display| AccessError::Content {
            what: "certificate",
            path: identity.files.0.clone(),
            reason: error.to_string(),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| content(&error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots.clone(), provider)
                    .build()
                    .map_err(|error| content(&error))?,
            ),
        };
        let mut config =
            builder.with_single_cert(identity.chain.clone(), identity.key.clone_key()).map_err(|error| {
                content(&format_args!("with the key `{}`: {error}", identity.files.1.display()))
            })?;
        if engine == Engine::PostgreSql {
            config.alpn_protocols = vec![crate::postgres::ALPN.to_vec()];
        }
        Ok(Some(Arc::new(config)))
    }
}

/// A password: the file's first line.
fn read_password(path: &Path) -> Result<Zeroizing<String>, AccessError> {
    const WHAT: &str = "password file";
    let content =
        |reason: &str| AccessError::Content { what: WHAT, path: path.into(), reason: reason.to_owned() };
    let text = read_secret(WHAT, path)?;
    let text = std::str::from_utf8(&text).map_err(|_| content("it is not text"))?;
    let password = text.lines().next().unwrap_or_default();
    match password.len() {
        0 => Err(content("its first line is empty")),
        length if length > LONGEST_PASSWORD => Err(content("its first line has more than 1,024 bytes")),
        _ => Ok(Zeroizing::new(password.to_owned())),
    }
}

fn read_roots(path: &Path) -> Result<RootCertStore, AccessError> {
    const WHAT: &str = "authorities of client certificates";
    let content = |reason: String| AccessError::Content { what: WHAT, path: path.into(), reason };
    let pem =
        std::fs::read(path).map_err(|source| AccessError::Read { what: WHAT, path: path.into(), source })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| content(error.to_string()))?;
        roots.add(certificate).map_err(|error| content(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(content("it holds no certificate in PEM".to_owned()));
    }
    Ok(roots)
}
