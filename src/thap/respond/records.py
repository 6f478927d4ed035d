"""Tables of alarms, and every statement on them.

`alarms` has one row for each (source, condition); the unique key, not the code, makes sure of it.
`alarm_transitions` keeps every step, and its number is the event stream's. `offsets` says up to which
journal sequence a stage has put its effects into these tables; it changes in the transaction that has them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.records import metadata
from thap.kernel.store import Transaction
from thap.respond.alarm import Alarm, AlarmEvent, AlarmFilter, AlarmSort, EventFilter

__all__ = [
    "AlarmRows",
    "active_rows",
    "alarm_by_id",
    "alarm_keys",
    "alarm_transitions",
    "alarms",
    "alarms_seen_as",
    "events_after",
    "figures_rows",
    "last_event",
    "life_of",
    "list_alarms",
    "numbers_within",
    "offsets",
    "raise_counts",
    "raised_between",
    "read_offset",
    "rows_behind",
    "shelves_end",
    "stale_rows",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

alarms = sa.Table(
    "alarms",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("source", sa.String(257), nullable=False),
    sa.Column("condition", sa.String(128), nullable=False),
    sa.Column("domain", sa.String(32), nullable=False),
    sa.Column("state", sa.String(24), nullable=False, index=True),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("raised", sa.BigInteger, nullable=False, index=True),
    sa.Column("announced", sa.BigInteger, nullable=False),
    sa.Column("cleared", sa.BigInteger),
    sa.Column("acknowledged", sa.BigInteger),
    sa.Column("acknowledged_by", sa.String(128), nullable=False),
    sa.Column("shelved_until", sa.BigInteger),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("lon", sa.Float),
    sa.Column("lat", sa.Float),
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),  # JSON
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.UniqueConstraint("source", "condition"),
    sqlite_autoincrement=True,
)
# Every transition writes this row, and every index on what it writes: only those that reading needs.
sa.Index(
    "ix_alarms_shelved",
    alarms.c.shelved_until,
    sqlite_where=alarms.c.shelved_until.is_not(None),
    postgresql_where=alarms.c.shelved_until.is_not(None),
)
alarm_transitions = sa.Table(
    "alarm_transitions",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("alarm_id", sa.ForeignKey("alarms.id"), nullable=False, index=True),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("from_state", sa.String(24), nullable=False),
    sa.Column("to_state", sa.String(24), nullable=False),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("annunciated", sa.Boolean, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("recorded_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("lon", sa.Float),
    sa.Column("lat", sa.Float),
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("by", sa.String(128), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),  # JSON
    sa.Column("version", sa.Integer, nullable=False),  # of the alarm, after it
    sqlite_autoincrement=True,
)
offsets = sa.Table(
    "offsets",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
)

_A, _T = alarms.c, alarm_transitions.c
_COLUMNS = tuple(c.name for c in alarms.columns)
_Row = dict[str, Any]

# Statements of the write path: made once, compiled once.
_ONE_BY_KEY = sa.select(alarms).where(_A.source == sa.bindparam("source"), _A.condition == sa.bindparam("condition"))
_ONE_BY_ID = sa.select(alarms).where(_A.id == sa.bindparam("id")).with_for_update()
_ENDED = (
    sa.select(alarms).where(_A.shelved_until <= sa.bindparam("now")).order_by(_A.source, _A.condition).with_for_update()
)
_INSERT = {
    name: module.insert(alarms).on_conflict_do_nothing(index_elements=["source", "condition"])
    for name, module in (("sqlite", sqlite), ("postgresql", postgresql))
}
_UPDATE = sa.update(alarms).where(_A.id == sa.bindparam("row_id"))
_LOG = sa.insert(alarm_transitions)
_TIMED = (
    sa.select(_T.id)
    .where(
        _T.alarm_id == sa.bindparam("alarm_id"),
        _T.action == sa.bindparam("action"),
        _T.time == sa.bindparam("time"),
        _T.seq == 0,
        _T.by == "",
    )
    .limit(1)
)
_SINCE = (
    sa.select(_T.action, _T.by, _T.recorded_at)
    .where(_T.alarm_id == sa.bindparam("alarm_id"), _T.version > sa.bindparam("version"), _T.action != "comment")
    .order_by(_T.id)
)
_OFFSET = sa.select(offsets.c.seq).where(offsets.c.name == sa.bindparam("name")).with_for_update()


def _offset_upsert(module: Any) -> Any:
    statement = module.insert(offsets)
    return statement.on_conflict_do_update(index_elements=["name"], set_={"seq": statement.excluded.seq})


_SET_OFFSET = {"sqlite": _offset_upsert(sqlite), "postgresql": _offset_upsert(postgresql)}
_STREAM_LOCK = sa.select(sa.func.pg_advisory_xact_lock(0x74686170))  # "thap"


class AlarmRows:
    """The alarm rows within one write transaction. Rows it returns are locked until the transaction ends."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def offset(self, name: str) -> int:
        """Up to which journal sequence `name` has been applied; 0 at first."""
        rows = self._tx.rows(_OFFSET, {"name": name})
        return int(rows[0][0]) if rows else 0

    def set_offset(self, name: str, seq: int) -> None:
        """Move the offset."""
        self._tx.run(_SET_OFFSET[self._tx.dialect], [{"name": name, "seq": seq}])

    def by_key(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], _Row]:
        """The rows of those (source, condition) that exist."""
        found = {}
        for row in self._select(sorted(set(pairs))):
            record = dict(zip(_COLUMNS, row, strict=True))
            found[record["source"], record["condition"]] = record
        return found

    def _select(self, pairs: Sequence[tuple[str, str]]) -> Iterable[Sequence[Any]]:
        if self._tx.dialect == "sqlite":  # in process: looking up one by one is the fastest
            for source, condition in pairs:
                yield from self._tx.rows(_ONE_BY_KEY, {"source": source, "condition": condition})
            return
        for start in range(0, len(pairs), 1000):
            yield from self._tx.rows(
                sa.select(alarms)
                .where(sa.tuple_(_A.source, _A.condition).in_(pairs[start : start + 1000]))
                .order_by(_A.source, _A.condition)
                .with_for_update(),
                {},
            )

    def by_id(self, alarm_id: int) -> _Row | None:
        """One row."""
        rows = self._tx.rows(_ONE_BY_ID, {"id": alarm_id})
        return dict(zip(_COLUMNS, rows[0], strict=True)) if rows else None

    def ended_shelves(self, now: int) -> list[_Row]:
        """Rows whose shelving ends at or before `now`."""
        return [dict(zip(_COLUMNS, row, strict=True)) for row in self._tx.rows(_ENDED, {"now": now})]

    def add(self, rows: Sequence[_Row]) -> dict[tuple[str, str], _Row]:
        """Insert rows (all columns but `id`) unless another writer was first, and return them as they are stored."""
        ordered = sorted(rows, key=lambda row: (row["source"], row["condition"]))
        self._tx.run(_INSERT[self._tx.dialect], ordered)
        return self.by_key((row["source"], row["condition"]) for row in ordered)

    def update(self, rows: Sequence[_Row]) -> None:
        """Write whole rows back."""
        keep = [
            {("row_id" if k == "id" else k): v for k, v in row.items() if k not in ("source", "condition")}
            for row in rows
        ]
        if keep:
            self._tx.run(_UPDATE, keep)

    def log(self, transitions: Sequence[_Row]) -> list[int]:
        """Append transitions; returns their numbers, in order.

        In PostgreSQL a number is drawn before its transaction commits; the lock lets no later number
        become visible before an earlier one, so that a reader who goes on from the last number it saw
        misses none. It is the last lock a transaction takes, so it cannot take part in a deadlock.
        """
        if not transitions:
            return []
        if self._tx.dialect == "postgresql":
            self._tx.rows(_STREAM_LOCK, {})
        return self._tx.insert(_LOG, _T.id, transitions)

    def timer_known(self, alarm_id: int, action: str, time: int) -> bool:
        """Whether a timer has already made this transition at this event time."""
        return bool(self._tx.rows(_TIMED, {"alarm_id": alarm_id, "action": action, "time": time}))

    def since_version(self, alarm_id: int, version: int) -> list[tuple[str, str, int]]:
        """What changed an alarm after a version: (action, who, when)."""
        rows = self._tx.rows(_SINCE, {"alarm_id": alarm_id, "version": version})
        return [(str(row[0]), str(row[1]), int(row[2])) for row in rows]


