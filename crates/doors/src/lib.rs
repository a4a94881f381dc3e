//! The ways a database server asks whether a login is allowed, and the one verifier that all of them ask.
//!
//! A door reads the question in its own protocol and passes on one bit of the answer. Why a login was refused goes to
//! log, metric and audit trail, never through a door.

pub mod audit;
mod door;
pub mod ldap;
pub mod metrics;
mod socket;
mod verifier;

pub use audit::Audit;
pub use door::{Answer, DEADLINE, DoorKind, Judge, Login, Verdict};
pub use ldap::{Identity, IdentityError, LdapDoor};
pub use metrics::Metrics;
pub use socket::{BindError, SocketDoor};
pub use verifier::{Clock, Verifier};
