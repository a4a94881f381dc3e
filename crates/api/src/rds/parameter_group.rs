//! DB parameter groups and DB cluster parameter groups. `default.<family>` always exists and is nobody's to change.

use super::arn::Kind;
use super::fleet::Fleet;
use super::page::{Filters, Page};
use super::parameter::{self, Parameter};
use super::permit::{authorize, authorize_about, authorize_on, requesting};
use super::{check, error};
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use axum::response::Response;
use iam::{Engine, Product};
use std::collections::{BTreeMap, BTreeSet};
use store::records::{ParameterGroup, ParameterGroupKind, Tags};
use store::{Change, Versioned};

/// How many parameters one call may change.
const MOST_CHANGES: usize = 20;

/// A family of parameter groups, such as `postgres15` or `aurora-mysql8.4`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Family(String);

impl Family {
    #[cfg(test)]
    pub(super) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The server program whose parameters it has: that of the engine that stands before its version.
    pub(super) fn product(&self) -> Option<Product> {
        self.product_and_series().map(|(product, _)| product)
    }

    fn product_and_series(&self) -> Option<(Product, &str)> {
        Engine::ALL.into_iter().find_map(|engine| {
            let series = self.0.strip_prefix(engine.as_str())?;
            series.starts_with(|c: char| c.is_ascii_digit()).then_some((engine.product(), series))
        })
    }

    /// Whether every connection must have TLS where no group of it says otherwise.
    pub(super) fn forces_tls_by_default(&self) -> bool {
        self.product_and_series().is_some_and(|(product, series)| product.forces_tls_by_default(series))
    }

    /// Whether it is of an engine whose instances belong to clusters.
    pub(super) fn is_of_clusters(&self) -> bool {
        self.0.starts_with("aurora-")
    }
}

/// The families of what is installed.
fn families(call: &Call<'_>) -> BTreeSet<Family> {
    call.services.engine_versions.iter().map(|version| Family(version.family.clone())).collect()
}

/// What differs between the two kinds on the wire.
trait OnTheWire {
    fn arn_kind(self) -> Kind;
    /// `DBParameterGroup`, and what starts with it.
    fn word(self) -> &'static str;
    fn not_found(self, name: &str) -> ApiError;
}

impl OnTheWire for ParameterGroupKind {
    fn arn_kind(self) -> Kind {
        match self {
            Self::Instance => Kind::ParameterGroup,
            Self::Cluster => Kind::ClusterParameterGroup,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Instance => "DBParameterGroup",
            Self::Cluster => "DBClusterParameterGroup",
        }
    }

    /// On the groups themselves, both kinds have the code of the one.
    fn not_found(self, name: &str) -> ApiError {
        let mut error = error::parameter_group_not_found(name);
        error.message = format!("{} not found: {name}", self.word());
        error
    }
}

/// Takes the group's name, and asks whether the caller may do this to it.
async fn named(call: &Call<'_>, kind: ParameterGroupKind, params: &mut Params) -> Result<String, ApiError> {
    let name = kind.arn_kind().name(call, &params.required(&format!("{}Name", kind.word()))?)?;
    authorize_on(call, kind.arn_kind(), &name, &About::nothing()).await?;
    Ok(name)
}

/// Takes the name of a group that somebody made.
async fn named_own(
    call: &Call<'_>,
    kind: ParameterGroupKind,
    params: &mut Params,
    what: &str,
) -> Result<String, ApiError> {
    let name = named(call, kind, params).await?;
    if name.starts_with("default.") {
        return Err(error::parameter_group_state(format!(
            "Default {} cannot be {what}: {name}",
            kind.word()
        )));
    }
    Ok(name)
}

async fn groups(
    call: &Call<'_>,
    kind: ParameterGroupKind,
) -> Result<Vec<Versioned<ParameterGroup>>, ApiError> {
    let mut all: Vec<Versioned<ParameterGroup>> =
        call.services.records.list(&format!("{}/", call.region)).await?;
    all.retain(|group| group.kind == kind);
    Ok(all)
}

