"""What conditions see of RDS's operations, and what limits of a session do to a login."""

from common import ACCOUNT, allow, client, document, new_user, refused, settle, statement, trust

REGION = "eu-central-1"
ARN = f"arn:aws:rds:{REGION}:{ACCOUNT}"
admin, iam = client("rds"), client("iam")
key = new_user("operator")
rds, sts = client("rds", key), client("sts", key)
red, blue = [{"Key": "team", "Value": "red"}], [{"Key": "team", "Value": "blue"}]


def may(call, *statements):
    """Whether the operator may, by these statements; errors that come after authorization do not count."""
    iam.put_user_policy(UserName="operator", PolicyName="p", PolicyDocument=document(*statements))
    try:
        call()
        return True
    except rds.exceptions.ClientError as error:
        return error.response["Error"]["Code"] != "AccessDenied"


def make(name, **more):
    given = dict(DBInstanceIdentifier=name, Engine="postgres", DBInstanceClass="db.t3.micro", AllocatedStorage=20, MasterUsername="postgres", MasterUserPassword="Master-pass-1")
    return lambda client=rds: client.create_db_instance(**(given | more))


# Creating: what is asked for. The groups that it uses are asked about too, with the same keys; `wrong` gets no further than
# the question, so that nothing is made.
groups = statement("Allow", "rds:CreateDBInstance", [f"{ARN}:{kind}:*" for kind in ("pg", "subgrp", "og", "cluster")])
for number, (condition, right, wrong) in enumerate((
    (dict(StringEquals={"rds:DatabaseEngine": "postgres"}), dict(Engine="Postgres"), dict(Engine="mysql")),
    (dict(StringLike={"rds:DatabaseClass": "db.t3.*"}), {}, dict(DBInstanceClass="db.r6g.large")),
    (dict(NumericLessThanEquals={"rds:StorageSize": "100"}), dict(AllocatedStorage=100), dict(AllocatedStorage=101)),
    (dict(StringEquals={"rds:DatabaseName": "app"}), dict(DBName="app"), dict(DBName="other")),
    (dict(StringEquals={"aws:RequestTag/team": "red"}), dict(Tags=red), dict(Tags=blue)),
    (dict(StringEquals={"rds:req-tag/team": "red"}), dict(Tags=red), dict()),
    (dict(StringEquals={"rds:req-tag/team": "red"}, ForAllValues__StringEquals={"aws:TagKeys": "team"}), dict(Tags=red), dict(Tags=[*red, {"Key": "x"}])),
)):
    one = statement("Allow", "rds:CreateDBInstance", f"{ARN}:db:*", **condition)
    assert not may(make(f"w{number}", **wrong), groups, one), condition
    assert may(make(f"r{number}", **right), groups, one), condition
names = {each["DBInstanceIdentifier"] for each in admin.describe_db_instances()["DBInstances"]}
assert {f"r{n}" for n in range(7)} <= names and not any(name.startswith("w") for name in names), names
settle()

# What exists: its tags, by each name, and what it is. The tags of r4 are red, those of r0 none.
for name, tag in (("r4", "aws:ResourceTag/team"), ("r4", "rds:db-tag/Team")):
    one = statement("Allow", "rds:*", "*", StringEquals={tag: "red"})
    assert may(lambda: rds.stop_db_instance(DBInstanceIdentifier="r4"), one), tag
    assert not may(lambda: rds.stop_db_instance(DBInstanceIdentifier="r0"), one), tag
    assert may(lambda: rds.describe_db_instances(DBInstanceIdentifier="r4"), one) and not may(rds.describe_db_instances, one)
    assert not may(lambda: rds.modify_db_instance(DBInstanceIdentifier="none"), one)
    for other in ("rds:cluster-tag/team", "rds:req-tag/team", "aws:RequestTag/team"):
        assert not may(lambda: rds.stop_db_instance(DBInstanceIdentifier="r4"), statement("Allow", "rds:*", "*", StringEquals={other: "red"})), other
assert may(lambda: rds.reboot_db_instance(DBInstanceIdentifier="r0"), statement("Allow", "rds:*", StringEquals={"rds:DatabaseEngine": "postgres"}, NumericEquals={"rds:StorageSize": "20"}))
for name, value in (("rds:DatabaseClass", "db.t3.micro"), ("rds:DatabaseName", "app"), ("rds:DatabaseEngine", "postgres")):
    describe = lambda: rds.describe_db_instances(DBInstanceIdentifier="r3")
    assert may(describe, statement("Allow", "rds:*", StringEquals={name: value})) and not may(describe, statement("Allow", "rds:*", StringNotEquals={name: value})), name
