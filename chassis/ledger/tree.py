"""The stored tree: any range of a ledger's leaves hashed from the rows that are kept, two statements for a whole proof."""

from collections.abc import Sequence

import asyncpg

from chassis.ledger.merkle import Frontier, Range, Subtree, fold, node_hash, perfect_subtrees

# Every eighth level is stored: 0 are the entries' leaves, 1 their subtrees of 256, 2 those of 65,536 …
STEP = 8

_LEAVES = """
SELECT r.n, e.leaf AS hash FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY r(low, high, n)
JOIN "{service}".ledger_entry e ON e.position > r.low AND e.position <= r.high ORDER BY r.n, e.position"""
_NODES = """
SELECT r.n, k.hash FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY r(level, low, high, n)
JOIN "{service}".ledger_node k ON k.level = r.level AND k.index >= r.low AND k.index < r.high ORDER BY r.n, k.index"""


async def range_roots(connection: asyncpg.Connection, service: str, ranges: Sequence[Range]) -> list[bytes]:
    """The root of each range of leaf indexes (aligned starts, as proofs have them)."""
    parts = [perfect_subtrees(*each) for each in ranges]
    hashes = await _subtree_hashes(connection, service, [subtree for part in parts for subtree in part])
    return [fold([hashes[subtree] for subtree in part]) for part in parts]


async def frontier_at(connection: asyncpg.Connection, service: str, size: int) -> Frontier:
    subtrees = perfect_subtrees(0, size)
    hashes = await _subtree_hashes(connection, service, subtrees)
    return Frontier(size, [hashes[subtree] for subtree in subtrees])


async def _subtree_hashes(
    connection: asyncpg.Connection, service: str, subtrees: Sequence[Subtree]
) -> dict[Subtree, bytes]:
    low_ones = [subtree for subtree in subtrees if subtree[0] < STEP]
    high_ones = [subtree for subtree in subtrees if subtree[0] >= STEP]
    leaves = await connection.fetch(_LEAVES.format(service=service), *_columns(low_ones)[1:]) if low_ones else []
    nodes = await connection.fetch(_NODES.format(service=service), *_columns(high_ones)) if high_ones else []
    return _hashed(low_ones, leaves) | _hashed(high_ones, nodes)


def _columns(subtrees: Sequence[Subtree]) -> tuple[list[int], list[int], list[int]]:
    """Where each subtree's stored hashes lie: stored level, first index, index after the last."""
    stored = [level // STEP for level, _ in subtrees]
    low = [index << level % STEP for level, index in subtrees]
    high = [(index + 1) << level % STEP for level, index in subtrees]
    return stored, low, high


def _hashed(subtrees: Sequence[Subtree], rows: Sequence[asyncpg.Record]) -> dict[Subtree, bytes]:
    found: list[list[bytes]] = [[] for _ in subtrees]
    for n, hash in rows:
        found[n - 1].append(hash)
    return {subtree: _perfect_root(subtree, hashes) for subtree, hashes in zip(subtrees, found, strict=True)}


def _perfect_root(subtree: Subtree, hashes: list[bytes]) -> bytes:
    if len(hashes) != 1 << subtree[0] % STEP:
        raise LookupError(f"the ledger lacks rows of the subtree {subtree}")
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
