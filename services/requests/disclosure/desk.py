"""What every command of disclosure needs beside the transaction: the seals, the policy book, the signing key."""

from dataclasses import dataclass
from typing import Annotated, Self
from uuid import UUID

from fastapi import Depends, Request
from joserfc.jwk import OKPKey

from chassis.db import Database
from chassis.sealing import Sealer
from chassis.settings import Settings
from services.registry.client import PolicyShelf
from services.registry.contract import HOUSE, PolicyBook


@dataclass(frozen=True)
class Desk:
    sealer: Sealer
    policy: PolicyShelf
    signing: OKPKey
    database: Database

    @classmethod
    def open(cls, settings: Settings, policy: PolicyShelf, database: Database) -> Self:
        return cls(
            database=database,
            sealer=Sealer(settings.secrets_dir / "epochs", settings.secret("index.key")),
            policy=policy,
            signing=OKPKey.import_key(settings.jwk("signing")),
        )

    @property
    def book(self) -> PolicyBook:
        """The rules in force now. Raises Unavailable when there are none."""
        return self.policy.current()

    def index(self, named: tuple[str, str]) -> bytes:
        """The blind index of (type, value); one for the whole house, since an order names a number, not a customer."""
        return self.sealer.blind_index(HOUSE, *named)


async def _desk(request: Request) -> Desk:
    return request.app.state.desk


TheDesk = Annotated[Desk, Depends(_desk)]

# Wherever nobody's customer organisation is meant: a question about every hold there is.
EVERYBODY: UUID = HOUSE
