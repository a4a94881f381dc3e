//! Identifiers in AWS's formats: accounts, access keys, unique ids, database resource ids.
//!
//! Randomness comes in as bytes; nothing here makes any.

use std::fmt;
use std::str::FromStr;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct IdError {
    text: String,
    expected: &'static str,
}

impl IdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(64).collect(), expected }
    }
}

/// The alphabet of RFC 4648 base32, which all of AWS's identifiers are made of.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn is_base32(byte: u8) -> bool {
    byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte)
}

fn base32_char(value: u8) -> u8 {
    BASE32.get(usize::from(value & 31)).copied().unwrap_or(b'A')
}

macro_rules! text_of_bytes {
    ($name:ident) => {
        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                // The constructors only ever let ASCII in.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }
    };
}

/// An AWS account: twelve digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId([u8; 12]);
text_of_bytes!(AccountId);

impl FromStr for AccountId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match <[u8; 12]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(Self(digits)),
            _ => Err(IdError::new(text, "an account id: expected twelve digits")),
        }
    }
}

/// Whether an access key is long-term or temporary; its first four letters say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// `AKIA`: the access key of a user.
    LongTerm,
    /// `ASIA`: the access key of a session; a security token belongs to it.
    Temporary,
}

/// An access key id: `AKIA` or `ASIA` and sixteen base32 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessKeyId([u8; 20]);
text_of_bytes!(AccessKeyId);

impl AccessKeyId {
    /// Makes an id of the kind from sixteen random bytes.
    pub fn generate(kind: KeyKind, random: &[u8; 16]) -> Self {
        let prefix = match kind {
            KeyKind::LongTerm => b"AKIA",
            KeyKind::Temporary => b"ASIA",
        };
        let mut text = [b'A'; 20];
        for (to, from) in
            text.iter_mut().zip(prefix.iter().copied().chain(random.iter().map(|b| base32_char(*b))))
        {
            *to = from;
        }
        Self(text)
    }

    /// Long-term or temporary.
    pub fn kind(&self) -> KeyKind {
        if self.0.starts_with(b"ASIA") { KeyKind::Temporary } else { KeyKind::LongTerm }
    }
}

impl FromStr for AccessKeyId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        const EXPECTED: &str = "an access key id: expected `AKIA` or `ASIA` and sixteen of A-Z and 2-7";
        let bytes = <[u8; 20]>::try_from(text.as_bytes()).map_err(|_| IdError::new(text, EXPECTED))?;
        let known = bytes.starts_with(b"AKIA") || bytes.starts_with(b"ASIA");
        // AWS's documentation uses ids such as AKIAIOSFODNN7EXAMPLE: letters and digits, not base32 alone.
        if known && bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
            Ok(Self(bytes))
        } else {
            Err(IdError::new(text, EXPECTED))
        }
    }
}

/// What a unique id names; its first four letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// `AIDA`: a user.
    User,
    /// `AGPA`: a group.
    Group,
    /// `AROA`: a role.
    Role,
    /// `ANPA`: a managed policy.
    Policy,
}

/// A unique id that is never given out twice: a prefix and seventeen base32 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UniqueId([u8; 21]);
text_of_bytes!(UniqueId);

impl UniqueId {
    /// Makes an id of the kind from seventeen random bytes.
    pub fn generate(kind: IdKind, random: &[u8; 17]) -> Self {
        let prefix = match kind {
            IdKind::User => b"AIDA",
            IdKind::Group => b"AGPA",
            IdKind::Role => b"AROA",
            IdKind::Policy => b"ANPA",
        };
        let mut text = [b'A'; 21];
        for (to, from) in
            text.iter_mut().zip(prefix.iter().copied().chain(random.iter().map(|b| base32_char(*b))))
        {
            *to = from;
        }
        Self(text)
    }
}

impl FromStr for UniqueId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match <[u8; 21]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) => {
                Ok(Self(bytes))
            }
            _ => Err(IdError::new(text, "a unique id: expected 21 of A-Z and 0-9")),
        }
    }
}

/// What a resource id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// `db-`: an instance that belongs to no cluster.
    Instance,
    /// `cluster-`: a cluster, whichever of its instances is dialled.
    Cluster,
}

/// The id of a database that a policy names: `db-` or `cluster-` and 26 base32 characters; it never changes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceId(std::sync::Arc<str>);

impl ResourceId {
    /// Makes an id of the kind from 128 random bits.
    pub fn generate(kind: ResourceKind, random: [u8; 16]) -> Self {
        let mut bits = u128::from_be_bytes(random);
        let mut tail = [b'A'; 26];
        // 26 characters carry 130 bits: unpadded base32 puts the two missing ones behind the last bit.
        for (index, to) in tail.iter_mut().rev().enumerate() {
            let take = if index == 0 { 3 } else { 5 };
            let value = (bits & ((1 << take) - 1)) as u8;
            *to = base32_char(if index == 0 { value << 2 } else { value });
            bits >>= take;
        }
        let prefix = match kind {
            ResourceKind::Instance => "db-",
            ResourceKind::Cluster => "cluster-",
        };
        Self([prefix, std::str::from_utf8(&tail).unwrap_or_default()].concat().into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An instance's or a cluster's.
    pub fn kind(&self) -> ResourceKind {
        if self.0.starts_with("db-") { ResourceKind::Instance } else { ResourceKind::Cluster }
    }
}

impl std::borrow::Borrow<str> for ResourceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResourceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let tail = text.strip_prefix("db-").or_else(|| text.strip_prefix("cluster-"));
        match tail {
            Some(tail) if tail.len() == 26 && tail.bytes().all(is_base32) => Ok(Self(text.into())),
            _ => Err(IdError::new(text, "a resource id: expected `db-` or `cluster-` and 26 of A-Z and 2-7")),
        }
    }
}

impl TryFrom<String> for ResourceId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ResourceId> for String {
    fn from(id: ResourceId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_read_back() {
        let key = AccessKeyId::generate(KeyKind::Temporary, &[7; 16]);
        assert_eq!(key, key.as_str().parse().unwrap());
        assert_eq!(key.kind(), KeyKind::Temporary);
        let user = UniqueId::generate(IdKind::User, &[255; 17]);
        assert_eq!(user.as_str(), "AIDA77777777777777777");
        for random in [[0; 16], [255; 16], *b"0123456789abcdef"] {
            let id = ResourceId::generate(ResourceKind::Instance, random);
            assert_eq!(id, id.as_str().parse().unwrap());
        }
        assert_eq!(
            ResourceId::generate(ResourceKind::Cluster, *b"0123456789abcdef").as_str(),
            // base32("0123456789abcdef") without its padding
            "cluster-GAYTEMZUGU3DOOBZMFRGGZDFMY"
        );
    }

    #[test]
    fn other_texts_are_refused() {
        assert!("AKIAIOSFODNN7EXAMPLE".parse::<AccessKeyId>().is_ok());
        for bad in ["", "AKIAshort", "AKIAIOSFODNN7EXAMPLe", "AGPAIOSFODNN7EXAMPLE"] {
            assert!(bad.parse::<AccessKeyId>().is_err(), "{bad}");
        }
        for bad in ["12345678901", "1234567890123", "12345678901x"] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
        for bad in [
            "db-",
            "prx-GAYTEMZUGU3DOOBZMFRGGZDFMY",
            "db-gaytemzugu3doobzmfrggzdfmy",
            "GAYTEMZUGU3DOOBZMFRGGZDFMY",
        ] {
            assert!(bad.parse::<ResourceId>().is_err(), "{bad}");
        }
    }
}
