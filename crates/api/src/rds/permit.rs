//! Whether the caller may do an operation to a resource, and what conditions see of both: tags, and what is asked for.

use super::arn::Kind;
use super::check;
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params};
use policy::Value;
use store::records::{Cluster, Instance, ParameterGroup, SubnetGroup, Tags};

/// What RDS calls the tags that a request asks for, besides `aws:RequestTag`.
const REQUEST_TAG: &str = "rds:req-tag";

const ENGINE: &str = "rds:DatabaseEngine";
const CLASS: &str = "rds:DatabaseClass";
const DATABASE: &str = "rds:DatabaseName";
const STORAGE: &str = "rds:StorageSize";

/// Asks whether the caller may do the operation on what has no name: `*`, or all of a kind.
pub(super) fn authorize(call: &Call<'_>, resource: &str) -> Result<(), ApiError> {
    authorize_about(call, resource, &About::nothing())
}

/// Asks whether the caller may do the operation to the resource with the ARN, which is being made.
pub(super) fn authorize_about(call: &Call<'_>, resource: &str, about: &About<'_>) -> Result<(), ApiError> {
    call.authorize(&format!("rds:{}", call.operation), resource, about)
}

/// Asks whether the caller may do the operation to the resource with the name, of which conditions see the tags and more. One
/// that does not exist is asked about all the same: who may not do this does not learn that it does not.
pub(super) async fn authorize_on(
    call: &Call<'_>,
    kind: Kind,
    name: &str,
    about: &About<'_>,
) -> Result<(), ApiError> {
    let (records, key, about) = (&call.services.records, kind.key(call, name), about.clone());
    let ask = |about: &About<'_>| authorize_about(call, &kind.arn(call, name), about);
    match kind {
        Kind::Instance => match records.get::<Instance>(&key).await? {
            Some(instance) => ask(&of_instance(about, &instance)),
            None => ask(&about),
        },
        Kind::Cluster => match records.get::<Cluster>(&key).await? {
            Some(cluster) => ask(&of_cluster(about, &cluster)),
            None => ask(&about),
        },
        Kind::SubnetGroup => match records.get::<SubnetGroup>(&key).await? {
            Some(group) => ask(&about.on(&group.tags, "rds:subgrp-tag")),
            None => ask(&about),
        },
        Kind::ParameterGroup | Kind::ClusterParameterGroup => {
            let tag = if kind == Kind::ParameterGroup { "rds:pg-tag" } else { "rds:cluster-pg-tag" };
            match records.get::<ParameterGroup>(&key).await? {
                Some(group) => ask(&about.on(&group.tags, tag)),
                None => ask(&about),
            }
        }
        // There are the default ones only, which carry no tags.
        Kind::OptionGroup => ask(&about),
    }
}

fn of_instance<'a>(about: About<'a>, instance: &'a Instance) -> About<'a> {
    let about = about
        .on(&instance.tags, "rds:db-tag")
        .with(ENGINE, Value::Text(instance.engine.as_str()))
        .with(CLASS, Value::Text(&instance.class))
        .with_text(DATABASE, instance.database.as_deref());
    // A cluster's storage is its own.
    match instance.settings.get("AllocatedStorage").and_then(serde_json::Value::as_i64) {
        Some(size) if instance.cluster.is_none() => about.with(STORAGE, Value::Number(size)),
        _ => about,
    }
}

fn of_cluster<'a>(about: About<'a>, cluster: &'a Cluster) -> About<'a> {
    about
        .on(&cluster.tags, "rds:cluster-tag")
        .with(ENGINE, Value::Text(cluster.engine.as_str()))
        .with_text(DATABASE, cluster.database.as_deref())
}

/// What conditions see of an operation that asks for tags.
pub(super) fn requesting(tags: &Tags) -> About<'_> {
    About::nothing().requesting(tags, REQUEST_TAG)
}

/// What conditions see of what CreateDBInstance and CreateDBCluster ask for. But for the tags it is read unchecked: what is
/// wrong with it is told to those who may do this.
pub(super) struct Asked {
    pub(super) tags: Tags,
    engine: Option<String>,
    class: Option<String>,
    database: Option<String>,
    storage: Option<i64>,
}

impl Asked {
    /// Takes the tags and looks at the rest; `database` is the parameter for the database's name.
    pub(super) fn read(params: &mut Params, database: &str) -> Result<Self, ApiError> {
        let text = |name: &str| params.peek(name).map(str::to_owned);
        Ok(Self {
            engine: text("Engine").map(|engine| engine.to_ascii_lowercase()),
            class: text("DBInstanceClass"),
            database: text(database),
            storage: params.peek("AllocatedStorage").and_then(|size| size.parse().ok()),
            tags: check::tags(params)?,
        })
    }

    pub(super) fn about(&self) -> About<'_> {
        let about = requesting(&self.tags)
            .with_text(ENGINE, self.engine.as_deref())
            .with_text(CLASS, self.class.as_deref())
            .with_text(DATABASE, self.database.as_deref());
        match self.storage {
            Some(size) => about.with(STORAGE, Value::Number(size)),
            None => about,
        }
    }
}
