//! Who may assume a role: the principals a trust policy names, and the decision for one caller.
//!
//! It answers for the trust policy alone. Whether the caller's own policies must allow as well follows from
//! the outcome and from whether caller and role are of one account; that is the caller of this crate's matter.

use crate::compile::{Policy, Scope};
use crate::context::Context;
use crate::document::Effect;
use crate::evaluate::{ActionBuffer, StatementRef};
use crate::validate::is_partition;

/// Someone a trust policy names.
///
/// AWS binds the name of a user or role to its unique id when the policy is stored, so that a namesake created
/// later is not trusted: [`Policy::bind_principals`] does that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Principal {
    /// `"*"` or `{"AWS": "*"}`, which mean the same: any principal of any account. It counts as naming the
    /// principal itself, as it does in AWS's other resource-based policies.
    Anyone,
    /// An account, by its id or as `arn:aws:iam::123456789012:root`: whomever that account's policies allow.
    Account {
        /// Twelve digits.
        account: Box<str>,
        /// As in the ARN; a bare account id leaves it open.
        partition: Option<Box<str>>,
    },
    /// An IAM user.
    User {
        /// The user's ARN, path included.
        arn: Box<str>,
        /// Where bound, it decides instead of the ARN.
        unique_id: Option<Box<str>>,
    },
    /// An IAM role: every session of it.
    Role {
        /// The role's ARN, path included.
        arn: Box<str>,
        /// Where bound, it decides instead of the ARN.
        unique_id: Option<Box<str>>,
    },
    /// One session name of a role: `arn:aws:sts::123456789012:assumed-role/Role/session`.
    RoleSession {
        /// The session's ARN.
        arn: Box<str>,
    },
    /// A session of GetFederationToken. Such sessions cannot call AssumeRole: kept, never matched.
    FederatedUser {
        /// The session's ARN.
        arn: Box<str>,
    },
    /// The unique id of a user (`AIDA...`) or role (`AROA...`), as AWS shows a principal that was deleted.
    UniqueId(Box<str>),
    /// A service such as `ec2.amazonaws.com`: kept, never matches an AWS principal.
    Service(Box<str>),
    /// An identity provider, by ARN or domain: kept, never matches an AWS principal.
    Federated(Box<str>),
    /// An S3 canonical user id: kept, never matches an AWS principal.
    CanonicalUser(Box<str>),
}

/// A call that a trust policy decides.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct TrustRequest<'a> {
    /// `sts:AssumeRole` and the like; case-insensitive.
    pub action: &'a str,
    /// Who calls.
    pub principal: TrustPrincipal<'a>,
    /// What conditions are about.
    pub context: &'a dyn Context,
}

impl<'a> TrustRequest<'a> {
    /// A call of `action` by `principal`.
    pub fn new(action: &'a str, principal: TrustPrincipal<'a>, context: &'a dyn Context) -> Self {
        Self { action, principal, context }
    }
}

/// The caller, as authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustPrincipal<'a> {
    /// `aws`
    pub partition: &'a str,
    /// Twelve digits.
    pub account: &'a str,
    /// Who in the account.
    pub identity: TrustIdentity<'a>,
}

/// Who in an account calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustIdentity<'a> {
    /// The account's root user.
    Root,
    /// An IAM user.
    User {
        /// `arn:aws:iam::123456789012:user/path/name`
        arn: &'a str,
        /// `AIDA...`
        unique_id: &'a str,
    },
    /// A session of a role.
    RoleSession {
        /// `arn:aws:sts::123456789012:assumed-role/Role/session`
        arn: &'a str,
        /// `arn:aws:iam::123456789012:role/path/Role`
        role_arn: &'a str,
        /// `AROA...`
        role_id: &'a str,
    },
}

/// What a trust policy says about a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum TrustOutcome {
    /// No statement applies: refused.
    NoMatch,
    /// Anybody is meant: enough within the role's account, and nobody's own limits are lifted by it.
    AllowedToAnyone(StatementRef),
    /// The principal itself is named. Within the role's account that is enough; a caller of another account also
    /// needs its own identity policies to allow.
    AllowedDirectly(StatementRef),
    /// This one session of a role is named: not even the session's own limits are asked.
    AllowedSession(StatementRef),
    /// Only the caller's account is named: the caller's identity policies must allow as well.
    AllowedByAccount(StatementRef),
    /// An explicit Deny applies.
    Denied(StatementRef),
}

