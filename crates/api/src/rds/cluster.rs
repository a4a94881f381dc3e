//! DB clusters: CreateDBCluster to DeleteDBCluster, and their endpoints.

use super::arn::Kind;
use super::fleet::{self, Fleet, held};
use super::instance::{master, master_password, stays};
use super::page::{Filters, Page, names};
use super::permit::{Asked, authorize, authorize_about, authorize_on};
use super::setting::{self, LogExports};
use super::{check, engine_version, error, port, show};
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use iam::{Engine, ResourceId, ResourceKind};
use serde_json::json;
use std::collections::BTreeSet;
use store::Change;
use store::records::{Cluster, MasterUser, ParameterGroupKind, Record, Settings, State, Wanted};
use zeroize::Zeroizing;

/// CreateDBCluster.
pub(super) async fn create(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = check::identifier("DBClusterIdentifier", &params.required("DBClusterIdentifier")?)?;
    let asked = Asked::read(&mut params, "DatabaseName")?;
    let about = asked.about();
    authorize_about(call, &Kind::Cluster.arn(call, &identifier), &about)?;

    let engine = check::engine(&mut params)?;
    if !engine.is_cluster_engine() {
        return Err(no_clusters(engine));
    }
    setting::refuse(&mut params, setting::CLUSTER_REFUSED)?;
    setting::master_authentication(&mut params, engine)?;
    let (master_name, password) = master(&mut params, engine)?;
    let version = params.optional("EngineVersion");
    let asked_port = given_port(&mut params)?;
    let database = params.optional("DatabaseName");
    database.as_deref().map(|name| check::database_name(engine, "DatabaseName", name)).transpose()?;
    let parameter_group =
        params.optional("DBClusterParameterGroupName").map(|name| name.to_ascii_lowercase());
    let subnet_group =
        params.optional("DBSubnetGroupName").map_or_else(|| "default".to_owned(), |n| n.to_ascii_lowercase());
    let option_group = params.optional("OptionGroupName");
    let iam_auth = params.flag("EnableIAMDatabaseAuthentication")?.unwrap_or(false);
    let deletion_protection = params.flag("DeletionProtection")?.unwrap_or(false);
    let mut settings = Settings::new();
    setting::take(&mut params, setting::CLUSTER, &mut settings)?;
    setting::security_groups(&mut params, &mut settings)?;
    setting::backup_retention(&mut params, engine, 1, &mut settings)?;
    LogExports::take(&mut params)?.apply(engine, &mut settings)?;
    zones(call, &mut params, &mut settings)?;
    params.finish()?;
    fill_in(&mut settings);
    setting::check(call, &settings)?;

    let version = engine_version::choose(call, engine, version.as_deref())?;
    let parameter_group = parameter_group.unwrap_or_else(|| format!("default.{}", version.family));
    let own_options = engine_version::option_group(engine, &version.version);
    setting::option_group(option_group.as_deref(), &own_options)?;
    authorize_on(call, Kind::ClusterParameterGroup, &parameter_group, &about).await?;
    authorize_on(call, Kind::SubnetGroup, &subnet_group, &about).await?;
    authorize_on(call, Kind::OptionGroup, &own_options, &about).await?;

    let id = ResourceId::generate(ResourceKind::Cluster, call.services.random()?);
    let key = format!("{}{}/{identifier}", Cluster::PREFIX, call.region);
    let password = call.services.master_key.seal(&key, password.as_bytes())?;
    let (fleet, cluster) = call
        .change(|| async {
            let fleet = Fleet::load(call).await?;
            if fleet.cluster(&identifier).is_ok() {
                return Err(error::cluster_exists());
            }
            let parameters =
                fleet::parameter_group(call, ParameterGroupKind::Cluster, &parameter_group, &version.family)
                    .await?;
            let subnets = fleet::subnet_group(call, &subnet_group).await?;
            let cluster = Cluster {
                region: call.region.clone(),
                identifier: identifier.clone(),
                resource_id: id.clone(),
                engine,
                engine_version: version.version.clone(),
                port: port::choose(call, asked_port, engine).await?,
                database: database.clone(),
                master: MasterUser { name: master_name.clone(), password: password.clone(), generation: 1 },
                iam_auth,
                pending_iam_auth: None,
                parameter_group: parameter_group.clone(),
                subnet_group: subnet_group.clone(),
                members: BTreeSet::new(),
                deletion_protection,
                tags: asked.tags.clone(),
                created: call.now,
                settings: settings.clone(),
                wanted: Wanted::Running,
                generation: 1,
            };
            let change = held(held(Change::new(), parameters.as_ref()), subnets.as_ref()).insert(&cluster)?;
            Ok((fleet.announce_cluster(change, &cluster)?, (fleet, cluster)))
        })
        .await?;
    Ok(call
        .respond(|w| w.element("DBCluster", |w| show::cluster(w, call, &fleet, &cluster, State::Creating))))
}

