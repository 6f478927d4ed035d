"""Tables of water and air, and their SQL: limits of stations, tides, forecasts, the air, ten-day salinity."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.water.sheets import Sheet
from thap.domains.water.stations import Station, check_levels, shipped_stations
from thap.kernel.errors import ConflictError, InputError
from thap.kernel.records import metadata
from thap.observe.registry import datastreams, things

__all__ = [
    "Kept",
    "SheetKept",
    "drop_forecasts",
    "forecast_runs",
    "keep_air",
    "keep_forecasts",
    "keep_ruled",
    "keep_sheet",
    "keep_tides",
    "latest_air",
    "latest_forecasts",
    "load_looked",
    "load_ruled",
    "load_stations",
    "load_tides",
    "salinity_rows",
    "series_of",
    "set_station",
    "station_versions",
    "water_air",
    "water_forecasts",
    "water_ruled",
    "water_salinity",
    "water_stations",
    "water_tides",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

water_stations = sa.Table(
    "water_stations",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("thing", sa.String(128), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("river", sa.String(100), nullable=False),
    sa.Column("level_1", sa.Float),
    sa.Column("level_2", sa.Float),
    sa.Column("level_3", sa.Float),
    sa.Column("km", sa.Float),
    sa.Column("source", sa.String(300), nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
    sa.UniqueConstraint("thing", "version"),
    sqlite_autoincrement=True,
)
water_tides = sa.Table(
    "water_tides",
    metadata,
    sa.Column("datastream", sa.String(257), primary_key=True),
    sa.Column("fitted", sa.BigInteger, nullable=False),
    sa.Column("origin_h", sa.Float, nullable=False),
    sa.Column("stage", sa.Float, nullable=False),
    sa.Column("sigma", sa.Float, nullable=False),
    sa.Column("terms", sa.Text, nullable=False),  # JSON
)
water_forecasts = sa.Table(
    "water_forecasts",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("datastream", sa.String(257), nullable=False),
    sa.Column("property", sa.String(64), nullable=False),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("inputs_until", sa.BigInteger, nullable=False),
    sa.Column("parameters", sa.Integer, nullable=False),  # version of the parameters it was made with
    sa.Column("body", sa.Text, nullable=False),  # JSON: times, mean, low, high, tide, errors
    sa.UniqueConstraint("datastream", "inputs_until"),
    sqlite_autoincrement=True,
)
water_air = sa.Table(
    "water_air",
    metadata,
    sa.Column("thing", sa.String(128), primary_key=True),
    sa.Column("hour", sa.BigInteger, nullable=False),  # µs, begin of the hour
    sa.Column("aqi", sa.Integer),
    sa.Column("pollutant", sa.String(16), nullable=False),
    sa.Column("level", sa.Integer, nullable=False),  # class 1…6, 0 unknown
    sa.Column("body", sa.Text, nullable=False),  # JSON: hours and days
)
water_salinity = sa.Table(
    "water_salinity",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("station", sa.String(128), nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("river", sa.String(100), nullable=False),
    sa.Column("km", sa.Float),
    sa.Column("begin", sa.BigInteger, nullable=False),
    sa.Column("end", sa.BigInteger, nullable=False),
    sa.Column("g_l", sa.Float, nullable=False),
    sa.Column("source", sa.String(200), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("imported", sa.BigInteger, nullable=False),
    sa.Column("imported_by", sa.String(64), nullable=False),
    sa.UniqueConstraint("station", "begin"),
    sqlite_autoincrement=True,
)
_MARK = "#"
"""Begins the row that says up to which datastream rules were looked at; no key begins so."""
water_ruled = sa.Table(
    "water_ruled",
    metadata,
    sa.Column("datastream", sa.String(257), primary_key=True),  # '' says that the rules were looked at
)
_S, _T, _F, _A, _D = water_stations.c, water_tides.c, water_forecasts.c, water_air.c, water_salinity.c


@dataclass(frozen=True, slots=True)
class Kept:
    """A forecast as it is kept."""

    datastream: str
    property: str
    made: int
    inputs_until: int
    """Time of the last value it knew, µs."""
    body: dict[str, Any]
    parameters: int = 0


@dataclass(frozen=True, slots=True)
class SheetKept:
    """What an import changed."""

    added: int
    replaced: int
    same: int


def _station(row: Any) -> Station:
    return Station(
        row.thing,
        row.title,
        row.river,
        check_levels((row.level_1, row.level_2, row.level_3)),
        row.km,
        row.source,
        "H",
        row.version,
        row.changed,
        row.changed_by,
    )


async def load_stations(connection: AsyncConnection) -> dict[str, Station]:
    """Stations in force by thing: those shipped, and what was set instead or beside."""
    newest = sa.select(_S.thing, sa.func.max(_S.version).label("version")).group_by(_S.thing).subquery()
    rows = await connection.execute(
        sa.select(water_stations).join(newest, sa.and_(_S.thing == newest.c.thing, _S.version == newest.c.version))
    )
    return {**shipped_stations(), **{row.thing: _station(row) for row in rows}}


async def station_versions(connection: AsyncConnection, thing: str) -> list[Station]:
    """All that was set for a station, newest first."""
    rows = await connection.execute(sa.select(water_stations).where(_S.thing == thing).order_by(_S.version.desc()))
    return [_station(row) for row in rows]


async def set_station(connection: AsyncConnection, station: Station, *, version: int, by: str, now: int) -> Station:
    """Set the limits of a station.

    Args:
        station: what shall hold; its version and changes are not looked at.
        version: the version the caller saw in force.
        by: who sets it.
        now: µs.

    Raises:
        InputError: the levels do not hold together, or there is no source.
        ConflictError: somebody else set them meanwhile.
    """
    levels = check_levels(station.levels)
    if not station.source.strip():
        raise InputError("limits say where they are from", where="source", hint="as a decision's number")
    known = (await load_stations(connection)).get(station.thing)
    if (known.version if known else 0) != version:
        raise ConflictError(f"{station.thing} was changed meanwhile", hint="look at it, then set it again")
    made = replace(station, version=version + 1, changed=now, changed_by=by, confidence="H")
    try:
        await connection.execute(
            sa.insert(water_stations).values(
                thing=station.thing,
                version=made.version,
                title=station.title[:200],
                river=station.river[:100],
                level_1=levels[0],
                level_2=levels[1],
                level_3=levels[2],
                km=station.km,
                source=station.source.strip()[:300],
                changed=now,
                changed_by=by,
            )
        )
    except IntegrityError:
        raise ConflictError(f"{station.thing} was set by somebody else at once", hint="look at it again") from None
    return made


async def load_ruled(connection: AsyncConnection) -> frozenset[str] | None:
    """Keys of levels that rules in force watch; None where nobody has looked yet."""
    looked = await load_looked(connection)
    return None if looked is None else looked[0]


async def load_looked(connection: AsyncConnection) -> tuple[frozenset[str], int] | None:
    """Keys of levels that rules in force watch, and the newest datastream's number when that was looked at; None where
    nobody has looked yet."""
    found = set(await connection.scalars(sa.select(water_ruled.c.datastream)))
    marks = {key for key in found if key.startswith(_MARK)}
    if not marks:
        return None
    return frozenset(found - marks), max(int(mark.removeprefix(_MARK)) for mark in marks)


async def keep_ruled(connection: AsyncConnection, keys: Collection[str], upto: int) -> bool:
    """Keep which levels rules watch, `upto` being the newest datastream's number; whether that is new."""
    if await load_looked(connection) == (frozenset(keys), upto):
        return False
    await connection.execute(sa.delete(water_ruled))
    rows = [{"datastream": key} for key in (f"{_MARK}{upto}", *sorted(keys))]
    await connection.execute(sa.insert(water_ruled), rows)
    return True


