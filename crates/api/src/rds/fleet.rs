//! The instances and clusters of a region with their status, as one call sees them; and the status words that announce work.

use super::error;
use crate::call::Call;
use crate::query::ApiError;
use store::records::{
    Cluster, ClusterStatus, Instance, InstanceStatus, ParameterGroup, ParameterGroupKind, State, SubnetGroup,
    Wanted,
};
use store::{Change, Versioned};

/// What there is in the call's region.
pub(super) struct Fleet {
    pub(super) instances: Vec<Versioned<Instance>>,
    pub(super) clusters: Vec<Versioned<Cluster>>,
    pub(super) subnet_groups: Vec<Versioned<SubnetGroup>>,
    instance_statuses: Vec<Versioned<InstanceStatus>>,
    cluster_statuses: Vec<Versioned<ClusterStatus>>,
}

impl Fleet {
    /// Reads the region.
    pub(super) async fn load(call: &Call<'_>) -> Result<Self, ApiError> {
        let (records, region) = (&call.services.records, format!("{}/", call.region));
        // The statuses come first: an instance that is made meanwhile is seen without one, as being created; one that is
        // deleted meanwhile is not seen.
        Ok(Self {
            instance_statuses: records.list(&region).await?,
            cluster_statuses: records.list(&region).await?,
            instances: records.list(&region).await?,
            clusters: records.list(&region).await?,
            subnet_groups: records.list(&region).await?,
        })
    }

    pub(super) fn instance(&self, identifier: &str) -> Result<&Versioned<Instance>, ApiError> {
        let found = self.instances.iter().find(|instance| instance.identifier == identifier);
        found.ok_or_else(|| error::instance_not_found(identifier))
    }

    pub(super) fn cluster(&self, identifier: &str) -> Result<&Versioned<Cluster>, ApiError> {
        let found = self.clusters.iter().find(|cluster| cluster.identifier == identifier);
        found.ok_or_else(|| error::cluster_not_found(identifier))
    }

    /// The cluster that an instance belongs to.
    pub(super) fn cluster_of(&self, instance: &Instance) -> Option<&Versioned<Cluster>> {
        let identifier = instance.cluster.as_ref()?;
        self.clusters.iter().find(|cluster| cluster.identifier == *identifier)
    }

