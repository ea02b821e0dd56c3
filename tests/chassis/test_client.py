"""What a typed client makes of a peer's answer."""

from collections.abc import AsyncGenerator
from typing import Any
from unittest.mock import Mock

import httpx2
import pytest
from pydantic import BaseModel

from chassis import telemetry
from chassis.client import ServiceClient
from chassis.errors import Unavailable


class Told(BaseModel):
    count: int


class Tokens:
    async def token(self, *_: Any) -> str:
        return "t"


async def answered(body: Any) -> Told:
    """What is read where a peer answers this."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=body))
    async with httpx2.AsyncClient(transport=transport) as http:
        return await ServiceClient(http, "http://peer", Tokens(), "peer").ask(Told, "GET", "/told")  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [{"count": "Ada Lovelace"}, {}, None, [1]])
async def test_an_answer_in_another_form_is_a_peer_that_is_away_and_its_values_are_not_logged(
    body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Mock()
    monkeypatch.setattr(telemetry, "log", lambda: log)
    with pytest.raises(Unavailable):
        await answered(body)
    log.error.assert_called_once()
    assert "Ada" not in str(log.error.call_args)


async def test_an_answer_as_it_should_be_is_read() -> None:
    assert (await answered({"count": 3})).count == 3


async def test_of_a_stream_is_given_what_came_while_the_rest_is_still_on_its_way() -> None:
    given: list[bytes] = []

    async def written() -> AsyncGenerator[bytes]:
        yield b"one"
        assert given == [b"one"], "it was kept until there was more"
        yield b"two"

    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=written()))
    async with (
        httpx2.AsyncClient(transport=transport) as http,
        ServiceClient(http, "http://peer", Tokens(), "peer").stream("POST", "/lines") as pieces,  # type: ignore[arg-type]
    ):
        async for piece in pieces:
            given.append(piece)
    assert given == [b"one", b"two"]
