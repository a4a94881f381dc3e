//! The engine versions: what is installed on this machine, chosen from and described.

use super::page::{Filters, Page};
use super::permit::authorize;
use super::setting;
use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use iam::{Engine, Product};
use pki::CaIdentifier;
use std::cmp::Reverse;
use store::records::EngineVersion;

/// The version that is asked for: a whole one, a series such as `15` or `8.4`, or none for the latest.
pub(super) fn choose<'a>(
    call: &Call<'a>,
    engine: Engine,
    asked: Option<&str>,
) -> Result<&'a EngineVersion, ApiError> {
    let installed: Vec<&EngineVersion> =
        call.services.engine_versions.iter().filter(|version| version.engine == engine).collect();
    let found = installed.iter().filter(|version| asked.is_none_or(|asked| is_meant(asked, version)));
    if let Some(version) = found.max_by_key(|version| parts(&version.version)) {
        return Ok(version);
    }
    let versions: Vec<&str> = installed.iter().map(|version| version.version.as_str()).collect();
    let installed = if versions.is_empty() {
        format!("none; install {} and start Countersign again", engine.product())
    } else {
        versions.join(", ")
    };
    Err(ApiError::invalid_parameter_combination(format!(
        "Cannot find version {} for {engine}; installed on this machine: {installed}",
        asked.unwrap_or("default")
    )))
}

/// What is installed for an instance or cluster of the version: its series decides, since a release may have been updated
/// after it was made.
pub(super) fn of<'a>(call: &Call<'a>, engine: Engine, version: &str) -> Result<&'a EngineVersion, ApiError> {
    choose(call, engine, Some(major(engine, version)))
}

fn is_meant(asked: &str, version: &EngineVersion) -> bool {
    asked == version.version || asked == major(version.engine, &version.version)
}

/// What AWS calls the major version, such as `15`, `8.4` or `10.11`.
pub(super) fn major(engine: Engine, version: &str) -> &str {
    engine.product().series(version)
}

/// The numbers of a version, to be compared one by one; in `8.4.mysql_aurora.8.4.3` a word stands between them.
fn parts(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// The option group of a version. No options are served, so there is no other.
pub(super) fn option_group(engine: Engine, version: &str) -> String {
    format!("default:{engine}-{}", major(engine, version).replace('.', "-"))
}

/// LicenseModel: the only one of an engine.
pub(super) fn license(engine: Engine) -> &'static str {
    match engine.product() {
        Product::PostgreSql => "postgresql-license",
        Product::MySql | Product::MariaDb => "general-public-license",
    }
}

fn description(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::AuroraPostgresql => "Aurora (PostgreSQL)",
        Engine::Mysql => "MySQL Community Edition",
        Engine::AuroraMysql => "Aurora MySQL",
        Engine::Mariadb => "MariaDB Community Edition",
    }
}

/// DBEngineVersionDescription: of Aurora's versions, what they are compatible with.
fn version_description(engine: Engine, version: &str) -> String {
    let product = engine.product();
    match engine {
        Engine::Postgres | Engine::Mysql | Engine::Mariadb => format!("{product} {version}"),
        Engine::AuroraPostgresql => format!("Aurora PostgreSQL (compatible with {product} {version})"),
        Engine::AuroraMysql => {
            let release = version.split_once(".mysql_aurora.").map_or(version, |(_, release)| release);
            format!("Aurora MySQL {release} (compatible with {product} {})", major(engine, version))
        }
    }
}

