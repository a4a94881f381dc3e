//! Whether a principal may do an action on a resource: the decision flow of one account over all policies that have a say.
//!
//! An explicit Deny in any of them ends it. Else a service control policy of every level must allow, then an identity policy,
//! then the permissions boundary and the session policies where there are any. A policy that cannot be read denies
//! everything, because what it denies is not known.

use crate::principal::{NamedPolicy, Policies, PrincipalKind};
use crate::{Group, Principal, Role, Snapshot, User};
use policy::{Outcome, Request};
use std::fmt;

/// The answer to a question of authorization.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub enum Authorization<'s> {
    /// Allowed, by this statement of an identity policy.
    Allowed(DecidedBy<'s>),
    /// Not allowed.
    Denied(Denial<'s>),
}

/// The kinds of policies that have a say, by AWS's names for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyType {
    /// Limits what anybody in the account may do.
    ServiceControl,
    /// Of a user, its groups, or a role.
    Identity,
    /// Limits what identity policies allow a user or role.
    Boundary,
    /// Passed when the session was made.
    Session,
}

impl PolicyType {
    /// As AWS's messages have it: `identity-based policy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceControl => "service control policy",
            Self::Identity => "identity-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
        }
    }

    pub(crate) fn article(self) -> &'static str {
        if self == Self::Identity { "an" } else { "a" }
    }
}

/// Why something is not allowed.
#[derive(Clone, Copy, Debug)]
pub enum Denial<'s> {
    /// No policy of the type allows it.
    Implicit(PolicyType),
    /// A statement denies it.
    Explicit(PolicyType, DecidedBy<'s>),
    /// A policy cannot be read, and with it nothing is allowed.
    Unreadable {
        /// The policy's ARN or name.
        policy: &'s str,
        /// What is wrong with it.
        reason: &'s str,
    },
}

impl Denial<'_> {
    /// The end of AWS's message about a call that is not allowed. What cannot be read is nothing that a caller is told.
    pub fn because(&self, action: &str) -> String {
        let explicit =
            |kind: PolicyType| format!("with an explicit deny in {} {}", kind.article(), kind.as_str());
        match self {
            Self::Implicit(kind) => format!("because no {} allows the {action} action", kind.as_str()),
            Self::Explicit(kind, _) => explicit(*kind),
            Self::Unreadable { .. } => explicit(PolicyType::Identity),
        }
    }
}

/// The statement that decided.
#[derive(Clone, Copy, Debug)]
pub struct DecidedBy<'s> {
    /// The ARN of a managed policy, the name of an inline or service control policy.
    pub policy: &'s str,
    /// Which of its statements, from 0.
    pub statement: u16,
    /// The statement's Sid.
    pub sid: Option<&'s str>,
}

impl fmt::Display for DecidedBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} statement {}", self.policy, self.statement + 1)?;
        self.sid.map_or(Ok(()), |sid| write!(f, " ({sid})"))
    }
}

/// What a policy is attached to.
#[derive(Clone, Copy, Debug)]
pub enum Source<'s> {
    /// A user.
    User(&'s User),
    /// A group that the user is in.
    Group(&'s Group),
    /// A role.
    Role(&'s Role),
    /// The session.
    Session,
    /// A level above the account.
    Level(&'s str),
    /// The question itself: it is asked what would be if there were such a policy.
    Question,
}

/// A policy that has a say, and why it has.
#[derive(Clone, Copy, Debug)]
pub struct Consulted<'s> {
    /// What it has a say in.
    pub kind: PolicyType,
    /// What it is attached to.
    pub source: Source<'s>,
    /// The policy; the ARN of one that is attached and not there, or the name of a group that is not.
    pub policy: Result<&'s NamedPolicy, &'s str>,
    /// Whether it is a managed policy.
    pub managed: bool,
}

/// What all the policies say together.
#[derive(Clone, Copy, Debug)]
pub struct Opinions<'s> {
    /// The first explicit Deny, or the first policy that cannot be read.
    denial: Option<Denial<'s>>,
    /// The first statement of an identity policy that allows.
    pub identity: Option<DecidedBy<'s>>,
    /// Whether every level of service control allows; true where there is none.
    pub service_control: bool,
    /// Whether the permissions boundary allows; true where there is none.
    pub boundary: bool,
    /// Whether a session policy allows; true where none was passed, but for a federated user, who may nothing without.
    pub session: bool,
}

impl<'s> Opinions<'s> {
    /// The explicit Deny, or the policy that cannot be read: nothing else matters then.
    pub fn denial(&self) -> Option<Denial<'s>> {
        self.denial
    }

    /// The decision, where no resource-based policy has a say.
    pub fn authorization(&self) -> Authorization<'s> {
        let implicit = |kind| Authorization::Denied(Denial::Implicit(kind));
        match (self.denial, self.identity) {
            (Some(denial), _) => Authorization::Denied(denial),
            _ if !self.service_control => implicit(PolicyType::ServiceControl),
            (None, None) => implicit(PolicyType::Identity),
            _ if !self.boundary => implicit(PolicyType::Boundary),
            _ if !self.session => implicit(PolicyType::Session),
            (None, Some(statement)) => Authorization::Allowed(statement),
        }
    }
}

