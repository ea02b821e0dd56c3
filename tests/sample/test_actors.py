"""Actors, before an edge that writes down what it is asked."""

import httpx2
import pytest

from sample.actors import Machine


class Known(Machine):
    """Somebody who has a token already."""

    def token(self) -> str:
        return "known"


@pytest.mark.parametrize(
    ("path", "query"),
    [("/v1/requests?wait=3&known=packing", {}), ("/v1/requests", {"wait": 3, "known": "packing", "after": None})],
)
def test_what_is_asked_for_in_the_path_arrives_as_what_is_named_beside_it(path: str, query: dict[str, object]):
    asked = []
    actor = Known("http://edge", "http://edge", "helpdesk", key=None)
    actor.http = httpx2.Client(
        transport=httpx2.MockTransport(lambda each: asked.append(each.url) or httpx2.Response(200))
    )
    actor.get(path, **query)
    assert asked == ["http://edge/v1/requests?wait=3&known=packing"]
