//! What the RDS API says of the database.

use client::Host;
use client::api::{ApiError, Found, Kind};
use iam::Region;

use crate::finding::{Finding, Step};

/// Authorities whose certificates no longer count.
const ENDED: &[&str] = &["rds-ca-2010", "rds-ca-2015", "rds-ca-2019"];

/// What an instance or cluster is doing while it takes connections.
const AT_WORK: &[&str] = &[
    "available",
    "backing-up",
    "backtracking",
    "configuring-enhanced-monitoring",
    "configuring-iam-database-auth",
    "configuring-iam-database-authentication",
    "configuring-log-exports",
    "maintenance",
    "modifying",
    "promoting",
    "resetting-master-credentials",
    "storage-config-upgrade",
    "storage-full",
    "storage-initialization",
    "storage-optimization",
    "update-iam-db-auth",
    "upgrading",
];

/// The command that turns IAM authentication on.
pub(crate) fn enable_iam(found: Option<&Found>) -> String {
    match found.and_then(|found| found.cluster.as_ref()) {
        Some(cluster) => format!(
            "aws rds modify-db-cluster --db-cluster-identifier {cluster} --enable-iam-database-authentication --apply-immediately"
        ),
        None => format!(
            "aws rds modify-db-instance --db-instance-identifier {} --enable-iam-database-authentication --apply-immediately",
            found.map_or("IDENTIFIER", |found| &found.identifier)
        ),
    }
}

/// Tells of the database that was found, or why not.
pub(crate) fn explain(
    found: Result<&Found, &ApiError>,
    host: &Host,
    port: Option<u16>,
    region: &Region,
) -> Vec<Finding> {
    match found {
        Ok(found) => vec![database(found, host, port), iam_authentication(found), authority(found)],
        Err(error) => {
            let why = "what the API says of the database is not known (finding `database`)";
            let rest = [Step::IamAuthentication, Step::Authority].map(|step| Finding::skipped(step, why));
            let mut all = vec![not_found(error, region)];
            all.extend(rest);
            all
        }
    }
}

fn not_found(error: &ApiError, region: &Region) -> Finding {
    match error {
        ApiError::NoDatabase(..) => Finding::warning(Step::Database, error.to_string())
            .expected("the database that was dialled")
            .run(
                "the databases that there are: is it in another account or region, an RDS Proxy, or behind an alias?",
                format!("aws rds describe-db-instances --region {region} --query 'DBInstances[].[DBInstanceIdentifier,Endpoint.Address,Endpoint.Port]' --output text"),
            ),
        error if error.is_denied() => {
            Finding::skipped(Step::Database, format!("these credentials may not ask: {error}"))
        }
        error => Finding::skipped(Step::Database, error.to_string()),
    }
}

fn database(found: &Found, host: &Host, port: Option<u16>) -> Finding {
    let Found { kind, identifier, engine, engine_version, resource_id, status, .. } = found;
    let kind = kind.as_str();
    let seen = format!("{kind} `{identifier}`, {engine} {engine_version}, {status}, {resource_id}");
    if !AT_WORK.contains(&status.as_str()) {
        let finding = Finding::failed(Step::Database, seen).expected("a database that is available");
        return match status.as_str() {
            "stopped" if found.kind == Kind::Cluster => finding
                .run("start it", format!("aws rds start-db-cluster --db-cluster-identifier {identifier}")),
            "stopped" => finding
                .run("start it", format!("aws rds start-db-instance --db-instance-identifier {identifier}")),
            "failed" | "deleting" => finding.mend("it will not come back by itself: restore it"),
            _ if found.kind == Kind::Cluster => finding.run(
                "wait for it",
                format!("aws rds wait db-cluster-available --db-cluster-identifier {identifier}"),
            ),
            _ => finding.run(
                "wait for it",
                format!("aws rds wait db-instance-available --db-instance-identifier {identifier}"),
            ),
        };
    }
    let own = found.address.as_deref().zip(found.port);
    if let Some((address, own_port)) = own
        && (!address.eq_ignore_ascii_case(host.as_str()) || port.is_some_and(|port| port != own_port))
    {
        let dialled = port.map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        return Finding::failed(
            Step::Database,
            format!("{seen}; its address is {address}:{own_port}, not {dialled}"),
        )
        .expected("the database's own address: the token names host and port, and is refused for others")
        .run("dial its own address", format!("countersign doctor --host {address} --port {own_port} ..."));
    }
    Finding::ok(Step::Database, seen)
}

