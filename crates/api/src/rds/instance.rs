//! DB instances: CreateDBInstance to DeleteDBInstance.

use super::arn::Kind;
use super::fleet::{self, Fleet, held};
use super::page::{Filters, Page, names};
use super::permit::{Asked, authorize, authorize_about, authorize_on};
use super::setting::{self, LogExports};
use super::{check, engine_version, error, port, show};
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use iam::{Engine, ResourceId, ResourceKind};
use store::records::{Cluster, Instance, MasterUser, ParameterGroupKind, Record, Settings, State, Wanted};
use store::{Change, Versioned};
use zeroize::Zeroizing;

/// What CreateDBInstance is asked for, beside what stands in the record as it was given.
struct Creation {
    asked: Asked,
    engine: Engine,
    version: Option<String>,
    port: Option<u16>,
    master: Option<(String, Zeroizing<String>)>,
    parameter_group: Option<String>,
    subnet_group: Option<String>,
    option_group: Option<String>,
}

/// CreateDBInstance.
pub(super) async fn create(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = check::identifier("DBInstanceIdentifier", &params.required("DBInstanceIdentifier")?)?;
    let asked = Asked::read(&mut params, "DBName")?;
    authorize_about(call, &Kind::Instance.arn(call, &identifier), &asked.about())?;

    let engine = check::engine(&mut params)?;
    let cluster =
        params.optional("DBClusterIdentifier").map(|given| Kind::Cluster.name(call, &given)).transpose()?;
    setting::refuse(&mut params, setting::INSTANCE_REFUSED)?;
    if let Some(cluster) = &cluster {
        authorize_on(call, Kind::Cluster, cluster, &asked.about()).await?;
        same_engine(Fleet::load(call).await?.cluster(cluster)?, engine)?;
        let before = "The requested DB Instance will be a member of a DB Cluster. Set";
        belongs_to_the_cluster(&mut params, before, "")?;
    } else if engine.is_cluster_engine() {
        return Err(ApiError::invalid_parameter_combination(format!(
            "The engine {engine} needs the parameter DBClusterIdentifier: its instances are members of DB clusters"
        )));
    }
    setting::master_authentication(&mut params, engine)?;
    let class = params.required("DBInstanceClass")?;
    check::instance_class(&class)?;
    let creation = Creation {
        asked,
        engine,
        version: params.optional("EngineVersion"),
        port: given_port(&mut params, "Port")?,
        master: match &cluster {
            Some(_) => None,
            None => Some(master(&mut params, engine)?),
        },
        parameter_group: lower(params.optional("DBParameterGroupName")),
        subnet_group: lower(params.optional("DBSubnetGroupName")),
        option_group: params.optional("OptionGroupName"),
    };
    let database = params.optional("DBName");
    database.as_deref().map(|name| check::database_name(engine, "DBName", name)).transpose()?;
    let iam_auth = params.flag("EnableIAMDatabaseAuthentication")?.unwrap_or(false);
    let deletion_protection = params.flag("DeletionProtection")?.unwrap_or(false);
    let ca = setting::certificate_authority(&mut params)?;

    let mut settings = Settings::new();
    setting::take(&mut params, setting::INSTANCE, &mut settings)?;
    setting::security_groups(&mut params, &mut settings)?;
    setting::backup_retention(&mut params, engine, 0, &mut settings)?;
    LogExports::take(&mut params)?.apply(engine, &mut settings)?;
    params.finish()?;
    let own_network = creation.subnet_group.as_deref().is_some_and(|name| name != "default");
    fill_in(call, engine, own_network, &mut settings)?;

    let id = ResourceId::generate(ResourceKind::Instance, call.services.random()?);
    let (creation, settings) = (&creation, &settings);
    let (fleet, instance) = call
        .change(|| async {
            let fleet = Fleet::load(call).await?;
            if fleet.instance(&identifier).is_ok() {
                return Err(error::instance_exists());
            }
            let home = cluster.as_deref().map(|cluster| fleet.cluster(cluster)).transpose()?;
            let places = places(call, &fleet, home, creation).await?;
            let mut instance = Instance {
                region: call.region.clone(),
                identifier: identifier.clone(),
                resource_id: id.clone(),
                engine,
                engine_version: places.version,
                class: class.clone(),
                cluster: cluster.clone(),
                port: places.port,
                database: database.clone(),
                master: None,
                iam_auth,
                pending_iam_auth: None,
                ca: ca.clone().unwrap_or_else(|| pki::CaIdentifier::default().to_string()),
                pending_ca: None,
                parameter_group: places.parameter_group,
                subnet_group: places.subnet_group,
                deletion_protection,
                tags: creation.asked.tags.clone(),
                created: call.now,
                settings: settings.clone(),
                wanted: Wanted::Running,
                generation: 1,
                reboots: 0,
                reboot_awaited_after: None,
            };
            if let Some((name, password)) = &creation.master {
                let password = call.services.master_key.seal(&instance.full_key(), password.as_bytes())?;
                instance.master = Some(MasterUser { name: name.clone(), password, generation: 1 });
            }
            let mut change = fleet.announce_instance(places.change.insert(&instance)?, &instance)?;
            if let Some(home) = home {
                let mut joined = home.record.clone();
                joined.members.insert(identifier.clone());
                change = change.replace(home, &joined)?;
            }
            Ok((change, (fleet, instance)))
        })
        .await?;
    Ok(call.respond(|w| {
        w.element("DBInstance", |w| show::instance(w, call, &fleet, &instance, State::Creating));
    }))
}