/// How far a name reaches a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    No,
    Account,
    Anyone,
    /// The user; the role, and with it every session of it.
    Itself,
    /// The one session.
    Session,
}

impl Policy {
    /// What this trust policy says about the call: an explicit Deny wins, then a statement that names the
    /// principal itself, then one that names its account. A policy of another kind matches nothing.
    ///
    /// A Deny with `NotPrincipal` spares only who is listed along the whole chain, as AWS's documentation asks
    /// policies to be written: the account and the user; or the account, the role and the session.
    pub fn evaluate_trust(&self, request: &TrustRequest<'_>) -> TrustOutcome {
        let caller = &request.principal;
        let mut buffer = ActionBuffer::default();
        let action = buffer.fold(request.action);
        let (mut outcome, mut furthest) = (TrustOutcome::NoMatch, Reach::No);
        for (statement, here) in self.statements() {
            let Scope::Principals { negated, range } = &statement.scope else { continue };
            if !self.action_applies(statement, &action) {
                continue;
            }
            let names = || self.principals_of(*range);
            let reach = match negated {
                false => names().map(|name| name.reach(caller)).max().unwrap_or(Reach::No),
                true if caller.is_spared_by(names) => Reach::No,
                true => Reach::Anyone,
            };
            if reach == Reach::No || !self.conditions_apply(statement, request.context) {
                continue;
            }
            if statement.effect == Effect::Deny {
                return TrustOutcome::Denied(here);
            }
            // The first statement of those that reach furthest.
            if reach > furthest {
                furthest = reach;
                outcome = match reach {
                    Reach::No => outcome,
                    Reach::Account => TrustOutcome::AllowedByAccount(here),
                    Reach::Anyone => TrustOutcome::AllowedToAnyone(here),
                    Reach::Itself => TrustOutcome::AllowedDirectly(here),
                    Reach::Session => TrustOutcome::AllowedSession(here),
                };
            }
        }
        outcome
    }

    /// Every principal the policy names, statement by statement.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.principals.iter()
    }

    /// The same policy with its users and roles bound to their unique ids: `resolve` gets each
    /// [`Principal::User`] and [`Principal::Role`], and its answer decides instead of the ARN. `None` leaves the
    /// name as it is, so a name that no longer exists should be bound to the id it had.
    #[must_use]
    pub fn bind_principals(mut self, mut resolve: impl FnMut(&Principal) -> Option<Box<str>>) -> Self {
        for principal in &mut self.principals {
            if !matches!(principal, Principal::User { .. } | Principal::Role { .. }) {
                continue;
            }
            let resolved = resolve(principal);
            if let Principal::User { unique_id, .. } | Principal::Role { unique_id, .. } = principal {
                *unique_id = resolved.or_else(|| unique_id.take());
            }
        }
        self
    }
}

impl Principal {
    /// `None` where the name has not the shape that its provider demands; wildcards inside a name never have.
    pub(crate) fn parse(provider: &str, name: &str) -> Option<Self> {
        match provider {
            "AWS" => Self::parse_aws(name),
            "Service" => is_domain(name).then(|| Self::Service(name.into())),
            "Federated" => {
                (is_domain(name) || is_identity_provider(name)).then(|| Self::Federated(name.into()))
            }
            "CanonicalUser" => (name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| Self::CanonicalUser(name.into())),
            _ => None,
        }
    }

