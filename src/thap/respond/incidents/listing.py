"""Lists of incidents as one person may see them: pages by keyset, totals and counts.

What a person sees is decided by one condition, `Policy.where`; it is part of every statement here. `units`
only says where to look: a commune's official sees a hundredth of two million incidents, spread over the two
columns `unit` and `commune`, and no single index has them in order. So each (column, unit) is a stretch of
its own index, read newest first as far as the page reaches, and the stretches are merged. Measured in
`bench/incident_page.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.errors import InputError
from thap.kernel.policy import Policy, Resource, Who
from thap.respond.incidents.linked_alarms import all_cleared
from thap.respond.incidents.records import incidents
from thap.respond.incidents.sources import having_to_do_with

__all__ = [
    "RESOURCE",
    "CountBy",
    "IncidentFilter",
    "IncidentSort",
    "Scope",
    "count_incidents",
    "counts_of",
    "cursor_at",
    "cursor_of",
    "list_rows",
    "scope_of",
]

IncidentSort = Literal[
    "-opened", "opened", "-changed", "changed", "-severity", "severity", "due", "-due", "-resolved", "resolved"
]
CountBy = Literal["state", "severity", "domain", "unit", "commune", "owner", "origin"]

_I = incidents.c
RESOURCE = Resource(units=(_I.unit, _I.commune), domain=_I.domain, things=having_to_do_with(_I.id))
"""What policy looks at: an incident counts to the responsible unit and to the commune it lies in."""
_COLUMNS = tuple(column.name for column in incidents.columns)
_MANY_UNITS = 16
"""With more units than this a person sees so much that the order of opening is read as it is."""
_NEVER = 2**62
"""Stands for a moment that is not set, behind all that are."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a person may see."""

    where: sa.ColumnElement[bool]
    """Decides."""
    units: frozenset[str] | None = None
    """No incident outside these units (responsible or commune) meets `where`; None: any may."""


def scope_of(policy: Policy, who: Who, action: str = "incident.read") -> Scope:
    """Where `who` may do an action to incidents."""
    units: set[str] | None = set()
    for domain in {"", *(grant.domain for grant in who.grants)}:
        within = policy.units(who, action, domain)
        units = None if within is None or units is None else units | within
    return Scope(policy.where(who, action, RESOURCE), None if units is None else frozenset(units))


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """What of it they want to see. Empty fields want everything; several fields must all hold."""

    states: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    """Responsible units; '' is the province."""
    communes: frozenset[str] = frozenset()
    severities: frozenset[int] = frozenset()
    owners: frozenset[str] = frozenset()
    """Logins; '' is nobody."""
    origins: frozenset[str] = frozenset()
    since: int | None = None
    """Opened at or after, µs."""
    until: int | None = None
    """Opened before, µs."""
    due_before: int | None = None
    """With a deadline before, µs."""
    cleared: bool = False
    """With alarms, none of which is true any more."""
    text: str = ""
    """Part of title or description."""


