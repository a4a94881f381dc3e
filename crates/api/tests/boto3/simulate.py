"""The policy simulator: what it decides, by which statements, what it has not been told, and what it refuses."""

import datetime
import json
import re
from collections import Counter
from pathlib import Path

from botocore.config import Config

from common import ACCOUNT, allow, client, document, refused, trust

iam = client("iam")
called = Counter()
iam.meta.events.register("before-call.iam", lambda model, **_: called.update([model.name]))
raw = client("iam", config=Config(parameter_validation=False))

JANE = f"arn:aws:iam::{ACCOUNT}:user/team/Jane"
DEVS = f"arn:aws:iam::{ACCOUNT}:group/devs"
APP = f"arn:aws:iam::{ACCOUNT}:role/app"
CONNECT = "rds-db:connect"


def dbuser(name, region="us-east-1"):
    return f"arn:aws:rds-db:{region}:{ACCOUNT}:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/{name}"


def entry(key, *values, type="string"):
    return {"ContextKeyName": key, "ContextKeyType": type, "ContextKeyValues": list(values)}


def deny(action, resource="*", **more):
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def ask(what):
    """Has the test make what no call makes."""
    print(what, flush=True)
    assert input() == "done"


def principal(actions, resources=None, source=JANE, **more):
    if resources is not None:
        more["ResourceArns"] = resources
    answer = iam.simulate_principal_policy(PolicySourceArn=source, ActionNames=actions, **more)
    assert answer["IsTruncated"] is False and "Marker" not in answer, answer
    return answer["EvaluationResults"]


def custom(policies, actions, resources=None, **more):
    if resources is not None:
        more["ResourceArns"] = resources
    answer = iam.simulate_custom_policy(PolicyInputList=policies, ActionNames=actions, **more)
    return answer["EvaluationResults"]


def decision(results):
    [result] = results
    return result["EvalDecision"]


def decided_by(result):
    return [statement["SourcePolicyId"] for statement in result["MatchedStatements"]]


def cut(text, statement):
    """What stands in the document at the positions of an answer."""
    lines = text.split("\n")
    start, end = statement["StartPosition"], statement["EndPosition"]
    offset = lambda place: sum(len(line) + 1 for line in lines[: place["Line"] - 1]) + place["Column"] - 1
    return text[offset(start) : offset(end)]


def put_user(name, path="/", tags=(), **policies):
    iam.create_user(UserName=name, Path=path, Tags=[{"Key": k, "Value": v} for k, v in tags])
    for policy, text in policies.items():
        iam.put_user_policy(UserName=name, PolicyName=policy, PolicyDocument=text)


OWN = """{
  "Version": "2012-10-17", "Id": "für Jane",
  "Statement": [
    {"Sid": "Own", "Effect": "Allow", "Action": "rds-db:connect",
     "Resource": "arn:aws:rds-db:*:*:dbuser:*/${aws:username}"}, {
      "Sid": "Team", "Effect": "Allow", "Action": "rds-db:connect",
      "Resource": "arn:aws:rds-db:*:*:dbuser:*/team_${aws:PrincipalTag/team}"
    }
  ]
}"""


