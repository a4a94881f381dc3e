//! Why a request is allowed or not: the decision, and beside it every policy that has a say, with what became of each of its
//! statements.
//!
//! The decision is that of `opinions`, the policies are those that `consult` shows, and what each says is asked as the
//! decision asks it: the explanation cannot tell another story than the decision.

use crate::authorize::{Authorization, Consulted, DecidedBy, Denial, PolicyType, Source, ask};
use crate::{Principal, Snapshot};
use policy::{Key, Request, StatementReport, Values};
use std::collections::BTreeMap;

/// A decision with everything that was considered on the way.
#[derive(Clone, Debug)]
pub struct Explanation<'s> {
    /// The decision.
    pub authorization: Authorization<'s>,
    /// What the policies of each type say, in the order of the decision: the service control policies level by level, the
    /// identity policies, the permissions boundary, the session policies.
    pub types: Vec<TypeReport<'s>>,
    /// The context keys that any of the policies asks for, each once, with their values in the request; none where it does not
    /// have the key.
    pub keys: Vec<(String, Option<Vec<String>>)>,
}

/// What the policies of a type say together.
#[derive(Clone, Debug)]
pub struct TypeReport<'s> {
    /// The type.
    pub kind: PolicyType,
    /// The level, of service control policies; none also where there are no such policies at all.
    pub level: Option<&'s str>,
    /// What they come to.
    pub says: Says<'s>,
    /// The policies, each with what it says.
    pub policies: Vec<PolicyReport<'s>>,
}

/// What a policy, or all of a type, say to the request.
#[derive(Clone, Copy, Debug)]
pub enum Says<'s> {
    /// There is none of the type, and none is needed.
    NoLimit,
    /// A statement allows; of a type with one where there is none.
    Allows(DecidedBy<'s>),
    /// A statement denies.
    Denies(DecidedBy<'s>),
    /// Nothing: no statement applies.
    Nothing,
    /// It cannot be read, for this reason, and with it nothing is allowed.
    Unreadable(&'s str),
}

/// A policy, and what became of its statements.
#[derive(Clone, Debug)]
pub struct PolicyReport<'s> {
    /// The policy and what it is attached to.
    pub consulted: Consulted<'s>,
    /// What it says.
    pub says: Says<'s>,
    /// Its statements in the order of the document; none where it cannot be read.
    pub statements: Vec<StatementReport>,
}

impl Consulted<'_> {
    /// The ARN of a managed policy, the name of another one.
    pub fn name(&self) -> &str {
        self.policy.map_or_else(|name| name, |policy| &policy.name)
    }
}

impl Snapshot {
    /// The decision about a request, and why it is what it is.
    pub fn explain<'s>(&'s self, principal: &Principal<'s>, request: &Request<'_>) -> Explanation<'s> {
        let mut types = self.types(principal);
        let mut keys = BTreeMap::new();
        self.consult(principal, &mut |consulted| {
            let policy = consulted.policy.ok().and_then(|named| named.policy.as_ref().ok());
            for key in policy.iter().flat_map(|policy| policy.context_keys()) {
                keys.entry(key.to_ascii_lowercase())
                    .or_insert_with(|| (key.to_owned(), values(request, key)));
            }
            let says = match ask(&consulted, request) {
                Ok(Some(statement)) => Says::Allows(statement),
                Ok(None) => Says::Nothing,
                Err(Denial::Explicit(_, statement)) => Says::Denies(statement),
                Err(Denial::Unreadable { reason, .. }) => Says::Unreadable(reason),
                // One policy alone never says that others are silent.
                Err(Denial::Implicit(_)) => Says::Nothing,
            };
            let statements = policy.map(|policy| policy.explain(request)).unwrap_or_default();
            let level = match consulted.source {
                Source::Level(level) => Some(level),
                Source::User(_) | Source::Group(_) | Source::Role(_) | Source::Session | Source::Question => {
                    None
                }
            };
            if let Some(of_type) = types.iter_mut().find(|t| t.kind == consulted.kind && t.level == level) {
                of_type.says = of_type.says.and(says);
                of_type.policies.push(PolicyReport { consulted, says, statements });
            }
        });
        Explanation {
            authorization: self.authorize(principal, request),
            types,
            keys: keys.into_values().collect(),
        }
    }

    /// The types of policies that may have a say, before any was asked.
    fn types<'s>(&'s self, principal: &Principal<'s>) -> Vec<TypeReport<'s>> {
        let limited = |yes: bool| if yes { Says::Nothing } else { Says::NoLimit };
        let of_type = |kind, level, says| TypeReport { kind, level, says, policies: Vec::new() };
        let levels = self.service_control();
        let levels =
            levels.iter().map(|l| of_type(PolicyType::ServiceControl, Some(&*l.name), Says::Nothing));
        let mut types: Vec<_> = levels.collect();
        if types.is_empty() {
            types.push(of_type(PolicyType::ServiceControl, None, Says::NoLimit));
        }
        let limits = self.limits(principal);
        types.push(of_type(PolicyType::Identity, None, Says::Nothing));
        types.push(of_type(PolicyType::Boundary, None, limited(limits.boundary)));
        types.push(of_type(PolicyType::Session, None, limited(limits.session)));
        types
    }
}

impl Says<'_> {
    /// What two of a type say together: what denies goes before what allows, the first before the second.
    fn and(self, other: Self) -> Self {
        let weight = |says: &Self| match says {
            Self::Denies(_) | Self::Unreadable(_) => 2,
            Self::Allows(_) => 1,
            Self::Nothing | Self::NoLimit => 0,
        };
        if weight(&other) > weight(&self) { other } else { self }
    }
}

fn values(request: &Request<'_>, key: &str) -> Option<Vec<String>> {
    match request.context.values(Key::new(key)) {
        Values::Missing | Values::Many([]) => None,
        Values::One(value) => Some(vec![value.to_string()]),
        Values::Many(values) => Some(values.iter().map(ToString::to_string).collect()),
    }
}