/// Where a new instance goes: what follows from the fleet, and the change that holds on to the groups.
struct Places {
    version: String,
    port: u16,
    parameter_group: String,
    subnet_group: String,
    change: Change,
}

async fn places(
    call: &Call<'_>,
    fleet: &Fleet,
    home: Option<&Versioned<Cluster>>,
    creation: &Creation,
) -> Result<Places, ApiError> {
    let engine = creation.engine;
    let version = match home {
        Some(cluster) => {
            takes_a_member(fleet, cluster, engine)?;
            let own = engine_version::of(call, engine, &cluster.engine_version)?;
            if let Some(asked) = &creation.version
                && engine_version::choose(call, engine, Some(asked))? != own
            {
                return Err(ApiError::invalid_parameter_combination(format!(
                    "The engine version that you requested for your DB instance ({asked}) does not match the engine \
                     version of your DB cluster ({})",
                    own.version
                )));
            }
            own
        }
        None => engine_version::choose(call, engine, creation.version.as_deref())?,
    };

    let parameter_group =
        creation.parameter_group.clone().unwrap_or_else(|| format!("default.{}", version.family));
    let subnet_group = match (home, &creation.subnet_group) {
        (Some(cluster), Some(asked)) if *asked != cluster.subnet_group => {
            return Err(ApiError::invalid_parameter_combination(format!(
                "The requested DB Instance will be a member of a DB Cluster, whose DB subnet group is {}",
                cluster.subnet_group
            )));
        }
        (Some(cluster), _) => cluster.subnet_group.clone(),
        (None, asked) => asked.clone().unwrap_or_else(|| "default".to_owned()),
    };
    let option_group = engine_version::option_group(engine, &version.version);
    setting::option_group(creation.option_group.as_deref(), &option_group)?;
    let about = creation.asked.about();
    authorize_on(call, Kind::ParameterGroup, &parameter_group, &about).await?;
    authorize_on(call, Kind::SubnetGroup, &subnet_group, &about).await?;
    authorize_on(call, Kind::OptionGroup, &option_group, &about).await?;

    let parameters =
        fleet::parameter_group(call, ParameterGroupKind::Instance, &parameter_group, &version.family).await?;
    let subnets = fleet::subnet_group(call, &subnet_group).await?;
    let port = match home {
        Some(cluster) => cluster.port,
        None => port::choose(call, creation.port, engine).await?,
    };
    Ok(Places {
        version: version.version.clone(),
        port,
        parameter_group,
        subnet_group,
        change: held(held(Change::new(), parameters.as_ref()), subnets.as_ref()),
    })
}

