"""A month copied without what goes, and put in the place of the old one, in one transaction.

A DELETE writes every row it takes to the log, once for the row and once for each index, and leaves the room to a later vacuum. A copy
writes only what stays; its indexes are built once, when it is attached. Readers see the old month until the commit, writers of that
one month wait.
"""

from collections.abc import Callable

import asyncpg

from services.anonymizer.rules.pushdown import Params

_BOUND = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = $1::regclass"
_OWNER = "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = $1::regclass"
_RIGHTS = """
SELECT format('GRANT %s ON %s TO %s', a.privilege_type, $1::text, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = $1::regclass AND a.grantee <> c.relowner"""


async def exchange(connection: asyncpg.Connection, table: str, month: str, expiry: Callable[[Params], str]) -> None:
    """The caller holds a lock that keeps writers out of `month`."""
    bound, owner = await connection.fetchval(_BOUND, month), await connection.fetchval(_OWNER, month)
    rights = [row[0] for row in await connection.fetch(_RIGHTS, month)]
    old, params = f"{month}_old", Params()
    await connection.execute(f"SET LOCAL ROLE {owner}")
    await connection.execute(f"ALTER TABLE {table} DETACH PARTITION {month}")
    await connection.execute(f"ALTER TABLE {month} RENAME TO {old}")
    await connection.execute(
        f"CREATE TABLE {month} (LIKE {old} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"
    )
    # A row of which nothing is known stays: only what certainly goes is left out.
    await connection.execute(
        f"INSERT INTO {month} SELECT t.* FROM {old} t WHERE ({expiry(params)}) IS NOT TRUE", *params
    )
    await connection.execute(f"DROP TABLE {old}")
    await connection.execute(f"ALTER TABLE {table} ATTACH PARTITION {month} {bound}")
    for right in rights:
        await connection.execute(right)
    await connection.execute("RESET ROLE")