assert not may(lambda: rds.reboot_db_instance(DBInstanceIdentifier="r2"), statement("Allow", "rds:*", NumericLessThan={"rds:StorageSize": "100"}))

# Tagging: who may set which, on what; a tag that is asked for is none that the thing has.
tag = lambda tags, of="r4": lambda: rds.add_tags_to_resource(ResourceName=f"{ARN}:db:{of}", Tags=tags)
assert not may(tag(red, "r0"), statement("Allow", "rds:AddTagsToResource", StringEquals={"aws:ResourceTag/team": "red"}))
assert may(tag([{"Key": "cost", "Value": "1"}]), statement("Allow", "rds:AddTagsToResource", StringEquals={"aws:ResourceTag/team": "red"}, ForAllValues__StringEquals={"aws:TagKeys": "cost"}))
assert not may(tag(blue), statement("Allow", "rds:AddTagsToResource", ForAllValues__StringEquals={"aws:TagKeys": "cost"}))
assert not may(tag(blue), statement("Allow", "rds:AddTagsToResource", StringEquals={"rds:req-tag/team": "red"}))
remove = lambda keys: lambda: rds.remove_tags_from_resource(ResourceName=f"{ARN}:db:r4", TagKeys=keys)
assert not may(remove(["cost", "team"]), statement("Allow", "rds:*", ForAllValues__StringEquals={"aws:TagKeys": "cost"}))
assert may(remove(["cost"]), statement("Allow", "rds:*", ForAllValues__StringEquals={"aws:TagKeys": "cost"}))
assert may(lambda: rds.list_tags_for_resource(ResourceName=f"{ARN}:db:r4"), statement("Allow", "rds:*", StringEquals={"rds:db-tag/team": "red"}))

# Clusters and groups, each by its own name.
one = lambda key: statement("Allow", "rds:*", "*", StringEquals={key: "red"})
cluster = dict(Engine="aurora-postgresql", MasterUsername="postgres", MasterUserPassword="Master-pass-1")
some = statement("Allow", "rds:CreateDBCluster", [f"{ARN}:{kind}:*" for kind in ("cluster-pg", "subgrp", "og")])
wanted = statement("Allow", "rds:CreateDBCluster", f"{ARN}:cluster:*", StringEquals={"rds:req-tag/team": "red", "rds:DatabaseEngine": "aurora-postgresql"})
assert not may(lambda: rds.create_db_cluster(DBClusterIdentifier="cw", **cluster), some, wanted)
assert may(lambda: rds.create_db_cluster(DBClusterIdentifier="cr", Tags=red, **cluster), some, wanted)
assert admin.describe_db_clusters()["DBClusters"][0]["DBClusterIdentifier"] == "cr"
assert may(lambda: rds.stop_db_cluster(DBClusterIdentifier="cr"), one("rds:cluster-tag/team")) and not may(lambda: rds.stop_db_cluster(DBClusterIdentifier="cr"), one("rds:db-tag/team"))
for kind, made, call, describe in (
    ("pg", rds.create_db_parameter_group, dict(DBParameterGroupName="g", DBParameterGroupFamily="postgres17", Description="d"), lambda: rds.describe_db_parameters(DBParameterGroupName="g")),
    ("cluster-pg", rds.create_db_cluster_parameter_group, dict(DBClusterParameterGroupName="g", DBParameterGroupFamily="aurora-postgresql17", Description="d"), lambda: rds.describe_db_cluster_parameters(DBClusterParameterGroupName="g")),
    ("subgrp", rds.create_db_subnet_group, dict(DBSubnetGroupName="g", DBSubnetGroupDescription="d", SubnetIds=["subnet-01234567"]), lambda: rds.describe_db_subnet_groups(DBSubnetGroupName="g")),
):
    assert not may(lambda: made(**call), one("aws:RequestTag/team")) and may(lambda: made(Tags=red, **call), one("rds:req-tag/team")), kind
    assert may(describe, one(f"rds:{kind}-tag/team")) and may(describe, one("aws:ResourceTag/team")), kind
    assert not may(describe, one("rds:db-tag/team")), kind
# An instance in a group: the group's own tags count for the group.
use = [statement("Allow", "rds:CreateDBInstance", [f"{ARN}:{kind}:*" for kind in ("db", "subgrp", "og")]), statement("Allow", "rds:CreateDBInstance", f"{ARN}:pg:*", StringEquals={"rds:pg-tag/team": "red"})]
assert not may(make("ww"), *use) and may(make("rr", DBParameterGroupName="g", EngineVersion="17"), *use)
settle()