async def series_of(connection: AsyncConnection, properties: Collection[str]) -> Sequence[Any]:
    """Datastreams of some observed properties with their things: id, key, property, unit, thing, title, lon, lat,
    commune, domain."""
    rows = await connection.execute(
        sa.select(
            datastreams.c.id,
            datastreams.c.key,
            datastreams.c.property,
            datastreams.c.unit,
            things.c.name.label("thing"),
            things.c.title,
            things.c.lon,
            things.c.lat,
            things.c.commune,
            things.c.domain,
        )
        .join(things, things.c.id == datastreams.c.thing_id)
        .where(datastreams.c.property.in_(properties))
        .order_by(datastreams.c.key)
    )
    return list(rows)


async def keep_tides(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Keep the constants of tides, in place of older ones."""
    if rows:
        await connection.execute(sa.delete(water_tides).where(_T.datastream.in_([row["datastream"] for row in rows])))
        await connection.execute(sa.insert(water_tides), [{**row, "terms": json.dumps(row["terms"])} for row in rows])


async def load_tides(connection: AsyncConnection) -> dict[str, dict[str, Any]]:
    """Constants by datastream: fitted, origin_h, stage, sigma, terms."""
    rows = await connection.execute(sa.select(water_tides))
    return {row.datastream: {**row._mapping, "terms": json.loads(row.terms)} for row in rows}


async def keep_forecasts(connection: AsyncConnection, rows: Sequence[Kept]) -> None:
    """Keep forecasts; one with the same inputs as one before takes its place."""
    for one in rows:
        await connection.execute(
            sa.delete(water_forecasts).where(_F.datastream == one.datastream, _F.inputs_until == one.inputs_until)
        )
    if rows:
        await connection.execute(
            sa.insert(water_forecasts),
            [
                {
                    "datastream": one.datastream,
                    "property": one.property,
                    "made": one.made,
                    "inputs_until": one.inputs_until,
                    "parameters": one.parameters,
                    "body": json.dumps(one.body, separators=(",", ":")),
                }
                for one in rows
            ],
        )


def _kept(row: Any) -> Kept:
    return Kept(row.datastream, row.property, row.made, row.inputs_until, json.loads(row.body), row.parameters)


async def latest_forecasts(connection: AsyncConnection, datastreams_: Collection[str] | None = None) -> dict[str, Kept]:
    """The newest forecast of each datastream, of all or of these."""
    newest = sa.select(_F.datastream, sa.func.max(_F.inputs_until).label("until")).group_by(_F.datastream).subquery()
    asked = sa.select(water_forecasts).join(
        newest, sa.and_(_F.datastream == newest.c.datastream, _F.inputs_until == newest.c.until)
    )
    if datastreams_ is not None:
        asked = asked.where(_F.datastream.in_(datastreams_))
    return {row.datastream: _kept(row) for row in await connection.execute(asked)}


async def forecast_runs(connection: AsyncConnection, datastream: str, since: int) -> list[Kept]:
    """Forecasts of a datastream whose inputs end after a moment, oldest first."""
    rows = await connection.execute(
        sa.select(water_forecasts)
        .where(_F.datastream == datastream, _F.inputs_until >= since)
        .order_by(_F.inputs_until)
    )
    return [_kept(row) for row in rows]


async def drop_forecasts(connection: AsyncConnection, before: int) -> int:
    """Drop forecasts whose inputs end before a moment; gives how many."""
    return (await connection.execute(sa.delete(water_forecasts).where(_F.inputs_until < before))).rowcount


async def keep_air(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Keep the newest index of stations of the air."""
    if rows:
        await connection.execute(sa.delete(water_air).where(_A.thing.in_([row["thing"] for row in rows])))
        await connection.execute(sa.insert(water_air), [{**row, "body": json.dumps(row["body"])} for row in rows])


async def latest_air(connection: AsyncConnection, within: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    """The newest index of each station that a person may see, the worst first."""
    rows = await connection.execute(
        sa.select(water_air, things.c.title, things.c.lon, things.c.lat, things.c.commune)
        .join(things, things.c.name == _A.thing)
        .where(within)
        .order_by(_A.aqi.desc(), _A.thing)
    )
    return [{**row._mapping, "body": json.loads(row.body)} for row in rows]


async def keep_sheet(connection: AsyncConnection, sheet: Sheet, *, by: str, now: int) -> SheetKept:
    """Keep the rows of a sheet; the same station and days take the new value."""
    known = {
        (row.station, row.begin): row.g_l for row in await connection.execute(sa.select(_D.station, _D.begin, _D.g_l))
    }
    changed = [row for row in sheet.rows if known.get((row.station, row.begin)) not in (None, row.g_l)]
    fresh = [row for row in sheet.rows if (row.station, row.begin) not in known]
    for row in changed:
        await connection.execute(sa.delete(water_salinity).where(_D.station == row.station, _D.begin == row.begin))
    if changed or fresh:
        await connection.execute(
            sa.insert(water_salinity),
            [
                {
                    "station": row.station,
                    "title": row.title,
                    "river": row.river,
                    "km": row.km,
                    "begin": row.begin,
                    "end": row.end,
                    "g_l": row.g_l,
                    "source": sheet.source[:200],
                    "sha256": sheet.sha256,
                    "imported": now,
                    "imported_by": by,
                }
                for row in (*changed, *fresh)
            ],
        )
    return SheetKept(len(fresh), len(changed), len(sheet.rows) - len(changed) - len(fresh))


async def salinity_rows(connection: AsyncConnection) -> list[dict[str, Any]]:
    """All ten-day salinities, by distance from the mouth and time."""
    rows = await connection.execute(sa.select(water_salinity).order_by(_D.km, _D.station, _D.begin))
    return [dict(row._mapping) for row in rows]
