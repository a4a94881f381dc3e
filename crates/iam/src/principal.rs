//! Principals and their policies, as a snapshot holds them: compiled, and linked by name.

use crate::{AccountId, Arn, UniqueId};
use policy::Policy;
use std::fmt;
use std::sync::Arc;

/// A policy with the name it is attached under, compiled.
#[derive(Clone)]
pub struct NamedPolicy {
    /// The ARN of a managed policy, the name of an inline one.
    pub name: Arc<str>,
    /// The compiled document. An error stands for a document that this version cannot apply in full; whoever has such a
    /// policy is refused everything, because what it denies is not known.
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
}

/// What a principal is.
#[derive(Clone, Copy, Debug)]
pub enum PrincipalKind<'s> {
    /// A user, with a long-term key or a session of its own.
    User {
        /// The user.
        user: &'s User,
        /// Whether by temporary credentials of GetSessionToken.
        session: bool,
    },
    /// A session of a role.
    RoleSession {
        /// The role.
        role: &'s Role,
        /// `AROA...:session-name`
        user_id: &'s str,
    },
}

impl Principal<'_> {
    /// The id that GetCallerIdentity shows: `AIDA...`, or `AROA...:session-name`.
    pub fn user_id(&self) -> &str {
        match &self.kind {
            PrincipalKind::User { user, .. } => user.id.as_str(),
            PrincipalKind::RoleSession { user_id, .. } => user_id,
        }
    }
}
