//! What users, groups, roles and managed policies have in common: a name, a path, an ARN, policies, tags.

use super::input;
use crate::about::About;
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

/// The condition key for the boundary that a user or role has, or is to have.
pub(super) const BOUNDARY_KEY: &str = "iam:PermissionsBoundary";

/// What IAM calls the tags of a resource, besides `aws:ResourceTag`.
pub(crate) const RESOURCE_TAG: &str = "iam:ResourceTag";

/// What tags that a request asks for are called; IAM has no name of its own.
pub(crate) const REQUEST_TAG: &str = "aws:RequestTag";

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
    /// Its permissions boundary.
    fn boundary(&self) -> Option<&Arn>;

    /// What conditions see of it, besides what the operation says.
    fn about<'a>(&'a self, about: About<'a>) -> About<'a>;

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
    ($record:ty, $name:ty, $kind:literal, $resource:literal, $inline:literal $(, $boundary:ident, $tags:ident)?) => {
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
            fn boundary(&self) -> Option<&Arn> {
                None$(.or(self.$boundary.as_ref()))?
            }
            fn about<'a>(&'a self, about: About<'a>) -> About<'a> {
                about$(.on(&self.$tags, RESOURCE_TAG))?
            }
        }
    };
}

entity!(User, UserName, "User", "user", 2048, boundary, tags);
entity!(Group, GroupName, "Group", "group", 5120);
entity!(Role, RoleName, "Role", "role", 10240, boundary, tags);

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
    allow_about(call, resource, &About::nothing())
}

/// The same, of an operation of which conditions see something.
pub(super) fn allow_about(call: &Call<'_>, resource: &str, about: &About<'_>) -> Result<(), ApiError> {
    call.authorize(&format!("iam:{}", call.operation), resource, about)
}

/// Takes the name of an entity.
pub(super) fn take_name<E: Entity>(params: &mut Params) -> Result<E::Name, ApiError> {
    input::name(params, &E::parameter())
}

/// The entity with the name, if the caller may do the operation on it. Who may not learns nothing about whether it exists.
pub(super) async fn permitted<E: Entity>(call: &Call<'_>, name: &E::Name) -> Result<Versioned<E>, ApiError> {
    permitted_about(call, name, &About::nothing()).await
}

/// The same, of an operation of which conditions see more than the entity.
pub(super) async fn permitted_about<E: Entity>(
    call: &Call<'_>,
    name: &E::Name,
    about: &About<'_>,
) -> Result<Versioned<E>, ApiError> {
    permitted_if(call, name, about, false).await
}

/// The same, of an operation on the entity's policies, of which conditions see the boundary too.
pub(super) async fn permitted_bounded<E: Entity>(
    call: &Call<'_>,
    name: &E::Name,
    about: &About<'_>,
) -> Result<Versioned<E>, ApiError> {
    permitted_if(call, name, about, true).await
}

async fn permitted_if<E: Entity>(
    call: &Call<'_>,
    name: &E::Name,
    about: &About<'_>,
    bounded: bool,
) -> Result<Versioned<E>, ApiError> {
    let found = read::<E>(call, name).await?;
    match &found {
        Some(entity) => {
            let boundary = entity.boundary().filter(|_| bounded).map(Arn::as_str);
            let about = entity.about(about.clone()).with_text(BOUNDARY_KEY, boundary);
            allow_about(call, &entity.arn(call), &about)?;
        }
        None => allow_about(call, &arn::<E>(call, &Path::default(), name), about)?,
    }
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
    /// The thing, if the caller may do the operation on it, of which conditions see this besides.
    fn find(
        call: &Call<'_>,
        key: &Self::Key,
        about: &About<'_>,
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
            async fn find(
                call: &Call<'_>,
                key: &$key,
                about: &About<'_>,
            ) -> Result<Versioned<Self>, ApiError> {
                $find(call, key, about).await
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

tagged!(User, UserName, take_name::<User>, permitted_about::<User>);
tagged!(Role, RoleName, take_name::<Role>, permitted_about::<Role>);
tagged!(ManagedPolicy, Arn, input::policy_arn, super::policies::permitted_about);