def users_and_groups():
    put_user("Jane", "/team/", [("team", "blue")], own=OWN)
    iam.create_group(GroupName="devs")
    iam.add_user_to_group(GroupName="devs", UserName="Jane")
    no_admin = document(deny(CONNECT, dbuser("admin")))
    iam.put_group_policy(GroupName="devs", PolicyName="reading", PolicyDocument=allow("s3:GetObject"))
    iam.put_group_policy(GroupName="devs", PolicyName="no-admin", PolicyDocument=no_admin)
    managed = iam.create_policy(PolicyName="Sql", Path="/x/", PolicyDocument=allow(["s3:Get*", CONNECT], [dbuser("admin"), "arn:aws:s3:::b/*"]))["Policy"]["Arn"]
    iam.attach_group_policy(GroupName="devs", PolicyArn=managed)

    [own] = principal([CONNECT], [dbuser("Jane")])
    assert own["EvalActionName"] == CONNECT and own["EvalResourceName"] == dbuser("Jane") and own["EvalDecision"] == "allowed", own
    [statement] = own["MatchedStatements"]
    assert statement["SourcePolicyId"] == "user_Jane_own" and statement["SourcePolicyType"] == "IAM Policy", statement
    assert statement["StartPosition"] == {"Line": 4, "Column": 5} and statement["EndPosition"] == {"Line": 5, "Column": 64}, statement
    assert own["MissingContextValues"] == [] and "OrganizationsDecisionDetail" not in own and "PermissionsBoundaryDecisionDetail" not in own
    # Of a resource that is named the same is said where AWS says it.
    [specific] = own["ResourceSpecificResults"]
    assert specific == {"EvalResourceName": dbuser("Jane"), "EvalResourceDecision": "allowed", "MatchedStatements": own["MatchedStatements"], "MissingContextValues": []}
    assert own["EvalDecisionDetails"] == {}

    [team] = principal([CONNECT], [dbuser("team_blue")])
    [statement] = team["MatchedStatements"]
    assert json.loads(cut(OWN, statement))["Sid"] == "Team" and statement["StartPosition"] == {"Line": 5, "Column": 66}, statement
    assert decision(principal([CONNECT], [dbuser("jane")])) == "implicitDeny", "a resource is compared by case"
    assert decision(principal([CONNECT], [dbuser("team_red")])) == "implicitDeny"
    assert decision(principal([CONNECT], [dbuser("team_red")], ContextEntries=[entry("aws:principaltag/TEAM", "red")])) == "allowed", "what if"

    # The explicit Deny of a group, and it alone, although a managed policy of the group allows.
    [denied] = principal(["RDS-DB:Connect"], [dbuser("admin")])
    assert denied["EvalDecision"] == "explicitDeny" and decided_by(denied) == ["group_devs_no-admin"], denied
    assert cut(no_admin, denied["MatchedStatements"][0]) == json.dumps(deny(CONNECT, dbuser("admin")))
    # Every Allow that applies.
    [read] = principal(["s3:GetObject"], ["arn:aws:s3:::b/k"])
    assert sorted(decided_by(read)) == ["Sql", "group_devs_reading"], read
    [nothing] = principal(["s3:PutObject"])
    assert nothing["EvalResourceName"] == "*" and nothing["EvalDecision"] == "implicitDeny" and nothing["MatchedStatements"] == [], nothing
    assert "ResourceSpecificResults" not in nothing and "EvalDecisionDetails" not in nothing

    # A group by itself: nobody calls, so there is no user name.
    assert decision(principal(["s3:GetObject"], source=DEVS)) == "allowed"
    assert decision(principal([CONNECT], [dbuser("Jane")], source=DEVS)) == "implicitDeny", "the user's own policies are not the group's"
    [asked] = principal(["s3:GetObject"], source=DEVS, PolicyInputList=[document(deny("s3:*", Condition={"StringEquals": {"aws:username": "x", "aws:RequestedRegion": "x"}}))])
    assert asked["MissingContextValues"] == ["aws:RequestedRegion", "aws:username"], asked

    # What is given besides is an identity policy like the others.
    more = [allow("sqs:SendMessage"), document(deny("s3:*"))]
    by = {r["EvalActionName"]: (r["EvalDecision"], decided_by(r)) for r in principal(["sqs:SendMessage", "s3:GetObject"], PolicyInputList=more)}
    assert by == {"sqs:SendMessage": ("allowed", ["PolicyInputList.1"]), "s3:GetObject": ("explicitDeny", ["PolicyInputList.2"])}, by

    # Results come as they were asked for.
    actions, resources = ["s3:PutObject", CONNECT, "s3:GetObject"], [dbuser("Jane"), "arn:aws:s3:::b/k", "*"]
    order = [(r["EvalActionName"], r["EvalResourceName"]) for r in principal(actions, resources)]
    assert order == [(action, resource) for action in actions for resource in resources], order
    pages = list(iam.get_paginator("simulate_principal_policy").paginate(PolicySourceArn=JANE, ActionNames=actions, ResourceArns=resources, PaginationConfig={"PageSize": 2}))
    assert [len(page["EvaluationResults"]) for page in pages] == [2, 2, 2, 2, 1] and pages[0]["IsTruncated"] and not pages[-1]["IsTruncated"]
    assert [(r["EvalActionName"], r["EvalResourceName"]) for page in pages for r in page["EvaluationResults"]] == order


