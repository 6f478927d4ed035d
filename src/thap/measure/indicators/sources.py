"""Where the rows behind a number come from. A value and its rows are one query under one condition of policy, so the
number of rows always says what the value says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import sqlalchemy as sa

from thap.kernel.errors import InputError, UnavailableError
from thap.kernel.policy import Policy, Resource, Subject, Who
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.measure.indicators.model import Column, Reduce, plain

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from thap.measure.indicators.snapshot import Moment, Snapshots

__all__ = ["Asked", "Listed", "Measured", "Page", "Rows", "Seen", "Selected"]

PAGE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and of what."""

    records: Records
    snapshots: Snapshots
    settings: Settings
    policy: Policy
    who: Who
    action: str
    now: int
    """µs; the same for all that is computed together."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A number, and how many rows it is of."""

    value: float | None
    rows: int


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the rows behind a number."""

    items: list[dict[str, Any]]
    total: int
    value: float | None
    """The number, counted together with these rows."""
    next: str | None
    """Give it as `after` for the next page."""


class Rows(Protocol):
    """Rows, and how they are reduced."""

    columns: Sequence[Column]

    async def measure(self, asked: Asked, reduce: Reduce) -> Measured:
        """The number of all rows this person may see.

        Raises:
            ThapError: the rows cannot be read now.
        """
        ...

    async def page(self, asked: Asked, reduce: Reduce, limit: int, after: str | None) -> Page:
        """Some rows with the number, both of one moment.

        Raises:
            InputError: `after` is of no page, or `limit` is not 1 to 1,000.
            ThapError: the rows cannot be read now.
        """
        ...


def check_limit(limit: int) -> None:
    """Raise InputError unless a page may have so many rows."""
    if not 1 <= limit <= PAGE_MAX:
        raise InputError(f"a page has 1 to {PAGE_MAX} rows", where="limit")


class Selected:
    """Rows of a statement.

    Args:
        columns: of the statement, to show.
        select: makes the statement; it has a column `id`, a whole number that no two rows share. Rows are shown the
            highest number first.
        resource: what policy looks at.
    """

    def __init__(self, columns: Sequence[Column], select: Callable[[int], sa.Select[Any]], resource: Resource) -> None:
        self.columns = columns
        self._select = select
        self._resource = resource

    async def measure(self, asked: Asked, reduce: Reduce) -> Measured:
        async with asked.records.read() as connection:
            return await self._measure(connection, asked, reduce)

    async def page(self, asked: Asked, reduce: Reduce, limit: int, after: str | None) -> Page:
        check_limit(limit)
        rows = self._scoped(asked)
        wanted = sa.select(rows).order_by(rows.c.id.desc()).limit(limit + 1)
        if reduce.kind == "quantile":
            wanted = wanted.where(rows.c[reduce.column].is_not(None))
        if after is not None:
            if not after.isdigit() or len(after) > 18:
                raise InputError(f"{after!r} is the end of no page", where="after")
            wanted = wanted.where(rows.c.id < int(after))
        async with asked.records.read() as connection:
            measured = await self._measure(connection, asked, reduce)
            found = [plain(dict(row)) for row in (await connection.execute(wanted)).mappings()]
        items = found[:limit]
        more = str(items[-1]["id"]) if len(found) > limit else None
        return Page(items=items, total=measured.rows, value=measured.value, next=more)

    def _scoped(self, asked: Asked) -> sa.Subquery:
        where = asked.policy.where(asked.who, asked.action, self._resource)
        return self._select(asked.now).where(where).subquery()

    async def _measure(self, connection: AsyncConnection, asked: Asked, reduce: Reduce) -> Measured:
        rows = self._scoped(asked)
        if reduce.kind == "count":
            count = int(await connection.scalar(sa.select(sa.func.count()).select_from(rows)) or 0)
            return Measured(float(count), count)
        column = rows.c[reduce.column]
        if reduce.kind == "share":
            marked = sa.func.coalesce(sa.func.sum(sa.case((column, 1), else_=0)), 0)
            some, count = (await connection.execute(sa.select(marked, sa.func.count()).select_from(rows))).one()
            return Measured(int(some) / int(count) if count else None, int(count))
        count = int(await connection.scalar(sa.select(sa.func.count(column)).select_from(rows)) or 0)
        if reduce.kind == "sum":
            summed = await connection.scalar(sa.select(sa.func.sum(column)).select_from(rows))
            return Measured(None if summed is None else float(summed), count)
        if not count:
            return Measured(None, 0)
        place = reduce.q * (count - 1)
        below = math.floor(place)
        there = column.is_not(None)
        pair = sa.select(column).where(there).order_by(column).offset(below).limit(2)
        values = [float(value) for value in (await connection.execute(pair)).scalars()]
        upper = values[-1] if len(values) > 1 else values[0]
        return Measured(values[0] + (upper - values[0]) * (place - below), count)


class Seen:
    """Whether one person may read what lies in a commune and belongs to a domain; each question is decided once."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._decided: dict[tuple[str, str, str], bool] = {}
        self._things = any(one.kind == "thing" for one in asked.policy.restrictions)

    def __call__(self, commune: str, domain: str, thing: str = "") -> bool:
        key = (commune, domain, thing if self._things else "")
        found = self._decided.get(key)
        if found is None:
            subject = Subject("thing", (commune,), domain, key[2])
            found = self._asked.policy.decide(self._asked.who, self._asked.action, subject).allowed
            self._decided[key] = found
        return found


