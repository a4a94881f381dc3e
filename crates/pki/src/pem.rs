//! PEM in and out. Private keys leave only as [`SecretPem`], which neither prints nor outlives its use in memory.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::PkiError;

/// A private key as PEM (PKCS#8, `PRIVATE KEY`). Wiped when dropped, never shown by `Debug`.
#[derive(Clone)]
pub struct SecretPem(Zeroizing<String>);

impl SecretPem {
    /// The text, to be written to a file of mode 0600 or sealed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Self {
        Self(encode("PRIVATE KEY", der))
    }
}

impl fmt::Debug for SecretPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretPem([redacted])")
    }
}

/// A certificate as PEM.
pub(crate) fn certificate_pem(der: &[u8]) -> String {
    std::mem::take(&mut *encode("CERTIFICATE", der))
}

/// The DER of the first certificate in `text`.
pub(crate) fn certificate_der(text: &str) -> Result<Vec<u8>, PkiError> {
    for block in Pem::iter_from_buffer(text.as_bytes()) {
        let block = block.map_err(|_| PkiError::Certificate("the PEM text is damaged"))?;
        if block.label == "CERTIFICATE" {
            return Ok(block.contents);
        }
    }
    Err(PkiError::Certificate("there is no `BEGIN CERTIFICATE` in it"))
}

/// The DER of the PKCS#8 key in `text`.
pub(crate) fn key_der(text: &str) -> Result<Zeroizing<Vec<u8>>, PkiError> {
    Pem::iter_from_buffer(text.as_bytes())
        .filter_map(Result::ok)
        .find(|block| block.label == "PRIVATE KEY")
        .map(|block| Zeroizing::new(block.contents))
        .ok_or(PkiError::Key)
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PkiError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(PkiError::Certificate("there is more than one certificate in one block")),
        Err(_) => Err(PkiError::Certificate("the DER inside is damaged")),
    }
}

/// The common name of the subject, or the whole subject where there is none.
pub(crate) fn subject_name(certificate: &X509Certificate<'_>) -> String {
    certificate
        .subject()
        .iter_common_name()
        .find_map(|name| name.as_str().ok())
        .map_or_else(|| certificate.subject().to_string(), str::to_owned)
}

fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // The whole text at once: growing would leave copies of a key behind.
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_survive() {
        for length in [1, 47, 48, 49, 138, 1217] {
            let der: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let text = SecretPem::from_pkcs8(&der);
            assert_eq!(*key_der(text.expose()).unwrap(), der);
            assert!(text.expose().lines().all(|line| line.len() <= 64));
            assert!(!format!("{text:?}").contains("BEGIN"));

            let room = text.0.capacity();
            assert!(room >= text.0.len() && room < text.0.len() + 64, "{room} for {}", text.0.len());
        }
    }
}
