//! Groups, and who is in them. A membership stands with the group and with the user, and both are written together.

use super::entity::{self, Entity, all, allow, existing, permitted};
use super::page::Page;
use super::{input, users};
use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use iam::{GroupName, IdKind, UniqueId};
use std::collections::{BTreeMap, BTreeSet};
use store::Change;
use store::records::{Group, User};

/// The most groups that a user may be in.
const GROUPS_PER_USER: usize = 10;

/// What stands in the way of deleting a group with members, and a user in groups.
pub(super) const STILL_MEMBERS: &str = "must remove users from group first";

/// CreateGroup
pub(super) async fn create(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let group = Group {
        name: input::name(&mut params, "GroupName")?,
        id: UniqueId::generate(IdKind::Group, &call.services.random()?),
        path: input::path(&mut params, "Path")?.unwrap_or_default(),
        created: call.now,
        attached: BTreeSet::new(),
        inline: BTreeMap::new(),
        members: BTreeSet::new(),
    };
    params.finish()?;
    allow(call, &group.arn(call))?;
    call.change(async || {
        if entity::read::<Group>(call, &group.name).await?.is_some() {
            return Err(Group::taken(&group.name));
        }
        Ok((Change::new().insert(&group)?, ()))
    })
    .await?;
    Ok(call.respond(|w| w.element("Group", |w| group.write_head(call, w))))
}

/// GetGroup
pub(super) async fn get(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<Group>(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    let group = permitted::<Group>(call, &name).await?;
    let part = page.cut(group.members.iter().collect(), |name| name.folded());
    let mut members = Vec::new();
    for name in &part.items {
        // A member that was deleted between the two reads is no member any more.
        members.extend(entity::read::<User>(call, name).await?);
    }
    Ok(call.respond(|w| {
        w.element("Group", |w| group.write_head(call, w));
        w.list("Users", "member", &members, |w, user| users::write(call, user, w));
        part.write(w);
    }))
}

/// ListGroups
pub(super) async fn list(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let prefix = input::path_prefix(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    allow(call, &entity::list_arn(call, "group"))?;
    let mut groups = all::<Group>(call).await?;
    groups.retain(|group| group.path.as_str().starts_with(&prefix));
    let part = page.cut(groups, |group| group.name.folded());
    Ok(call.respond(|w| {
        w.list("Groups", "member", &part.items, |w, group| group.write_head(call, w));
        part.write(w);
    }))
}

/// ListGroupsForUser
pub(super) async fn list_for_user(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<User>(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    let user = permitted::<User>(call, &name).await?;
    let part = page.cut(user.groups.iter().collect(), |name| name.folded());
    let mut groups = Vec::new();
    for name in &part.items {
        groups.extend(entity::read::<Group>(call, name).await?);
    }
    Ok(call.respond(|w| {
        w.list("Groups", "member", &groups, |w, group| group.write_head(call, w));
        part.write(w);
    }))
}

/// UpdateGroup
pub(super) async fn update(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<Group>(&mut params)?;
    let new_name: Option<GroupName> = input::optional_name(&mut params, "NewGroupName")?;
    let new_path = input::path(&mut params, "NewPath")?;
    params.finish()?;
    call.change(async || {
        let old = permitted::<Group>(call, &name).await?;
        let mut new = old.record.clone();
        if let Some(path) = &new_path {
            new.path = path.clone();
        }
        let mut change = Change::new();
        if let Some(new_name) = &new_name {
            new.name = new_name.clone();
            if old.name.folded() != new_name.folded()
                && entity::read::<Group>(call, new_name).await?.is_some()
            {
                return Err(Group::taken(new_name));
            }
            for member in &old.members {
                let user = existing::<User>(call, member).await?;
                let mut moved = user.record.clone();
                moved.groups.remove(&old.name);
                moved.groups.insert(new_name.clone());
                change = change.replace(&user, &moved)?;
            }
        }
        // The new ARN too must be one that the caller may do this to.
        allow(call, &new.arn(call))?;
        Ok((change.replace(&old, &new)?, ()))
    })
    .await?;
    Ok(call.done())
}

/// DeleteGroup
pub(super) async fn delete(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<Group>(&mut params)?;
    params.finish()?;
    call.change(async || {
        let group = permitted::<Group>(call, &name).await?;
        let conflict = if !group.members.is_empty() {
            Some(STILL_MEMBERS)
        } else if !group.attached.is_empty() {
            Some("must detach all policies first")
        } else if !group.inline.is_empty() {
            Some("must delete policies first")
        } else {
            None
        };
        match conflict {
            Some(what) => Err(ApiError::delete_conflict(format!("Cannot delete entity, {what}."))),
            None => Ok((Change::new().delete(&group), ())),
        }
    })
    .await?;
    Ok(call.done())
}

/// AddUserToGroup
pub(super) async fn add_user(call: &Call<'_>, params: Params) -> Result<Response, ApiError> {
    membership(call, params, |group, user| {
        group.members.insert(user.name.clone());
        user.groups.insert(group.name.clone());
        if user.groups.len() > GROUPS_PER_USER {
            return Err(ApiError::limit_exceeded(format!(
                "Cannot exceed quota for GroupsPerUser: {GROUPS_PER_USER}"
            )));
        }
        Ok(())
    })
    .await
}

/// RemoveUserFromGroup
pub(super) async fn remove_user(call: &Call<'_>, params: Params) -> Result<Response, ApiError> {
    membership(call, params, |group, user| {
        user.groups.remove(&group.name);
        if group.members.remove(&user.name) {
            Ok(())
        } else {
            let (user, group) = (&user.name, &group.name);
            Err(ApiError::no_such_entity(format!(
                "The user with name {user} is not in the group with name {group}."
            )))
        }
    })
    .await
}

async fn membership(
    call: &Call<'_>,
    mut params: Params,
    edit: impl Fn(&mut Group, &mut User) -> Result<(), ApiError>,
) -> Result<Response, ApiError> {
    let group_name = entity::take_name::<Group>(&mut params)?;
    let user_name = entity::take_name::<User>(&mut params)?;
    params.finish()?;
    call.change(async || {
        let group = permitted::<Group>(call, &group_name).await?;
        let user = existing::<User>(call, &user_name).await?;
        let (mut new_group, mut new_user) = (group.record.clone(), user.record.clone());
        edit(&mut new_group, &mut new_user)?;
        Ok((Change::new().replace(&group, &new_group)?.replace(&user, &new_user)?, ()))
    })
    .await?;
    Ok(call.done())
}
