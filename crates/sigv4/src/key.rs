//! Secret access keys, the signing keys derived from them, and the memo of the latter.
//!
//! Nothing here prints a secret, and what held one is wiped when it goes.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::scope::TERMINATOR;

/// HMAC-SHA256 with its key taken in.
pub(crate) type HmacSha256 = Hmac<Sha256>;

/// What the secret is prefixed with before a signing key is derived from it.
const VERSION: &[u8] = b"AWS4";

/// A secret access key. Wiped when dropped; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SecretKey {
    /// With [`VERSION`] before it, so that deriving copies the secret nowhere.
    versioned: Zeroizing<Box<[u8]>>,
}

/// A key that signs for one day, one region and one service, and tells nothing about the secret behind it.
///
/// This is what a database host may hold. Wiped when dropped; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SigningKey {
    bytes: Zeroizing<[u8; 32]>,
    /// The key already absorbed: saves two compressions for each signature.
    keyed: HmacSha256,
}

/// The signing keys last derived from one secret, by day, region and service.
///
/// One word while empty, so that every credential can have one. Reading takes no lock and allocates
/// nothing; deriving on a miss replaces the oldest of [`KeyCache::CAPACITY`] entries.
#[derive(Default)]
pub struct KeyCache {
    entries: ArcSwapOption<Entries>,
}

impl SecretKey {
    /// Takes the secret and wipes the text it came in.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        let mut secret = secret.into();
        let key = Self::from_bytes(secret.as_bytes());
        secret.zeroize();
        key
    }

    /// Copies the secret; wiping the original is the caller's business.
    #[must_use]
    pub fn from_bytes(secret: &[u8]) -> Self {
        Self { versioned: Zeroizing::new([VERSION, secret].concat().into_boxed_slice()) }
    }

    /// The secret itself, for whoever seals it or hands it to its owner.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.versioned.get(VERSION.len()..).unwrap_or_default()
    }
}

impl From<String> for SecretKey {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl From<&str> for SecretKey {
    fn from(secret: &str) -> Self {
        Self::from_bytes(secret.as_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

impl SigningKey {
    /// Derives the key for a day (`YYYYMMDD`), a region and a service.
    #[must_use]
    pub fn derive(secret: &SecretKey, date: &str, region: &str, service: &str) -> Self {
        let mut key = Zeroizing::new(mac(&secret.versioned, date));
        for element in [region, service, TERMINATOR] {
            key = Zeroizing::new(mac(&*key, element));
        }
        Self::from_bytes(*key)
    }

    /// Takes a key that was derived elsewhere.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { keyed: keyed(&bytes), bytes: Zeroizing::new(bytes) }
    }

    /// The key itself, for whoever sends it to a database host.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The signature of `message`, which for SigV4 is a string to sign.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        self.keyed().chain_update(message).finalize().into_bytes().into()
    }

    /// An HMAC that has this key taken in.
    pub(crate) fn keyed(&self) -> HmacSha256 {
        self.keyed.clone()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}

impl KeyCache {
    /// How many signing keys are remembered: two regions, across a midnight.
    pub const CAPACITY: usize = 4;

    /// An empty memo.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: ArcSwapOption::const_empty() }
    }

    /// Gives `use_key` the signing key for this day, region and service, derived now or remembered.
    ///
    /// `secret` must be the same at each call. A scope comes from whoever knocks, so check its region and
    /// day first: otherwise a stranger who knows an access key id can push the entries out.
    pub fn get_or_derive<T>(
        &self,
        secret: &SecretKey,
        date: &str,
        region: &str,
        service: &str,
        use_key: impl FnOnce(&SigningKey) -> T,
    ) -> T {
        let remembered = self.entries.load();
        let known = remembered.as_ref().and_then(|entries| entries.find(date, region, service));
        if let Some(entry) = known {
            return use_key(&entry.key);
        }
        let entry = Arc::new(Entry {
            date: date.into(),
            region: region.into(),
            service: service.into(),
            key: SigningKey::derive(secret, date, region, service),
        });
        let older = remembered.as_deref().map(|entries| entries.0.as_slice()).unwrap_or_default();
        let newest_first = std::iter::once(&entry).chain(older).take(Self::CAPACITY).cloned().collect();
        // Two logins may derive at once; one of the results is forgotten then, and derived again when missed.
        self.entries.store(Some(Arc::new(Entries(newest_first))));
        use_key(&entry.key)
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remembered = self.entries.load().as_ref().map_or(0, |entries| entries.0.len());
        f.debug_struct("KeyCache").field("remembered", &remembered).finish_non_exhaustive()
    }
}

/// A copy starts empty: the memo belongs to where the credential lives.
impl Clone for KeyCache {
    fn clone(&self) -> Self {
        Self::new()
    }
}

/// The key used where there is none: an unknown access key must cost what a known one costs.
///
/// Has a memo of its own like any credential, so the first login of a day is as slow for a stranger as it is
/// for a principal.
#[derive(Debug)]
pub struct Decoy {
    pub(crate) secret: SecretKey,
    pub(crate) cache: KeyCache,
}

impl Decoy {
    /// One is enough for a process.
    #[must_use]
    pub fn new() -> Self {
        Self { secret: SecretKey::from_bytes(&[0; 40]), cache: KeyCache::new() }
    }
}

impl Default for Decoy {
    fn default() -> Self {
        Self::new()
    }
}

/// Newest first.
struct Entries(Vec<Arc<Entry>>);

struct Entry {
    date: Box<str>,
    region: Box<str>,
    service: Box<str>,
    key: SigningKey,
}

impl Entries {
    fn find(&self, date: &str, region: &str, service: &str) -> Option<&Entry> {
        let fits = |entry: &&Arc<Entry>| {
            &*entry.date == date && &*entry.region == region && &*entry.service == service
        };
        self.0.iter().find(fits).map(|entry| &**entry)
    }
}

fn mac(key: &[u8], message: &str) -> [u8; 32] {
    keyed(key).chain_update(message).finalize().into_bytes().into()
}

#[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length: the error cannot happen")]
fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::hex;

    // The worked example of the IAM user guide, "Derive a signing key for Signature Version 4".
    #[test]
    fn derives_the_documented_key() {
        let secret = SecretKey::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let key = SigningKey::derive(&secret, "20120215", "us-east-1", "iam");
        assert_eq!(&hex(key.expose()), b"f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }

    #[test]
    fn debug_output_has_no_secret() {
        let secret = SecretKey::new("wJalrXUtnFEMI");
        let key = SigningKey::derive(&secret, "20120215", "us-east-1", "iam");
        assert_eq!(format!("{secret:?} {key:?}"), "SecretKey(redacted) SigningKey(redacted)");
        assert_eq!(secret.expose(), b"wJalrXUtnFEMI");
    }

    #[test]
    fn the_memo_is_one_word_and_keeps_the_newest() {
        assert_eq!(size_of::<KeyCache>(), size_of::<usize>());
        let (secret, cache) = (SecretKey::from("s"), KeyCache::new());
        let days = ["20260101", "20260102", "20260103", "20260104", "20260105", "20260101", "20260105"];
        for date in days {
            let derived = SigningKey::derive(&secret, date, "r", "s");
            let same = cache.get_or_derive(&secret, date, "r", "s", |key| key.expose() == derived.expose());
            assert!(same);
        }
        assert_eq!(format!("{cache:?}"), "KeyCache { remembered: 4, .. }");
    }
}
