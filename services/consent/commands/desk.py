"""With what every command works."""

from typing import NamedTuple

from joserfc.jwk import OKPKey

from chassis.auth import Caller
from services.registry.contract import PolicyBook


class Desk(NamedTuple):
    """With what a command works: the book in force, the key that signs receipts and in whose name, and for whom it acts."""

    book: PolicyBook
    key: OKPKey
    publisher: str
    caller: Caller
