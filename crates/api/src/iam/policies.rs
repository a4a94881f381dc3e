//! Managed policies and their versions: the account's own, which are records, and AWS's, which are given.

use super::documents::{document, encoded};
use super::entity::{Entity, REQUEST_TAG, RESOURCE_TAG, all, allow, allow_about, list_arn};
use super::page::Page;
use super::{input, tags};
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use axum::response::Response;
use iam::{Arn, AwsManaged, IdKind, PolicyName, UniqueId, aws_managed};
use policy::{Kind, size_without_whitespace};
use std::collections::{BTreeMap, HashMap};
use store::records::{Group, ManagedPolicy, PolicyVersion, Role, Tags, User};
use store::{Change, Versioned};
use time::OffsetDateTime;

/// The most characters of a managed policy, white space apart.
const SIZE_LIMIT: usize = 6144;

/// The most versions of a policy.
const VERSIONS: usize = 5;

/// The most managed policies of an account.
const POLICIES_PER_ACCOUNT: usize = 1500;

/// A managed policy that exists.
pub(super) enum Found {
    /// The account's own.
    Own(Box<Versioned<ManagedPolicy>>),
    /// One of AWS's.
    Aws(&'static AwsManaged),
}

/// The policy with the ARN, if there is one.
pub(super) async fn read(call: &Call<'_>, arn: &Arn) -> Result<Option<Found>, ApiError> {
    if arn.account() == "aws" {
        return Ok(aws_managed().iter().find(|policy| policy.arn == arn.as_str()).map(Found::Aws));
    }
    let name = arn.resource().rsplit('/').next().unwrap_or_default();
    let found = call.services.records.get::<ManagedPolicy>(&name.to_ascii_lowercase()).await?;
    Ok(found.filter(|policy| policy.arn == *arn).map(|policy| Found::Own(Box::new(policy))))
}

/// Whether there is a policy with the ARN.
pub(crate) async fn exists(call: &Call<'_>, arn: &Arn) -> Result<bool, ApiError> {
    Ok(read(call, arn).await?.is_some())
}

fn not_found(arn: &Arn) -> ApiError {
    ApiError::no_such_entity(format!("Policy {arn} was not found."))
}

/// The policy with the ARN, if the caller may do the operation on it.
async fn permitted_any(call: &Call<'_>, arn: &Arn, about: &About<'_>) -> Result<Found, ApiError> {
    let found = read(call, arn).await?;
    match &found {
        Some(Found::Own(policy)) => {
            allow_about(call, arn.as_str(), &about.clone().on(&policy.tags, RESOURCE_TAG))?;
        }
        Some(Found::Aws(_)) | None => allow_about(call, arn.as_str(), about)?,
    }
    found.ok_or_else(|| not_found(arn))
}

/// The account's own policy with the ARN, if the caller may do the operation on it: AWS's are not to be changed.
async fn permitted(call: &Call<'_>, arn: &Arn) -> Result<Versioned<ManagedPolicy>, ApiError> {
    permitted_about(call, arn, &About::nothing()).await
}

/// The same, of an operation of which conditions see more than the policy.
pub(super) async fn permitted_about(
    call: &Call<'_>,
    arn: &Arn,
    about: &About<'_>,
) -> Result<Versioned<ManagedPolicy>, ApiError> {
    match permitted_any(call, arn, about).await? {
        Found::Own(policy) => Ok(*policy),
        Found::Aws(_) => {
            Err(ApiError::access_denied("Cannot perform the operation on an AWS managed policy."))
        }
    }
}

/// Adds to a change what becomes of a policy's counts. AWS's own have none that is kept.
pub(super) fn counted(
    change: Change,
    policy: &Found,
    count: impl Fn(&mut ManagedPolicy),
) -> Result<Change, ApiError> {
    match policy {
        Found::Own(old) => {
            let mut new = old.record.clone();
            count(&mut new);
            Ok(change.replace(old, &new)?)
        }
        Found::Aws(_) => Ok(change),
    }
}

/// How a version is called: `v1`.
fn version_id(number: u32) -> String {
    format!("v{number}")
}

fn take_version(params: &mut Params) -> Result<u32, ApiError> {
    let value = params.required("VersionId")?;
    let number =
        value.strip_prefix('v').and_then(|digits| digits.split('.').next()).filter(|d| !d.starts_with('0'));
    number.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        let pattern = r"must satisfy regular expression pattern: v[1-9][0-9]*(\.[A-Za-z0-9-]*)?";
        params.invalid("VersionId", &value, pattern)
    })
}

