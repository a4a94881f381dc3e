"""What the scripts share: clients, and the expectation of a refusal."""

import json
import os

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
