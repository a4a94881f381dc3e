//! Parameters without a local meaning. Those that are harmless are checked, kept and shown; those whose silent omission
//! would let somebody believe in a protection that is not there are refused by name, with the reason.
//!
//! docs/api.md lists both kinds, and a test holds it to the tables here.

use super::{check, error};
use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use iam::{Arn, Engine, Product};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::records::{MaintenanceWindow, Settings, minute_of_day};

/// A parameter that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its name in requests.
    parameter: &'static str,
    /// The name of the member that shows it.
    shown: &'static str,
    rule: Rule,
}

/// What values a kept parameter takes.
#[derive(Debug)]
enum Rule {
    Flag,
    Integer(i64, i64),
    AnyOf(&'static [i64]),
    OneOf(&'static [&'static str]),
    Like(fn(&str) -> bool, &'static str),
}

const fn kept(parameter: &'static str, shown: &'static str, rule: Rule) -> Kept {
    Kept { parameter, shown, rule }
}

/// Of an instance.
pub(super) const INSTANCE: &[Kept] = &[
    kept("AllocatedStorage", "AllocatedStorage", Rule::Integer(5, 65_536)),
    kept("AutoMinorVersionUpgrade", "AutoMinorVersionUpgrade", Rule::Flag),
    kept(
        "AvailabilityZone",
        "AvailabilityZone",
        Rule::Like(is_zone, "must be an Availability Zone such as us-east-1a"),
    ),
    kept("BackupTarget", "BackupTarget", Rule::OneOf(&["region"])),
    kept("CopyTagsToSnapshot", "CopyTagsToSnapshot", Rule::Flag),
    kept("DatabaseInsightsMode", "DatabaseInsightsMode", Rule::OneOf(&["standard", "advanced"])),
    kept("DedicatedLogVolume", "DedicatedLogVolume", Rule::Flag),
    kept("EnablePerformanceInsights", "PerformanceInsightsEnabled", Rule::Flag),
    kept("EngineLifecycleSupport", "EngineLifecycleSupport", Rule::OneOf(LIFECYCLES)),
    kept("Iops", "Iops", Rule::Integer(1_000, 256_000)),
    kept("LicenseModel", "LicenseModel", Rule::OneOf(&["postgresql-license", "general-public-license"])),
    kept("MaxAllocatedStorage", "MaxAllocatedStorage", Rule::Integer(5, 65_536)),
    kept("MonitoringInterval", "MonitoringInterval", Rule::AnyOf(MONITORING)),
    kept("MonitoringRoleArn", "MonitoringRoleArn", Rule::Like(is_role_arn, "must be the ARN of a role")),
    kept("NetworkType", "NetworkType", Rule::OneOf(&["IPV4", "DUAL"])),
    kept(
        "PerformanceInsightsRetentionPeriod",
        "PerformanceInsightsRetentionPeriod",
        Rule::Like(is_retention, RETENTION),
    ),
    kept("PreferredBackupWindow", "PreferredBackupWindow", Rule::Like(is_daily, DAILY)),
    kept("PreferredMaintenanceWindow", "PreferredMaintenanceWindow", Rule::Like(is_weekly, WEEKLY)),
    kept("PromotionTier", "PromotionTier", Rule::Integer(0, 15)),
    kept("PubliclyAccessible", "PubliclyAccessible", Rule::Flag),
    kept("StorageThroughput", "StorageThroughput", Rule::Integer(125, 16_000)),
    kept(
        "StorageType",
        "StorageType",
        Rule::OneOf(&["gp2", "gp3", "io1", "io2", "standard", "aurora", "aurora-iopt1"]),
    ),
];

/// Of a cluster.
pub(super) const CLUSTER: &[Kept] = &[
    kept("AutoMinorVersionUpgrade", "AutoMinorVersionUpgrade", Rule::Flag),
    kept("CopyTagsToSnapshot", "CopyTagsToSnapshot", Rule::Flag),
    kept("DatabaseInsightsMode", "DatabaseInsightsMode", Rule::OneOf(&["standard", "advanced"])),
    kept("EnablePerformanceInsights", "PerformanceInsightsEnabled", Rule::Flag),
    kept("EngineLifecycleSupport", "EngineLifecycleSupport", Rule::OneOf(LIFECYCLES)),
    kept("EngineMode", "EngineMode", Rule::OneOf(&["provisioned"])),
    kept("MonitoringInterval", "MonitoringInterval", Rule::AnyOf(MONITORING)),
    kept("MonitoringRoleArn", "MonitoringRoleArn", Rule::Like(is_role_arn, "must be the ARN of a role")),
    kept("NetworkType", "NetworkType", Rule::OneOf(&["IPV4", "DUAL"])),
    kept(
        "PerformanceInsightsRetentionPeriod",
        "PerformanceInsightsRetentionPeriod",
        Rule::Like(is_retention, RETENTION),
    ),
    kept("PreferredBackupWindow", "PreferredBackupWindow", Rule::Like(is_daily, DAILY)),
    kept("PreferredMaintenanceWindow", "PreferredMaintenanceWindow", Rule::Like(is_weekly, WEEKLY)),
    kept("StorageType", "StorageType", Rule::OneOf(&["aurora", "aurora-iopt1"])),
];

const LOG_EXPORTS: &str = "EnabledCloudwatchLogsExports";
const LIFECYCLES: &[&str] =
    &["open-source-rds-extended-support", "open-source-rds-extended-support-disabled"];
const MONITORING: &[i64] = &[0, 1, 5, 10, 15, 30, 60];
const RETENTION: &str = "must be 7, 731 or a multiple of 31 up to 713";
const DAILY: &str = "must be of the form hh24:mi-hh24:mi in UTC, at least 30 minutes";
const WEEKLY: &str =
    "must be of the form ddd:hh24:mi-ddd:hh24:mi in UTC, at least 30 minutes and less than 24 hours";

fn is_zone(text: &str) -> bool {
    let region = text.strip_suffix(|last: char| last.is_ascii_lowercase());
    region.is_some_and(|region| region.parse::<iam::Region>().is_ok())
}

fn is_role_arn(text: &str) -> bool {
    text.parse::<Arn>().is_ok_and(|arn| arn.service() == "iam" && arn.resource().starts_with("role/"))
}

fn is_retention(text: &str) -> bool {
    text.parse::<u16>()
        .is_ok_and(|days| days == 7 || days == 731 || (days > 0 && days <= 713 && days % 31 == 0))
}

fn is_weekly(text: &str) -> bool {
    text.parse::<MaintenanceWindow>().is_ok()
}

fn is_daily(text: &str) -> bool {
    daily(text).is_some()
}

/// Start and length of a daily window, in minutes.
fn daily(text: &str) -> Option<(u16, u16)> {
    let (start, end) = text.split_once('-')?;
    let (start, end) = (minute_of_day(start)?, minute_of_day(end)?);
    let length = (end + 1_440 - start) % 1_440;
    (length >= 30).then_some((start, length))
}

/// Takes the parameters of the table that are given, and keeps them.
pub(super) fn take(params: &mut Params, table: &[Kept], settings: &mut Settings) -> Result<(), ApiError> {
    for Kept { parameter, shown, rule } in table {
        let value = match rule {
            Rule::Flag => params.flag(parameter)?.map(Value::from),
            Rule::Integer(least, most) => params.integer(parameter, *least..=*most)?.map(Value::from),
            Rule::AnyOf(numbers) => match params.integer(parameter, i64::MIN..=i64::MAX)? {
                Some(number) if !numbers.contains(&number) => {
                    let expected = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    return Err(params.invalid(
                        parameter,
                        &number.to_string(),
                        &format!("must be one of {expected}"),
                    ));
                }
                number => number.map(Value::from),
            },
            Rule::OneOf(words) => match params.optional(parameter) {
                Some(word) if !words.contains(&word.as_str()) => {
                    return Err(params.invalid(
                        parameter,
                        &word,
                        &format!("must be one of {}", words.join(", ")),
                    ));
                }
                word => word.map(Value::from),
            },
            Rule::Like(holds, expected) => match params.optional(parameter) {
                Some(text) if !holds(&text) => return Err(params.invalid(parameter, &text, expected)),
                text => text.map(|text| text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from)),
            },
        };
        if let Some(value) = value {
            settings.insert((*shown).to_owned(), value);
        }
    }
    Ok(())
}