fn same_engine(cluster: &Cluster, engine: Engine) -> Result<(), ApiError> {
    if cluster.engine == engine {
        return Ok(());
    }
    Err(ApiError::invalid_parameter_combination(format!(
        "The engine name requested for your DB instance ({engine}) doesn't match the engine name of your DB cluster ({}).",
        cluster.engine
    )))
}

fn takes_a_member(fleet: &Fleet, cluster: &Cluster, engine: Engine) -> Result<(), ApiError> {
    same_engine(cluster, engine)?;
    let state = fleet.cluster_state(cluster);
    if matches!(state, State::Stopping | State::Stopped | State::Deleting | State::Failed) {
        return Err(error::cluster_state(format!(
            "The DB cluster {} takes no instance: it is in {} state",
            cluster.identifier,
            state.as_str()
        )));
    }
    match cluster.members.first() {
        None => Ok(()),
        Some(member) => Err(error::cluster_state(format!(
            "The DB cluster {} has the instance {member} already: a cluster has one instance here, readers are not served yet",
            cluster.identifier
        ))),
    }
}

/// Refuses, for a member of a cluster, what is set on the cluster.
fn belongs_to_the_cluster(params: &mut Params, before: &str, after: &str) -> Result<(), ApiError> {
    for (parameter, name) in [
        ("MasterUsername", "master user name"),
        ("MasterUserPassword", "master user password"),
        ("MasterUserAuthenticationType", "master user authentication"),
        ("DBName", "database name"),
        ("Port", "database endpoint port"),
        ("DBPortNumber", "database endpoint port"),
        ("BackupRetentionPeriod", "backup retention period"),
        ("PreferredBackupWindow", "backup window"),
        ("VpcSecurityGroupIds", "vpc security group"),
        ("EnableIAMDatabaseAuthentication", "database authentication"),
        ("EnableCloudwatchLogsExports", "CloudWatch Logs exports"),
        ("CloudwatchLogsExportConfiguration", "CloudWatch Logs exports"),
        ("DeletionProtection", "deletion protection"),
    ] {
        if params.refuse(parameter, "").is_err() {
            return Err(ApiError::invalid_parameter_combination(format!(
                "{before} {name} for the DB Cluster{after}."
            )));
        }
    }
    Ok(())
}

fn given_port(params: &mut Params, name: &str) -> Result<Option<u16>, ApiError> {
    let port = params.integer(name, port::ALLOWED)?;
    Ok(port.and_then(|port| u16::try_from(port).ok()))
}

fn lower(text: Option<String>) -> Option<String> {
    text.map(|text| text.to_ascii_lowercase())
}

/// Takes the master user that a new instance or cluster must have.
pub(super) fn master(params: &mut Params, engine: Engine) -> Result<(String, Zeroizing<String>), ApiError> {
    let name = params.required("MasterUsername")?;
    check::master_username(engine, &name)?;
    Ok((name, check::master_password(engine, params.required("MasterUserPassword")?)?))
}

/// Takes the password that a master user is to have from now on.
pub(super) fn master_password(
    params: &mut Params,
    engine: Engine,
) -> Result<Option<Zeroizing<String>>, ApiError> {
    let given = params.optional("MasterUserPassword");
    given.map(|password| check::master_password(engine, password)).transpose()
}

