//! Roles and their trust policies.

use super::documents::{document, encoded};
use super::entity::{self, Entity, all, allow, allow_about, permitted};
use super::page::Page;
use super::{boundaries, input, tags};
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use axum::response::Response;
use iam::{Arn, IdKind, RoleName, UniqueId};
use policy::{Kind, Policy, Principal, size_without_whitespace};
use std::collections::{BTreeMap, BTreeSet};
use store::Change;
use store::records::{Role, User};

/// The most characters of a trust policy, white space apart.
const TRUST_LIMIT: usize = 2048;

/// The bounds of MaxSessionDuration, in seconds.
const SESSION_SECONDS: std::ops::RangeInclusive<i64> = 3600..=43200;

fn write(call: &Call<'_>, role: &Role, w: &mut Writer) {
    role.write_head(call, w);
    w.text("AssumeRolePolicyDocument", &encoded(&role.trust));
    w.opt("Description", role.description.as_deref());
    w.number("MaxSessionDuration", role.max_session_seconds);
}

/// What the single answers have besides what the list has.
fn write_whole(call: &Call<'_>, role: &Role, w: &mut Writer) {
    write(call, role, w);
    boundaries::write(role.boundary(), w);
    tags::write(&role.tags, w);
}

fn take_session_seconds(params: &mut Params) -> Result<Option<u32>, ApiError> {
    Ok(params.integer("MaxSessionDuration", SESSION_SECONDS)?.and_then(|seconds| u32::try_from(seconds).ok()))
}

/// A trust policy, and what the users and roles in it stand for.
struct Trust {
    text: String,
    policy: Policy,
}

fn take_trust(params: &mut Params, parameter: &str) -> Result<Trust, ApiError> {
    let (text, policy) = document(params, parameter, Kind::Trust)?;
    if size_without_whitespace(&text) > TRUST_LIMIT {
        return Err(ApiError::limit_exceeded(format!(
            "Cannot exceed quota for ACLSizePerRole: {TRUST_LIMIT}"
        )));
    }
    Ok(Trust { text, policy })
}

impl Trust {
    /// Finds the unique ids of those whom the policy names. A name that nobody has is refused: whoever is made under it
    /// later would be trusted without having been meant.
    async fn resolve(&self, call: &Call<'_>) -> Result<BTreeMap<Arn, UniqueId>, ApiError> {
        let mut ids = BTreeMap::new();
        for principal in self.policy.principals() {
            match principal {
                Principal::User { arn, .. } => ids.extend([resolved::<User>(call, arn).await?]),
                Principal::Role { arn, .. } => ids.extend([resolved::<Role>(call, arn).await?]),
                Principal::UniqueId(id) if !is_somebody(call, id).await? => {
                    return Err(invalid_principal(id));
                }
                _ => {}
            }
        }
        Ok(ids)
    }
}

async fn resolved<E: Entity>(call: &Call<'_>, text: &str) -> Result<(Arn, UniqueId), ApiError> {
    let invalid = || invalid_principal(text);
    let name = text.rsplit('/').next().and_then(|name| name.parse().ok()).ok_or_else(invalid)?;
    let found = entity::read::<E>(call, &name)
        .await?
        .filter(|entity| entity.arn(call) == text)
        .ok_or_else(invalid)?;
    Ok((text.parse().map_err(|_| invalid())?, found.id()))
}

async fn is_somebody(call: &Call<'_>, id: &str) -> Result<bool, ApiError> {
    Ok(all::<User>(call).await?.iter().any(|user| user.id.as_str() == id)
        || all::<Role>(call).await?.iter().any(|role| role.id.as_str() == id))
}

fn invalid_principal(name: &str) -> ApiError {
    ApiError::malformed_policy(format!("Invalid principal in policy: \"AWS\":\"{name}\""))
}

