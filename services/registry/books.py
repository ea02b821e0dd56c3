"""Reading a policy book from its file: plain YAML, each key once, checked by the model and then for faults."""

from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import ValidationError

from services.registry.contract import PolicyBook, faults


class BookRefused(ValueError):
    """The book has faults; the message lists all of them, `faults` has them as (row, sentence)."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{where}: {what}" for where, what in faults))
        self.faults = faults


_DEEPEST = 40
# Ten times as fast where PyYAML was built with libyaml, as its published wheels are.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """YAML as a reviewer reads it: a key that stands twice is a mistake, and a date is not turned into anything."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise BookRefused([(f"line {node.start_mark.line + 1}", f"{', '.join(twice)} stands twice")])
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_book(path: Path) -> PolicyBook:
    """The book of a file. Raises BookRefused with every fault, OSError when there is no such file."""
    book = parsed(path.read_bytes())
    if found := faults(book):
        raise BookRefused([(fault.where, f"{fault.what} ({fault.code})") for fault in found])
    return book


def _loaded(text: str | bytes) -> Any:
    """Nothing refers to something written elsewhere, by which a small file could grow without end, and nothing lies so deep that
    whoever reads it falls."""
    depth = 0
    for event in yaml.parse(text, _Safe):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
            said = "aliases are not read" if depth <= _DEEPEST else f"at most {_DEEPEST} levels are read"
            raise BookRefused([(f"line {event.start_mark.line + 1}", said)])
    return yaml.load(text, _Loader)


def parsed(text: str | bytes) -> PolicyBook:
    """The book that a file's text is, by its model alone. Raises BookRefused."""
    try:
        return PolicyBook.model_validate_json(orjson.dumps(_loaded(text)))
    except ValidationError as wrong:
        told = wrong.errors(include_url=False, include_context=False, include_input=False)
        raise BookRefused([(".".join(map(str, fault["loc"])), fault["msg"]) for fault in told]) from None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as wrong:
        if isinstance(wrong, BookRefused):
            raise
        raise BookRefused([("file", f"it is not YAML: {wrong}")]) from None