# Reading.

_EVENT = (
    _T.id,
    _T.alarm_id.label("alarm"),
    _A.source,
    _A.condition,
    _T.action,
    _T.from_state,
    _T.to_state,
    _T.severity,
    _T.active,
    _T.annunciated,
    _T.time,
    _T.recorded_at,
    _T.received,
    _T.seq,
    _T.value,
    _A.domain,
    _T.lon,
    _T.lat,
    _T.commune,
    _T.by,
    _T.comment,
    _T.version,
)


def _alarm(row: sa.RowMapping) -> Alarm:
    return Alarm(**{**row, "evidence": msgspec.json.decode(row["evidence"])})


def _like(pattern: str) -> str:
    """A pattern with `*` and `?` as one for LIKE with the escape `|`."""
    for special in "|%_":
        pattern = pattern.replace(special, "|" + special)
    return pattern.replace("*", "%").replace("?", "_").lower()


def _where(chosen: AlarmFilter) -> list[sa.ColumnElement[bool]]:
    tests: list[sa.ColumnElement[bool]] = []
    many: tuple[tuple[sa.Column[Any], Collection[Any]], ...] = (
        (_A.state, chosen.states),
        (_A.domain, chosen.domains),
        (_A.commune, chosen.communes),
        (_A.severity, chosen.severities),
    )
    tests += [column.in_(sorted(values)) for column, values in many if values]
    patterns = ((_A.source, chosen.source), (_A.condition, chosen.condition))
    tests += [sa.func.lower(column).like(_like(pattern), escape="|") for column, pattern in patterns if pattern]
    if chosen.active is not None:
        tests.append(_A.active == chosen.active)
    if chosen.text:
        wanted = _like(chosen.text.replace("*", "").replace("?", ""))
        tests.append(
            sa.or_(
                *(
                    sa.func.lower(c).like(f"%{wanted}%", escape="|")
                    for c in (_A.source, _A.condition, _A.domain, _A.evidence)
                )
            )
        )
    return tests


