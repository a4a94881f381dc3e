//! Whether a client's answer to a challenge comes from someone who knows the password, for the plugins that are offered.

use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// How a client proves that it knows a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// `caching_sha2_password`, MySQL's since 8.0.
    CachingSha2,
    /// `mysql_native_password`, MariaDB's, and MySQL's before.
    Native,
    /// `mysql_clear_password`: the password itself.
    Clear,
}

impl Method {
    /// The plugin's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CachingSha2 => "caching_sha2_password",
            Self::Native => "mysql_native_password",
            Self::Clear => "mysql_clear_password",
        }
    }

    /// Whether `proof` stands for no password. Where passwords go as text, that is an empty one with its NUL.
    pub(crate) fn is_empty(self, proof: &[u8]) -> bool {
        match self {
            Self::Native => proof.is_empty(),
            Self::CachingSha2 | Self::Clear => matches!(proof, [] | [0]),
        }
    }

    /// Whether `proof` is the right answer to the challenge `scramble`. No answer is right where there is no password.
    pub(crate) fn verify(self, password: &[u8], scramble: &[u8], proof: &[u8]) -> bool {
        if password.is_empty() {
            return false;
        }
        match self {
            Self::CachingSha2 => sha2_proof(password, scramble).ct_eq(proof).into(),
            Self::Native => native_proof(password, scramble).ct_eq(proof).into(),
            Self::Clear => password.ct_eq(proof.strip_suffix(&[0]).unwrap_or(proof)).into(),
        }
    }
}

/// SHA-256(password), masked by SHA-256(SHA-256(SHA-256(password)), scramble).
pub(crate) fn sha2_proof(password: &[u8], scramble: &[u8]) -> Zeroizing<Vec<u8>> {
    let once = digest::<Sha256>(&[password]);
    let twice = digest::<Sha256>(&[&once]);
    mask(once, &digest::<Sha256>(&[&twice, scramble]))
}

/// SHA-1(password), masked by SHA-1(scramble, SHA-1(SHA-1(password))).
pub(crate) fn native_proof(password: &[u8], scramble: &[u8]) -> Zeroizing<Vec<u8>> {
    let once = digest::<Sha1>(&[password]);
    let twice = digest::<Sha1>(&[&once]);
    mask(once, &digest::<Sha1>(&[scramble, &twice]))
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    Zeroizing::new(digest.finalize().to_vec())
}

fn mask(mut bytes: Zeroizing<Vec<u8>>, mask: &[u8]) -> Zeroizing<Vec<u8>> {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    bytes
}
