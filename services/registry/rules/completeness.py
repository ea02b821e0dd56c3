"""Each field of the supervisory authorities' templates, answered from a record of processing, or named as missing.

Which template asks for which field is `policy/templates/csm_ropa.csv`. A field is answered by the record itself, else by a
statement of the activity, else by one of the operator (the book's `statements`), which may also say why it does not apply.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from services.registry import wording
from services.registry.labels import Language

_FILE = Path(__file__).parents[3] / "policy" / "templates" / "csm_ropa.csv"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """A row of the comparison; `templates`: who asks for it (`A30` is Article 30 itself)."""

    key: str
    name: str
    templates: frozenset[str]


@cache
def fields() -> tuple[Field, ...]:
    with _FILE.open(newline="", encoding="utf-8") as lines:
        return tuple(
            Field(
                row["key"],
                row["field"],
                frozenset(name for name in list(row)[3:] if row[name] == "yes"),
            )
            for row in csv.DictReader(lines)
        )


@cache
def templates() -> dict[str, tuple[Field, ...]]:
    """Every template with the fields it asks for, in the file's order."""
    with _FILE.open(newline="", encoding="utf-8") as lines:
        names = next(csv.reader(lines))[3:]
    return {name: tuple(field for field in fields() if name in field.templates) for name in names}


@cache
def asked_by(template: str) -> frozenset[str]:
    return frozenset(field.key for field in templates()[template])


@cache
def keys() -> tuple[str, ...]:
    return tuple(dict.fromkeys(field.key for field in fields()))


def answer(key: str, record: Record, about: Record, language: Language) -> str:
    """The text of one cell; empty when nobody has answered it. `record` is `Activity`'s JSON, `about` the operator's own."""
    told = _FROM_RECORD[key](record, about, language) if key in _FROM_RECORD else ""
    if told:
        return told
    stated = record["statements"].get(key) or about["statements"].get(key)
    return stated[language] if stated else ""


def missing(record: Record, about: Record) -> list[str]:
    return [key for key in keys() if not answer(key, record, about, "en")]


def _labels(name: str) -> Callable[[Record, Record, Language], str]:
    return lambda record, _, language: "; ".join(row[language] for row in record[name])


def _named(name: str) -> Callable[[Record, Record, Language], str]:
    return lambda record, _, language: "; ".join(row["label"][language] for row in record[name])


def _plain(name: str) -> Callable[[Record, Record, Language], str]:
    return lambda record, _, __: "; ".join(record[name]) if isinstance(record[name], list) else record[name] or ""


def _of_controller(*names: str) -> Callable[[Record, Record, Language], str]:
    return lambda _, about, __: ", ".join(about["controller"][name] for name in names if about["controller"][name])


def _joint(_: Record, about: Record, __: Language) -> str:
    return "; ".join(about["controller"]["joint_controllers"])


def _purposes(record: Record, _: Record, language: Language) -> str:
    return f"{record['purpose_label'][language]}: {record['description'][language]}"


def _bases(record: Record, _: Record, language: Language) -> str:
    """Each basis once, with the data that rest on it."""
    resting: dict[str, list[str]] = {}
    for row in record["data"]:
        context = wording.CONTEXT.get(row["context"])
        name = row["label"][language] + (f" ({context.in_(language)})" if context else "")
        resting.setdefault(f"{wording.BASIS[row['basis']].in_(language)} ({row['legal_ref']})", []).append(name)
    return "; ".join(f"{basis}: {', '.join(names)}" for basis, names in resting.items())


def _special(record: Record, _: Record, language: Language) -> str:
    special = [row["label"][language] for row in record["data"] if row["special"]]
    return "; ".join(special) or {"sv": "Inga", "en": "None"}[language]


def _third_countries(record: Record, _: Record, language: Language) -> str:
    told = dict.fromkeys(f"{row['country'][language]} ({row['importer']})" for row in record["transfers"])
    return "; ".join(told) or {"sv": "Inga", "en": "None"}[language]


