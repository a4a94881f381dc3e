"""What conditions see of a call, and what nobody can make them see; boundaries handed on by delegates."""

from botocore.config import Config

from common import ACCOUNT, allow, client, document, new_user, refused, statement, trust, with_headers

iam = client("iam")
key = new_user("probe")
red = [{"Key": "team", "Value": "red"}]


def holds(call=None, action="iam:ListUsers", resource="*", **condition):
    """Whether a call of `probe`'s is allowed by a statement with the condition."""
    iam.put_user_policy(UserName="probe", PolicyName="p", PolicyDocument=document(statement("Allow", action, resource, **condition)))
    try:
        (call or client("iam", key).list_users)()
        return True
    except iam.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
        return False


def the_wire():
    here = {"aws:SourceIp": "127.0.0.1"}
    assert holds(IpAddress=here) and not holds(NotIpAddress=here) and not holds(IpAddress={"aws:SourceIp": "10.0.0.0/8"})
    assert holds(StringEquals=here)
    # Headers about addresses are what anybody can write.
    claims = {
        "X-Forwarded-For": "10.1.2.3", "Forwarded": "for=10.1.2.3;host=x", "X-Real-IP": "10.1.2.3", "True-Client-IP": "10.1.2.3",
        "CF-Connecting-IP": "10.1.2.3", "X-Client-IP": "10.1.2.3", "aws-SourceIp": "10.1.2.3", "Via": "1.1 10.1.2.3",
    }
    forger = with_headers(client("iam", key), claims)
    assert not holds(forger.list_users, IpAddress={"aws:SourceIp": "10.0.0.0/8"}) and holds(forger.list_users, IpAddress=here)

    agent = lambda text: client("iam", key, config=Config(user_agent=text)).list_users
    assert holds(agent("my-tool/1"), StringLike={"aws:UserAgent": "my-tool/*"}) and not holds(StringLike={"aws:UserAgent": "my-tool/*"})
    referer = with_headers(client("iam", key), {"Referer": "https://console.example/"}).list_users
    assert holds(referer, StringEquals={"aws:Referer": "https://console.example/"}) and holds(Null={"aws:Referer": "true"})
    for absent_or_false in ("aws:SecureTransport", "aws:ViaAWSService", "aws:PrincipalIsAWSService"):
        assert holds(Bool={absent_or_false: "false"}) and not holds(Bool={absent_or_false: "true"}), absent_or_false
    assert holds(Null={"aws:MultiFactorAuthPresent": "true", "aws:TokenIssueTime": "true"})

    # IAM is in one region, whichever a call is signed for; RDS and STS are in that one.
    for service, action, call, region in (("iam", "iam:ListUsers", "list_users", "us-east-1"), ("rds", "rds:DescribeCertificates", "describe_certificates", "eu-west-3")):
        call = getattr(client(service, key, region_name="eu-west-3"), call)
        assert holds(call, action, StringEquals={"aws:RequestedRegion": region}), service
        assert not holds(call, action, StringNotEquals={"aws:RequestedRegion": region}), service


def the_caller():
    """Who calls is what the key says, whatever the call says."""
    me = iam.get_user(UserName="probe")["User"]
    for name, value in (("aws:username", "probe"), ("aws:userid", me["UserId"]), ("aws:PrincipalArn", me["Arn"]), ("aws:PrincipalAccount", ACCOUNT), ("aws:PrincipalType", "User")):
        assert holds(StringEquals={name: value}) and not holds(StringNotEquals={name: value}), name
    iam.tag_user(UserName="probe", Tags=[{"Key": "Team", "Value": "blue"}])
    assert holds(StringEquals={"aws:PrincipalTag/team": "blue"})
    assert holds(DateGreaterThan={"aws:CurrentTime": "2020-01-01T00:00:00Z"}, NumericGreaterThan={"aws:EpochTime": "1577836800"})

    names = ("aws:username", "aws:PrincipalTag/team", "aws:SourceIp", "aws:PrincipalArn", "aws:PrincipalAccount")
    headers = {name.replace(":", "-").replace("/", "-"): "forged" for name in names} | {"User-Agent": "forged", "Referer": "forged"}
    more = {name: "forged" for name in names}
    for name in names:
        condition = dict(StringEquals={name: "forged"})
        assert not holds(with_headers(client("iam", key), headers).list_users, **condition), name
        # A parameter of the name is no parameter, and a tag is a tag that was asked for.
        forger = client("iam", key)
        forger.meta.events.register("before-call.iam", lambda params, **_: params["body"].update(more))
        iam.put_user_policy(UserName="probe", PolicyName="p", PolicyDocument=document(statement("Allow", "iam:*", **condition)))
        refused("UnknownParameter", forger.list_users)
        refused("UnknownParameter", forger.create_user, UserName="made")
        for tag in (name.removeprefix("aws:"), name.split("/")[-1].removeprefix("aws:"), "team"):
            refused("AccessDenied", client("iam", key).create_user, UserName="made", Tags=[{"Key": tag, "Value": "forged"}])
        refused("InvalidInput", client("iam", key).create_user, UserName="made", Tags=[{"Key": name, "Value": "forged"}])
    iam.untag_user(UserName="probe", TagKeys=["team"])