fn version_not_found(arn: &Arn, version: u32) -> ApiError {
    ApiError::no_such_entity(format!("Policy {arn} version v{version} does not exist or is not attachable."))
}

/// Takes a document of a managed policy.
fn take_document(params: &mut Params) -> Result<String, ApiError> {
    let (text, _) = document(params, "PolicyDocument", Kind::Managed)?;
    if size_without_whitespace(&text) > SIZE_LIMIT {
        return Err(ApiError::limit_exceeded(format!("Cannot exceed quota for PolicySize: {SIZE_LIMIT}")));
    }
    Ok(text)
}

/// To how many users, groups and roles a policy is attached, and how many users and roles it bounds.
#[derive(Clone, Copy, Default)]
struct Uses {
    attachments: u32,
    boundaries: u32,
}

/// What answers show of a policy, whosever it is.
struct Shown {
    name: String,
    id: String,
    arn: String,
    path: String,
    version: String,
    uses: Uses,
    description: Option<String>,
    created: OffsetDateTime,
    updated: OffsetDateTime,
    tags: Tags,
}

impl Shown {
    fn own(policy: &ManagedPolicy) -> Self {
        Self {
            name: policy.name.to_string(),
            id: policy.id.to_string(),
            arn: policy.arn.to_string(),
            path: policy.path.to_string(),
            version: version_id(policy.default_version),
            uses: Uses { attachments: policy.attachments, boundaries: policy.boundary_uses },
            description: policy.description.clone(),
            created: policy.created,
            updated: policy.updated,
            tags: policy.tags.clone(),
        }
    }

    fn aws(policy: &AwsManaged, uses: Uses) -> Self {
        Self {
            name: policy.name.to_owned(),
            id: policy.id.to_owned(),
            arn: policy.arn.to_owned(),
            path: policy.path.to_owned(),
            version: version_id(1),
            uses,
            description: Some(policy.description.to_owned()),
            created: policy.created,
            updated: policy.created,
            tags: Tags::new(),
        }
    }

    fn write(&self, w: &mut Writer) {
        w.text("PolicyName", &self.name);
        w.text("PolicyId", &self.id);
        w.text("Arn", &self.arn);
        w.text("Path", &self.path);
        w.text("DefaultVersionId", &self.version);
        w.number("AttachmentCount", self.uses.attachments);
        w.number("PermissionsBoundaryUsageCount", self.uses.boundaries);
        w.flag("IsAttachable", true);
        w.timestamp("CreateDate", self.created);
        w.timestamp("UpdateDate", self.updated);
    }

    /// With what lists leave out.
    fn write_whole(&self, w: &mut Writer) {
        self.write(w);
        w.opt("Description", self.description.as_deref());
        tags::write(&self.tags, w);
    }
}

/// What each managed policy is used for; of the account's own, the record says the same.
async fn uses_of_aws(call: &Call<'_>) -> Result<HashMap<Arn, Uses>, ApiError> {
    let mut all_uses = HashMap::new();
    count_uses::<User>(call, &mut all_uses).await?;
    count_uses::<Group>(call, &mut all_uses).await?;
    count_uses::<Role>(call, &mut all_uses).await?;
    Ok(all_uses)
}

async fn count_uses<E: Entity>(call: &Call<'_>, into: &mut HashMap<Arn, Uses>) -> Result<(), ApiError> {
    for entity in all::<E>(call).await? {
        for arn in entity.attached() {
            into.entry(arn.clone()).or_default().attachments += 1;
        }
        if let Some(arn) = entity.boundary() {
            into.entry(arn.clone()).or_default().boundaries += 1;
        }
    }
    Ok(())
}

