//! RDS's errors, by AWS's codes and texts.
//!
//! The codes are those of the service model's `error` traits: some say `Fault` and some do not, and the waiters of the AWS
//! CLI go by them.

use crate::query::ApiError;
use http::StatusCode;

fn not_found(code: &'static str, message: String) -> ApiError {
    ApiError::new(code, message).with_status(StatusCode::NOT_FOUND)
}

pub(super) fn instance_not_found(identifier: &str) -> ApiError {
    not_found("DBInstanceNotFound", format!("DBInstance {identifier} not found."))
}

pub(super) fn instance_exists() -> ApiError {
    ApiError::new("DBInstanceAlreadyExists", "DB instance already exists")
}

pub(super) fn instance_state(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidDBInstanceState", message)
}

pub(super) fn cluster_not_found(identifier: &str) -> ApiError {
    not_found("DBClusterNotFoundFault", format!("DBCluster {identifier} not found."))
}

pub(super) fn cluster_exists() -> ApiError {
    ApiError::new("DBClusterAlreadyExistsFault", "DB Cluster already exists")
}

pub(super) fn cluster_state(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidDBClusterStateFault", message)
}

pub(super) fn subnet_group_not_found(name: &str) -> ApiError {
    not_found("DBSubnetGroupNotFoundFault", format!("DB subnet group '{name}' does not exist."))
}

pub(super) fn subnet_group_exists(name: &str) -> ApiError {
    ApiError::new("DBSubnetGroupAlreadyExists", format!("The DB subnet group '{name}' already exists."))
}

pub(super) fn subnet_group_state(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidDBSubnetGroupStateFault", message)
}

pub(super) fn parameter_group_state(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidDBParameterGroupState", message)
}

/// Both kinds of parameter group have this one code.
pub(super) fn parameter_group_exists(name: &str) -> ApiError {
    ApiError::new("DBParameterGroupAlreadyExists", format!("Parameter group {name} already exists"))
}

pub(super) fn parameter_group_not_found(name: &str) -> ApiError {
    not_found("DBParameterGroupNotFound", format!("DBParameterGroup not found: {name}"))
}

/// Describing and deleting a cluster parameter group has the code of the other kind; taking one into use has this one.
pub(super) fn cluster_parameter_group_not_found(name: &str) -> ApiError {
    not_found("DBClusterParameterGroupNotFound", format!("DBClusterParameterGroup not found: {name}"))
}

pub(super) fn option_group_not_found(name: &str) -> ApiError {
    not_found("OptionGroupNotFoundFault", format!("Specified OptionGroupName: {name} not found."))
}

pub(super) fn certificate_not_found(identifier: &str) -> ApiError {
    not_found("CertificateNotFound", format!("Certificate {identifier} not found."))
}

/// A parameter that AWS has, with a value that would promise what is not kept here.
pub(super) fn unsupported(parameter: &str, reason: &str) -> ApiError {
    ApiError::new("UnsupportedParameter", format!("The parameter {parameter} is not supported: {reason}"))
}
