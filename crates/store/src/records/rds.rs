//! RDS's records: instances, clusters, subnet groups, parameter groups: what is wanted, and apart from it, what is.
//!
//! The API writes what is wanted and, with it, the status word that announces the work. The reconciler writes the
//! status when the work is done. Identifiers are lower-case.

use super::{Record, Tags};
use crate::Sealed;
use iam::{Engine, Region, ResourceId};
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;

/// What is wanted of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Wanted {
    /// It runs.
    Running,
    /// It is stopped; its data stays.
    Stopped,
    /// It is gone, with its data.
    Deleted,
}

/// The master user of an instance or cluster.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct MasterUser {
    /// The role's name.
    pub name: String,
    /// The password, sealed; bound to the [`Record::full_key`] of the instance or cluster.
    pub password: Sealed,
    /// Raised by every change of the password; the reconciler sets it again where the status knows a lower one.
    pub generation: u64,
}

/// What Describe shows and nothing local depends on: parameters of the real API that were validated and kept, by the name
/// of the response's member.
pub type Settings = BTreeMap<String, serde_json::Value>;

/// A database instance, as it is wanted.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Instance {
    /// The region it is in.
    pub region: Region,
    /// DBInstanceIdentifier, lower-case.
    pub identifier: String,
    /// `db-...`
    pub resource_id: ResourceId,
    /// The engine.
    pub engine: Engine,
    /// The version, as installed: `15.18`, `8.0.mysql_aurora.3.08.0`.
    pub engine_version: String,
    /// DBInstanceClass.
    pub class: String,
    /// The cluster it belongs to. Such an instance has its port, master user, database name and IAM flag from there.
    pub cluster: Option<String>,
    /// The port; for a member of a cluster the cluster's.
    pub port: u16,
    /// The database made at first start, besides those that every server has.
    pub database: Option<String>,
    /// The master user; none for a member of a cluster.
    pub master: Option<MasterUser>,
    /// Whether IAM database authentication is on; false for a member of a cluster.
    pub iam_auth: bool,
    /// What the flag becomes in the next maintenance window.
    pub pending_iam_auth: Option<bool>,
    /// CACertificateIdentifier.
    pub ca: String,
    /// What it becomes in the next maintenance window.
    #[serde(default)]
    pub pending_ca: Option<String>,
    /// DBParameterGroup.
    pub parameter_group: String,
    /// DBSubnetGroupName.
    pub subnet_group: String,
    /// Whether DeleteDBInstance is refused.
    pub deletion_protection: bool,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Kept and shown.
    pub settings: Settings,
    /// What is wanted of its server.
    pub wanted: Wanted,
    /// Raised by every change that the reconciler must carry out.
    pub generation: u64,
    /// How often a reboot was asked for.
    pub reboots: u64,
    /// How often one had been asked for when a parameter was set that takes effect at a reboot only: until a later one is
    /// done, it waits.
    #[serde(default)]
    pub reboot_awaited_after: Option<u64>,
}

impl Record for Instance {
    const PREFIX: &'static str = "/rds/instance/";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.identifier)
    }
}

/// A cluster, as it is wanted.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Cluster {
    /// The region it is in.
    pub region: Region,
    /// DBClusterIdentifier, lower-case.
    pub identifier: String,
    /// `cluster-...`
    pub resource_id: ResourceId,
    /// The engine.
    pub engine: Engine,
    /// The version, as installed.
    pub engine_version: String,
    /// The port its members answer at.
    pub port: u16,
    /// The database made at first start, besides those that every server has.
    pub database: Option<String>,
    /// The master user.
    pub master: MasterUser,
    /// Whether IAM database authentication is on.
    pub iam_auth: bool,
    /// What the flag becomes in the next maintenance window.
    pub pending_iam_auth: Option<bool>,
    /// DBClusterParameterGroup.
    pub parameter_group: String,
    /// DBSubnetGroup.
    pub subnet_group: String,
    /// The identifiers of its instances.
    pub members: BTreeSet<String>,
    /// Whether DeleteDBCluster is refused.
    pub deletion_protection: bool,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Kept and shown.
    pub settings: Settings,
    /// What is wanted of its servers.
    pub wanted: Wanted,
    /// Raised by every change that the reconciler must carry out.
    pub generation: u64,
}

impl Record for Cluster {
    const PREFIX: &'static str = "/rds/cluster/";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.identifier)
    }
}

