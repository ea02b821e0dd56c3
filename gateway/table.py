"""What a row of the route table says, and finding the row of a request.

Paths are compared as they came over the wire, never decoded: what a service would read differently from the edge (an escaped slash,
a dot segment) matches no row.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from chassis.auth import Caller
from chassis.errors import Forbidden, MethodNotAllowed, NotFound

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NAME = re.compile(r"\{(\w+)\}")
# Every value in a path is an id or a name of ours.
_VALUE = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]{1,128}"


@dataclass(frozen=True)
class Row:
    """One operation at one edge.

    service: the process that answers (the edge's own name for what it answers itself) · inner: its path there, if it differs ·
    scopes: one of them is needed; empty means nobody is asked for a token · kinds, roles, clients: who may, where that is narrower
    than the scope · rate: a class of `limits.RATES` · key: whether an Idempotency-Key is required.
    """

    edge: str
    method: str
    path: str
    service: str
    scopes: frozenset[str] = frozenset()
    inner: str | None = None
    kinds: frozenset[str] = frozenset({"customer", "staff", "client"})
    roles: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()
    rate: str = "read"
    key: bool = False

    @property
    def public(self) -> bool:
        return not self.scopes

    @property
    def service_path(self) -> str:
        return self.inner or self.path

    def inner_of(self, path: str) -> str:
        """Where the service has what came as `path`."""
        if self.inner is None:
            return path
        given = dict(zip(self.path.split("/"), path.split("/"), strict=True))
        return "/".join(given[part] if part.startswith("{") else part for part in self.inner.split("/"))

    def admit(self, caller: Caller) -> None:
        """Raises Forbidden for whom this row is not."""
        if not self.scopes & caller.scopes:
            raise Forbidden(f"This needs the scope {' or '.join(sorted(self.scopes))}.")
        if caller.kind not in self.kinds:
            raise Forbidden("This is not for callers of this kind.")
        if self.roles and not self.roles & caller.roles:
            raise Forbidden(f"This needs the role {' or '.join(sorted(self.roles))}.")
        if self.clients and caller.original_client not in self.clients:
            raise Forbidden("This is not for this client.")


@dataclass
class Table:
    """The rows of one edge, found in one match of one expression."""

    rows: tuple[Row, ...]
    _by_path: list[dict[str, Row]] = field(init=False)

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = tuple(rows)
        paths: dict[str, dict[str, Row]] = {}
        for row in self.rows:
            if row.method in paths.setdefault(row.path, {}):
                raise ValueError(f"{row.method} {row.path} has two rows at the {row.edge} edge")
            paths[row.path][row.method] = row
        # Fixed paths before those with a value, so that a name never shadows them.
        ordered = sorted(paths, key=lambda path: "{" in path)
        self._by_path = [paths[path] for path in ordered]
        self._expression = re.compile("|".join(f"({_pattern(path)})" for path in ordered))

    def find(self, method: str, path: str) -> Row:
        """Raises NotFound for a path that no row has, MethodNotAllowed where other methods have one."""
        found = self._expression.fullmatch(path)
        if found is None or found.lastindex is None:
            raise NotFound
        row = self._by_path[found.lastindex - 1].get(method)
        if row is None:
            raise MethodNotAllowed
        return row


def _pattern(path: str) -> str:
    return "".join(_VALUE if _NAME.fullmatch(part) else re.escape(part) for part in re.split(r"(\{\w+\})", path))
