"""With what every command works."""

from dataclasses import dataclass

from joserfc.jwk import OKPKey

from chassis.auth import Caller
from services.registry.contract import PolicyBook


@dataclass(frozen=True)
class Desk:
    """With what a command works: the book in force, the key that signs receipts and in whose name, and for whom it acts."""

    book: PolicyBook
    key: OKPKey
    publisher: str
    caller: Caller