/// CreatePolicy
pub(super) async fn create(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name: PolicyName = input::name(&mut params, "PolicyName")?;
    let path = input::path(&mut params, "Path")?.unwrap_or_default();
    if !path.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.,+@=_-".contains(&byte)) {
        let pattern = r"must satisfy regular expression pattern: ((/[A-Za-z0-9\.,\+@=_-]+)*)/";
        return Err(params.invalid("Path", path.as_str(), pattern));
    }
    let description = input::description(&mut params)?;
    let tags = tags::take(&mut params)?;
    let arn = call.services.iam_arn(&format!("policy{path}{name}"));
    allow_about(call, &arn, &About::nothing().requesting(&tags, REQUEST_TAG))?;
    let document = take_document(&mut params)?;
    params.finish()?;
    let policy = ManagedPolicy {
        arn: arn.parse().map_err(|error: iam::ArnError| ApiError::invalid_input(error.to_string()))?,
        name,
        id: UniqueId::generate(IdKind::Policy, &call.services.random()?),
        path,
        created: call.now,
        updated: call.now,
        description,
        tags,
        versions: BTreeMap::from([(1, PolicyVersion { document, created: call.now })]),
        default_version: 1,
        latest_version: 1,
        attachments: 0,
        boundary_uses: 0,
    };
    call.change(async || {
        let policies = all::<ManagedPolicy>(call).await?;
        if policies.iter().any(|known| known.name.folded() == policy.name.folded()) {
            return Err(ApiError::already_exists(format!(
                "A policy called {} already exists. Duplicate names are not allowed.",
                policy.name
            )));
        }
        if policies.len() >= POLICIES_PER_ACCOUNT {
            return Err(ApiError::limit_exceeded(format!(
                "Cannot exceed quota for Policies: {POLICIES_PER_ACCOUNT}"
            )));
        }
        Ok((Change::new().insert(&policy)?, ()))
    })
    .await?;
    Ok(call.respond(|w| w.element("Policy", |w| Shown::own(&policy).write_whole(w))))
}

/// GetPolicy
pub(super) async fn get(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let arn = input::policy_arn(&mut params)?;
    params.finish()?;
    let shown = match permitted_any(call, &arn, &About::nothing()).await? {
        Found::Own(policy) => Shown::own(&policy),
        Found::Aws(policy) => {
            Shown::aws(policy, uses_of_aws(call).await?.get(&arn).copied().unwrap_or_default())
        }
    };
    Ok(call.respond(|w| w.element("Policy", |w| shown.write_whole(w))))
}

/// ListPolicies
pub(super) async fn list(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let (own, aws) = match params.optional("Scope").as_deref() {
        None | Some("All") => (true, true),
        Some("Local") => (true, false),
        Some("AWS") => (false, true),
        Some(other) => {
            return Err(params.invalid("Scope", other, "must satisfy enum value set: [All, AWS, Local]"));
        }
    };
    let only_attached = params.flag("OnlyAttached")?.unwrap_or(false);
    let prefix = input::path_prefix(&mut params)?;
    let usage = take_usage(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    allow(call, &list_arn(call, "policy"))?;
    let mut shown = Vec::new();
    if own {
        shown.extend(all::<ManagedPolicy>(call).await?.iter().map(|policy| Shown::own(policy)));
    }
    if aws {
        let all = uses_of_aws(call).await?;
        let uses =
            |arn: &str| arn.parse().ok().and_then(|arn: Arn| all.get(&arn).copied()).unwrap_or_default();
        shown.extend(aws_managed().iter().map(|policy| Shown::aws(policy, uses(policy.arn))));
    }
    shown.retain(|policy| {
        let asked = match usage {
            Some(Usage::Boundary) => policy.uses.boundaries > 0,
            Some(Usage::Permissions) | None => !only_attached || policy.uses.attachments > 0,
        };
        policy.path.starts_with(&prefix) && asked
    });
    let part = page.cut(shown, |policy| format!("{}\n{}", policy.name.to_ascii_lowercase(), policy.arn));
    Ok(call.respond(|w| {
        w.list("Policies", "member", &part.items, |w, policy| policy.write(w));
        part.write(w);
    }))
}

/// What a policy is used as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    /// Attached, it gives permissions.
    Permissions,
    /// A permissions boundary.
    Boundary,
}

