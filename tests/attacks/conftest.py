"""The house as an attacker meets it: both edges' tables, tokens bent at will, and things that belong to somebody else."""

from collections.abc import Iterator

import pytest

from ops.stack import Stack
from tests.attacks.mint import Mint
from tests.attacks.world import World
from tests.nordtel import Nordtel


@pytest.fixture(scope="session")
def nordtel(stack: Stack) -> Iterator[Nordtel]:
    with Nordtel.of(stack) as nordtel:
        yield nordtel


@pytest.fixture(scope="session")
def mint(nordtel: Nordtel) -> Iterator[Mint]:
    with Mint(nordtel) as mint:
        yield mint


@pytest.fixture(scope="session")
async def world(nordtel: Nordtel) -> World:
    return await World.make(nordtel)