fn default_group(call: &Call<'_>, kind: ParameterGroupKind, family: &Family) -> ParameterGroup {
    ParameterGroup {
        region: call.region.clone(),
        kind,
        name: format!("default.{}", family.0),
        family: family.0.clone(),
        description: format!("Default parameter group for {}", family.0),
        parameters: BTreeMap::new(),
        tags: Tags::new(),
    }
}

fn write(w: &mut Writer, call: &Call<'_>, group: &ParameterGroup) {
    let word = group.kind.word();
    w.text(&format!("{word}Name"), &group.name);
    w.text("DBParameterGroupFamily", &group.family);
    w.text("Description", &group.description);
    w.text(&format!("{word}Arn"), &group.kind.arn_kind().arn(call, &group.name));
}

/// CreateDBParameterGroup, CreateDBClusterParameterGroup.
pub(super) async fn create(
    call: &Call<'_>,
    kind: ParameterGroupKind,
    mut params: Params,
) -> Result<Response, ApiError> {
    let parameter = format!("{}Name", kind.word());
    let name = check::group_name(&parameter, &params.required(&parameter)?, "")?;
    let tags = check::tags(&mut params)?;
    authorize_about(call, &kind.arn_kind().arn(call, &name), &requesting(&tags))?;
    let family = Family(params.required("DBParameterGroupFamily")?);
    let known = families(call);
    if !known.contains(&family) {
        let known: Vec<&str> = known.iter().map(|family| family.0.as_str()).collect();
        return Err(ApiError::invalid_parameter_value(format!(
            "ParameterGroupFamily {} is not a valid parameter group family; those of what is installed: {}",
            family.0,
            known.join(", ")
        )));
    }
    let group = ParameterGroup {
        name,
        description: params.required("Description")?,
        tags,
        ..default_group(call, kind, &family)
    };
    params.finish()?;
    call.change(|| async {
        if groups(call, kind).await?.iter().any(|old| old.name == group.name) {
            return Err(error::parameter_group_exists(&group.name));
        }
        Ok((Change::new().insert(&group)?, ()))
    })
    .await?;
    Ok(call.respond(|w| w.element(kind.word(), |w| write(w, call, &group))))
}

/// DescribeDBParameterGroups, DescribeDBClusterParameterGroups.
pub(super) async fn describe(
    call: &Call<'_>,
    kind: ParameterGroupKind,
    mut params: Params,
) -> Result<Response, ApiError> {
    let name = params.optional(&format!("{}Name", kind.word())).filter(|name| !name.is_empty());
    let name = name.map(|given| kind.arn_kind().name(call, &given)).transpose()?;
    match &name {
        Some(name) => authorize_on(call, kind.arn_kind(), name, &About::nothing()).await?,
        None => authorize(call, &kind.arn_kind().arn(call, "*"))?,
    }
    Filters::take(&mut params, &[])?;
    let page = Page::take(&mut params)?;
    params.finish()?;

    let defaults = families(call).into_iter().map(|family| default_group(call, kind, &family));
    let own = groups(call, kind).await?.into_iter().map(|group| group.record);
    let asked: Vec<ParameterGroup> =
        defaults.chain(own).filter(|group| name.as_ref().is_none_or(|name| *name == group.name)).collect();
    match &name {
        Some(name) if asked.is_empty() => return Err(kind.not_found(name)),
        _ => {}
    }
    let part = page.cut(asked, |group| group.name.clone());
    Ok(call.respond(|w| {
        part.write(w, &format!("{}s", kind.word()), kind.word(), |w, group| write(w, call, &group));
    }))
}

/// The group with the name: one that somebody made, or a default one.
async fn find(call: &Call<'_>, kind: ParameterGroupKind, name: &str) -> Result<ParameterGroup, ApiError> {
    let defaults = families(call).into_iter().map(|family| default_group(call, kind, &family));
    let own = groups(call, kind).await?.into_iter().map(|group| group.record);
    defaults.chain(own).find(|group| group.name == name).ok_or_else(|| kind.not_found(name))
}

