//! Who there is and who may connect: principals, credentials, databases, the immutable [`Snapshot`] of them all, and
//! [`may_connect`], the pure function that every door's question ends in.
//!
//! Nothing here reads a clock, a file or the environment, and nothing blocks: a login is decided from a snapshot, a
//! clock reading and a request, all handed in.

mod arn;
mod authorize;
mod aws_managed;
mod connect;
mod context;
mod credential;
mod database;
mod decision;
mod explain;
mod id;
mod name;
mod principal;
mod rds_host;
mod region;
mod shards;
mod snapshot;

pub use arn::{Arn, ArnError};
pub use authorize::{
    Authorization, Consulted, DecidedBy, Denial, Inquiry, Limits, Opinions, PolicyType, Source,
};
pub use aws_managed::{AwsManaged, aws_managed};
pub use connect::{CONNECT_ACTION, ConnectRequest, explain_connect, login_context, may_connect};
pub use context::{RequestContext, Tags};
pub use credential::{Credential, Holder, SecurityToken, SessionCredential};
pub use database::{Database, Endpoint, Engine, EngineError, Naming, Product};
pub use decision::{Allowed, Decision, FailureClass, Reason, Refused};
pub use explain::{Explanation, PolicyReport, Says, TypeReport};
pub use id::{AccessKeyId, AccountId, IdError, IdKind, KeyKind, ResourceId, ResourceKind, UniqueId};
pub use name::{GroupName, NameError, Path, PolicyName, RoleName, SessionName, UserName};
pub use principal::{Group, NamedPolicy, Policies, Principal, PrincipalKind, Role, User};
pub use rds_host::{RdsHost, RdsHostKind};
pub use region::{Region, RegionError};
pub use snapshot::{Editor, ServiceControlLevel, Snapshot};