fn iam_authentication(found: &Found) -> Finding {
    let step = Step::IamAuthentication;
    let whose = match &found.cluster {
        Some(cluster) => format!("cluster `{cluster}`"),
        None => format!("instance `{}`", found.identifier),
    };
    let on = "IAM authentication, enabled";
    match (found.iam_enabled, found.pending_iam) {
        (true, Some(false)) => Finding::warning(
            step,
            format!("enabled on {whose}, and to be disabled in the next maintenance window"),
        )
        .expected(on)
        .run("keep it", enable_iam(Some(found))),
        (true, _) => Finding::ok(step, format!("enabled on {whose}")),
        (false, Some(true)) => Finding::failed(
            step,
            format!("disabled on {whose}; to be enabled in the next maintenance window"),
        )
        .expected(on)
        .run("enable it now", enable_iam(Some(found))),
        (false, _) => Finding::failed(step, format!("disabled on {whose}"))
            .expected(on)
            .run("enable it", enable_iam(Some(found))),
    }
}

fn authority(found: &Found) -> Finding {
    let step = Step::Authority;
    let Some(ca) = &found.ca_certificate_identifier else {
        return Finding::skipped(step, "the API tells the authority of an instance, not of a cluster");
    };
    let seen = match &found.pending_ca {
        Some(next) => format!("{ca}, to be {next} soon"),
        None => ca.clone(),
    };
    if ENDED.contains(&ca.as_str()) {
        return Finding::warning(step, seen).expected("an authority whose certificate is valid").run(
            "have a certificate made by an authority of today",
            format!(
                "aws rds modify-db-instance --db-instance-identifier {} --ca-certificate-identifier rds-ca-rsa2048-g1 --apply-immediately",
                found.identifier
            ),
        );
    }
    Finding::ok(step, seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use crate::testing::found;

    fn told(found: &Found, host: &str, port: u16) -> Vec<Finding> {
        explain(Ok(found), &host.parse().unwrap(), Some(port), &"us-east-1".parse().unwrap())
    }

    const HOST: &str = "mydb.abc123.us-east-1.rds.amazonaws.com";

    #[test]
    fn the_database() {
        assert!(told(&found(), HOST, 5432).iter().all(|finding| finding.status == Status::Ok));
        let finding = &told(&found(), HOST, 5433)[0];
        assert!(finding.mend[0].command.as_ref().unwrap().contains("--port 5432"), "{finding:?}");
        assert_eq!(told(&found(), "alias.example.com", 5432)[0].status, Status::Failed);
        for (status, command) in [
            ("stopped", Some("aws rds start-db-instance --db-instance-identifier mydb")),
            ("creating", Some("aws rds wait db-instance-available --db-instance-identifier mydb")),
            ("failed", None),
        ] {
            let finding = &told(&Found { status: status.to_owned(), ..found() }, HOST, 5432)[0];
            assert_eq!(finding.status, Status::Failed);
            assert_eq!(finding.mend[0].command.as_deref(), command);
        }
        let stopped = Found { kind: Kind::Cluster, status: "stopped".to_owned(), ..found() };
        assert!(told(&stopped, HOST, 5432)[0].mend[0].command.as_ref().unwrap().contains("start-db-cluster"));
    }

    #[test]
    fn iam_authentication_is_on_off_or_pending() {
        let told = |enabled, pending, cluster: Option<&str>| {
            let found = Found {
                iam_enabled: enabled,
                pending_iam: pending,
                cluster: cluster.map(str::to_owned),
                ..found()
            };
            iam_authentication(&found)
        };
        assert_eq!(told(true, None, None).status, Status::Ok);
        assert_eq!(told(true, Some(false), None).status, Status::Warning);
        let pending = told(false, Some(true), None);
        assert!(
            pending.status == Status::Failed && pending.seen.contains("maintenance window"),
            "{pending:?}"
        );
        let off = told(false, None, Some("shop"));
        assert!(
            off.mend[0].command.as_ref().unwrap().contains("modify-db-cluster --db-cluster-identifier shop")
        );
    }

    #[test]
    fn authorities() {
        let told = |ca: Option<&str>| {
            authority(&Found { ca_certificate_identifier: ca.map(str::to_owned), ..found() })
        };
        assert_eq!(told(Some("rds-ca-2019")).status, Status::Warning);
        assert_eq!(told(Some("rds-ca-ecc384-g1")).status, Status::Ok);
        assert_eq!(told(None).status, Status::Skipped);
    }

    #[test]
    fn what_may_not_be_asked_is_no_failure() {
        let region: Region = "us-east-1".parse().unwrap();
        let denied = ApiError::Refused {
            operation: "DescribeDBInstances",
            code: "AccessDenied".to_owned(),
            message: "User: x is not authorized".to_owned(),
        };
        let told = explain(Err(&denied), &HOST.parse().unwrap(), None, &region);
        assert!(told.iter().all(|finding| finding.status == Status::Skipped), "{told:?}");
        let none = ApiError::NoDatabase("x".to_owned(), region.clone());
        assert_eq!(explain(Err(&none), &HOST.parse().unwrap(), None, &region)[0].status, Status::Warning);
    }
}
