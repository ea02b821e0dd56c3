"""A connector without the service around it: what it is told by the book, a person, and whoever is asked about holds."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import yaml

from sample.cases import PRIVATE
from services.anonymizer import datamap
from services.anonymizer.connectors.files import Files
from services.anonymizer.connectors.protocol import Connector
from services.anonymizer.house import LONG_AGO
from services.anonymizer.rules.facts import Invoices, Terms
from services.anonymizer.rules.orders import Hold
from services.anonymizer.rules.person import Known, Person
from services.anonymizer.settings import Settings
from tests.disclosure.house import first_book

NOW = datetime(2027, 1, 20, 12, tzinfo=UTC)
ALWAYS = (datetime(2010, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
TERMS = Terms(first_book(), NOW, Invoices({}, LONG_AGO))


@dataclass
class Guard:
    """Disclosure, as a connector knows it."""

    holds: list[Hold] = field(default_factory=list)

    async def held(self, step: UUID | None = None) -> list[Hold]:
        return list(self.holds)

    def hold(self, known: Known, *categories: str) -> UUID:
        self.holds.append(Hold(uuid4(), known, categories, *ALWAYS))
        return self.holds[-1].hold


def person(*known: tuple[str, str]) -> Person:
    values = tuple(Known(datamap.IdentifierType(type), value) for type, value in known)
    return Person(uuid4(), PRIVATE.id, values)


def store_of(tmp_path: Path, written: str, secret: str = "wonderland") -> tuple[datamap.Store, Settings]:
    """A store as the data map writes it, with credentials in `tmp_path`."""
    folder, secrets = tmp_path / "map", tmp_path / "secrets" / "stores"
    folder.mkdir(parents=True)
    secrets.mkdir(parents=True)
    name = yaml.safe_load(written)["store"]
    (folder / f"{name}.yaml").write_text(written)
    for role in ("wardline", "verifier"):
        (secrets / f"{name}.{role}.password").write_text(secret)
    nobody = "https://nobody.invalid"
    told = {"issuer": nobody, "jwks_url": nobody, "environment": "development"}
    return datamap.load(folder).stores[name], Settings(home=tmp_path, secrets_dir=tmp_path / "secrets", **told)


def connector(tmp_path: Path, written: str) -> Files:
    return Files(*store_of(tmp_path, written))


async def collected(connector: Connector, who: Person) -> list[list]:
    chunks = b"".join([chunk async for chunk in connector.collect([who], TERMS.book, False)])
    return [line for line in map(orjson.loads, chunks.splitlines()) if isinstance(line, list)]


def ago(**time: float) -> str:
    return (NOW - timedelta(**time)).isoformat()
