"""Service control policies, set from outside of the account: they limit everybody in it, the administrator too."""

from common import ACCOUNT, allow, client, new_user, refused, trust

iam, sts = client("iam"), client("sts")
me = f"User: arn:aws:iam::{ACCOUNT}:user/admin is not authorized to perform:"

# One level allows everything and denies the making of groups, the other allows everything but RDS and the listing of groups.
assert iam.list_users()["Users"]
assert refused("AccessDenied", iam.list_groups, status=403) == f"{me} iam:ListGroups on resource: arn:aws:iam::{ACCOUNT}:group/ because no service control policy allows the iam:ListGroups action"
assert refused("AccessDenied", iam.create_group, GroupName="g") == f"{me} iam:CreateGroup on resource: arn:aws:iam::{ACCOUNT}:group/g with an explicit deny in a service control policy"
refused("AccessDenied", client("rds").describe_db_instances, says="because no service control policy allows the rds:DescribeDBInstances action")
# It allows nothing by itself.
refused("AccessDenied", client("iam", new_user("nobody")).list_users, says="because no identity-based policy allows")

# A role that trusts the caller by name is limited as well; who am I is not.
iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/admin"}))
iam.put_role_policy(RoleName="app", PolicyName="p", PolicyDocument=allow("*"))
role = dict(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/app", RoleSessionName="s1")
session = client("iam", sts.assume_role(**role)["Credentials"])
assert session.list_roles()["Roles"]
refused("AccessDenied", session.list_groups, says="because no service control policy allows")
iam.create_role(RoleName="barred", AssumeRolePolicyDocument=trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/admin"}))
refused("AccessDenied", sts.assume_role, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/barred", RoleSessionName="s1", says="because no service control policy allows the sts:AssumeRole action")
assert sts.get_caller_identity()["Account"] == ACCOUNT
