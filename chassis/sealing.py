"""Personal data the platform itself keeps is sealed with a key per person; erasing that key row erases all of it, everywhere.

A person's data key (AES-256-GCM) is wrapped by the key of an epoch, which lies outside the database. Backups hold wrapped keys:
once live keys are rewrapped and the old epoch's key file is destroyed, what was shredded is gone from the backups too.
People are looked up by a blind index, which is no encryption: its rows are deleted at erasure.

No unwrapped key outlives the transaction that read its row: a cache in one process would outlive a shred in another.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from alembic.operations import Operations
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chassis.errors import Problem
from chassis.schema import system_may, tenant_table

VERSION = 1
_FORM = bytes([VERSION])
_NONCE, _NAME, _KEY = 12, 8, 32
_HEADER = len(_FORM) + _NAME + _NONCE

_READ = "SELECT subject, epoch, wrapped FROM subject_key WHERE tenant = $1 AND subject = ANY ($2)"
_MAKE = """
INSERT INTO subject_key (tenant, subject, epoch, wrapped, version)
SELECT $1, u.subject, $3, u.wrapped, $5 FROM unnest($2::uuid[], $4::bytea[]) u(subject, wrapped) ORDER BY u.subject
ON CONFLICT (tenant, subject) DO NOTHING RETURNING subject"""
_SHRED = "DELETE FROM subject_key WHERE tenant = $1 AND subject = $2"
_SHRED_ALL = "DELETE FROM subject_key WHERE tenant = $1 AND subject = ANY ($2)"
_STALE = """
SELECT tenant, subject, epoch, wrapped FROM subject_key WHERE epoch < $1 ORDER BY tenant, subject LIMIT $2
FOR UPDATE SKIP LOCKED"""
_REWRAP = """
UPDATE subject_key k SET epoch = $1, wrapped = u.wrapped
FROM unnest($2::uuid[], $3::uuid[], $4::bytea[]) u(tenant, subject, wrapped)
WHERE k.tenant = u.tenant AND k.subject = u.subject"""


class Shredded(Problem):
    """The person's key is gone, and with it what it sealed."""

    code, status, title = "sealing.shredded", 410, "This data was erased"


class SealBroken(Problem):
    """Sealed bytes were changed, or moved to another person, table or column. Nothing about them is told."""

    code, status, title = "sealing.broken", 500, "Stored data cannot be read"


@dataclass(frozen=True, slots=True, repr=False)
class SubjectKey:
    """One person's key for as long as the transaction that read it; not to be kept."""

    tenant: UUID
    subject: UUID
    data_key: bytes

    @property
    def name(self) -> bytes:
        """Tells data sealed with an earlier, shredded key of the same person from data that was tampered with."""
        return hashlib.sha256(b"wardline subject key" + self.data_key).digest()[:_NAME]

    def seal(self, table: str, column: str, plaintext: bytes) -> bytes:
        """version ‖ key's name ‖ nonce ‖ ciphertext, bound to exactly this person, table and column."""
        nonce = os.urandom(_NONCE)
        return _FORM + self.name + nonce + AESGCM(self.data_key).encrypt(nonce, plaintext, self._bound(table, column))

    def open(self, table: str, column: str, sealed: bytes) -> bytes:
        """Raises Shredded when an earlier key sealed it, SealBroken when it was changed or comes from elsewhere."""
        if len(sealed) < _HEADER or sealed[:1] != _FORM:
            raise SealBroken
        name, nonce = sealed[1 : 1 + _NAME], sealed[1 + _NAME : _HEADER]
        if name != self.name:
            raise Shredded
        try:
            return AESGCM(self.data_key).decrypt(nonce, sealed[_HEADER:], self._bound(table, column))
        except InvalidTag:
            raise SealBroken from None

    def _bound(self, table: str, column: str) -> bytes:
        return f"{self.tenant}|{self.subject}|{table}|{column}|{VERSION}".encode()