class Listed:
    """Rows of what is known of the moment: latest values, heartbeats, room on the disk.

    Args:
        columns: of each row, to show.
        rows: makes them, in the order they are shown in; it leaves out what is not `Seen`. Each has a `key` of
            its own.
    """

    def __init__(self, columns: Sequence[Column], rows: Callable[[Moment, Seen], Sequence[Mapping[str, Any]]]) -> None:
        self.columns = columns
        self._rows = rows

    async def measure(self, asked: Asked, reduce: Reduce) -> Measured:
        return _reduced(await self._list(asked), reduce)

    async def page(self, asked: Asked, reduce: Reduce, limit: int, after: str | None) -> Page:
        check_limit(limit)
        rows = await self._list(asked)
        if reduce.kind == "quantile":
            rows = [row for row in rows if row[reduce.column] is not None]
        begin = 0
        if after is not None:
            begin = next((index + 1 for index, row in enumerate(rows) if row["key"] == after), -1)
            if begin < 0:
                raise InputError(f"{after!r} is the end of no page", where="after", hint="read from the first page")
        items = [plain(row) for row in rows[begin : begin + limit]]
        measured = _reduced(rows, reduce)
        more = str(items[-1]["key"]) if begin + limit < len(rows) else None
        return Page(items=items, total=measured.rows, value=measured.value, next=more)

    async def _list(self, asked: Asked) -> Sequence[Mapping[str, Any]]:
        moment = await asked.snapshots.moment()
        try:
            return self._rows(moment, Seen(asked))
        except (KeyError, ValueError, IndexError) as error:
            raise UnavailableError(f"what is known of the moment does not hold together: {error!r}") from None


def _reduced(rows: Sequence[Mapping[str, Any]], reduce: Reduce) -> Measured:
    if reduce.kind == "count":
        return Measured(float(len(rows)), len(rows))
    if reduce.kind == "share":
        marked = sum(bool(row[reduce.column]) for row in rows)
        return Measured(marked / len(rows) if rows else None, len(rows))
    values = [float(row[reduce.column]) for row in rows if row[reduce.column] is not None]
    if reduce.kind == "sum":
        return Measured(float(sum(values)) if values else None, len(values))
    if not values:
        return Measured(None, 0)
    return Measured(float(np.quantile(np.array(values), reduce.q)), len(values))
