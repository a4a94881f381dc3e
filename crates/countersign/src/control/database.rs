//! Which database a person means: an identifier, in a region or in the only one that has it, or a resource id.

use super::Control;
use super::query::Query;
use super::refusal::{Refusal, instead};
use axum::Json;
use axum::extract::{RawQuery, State};
use iam::{AccountId, Region};
use std::sync::Arc;
use store::RecordsError;
use store::records::{Cluster, Instance, Records};

/// Where it is asked for, with `identifier` and, where it is given, `region`.
pub(crate) const PATH: &str = "/database";

/// A database that policies name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct DatabaseAnswer {
    /// Of the instance, or of the cluster.
    pub(crate) identifier: String,
    pub(crate) kind: DatabaseKind,
    /// The instance that was asked for, which is a member of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<String>,
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) resource_id: String,
    pub(crate) iam_authentication: bool,
}

/// What a resource id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DatabaseKind {
    Instance,
    Cluster,
}

impl DatabaseKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Cluster => "cluster",
        }
    }
}

pub(super) async fn show(
    State(control): State<Arc<Control>>,
    query: RawQuery,
) -> Result<Json<DatabaseAnswer>, Refusal> {
    let query = Query::read(query)?;
    Ok(Json(find(&control, query.need("identifier")?, region(&query)?.as_ref()).await?))
}

/// The region that the query names, if it names one.
pub(super) fn region(query: &Query) -> Result<Option<Region>, Refusal> {
    query
        .get("region")
        .map(str::parse)
        .transpose()
        .map_err(|error: iam::RegionError| Refusal::wrong(error.to_string()))
}

/// The database with the identifier or resource id.
pub(super) async fn find(
    control: &Control,
    name: &str,
    region: Option<&Region>,
) -> Result<DatabaseAnswer, Refusal> {
    let all = all(&control.records, control.account).await?;
    // Identifiers are kept in lower case, and RDS takes them in any.
    let folded = name.to_ascii_lowercase();
    let in_region = |database: &&DatabaseAnswer| region.is_none_or(|region| database.region == *region);
    let named = |database: &&DatabaseAnswer| {
        database.resource_id == name || database.member.as_ref().unwrap_or(&database.identifier) == &folded
    };
    let mut found: Vec<&DatabaseAnswer> = all.iter().filter(named).filter(in_region).collect();
    // The members of a cluster all have its resource id.
    found.sort_by_key(|database| (&database.region, &database.resource_id));
    found.dedup_by(|a, b| a.resource_id == b.resource_id);
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(not_found(&all, name, &folded, region)),
        [first, others @ ..] if others.iter().all(|other| other.region == first.region) => {
            Err(Refusal::conflict(format!(
                "`{name}` is an instance and a cluster in {}: name the one that is meant by its resource id, {}",
                first.region,
                listed(found.iter().map(|database| &database.resource_id)),
            )))
        }
        several => Err(Refusal::conflict(format!(
            "`{name}` is in several regions: choose one of {} with --region",
            listed(several.iter().map(|database| &database.region)),
        ))),
    }
}

fn not_found(all: &[DatabaseAnswer], name: &str, folded: &str, region: Option<&Region>) -> Refusal {
    let known = |database: &DatabaseAnswer| database.member.as_ref().unwrap_or(&database.identifier).clone();
    let elsewhere: Vec<&Region> = all.iter().filter(|d| known(d) == folded).map(|d| &d.region).collect();
    Refusal::not_found(match region {
        Some(region) if !elsewhere.is_empty() => {
            format!("`{name}` is not in {region}, but in {}", listed(elsewhere))
        }
        Some(region) => {
            let here = all.iter().filter(|database| database.region == *region).map(known);
            let instead = instead(name, "databases", here);
            format!("no DB instance or cluster in {region} is called `{name}`; {instead}")
        }
        None => {
            let instead = instead(name, "databases", all.iter().map(known));
            format!("no DB instance or cluster is called `{name}`; {instead}")
        }
    })
}

fn listed<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
}

/// All clusters, then all instances; members of clusters as the clusters they stand for.
pub(super) async fn all(records: &Records, account: AccountId) -> Result<Vec<DatabaseAnswer>, RecordsError> {
    let clusters = records.list::<Cluster>("").await?;
    let of_cluster = |cluster: &Cluster, member: Option<&str>| DatabaseAnswer {
        identifier: cluster.identifier.clone(),
        kind: DatabaseKind::Cluster,
        member: member.map(str::to_owned),
        region: cluster.region.clone(),
        account,
        resource_id: cluster.resource_id.to_string(),
        iam_authentication: cluster.iam_auth,
    };
    let mut all: Vec<DatabaseAnswer> = clusters.iter().map(|cluster| of_cluster(cluster, None)).collect();
    for instance in records.list::<Instance>("").await? {
        let Some(name) = &instance.cluster else {
            all.push(DatabaseAnswer {
                identifier: instance.identifier.clone(),
                kind: DatabaseKind::Instance,
                member: None,
                region: instance.region.clone(),
                account,
                resource_id: instance.resource_id.to_string(),
                iam_authentication: instance.iam_auth,
            });
            continue;
        };
        let cluster = clusters.iter().find(|c| c.identifier == *name && c.region == instance.region);
        all.extend(cluster.map(|cluster| of_cluster(cluster, Some(&instance.identifier))));
    }
    Ok(all)
}