fn take_usage(params: &mut Params) -> Result<Option<Usage>, ApiError> {
    match params.optional("PolicyUsageFilter").as_deref() {
        None => Ok(None),
        Some("PermissionsPolicy") => Ok(Some(Usage::Permissions)),
        Some("PermissionsBoundary") => Ok(Some(Usage::Boundary)),
        Some(other) => {
            let set = "must satisfy enum value set: [PermissionsPolicy, PermissionsBoundary]";
            Err(params.invalid("PolicyUsageFilter", other, set))
        }
    }
}

/// DeletePolicy
pub(super) async fn delete(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let arn = input::policy_arn(&mut params)?;
    params.finish()?;
    call.change(async || {
        let policy = permitted(call, &arn).await?;
        if policy.attachments > 0 || policy.boundary_uses > 0 {
            return Err(ApiError::delete_conflict("Cannot delete a policy attached to entities."));
        }
        if policy.versions.len() > 1 {
            return Err(ApiError::delete_conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's \
                 versions. The default version is deleted with the policy.",
            ));
        }
        Ok((Change::new().delete(&policy), ()))
    })
    .await?;
    Ok(call.done())
}

fn write_version(
    w: &mut Writer,
    number: u32,
    default: bool,
    created: OffsetDateTime,
    document: Option<&str>,
) {
    w.opt("Document", document.map(encoded));
    w.text("VersionId", &version_id(number));
    w.flag("IsDefaultVersion", default);
    w.timestamp("CreateDate", created);
}

/// CreatePolicyVersion
pub(super) async fn create_version(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let arn = input::policy_arn(&mut params)?;
    let set_default = params.flag("SetAsDefault")?.unwrap_or(false);
    permitted(call, &arn).await?;
    let document = take_document(&mut params)?;
    params.finish()?;
    let number = call
        .change(async || {
            let old = permitted(call, &arn).await?;
            if old.versions.len() >= VERSIONS {
                return Err(ApiError::limit_exceeded(format!(
                    "A managed policy can have up to {VERSIONS} versions. Before you create a new version, you must \
                     delete an existing version."
                )));
            }
            let mut new = old.record.clone();
            new.latest_version += 1;
            let version = PolicyVersion { document: document.clone(), created: call.now };
            new.versions.insert(new.latest_version, version);
            new.updated = call.now;
            if set_default {
                new.default_version = new.latest_version;
            }
            Ok((Change::new().replace(&old, &new)?, new.latest_version))
        })
        .await?;
    Ok(call
        .respond(|w| w.element("PolicyVersion", |w| write_version(w, number, set_default, call.now, None))))
}

/// GetPolicyVersion
pub(super) async fn get_version(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let arn = input::policy_arn(&mut params)?;
    let number = take_version(&mut params)?;
    params.finish()?;
    let missing = || version_not_found(&arn, number);
    let (default, created, document) = match permitted_any(call, &arn, &About::nothing()).await? {
        Found::Own(policy) => {
            let version = policy.versions.get(&number).ok_or_else(missing)?;
            (policy.default_version == number, version.created, version.document.clone())
        }
        Found::Aws(policy) if number == 1 => (true, policy.created, policy.document.to_owned()),
        Found::Aws(_) => return Err(missing()),
    };
    Ok(call.respond(|w| {
        w.element("PolicyVersion", |w| write_version(w, number, default, created, Some(&document)));
    }))
}

