"""What a typed client makes of a peer's answer."""

from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

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
        return await ServiceClient(http, "http://peer", Tokens()).ask(Told, "GET", "/told")  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [{"count": "Ada Lovelace"}, {}, None, [1]])
async def test_an_answer_in_another_form_is_a_peer_that_is_away_and_its_values_are_not_logged(
    body: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Unavailable):
        await answered(body)
    logged = "".join(capsys.readouterr())
    assert "not understood" in logged and "Ada" not in logged


async def test_an_answer_as_it_should_be_is_read() -> None:
    assert (await answered({"count": 3})).count == 3