/// What an Allow of an identity policy is held to. Of each that there is a policy must allow as well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// How many levels of service control there are.
    pub service_control: usize,
    /// Whether there is a permissions boundary.
    pub boundary: bool,
    /// Whether there are session policies, or would have to be.
    pub session: bool,
}

/// One question, put to policies one after the other. Those of a level of service control come together; else the order
/// only says which of many is named.
pub struct Inquiry<'s, 'q> {
    request: &'q Request<'q>,
    limits: Limits,
    opinions: Opinions<'s>,
    levels: Levels<'s>,
}

impl<'s, 'q> Inquiry<'s, 'q> {
    /// A question that nobody has been asked yet.
    pub fn new(request: &'q Request<'q>, limits: Limits) -> Self {
        let opinions = Opinions {
            denial: None,
            identity: None,
            service_control: false,
            boundary: !limits.boundary,
            session: !limits.session,
        };
        Self { request, limits, opinions, levels: Levels::default() }
    }

    /// Asks one more policy.
    pub fn ask(&mut self, consulted: &Consulted<'s>) {
        let opinions = &mut self.opinions;
        match ask(consulted, self.request) {
            Ok(None) => {}
            Ok(Some(statement)) => match consulted.kind {
                PolicyType::ServiceControl => self.levels.allowed_by(consulted.source),
                PolicyType::Identity => opinions.identity = opinions.identity.or(Some(statement)),
                PolicyType::Boundary => opinions.boundary = true,
                PolicyType::Session => opinions.session = true,
            },
            Err(denies) => opinions.denial = opinions.denial.or(Some(denies)),
        }
    }

    /// What they said together.
    pub fn opinions(self) -> Opinions<'s> {
        Opinions { service_control: self.levels.count == self.limits.service_control, ..self.opinions }
    }
}