/// Why an engine whose instances stand alone has no clusters here.
fn no_clusters(engine: Engine) -> ApiError {
    match engine.product().engines().iter().find(|other| other.is_cluster_engine()) {
        Some(other) => error::unsupported(
            &format!("Engine={engine}"),
            &format!(
                "it would make a Multi-AZ DB cluster, which is not served here; use CreateDBInstance, or {other}"
            ),
        ),
        None => ApiError::invalid_parameter_value(format!(
            "Invalid DB engine: {engine} has no DB clusters; use CreateDBInstance"
        )),
    }
}

fn given_port(params: &mut Params) -> Result<Option<u16>, ApiError> {
    Ok(params.integer("Port", port::ALLOWED)?.and_then(|port| u16::try_from(port).ok()))
}

/// Takes `AvailabilityZones`, of the call's region.
fn zones(call: &Call<'_>, params: &mut Params, settings: &mut Settings) -> Result<(), ApiError> {
    let mut zones = params.list("AvailabilityZones", "AvailabilityZone")?;
    let is_here = |zone: &String| {
        let letter = zone.strip_prefix(call.region.as_str()).unwrap_or_default();
        letter.len() == 1 && letter.bytes().all(|b| b.is_ascii_lowercase())
    };
    if let Some(zone) = zones.iter().find(|zone| !is_here(zone)) {
        return Err(ApiError::invalid_parameter_value(format!(
            "Invalid availability zone: {zone} is not in {}",
            call.region
        )));
    }
    if zones.is_empty() {
        zones = ["a", "b", "c"].map(|letter| format!("{}{letter}", call.region)).to_vec();
    }
    settings.insert("AvailabilityZones".to_owned(), json!(zones));
    Ok(())
}

/// What is shown where nothing was asked for.
fn fill_in(settings: &mut Settings) {
    setting::default(settings, "AutoMinorVersionUpgrade", true);
    setting::default(settings, "BackupRetentionPeriod", 1);
    setting::default(settings, "CopyTagsToSnapshot", false);
    setting::default(settings, "DatabaseInsightsMode", "standard");
    setting::default(settings, "EngineLifecycleSupport", "open-source-rds-extended-support");
    setting::default(settings, "EngineMode", "provisioned");
    setting::default(settings, "NetworkType", "IPV4");
    setting::default_windows(settings);
}

/// DescribeDBClusters.
pub(super) async fn describe(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = maybe_named(call, &mut params).await?;
    params.flag("IncludeShared")?;
    let known = ["clone-group-id", "db-cluster-id", "db-cluster-resource-id", "domain", "engine"];
    let filters = Filters::take(&mut params, &known)?;
    let page = Page::take(&mut params)?;
    params.finish()?;

    let fleet = Fleet::load(call).await?;
    if let Some(identifier) = &identifier {
        fleet.cluster(identifier)?;
    }
    let asked = fleet.clusters.iter().filter(|cluster| {
        let arn = Kind::Cluster.arn(call, &cluster.identifier);
        identifier.as_ref().is_none_or(|identifier| *identifier == cluster.identifier)
            && filters.admit(|name, value| match name {
                "db-cluster-id" => names(value, &cluster.identifier, &arn),
                "db-cluster-resource-id" => value == cluster.resource_id.as_str(),
                "engine" => value == cluster.engine.as_str(),
                _ => false,
            })
    });
    let part = page.cut(asked, |cluster| cluster.identifier.clone());
    Ok(call.respond(|w| {
        part.write(w, "DBClusters", "DBCluster", |w, cluster| {
            show::cluster(w, call, &fleet, cluster, fleet.cluster_state(cluster));
        });
    }))
}

