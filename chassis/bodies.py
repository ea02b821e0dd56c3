"""Request bodies, read strictly: bytes → no duplicate keys → strict model.

FastAPI would hand strict models already parsed objects, and they would refuse every UUID, date and enum. So `Body[Model]`
reads the bytes itself; `chassis.app` declares the same model in the OpenAPI document.
"""

import json
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from chassis.errors import Invalid, Malformed, WrongMediaType

_DEEPEST = 64

Model = TypeVar("Model", bound=BaseModel)


class BodyReader:
    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> BaseModel:
        must_be_json(request.headers.get("content-type", ""))
        return read(self.model, await request.body())


def must_be_json(content_type: str) -> None:
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise WrongMediaType


def read(model: type[Model], raw: bytes) -> Model:
    """Raises Malformed or Invalid."""
    if not _plain(raw):
        refuse_ambiguous(raw)
    try:
        return model.model_validate_json(raw)
    except ValidationError as faults:
        raise invalid(faults) from None


def _plain(raw: bytes) -> bool:
    """Whether nothing in it can be ambiguous, for a tenth of the time that it takes to say what is.

    Without escapes each string costs exactly two quotation marks, and a key that was dropped as a duplicate is missing two.
    """
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    flat = raw.count(b"{") + raw.count(b"[") <= _DEEPEST or _depth(parsed, _DEEPEST) > 0
    return flat and b"\\" not in raw and raw.count(b'"') == orjson.dumps(parsed).count(b'"')


def refuse_ambiguous(raw: bytes) -> Any:
    """The parsed JSON. Raises Malformed for what is no JSON, nests too deep, says one key twice (readers would disagree on it), or
    holds NUL."""
    try:
        parsed = json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Malformed("The body is not JSON in UTF-8 with each key once.") from None
    if _depth(parsed, _DEEPEST) == 0:
        raise Malformed("The body nests too deep.")
    # No text of PostgreSQL can hold it. It can only come escaped: JSON has no bare control characters.
    if b"\\u0000" in raw and _holds_nul(parsed):
        raise Malformed("The body holds the character NUL.")
    return parsed


def invalid(faults: ValidationError) -> Invalid:
    """Every fault with its path; never the value, which may be somebody's data."""
    return Invalid(
        f"{faults.error_count()} fault(s); see errors.",
        errors=[
            {"path": ".".join(str(step) for step in fault["loc"]), "problem": fault["msg"]}
            for fault in faults.errors(include_url=False, include_context=False, include_input=False)
        ],
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _depth(value: Any, left: int) -> int:
    """How much of the allowance `left` the nesting of `value` leaves; 0 when it is used up."""
    if left == 0 or not isinstance(value, (dict, list)):
        return left
    children = value.values() if isinstance(value, dict) else value
    deeper = [child for child in children if isinstance(child, (dict, list))]
    return min((_depth(child, left - 1) for child in deeper), default=left - bool(children))


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(map(_holds_nul, (*value.keys(), *value.values())))
    return isinstance(value, list) and any(map(_holds_nul, value))


class Body:
    """`wish: Body[GiveConsent]` in a route's signature."""

    def __class_getitem__(cls, model: type[BaseModel]) -> Any:
        return Annotated[model, Depends(BodyReader(model))]
