//! Permissions boundaries of users and roles: a managed policy that must allow as well, whatever the others do.
//!
//! The policy counts what it bounds, and is written with it: one that is being deleted cannot become a boundary.

use super::entity::{Entity, permitted_about, permitted_bounded, take_name};
use super::policies;
use super::{entity, input};
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use axum::response::Response;
use iam::Arn;
use store::Change;
use store::records::{Role, User};

const PARAMETER: &str = "PermissionsBoundary";

/// What can have a boundary.
pub(super) trait Bounded: Entity {
    fn boundary_mut(&mut self) -> &mut Option<Arn>;
}

impl Bounded for User {
    fn boundary_mut(&mut self) -> &mut Option<Arn> {
        &mut self.boundary
    }
}

impl Bounded for Role {
    fn boundary_mut(&mut self) -> &mut Option<Arn> {
        &mut self.boundary
    }
}

/// Takes the boundary that a user or role is made with.
pub(super) fn take(params: &mut Params) -> Result<Option<Arn>, ApiError> {
    params.contains(PARAMETER).then(|| input::arn_of_policy(params, PARAMETER)).transpose()
}

/// What conditions see of an operation that asks for a boundary.
pub(super) fn asked<'a>(about: About<'a>, boundary: Option<&'a Arn>) -> About<'a> {
    about.with_text(entity::BOUNDARY_KEY, boundary.map(Arn::as_str))
}

/// Adds to a change that a policy bounds one more.
pub(super) async fn counted_in(call: &Call<'_>, change: Change, arn: &Arn) -> Result<Change, ApiError> {
    let policy = policies::read(call, arn).await?.ok_or_else(|| {
        ApiError::no_such_entity(format!("Scope ARN: {arn} does not exist or is not attachable."))
    })?;
    policies::counted(change, &policy, |policy| policy.boundary_uses = policy.boundary_uses.saturating_add(1))
}

/// Adds to a change that a policy bounds one less.
pub(super) async fn counted_out(call: &Call<'_>, change: Change, arn: &Arn) -> Result<Change, ApiError> {
    match policies::read(call, arn).await? {
        Some(policy) => policies::counted(change, &policy, |policy| {
            policy.boundary_uses = policy.boundary_uses.saturating_sub(1);
        }),
        None => Ok(change),
    }
}

/// PutUserPermissionsBoundary, PutRolePermissionsBoundary
pub(super) async fn put<E: Bounded>(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = take_name::<E>(&mut params)?;
    let arn = input::arn_of_policy(&mut params, PARAMETER)?;
    params.finish()?;
    call.change(async || {
        let old = permitted_about::<E>(call, &name, &asked(About::nothing(), Some(&arn))).await?;
        if old.boundary() == Some(&arn) {
            return Ok((Change::new(), ()));
        }
        let mut new = old.record.clone();
        *new.boundary_mut() = Some(arn.clone());
        let mut change = counted_in(call, Change::new().replace(&old, &new)?, &arn).await?;
        if let Some(before) = old.boundary() {
            change = counted_out(call, change, before).await?;
        }
        Ok((change, ()))
    })
    .await?;
    Ok(call.done())
}

/// DeleteUserPermissionsBoundary, DeleteRolePermissionsBoundary
pub(super) async fn delete<E: Bounded>(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = take_name::<E>(&mut params)?;
    params.finish()?;
    call.change(async || {
        let old = permitted_bounded::<E>(call, &name, &About::nothing()).await?;
        let mut new = old.record.clone();
        let before = new.boundary_mut().take().ok_or_else(|| {
            ApiError::no_such_entity(format!(
                "{} {} does not have a permissions boundary.",
                E::KIND,
                old.name()
            ))
        })?;
        Ok((counted_out(call, Change::new().replace(&old, &new)?, &before).await?, ()))
    })
    .await?;
    Ok(call.done())
}

/// Writes `PermissionsBoundary`, where there is one.
pub(super) fn write(boundary: Option<&Arn>, w: &mut Writer) {
    if let Some(arn) = boundary {
        w.element(PARAMETER, |w| {
            // The word on the wire; the service model's text has another.
            w.text("PermissionsBoundaryType", "Policy");
            w.text("PermissionsBoundaryArn", arn.as_str());
        });
    }
}