/// DescribeDBClusterEndpoints: a cluster's writer and reader endpoint. Custom ones cannot be made here.
pub(super) async fn describe_endpoints(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = maybe_named(call, &mut params).await?;
    let custom = params.optional("DBClusterEndpointIdentifier");
    let known = [
        "db-cluster-endpoint-custom-type",
        "db-cluster-endpoint-id",
        "db-cluster-endpoint-status",
        "db-cluster-endpoint-type",
    ];
    let filters = Filters::take(&mut params, &known)?;
    let page = Page::take(&mut params)?;
    params.finish()?;

    let fleet = Fleet::load(call).await?;
    if let Some(identifier) = &identifier {
        fleet.cluster(identifier)?;
    }
    let of_clusters = fleet.clusters.iter().filter(|cluster| {
        custom.is_none() && identifier.as_ref().is_none_or(|identifier| *identifier == cluster.identifier)
    });
    let endpoints = of_clusters.flat_map(|cluster| {
        let status = match fleet.cluster_state(cluster) {
            word @ (State::Creating | State::Deleting) => word.as_str(),
            State::Stopped | State::Stopping | State::Failed => "inactive",
            _ => "available",
        };
        [("WRITER", status, cluster), ("READER", status, cluster)]
    });
    let endpoints = endpoints.filter(|(kind, status, _)| {
        filters.admit(|name, value| match name {
            "db-cluster-endpoint-type" => value.eq_ignore_ascii_case(kind),
            "db-cluster-endpoint-status" => value == *status,
            _ => false,
        })
    });
    let part = page.cut(endpoints, |(kind, _, cluster)| format!("{} {kind}", cluster.identifier));
    let naming = &call.services.naming;
    Ok(call.respond(|w| {
        part.write(w, "DBClusterEndpoints", "DBClusterEndpointList", |w, (kind, status, cluster)| {
            w.text("DBClusterIdentifier", &cluster.identifier);
            let address = match kind {
                "WRITER" => naming.writer_address(&cluster.identifier, &cluster.region),
                _ => naming.reader_address(&cluster.identifier, &cluster.region),
            };
            w.text("Endpoint", &address);
            w.text("Status", status);
            w.text("EndpointType", kind);
        });
    }))
}

async fn maybe_named(call: &Call<'_>, params: &mut Params) -> Result<Option<String>, ApiError> {
    let identifier = match params.optional("DBClusterIdentifier").filter(|given| !given.is_empty()) {
        Some(given) => Some(check::identifier("DBClusterIdentifier", &Kind::Cluster.name(call, &given)?)?),
        None => None,
    };
    match &identifier {
        Some(identifier) => authorize_on(call, Kind::Cluster, identifier, &About::nothing()).await?,
        None => authorize(call, &Kind::Cluster.arn(call, "*"))?,
    }
    Ok(identifier)
}

async fn named(call: &Call<'_>, params: &mut Params) -> Result<String, ApiError> {
    let given = params.required("DBClusterIdentifier")?;
    let identifier = check::identifier("DBClusterIdentifier", &Kind::Cluster.name(call, &given)?)?;
    authorize_on(call, Kind::Cluster, &identifier, &About::nothing()).await?;
    Ok(identifier)
}

/// What ModifyDBCluster is asked for.
struct Modification {
    immediately: bool,
    password: Option<Zeroizing<String>>,
    iam_auth: Option<bool>,
    parameter_group: Option<String>,
    option_group: Option<String>,
    port: Option<u16>,
    version: Option<String>,
    deletion_protection: Option<bool>,
    settings: Settings,
    logs: LogExports,
}