/// DescribeDBParameters, DescribeDBClusterParameters.
pub(super) async fn describe_parameters(
    call: &Call<'_>,
    kind: ParameterGroupKind,
    mut params: Params,
) -> Result<Response, ApiError> {
    let name = named(call, kind, &mut params).await?;
    let source = params.optional("Source");
    let filters = Filters::take(&mut params, &["parameter-name"])?;
    let page = Page::take(&mut params)?;
    params.finish()?;

    let group = find(call, kind, &name).await?;
    let family = Family(group.family.clone());
    let shown = parameter::of(kind, &family).filter_map(|parameter| {
        let set = group.parameters.get(parameter.name);
        let default = parameter.default(&family);
        let from = match (set, default) {
            (Some(_), _) => "user",
            (None, Some(_)) => "system",
            (None, None) => "engine-default",
        };
        let asked = source.as_deref().is_none_or(|source| source == from)
            && filters.admit(|_, value| value == parameter.name);
        asked.then_some((parameter, set.map(String::as_str).or(default), from))
    });
    let part = page.cut(shown, |(parameter, ..)| parameter.name.to_owned());
    Ok(call.respond(|w| {
        part.write(w, "Parameters", "Parameter", |w, (parameter, value, source)| {
            w.text("ParameterName", parameter.name);
            w.opt("ParameterValue", value);
            w.text("Description", parameter.description);
            w.text("Source", source);
            w.text("ApplyType", if parameter.dynamic { "dynamic" } else { "static" });
            w.text("DataType", parameter.takes.data_type());
            w.text("AllowedValues", &parameter.takes.allowed());
            w.flag("IsModifiable", true);
            w.text("ApplyMethod", if parameter.dynamic { "immediate" } else { "pending-reboot" });
        });
    }))
}

/// A parameter that a call changes.
struct Changed {
    parameter: &'static Parameter,
    /// None sets it back to its default.
    value: Option<String>,
}

/// Takes `Parameters`.
fn changes(
    params: &mut Params,
    kind: ParameterGroupKind,
    family: &Family,
    resets: bool,
) -> Result<Vec<Changed>, ApiError> {
    let structures = params.structures("Parameters", "Parameter")?;
    if structures.len() > MOST_CHANGES {
        return Err(ApiError::invalid_parameter_value(format!(
            "A maximum of {MOST_CHANGES} parameters can be modified in a single request"
        )));
    }
    let mut changes: Vec<Changed> = Vec::new();
    for mut given in structures {
        let name = given.required("ParameterName")?;
        let Some(parameter) = parameter::of(kind, family).find(|parameter| parameter.name == name) else {
            return Err(ApiError::invalid_parameter_value(format!(
                "Could not find parameter with name: {name}"
            )));
        };
        if changes.iter().any(|earlier| earlier.parameter.name == parameter.name) {
            return Err(ApiError::invalid_parameter_combination(format!(
                "The parameter {name} is given more than once"
            )));
        }
        let value = if resets { None } else { Some(given.required("ParameterValue")?) };
        value.as_deref().map(|value| parameter.check(value)).transpose()?;
        match given.optional("ApplyMethod").as_deref() {
            Some("immediate") if !parameter.dynamic => {
                return Err(ApiError::invalid_parameter_combination(
                    "cannot use immediate apply method for static parameter",
                ));
            }
            None | Some("immediate" | "pending-reboot") => {}
            Some(other) => {
                return Err(given.invalid("ApplyMethod", other, "must be one of immediate, pending-reboot"));
            }
        }
        // What Describe says of a parameter may come back with it.
        for said in [
            "Description",
            "Source",
            "ApplyType",
            "DataType",
            "AllowedValues",
            "IsModifiable",
            "MinimumEngineVersion",
        ] {
            given.optional(said);
        }
        if resets {
            given.optional("ParameterValue");
        }
        given.finish()?;
        changes.push(Changed { parameter, value });
    }
    Ok(changes)
}