async def list_alarms(
    connection: AsyncConnection,
    chosen: AlarmFilter,
    sort: AlarmSort,
    limit: int,
    after: tuple[Any, int] | None,
    within: sa.ColumnElement[bool] | None = None,
) -> tuple[list[Alarm], int]:
    """Alarms in order, beginning after the given (sort value, id), and how many there are in all; with `within`,
    only of those that meet it."""
    tests = _where(chosen) if within is None else [within, *_where(chosen)]
    total = await connection.scalar(sa.select(sa.func.count()).select_from(alarms).where(*tests))
    column, down = _A[sort.removeprefix("-")], sort.startswith("-")
    if after is not None:
        here = sa.tuple_(column, _A.id)
        there = sa.tuple_(sa.literal(after[0], column.type), sa.literal(after[1], _A.id.type))
        tests.append(here < there if down else here > there)
    order = (column.desc(), _A.id.desc()) if down else (column, _A.id)
    rows = await connection.execute(sa.select(alarms).where(*tests).order_by(*order).limit(limit))
    return [_alarm(row) for row in rows.mappings()], int(total or 0)


async def numbers_within(
    connection: AsyncConnection, numbers: Collection[int], within: sa.ColumnElement[bool]
) -> set[int]:
    """Those of these alarms that meet a condition; at most a thousand are asked at once."""
    return set(await connection.scalars(sa.select(_A.id).where(_A.id.in_(sorted(set(numbers))), within)))


async def alarm_by_id(connection: AsyncConnection, alarm_id: int) -> Alarm | None:
    """One alarm."""
    row = (await connection.execute(sa.select(alarms).where(_A.id == alarm_id))).mappings().first()
    return None if row is None else _alarm(row)


