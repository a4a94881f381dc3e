"""A policy document is kept as it was given: what is read back is what was written, byte for byte."""

import json
import urllib.parse

from common import ACCOUNT, client

iam = client("iam")
answers = []
iam.meta.events.register("before-parse.iam", lambda response_dict, **_: answers.append(response_dict["body"].decode()))


def between(text, tag):
    """What stands in the answer as it came, URL-encoded: boto3 would give back an object."""
    start = text.index(f"<{tag}>") + len(tag) + 2
    return urllib.parse.unquote(text[start : text.index(f"</{tag}>")])


RESOURCE = f"arn:aws:rds-db:eu-central-1:{ACCOUNT}:dbuser:*"
DOCUMENTS = {
    "plain": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"rds-db:connect","Resource":"%s/jane"}]}' % RESOURCE,
    "white space": '  {\t"Version" :\n"2012-10-17" ,\r\n\r\n "Statement"\t: {"Effect":"Allow" , "Action"  :[ "rds:*"\n] ,"Resource":"*"} \n}\n\t ',
    "line ends": '{\r\n  "Version": "2012-10-17",\r\n  "Statement": {\r\n    "Effect": "Allow",\r    "Action": "rds:*",\n    "Resource": "*"\r\n  }\r\n}\r\n',
    "no ASCII": '{"Version":"2012-10-17","Id":"Größe µ – 漢字 😀","Statement":{"Effect":"Allow","Action":"rds-db:connect","Resource":"%s/jürgen"}}' % RESOURCE,
    "escapes": r'{"Version":"2012\u002d10-17","Id":"\u00e9\ud83d\ude00 \"\\\/\b\f\n\r\t","Statement":{"\u0045ffect":"Allow","Action":"rds\u003a*","Resource":"*"}}',
    "looks encoded": '{"Version":"2012-10-17","Id":"a+b %20 %zz &amp; <x> ]]> + =&?#;","Statement":{"Effect":"Allow","Action":"rds:*","Resource":"*"}}',
    "order": '{"Statement":[{"Resource":["*"],"NotAction":["iam:*","sts:*"],"Effect":"Deny","Sid":"Z9"}],"Id":"","Version":"2012-10-17"}',
    "conditions": '{"Version":"2012-10-17","Statement":{"Condition":{"StringLike":{"aws:PrincipalTag/Team":["a*","${*}","${aws:PrincipalTag/team, \'x y\'}"]},"Bool":{"aws:SecureTransport":true},"NumericLessThan":{"rds:StorageSize":1.50e2},"ForAnyValue:StringEquals":{"aws:TagKeys":[]}},"Resource":"%s/${aws:username}","Action":"rds-db:connect","Effect":"Allow"}}' % RESOURCE,
}
TRUSTS = {
    "white space": '\n{"Version" : "2012-10-17",\r\n"Statement":[ {"Action":"sts:AssumeRole","Principal":{"AWS":["%s" ]},\t"Effect":"Allow"}]}\r\n ' % ACCOUNT,
    "older": '{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"sts:AssumeRole"},"Version":"2008-10-17"}' % ACCOUNT,
    "no ASCII": '{"Version":"2012-10-17","Id":"Größe 漢字 \\u00e9","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}}',
    "conditions": '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":["a+b","c/d"]},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"StringLike":{"sts:RoleSessionName":"${aws:username}"}}}}',
}


def same(written, tag, read, **arguments):
    read(**arguments)
    got = between(answers[-1], tag)
    assert got == written, f"written {written!r}, read {got!r}"


def managed_and_inline():
    iam.create_user(UserName="jane")
    iam.create_group(GroupName="devs")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUSTS["older"])
    arn = iam.create_policy(PolicyName="versions", PolicyDocument=DOCUMENTS["plain"])["Policy"]["Arn"]
    for number, (name, text) in enumerate(DOCUMENTS.items(), 2):
        made = iam.create_policy(PolicyName=f"own-{number}", PolicyDocument=text)["Policy"]["Arn"]
        same(text, "Document", iam.get_policy_version, PolicyArn=made, VersionId="v1")
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
        same(text, "Document", iam.get_policy_version, PolicyArn=arn, VersionId=f"v{number}")
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number - 1}")
        for kind, who in (("user", "jane"), ("group", "devs"), ("role", "app")):
            who = {f"{kind.capitalize()}Name": who, "PolicyName": "inline"}
            getattr(iam, f"put_{kind}_policy")(PolicyDocument=text, **who)
            same(text, "PolicyDocument", getattr(iam, f"get_{kind}_policy"), **who)
        # Another write of the record, as a tag is, leaves it as it is.
        iam.tag_user(UserName="jane", Tags=[{"Key": "k", "Value": name.replace(" ", "-")}])
        same(text, "PolicyDocument", iam.get_user_policy, UserName="jane", PolicyName="inline")
        # What boto3 makes of it is what it says.
        assert iam.get_policy_version(PolicyArn=made, VersionId="v1")["PolicyVersion"]["Document"] == json.loads(text), name


def trust():
    for name, text in TRUSTS.items():
        role = f"trusting-{name.replace(' ', '-')}"
        same(text, "AssumeRolePolicyDocument", iam.create_role, RoleName=role, Path=f"/{role}/", AssumeRolePolicyDocument=text)
        same(text, "AssumeRolePolicyDocument", iam.get_role, RoleName=role)
        same(text, "AssumeRolePolicyDocument", iam.list_roles, PathPrefix=f"/{role}/")
        iam.update_assume_role_policy(RoleName="app", PolicyDocument=text)
        same(text, "AssumeRolePolicyDocument", iam.get_role, RoleName="app")


for part in (managed_and_inline, trust):
    part()
