"""Our letters in Swedish and English: which letter, in which language, with which places filled."""

from functools import cache
from importlib.resources import files

import yaml

from services.registry.contract import Language


def letter(template: str, language: Language, said: dict[str, str]) -> tuple[str, str]:
    """Subject and body. Raises KeyError for a letter that does not exist, or a place that nobody fills."""
    words = _letters()[template][language]
    return words["subject"].format_map(said), words["body"].format_map(said).rstrip() + "\n"


def names() -> list[str]:
    return list(_letters())


@cache
def _letters() -> dict[str, dict[str, dict[str, str]]]:
    return yaml.safe_load((files(__package__) / "letters.yaml").read_text("utf-8"))