/// What is shown where nothing was asked for.
fn fill_in(
    call: &Call<'_>,
    engine: Engine,
    own_network: bool,
    settings: &mut Settings,
) -> Result<(), ApiError> {
    let aurora = engine.is_cluster_engine();
    let provisioned = settings.contains_key("Iops");
    let storage = match (aurora, provisioned) {
        (true, _) => "aurora",
        (false, true) => "io1",
        (false, false) => "gp3",
    };
    setting::default(settings, "StorageType", storage);
    storage_size(engine, settings)?;
    setting::default(settings, "AutoMinorVersionUpgrade", true);
    setting::default(settings, "AvailabilityZone", format!("{}a", call.region));
    setting::default(settings, "BackupRetentionPeriod", u8::from(aurora));
    setting::default(settings, "BackupTarget", "region");
    setting::default(settings, "CopyTagsToSnapshot", false);
    setting::default(settings, "DatabaseInsightsMode", "standard");
    setting::default(settings, "DedicatedLogVolume", false);
    setting::default(settings, "EngineLifecycleSupport", lifecycle(engine));
    setting::default(settings, "LicenseModel", engine_version::license(engine));
    license(engine, settings)?;
    setting::default(settings, "MonitoringInterval", 0);
    setting::default(settings, "NetworkType", "IPV4");
    setting::default(settings, "PerformanceInsightsEnabled", false);
    setting::default(settings, "PubliclyAccessible", !aurora && !own_network);
    if aurora {
        setting::default(settings, "PromotionTier", 1);
    }
    setting::default_windows(settings);
    setting::check(call, settings)
}

/// What is shown of extended support: RDS has none for MariaDB.
fn lifecycle(engine: Engine) -> &'static str {
    match engine {
        Engine::Mariadb => "open-source-rds-extended-support-disabled",
        _ => "open-source-rds-extended-support",
    }
}

/// Checks that the license model is the engine's.
fn license(engine: Engine, settings: &Settings) -> Result<(), ApiError> {
    let own = engine_version::license(engine);
    match settings.get("LicenseModel").and_then(serde_json::Value::as_str) {
        Some(other) if other != own => Err(ApiError::invalid_parameter_combination(format!(
            "Invalid license model '{other}' for engine '{engine}'. Valid license models are: {own}."
        ))),
        _ => Ok(()),
    }
}

/// Checks storage type and size against one another; a cluster's storage is its own.
fn storage_size(engine: Engine, settings: &mut Settings) -> Result<(), ApiError> {
    let kind = settings.get("StorageType").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    if kind.starts_with("aurora") != engine.is_cluster_engine() {
        return Err(ApiError::invalid_parameter_combination(format!(
            "Invalid storage type for DB engine {engine}: {kind}"
        )));
    }
    if engine.is_cluster_engine() {
        setting::default(settings, "AllocatedStorage", 1);
        return Ok(());
    }
    let least = match kind.as_str() {
        "standard" => 5,
        "io1" | "io2" => 100,
        _ => 20,
    };
    match settings.get("AllocatedStorage").and_then(serde_json::Value::as_i64) {
        None => Err(ApiError::missing("AllocatedStorage")),
        Some(size) if size < least => Err(ApiError::invalid_parameter_value(format!(
            "Invalid storage size for engine name {engine} and storage type {kind}: {size}"
        ))),
        Some(_) => Ok(()),
    }
}

/// DescribeDBInstances.
pub(super) async fn describe(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = match params.optional("DBInstanceIdentifier").filter(|given| !given.is_empty()) {
        Some(given) => Some(check::identifier("DBInstanceIdentifier", &Kind::Instance.name(call, &given)?)?),
        None => None,
    };
    match &identifier {
        Some(identifier) => authorize_on(call, Kind::Instance, identifier, &About::nothing()).await?,
        None => authorize(call, &Kind::Instance.arn(call, "*"))?,
    }
    let known = ["db-cluster-id", "db-instance-id", "dbi-resource-id", "domain", "engine"];
    let filters = Filters::take(&mut params, &known)?;
    let page = Page::take(&mut params)?;
    params.finish()?;

    let fleet = Fleet::load(call).await?;
    if let Some(identifier) = &identifier {
        fleet.instance(identifier)?;
    }
    let asked = fleet.instances.iter().filter(|instance| {
        let arn = Kind::Instance.arn(call, &instance.identifier);
        identifier.as_ref().is_none_or(|identifier| *identifier == instance.identifier)
            && filters.admit(|name, value| match name {
                "db-cluster-id" => instance
                    .cluster
                    .as_ref()
                    .is_some_and(|cluster| names(value, cluster, &Kind::Cluster.arn(call, cluster))),
                "db-instance-id" => names(value, &instance.identifier, &arn),
                "dbi-resource-id" => value == instance.resource_id.as_str(),
                "engine" => value == instance.engine.as_str(),
                _ => false,
            })
    });
    let part = page.cut(asked, |instance| instance.identifier.clone());
    Ok(call.respond(|w| {
        part.write(w, "DBInstances", "DBInstance", |w, instance| {
            show::instance(w, call, &fleet, instance, fleet.instance_state(instance));
        });
    }))
}

