//! The policy simulator: what policies would decide about calls that nobody makes, by the flow that decides about those
//! that somebody does.
//!
//! It tells of other people's permissions, and changes nothing.

mod context;
mod policies;
mod source;

use super::entity::allow;
use super::page::Page;
use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use axum::response::Response;
use context::{ContextEntry, Known};
use iam::{Authorization, Denial, Inquiry, Limits, PolicyType, Principal};
use policies::{Asked, Given, write_place};
use policy::document::Effect;
use policy::{Key, Overlay, Place, Request, Resource, Values, Verdict};
use source::Source;
use std::collections::BTreeMap;

/// How many statements are looked at for one answer, about. With many or long policies a page has fewer results than were
/// asked for, as on AWS.
const STATEMENTS_PER_ANSWER: usize = 50_000;

const RESOURCE_POLICY: &str =
    "a resource-based policy has no say in any call here, but for the trust policies of roles";
const RESOURCE_HANDLING: &str = "its scenarios are those of Amazon EC2, which is not served here";
const RESOURCE_OWNER: &str = "a call from one account to another is not simulated";

/// SimulatePrincipalPolicy
pub(super) async fn principal(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let arn = source::take(&mut params)?;
    allow(call, arn.as_str())?;
    let given = policies::take(&mut params, policies::INPUT)?;
    let question = Question::take(call, params)?;
    let source = Source::named(call, &arn)?;
    let own = source.principal();
    let caller = question.caller(call)?.or(own);
    let mut limits = match &own {
        Some(own) => call.snapshot.limits(own),
        None => Limits { service_control: call.snapshot.service_control().len(), ..Limits::default() },
    };
    limits.boundary |= question.boundary.is_some();
    let mut asked = Vec::new();
    for consulted in source.consulted(call.snapshot) {
        // A boundary that is given stands in the place of the one that there is.
        if consulted.kind != PolicyType::Boundary || question.boundary.is_none() {
            asked.push(policies::attached(call, consulted).await?);
        }
    }
    asked.extend(given.iter().map(|given| given.asked(PolicyType::Identity)));
    question.answer(call, asked, limits, caller)
}

/// SimulateCustomPolicy
pub(super) async fn custom(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    allow(call, "*")?;
    let given = policies::take_some(&mut params)?;
    let question = Question::take(call, params)?;
    let caller = question.caller(call)?;
    let limits = Limits { boundary: question.boundary.is_some(), ..Limits::default() };
    let asked = given.iter().map(|given| given.asked(PolicyType::Identity)).collect();
    question.answer(call, asked, limits, caller)
}

/// GetContextKeysForPrincipalPolicy
pub(super) async fn principal_keys(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let arn = source::take(&mut params)?;
    allow(call, arn.as_str())?;
    let given = policies::take(&mut params, policies::INPUT)?;
    params.finish()?;
    let source = Source::named(call, &arn)?;
    let mut keys = Spelled::default();
    for consulted in source.consulted(call.snapshot) {
        keys.extend(policies::readable(&consulted)?.context_keys());
    }
    keys.extend(given.iter().flat_map(|given| given.policy().context_keys()));
    Ok(call.respond(|w| w.texts("ContextKeyNames", "member", keys.names())))
}

/// GetContextKeysForCustomPolicy
pub(super) fn custom_keys(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    allow(call, "*")?;
    let given = policies::take_some(&mut params)?;
    params.finish()?;
    let mut keys = Spelled::default();
    keys.extend(given.iter().flat_map(|given| given.policy().context_keys()));
    Ok(call.respond(|w| w.texts("ContextKeyNames", "member", keys.names())))
}

/// Names of context keys, each once and in their order, as they were spelled first: they are compared without case.
#[derive(Default)]
struct Spelled<'p>(BTreeMap<String, &'p str>);

impl<'p> Spelled<'p> {
    fn extend(&mut self, names: impl IntoIterator<Item = &'p str>) {
        for name in names {
            self.0.entry(name.to_ascii_lowercase()).or_insert(name);
        }
    }

    fn names(&self) -> impl Iterator<Item = &'p str> {
        self.0.values().copied()
    }
}

/// What is asked of a principal's policies and of policies that are given alike.
struct Question {
    actions: Vec<String>,
    resources: Vec<String>,
    /// The permissions boundary that is given.
    boundary: Option<Given>,
    caller: Option<::iam::Arn>,
    entries: Vec<ContextEntry>,
    page: Page,
}