/// Keeps a value where the caller gave none.
pub(super) fn default(settings: &mut Settings, shown: &str, value: impl Into<Value>) {
    settings.entry(shown.to_owned()).or_insert_with(|| value.into());
}

/// Lets settings that were given anew stand over the old ones.
pub(super) fn merge(old: &mut Settings, new: &Settings) {
    if new.get("MonitoringInterval").is_some_and(|interval| *interval == 0) {
        old.remove("MonitoringRoleArn");
    }
    old.extend(new.clone());
}

/// Gives the windows that are not set half an hour at which the other one is shut.
pub(super) fn default_windows(settings: &mut Settings) {
    if !settings.contains_key("PreferredBackupWindow") {
        let window =
            settings.get(MaintenanceWindow::SETTING).and_then(Value::as_str).and_then(|w| w.parse().ok());
        let shut =
            |hour: &u16| window.is_none_or(|weekly: MaintenanceWindow| !weekly.meets_daily(hour * 60, 30));
        let hour = (3..24).chain(0..3).find(shut).unwrap_or(3);
        settings.insert("PreferredBackupWindow".to_owned(), format!("{hour:02}:00-{hour:02}:30").into());
    }
    if !settings.contains_key(MaintenanceWindow::SETTING) {
        let backup = settings.get("PreferredBackupWindow").and_then(Value::as_str).and_then(daily);
        let at = |hour: u16| format!("sun:{hour:02}:00-sun:{hour:02}:30");
        let shut = |hour: &u16| match (at(*hour).parse::<MaintenanceWindow>(), backup) {
            (Ok(weekly), Some((start, length))) => !weekly.meets_daily(start, length),
            _ => true,
        };
        let hour = (5..24).chain(0..5).find(shut).unwrap_or(5);
        settings.insert(MaintenanceWindow::SETTING.to_owned(), at(hour).into());
    }
}

