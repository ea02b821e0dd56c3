"""What is asked, as AuthZEN 1.0 has it: one question, or many that share what they do not say themselves."""

from typing import Any, NamedTuple

import orjson

from chassis.bodies import refuse_ambiguous
from chassis.errors import Malformed, TooLarge

MOST = 1000
_DEFAULTS = ("subject", "action", "resource", "context")
# Of a question that says only what it must: eight names and five values, each in two; and those of the one name around many.
_MARKS, _MARKS_AROUND = 26, 2
# After which answer the rest is not looked at any more.
_LAST = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}


class BadQuestion(Exception):
    """What AuthZEN answers with 400 and a message."""


class Question(NamedTuple):
    """`participants`: the other parties' ids as sent; None when they were not named, or one of them is unknown."""

    subject_type: str
    subject: str
    purpose: str
    category: str
    operation: str | None
    participants: tuple[str, ...] | None


class Questions(NamedTuple):
    """In their order; a BadQuestion where one cannot be read. last: the answer after which none follows."""

    items: list[Question | BadQuestion]
    last: bool | None


def read_one(content_type: bytes, raw: bytes) -> Question:
    """Members that AuthZEN does not define are accepted. Raises BadQuestion."""
    said = _object(content_type, raw)
    _refuse_duplicate_keys(raw, said)
    return _question(said)


def read_many(content_type: bytes, raw: bytes) -> Questions | Question:
    """One Question where no `evaluations` are named. Raises BadQuestion, and TooLarge for more than MOST."""
    said = _object(content_type, raw)
    items, options = said.get("evaluations", []), said.get("options", {})
    if not isinstance(items, list):
        raise BadQuestion("evaluations is not an array.")
    wanted = options.get("evaluations_semantic", "execute_all") if isinstance(options, dict) else None
    if not isinstance(wanted, str) or wanted not in _LAST:
        raise BadQuestion(f"options.evaluations_semantic is none of {', '.join(_LAST)}.")
    if len(items) > MOST:
        raise TooLarge(f"At most {MOST} evaluations are answered at once; these are {len(items)}.")
    if not items:
        _refuse_duplicate_keys(raw, said)
        return _question(said)
    defaults = {name: said[name] for name in _DEFAULTS if name in said}
    whole = [_whole(defaults, item) for item in items] if defaults else items
    read = [_plain_question(item) or _odd_item(item) for item in whole]
    if defaults or not _says_no_more(raw, read):
        _refuse_duplicate_keys(raw, said)
    return Questions(read, _LAST[wanted])


def _whole(defaults: dict[str, Any], item: Any) -> Any:
    return defaults | item if isinstance(item, dict) else item


def _odd_item(item: Any) -> Question | BadQuestion:
    if not isinstance(item, dict):
        return BadQuestion("An evaluation is not an object.")
    try:
        return _odd_question(item)
    except BadQuestion as fault:
        return fault


def _object(content_type: bytes, raw: bytes) -> dict[str, Any]:
    if content_type.partition(b";")[0].strip().lower() != b"application/json":
        raise BadQuestion("Send application/json.")
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadQuestion("The body is not JSON.") from None
    if not isinstance(said, dict):
        raise BadQuestion("The body is not a JSON object.")
    return said


def _question(said: dict[str, Any]) -> Question:
    return _plain_question(said) or _odd_question(said)


def _plain_question(said: Any) -> Question | None:
    """Most are read at once; what is odd is looked at member by member, to say what is wrong with it."""
    try:
        subject, action, resource = said["subject"], said["action"], said["resource"]
        kind, id, purpose, category = subject["type"], subject["id"], action["name"], resource["type"]
        if (
            type(kind) is type(id) is type(purpose) is type(category) is type(resource["id"]) is str
            and "context" not in said
            and not ("properties" in action or "properties" in subject or "properties" in resource)
        ):
            return Question(kind, id, purpose, category, None, None)
    except (KeyError, TypeError):
        pass
    return None


def _odd_question(said: dict[str, Any]) -> Question:
    subject, action, resource = _entity(said, "subject"), _entity(said, "action"), _entity(said, "resource")
    context = said.get("context", {})
    if not isinstance(context, dict):
        raise BadQuestion("context is not an object.")
    _text(resource, "resource", "id")
    return Question(
        _text(subject, "subject", "type"),
        _text(subject, "subject", "id"),
        _text(action, "action", "name"),
        _text(resource, "resource", "type"),
        operation if isinstance(operation := action.get("properties", {}).get("operation"), str) else None,
        _participants(context.get("participants")),
    )


def _entity(said: dict[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    if not isinstance(found, dict):
        raise BadQuestion(f"{name} is missing or not an object.")
    if not isinstance(found.get("properties", {}), dict):
        raise BadQuestion(f"{name}.properties is not an object.")
    return found


def _text(entity: dict[str, Any], name: str, member: str) -> str:
    found = entity.get(member)
    if not isinstance(found, str):
        raise BadQuestion(f"{name}.{member} is missing or not a string.")
    return found


def _participants(named: Any) -> tuple[str, ...] | None:
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        return None
    return tuple(named)


def _says_no_more(raw: bytes, read: list[Question | BadQuestion]) -> bool:
    """Whether it has just the strings without which none of these could be read, so that no key of it was dropped."""
    marks = _MARKS * len(read) + _MARKS_AROUND
    return raw.count(b'"') == marks and b"\\" not in raw and all(type(each) is Question for each in read)


def _refuse_duplicate_keys(raw: bytes, said: dict[str, Any]) -> None:
    """Without escapes, every string costs exactly two quotation marks; a key that was dropped as a duplicate is missing two."""
    if b"\\" not in raw and raw.count(b'"') == orjson.dumps(said).count(b'"'):
        return
    try:
        refuse_ambiguous(raw)
    except Malformed:
        raise BadQuestion("The body names a key twice.") from None
