"""Tables of indicators, and every statement on them.

`indicator_targets` keeps every target anybody ever set; the newest of an indicator is in force. `indicator_values`
has the newest value for each audience, `indicator_points` the series: a point every five minutes, after two days one
an hour, after sixty days one a day, forgotten after three years.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US
from thap.kernel.errors import ConflictError
from thap.kernel.records import metadata
from thap.measure.indicators.model import Reading, Target

__all__ = [
    "STEP_US",
    "Kept",
    "StoredTarget",
    "hourly",
    "indicator_points",
    "indicator_targets",
    "indicator_values",
    "keep",
    "points_of",
    "points_since",
    "set_target",
    "target_history",
    "targets_in_force",
    "thin",
    "values_of",
]

STEP_US = 5 * MINUTE_US
"""Between the points of the newest part of a series."""
_FINE_US, _HOURS_US, _KEPT_US = 2 * DAY_US, 60 * DAY_US, 3 * 366 * DAY_US
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

indicator_targets = sa.Table(
    "indicator_targets",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("indicator", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("warn_low", sa.Float),
    sa.Column("warn_high", sa.Float),
    sa.Column("source", sa.String(300), nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
    sa.UniqueConstraint("indicator", "version"),
    sqlite_autoincrement=True,
)
indicator_values = sa.Table(
    "indicator_values",
    metadata,
    sa.Column("indicator", sa.String(64), primary_key=True),
    sa.Column("audience", sa.String(16), primary_key=True),  # '' is whoever sees everything
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
)
indicator_points = sa.Table(
    "indicator_points",
    metadata,
    sa.Column("indicator", sa.String(64), primary_key=True),
    sa.Column("audience", sa.String(16), primary_key=True),
    sa.Column("time", sa.BigInteger, primary_key=True, autoincrement=False),  # of computing, in steps
    sa.Column("value", sa.Float, nullable=False),
    sa.Index("ix_indicator_points_time", "time"),
)
_T, _V, _P = indicator_targets.c, indicator_values.c, indicator_points.c


class StoredTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A target that somebody set; one without bounds says that nothing is to be judged."""

    version: int
    low: float | None
    high: float | None
    warn_low: float | None
    warn_high: float | None
    source: str
    changed: int
    changed_by: str

    def target(self) -> Target:
        """Its bounds."""
        return Target(self.low, self.high, self.warn_low, self.warn_high, self.source)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The newest value, as it was kept."""

    value: float | None
    rows: int
    time: int
    reason: str


def _stored(row: sa.RowMapping) -> StoredTarget:
    return StoredTarget(**{name: row[name] for name in StoredTarget.__struct_fields__})


async def targets_in_force(connection: AsyncConnection) -> dict[str, StoredTarget]:
    """The newest target of each indicator that has one of its own."""
    newest = sa.select(sa.func.max(_T.id)).group_by(_T.indicator)
    rows = await connection.execute(sa.select(indicator_targets).where(_T.id.in_(newest)))
    return {row["indicator"]: _stored(row) for row in rows.mappings()}


async def target_history(connection: AsyncConnection, indicator: str, limit: int = 50) -> list[StoredTarget]:
    """The targets an indicator has had, the newest first."""
    found = sa.select(indicator_targets).where(_T.indicator == indicator).order_by(_T.id.desc()).limit(limit)
    return [_stored(row) for row in (await connection.execute(found)).mappings()]


async def set_target(
    connection: AsyncConnection, indicator: str, target: Target, version: int, who: str, now: int
) -> StoredTarget:
    """Put a target in force; `version` is the one it was made from, 0 for the indicator's own.

    Raises:
        ConflictError: somebody set another meanwhile.
    """
    newest = await target_history(connection, indicator, 1)
    there = newest[0].version if newest else 0
    if there != version:
        raise _overtaken(newest)
    stored = StoredTarget(
        version=there + 1,
        low=target.low,
        high=target.high,
        warn_low=target.warn_low,
        warn_high=target.warn_high,
        source=target.source,
        changed=now,
        changed_by=who,
    )
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    put = make(indicator_targets).values(indicator=indicator, **msgspec.structs.asdict(stored))
    # PostgreSQL lets two read the same newest one; the second waits here until the first has committed.
    put = put.on_conflict_do_nothing(index_elements=[_T.indicator, _T.version])
    if not (await connection.execute(put.returning(_T.id))).all():
        raise _overtaken(await target_history(connection, indicator, 1))
    return stored


def _overtaken(newest: list[StoredTarget]) -> ConflictError:
    by = newest[0].changed_by if newest else "nobody"
    return ConflictError(f"{by} has set another target meanwhile", where="version", hint="read it and try again")


async def keep(connection: AsyncConnection, audience: str, read: Mapping[str, Reading]) -> None:
    """Keep values as the newest of an audience, and those that are numbers in its series."""
    if not read:
        return
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    newest = make(indicator_values)
    newest = newest.on_conflict_do_update(
        index_elements=[_V.indicator, _V.audience],
        set_={name: newest.excluded[name] for name in ("time", "value", "rows", "reason")},
    )
    rows = [
        {"indicator": name, "audience": audience, "time": r.time, "value": r.value, "rows": r.rows, "reason": r.reason}
        for name, r in sorted(read.items())
    ]
    await connection.execute(newest, rows)
    point = make(indicator_points)
    point = point.on_conflict_do_update(
        index_elements=[_P.indicator, _P.audience, _P.time], set_={"value": point.excluded.value}
    )
    points = [
        {"indicator": name, "audience": audience, "time": r.time // STEP_US * STEP_US, "value": r.value}
        for name, r in sorted(read.items())
        if r.value is not None
    ]
    if points:
        await connection.execute(point, points)


async def values_of(connection: AsyncConnection, audience: str) -> dict[str, Kept]:
    """The newest values of an audience, by indicator."""
    rows = await connection.execute(sa.select(indicator_values).where(_V.audience == audience))
    return {
        row["indicator"]: Kept(value=row["value"], rows=row["rows"], time=row["time"], reason=row["reason"])
        for row in rows.mappings()
    }


async def points_since(
    connection: AsyncConnection, audience: str, since: int, names: Collection[str]
) -> dict[str, list[tuple[int, float]]]:
    """The last point of each hour since a moment, by indicator, in order: enough for a small chart."""
    tests = (_P.audience == audience, _P.time >= since)
    last = (
        sa.select(_P.indicator, sa.func.max(_P.time).label("time"))
        .where(*tests)
        .group_by(_P.indicator, _P.time // HOUR_US)
    )
    chosen = last.subquery()
    rows = await connection.execute(
        sa.select(_P.indicator, _P.time, _P.value)
        .join(chosen, sa.and_(chosen.c.indicator == _P.indicator, chosen.c.time == _P.time))
        .where(*tests)
        .order_by(_P.indicator, _P.time)
    )
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    for name, moment, value in rows:
        if name in found:
            found[name].append((int(moment), float(value)))
    return found


async def points_of(
    connection: AsyncConnection, audience: str, indicator: str, since: int, until: int, limit: int = 20_000
) -> list[tuple[int, float]]:
    """The series of one indicator, in order; the newest where there are more than `limit`."""
    rows = await connection.execute(
        sa.select(_P.time, _P.value)
        .where(_P.indicator == indicator, _P.audience == audience, _P.time >= since, _P.time < until)
        .order_by(_P.time.desc())
        .limit(limit)
    )
    return [(int(moment), float(value)) for moment, value in rows][::-1]


async def thin(connection: AsyncConnection, now: int, audiences: Collection[str]) -> int:
    """Forget points that are too many for their age, and what is kept for audiences that are no more; gives how many
    points went."""
    gone = await connection.execute(sa.delete(indicator_points).where(_P.time < now - _KEPT_US))
    total = gone.rowcount
    for step, begin, end in (
        (HOUR_US, now - _HOURS_US, now - _FINE_US),
        (DAY_US, now - _KEPT_US, now - _HOURS_US),
    ):
        span = (_P.time >= begin // step * step, _P.time < end // step * step)
        other = indicator_points.alias()
        later = sa.exists().where(
            other.c.indicator == _P.indicator,
            other.c.audience == _P.audience,
            other.c.time > _P.time,
            other.c.time < _P.time + step,
            other.c.time // step == _P.time // step,
        )
        total += (await connection.execute(sa.delete(indicator_points).where(*span, later))).rowcount
    for table in (indicator_values, indicator_points):
        gone = await connection.execute(sa.delete(table).where(table.c.audience.not_in(["", *sorted(audiences)])))
        total += gone.rowcount
    return int(total)


def hourly(points: list[tuple[int, float]], at: int, within: int = 3 * HOUR_US) -> tuple[int, float] | None:
    """The point nearest before a moment, if it is not older than `within`."""
    before = [point for point in points if point[0] <= at]
    return before[-1] if before and at - before[-1][0] <= within else None