/// DescribeDBEngineVersions.
pub(super) fn describe(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    authorize(call, "*")?;
    let engine = params.optional("Engine");
    let version = params.optional("EngineVersion");
    let family = params.optional("DBParameterGroupFamily");
    let default_only = params.flag("DefaultOnly")?.unwrap_or(false);
    for more in ["IncludeAll", "ListSupportedCharacterSets", "ListSupportedTimezones"] {
        params.flag(more)?;
    }
    let known = ["db-parameter-group-family", "engine", "engine-mode", "engine-version", "status"];
    let filters = Filters::take(&mut params, &known)?;
    let page = Page::take(&mut params)?;
    params.finish()?;

    let found = call.services.engine_versions.iter().filter(|v| {
        engine.as_deref().is_none_or(|engine| engine == v.engine.as_str())
            && version.as_deref().is_none_or(|asked| is_meant(asked, v))
            && family.as_deref().is_none_or(|family| family == v.family)
            && (!default_only || is_default(call, v))
            && filters.admit(|name, value| match name {
                "db-parameter-group-family" => value == v.family,
                "engine" => value == v.engine.as_str(),
                "engine-mode" => value == "provisioned",
                "engine-version" => is_meant(value, v),
                _ => value == "available",
            })
    });
    let part = page.cut(found, |v| {
        let padded: String = parts(&v.version).into_iter().map(|part| format!(" {part:06}")).collect();
        format!("{}{padded}", v.engine)
    });
    Ok(call.respond(|w| {
        part.write(w, "DBEngineVersions", "DBEngineVersion", |w, v| {
            let (engine, version) = (v.engine, &v.version);
            w.text("Engine", engine.as_str());
            w.text("MajorEngineVersion", major(engine, version));
            w.text("EngineVersion", version);
            w.text("DBParameterGroupFamily", &v.family);
            w.text("DBEngineDescription", description(engine));
            w.text("DBEngineVersionDescription", &version_description(engine, version));
            w.list("ValidUpgradeTarget", "UpgradeTarget", [(); 0], |_, ()| {});
            w.texts("ExportableLogTypes", "member", setting::log_types(engine));
            w.flag("SupportsLogExportsToCloudwatchLogs", true);
            w.flag("SupportsReadReplica", false);
            w.texts(
                "SupportedEngineModes",
                "member",
                ["provisioned"].iter().filter(|_| engine.is_cluster_engine()),
            );
            w.texts("SupportedFeatureNames", "member", [""; 0]);
            w.text("Status", "available");
            w.flag("SupportsParallelQuery", false);
            w.flag("SupportsGlobalDatabases", false);
            w.flag("SupportsBabelfish", false);
            w.flag("SupportsLimitlessDatabase", false);
            w.flag("SupportsCertificateRotationWithoutRestart", true);
            w.texts(
                "SupportedCACertificateIdentifiers",
                "member",
                CaIdentifier::ALL.map(CaIdentifier::as_str),
            );
            w.flag("SupportsLocalWriteForwarding", false);
            w.flag("SupportsIntegrations", false);
        });
    }))
}

fn is_default(call: &Call<'_>, version: &EngineVersion) -> bool {
    choose(call, version.engine, None).is_ok_and(|default| default == version)
}

/// The classes that are listed; any other is accepted too, since a server has the machine's processors and memory.
const CLASSES: &[&str] = &[
    "db.m5.large",
    "db.m6g.large",
    "db.r4.large",
    "db.r5.large",
    "db.r6g.large",
    "db.r7g.large",
    "db.serverless",
    "db.t3.large",
    "db.t3.medium",
    "db.t3.micro",
    "db.t3.small",
    "db.t4g.large",
    "db.t4g.medium",
    "db.t4g.micro",
    "db.t4g.small",
];

