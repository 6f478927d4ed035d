"""Statements that find what an alarm may belong to: by index, never by looking through all that is open.

Two partial indices of `incidents` hold only those that take alarms in, under (domain, cause, place or cell), by the
time of their latest alarm. In SQLite each key is looked up by itself, in process; in PostgreSQL all keys of a batch
go in one statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.store import Transaction
from thap.respond.incidents.records import incident_links, incidents
from thap.respond.records import alarm_transitions, alarms

__all__ = ["Candidate", "CandidateRows", "Key", "known_conditions", "next_conditions", "transitions_between"]

Key = tuple[str, str, Any]
"""(domain, cause, place) or (domain, cause, cell)."""
MOST = 200
"""Incidents looked at for one key: those whose latest alarm is newest."""

_I, _L, _T, _A = incidents.c, incident_links.c, alarm_transitions.c, alarms.c


class Candidate(NamedTuple):
    """An incident that an alarm may join."""

    id: int
    began: int
    latest: int
    lon: float | None
    lat: float | None
    domain: str
    cause: str
    place: str
    cell: int | None


_CHOSEN = tuple(_I[name] for name in Candidate._fields)


def _one(column: sa.Column[Any]) -> Any:
    chosen = sa.select(*_CHOSEN).where(
        _I.domain == sa.bindparam("domain"),
        _I.cause == sa.bindparam("cause"),
        column == sa.bindparam("place"),
        _I.latest >= sa.bindparam("since"),
    )
    return chosen.order_by(_I.latest.desc(), _I.id.desc()).limit(sa.literal_column(str(MOST)))


def _many(column: sa.Column[Any], kind: Any) -> Any:
    """All keys at once: arrays of equal length, unrolled, each with its own range of the index."""
    arrays = (("domains", sa.Text), ("causes", sa.Text), ("places", kind), ("sinces", sa.BigInteger))
    keys = sa.func.unnest(*(sa.bindparam(name, type_=postgresql.ARRAY(type_)) for name, type_ in arrays)).table_valued(
        sa.column("domain", sa.Text),
        sa.column("cause", sa.Text),
        sa.column("place", kind),
        sa.column("since", sa.BigInteger),
        with_ordinality="nth",
    )
    keys = keys.render_derived("wanted")
    found = sa.select(*_CHOSEN).where(
        _I.domain == keys.c.domain, _I.cause == keys.c.cause, column == keys.c.place, _I.latest >= keys.c.since
    )
    newest = found.order_by(_I.latest.desc(), _I.id.desc()).limit(sa.literal_column(str(MOST))).lateral("found")
    return sa.select(keys.c.nth, newest).select_from(keys.join(newest, sa.true()))


_BY_PLACE, _BY_CELL = _one(_I.place), _one(_I.cell)
_BY_PLACES, _BY_CELLS = _many(_I.place, sa.Text), _many(_I.cell, sa.Integer)
_LINKED = (
    sa.select(_L.ref, *_CHOSEN)
    .join_from(incident_links, incidents)
    .where(_L.kind == "alarm", _L.removed.is_(None), _I.latest.is_not(None))
    .order_by(_I.id)
)
_LINKED_ONE = _LINKED.where(_L.ref == sa.bindparam("ref"))
_LINKED_MANY = _LINKED.where(_L.ref == sa.any_(sa.bindparam("refs", type_=postgresql.ARRAY(sa.Text))))
_TRANSITION = (
    _T.id,
    _T.alarm_id.label("alarm"),
    _A.source,
    _A.condition,
    _A.domain,
    _T.action,
    _T.severity,
    _T.annunciated,
    _T.time,
    _T.recorded_at,
    _T.value,
    _T.lon,
    _T.lat,
    _T.commune,
)
_NAMES = tuple(column.name for column in _TRANSITION)
_NEXT = (
    sa.select(*_TRANSITION)
    .join_from(alarm_transitions, alarms)
    .where(_T.id > sa.bindparam("after"))
    .order_by(_T.id)
    .limit(sa.bindparam("most"))
)
_BEFORE = sa.select(sa.func.max(_T.id)).where(_T.recorded_at < sa.bindparam("time"))
_calls = alarm_transitions.alias("calls")
_STANDING = (
    sa.select(*_TRANSITION)
    .join_from(alarm_transitions, alarms)
    .where(
        _T.id.in_(
            sa.select(sa.func.max(_calls.c.id))
            .join_from(_calls, alarms)
            .where(_A.active.is_(True), _calls.c.annunciated.is_(True), _calls.c.id <= sa.bindparam("upto"))
            .group_by(_calls.c.alarm_id)
        ),
        sa.or_(_A.state == "unacknowledged", _A.state == "acknowledged"),
    )
    .order_by(_T.id)
)


class CandidateRows:
    """What is asked in the transaction that opens and joins."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def linked(self, alarms: Iterable[int]) -> dict[int, Candidate]:
        """The live incident each of these alarms belongs to already: the newest where there are several."""
        refs = sorted({str(number) for number in alarms})
        if self._tx.dialect == "sqlite":
            rows = [row for ref in refs for row in self._tx.rows(_LINKED_ONE, {"ref": ref})]
        else:
            rows = list(self._tx.rows(_LINKED_MANY, {"refs": refs})) if refs else []
        return {int(ref): Candidate(*row) for ref, *row in rows}

    def by_place(self, since: Mapping[Key, int]) -> dict[Key, list[Candidate]]:
        """Candidates by (domain, cause, place) with their latest alarm at or after a time."""
        return self._find(since, _BY_PLACE, _BY_PLACES)

    def by_cell(self, since: Mapping[Key, int]) -> dict[Key, list[Candidate]]:
        """Candidates by (domain, cause, cell) with their latest alarm at or after a time."""
        return self._find(since, _BY_CELL, _BY_CELLS)

    def _find(self, since: Mapping[Key, int], one: Any, many: Any) -> dict[Key, list[Candidate]]:
        keys = list(since)
        found: dict[Key, list[Candidate]] = {key: [] for key in keys}
        if self._tx.dialect == "sqlite":
            for key in keys:
                domain, cause, place = key
                values = {"domain": domain, "cause": cause, "place": place, "since": since[key]}
                found[key] = [Candidate(*row) for row in self._tx.rows(one, values)]
        elif keys:
            domains, causes, places = (list(part) for part in zip(*keys, strict=True))
            values = {"domains": domains, "causes": causes, "places": places, "sinces": [since[key] for key in keys]}
            for nth, *row in self._tx.rows(many, values):
                found[keys[int(nth) - 1]].append(Candidate(*row))
        return found

    def transitions(self, after: int, most: int) -> list[dict[str, Any]]:
        """The next alarm transitions after a number, in order."""
        return [dict(zip(_NAMES, row, strict=True)) for row in self._tx.rows(_NEXT, {"after": after, "most": most})]

    def last_before(self, time: int) -> int:
        """The number of the newest transition written before a time; 0 when there is none."""
        return int(self._tx.rows(_BEFORE, {"time": time})[0][0] or 0)

    def standing(self, upto: int) -> Sequence[dict[str, Any]]:
        """For each alarm that stands (true and not hidden): its newest transition that called, up to a number."""
        return [dict(zip(_NAMES, row, strict=True)) for row in self._tx.rows(_STANDING, {"upto": upto})]


async def transitions_between(
    connection: AsyncConnection, since: int, until: int, limit: int, within: sa.ColumnElement[bool] | None = None
) -> list[dict[str, Any]]:
    """The newest transitions recorded in [since, until), at most so many, in order: as `CandidateRows.transitions`."""
    statement = (
        sa.select(*_TRANSITION)
        .join_from(alarm_transitions, alarms)
        .where(_T.recorded_at >= since, _T.recorded_at < until)
        .order_by(_T.id.desc())
        .limit(limit)
    )
    if within is not None:
        statement = statement.where(within)
    rows = await connection.execute(statement)
    return [dict(zip(_NAMES, row, strict=True)) for row in rows][::-1]


async def known_conditions(connection: AsyncConnection) -> set[str]:
    """Every condition of which there is or was an alarm."""
    return {str(one) for one in await connection.scalars(sa.select(_A.condition).distinct())}


async def next_conditions(connection: AsyncConnection, after: int, most: int) -> set[str]:
    """The conditions of the next alarm transitions after a number."""
    return {str(row.condition) for row in await connection.execute(_NEXT, {"after": after, "most": most})}
