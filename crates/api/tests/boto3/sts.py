"""Who may do what: authorization of calls, roles, temporary credentials, and what ends them."""

import datetime
import re

from botocore.config import Config

from common import ACCOUNT, allow, client, document, new_user, refused, statement, trust

iam, sts = client("iam"), client("sts")
relaxed = Config(parameter_validation=False)


def identity():
    me = sts.get_caller_identity()
    assert me["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/admin" and me["Account"] == ACCOUNT
    assert me["UserId"] == iam.get_user()["User"]["UserId"]
    key = new_user("denied", document({"Effect": "Deny", "Action": "*", "Resource": "*"}), Path="/p/")
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


def role(name, trusted, *policies, **more):
    """A role with inline policies: its ARN."""
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted, **more)["Role"]
    for number, policy in enumerate(policies):
        iam.put_role_policy(RoleName=name, PolicyName=f"p{number}", PolicyDocument=policy)
    return made["Arn"]


def user_arn(name):
    return f"arn:aws:iam::{ACCOUNT}:user/{name}"


def trusting(*statements):
    """A trust policy of statements about one principal: (principal, actions, condition)."""
    return document(*({"Effect": "Allow", "Principal": {"AWS": who}, "Action": actions, "Condition": condition} for who, actions, condition in statements))