    fn parse_aws(name: &str) -> Option<Self> {
        if name == "*" {
            return Some(Self::Anyone);
        }
        if is_account_id(name) {
            return Some(Self::Account { account: name.into(), partition: None });
        }
        if is_unique_id(name) {
            return Some(Self::UniqueId(name.into()));
        }
        let (partition, service, account, resource) = split_arn(name)?;
        let arn = name.into();
        match (service, resource.split_once('/')) {
            ("iam", None) if resource == "root" => {
                Some(Self::Account { account: account.into(), partition: Some(partition.into()) })
            }
            ("iam", Some(("user", path))) if is_path_and_name(path) => {
                Some(Self::User { arn, unique_id: None })
            }
            ("iam", Some(("role", path))) if is_path_and_name(path) => {
                Some(Self::Role { arn, unique_id: None })
            }
            ("sts", Some(("federated-user", user))) if is_name(user) => Some(Self::FederatedUser { arn }),
            ("sts", Some(("assumed-role", session))) => {
                let (role, session) = session.split_once('/')?;
                (is_name(role) && is_name(session)).then_some(Self::RoleSession { arn })
            }
            _ => None,
        }
    }

    fn reach(&self, caller: &TrustPrincipal<'_>) -> Reach {
        let bound_or_named = |bound: &Option<Box<str>>, id: &str, name: &str, arn: &str| match bound {
            Some(bound) => bound.as_ref() == id,
            None => name == arn,
        };
        let itself = match (self, caller.identity) {
            (Self::Anyone, _) => return Reach::Anyone,
            (Self::Account { account, partition }, _) => {
                let same_partition = partition.as_deref().is_none_or(|p| p == caller.partition);
                return if account.as_ref() == caller.account && same_partition {
                    Reach::Account
                } else {
                    Reach::No
                };
            }
            (Self::User { arn: name, unique_id: bound }, TrustIdentity::User { arn, unique_id }) => {
                bound_or_named(bound, unique_id, name, arn)
            }
            (Self::Role { arn, unique_id }, TrustIdentity::RoleSession { role_arn, role_id, .. }) => {
                bound_or_named(unique_id, role_id, arn, role_arn)
            }
            (Self::RoleSession { arn: name }, TrustIdentity::RoleSession { arn, .. }) => {
                return if name.as_ref() == arn { Reach::Session } else { Reach::No };
            }
            (Self::UniqueId(id), TrustIdentity::User { unique_id, .. }) => id.as_ref() == unique_id,
            (Self::UniqueId(id), TrustIdentity::RoleSession { role_id, .. }) => id.as_ref() == role_id,
            _ => false,
        };
        if itself { Reach::Itself } else { Reach::No }
    }
}

impl TrustPrincipal<'_> {
    fn is_spared_by<'p, I: Iterator<Item = &'p Principal>>(&self, names: impl Fn() -> I) -> bool {
        if names().any(|name| *name == Principal::Anyone) {
            return true;
        }
        let account = names().any(|name| name.reach(self) == Reach::Account);
        let named =
            |wanted: fn(&Principal) -> bool| names().any(|n| wanted(n) && n.reach(self) >= Reach::Itself);
        let identity = match self.identity {
            TrustIdentity::Root => true,
            TrustIdentity::User { .. } => named(|_| true),
            TrustIdentity::RoleSession { .. } => {
                named(|n| matches!(n, Principal::Role { .. } | Principal::UniqueId(_)))
                    && named(|n| matches!(n, Principal::RoleSession { .. }))
            }
        };
        account && identity
    }
}

/// Partition, service, account and resource of an ARN without a region.
fn split_arn(arn: &str) -> Option<(&str, &str, &str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (head, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    (head == "arn" && is_partition(partition) && region.is_empty() && is_account_id(account))
        .then_some((partition, service, account, resource))
}

fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_unique_id(text: &str) -> bool {
    (text.starts_with("AIDA") || text.starts_with("AROA"))
        && (16..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// `path/to/name`: IAM's path allows any printable ASCII, but a wildcard here would look like a promise.
fn is_path_and_name(text: &str) -> bool {
    let (path, name) = text.rsplit_once('/').unwrap_or(("", text));
    is_name(name) && path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'*' | b'?'))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
}

fn is_domain(text: &str) -> bool {
    text.contains('.')
        && text
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

fn is_identity_provider(arn: &str) -> bool {
    split_arn(arn).is_some_and(|(_, service, _, resource)| {
        let name =
            resource.strip_prefix("saml-provider/").or_else(|| resource.strip_prefix("oidc-provider/"));
        service == "iam" && name.is_some_and(is_path_and_name)
    })
}