def roles_and_aws_managed():
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}), Tags=[{"Key": "team", "Value": "blue"}])
    iam.attach_role_policy(RoleName="app", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    text = document(deny("s3:*", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue", "aws:PrincipalArn": APP, "aws:PrincipalType": "AssumedRole"}}))
    iam.put_role_policy(RoleName="app", PolicyName="no-s3", PolicyDocument=text)
    [result] = principal(["s3:GetObject"], source=APP)
    assert result["EvalDecision"] == "explicitDeny" and decided_by(result) == ["role_app_no-s3"], result
    [result] = principal([CONNECT], [dbuser("x")], source=APP)
    [statement] = result["MatchedStatements"]
    assert statement["SourcePolicyId"] == "AdministratorAccess" and statement["StartPosition"] == {"Line": 4, "Column": 9}, statement
    assert statement["EndPosition"] == {"Line": 4, "Column": 9 + len('{"Effect": "Allow", "Action": "*", "Resource": "*"}')}, statement
    # A session has an id of its own, a time of its own, and no user's name.
    keys = ["aws:TokenIssueTime", "aws:userid", "aws:username"]
    given = document(deny("sqs:*", Condition={"StringEquals": {key: "x" for key in keys}}))
    [result] = principal(["sqs:SendMessage"], source=APP, PolicyInputList=[given])
    assert result["MissingContextValues"] == keys and result["EvalDecision"] == "allowed", result


def callers():
    put_user("bob", tags=[("team", "red")])
    bob = f"arn:aws:iam::{ACCOUNT}:user/bob"
    asked = {"actions": [CONNECT], "resources": [dbuser("bob")], "CallerArn": bob}
    assert decision(principal(**asked)) == "allowed", "Bob with Jane's policies"
    assert decision(principal([CONNECT], [dbuser("team_red")], CallerArn=bob)) == "allowed"
    assert decision(principal([CONNECT], [dbuser("Jane")], CallerArn=bob)) == "implicitDeny"
    assert decision(principal(**asked, ContextEntries=[entry("aws:username", "Jane")])) == "implicitDeny", "an entry goes before what is known"
    assert decision(custom([OWN], **asked)) == "allowed"
    about = {"StringEquals": {"aws:userid": iam.get_user(UserName="bob")["User"]["UserId"], "aws:PrincipalArn": bob, "aws:PrincipalType": "User", "aws:PrincipalAccount": ACCOUNT}}
    policy = document({"Effect": "Allow", "Action": "a:b", "Resource": "*", "Condition": about})
    assert decision(custom([policy], ["a:b"], CallerArn=bob)) == "allowed"
    assert decision(principal(["a:b"], source=APP, CallerArn=bob, PolicyInputList=[document(deny("a:b", Condition=about))])) == "explicitDeny"
    for wrong in (APP, f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:sts::{ACCOUNT}:assumed-role/app/s", "bob"):
        refused("InvalidInput", custom, policies=[OWN], actions=[CONNECT], CallerArn=wrong, status=400, says="Invalid caller - Caller must be an IAM user in this context.")
    for missing in (f"arn:aws:iam::{ACCOUNT}:user/nobody", "arn:aws:iam::210987654321:user/nobody"):
        refused("NoSuchEntity", custom, policies=[OWN], actions=[CONNECT], CallerArn=missing, status=404, says="The user with name nobody cannot be found.")


def contexts():
    now = datetime.datetime.now(datetime.UTC)
    until = lambda hours: {"DateLessThan": {"aws:CurrentTime": (now + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")}}
    when = lambda condition, action="a:b": document({"Effect": "Allow", "Action": action, "Resource": "*", "Condition": condition})
    test = lambda condition, *entries, **more: custom([when(condition)], ["a:b"], ContextEntries=list(entries), **more)
    assert decision(test(until(1))) == "allowed" and decision(test(until(-1))) == "implicitDeny", "the time is now"
    assert decision(test(until(-1), entry("aws:currenttime", "2020-01-01T00:00:00Z", type="date"))) == "allowed", "unless another is given"
    assert decision(test({"NumericGreaterThan": {"aws:EpochTime": "1700000000"}})) == "allowed"

    # Each type, in one value and in many.
    for type, operator, expected, right, wrong in (
        ("string", "StringEquals", "a", "a", "b"),
        ("numeric", "NumericLessThan", "10", "9.5", "10"),
        ("boolean", "Bool", "true", "TRUE", "false"),
        ("ip", "IpAddress", "192.0.2.0/24", "192.0.2.7", "198.51.100.1"),
        ("binary", "BinaryEquals", "QmFzZTY0", "QmFzZTY0", "AA=="),
        ("date", "DateLessThan", "2026-01-01T00:00:00Z", "2025-12-31", "1767225600"),
    ):
        for value, then in ((right, "allowed"), (wrong, "implicitDeny")):
            assert decision(test({operator: {"my:key": expected}}, entry("MY:key", value, type=type))) == then, (type, value)
            many = entry("my:key", value, value, type=type + "List")
            assert decision(test({f"ForAllValues:{operator}": {"my:key": expected}}, many)) == then, (type, value)
        if type != "string":
            for list_or_not in ("", "List"):
                bad = entry("my:key", "é", type=type + list_or_not)
                text = refused("InvalidInput", custom, policies=[OWN], actions=[CONNECT], ContextEntries=[bad], status=400)
                assert "my:key" in text and "é" in text and type + list_or_not in text and "takes" in text, text
        for count in ((), (right, right)):
            refused("InvalidInput", custom, policies=[OWN], actions=[CONNECT], ContextEntries=[entry("my:key", *count, type=type)], says=f"the type {type} takes one value, there are {len(count)}")
    assert decision(test({"ForAnyValue:StringEquals": {"my:key": ["b", "c"]}}, entry("my:key", "a", "b", type="stringList"))) == "allowed"

    # A list without values: the key is known not to be there.
    none = entry("aws:username", type="stringList")
    [result] = principal([CONNECT], [dbuser("Jane")], ContextEntries=[none])
    assert result["EvalDecision"] == "implicitDeny" and result["MissingContextValues"] == [], result
    assert decision(test({"Null": {"aws:CurrentTime": "true"}}, entry("aws:CurrentTime", type="dateList"))) == "allowed"

    # The region is the resource's, or else the call's; how a call comes is not known.
    region = lambda name: document({"Effect": "Allow", "Action": "sqs:*", "Resource": "*", "Condition": {"StringEquals": {"aws:RequestedRegion": name}}})
    for name, resource in (("eu-west-3", f"arn:aws:sqs:eu-west-3:{ACCOUNT}:q"), ("eu-central-1", "*"), ("eu-central-1", "arn:aws:s3:::b")):
        assert decision(principal(["sqs:SendMessage"], [resource], PolicyInputList=[region(name)])) == "allowed", (name, resource)
    assert decision(custom([region("eu-central-1")], ["sqs:SendMessage"])) == "implicitDeny", "nobody calls, from nowhere"

    # What nobody has said, of the statements about the action: in conditions, their values, and resources.
    policy = document(
        {"Effect": "Allow", "Action": "a:b", "Resource": "arn:aws:a:::${AWS:UserName}/${aws:PrincipalTag/t, 'x'}", "Condition": {"StringEquals": {"my:One": "${my:two}", "aws:CurrentTime": "x"}, "Bool": {"aws:SecureTransport": "true"}}},
        deny(["a:*"], Condition={"StringLike": {"my:one": "x"}, "Null": {"aws:SourceIp": "false"}}),
        deny(["other:b"], Condition={"StringLike": {"my:other": "x"}}),
    )
    [result] = custom([policy], ["a:b"])
    assert result["MissingContextValues"] == ["aws:PrincipalTag/t", "aws:SecureTransport", "aws:SourceIp", "AWS:UserName", "my:One", "my:two"], result
    given = [entry("my:ONE", "1"), entry("my:two", "2"), entry("aws:SourceIp", "192.0.2.1", type="ip"), entry("aws:SecureTransport", "true", type="boolean")]
    [result] = custom([policy], ["a:b"], ["arn:aws:a:::x"], CallerArn=JANE, ContextEntries=given)
    assert result["MissingContextValues"] == ["aws:PrincipalTag/t"] == result["ResourceSpecificResults"][0]["MissingContextValues"], result

    refused("InvalidInput", custom, policies=[OWN], actions=[CONNECT], ContextEntries=[entry(f"my:key{n}", "a") for n in range(501)], says="at most 500 context keys, there are 501")
    refused("InvalidInput", custom, policies=[OWN], actions=[CONNECT], ContextEntries=[entry("my:key", "a"), entry("MY:key", "b")], says="The context key MY:key is given more than once.")
    refused("ValidationError", raw.simulate_custom_policy, PolicyInputList=[OWN], ActionNames=[CONNECT], ContextEntries=[entry("my:k", "a")], says="contextEntries.1.member.contextKeyName")
    refused("ValidationError", raw.simulate_custom_policy, PolicyInputList=[OWN], ActionNames=[CONNECT], ContextEntries=[entry("my:key", "a", type="text")], says="must satisfy enum value set: [string, stringList, numeric")
    refused("ValidationError", raw.simulate_custom_policy, PolicyInputList=[OWN], ActionNames=[CONNECT], ContextEntries=[{"ContextKeyName": "my:key", "ContextKeyValues": ["a"]}], says="Value null at 'contextEntries.1.member.contextKeyType'")


def boundaries():
    limit = document({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, deny("s3:Put*"))
    arn = iam.create_policy(PolicyName="limit", PolicyDocument=limit)["Policy"]["Arn"]
    put_user("bounded", all=allow("*"))
    ask("boundary")
    bounded = f"arn:aws:iam::{ACCOUNT}:user/bounded"
    by = {r["EvalActionName"]: (r["EvalDecision"], decided_by(r), r["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"]) for r in principal(["s3:GetObject", "s3:PutObject", "sqs:SendMessage"], source=bounded)}
    assert by == {
        "s3:GetObject": ("allowed", ["user_bounded_all"], True),
        "s3:PutObject": ("explicitDeny", ["limit"], False),
        "sqs:SendMessage": ("implicitDeny", [], False),
    }, by
    # A boundary that is given stands in the place of the one that there is.
    by = {r["EvalActionName"]: (r["EvalDecision"], decided_by(r)) for r in principal(["s3:PutObject", "sqs:SendMessage"], source=bounded, PermissionsBoundaryPolicyInputList=[allow("s3:*")])}
    assert by == {"s3:PutObject": ("allowed", ["user_bounded_all"]), "sqs:SendMessage": ("implicitDeny", [])}, by
    [result] = custom([allow("*")], ["sqs:SendMessage"], [f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q"], PermissionsBoundaryPolicyInputList=[document(deny("*"))])
    assert result["EvalDecision"] == "explicitDeny" and decided_by(result) == ["PermissionsBoundaryPolicyInputList.1"], result
    assert result["ResourceSpecificResults"][0]["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}, result
    assert decision(custom([document(deny("a:b"))], ["sqs:SendMessage"], PermissionsBoundaryPolicyInputList=[allow("*")])) == "implicitDeny", "a boundary allows nothing by itself"
    refused("InvalidInput", custom, policies=[OWN], actions=[CONNECT], PermissionsBoundaryPolicyInputList=[allow("*"), allow("*")], says="only one permissions boundary")
    assert iam.get_context_keys_for_principal_policy(PolicySourceArn=bounded, PolicyInputList=[OWN])["ContextKeyNames"] == ["aws:PrincipalTag/team", "aws:username"]
    assert arn.endswith("policy/limit")


def context_keys():
    text = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"arn:aws:dynamodb:us-west-2:123456789012:table/${aws:username}","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2015-08-16T12:00:00Z"}}}}'
    keys = lambda *policies: iam.get_context_keys_for_custom_policy(PolicyInputList=list(policies))["ContextKeyNames"]
    assert keys(text) == ["aws:CurrentTime", "aws:username"]
    assert keys(text, OWN, text.replace("aws:username", "AWS:UserName")) == ["aws:CurrentTime", "aws:PrincipalTag/team", "aws:username"], "each once"
    assert keys(text.replace("2012-10-17", "2008-10-17")) == ["aws:CurrentTime"], "an older document has no variables"
    assert keys(allow("*")) == []
    of = lambda arn, **more: iam.get_context_keys_for_principal_policy(PolicySourceArn=arn, **more)["ContextKeyNames"]
    assert of(JANE) == ["aws:PrincipalTag/team", "aws:username"] and of(DEVS) == []
    assert of(DEVS, PolicyInputList=[text]) == ["aws:CurrentTime", "aws:username"]
    assert of(APP) == ["aws:PrincipalArn", "aws:PrincipalTag/team", "aws:PrincipalType"]
    refused("NoSuchEntity", iam.get_context_keys_for_principal_policy, PolicySourceArn=DEVS + "x", says="The group with name devsx cannot be found.")
    refused("InvalidInput", iam.get_context_keys_for_custom_policy, PolicyInputList=["{"], says="Syntax errors in policy.")
    refused("ValidationError", raw.get_context_keys_for_custom_policy, says="Value null at 'policyInputList'")


def refusals():
    ask_custom = {"policies": [OWN], "actions": [CONNECT]}
    for wrong in (f"arn:aws:sts::{ACCOUNT}:assumed-role/app/session", f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:iam::{ACCOUNT}:user/", f"arn:aws:iam::{ACCOUNT}:policy/limit"):
        refused("InvalidInput", principal, actions=[CONNECT], source=wrong, status=400, says=f"Invalid Entity Arn: {wrong} does not clearly define entity type and name.")
    refused("InvalidInput", principal, actions=[CONNECT], source="a word of twenty characters", says="is not valid")
    refused("ValidationError", raw.simulate_principal_policy, ActionNames=[CONNECT], PolicySourceArn="user/jane", says="policySourceArn")
    refused("InvalidInput", principal, actions=[CONNECT], source="arn:aws:iam::210987654321:user/jane", says=f"Invalid Policy Source Arn: caller's account {ACCOUNT} does not have access to policies in account 210987654321")
    for kind in ("user", "group", "role"):
        refused("NoSuchEntity", principal, actions=[CONNECT], source=f"arn:aws:iam::{ACCOUNT}:{kind}/none", status=404, says=f"The {kind} with name none cannot be found.")
    refused("NoSuchEntity", principal, actions=[CONNECT], source=JANE.replace("/team/", "/"), says="The user with name Jane")

    for wrong in ("connect", "rds-db:", ":connect", "rds-db:*", "*:*", "rds-db:con?ect", "a:b:c", "a: b", "s3:" + "x" * 126):
        refused("InvalidInput", custom, policies=[OWN], actions=[CONNECT, wrong], says=f"Invalid Action: {wrong}")
    refused("ValidationError", raw.simulate_custom_policy, PolicyInputList=[OWN], says="Value null at 'actionNames'")
    refused("InvalidInput", custom, **ask_custom, resources=["*", "bucket", dbuser("x"), "arn:aws:s3"], says="ResourceNames are not in a valid ARN format: bucket, arn:aws:s3.")
    refused("InvalidInput", custom, **ask_custom, resources=["arn:aws:s3:::" + "x" * 2048])

    refused("UnsupportedParameter", custom, **ask_custom, ResourcePolicy=trust({"AWS": "*"}), says="The parameter ResourcePolicy is not supported")
    refused("UnsupportedParameter", principal, actions=[CONNECT], ResourceHandlingOption="EC2-VPC-InstanceStore", says="ResourceHandlingOption")
    refused("UnsupportedParameter", custom, **ask_custom, ResourceOwner="arn:aws:iam::210987654321:root", says="ResourceOwner")
    refused("InvalidInput", custom, **ask_custom, ResourceOwner=ACCOUNT, says=f"'{ACCOUNT}' is not a valid as a Resource Owner.")
    assert decision(principal([CONNECT], [dbuser("Jane")], ResourceOwner=f"arn:aws:iam::{ACCOUNT}:root")) == "allowed"

    for text, fault in (
        ("", "Syntax errors in policy."),
        ("{", "Syntax errors in policy."),
        (document(deny("s3")), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
        (document(deny("s3:*", "b")), 'Resource b must be in ARN format or "*".'),
        (trust({"AWS": "*"}), "Policy document should not specify a principal."),
    ):
        for name in ("PolicyInputList", "PermissionsBoundaryPolicyInputList"):
            asked = {"PolicyInputList": [OWN], name: [text], "ActionNames": [CONNECT]}
            refused("InvalidInput", raw.simulate_custom_policy, **asked, status=400, says=fault)
            refused("InvalidInput", raw.simulate_principal_policy, **asked, PolicySourceArn=JANE, says=fault)
    refused("ValidationError", raw.simulate_custom_policy, PolicyInputList=[OWN, OWN + " " * 131_072], ActionNames=[CONNECT], says="at 'policyInputList.2.member' failed to satisfy constraint: Member must have length less than or equal to 131072")
    refused("ValidationError", raw.simulate_custom_policy, ActionNames=[CONNECT], says="Value null at 'policyInputList'")
    refused("ValidationError", iam.simulate_custom_policy, PolicyInputList=[OWN], ActionNames=[CONNECT], Marker="%%", says="Invalid Marker")
    refused("ValidationError", raw.simulate_custom_policy, PolicyInputList=[OWN], ActionNames=[CONNECT], MaxItems=1001, says="maxItems")

    # With very many statements a page is shorter than was asked for, and none is left out.
    wide = document(*[{"Effect": "Allow", "Action": "a:b", "Resource": "*"}] * 1000)
    actions = [f"a:x{n}" for n in range(30)] * 2
    pages = list(iam.get_paginator("simulate_custom_policy").paginate(PolicyInputList=[wide], ActionNames=actions))
    assert [len(page["EvaluationResults"]) for page in pages] == [50, 10]
    assert [r["EvalActionName"] for page in pages for r in page["EvaluationResults"]] == actions


def permissions():
    def user(name, *statements):
        put_user(name, **({"p": document(*statements)} if statements else {}))
        return client("iam", iam.create_access_key(UserName=name)["AccessKey"])

    calls = {
        "SimulatePrincipalPolicy": (JANE, lambda c: c.simulate_principal_policy(PolicySourceArn=JANE, ActionNames=[CONNECT])),
        "GetContextKeysForPrincipalPolicy": (JANE, lambda c: c.get_context_keys_for_principal_policy(PolicySourceArn=JANE)),
        "SimulateCustomPolicy": ("*", lambda c: c.simulate_custom_policy(PolicyInputList=[OWN], ActionNames=[CONNECT])),
        "GetContextKeysForCustomPolicy": ("*", lambda c: c.get_context_keys_for_custom_policy(PolicyInputList=[OWN])),
    }
    nobody = user("without")
    for operation, (resource, call) in calls.items():
        may = user(f"may-{operation}"[:64], {"Effect": "Allow", "Action": f"iam:{operation}", "Resource": resource})
        call(may)
        refused("AccessDenied", lambda: call(nobody), status=403, says=f"is not authorized to perform: iam:{operation} on resource: {resource} because no identity-based policy allows")
        for other, (_, call) in calls.items():
            if other != operation:
                refused("AccessDenied", lambda: call(may), says=other)
    # Who may not ask does not learn who there is.
    missing = f"arn:aws:iam::{ACCOUNT}:user/none"
    refused("AccessDenied", nobody.simulate_principal_policy, PolicySourceArn=missing, ActionNames=[CONNECT], says=f"on resource: {missing}")


def unreadable():
    put_user("broken", p=allow("*"))
    ask("broken")
    source = f"arn:aws:iam::{ACCOUNT}:user/broken"
    quiet = client("iam", config=Config(retries={"total_max_attempts": 1}))
    refused("PolicyEvaluation", quiet.simulate_principal_policy, PolicySourceArn=source, ActionNames=[CONNECT], status=500, says="The policy p cannot be evaluated: Syntax errors in policy.")


def organizations():
    ask("organization")
    region = lambda name: f"arn:aws:sns:{name}:{ACCOUNT}:topic"
    allows = [allow("*")]
    by = lambda results: [(r["EvalDecision"], decided_by(r), r["OrganizationsDecisionDetail"]["AllowedByOrganizations"]) for r in results]
    assert by(principal(["s3:GetObject", "sqs:SendMessage"], source=DEVS, PolicyInputList=allows)) == [
        ("allowed", ["group_devs_reading", "PolicyInputList.1"], True),
        ("implicitDeny", [], False),
    ]
    results = principal(["sns:Publish"], [region("eu-west-1"), region("eu-west-2")], PolicyInputList=allows)
    assert by(results) == [("allowed", ["PolicyInputList.1"], True), ("explicitDeny", ["Some"], False)], results
    assert results[1]["MatchedStatements"][0]["StartPosition"]["Line"] == 2, results
    [result] = principal(["sns:Publish"], source=DEVS, PolicyInputList=allows)
    assert result["EvalDecision"] == "explicitDeny" and result["MissingContextValues"] == ["aws:RequestedRegion"], result
    # A role and a user alike; policies by themselves are nobody's, and belong to no organization.
    assert by(principal(["sqs:SendMessage"], source=APP)) == [("implicitDeny", [], False)]
    [result] = custom(allows, ["sqs:SendMessage"])
    assert result["EvalDecision"] == "allowed" and "OrganizationsDecisionDetail" not in result, result
    assert "aws:RequestedRegion" in iam.get_context_keys_for_principal_policy(PolicySourceArn=DEVS)["ContextKeyNames"]


for part in (users_and_groups, roles_and_aws_managed, callers, contexts, boundaries, context_keys, refusals, permissions, unreadable, organizations):
    part()

# Nothing is served that was not called, and the documentation knows it.
root = Path(__file__).parent / "../../../.."
table = (root / "crates/api/src/iam/mod.rs").read_text()
served = set(re.findall(r'^\s+"(\w+)" => simulate::', table, re.MULTILINE))
assert len(served) == 4 and served <= set(called), served - set(called)
documented = set(re.findall(r"\w+", (root / "docs/api.md").read_text()))
assert served <= documented, served - documented
