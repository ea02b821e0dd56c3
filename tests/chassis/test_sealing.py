"""What is sealed opens only where it was sealed, for whom, and until the key is shredded."""

import asyncio
import base64
from uuid import uuid4

import asyncpg
import pytest

from chassis import sealing
from chassis.sealing import SealBroken, Sealer, Shredded

ALPHA, BETA, ANNA, BO = uuid4(), uuid4(), uuid4(), uuid4()


@pytest.fixture
def epochs(tmp_path):
    (tmp_path / "1.key").write_bytes(b"1" * 32)
    return tmp_path


@pytest.fixture
def sealer(epochs):
    return Sealer(epochs, b"i" * 32)


@pytest.fixture
async def vault(house):
    return await asyncio.to_thread(house, sealing.create)


@pytest.fixture
async def connection(vault):
    opened = await vault.connect()
    yield opened
    await opened.close()


async def seal(vault, connection, sealer, tenant=ALPHA, subject=ANNA, text=b"070-123 45 67") -> bytes:
    async with vault.transaction(connection, tenant):
        return await sealer.seal(connection, tenant, subject, "request", "text", text)


async def opened(vault, connection, sealer, sealed, tenant=ALPHA, subject=ANNA, column="text") -> bytes:
    async with vault.transaction(connection, tenant):
        return await sealer.open(connection, tenant, subject, "request", column, sealed)


async def test_what_is_sealed_opens_again_and_never_looks_the_same_twice(vault, connection, sealer):
    one, two = [await seal(vault, connection, sealer) for _ in range(2)]
    assert one != two and b"070" not in one
    assert (
        await opened(vault, connection, sealer, one) == await opened(vault, connection, sealer, two) == b"070-123 45 67"
    )


async def test_sealed_bytes_moved_or_changed_do_not_open(vault, connection, sealer):
    sealed = await seal(vault, connection, sealer)
    await seal(vault, connection, sealer, subject=BO)
    with pytest.raises(SealBroken):
        await opened(vault, connection, sealer, sealed, column="answer")
    with pytest.raises(Shredded):
        await opened(vault, connection, sealer, sealed, subject=BO)
    for bad in (
        sealed[:-1] + bytes([sealed[-1] ^ 1]),
        sealed[:15] + b"?" + sealed[16:],
        sealed[:10],
        b"",
        b"\x09" + sealed[1:],
    ):
        with pytest.raises(SealBroken):
            await opened(vault, connection, sealer, bad)


async def test_a_shredded_persons_data_is_gone_for_every_process_and_stays_gone(vault, connection, sealer, epochs):
    other_process = Sealer(epochs, b"i" * 32)
    sealed = await seal(vault, connection, sealer)
    assert await opened(vault, connection, other_process, sealed)
    async with vault.transaction(connection, ALPHA):
        assert await sealer.shred(connection, ALPHA, ANNA)
        assert not await sealer.shred(connection, ALPHA, ANNA)
    for process in (sealer, other_process):
        with pytest.raises(Shredded):
            await opened(vault, connection, process, sealed)
    # She may come back as a customer: a new key, which does not bring the old data back.
    fresh = await seal(vault, connection, sealer)
    assert await opened(vault, connection, other_process, fresh) == b"070-123 45 67"
    with pytest.raises(Shredded):
        await opened(vault, connection, sealer, sealed)


async def test_a_shred_that_is_rolled_back_shredded_nothing(vault, connection, sealer):
    sealed = await seal(vault, connection, sealer)
    with pytest.raises(ZeroDivisionError):
        async with vault.transaction(connection, ALPHA):
            await sealer.shred(connection, ALPHA, ANNA)
            raise ZeroDivisionError
    assert await opened(vault, connection, sealer, sealed)


async def test_ten_first_seals_at_once_share_one_key(vault, sealer, connection):
    async def first_seal() -> bytes:
        own = await vault.connect()
        sealed = await seal(vault, own, sealer)
        await own.close()
        return sealed

    for sealed in await asyncio.gather(*(first_seal() for _ in range(10))):
        assert await opened(vault, connection, sealer, sealed) == b"070-123 45 67"


