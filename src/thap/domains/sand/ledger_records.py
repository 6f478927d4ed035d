"""Trips, stays, violations and declared quantities in the records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.sand.entries import LicenceEntry
from thap.domains.sand.ledger import (
    Compared,
    Declared,
    Factors,
    Forecast,
    Load,
    compare,
    forecast,
    limits_of,
    used_by_period,
)
from thap.domains.sand.model import Fix, Kind, Stay, Trip, Violation, local_day
from thap.domains.sand.records import (
    DOMAIN,
    Kept,
    entries,
    sand_declared,
    sand_stays,
    sand_trips,
    sand_violations,
)
from thap.kernel.clock import DAY_US, now_us
from thap.kernel.policy import Resource
from thap.kernel.store import Transaction

__all__ = [
    "STAY_RESOURCE",
    "TRIP_RESOURCE",
    "VIOLATION_RESOURCE",
    "Account",
    "KeptViolation",
    "account_of",
    "accounts",
    "declared_of",
    "loads_by_licence",
    "put_declared",
    "trips_of",
    "violation_by_id",
    "violations",
    "write_found",
]

_T, _D, _W = sand_trips.c, sand_declared.c, sand_violations.c
VIOLATION_RESOURCE = Resource(units=(_W.commune,), domain=sa.literal(DOMAIN), thing=_W.vessel)
"""What policy looks at: a violation counts to the commune it happened in."""
TRIP_RESOURCE = Resource(units=(_T.commune,), domain=sa.literal(DOMAIN), thing=_T.vessel)
STAY_RESOURCE = Resource(units=(sand_stays.c.commune,), domain=sa.literal(DOMAIN), thing=sand_stays.c.vessel)
_LIST = 200
_OPEN_US = 2 * DAY_US
"""What has no end yet, and began so long ago, may have ended without being told."""


@dataclass(frozen=True, slots=True)
class KeptViolation:
    """A violation as it is kept."""

    id: int
    violation: Violation
    commune: str
    book_version: int
    parameters: dict[str, float]

    def as_dict(self, vessels: Mapping[str, str] | None = None) -> dict[str, Any]:
        """JSON-able, without the positions."""
        one = self.violation
        return {
            "id": self.id,
            "kind": str(one.kind),
            "vessel": one.vessel,
            "vessel_name": (vessels or {}).get(one.vessel, ""),
            "begin": one.begin,
            "end": one.end,
            "noticed": one.noticed,
            "lon": one.lon,
            "lat": one.lat,
            "commune": self.commune,
            "licence": one.licence,
            "numbers": dict(one.numbers),
            "detail": dict(one.detail),
        }


# ---- what behaviour found


def write_found(
    tx: Transaction,
    *,
    trips: Sequence[Trip] = (),
    stays: Sequence[Stay] = (),
    violations: Sequence[Violation] = (),
    communes: Mapping[tuple[float, float], str],
    book_version: int = 0,
    parameters: Mapping[str, float] | None = None,
) -> None:
    """Keep what was found, in the caller's transaction; what is known already is brought up to date.

    What is known to have ended stays so: that it began may be told again after it.

    Args:
        tx: of a store.
        communes: code of the commune of each place that occurs.
        book_version: of the register that was judged by.
        parameters: that were in force.
    """
    rows: list[dict[str, Any]]
    if trips:
        rows = [_trip_row(one, communes.get((one.lon, one.lat), "")) for one in trips]
        _upsert(tx, sand_trips, ("vessel", "load_begin"), rows, ends="unload_end", lasts="load_end")
    if stays:
        rows = [_stay_row(one, communes.get((one.lon, one.lat), "")) for one in stays]
        _upsert(tx, sand_stays, ("vessel", "begin"), rows)
    if violations:
        used = msgspec.json.encode(dict(parameters or {})).decode()
        rows = [
            {
                **_violation_row(one, communes.get((one.lon, one.lat), "")),
                "book_version": book_version,
                "parameters": used,
            }
            for one in violations
        ]
        _upsert(tx, sand_violations, ("kind", "vessel", "begin"), rows, ends="end", lasts="end")


def _upsert(
    tx: Transaction,
    table: sa.Table,
    unique: tuple[str, ...],
    rows: Sequence[dict[str, Any]],
    *,
    ends: str = "",
    lasts: str = "",
) -> None:
    """Insert rows, or bring those up to date that have the same unique columns.

    Args:
        tx: of a store.
        table: where.
        unique: the last is when it began.
        rows: in the order they were told.
        ends: column that is empty until it ended; a row that has it is not undone by one that has not.
        lasts: column up to which there is but one of the same. What was under way where the journal begins is judged
            anew from there after the engine's state was lost, and seems to begin later: it is the one that it overlaps.
    """
    *same, begins = unique
    overlap, upsert = _statements(tx.dialect, table, unique, tuple(rows[0]), ends, lasts)
    settled = []
    for row in rows:
        asked = {**{f"of_{name}": row[name] for name in same}, "of_begin": row[begins]}
        known = tx.rows(overlap, asked) if lasts else ()
        settled.append({**row, begins: int(known[0][0])} if known else row)
    tx.run(upsert, settled)


@cache
def _statements(
    dialect: str, table: sa.Table, unique: tuple[str, ...], columns: tuple[str, ...], ends: str, lasts: str
) -> tuple[Any, Any]:
    """When began what began before and lasted until after; and the upsert. Made once: what runs them keeps them."""
    from sqlalchemy.dialects import postgresql, sqlite

    *same, begins = unique
    begin, moment = table.c[begins], sa.bindparam("of_begin", type_=sa.BigInteger)
    last = sa.func.coalesce(table.c[lasts], begin + _OPEN_US) if lasts else begin
    overlap = (
        sa.select(begin)
        .where(*(table.c[name] == sa.bindparam(f"of_{name}") for name in same), begin < moment, last > moment)
        .order_by(begin.desc())
        .limit(1)
    )
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    kept = {name: statement.excluded[name] for name in columns if name not in unique}
    newer = sa.or_(statement.excluded[ends].is_not(None), table.c[ends].is_(None)) if ends else None
    return overlap, statement.on_conflict_do_update(index_elements=list(unique), set_=kept, where=newer)


def _trip_row(one: Trip, commune: str) -> dict[str, Any]:
    return {
        "vessel": one.vessel,
        "licence_id": one.licence,
        "day": local_day(one.load_end),
        "load_begin": one.load_begin,
        "load_end": one.load_end,
        "unload_begin": one.unload_begin,
        "unload_end": one.unload_end,
        "wharf_id": one.wharf,
        "lon": one.lon,
        "lat": one.lat,
        "commune": commune,
        "dredger": one.dredger,
        "hold_m3": one.hold_m3,
        "confidence": one.confidence,
    }


def _stay_row(one: Stay, commune: str) -> dict[str, Any]:
    return {
        "vessel": one.vessel,
        "kind": str(one.kind),
        "begin": one.begin,
        "end": one.end,
        "lon": one.lon,
        "lat": one.lat,
        "commune": commune,
        "licence_id": one.licence,
        "wharf_id": one.wharf,
        "beside": one.beside,
    }


def _violation_row(one: Violation, commune: str) -> dict[str, Any]:
    fixes = [[fix.time, fix.lon, fix.lat, fix.speed_kn, fix.course_deg] for fix in one.positions]
    return {
        "kind": str(one.kind),
        "vessel": one.vessel,
        "begin": one.begin,
        "end": one.end,
        "noticed": one.noticed,
        "lon": one.lon,
        "lat": one.lat,
        "commune": commune,
        "licence_id": one.licence,
        "numbers": msgspec.json.encode({name: float(value) for name, value in one.numbers.items()}).decode(),
        "detail": msgspec.json.encode(dict(one.detail)).decode(),
        "positions": msgspec.json.encode(fixes).decode(),
    }


# ---- violations and trips


def _violation(row: Any) -> KeptViolation:
    fixes = tuple(Fix(*values) for values in msgspec.json.decode(row.positions))
    made = Violation(
        Kind(row.kind), row.vessel, row.begin, row.end, row.noticed, row.lon, row.lat, row.licence_id,
        msgspec.json.decode(row.numbers), msgspec.json.decode(row.detail), fixes,
    )  # fmt: skip
    return KeptViolation(row.id, made, row.commune, row.book_version, msgspec.json.decode(row.parameters))


async def violations(
    connection: AsyncConnection,
    *,
    within: sa.ColumnElement[bool] | None = None,
    licence: int | None = None,
    vessel: str = "",
    kind: str = "",
    since: int | None = None,
    until: int | None = None,
    limit: int = _LIST,
) -> list[KeptViolation]:
    """Violations, the newest first."""
    statement = sa.select(sand_violations).order_by(_W.begin.desc(), _W.id.desc()).limit(limit)
    tests: list[Any] = [within] if within is not None else []
    tests += [_W.licence_id == licence] if licence is not None else []
    tests += [_W.vessel == vessel] if vessel else []
    tests += [_W.kind == kind] if kind else []
    tests += [_W.begin >= since] if since is not None else []
    tests += [_W.begin < until] if until is not None else []
    return [_violation(row) for row in await connection.execute(statement.where(*tests))]


async def violation_by_id(
    connection: AsyncConnection, number: int, within: sa.ColumnElement[bool] | None = None
) -> KeptViolation | None:
    """One violation."""
    statement = sa.select(sand_violations).where(_W.id == number)
    row = (await connection.execute(statement if within is None else statement.where(within))).one_or_none()
    return None if row is None else _violation(row)


async def trips_of(
    connection: AsyncConnection,
    *,
    within: sa.ColumnElement[bool] | None = None,
    licence: int | None = None,
    vessel: str = "",
    limit: int = _LIST,
) -> list[dict[str, Any]]:
    """Trips, the newest first."""
    statement = sa.select(sand_trips).order_by(_T.load_end.desc(), _T.id.desc()).limit(limit)
    tests: list[Any] = [within] if within is not None else []
    tests += [_T.licence_id == licence] if licence is not None else []
    tests += [_T.vessel == vessel] if vessel else []
    rows = await connection.execute(statement.where(*tests))
    return [dict(row) for row in rows.mappings()]


async def loads_by_licence(
    connection: AsyncConnection,
    licence: int | Collection[int] | None = None,
    *,
    since: str = "",
    until: str = "",
    within: sa.ColumnElement[bool] | None = None,
) -> dict[int, list[Load]]:
    """Trips out of mines as loads, by the licence's id; of one licence, some, or all.

    The hold is the one on the vessel's entry now, else the one kept with the trip: a vessel that is measured later
    makes its earlier trips better known.
    """
    statement = sa.select(_T.licence_id, _T.vessel, _T.day, _T.hold_m3, _T.confidence).where(_T.licence_id.is_not(None))
    if licence is not None:
        chosen = [licence] if isinstance(licence, int) else sorted(licence)
        statement = statement.where(_T.licence_id.in_(chosen))
    if within is not None:
        statement = statement.where(within)
    if since:
        statement = statement.where(_T.day >= since)
    if until:
        statement = statement.where(_T.day <= until)
    holds = {one.key: one.body.get("hold_m3") for one in await entries(connection, "vessel", retired=None)}
    found: dict[int, list[Load]] = defaultdict(list)
    for row in await connection.execute(statement):
        found[row.licence_id].append(Load(row.vessel, row.day, holds.get(row.vessel) or row.hold_m3, row.confidence))
    return found


# ---- declared


async def put_declared(
    connection: AsyncConnection, lines: Sequence[tuple[int, Declared]], *, source: str, by: str, now: int | None = None
) -> dict[str, int]:
    """Keep declared quantities.

    Args:
        connection: in a write transaction.
        lines: id of the licence and what was declared under it; each period of a licence once.
        source: what they were read from.
        by: who declares them.
        now: µs.

    Returns:
        How many were `added`, `changed`, and the `same` before.
    """
    stamp = {"source": source[:300], "changed": now_us() if now is None else now, "changed_by": by[:128]}
    licences = sorted({licence for licence, _ in lines})
    found = await connection.execute(
        sa.select(_D.id, _D.licence_id, _D.period, _D.version, _D.m3, _D.trips).where(_D.licence_id.in_(licences))
    )
    before = {(row.licence_id, row.period): row for row in found}
    added, changed = [], []
    for licence, made in lines:
        row = before.get((licence, made.period))
        values = {"m3": made.m3, "trips": made.trips, **stamp}
        if row is None:
            added.append({"licence_id": licence, "period": made.period, "version": 1, **values})
        elif (row.m3, row.trips) != (made.m3, made.trips):
            changed.append({"of": row.id, "version": row.version + 1, **values})
    if added:
        await connection.execute(sa.insert(sand_declared), added)
    if changed:
        await connection.execute(sa.update(sand_declared).where(_D.id == sa.bindparam("of")), changed)
    return {"added": len(added), "changed": len(changed), "same": len(lines) - len(added) - len(changed)}


async def declared_of(connection: AsyncConnection, licence: int) -> list[Declared]:
    """What was declared under a licence, by period."""
    rows = await connection.execute(
        sa.select(_D.period, _D.m3, _D.trips).where(_D.licence_id == licence).order_by(_D.period)
    )
    return [Declared(row.period, row.m3, row.trips) for row in rows]


# ---- the ledger


@dataclass(frozen=True, slots=True)
class Account:
    """The ledger of one licence."""

    licence: Kept
    today: str
    used: dict[str, Any]
    limits: dict[str, float | None]
    forecast: Forecast | None
    days: list[Compared]
    months: list[Compared]
    declared_m3: float
    """In all."""

    def as_dict(self, *, lines: bool = True) -> dict[str, Any]:
        """JSON-able."""
        body = self.licence.body
        told: dict[str, Any] = {
            "licence": body["number"],
            "key": self.licence.key,
            "name": body.get("name", ""),
            "holder": body.get("holder", ""),
            "today": self.today,
            "used": {name: amount.as_dict() for name, amount in self.used.items()},
            "limits": self.limits,
            "over": [name for name, limit in self.limits.items() if limit is not None and self.used[name].m3 > limit],
            "declared_m3": round(self.declared_m3, 1),
            "forecast": None
            if self.forecast is None
            else {
                "day": self.forecast.day,
                "early": self.forecast.early,
                "late": self.forecast.late,
                "rate_m3": round(self.forecast.rate_m3, 1),
                "days": self.forecast.days,
                "left_m3": round(self.forecast.left_m3, 1),
            },
        }
        if lines:
            told["days"] = [one.as_dict() for one in self.days]
            told["months"] = [one.as_dict() for one in self.months]
        return told


def account_of(
    licence: Kept, loads: Sequence[Load], declared: Sequence[Declared], factors: Factors, today: str, days: int = 0
) -> Account:
    """The ledger of a licence.

    Args:
        days: how many of the latest days to list; 0 for all.
    """
    made = licence.entry
    assert isinstance(made, LicenceEntry)
    capacity = made.to_licence(licence.id, {}).capacity
    by_day = compare(loads, factors, declared, by="day")
    return Account(
        licence,
        today,
        used_by_period(loads, factors, today, before_m3=made.used_m3),
        limits_of(capacity),
        forecast(loads, factors, today, capacity.total_m3, before_m3=made.used_m3),
        by_day[-days:] if days else by_day,
        compare(loads, factors, declared, by="month"),
        sum(one.m3 for one in _each_once(declared)),
    )


def _each_once(declared: Sequence[Declared]) -> list[Declared]:
    whole = {one.period for one in declared if len(one.period) == 7}
    return [one for one in declared if len(one.period) == 7 or one.period[:7] not in whole]


async def accounts(
    connection: AsyncConnection,
    factors: Factors,
    *,
    within: sa.ColumnElement[bool] | None = None,
    key: str = "",
    only: Collection[int] | None = None,
    now: int | None = None,
    days: int = 0,
    retired: bool | None = False,
) -> list[Account]:
    """The ledgers of licences.

    Args:
        within: those the caller may see.
        key: only this one.
        only: those with these ids.
        now: µs; by default the clock.
        days: how many of the latest days to list; 0 for all.
        retired: whether licences out of force; None for both.
    """
    today = local_day(now_us() if now is None else now)
    licences = [
        one
        for one in await entries(connection, "licence", within=within, retired=retired)
        if (not key or one.key == key) and (only is None or one.id in only)
    ]
    loads = await loads_by_licence(connection, {one.id for one in licences})
    found = []
    for licence in licences:
        declared = await declared_of(connection, licence.id)
        found.append(account_of(licence, loads.get(licence.id, []), declared, factors, today, days))
    return found


async def vessel_names(connection: AsyncConnection) -> dict[str, str]:
    """Name of each vessel of the register by its key."""
    return {one.key: one.entry.title for one in await entries(connection, "vessel", retired=None)}
