//! Credentials as a snapshot holds them: what a signature is checked with, and whom it stands for.

use crate::{AccessKeyId, Arn, Policies, Tags, UniqueId};
use sigv4::{KeyCache, SecretKey, Timestamp};
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// An access key and what belongs to it.
#[derive(Debug)]
pub struct Credential {
    /// The access key id.
    pub id: AccessKeyId,
    /// The secret access key.
    pub secret: SecretKey,
    /// Signing keys that were derived from it, kept for the next login of the same day and region.
    pub keys: KeyCache,
    /// Whether it is active. A session always is.
    pub active: bool,
    /// What temporary credentials have besides.
    pub session: Option<SessionCredential>,
    /// Whom it stands for.
    pub holder: Holder,
}

/// What temporary credentials have besides a key and a secret.
#[derive(Debug)]
pub struct SessionCredential {
    /// The security token that every request must carry.
    pub token: SecurityToken,
    /// When they were made.
    pub issued: Timestamp,
    /// The first second in which they are no longer valid.
    pub expires: Timestamp,
    /// The session policies that were passed; one of them must allow as well. None where none was passed.
    pub policies: Option<Policies>,
    /// The session tags.
    pub tags: Tags,
}

/// A security token: never shown, wiped when dropped, compared in constant time.
pub struct SecurityToken(Zeroizing<Vec<u8>>);

impl SecurityToken {
    /// A token from its text.
    pub fn new(text: Zeroizing<Vec<u8>>) -> Self {
        Self(text)
    }

    /// The token's bytes, for a comparison that decodes on the way.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the token, in constant time for tokens of the same length.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

impl fmt::Debug for SecurityToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecurityToken")
    }
}

/// Whom a credential stands for, by name and unique id: who was made anew under the name is somebody else.
#[derive(Clone, Debug)]
pub enum Holder {
    /// A user.
    User {
        /// The folded name.
        name: Arc<str>,
        /// `AIDA...`; none for a long-term key, which goes when its user goes.
        id: Option<UniqueId>,
    },
    /// A session of a role.
    Role {
        /// The folded name of the role.
        name: Arc<str>,
        /// `AROA...`
        id: UniqueId,
        /// `arn:aws:sts::<account>:assumed-role/<role>/<session>`
        arn: Arn,
        /// `AROA...:session-name`
        user_id: Arc<str>,
    },
    /// Somebody whom a user vouches for.
    FederatedUser {
        /// The folded name of the user.
        name: Arc<str>,
        /// `AIDA...`
        id: UniqueId,
        /// `arn:aws:sts::<account>:federated-user/<name>`
        arn: Arn,
        /// `<account>:<name>`
        user_id: Arc<str>,
    },
}