async def events_after(connection: AsyncConnection, after: int, limit: int, chosen: EventFilter) -> list[AlarmEvent]:
    """Transitions with a number above `after`, in order."""
    many: tuple[tuple[sa.Column[Any], Collection[Any]], ...] = (
        (_T.alarm_id, chosen.alarms),
        (_A.domain, chosen.domains),
        (_T.commune, chosen.communes),
        (_T.severity, chosen.severities),
    )
    rows = await connection.execute(
        sa.select(*_EVENT)
        .join_from(alarm_transitions, alarms)
        .where(_T.id > after, *(column.in_(sorted(values)) for column, values in many if values))
        .order_by(_T.id)
        .limit(limit)
    )
    return [AlarmEvent(**row) for row in rows.mappings()]


async def life_of(connection: AsyncConnection, alarm_id: int, limit: int) -> tuple[list[AlarmEvent], int]:
    """The latest transitions of one alarm, latest first, and how many it has."""
    total = await connection.scalar(
        sa.select(sa.func.count()).select_from(alarm_transitions).where(_T.alarm_id == alarm_id)
    )
    rows = await connection.execute(
        sa.select(*_EVENT)
        .join_from(alarm_transitions, alarms)
        .where(_T.alarm_id == alarm_id)
        .order_by(_T.id.desc())
        .limit(limit)
    )
    return [AlarmEvent(**row) for row in rows.mappings()], int(total or 0)


async def last_event(connection: AsyncConnection) -> int:
    """The number of the newest transition, 0 when there is none."""
    return int(await connection.scalar(sa.select(sa.func.max(_T.id))) or 0)


async def shelves_end(connection: AsyncConnection, now: int) -> bool:
    """Whether a shelving ends at or before `now`."""
    return await connection.scalar(sa.select(_A.id).where(_A.shelved_until <= now).limit(1)) is not None


async def read_offset(connection: AsyncConnection, name: str) -> int:
    """Up to which journal sequence `name` has been applied; 0 at first."""
    return int(await connection.scalar(sa.select(offsets.c.seq).where(offsets.c.name == name)) or 0)


async def active_rows(connection: AsyncConnection) -> list[tuple[str, str, int]]:
    """(source, condition, severity) of every alarm whose condition is true."""
    rows = await connection.execute(sa.select(_A.source, _A.condition, _A.severity).where(_A.active))
    return [(str(s), str(c), int(level)) for s, c, level in rows]


async def figures_rows(
    connection: AsyncConnection, since: int, until: int, domain: str, within: sa.ColumnElement[bool] | None = None
) -> list[tuple[Any, ...]]:
    """Transitions by detectors recorded in [since, until), in order: (id, alarm, action, annunciated, severity,
    time, recorded_at)."""
    statement = (
        sa.select(_T.id, _T.alarm_id, _T.action, _T.annunciated, _T.severity, _T.time, _T.recorded_at)
        .where(_T.recorded_at >= since, _T.recorded_at < until, _T.action.in_(("raise", "escalate", "clear")))
        .order_by(_T.id)
    )
    if domain or within is not None:
        statement = statement.join_from(alarm_transitions, alarms)
    if domain:
        statement = statement.where(_A.domain == domain)
    if within is not None:
        statement = statement.where(within)
    return [tuple(row) for row in await connection.execute(statement)]


async def alarm_keys(connection: AsyncConnection, numbers: Collection[int]) -> dict[int, tuple[str, str]]:
    """(source, condition) of alarms by number."""
    rows = await connection.execute(sa.select(_A.id, _A.source, _A.condition).where(_A.id.in_(numbers)))
    return {int(number): (str(source), str(condition)) for number, source, condition in rows}