/// What must hold between the settings, whatever the order they came in.
pub(super) fn check(call: &Call<'_>, settings: &Settings) -> Result<(), ApiError> {
    let text = |name: &str| settings.get(name).and_then(Value::as_str);
    let number = |name: &str| settings.get(name).and_then(Value::as_i64);
    let refused = |message: &str| Err(ApiError::invalid_parameter_combination(message));
    if let Some(zone) = text("AvailabilityZone")
        && zone.strip_suffix(|_: char| true) != Some(call.region.as_str())
    {
        return Err(ApiError::invalid_parameter_value(format!(
            "Invalid availability zone: {zone} is not in {}",
            call.region
        )));
    }
    if let (Some(weekly), Some((start, length))) = (
        text(MaintenanceWindow::SETTING).and_then(|text| text.parse::<MaintenanceWindow>().ok()),
        text("PreferredBackupWindow").and_then(daily),
    ) && weekly.meets_daily(start, length)
    {
        return refused("The backup window and maintenance window must not overlap.");
    }
    match (number("MonitoringInterval").unwrap_or(0), text("MonitoringRoleArn")) {
        (0, Some(_)) => {
            return refused(
                "A MonitoringInterval value other than 0 is required if you specify a MonitoringRoleARN value.",
            );
        }
        (1.., None) => {
            return refused(
                "A MonitoringRoleARN value is required if you specify a MonitoringInterval value other than 0.",
            );
        }
        _ => {}
    }
    if let (Some(now), Some(most)) = (number("AllocatedStorage"), number("MaxAllocatedStorage"))
        && most <= now
    {
        return refused("Max storage size must be greater than storage size");
    }
    if matches!(text("StorageType"), Some("io1" | "io2")) && number("Iops").is_none() {
        return refused("You must specify the number of IOPS for the storage types io1 and io2.");
    }
    Ok(())
}