class Sealer:
    """Seals and opens on the caller's own connection (`tx.connection`), so that keys obey its tenant and its transaction."""

    def __init__(self, epochs_dir: Path, index_key: bytes) -> None:
        """`epochs_dir` holds `<n>.key` files of 32 bytes, the highest n seals. Raises ValueError when there is none."""
        if len(index_key) != _KEY:
            raise ValueError("the index key has 32 bytes")
        self._epochs_dir, self._index_key = epochs_dir, index_key
        self._epochs, self._read = _epoch_keys(epochs_dir), 0

    async def seal(
        self, connection: asyncpg.Connection, tenant: UUID, subject: UUID, table: str, column: str, plaintext: bytes
    ) -> bytes:
        """Seals for a person; her key is made with the first thing sealed."""
        return (await self.key_for_sealing(connection, tenant, subject)).seal(table, column, plaintext)

    async def open(
        self, connection: asyncpg.Connection, tenant: UUID, subject: UUID, table: str, column: str, sealed: bytes
    ) -> bytes:
        """Raises Shredded or SealBroken."""
        return (await self.key(connection, tenant, subject)).open(table, column, sealed)

    async def key(self, connection: asyncpg.Connection, tenant: UUID, subject: UUID) -> SubjectKey:
        """A person's key, to open several things with one look-up. Raises Shredded when there is none."""
        found = await self.keys(connection, tenant, [subject])
        if not found:
            raise Shredded
        return found[subject]

    async def keys(
        self, connection: asyncpg.Connection, tenant: UUID, subjects: Sequence[UUID]
    ) -> dict[UUID, SubjectKey]:
        """Several people's keys; whose was shredded is not among them."""
        rows = await connection.fetch(_READ, tenant, subjects) if subjects else ()
        return {
            subject: SubjectKey(tenant, subject, self.unwrap(tenant, subject, epoch, wrapped))
            for subject, epoch, wrapped in rows
        }

    async def key_for_sealing(self, connection: asyncpg.Connection, tenant: UUID, subject: UUID) -> SubjectKey:
        """A person's key, made when there is none yet; of two simultaneous makers the second gets the first one's."""
        return (await self.keys_for_sealing(connection, tenant, [subject]))[subject]

    async def keys_for_sealing(
        self, connection: asyncpg.Connection, tenant: UUID, subjects: Sequence[UUID]
    ) -> dict[UUID, SubjectKey]:
        found = await self.keys(connection, tenant, subjects)
        missing = [subject for subject in subjects if subject not in found]
        if not missing:
            return found
        new, making = self.make(tenant, missing)
        ours = {subject: new[subject] for (subject,) in await connection.fetch(*making)}
        # Whoever made one at the same moment was first.
        return found | ours | await self.keys(connection, tenant, [each for each in new if each not in ours])

    def make(self, tenant: UUID, subjects: Sequence[UUID]) -> tuple[dict[UUID, SubjectKey], tuple[Any, ...]]:
        """New keys, and the statement by which they begin to exist: for whom nobody else can have made one."""
        self._look_for_epochs()
        epoch = max(self._epochs)
        new = {subject: SubjectKey(tenant, subject, AESGCM.generate_key(256)) for subject in subjects}
        wrapped = [self._wrap(tenant, subject, epoch, key.data_key) for subject, key in new.items()]
        return new, (_MAKE, tenant, list(new), epoch, wrapped, VERSION)

    async def shred(self, connection: asyncpg.Connection, tenant: UUID, subject: UUID) -> bool:
        """Deletes a person's key; whether there was one. At commit everything sealed for her is unreadable for every process."""
        return await connection.execute(_SHRED, tenant, subject) == "DELETE 1"

    def shredding(self, tenant: UUID, subjects: Sequence[UUID]) -> tuple[Any, ...]:
        """The same of many, as the statement by which it is done."""
        return _SHRED_ALL, tenant, subjects

    async def rewrap(self, connection: asyncpg.Connection, limit: int = 500) -> int:
        """Brings up to `limit` keys of older epochs under the newest, on a connection of the system role; how many it did.

        To be called until it says 0; then the old epoch's key file can be destroyed after the backup period. A key shredded
        meanwhile stays shredded. A key whose epoch's file is gone already cannot be saved: Shredded is raised.
        """
        self._look_for_epochs()
        newest = max(self._epochs)
        stale = await connection.fetch(_STALE, newest, limit)
        tenants, subjects = [row["tenant"] for row in stale], [row["subject"] for row in stale]
        wrapped = [
            self._wrap(tenant, subject, newest, self.unwrap(tenant, subject, epoch, old))
            for tenant, subject, epoch, old in stale
        ]
        await connection.execute(_REWRAP, newest, tenants, subjects, wrapped)
        return len(stale)

    def _look_for_epochs(self) -> None:
        """Epochs begin and are destroyed while a process runs; the folder's own time says whether one did."""
        written = self._epochs_dir.stat().st_mtime_ns
        if written != self._read:
            self._epochs, self._read = _epoch_keys(self._epochs_dir), written

    def blind_index(self, tenant: UUID, type: str, value: str) -> bytes:
        """32 bytes to look a normalised identifier up by; equal only for the same tenant, type and value."""
        return hmac.digest(_index_key(self._index_key, tenant, type), value.encode(), "sha256")

    def _wrap(self, tenant: UUID, subject: UUID, epoch: int, data_key: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self._epochs[epoch]).encrypt(nonce, data_key, _whose(tenant, subject, epoch))

    def unwrap(self, tenant: UUID, subject: UUID, epoch: int, wrapped: bytes) -> bytes:
        """Raises Shredded when that epoch's key is not there, SealBroken when it is another."""
        if epoch not in self._epochs:
            self._look_for_epochs()
        if epoch not in self._epochs:
            raise Shredded
        try:
            return AESGCM(self._epochs[epoch]).decrypt(
                wrapped[:_NONCE], wrapped[_NONCE:], _whose(tenant, subject, epoch)
            )
        except (InvalidTag, ValueError):
            raise SealBroken from None


def create(op: Operations, service: str) -> None:
    """Creates subject_key: each tenant its own; the system role rewraps, and can neither make nor shred a key."""
    op.execute(
        """
        CREATE TABLE subject_key (
            tenant  uuid NOT NULL,
            subject uuid NOT NULL,
            epoch   integer NOT NULL,
            wrapped bytea NOT NULL,
            version smallint NOT NULL,
            created timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, subject)
        )
        """
    )
    op.execute("CREATE INDEX subject_key_epoch ON subject_key (epoch)")
    tenant_table(op, "subject_key", grants="SELECT, INSERT, DELETE")
    system_may(op, "subject_key", "SELECT, UPDATE")


def _epoch_keys(folder: Path) -> dict[int, bytes]:
    keys = {int(path.stem): path.read_bytes() for path in folder.glob("*.key") if path.stem.isdigit()}
    if not keys:
        raise ValueError(f"no epoch key in {folder}")
    if any(len(key) != _KEY for key in keys.values()):
        raise ValueError(f"an epoch key in {folder} has not 32 bytes")
    return keys


def _whose(tenant: UUID, subject: UUID, epoch: int) -> bytes:
    return f"{tenant}|{subject}|{epoch}".encode()


@lru_cache(4096)
def _index_key(master: bytes, tenant: UUID, type: str) -> bytes:
    return HKDF(SHA256(), _KEY, salt=None, info=f"{tenant}|{type}".encode()).derive(master)