/// What ModifyDBInstance is asked for.
struct Modification {
    immediately: bool,
    class: Option<String>,
    password: Option<Zeroizing<String>>,
    iam_auth: Option<bool>,
    ca: Option<String>,
    parameter_group: Option<String>,
    subnet_group: Option<String>,
    option_group: Option<String>,
    port: Option<u16>,
    version: Option<String>,
    engine: Option<String>,
    deletion_protection: Option<bool>,
    settings: Settings,
    logs: LogExports,
}

/// ModifyDBInstance.
pub(super) async fn modify(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = named(call, &mut params).await?;
    let fleet = Fleet::load(call).await?;
    let (engine, is_member) = {
        let instance = fleet.instance(&identifier)?;
        (instance.engine, instance.cluster.is_some())
    };
    setting::refuse(&mut params, setting::INSTANCE_REFUSED)?;
    if is_member {
        let before = "The specified DB Instance is a member of a DB Cluster. Modify";
        belongs_to_the_cluster(&mut params, before, " using the ModifyDbCluster API")?;
    }
    setting::master_authentication(&mut params, engine)?;
    // A certificate is replaced by a reload: there is no restart that could be left out.
    params.flag("CertificateRotationRestart")?;
    let mut settings = Settings::new();
    setting::take(&mut params, setting::INSTANCE, &mut settings)?;
    setting::security_groups(&mut params, &mut settings)?;
    setting::backup_retention(&mut params, engine, 0, &mut settings)?;
    let asked = Modification {
        immediately: params.flag("ApplyImmediately")?.unwrap_or(false),
        class: params.optional("DBInstanceClass"),
        password: master_password(&mut params, engine)?,
        iam_auth: params.flag("EnableIAMDatabaseAuthentication")?,
        ca: setting::certificate_authority(&mut params)?,
        parameter_group: lower(params.optional("DBParameterGroupName")),
        subnet_group: lower(params.optional("DBSubnetGroupName")),
        option_group: params.optional("OptionGroupName"),
        port: given_port(&mut params, "DBPortNumber")?,
        version: params.optional("EngineVersion"),
        engine: params.optional("Engine"),
        deletion_protection: params.flag("DeletionProtection")?,
        settings,
        logs: LogExports::take_changes(&mut params)?,
    };
    asked.class.as_deref().map(check::instance_class).transpose()?;
    params.finish()?;

    let asked = &asked;
    let (fleet, instance, state) = call
        .change(|| async {
            let fleet = Fleet::load(call).await?;
            let old = fleet.instance(&identifier)?;
            let mut state = fleet.instance_state(old);
            if !matches!(state, State::Available | State::Stopped) {
                return Err(error::instance_state("Database instance is not in available state."));
            }
            let (instance, mut change, work) = modified(call, old, asked).await?;
            change = change.replace(old, &instance)?;
            if let Some(work) = work.filter(|_| state == State::Available) {
                state = work;
                change = fleet.set_instance_state(change, &instance, work)?;
            }
            Ok((change, (fleet, instance, state)))
        })
        .await?;
    Ok(call.respond(|w| w.element("DBInstance", |w| show::instance(w, call, &fleet, &instance, state))))
}