async def test_a_tenant_has_no_keys_of_another(vault, connection, sealer):
    sealed = await seal(vault, connection, sealer)
    with pytest.raises(Shredded):
        async with vault.transaction(connection, BETA):
            await sealer.open(connection, ALPHA, ANNA, "request", "text", sealed)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with vault.transaction(connection, BETA):
            await sealer.seal(connection, ALPHA, BO, "request", "text", b"x")


async def test_a_new_epoch_takes_over_and_without_the_old_key_only_the_rewrapped_can_be_read(
    vault, connection, sealer, epochs
):
    kept, lost = await seal(vault, connection, sealer), await seal(vault, connection, sealer, tenant=BETA)
    backup = await connection_to_superuser(vault)
    old_row = await backup.fetchrow("SELECT * FROM subject_key WHERE tenant = $1", BETA)
    (epochs / "2.key").write_bytes(b"2" * 32)
    system = await vault.connect_system()
    async with system.transaction():
        assert await sealer.rewrap(system, limit=1) == 1
        assert await sealer.rewrap(system) == 1
        assert await sealer.rewrap(system) == 0
    await system.close()
    (epochs / "1.key").unlink()
    process_of_later = Sealer(epochs, b"i" * 32)
    assert await opened(vault, connection, process_of_later, kept) == b"070-123 45 67"
    # The row as the backup has it, restored after the epoch's key was destroyed.
    await backup.execute("UPDATE subject_key SET epoch = 1, wrapped = $2 WHERE tenant = $1", BETA, old_row["wrapped"])
    with pytest.raises(Shredded):
        await opened(vault, connection, process_of_later, lost, tenant=BETA)
    await backup.close()


async def test_a_process_that_started_before_the_new_epoch_reads_what_it_wrapped(vault, connection, sealer, epochs):
    (epochs / "2.key").write_bytes(b"2" * 32)
    sealed = await seal(vault, connection, Sealer(epochs, b"i" * 32))
    assert await opened(vault, connection, sealer, sealed) == b"070-123 45 67"


async def test_a_key_row_given_to_another_person_opens_nothing(vault, connection, sealer):
    await seal(vault, connection, sealer)
    superuser = await connection_to_superuser(vault)
    await superuser.execute("UPDATE subject_key SET subject = $1", BO)
    with pytest.raises(SealBroken):
        await seal(vault, connection, sealer, subject=BO)
    await superuser.close()


@pytest.mark.parametrize(
    "attempt", ["DELETE FROM subject_key", "TRUNCATE subject_key", "INSERT INTO subject_key DEFAULT VALUES"]
)
async def test_cross_tenant_work_can_neither_make_nor_shred_keys(vault, attempt):
    system = await vault.connect_system()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await system.execute(attempt)
    await system.close()


def test_a_blind_index_is_the_same_only_for_the_same_tenant_type_and_value(sealer, epochs):
    found = sealer.blind_index(ALPHA, "msisdn", "46701234567")
    assert len(found) == 32 and found == Sealer(epochs, b"i" * 32).blind_index(ALPHA, "msisdn", "46701234567")
    others = [
        sealer.blind_index(BETA, "msisdn", "46701234567"),
        sealer.blind_index(ALPHA, "customer", "46701234567"),
        sealer.blind_index(ALPHA, "msisdn", "46701234568"),
        Sealer(epochs, b"j" * 32).blind_index(ALPHA, "msisdn", "46701234567"),
    ]
    assert len({found, *others}) == 5


def test_without_proper_keys_nothing_starts(tmp_path):
    with pytest.raises(ValueError, match="no epoch key"):
        Sealer(tmp_path, b"i" * 32)
    (tmp_path / "1.key").write_bytes(base64.b64encode(b"1" * 32))
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(tmp_path, b"i" * 32)
    (tmp_path / "1.key").write_bytes(b"1" * 32)
    with pytest.raises(ValueError, match="index key"):
        Sealer(tmp_path, b"")


def test_a_key_is_never_shown(sealer):
    assert "secret" not in repr(sealing.SubjectKey(ALPHA, ANNA, b"secret"))


async def connection_to_superuser(vault) -> asyncpg.Connection:
    return await vault.cluster.connect("postgres", vault.service)