async def raise_counts(
    connection: AsyncConnection, since: int, newer: int, within: sa.ColumnElement[bool] | None = None
) -> dict[str, tuple[int, int]]:
    """How often each condition was raised, recorded since a moment and since a newer one, by condition."""
    statement = (
        sa.select(_A.condition, sa.func.count(), sa.func.sum(sa.case((_T.recorded_at >= newer, 1), else_=0)))
        .join_from(alarm_transitions, alarms)
        .where(_T.recorded_at >= since, _T.action == "raise")
        .group_by(_A.condition)
    )
    if within is not None:
        statement = statement.where(within)
    rows = await connection.execute(statement)
    return {str(condition): (int(older), int(recent)) for condition, older, recent in rows}


async def raised_between(
    connection: AsyncConnection, conditions: Collection[str], since: int, until: int, limit: int
) -> list[dict[str, Any]]:
    """Alarms of these conditions that detectors really raised in [since, until) of event time, oldest first: alarm,
    source, condition, severity (the worst it came to), raised, cleared (None: not in that time)."""
    statement = (
        sa.select(_T.alarm_id, _A.source, _A.condition, _T.action, _T.severity, _T.time)
        .join_from(alarm_transitions, alarms)
        .where(
            _A.condition.in_(conditions),
            _T.time >= since,
            _T.time < until,
            _T.action.in_(("raise", "escalate", "clear")),
        )
        .order_by(_T.id)
    )
    found: list[dict[str, Any]] = []
    standing: dict[int, dict[str, Any]] = {}
    for alarm, source, condition, action, severity, time in await connection.execute(statement):
        if action == "raise":
            if len(found) >= limit:
                continue
            one = {"alarm": alarm, "source": source, "condition": condition}
            standing[alarm] = {**one, "severity": severity, "raised": time, "cleared": None}
            found.append(standing[alarm])
        elif alarm in standing and action == "clear":
            standing.pop(alarm)["cleared"] = time
        elif alarm in standing:
            standing[alarm]["severity"] = max(standing[alarm]["severity"], severity)
    return found


async def alarms_seen_as(connection: AsyncConnection, numbers: Collection[int]) -> dict[int, tuple[str, str, str]]:
    """By number, what policy looks at: commune, domain, source."""
    wanted, found = sorted(set(numbers)), {}
    for at in range(0, len(wanted), 1000):
        chosen = sa.select(_A.id, _A.commune, _A.domain, _A.source).where(_A.id.in_(wanted[at : at + 1000]))
        found.update({int(row[0]): (row[1], row[2], row[3]) for row in await connection.execute(chosen)})
    return found


async def rows_behind(
    connection: AsyncConnection,
    transitions: Collection[int],
    numbers: Collection[int],
    within: sa.ColumnElement[bool] | None = None,
) -> list[dict[str, Any]]:
    """Transitions by number, and alarms by number as their announcement, that meet `within`; newest first:
    transition (None for an alarm), alarm, source, condition, domain, action, severity, time."""
    one = (_A.id.label("alarm"), _A.source, _A.condition, _A.domain)
    steps = sa.select(_T.id.label("transition"), *one, _T.action, _T.severity, _T.time)
    steps = steps.join_from(alarm_transitions, alarms).where(_T.id.in_(transitions))
    standing = sa.select(
        sa.null().label("transition"),
        *one,
        sa.literal("raise").label("action"),
        _A.severity,
        _A.announced.label("time"),
    ).where(_A.id.in_(numbers))
    found: list[dict[str, Any]] = []
    for wanted, statement in ((transitions, steps), (numbers, standing)):
        if wanted:
            chosen = statement if within is None else statement.where(within)
            found += [dict(row) for row in (await connection.execute(chosen)).mappings()]
    return sorted(found, key=lambda row: -int(row["time"] or 0))


async def stale_rows(
    connection: AsyncConnection, announced_before: int, domain: str, within: sa.ColumnElement[bool] | None = None
) -> list[int]:
    """Numbers of alarms that call for the operator, or stand active, since before that time."""
    tests = [
        _A.state.in_(("unacknowledged", "acknowledged", "returned_unacknowledged")),
        _A.announced < announced_before,
    ]
    if domain:
        tests.append(_A.domain == domain)
    if within is not None:
        tests.append(within)
    return [int(number) for number in await connection.scalars(sa.select(_A.id).where(*tests).order_by(_A.announced))]
