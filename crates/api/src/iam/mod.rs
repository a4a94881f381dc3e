//! IAM: users, groups, roles, policies, access keys. Every operation asks first whether the caller may, then reads,
//! changes, and answers.

mod account;
mod attachments;
mod documents;
mod entity;
mod groups;
mod input;
mod keys;
mod page;
mod policies;
mod roles;
mod simulate;
mod tags;
mod users;

use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use iam::PrincipalKind;
use store::records::{Group, ManagedPolicy, Role, User};

pub(crate) use entity::role_arn;

/// Does the operation that the call names.
pub(crate) async fn dispatch(call: &Call<'_>, params: Params) -> Result<Response, ApiError> {
    if let (PrincipalKind::User { .. } | PrincipalKind::FederatedUser { .. }, Some(_)) =
        (call.caller.kind, call.caller.session)
    {
        // AWS: a session of GetSessionToken calls no IAM operation unless it was made with a second factor, one of
        // GetFederationToken none at all.
        return Err(crate::signed::invalid_client_token());
    }
    match call.operation {
        "CreateUser" => users::create(call, params).await,
        "GetUser" => users::get(call, params).await,
        "ListUsers" => users::list(call, params).await,
        "UpdateUser" => users::update(call, params).await,
        "DeleteUser" => users::delete(call, params).await,
        "TagUser" => tags::tag::<User>(call, params).await,
        "UntagUser" => tags::untag::<User>(call, params).await,
        "ListUserTags" => tags::list::<User>(call, params).await,
        "ListGroupsForUser" => groups::list_for_user(call, params).await,

        "CreateGroup" => groups::create(call, params).await,
        "GetGroup" => groups::get(call, params).await,
        "ListGroups" => groups::list(call, params).await,
        "UpdateGroup" => groups::update(call, params).await,
        "DeleteGroup" => groups::delete(call, params).await,
        "AddUserToGroup" => groups::add_user(call, params).await,
        "RemoveUserFromGroup" => groups::remove_user(call, params).await,

        "CreateRole" => roles::create(call, params).await,
        "GetRole" => roles::get(call, params).await,
        "ListRoles" => roles::list(call, params).await,
        "UpdateRole" => roles::update(call, params).await,
        "UpdateRoleDescription" => roles::update_description(call, params).await,
        "UpdateAssumeRolePolicy" => roles::update_trust(call, params).await,
        "DeleteRole" => roles::delete(call, params).await,
        "TagRole" => tags::tag::<Role>(call, params).await,
        "UntagRole" => tags::untag::<Role>(call, params).await,
        "ListRoleTags" => tags::list::<Role>(call, params).await,

        "CreatePolicy" => policies::create(call, params).await,
        "GetPolicy" => policies::get(call, params).await,
        "ListPolicies" => policies::list(call, params).await,
        "DeletePolicy" => policies::delete(call, params).await,
        "CreatePolicyVersion" => policies::create_version(call, params).await,
        "GetPolicyVersion" => policies::get_version(call, params).await,
        "ListPolicyVersions" => policies::list_versions(call, params).await,
        "DeletePolicyVersion" => policies::delete_version(call, params).await,
        "SetDefaultPolicyVersion" => policies::set_default_version(call, params).await,
        "ListEntitiesForPolicy" => policies::list_entities(call, params).await,
        "TagPolicy" => tags::tag::<ManagedPolicy>(call, params).await,
        "UntagPolicy" => tags::untag::<ManagedPolicy>(call, params).await,
        "ListPolicyTags" => tags::list::<ManagedPolicy>(call, params).await,

        "AttachUserPolicy" => attachments::attach::<User>(call, params).await,
        "DetachUserPolicy" => attachments::detach::<User>(call, params).await,
        "ListAttachedUserPolicies" => attachments::list::<User>(call, params).await,
        "AttachGroupPolicy" => attachments::attach::<Group>(call, params).await,
        "DetachGroupPolicy" => attachments::detach::<Group>(call, params).await,
        "ListAttachedGroupPolicies" => attachments::list::<Group>(call, params).await,
        "AttachRolePolicy" => attachments::attach::<Role>(call, params).await,
        "DetachRolePolicy" => attachments::detach::<Role>(call, params).await,
        "ListAttachedRolePolicies" => attachments::list::<Role>(call, params).await,

        "PutUserPolicy" => attachments::put_inline::<User>(call, params).await,
        "GetUserPolicy" => attachments::get_inline::<User>(call, params).await,
        "ListUserPolicies" => attachments::list_inline::<User>(call, params).await,
        "DeleteUserPolicy" => attachments::delete_inline::<User>(call, params).await,
        "PutGroupPolicy" => attachments::put_inline::<Group>(call, params).await,
        "GetGroupPolicy" => attachments::get_inline::<Group>(call, params).await,
        "ListGroupPolicies" => attachments::list_inline::<Group>(call, params).await,
        "DeleteGroupPolicy" => attachments::delete_inline::<Group>(call, params).await,
        "PutRolePolicy" => attachments::put_inline::<Role>(call, params).await,
        "GetRolePolicy" => attachments::get_inline::<Role>(call, params).await,
        "ListRolePolicies" => attachments::list_inline::<Role>(call, params).await,
        "DeleteRolePolicy" => attachments::delete_inline::<Role>(call, params).await,

        "CreateAccessKey" => keys::create(call, params).await,
        "ListAccessKeys" => keys::list(call, params).await,
        "UpdateAccessKey" => keys::update(call, params).await,
        "DeleteAccessKey" => keys::delete(call, params).await,
        "GetAccessKeyLastUsed" => keys::last_used(call, params).await,

        "SimulatePrincipalPolicy" => simulate::principal(call, params).await,
        "SimulateCustomPolicy" => simulate::custom(call, params).await,
        "GetContextKeysForPrincipalPolicy" => simulate::principal_keys(call, params).await,
        "GetContextKeysForCustomPolicy" => simulate::custom_keys(call, params),

        "GetAccountSummary" => account::summary(call, params).await,
        "ListAccountAliases" => account::aliases(call, params),
        _ => Err(call.unknown_operation()),
    }
}
