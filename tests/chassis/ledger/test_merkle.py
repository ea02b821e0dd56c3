"""The tree against RFC 9162's own recursive definitions, written naively."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as some

from chassis.ledger import merkle

sizes = some.integers(1, 200)


def leaves(size: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % n) for n in range(size)]


def naive_root(hashes: list[bytes]) -> bytes:
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = naive_split(len(hashes))
    return sha256(b"\x01" + naive_root(hashes[:k]) + naive_root(hashes[k:])).digest()


def naive_split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def naive_path(m: int, hashes: list[bytes]) -> list[bytes]:
    if len(hashes) == 1:
        return []
    k = naive_split(len(hashes))
    if m < k:
        return [*naive_path(m, hashes[:k]), naive_root(hashes[k:])]
    return [*naive_path(m - k, hashes[k:]), naive_root(hashes[:k])]


def naive_subproof(m: int, hashes: list[bytes], whole: bool) -> list[bytes]:
    if m == len(hashes):
        return [] if whole else [naive_root(hashes)]
    k = naive_split(len(hashes))
    if m <= k:
        return [*naive_subproof(m, hashes[:k], whole), naive_root(hashes[k:])]
    return [*naive_subproof(m - k, hashes[k:], False), naive_root(hashes[:k])]


def spoiled(proof: list[bytes], at: int) -> list[bytes]:
    return [bytes([hash[0] ^ 1]) + hash[1:] if n == at else hash for n, hash in enumerate(proof)]


def test_the_known_answer_of_certificate_transparency_holds():
    bodies = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    hashes = [merkle.leaf_hash(bytes.fromhex(body)) for body in bodies]
    assert merkle.root(hashes).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(some.integers(0, 200))
def test_the_root_is_the_one_of_the_recursive_definition(size):
    assert merkle.root(leaves(size)) == naive_root(leaves(size))


@given(sizes, some.data())
def test_an_inclusion_proof_convinces_and_any_change_to_it_does_not(size, data):
    index = data.draw(some.integers(0, size - 1))
    hashes, root = leaves(size), naive_root(leaves(size))
    proof = merkle.inclusion_proof(hashes, index)
    assert proof == naive_path(index, hashes)
    assert merkle.verify_inclusion(hashes[index], index, size, proof, root)
    assert not merkle.verify_inclusion(merkle.leaf_hash(b"another"), index, size, proof, root)
    assert not merkle.verify_inclusion(hashes[index], index, size, [*proof, root], root)
    assert not any(
        merkle.verify_inclusion(hashes[index], other, size, proof, root) for other in range(size) if other != index
    )
    assert not any(
        merkle.verify_inclusion(hashes[index], index, size, spoiled(proof, at), root) for at in range(len(proof))
    )


@given(sizes, some.data())
def test_a_consistency_proof_convinces_and_any_change_to_it_does_not(new, data):
    old = data.draw(some.integers(1, new))
    hashes = leaves(new)
    old_root, new_root = naive_root(hashes[:old]), naive_root(hashes)
    proof = merkle.consistency_proof(hashes, old)
    assert proof == naive_subproof(old, hashes, True)
    assert merkle.verify_consistency(old, new, old_root, new_root, proof)
    assert not merkle.verify_consistency(old, new, merkle.EMPTY_ROOT, new_root, proof)
    assert not merkle.verify_consistency(old, new, old_root, merkle.EMPTY_ROOT, proof)
    assert not any(
        merkle.verify_consistency(old, new, old_root, new_root, spoiled(proof, at)) for at in range(len(proof))
    )


@given(sizes)
def test_growing_completes_every_perfect_subtree_once_with_its_root(size):
    frontier, complete = merkle.Frontier(), {}
    for leaf in leaves(size):
        for subtree, hash in frontier.append(leaf):
            assert subtree not in complete
            complete[subtree] = hash
    hashes = leaves(size)
    assert set(complete) == {(level, index) for level in range(1, 9) for index in range(size >> level)}
    for (level, index), hash in complete.items():
        assert hash == naive_root(hashes[index << level : (index + 1) << level])
