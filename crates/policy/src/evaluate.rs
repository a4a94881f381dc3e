//! The decision of one policy about one request: linear, without allocation, without a lock.
//!
//! How the decisions of many policies are combined (boundaries, sessions, service control) is not known here.

use std::borrow::Cow;

use thiserror::Error;

use crate::compile::{Policy, Range, Scope, Sketch, Statement};
use crate::condition::Truth;
use crate::context::Context;
use crate::document::Effect;
use crate::pattern::{Match, Pattern, ResourcePattern};
use crate::trust::Principal;

/// What is asked: may this action be done to this resource?
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Request<'a> {
    /// `rds-db:connect`; compared without case.
    pub action: &'a str,
    /// What it is done to; compared by case.
    pub resource: Resource<'a>,
    /// What conditions and variables are about.
    pub context: &'a dyn Context,
    /// Whether the action is in lower case already.
    lower: bool,
    sketch: Sketch,
}

impl<'a> Request<'a> {
    /// A request for `action` on `resource`.
    pub fn new(action: &'a str, resource: Resource<'a>, context: &'a dyn Context) -> Self {
        let lower = !action.bytes().any(|byte| byte.is_ascii_uppercase());
        let sketch = match lower {
            true => Sketch::of_request(action.as_bytes()),
            false => Sketch::of_request(&ActionBuffer::default().fold(action)),
        };
        Self { action, resource, context, lower, sketch }
    }

    /// The action in lower case; most are, and need no room.
    pub(crate) fn folded<'b>(&'b self, room: &'b mut Option<ActionBuffer>) -> Cow<'b, [u8]> {
        match self.lower {
            true => Cow::Borrowed(self.action.as_bytes()),
            false => room.get_or_insert_default().fold(self.action),
        }
    }
}

/// The resource of a request: the parts of its ARN, or [`Resource::any`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// `aws`
    pub partition: &'a str,
    /// `rds-db`; empty only in [`Resource::any`].
    pub service: &'a str,
    /// `us-east-1`; empty for global services.
    pub region: &'a str,
    /// Twelve digits, or empty.
    pub account: &'a str,
    /// The rest of the ARN, colons and slashes included: `dbuser:db-ABC/jane`.
    pub resource: &'a str,
}

/// A text that is not the ARN of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not an ARN: expected `arn:partition:service:region:account:resource` or `*`")]
pub struct NotAnArn(pub String);

impl<'a> Resource<'a> {
    /// The parts of a complete ARN; `*` is [`Resource::any`].
    ///
    /// # Errors
    /// [`NotAnArn`] where there are fewer than six parts, another first word than `arn`, or no service.
    pub fn parse(arn: &'a str) -> Result<Self, NotAnArn> {
        if arn == "*" {
            return Ok(Self::any());
        }
        let parse = || {
            let mut parts = arn.splitn(6, ':');
            let head = parts.next()?;
            let (partition, service, region) = (parts.next()?, parts.next()?, parts.next()?);
            let (account, resource) = (parts.next()?, parts.next()?);
            (head == "arn" && !service.is_empty()).then_some(Self {
                partition,
                service,
                region,
                account,
                resource,
            })
        };
        parse().ok_or_else(|| NotAnArn(arn.to_owned()))
    }

    /// The resource of calls that AWS authorizes on `*` only, such as lists. Of all patterns only the literal `*`
    /// matches it: not `arn:aws:rds:*:*:*`, whatever it would cover. So a `NotResource` of ARNs always applies.
    pub fn any() -> Self {
        Self { partition: "", service: "", region: "", account: "", resource: "*" }
    }

    fn is_any(&self) -> bool {
        self.service.is_empty()
    }
}

/// What one policy says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// No statement applies.
    NoMatch,
    /// This is the first statement that allows, and none denies.
    Allow(StatementRef),
    /// This is the first statement that denies; others may allow, in vain.
    Deny(StatementRef),
}

/// A statement of the policy that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatementRef {
    /// Its position, counted from 0.
    pub index: u16,
}

