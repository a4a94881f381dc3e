//! Making the token for a connection.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use iam::Region;
use sigv4::rds_token::{LONGEST_VALIDITY, TokenRequest, sign};
use sigv4::{SecretKey, Timestamp};
use zeroize::Zeroizing;

pub use sigv4::rds_token::TokenError;

/// A database and the user that logs in to it: what a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host name as the database knows it, an IPv6 address in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its region.
    pub region: Region,
}

impl Endpoint {
    /// A token for `user`, valid for 15 minutes from `now`, or until `credentials` end.
    ///
    /// # Errors
    /// What the host, the user or the credentials have that no token can hold.
    pub fn token(
        &self,
        user: &str,
        credentials: &Credentials,
        now: SystemTime,
    ) -> Result<Zeroizing<String>, TokenError> {
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        sign(&TokenRequest {
            host: &self.host,
            port: self.port,
            user,
            region: self.region.as_str(),
            access_key_id: credentials.access_key_id(),
            secret: &SecretKey::from(credentials.secret_access_key()),
            session_token: credentials.session_token(),
            issued_at: Timestamp::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)),
            expires: LONGEST_VALIDITY,
        })
        .map(Zeroizing::new)
    }
}
