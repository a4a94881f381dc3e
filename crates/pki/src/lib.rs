//! Certificate authorities, server certificates and bundles: what a client needs in order to check with
//! `sslmode=verify-full` which database server it talks to.
//!
//! One [`Authority`] per region and kind of key, as RDS has them. It signs server certificates itself, without an
//! intermediate, so a bundle is the roots and nothing else. Files, clocks and reloads belong to the callers:
//! certificates and keys go in and out as PEM text, the time comes in as a value, and only randomness is taken from
//! the crypto library. Generating an RSA key takes a tenth of a second and more: do it off the request path.

mod authority;
mod bundle;
mod error;
mod identifier;
mod pem;
mod server;

pub use authority::{Authority, self_signed};
pub use bundle::{bundle, bundle_p7b};
pub use error::PkiError;
pub use identifier::CaIdentifier;
pub use pem::SecretPem;
pub use server::{SERVER_LIFETIME, ServerCertificate, ServerNames, covers, renew_after, valid_till};
