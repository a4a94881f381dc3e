"""PyMySQL: parameters, transactions, several statements, large packets, errors, an unbuffered cursor, KILL QUERY."""

import threading

import pymysql
from suite import LARGE, Suite

suite = Suite()
to = {"host": suite.host, "port": suite.port, "user": suite.user, "database": suite.database}
connection = pymysql.connect(**to, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS, charset="utf8mb4")


def one(sql, value=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, None if value is None else (value,))
        return cursor.fetchone()[0]


suite.equal("user", one("select current_user()").split("@")[0], suite.user)
suite.equal("text", one("select %s", "schöne Grüße \N{SNOWMAN}"), "schöne Grüße \N{SNOWMAN}")
suite.equal("large result", one(f"select repeat('x', {LARGE})"), "x" * LARGE)
suite.equal("large statement", one("select length(%s)", "y" * LARGE), LARGE)
with connection.cursor() as cursor:
    cursor.execute("select 1; select 2; select 3")
    results = [cursor.fetchone()[0]]
    while cursor.nextset():
        results.append(cursor.fetchone()[0])
    suite.equal("several statements", results, [1, 2, 3])
    cursor.execute("create temporary table numbers (n int primary key, name varchar(40))")
    cursor.executemany("insert into numbers values (%s, %s)", [(n, f"name {n}") for n in range(5_000)])
    connection.commit()
    cursor.execute("delete from numbers")
    connection.rollback()
suite.equal("rolled back", one("select count(*) from numbers"), 5_000)
with connection.cursor(pymysql.cursors.SSCursor) as cursor:
    cursor.execute("select n from numbers order by n")
    suite.equal("unbuffered", sum(row[0] for row in cursor), sum(range(5_000)))
suite.raises("error", "1146", lambda: one("select * from absent"))
suite.equal("after the error", one("select 1"), 1)

other = pymysql.connect(**to)
number = connection.thread_id()
suite.equal("connection id", one("select connection_id()"), number)
kill = threading.Timer(0.3, lambda: other.query(f"kill query {number}"))
kill.start()
with connection.cursor() as cursor:
    # An interrupted sleep() is 1, or an error: both mean that it ended.
    try:
        cursor.execute("select sleep(30)")
        suite.equal("killed", cursor.fetchone()[0], 1)
    except pymysql.err.OperationalError as error:
        suite.equal("killed", error.args[0], 1317)
kill.join()
suite.equal("after the kill", one("select 1"), 1)
connection.ping(reconnect=False)
suite.raises("no database", "absent", lambda: pymysql.connect(**{**to, "database": "absent"}))
suite.done()
