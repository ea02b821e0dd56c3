"""Every planted value and every place it stands in, so that a check can look for each of them with other eyes.

A *value* is a literal as it is written somewhere: a number as digits in a table is another one than the same number with
spaces in a mail. A *place* is a field of a row, a line or a file.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from sample.cases import AGENTS, CASES, PEOPLE, RECYCLED_NUMBER, TENANTS
from sample.dates import Calendar, text
from sample.helpdesk import dashed, international, national
from sample.people import lines

FREE_TEXT = {"subject", "body"}


@dataclass(frozen=True)
class Place:
    """`where` is a table, or a path inside the store's folder; `record` the row's id or the number of the line."""

    store: str
    where: str
    record: int
    field: str
    value: str


@dataclass
class Planted:
    """One planted person: who they are, every literal of theirs with its kind, and where each stands."""

    name: str
    tenant: str
    cases: list[int]
    identifiers: list[dict]
    values: dict[str, str]
    places: list[Place] = field(default_factory=list)


@dataclass
class Manifest:
    """`HOME/sample/manifest.json`."""

    seed: int
    today: date
    subscribers: int
    counts: dict[str, int]
    people: dict[str, Planted]

    @classmethod
    def start(cls, seed: int, calendar: Calendar, subscribers: int) -> "Manifest":
        return cls(seed, calendar.today, subscribers, {}, dict(_people(calendar)))

    def note(self, store: str, where: str, rows: Iterable[dict], record: str | None = "id") -> None:
        """Find the planted values in some rows. Without `record` rows are numbered as lines are, from 1."""
        owner = {value: person for person in self.people.values() for value in person.values}
        for number, row in enumerate(rows, 1):
            for name, content in row.items():
                for value in _values_in(owner, name, content):
                    owner[value].places.append(Place(store, where, row[record] if record else number, name, value))

    def write(self, path: Path) -> None:
        """Written last, whole or not at all: it is the mark of a finished filling."""
        document = {
            "seed": self.seed,
            "today": self.today.isoformat(),
            "subscribers": self.subscribers,
            "counts": dict(sorted(self.counts.items())),
            "tenants": {t.name: str(t.id) for t in TENANTS},
            "people": {key: _compact(person) for key, person in self.people.items()},
        }
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        os.replace(fresh, path)

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        document = json.loads(path.read_text())
        people = {key: Planted(**{**p, "places": _places(p["places"])}) for key, p in document["people"].items()}
        return cls(
            document["seed"], date.fromisoformat(document["today"]), document["subscribers"], document["counts"], people
        )


def _values_in(known: Iterable[str], field: str, content: object) -> list[str]:
    """In free text a value may stand anywhere; any other field is one value."""
    if field in FREE_TEXT:
        return [value for value in known if value in str(content)]
    return [content] if content in known else []


def _compact(person: Planted) -> dict:
    """Places with the same value in the same field share one entry, with all its records."""
    shared: dict[tuple, list] = {}
    # By store, since stores are filled side by side; within one in the order they were written.
    for place in sorted(person.places, key=lambda place: place.store):
        shared.setdefault((place.store, place.where, place.field, place.value), []).append(place.record)
    places = [
        {"store": store, "where": where, "field": name, "value": value, "records": records}
        for (store, where, name, value), records in shared.items()
    ]
    return {**asdict(person), "places": places}


def _places(shared: list[dict]) -> list[Place]:
    return [Place(s["store"], s["where"], r, s["field"], s["value"]) for s in shared for r in s["records"]]


def _people(calendar: Calendar) -> Iterable[tuple[str, Planted]]:
    owned = lines(calendar)
    for key, p in PEOPLE.items():
        numbers = [
            _identifier("msisdn", line.msisdn, text(line.valid_from), line.valid_to and text(line.valid_to))
            for line in owned
            if line.user == key
        ]
        identifiers = [
            _identifier("customer", p.customer_number),
            _identifier("email", p.email),
            _identifier("account", p.account),
            _identifier("mac", p.mac),
            _identifier("name", p.name),
            _identifier("personnummer", p.personnummer),
            *numbers,
        ]
        own_numbers = sorted({i["value"] for i in numbers} - {RECYCLED_NUMBER})
        values = {
            p.customer_number: "customer",
            p.email: "email",
            p.name: "name",
            p.personnummer: "personnummer",
            dashed(p.personnummer): "personnummer",
            p.address: "address",
            p.ip: "ip",
            p.mac: "mac",
            p.account: "account",
            national(p.msisdn): "msisdn",
            international(p.msisdn): "msisdn",
            **dict.fromkeys(own_numbers, "msisdn"),
        }
        yield key, Planted(p.name, str(p.tenant.id), _cases(key), identifiers, values)
    for key, a in AGENTS.items():
        identifiers = [_identifier("agent", a.number), _identifier("email", a.email), _identifier("name", a.name)]
        values = {a.number: "agent", a.name: "name", a.email: "email", a.msisdn: "msisdn"}
        yield key, Planted(a.name, str(a.tenant.id), _cases(key), identifiers, values)


def _identifier(type: str, value: str, from_: str | None = None, to: str | None = None) -> dict:
    return {"type": type, "value": value, "from": from_, "to": to}


def _cases(key: str) -> list[int]:
    return [case.number for case in CASES.values() if key in case.people]