/// DescribeOrderableDBInstanceOptions.
pub(super) fn describe_orderable(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    authorize(call, "*")?;
    let engine = params.required("Engine")?;
    let version = params.optional("EngineVersion");
    let class = params.optional("DBInstanceClass");
    let asked_license = params.optional("LicenseModel");
    let group = params.optional("AvailabilityZoneGroup");
    let vpc = params.flag("Vpc")?;
    Filters::take(&mut params, &[])?;
    let page = Page::take(&mut params)?;
    params.finish()?;

    let offered = group.as_deref().is_none_or(|group| group == call.region.as_str()) && vpc != Some(false);
    let mut versions: Vec<&EngineVersion> = call
        .services
        .engine_versions
        .iter()
        .filter(|v| {
            offered
                && v.engine.as_str() == engine
                && asked_license.as_deref().is_none_or(|asked| asked == license(v.engine))
                && version.as_deref().is_none_or(|asked| is_meant(asked, v))
        })
        .collect();
    versions.sort_by_key(|v| Reverse(parts(&v.version)));
    let options = versions.iter().enumerate().flat_map(|(rank, v)| {
        let serverless = v.engine.is_cluster_engine();
        CLASSES
            .iter()
            .filter(move |class| serverless || **class != "db.serverless")
            .map(move |class| (rank, *v, *class))
    });
    let options = options.filter(|(_, _, offered)| class.as_deref().is_none_or(|class| class == *offered));
    let part = page.cut(options, |(rank, _, class)| format!("{class} {rank:04}"));
    Ok(call.respond(|w| {
        part.write(w, "OrderableDBInstanceOptions", "OrderableDBInstanceOption", |w, (_, v, class)| {
            let aurora = v.engine.is_cluster_engine();
            w.text("Engine", v.engine.as_str());
            w.text("EngineVersion", &v.version);
            w.text("DBInstanceClass", class);
            w.text("LicenseModel", license(v.engine));
            w.list("AvailabilityZones", "AvailabilityZone", ["a", "b", "c"], |w, zone| {
                w.text("Name", &format!("{}{zone}", call.region));
            });
            w.flag("MultiAZCapable", false);
            w.flag("ReadReplicaCapable", false);
            w.flag("Vpc", true);
            w.flag("SupportsStorageEncryption", false);
            w.text("StorageType", if aurora { "aurora" } else { "gp3" });
            w.flag("SupportsIops", false);
            w.flag("SupportsStorageThroughput", false);
            w.flag("SupportsEnhancedMonitoring", false);
            w.flag("SupportsIAMDatabaseAuthentication", true);
            w.flag("SupportsPerformanceInsights", false);
            w.texts("SupportedEngineModes", "member", ["provisioned"].iter().filter(|_| aurora));
            w.flag("SupportsStorageAutoscaling", false);
            w.flag("SupportsKerberosAuthentication", false);
            w.flag("OutpostCapable", false);
            w.flag("SupportsGlobalDatabases", false);
            w.texts("SupportedNetworkTypes", "member", ["IPV4"]);
            w.flag("SupportsClusters", false);
            w.flag("SupportsDedicatedLogVolume", false);
        });
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(engine: Engine, asked: &str, version: &str) -> bool {
        is_meant(asked, &EngineVersion { engine, version: version.to_owned(), family: String::new() })
    }

    #[test]
    fn a_version_is_meant_by_itself_or_by_its_series() {
        for (engine, version, by, not) in [
            (Engine::Postgres, "15.18", &["15", "15.18"][..], &["15.1", "1", "15.17", ""][..]),
            (Engine::Mysql, "8.4.3", &["8.4", "8.4.3"], &["8", "8.", "8.4.", "8.4.30", "8.0"]),
            (Engine::Mariadb, "10.11.19", &["10.11", "10.11.19"], &["10", "10.1", "10.11.1", "11.4"]),
            (
                Engine::AuroraMysql,
                "8.0.mysql_aurora.3.08.0",
                &["8.0", "8.0.mysql_aurora.3.08.0"],
                &["8", "3.08.0", "8.0.mysql_aurora"],
            ),
        ] {
            assert!(by.iter().all(|asked| meant(engine, asked, version)), "{version}");
            assert!(!not.iter().any(|asked| meant(engine, asked, version)), "{version}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let rising =
            ["5.7.44", "8.0.9", "8.0.10", "8.4.3", "9.7.4", "10.6.21", "10.11.1", "10.11.19", "11.4.5"];
        assert!(rising.is_sorted_by_key(|version| parts(version)));
        let aurora = ["8.0.mysql_aurora.3.08.0", "8.0.mysql_aurora.3.10.0", "8.4.mysql_aurora.8.4.3"];
        assert!(aurora.is_sorted_by_key(|version| parts(version)));
    }

    #[test]
    fn groups_and_descriptions_have_rdss_shapes() {
        for (engine, version, group, text) in [
            (Engine::Postgres, "15.18", "default:postgres-15", "PostgreSQL 15.18"),
            (
                Engine::AuroraPostgresql,
                "15.18",
                "default:aurora-postgresql-15",
                "Aurora PostgreSQL (compatible with PostgreSQL 15.18)",
            ),
            (Engine::Mysql, "8.4.3", "default:mysql-8-4", "MySQL 8.4.3"),
            (Engine::Mariadb, "10.11.19", "default:mariadb-10-11", "MariaDB 10.11.19"),
            (
                Engine::AuroraMysql,
                "8.0.mysql_aurora.3.08.0",
                "default:aurora-mysql-8-0",
                "Aurora MySQL 3.08.0 (compatible with MySQL 8.0)",
            ),
        ] {
            assert_eq!(option_group(engine, version), group);
            assert_eq!(version_description(engine, version), text);
        }
    }
}