    /// The instances of a cluster.
    pub(super) fn members<'a>(
        &'a self,
        cluster: &'a Cluster,
    ) -> impl Iterator<Item = &'a Versioned<Instance>> {
        self.instances.iter().filter(|instance| instance.cluster.as_ref() == Some(&cluster.identifier))
    }

    /// The status of an instance; none that another one with its identifier left.
    pub(super) fn instance_status(&self, instance: &Instance) -> Option<&Versioned<InstanceStatus>> {
        self.instance_statuses.iter().find(|status| status.resource_id == instance.resource_id)
    }

    /// The status of a cluster; none that another one with its identifier left.
    pub(super) fn cluster_status(&self, cluster: &Cluster) -> Option<&Versioned<ClusterStatus>> {
        self.cluster_statuses.iter().find(|status| status.resource_id == cluster.resource_id)
    }

    /// The status word of an instance.
    pub(super) fn instance_state(&self, instance: &Instance) -> State {
        let state = self.instance_status(instance).map_or(State::Creating, |status| status.state);
        if instance.wanted == Wanted::Deleted { State::Deleting } else { state }
    }

    /// The status word of a cluster.
    pub(super) fn cluster_state(&self, cluster: &Cluster) -> State {
        let state = self.cluster_status(cluster).map_or(State::Creating, |status| status.state);
        if cluster.wanted == Wanted::Deleted { State::Deleting } else { state }
    }

    /// Adds to the change the status of a new instance.
    pub(super) fn announce_instance(&self, change: Change, instance: &Instance) -> Result<Change, ApiError> {
        let status = InstanceStatus {
            region: instance.region.clone(),
            identifier: instance.identifier.clone(),
            resource_id: instance.resource_id.clone(),
            state: State::Creating,
            message: None,
            generation: 0,
            password_generation: 0,
            reboots: 0,
            certificate_valid_till: None,
            door: None,
        };
        let left_over = self.instance_statuses.iter().find(|old| old.identifier == instance.identifier);
        Ok(match left_over {
            Some(old) => change.replace(old, &status)?,
            None => change.insert(&status)?,
        })
    }

    /// Adds to the change the status of a new cluster.
    pub(super) fn announce_cluster(&self, change: Change, cluster: &Cluster) -> Result<Change, ApiError> {
        let status = ClusterStatus {
            region: cluster.region.clone(),
            identifier: cluster.identifier.clone(),
            resource_id: cluster.resource_id.clone(),
            state: State::Creating,
            message: None,
            generation: 0,
        };
        let left_over = self.cluster_statuses.iter().find(|old| old.identifier == cluster.identifier);
        Ok(match left_over {
            Some(old) => change.replace(old, &status)?,
            None => change.insert(&status)?,
        })
    }

    /// Adds to the change the status word of work that an instance is about to see.
    pub(super) fn set_instance_state(
        &self,
        change: Change,
        instance: &Instance,
        state: State,
    ) -> Result<Change, ApiError> {
        let Some(old) = self.instance_status(instance) else { return Ok(change) };
        let status = InstanceStatus { state, message: None, ..old.record.clone() };
        Ok(change.replace(old, &status)?)
    }

    /// Adds to the change the status word of work that a cluster is about to see.
    pub(super) fn set_cluster_state(
        &self,
        change: Change,
        cluster: &Cluster,
        state: State,
    ) -> Result<Change, ApiError> {
        let Some(old) = self.cluster_status(cluster) else { return Ok(change) };
        let status = ClusterStatus { state, message: None, ..old.record.clone() };
        Ok(change.replace(old, &status)?)
    }

    /// Whether what is wanted of an instance's server has been carried out.
    pub(super) fn is_carried_out(&self, instance: &Instance) -> bool {
        let shared = self.cluster_of(instance).map_or(0, |cluster| cluster.generation);
        self.instance_status(instance).is_some_and(|status| status.generation >= instance.generation + shared)
    }
}

/// A subnet group that an instance or cluster is to be in: the record to hold on to, none for the `default` one, which
/// always exists.
pub(super) async fn subnet_group(
    call: &Call<'_>,
    name: &str,
) -> Result<Option<Versioned<SubnetGroup>>, ApiError> {
    if name == "default" {
        return Ok(None);
    }
    let found = call.services.records.get::<SubnetGroup>(&format!("{}/{name}", call.region)).await?;
    found.map(Some).ok_or_else(|| error::subnet_group_not_found(name))
}

/// A parameter group that an instance or cluster of the family is to have: the record to hold on to, none for the default
/// group of the family, which always exists.
pub(super) async fn parameter_group(
    call: &Call<'_>,
    kind: ParameterGroupKind,
    name: &str,
    family: &str,
) -> Result<Option<Versioned<ParameterGroup>>, ApiError> {
    let other_family = |other: &str| {
        ApiError::invalid_parameter_combination(format!(
            "The Parameter Group {name} with DBParameterGroupFamily {other} can't be used for this instance. Please use a \
             Parameter Group with DBParameterGroupFamily {family}"
        ))
    };
    match name.strip_prefix("default.") {
        Some(of) if of == family => return Ok(None),
        Some(of) if call.services.engine_versions.iter().any(|version| version.family == of) => {
            return Err(other_family(of));
        }
        _ => {}
    }
    let word = match kind {
        ParameterGroupKind::Instance => "instance",
        ParameterGroupKind::Cluster => "cluster",
    };
    let found =
        call.services.records.get::<ParameterGroup>(&format!("{}/{word}/{name}", call.region)).await?;
    match (found, kind) {
        (Some(group), _) if group.family == family => Ok(Some(group)),
        (Some(group), _) => Err(other_family(&group.family)),
        (None, ParameterGroupKind::Instance) => Err(error::parameter_group_not_found(name)),
        (None, ParameterGroupKind::Cluster) => Err(error::cluster_parameter_group_not_found(name)),
    }
}

/// Holds on to a record while a change is made, where there is one.
pub(super) fn held<R: store::Record>(change: Change, record: Option<&Versioned<R>>) -> Change {
    match record {
        Some(record) => change.unchanged(record),
        None => change,
    }
}
