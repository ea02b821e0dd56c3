"""The running house with its sample operator, as the tests over the two edges see it: who acts, what time it is, what was planted."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID

from joserfc.jwk import ECKey

from ops.home import Home
from ops.stack import Stack
from sample.actors import Actor, Cast, Machine, Person
from sample.manifest import Manifest
from tests.conftest import house
from tests.patience import PATIENCE

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Nordtel:
    """`principals` by the keys of `sample.cases.PEOPLE`. People and machines log in once."""

    stack: Stack
    cast: Cast
    manifest: Manifest
    principals: dict[str, UUID]
    _actors: dict[object, Actor] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    @classmethod
    @contextmanager
    def of(cls, stack: Stack) -> Iterator[Self]:
        sample = stack.home.path / "sample"
        principals = json.loads((sample / "principals.json").read_text())
        nordtel = cls(
            stack,
            Cast(stack.home.path, stack.url("public"), stack.url("internal")),
            Manifest.read(sample / "manifest.json"),
            {key: UUID(principal) for key, principal in principals.items()},
        )
        with nordtel._open:
            yield nordtel

    def person(self, name: str) -> Person:
        return self._once(name, lambda: self.cast.person(name))

    def machine(self, client: str, audience: str = "public", tenant: UUID | None = None) -> Machine:
        return self._once((client, audience, tenant), lambda: self.cast.machine(client, audience, tenant))

    def process(self, name: str, audience: str, tenant: UUID | None = None) -> Machine:
        """A service as it speaks to another one."""

        def make() -> Machine:
            key = ECKey.import_key(json.loads((self.stack.home.secrets(name) / "client.jwk").read_bytes()))
            return Machine(self.stack.url(audience), self.stack.url("public"), name, key, audience, tenant)

        return self._once((name, audience, tenant), make)

    def _once(self, key: object, make: Callable[[], Seen]) -> Seen:
        if key not in self._actors:
            self._actors[key] = self._open.enter_context(make())
        return self._actors[key]

    @property
    def home(self) -> Path:
        return self.stack.home.path

    def now(self) -> datetime:
        """Business time, as every process of the house reads it."""
        return datetime.now(UTC) + timedelta(seconds=float(self.stack.home.clock.read_text()))

    def move_to(self, moment: datetime) -> None:
        """Business time goes on to `moment`, as operations may order it in a development house; it never goes back."""
        if moment > self.now():
            self._confirm_access()
            offset = (moment - datetime.now(UTC)).total_seconds()
            self.person("operations").put("/v1/clock", {"offset_seconds": offset})

    def _confirm_access(self) -> None:
        """A review of access that some other test opened is answered: what nobody confirms would lapse while the time passes."""
        one, other = self.person("access1"), self.person("access2")
        for review in one.get("/v1/access/reviews").json()["items"]:
            path = f"/v1/access/reviews/{review['id']}"
            for item in one.get(path).json()["items"] if review["closed_at"] is None else ():
                if item["kept"] is None:
                    kept = {"grant": item["grant"], "keep": True, "reason": "Still needed."}
                    key = {"idempotency-key": item["grant"]}
                    if one.try_to("POST", f"{path}/decisions", headers=key, json=kept).status_code != 200:  # her own
                        other.post(f"{path}/decisions", kept)


@contextmanager
def running() -> Iterator[Nordtel]:
    """A house of one's own with a small sample operator, until whoever asked for it is done."""
    with house("nordtel", _begun) as home, _stack(home) as stack, Nordtel.of(stack) as nordtel:
        yield nordtel


def _begun(home: Home) -> None:
    with _stack(home):
        """Its operator is introduced then."""


def _stack(home: Home) -> Stack:
    return Stack(home.path, sample=True, subscribers=60)


def until(what: str, look: Callable[[], Seen | None], patience: float = PATIENCE) -> Seen:
    """Looks again until there is something. Fails with the words for what was waited for."""
    deadline = time.monotonic() + patience
    while not (seen := look()):
        assert time.monotonic() < deadline, f"after {patience:.0f} s there was still no {what}"
        time.sleep(0.1)
    return seen


def request_of(who: Actor, request: str) -> dict[str, Any]:
    return who.get(f"/v1/requests/{request}").json()
