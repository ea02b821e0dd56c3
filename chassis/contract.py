"""The base of every request and response model: strict, closed and unchangeable."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

Item = TypeVar("Item")


def _instant(written: Any) -> Any:
    """A text is read here: pydantic takes "20240101" for seconds since 1970, and a day in January for one in August. RFC 3339 has no weeks."""
    if not isinstance(written, str):
        return written
    try:
        read = datetime.fromisoformat(written)
    except ValueError:
        read = None
    if read is None or written[4:8:3] != "--":
        raise ValueError("an instant is written as RFC 3339 has it")
    return read


# From where UUIDv7's time begins, to where every period of a book can still be added to it.
Moment = Annotated[
    AwareDatetime,
    Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(2900, 1, 1, tzinfo=UTC)),
    BeforeValidator(_instant),
]


class Contract(BaseModel):
    """Unknown fields are refused, types are never coerced (JSON's own spellings of UUIDs, dates and enums are read)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Page(Contract, Generic[Item]):
    """One page of a listing: ask again with `?after=next` until `next` is null."""

    items: list[Item]
    next: str | None = None