async def list_rows(
    connection: AsyncConnection,
    scope: Scope,
    chosen: IncidentFilter,
    *,
    sort: IncidentSort = "-opened",
    limit: int = 100,
    after: str | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of incidents in an order that does not shift while others are opened, and where the next begins.

    Args:
        connection: of the records.
        scope: what the caller may see.
        chosen: what of it they want.
        sort: by which column, `-` for descending; equal ones by number.
        limit: how many, 1 to 1,000.
        after: `next` of the page before, with the same sort.

    Raises:
        InputError: sort, limit or `after` is not one.
    """
    if sort not in get_args(IncidentSort):
        raise InputError(
            f"{sort!r} is not an order of incidents", where="sort", hint=f"one of {', '.join(get_args(IncidentSort))}"
        )
    if not 1 <= limit <= 1000:
        raise InputError("a page has 1 to 1000 incidents", where="limit")
    column, down = _sorted_by(sort), sort.startswith("-")
    tests = [scope.where, *_tests(chosen)]
    if after is not None:
        value, number = _position(after, sort)
        here = sa.tuple_(column, _I.id)
        there = sa.tuple_(sa.literal(value, sa.BigInteger), sa.literal(number, _I.id.type))
        tests.append(here < there if down else here > there)
    order = (column.desc(), _I.id.desc()) if down else (column.asc(), _I.id.asc())
    stretches = _stretches(scope)
    if len(stretches) == 1:
        found = sa.select(incidents).where(*tests, *stretches)
    else:
        parts = [
            sa.select(sa.select(_I.id).where(stretch, *tests).order_by(*order).limit(limit + 1).subquery().c.id)
            for stretch in stretches
        ]
        found = sa.select(incidents).where(_I.id.in_(sa.union_all(*parts)))
    page = await connection.execute(found.order_by(*order).limit(limit + 1))
    rows: list[dict[str, Any]] = [dict(zip(_COLUMNS, row, strict=True)) for row in page]
    if len(rows) <= limit:
        return rows, None
    rows = rows[:limit]
    return rows, cursor_of(rows[-1], sort)


async def count_incidents(connection: AsyncConnection, scope: Scope, chosen: IncidentFilter) -> int:
    """How many incidents the filter wants of those the caller may see."""
    tests = [scope.where, *_tests(chosen)]
    parts = [
        sa.select(sa.func.count()).select_from(incidents).where(stretch, *tests).scalar_subquery()
        for stretch in _stretches(scope)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part  # type: ignore[assignment]
    return int(await connection.scalar(sa.select(total)) or 0)


async def counts_of(connection: AsyncConnection, scope: Scope, chosen: IncidentFilter, by: CountBy) -> dict[str, int]:
    """How many of them have each value of a column, the most frequent first.

    Raises:
        InputError: incidents are not counted by that.
    """
    if by not in get_args(CountBy):
        raise InputError(
            f"incidents are not counted by {by!r}", where="by", hint=f"one of {', '.join(get_args(CountBy))}"
        )
    column, tests = _I[by], [scope.where, *_tests(chosen)]
    parts = [
        sa.select(column.label("value"), sa.func.count().label("many")).where(stretch, *tests).group_by(column)
        for stretch in _stretches(scope)
    ]
    merged = sa.union_all(*parts).subquery()
    many = sa.func.sum(merged.c.many)
    rows = await connection.execute(
        sa.select(merged.c.value, many).group_by(merged.c.value).order_by(many.desc(), merged.c.value)
    )
    return {str(value): int(total) for value, total in rows}


def _stretches(scope: Scope) -> list[sa.ColumnElement[bool]]:
    """Conditions that no two incidents' rows share and that together hold for all that the scope can hold."""
    units = scope.units
    if units is None or len(units) > _MANY_UNITS:
        return [sa.true()]
    if not units:
        return [sa.false()]
    ordered = sorted(units)
    found: list[sa.ColumnElement[bool]] = [_I.unit == unit for unit in ordered]
    found += [sa.and_(_I.commune == unit, _I.unit.not_in(ordered)) for unit in ordered if unit.isdecimal()]
    return found


def _sorted_by(sort: str) -> sa.ColumnElement[Any]:
    column: sa.ColumnElement[Any] = _I[sort.removeprefix("-")]
    return sa.func.coalesce(column, _NEVER) if sort.removeprefix("-") in ("due", "resolved") else column


def _tests(chosen: IncidentFilter) -> list[sa.ColumnElement[bool]]:
    many: tuple[tuple[sa.Column[Any], Collection[Any]], ...] = (
        (_I.state, chosen.states),
        (_I.domain, chosen.domains),
        (_I.unit, chosen.units),
        (_I.commune, chosen.communes),
        (_I.severity, chosen.severities),
        (_I.owner, chosen.owners),
        (_I.origin, chosen.origins),
    )
    tests: list[sa.ColumnElement[bool]] = [column.in_(sorted(values)) for column, values in many if values]
    if chosen.since is not None:
        tests.append(_I.opened >= chosen.since)
    if chosen.until is not None:
        tests.append(_I.opened < chosen.until)
    if chosen.due_before is not None:
        tests.append(_I.due < chosen.due_before)
    if chosen.cleared:
        tests.append(all_cleared(_I.id))
    if chosen.text:
        tests.append(
            sa.or_(
                *(
                    sa.func.lower(column).like(pattern, escape="|")
                    for column in (_I.title, _I.description)
                    for pattern in _patterns(chosen.text)
                )
            )
        )
    return tests


def _patterns(text: str) -> list[str]:
    """A text as patterns of LIKE with the escape `|`. `lower` of SQLite knows A to Z only: Đ and its like are
    looked for as they stand at the beginning of a sentence too."""
    for special in "|%_":
        text = text.replace(special, "|" + special)
    ways = (text.lower(), text, text.upper(), text.capitalize(), text.title())
    small = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
    return [f"%{way}%" for way in dict.fromkeys(one.translate(small) for one in ways)]


def cursor_of(row: Mapping[str, Any], sort: IncidentSort) -> str:
    """Where a page that ended with this row goes on."""
    value = row[sort.removeprefix("-")]
    return cursor_at(sort, _NEVER if value is None else int(value), int(row["id"]))


def cursor_at(sort: IncidentSort, value: int, number: int) -> str:
    """Where a page goes on after this value of the sorted column and, among equal ones, this number."""
    return base64.urlsafe_b64encode(msgspec.json.encode([sort, value, number])).decode().rstrip("=")


def _position(after: str, sort: str) -> tuple[int, int]:
    try:
        body = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))
        kept, value, number = msgspec.json.decode(body, type=tuple[str, int, int])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InputError(
            "this is not where a page ended", where="after", hint="give `next` of the page before"
        ) from None
    if kept != sort:
        raise InputError(f"that page was sorted by {kept!r}", where="after", hint="begin again without `after`")
    if not (abs(value) < 2**63 and 0 <= number < 2**63):
        raise InputError("this is not where a page ended", where="after", hint="give `next` of the page before")
    return value, number
