"""The AWS Advanced Python Wrapper over MySQL Connector/Python: makes the token itself, with boto3's credentials, for a host
that is named as on Amazon RDS, whatever host it then connects to."""

import mysql.connector
from aws_advanced_python_wrapper import AwsWrapperConnection, release_resources

import login


def connect(to):
    return AwsWrapperConnection.connect(
        mysql.connector.connect,
        host=to.host,
        port=to.port,
        user=to.user,
        database=to.database,
        plugins="iam",
        iam_host=to.iam_host,
        iam_region=to.region,
        iam_default_port=to.port,
        ssl_ca=to.ca,
        ssl_verify_cert=True,
        ssl_verify_identity=True,
        use_pure=False,
    )


try:
    login.run(connect, signs=True)
finally:
    # Its threads would keep the program from ending.
    release_resources()
