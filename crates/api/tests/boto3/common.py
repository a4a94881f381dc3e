"""What the scripts share: clients, and the expectation of a refusal."""

import json
import os
import xml.etree.ElementTree as ElementTree

import boto3
from botocore.exceptions import ClientError

ACCOUNT = "123456789012"
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]


def client(service, credentials=None, **options):
    """A client as the administrator, or with the credentials of an answer."""
    if credentials:
        options["aws_access_key_id"] = credentials["AccessKeyId"]
        options["aws_secret_access_key"] = credentials["SecretAccessKey"]
        options["aws_session_token"] = credentials.get("SessionToken")
    return boto3.client(service, **options)


def refused(code, call, *, status=None, says=None, **arguments):
    """The call must be refused with the code, the status, and the words."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        got = error.response["Error"]
        assert got["Code"] == code, f"expected {code}, got {error}"
        got_status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status in (None, got_status), f"expected {status}, got {got_status}: {error}"
        assert says is None or says in got["Message"], f"expected `{says}` in `{got['Message']}`"
        assert error.response["ResponseMetadata"]["RequestId"]
        return got["Message"]
    raise AssertionError(f"expected {code}, got {answer}")


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*"):
    return document({"Effect": "Allow", "Action": action, "Resource": resource})


def trust(principal, **more):
    return document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more})


def statement(effect, action, resource="*", **condition):
    """A statement; `StringEquals={"aws:username": "jane"}` is a condition."""
    more = {"Condition": {operator.replace("__", ":"): keys for operator, keys in condition.items()}} if condition else {}
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def new_user(name, *policies, **more):
    """A user with inline policies, and its access key."""
    iam = client("iam")
    iam.create_user(UserName=name, **more)
    for number, policy in enumerate(policies):
        iam.put_user_policy(UserName=name, PolicyName=f"p{number}", PolicyDocument=policy)
    return iam.create_access_key(UserName=name)["AccessKey"]


def with_headers(client, headers):
    """The client, sending headers of the caller's making."""
    client.meta.events.register("before-sign.*", lambda request, **_: [request.headers.add_header(*h) for h in headers.items()])
    return client


def conforms(shape, element):
    """Every member is one of the service model's: the parser of botocore skips in silence what it does not know."""
    name = lambda child: child.tag.split("}")[1]
    if shape.type_name == "structure":
        for child in element:
            assert name(child) in shape.members, f"{name(child)} is no member of {shape.name}"
            conforms(shape.members[name(child)], child)
    elif shape.type_name == "list":
        for child in element:
            expected = shape.member.serialization.get("name", "member")
            assert name(child) == expected, f"{name(child)} is not {expected}, the member of {shape.name}"
            conforms(shape.member, child)


def check_shape(http_response, model, **_):
    if http_response.status_code == 200 and model.output_shape:
        conforms(model.output_shape, ElementTree.fromstring(http_response.content)[0])


def conforming(client):
    """The client, which checks that every answer has members of the service model's alone."""
    client.meta.events.register("after-call.*", check_shape)
    return client


def settle():
    """Has the test write the status that the reconciler would."""
    print("settle", flush=True)
    assert input() == "settled"
