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


class _Loader(yaml.SafeLoader):
    """YAML as a reviewer reads it: a key that stands twice is a mistake, a date is not turned into anything, and nothing refers
    to something written elsewhere, by which a small file could grow without end."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise BookRefused([(f"line {self.peek_event().start_mark.line + 1}", "aliases are not read")])
        return super().compose_node(parent, index)

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


def parsed(text: str | bytes) -> PolicyBook:
    """The book that a file's text is, by its model alone. Raises BookRefused."""
    try:
        return PolicyBook.model_validate_json(orjson.dumps(yaml.load(text, _Loader)))
    except ValidationError as wrong:
        told = wrong.errors(include_url=False, include_context=False, include_input=False)
        raise BookRefused([(".".join(map(str, fault["loc"])), fault["msg"]) for fault in told]) from None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as wrong:
        if isinstance(wrong, BookRefused):
            raise
        raise BookRefused([("file", f"it is not YAML: {wrong}")]) from None
