//! Secrets at rest: sealed with AES-256-GCM under a master key that lives in a file of its own, never in the store.
//!
//! Every sealed value is bound to the key of the record it stands in, so that one cannot be moved to another record.

use crate::file::write_whole;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Why a secret could not be sealed or opened, or the master key not be had.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The value was not sealed under this key for this record, or was tampered with.
    #[error("the sealed value of `{0}` does not open: was the store moved without its master key?")]
    DoesNotOpen(String),
    /// The cryptographic library refused.
    #[error("sealing failed")]
    Failed,
    /// The key file cannot be read or written.
    #[error("master key file `{path}`: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A sealed secret, as it stands in a record: base64 of the nonce, the ciphertext and the tag.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed")
    }
}

/// The key that secrets are sealed under.
pub struct MasterKey {
    key: RandomizedNonceKey,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// The bytes of a master key.
    pub const LENGTH: usize = 32;

    /// A key from its bytes.
    pub fn new(bytes: &[u8; Self::LENGTH]) -> Result<Self, SealError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| SealError::Failed)?;
        Ok(Self { key })
    }

    /// The key in the file; where there is none, a new one is made, mode 0600, and is on disk before this returns.
    ///
    /// A file that others may read is refused.
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        let failed = |reason: String| SealError::File { path: path.display().to_string(), reason };
        match std::fs::File::open(path) {
            Ok(mut file) => {
                let mode = file.metadata().map_err(|e| failed(e.to_string()))?.mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(failed(format!(
                        "mode {mode:04o} lets others read it: expected 0600; run `chmod 600` on it"
                    )));
                }
                let mut bytes = Zeroizing::new(Vec::with_capacity(Self::LENGTH + 1));
                Read::by_ref(&mut file)
                    .take(64)
                    .read_to_end(&mut bytes)
                    .map_err(|e| failed(e.to_string()))?;
                let bytes = <&[u8; Self::LENGTH]>::try_from(bytes.as_slice())
                    .map_err(|_| failed(format!("holds {} bytes: expected {}", bytes.len(), Self::LENGTH)))?;
                Self::new(bytes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut bytes = Zeroizing::new([0; Self::LENGTH]);
                aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| SealError::Failed)?;
                write_whole(path, bytes.as_slice(), 0o600).map_err(|e| failed(e.to_string()))?;
                Self::new(&bytes)
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Seals a secret for the record with the key.
    pub fn seal(&self, record: &str, secret: &[u8]) -> Result<Sealed, SealError> {
        let mut text = secret.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(record.as_bytes()), &mut text)
            .map_err(|_| SealError::Failed)?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut text);
        Ok(Sealed(STANDARD_NO_PAD.encode(bytes)))
    }

    /// Opens what was sealed for the record with the key.
    pub fn open(&self, record: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let fails = || SealError::DoesNotOpen(record.to_owned());
        let bytes = STANDARD_NO_PAD.decode(&sealed.0).map_err(|_| fails())?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN).ok_or_else(fails)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| fails())?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self
            .key
            .open_in_place(nonce, Aad::from(record.as_bytes()), &mut text)
            .map_err(|_| fails())?
            .len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_sealed_opens_for_its_record_only() {
        let key = MasterKey::new(&[7; 32]).unwrap();
        let sealed = key.seal("/iam/access-key/A", b"secret").unwrap();
        assert_eq!(key.open("/iam/access-key/A", &sealed).unwrap().as_slice(), b"secret");
        assert!(matches!(key.open("/iam/access-key/B", &sealed), Err(SealError::DoesNotOpen(_))));
        assert!(MasterKey::new(&[8; 32]).unwrap().open("/iam/access-key/A", &sealed).is_err());
        assert_ne!(sealed, key.seal("/iam/access-key/A", b"secret").unwrap(), "a nonce is used once");
        assert_eq!(format!("{sealed:?} {key:?}"), "Sealed MasterKey");
    }

    #[test]
    fn the_key_file_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let sealed = MasterKey::load_or_create(&path).unwrap().seal("r", b"x").unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(MasterKey::load_or_create(&path).unwrap().open("r", &sealed).unwrap().as_slice(), b"x");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = MasterKey::load_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("0644") && error.contains("chmod 600"), "{error}");
    }
}