def _safeguards(record: Record, _: Record, language: Language) -> str:
    """Empty as long as one transfer has none."""
    if not record["transfers"]:
        return {"sv": "Ingen överföring till tredje land", "en": "No transfer to a third country"}[language]
    if any(row["mechanism"] == "not_stated" for row in record["transfers"]):
        return ""
    return "; ".join(dict.fromkeys(wording.safeguard(row, language) for row in record["transfers"]))


def _nature_of_transfer(record: Record, _: Record, language: Language) -> str:
    return (
        "; ".join(
            f"{row['exporter']} → {row['importer']}, {row['country'][language]}: {', '.join(each[language] for each in row['data'])}"
            for row in record["transfers"]
        )
        or {"sv": "Ingen överföring", "en": "No transfer"}[language]
    )


def _retention(record: Record, _: Record, language: Language) -> str:
    told = dict.fromkeys(wording.erased(rule, language) for row in record["data"] for rule in row["erasure"])
    return "; ".join(told)


def _measures(_: Record, about: Record, language: Language) -> str:
    return "; ".join(row["label"][language] for row in about["measures"])


def _measures_described(_: Record, about: Record, language: Language) -> str:
    return " ".join(row["description"][language] for row in about["measures"])


def _recipients(record: Record, _: Record, language: Language) -> str:
    return "; ".join(f"{row['label'][language]} ({row['condition'][language]})" for row in record["recipients"])


def _main(record: Record, _: Record, language: Language) -> str:
    words = {True: {"sv": "Huvudsaklig", "en": "Main"}, False: {"sv": "Stödjande", "en": "Auxiliary"}}
    return words[record["main"]][language] if record["main"] is not None else ""


def _assessment(name: str, part: str) -> Callable[[Record, Record, Language], str]:
    def told(record: Record, _: Record, language: Language) -> str:
        row = record[name]
        if row is None:
            return ""
        said = wording.ASSESSED[row["status"]].in_(language)
        return row["reference"] if part == "reference" else f"{said} {row['on'] or ''}".strip()

    return told


def _interests(record: Record, _: Record, language: Language) -> str:
    resting = [row["label"][language] for row in record["data"] if row["basis"] == "legitimate_interest"]
    if not resting:
        return {"sv": "Vilar inte på intresseavvägning", "en": "Rests on no balance of interests"}[language]
    return f"{record['description'][language]} ({', '.join(resting)})"


def _interests_assessment(record: Record, about: Record, language: Language) -> str:
    if not any(row["basis"] == "legitimate_interest" for row in record["data"]):
        return {"sv": "Behövs inte", "en": "Not needed"}[language]
    return _assessment("interests", "reference")(record, about, language)


def _status(record: Record, _: Record, language: Language) -> str:
    return wording.ACTIVITY_STATUS[record["status"]].in_(language)


_FROM_RECORD: dict[str, Callable[[Record, Record, Language], str]] = {
    "data_location": _plain("locations"),
    "data_sources": _labels("collected"),
    "legal_basis": _bases,
    "special_categories": _special,
    "processors": _named("processors"),
    "processing_contract": _plain("agreements"),
    "status": _status,
    "measures_implementation": _measures_described,
    "security_measures": _measures,
    "technologies": _plain("systems"),
    "assessment": _assessment("assessment", "reference"),
    "assessment_result": _assessment("assessment", "status"),
    "business_process": _plain("process"),
    "process_owner": _plain("owner"),
    "third_party_transfer": _recipients,
    "dpo_contact": _of_controller("data_protection_officer"),
    "dpo": _of_controller("data_protection_officer"),
    "representative": _of_controller("representative"),
    "representative_contact": _of_controller("representative"),
    "joint_controller": _joint,
    "joint_controller_contact": _joint,
    "purposes": _purposes,
    "main_processing": _main,
    "data_categories": _named("data"),
    "subject_categories": _labels("subjects"),
    "recipients": _recipients,
    "third_countries": _third_countries,
    "safeguards": _safeguards,
    "retention": _retention,
    "measures": _measures,
    "controller_contact": _of_controller("name", "address", "email", "telephone"),
    "nature_of_transfer": _nature_of_transfer,
    "legitimate_interests": _interests,
    "interests_assessment": _interests_assessment,
}
