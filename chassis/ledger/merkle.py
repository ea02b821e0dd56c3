"""RFC 9162 Merkle trees, pure: leaf hashes in, roots and proofs out.

Every hash a proof needs covers a range of leaves whose start is aligned, and every such range is a row of *perfect* subtrees,
largest first. A perfect subtree is named (level, index): it covers leaves index·2^level up to, not including, (index+1)·2^level.
Whoever stores a tree needs only perfect subtrees, which never change once complete.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256

Range = tuple[int, int]
Subtree = tuple[int, int]

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(body: bytes) -> bytes:
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: the hashes of the perfect subtrees into which its first `size` leaves fall."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        self.size, self.hashes = size, list(hashes)

    def copy(self) -> "Frontier":
        return Frontier(self.size, self.hashes)

    def append(self, leaf: bytes) -> Iterator[tuple[Subtree, bytes]]:
        """Adds a leaf; yields the subtrees it completes, smallest first. The generator must be exhausted."""
        level, index, carried = 0, self.size, leaf
        while index & 1:
            carried = node_hash(self.hashes.pop(), carried)
            level, index = level + 1, index >> 1
            yield (level, index), carried
        self.hashes.append(carried)
        self.size += 1

    def root(self) -> bytes:
        return fold(self.hashes) if self.hashes else EMPTY_ROOT


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root of a range, from the hashes of its perfect subtrees, largest first."""
    *larger, found = hashes
    for hash in reversed(larger):
        found = node_hash(hash, found)
    return found


def root(leaves: Sequence[bytes]) -> bytes:
    """The tree's root over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        for _ in frontier.append(leaf):
            pass
    return frontier.root()


def perfect_subtrees(start: int, end: int) -> list[Subtree]:
    """The perfect subtrees of a range of leaves with an aligned start, largest first."""
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The ranges whose roots prove leaf `index` in the tree of `size` leaves (RFC 9162 2.1.3.1), from leaf to root."""
    if not 0 <= index < size:
        raise ValueError("the leaf lies outside the tree")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return path[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """The ranges whose roots prove that the tree of `new` leaves continues the one of `old` leaves (RFC 9162 2.1.4.1)."""
    if not 0 < old <= new:
        raise ValueError("the older tree is empty or larger than the newer one")
    start, end, path = 0, new, []
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return ([(start, end)] if start else []) + path[::-1]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    return [root(leaves[start:end]) for start, end in inclusion_ranges(index, len(leaves))]


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    return [root(leaves[start:end]) for start, end in consistency_ranges(old, len(leaves))]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 2.1.3.2: whether `proof` leads from the leaf at `index` to the root of the tree of `size` leaves."""
    if not 0 <= index < size:
        return False
    fn, sn, found = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node_hash(sibling, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """RFC 9162 2.1.4.2: whether the tree of `new` leaves begins with exactly the tree of `old` leaves."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    found_old = found_new = path[0]
    for hash in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found_old, found_new = node_hash(hash, found_old), node_hash(hash, found_new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found_new = node_hash(found_new, hash)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found_old == old_root and found_new == new_root


def _split(count: int) -> int:
    """The largest power of two smaller than `count`."""
    return 1 << (count - 1).bit_length() - 1
