//! What the tests share: a policy from its statements, a request with context keys, and the answer.
#![allow(dead_code, reason = "each test takes what it needs")]

use policy::{Entries, Kind, Outcome, Policy, Request, Resource, Value};
use serde_json::{Value as Json, json};

/// `rds-db:connect` as jane on a database.
pub(crate) const JANE: &str = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane";

/// A policy of version 2012-10-17.
pub(crate) fn policy(statements: Json) -> Policy {
    let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    Policy::parse(&text, Kind::Inline).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// `Allow` or `Deny` of everything under a condition.
pub(crate) fn under(effect: &str, condition: Json) -> Policy {
    policy(json!({"Effect": effect, "Action": "*", "Resource": "*", "Condition": condition}))
}

/// What the policy says to `rds-db:connect` on `resource`, with these context keys.
pub(crate) fn ask(policy: &Policy, resource: &str, context: &[(&str, &[&str])]) -> Outcome {
    let mut entries = Entries::default();
    for (key, values) in context {
        entries.set(*key, values.iter().map(|value| Value::Text(value)).collect());
    }
    policy.evaluate(&Request::new("rds-db:connect", Resource::parse(resource).unwrap(), &entries))
}

/// Whether the policy allows jane to connect.
pub(crate) fn allows(policy: &Policy, context: &[(&str, &[&str])]) -> bool {
    matches!(ask(policy, JANE, context), Outcome::Allow(_))
}

/// Whether the policy denies that jane connects.
pub(crate) fn denies(policy: &Policy, context: &[(&str, &[&str])]) -> bool {
    matches!(ask(policy, JANE, context), Outcome::Deny(_))
}