def tags():
    made = client("iam", key)
    create = lambda **more: lambda: iam.delete_user(UserName=made.create_user(UserName="made", **more)["User"]["UserName"])
    asked = dict(action="iam:CreateUser", StringEquals={"aws:RequestTag/team": "red"}, ForAllValues__StringEquals={"aws:TagKeys": ["team", "cost"]})
    assert holds(create(Tags=red), **asked) and holds(create(Tags=[*red, {"Key": "cost", "Value": "1"}]), **asked)
    assert not holds(create(), **asked) and not holds(create(Tags=[{"Key": "team", "Value": "blue"}]), **asked)
    assert not holds(create(Tags=[*red, {"Key": "other", "Value": ""}]), **asked)

    iam.create_user(UserName="thing", Tags=red)
    iam.create_role(RoleName="thing", AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}), Tags=red)
    arn = iam.create_policy(PolicyName="thing", PolicyDocument=allow("*"), Tags=red)["Policy"]["Arn"]
    for name, action, call in (
        ("user", "iam:GetUser", lambda: made.get_user(UserName="thing")),
        ("role", "iam:GetRole", lambda: made.get_role(RoleName="thing")),
        ("policy", "iam:GetPolicy", lambda: made.get_policy(PolicyArn=arn)),
        ("keys", "iam:ListAccessKeys", lambda: made.list_access_keys(UserName="thing")),
        ("tags", "iam:ListRoleTags", lambda: made.list_role_tags(RoleName="thing")),
        ("attach", "iam:AttachUserPolicy", lambda: made.attach_user_policy(UserName="thing", PolicyArn=arn)),
        ("detach", "iam:DetachUserPolicy", lambda: made.detach_user_policy(UserName="thing", PolicyArn=arn)),
    ):
        for tag in ("aws:ResourceTag/team", "iam:ResourceTag/Team"):
            assert not holds(call, action, StringNotEquals={tag: "red"}), (name, tag)
            assert holds(call, action, StringEquals={tag: "red"}), (name, tag)
            if name in ("attach", "detach"):
                break
    # A thing without tags, and one that does not exist, have none.
    assert not holds(lambda: made.get_user(UserName="probe"), "iam:GetUser", StringEquals={"aws:ResourceTag/team": "red"})
    assert not holds(lambda: made.get_user(UserName="none"), "iam:GetUser", StringEquals={"aws:ResourceTag/team": "red"})

    tag = lambda *tags: lambda: made.tag_role(RoleName="thing", Tags=list(tags))
    only_cost = dict(action=["iam:TagRole", "iam:UntagRole"], ForAllValues__StringEquals={"aws:TagKeys": "cost"}, StringEquals={"aws:ResourceTag/team": "red"})
    assert holds(tag({"Key": "cost", "Value": "1"}), **only_cost) and not holds(tag({"Key": "team", "Value": "blue"}), **only_cost)
    assert not holds(lambda: made.untag_role(RoleName="thing", TagKeys=["cost", "team"]), **only_cost)
    assert holds(lambda: made.untag_role(RoleName="thing", TagKeys=["cost"]), **only_cost)
    # A renamed user keeps its tags: where it goes is asked about with them.
    assert holds(lambda: made.update_user(UserName="thing", NewPath="/p/"), "iam:UpdateUser", StringEquals={"aws:ResourceTag/team": "red"})

    # A variable in the resource and in a value.
    own = f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"
    assert holds(lambda: made.get_user(), "iam:GetUser", own) and not holds(lambda: made.get_user(UserName="admin"), "iam:GetUser", own)
    iam.tag_user(UserName="probe", Tags=red)
    same = dict(action="iam:GetRole", StringEquals={"aws:ResourceTag/team": "${aws:PrincipalTag/team}"})
    assert holds(lambda: made.get_role(RoleName="thing"), **same)
    iam.untag_user(UserName="probe", TagKeys=["team"])
    assert not holds(lambda: made.get_role(RoleName="thing"), **same)


def policies_of_others():
    """`iam:PolicyARN`: which policies somebody may hand out."""
    made = client("iam", key)
    arns = [iam.create_policy(PolicyName=name, Path="/handed/" if name == "Handed" else "/", PolicyDocument=allow("rds:Describe*"))["Policy"]["Arn"] for name in ("Handed", "Kept")]
    iam.create_user(UserName="taker")
    iam.create_group(GroupName="takers")
    iam.create_role(RoleName="taker", AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}))
    for kind, name in (("user", "taker"), ("group", "takers"), ("role", "taker")):
        who = {f"{kind.capitalize()}Name": name}
        for verb in ("attach", "detach"):
            call = lambda arn: lambda: getattr(made, f"{verb}_{kind}_policy")(PolicyArn=arn, **who)
            condition = dict(action=f"iam:{verb.capitalize()}{kind.capitalize()}Policy", ArnLike={"iam:PolicyARN": f"arn:aws:iam::{ACCOUNT}:policy/handed/*"})
            assert holds(call(arns[0]), **condition) and not holds(call(arns[1]), **condition), (kind, verb)


