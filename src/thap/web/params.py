"""Query parameters that many routes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Query

from thap.kernel.errors import InputError
from thap.web.directory import Filter, parse_bbox

__all__ = ["FilterDep", "cursor_number", "split"]

Many = Annotated[list[str] | None, Query()]


def split(values: Sequence[str] | None) -> list[str]:
    """Values given several times, or separated by commas."""
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]


def _filter(
    domain: Annotated[list[str] | None, Query(description="Domains, as sand; several by comma.")] = None,
    kind: Annotated[list[str] | None, Query(description="Kinds of things or movers, as vessel.")] = None,
    property: Annotated[list[str] | None, Query(description="Observed properties, as water_level.")] = None,
    commune: Annotated[list[str] | None, Query(description="Codes of communes.")] = None,
    bbox: Annotated[str | None, Query(description="west,south,east,north in degrees.")] = None,
    source: Annotated[list[str] | None, Query(description="Patterns of keys, as tram-*.")] = None,
    text: Annotated[str, Query(max_length=200, description="Part of a key or name; marks do not matter.")] = "",
) -> Filter:
    """What the caller wants to see; parameters not given narrow nothing."""
    return Filter(
        frozenset(split(domain)),
        frozenset(split(commune)),
        parse_bbox(bbox),
        tuple(split(source)),
        frozenset(split(kind)),
        frozenset(split(property)),
        text.strip(),
    )


FilterDep = Annotated[Filter, Depends(_filter)]


def cursor_number(after: str | None) -> int:
    """The number a page begins after.

    Raises:
        InputError: it is not what `next` of a page gave.
    """
    if after is None:
        return 0
    if not after.isdecimal() or len(after) > 18:
        raise InputError("this is not where a page ended", where="after", hint="give `next` of the page before")
    return int(after)
