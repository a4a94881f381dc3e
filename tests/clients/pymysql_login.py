"""PyMySQL: sends the token as the password when the server switches to mysql_clear_password; needs TLS settings only.

The file cannot be named `pymysql.py`: it would import itself.
"""

import pymysql

import login


def connect(to):
    return pymysql.connect(
        host=to.host,
        port=to.port,
        user=to.user,
        password=to.token,
        database=to.database,
        ssl_ca=to.ca,
        ssl_verify_cert=True,
        ssl_verify_identity=True,
    )


login.run(connect)
