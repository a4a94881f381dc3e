"""MySQL Connector/Python, its C extension: sends passwords in the clear, under TLS, only where it is told to."""

import mysql.connector

import login


def connect(to):
    return mysql.connector.connect(
        host=to.host,
        port=to.port,
        user=to.user,
        password=to.token,
        database=to.database,
        ssl_ca=to.ca,
        ssl_verify_cert=True,
        ssl_verify_identity=True,
        auth_plugin="mysql_clear_password",
        use_pure=False,
    )


login.run(connect)
