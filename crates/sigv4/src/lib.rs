//! Signature Version 4, sign and verify, for API requests and database tokens.
//!
//! Both directions are one implementation: a signature is checked by building it again. That is why this is
//! not left to a client library. Signers print what they like, and each SDK prints something else; a
//! verifier has to take every spelling that AWS takes, refuse the rest with a reason, and be trusted with
//! doing no more.
//!
//! * [`rds_token`]: the password that `aws rds generate-db-auth-token` prints. Borrowed from its text, checked
//!   in about a microsecond, without an allocation once its signing key is known.
//! * [`request`]: calls to the RDS, IAM and STS APIs, signed in the `Authorization` header or in the query,
//!   refused in AWS's own words.
//! * [`SecretKey`], [`SigningKey`], [`KeyCache`]: what signs. A signing key is good for one day, one region
//!   and one service, so a machine that only checks logins needs nothing stronger.
//!
//! Nothing here reads a clock, the environment or a random number: times come in as [`Timestamp`]. Nothing
//! here knows which keys exist, who may do what, or which databases there are.
//!
//! ```
//! use sigv4::{KeyCache, SecretKey, Timestamp, rds_token::{Token, TokenRequest, sign}};
//!
//! let secret = SecretKey::from("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
//! let now = Timestamp::parse_amz("20260101T000000Z")?;
//! let text = sign(&TokenRequest {
//!     host: "db.example.com",
//!     port: 5432,
//!     user: "jane_doe",
//!     region: "eu-central-1",
//!     access_key_id: "AKIAIOSFODNN7EXAMPLE",
//!     secret: &secret,
//!     session_token: None,
//!     issued_at: now,
//!     expires: 900,
//! })?;
//!
//! let token = Token::parse(&text)?;
//! assert!(token.is_for_endpoint("DB.example.com", 5432) && token.user_eq("jane_doe"));
//! assert_eq!(token.region(), "eu-central-1");
//! token.check_time(now.saturating_add(60))?;
//! token.verify(&secret, &KeyCache::new(), &["db.example.com:5432"])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod encode;
pub mod manual;
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
