//! The context keys of a request, and where each has its value from: the principal, the clock, the connection, the resource,
//! and last, for what says nothing about these, the request itself.
//!
//! A key that tells who asks, when, where from and how is never what a request says it is.

use crate::principal::{Principal, PrincipalKind};
use policy::{Context, Global, Key, Value, Values};
use sigv4::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;

/// Tags, as conditions read them.
#[derive(Clone, Debug, Default)]
pub struct Tags(Box<[(Arc<str>, Arc<str>)]>);

impl Tags {
    /// The value of the tag with the key. Condition keys are compared without case, tag keys of some services are not: where
    /// two differ by case alone, the one that is written like the condition key is meant, or else the first.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known.as_ref() == key);
        let found = found.or_else(|| self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)));
        found.map(|(_, value)| value.as_ref())
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(tags: I) -> Self {
        Self(tags.into_iter().map(|(key, value)| (key.as_ref().into(), value.as_ref().into())).collect())
    }
}

/// What is known of a request besides its action and resource.
#[derive(Clone, Copy)]
pub struct RequestContext<'a> {
    /// Who asks.
    pub principal: &'a Principal<'a>,
    /// When.
    pub now: Timestamp,
    /// `aws:RequestedRegion`.
    pub region: &'a str,
    /// `aws:SecureTransport`: whether the request came over TLS.
    pub secure_transport: bool,
    /// `aws:SourceIp`; none where it is not given out.
    pub source_ip: Option<IpAddr>,
    /// `aws:ResourceTag/...`; none where the resource has no tags, or there is none.
    pub resource_tags: Option<&'a Tags>,
    /// The keys that are not derived: those of the service, and what the request asks for.
    pub more: &'a dyn Context,
}

impl Context for RequestContext<'_> {
    fn values<'c>(&'c self, key: Key<'_>) -> Values<'c> {
        match key.global() {
            Some(global) if global.is_derived() => Values::optional(self.derived(global, key)),
            _ => self.more.values(key),
        }
    }
}

impl RequestContext<'_> {
    fn derived(&self, global: Global, key: Key<'_>) -> Option<Value<'_>> {
        let principal = self.principal;
        match global {
            Global::Username => principal.user_name().map(Value::Text),
            Global::UserId => Some(Value::Text(principal.user_id())),
            Global::PrincipalArn => Some(Value::Text(principal.policy_arn().as_str())),
            Global::PrincipalAccount => Some(Value::Text(principal.account.as_str())),
            Global::PrincipalType => Some(Value::Text(principal.kind.as_str())),
            Global::PrincipalTag => key.tag().and_then(|tag| principal.tag(tag)).map(Value::Text),
            Global::ResourceTag => {
                let tags = self.resource_tags?;
                key.tag().and_then(|tag| tags.get(tag)).map(Value::Text)
            }
            Global::CurrentTime => Some(Value::Time(self.now.unix())),
            Global::EpochTime => Some(Value::Number(self.now.unix())),
            Global::SecureTransport => Some(Value::Flag(self.secure_transport)),
            Global::TokenIssueTime => principal.session.map(|session| Value::Time(session.issued.unix())),
            // There are no second factors; long-term credentials do not have the key at all.
            Global::MultiFactorAuthPresent => principal.session.map(|_| Value::Flag(false)),
            Global::RequestedRegion => Some(Value::Text(self.region)),
            Global::SourceIp => self.source_ip.map(Value::Address),
            Global::RequestTag | Global::TagKeys => None,
        }
    }
}

impl Principal<'_> {
    /// `aws:username`: a user's name; a session of a role has none.
    fn user_name(&self) -> Option<&str> {
        match self.kind {
            PrincipalKind::User { user } => Some(&user.name),
            PrincipalKind::RoleSession { .. } | PrincipalKind::FederatedUser { .. } => None,
        }
    }

    /// `aws:PrincipalTag/...`: what was passed for a session goes before what its role or user has.
    fn tag(&self, key: &str) -> Option<&str> {
        let passed = self.session.and_then(|session| session.tags.get(key));
        passed.or_else(|| match self.kind {
            PrincipalKind::User { user } | PrincipalKind::FederatedUser { user, .. } => user.tags.get(key),
            PrincipalKind::RoleSession { role, .. } => role.tags.get(key),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_any_case_and_its_own_first() {
        let tags: Tags = [("env", "test"), ("Env", "prod"), ("team", "a*")].into_iter().collect();
        assert_eq!(
            (tags.get("Env"), tags.get("env"), tags.get("ENV")),
            (Some("prod"), Some("test"), Some("test"))
        );
        assert_eq!((tags.get("Team"), tags.get("tea")), (Some("a*"), None));
    }
}