impl Snapshot {
    /// Whether the principal may do what is requested. Allocates nothing and takes no lock.
    pub fn authorize<'s>(&'s self, principal: &Principal<'s>, request: &Request<'_>) -> Authorization<'s> {
        self.opinions(principal, request).authorization()
    }

    /// What each kind of policy says to what is requested.
    pub fn opinions<'s>(&'s self, principal: &Principal<'s>, request: &Request<'_>) -> Opinions<'s> {
        let mut inquiry = Inquiry::new(request, self.limits(principal));
        self.consult(principal, &mut |consulted| inquiry.ask(&consulted));
        inquiry.opinions()
    }

    /// What the principal is held to.
    pub fn limits(&self, principal: &Principal<'_>) -> Limits {
        let session = match principal.kind {
            PrincipalKind::FederatedUser { .. } => true,
            PrincipalKind::User { .. } | PrincipalKind::RoleSession { .. } => {
                principal.session.is_some_and(|session| session.policies.is_some())
            }
        };
        Limits {
            service_control: self.service_control().len(),
            boundary: principal.boundary().is_some(),
            session,
        }
    }

    /// Shows `visit` every policy that has a say in what the principal does, in the order of the decision.
    pub fn consult<'s>(&'s self, principal: &Principal<'s>, visit: &mut impl FnMut(Consulted<'s>)) {
        self.levels(visit);
        match principal.kind {
            PrincipalKind::User { user } | PrincipalKind::FederatedUser { user, .. } => {
                self.attached(&user.policies, PolicyType::Identity, Source::User(user), visit);
                for name in &user.groups {
                    match self.group(name) {
                        Some(group) => {
                            self.attached(&group.policies, PolicyType::Identity, Source::Group(group), visit);
                        }
                        None => visit(Consulted {
                            kind: PolicyType::Identity,
                            source: Source::User(user),
                            policy: Err(name),
                            managed: false,
                        }),
                    }
                }
            }
            PrincipalKind::RoleSession { role, .. } => {
                self.attached(&role.policies, PolicyType::Identity, Source::Role(role), visit);
            }
        }
        let source = match principal.kind {
            PrincipalKind::User { user } | PrincipalKind::FederatedUser { user, .. } => Source::User(user),
            PrincipalKind::RoleSession { role, .. } => Source::Role(role),
        };
        if let Some(arn) = principal.boundary() {
            let policy = self.policy(arn).ok_or(arn.as_str());
            visit(Consulted { kind: PolicyType::Boundary, source, policy, managed: true });
        }
        if let Some(policies) = principal.session.and_then(|session| session.policies.as_ref()) {
            self.attached(policies, PolicyType::Session, Source::Session, visit);
        }
    }

    /// The same for whoever is in the group and has nothing else.
    pub fn consult_group<'s>(&'s self, group: &'s Group, visit: &mut impl FnMut(Consulted<'s>)) {
        self.levels(visit);
        self.attached(&group.policies, PolicyType::Identity, Source::Group(group), visit);
    }

    fn levels<'s>(&'s self, visit: &mut impl FnMut(Consulted<'s>)) {
        for level in self.service_control() {
            for policy in &level.policies {
                let (kind, source) = (PolicyType::ServiceControl, Source::Level(&level.name));
                visit(Consulted { kind, source, policy: Ok(policy), managed: false });
            }
        }
    }

    fn attached<'s>(
        &'s self,
        policies: &'s Policies,
        kind: PolicyType,
        source: Source<'s>,
        visit: &mut impl FnMut(Consulted<'s>),
    ) {
        for arn in &policies.managed {
            visit(Consulted { kind, source, policy: self.policy(arn).ok_or(arn.as_str()), managed: true });
        }
        for policy in &policies.inline {
            visit(Consulted { kind, source, policy: Ok(policy), managed: false });
        }
    }
}

/// The levels of service control in which a policy allows; they come one after the other.
#[derive(Default)]
struct Levels<'s> {
    count: usize,
    last: Option<&'s str>,
}

impl<'s> Levels<'s> {
    fn allowed_by(&mut self, source: Source<'s>) {
        if let Source::Level(level) = source
            && self.last != Some(level)
        {
            self.count += 1;
            self.last = Some(level);
        }
    }
}

/// The statement that allows, if one does; an error where one denies, or nobody knows.
pub(crate) fn ask<'s>(
    consulted: &Consulted<'s>,
    request: &Request<'_>,
) -> Result<Option<DecidedBy<'s>>, Denial<'s>> {
    // The store never deletes an attached policy, or a group with members; if it is gone all the same, what it denied is not
    // known.
    let named = consulted
        .policy
        .map_err(|name| Denial::Unreadable { policy: name, reason: "it is attached but does not exist" })?;
    let unreadable = |reason: &'s std::sync::Arc<str>| Denial::Unreadable { policy: &named.name, reason };
    let policy = named.policy.as_ref().map_err(unreadable)?;
    let decided_by = |statement: policy::StatementRef| DecidedBy {
        policy: &named.name,
        statement: statement.index,
        sid: policy.sid(statement.index),
    };
    match policy.evaluate(request) {
        Outcome::Deny(statement) => Err(Denial::Explicit(consulted.kind, decided_by(statement))),
        Outcome::Allow(statement) => Ok(Some(decided_by(statement))),
        Outcome::NoMatch => Ok(None),
    }
}
