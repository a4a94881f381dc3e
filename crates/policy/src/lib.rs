//! IAM policy documents: parse, validate, compile, evaluate.
//!
//! A policy is the only thing between a valid signature and a database, so this crate holds to three rules.
//!
//! * **What AWS refuses is refused, in AWS's words.** [`Document::parse`] and [`validate`] give the messages that
//!   were recorded from AWS, in the order in which AWS checks. Scripts and tools compare them.
//! * **Nothing is left out.** [`Policy::parse`] compiles a document in full or refuses it: a statement without its
//!   condition is another, wider statement. `Condition` and policy variables are validated but not evaluated in
//!   this version, so a document that has them is [`Unsupported`].
//! * **No surprise in time.** [`Policy::evaluate`] is linear in the policy, allocates nothing and takes no lock.
//!   Wildcards are matched with a single retry point; no pattern makes them exponential.
//!
//! Actions are compared without case, resources with it. The first five parts of an ARN match one by one, so a
//! wildcard there cannot swallow a colon; the sixth is matched as a whole.
//!
//! ```
//! use policy::{Kind, Outcome, Policy, Request, Resource};
//!
//! let policy = Policy::parse(
//!     r#"{"Version": "2012-10-17", "Statement": {
//!         "Sid": "Jane", "Effect": "Allow", "Action": "rds-db:connect",
//!         "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane"}}"#,
//!     Kind::Managed,
//! )?;
//! let resource = Resource::parse("arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane")?;
//! let Outcome::Allow(statement) = policy.evaluate(&Request::new("rds-db:connect", resource)) else {
//!     panic!("the policy allows jane");
//! };
//! assert_eq!(policy.sid(statement.index), Some("Jane"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Pure: no clock, no environment, no I/O.

mod compile;
mod condition;
mod date;
pub mod document;
mod evaluate;
mod json;
mod malformed;
mod pattern;
mod trust;
mod validate;

pub use compile::{Policy, PolicyError, Unsupported};
pub use condition::{Operator, Quantifier, Test};
pub use document::{Document, MAX_DOCUMENT_BYTES, size_without_whitespace};
pub use evaluate::{NotAnArn, Outcome, Request, Resource, StatementRef};
pub use json::Span;
pub use malformed::{Malformed, Reason};
pub use trust::{Principal, TrustIdentity, TrustOutcome, TrustPrincipal, TrustRequest};
pub use validate::{Kind, validate};
