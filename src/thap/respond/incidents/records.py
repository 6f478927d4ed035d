"""Tables of incidents, and every statement on them.

`incidents` has a row for each, `incident_events` everything that happened to them, numbered as one stream, and
`incident_links` what belongs to them. A link that is taken away and an incident that is merged stay: history is
added to, never changed. Which alarm transitions have been looked at is an offset in `offsets`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.records import metadata
from thap.kernel.store import Transaction
from thap.respond.incidents.model import Incident, IncidentEvent, IncidentLink, Row
from thap.respond.records import offsets

__all__ = [
    "IncidentRows",
    "RuleRows",
    "cell_of",
    "events_after",
    "events_of",
    "incident_by_id",
    "incident_events",
    "incident_links",
    "incident_of",
    "incidents",
    "incidents_seen_as",
    "last_event",
    "links_of",
    "opening_rules",
    "rule_rows",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("domain", sa.String(32), nullable=False),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("unit", sa.String(32), nullable=False),
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("lon", sa.Float),
    sa.Column("lat", sa.Float),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("opened", sa.BigInteger, nullable=False),
    sa.Column("opened_by", sa.String(64), nullable=False),
    sa.Column("origin", sa.String(8), nullable=False),
    sa.Column("cause", sa.String(64), nullable=False),
    sa.Column("acknowledged", sa.BigInteger),
    sa.Column("acknowledged_by", sa.String(64), nullable=False),
    sa.Column("resolved", sa.BigInteger),
    sa.Column("closed", sa.BigInteger),
    sa.Column("reopened", sa.Integer, nullable=False),
    sa.Column("merged_into", sa.ForeignKey("incidents.id")),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("due", sa.BigInteger),
    # What alarms are compared with: from when to when what it is about was seen, and where.
    sa.Column("began", sa.BigInteger, nullable=False),
    sa.Column("latest", sa.BigInteger),  # NULL: takes no alarms in
    sa.Column("place", sa.String(260), nullable=False),  # c:<commune>, s:<source> or p: for the province
    sa.Column("cell", sa.Integer),  # of a grid of 0.02 degrees
    sa.Column("events", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)
_I = incidents.c
sa.Index("ix_incidents_opened", _I.opened, _I.id)
# Lists and their totals under one unit's scope are answered by these two alone (listing.py): behind the order stands
# all that policy and the usual filters look at.
sa.Index("ix_incidents_unit", _I.unit, _I.opened, _I.id, _I.commune, _I.domain, _I.state, _I.severity)
sa.Index("ix_incidents_commune", _I.commune, _I.opened, _I.id, _I.unit, _I.domain, _I.state, _I.severity)
sa.Index("ix_incidents_state", _I.state, _I.opened, _I.id)
# Only those that take alarms in: a small part of all.
_JOINABLE: dict[str, Any] = {"sqlite_where": _I.latest.is_not(None), "postgresql_where": _I.latest.is_not(None)}
sa.Index("ix_incidents_place", _I.domain, _I.cause, _I.place, _I.latest, **_JOINABLE)
sa.Index("ix_incidents_cell", _I.domain, _I.cause, _I.cell, _I.latest, **_JOINABLE)

incident_events = sa.Table(
    "incident_events",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("incident_id", sa.ForeignKey("incidents.id"), nullable=False),
    sa.Column("nth", sa.Integer, nullable=False),
    sa.Column("action", sa.String(24), nullable=False),
    sa.Column("from_state", sa.String(16), nullable=False),
    sa.Column("to_state", sa.String(16), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False, index=True),
    sa.Column("by", sa.String(64), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),  # JSON
    sa.Column("version", sa.Integer, nullable=False),  # of the incident, after it
    sa.UniqueConstraint("incident_id", "nth"),
    sqlite_autoincrement=True,
)
incident_links = sa.Table(
    "incident_links",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("incident_id", sa.ForeignKey("incidents.id"), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("ref", sa.String(128), nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),  # JSON
    sa.Column("added", sa.BigInteger, nullable=False),
    sa.Column("added_by", sa.String(64), nullable=False),
    sa.Column("removed", sa.BigInteger),
    sa.Column("removed_by", sa.String(64), nullable=False),
    sqlite_autoincrement=True,
)
_L = incident_links.c
_THERE: dict[str, Any] = {"sqlite_where": _L.removed.is_(None), "postgresql_where": _L.removed.is_(None)}
sa.Index("uq_incident_links_there", _L.kind, _L.ref, _L.incident_id, unique=True, **_THERE)
_GONE: dict[str, Any] = {"sqlite_where": _L.removed.is_not(None), "postgresql_where": _L.removed.is_not(None)}
sa.Index("ix_incident_links_gone", _L.kind, _L.ref, _L.incident_id, **_GONE)

opening_rules = sa.Table(
    "opening_rules",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # JSON
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
)

_E = incident_events.c
_COLUMNS = tuple(c.name for c in incidents.columns)
_CELL = 0.02
_CELLS_A_ROW = 100_000


def cell_of(lon: float, lat: float) -> int:
    """The cell of the grid that a place lies in: about 2.2 km wide and high in the province."""
    return math.floor((lat + 90) / _CELL) * _CELLS_A_ROW + math.floor((lon + 180) / _CELL)


# Statements of the write path: made once, compiled once.
_BY_ID = sa.select(incidents).where(_I.id == sa.bindparam("id")).with_for_update()
_BY_IDS = sa.select(incidents).where(_I.id == sa.any_(sa.bindparam("ids", type_=postgresql.ARRAY(sa.BigInteger))))
_BY_IDS = _BY_IDS.order_by(_I.id).with_for_update()
_ADD = sa.insert(incidents)
_LOG = sa.insert(incident_events)
_LINK = {
    name: module.insert(incident_links).on_conflict_do_nothing(
        index_elements=["kind", "ref", "incident_id"], index_where=_L.removed.is_(None)
    )
    for name, module in (("sqlite", sqlite), ("postgresql", postgresql))
}
_UNLINK = sa.update(incident_links).where(_L.id == sa.bindparam("row_id"))
_DUE = sa.update(incidents).where(_I.id == sa.bindparam("row_id"))
_LINKED = sa.select(incident_links).where(_L.incident_id == sa.bindparam("incident"), _L.removed.is_(None))
_LINKED = _LINKED.order_by(_L.id)
_SINCE = (
    sa.select(_E.action, _E.by, _E.time)
    .where(_E.incident_id == sa.bindparam("incident"), _E.version > sa.bindparam("version"))
    .order_by(_E.nth)
)
_STREAM_LOCK = sa.select(sa.func.pg_advisory_xact_lock(0x74686169))  # "thai": "thap" and i for incidents
_OFFSET = sa.select(offsets.c.seq).where(offsets.c.name == sa.bindparam("name")).with_for_update()
_OFFSET_BEGIN = {
    name: module.insert(offsets).on_conflict_do_nothing(index_elements=["name"])
    for name, module in (("sqlite", sqlite), ("postgresql", postgresql))
}
_OFFSET_SET = sa.update(offsets).where(offsets.c.name == sa.bindparam("row_name"))
_updates: dict[tuple[str, ...], Any] = {}


class IncidentRows:
    """The rows of incidents within one write transaction. Incidents it returns are locked until it ends."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def many(self, ids: Iterable[int]) -> dict[int, Row]:
        """Those that exist, locked in the order of their numbers: who needs several asks for them at once."""
        ordered = sorted(set(ids))
        if self._tx.dialect == "sqlite" or len(ordered) == 1:
            found = [row for number in ordered for row in self._tx.rows(_BY_ID, {"id": number})]
        else:
            found = list(self._tx.rows(_BY_IDS, {"ids": ordered})) if ordered else []
        return {int(row[0]): dict(zip(_COLUMNS, row, strict=True)) for row in found}

    def add(self, rows: Sequence[Row]) -> list[int]:
        """Insert rows (all columns but `id`); returns their numbers, in order."""
        return self._tx.insert(_ADD, _I.id, rows) if rows else []

    def update(self, changes: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Set columns of rows; only indices on what is set are touched."""
        alike: dict[tuple[str, ...], list[Row]] = {}
        for number, values in changes:
            if values:
                alike.setdefault(tuple(sorted(values)), []).append({**values, "row_id": number})
        for names, rows in alike.items():
            statement = _updates.get(names)
            if statement is None:
                sets: dict[str, Any] = {name: sa.bindparam(name) for name in names}
                statement = _updates[names] = sa.update(incidents).where(_I.id == sa.bindparam("row_id")).values(sets)
            self._tx.run(statement, rows)

    def log(self, events: Sequence[Row]) -> list[int]:
        """Append events; returns their numbers, in order.

        In PostgreSQL a number is drawn before its transaction commits; the lock lets no later number become
        visible before an earlier one, so that a reader who goes on from the last number it saw misses none. It is
        taken when everything else is locked, so that nobody who holds it waits for a row.
        """
        if not events:
            return []
        if self._tx.dialect == "postgresql":
            self._tx.rows(_STREAM_LOCK, {})
        return self._tx.insert(_LOG, _E.id, events)

    def since_version(self, incident: int, version: int) -> list[tuple[str, str, int]]:
        """What changed an incident after a version: (action, who, when)."""
        rows = self._tx.rows(_SINCE, {"incident": incident, "version": version})
        return [(str(row[0]), str(row[1]), int(row[2])) for row in rows]

    def linked(self, incident: int) -> list[Row]:
        """The links an incident has now."""
        names = [column.name for column in incident_links.columns]
        return [dict(zip(names, row, strict=True)) for row in self._tx.rows(_LINKED, {"incident": incident})]

    def link(self, rows: Sequence[Row]) -> None:
        """Add links (all columns but `id`), but for those that there are."""
        if rows:
            self._tx.run(_LINK[self._tx.dialect], rows)

    def unlink(self, numbers: Sequence[int], by: str, now: int) -> None:
        """Take links away."""
        if numbers:
            self._tx.run(_UNLINK, [{"row_id": number, "removed": now, "removed_by": by} for number in numbers])

    def set_due(self, due: Mapping[int, int | None]) -> None:
        """Set the next deadline of incidents, by id: no event, no new version. For the follower that keeps tasks."""
        if due:
            self._tx.run(_DUE, [{"row_id": number, "due": moment} for number, moment in sorted(due.items())])

    def offset(self, name: str) -> int | None:
        """How far `name` has read, locked until the transaction ends: two readers of one name take turns. None when
        it reads for the first time."""
        rows = self._tx.rows(_OFFSET, {"name": name})
        if rows:
            return int(rows[0][0])
        # Not there to be locked: make it. Who comes second waits here, and then finds what the first one set.
        self._tx.run(_OFFSET_BEGIN[self._tx.dialect], [{"name": name, "seq": -1}])
        found = int(self._tx.rows(_OFFSET, {"name": name})[0][0])
        return None if found < 0 else found

    def set_offset(self, name: str, seq: int) -> None:
        """Move it; `offset` was asked before in this transaction."""
        self._tx.run(_OFFSET_SET, [{"row_name": name, "seq": seq}])


_R = opening_rules.c
_RULE = sa.select(_R.version).where(_R.name == sa.bindparam("name")).with_for_update()
_RULE_BEGIN = {
    name: module.insert(opening_rules).on_conflict_do_nothing(index_elements=["name"])
    for name, module in (("sqlite", sqlite), ("postgresql", postgresql))
}
_RULE_SET = sa.update(opening_rules).where(_R.name == sa.bindparam("row_name"))
_RULE_REMOVE = sa.delete(opening_rules).where(_R.name == sa.bindparam("name"))


class RuleRows:
    """The opening rules in the records, within one write transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def put(self, row: Row, expected: int | None) -> int | None:
        """Write a rule (all columns but `version`); returns its new version, None if it is not as expected."""
        name = row["name"]
        self._tx.run(_RULE_BEGIN[self._tx.dialect], [{**row, "version": 0}])
        found = int(self._tx.rows(_RULE, {"name": name})[0][0])
        if expected is not None and expected != found:
            if found == 0:
                self._tx.run(_RULE_REMOVE, [{"name": name}])
            return None
        values = {column: value for column, value in row.items() if column != "name"}
        self._tx.run(_RULE_SET, [{**values, "version": found + 1, "row_name": name}])
        return found + 1

    def remove(self, name: str) -> bool:
        """Delete a rule; whether there was one."""
        there = bool(self._tx.rows(_RULE, {"name": name}))
        self._tx.run(_RULE_REMOVE, [{"name": name}])
        return there


# Reading.

_HIDDEN = frozenset(("began", "place", "cell"))
_SHOWN = tuple(column for column in incidents.columns if column.name not in _HIDDEN)
_EVENT = (
    _E.id,
    _E.incident_id.label("incident"),
    *(_E[name] for name in ("nth", "action", "from_state", "to_state", "time", "by", "comment", "detail", "version")),
    *(_I[name] for name in ("title", "domain", "severity", "unit", "commune", "owner")),
)


def incident_of(row: Mapping[str, Any]) -> Incident:
    """An incident of a row with all its columns."""
    return Incident(**{column.name: row[column.name] for column in _SHOWN})


def _event(row: sa.RowMapping) -> IncidentEvent:
    return IncidentEvent(**{**row, "detail": msgspec.json.decode(row["detail"])})


async def incident_by_id(
    connection: AsyncConnection, number: int, where: sa.ColumnElement[bool] | None = None
) -> Incident | None:
    """One incident, if it meets `where`."""
    chosen = sa.select(*_SHOWN).where(_I.id == number)
    chosen = chosen if where is None else chosen.where(where)
    row = (await connection.execute(chosen)).mappings().first()
    return None if row is None else Incident(**row)


async def events_of(connection: AsyncConnection, number: int, limit: int, before: int | None) -> list[IncidentEvent]:
    """Events of one incident, the newest first: those with an `nth` below `before`."""
    chosen = sa.select(*_EVENT).join_from(incident_events, incidents).where(_E.incident_id == number)
    if before is not None:
        chosen = chosen.where(_E.nth < before)
    rows = await connection.execute(chosen.order_by(_E.nth.desc()).limit(limit))
    return [_event(row) for row in rows.mappings()]


async def events_after(
    connection: AsyncConnection, after: int, limit: int, where: sa.ColumnElement[bool] | None
) -> list[IncidentEvent]:
    """Events numbered above `after`, in order, of incidents that meet `where`."""
    chosen = sa.select(*_EVENT).join_from(incident_events, incidents).where(_E.id > after)
    if where is not None:
        chosen = chosen.where(where)
    rows = await connection.execute(chosen.order_by(_E.id).limit(limit))
    return [_event(row) for row in rows.mappings()]


async def last_event(connection: AsyncConnection) -> int:
    """The number of the newest event, 0 when there is none."""
    return int(await connection.scalar(sa.select(sa.func.max(_E.id))) or 0)


async def links_of(connection: AsyncConnection, number: int, *, removed: bool) -> list[IncidentLink]:
    """What belongs to an incident, in the order it was added; with what was taken away if `removed`."""
    chosen = sa.select(*(c.label("incident") if c.name == "incident_id" else c for c in incident_links.columns))
    chosen = chosen.where(_L.incident_id == number)
    if not removed:
        chosen = chosen.where(_L.removed.is_(None))
    rows = await connection.execute(chosen.order_by(_L.id))
    return [IncidentLink(**{**row, "detail": msgspec.json.decode(row["detail"])}) for row in rows.mappings()]


async def rule_rows(connection: AsyncConnection) -> list[Row]:
    """The opening rules that are kept as records, by name."""
    rows = await connection.execute(sa.select(opening_rules).order_by(opening_rules.c.name))
    return [dict(row) for row in rows.mappings()]


async def incidents_seen_as(connection: AsyncConnection, numbers: Collection[int]) -> dict[int, tuple[str, str, str]]:
    """By number, what policy looks at: unit, commune, domain."""
    wanted, found = sorted(set(numbers)), {}
    for at in range(0, len(wanted), 1000):
        chosen = sa.select(incidents.c.id, incidents.c.unit, incidents.c.commune, incidents.c.domain)
        chosen = chosen.where(incidents.c.id.in_(wanted[at : at + 1000]))
        found.update({int(row[0]): (row[1], row[2], row[3]) for row in await connection.execute(chosen)})
    return found
