//! Users.

use super::entity::{self, Entity, all, allow, allow_about, existing, permitted};
use super::page::Page;
use super::{boundaries, groups, input, keys, tags};
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use axum::response::Response;
use iam::{IdKind, PrincipalKind, UniqueId, UserName};
use std::collections::{BTreeMap, BTreeSet};
use store::records::{AccessKey, Session, SessionPrincipal, User};
use store::{Change, Versioned};

/// Writes the members of a user.
pub(super) fn write(call: &Call<'_>, user: &User, w: &mut Writer) {
    user.write_head(call, w);
}

/// What the single answers have besides what the list has.
fn write_whole(call: &Call<'_>, user: &User, w: &mut Writer) {
    write(call, user, w);
    boundaries::write(user.boundary(), w);
    tags::write(&user.tags, w);
}

/// The user whom a call without a name is about: the caller.
pub(super) fn caller_name(call: &Call<'_>) -> Result<UserName, ApiError> {
    match call.caller.kind {
        PrincipalKind::User { user } => {
            user.name.parse().map_err(|error| ApiError::internal("the caller's name is none", &error))
        }
        PrincipalKind::RoleSession { .. } | PrincipalKind::FederatedUser { .. } => {
            Err(ApiError::validation("Must specify userName when calling with non-User credentials"))
        }
    }
}

/// The user that `UserName` names, or else the caller.
pub(super) fn take_name_or_caller(call: &Call<'_>, params: &mut Params) -> Result<UserName, ApiError> {
    match input::optional_name(params, "UserName")? {
        Some(name) => Ok(name),
        None => caller_name(call),
    }
}

/// CreateUser
pub(super) async fn create(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let user = User {
        name: input::name(&mut params, "UserName")?,
        id: UniqueId::generate(IdKind::User, &call.services.random()?),
        path: input::path(&mut params, "Path")?.unwrap_or_default(),
        created: call.now,
        tags: tags::take(&mut params)?,
        attached: BTreeSet::new(),
        inline: BTreeMap::new(),
        groups: BTreeSet::new(),
        boundary: boundaries::take(&mut params)?,
    };
    params.finish()?;
    let about = About::nothing().requesting(&user.tags, entity::REQUEST_TAG);
    allow_about(call, &user.arn(call), &boundaries::asked(about, user.boundary()))?;
    call.change(async || {
        if entity::read::<User>(call, &user.name).await?.is_some() {
            return Err(User::taken(&user.name));
        }
        let mut change = Change::new().insert(&user)?;
        if let Some(boundary) = user.boundary() {
            change = boundaries::counted_in(call, change, boundary).await?;
        }
        Ok((change, ()))
    })
    .await?;
    Ok(call.respond(|w| w.element("User", |w| write_whole(call, &user, w))))
}

/// GetUser
pub(super) async fn get(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = take_name_or_caller(call, &mut params)?;
    params.finish()?;
    let user = permitted::<User>(call, &name).await?;
    Ok(call.respond(|w| w.element("User", |w| write_whole(call, &user, w))))
}

/// ListUsers
pub(super) async fn list(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let prefix = input::path_prefix(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    allow(call, &entity::list_arn(call, "user"))?;
    let mut users = all::<User>(call).await?;
    users.retain(|user| user.path.as_str().starts_with(&prefix));
    let part = page.cut(users, |user| user.name.folded());
    Ok(call.respond(|w| {
        w.list("Users", "member", &part.items, |w, user| write(call, user, w));
        part.write(w);
    }))
}

/// UpdateUser
pub(super) async fn update(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<User>(&mut params)?;
    let new_name: Option<UserName> = input::optional_name(&mut params, "NewUserName")?;
    let new_path = input::path(&mut params, "NewPath")?;
    params.finish()?;
    call.change(async || {
        let old = permitted::<User>(call, &name).await?;
        let mut new = old.record.clone();
        if let Some(path) = &new_path {
            new.path = path.clone();
        }
        let mut change = Change::new();
        if let Some(new_name) = &new_name {
            new.name = new_name.clone();
            change = rename(call, change, &old, &new).await?;
        }
        // The new ARN too must be one that the caller may do this to.
        allow_about(call, &new.arn(call), &new.about(About::nothing()))?;
        Ok((change.replace(&old, &new)?, ()))
    })
    .await?;
    Ok(call.done())
}

/// Whatever names the user follows it: its access keys, its sessions, its groups.
async fn rename(
    call: &Call<'_>,
    mut change: Change,
    old: &Versioned<User>,
    new: &User,
) -> Result<Change, ApiError> {
    if old.name.folded() != new.name.folded() && entity::read::<User>(call, &new.name).await?.is_some() {
        return Err(User::taken(&new.name));
    }
    for key in keys::of_user(call, old).await? {
        change = change.replace(&key, &AccessKey { user: new.name.clone(), ..key.record.clone() })?;
    }
    for session in all::<Session>(call).await? {
        let of_old = session.record.clone();
        let principal = match of_old.principal {
            SessionPrincipal::User { id, .. } if id == old.id => {
                SessionPrincipal::User { name: new.name.clone(), id }
            }
            SessionPrincipal::FederatedUser { id, name, .. } if id == old.id => {
                SessionPrincipal::FederatedUser { user: new.name.clone(), id, name }
            }
            _ => continue,
        };
        change = change.replace(&session, &Session { principal, ..of_old })?;
    }
    for name in &old.groups {
        let group = existing::<store::records::Group>(call, name).await?;
        let mut renamed = group.record.clone();
        renamed.members.remove(&old.name);
        renamed.members.insert(new.name.clone());
        change = change.replace(&group, &renamed)?;
    }
    Ok(change)
}

/// DeleteUser
pub(super) async fn delete(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<User>(&mut params)?;
    params.finish()?;
    call.change(async || {
        let user = permitted::<User>(call, &name).await?;
        let conflict = if !keys::of_user(call, &user).await?.is_empty() {
            Some("must delete access keys first")
        } else if !user.attached.is_empty() {
            Some("must detach all policies first")
        } else if !user.inline.is_empty() {
            Some("must delete policies first")
        } else if !user.groups.is_empty() {
            Some(groups::STILL_MEMBERS)
        } else {
            None
        };
        match conflict {
            Some(what) => Err(ApiError::delete_conflict(format!("Cannot delete entity, {what}."))),
            None => {
                let mut change = Change::new().delete(&user);
                if let Some(boundary) = user.boundary() {
                    change = boundaries::counted_out(call, change, boundary).await?;
                }
                Ok((change, ()))
            }
        }
    })
    .await?;
    Ok(call.done())
}
