"""Who may do what: authorization of calls, roles, temporary credentials, and what ends them."""

import datetime
import re

from botocore.config import Config

from common import ACCOUNT, allow, client, document, refused, trust

iam, sts = client("iam"), client("sts")
relaxed = Config(parameter_validation=False)


def new_user(name, *policies, path="/"):
    """A user with inline policies, and its access key."""
    iam.create_user(UserName=name, Path=path)
    for number, policy in enumerate(policies):
        iam.put_user_policy(UserName=name, PolicyName=f"p{number}", PolicyDocument=policy)
    return iam.create_access_key(UserName=name)["AccessKey"]


def identity():
    me = sts.get_caller_identity()
    assert me["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/admin" and me["Account"] == ACCOUNT
    assert me["UserId"] == iam.get_user()["User"]["UserId"]
    key = new_user("denied", document({"Effect": "Deny", "Action": "*", "Resource": "*"}), path="/p/")
    assert client("sts", key).get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/p/denied", "not even a Deny stops it"
    refused("AccessDenied", client("iam", key).list_users, status=403, says=f"User: arn:aws:iam::{ACCOUNT}:user/p/denied is not authorized to perform: iam:ListUsers on resource: arn:aws:iam::{ACCOUNT}:user/ with an explicit deny in an identity-based policy")
    assert sts.get_access_key_info(AccessKeyId=key["AccessKeyId"])["Account"] == ACCOUNT
    refused("NoSuchEntity", sts.get_access_key_info, AccessKeyId="AKIAAAAAAAAAAAAAAAAA")
    refused("AccessDenied", client("sts", key).get_access_key_info, AccessKeyId=key["AccessKeyId"])


def permissions():
    key = new_user("limited")
    limited = client("iam", key)
    me = f"arn:aws:iam::{ACCOUNT}:user/limited"
    because = "because no identity-based policy allows the"
    text = refused("AccessDenied", limited.create_user, UserName="x", status=403)
    assert text == f"User: {me} is not authorized to perform: iam:CreateUser on resource: arn:aws:iam::{ACCOUNT}:user/x {because} iam:CreateUser action", text
    refused("AccessDenied", limited.get_user, UserName="nobody", says="iam:GetUser")
    refused("AccessDenied", limited.get_user, UserName="admin", says=f"resource: arn:aws:iam::{ACCOUNT}:user/admin")
    refused("AccessDenied", limited.get_user, says=f"resource: {me}")
    refused("AccessDenied", limited.create_policy, PolicyName="p", PolicyDocument="not looked at", says=":policy/p")
    refused("AccessDenied", limited.get_account_summary, says="on resource: * because")

    iam.put_user_policy(UserName="limited", PolicyName="self", PolicyDocument=allow(["iam:Get*", "iam:ListAccessKeys"], me))
    assert limited.get_user()["User"]["UserName"] == "limited", "a policy is in force at the next call"
    assert len(limited.list_access_keys()["AccessKeyMetadata"]) == 1
    refused("AccessDenied", limited.get_user, UserName="admin")

    # By a group, by a managed policy of the group, and taken away by a new default version.
    iam.create_group(GroupName="readers")
    arn = iam.create_policy(PolicyName="read", PolicyDocument=allow("iam:ListUsers"))["Policy"]["Arn"]
    iam.attach_group_policy(GroupName="readers", PolicyArn=arn)
    refused("AccessDenied", limited.list_users)
    iam.add_user_to_group(GroupName="readers", UserName="limited")
    assert limited.list_users()["Users"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document({"Effect": "Deny", "Action": "iam:listusers", "Resource": "*"}), SetAsDefault=True)
    refused("AccessDenied", limited.list_users, says="with an explicit deny")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    assert limited.list_users()["Users"]
    iam.remove_user_from_group(GroupName="readers", UserName="limited")
    refused("AccessDenied", limited.list_users)

    # Renaming out of the names that the caller may touch is not allowed either.
    renamer = client("iam", new_user("renamer", allow(["iam:UpdateUser", "iam:GetUser"], f"arn:aws:iam::{ACCOUNT}:user/team/*")))
    iam.create_user(UserName="member", Path="/team/")
    refused("AccessDenied", renamer.update_user, UserName="member", NewPath="/boss/", says=":user/boss/member")
    renamer.update_user(UserName="member", NewUserName="member2")


def assume():
    caller = new_user("caller")
    mine = client("sts", caller)
    arn = f"arn:aws:iam::{ACCOUNT}:role/app/Reader"
    denied = f"User: arn:aws:iam::{ACCOUNT}:user/caller is not authorized to perform: sts:AssumeRole on resource: {arn}"
    as_caller = dict(RoleArn=arn, RoleSessionName="s1")
    assert refused("AccessDenied", mine.assume_role, status=403, **as_caller) == denied, "a role that does not exist"

    # The trust policy names the user: that is enough.
    iam.create_role(RoleName="Reader", Path="/app/", AssumeRolePolicyDocument=trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/caller"}))
    answer = mine.assume_role(ExternalId="not-asked-for", **as_caller)
    credentials, who = answer["Credentials"], answer["AssumedRoleUser"]
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/Reader/s1" and re.fullmatch("AROA[A-Z2-7]{17}:s1", who["AssumedRoleId"])
    assert re.fullmatch("ASIA[A-Z2-7]{16}", credentials["AccessKeyId"]) and len(credentials["SecretAccessKey"]) == 40
    assert 100 <= len(credentials["SessionToken"]) <= 200
    left = credentials["Expiration"] - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=59) < left <= datetime.timedelta(hours=1), left
    me = client("sts", credentials).get_caller_identity()
    assert me["Arn"] == who["Arn"] and me["UserId"] == who["AssumedRoleId"]
    assert sts.get_access_key_info(AccessKeyId=credentials["AccessKeyId"])["Account"] == ACCOUNT
    refused("AccessDenied", sts.assume_role, **as_caller)

    # What the session may do is what the role may do.
    session = client("iam", credentials)
    refused("AccessDenied", session.list_users, says=f"User: {who['Arn']} is not authorized")
    iam.put_role_policy(RoleName="Reader", PolicyName="p", PolicyDocument=allow("iam:List*"))
    assert session.list_users()["Users"]
    refused("ValidationError", session.get_user, says="Must specify userName when calling with non-User credentials")
    refused("AccessDenied", client("sts", credentials).get_session_token, says="session credentials")

    # A token that is missing, another's, or put to a long-term key.
    refused("InvalidClientTokenId", client("sts", {**credentials, "SessionToken": None}).get_caller_identity, status=403, says="The security token included in the request is invalid.")
    other = mine.assume_role(**as_caller)["Credentials"]
    refused("InvalidClientTokenId", client("sts", {**credentials, "SessionToken": other["SessionToken"]}).get_caller_identity)
    refused("InvalidClientTokenId", client("sts", {**caller, "SessionToken": other["SessionToken"]}).get_caller_identity)

    # The trust policy names the account: the caller's own policies decide.
    iam.update_assume_role_policy(RoleName="Reader", PolicyDocument=trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))
    assert refused("AccessDenied", mine.assume_role, **as_caller) == denied
    iam.put_user_policy(UserName="caller", PolicyName="assume", PolicyDocument=allow("sts:AssumeRole", arn))
    mine.assume_role(**as_caller)
    sts.assume_role(**as_caller)
    # A Deny of the caller's own wins over a trust policy that names it.
    iam.update_assume_role_policy(RoleName="Reader", PolicyDocument=trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/caller"}))
    iam.put_user_policy(UserName="caller", PolicyName="assume", PolicyDocument=document({"Effect": "Deny", "Action": "sts:*", "Resource": "*"}))
    refused("AccessDenied", mine.assume_role, says=denied, **as_caller)
    iam.delete_user_policy(UserName="caller", PolicyName="assume")
    mine.assume_role(**as_caller)

    # How long: the bounds, the role's own, and a chain's.
    refused("ValidationError", client("sts", caller, config=relaxed).assume_role, DurationSeconds=899, says="greater than or equal to 900", **as_caller)
    refused("ValidationError", mine.assume_role, DurationSeconds=7200, says="The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", **as_caller)
    iam.update_role(RoleName="Reader", MaxSessionDuration=7200)
    mine.assume_role(DurationSeconds=7200, **as_caller)
    iam.create_role(RoleName="Next", MaxSessionDuration=7200, AssumeRolePolicyDocument=trust({"AWS": arn}))
    chained = client("sts", credentials)
    following = dict(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/Next", RoleSessionName="s2")
    refused("ValidationError", chained.assume_role, DurationSeconds=3601, says="1 hour session limit for roles assumed by role chaining", **following)
    after = chained.assume_role(DurationSeconds=3600, **following)["Credentials"]
    assert client("sts", after).get_caller_identity()["Arn"].endswith(":assumed-role/Next/s2")

    # What would mark the session and is not kept is refused by its name.
    for more in (
        {"SourceIdentity": "me"}, {"ProvidedContexts": [{"ProviderArn": "arn:aws:iam::aws:contextProvider/x", "ContextAssertion": "abcd"}]},
        {"SerialNumber": "arn:aws:iam::1:mfa/x", "TokenCode": "123456"},
    ):
        refused("UnsupportedParameter", mine.assume_role, status=400, says=next(iter(more)), **as_caller, **more)
    refused("ValidationError", client("sts", caller, config=relaxed).assume_role, RoleArn=arn, RoleSessionName="s", says="at 'roleSessionName'")
    refused("ValidationError", mine.assume_role, RoleArn=arn, RoleSessionName="a b", says="at 'roleSessionName'")
    refused("ValidationError", mine.assume_role, RoleArn=f"arn:aws:iam::{ACCOUNT}:user/caller", RoleSessionName="s1", says="is invalid")

    # A user made anew under the name is not the one that was trusted.
    iam.delete_access_key(UserName="caller", AccessKeyId=caller["AccessKeyId"])
    iam.delete_user(UserName="caller")
    again = new_user("caller")
    refused("AccessDenied", client("sts", again).assume_role, says=denied, **as_caller)

    # A role that is deleted takes its sessions with it; one made anew under the name does not bring them back.
    iam.delete_role_policy(RoleName="Reader", PolicyName="p")
    iam.delete_role(RoleName="Reader")
    refused("InvalidClientTokenId", client("sts", credentials).get_caller_identity)
    iam.create_role(RoleName="Reader", Path="/app/", AssumeRolePolicyDocument=trust({"AWS": "*"}))
    refused("InvalidClientTokenId", client("sts", credentials).get_caller_identity)


def tokens():
    key = new_user("tokened", allow(["iam:*", "sts:*"]))
    credentials = client("sts", key).get_session_token(DurationSeconds=900)["Credentials"]
    left = credentials["Expiration"] - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=14) < left <= datetime.timedelta(minutes=15), left
    session = client("sts", credentials)
    assert session.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/tokened"
    refused("InvalidClientTokenId", client("iam", credentials).list_users)
    refused("AccessDenied", session.get_session_token, says="Cannot call GetSessionToken with session credentials")
    refused("ValidationError", client("sts", key, config=relaxed).get_session_token, DurationSeconds=129601)
    refused("UnsupportedParameter", client("sts", key).get_session_token, SerialNumber="arn:aws:iam::1:mfa/x", TokenCode="123456")
    iam.update_user(UserName="tokened", NewUserName="token-holder")
    assert session.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/token-holder", "a session follows its user"
    iam.delete_access_key(UserName="token-holder", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="token-holder", PolicyName="p0")
    iam.delete_user(UserName="token-holder")
    refused("InvalidClientTokenId", session.get_caller_identity)


for part in (identity, permissions, assume, tokens):
    part()
