"""The bundles over HTTP, and the one object of the one bucket through boto3's S3."""

import ssl
import urllib.error
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from common import ENDPOINT, refused


def get(path, method="GET"):
    try:
        answer = urllib.request.urlopen(urllib.request.Request(f"{ENDPOINT}{path}", method=method))
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.read(), answer.headers


def certificates(pem):
    return ssl.create_default_context(cadata=pem.decode()).get_ca_certs()


status, regional, _ = get("/eu-west-1/eu-west-1-bundle.pem")
assert status == 200 and regional.startswith(b"#"), regional
names = {entry[0][1] for each in certificates(regional) for entry in each["subject"]}
assert any("eu-west-1 Root CA ECC384" in name for name in names), names
assert get("/eu-west-1/eu-west-1-bundle.pem")[1] == regional, "an authority is made once"
assert len(certificates(get("/us-east-1/us-east-1-bundle.pem")[1])) == len(certificates(regional))
whole = get("/global/global-bundle.pem")[1]
assert len(certificates(whole)) == 2 * len(certificates(regional))
status, p7b, _ = get("/eu-west-1/eu-west-1-bundle.p7b")
assert status == 200 and p7b[:1] == b"\x30"
assert get("/global/global-bundle.p7b")[0] == 200
for path in ("/xx-lab-1/xx-lab-1-bundle.pem", "/eu-west-1/eu-west-2-bundle.pem", "/eu-west-1/eu-west-1-bundle.txt", "/x", "/x/y", "/a/b/c"):
    assert get(path)[0] == 404, path
assert b"us-east-1" in get("/xx-lab-1/xx-lab-1-bundle.pem")[1]
status, body, headers = get("/global/global-bundle.pem", "HEAD")
assert status == 200 and body == b"" and int(headers["content-length"]) == len(whole)

for options in (dict(config=Config(signature_version=UNSIGNED)), dict()):
    s3 = boto3.client("s3", **options)
    head = s3.head_object(Bucket="rds-downloads", Key="rds-combined-ca-bundle.pem")
    got = s3.get_object(Bucket="rds-downloads", Key="rds-combined-ca-bundle.pem")
    assert got["Body"].read() == whole and head["ContentLength"] == len(whole)
    assert head["ETag"] == got["ETag"] and head["LastModified"] == got["LastModified"]
    refused("NoSuchKey", s3.get_object, Bucket="rds-downloads", Key="other.pem", status=404)
    refused("NoSuchKey", s3.get_object, Bucket="rds-downloads", Key="a/b", status=404)
    refused("NoSuchBucket", s3.get_object, Bucket="other", Key="rds-combined-ca-bundle.pem", status=404)
    refused("NoSuchBucket", s3.list_objects_v2, Bucket="other", status=404)
