"""What is below the operations: signatures in both forms, what is refused and in which order, forms and bodies."""

import datetime
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session

from common import ACCOUNT, ENDPOINT, client, refused

STS, IAM = "2011-06-15", "2010-05-08"
own = botocore.session.get_session().get_credentials()


def send(method="POST", body="", query="", headers=None):
    """Sends a request as it stands: the status, the code, the message."""
    request = urllib.request.Request(
        f"{ENDPOINT}/" + (f"?{query}" if query else ""), data=body.encode() if body else None, method=method, headers=dict(headers or {}),
    )
    if body and not any(name.lower() == "content-type" for name in request.headers):
        request.add_header("Content-Type", "application/x-www-form-urlencoded")
    try:
        answer = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    text = answer.read().decode()
    assert answer.headers["x-amzn-RequestId"], text
    root = ElementTree.fromstring(text)
    namespace = root.tag[: root.tag.index("}") + 1]
    if answer.status == 200:
        return 200, root.tag.removeprefix(namespace), text
    assert root.find(f"{namespace}RequestId").text == answer.headers["x-amzn-RequestId"]
    error = root.find(f"{namespace}Error")
    assert error.find(f"{namespace}Type").text == "Sender", text
    return answer.status, error.find(f"{namespace}Code").text, error.find(f"{namespace}Message").text


def signed(
    form, *, service="sts", region="eu-central-1", key=None, secret=None, token=None, at=None,
    method="POST", presign=False, query="", headers=None,
):
    """Signs with botocore, at any time, with any key: what to send."""
    credentials = botocore.credentials.Credentials(key or own.access_key, secret or own.secret_key, token)
    headers = dict(headers or {})
    if method == "POST" and not presign:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
    parts = [part for part in (query, form if method == "GET" else "") if part]
    url = f"{ENDPOINT}/" + ("?" + "&".join(parts) if parts else "")
    data = form if method == "POST" else ""
    if presign and data:
        data = dict(urllib.parse.parse_qsl(data))  # botocore moves these into the query
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=data, headers=headers)
    auth = (botocore.auth.SigV4QueryAuth if presign else botocore.auth.SigV4Auth)(credentials, service, region)
    real = botocore.auth.get_current_datetime if hasattr(botocore.auth, "get_current_datetime") else None
    moment = datetime.datetime.now(datetime.UTC) if at is None else at
    assert real, "this botocore keeps its clock elsewhere"
    botocore.auth.get_current_datetime = lambda *_, **__: moment.replace(tzinfo=None)
    try:
        auth.add_auth(request)
    finally:
        botocore.auth.get_current_datetime = real
    prepared = request.prepare()
    body = prepared.body.decode() if isinstance(prepared.body, bytes) else prepared.body or ""
    return dict(method=method, body=body, query=urllib.parse.urlsplit(prepared.url).query, headers=[(n, v) for n, v in prepared.headers.items() if n.lower() != "content-length"])


WHO = f"Action=GetCallerIdentity&Version={STS}"
ago = lambda **how: datetime.datetime.now(datetime.UTC) - datetime.timedelta(**how)


