"""How far the records answer the supervisory authorities' templates, in numbers."""

from collections.abc import Iterable

from services.registry.contract.register import TemplateAnswered
from services.registry.rules import completeness


class Count:
    """How every template is answered, added up activity by activity."""

    def __init__(self) -> None:
        self.activities = 0
        self._lacking = dict.fromkeys(completeness.keys(), 0)

    def add(self, record: completeness.Record) -> None:
        self.activities += 1
        for key in record["missing"]:
            self._lacking[key] += 1

    def answered(self) -> list[TemplateAnswered]:
        return [self._answered(name, asked) for name, asked in completeness.templates().items()]

    def _answered(self, name: str, asked: Iterable[completeness.Field]) -> TemplateAnswered:
        wanted = [field.key for field in asked]
        cells = len(wanted) * self.activities
        return TemplateAnswered(
            template=name,
            fields=len(wanted),
            cells=cells,
            filled=cells - sum(self._lacking[key] for key in wanted),
            missing={key: self._lacking[key] for key in dict.fromkeys(wanted) if self._lacking[key]},
        )