/// Writes the changes, and tells the instances and clusters that have the group.
async fn apply(
    call: &Call<'_>,
    kind: ParameterGroupKind,
    name: &str,
    changes: &[Changed],
) -> Result<Response, ApiError> {
    call.change(|| async {
        let all = groups(call, kind).await?;
        let old = all.iter().find(|group| group.name == name).ok_or_else(|| kind.not_found(name))?;
        let mut group = old.record.clone();
        for Changed { parameter, value } in changes {
            match value {
                Some(value) => group.parameters.insert(parameter.name.to_owned(), value.clone()),
                None => group.parameters.remove(parameter.name),
            };
        }
        let mut change = Change::new().replace(old, &group)?;
        let now = changes.iter().any(|change| change.parameter.dynamic);
        let later = changes.iter().any(|change| !change.parameter.dynamic);
        let fleet = Fleet::load(call).await?;
        for instance in &fleet.instances {
            let own = kind == ParameterGroupKind::Instance && instance.parameter_group == name;
            let shared = kind == ParameterGroupKind::Cluster
                && fleet.cluster_of(instance).is_some_and(|cluster| cluster.parameter_group == name);
            let mut new = instance.record.clone();
            new.generation += u64::from(own && now);
            if (own || shared) && later {
                new.reboot_awaited_after = Some(new.reboots);
            }
            if own && now || (own || shared) && later {
                change = change.replace(instance, &new)?;
            }
        }
        for cluster in fleet.clusters.iter().filter(|cluster| now && cluster.parameter_group == name) {
            if kind == ParameterGroupKind::Cluster {
                let mut new = cluster.record.clone();
                new.generation += 1;
                change = change.replace(cluster, &new)?;
            }
        }
        Ok((change, ()))
    })
    .await?;
    Ok(call.respond(|w| w.text(&format!("{}Name", kind.word()), name)))
}

/// ModifyDBParameterGroup, ModifyDBClusterParameterGroup.
pub(super) async fn modify(
    call: &Call<'_>,
    kind: ParameterGroupKind,
    mut params: Params,
) -> Result<Response, ApiError> {
    let name = named_own(call, kind, &mut params, "modified").await?;
    let family = Family(find(call, kind, &name).await?.family);
    let changes = changes(&mut params, kind, &family, false)?;
    params.finish()?;
    if changes.is_empty() {
        return Err(ApiError::missing("Parameters"));
    }
    apply(call, kind, &name, &changes).await
}

/// ResetDBParameterGroup, ResetDBClusterParameterGroup.
pub(super) async fn reset(
    call: &Call<'_>,
    kind: ParameterGroupKind,
    mut params: Params,
) -> Result<Response, ApiError> {
    let name = named_own(call, kind, &mut params, "modified").await?;
    let group = find(call, kind, &name).await?;
    let family = Family(group.family);
    let all = params.flag("ResetAllParameters")?;
    let mut changes = changes(&mut params, kind, &family, true)?;
    params.finish()?;
    match (all.unwrap_or(changes.is_empty()), changes.is_empty()) {
        (true, true) => {
            let set = parameter::of(kind, &family)
                .filter(|parameter| group.parameters.contains_key(parameter.name));
            changes.extend(set.map(|parameter| Changed { parameter, value: None }));
        }
        (true, false) => {
            return Err(ApiError::invalid_parameter_combination(
                "Parameters cannot be specified when ResetAllParameters is set",
            ));
        }
        (false, true) => return Err(ApiError::missing("Parameters")),
        (false, false) => {}
    }
    apply(call, kind, &name, &changes).await
}

/// DeleteDBParameterGroup, DeleteDBClusterParameterGroup.
pub(super) async fn delete(
    call: &Call<'_>,
    kind: ParameterGroupKind,
    mut params: Params,
) -> Result<Response, ApiError> {
    let name = named_own(call, kind, &mut params, "deleted").await?;
    params.finish()?;
    call.change(|| async {
        let all = groups(call, kind).await?;
        let old = all.iter().find(|group| group.name == name).ok_or_else(|| kind.not_found(&name))?;
        let fleet = Fleet::load(call).await?;
        let used = match kind {
            ParameterGroupKind::Instance => fleet.instances.iter().any(|instance| instance.parameter_group == name),
            ParameterGroupKind::Cluster => fleet.clusters.iter().any(|cluster| cluster.parameter_group == name),
        };
        if used {
            return Err(error::parameter_group_state(format!(
                "One or more database instances are still members of this parameter group {name}, so the group cannot be deleted"
            )));
        }
        Ok((Change::new().delete(old), ()))
    })
    .await?;
    Ok(call.done())
}