/// A status word of an instance or a cluster, as Describe and the waiters have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Being made.
    Creating,
    /// Usable.
    Available,
    /// Being changed.
    Modifying,
    /// An instance whose IAM flag is being changed.
    ConfiguringIamDatabaseAuthentication,
    /// A cluster whose IAM flag is being changed.
    UpdateIamDbAuth,
    /// An instance whose master password is being changed.
    ResettingMasterCredentials,
    /// Being restarted.
    Rebooting,
    /// Being started.
    Starting,
    /// Being stopped.
    Stopping,
    /// Stopped.
    Stopped,
    /// Being deleted.
    Deleting,
    /// Given up; the message says why.
    Failed,
}

impl State {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::Modifying => "modifying",
            Self::ConfiguringIamDatabaseAuthentication => "configuring-iam-database-authentication",
            Self::UpdateIamDbAuth => "update-iam-db-auth",
            Self::ResettingMasterCredentials => "resetting-master-credentials",
            Self::Rebooting => "rebooting",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
        }
    }
}

/// An instance, as it is.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct InstanceStatus {
    /// The region it is in.
    pub region: Region,
    /// DBInstanceIdentifier.
    pub identifier: String,
    /// The instance this is the status of; an identifier may be used again.
    pub resource_id: ResourceId,
    /// The status word.
    pub state: State,
    /// Why it failed, or what is being waited for; for people.
    pub message: Option<String>,
    /// The generation of the wanted record (a cluster member: the cluster's and its own, added) that was carried out.
    pub generation: u64,
    /// The generation of the master user's password that was set.
    pub password_generation: u64,
    /// The reboots that were done.
    pub reboots: u64,
    /// When its server certificate ends.
    #[serde(with = "time::serde::rfc3339::option")]
    pub certificate_valid_till: Option<OffsetDateTime>,
    /// Which door the server asks through: `pam` or `ldap` of PostgreSQL, `mysql` of MySQL and MariaDB.
    pub door: Option<String>,
}

impl Record for InstanceStatus {
    const PREFIX: &'static str = "/rds/instance-status/";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.identifier)
    }
}

/// A cluster, as it is.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ClusterStatus {
    /// The region it is in.
    pub region: Region,
    /// DBClusterIdentifier.
    pub identifier: String,
    /// The cluster this is the status of.
    pub resource_id: ResourceId,
    /// The status word.
    pub state: State,
    /// Why it failed; for people.
    pub message: Option<String>,
    /// The generation of the wanted record that was carried out.
    pub generation: u64,
}

impl Record for ClusterStatus {
    const PREFIX: &'static str = "/rds/cluster-status/";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.identifier)
    }
}

/// A subnet group: kept and shown, for callers that make one.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct SubnetGroup {
    /// The region it is in.
    pub region: Region,
    /// DBSubnetGroupName, lower-case.
    pub name: String,
    /// DBSubnetGroupDescription.
    pub description: String,
    /// The subnets.
    pub subnets: Vec<String>,
    /// Its tags.
    pub tags: Tags,
}

impl Record for SubnetGroup {
    const PREFIX: &'static str = "/rds/subnet-group/";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

/// Whether a parameter group is for instances or for clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterGroupKind {
    /// DBParameterGroup.
    Instance,
    /// DBClusterParameterGroup.
    Cluster,
}

/// A parameter group; `default.<family>` groups are not kept, they hold no settings.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ParameterGroup {
    /// The region it is in.
    pub region: Region,
    /// For instances or for clusters.
    pub kind: ParameterGroupKind,
    /// Its name, lower-case.
    pub name: String,
    /// DBParameterGroupFamily, such as `postgres15` or `mysql8.4`.
    pub family: String,
    /// Description.
    pub description: String,
    /// The parameters that differ from the default.
    pub parameters: BTreeMap<String, String>,
    /// Its tags.
    pub tags: Tags,
}

impl Record for ParameterGroup {
    const PREFIX: &'static str = "/rds/parameter-group/";
    fn key(&self) -> String {
        let kind = match self.kind {
            ParameterGroupKind::Instance => "instance",
            ParameterGroupKind::Cluster => "cluster",
        };
        format!("{}/{kind}/{}", self.region, self.name)
    }
}

/// A version of an engine that is installed on this machine. Not kept: found at every start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineVersion {
    /// The engine.
    pub engine: Engine,
    /// The version, such as `15.18`, `8.4.3` or `8.0.mysql_aurora.3.08.0`.
    pub version: String,
    /// Its parameter group family, such as `postgres15`, `mariadb10.11` or `aurora-mysql8.0`.
    pub family: String,
}
