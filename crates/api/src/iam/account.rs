//! The account as a whole.

use super::entity::{all, allow};
use super::page::Page;
use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use store::records::{Group, ManagedPolicy, Role, User};

/// GetAccountSummary
pub(super) async fn summary(call: &Call<'_>, params: Params) -> Result<Response, ApiError> {
    params.finish()?;
    allow(call, "*")?;
    let policies = all::<ManagedPolicy>(call).await?;
    let versions = policies.iter().map(|policy| policy.versions.len()).sum();
    let numbers = [
        ("Users", all::<User>(call).await?.len()),
        ("Groups", all::<Group>(call).await?.len()),
        ("Roles", all::<Role>(call).await?.len()),
        ("Policies", policies.len()),
        ("PoliciesQuota", 1500),
        ("PolicyVersionsInUse", versions),
        ("VersionsPerPolicyQuota", 5),
        ("PolicySizeQuota", 6144),
        ("UserPolicySizeQuota", 2048),
        ("GroupPolicySizeQuota", 5120),
        ("RolePolicySizeQuota", 10240),
        ("AssumeRolePolicySizeQuota", 2048),
        ("AttachedPoliciesPerUserQuota", 10),
        ("AttachedPoliciesPerGroupQuota", 10),
        ("AttachedPoliciesPerRoleQuota", 10),
        ("GroupsPerUserQuota", 10),
        ("AccessKeysPerUserQuota", 2),
        ("AccountAccessKeysPresent", 0),
        ("AccountMFAEnabled", 0),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("InstanceProfiles", 0),
        ("Providers", 0),
        ("ServerCertificates", 0),
    ];
    Ok(call.respond(|w| {
        w.list("SummaryMap", "entry", numbers, |w, (key, value)| {
            w.text("key", key);
            w.text("value", &value.to_string());
        });
    }))
}

/// ListAccountAliases: an account has none here.
pub(super) fn aliases(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let page = Page::read(&mut params)?;
    params.finish()?;
    allow(call, "*")?;
    let part = page.cut(Vec::<String>::new(), Clone::clone);
    Ok(call.respond(|w| {
        w.texts("AccountAliases", "member", &part.items);
        part.write(w);
    }))
}
