"""The house's own words, in the two languages of the operator.

Plain data, beside the models of the contract and without them: what draws an export is a process that lives for a moment, and
reading the models in would take it ten times as long as saying these words.
"""

from dataclasses import dataclass
from typing import Literal

Language = Literal["sv", "en"]
LANGUAGES: tuple[Language, ...] = ("sv", "en")


@dataclass(frozen=True)
class Label:
    sv: str
    en: str

    def in_(self, language: Language) -> str:
        return self.sv if language == "sv" else self.en
