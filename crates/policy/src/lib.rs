//! IAM policy documents: parse, validate, compile, evaluate.
//!
//! A policy is the only thing between a valid signature and a database, so this crate holds to these rules.
//!
//! * **What AWS refuses is refused, in AWS's words.** [`Document::parse`] and [`validate`] give the messages that
//!   were recorded from AWS, in the order in which AWS checks. Scripts and tools compare them.
//! * **Nothing is left out.** [`Policy::parse`] compiles a document in full or refuses it: a statement without its
//!   condition is another, wider statement.
//! * **What cannot be evaluated allows nothing.** A condition that compares what cannot be compared keeps an Allow from
//!   applying and lets a Deny apply ([`Truth::Error`]); a variable without a value matches nothing, and does not widen a
//!   `NotResource`.
//! * **No surprise in time.** [`Policy::evaluate`] is linear in the policy, allocates nothing and takes no lock.
//!   Wildcards are matched without going back; no pattern makes them expensive.
//!
//! Actions are compared without case, resources with it. The first five parts of an ARN match one by one, so a
//! wildcard there cannot swallow a colon; the sixth is matched as a whole. The value of a variable is plain text: it never
//! acts as a wildcard.
//!
//! ```
//! use policy::{Context, Kind, Key, Outcome, Policy, Request, Resource, Value, Values};
//!
//! struct Jane;
//! impl Context for Jane {
//!     fn values<'c>(&'c self, key: Key<'_>) -> Values<'c> {
//!         Values::optional(key.is("aws:username").then_some(Value::Text("jane")))
//!     }
//! }
//!
//! let policy = Policy::parse(
//!     r#"{"Version": "2012-10-17", "Statement": {
//!         "Sid": "Own", "Effect": "Allow", "Action": "rds-db:connect",
//!         "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/${aws:username}"}}"#,
//!     Kind::Managed,
//! )?;
//! let resource = Resource::parse("arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane")?;
//! let Outcome::Allow(statement) = policy.evaluate(&Request::new("rds-db:connect", resource, &Jane)) else {
//!     panic!("the policy allows everybody to be who they are");
//! };
//! assert_eq!(policy.sid(statement.index), Some("Own"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Pure: no clock, no environment, no I/O.

mod compile;
mod condition;
mod context;
mod date;
pub mod document;
mod evaluate;
mod explain;
mod json;
mod lint;
mod malformed;
mod nearest;
mod network;
mod number;
mod pattern;
mod place;
mod trust;
mod validate;
mod variable;

pub use compile::Policy;
pub use condition::{Operator, Quantifier, Test, Truth};
pub use context::{Context, Entries, Global, Key, NoContext, Overlay, Value, Values};
pub use document::{Document, MAX_DOCUMENT_BYTES, size_without_whitespace};
pub use evaluate::{NotAnArn, Outcome, Request, Resource, StatementRef};
pub use explain::{ListReport, StatementReport, TestReport, Verdict};
pub use json::Span;
pub use lint::{Diagnostic, KnownDatabase, Severity, lint};
pub use malformed::{Malformed, Reason};
pub use place::{Place, Places};
pub use trust::{Principal, TrustIdentity, TrustOutcome, TrustPrincipal, TrustRequest};
pub use validate::{Kind, validate};