/// ModifyDBCluster.
///
/// A cluster that is still being created may be modified too: what is wanted of it then is made at once.
pub(super) async fn modify(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = named(call, &mut params).await?;
    let engine = Fleet::load(call).await?.cluster(&identifier)?.engine;
    setting::refuse(&mut params, setting::CLUSTER_REFUSED)?;
    setting::master_authentication(&mut params, engine)?;
    let mut settings = Settings::new();
    setting::take(&mut params, setting::CLUSTER, &mut settings)?;
    setting::security_groups(&mut params, &mut settings)?;
    setting::backup_retention(&mut params, engine, 1, &mut settings)?;
    let asked = Modification {
        immediately: params.flag("ApplyImmediately")?.unwrap_or(false),
        password: master_password(&mut params, engine)?,
        iam_auth: params.flag("EnableIAMDatabaseAuthentication")?,
        parameter_group: params.optional("DBClusterParameterGroupName").map(|name| name.to_ascii_lowercase()),
        option_group: params.optional("OptionGroupName"),
        port: given_port(&mut params)?,
        version: params.optional("EngineVersion"),
        deletion_protection: params.flag("DeletionProtection")?,
        settings,
        logs: LogExports::take_changes(&mut params)?,
    };
    params.finish()?;

    let asked = &asked;
    let (fleet, cluster, state) = call
        .change(|| async {
            let fleet = Fleet::load(call).await?;
            let old = fleet.cluster(&identifier)?;
            let mut state = fleet.cluster_state(old);
            if !matches!(state, State::Available | State::Creating) {
                return Err(not_available(&identifier));
            }
            let mut change = Change::new();
            let (cluster, work) = modified(call, old, asked)?;
            if cluster.parameter_group != old.parameter_group {
                change = new_parameters(call, &fleet, &cluster, change).await?;
            }
            change = change.replace(old, &cluster)?;
            if let Some(work) = work.filter(|_| state == State::Available) {
                state = work;
                change = fleet.set_cluster_state(change, &cluster, work)?;
            }
            if let Some(work) = work {
                let of_instance = match work {
                    State::UpdateIamDbAuth => State::ConfiguringIamDatabaseAuthentication,
                    other => other,
                };
                for member in fleet.members(&cluster) {
                    if fleet.instance_state(member) == State::Available {
                        change = fleet.set_instance_state(change, member, of_instance)?;
                    }
                }
            }
            Ok((change, (fleet, cluster, state)))
        })
        .await?;
    Ok(call.respond(|w| w.element("DBCluster", |w| show::cluster(w, call, &fleet, &cluster, state))))
}

/// The cluster as it is wanted then, and the status word of the work if that is any.
fn modified(
    call: &Call<'_>,
    old: &Cluster,
    asked: &Modification,
) -> Result<(Cluster, Option<State>), ApiError> {
    let mut new = old.clone();
    stays(old.engine, &old.engine_version, old.port, None, asked.version.as_deref(), asked.port)?;
    let option_group = engine_version::option_group(old.engine, &old.engine_version);
    setting::option_group(asked.option_group.as_deref(), &option_group)?;
    new.deletion_protection = asked.deletion_protection.unwrap_or(new.deletion_protection);
    setting::merge(&mut new.settings, &asked.settings);
    asked.logs.apply(old.engine, &mut new.settings)?;
    setting::check(call, &new.settings)?;

    let mut work = None;
    if let Some(name) = asked.parameter_group.as_ref().filter(|name| **name != old.parameter_group) {
        new.parameter_group.clone_from(name);
        work = Some(State::Modifying);
    }
    if let Some(flag) = asked.iam_auth {
        new.pending_iam_auth = (flag != old.iam_auth).then_some(flag);
    }
    if asked.immediately {
        new.apply_pending();
    }
    if let Some(password) = &asked.password {
        new.master.password = call.services.master_key.seal(&old.full_key(), password.as_bytes())?;
        new.master.generation += 1;
        work = Some(State::ResettingMasterCredentials);
    }
    if new.iam_auth != old.iam_auth {
        work = Some(State::UpdateIamDbAuth);
    }
    new.generation = old.generation + u64::from(work.is_some());
    Ok((new, work))
}

/// Adds to the change that the cluster's new parameter group is held on to, and that its members await a reboot.
async fn new_parameters(
    call: &Call<'_>,
    fleet: &Fleet,
    cluster: &Cluster,
    mut change: Change,
) -> Result<Change, ApiError> {
    let family = &engine_version::of(call, cluster.engine, &cluster.engine_version)?.family;
    let name = &cluster.parameter_group;
    authorize_on(call, Kind::ClusterParameterGroup, name, &About::nothing()).await?;
    let group = fleet::parameter_group(call, ParameterGroupKind::Cluster, name, family).await?;
    change = held(change, group.as_ref());
    for member in fleet.members(cluster) {
        let mut new = member.record.clone();
        new.reboot_awaited_after = Some(new.reboots);
        change = change.replace(member, &new)?;
    }
    Ok(change)
}