# Logins: what a session may is what all that limits it allow.
admin.modify_db_instance(DBInstanceIdentifier="r0", EnableIAMDatabaseAuthentication=True, ApplyImmediately=True)
settle()
made = admin.describe_db_instances(DBInstanceIdentifier="r0")["DBInstances"][0]
host, port, database = made["Endpoint"]["Address"], made["Endpoint"]["Port"], made["DbiResourceId"]
connect = lambda user="*", **more: statement("Allow", "rds-db:connect", f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:{database}/{user}", **more)


def login(credentials, user):
    """What the door would be told."""
    token = client("rds", credentials).generate_db_auth_token(host, port, user, REGION)
    print("login", database, user, token, flush=True)
    return input()


iam.put_user_policy(UserName="operator", PolicyName="p", PolicyDocument=document(connect(), statement("Allow", "sts:*")))
assert login(key, "jane") == login(key, "bob") == "allowed"
iam.create_role(RoleName="app", AssumeRolePolicyDocument=document({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": ["sts:AssumeRole", "sts:TagSession"]}))
iam.put_role_policy(RoleName="app", PolicyName="p", PolicyDocument=document(connect()))
assume = lambda **more: sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/app", RoleSessionName="s1", **more)["Credentials"]
assert login(assume(), "jane") == "allowed"
narrow = assume(Policy=document(connect("jane")))
assert (login(narrow, "jane"), login(narrow, "bob")) == ("allowed", "NotAllowed(Session)")
denying = assume(Policy=document(connect(), statement("Deny", "rds-db:Connect", f"arn:aws:rds-db:*:*:dbuser:*/bob")))
assert (login(denying, "jane"), login(denying, "bob")) == ("allowed", "ExplicitDeny(Session)")
managed = iam.create_policy(PolicyName="OnlyBob", PolicyDocument=document(connect("bob")))["Policy"]["Arn"]
session = assume(PolicyArns=[{"arn": managed}])
assert (login(session, "jane"), login(session, "bob")) == ("NotAllowed(Session)", "allowed")

# Tags of the session against those of the database, and in the name of the user.
iam.put_role_policy(RoleName="app", PolicyName="p", PolicyDocument=document(connect("${aws:PrincipalTag/user}")))
assert login(assume(), "jane") == "NotAllowed(Identity)"
session = assume(Tags=[{"Key": "user", "Value": "jane"}])
assert (login(session, "jane"), login(session, "bob")) == ("allowed", "NotAllowed(Identity)")
assert login(assume(Tags=[{"Key": "user", "Value": "@"}]), "jane") == "NotAllowed(Identity)"
iam.put_role_policy(RoleName="app", PolicyName="p", PolicyDocument=document(connect(StringEquals={"aws:ResourceTag/team": "${aws:PrincipalTag/team}"})))
admin.add_tags_to_resource(ResourceName=f"{ARN}:db:r0", Tags=red)
assert (login(assume(Tags=red), "jane"), login(assume(Tags=blue), "jane"), login(assume(), "jane")) == ("allowed", "NotAllowed(Identity)", "NotAllowed(Identity)")

# A boundary, of the role and of the user.
iam.put_role_policy(RoleName="app", PolicyName="p", PolicyDocument=document(connect()))
session = assume()
iam.put_role_permissions_boundary(RoleName="app", PermissionsBoundary=managed)
assert (login(session, "jane"), login(session, "bob")) == ("NotAllowed(Boundary)", "allowed")
iam.put_user_permissions_boundary(UserName="operator", PermissionsBoundary=managed)
assert (login(key, "jane"), login(key, "bob")) == ("NotAllowed(Boundary)", "allowed")
iam.delete_user_permissions_boundary(UserName="operator")
assert login(key, "jane") == "allowed"

# Somebody whom the operator vouches for.
federated = lambda **more: sts.get_federation_token(Name="guest", **more)["Credentials"]
assert login(federated(), "jane") == "NotAllowed(Session)"
guest = federated(Policy=document(connect("jane")))
assert (login(guest, "jane"), login(guest, "bob")) == ("allowed", "NotAllowed(Session)")
iam.put_user_policy(UserName="operator", PolicyName="p", PolicyDocument=document(connect("bob")))
assert login(guest, "jane") == "NotAllowed(Identity)"
