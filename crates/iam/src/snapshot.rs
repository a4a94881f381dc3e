//! The snapshot: an immutable picture, at one revision of the store, of everything that logins and calls are decided
//! from. Readers share it and take no lock; a change makes a new one that shares all that did not change.

use crate::principal::PrincipalKind;
use crate::shards::Shards;
use crate::{
    AccessKeyId, AccountId, Arn, Credential, Database, Group, Holder, NamedPolicy, Principal, ResourceId,
    Role, User,
};
use sigv4::Decoy;
use std::sync::Arc;

/// An immutable picture of credentials, principals, policies and databases.
#[derive(Clone, Debug)]
pub struct Snapshot {
    revision: u64,
    account: AccountId,
    credentials: Shards<AccessKeyId, Arc<Credential>>,
    users: Shards<Arc<str>, Arc<User>>,
    groups: Shards<Arc<str>, Arc<Group>>,
    roles: Shards<Arc<str>, Arc<Role>>,
    policies: Shards<Arn, Arc<NamedPolicy>>,
    databases: Shards<ResourceId, Arc<Database>>,
    service_control: Arc<[ServiceControlLevel]>,
    decoy: Arc<Decoy>,
}

impl Snapshot {
    /// A snapshot of an account in which there is nothing but AWS's own managed policies.
    pub fn new(account: AccountId) -> Self {
        let mut policies = Shards::default();
        for managed in crate::aws_managed() {
            if let Ok(arn) = managed.arn.parse::<Arn>() {
                let policy = NamedPolicy::compile(managed.arn, managed.document, policy::Kind::Managed);
                policies.insert(arn, Arc::new(policy));
            }
        }
        Self {
            revision: 0,
            account,
            credentials: Shards::default(),
            users: Shards::default(),
            groups: Shards::default(),
            roles: Shards::default(),
            policies,
            databases: Shards::default(),
            service_control: Arc::default(),
            decoy: Arc::default(),
        }
    }

    /// The revision of the store that this is a picture of.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// What a token of an unknown access key is checked with, so that it costs what a known one costs.
    pub fn decoy(&self) -> &Decoy {
        &self.decoy
    }

    /// The credential with the access key id, active or not.
    pub fn credential(&self, id: &AccessKeyId) -> Option<&Credential> {
        self.credentials.get(id).map(Arc::as_ref)
    }

    /// The user with the folded name.
    pub fn user(&self, folded: &str) -> Option<&User> {
        self.users.get(folded).map(Arc::as_ref)
    }

    /// The group with the folded name.
    pub fn group(&self, folded: &str) -> Option<&Group> {
        self.groups.get(folded).map(Arc::as_ref)
    }

    /// The role with the folded name.
    pub fn role(&self, folded: &str) -> Option<&Role> {
        self.roles.get(folded).map(Arc::as_ref)
    }

    /// The managed policy with the ARN, at its default version.
    pub fn policy(&self, arn: &Arn) -> Option<&NamedPolicy> {
        self.policies.get(arn).map(Arc::as_ref)
    }

    /// The database with the resource id.
    pub fn database(&self, id: &str) -> Option<&Database> {
        self.databases.get(id).map(Arc::as_ref)
    }

    /// Whom the credential stands for; none where it was deleted, or made anew under the name, since.
    pub fn principal<'s>(&'s self, credential: &'s Credential) -> Option<Principal<'s>> {
        let (arn, kind) = match &credential.holder {
            Holder::User { name, id } => {
                let user = self.user(name).filter(|user| id.is_none_or(|id| id == user.id))?;
                (&user.arn, PrincipalKind::User { user })
            }
            Holder::Role { name, id, arn, user_id } => {
                let role = self.role(name).filter(|role| role.id == *id)?;
                (arn, PrincipalKind::RoleSession { role, user_id })
            }
            Holder::FederatedUser { name, id, arn, user_id } => {
                let user = self.user(name).filter(|user| user.id == *id)?;
                (arn, PrincipalKind::FederatedUser { user, user_id })
            }
        };
        Some(Principal { arn, account: self.account, kind, session: credential.session.as_ref() })
    }

    /// The service control policies, level by level; none at all where the list is empty.
    pub fn service_control(&self) -> &[ServiceControlLevel] {
        &self.service_control
    }

    /// Starts the next snapshot, at first the same as this one.
    pub fn edit(&self) -> Editor {
        Editor(self.clone())
    }
}

/// The service control policies of one level above the account. One of them must allow, at every level.
#[derive(Clone, Debug)]
pub struct ServiceControlLevel {
    /// The level's name.
    pub name: Arc<str>,
    /// Its policies, by name; never none.
    pub policies: Box<[NamedPolicy]>,
}

/// A snapshot in the making.
#[derive(Debug)]
pub struct Editor(Snapshot);

impl Editor {
    /// Finishes the snapshot as the picture of a revision.
    pub fn finish(mut self, revision: u64) -> Snapshot {
        self.0.revision = revision;
        self.0
    }

    /// Puts a credential in the place of the one with its id.
    pub fn put_credential(&mut self, credential: Credential) {
        self.0.credentials.insert(credential.id, Arc::new(credential));
    }

    /// Takes a credential out.
    pub fn remove_credential(&mut self, id: &AccessKeyId) {
        self.0.credentials.remove(id);
    }

    /// Puts a user in the place of the one with the folded name.
    pub fn put_user(&mut self, folded: &str, user: User) {
        self.0.users.insert(folded.into(), Arc::new(user));
    }

    /// Takes a user out.
    pub fn remove_user(&mut self, folded: &str) {
        self.0.users.remove(folded);
    }

    /// Puts a group in the place of the one with the folded name.
    pub fn put_group(&mut self, folded: &str, group: Group) {
        self.0.groups.insert(folded.into(), Arc::new(group));
    }

    /// Takes a group out.
    pub fn remove_group(&mut self, folded: &str) {
        self.0.groups.remove(folded);
    }

    /// Puts a role in the place of the one with the folded name.
    pub fn put_role(&mut self, folded: &str, role: Role) {
        self.0.roles.insert(folded.into(), Arc::new(role));
    }

    /// Takes a role out.
    pub fn remove_role(&mut self, folded: &str) {
        self.0.roles.remove(folded);
    }

    /// Puts a managed policy in the place of the one with its ARN.
    pub fn put_policy(&mut self, arn: Arn, policy: NamedPolicy) {
        self.0.policies.insert(arn, Arc::new(policy));
    }

    /// Takes a managed policy out.
    pub fn remove_policy(&mut self, arn: &Arn) {
        self.0.policies.remove(arn);
    }

    /// Puts the service control policies, level by level, in the place of those that there are.
    pub fn set_service_control(&mut self, levels: impl IntoIterator<Item = ServiceControlLevel>) {
        self.0.service_control = levels.into_iter().collect();
    }

    /// Puts a database in the place of the one with its resource id.
    pub fn put_database(&mut self, database: Database) {
        self.0.databases.insert(database.resource_id.clone(), Arc::new(database));
    }

    /// Takes a database out.
    pub fn remove_database(&mut self, id: &ResourceId) {
        self.0.databases.remove(id);
    }
}
