//! What the unit tests share.

use client::api::{Found, Kind};

/// An instance as it should be.
pub(crate) fn found() -> Found {
    Found {
        kind: Kind::Instance,
        identifier: "mydb".to_owned(),
        cluster: None,
        engine: "postgres".to_owned(),
        engine_version: "15.4".to_owned(),
        address: Some("mydb.abc123.us-east-1.rds.amazonaws.com".to_owned()),
        port: Some(5432),
        resource_id: "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ".to_owned(),
        iam_enabled: true,
        pending_iam: None,
        ca_certificate_identifier: Some("rds-ca-rsa2048-g1".to_owned()),
        pending_ca: None,
        status: "available".to_owned(),
        publicly_accessible: Some(false),
        master_user: Some("postgres".to_owned()),
    }
}
