//! What a client of a database with IAM authentication needs, be it Amazon's or a Countersign's: credentials, the region
//! of a host, a token, the authorities to trust, a verified connection.
//!
//! The commands and the proxy stand on this. It knows no server but by what it shows to every client.

pub mod api;
pub mod connection;
pub mod credentials;
pub mod host;
pub mod http;
pub mod region;
pub mod token;
pub mod trust;

pub use credentials::{Chain, CredentialsError};
pub use host::{Host, HostError};
pub use region::{RegionChoiceError, region_of};
pub use token::{Endpoint, TokenError};
pub use trust::{Bundle, BundleError, TrustError};
