//! The LDAP door: PostgreSQL's own `ldap` method binds to Countersign with the token as the password.
//!
//! Nothing has to be installed at the database server. It serves the simple bind and nothing else: there is no
//! directory behind it, and every other request is refused.

mod identity;
pub mod message;
mod name;
mod server;

pub use identity::{Identity, IdentityError};
pub use server::{LdapDoor, Resolve};
