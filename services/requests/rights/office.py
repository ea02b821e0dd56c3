"""What every command needs beside the transaction: the seals, the policy book, the calendar, the signing key."""

from collections.abc import Container
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Self
from uuid import UUID

from fastapi import Depends, Request
from joserfc.jwk import ECKey, OKPKey

from chassis.ids import new_id
from chassis.sealing import Sealer
from services.registry.client import PolicyShelf
from services.registry.contract import PolicyBook
from services.requests.rights.rules.clock import public_holidays
from services.requests.rights.settings import Settings


@dataclass(frozen=True)
class Office:
    sealer: Sealer
    policy: PolicyShelf
    signing: OKPKey
    sealing: ECKey = field(repr=False)
    https_only: bool
    holidays: Container[date]
    packages: Path
    secret: bytes = field(repr=False)
    mails: bool = False

    @classmethod
    def open(cls, settings: Settings, policy: PolicyShelf) -> Self:
        return cls(
            sealer=Sealer(settings.secrets_dir / "epochs", settings.secret("index.key")),
            policy=policy,
            signing=OKPKey.import_key(settings.jwk("signing")),
            sealing=ECKey.import_key(settings.jwk("portability")),
            https_only=settings.environment == "production",
            holidays=public_holidays(settings.holiday_country),
            packages=settings.packages,
            secret=settings.secret("index.key"),
            mails=bool(settings.smtp_host and settings.smtp_from),
        )

    @property
    def book(self) -> PolicyBook:
        """The rules in force now. Raises Unavailable when there are none."""
        return self.policy.current()

    def folder(self, request: UUID) -> Path:
        """Everything a request has on disk; it goes with its last file."""
        return self.packages / str(request)

    def spool(self, request: UUID, step: UUID) -> Path:
        return self.folder(request) / f"{step}.spool"

    def package(self, request: UUID) -> Path:
        return self.folder(request) / "package.html"

    def fresh(self, request: UUID) -> Path:
        """A package that is still being built: whoever else builds it meanwhile has another."""
        return self.folder(request) / f"{new_id()}.html"


async def _office(request: Request) -> Office:
    return request.app.state.office


TheOffice = Annotated[Office, Depends(_office)]
