//! The decision about a login, and the closed list of reasons for a refusal: one enum for log, metric and audit.
//!
//! The client is told none of this; see SECURITY.md.

use crate::{AccessKeyId, DecidedBy, Denial, PolicyType};
use sigv4::rds_token::TokenError;

/// Whether a login is allowed.
#[derive(Clone, Debug)]
#[must_use]
pub enum Decision<'s> {
    /// The token may log in as the user here.
    Allowed(Allowed<'s>),
    /// It may not.
    Refused(Refused<'s>),
}

/// A login that is allowed.
#[derive(Clone, Debug)]
pub struct Allowed<'s> {
    /// The ARN of the principal that logs in.
    pub principal: &'s str,
    /// The access key that signed.
    pub key: AccessKeyId,
    /// The statement that allows it.
    pub decided_by: DecidedBy<'s>,
    /// The revision of the snapshot it was decided from.
    pub revision: u64,
}

/// A login that is refused.
#[derive(Clone, Debug)]
pub struct Refused<'s> {
    /// Why.
    pub reason: Reason,
    /// The ARN of the principal, where the signature proved it.
    pub principal: Option<&'s str>,
    /// The access key that the token names.
    pub key: Option<AccessKeyId>,
    /// Where policies do not allow it: which of them, or what is missing.
    pub denial: Option<Denial<'s>>,
    /// The revision of the snapshot it was decided from.
    pub revision: u64,
}

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The token itself: its shape, its time, its signature.
    #[error("{0}")]
    Token(TokenError),
    /// The door asked for a database that there is not.
    #[error("no such database")]
    UnknownDatabase,
    /// IAM database authentication is off for the database.
    #[error("IAM database authentication is switched off for this database")]
    IamDisabled,
    /// The token is for the endpoint of another database.
    #[error("the token was made for another host or port than this database's")]
    WrongEndpoint,
    /// The token is for another user.
    #[error("the token was made for another database user")]
    WrongUser,
    /// The token is for another region.
    #[error("the token was signed for another region than the database's")]
    WrongRegion,
    /// No such access key, or deleted.
    #[error("the access key does not exist")]
    UnknownAccessKey,
    /// The access key was made inactive.
    #[error("the access key is inactive")]
    InactiveAccessKey,
    /// Temporary credentials need their security token, long-term ones have none, and it must be theirs.
    #[error("the security token does not belong to the access key")]
    SecurityToken,
    /// The temporary credentials are past their end.
    #[error("the temporary credentials have expired")]
    SessionExpired,
    /// The user or role that the credentials stand for is gone.
    #[error("the user or role of the credentials no longer exists")]
    PrincipalGone,
    /// No policy of the type allows `rds-db:connect`.
    #[error("no {} allows rds-db:connect on this database user", .0.as_str())]
    NotAllowed(PolicyType),
    /// A statement denies `rds-db:connect`.
    #[error("an explicit deny in {} {}", .0.article(), .0.as_str())]
    ExplicitDeny(PolicyType),
    /// A policy of the principal cannot be read.
    #[error("a policy of the principal cannot be read, so nothing is allowed")]
    UnreadablePolicy,
}

/// The class of a failure in the words that RDS logs, with the status it gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The token is malformed, or for something else, or not signed by a valid key.
    InvalidToken,
    /// The token is older than 15 minutes.
    ExpiredToken,
    /// A policy does not allow it.
    NotAuthorized,
    /// Ours, not the client's.
    InternalError,
}

impl FailureClass {
    /// The name in the log type `iam-db-auth-error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidToken => "InvalidToken",
            Self::ExpiredToken => "ExpiredToken",
            Self::NotAuthorized => "NotAuthorized",
            Self::InternalError => "InternalError",
        }
    }

    /// The status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidToken | Self::ExpiredToken => 400,
            Self::NotAuthorized => 403,
            Self::InternalError => 500,
        }
    }
}

impl From<Denial<'_>> for Reason {
    fn from(denial: Denial<'_>) -> Self {
        match denial {
            Denial::Implicit(kind) => Self::NotAllowed(kind),
            Denial::Explicit(kind, _) => Self::ExplicitDeny(kind),
            Denial::Unreadable { .. } => Self::UnreadablePolicy,
        }
    }
}

impl Reason {
    /// A stable name for metrics and audit records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token(error) => error.as_str(),
            Self::UnknownDatabase => "unknown-database",
            Self::IamDisabled => "iam-disabled",
            Self::WrongEndpoint => "wrong-endpoint",
            Self::WrongUser => "wrong-user",
            Self::WrongRegion => "wrong-region",
            Self::UnknownAccessKey => "unknown-access-key",
            Self::InactiveAccessKey => "inactive-access-key",
            Self::SecurityToken => "security-token",
            Self::SessionExpired => "session-expired",
            Self::PrincipalGone => "principal-gone",
            Self::NotAllowed(PolicyType::Identity) => "not-authorized",
            Self::NotAllowed(PolicyType::ServiceControl) => "not-allowed-by-service-control-policy",
            Self::NotAllowed(PolicyType::Boundary) => "not-allowed-by-permissions-boundary",
            Self::NotAllowed(PolicyType::Session) => "not-allowed-by-session-policy",
            Self::ExplicitDeny(_) => "explicit-deny",
            Self::UnreadablePolicy => "unreadable-policy",
        }
    }

    /// The type of the policies that deny it, or do not allow it, where it is theirs.
    pub fn policy_type(self) -> Option<PolicyType> {
        match self {
            Self::NotAllowed(kind) | Self::ExplicitDeny(kind) => Some(kind),
            _ => None,
        }
    }

    /// The class of the failure.
    pub fn class(self) -> FailureClass {
        match self {
            Self::Token(TokenError::Expired) | Self::SessionExpired => FailureClass::ExpiredToken,
            Self::Token(_)
            | Self::WrongEndpoint
            | Self::WrongUser
            | Self::WrongRegion
            | Self::UnknownAccessKey
            | Self::InactiveAccessKey
            | Self::SecurityToken
            | Self::PrincipalGone => FailureClass::InvalidToken,
            Self::IamDisabled | Self::NotAllowed(_) | Self::ExplicitDeny(_) => FailureClass::NotAuthorized,
            Self::UnknownDatabase | Self::UnreadablePolicy => FailureClass::InternalError,
        }
    }
}