/// The instance as it is wanted then, and the status word of the work if that is any.
async fn modified(
    call: &Call<'_>,
    old: &Instance,
    asked: &Modification,
) -> Result<(Instance, Change, Option<State>), ApiError> {
    let mut new = old.clone();
    let mut change = Change::new();
    stays(
        old.engine,
        &old.engine_version,
        old.port,
        asked.engine.as_deref(),
        asked.version.as_deref(),
        asked.port,
    )?;
    let option_group = engine_version::option_group(old.engine, &old.engine_version);
    setting::option_group(asked.option_group.as_deref(), &option_group)?;

    new.class = asked.class.clone().unwrap_or(new.class);
    new.deletion_protection = asked.deletion_protection.unwrap_or(new.deletion_protection);
    setting::merge(&mut new.settings, &asked.settings);
    asked.logs.apply(old.engine, &mut new.settings)?;
    storage_size(old.engine, &mut new.settings)?;
    license(old.engine, &new.settings)?;
    setting::check(call, &new.settings)?;
    if let Some(name) = asked.subnet_group.as_ref().filter(|name| **name != old.subnet_group) {
        if old.cluster.is_some() {
            return Err(ApiError::invalid_parameter_combination(
                "The specified DB Instance is a member of a DB Cluster, whose DB subnet group it has",
            ));
        }
        authorize_on(call, Kind::SubnetGroup, name, &About::nothing()).await?;
        change = held(change, fleet::subnet_group(call, name).await?.as_ref());
        new.subnet_group.clone_from(name);
    }

    let mut work = None;
    if let Some(name) = asked.parameter_group.as_ref().filter(|name| **name != old.parameter_group) {
        authorize_on(call, Kind::ParameterGroup, name, &About::nothing()).await?;
        let family = &engine_version::of(call, old.engine, &old.engine_version)?.family;
        let group = fleet::parameter_group(call, ParameterGroupKind::Instance, name, family).await?;
        change = held(change, group.as_ref());
        new.parameter_group.clone_from(name);
        new.reboot_awaited_after = Some(old.reboots);
        work = Some(State::Modifying);
    }
    if let Some(ca) = &asked.ca {
        new.pending_ca = (*ca != old.ca).then(|| ca.clone());
    }
    if let Some(flag) = asked.iam_auth {
        new.pending_iam_auth = (flag != old.iam_auth).then_some(flag);
    }
    if asked.immediately {
        new.apply_pending();
        if new.ca != old.ca {
            work = Some(State::Modifying);
        }
    }
    if let (Some(password), Some(master)) = (&asked.password, &mut new.master) {
        master.password = call.services.master_key.seal(&old.full_key(), password.as_bytes())?;
        master.generation += 1;
        work = Some(State::ResettingMasterCredentials);
    }
    if new.iam_auth != old.iam_auth {
        work = Some(State::ConfiguringIamDatabaseAuthentication);
    }
    new.generation = old.generation + u64::from(work.is_some());
    Ok((new, change, work))
}

/// Refuses to change what a server keeps for its life.
pub(super) fn stays(
    engine: Engine,
    version: &str,
    port: u16,
    asked_engine: Option<&str>,
    asked_version: Option<&str>,
    asked_port: Option<u16>,
) -> Result<(), ApiError> {
    let refused = |parameter: &str, now: &str| {
        Err(error::unsupported(
            parameter,
            &format!(
                "it stays {now}; make another one and carry the data over with {}",
                setting::copier(engine)
            ),
        ))
    };
    if asked_engine.is_some_and(|asked| asked != engine.as_str()) {
        return refused("Engine", engine.as_str());
    }
    if asked_version.is_some_and(|asked| asked != version && asked != engine_version::major(engine, version))
    {
        return refused("EngineVersion", version);
    }
    if asked_port.is_some_and(|asked| asked != port) {
        return refused("DBPortNumber or Port", &port.to_string());
    }
    Ok(())
}

/// Takes `DBInstanceIdentifier`, and asks whether the caller may do this to it.
async fn named(call: &Call<'_>, params: &mut Params) -> Result<String, ApiError> {
    let given = params.required("DBInstanceIdentifier")?;
    let identifier = check::identifier("DBInstanceIdentifier", &Kind::Instance.name(call, &given)?)?;
    authorize_on(call, Kind::Instance, &identifier, &About::nothing()).await?;
    Ok(identifier)
}