def delegation():
    """The reason for boundaries: who may make users and give them policies, but none beyond a boundary."""
    limit, other = (iam.create_policy(PolicyName=name, PolicyDocument=allow(["iam:ListUsers", "iam:ListRoles"]))["Policy"]["Arn"] for name in ("XCompanyBoundary", "Another"))
    bounded = {"StringEquals": {"iam:PermissionsBoundary": limit}}
    actions = ["iam:CreateUser", "iam:CreateRole"] + [f"iam:{verb}{kind}Policy" for kind in ("User", "Role") for verb in ("Attach", "Detach", "Put", "Delete")]
    actions += ["iam:PutUserPermissionsBoundary", "iam:PutRolePermissionsBoundary"]
    zhang = new_user("zhang", document(
        {"Effect": "Allow", "Action": actions, "Resource": "*", "Condition": bounded},
        statement("Allow", ["iam:DeleteUser", "iam:CreateAccessKey", "iam:DeleteUserPermissionsBoundary", "iam:DeleteRolePermissionsBoundary"]),
        {"Effect": "Deny", "Action": ["iam:DeleteUserPermissionsBoundary", "iam:DeleteRolePermissionsBoundary"], "Resource": "*", "Condition": bounded},
    ))
    zhang = client("iam", zhang)
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    for kind, more in (("user", {}), ("role", {"AssumeRolePolicyDocument": trust({"AWS": ACCOUNT})})):
        op = lambda verb, what="": getattr(zhang, f"{verb}_{kind}{what}")
        who = {f"{kind.capitalize()}Name": f"made-{kind}"}
        refused("AccessDenied", op("create"), **who, **more)
        refused("AccessDenied", op("create"), PermissionsBoundary=other, **who, **more)
        refused("AccessDenied", op("create"), PermissionsBoundary=admin, **who, **more)
        op("create")(PermissionsBoundary=limit, **who, **more)
        op("attach", "_policy")(PolicyArn=admin, **who)
        op("put", "_policy")(PolicyName="p", PolicyDocument=allow("*"), **who)
        op("delete", "_policy")(PolicyName="p", **who)
        refused("AccessDenied", op("put", "_permissions_boundary"), PermissionsBoundary=other, **who)
        op("put", "_permissions_boundary")(PermissionsBoundary=limit, **who)
        refused("AccessDenied", op("delete", "_permissions_boundary"), says="with an explicit deny", **who)
        # Of those whom nothing bounds, and of those whom another policy bounds, nothing is the delegate's.
        for boundary in ({}, {"PermissionsBoundary": other}):
            getattr(iam, f"create_{kind}")(**{f"{kind.capitalize()}Name": f"other{len(boundary)}"}, **boundary, **more)
            them = {f"{kind.capitalize()}Name": f"other{len(boundary)}"}
            refused("AccessDenied", op("attach", "_policy"), PolicyArn=admin, **them)
            refused("AccessDenied", op("put", "_policy"), PolicyName="p", PolicyDocument=allow("*"), **them)
        op("delete", "_permissions_boundary")(**them)

    # What was made that way may what both allow.
    made = client("iam", zhang.create_access_key(UserName="made-user")["AccessKey"])
    assert made.list_users()["Users"]
    refused("AccessDenied", made.list_groups, says=f"User: arn:aws:iam::{ACCOUNT}:user/made-user is not authorized to perform: iam:ListGroups on resource: arn:aws:iam::{ACCOUNT}:group/ because no permissions boundary allows the iam:ListGroups action")
    iam.create_policy_version(PolicyArn=limit, PolicyDocument=document(statement("Allow", "iam:*"), statement("Deny", "iam:ListUsers", StringEquals={"aws:username": "made-user"})), SetAsDefault=True)
    assert made.list_groups()["Groups"]
    refused("AccessDenied", made.list_users, says=f"on resource: arn:aws:iam::{ACCOUNT}:user/ with an explicit deny in a permissions boundary")
    zhang.detach_user_policy(UserName="made-user", PolicyArn=admin)
    refused("AccessDenied", made.list_groups, says="because no identity-based policy allows")
    # The boundary of a group's member bounds what the group gives.
    iam.add_user_to_group(GroupName="takers", UserName="made-user")
    iam.put_group_policy(GroupName="takers", PolicyName="all", PolicyDocument=allow("*"))
    assert made.list_groups()["Groups"]
    refused("AccessDenied", client("rds", iam.create_access_key(UserName="made-user")["AccessKey"]).describe_db_instances, says="because no permissions boundary allows")


for part in (the_wire, the_caller, tags, policies_of_others, delegation):
    part()