impl Question {
    /// Takes all that is left of the parameters.
    fn take(call: &Call<'_>, mut params: Params) -> Result<Self, ApiError> {
        params.refuse("ResourcePolicy", RESOURCE_POLICY)?;
        params.refuse("ResourceHandlingOption", RESOURCE_HANDLING)?;
        take_owner(call, &mut params)?;
        let question = Self {
            actions: take_actions(&mut params)?,
            resources: take_resources(&mut params)?,
            boundary: policies::take_boundary(&mut params)?,
            caller: source::take_caller(&mut params)?,
            entries: context::take(&mut params)?,
            page: Page::read(&mut params)?,
        };
        params.finish()?;
        Ok(question)
    }

    /// The user that CallerArn names.
    fn caller<'s>(&self, call: &Call<'s>) -> Result<Option<Principal<'s>>, ApiError> {
        let Some(arn) = &self.caller else { return Ok(None) };
        Ok(Source::find(call, arn)?.principal())
    }

    /// Puts the question of each action on each resource to the policies.
    fn answer<'q>(
        &'q self,
        call: &Call<'_>,
        mut asked: Vec<Asked<'q>>,
        limits: Limits,
        caller: Option<Principal<'_>>,
    ) -> Result<Response, ApiError> {
        let Self { actions, resources, boundary, entries, page, caller: _ } = self;
        asked.extend(boundary.iter().map(|given| given.asked(PolicyType::Boundary)));
        let statements: usize = asked.iter().map(|asked| asked.policy.statement_count()).sum();
        let most = (STATEMENTS_PER_ANSWER / statements.max(1)).max(1);
        let part = page.cut_numbers(actions.len().saturating_mul(resources.len()), most)?;

        let entries = context::entries(entries);
        let mut results = Vec::with_capacity(part.items.len());
        for number in &part.items {
            let (action, resource) = (number / resources.len(), number % resources.len());
            let (Some(action), Some(resource)) = (actions.get(action), resources.get(resource)) else {
                break;
            };
            let parsed = Resource::parse(resource).map_err(|_| not_arns(&[resource]))?;
            let known = Known::new(call, caller.as_ref(), &parsed);
            let context = Overlay { first: &entries, then: &known };
            let request = Request::new(action, parsed, &context);
            results.push(Evaluated::of(&asked, &request, limits, action, resource)?);
        }
        Ok(call.respond(|w| {
            w.list("EvaluationResults", "member", &results, |w, result| result.write(w));
            part.write(w);
        }))
    }
}

/// What the policies say of one action on one resource.
struct Evaluated<'a> {
    action: &'a str,
    resource: &'a str,
    /// `allowed`, `explicitDeny` or `implicitDeny`.
    decision: &'static str,
    /// The statements that made it so.
    matched: Vec<(&'a str, Option<(Place, Place)>)>,
    missing: Spelled<'a>,
    allowed_by_boundary: Option<bool>,
    allowed_by_organizations: Option<bool>,
}

