"""asyncpg: like libpq, with the authorities in a TLS context of Python's. It calls back for a token at each new connection."""

import asyncio
import ssl

import asyncpg

import login


class Connection:
    """What the other drivers have, over a loop of its own."""

    def __init__(self, to):
        self.loop = asyncio.new_event_loop()
        self.connection = self.loop.run_until_complete(connect(to))

    def cursor(self):
        return self

    def execute(self, query):
        self.row = self.loop.run_until_complete(self.connection.fetchrow(query))

    def fetchone(self):
        return list(self.row)

    def close(self):
        self.loop.run_until_complete(self.connection.close())
        self.loop.close()


async def connect(to):
    return await asyncpg.connect(
        host=to.host,
        port=to.port,
        user=to.user,
        password=lambda: to.token,
        database=to.database,
        ssl=ssl.create_default_context(cafile=to.ca),
    )


login.run(Connection, "select current_user, session_user, version()")
