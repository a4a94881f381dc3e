//! IAM's records: users, groups, roles, managed policies, access keys, sessions.
//!
//! Policies are kept as the text that was given, byte for byte; what is attached to whom stands with the principal.

use super::Record;
use crate::Sealed;
use iam::{AccessKeyId, Arn, GroupName, Path, PolicyName, RoleName, SessionName, UniqueId, UserName};
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// Inline policies: name and document.
pub type InlinePolicies = BTreeMap<PolicyName, String>;

/// A user.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// The name; unique without regard to case.
    pub name: UserName,
    /// `AIDA...`
    pub id: UniqueId,
    /// The path in its ARN.
    pub path: Path,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Its tags.
    pub tags: Tags,
    /// The managed policies attached to it.
    pub attached: BTreeSet<Arn>,
    /// Its inline policies.
    pub inline: InlinePolicies,
    /// The groups it is in; [`Group::members`] says the same from the other side.
    pub groups: BTreeSet<GroupName>,
    /// Its permissions boundary.
    #[serde(default)]
    pub boundary: Option<Arn>,
}

impl Record for User {
    const PREFIX: &'static str = "/iam/user/";
    fn key(&self) -> String {
        self.name.folded()
    }
}

/// A group.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Group {
    /// The name; unique without regard to case.
    pub name: GroupName,
    /// `AGPA...`
    pub id: UniqueId,
    /// The path in its ARN.
    pub path: Path,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// The managed policies attached to it.
    pub attached: BTreeSet<Arn>,
    /// Its inline policies.
    pub inline: InlinePolicies,
    /// The users in it; [`User::groups`] says the same from the other side.
    pub members: BTreeSet<UserName>,
}

impl Record for Group {
    const PREFIX: &'static str = "/iam/group/";
    fn key(&self) -> String {
        self.name.folded()
    }
}

/// A role.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Role {
    /// The name; unique without regard to case.
    pub name: RoleName,
    /// `AROA...`
    pub id: UniqueId,
    /// The path in its ARN.
    pub path: Path,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// What it is for.
    pub description: Option<String>,
    /// The longest session, in seconds, 3,600 to 43,200.
    pub max_session_seconds: u32,
    /// The trust policy: who may assume it.
    pub trust: String,
    /// What the trust policy's ARNs of users and roles stood for when it was written: ARN to unique id. A principal that
    /// is deleted and made again under its name is another one.
    pub trusted_ids: BTreeMap<Arn, UniqueId>,
    /// Its tags.
    pub tags: Tags,
    /// The managed policies attached to it.
    pub attached: BTreeSet<Arn>,
    /// Its inline policies.
    pub inline: InlinePolicies,
    /// Its permissions boundary.
    #[serde(default)]
    pub boundary: Option<Arn>,
}

impl Record for Role {
    const PREFIX: &'static str = "/iam/role/";
    fn key(&self) -> String {
        self.name.folded()
    }
}

/// A customer managed policy.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ManagedPolicy {
    /// Its ARN.
    pub arn: Arn,
    /// The name; unique without regard to case, whatever the path.
    pub name: PolicyName,
    /// `ANPA...`
    pub id: UniqueId,
    /// The path in its ARN.
    pub path: Path,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated: OffsetDateTime,
    /// What it is for.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// The versions by number: `v1` is 1. At most five.
    pub versions: BTreeMap<u32, PolicyVersion>,
    /// The number of the version in force.
    pub default_version: u32,
    /// The number of the latest version ever made; numbers are not used twice.
    pub latest_version: u32,
    /// To how many users, groups and roles it is attached. Attaching writes this record too, so that a policy that is
    /// being deleted cannot be attached at the same moment.
    pub attachments: u32,
    /// Of how many users and roles it is the permissions boundary. Written like [`ManagedPolicy::attachments`], for the same
    /// reason.
    #[serde(default)]
    pub boundary_uses: u32,
}

impl Record for ManagedPolicy {
    const PREFIX: &'static str = "/iam/policy/";
    fn key(&self) -> String {
        self.name.folded()
    }
}

/// A version of a managed policy.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct PolicyVersion {
    /// The document as it was given.
    pub document: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
}

/// Whether an access key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum KeyStatus {
    /// It may.
    Active,
    /// It may not, until it is made active again.
    Inactive,
}

/// An access key of a user.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct AccessKey {
    /// `AKIA...`
    pub id: AccessKeyId,
    /// Whose it is.
    pub user: UserName,
    /// Whether it may be used.
    pub status: KeyStatus,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// The secret access key, sealed; bound to [`Record::full_key`].
    pub secret: Sealed,
}

impl Record for AccessKey {
    const PREFIX: &'static str = "/iam/access-key/";
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// When, for what and where an access key was last used. Kept apart from the key, so that using one does not write it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct LastUsed {
    /// The access key.
    pub id: AccessKeyId,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The service, such as `rds-db`.
    pub service: String,
    /// The region.
    pub region: String,
}

impl Record for LastUsed {
    const PREFIX: &'static str = "/iam/last-used/";
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// Temporary credentials.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Session {
    /// `ASIA...`
    pub id: AccessKeyId,
    /// Who acts.
    pub principal: SessionPrincipal,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339")]
    pub expires: OffsetDateTime,
    /// The secret access key, sealed; bound to [`Record::full_key`].
    pub secret: Sealed,
    /// The security token, sealed; bound to [`Record::full_key`].
    pub token: Sealed,
    /// The session policies that were passed; none where none was.
    #[serde(default)]
    pub policies: Option<SessionPolicies>,
    /// The session tags, those inherited along a chain of roles included.
    #[serde(default)]
    pub tags: Tags,
    /// The keys of the session tags that a role assumed from this session inherits.
    #[serde(default)]
    pub transitive_tags: BTreeSet<String>,
}

impl Record for Session {
    const PREFIX: &'static str = "/iam/session/";
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// What a session may do at most.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct SessionPolicies {
    /// The document that was passed, as it was given.
    pub inline: Option<String>,
    /// The managed policies that were passed.
    pub managed: BTreeSet<Arn>,
}

/// Who acts in a session.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum SessionPrincipal {
    /// A user, by GetSessionToken.
    User {
        /// The user.
        name: UserName,
        /// Its unique id: a user made anew under the name is another one.
        id: UniqueId,
    },
    /// A role, by AssumeRole.
    Role {
        /// The role.
        name: RoleName,
        /// Its unique id.
        id: UniqueId,
        /// The session's name.
        session: SessionName,
        /// Whether the caller was itself a role session: such a session may last one hour at most.
        chained: bool,
    },
    /// Somebody whom a user vouches for, by GetFederationToken.
    FederatedUser {
        /// The user.
        user: UserName,
        /// Its unique id.
        id: UniqueId,
        /// What the federated user is called.
        name: String,
    },
}

/// A service control policy: a limit for everybody in the account, set from outside of it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ServiceControlPolicy {
    /// The level above the account that it is attached to.
    pub level: String,
    /// The name; unique in its level.
    pub name: PolicyName,
    /// The document as it was given.
    pub document: String,
    /// When it was last written.
    #[serde(with = "time::serde::rfc3339")]
    pub updated: OffsetDateTime,
}

impl Record for ServiceControlPolicy {
    const PREFIX: &'static str = "/organization/service-control-policy/";
    fn key(&self) -> String {
        format!("{}/{}", self.level, self.name.folded())
    }
}
