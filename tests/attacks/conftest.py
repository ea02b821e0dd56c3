"""The house as an attacker meets it: both edges' tables, tokens bent at will, and things that belong to somebody else."""

from collections.abc import Iterator

import pytest

from tests.attacks.mint import Mint
from tests.attacks.world import World
from tests.nordtel import Nordtel, running


@pytest.fixture(scope="package")
def nordtel() -> Iterator[Nordtel]:
    with running() as nordtel:
        yield nordtel


@pytest.fixture(scope="package")
def mint(nordtel: Nordtel) -> Iterator[Mint]:
    with Mint(nordtel) as mint:
        yield mint


@pytest.fixture(scope="package")
async def world(nordtel: Nordtel) -> World:
    return await World.make(nordtel)