def forms():
    for how in (dict(), dict(method="GET"), dict(method="GET", presign=True), dict(presign=True), dict(query="a=", form="")):
        form = how.pop("form", WHO)
        if how.get("query"):
            how["query"] = WHO
        status, tag, text = send(**signed(form, **how))
        assert (status, tag) == (200, "GetCallerIdentityResponse"), (how, text)
    url = client("sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    assert b":user/admin</Arn>" in urllib.request.urlopen(url).read()


def order():
    send_signed = lambda *a, **k: send(**signed(*a, **k))
    unsigned = send(body=WHO)
    assert unsigned == (403, "MissingAuthenticationToken", "Request is missing Authentication Token"), unsigned
    half = send(body=WHO, headers={"Authorization": "AWS4-HMAC-SHA256 Credential=x"})
    assert half[:2] == (400, "IncompleteSignature") and "SignedHeaders" in half[2], half

    # A stranger who is late is told of the time; a stranger in time, that the key is not known.
    stranger = dict(key="AKIAAAAAAAAAAAAAAAAA", secret="x")
    late = send_signed(WHO, at=ago(minutes=16), **stranger)
    assert late[:2] == (403, "SignatureDoesNotMatch") and late[2].startswith("Signature expired: "), late
    assert " is now earlier than " in late[2] and late[2].endswith("- 15 min.)"), late
    early = send_signed(WHO, at=ago(minutes=-16))
    assert early[1] == "SignatureDoesNotMatch" and early[2].startswith("Signature not yet current: "), early
    for minutes in (14, -14):
        assert send_signed(WHO, at=ago(minutes=minutes))[0] == 200, minutes
    unknown = send_signed(WHO, **stranger)
    assert unknown == (403, "InvalidClientTokenId", "The security token included in the request is invalid."), unknown
    for bad in ("nokey", "ASIAAAAAAAAAAAAAAAAA", "AKIAaaaaaaaaaaaaaaaa"):
        assert send_signed(WHO, key=bad, secret="x") == unknown, bad
    assert send_signed(WHO, token="x") == unknown, "a long-term key has no token"

    wrong = send_signed(WHO, secret="wrong")
    assert wrong[:2] == (403, "SignatureDoesNotMatch") and wrong[2].startswith("The request signature we calculated"), wrong
    for service in ("iam", "rds-db", "s3"):
        scope = send_signed(WHO, service=service)
        assert scope[:2] == (403, "SignatureDoesNotMatch") and scope[2] == "Credential should be scoped to correct service: 'sts'.", scope
    assert send_signed(WHO, region="us_east!")[0] != 200
    region = send_signed(WHO, region="nowhere")
    assert region[1] == "SignatureDoesNotMatch" and "valid region" in region[2], region

    # What was signed is what arrived.
    changed = signed(WHO)
    changed["body"] = changed["body"].replace("GetCallerIdentity", "GetSessionToken")
    assert send(**changed)[1] == "SignatureDoesNotMatch"
    changed = signed(WHO, presign=True, method="GET")
    changed["query"] += "&DurationSeconds=900"
    assert send(**changed)[1] == "SignatureDoesNotMatch"


def operations():
    send_signed = lambda *a, **k: send(**signed(*a, **k))
    assert send_signed(f"Action=Nothing&Version={STS}") == (400, "InvalidAction", f"Could not find operation Nothing for version {STS}")
    assert send_signed("Action=GetCallerIdentity") == (400, "InvalidAction", "Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED")
    assert send_signed("Action=GetCallerIdentity&Version=2000-01-01")[1] == "InvalidAction"
    assert send_signed(f"Version={STS}")[:2] == (400, "MissingAction")
    assert send_signed(f"{WHO}&Nonsense=1") == (400, "UnknownParameter", "The parameter Nonsense is not recognized by this operation")
    assert send_signed(f"{WHO}&Version={STS}")[1] == "MalformedQueryString"
    assert send_signed(f"{WHO}&a=%zz")[1] == "MalformedQueryString"
    assert send_signed(WHO, headers={"Content-Type": "application/json"})[1] == "MalformedQueryString"
    assert send_signed(WHO + "&a=" + "x" * (1 << 20))[:2] == (413, "RequestEntityTooLarge")
    assert send_signed(f"Action=GetUser&Version={IAM}&UserName=%3Cx%3E%00", service="iam")[1] == "ValidationError"
    # IAM is signed for any region; RDS answers at the same place.
    for region in ("us-east-1", "eu-west-3", "us-gov-west-1", "xx-lab-1"):
        assert client("iam", region_name=region).get_user()["User"]["UserName"] == "admin"
    assert urllib.request.urlopen(f"{ENDPOINT}/health").read() == b"ok"


for part in (forms, order, operations):
    part()
