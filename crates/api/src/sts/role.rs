//! Whether the caller may assume a role: what the role's trust policy and the caller's own policies say together.

use crate::about::About;
use crate::call::Call;
use crate::iam::{RESOURCE_TAG, role_arn};
use crate::query::ApiError;
use iam::{Arn, Denial, Opinions, PolicyType, PrincipalKind};
use policy::{Kind, Policy, Principal, TrustIdentity, TrustOutcome, TrustPrincipal, TrustRequest};
use store::Versioned;
use store::records::Role;

const ASSUME_ROLE: &str = "sts:AssumeRole";

/// What a caller must be allowed besides, for a session with tags.
pub(super) const TAG_SESSION: &str = "sts:TagSession";

/// The role, if the caller may assume it, with tags where `tagged`. A role that does not exist is refused in the same words
/// as one that does not trust the caller.
pub(super) async fn permitted(
    call: &Call<'_>,
    arn: &Arn,
    about: &About<'_>,
    tagged: bool,
) -> Result<Versioned<Role>, ApiError> {
    let name = arn.resource().rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let role = call.services.records.get::<Role>(&name).await?;
    let role = role
        .filter(|role| role_arn(call, role) == arn.as_str())
        .ok_or_else(|| call.denied(ASSUME_ROLE, arn.as_str(), None))?;
    let trust = trust_policy(&role)?;
    let about = about.clone().on(&role.tags, RESOURCE_TAG);
    authorize(call, arn, &trust, ASSUME_ROLE, &about)?;
    if tagged {
        authorize(call, arn, &trust, TAG_SESSION, &about)?;
    }
    Ok(role)
}

/// The role's trust policy, its users and roles bound to those whom it named when it was written.
fn trust_policy(role: &Role) -> Result<Policy, ApiError> {
    let policy = Policy::parse(&role.trust, Kind::Trust)
        .map_err(|error| ApiError::internal("a trust policy that was accepted cannot be read", &error))?;
    Ok(policy.bind_principals(|principal| match principal {
        Principal::User { arn, .. } | Principal::Role { arn, .. } => {
            let id = arn.parse().ok().and_then(|arn: Arn| role.trusted_ids.get(&arn));
            // Nobody has the empty id: a name that was never resolved trusts nobody.
            Some(id.map_or_else(Box::default, |id| id.as_str().into()))
        }
        _ => None,
    }))
}

fn authorize(
    call: &Call<'_>,
    arn: &Arn,
    trust: &Policy,
    action: &str,
    about: &About<'_>,
) -> Result<(), ApiError> {
    let resource = policy::Resource::parse(arn.as_str())
        .map_err(|error| ApiError::internal("a role's ARN cannot be read", &error))?;
    let Some(caller) = trusted(call) else { return Err(call.denied(action, arn.as_str(), None)) };
    let (own, outcome) = call.with_context(about, |context| {
        let own = call.snapshot.opinions(&call.caller, &policy::Request::new(action, resource, context));
        (own, trust.evaluate_trust(&TrustRequest::new(action, caller, context)))
    });
    match decide(&own, outcome, call.caller.kind) {
        Ok(()) => Ok(()),
        Err(denial) => Err(call.denied(action, arn.as_str(), denial.as_ref())),
    }
}

/// What both say together. An explicit Deny of either side wins, and service control must allow. Where the trust policy names
/// the account, the caller's own policies must allow as well. Where it names a role, or anybody, the caller's limits stay;
/// where it names the user or the one session, an Allow that is missing among the caller's own is not missed.
///
/// An error without a reason is what a caller is told whom the role does not trust, or who has to be told as little.
fn decide<'s>(
    own: &Opinions<'s>,
    trust: TrustOutcome,
    caller: PrincipalKind<'_>,
) -> Result<(), Option<Denial<'s>>> {
    if let Some(denial) = own.denial() {
        return Err(Some(denial));
    }
    let limited = match (trust, caller) {
        (TrustOutcome::Denied(_) | TrustOutcome::NoMatch, _) => return Err(None),
        (TrustOutcome::AllowedByAccount(_), _) if own.identity.is_none() => return Err(None),
        (TrustOutcome::AllowedByAccount(_), _) => true,
        (TrustOutcome::AllowedSession(_), _)
        | (TrustOutcome::AllowedDirectly(_), PrincipalKind::User { .. }) => false,
        (TrustOutcome::AllowedDirectly(_) | TrustOutcome::AllowedToAnyone(_), _) => true,
    };
    let missing = |kind| Err(Some(Denial::Implicit(kind)));
    if !own.service_control {
        missing(PolicyType::ServiceControl)
    } else if limited && !own.boundary {
        missing(PolicyType::Boundary)
    } else if limited && !own.session {
        missing(PolicyType::Session)
    } else {
        Ok(())
    }
}

/// The caller, as trust policies know callers; none that could be trusted where it is a federated user.
fn trusted<'c>(call: &'c Call<'_>) -> Option<TrustPrincipal<'c>> {
    let identity = match call.caller.kind {
        // As on AWS, a federated user assumes no role.
        PrincipalKind::FederatedUser { .. } => return None,
        PrincipalKind::User { user, .. } => {
            TrustIdentity::User { arn: user.arn.as_str(), unique_id: user.id.as_str() }
        }
        PrincipalKind::RoleSession { role, .. } => TrustIdentity::RoleSession {
            arn: call.caller.arn.as_str(),
            role_arn: role.arn.as_str(),
            role_id: role.id.as_str(),
        },
    };
    Some(TrustPrincipal { partition: "aws", account: call.caller.account.as_str(), identity })
}
