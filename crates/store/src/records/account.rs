//! The account itself, and the certificate authorities of its regions.

use super::Record;
use crate::Sealed;
use iam::{AccountId, Region};
use time::OffsetDateTime;

/// The account that a store belongs to; there is one, under one key.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Account {
    /// The layout of the records; a store of a later layout is not opened.
    pub format: u32,
    /// The account's twelve digits.
    pub account: AccountId,
    /// When the store was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
}

impl Account {
    /// The layout that this version writes.
    ///
    /// 2: users and roles have permissions boundaries and sessions have policies and tags. A version that knows 1 only would
    /// leave them out of account, and allow more than they do.
    pub const FORMAT: u32 = 2;
    /// The layouts that this version reads.
    pub const READ: std::ops::RangeInclusive<u32> = 1..=Self::FORMAT;
    /// The one key.
    pub const KEY: &'static str = "self";
}

impl Record for Account {
    const PREFIX: &'static str = "/account/";
    fn key(&self) -> String {
        Self::KEY.to_owned()
    }
}

/// A certificate authority of a region.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct AuthorityRecord {
    /// The region whose databases it certifies.
    pub region: Region,
    /// Its name in the RDS API, such as `rds-ca-ecc384-g1`.
    pub identifier: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key, PEM, sealed; bound to [`Record::full_key`].
    pub key: Sealed,
}

impl Record for AuthorityRecord {
    const PREFIX: &'static str = "/pki/authority/";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.identifier)
    }
}
