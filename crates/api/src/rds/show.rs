//! Instances, clusters and subnet groups as Describe shows them.

use super::arn::Kind;
use super::fleet::Fleet;
use super::{engine_version, setting};
use crate::call::Call;
use crate::query::Writer;
use store::records::{Cluster, Instance, State, SubnetGroup, Tags};

/// Writes the members of a DBInstance with the status word.
pub(super) fn instance(w: &mut Writer, call: &Call<'_>, fleet: &Fleet, instance: &Instance, state: State) {
    let cluster = fleet.cluster_of(instance).map(|found| &found.record);
    let status = fleet.instance_status(instance);
    let settings = &instance.settings;

    w.text("DBInstanceIdentifier", &instance.identifier);
    w.text("DBInstanceClass", &instance.class);
    w.text("Engine", instance.engine.as_str());
    w.text("DBInstanceStatus", state.as_str());
    let master = instance.master.as_ref().or(cluster.map(|cluster| &cluster.master));
    w.opt("MasterUsername", master.map(|master| &master.name));
    w.opt("DBName", instance.database.as_ref().or(cluster.and_then(|cluster| cluster.database.as_ref())));
    if state != State::Creating {
        w.element("Endpoint", |w| {
            w.text("Address", &call.services.naming.instance_address(&instance.identifier, &instance.region));
            w.number("Port", instance.port);
        });
        w.timestamp("InstanceCreateTime", instance.created);
    }
    w.list("DBSecurityGroups", "DBSecurityGroup", [(); 0], |_, ()| {});
    setting::write_security_groups(w, cluster.map_or(settings, |cluster| &cluster.settings));
    w.list("DBParameterGroups", "DBParameterGroup", [&instance.parameter_group], |w, name| {
        w.text("DBParameterGroupName", name);
        w.text("ParameterApplyStatus", parameters(fleet, instance));
    });
    w.element("DBSubnetGroup", |w| subnet_group_named(w, call, fleet, &instance.subnet_group));
    w.element("PendingModifiedValues", |w| {
        w.opt("IAMDatabaseAuthenticationEnabled", instance.pending_iam_auth);
        w.opt("CACertificateIdentifier", instance.pending_ca.as_ref());
        let set = status.map_or(0, |status| status.password_generation);
        if state != State::Creating && instance.master.as_ref().is_some_and(|master| master.generation > set)
        {
            w.text("MasterUserPassword", "****");
        }
    });
    w.flag("MultiAZ", false);
    w.text("EngineVersion", &instance.engine_version);
    w.list("ReadReplicaDBInstanceIdentifiers", "ReadReplicaDBInstanceIdentifier", [(); 0], |_, ()| {});
    let option_group = engine_version::option_group(instance.engine, &instance.engine_version);
    w.list("OptionGroupMemberships", "OptionGroupMembership", [option_group], |w, name| {
        w.text("OptionGroupName", &name);
        w.text("Status", "in-sync");
    });
    if let Some(message) = status.and_then(|status| status.message.as_ref()) {
        w.list("StatusInfos", "DBInstanceStatusInfo", [message], |w, message| {
            w.text("StatusType", "server");
            w.flag("Normal", state != State::Failed);
            w.text("Status", state.as_str());
            w.text("Message", message);
        });
    }
    w.number("DbInstancePort", 0);
    w.opt("DBClusterIdentifier", instance.cluster.as_ref());
    w.flag("StorageEncrypted", false);
    w.text("DbiResourceId", instance.resource_id.as_str());
    w.text("CACertificateIdentifier", &instance.ca);
    w.list("DomainMemberships", "DomainMembership", [(); 0], |_, ()| {});
    w.text("DBInstanceArn", &Kind::Instance.arn(call, &instance.identifier));
    w.flag("IAMDatabaseAuthenticationEnabled", cluster.map_or(instance.iam_auth, |cluster| cluster.iam_auth));
    w.flag("DeletionProtection", instance.deletion_protection);
    w.list("AssociatedRoles", "DBInstanceRole", [(); 0], |_, ()| {});
    tags(w, &instance.tags);
    w.flag("CustomerOwnedIpEnabled", false);
    w.text("ActivityStreamStatus", "stopped");
    if let Some(till) = status.and_then(|status| status.certificate_valid_till) {
        w.element("CertificateDetails", |w| {
            w.text("CAIdentifier", &instance.ca);
            w.timestamp("ValidTill", till);
        });
    }
    w.flag("IsStorageConfigUpgradeAvailable", false);
    setting::write(w, setting::INSTANCE, settings);
}

/// Whether the server has the parameters of its group.
fn parameters(fleet: &Fleet, instance: &Instance) -> &'static str {
    let rebooted = fleet.instance_status(instance).map_or(0, |status| status.reboots);
    match instance.reboot_awaited_after {
        Some(after) if rebooted <= after => "pending-reboot",
        _ if fleet.is_carried_out(instance) => "in-sync",
        _ => "applying",
    }
}

