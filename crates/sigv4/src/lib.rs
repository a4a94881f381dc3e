//! Signature Version 4, sign and verify, for API requests and database tokens.

pub mod encode;
pub mod rds_token;
pub mod request;

mod canonical;
mod key;
mod scope;
mod timestamp;

pub use self::{
    key::{Decoy, KeyCache, SecretKey, SigningKey},
    scope::{Credential, CredentialError, Scope},
    timestamp::{AmzDate, Civil, DateStamp, ParseTimestampError, Stamp, Timestamp},
};
