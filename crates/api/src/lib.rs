//! The AWS APIs: RDS, IAM and STS over the Query protocol, and the trust store.

mod query;
mod service;

pub use query::{ApiError, Params, Writer, respond, respond_empty, respond_error};
pub use service::Service;
