//! Policies of users, groups and roles: managed ones attached, inline ones kept with the principal.

use super::documents::{document, encoded};
use super::entity::{Entity, permitted, permitted_bounded, take_name};
use super::input;
use super::page::Page;
use super::policies;
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use iam::{Arn, PolicyName};
use policy::{Kind, Value, size_without_whitespace};
use store::Change;

/// The most managed policies that may be attached to one principal.
const ATTACHED: usize = 10;

/// What conditions see of attaching and detaching.
fn of_policy(arn: &Arn) -> About<'_> {
    About::nothing().with("iam:PolicyARN", Value::Text(arn.as_str()))
}

/// AttachUserPolicy, AttachGroupPolicy, AttachRolePolicy
pub(super) async fn attach<E: Entity>(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = take_name::<E>(&mut params)?;
    let arn = input::policy_arn(&mut params)?;
    params.finish()?;
    call.change(async || {
        let old = permitted_bounded::<E>(call, &name, &of_policy(&arn)).await?;
        let policy = policies::read(call, &arn).await?.ok_or_else(|| {
            ApiError::no_such_entity(format!("Policy {arn} does not exist or is not attachable."))
        })?;
        if old.attached().contains(&arn) {
            return Ok((Change::new(), ()));
        }
        if old.attached().len() >= ATTACHED {
            return Err(ApiError::limit_exceeded(format!(
                "Cannot exceed quota for PoliciesPer{}: {ATTACHED}",
                E::KIND
            )));
        }
        let mut new = old.record.clone();
        new.attached_mut().insert(arn.clone());
        let change = Change::new().replace(&old, &new)?;
        Ok((
            policies::counted(change, &policy, |policy| {
                policy.attachments = policy.attachments.saturating_add(1);
            })?,
            (),
        ))
    })
    .await?;
    Ok(call.done())
}

/// DetachUserPolicy, DetachGroupPolicy, DetachRolePolicy
pub(super) async fn detach<E: Entity>(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = take_name::<E>(&mut params)?;
    let arn = input::policy_arn(&mut params)?;
    params.finish()?;
    call.change(async || {
        let old = permitted_bounded::<E>(call, &name, &of_policy(&arn)).await?;
        let mut new = old.record.clone();
        if !new.attached_mut().remove(&arn) {
            return Err(ApiError::no_such_entity(format!("Policy {arn} was not found.")));
        }
        let change = Change::new().replace(&old, &new)?;
        match policies::read(call, &arn).await? {
            Some(policy) => Ok((
                policies::counted(change, &policy, |policy| {
                    policy.attachments = policy.attachments.saturating_sub(1);
                })?,
                (),
            )),
            None => Ok((change, ())),
        }
    })
    .await?;
    Ok(call.done())
}

/// ListAttachedUserPolicies, ListAttachedGroupPolicies, ListAttachedRolePolicies
pub(super) async fn list<E: Entity>(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = take_name::<E>(&mut params)?;
    let prefix = input::path_prefix(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    let entity = permitted::<E>(call, &name).await?;
    let path =
        |arn: &Arn| arn.resource().strip_prefix("policy").is_some_and(|rest| rest.starts_with(&prefix));
    let attached = entity.attached().iter().filter(|arn| path(arn)).collect();
    let part = page.cut(attached, |arn| arn.to_string());
    Ok(call.respond(|w| {
        w.list("AttachedPolicies", "member", &part.items, |w, arn| {
            w.text("PolicyName", arn.resource().rsplit('/').next().unwrap_or_default());
            w.text("PolicyArn", arn.as_str());
        });
        part.write(w);
    }))
}

/// PutUserPolicy, PutGroupPolicy, PutRolePolicy
pub(super) async fn put_inline<E: Entity>(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = take_name::<E>(&mut params)?;
    let policy: PolicyName = input::name(&mut params, "PolicyName")?;
    permitted_bounded::<E>(call, &name, &About::nothing()).await?;
    let (text, _) = document(&mut params, "PolicyDocument", Kind::Inline)?;
    params.finish()?;
    call.change(async || {
        let old = permitted_bounded::<E>(call, &name, &About::nothing()).await?;
        let mut new = old.record.clone();
        // Names are unique without regard to case; the latest spelling stays.
        new.inline_mut().retain(|known, _| known.folded() != policy.folded());
        new.inline_mut().insert(policy.clone(), text.clone());
        let size: usize = new.inline().values().map(|document| size_without_whitespace(document)).sum();
        if size > E::INLINE_LIMIT {
            return Err(ApiError::limit_exceeded(format!(
                "Maximum policy size of {} bytes exceeded for {} {}",
                E::INLINE_LIMIT,
                E::RESOURCE,
                old.name()
            )));
        }
        Ok((Change::new().replace(&old, &new)?, ()))
    })
    .await?;
    Ok(call.done())
}

fn inline_not_found<E: Entity>(policy: &PolicyName) -> ApiError {
    ApiError::no_such_entity(format!("The {} policy with name {policy} cannot be found.", E::RESOURCE))
}

/// GetUserPolicy, GetGroupPolicy, GetRolePolicy
pub(super) async fn get_inline<E: Entity>(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = take_name::<E>(&mut params)?;
    let policy: PolicyName = input::name(&mut params, "PolicyName")?;
    params.finish()?;
    let entity = permitted::<E>(call, &name).await?;
    let found = entity.inline().iter().find(|(known, _)| known.folded() == policy.folded());
    let (known, document) = found.ok_or_else(|| inline_not_found::<E>(&policy))?;
    Ok(call.respond(|w| {
        w.text(&E::parameter(), &entity.name().to_string());
        w.text("PolicyName", known.as_str());
        w.text("PolicyDocument", &encoded(document));
    }))
}

/// ListUserPolicies, ListGroupPolicies, ListRolePolicies
pub(super) async fn list_inline<E: Entity>(
    call: &Call<'_>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let name = take_name::<E>(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    let entity = permitted::<E>(call, &name).await?;
    let part = page.cut(entity.inline().keys().collect(), |name| name.folded());
    Ok(call.respond(|w| {
        w.texts("PolicyNames", "member", part.items.iter().map(|name| name.as_str()));
        part.write(w);
    }))
}

/// DeleteUserPolicy, DeleteGroupPolicy, DeleteRolePolicy
pub(super) async fn delete_inline<E: Entity>(
    call: &Call<'_>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let name = take_name::<E>(&mut params)?;
    let policy: PolicyName = input::name(&mut params, "PolicyName")?;
    params.finish()?;
    call.change(async || {
        let old = permitted_bounded::<E>(call, &name, &About::nothing()).await?;
        let mut new = old.record.clone();
        let before = new.inline().len();
        new.inline_mut().retain(|known, _| known.folded() != policy.folded());
        if new.inline().len() == before {
            return Err(inline_not_found::<E>(&policy));
        }
        Ok((Change::new().replace(&old, &new)?, ()))
    })
    .await?;
    Ok(call.done())
}
