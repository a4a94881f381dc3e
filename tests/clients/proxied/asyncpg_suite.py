"""asyncpg: a pool, prepared statements, binary COPY, timeouts that cancel."""

import asyncio

import asyncpg
from suite import LARGE, Suite


async def main():
    suite = Suite()
    to = {"host": suite.host, "port": suite.port, "user": suite.user, "database": suite.database}
    async with asyncpg.create_pool(**to, min_size=4, max_size=8) as pool:
        suite.equal("user", await pool.fetchval("select session_user"), suite.user)
        squares = await asyncio.gather(*(pool.fetchval("select $1::int * $1", n) for n in range(500)))
        suite.equal("in parallel", squares, [n * n for n in range(500)])
        async with pool.acquire() as connection:
            statement = await connection.prepare("select $1::int8 + 1")
            for number in (0, 1, 2**40):
                suite.equal("prepared", await statement.fetchval(number), number + 1)
            suite.equal("large", await connection.fetchval("select $1::text", "z" * LARGE), "z" * LARGE)
            await connection.execute("create temp table pairs (a int, b text)")
            rows = [(n, f"row {n}") for n in range(20_000)]
            await connection.copy_records_to_table("pairs", records=rows)
            suite.equal("copied", await connection.fetchval("select count(*) from pairs"), 20_000)
            async with connection.transaction():
                cursor = connection.cursor("select a from pairs order by a", prefetch=7)
                suite.equal("cursor", [row["a"] async for row in cursor], list(range(20_000)))
            try:
                await connection.execute("select pg_sleep(30)", timeout=0.2)
            except asyncio.TimeoutError:
                pass
            suite.equal("after the timeout", await connection.fetchval("select 1"), 1)
    suite.done()


asyncio.run(main())