fn not_available(identifier: &str) -> ApiError {
    error::cluster_state(format!("DbCluster {identifier} is not in available state"))
}

/// DeleteDBCluster.
pub(super) async fn delete(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = named(call, &mut params).await?;
    let skip = params.flag("SkipFinalSnapshot")?.unwrap_or(false);
    setting::refuse(&mut params, setting::ENDING_REFUSED)?;
    params.finish()?;
    let (fleet, cluster) = call
        .change(|| async {
            let fleet = Fleet::load(call).await?;
            let old = fleet.cluster(&identifier)?;
            if fleet.cluster_state(old) == State::Deleting {
                return Err(error::cluster_state(format!(
                    "DbCluster {identifier} is already being deleted."
                )));
            }
            if old.deletion_protection {
                return Err(ApiError::invalid_parameter_combination(
                    "Cannot delete protected Cluster, please disable deletion protection and try again.",
                ));
            }
            if !skip {
                return Err(ApiError::invalid_parameter_combination(
                    "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
                ));
            }
            if fleet.members(old).any(|member| fleet.instance_state(member) != State::Deleting) {
                return Err(error::cluster_state(
                    "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
                ));
            }
            let mut cluster = old.record.clone();
            cluster.wanted = Wanted::Deleted;
            cluster.generation += 1;
            let change = Change::new().replace(old, &cluster)?;
            Ok((fleet.set_cluster_state(change, &cluster, State::Deleting)?, (fleet, cluster)))
        })
        .await?;
    Ok(call
        .respond(|w| w.element("DBCluster", |w| show::cluster(w, call, &fleet, &cluster, State::Deleting))))
}

/// StartDBCluster.
pub(super) async fn start(call: &Call<'_>, params: Params) -> Result<Response, ApiError> {
    switch(call, params, Wanted::Running).await
}

/// StopDBCluster.
pub(super) async fn stop(call: &Call<'_>, params: Params) -> Result<Response, ApiError> {
    switch(call, params, Wanted::Stopped).await
}

/// Starts or stops a cluster with its instances.
async fn switch(call: &Call<'_>, mut params: Params, wanted: Wanted) -> Result<Response, ApiError> {
    let identifier = named(call, &mut params).await?;
    params.finish()?;
    let starts = wanted == Wanted::Running;
    let work = if starts { State::Starting } else { State::Stopping };
    let from: &[State] = if starts { &[State::Stopped, State::Failed] } else { &[State::Available] };
    let (fleet, cluster) = call
        .change(|| async {
            let fleet = Fleet::load(call).await?;
            let old = fleet.cluster(&identifier)?;
            match (from.contains(&fleet.cluster_state(old)), starts) {
                (true, _) => {}
                (false, true) => {
                    return Err(error::cluster_state(format!(
                        "DbCluster {identifier} is not in stopped state"
                    )));
                }
                (false, false) => return Err(not_available(&identifier)),
            }
            let mut cluster = old.record.clone();
            cluster.wanted = wanted;
            cluster.generation += 1;
            let mut change = Change::new().replace(old, &cluster)?;
            change = fleet.set_cluster_state(change, &cluster, work)?;
            for member in fleet.members(old) {
                let state = fleet.instance_state(member);
                if state == State::Deleting {
                    continue;
                }
                if !from.contains(&state) {
                    return Err(error::instance_state(format!(
                        "Instance {} of the DB cluster {identifier} is in {} state",
                        member.identifier,
                        state.as_str()
                    )));
                }
                let mut new = member.record.clone();
                new.wanted = wanted;
                if starts {
                    new.reboot_awaited_after = None;
                }
                new.generation += 1;
                change = fleet.set_instance_state(change.replace(member, &new)?, &new, work)?;
            }
            Ok((change, (fleet, cluster)))
        })
        .await?;
    Ok(call.respond(|w| w.element("DBCluster", |w| show::cluster(w, call, &fleet, &cluster, work))))
}
