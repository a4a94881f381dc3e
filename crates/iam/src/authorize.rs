//! Whether a principal may do an action on a resource: the decision flow of one account over all of its policies.
//!
//! An explicit Deny anywhere ends it; else one Allow is needed; else it is denied. A policy that cannot be applied in full
//! denies everything, because what it denies is not known.

use crate::principal::{NamedPolicy, Policies, PrincipalKind};
use crate::{Principal, Snapshot};
use policy::{Outcome, Request};

/// The answer to a question of authorization.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub enum Authorization<'s> {
    /// Allowed, by this statement.
    Allowed(DecidedBy<'s>),
    /// Not allowed.
    Denied(Denial<'s>),
}

/// Why something is not allowed.
#[derive(Clone, Copy, Debug)]
pub enum Denial<'s> {
    /// No identity-based policy allows it.
    Implicit,
    /// A statement denies it.
    Explicit(DecidedBy<'s>),
    /// A policy cannot be applied, and with it nothing is allowed.
    Unreadable {
        /// The policy's ARN or name.
        policy: &'s str,
        /// What is wrong with it.
        reason: &'s str,
    },
}

/// The statement that decided.
#[derive(Clone, Copy, Debug)]
pub struct DecidedBy<'s> {
    /// The ARN of a managed policy, the name of an inline one.
    pub policy: &'s str,
    /// Which of its statements, from 0.
    pub statement: u16,
    /// The statement's Sid.
    pub sid: Option<&'s str>,
}

impl std::fmt::Display for DecidedBy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} statement {}", self.policy, self.statement + 1)?;
        self.sid.map_or(Ok(()), |sid| write!(f, " ({sid})"))
    }
}

impl Snapshot {
    /// Whether the principal may do what is requested. Allocates nothing and takes no lock.
    pub fn authorize<'s>(&'s self, principal: &Principal<'s>, request: &Request<'_>) -> Authorization<'s> {
        let mut vote = Vote::default();
        let denial = match principal.kind {
            PrincipalKind::User { user, .. } => {
                self.consult(&user.policies, request, &mut vote).or_else(|| {
                    let groups = user.groups.iter().filter_map(|name| self.group(name));
                    groups.into_iter().find_map(|group| self.consult(&group.policies, request, &mut vote))
                })
            }
            PrincipalKind::RoleSession { role, .. } => self.consult(&role.policies, request, &mut vote),
        };
        match (denial, vote.allowed_by) {
            (Some(denial), _) => Authorization::Denied(denial),
            (None, Some(statement)) => Authorization::Allowed(statement),
            (None, None) => Authorization::Denied(Denial::Implicit),
        }
    }

    /// Asks every policy of one set; answers with the denial that ends the matter, if there is one.
    fn consult<'s>(
        &'s self,
        policies: &'s Policies,
        request: &Request<'_>,
        vote: &mut Vote<'s>,
    ) -> Option<Denial<'s>> {
        let managed = policies.managed.iter().map(|arn| self.policy(arn).ok_or(arn.as_str()));
        managed.chain(policies.inline.iter().map(Ok)).find_map(|found| match found {
            Ok(named) => vote.ask(named, request),
            // The store never deletes an attached policy; if it is gone all the same, what it denied is not known.
            Err(arn) => Some(Denial::Unreadable { policy: arn, reason: "it is attached but does not exist" }),
        })
    }
}

#[derive(Default)]
struct Vote<'s> {
    allowed_by: Option<DecidedBy<'s>>,
}

impl<'s> Vote<'s> {
    fn ask(&mut self, named: &'s NamedPolicy, request: &Request<'_>) -> Option<Denial<'s>> {
        let policy = match &named.policy {
            Ok(policy) => policy,
            Err(reason) => return Some(Denial::Unreadable { policy: &named.name, reason }),
        };
        let decided_by = |statement: policy::StatementRef| DecidedBy {
            policy: &named.name,
            statement: statement.index,
            sid: policy.sid(statement.index),
        };
        match policy.evaluate(request) {
            Outcome::Deny(statement) => return Some(Denial::Explicit(decided_by(statement))),
            Outcome::Allow(statement) => {
                self.allowed_by.get_or_insert_with(|| decided_by(statement));
            }
            Outcome::NoMatch => {}
        }
        None
    }
}