impl Policy {
    /// What this policy says about the request. A trust policy says nothing here: see
    /// [`Policy::evaluate_trust`].
    pub fn evaluate(&self, request: &Request<'_>) -> Outcome {
        let mut room = None;
        let action = request.folded(&mut room);
        let mut outcome = Outcome::NoMatch;
        for (statement, here) in self.statements() {
            let undecided = outcome == Outcome::NoMatch || statement.effect == Effect::Deny;
            // What turns most statements away at the least cost comes first.
            if !undecided
                || !statement.sketch.may_have(request.sketch)
                || !self.resource_applies(statement, request)
                || !self.action_applies(statement, &action)
                || !self.conditions_apply(statement, request.context)
            {
                continue;
            }
            match statement.effect {
                Effect::Deny => return Outcome::Deny(here),
                Effect::Allow => outcome = Outcome::Allow(here),
            }
        }
        outcome
    }

    pub(crate) fn statements(&self) -> impl Iterator<Item = (&Statement, StatementRef)> {
        // A document of the greatest size holds a few thousand statements, so the index always fits.
        let at = |index| StatementRef { index: u16::try_from(index).unwrap_or(u16::MAX) };
        self.statements.iter().enumerate().map(move |(index, statement)| (statement, at(index)))
    }

    /// `action` is in lower case.
    pub(crate) fn action_applies(&self, statement: &Statement, action: &[u8]) -> bool {
        let listed = statement.actions;
        let mut patterns = listed.range.get(&self.actions).iter();
        patterns.any(|pattern| pattern.matches(&self.texts, action)) != listed.negated
    }

    pub(crate) fn resource_applies(&self, statement: &Statement, request: &Request<'_>) -> bool {
        let Scope::Resources(listed) = statement.scope else { return false };
        let patterns = listed.range.get(&self.resources);
        if !listed.negated {
            return patterns.iter().any(|pattern| self.resource_matches(pattern, request) == Match::Yes);
        }
        // What is excepted by a variable without a value is not known: an Allow of everything else does not apply.
        patterns.iter().all(|pattern| match self.resource_matches(pattern, request) {
            Match::Yes => false,
            Match::No => true,
            Match::NoValue => statement.effect == Effect::Deny,
        })
    }

    fn resource_matches(&self, pattern: &ResourcePattern, request: &Request<'_>) -> Match {
        let ResourcePattern::Arn(patterns) = pattern else { return Match::Yes };
        let [.., last] = patterns;
        // The last part first: it is where ARNs differ most, and whether a variable has a value does not depend on the others.
        match last.matches_in(&self.texts, request.resource.resource.as_bytes(), request.context) {
            Match::Yes => self.other_parts_match(patterns, &request.resource).into(),
            other => other,
        }
    }

    fn other_parts_match(&self, patterns: &[Pattern; 5], resource: &Resource<'_>) -> bool {
        let [by_partition, by_service, by_region, by_account, _] = patterns;
        let matches = |pattern: &Pattern, part: &str| pattern.matches(&self.texts, part.as_bytes());
        !resource.is_any()
            && matches(by_account, resource.account)
            && matches(by_region, resource.region)
            && matches(by_service, resource.service)
            && matches(by_partition, resource.partition)
    }

    /// Whether the conditions leave the statement in force: where one cannot be tested an Allow does not apply and a Deny does.
    pub(crate) fn conditions_apply(&self, statement: &Statement, context: &dyn Context) -> bool {
        match self.conditions_hold(statement, context) {
            Truth::True => true,
            Truth::False => false,
            Truth::Error => statement.effect == Effect::Deny,
        }
    }

    fn conditions_hold(&self, statement: &Statement, context: &dyn Context) -> Truth {
        let mut all = Truth::True;
        for test in statement.conditions.get(&self.tests) {
            match test.truth(test.values.get(&self.expected), &self.texts, context) {
                Truth::True => {}
                Truth::False => return Truth::False,
                Truth::Error => all = Truth::Error,
            }
        }
        all
    }

    pub(crate) fn principals_of(&self, range: Range) -> impl Iterator<Item = &Principal> {
        range.get(&self.principals).iter()
    }
}

/// Room for an action in lower case: the longest of AWS's are of about 70 bytes. A longer one is still evaluated
/// right, at the price of an allocation.
pub(crate) struct ActionBuffer([u8; 96]);

impl Default for ActionBuffer {
    fn default() -> Self {
        Self([0; 96])
    }
}

impl ActionBuffer {
    pub(crate) fn fold(&mut self, action: &str) -> Cow<'_, [u8]> {
        match self.0.get_mut(..action.len()) {
            Some(folded) => {
                folded.copy_from_slice(action.as_bytes());
                folded.make_ascii_lowercase();
                Cow::Borrowed(folded)
            }
            None => Cow::Owned(action.to_ascii_lowercase().into_bytes()),
        }
    }
}
