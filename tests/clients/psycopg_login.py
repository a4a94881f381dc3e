"""psycopg 3: sends the token as the password, whichever way the server asks for one; needs libpq's TLS settings only."""

import psycopg

import login


def connect(to):
    return psycopg.connect(
        host=to.host,
        port=to.port,
        user=to.user,
        password=to.token,
        dbname=to.database,
        sslmode="verify-full",
        sslrootcert=to.ca,
    )


login.run(connect, "select current_user, session_user, version()")
