//! What users, groups, roles and managed policies have in common: a name, a path, an ARN, policies, tags.

use super::input;
use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use iam::{Arn, GroupName, NameError, Path, RoleName, UniqueId, UserName};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::Future;
use std::str::FromStr;
use store::records::{Group, InlinePolicies, ManagedPolicy, Role, Tags, User};
use store::{Record, Versioned};
use time::OffsetDateTime;

/// A principal that policies are attached to.
pub(super) trait Entity: Record + Clone {
    /// The type of its name.
    type Name: FromStr<Err = NameError> + Display + Send + Sync;
    /// `User`, `Group` or `Role`: how parameters, members and messages spell it.
    const KIND: &'static str;
    /// `user`, `group` or `role`, as ARNs spell it.
    const RESOURCE: &'static str;
    /// The most characters of all its inline policies together, white space apart.
    const INLINE_LIMIT: usize;

    fn name(&self) -> &Self::Name;
    fn path(&self) -> &Path;
    fn id(&self) -> UniqueId;
    fn created(&self) -> OffsetDateTime;
    fn attached(&self) -> &BTreeSet<Arn>;
    fn attached_mut(&mut self) -> &mut BTreeSet<Arn>;
    fn inline(&self) -> &InlinePolicies;
    fn inline_mut(&mut self) -> &mut InlinePolicies;

    /// `UserName`, `GroupName` or `RoleName`.
    fn parameter() -> String {
        format!("{}Name", Self::KIND)
    }

    /// Its ARN.
    fn arn(&self, call: &Call<'_>) -> String {
        arn::<Self>(call, self.path(), self.name())
    }

    /// The error for a name that nobody has.
    fn not_found(name: &Self::Name) -> ApiError {
        ApiError::no_such_entity(format!("The {} with name {name} cannot be found.", Self::RESOURCE))
    }

    /// The error for a name that is taken.
    fn taken(name: &Self::Name) -> ApiError {
        ApiError::already_exists(format!("{} with name {name} already exists.", Self::KIND))
    }

    /// Writes the members that every answer about it has.
    fn write_head(&self, call: &Call<'_>, w: &mut Writer) {
        w.text("Path", self.path().as_str());
        w.text(&Self::parameter(), &self.name().to_string());
        w.text(&format!("{}Id", Self::KIND), self.id().as_str());
        w.text("Arn", &self.arn(call));
        w.timestamp("CreateDate", self.created());
    }
}

macro_rules! entity {
    ($record:ty, $name:ty, $kind:literal, $resource:literal, $inline:literal) => {
        impl Entity for $record {
            type Name = $name;
            const KIND: &'static str = $kind;
            const RESOURCE: &'static str = $resource;
            const INLINE_LIMIT: usize = $inline;

            fn name(&self) -> &$name {
                &self.name
            }
            fn path(&self) -> &Path {
                &self.path
            }
            fn id(&self) -> UniqueId {
                self.id
            }
            fn created(&self) -> OffsetDateTime {
                self.created
            }
            fn attached(&self) -> &BTreeSet<Arn> {
                &self.attached
            }
            fn attached_mut(&mut self) -> &mut BTreeSet<Arn> {
                &mut self.attached
            }
            fn inline(&self) -> &InlinePolicies {
                &self.inline
            }
            fn inline_mut(&mut self) -> &mut InlinePolicies {
                &mut self.inline
            }
        }
    };
}

entity!(User, UserName, "User", "user", 2048);
entity!(Group, GroupName, "Group", "group", 5120);
entity!(Role, RoleName, "Role", "role", 10240);

/// The ARN that an entity of the kind has under a path and a name.
pub(super) fn arn<E: Entity>(call: &Call<'_>, path: &Path, name: &E::Name) -> String {
    call.services.iam_arn(&format!("{}{path}{name}", E::RESOURCE))
}

/// The ARN of a role.
pub(crate) fn role_arn(call: &Call<'_>, role: &Role) -> String {
    role.arn(call)
}

/// The ARN that listing a kind of thing is authorized on: `arn:aws:iam::123456789012:user/`.
pub(super) fn list_arn(call: &Call<'_>, resource: &str) -> String {
    call.services.iam_arn(&format!("{resource}/"))
}

/// Whether the caller may do the operation on the resource: IAM's actions are named after its operations.
pub(super) fn allow(call: &Call<'_>, resource: &str) -> Result<(), ApiError> {
    call.authorize(&format!("iam:{}", call.operation), resource)
}

/// Takes the name of an entity.
pub(super) fn take_name<E: Entity>(params: &mut Params) -> Result<E::Name, ApiError> {
    input::name(params, &E::parameter())
}

/// The entity with the name, if the caller may do the operation on it. Who may not learns nothing about whether it exists.
pub(super) async fn permitted<E: Entity>(call: &Call<'_>, name: &E::Name) -> Result<Versioned<E>, ApiError> {
    let found = read::<E>(call, name).await?;
    let resource = match &found {
        Some(entity) => entity.arn(call),
        None => arn::<E>(call, &Path::default(), name),
    };
    allow(call, &resource)?;
    found.ok_or_else(|| E::not_found(name))
}

/// The entity with the name.
pub(super) async fn existing<E: Entity>(call: &Call<'_>, name: &E::Name) -> Result<Versioned<E>, ApiError> {
    read::<E>(call, name).await?.ok_or_else(|| E::not_found(name))
}

/// The entity with the name, if there is one. Names are looked up without regard to case.
pub(super) async fn read<E: Entity>(
    call: &Call<'_>,
    name: &E::Name,
) -> Result<Option<Versioned<E>>, ApiError> {
    Ok(call.services.records.get(&name.to_string().to_ascii_lowercase()).await?)
}

/// All entities of the kind.
pub(super) async fn all<E: Record>(call: &Call<'_>) -> Result<Vec<Versioned<E>>, ApiError> {
    Ok(call.services.records.list("").await?)
}

/// A thing that can be tagged.
pub(super) trait Tagged: Record + Clone {
    /// What parameters name it by.
    type Key: Send + Sync;
    /// Takes what names the thing.
    fn take_key(params: &mut Params) -> Result<Self::Key, ApiError>;
    /// The thing, if the caller may do the operation on it.
    fn find(
        call: &Call<'_>,
        key: &Self::Key,
    ) -> impl Future<Output = Result<Versioned<Self>, ApiError>> + Send;
    fn tags(&self) -> &Tags;
    fn tags_mut(&mut self) -> &mut Tags;
}

macro_rules! tagged {
    ($record:ty, $key:ty, $take:expr, $find:expr) => {
        impl Tagged for $record {
            type Key = $key;
            fn take_key(params: &mut Params) -> Result<$key, ApiError> {
                $take(params)
            }
            async fn find(call: &Call<'_>, key: &$key) -> Result<Versioned<Self>, ApiError> {
                $find(call, key).await
            }
            fn tags(&self) -> &Tags {
                &self.tags
            }
            fn tags_mut(&mut self) -> &mut Tags {
                &mut self.tags
            }
        }
    };
}

tagged!(User, UserName, take_name::<User>, permitted::<User>);
tagged!(Role, RoleName, take_name::<Role>, permitted::<Role>);
tagged!(ManagedPolicy, Arn, input::policy_arn, super::policies::permitted);