/// Writes the members of a DBCluster with the status word.
pub(super) fn cluster(w: &mut Writer, call: &Call<'_>, fleet: &Fleet, cluster: &Cluster, state: State) {
    let (naming, region, settings) = (&call.services.naming, &cluster.region, &cluster.settings);
    w.number("AllocatedStorage", 1);
    w.texts("AvailabilityZones", "AvailabilityZone", setting::strings(settings, "AvailabilityZones"));
    w.opt("DatabaseName", cluster.database.as_ref());
    w.text("DBClusterIdentifier", &cluster.identifier);
    w.text("DBClusterParameterGroup", &cluster.parameter_group);
    w.text("DBSubnetGroup", &cluster.subnet_group);
    w.text("Status", state.as_str());
    w.text("Endpoint", &naming.writer_address(&cluster.identifier, region));
    w.text("ReaderEndpoint", &naming.reader_address(&cluster.identifier, region));
    w.flag("MultiAZ", false);
    w.text("Engine", cluster.engine.as_str());
    w.text("EngineVersion", &cluster.engine_version);
    w.number("Port", cluster.port);
    w.text("MasterUsername", &cluster.master.name);
    let option_group = engine_version::option_group(cluster.engine, &cluster.engine_version);
    w.list("DBClusterOptionGroupMemberships", "DBClusterOptionGroup", [option_group], |w, name| {
        w.text("DBClusterOptionGroupName", &name);
        w.text("Status", "in-sync");
    });
    w.list("ReadReplicaIdentifiers", "ReadReplicaIdentifier", [(); 0], |_, ()| {});
    if let Some(message) = fleet.cluster_status(cluster).and_then(|status| status.message.as_ref()) {
        w.list("StatusInfos", "DBClusterStatusInfo", [message], |w, message| {
            w.text("StatusType", "server");
            w.flag("Normal", state != State::Failed);
            w.text("Status", state.as_str());
            w.text("Message", message);
        });
    }
    w.list("DBClusterMembers", "DBClusterMember", fleet.members(cluster), |w, member| {
        w.text("DBInstanceIdentifier", &member.identifier);
        w.flag("IsClusterWriter", true);
        w.text("DBClusterParameterGroupStatus", parameters(fleet, member));
        let tier = member.settings.get("PromotionTier").and_then(serde_json::Value::as_i64);
        w.number("PromotionTier", tier.unwrap_or(1));
    });
    setting::write_security_groups(w, settings);
    w.flag("StorageEncrypted", false);
    w.text("DbClusterResourceId", cluster.resource_id.as_str());
    w.text("DBClusterArn", &Kind::Cluster.arn(call, &cluster.identifier));
    w.list("AssociatedRoles", "DBClusterRole", [(); 0], |_, ()| {});
    w.flag("IAMDatabaseAuthenticationEnabled", cluster.iam_auth);
    w.timestamp("ClusterCreateTime", cluster.created);
    if let Some(pending) = cluster.pending_iam_auth {
        w.element("PendingModifiedValues", |w| w.flag("IAMDatabaseAuthenticationEnabled", pending));
    }
    w.flag("DeletionProtection", cluster.deletion_protection);
    w.flag("HttpEndpointEnabled", false);
    w.text("ActivityStreamStatus", "stopped");
    w.flag("CrossAccountClone", false);
    w.list("DomainMemberships", "DomainMembership", [(); 0], |_, ()| {});
    tags(w, &cluster.tags);
    setting::write(w, setting::CLUSTER, settings);
}

/// Writes the members of the DBSubnetGroup with the name.
fn subnet_group_named(w: &mut Writer, call: &Call<'_>, fleet: &Fleet, name: &str) {
    match fleet.subnet_groups.iter().find(|group| group.name == name) {
        Some(group) => subnet_group(w, call, group),
        None => subnet_group(w, call, &default_subnet_group(call)),
    }
}

/// The group that always exists. There are no networks here, and so there are no subnets in it.
pub(super) fn default_subnet_group(call: &Call<'_>) -> SubnetGroup {
    SubnetGroup {
        region: call.region.clone(),
        name: "default".to_owned(),
        description: "default".to_owned(),
        subnets: Vec::new(),
        tags: Tags::new(),
    }
}

/// Writes the members of a DBSubnetGroup.
pub(super) fn subnet_group(w: &mut Writer, call: &Call<'_>, group: &SubnetGroup) {
    w.text("DBSubnetGroupName", &group.name);
    w.text("DBSubnetGroupDescription", &group.description);
    w.text("SubnetGroupStatus", "Complete");
    w.list("Subnets", "Subnet", &group.subnets, |w, subnet| {
        w.text("SubnetIdentifier", subnet);
        w.element("SubnetAvailabilityZone", |w| w.text("Name", &format!("{}a", call.region)));
        w.element("SubnetOutpost", |_| {});
        w.text("SubnetStatus", "Active");
    });
    w.text("DBSubnetGroupArn", &Kind::SubnetGroup.arn(call, &group.name));
    w.texts("SupportedNetworkTypes", "member", ["IPV4"]);
}

/// Writes the tags.
pub(super) fn tags(w: &mut Writer, tags: &Tags) {
    w.list("TagList", "Tag", tags, |w, (key, value)| {
        w.text("Key", key);
        w.text("Value", value);
    });
}
