//! Ports: the one asked for, else the engine's own, else the next free one.

use crate::call::Call;
use crate::query::ApiError;
use iam::Engine;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::RangeInclusive;
use store::records::{Cluster, Instance};

/// The ports that RDS lets one ask for.
pub(super) const ALLOWED: RangeInclusive<i64> = 1150..=65_535;

/// Chooses the port of a new instance or cluster. Free is a port that no record has, in any region, and that nobody on this
/// machine listens at.
pub(super) async fn choose(call: &Call<'_>, asked: Option<u16>, engine: Engine) -> Result<u16, ApiError> {
    let mut taken = BTreeMap::new();
    for cluster in call.services.records.list::<Cluster>("").await? {
        taken.insert(cluster.port, format!("the DB cluster {} in {}", cluster.identifier, cluster.region));
    }
    for instance in call.services.records.list::<Instance>("").await? {
        taken
            .entry(instance.port)
            .or_insert_with(|| format!("the DB instance {} in {}", instance.identifier, instance.region));
    }
    let Some(port) = asked else {
        let mut ports = engine.default_port()..=u16::MAX;
        return ports.find(|port| !taken.contains_key(port) && nobody_listens(*port)).ok_or_else(|| {
            ApiError::new(
                "InsufficientDBInstanceCapacity",
                "No port is free on this machine for another server",
            )
        });
    };
    let by = match taken.remove(&port) {
        Some(by) => by,
        None if nobody_listens(port) => return Ok(port),
        None => "another program on this machine".to_owned(),
    };
    Err(ApiError::invalid_parameter_value(format!(
        "Port {port} is in use by {by}; give another Port, or none to have a free one chosen"
    )))
}

/// Whether the port can be listened at on loopback. A machine without IPv6 is no hindrance.
fn nobody_listens(port: u16) -> bool {
    let taken = |error: std::io::Error| error.kind() == ErrorKind::AddrInUse;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && !TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_err_and(taken)
}