/// Takes `VpcSecurityGroupIds`. They are shown; nothing here filters packets by them.
pub(super) fn security_groups(params: &mut Params, settings: &mut Settings) -> Result<(), ApiError> {
    let groups = params.list("VpcSecurityGroupIds", "VpcSecurityGroupId")?;
    for group in &groups {
        let tail = group.strip_prefix("sg-").unwrap_or_default();
        if !(8..=17).contains(&tail.len()) || !tail.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ApiError::invalid_parameter_value(format!(
                "Invalid security group , groupId= {group}, groupName=."
            )));
        }
    }
    if !groups.is_empty() {
        settings.insert("VpcSecurityGroups".to_owned(), json!(groups));
    }
    Ok(())
}

/// Takes `BackupRetentionPeriod`. No backups are made: a period beyond AWS's own default of a day is refused, since it says
/// that somebody counts on them.
pub(super) fn backup_retention(
    params: &mut Params,
    engine: Engine,
    least: i64,
    settings: &mut Settings,
) -> Result<(), ApiError> {
    match params.integer("BackupRetentionPeriod", 0..=35)? {
        None => Ok(()),
        Some(days @ 0..=1) if days >= least => {
            settings.insert("BackupRetentionPeriod".to_owned(), days.into());
            Ok(())
        }
        Some(0) => {
            Err(params.invalid("BackupRetentionPeriod", "0", "must have value greater than or equal to 1"))
        }
        Some(_) => Err(error::unsupported(
            "BackupRetentionPeriod",
            &format!(
                "no automated backups are made here; give 1 at most, and keep copies with {}",
                copier(engine)
            ),
        )),
    }
}

/// The program of the engine's makers that carries data over, or keeps a copy of it.
pub(super) fn copier(engine: Engine) -> &'static str {
    match engine.product() {
        Product::PostgreSql => "pg_dump",
        Product::MySql => "mysqldump",
        Product::MariaDb => "mariadb-dump",
    }
}

/// The log types of an engine.
pub(super) fn log_types(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Postgres => &["postgresql", "upgrade", "iam-db-auth-error"],
        Engine::AuroraPostgresql => &["postgresql", "instance", "iam-db-auth-error"],
        Engine::Mysql | Engine::Mariadb => &["audit", "error", "general", "slowquery", "iam-db-auth-error"],
        Engine::AuroraMysql => &["audit", "error", "general", "instance", "slowquery", "iam-db-auth-error"],
    }
}

/// Which log types are to be exported and which no longer.
#[derive(Debug)]
pub(super) struct LogExports {
    enable: Vec<String>,
    disable: Vec<String>,
}

impl LogExports {
    /// Takes `EnableCloudwatchLogsExports`, of creating.
    pub(super) fn take(params: &mut Params) -> Result<Self, ApiError> {
        Ok(Self { enable: params.list("EnableCloudwatchLogsExports", "member")?, disable: Vec::new() })
    }

    /// Takes `CloudwatchLogsExportConfiguration`, of modifying.
    pub(super) fn take_changes(params: &mut Params) -> Result<Self, ApiError> {
        let Some(mut changes) = params.structure("CloudwatchLogsExportConfiguration") else {
            return Ok(Self { enable: Vec::new(), disable: Vec::new() });
        };
        let (enable, disable) =
            (changes.list("EnableLogTypes", "member")?, changes.list("DisableLogTypes", "member")?);
        changes.finish()?;
        Ok(Self { enable, disable })
    }

