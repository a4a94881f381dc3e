//! Whose policies are simulated: the user, group or role that an ARN names.

use crate::call::Call;
use crate::query::{ApiError, Params};
use iam::{Arn, Consulted, Group, Principal, PrincipalKind, Role, Snapshot, User};

/// A user, group or role of the account.
#[derive(Clone, Copy)]
pub(super) enum Source<'s> {
    User(Principal<'s>),
    Group(&'s Group),
    /// As in a session without session policies.
    Role(Principal<'s>),
}

/// What is before the first slash of the resource, and what is behind the last.
fn kind_and_name(arn: &Arn) -> Option<(&str, &str)> {
    let (kind, rest) = arn.resource().split_once('/')?;
    let name = rest.rsplit('/').next().filter(|name| !name.is_empty())?;
    let entity =
        arn.service() == "iam" && arn.region().is_empty() && matches!(kind, "user" | "group" | "role");
    entity.then_some((kind, name))
}

/// Takes the ARN of a user, group or role.
pub(super) fn take(params: &mut Params) -> Result<Arn, ApiError> {
    let text = params.required("PolicySourceArn")?;
    if text.len() < 20 {
        return Err(params.invalid("PolicySourceArn", &text, "must have length greater than or equal to 20"));
    }
    if text.len() > 2048 {
        return Err(params.invalid("PolicySourceArn", &text, "must have length less than or equal to 2048"));
    }
    let arn = text.parse::<Arn>().map_err(|error| ApiError::invalid_input(error.to_string()))?;
    if kind_and_name(&arn).is_none() {
        let message = format!("Invalid Entity Arn: {arn} does not clearly define entity type and name.");
        return Err(ApiError::invalid_input(message));
    }
    Ok(arn)
}

/// Takes the ARN of the user that calls in the simulation.
pub(super) fn take_caller(params: &mut Params) -> Result<Option<Arn>, ApiError> {
    let Some(text) = params.optional("CallerArn") else { return Ok(None) };
    let arn = text.parse::<Arn>().ok();
    let user = arn.filter(|arn| kind_and_name(arn).is_some_and(|(kind, _)| kind == "user"));
    let wrong = || ApiError::invalid_input("Invalid caller - Caller must be an IAM user in this context.");
    user.ok_or_else(wrong).map(Some)
}

impl<'s> Source<'s> {
    /// Whose policies the ARN names: those of another account are not known.
    pub(super) fn named(call: &Call<'s>, arn: &Arn) -> Result<Self, ApiError> {
        let own = call.snapshot.account();
        if arn.account() != own.as_str() {
            return Err(ApiError::invalid_input(format!(
                "Invalid Policy Source Arn: caller's account {own} does not have access to policies in account {}",
                arn.account()
            )));
        }
        Self::find(call, arn)
    }

    /// Whom the ARN names.
    pub(super) fn find(call: &Call<'s>, arn: &Arn) -> Result<Self, ApiError> {
        let (kind, name) = kind_and_name(arn).unwrap_or_default();
        let folded = name.to_ascii_lowercase();
        let account = call.snapshot.account();
        let principal = |arn, kind| Principal { arn, account, kind, session: None };
        let user = |user: &'s User| Self::User(principal(&user.arn, PrincipalKind::User { user }));
        // Which session it would be is not known.
        let role = |role: &'s Role| {
            Self::Role(principal(&role.arn, PrincipalKind::RoleSession { role, user_id: "" }))
        };
        let found = match kind {
            "user" => call.snapshot.user(&folded).filter(|found| found.arn == *arn).map(user),
            "group" => call.snapshot.group(&folded).filter(|found| found.arn == *arn).map(Self::Group),
            _ => call.snapshot.role(&folded).filter(|found| found.arn == *arn).map(role),
        };
        found.ok_or_else(|| ApiError::no_such_entity(format!("The {kind} with name {name} cannot be found.")))
    }

    /// Who calls where nobody else is named; in the name of a group nobody does.
    pub(super) fn principal(&self) -> Option<Principal<'s>> {
        match *self {
            Self::User(principal) | Self::Role(principal) => Some(principal),
            Self::Group(_) => None,
        }
    }

    /// The policies that have a say.
    pub(super) fn consulted(&self, snapshot: &'s Snapshot) -> Vec<Consulted<'s>> {
        let mut all = Vec::new();
        let mut visit = |consulted| all.push(consulted);
        match self {
            Self::User(principal) | Self::Role(principal) => snapshot.consult(principal, &mut visit),
            Self::Group(group) => snapshot.consult_group(group, &mut visit),
        }
        all
    }
}
