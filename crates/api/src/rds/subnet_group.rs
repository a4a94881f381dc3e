//! DB subnet groups: kept and shown. There are no networks here; the `default` group always exists.

use super::arn::Kind;
use super::fleet::Fleet;
use super::page::{Filters, Page};
use super::permit::{authorize, authorize_about, authorize_on, requesting};
use super::{check, error, show};
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use store::Change;
use store::records::SubnetGroup;

/// What a name may hold beside what an identifier may.
const OTHERS: &str = "._ ";

/// CreateDBSubnetGroup.
pub(super) async fn create(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = check::group_name("DBSubnetGroupName", &params.required("DBSubnetGroupName")?, OTHERS)?;
    let tags = check::tags(&mut params)?;
    authorize_about(call, &Kind::SubnetGroup.arn(call, &name), &requesting(&tags))?;
    let group = SubnetGroup {
        region: call.region.clone(),
        name,
        description: params.required("DBSubnetGroupDescription")?,
        subnets: subnets(&mut params)?,
        tags,
    };
    params.finish()?;
    call.change(|| async {
        if Fleet::load(call).await?.subnet_groups.iter().any(|old| old.name == group.name) {
            return Err(error::subnet_group_exists(&group.name));
        }
        Ok((Change::new().insert(&group)?, ()))
    })
    .await?;
    Ok(call.respond(|w| w.element("DBSubnetGroup", |w| show::subnet_group(w, call, &group))))
}

/// Takes `SubnetIds`.
fn subnets(params: &mut Params) -> Result<Vec<String>, ApiError> {
    let subnets = params.list("SubnetIds", "SubnetIdentifier")?;
    if subnets.is_empty() {
        return Err(ApiError::missing("SubnetIds"));
    }
    for subnet in &subnets {
        let tail = subnet.strip_prefix("subnet-").unwrap_or_default();
        if !(8..=17).contains(&tail.len()) || !tail.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ApiError::new(
                "InvalidSubnet",
                format!("The subnet ID '{subnet}' is not valid: expected subnet-0123abcd"),
            ));
        }
    }
    Ok(subnets)
}

/// DescribeDBSubnetGroups.
pub(super) async fn describe(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = params.optional("DBSubnetGroupName").filter(|name| !name.is_empty());
    let name = name.map(|given| Kind::SubnetGroup.name(call, &given)).transpose()?;
    match &name {
        Some(name) => authorize_on(call, Kind::SubnetGroup, name, &About::nothing()).await?,
        None => authorize(call, &Kind::SubnetGroup.arn(call, "*"))?,
    }
    Filters::take(&mut params, &[])?;
    let page = Page::take(&mut params)?;
    params.finish()?;

    let default = show::default_subnet_group(call);
    let fleet = Fleet::load(call).await?;
    let all = std::iter::once(&default).chain(fleet.subnet_groups.iter().map(|group| &group.record));
    let asked: Vec<&SubnetGroup> =
        all.filter(|group| name.as_ref().is_none_or(|name| *name == group.name)).collect();
    match &name {
        Some(name) if asked.is_empty() => return Err(error::subnet_group_not_found(name)),
        _ => {}
    }
    let part = page.cut(asked, |group| group.name.clone());
    Ok(call.respond(|w| {
        part.write(w, "DBSubnetGroups", "DBSubnetGroup", |w, group| show::subnet_group(w, call, group));
    }))
}

/// Takes `DBSubnetGroupName`, which may not be the default one's.
async fn named(call: &Call<'_>, params: &mut Params) -> Result<String, ApiError> {
    let name = Kind::SubnetGroup.name(call, &params.required("DBSubnetGroupName")?)?;
    authorize_on(call, Kind::SubnetGroup, &name, &About::nothing()).await?;
    if name == "default" {
        return Err(error::subnet_group_state(
            "The DB subnet group 'default' always exists and cannot be changed.",
        ));
    }
    Ok(name)
}

/// ModifyDBSubnetGroup.
pub(super) async fn modify(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = named(call, &mut params).await?;
    let description = params.optional("DBSubnetGroupDescription");
    let subnets = subnets(&mut params)?;
    params.finish()?;
    let group = call
        .change(|| async {
            let fleet = Fleet::load(call).await?;
            let found = fleet.subnet_groups.iter().find(|group| group.name == name);
            let old = found.ok_or_else(|| error::subnet_group_not_found(&name))?;
            let mut new = old.record.clone();
            new.subnets.clone_from(&subnets);
            new.description = description.clone().unwrap_or(new.description);
            Ok((Change::new().replace(old, &new)?, new))
        })
        .await?;
    Ok(call.respond(|w| w.element("DBSubnetGroup", |w| show::subnet_group(w, call, &group))))
}

/// DeleteDBSubnetGroup.
pub(super) async fn delete(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = named(call, &mut params).await?;
    params.finish()?;
    call.change(|| async {
        let fleet = Fleet::load(call).await?;
        let found = fleet.subnet_groups.iter().find(|group| group.name == name);
        let old = found.ok_or_else(|| error::subnet_group_not_found(&name))?;
        let of_instance = fleet.instances.iter().find(|i| i.subnet_group == name).map(|i| &i.identifier);
        let of_cluster = fleet.clusters.iter().find(|c| c.subnet_group == name).map(|c| &c.identifier);
        if let Some(user) = of_instance.or(of_cluster) {
            return Err(error::subnet_group_state(format!(
                "Cannot delete the subnet group '{name}' because at least one database instance: {user} is still using it."
            )));
        }
        Ok((Change::new().delete(old), ()))
    })
    .await?;
    Ok(call.done())
}
