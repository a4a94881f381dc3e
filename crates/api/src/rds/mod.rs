//! RDS: what is asked of instances, clusters and their groups becomes wanted records; what is shown is read from them and
//! from the status that the reconciler writes. No server is touched here.

mod arn;
mod certificate;
mod check;
mod cluster;
mod engine_version;
mod error;
mod fleet;
mod instance;
mod maintenance;
mod page;
mod parameter;
mod parameter_group;
mod permit;
mod port;
mod reserved;
mod setting;
mod show;
mod subnet_group;
mod tag;

use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use store::records::ParameterGroupKind::{Cluster, Instance};

/// Answers an operation of RDS.
///
/// What creates and changes runs one after the other, so that two calls do not choose the same port and no group is deleted
/// while it is being taken into use; the reconciler, which writes at any time, is met by the records' optimistic locking.
pub(crate) async fn dispatch(call: &Call<'_>, params: Params) -> Result<Response, ApiError> {
    static WRITING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let reads = ["Describe", "List"].iter().any(|start| call.operation.starts_with(start));
    let _turn = if reads { None } else { Some(WRITING.lock().await) };
    match call.operation {
        "CreateDBInstance" => instance::create(call, params).await,
        "DescribeDBInstances" => instance::describe(call, params).await,
        "ModifyDBInstance" => instance::modify(call, params).await,
        "DeleteDBInstance" => instance::delete(call, params).await,
        "StartDBInstance" => instance::start(call, params).await,
        "StopDBInstance" => instance::stop(call, params).await,
        "RebootDBInstance" => instance::reboot(call, params).await,

        "CreateDBCluster" => cluster::create(call, params).await,
        "DescribeDBClusters" => cluster::describe(call, params).await,
        "DescribeDBClusterEndpoints" => cluster::describe_endpoints(call, params).await,
        "ModifyDBCluster" => cluster::modify(call, params).await,
        "DeleteDBCluster" => cluster::delete(call, params).await,
        "StartDBCluster" => cluster::start(call, params).await,
        "StopDBCluster" => cluster::stop(call, params).await,

        "AddTagsToResource" => tag::add(call, params).await,
        "RemoveTagsFromResource" => tag::remove(call, params).await,
        "ListTagsForResource" => tag::list(call, params).await,

        "DescribeDBEngineVersions" => engine_version::describe(call, params),
        "DescribeOrderableDBInstanceOptions" => engine_version::describe_orderable(call, params),
        "DescribeCertificates" => certificate::describe(call, params).await,
        "DescribePendingMaintenanceActions" => maintenance::describe(call, params).await,

        "CreateDBSubnetGroup" => subnet_group::create(call, params).await,
        "DescribeDBSubnetGroups" => subnet_group::describe(call, params).await,
        "ModifyDBSubnetGroup" => subnet_group::modify(call, params).await,
        "DeleteDBSubnetGroup" => subnet_group::delete(call, params).await,

        "CreateDBParameterGroup" => parameter_group::create(call, Instance, params).await,
        "DescribeDBParameterGroups" => parameter_group::describe(call, Instance, params).await,
        "ModifyDBParameterGroup" => parameter_group::modify(call, Instance, params).await,
        "ResetDBParameterGroup" => parameter_group::reset(call, Instance, params).await,
        "DeleteDBParameterGroup" => parameter_group::delete(call, Instance, params).await,
        "DescribeDBParameters" => parameter_group::describe_parameters(call, Instance, params).await,

        "CreateDBClusterParameterGroup" => parameter_group::create(call, Cluster, params).await,
        "DescribeDBClusterParameterGroups" => parameter_group::describe(call, Cluster, params).await,
        "ModifyDBClusterParameterGroup" => parameter_group::modify(call, Cluster, params).await,
        "ResetDBClusterParameterGroup" => parameter_group::reset(call, Cluster, params).await,
        "DeleteDBClusterParameterGroup" => parameter_group::delete(call, Cluster, params).await,
        "DescribeDBClusterParameters" => parameter_group::describe_parameters(call, Cluster, params).await,

        _ => Err(call.unknown_operation()),
    }
}
