"""The base of every request and response model: strict, closed and unchangeable."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

Item = TypeVar("Item")


class Contract(BaseModel):
    """Unknown fields are refused, types are never coerced (JSON's own spellings of UUIDs, dates and enums are read)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Page(Contract, Generic[Item]):
    """One page of a listing: ask again with `?after=next` until `next` is null."""

    items: list[Item]
    next: str | None = None