impl<'a> Evaluated<'a> {
    fn of(
        asked: &'a [Asked<'_>],
        request: &Request<'_>,
        limits: Limits,
        action: &'a str,
        resource: &'a str,
    ) -> Result<Self, ApiError> {
        let mut inquiry = Inquiry::new(request, limits);
        for asked in asked {
            inquiry.ask(&asked.consulted);
        }
        let opinions = inquiry.opinions();
        let (decision, deciding) = match opinions.authorization() {
            Authorization::Allowed(_) => ("allowed", Some(Effect::Allow)),
            Authorization::Denied(Denial::Implicit(_)) => ("implicitDeny", None),
            Authorization::Denied(Denial::Explicit(..)) => ("explicitDeny", Some(Effect::Deny)),
            Authorization::Denied(Denial::Unreadable { policy, reason }) => {
                return Err(policies::unreadable(policy, reason));
            }
        };
        let denied_above = matches!(opinions.denial(), Some(Denial::Explicit(PolicyType::ServiceControl, _)));
        let mut result = Self {
            action,
            resource,
            decision,
            matched: Vec::new(),
            missing: Spelled::default(),
            allowed_by_boundary: limits.boundary.then_some(opinions.boundary),
            allowed_by_organizations: (limits.service_control > 0)
                .then_some(opinions.service_control && !denied_above),
        };
        for asked in asked {
            result.explain(asked, request, deciding);
        }
        Ok(result)
    }

    /// Adds what a policy has to do with it.
    fn explain(&mut self, asked: &'a Asked<'_>, request: &Request<'_>, deciding: Option<Effect>) {
        for report in asked.policy.explain(request) {
            let Some(statement) = asked.statements.get(usize::from(report.index)) else { continue };
            if matches!(report.verdict, Verdict::OtherAction(_)) {
                continue;
            }
            // An entry without values says that there is none; that is an answer too.
            let is_missing = |key: &str| matches!(request.context.values(Key::new(key)), Values::Missing);
            self.missing.extend(statement.keys.iter().map(String::as_str).filter(|key| is_missing(key)));
            let grants = report.effect == Effect::Deny || asked.consulted.kind == PolicyType::Identity;
            if report.verdict == Verdict::Applies && Some(report.effect) == deciding && grants {
                self.matched.push((&asked.id, statement.place));
            }
        }
    }

    fn write(&self, w: &mut Writer) {
        w.text("EvalActionName", self.action);
        w.text("EvalResourceName", self.resource);
        w.text("EvalDecision", self.decision);
        self.write_reasons(w);
        if let Some(allowed) = self.allowed_by_organizations {
            w.element("OrganizationsDecisionDetail", |w| w.flag("AllowedByOrganizations", allowed));
        }
        // As on AWS: about a resource that is named the same is said once more, and of an account's own calls nothing else.
        if self.resource != "*" {
            w.element("EvalDecisionDetails", |_| {});
            w.list("ResourceSpecificResults", "member", [()], |w, ()| {
                w.text("EvalResourceName", self.resource);
                w.text("EvalResourceDecision", self.decision);
                self.write_reasons(w);
            });
        }
    }

    fn write_reasons(&self, w: &mut Writer) {
        w.list("MatchedStatements", "member", &self.matched, |w, (policy, place)| {
            w.text("SourcePolicyId", policy);
            // AWS's model has other values, AWS's answers this one.
            w.text("SourcePolicyType", "IAM Policy");
            if let Some((start, end)) = place {
                write_place(*start, "StartPosition", w);
                write_place(*end, "EndPosition", w);
            }
        });
        w.texts("MissingContextValues", "member", self.missing.names());
        if let Some(allowed) = self.allowed_by_boundary {
            w.element("PermissionsBoundaryDecisionDetail", |w| {
                w.flag("AllowedByPermissionsBoundary", allowed);
            });
        }
    }
}

/// Takes the actions: `vendor:Name`, without wildcards.
fn take_actions(params: &mut Params) -> Result<Vec<String>, ApiError> {
    let actions = params.list("ActionNames", "member")?;
    if actions.is_empty() {
        // The error that names it.
        params.required("ActionNames")?;
    }
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    for action in &actions {
        let named = action.split_once(':').is_some_and(|(vendor, name)| word(vendor) && word(name));
        if !named || action.len() > 128 {
            return Err(ApiError::invalid_input(format!("Invalid Action: {}", shown(action))));
        }
    }
    Ok(actions)
}

/// Takes the ARNs of the resources; where none is given it is `*`.
fn take_resources(params: &mut Params) -> Result<Vec<String>, ApiError> {
    let resources = params.list("ResourceArns", "member")?;
    let is_arn = |text: &str| text.len() <= 2048 && Resource::parse(text).is_ok();
    let wrong: Vec<&str> = resources.iter().map(String::as_str).filter(|text| !is_arn(text)).collect();
    if !wrong.is_empty() {
        return Err(not_arns(&wrong));
    }
    Ok(if resources.is_empty() { vec!["*".to_owned()] } else { resources })
}

fn not_arns(texts: &[&str]) -> ApiError {
    let texts: Vec<String> = texts.iter().map(|text| shown(text)).collect();
    ApiError::invalid_input(format!("ResourceNames are not in a valid ARN format: {}.", texts.join(", ")))
}

/// Takes the owner of resources whose ARN names none: it is this account.
fn take_owner(call: &Call<'_>, params: &mut Params) -> Result<(), ApiError> {
    let own = call.services.iam_arn("root");
    let Some(owner) = params.optional("ResourceOwner").filter(|owner| *owner != own) else { return Ok(()) };
    match owner.parse::<::iam::Arn>() {
        Ok(arn) if arn.service() == "iam" && arn.resource() == "root" => {
            Err(params.unsupported("ResourceOwner", RESOURCE_OWNER))
        }
        _ => Err(ApiError::invalid_input(format!("'{}' is not a valid as a Resource Owner.", shown(&owner)))),
    }
}

/// The beginning of a wrong value, for an error.
fn shown(value: &str) -> String {
    value.chars().take(512).collect()
}
