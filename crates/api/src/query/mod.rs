//! The Query protocol: form in, XML out, errors. Nothing here knows an operation.

mod error;
mod params;
mod xml;

pub use error::ApiError;
pub use params::Params;
pub(crate) use params::decode;
pub use xml::{Writer, respond, respond_empty, respond_error};
