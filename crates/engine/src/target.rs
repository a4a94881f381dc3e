//! What the records want of one server, gathered: a stand-alone instance has it all itself, a member of a cluster has most
//! of it from the cluster.

use iam::{Engine, Naming, Region};
use pki::ServerNames;
use std::collections::BTreeMap;
use store::records::{Cluster, Instance, MasterUser, ParameterGroup};
use store::{Record, Records, RecordsError};

/// A server, as it is wanted.
pub(crate) struct Target {
    pub(crate) region: Region,
    pub(crate) engine: Engine,
    pub(crate) version: String,
    pub(crate) port: u16,
    pub(crate) names: ServerNames,
    pub(crate) ca: String,
    pub(crate) master: MasterUser,
    /// The record that the master user's password is sealed for.
    pub(crate) sealed_for: String,
    pub(crate) database: Option<String>,
    pub(crate) iam: bool,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) reboots: u64,
}

impl Target {
    /// What is wanted of a stand-alone instance's server.
    pub(crate) async fn of_instance(
        instance: &Instance,
        master: &MasterUser,
        naming: &Naming,
        records: &Records,
    ) -> Result<Self, RecordsError> {
        let hosts = naming.hosts(None, &[&instance.identifier], &instance.region);
        Ok(Self {
            region: instance.region.clone(),
            engine: instance.engine,
            version: instance.engine_version.clone(),
            port: instance.port,
            names: names(&hosts, naming.instance_address(&instance.identifier, &instance.region)),
            ca: instance.ca.clone(),
            master: master.clone(),
            sealed_for: instance.full_key(),
            database: instance.database.clone(),
            iam: instance.iam_auth,
            parameters: parameters(records, &instance.region, "instance", &instance.parameter_group).await?,
            reboots: instance.reboots,
        })
    }

    /// What is wanted of the server of a cluster's member. Its parameter group goes before the cluster's.
    pub(crate) async fn of_member(
        cluster: &Cluster,
        member: &Instance,
        naming: &Naming,
        records: &Records,
    ) -> Result<Self, RecordsError> {
        let region = &cluster.region;
        let hosts = naming.hosts(Some(&cluster.identifier), &[&member.identifier], region);
        let mut settings = parameters(records, region, "cluster", &cluster.parameter_group).await?;
        settings.extend(parameters(records, region, "instance", &member.parameter_group).await?);
        Ok(Self {
            region: region.clone(),
            engine: cluster.engine,
            version: cluster.engine_version.clone(),
            port: cluster.port,
            names: names(&hosts, naming.instance_address(&member.identifier, region)),
            ca: member.ca.clone(),
            master: cluster.master.clone(),
            sealed_for: cluster.full_key(),
            database: cluster.database.clone(),
            iam: cluster.iam_auth,
            parameters: settings,
            reboots: member.reboots,
        })
    }
}

/// The parameters that a group sets; a group that is not kept, such as `default.postgres15`, sets none.
async fn parameters(
    records: &Records,
    region: &Region,
    kind: &str,
    group: &str,
) -> Result<BTreeMap<String, String>, RecordsError> {
    let found = records.get::<ParameterGroup>(&format!("{region}/{kind}/{group}")).await?;
    Ok(found.map(|group| group.record.parameters).unwrap_or_default())
}

fn names(hosts: &[String], common_name: String) -> ServerNames {
    let mut names = ServerNames { common_name, ..ServerNames::default() };
    for host in hosts {
        match host.parse() {
            Ok(address) => names.ips.push(address),
            Err(_) => names.dns.push(host.clone()),
        }
    }
    names
}
