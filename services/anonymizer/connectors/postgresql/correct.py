"""A person's wrong data in a PostgreSQL store are put right: in their own rows that say exactly what is wrong, in one transaction."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import orjson

from services.anonymizer.connectors.outcomes import Effect, by_right, merged, read, written
from services.anonymizer.connectors.postgresql import store as transactions
from services.anonymizer.connectors.postgresql.store import Connections
from services.anonymizer.connectors.postgresql.whose import NOBODYS, owned, spelled
from services.anonymizer.contract import Action, Correction, CorrectionRefused, Outcome
from services.anonymizer.datamap import Store
from services.anonymizer.rules.facts import Terms
from services.anonymizer.rules.person import Person, stored_as
from services.anonymizer.rules.pushdown import Params

# The column is of another type, too short, or the store's own rules forbid the value.
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.DatatypeMismatchError)


async def correct(
    connections: Connections, step: UUID, person: Person, terms: Terms, changes: list[Correction]
) -> Effect:
    """Raises CorrectionRefused, and then nothing was changed."""

    async def work(connection: asyncpg.Connection) -> Effect:
        if (done := await transactions.finished(connection, step)) is not None:
            return Effect(read(orjson.loads(done)))
        await transactions.begin(connection, step, terms.now)
        outcomes = await put_right(connection, connections.store, person, terms, changes)
        await transactions.finish(connection, step, written(outcomes))
        return Effect(outcomes)

    return await connections.write(work)


async def put_right(
    connection: asyncpg.Connection, store: Store, person: Person, terms: Terms, changes: Sequence[Correction]
) -> list[Outcome]:
    """Raises CorrectionRefused."""
    try:
        return merged([one for change in changes for one in await _change(connection, store, person, terms, change)])
    except _REFUSED:
        raise CorrectionRefused from None


async def _change(
    connection: asyncpg.Connection, store: Store, person: Person, terms: Terms, change: Correction
) -> list[Outcome]:
    outcomes = []
    for name, table in store.tables.items():
        # What the law keeps for authorities stays what was observed.
        if table.store_class == "retention" or owned(store, name, person, Params()) == NOBODYS:
            continue
        for column, declared in table.columns.items():
            if declared.element != change.element:
                continue
            params = Params()
            old, new = stored_as(declared.identifies, change.old), stored_as(declared.identifies, change.new)
            says = f"{spelled(table, column, f't.{column}')}::text = {params(old, 'text')}"
            status = await connection.execute(
                f"UPDATE {name} t SET {column} = {params(new, 'text')} "
                f"WHERE {says} AND {owned(store, name, person, params)}",
                *params,
            )
            count = int(status.rpartition(" ")[2])
            outcomes.append(
                by_right(store, name, "correction", Action.correct, count, terms.book, element=change.element)
            )
    return outcomes