/// Changes an instance as `how` says, announces the work, and answers with it.
async fn change(
    call: &Call<'_>,
    identifier: &str,
    work: State,
    how: impl Fn(&Fleet, &mut Instance) -> Result<(), ApiError>,
) -> Result<Response, ApiError> {
    let how = &how;
    let (fleet, instance) = call
        .change(|| async {
            let fleet = Fleet::load(call).await?;
            let old = fleet.instance(identifier)?;
            let mut instance = old.record.clone();
            how(&fleet, &mut instance)?;
            instance.generation += 1;
            let change = Change::new().replace(old, &instance)?;
            Ok((fleet.set_instance_state(change, &instance, work)?, (fleet, instance)))
        })
        .await?;
    Ok(call.respond(|w| w.element("DBInstance", |w| show::instance(w, call, &fleet, &instance, work))))
}

/// DeleteDBInstance.
pub(super) async fn delete(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = named(call, &mut params).await?;
    let skip = params.flag("SkipFinalSnapshot")?.unwrap_or(false);
    setting::refuse(&mut params, setting::ENDING_REFUSED)?;
    params.finish()?;
    change(call, &identifier, State::Deleting, |fleet, instance| {
        if fleet.instance_state(instance) == State::Deleting {
            return Err(error::instance_state(format!(
                "Instance {} is already being deleted.",
                instance.identifier
            )));
        }
        if instance.deletion_protection {
            return Err(ApiError::invalid_parameter_combination(
                "Cannot delete protected DB Instance, please disable deletion protection and try again.",
            ));
        }
        if !skip && instance.cluster.is_none() {
            return Err(ApiError::invalid_parameter_combination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
            ));
        }
        instance.wanted = Wanted::Deleted;
        Ok(())
    })
    .await
}

/// StartDBInstance.
pub(super) async fn start(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = named(call, &mut params).await?;
    params.finish()?;
    change(call, &identifier, State::Starting, |fleet, instance| {
        goes_with_its_cluster(instance)?;
        // One that failed is tried again.
        expect(fleet, instance, &[State::Stopped, State::Failed])?;
        instance.wanted = Wanted::Running;
        instance.reboot_awaited_after = None;
        Ok(())
    })
    .await
}

/// StopDBInstance.
pub(super) async fn stop(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = named(call, &mut params).await?;
    setting::refuse(&mut params, setting::ENDING_REFUSED)?;
    params.finish()?;
    change(call, &identifier, State::Stopping, |fleet, instance| {
        goes_with_its_cluster(instance)?;
        expect(fleet, instance, &[State::Available])?;
        instance.wanted = Wanted::Stopped;
        Ok(())
    })
    .await
}

/// RebootDBInstance.
pub(super) async fn reboot(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let identifier = named(call, &mut params).await?;
    let failover = params.flag("ForceFailover")?.unwrap_or(false);
    params.finish()?;
    if failover {
        return Err(ApiError::invalid_parameter_combination(
            "ForceFailover cannot be specified since the instance is not configured for either MultiAZ or High Availability",
        ));
    }
    change(call, &identifier, State::Rebooting, |fleet, instance| {
        // One that failed is tried again, a member of a cluster too.
        expect(fleet, instance, &[State::Available, State::Failed])?;
        instance.reboots += 1;
        Ok(())
    })
    .await
}

fn goes_with_its_cluster(instance: &Instance) -> Result<(), ApiError> {
    match &instance.cluster {
        None => Ok(()),
        Some(cluster) => Err(ApiError::invalid_parameter_combination(format!(
            "{} DB instances are not eligible for stopping and starting: start or stop the DB cluster {cluster}",
            instance.engine
        ))),
    }
}

fn expect(fleet: &Fleet, instance: &Instance, states: &[State]) -> Result<(), ApiError> {
    let state = fleet.instance_state(instance);
    if states.contains(&state) {
        return Ok(());
    }
    let expected: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    Err(error::instance_state(format!(
        "Instance {} is not in {} state: it is {}.",
        instance.identifier,
        expected.join(" or "),
        state.as_str()
    )))
}