/// ListPolicyVersions
pub(super) async fn list_versions(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let arn = input::policy_arn(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    let versions: Vec<(u32, bool, OffsetDateTime)> = match permitted_any(call, &arn, &About::nothing())
        .await?
    {
        Found::Own(policy) => {
            let version =
                |(number, v): (&u32, &PolicyVersion)| (*number, *number == policy.default_version, v.created);
            policy.versions.iter().map(version).collect()
        }
        Found::Aws(policy) => vec![(1, true, policy.created)],
    };
    // The latest first.
    let part = page.cut(versions, |(number, ..)| format!("{:010}", u32::MAX - number));
    Ok(call.respond(|w| {
        w.list("Versions", "member", &part.items, |w, (number, default, created)| {
            write_version(w, *number, *default, *created, None);
        });
        part.write(w);
    }))
}

/// DeletePolicyVersion
pub(super) async fn delete_version(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let arn = input::policy_arn(&mut params)?;
    let number = take_version(&mut params)?;
    params.finish()?;
    call.change(async || {
        let old = permitted(call, &arn).await?;
        if old.default_version == number {
            return Err(ApiError::delete_conflict("Cannot delete the default version of a policy."));
        }
        let mut new = old.record.clone();
        new.versions.remove(&number).ok_or_else(|| version_not_found(&arn, number))?;
        new.updated = call.now;
        Ok((Change::new().replace(&old, &new)?, ()))
    })
    .await?;
    Ok(call.done())
}

/// SetDefaultPolicyVersion
pub(super) async fn set_default_version(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let arn = input::policy_arn(&mut params)?;
    let number = take_version(&mut params)?;
    params.finish()?;
    call.change(async || {
        let old = permitted(call, &arn).await?;
        if !old.versions.contains_key(&number) {
            return Err(version_not_found(&arn, number));
        }
        let mut new = old.record.clone();
        new.default_version = number;
        new.updated = call.now;
        Ok((Change::new().replace(&old, &new)?, ()))
    })
    .await?;
    Ok(call.done())
}

/// ListEntitiesForPolicy
pub(super) async fn list_entities(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let arn = input::policy_arn(&mut params)?;
    let filter = params.optional("EntityFilter");
    if let Some(other) = filter.as_deref().filter(|f| !matches!(*f, "User" | "Role" | "Group")) {
        return match other {
            "LocalManagedPolicy" | "AWSManagedPolicy" => Err(ApiError::invalid_input(format!(
                "Entity filter {other} is not valid for ListEntitiesForPolicy."
            ))),
            _ => {
                let set =
                    "must satisfy enum value set: [User, Role, Group, LocalManagedPolicy, AWSManagedPolicy]";
                Err(params.invalid("EntityFilter", other, set))
            }
        };
    }
    let prefix = input::path_prefix(&mut params)?;
    let usage = take_usage(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    permitted_any(call, &arn, &About::nothing()).await?;
    let wanted = |kind: &str| filter.as_deref().is_none_or(|filter| filter == kind);
    let mut entities: Vec<(&'static str, String, UniqueId)> = Vec::new();
    if wanted("Group") {
        gather::<Group>(call, &arn, usage, &prefix, &mut entities).await?;
    }
    if wanted("User") {
        gather::<User>(call, &arn, usage, &prefix, &mut entities).await?;
    }
    if wanted("Role") {
        gather::<Role>(call, &arn, usage, &prefix, &mut entities).await?;
    }
    let part = page.cut(entities, |(kind, name, _)| format!("{kind}\n{}", name.to_ascii_lowercase()));
    Ok(call.respond(|w| {
        for kind in ["Group", "User", "Role"] {
            let of_kind = part.items.iter().filter(|(of, ..)| *of == kind);
            w.list(&format!("Policy{kind}s"), "member", of_kind, |w, (_, name, id)| {
                w.text(&format!("{kind}Name"), name);
                w.text(&format!("{kind}Id"), id.as_str());
            });
        }
        part.write(w);
    }))
}

async fn gather<E: Entity>(
    call: &Call<'_>,
    arn: &Arn,
    usage: Option<Usage>,
    prefix: &str,
    into: &mut Vec<(&'static str, String, UniqueId)>,
) -> Result<(), ApiError> {
    let all = all::<E>(call).await?;
    let uses = all.iter().filter(|e| {
        let attached = usage != Some(Usage::Boundary) && e.attached().contains(arn);
        let bounded = usage != Some(Usage::Permissions) && e.boundary() == Some(arn);
        (attached || bounded) && e.path().as_str().starts_with(prefix)
    });
    into.extend(uses.map(|entity| (E::KIND, entity.name().to_string(), entity.id())));
    Ok(())
}