/// CreateRole
pub(super) async fn create(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name: RoleName = input::name(&mut params, "RoleName")?;
    let path = input::path(&mut params, "Path")?.unwrap_or_default();
    let description = input::description(&mut params)?;
    let max_session_seconds = take_session_seconds(&mut params)?.unwrap_or(3600);
    let tags = tags::take(&mut params)?;
    let boundary = boundaries::take(&mut params)?;
    let about = About::nothing().requesting(&tags, entity::REQUEST_TAG);
    let about = boundaries::asked(about, boundary.as_ref());
    allow_about(call, &entity::arn::<Role>(call, &path, &name), &about)?;
    let trust = take_trust(&mut params, "AssumeRolePolicyDocument")?;
    params.finish()?;
    let role = Role {
        name,
        id: UniqueId::generate(IdKind::Role, &call.services.random()?),
        path,
        created: call.now,
        description,
        max_session_seconds,
        trusted_ids: trust.resolve(call).await?,
        trust: trust.text,
        tags,
        attached: BTreeSet::new(),
        inline: BTreeMap::new(),
        boundary,
    };
    call.change(async || {
        if entity::read::<Role>(call, &role.name).await?.is_some() {
            return Err(Role::taken(&role.name));
        }
        let mut change = Change::new().insert(&role)?;
        if let Some(boundary) = role.boundary() {
            change = boundaries::counted_in(call, change, boundary).await?;
        }
        Ok((change, ()))
    })
    .await?;
    Ok(call.respond(|w| w.element("Role", |w| write_whole(call, &role, w))))
}

/// GetRole
pub(super) async fn get(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<Role>(&mut params)?;
    params.finish()?;
    let role = permitted::<Role>(call, &name).await?;
    Ok(call.respond(|w| {
        w.element("Role", |w| {
            write_whole(call, &role, w);
            w.element("RoleLastUsed", |_| {});
        });
    }))
}

/// ListRoles
pub(super) async fn list(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let prefix = input::path_prefix(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    allow(call, &entity::list_arn(call, "role"))?;
    let mut roles = all::<Role>(call).await?;
    roles.retain(|role| role.path.as_str().starts_with(&prefix));
    let part = page.cut(roles, |role| role.name.folded());
    Ok(call.respond(|w| {
        w.list("Roles", "member", &part.items, |w, role| write(call, role, w));
        part.write(w);
    }))
}

async fn edit(call: &Call<'_>, name: &RoleName, edit: impl Fn(&mut Role)) -> Result<Role, ApiError> {
    call.change(async || {
        let old = permitted::<Role>(call, name).await?;
        let mut new = old.record.clone();
        edit(&mut new);
        Ok((Change::new().replace(&old, &new)?, new))
    })
    .await
}

/// UpdateRole
pub(super) async fn update(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<Role>(&mut params)?;
    let description = input::description(&mut params)?;
    let seconds = take_session_seconds(&mut params)?;
    params.finish()?;
    edit(call, &name, |role| {
        if let Some(description) = &description {
            role.description = Some(description.clone());
        }
        role.max_session_seconds = seconds.unwrap_or(role.max_session_seconds);
    })
    .await?;
    Ok(call.respond(|_| {}))
}

/// UpdateRoleDescription
pub(super) async fn update_description(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<Role>(&mut params)?;
    if !params.contains("Description") {
        params.required("Description")?;
    }
    let description = input::description(&mut params)?;
    params.finish()?;
    let role = edit(call, &name, |role| role.description.clone_from(&description)).await?;
    Ok(call.respond(|w| w.element("Role", |w| write_whole(call, &role, w))))
}

/// UpdateAssumeRolePolicy
pub(super) async fn update_trust(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<Role>(&mut params)?;
    permitted::<Role>(call, &name).await?;
    let trust = take_trust(&mut params, "PolicyDocument")?;
    params.finish()?;
    let trusted_ids = trust.resolve(call).await?;
    edit(call, &name, |role| {
        role.trust.clone_from(&trust.text);
        role.trusted_ids.clone_from(&trusted_ids);
    })
    .await?;
    Ok(call.done())
}

/// DeleteRole
pub(super) async fn delete(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = entity::take_name::<Role>(&mut params)?;
    params.finish()?;
    call.change(async || {
        let role = permitted::<Role>(call, &name).await?;
        if !role.attached.is_empty() {
            return Err(ApiError::delete_conflict("Cannot delete entity, must detach all policies first."));
        }
        if !role.inline.is_empty() {
            return Err(ApiError::delete_conflict("Cannot delete entity, must delete policies first."));
        }
        let mut change = Change::new().delete(&role);
        if let Some(boundary) = role.boundary() {
            change = boundaries::counted_out(call, change, boundary).await?;
        }
        Ok((change, ()))
    })
    .await?;
    Ok(call.done())
}