def external_ids():
    """The confused deputy: a third party acts for many customers, and a role obeys it for its own customer only."""
    deputy = client("sts", new_user("deputy", allow("sts:AssumeRole")))
    arn = role("Customer7", trust({"AWS": user_arn("deputy")}, Condition={"StringEquals": {"sts:ExternalId": "customer-7"}}))
    ask = lambda **more: dict(RoleArn=arn, RoleSessionName="s1", **more)
    says = f"User: {user_arn('deputy')} is not authorized to perform: sts:AssumeRole on resource: {arn}"
    assert refused("AccessDenied", deputy.assume_role, status=403, **ask()) == says
    for other in ("customer-8", "CUSTOMER-7", "customer-7/", "customer-"):
        assert refused("AccessDenied", deputy.assume_role, **ask(ExternalId=other)) == says
    deputy.assume_role(**ask(ExternalId="customer-7"))
    refused("ValidationError", client("sts", config=relaxed).assume_role, says="at 'externalId'", **ask(ExternalId="x"))
    refused("ValidationError", client("sts", config=relaxed).assume_role, says="at 'externalId'", **ask(ExternalId="customer-*"))

    # Where the account is trusted the caller's policies see the same keys, and the role's tags.
    iam.update_assume_role_policy(RoleName="Customer7", PolicyDocument=trust({"AWS": ACCOUNT}))
    for key, right, wrong in (("sts:ExternalId", "customer-7", "x7"), ("sts:RoleSessionName", "s1", "s2"), ("aws:ResourceTag/of", "seven", "eight"), ("iam:ResourceTag/of", "seven", "eight")):
        iam.tag_role(RoleName="Customer7", Tags=[{"Key": "of", "Value": "seven"}])
        for value, works in ((right, True), (wrong, False)):
            iam.put_user_policy(UserName="deputy", PolicyName="p0", PolicyDocument=document(statement("Allow", "sts:AssumeRole", StringEquals={key: value})))
            if works:
                deputy.assume_role(**ask(ExternalId="customer-7"))
            else:
                refused("AccessDenied", deputy.assume_role, **ask(ExternalId="customer-7"))

    # A session's name may have to be the caller's own.
    iam.update_assume_role_policy(RoleName="Customer7", PolicyDocument=trust({"AWS": user_arn("deputy")}, Condition={"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}))
    refused("AccessDenied", deputy.assume_role, **ask())
    deputy.assume_role(RoleArn=arn, RoleSessionName="deputy")


def session_policies():
    me = client("sts", new_user("limiter"))
    arn = role("Wide", trust({"AWS": user_arn("limiter")}), allow(["iam:List*", "iam:CreateGroup"]))
    assume = lambda **more: me.assume_role(RoleArn=arn, RoleSessionName="s1", **more)
    who = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/Wide/s1 is not authorized to perform"
    assert "PackedPolicySize" not in assume()

    answer = assume(Policy=document(statement("Allow", ["iam:ListUsers", "iam:DeleteUser", "rds:*"]), statement("Deny", "iam:ListGroups")))
    assert 1 <= answer["PackedPolicySize"] <= 20, answer["PackedPolicySize"]
    session = client("iam", answer["Credentials"])
    assert session.list_users()["Users"]
    assert refused("AccessDenied", session.list_roles) == f"{who}: iam:ListRoles on resource: arn:aws:iam::{ACCOUNT}:role/ because no session policy allows the iam:ListRoles action"
    assert refused("AccessDenied", session.list_groups) == f"{who}: iam:ListGroups on resource: arn:aws:iam::{ACCOUNT}:group/ with an explicit deny in a session policy"
    refused("AccessDenied", session.delete_user, UserName="x", says="because no identity-based policy allows the iam:DeleteUser action")

    # Managed policies, the account's and AWS's; one of all that are passed must allow.
    own = iam.create_policy(PolicyName="OnlyRoles", PolicyDocument=allow("iam:ListRoles"))["Policy"]["Arn"]
    aws = "arn:aws:iam::aws:policy/AmazonRDSReadOnlyAccess"
    session = client("iam", assume(PolicyArns=[{"arn": own}, {"arn": aws}])["Credentials"])
    assert session.list_roles()["Roles"]
    refused("AccessDenied", session.list_users, says="because no session policy allows")
    both = client("iam", assume(Policy=allow("iam:ListUsers"), PolicyArns=[{"arn": own}])["Credentials"])
    assert both.list_roles()["Roles"] and both.list_users()["Users"]
    # A new version of a managed one reaches the session; with the policy gone nothing is known, and nothing allowed.
    iam.create_policy_version(PolicyArn=own, PolicyDocument=allow("iam:ListGroups"), SetAsDefault=True)
    refused("AccessDenied", both.list_roles, says="because no session policy allows")
    iam.delete_policy_version(PolicyArn=own, VersionId="v1")
    iam.delete_policy(PolicyArn=own)
    refused("AccessDenied", both.list_users)

    raw = client("sts", iam.create_access_key(UserName="limiter")["AccessKey"], config=relaxed)
    bad = lambda code, says=None, **more: refused(code, raw.assume_role, status=400, says=says, RoleArn=arn, RoleSessionName="s1", **more)
    bad("MalformedPolicyDocument", Policy="{", says="Syntax errors in policy.")
    bad("MalformedPolicyDocument", Policy=trust({"AWS": "*"}))
    bad("MalformedPolicyDocument", Policy=allow("rds-db:connect", "arn:aws:rds-db"))
    bad("ValidationError", Policy="", says="at 'policy'")
    bad("ValidationError", Policy=allow("iam:*") + "\u20ac", says="at 'policy'")
    bad("ValidationError", PolicyArns=[{"arn": f"arn:aws:iam::{ACCOUNT}:policy/p{n}"} for n in range(11)], says="less than or equal to 10")
    bad("ValidationError", PolicyArns=[{"arn": f"arn:aws:iam::{ACCOUNT}:role/Wide"}], says="is not valid")
    bad("InvalidParameterValue", PolicyArns=[{"arn": own}], says=f"Policy {own} does not exist")
    assert assume(Policy=allow("iam:*").ljust(2048))["PackedPolicySize"] == 100
    bad("PackedPolicyTooLarge", Policy=allow("iam:*").ljust(2049), says="Packed size of session policies and tags consumes 101% of the allotted space.")
    bad("PackedPolicyTooLarge", Policy=allow("iam:*").ljust(2030), PolicyArns=[{"arn": aws}])

    # A role's boundary limits its sessions, by a missing Allow and by a Deny.
    limit = iam.create_policy(PolicyName="Limit", PolicyDocument=document(statement("Allow", ["iam:ListUsers", "sts:*"]), statement("Deny", "iam:ListGroups")))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="Wide", PermissionsBoundary=limit)
    session = client("iam", assume()["Credentials"])
    assert session.list_users()["Users"]
    assert refused("AccessDenied", session.list_roles).endswith("because no permissions boundary allows the iam:ListRoles action")
    assert refused("AccessDenied", session.list_groups).endswith("with an explicit deny in a permissions boundary")


def limits_of_assuming():
    """What a trust policy gives, and what the caller's own limits take: by whom it names."""
    credentials = lambda answer: client("sts", answer["Credentials"])
    narrow = iam.create_policy(PolicyName="NoAssume", PolicyDocument=allow("iam:*"))["Policy"]["Arn"]
    user = client("sts", new_user("bounded", allow("sts:AssumeRole"), PermissionsBoundary=narrow))
    first = role("First", trust({"AWS": user_arn("bounded")}), allow("sts:AssumeRole"))
    # The user is named: its boundary is not missed. The account is named: it is.
    answer = user.assume_role(RoleArn=first, RoleSessionName="s1", Policy=allow("iam:*"))
    iam.update_assume_role_policy(RoleName="First", PolicyDocument=trust({"AWS": ACCOUNT}))
    refused("AccessDenied", user.assume_role, RoleArn=first, RoleSessionName="s1", says="because no permissions boundary allows the sts:AssumeRole action")
    # The session's policy lets it do IAM alone. Where the role is named that counts, where the one session is it does not.
    second = role("Second", trust({"AWS": first}))
    ask = dict(RoleArn=second, RoleSessionName="s2")
    refused("AccessDenied", credentials(answer).assume_role, says="because no session policy allows the sts:AssumeRole action", **ask)
    iam.update_assume_role_policy(RoleName="Second", PolicyDocument=trust({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/First/s1"}))
    credentials(answer).assume_role(**ask)
    # The role's boundary goes on limiting its sessions.
    iam.update_assume_role_policy(RoleName="Second", PolicyDocument=trust({"AWS": first}))
    unlimited = sts.assume_role(RoleArn=first, RoleSessionName="s3")
    credentials(unlimited).assume_role(**ask)
    iam.put_role_permissions_boundary(RoleName="First", PermissionsBoundary=narrow)
    refused("AccessDenied", credentials(unlimited).assume_role, says="because no permissions boundary allows the sts:AssumeRole action", **ask)
    # A Deny wins, whoever is named.
    iam.update_assume_role_policy(RoleName="Second", PolicyDocument=trust({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/First/s1"}))
    denied = iam.create_policy(PolicyName="DenyAssume", PolicyDocument=document(statement("Allow", "*"), statement("Deny", "sts:AssumeRole")))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="First", PermissionsBoundary=denied)
    refused("AccessDenied", credentials(answer).assume_role, says="with an explicit deny in a permissions boundary", **ask)


def session_tags():
    tag = lambda **tags: [{"Key": key, "Value": value} for key, value in tags.items()]
    tagger = client("sts", new_user("tagger"))
    both = ["sts:AssumeRole", "sts:TagSession"]
    by_tag = document(statement("Allow", "iam:ListUsers", StringEquals={"aws:PrincipalTag/team": "red"}), statement("Allow", "iam:ListRoles", StringEquals={"aws:PrincipalTag/cost": "7"}), statement("Allow", "iam:ListGroups", Null={"aws:PrincipalTag/cost": "true"}), statement("Allow", both))
    arn = role("Tagged", trust({"AWS": user_arn("tagger")}), by_tag, Tags=tag(Team="blue"))
    assume = lambda who=tagger, arn=arn, **more: who.assume_role(RoleArn=arn, RoleSessionName="s1", **more)
    no = lambda who=tagger, arn=arn, says="", **more: refused("AccessDenied", who.assume_role, status=403, says=says, RoleArn=arn, RoleSessionName="s1", **more)

    # The role has a tag of its own; one that is passed goes before it, and passing one is an action of its own.
    refused("AccessDenied", client("iam", assume()["Credentials"]).list_users)
    assert no(Tags=tag(team="red")) == f"User: {user_arn('tagger')} is not authorized to perform: sts:TagSession on resource: {arn}"
    iam.update_assume_role_policy(RoleName="Tagged", PolicyDocument=trusting((user_arn("tagger"), both, {})))
    answer = assume(Tags=tag(team="red", cost="7"))
    assert answer["PackedPolicySize"] == 1
    session = client("iam", answer["Credentials"])
    assert session.list_users()["Users"] and session.list_roles()["Roles"]
    refused("AccessDenied", session.list_groups)

    # What the trust policy may ask of the tags.
    for condition, right, wrong in (
        ({"StringEquals": {"aws:RequestTag/team": ["red", "blue"]}}, dict(Tags=tag(team="red")), dict(Tags=tag(team="green"))),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}, dict(Tags=tag(team="x")), dict(Tags=tag(team="x", cost="1"))),
        ({"ForAnyValue:StringEquals": {"sts:TransitiveTagKeys": "team"}}, dict(Tags=tag(team="x"), TransitiveTagKeys=["team"]), dict(Tags=tag(team="x"))),
        ({"Null": {"sts:TransitiveTagKeys": "true"}}, dict(Tags=tag(team="x")), dict(Tags=tag(team="x"), TransitiveTagKeys=["team"])),
    ):
        iam.update_assume_role_policy(RoleName="Tagged", PolicyDocument=trusting((user_arn("tagger"), "sts:AssumeRole", {}), (user_arn("tagger"), "sts:TagSession", condition)))
        assume(**right)
        no(says="sts:TagSession", **wrong)

    # The account is trusted: the caller's own policies must allow both.
    iam.update_assume_role_policy(RoleName="Tagged", PolicyDocument=trusting((ACCOUNT, both, {})))
    iam.put_user_policy(UserName="tagger", PolicyName="a", PolicyDocument=allow("sts:AssumeRole"))
    assume()
    no(says="sts:TagSession", Tags=tag(team="red"))
    iam.put_user_policy(UserName="tagger", PolicyName="t", PolicyDocument=document(statement("Allow", "sts:TagSession", StringEquals={"aws:RequestTag/team": "red"})))
    assume(Tags=tag(team="red"))
    no(says="sts:TagSession", Tags=tag(team="blue"))

    # Along a chain: what is transitive goes on, and is not to be passed anew.
    first = client("sts", assume(Tags=tag(team="red", cost="7"), TransitiveTagKeys=["Team"])["Credentials"])
    second = role("Second2", trusting((arn, "sts:AssumeRole", {})), by_tag)
    no(first, second, says="sts:TagSession")
    iam.update_assume_role_policy(RoleName="Second2", PolicyDocument=trusting((arn, both, {})))
    answer = assume(first, second)
    assert answer["PackedPolicySize"] == 1
    session = client("iam", answer["Credentials"])
    assert session.list_users()["Users"] and session.list_groups()["Groups"] is not None
    refused("AccessDenied", session.list_roles)
    for again in ("team", "TEAM"):
        refused("InvalidParameterValue", first.assume_role, status=400, RoleArn=second, RoleSessionName="s1", Tags=[{"Key": again, "Value": "blue"}], says="conflicts with a transitive tag key from the calling session")
    third = role("Third", trusting((second, both, {})), by_tag)
    deep = client("iam", assume(client("sts", answer["Credentials"]), third, Tags=tag(cost="7"))["Credentials"])
    assert deep.list_users()["Users"] and deep.list_roles()["Roles"], "it stays transitive, and others join it"
    plain = role("Plain", trusting((arn, "sts:AssumeRole", {})), by_tag)
    without = client("sts", assume(Tags=tag(team="red"))["Credentials"])
    refused("AccessDenied", client("iam", assume(without, plain)["Credentials"]).list_users)

    # Forms.
    raw = client("sts", config=relaxed)
    bad = lambda code, says=None, **more: refused(code, raw.assume_role, status=400, says=says, RoleArn=arn, RoleSessionName="s1", **more)
    bad("InvalidParameterValue", Tags=[{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}], says="Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    bad("InvalidParameterValue", Tags=tag(**{"aws:PrincipalTag/x": "1"}), says="aws:")
    bad("InvalidParameterValue", Tags=tag(**{"AWS:x": "1"}))
    bad("InvalidParameterValue", Tags=tag(a="1"), TransitiveTagKeys=["b"], says="The specified transitive tag key must be included in the requested tags.")
    bad("ValidationError", Tags=[{"Key": f"k{n}", "Value": ""} for n in range(51)], says="less than or equal to 50")
    bad("ValidationError", Tags=[{"Key": "k" * 129, "Value": ""}], says="at 'tags.1.member.key'")
    bad("ValidationError", Tags=[{"Key": "k", "Value": "v" * 257}], says="at 'tags.1.member.value'")
    bad("ValidationError", Tags=[{"Key": "a*", "Value": ""}])
    bad("ValidationError", Tags=[{"Key": "a"}], says="at 'tags.1.member.value'")
    bad("PackedPolicyTooLarge", Tags=[{"Key": f"k{n}", "Value": "v" * 256} for n in range(20)])


def federation():
    key = new_user("broker", allow(["iam:*", "rds:Describe*"]), Tags=[{"Key": "team", "Value": "red"}])
    broker = client("sts", key)
    arn = f"arn:aws:sts::{ACCOUNT}:federated-user/bob"
    assert refused("AccessDenied", broker.get_federation_token, Name="bob", status=403) == f"User: {user_arn('broker')} is not authorized to perform: sts:GetFederationToken on resource: {arn} because no identity-based policy allows the sts:GetFederationToken action"
    iam.put_user_policy(UserName="broker", PolicyName="sts", PolicyDocument=allow(["sts:GetFederationToken", "sts:AssumeRole"], [arn, "arn:aws:iam::*:role/*"]))
    refused("AccessDenied", broker.get_federation_token, Name="eve", says=":federated-user/eve")

    answer = broker.get_federation_token(Name="bob", Policy=document(statement("Allow", ["rds:DescribeDBInstances", "rds:CreateDBInstance", "iam:*", "sts:*"]), statement("Deny", "rds:DescribeDBClusters")))
    assert answer["FederatedUser"] == {"FederatedUserId": f"{ACCOUNT}:bob", "Arn": arn} and 1 <= answer["PackedPolicySize"] <= 20
    left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(hours=11, minutes=59) < left <= datetime.timedelta(hours=12), left
    bob = lambda service: client(service, answer["Credentials"])
    me = bob("sts").get_caller_identity()
    assert me["Arn"] == arn and me["UserId"] == f"{ACCOUNT}:bob" and me["Account"] == ACCOUNT

    # What both allow, and nothing else; of IAM and STS nothing at all.
    assert bob("rds").describe_db_instances()["DBInstances"] == []
    refused("AccessDenied", bob("rds").describe_db_subnet_groups, says=f"User: {arn} is not authorized to perform: rds:DescribeDBSubnetGroups on resource: arn:aws:rds:eu-central-1:{ACCOUNT}:subgrp:* because no session policy allows the rds:DescribeDBSubnetGroups action")
    refused("AccessDenied", bob("rds").describe_db_clusters, says="with an explicit deny in a session policy")
    refused("AccessDenied", bob("rds").create_db_instance, DBInstanceIdentifier="x", DBInstanceClass="db.t3.micro", Engine="postgres", says="because no identity-based policy allows the rds:CreateDBInstance action")
    refused("InvalidClientTokenId", bob("iam").list_users, status=403)
    role("Anyone", trust({"AWS": "*"}))
    for call, more in ((bob("sts").get_session_token, {}), (bob("sts").get_federation_token, {"Name": "bob"}), (bob("sts").get_access_key_info, {"AccessKeyId": key["AccessKeyId"]}), (bob("sts").assume_role, {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/Anyone", "RoleSessionName": "s1"})):
        refused("AccessDenied", call, status=403, **more)

    # Without a session policy nothing is allowed; with AWS's own as one, what it says.
    bare = broker.get_federation_token(Name="bob", DurationSeconds=900)
    assert "PackedPolicySize" not in bare
    refused("AccessDenied", client("rds", bare["Credentials"]).describe_db_instances, says="because no session policy allows")
    assert client("sts", bare["Credentials"]).get_caller_identity()["Arn"] == arn
    managed = broker.get_federation_token(Name="bob", PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AmazonRDSReadOnlyAccess"}])
    assert client("rds", managed["Credentials"]).describe_db_clusters()["DBClusters"] == []

    # Tags: an action of their own; the user's own tags are the federated user's too.
    tags = [{"Key": "cost", "Value": "7"}]
    refused("AccessDenied", broker.get_federation_token, Name="bob", Tags=tags, says=f"sts:TagSession on resource: {arn} because")
    iam.put_user_policy(UserName="broker", PolicyName="tag", PolicyDocument=document(statement("Allow", "sts:TagSession", StringEquals={"aws:RequestTag/cost": "7"})))
    by_tag = document(statement("Allow", "rds:DescribeDBInstances", StringEquals={"aws:PrincipalTag/cost": "7", "aws:PrincipalTag/team": "red"}, Null={"aws:username": "true"}))
    tagged = broker.get_federation_token(Name="bob", Tags=tags, Policy=by_tag)
    assert client("rds", tagged["Credentials"]).describe_db_instances()["DBInstances"] == []
    refused("AccessDenied", broker.get_federation_token, Name="bob", Tags=[{"Key": "cost", "Value": "8"}])

    # By whom and how.
    temporary = client("sts", broker.get_session_token()["Credentials"])
    refused("AccessDenied", temporary.get_federation_token, Name="bob", says="Cannot call GetFederationToken with session credentials")
    raw = client("sts", key, config=relaxed)
    for bad in (dict(Name="b"), dict(Name="b" * 33), dict(Name="b b"), dict(), dict(Name="bob", DurationSeconds=899), dict(Name="bob", DurationSeconds=129601)):
        refused("ValidationError", raw.get_federation_token, status=400, **bad)
    refused("ValidationError", raw.get_federation_token, Name="bob", Policy=allow("rds:*").ljust(2049), says="at 'policy'")
    refused("MalformedPolicyDocument", raw.get_federation_token, Name="bob", Policy="{}")
    refused("InvalidParameterValue", raw.get_federation_token, Name="bob", PolicyArns=[{"arn": f"arn:aws:iam::{ACCOUNT}:policy/none"}])
    refused("UnknownParameter", send_more(client("sts", key), TransitiveTagKeys="x").get_federation_token, Name="bob")
    refused("UnknownParameter", send_more(client("sts", key), Policy=allow("*")).get_session_token, says="Policy")

    # What the user loses the federated user loses; a renamed user keeps it, a deleted one takes it along.
    iam.update_user(UserName="broker", NewUserName="agent")
    assert bob("rds").describe_db_instances()["DBInstances"] == [] and bob("sts").get_caller_identity()["Arn"] == arn
    iam.put_user_policy(UserName="agent", PolicyName="p0", PolicyDocument=allow("iam:*"))
    refused("AccessDenied", bob("rds").describe_db_instances, says="because no identity-based policy allows")
    iam.delete_access_key(UserName="agent", AccessKeyId=key["AccessKeyId"])
    for name in ("p0", "sts", "tag"):
        iam.delete_user_policy(UserName="agent", PolicyName=name)
    iam.delete_user(UserName="agent")
    refused("InvalidClientTokenId", bob("sts").get_caller_identity)


def send_more(client, **parameters):
    """The client, sending parameters that boto3 does not know of."""
    client.meta.events.register("before-call.*", lambda params, **_: params["body"].update(parameters))
    return client


for part in (identity, permissions, assume, tokens, external_ids, session_policies, limits_of_assuming, session_tags, federation):
    part()
