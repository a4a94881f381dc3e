"""psycopg 3: prepared statements, transactions, COPY both ways, pipelines, cursors, cancel, notifications."""

import threading

import psycopg
from suite import LARGE, Suite

suite = Suite()
to = {"host": suite.host, "port": suite.port, "user": suite.user, "dbname": suite.database}

with psycopg.connect(**to, autocommit=True) as connection:
    one = lambda sql, *values: connection.execute(sql, values).fetchone()[0]  # noqa: E731
    suite.equal("user", one("select session_user"), suite.user)
    for number in range(20):  # prepared by the server from the sixth on
        suite.equal("parameters", one("select %s::int + 1", number), number + 1)
    suite.equal("large result", one("select repeat('x', %s)", LARGE), "x" * LARGE)
    suite.equal("large parameter", one("select length(%s::text)", "y" * LARGE), LARGE)
    suite.equal("large and back", one("select %s::bytea", bytes(range(256)) * 4096), bytes(range(256)) * 4096)

    connection.execute("create temp table numbers (n int, name text)")
    with connection.cursor().copy("copy numbers from stdin") as copy:
        for number in range(50_000):
            copy.write_row((number, f"name {number}"))
    suite.equal("copied in", one("select sum(n) from numbers"), sum(range(50_000)))
    with connection.cursor().copy("copy numbers to stdout") as copy:
        suite.equal("copied out", sum(1 for _ in copy.rows()), 50_000)

    with connection.pipeline():
        cursors = [connection.execute("select %s::int", (number,)) for number in range(200)]
    suite.equal("pipeline", [cursor.fetchone()[0] for cursor in cursors], list(range(200)))

    with connection.transaction(force_rollback=True):
        connection.execute("delete from numbers")
    suite.equal("rolled back", one("select count(*) from numbers"), 50_000)
    with connection.transaction(), connection.cursor("here") as cursor:
        cursor.execute("select n from numbers order by n")
        suite.equal("cursor", cursor.fetchmany(3), [(0,), (1,), (2,)])

    suite.raises("error", "division by zero", lambda: one("select 1 / 0"))
    suite.equal("after the error", one("select 1"), 1)

    threading.Timer(0.2, connection.cancel).start()
    suite.raises("cancel", "canceling statement due to user request", lambda: one("select pg_sleep(30)"))
    suite.equal("after the cancel", one("select 1"), 1)

    connection.execute("listen news")
    with psycopg.connect(**to, autocommit=True) as other:
        other.execute("notify news, 'hello'")
    suite.equal("notification", next(connection.notifies(timeout=10)).payload, "hello")

with psycopg.connect(**to, application_name="odd 'name'", options="-c work_mem=5MB") as connection:
    shown = connection.execute("select current_setting('application_name'), current_setting('work_mem')").fetchone()
    suite.equal("startup parameters", shown, ("odd 'name'", "5MB"))
suite.raises("no database", 'database "absent" does not exist', lambda: psycopg.connect(**{**to, "dbname": "absent"}))
suite.done()
