//! Principals and their policies, as a snapshot holds them: compiled, and linked by name.

use crate::{AccountId, Arn, SessionCredential, Tags, UniqueId};
use policy::Policy;
use std::fmt;
use std::sync::Arc;

/// A policy with the name it is attached under, compiled.
#[derive(Clone)]
pub struct NamedPolicy {
    /// The ARN of a managed policy, the name of an inline one.
    pub name: Arc<str>,
    /// The compiled document. An error stands for a document that cannot be read; whoever has such a policy is refused
    /// everything, because what it denies is not known.
    pub policy: Result<Arc<Policy>, Arc<str>>,
}

impl fmt::Debug for NamedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedPolicy").field(&self.name).finish()
    }
}

impl NamedPolicy {
    /// Compiles a document.
    pub fn compile(name: &str, document: &str, kind: policy::Kind) -> Self {
        let policy = Policy::parse(document, kind).map(Arc::new).map_err(|error| error.to_string().into());
        Self { name: name.into(), policy }
    }
}

/// The identity policies of a user, group or role.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// The managed ones, by ARN; looked up at evaluation, so that a new version of one reaches everybody at once.
    pub managed: Box<[Arn]>,
    /// The inline ones.
    pub inline: Box<[NamedPolicy]>,
}

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Its ARN.
    pub arn: Arn,
    /// The name, as it was given.
    pub name: Arc<str>,
    /// `AIDA...`
    pub id: UniqueId,
    /// Its own policies.
    pub policies: Policies,
    /// The groups it is in, by folded name.
    pub groups: Box<[Arc<str>]>,
    /// Its permissions boundary: a managed policy that must allow as well.
    pub boundary: Option<Arn>,
    /// Its tags.
    pub tags: Tags,
}

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its ARN.
    pub arn: Arn,
    /// Its policies.
    pub policies: Policies,
}

/// A role.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its ARN.
    pub arn: Arn,
    /// `AROA...`
    pub id: UniqueId,
    /// Its policies.
    pub policies: Policies,
    /// Its permissions boundary: a managed policy that must allow as well.
    pub boundary: Option<Arn>,
    /// Its tags.
    pub tags: Tags,
}

/// Who acts: a credential's holder, found in the snapshot and still the one that the credential was made for.
#[derive(Clone, Copy, Debug)]
pub struct Principal<'s> {
    /// The ARN that AWS shows for it: a user's, or an assumed role session's.
    pub arn: &'s Arn,
    /// The account it belongs to.
    pub account: AccountId,
    /// What it is.
    pub kind: PrincipalKind<'s>,
    /// What its temporary credentials have besides; none for a long-term key.
    pub session: Option<&'s SessionCredential>,
}

/// What a principal is.
#[derive(Clone, Copy, Debug)]
pub enum PrincipalKind<'s> {
    /// A user, with a long-term key or a session of its own.
    User {
        /// The user.
        user: &'s User,
    },
    /// A session of a role.
    RoleSession {
        /// The role.
        role: &'s Role,
        /// `AROA...:session-name`
        user_id: &'s str,
    },
    /// Somebody whom a user vouches for, by GetFederationToken.
    FederatedUser {
        /// The user who vouches: what it may not do the federated user may not do either.
        user: &'s User,
        /// `account:name`
        user_id: &'s str,
    },
}

impl PrincipalKind<'_> {
    /// `aws:PrincipalType`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::User { .. } => "User",
            Self::RoleSession { .. } => "AssumedRole",
            Self::FederatedUser { .. } => "FederatedUser",
        }
    }
}

impl<'s> Principal<'s> {
    /// The id that GetCallerIdentity shows: `AIDA...`, `AROA...:session-name`, or `account:name`.
    pub fn user_id(&self) -> &str {
        match &self.kind {
            PrincipalKind::User { user, .. } => user.id.as_str(),
            PrincipalKind::RoleSession { user_id, .. } | PrincipalKind::FederatedUser { user_id, .. } => {
                user_id
            }
        }
    }

    /// `aws:PrincipalArn`: for a session of a role the role's ARN.
    pub fn policy_arn(&self) -> &'s Arn {
        match self.kind {
            PrincipalKind::User { .. } | PrincipalKind::FederatedUser { .. } => self.arn,
            PrincipalKind::RoleSession { role, .. } => &role.arn,
        }
    }

    /// The permissions boundary of its user or role.
    pub fn boundary(&self) -> Option<&'s Arn> {
        match self.kind {
            PrincipalKind::User { user } | PrincipalKind::FederatedUser { user, .. } => {
                user.boundary.as_ref()
            }
            PrincipalKind::RoleSession { role, .. } => role.boundary.as_ref(),
        }
    }
}
