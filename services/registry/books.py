"""Reading a policy book from its file: plain YAML, each key once, checked by the model and then for faults."""

from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import ValidationError

from services.registry.contract import PolicyBook, faults


class BookRefused(ValueError):
    """The book has faults; the message lists all of them."""


class _Loader(yaml.SafeLoader):
    """YAML as a reviewer reads it: a key that stands twice is a mistake, and a date is not turned into anything."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise BookRefused(f"{', '.join(twice)} stands twice near line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_book(path: Path) -> PolicyBook:
    """The book of a file. Raises BookRefused with every fault, OSError when there is no such file."""
    try:
        book = PolicyBook.model_validate_json(orjson.dumps(yaml.load(path.read_bytes(), _Loader)))
    except ValidationError as wrong:
        told = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in wrong.errors()]
        raise BookRefused("\n".join(told)) from None
    except yaml.YAMLError as wrong:
        raise BookRefused(f"it is not YAML: {wrong}") from None
    if found := faults(book):
        raise BookRefused("\n".join(f"{fault.where}: {fault.what} ({fault.code})" for fault in found))
    return book
