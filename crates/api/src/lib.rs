//! The AWS APIs: RDS, IAM and STS over the Query protocol, and the trust store.
//!
//! [`router`] answers what `aws rds|iam|sts ... --endpoint-url` sends. A call is authenticated (`signed`), dispatched by
//! service and operation, authorized by its handler through [`Call::authorize`], and, where it changes anything, answered
//! when the change is in force. There is no anonymous call and no key that is let through.

mod about;
mod call;
mod iam;
mod last_used;
mod query;
mod rds;
mod secrets;
mod serve;
mod service;
mod signed;
mod sts;
mod truststore;

pub use about::{About, Wire};
pub use call::{Call, Services};
pub use query::{ApiError, Params, Writer, respond, respond_empty, respond_error};
pub use serve::router;
pub use service::Service;
pub use sts::sweep_sessions;
