//! Who there is and who may connect: principals, credentials, databases, the immutable `Snapshot` of them all, and
//! `may_connect`, the pure function that every door's question ends in.
//!
//! Nothing here reads a clock, a file or the environment, and nothing blocks: a login is decided from a snapshot, a
//! clock reading and a request, all handed in.

mod arn;
mod database;
mod id;
mod name;
mod region;

pub use arn::{Arn, ArnError};
pub use database::{Database, Endpoint, Engine, EngineError, Naming};
pub use id::{AccessKeyId, AccountId, IdError, IdKind, KeyKind, ResourceId, ResourceKind, UniqueId};
pub use name::{GroupName, NameError, Path, PolicyName, RoleName, SessionName, UserName};
pub use region::{Region, RegionError};
