"""Every operation of IAM's that is served: what it does, what it answers, what it refuses."""

import datetime
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from botocore.config import Config

from common import ACCOUNT, allow, client, document, refused, trust

iam = client("iam")
called = Counter()
iam.meta.events.register("before-call.iam", lambda model, **_: called.update([model.name]))


def raw(**options):
    """A client that sends what boto3 itself would refuse to send."""
    return client("iam", config=Config(parameter_validation=False), **options)


def users():
    user = iam.create_user(UserName="Jane", Path="/team/", Tags=[{"Key": "team", "Value": ""}])["User"]
    assert user["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/team/Jane", user
    assert re.fullmatch("AIDA[A-Z2-7]{17}", user["UserId"]), user
    assert user["Path"] == "/team/" and user["Tags"] == [{"Key": "team", "Value": ""}], user
    assert abs(user["CreateDate"] - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)

    assert iam.get_user(UserName="jane")["User"] == user, "names are found without regard to case"
    assert iam.get_user()["User"]["UserName"] == "admin", "without a name it is the caller"
    refused("EntityAlreadyExists", iam.create_user, UserName="JANE", status=409, says="User with name JANE already exists.")
    refused("NoSuchEntity", iam.get_user, UserName="x", status=404, says="The user with name x cannot be found.")
    refused("ValidationError", iam.create_user, UserName="a b", status=400, says="The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-")
    refused("ValidationError", raw().create_user, UserName="a" * 65, says="1 validation error detected: Value '" + "a" * 65 + "' at 'userName' failed to satisfy constraint: Member must have length less than or equal to 64")
    refused("ValidationError", raw().create_user, says="Value null at 'userName'")
    refused("ValidationError", iam.create_user, UserName="u", Path="team", says="path")
    refused("UnsupportedParameter", iam.create_user, UserName="u", PermissionsBoundary="arn:aws:iam::aws:policy/ReadOnlyAccess", says="PermissionsBoundary")

    names = [f"u{n:03}" for n in range(12)]
    for name in names:
        iam.create_user(UserName=name, Path="/many/")
    first = iam.list_users(PathPrefix="/many/", MaxItems=5)
    assert first["IsTruncated"] and len(first["Users"]) == 5 and "Tags" not in first["Users"][0]
    pages = iam.get_paginator("list_users").paginate(PathPrefix="/many/", PaginationConfig={"PageSize": 5})
    assert [u["UserName"] for page in pages for u in page["Users"]] == names
    assert {u["UserName"] for u in iam.list_users()["Users"]} == {"admin", "Jane", *names}
    refused("ValidationError", iam.list_users, Marker="%%", says="Invalid Marker")
    for name in names:
        iam.delete_user(UserName=name)

    iam.tag_user(UserName="Jane", Tags=[{"Key": "Team", "Value": "b"}, {"Key": "x", "Value": "1 +é"}])
    assert iam.list_user_tags(UserName="Jane")["Tags"] == [{"Key": "Team", "Value": "b"}, {"Key": "x", "Value": "1 +é"}]
    refused("InvalidInput", iam.tag_user, UserName="Jane", Tags=[{"Key": "a", "Value": ""}, {"Key": "A", "Value": ""}])
    refused("LimitExceeded", iam.tag_user, UserName="Jane", Tags=[{"Key": f"k{n}", "Value": ""} for n in range(49)])
    refused("ValidationError", iam.tag_user, UserName="Jane", Tags=[{"Key": "a*", "Value": ""}], says="tags.1.member.key")
    iam.untag_user(UserName="Jane", TagKeys=["team"])
    assert iam.list_user_tags(UserName="Jane", MaxItems=1)["Tags"] == [{"Key": "x", "Value": "1 +é"}]

    iam.update_user(UserName="Jane", NewUserName="janet", NewPath="/")
    renamed = iam.get_user(UserName="janet")["User"]
    assert renamed["UserId"] == user["UserId"] and renamed["Arn"].endswith(":user/janet")
    refused("NoSuchEntity", iam.get_user, UserName="Jane")
    refused("EntityAlreadyExists", iam.update_user, UserName="janet", NewUserName="Admin")
    iam.delete_user(UserName="janet")
    refused("NoSuchEntity", iam.delete_user, UserName="janet")


def groups():
    group = iam.create_group(GroupName="Devs")["Group"]
    assert group["Arn"] == f"arn:aws:iam::{ACCOUNT}:group/Devs" and group["GroupId"].startswith("AGPA")
    refused("EntityAlreadyExists", iam.create_group, GroupName="devs", says="Group with name devs already exists.")
    for name in "abc":
        iam.create_user(UserName=name)
        iam.add_user_to_group(GroupName="devs", UserName=name)
        iam.add_user_to_group(GroupName="devs", UserName=name)
    pages = iam.get_paginator("get_group").paginate(GroupName="Devs", PaginationConfig={"PageSize": 2})
    assert [u["UserName"] for page in pages for u in page["Users"]] == ["a", "b", "c"]
    assert iam.list_groups_for_user(UserName="a")["Groups"] == [group]
    assert iam.list_groups()["Groups"] == [group]

    iam.update_group(GroupName="Devs", NewGroupName="People", NewPath="/p/")
    assert iam.list_groups(PathPrefix="/p/")["Groups"][0]["GroupId"] == group["GroupId"]
    iam.update_user(UserName="a", NewUserName="z")
    assert [u["UserName"] for u in iam.get_group(GroupName="People")["Users"]] == ["b", "c", "z"]
    assert iam.list_groups_for_user(UserName="z")["Groups"][0]["GroupName"] == "People"

    refused("DeleteConflict", iam.delete_group, GroupName="People", status=409, says="Cannot delete entity, must remove users from group first.")
    refused("DeleteConflict", iam.delete_user, UserName="z")
    refused("NoSuchEntity", iam.add_user_to_group, GroupName="People", UserName="nobody")
    refused("NoSuchEntity", iam.add_user_to_group, GroupName="none", UserName="b", says="The group with name none cannot be found.")
    for name in "bcz":
        iam.remove_user_from_group(GroupName="People", UserName=name)
        refused("NoSuchEntity", iam.remove_user_from_group, GroupName="People", UserName=name)
        iam.delete_user(UserName=name)
    iam.delete_group(GroupName="People")
    refused("NoSuchEntity", iam.get_group, GroupName="People")

    iam.create_user(UserName="joiner")
    for n in range(11):
        iam.create_group(GroupName=f"g{n}")
    for n in range(10):
        iam.add_user_to_group(GroupName=f"g{n}", UserName="joiner")
    refused("LimitExceeded", iam.add_user_to_group, GroupName="g10", UserName="joiner", says="GroupsPerUser: 10")
    for n in range(11):
        if n < 10:
            iam.remove_user_from_group(GroupName=f"g{n}", UserName="joiner")
        iam.delete_group(GroupName=f"g{n}")
    iam.delete_user(UserName="joiner")


def roles():
    root = trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    role = iam.create_role(
        RoleName="Reader", Path="/r/", AssumeRolePolicyDocument=root, Description="reads\nµ",
        MaxSessionDuration=7200, Tags=[{"Key": "k", "Value": "v"}],
    )["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/r/Reader" and re.fullmatch("AROA[A-Z2-7]{17}", role["RoleId"])
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert role["MaxSessionDuration"] == 7200 and role["Description"] == "reads\nµ"
    got = iam.get_role(RoleName="reader")["Role"]
    assert {**role, "RoleLastUsed": {}} == {"RoleLastUsed": {}, **got}, got
    assert iam.list_roles(PathPrefix="/r/")["Roles"][0]["RoleName"] == "Reader"
    refused("EntityAlreadyExists", iam.create_role, RoleName="READER", AssumeRolePolicyDocument=root, says="Role with name READER already exists.")
    refused("MalformedPolicyDocument", iam.create_role, RoleName="x", AssumeRolePolicyDocument=trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/nobody"}), status=400, says=f'Invalid principal in policy: "AWS":"arn:aws:iam::{ACCOUNT}:user/nobody"')
    refused("MalformedPolicyDocument", iam.create_role, RoleName="x", AssumeRolePolicyDocument=trust({"AWS": f"arn:aws:iam::{ACCOUNT}:role/Reader"}), says="Invalid principal")
    refused("MalformedPolicyDocument", iam.create_role, RoleName="x", AssumeRolePolicyDocument=trust({"AWS": "AIDAAAAAAAAAAAAAAAAAA"}), says="Invalid principal")
    refused("MalformedPolicyDocument", iam.create_role, RoleName="x", AssumeRolePolicyDocument=trust({"AWS": "*"}, Resource="*"), says="Has prohibited field Resource.")
    refused("MalformedPolicyDocument", iam.create_role, RoleName="x", AssumeRolePolicyDocument=trust({"AWS": "*"}, Condition={"Bool": {"aws:SecureTransport": "true"}}), says="Condition")
    refused("ValidationError", raw().create_role, RoleName="x", AssumeRolePolicyDocument=root, MaxSessionDuration=3599, says="greater than or equal to 3600")
    refused("ValidationError", raw().create_role, RoleName="x", AssumeRolePolicyDocument=root, MaxSessionDuration=43201, says="less than or equal to 43200")
    refused("UnsupportedParameter", iam.create_role, RoleName="x", AssumeRolePolicyDocument=root, PermissionsBoundary="arn:aws:iam::aws:policy/ReadOnlyAccess")
    refused("LimitExceeded", iam.create_role, RoleName="x", AssumeRolePolicyDocument=trust({"AWS": [f"{n:012}" for n in range(200)]}), says="ACLSizePerRole")

    iam.update_role(RoleName="Reader", MaxSessionDuration=3600)
    assert iam.get_role(RoleName="Reader")["Role"]["Description"] == "reads\nµ"
    iam.update_role(RoleName="Reader", Description="")
    assert iam.update_role_description(RoleName="Reader", Description="other")["Role"]["Description"] == "other"
    assert iam.get_role(RoleName="Reader")["Role"]["MaxSessionDuration"] == 3600
    iam.create_user(UserName="trusted")
    iam.update_assume_role_policy(RoleName="Reader", PolicyDocument=trust({"AWS": [f"arn:aws:iam::{ACCOUNT}:user/trusted", f"arn:aws:iam::{ACCOUNT}:role/r/Reader"]}))
    refused("MalformedPolicyDocument", iam.update_assume_role_policy, RoleName="Reader", PolicyDocument="{", says="Syntax errors in policy.")
    iam.tag_role(RoleName="Reader", Tags=[{"Key": "K", "Value": "w"}])
    assert iam.list_role_tags(RoleName="Reader")["Tags"] == [{"Key": "K", "Value": "w"}]
    iam.untag_role(RoleName="Reader", TagKeys=["k"])
    assert iam.list_role_tags(RoleName="Reader")["Tags"] == []
    iam.attach_role_policy(RoleName="Reader", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    refused("DeleteConflict", iam.delete_role, RoleName="Reader", says="Cannot delete entity, must detach all policies first.")
    iam.detach_role_policy(RoleName="Reader", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    iam.put_role_policy(RoleName="Reader", PolicyName="p", PolicyDocument=allow("rds:Describe*"))
    refused("DeleteConflict", iam.delete_role, RoleName="Reader", says="Cannot delete entity, must delete policies first.")
    iam.delete_role_policy(RoleName="Reader", PolicyName="p")
    iam.delete_role(RoleName="Reader")
    refused("NoSuchEntity", iam.get_role, RoleName="Reader", says="The role with name Reader cannot be found.")
    iam.delete_user(UserName="trusted")


def policies():
    connect = allow("rds-db:connect", f"arn:aws:rds-db:us-east-1:{ACCOUNT}:dbuser:*/jane")
    policy = iam.create_policy(PolicyName="Connect", Path="/db/", PolicyDocument=connect, Description="d", Tags=[{"Key": "k", "Value": "v"}])["Policy"]
    arn = policy["Arn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:policy/db/Connect" and re.fullmatch("ANPA[A-Z2-7]{17}", policy["PolicyId"])
    assert policy["DefaultVersionId"] == "v1" and policy["AttachmentCount"] == 0 and policy["IsAttachable"] is True
    assert iam.get_policy(PolicyArn=arn)["Policy"] == policy
    refused("EntityAlreadyExists", iam.create_policy, PolicyName="connect", PolicyDocument=connect, says="A policy called connect already exists. Duplicate names are not allowed.")
    refused("MalformedPolicyDocument", iam.create_policy, PolicyName="x", PolicyDocument="x", says="Syntax errors in policy.")
    refused("MalformedPolicyDocument", iam.create_policy, PolicyName="x", PolicyDocument=connect.replace("2012-10-17", "2008-10-17"), says="Policy document must be version 2012-10-17 or greater.")
    refused("MalformedPolicyDocument", iam.create_policy, PolicyName="x", PolicyDocument=document({"Effect": "Allow", "Action": "rds-db:connect", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}}), says="Condition")
    refused("LimitExceeded", iam.create_policy, PolicyName="x", PolicyDocument=allow("rds-db:connect", [f"arn:aws:rds-db:us-east-1:{ACCOUNT}:dbuser:*/u{n}" for n in range(120)]), says="PolicySize: 6144")

    short = f"arn:aws:iam:{ACCOUNT}:policy/x"
    refused("InvalidInput", iam.get_policy, PolicyArn=short, status=400, says=f"ARN {short} is not valid.")
    iam.create_user(UserName="jane")
    refused("InvalidInput", iam.attach_user_policy, UserName="jane", PolicyArn=short, says=f"ARN {short} is not valid.")
    missing = f"arn:aws:iam::{ACCOUNT}:policy/none"
    refused("NoSuchEntity", iam.attach_user_policy, UserName="jane", PolicyArn=missing, says=f"Policy {missing} does not exist or is not attachable.")
    refused("NoSuchEntity", iam.get_policy, PolicyArn=missing, says=f"Policy {missing} was not found.")
    refused("NoSuchEntity", iam.get_policy, PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/Connect", says="was not found")

    # The document comes back byte for byte, through the URL encoding that boto3 undoes.
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert version["Document"]["Statement"][0]["Action"] == "rds-db:connect" and version["IsDefaultVersion"] is True
    second = iam.create_policy_version(PolicyArn=arn, PolicyDocument=allow("rds:*"))["PolicyVersion"]
    assert second["VersionId"] == "v2" and second["IsDefaultVersion"] is False and "Document" not in second
    assert iam.create_policy_version(PolicyArn=arn, PolicyDocument=allow("rds:*"), SetAsDefault=True)["PolicyVersion"]["VersionId"] == "v3"
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v3"
    refused("DeleteConflict", iam.delete_policy_version, PolicyArn=arn, VersionId="v3", says="Cannot delete the default version of a policy.")
    refused("DeleteConflict", iam.delete_policy, PolicyArn=arn, says="This policy has more than one version.")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy_version(PolicyArn=arn, VersionId="v3")
    for number in (4, 5, 6):
        assert iam.create_policy_version(PolicyArn=arn, PolicyDocument=allow("rds:*"))["PolicyVersion"]["VersionId"] == f"v{number}", "a number is never used again"
    refused("LimitExceeded", iam.create_policy_version, PolicyArn=arn, PolicyDocument=allow("rds:*"), says="up to 5 versions")
    listed = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [(v["VersionId"], v["IsDefaultVersion"]) for v in listed] == [("v6", False), ("v5", False), ("v4", False), ("v2", False), ("v1", True)]
    pages = iam.get_paginator("list_policy_versions").paginate(PolicyArn=arn, PaginationConfig={"PageSize": 2})
    assert [v for page in pages for v in page["Versions"]] == listed
    refused("NoSuchEntity", iam.get_policy_version, PolicyArn=arn, VersionId="v9", says="version v9 does not exist")
    refused("ValidationError", raw().get_policy_version, PolicyArn=arn, VersionId="1")

    iam.create_group(GroupName="devs")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}))
    for kind, name in (("user", "jane"), ("group", "devs"), ("role", "app")):
        who = {f"{kind.capitalize()}Name": name}
        op = lambda verb, noun: getattr(iam, f"{verb}_{kind}_{noun}" if verb != "list_attached" else f"list_attached_{kind}_{noun}")
        op("attach", "policy")(PolicyArn=arn, **who)
        op("attach", "policy")(PolicyArn=arn, **who)
        op("attach", "policy")(PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess", **who)
        attached = op("list_attached", "policies")(**who)["AttachedPolicies"]
        assert attached == [{"PolicyName": "Connect", "PolicyArn": arn}, {"PolicyName": "ReadOnlyAccess", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}], attached
        assert len(op("list_attached", "policies")(PathPrefix="/db/", **who)["AttachedPolicies"]) == 1

        op("put", "policy")(PolicyName="Inline", PolicyDocument=connect, **who)
        op("put", "policy")(PolicyName="inline", PolicyDocument=allow("rds:*"), **who)
        op("put", "policy")(PolicyName="other", PolicyDocument=allow("iam:Get*"), **who)
        assert op("list", "policies")(**who)["PolicyNames"] == ["inline", "other"]
        inline = op("get", "policy")(PolicyName="INLINE", **who)
        assert inline["PolicyName"] == "inline" and inline["PolicyDocument"]["Statement"][0]["Action"] == "rds:*"
        refused("NoSuchEntity", op("get", "policy"), PolicyName="none", says=f"The {kind} policy with name none cannot be found.", **who)
        refused("MalformedPolicyDocument", op("put", "policy"), PolicyName="x", PolicyDocument="[]", **who)
        big = allow("rds-db:connect", [f"arn:aws:rds-db:us-east-1:{ACCOUNT}:dbuser:*/u{n}" for n in range(200)])
        refused("LimitExceeded", op("put", "policy"), PolicyName="x", PolicyDocument=big, says=f"bytes exceeded for {kind} {name}", **who)

    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 3
    entities = iam.list_entities_for_policy(PolicyArn=arn)
    assert [entities[k][0][n] for k, n in (("PolicyUsers", "UserName"), ("PolicyGroups", "GroupName"), ("PolicyRoles", "RoleName"))] == ["jane", "devs", "app"]
    assert iam.list_entities_for_policy(PolicyArn=arn, EntityFilter="Role")["PolicyUsers"] == []
    pages = list(iam.get_paginator("list_entities_for_policy").paginate(PolicyArn=arn, PaginationConfig={"PageSize": 1}))
    assert len(pages) == 3

    own = [p["PolicyName"] for p in iam.list_policies(Scope="Local")["Policies"]]
    aws = {p["PolicyName"]: p for p in iam.list_policies(Scope="AWS")["Policies"]}
    assert own == ["Connect"] and {"AdministratorAccess", "IAMFullAccess", "AmazonRDSFullAccess"} <= set(aws)
    assert aws["ReadOnlyAccess"]["AttachmentCount"] == 3
    assert {p["PolicyName"] for p in iam.list_policies(OnlyAttached=True)["Policies"]} == {"AdministratorAccess", "Connect", "ReadOnlyAccess"}
    assert iam.list_policies(PolicyUsageFilter="PermissionsBoundary")["Policies"] == []
    assert [p["PolicyName"] for p in iam.list_policies(PathPrefix="/db/")["Policies"]] == ["Connect"]
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    assert iam.get_policy(PolicyArn=admin)["Policy"]["AttachmentCount"] == 1
    assert iam.get_policy_version(PolicyArn=admin, VersionId="v1")["PolicyVersion"]["Document"]["Statement"][0]["Action"] == "*"
    assert len(iam.list_policy_versions(PolicyArn=admin)["Versions"]) == 1
    refused("AccessDenied", iam.delete_policy, PolicyArn=admin)
    refused("AccessDenied", iam.create_policy_version, PolicyArn=admin, PolicyDocument=allow("*"))

    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "k2", "Value": "v"}])
    assert len(iam.list_policy_tags(PolicyArn=arn)["Tags"]) == 2
    iam.untag_policy(PolicyArn=arn, TagKeys=["k", "k2"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == []

    refused("DeleteConflict", iam.delete_policy, PolicyArn=arn, says="Cannot delete a policy attached to entities.")
    refused("DeleteConflict", iam.delete_user, UserName="jane", says="Cannot delete entity, must detach all policies first.")
    for kind, name in (("user", "jane"), ("group", "devs"), ("role", "app")):
        who = {f"{kind.capitalize()}Name": name}
        for attached in (arn, "arn:aws:iam::aws:policy/ReadOnlyAccess"):
            getattr(iam, f"detach_{kind}_policy")(PolicyArn=attached, **who)
        refused("NoSuchEntity", getattr(iam, f"detach_{kind}_policy"), PolicyArn=arn, says=f"Policy {arn} was not found.", **who)
        refused("DeleteConflict", getattr(iam, f"delete_{kind}"), says="Cannot delete entity, must delete policies first.", **who)
        for inline in ("Inline", "other"):
            getattr(iam, f"delete_{kind}_policy")(PolicyName=inline, **who)
        refused("NoSuchEntity", getattr(iam, f"delete_{kind}_policy"), PolicyName="other", **who)
        getattr(iam, f"delete_{kind}")(**who)
    for version in ("v2", "v4", "v5", "v6"):
        iam.delete_policy_version(PolicyArn=arn, VersionId=version)
    iam.delete_policy(PolicyArn=arn)
    refused("NoSuchEntity", iam.delete_policy, PolicyArn=arn)

    iam.create_user(UserName="many")
    made = [iam.create_policy(PolicyName=f"m{n}", PolicyDocument=connect)["Policy"]["Arn"] for n in range(11)]
    for each in made[:10]:
        iam.attach_user_policy(UserName="many", PolicyArn=each)
    refused("LimitExceeded", iam.attach_user_policy, UserName="many", PolicyArn=made[10], says="Cannot exceed quota for PoliciesPerUser: 10")


def keys():
    iam.create_user(UserName="keyed")
    key = iam.create_access_key(UserName="keyed")["AccessKey"]
    assert re.fullmatch("AKIA[A-Z2-7]{16}", key["AccessKeyId"]) and re.fullmatch("[A-Za-z0-9+/]{40}", key["SecretAccessKey"])
    assert key["Status"] == "Active" and key["UserName"] == "keyed"
    mine = client("sts", key)
    assert mine.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/keyed"
    iam.create_access_key(UserName="keyed")
    refused("LimitExceeded", iam.create_access_key, UserName="keyed", says="Cannot exceed quota for AccessKeysPerUser: 2")
    listed = iam.list_access_keys(UserName="keyed")["AccessKeyMetadata"]
    assert len(listed) == 2 and "SecretAccessKey" not in listed[0]
    assert [k["UserName"] for k in iam.list_access_keys()["AccessKeyMetadata"]] == ["admin"]

    iam.update_access_key(UserName="keyed", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    refused("InvalidClientTokenId", mine.get_caller_identity, status=403)
    assert {k["Status"] for k in iam.list_access_keys(UserName="keyed")["AccessKeyMetadata"]} == {"Active", "Inactive"}
    iam.update_access_key(UserName="keyed", AccessKeyId=key["AccessKeyId"], Status="Active")
    iam.update_user(UserName="keyed", NewUserName="renamed")
    assert mine.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/renamed", "a key follows its user"
    refused("ValidationError", iam.update_access_key, UserName="renamed", AccessKeyId=key["AccessKeyId"], Status="Expired")
    refused("NoSuchEntity", iam.delete_access_key, UserName="admin", AccessKeyId=key["AccessKeyId"], says=f"The Access Key with id {key['AccessKeyId']} cannot be found.")

    used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    for _ in range(50):
        if "LastUsedDate" in used["AccessKeyLastUsed"]:
            break
        used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert used["UserName"] == "renamed" and used["AccessKeyLastUsed"]["ServiceName"] == "sts", used
    assert used["AccessKeyLastUsed"]["Region"] == "eu-central-1", used
    other = next(k["AccessKeyId"] for k in listed if k["AccessKeyId"] != key["AccessKeyId"])
    assert iam.get_access_key_last_used(AccessKeyId=other)["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    refused("NoSuchEntity", iam.get_access_key_last_used, AccessKeyId="AKIAAAAAAAAAAAAAAAAA")

    refused("DeleteConflict", iam.delete_user, UserName="renamed", says="Cannot delete entity, must delete access keys first.")
    for each in listed:
        iam.delete_access_key(UserName="renamed", AccessKeyId=each["AccessKeyId"])
    refused("InvalidClientTokenId", mine.get_caller_identity)
    iam.delete_user(UserName="renamed")


def account():
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["Users"] >= 1 and summary["AccessKeysPerUserQuota"] == 2, summary
    assert iam.list_account_aliases()["AccountAliases"] == []
    refused("InvalidAction", iam.list_mfa_devices, status=400, says="Could not find operation ListMFADevices for version 2010-05-08")


def at_once():
    """Changes of one thing at the same moment: each is done, none undoes another."""
    iam.create_user(UserName="shared")
    with ThreadPoolExecutor(8) as pool:
        tagged = [pool.submit(client("iam").tag_user, UserName="shared", Tags=[{"Key": f"k{n}", "Value": ""}]) for n in range(8)]
        made = [pool.submit(client("iam").create_access_key, UserName="shared") for _ in range(6)]
    for each in tagged:
        each.result()
    assert len(iam.list_user_tags(UserName="shared")["Tags"]) == 8
    assert sum(each.exception() is None for each in made) == 2, "the quota holds"


for part in (users, groups, roles, policies, keys, account, at_once):
    part()

# Nothing is served that was not called; simulate.py calls its own.
table = (Path(__file__).parent / "../../src/iam/mod.rs").read_text()
served = set(re.findall(r'^\s+"(\w+)" => (?!simulate::)', table, re.MULTILINE))
assert served and served <= set(called), served - set(called)
