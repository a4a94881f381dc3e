//! Tokens of every kind, also those that no client makes: signed here by hand, apart from the code that is tested, but for
//! the hash functions.

use sha2::{Digest, Sha256};
use sigv4::{SecretKey, SigningKey, Timestamp, encode};
use std::time::{SystemTime, UNIX_EPOCH};

/// An access key, with the session token where it is temporary.
#[derive(Clone, Default)]
pub struct Key {
    /// `AKIA...` or `ASIA...`
    pub id: String,
    /// The secret access key.
    pub secret: String,
    /// The session token.
    pub session: Option<String>,
}

/// What a token is made of. [`Token::text`] signs it as it is, sense or not.
#[derive(Clone)]
pub struct Token {
    /// The host that is named and signed.
    pub host: String,
    /// The port that is named and signed.
    pub port: u16,
    /// `DBUser`.
    pub user: String,
    /// The region of the scope.
    pub region: String,
    /// The service of the scope.
    pub service: String,
    /// `Action`.
    pub action: String,
    /// `X-Amz-SignedHeaders`.
    pub signed_headers: String,
    /// `X-Amz-Expires`, seconds.
    pub expires: u32,
    /// How long ago it was signed, seconds; negative for the future.
    pub age: i64,
    /// Who signs.
    pub key: Key,
}

impl Token {
    /// The token as a client prints it.
    pub fn text(&self) -> String {
        let issued = Timestamp::from_unix(now() - self.age);
        let date = issued.date_stamp();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let credential = format!("{}/{scope}", self.key.id);
        let mut parameters = vec![
            ("Action", self.action.clone()),
            ("DBUser", self.user.clone()),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
            ("X-Amz-Credential", credential),
            ("X-Amz-Date", issued.to_string()),
            ("X-Amz-Expires", self.expires.to_string()),
        ];
        if let Some(session) = &self.key.session {
            parameters.push(("X-Amz-Security-Token", session.clone()));
        }
        parameters.push(("X-Amz-SignedHeaders", self.signed_headers.clone()));
        let encoded =
            |(name, value): &(&str, String)| format!("{name}={}", encode::percent_encode(value.as_bytes()));
        let query = parameters.iter().map(encoded).collect::<Vec<_>>().join("&");
        let authority = format!("{}:{}", self.host, self.port);
        let empty = sha256(b"");
        let canonical = format!("GET\n/\n{query}\nhost:{authority}\n\n{}\n{empty}", self.signed_headers);
        let to_sign = format!("AWS4-HMAC-SHA256\n{issued}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let secret = SecretKey::from_bytes(self.key.secret.as_bytes());
        let key = SigningKey::derive(&secret, date.as_str(), &self.region, &self.service);
        format!("{authority}/?{query}&X-Amz-Signature={}", hex(&key.sign(to_sign.as_bytes())))
    }
}

/// Unix seconds.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes).into())
}

fn hex(bytes: &[u8; 32]) -> String {
    encode::hex(bytes).map(char::from).iter().collect()
}
