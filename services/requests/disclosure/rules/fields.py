"""The whitelist: which fields a task of a category and subtype discloses. Data, read once; nothing else leaves."""

from functools import cache
from pathlib import Path

import yaml

FIELDS = Path(__file__).parents[1] / "fields.yaml"


@cache
def whitelist() -> dict[str, dict[str, frozenset[str]]]:
    """Elements of the policy book by category and subtype."""
    written = yaml.safe_load(FIELDS.read_text("utf-8"))
    return {
        category: {subtype: frozenset(elements) for subtype, elements in subtypes.items()}
        for category, subtypes in written.items()
    }


def known(category: str, subtype: str | None) -> bool:
    return (subtype or "all") in whitelist().get(category, {})


def disclosed(category: str, subtype: str | None, columns: list[tuple[str, str]]) -> list[int]:
    """The places of the columns (name, element) that may leave."""
    elements = whitelist()[category][subtype or "all"]
    return [at for at, (_, element) in enumerate(columns) if element in elements]
