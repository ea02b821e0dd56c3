"""Whose a row is, and what it may still say, as SQL over a table aliased `t`."""

from services.anonymizer.contract import IdentifierType
from services.anonymizer.datamap import TECHNICAL, Link, Store, Table
from services.anonymizer.rules.person import COUNTRY, FINDS, Known, Person
from services.anonymizer.rules.pushdown import Params

NOBODYS = "false"


def owned(store: Store, name: str, person: Person, params: Params, alias: str = "t") -> str:
    """The rows that are the person's own: by an identifier of theirs, or because they hang on such a row."""
    table = store.tables[name]
    found = [
        _is(table, column, known, params, alias)
        for column, identifies in table.identifying.items()
        if identifies.party in ("owner", "caller") and identifies.type in FINDS
        for known in person.of(identifies.type)
    ]
    inner = f"{alias}{len(alias)}"
    for link in table.links:
        where = owned(store, link.table, person, params, inner)
        if where != NOBODYS:
            found.append(
                f"{alias}.{link.column} IN (SELECT {inner}.{link.key} FROM {link.table} {inner} WHERE {where})"
            )
    if not found:
        return NOBODYS
    return f"(({' OR '.join(found)}) AND {within(store, table, person, params, alias)})"


def other_party_columns(store: Store, name: str, person: Person) -> list[str]:
    """The columns in which the person may stand as the other party of somebody's traffic."""
    identifying = store.tables[name].identifying
    return [column for column, what in identifying.items() if what.party == "callee" and person.of(what.type)]


def named_in(store: Store, name: str, column: str, person: Person, params: Params) -> str:
    """The rows in which the person stands in `column` as the other party."""
    table = store.tables[name]
    found = [_is(table, column, known, params, "t") for known in person.of(table.identifying[column].type)]
    return f"({' OR '.join(found)}) AND {within(store, table, person, params)}"


def worked(store: Store, name: str, person: Person, params: Params) -> str:
    """The rows of the person's work as an agent. Two employers may number their agents alike."""
    table = store.tables[name]
    found = [
        _is(table, column, known, params, "t")
        for column, identifies in table.identifying.items()
        if identifies.party == "agent"
        for known in person.of(identifies.type)
    ]
    return f"({' OR '.join(found)}) AND t.{table.tenant} = {params(person.tenant, 'uuid')}" if found else NOBODYS


def _is(table: Table, column: str, known: Known, params: Params, alias: str) -> str:
    """One value in one column, while it was theirs."""
    parts = [f"{spelled(table, column, f'{alias}.{column}')} = {params(known.value, 'text')}"]
    if known.from_:
        parts.append(f"{alias}.{table.at} >= {params(known.from_, 'timestamptz')}")
    if known.to:
        parts.append(f"{alias}.{table.at} < {params(known.to, 'timestamptz')}")
    return f"({' AND '.join(parts)})"


def spelled(table: Table, column: str, value: str) -> str:
    """A column's value (SQL) in the one spelling of its type: where people wrote it, worked out; elsewhere as it stands."""
    declared = table.columns[column]
    if not declared.as_written or not declared.identifies:
        return value
    if declared.identifies.type == IdentifierType.email:
        return f"lower(btrim(regexp_replace({value}, '^.*<|>.*$', '', 'g'), E' \\t\\r\\n\\u00a0'))"
    digits = f"regexp_replace(regexp_replace({value}, '\\(0\\)|[^0-9+]', '', 'g'), '^00', '+')"
    return f"ltrim(regexp_replace({digits}, '^0', '{COUNTRY}'), '+')"


def within(store: Store, table: Table, person: Person, params: Params, alias: str = "t") -> str:
    """Where tenants decide about their own data, one tenant's person is nobody in another's."""
    return "true" if store.controller == "operator" else f"{alias}.{table.tenant} = {params(person.tenant, 'uuid')}"


def other_bearers(store: Store, table: Table, names: set[str], params: Params) -> str:
    """Rows that belong to somebody who bears one of these names: it is their own name that stands in their text."""
    own = [
        f"lower(t.{column})"
        for column, identifies in table.identifying.items()
        if identifies.type == IdentifierType.name
    ]
    for link in table.links:
        for column, identifies in store.tables[link.table].identifying.items():
            if identifies.type == IdentifierType.name:
                own.append(f"(SELECT lower(p.{column}) FROM {link.table} p WHERE p.{link.key} = t.{link.column})")
    if not own or not names:
        return NOBODYS
    bearers = params([name.lower() for name in names], "text[]")
    return "(" + " OR ".join(f"coalesce({name} = ANY({bearers}), false)" for name in own) + ")"


def refers(link: Link) -> str:
    """A row elsewhere refers to this one."""
    return f"EXISTS (SELECT FROM {link.table} o WHERE o.{link.column} = t.{link.key})"


def blanks(table: Table, params: Params) -> dict[str, str]:
    """What stands in each column of a row that stays only because another refers to it."""
    return {
        column: params(declared.redacted, "text")
        for column, declared in table.columns.items()
        if declared.element != TECHNICAL and not declared.stays
    }


def reduced(table: Table, params: Params) -> str:
    """The row stays only because another refers to it, and says no more than that one needs."""
    if not table.stays_for:
        return "false"
    same = " AND ".join(f"t.{column} IS NOT DISTINCT FROM {blank}" for column, blank in blanks(table, params).items())
    return f"(({' OR '.join(refers(link) for link in table.stays_for)}) AND {same})"