    /// Keeps them.
    pub(super) fn apply(&self, engine: Engine, settings: &mut Settings) -> Result<(), ApiError> {
        let known = log_types(engine);
        if let Some(unknown) =
            self.enable.iter().chain(&self.disable).find(|log| !known.contains(&log.as_str()))
        {
            return Err(ApiError::invalid_parameter_combination(format!(
                "You cannot use the log type '{unknown}' with the engine {engine}; expected {}",
                known.join(", ")
            )));
        }
        let mut exported: BTreeSet<String> = strings(settings, LOG_EXPORTS).into_iter().collect();
        exported.retain(|log| !self.disable.contains(log));
        exported.extend(self.enable.iter().cloned());
        settings.insert(LOG_EXPORTS.to_owned(), json!(exported));
        Ok(())
    }
}

/// The texts that a setting lists.
pub(super) fn strings(settings: &Settings, name: &str) -> Vec<String> {
    let values = settings.get(name).and_then(Value::as_array);
    values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Checks `OptionGroupName`: no options are served, and so there is the default group alone.
pub(super) fn option_group(asked: Option<&str>, default: &str) -> Result<(), ApiError> {
    match asked {
        Some(name) if !name.eq_ignore_ascii_case(default) => Err(error::option_group_not_found(name)),
        _ => Ok(()),
    }
}

/// Takes `CACertificateIdentifier`.
pub(super) fn certificate_authority(params: &mut Params) -> Result<Option<String>, ApiError> {
    let identifier = params.optional("CACertificateIdentifier");
    identifier.as_deref().map(check::certificate_authority).transpose()?;
    Ok(identifier)
}

/// Writes the settings of the table that are kept, and those with a form of their own.
pub(super) fn write(w: &mut Writer, table: &[Kept], settings: &Settings) {
    for name in table.iter().map(|kept| kept.shown).chain(["BackupRetentionPeriod"]) {
        match settings.get(name) {
            Some(Value::Bool(flag)) => w.flag(name, *flag),
            Some(Value::Number(number)) => w.opt(name, Some(number)),
            Some(Value::String(text)) => w.text(name, text),
            _ => {}
        }
    }
    w.texts("EnabledCloudwatchLogsExports", "member", strings(settings, LOG_EXPORTS));
}

/// Writes the security groups.
pub(super) fn write_security_groups(w: &mut Writer, settings: &Settings) {
    w.list(
        "VpcSecurityGroups",
        "VpcSecurityGroupMembership",
        strings(settings, "VpcSecurityGroups"),
        |w, group| {
            w.text("VpcSecurityGroupId", &group);
            w.text("Status", "active");
        },
    );
}

/// A parameter that is refused.
#[derive(Debug)]
pub(super) struct Refused {
    parameter: &'static str,
    /// The value that promises nothing and is accepted; with none, the parameter is refused altogether.
    harmless: Option<bool>,
    reason: &'static str,
}

const fn refused(parameter: &'static str, reason: &'static str) -> Refused {
    Refused { parameter, harmless: None, reason }
}

const fn refused_unless(harmless: bool, parameter: &'static str, reason: &'static str) -> Refused {
    Refused { parameter, harmless: Some(harmless), reason }
}

const ENCRYPTION: &str =
    "data is not encrypted at rest here; put the data directory on an encrypted file system";
const SECRETS: &str = "no secret manager keeps the master user's password here; give MasterUserPassword";
const DIRECTORY: &str = "no directory service is joined and Kerberos is not served";
const ONE_SERVER: &str = "an instance is one server here, without a standby";
const OTHER_ENGINES: &str = "it is for engines that are not served here";
const SNAPSHOTS: &str = "no snapshots are made here; keep a copy with pg_dump, mysqldump or mariadb-dump";
const CHARACTER_SET: &str = "it is for engines that are not served here; of MySQL and MariaDB set the parameter character_set_server in a parameter \
     group";
const CLUSTERS: &str = "it is for Multi-AZ DB clusters, which are not served here";
const REPLICATION: &str = "no data is replicated between clusters here";
const RENAMING: &str = "an identifier stands in certificates and endpoints and is not changed here";

/// Of an instance, in creating and in modifying one.
pub(super) const INSTANCE_REFUSED: &[Refused] = &[
    refused_unless(false, "StorageEncrypted", ENCRYPTION),
    refused("KmsKeyId", ENCRYPTION),
    refused("TdeCredentialArn", ENCRYPTION),
    refused("TdeCredentialPassword", ENCRYPTION),
    refused_unless(false, "ManageMasterUserPassword", SECRETS),
    refused_unless(false, "RotateMasterUserPassword", SECRETS),
    refused("MasterUserSecretKmsKeyId", SECRETS),
    refused(
        "PerformanceInsightsKMSKeyId",
        "Performance Insights keeps nothing here that a key would encrypt",
    ),
    refused_unless(false, "MultiAZ", ONE_SERVER),
    refused("Domain", DIRECTORY),
    refused("DomainFqdn", DIRECTORY),
    refused("DomainOu", DIRECTORY),
    refused("DomainAuthSecretArn", DIRECTORY),
    refused("DomainDnsIps", DIRECTORY),
    refused("DomainIAMRoleName", DIRECTORY),
    refused_unless(true, "DisableDomain", DIRECTORY),
    refused("DBSecurityGroups", "DB security groups are of EC2-Classic and filter nothing here"),
    refused_unless(false, "EnableCustomerOwnedIp", "there are no customer-owned addresses here"),
    refused("CustomIamInstanceProfile", OTHER_ENGINES),
    refused("CharacterSetName", CHARACTER_SET),
    refused("NcharCharacterSetName", OTHER_ENGINES),
    refused("Timezone", "set the parameter timezone (of MySQL and MariaDB time_zone) in a parameter group"),
    refused("DBSystemId", OTHER_ENGINES),
    refused_unless(false, "MultiTenant", OTHER_ENGINES),
    refused("AdditionalStorageVolumes", OTHER_ENGINES),
    refused("ReplicaMode", OTHER_ENGINES),
    refused("AutomationMode", OTHER_ENGINES),
    refused("ResumeFullAutomationModeMinutes", OTHER_ENGINES),
    refused("ProcessorFeatures", "a server has the machine's processors here"),
    refused_unless(true, "UseDefaultProcessorFeatures", "a server has the machine's processors here"),
    refused("AwsBackupRecoveryPointArn", "no automated backups are made here"),
    refused("TagSpecifications", "no automated backups are made here that could be tagged"),
    refused("NewDBInstanceIdentifier", RENAMING),
    refused_unless(
        false,
        "AllowMajorVersionUpgrade",
        "data is not carried from one major version to another here",
    ),
];

/// Of a cluster, in creating and in modifying one.
pub(super) const CLUSTER_REFUSED: &[Refused] = &[
    refused_unless(false, "StorageEncrypted", ENCRYPTION),
    refused("KmsKeyId", ENCRYPTION),
    refused_unless(false, "ManageMasterUserPassword", SECRETS),
    refused_unless(false, "RotateMasterUserPassword", SECRETS),
    refused("MasterUserSecretKmsKeyId", SECRETS),
    refused(
        "PerformanceInsightsKMSKeyId",
        "Performance Insights keeps nothing here that a key would encrypt",
    ),
    refused("Domain", DIRECTORY),
    refused("DomainIAMRoleName", DIRECTORY),
    refused("ReplicationSourceIdentifier", REPLICATION),
    refused("GlobalClusterIdentifier", REPLICATION),
    refused("PreSignedUrl", REPLICATION),
    refused("SourceRegion", REPLICATION),
    refused_unless(false, "EnableGlobalWriteForwarding", REPLICATION),
    refused_unless(false, "EnableLocalWriteForwarding", REPLICATION),
    refused_unless(false, "EnableHttpEndpoint", "the Data API is not served"),
    refused_unless(false, "EnableLimitlessDatabase", OTHER_ENGINES),
    refused("ClusterScalabilityType", OTHER_ENGINES),
    refused("DBSystemId", OTHER_ENGINES),
    refused("CharacterSetName", CHARACTER_SET),
    refused("RdsCustomClusterConfiguration", OTHER_ENGINES),
    refused("BacktrackWindow", "no changes are kept here that a cluster could be taken back by"),
    refused("ScalingConfiguration", "a server has the machine's processors and memory here"),
    refused("ServerlessV2ScalingConfiguration", "a server has the machine's processors and memory here"),
    refused("DBClusterInstanceClass", CLUSTERS),
    refused("AllocatedStorage", CLUSTERS),
    refused("Iops", CLUSTERS),
    refused("PubliclyAccessible", CLUSTERS),
    refused("CACertificateIdentifier", "give it to the instance, whose server shows the certificate"),
    refused("AwsBackupRecoveryPointArn", "no automated backups are made here"),
    refused("TagSpecifications", "no automated backups are made here that could be tagged"),
    refused_unless(false, "WithExpressConfiguration", "give the settings one by one"),
    refused("NewDBClusterIdentifier", RENAMING),
    refused("DBInstanceParameterGroupName", "data is not carried from one major version to another here"),
    refused_unless(
        false,
        "AllowMajorVersionUpgrade",
        "data is not carried from one major version to another here",
    ),
    refused_unless(false, "AllowEngineModeChange", "there is the engine mode provisioned only"),
];

/// Of deleting and stopping.
pub(super) const ENDING_REFUSED: &[Refused] = &[
    refused("FinalDBSnapshotIdentifier", SNAPSHOTS),
    refused("DBSnapshotIdentifier", SNAPSHOTS),
    refused_unless(
        true,
        "DeleteAutomatedBackups",
        "no automated backups are made here that could be retained",
    ),
];

/// Refuses the parameters of the table.
pub(super) fn refuse(params: &mut Params, table: &[Refused]) -> Result<(), ApiError> {
    for Refused { parameter, harmless, reason } in table {
        match harmless {
            None => params.refuse(parameter, reason)?,
            Some(harmless) => {
                if params.flag(parameter)?.is_some_and(|value| value != *harmless) {
                    return Err(error::unsupported(&format!("{parameter}={}", !harmless), reason));
                }
            }
        }
    }
    Ok(())
}

/// Takes `MasterUserAuthenticationType`, which is `password`.
pub(super) fn master_authentication(params: &mut Params, engine: Engine) -> Result<(), ApiError> {
    let by_token = match engine.product() {
        Product::PostgreSql => "grant it rds_iam",
        Product::MySql | Product::MariaDb => "alter it to IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'",
    };
    match params.optional("MasterUserAuthenticationType").as_deref() {
        None | Some("password") => Ok(()),
        Some("iam-db-auth") => Err(error::unsupported(
            "MasterUserAuthenticationType=iam-db-auth",
            &format!("the master user is made with a password; {by_token} to have it log in by token"),
        )),
        Some(other) => {
            Err(params.invalid("MasterUserAuthenticationType", other, "must be one of password, iam-db-auth"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    fn params(form: &str) -> Params {
        Params::from_form(Service::Rds, form).unwrap()
    }

    #[test]
    fn what_is_kept_is_checked_and_shown_by_its_response_name() {
        let mut form = params(
            "AllocatedStorage=20&EnablePerformanceInsights=true&PreferredMaintenanceWindow=Sun:05:00-Sun:06:00\
             &PerformanceInsightsRetentionPeriod=31&StorageType=gp3",
        );
        let mut settings = Settings::new();
        take(&mut form, INSTANCE, &mut settings).unwrap();
        form.finish().unwrap();
        assert_eq!(settings["AllocatedStorage"], 20);
        assert_eq!(settings["PerformanceInsightsEnabled"], true);
        assert_eq!(settings["PerformanceInsightsRetentionPeriod"], 31);
        for bad in [
            "AllocatedStorage=4",
            "AutoMinorVersionUpgrade=1",
            "AvailabilityZone=us-east-1",
            "MonitoringInterval=7",
            "MonitoringRoleArn=arn:aws:iam::123456789012:user/x",
            "NetworkType=IPV6",
            "PerformanceInsightsRetentionPeriod=8",
            "PreferredBackupWindow=05:00-05:10",
            "PreferredMaintenanceWindow=05:00-06:00",
        ] {
            let error = take(&mut params(bad), INSTANCE, &mut Settings::new()).unwrap_err();
            assert_eq!(error.code, "InvalidParameterValue", "{bad}");
        }
    }

    #[test]
    fn what_would_promise_a_protection_is_refused_and_its_absence_is_not() {
        for bad in [
            "StorageEncrypted=true",
            "KmsKeyId=k",
            "MultiAZ=true",
            "ManageMasterUserPassword=true",
            "Domain=d",
        ] {
            let error = refuse(&mut params(bad), INSTANCE_REFUSED).unwrap_err();
            assert_eq!(error.code, "UnsupportedParameter", "{bad}");
            assert!(error.message.contains(bad.split('=').next().unwrap()), "{error}");
        }
        let mut harmless = params("StorageEncrypted=false&MultiAZ=false&ManageMasterUserPassword=false");
        refuse(&mut harmless, INSTANCE_REFUSED).unwrap();
        harmless.finish().unwrap();
        assert!(refuse(&mut params("DeleteAutomatedBackups=false"), ENDING_REFUSED).is_err());
        refuse(&mut params("DeleteAutomatedBackups=true"), ENDING_REFUSED).unwrap();
        assert!(
            backup_retention(&mut params("BackupRetentionPeriod=7"), Engine::Mysql, 0, &mut Settings::new())
                .is_err()
        );
    }

    #[test]
    fn log_exports_are_switched_one_by_one() {
        let mut settings = Settings::new();
        let on = "EnableCloudwatchLogsExports.member.1=postgresql&EnableCloudwatchLogsExports.member.2=iam-db-auth-error";
        LogExports::take(&mut params(on)).unwrap().apply(Engine::Postgres, &mut settings).unwrap();
        let off = "CloudwatchLogsExportConfiguration.DisableLogTypes.member.1=postgresql";
        LogExports::take_changes(&mut params(off)).unwrap().apply(Engine::Postgres, &mut settings).unwrap();
        assert_eq!(strings(&settings, LOG_EXPORTS), ["iam-db-auth-error"]);
        let unknown = LogExports::take(&mut params("EnableCloudwatchLogsExports.member.1=audit")).unwrap();
        assert!(unknown.apply(Engine::Postgres, &mut settings).is_err());
        for engine in [Engine::Mysql, Engine::Mariadb, Engine::AuroraMysql] {
            unknown.apply(engine, &mut Settings::new()).unwrap();
        }
        let instance =
            LogExports::take(&mut params("EnableCloudwatchLogsExports.member.1=instance")).unwrap();
        instance.apply(Engine::AuroraMysql, &mut Settings::new()).unwrap();
        assert!(instance.apply(Engine::Mysql, &mut Settings::new()).is_err());
    }

    #[test]
    fn windows_that_nobody_gave_do_not_overlap_those_that_somebody_gave() {
        let mut settings = Settings::from([("PreferredBackupWindow".to_owned(), "00:00-23:00".into())]);
        default_windows(&mut settings);
        assert_eq!(settings["PreferredMaintenanceWindow"], "sun:23:00-sun:23:30");
        let mut settings =
            Settings::from([("PreferredMaintenanceWindow".to_owned(), "mon:02:00-mon:04:00".into())]);
        default_windows(&mut settings);
        assert_eq!(settings["PreferredBackupWindow"], "04:00-04:30");
    }

    #[test]
    fn the_documentation_names_every_kept_and_every_refused_parameter() {
        let text = include_str!("../../../../docs/api.md");
        let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let kept = INSTANCE.iter().chain(CLUSTER).map(|kept| kept.parameter);
        let refused = INSTANCE_REFUSED
            .iter()
            .chain(CLUSTER_REFUSED)
            .chain(ENDING_REFUSED)
            .map(|refused| refused.parameter);
        for name in kept.chain(refused) {
            assert!(words.contains(name), "docs/api.md does not name `{name}`");
        }
    }
}
