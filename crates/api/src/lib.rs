//! The AWS APIs: RDS, IAM and STS over the Query protocol, and the trust store.

mod call;
mod query;
mod service;

pub use call::{Call, Services};
pub use query::{ApiError, Params, Writer, respond, respond_empty, respond_error};
pub use service::Service;
