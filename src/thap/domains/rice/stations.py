"""What stations of the centre say that the rice office needs: daily weather, and the water levels and salinity of a
zone. Read from registry, history and records: the domain that keeps those stations is not imported, and where it is not
installed its tables are not there; then alarm levels are the registry's, and nothing is expected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.rice.records import weather
from thap.domains.rice.sowing import Level
from thap.domains.rice.traps import day_us
from thap.kernel.clock import DAY_US, HOUR_US, VIETNAM, from_us
from thap.kernel.history.lake import Lake
from thap.kernel.records import metadata
from thap.observe.registry import datastreams, things

__all__ = [
    "WEATHER",
    "Stream",
    "add_expected",
    "keep_station_weather",
    "read_daily",
    "read_levels",
    "station_weather",
    "streams_of",
]

Row = dict[str, Any]
WEATHER = {"air_temperature": "air", "rain_10m": "rain", "wind_speed": "wind", "air_humidity": "humidity"}
"""Observed property → what it gives."""
LEVELS = ("salinity", "water_level")
SOURCE = "stations of the centre"
_MS_KMH = 3.6
_LEAST_HOURS = 18
"""A day needs values of so many hours to have a lowest and a highest temperature."""


class Stream(dict[str, Any]):
    """A datastream: id, key, property, thing, title, properties (of the thing)."""


async def streams_of(
    connection: AsyncConnection, properties: Iterable[str], stations: Sequence[str] | None = None
) -> list[Stream]:
    """Datastreams of observed properties, of these things only where they are named."""
    t, d = things.c, datastreams.c
    statement = (
        sa.select(d.id, d.key, d.property, t.name.label("thing"), t.title, t.properties, t.commune)
        .join_from(datastreams, things)
        .where(d.property.in_(list(properties)))
        .order_by(d.id)
    )
    if stations is not None:
        statement = statement.where(t.name.in_(list(stations)))
    return [Stream(row) for row in (await connection.execute(statement)).mappings()]


async def add_expected(connection: AsyncConnection, streams: Sequence[Stream], until: int) -> None:
    """Give streams the station's alarm I (`alarm`) and what is forecast of them (`expected`: value and µs of the
    highest until a moment), as far as the water domain keeps them."""
    stations, forecasts = metadata.tables.get("water_stations"), metadata.tables.get("water_forecasts")
    if stations is not None:
        s = stations.c
        rows = await connection.execute(sa.select(s.thing, s.level_1).order_by(s.version))
        alarms = {row.thing: row.level_1 for row in rows}
        for one in streams:
            one["alarm"] = alarms.get(one["thing"])
    if forecasts is not None and streams:
        f = forecasts.c
        keys = [one["key"] for one in streams]
        rows = await connection.execute(sa.select(f.datastream, f.body).where(f.datastream.in_(keys)).order_by(f.made))
        bodies = {row.datastream: row.body for row in rows}
        for one in streams:
            one["expected"] = _highest(bodies.get(one["key"]), until)


def _highest(body: str | None, until: int) -> tuple[float, int] | None:
    """The highest value of a forecast until a moment, and when it is; None where it does not say."""
    try:
        told = json.loads(body or "{}")
        pairs = [
            (float(value), int(time)) for time, value in zip(told["times"], told["mean"], strict=False) if time <= until
        ]
    except (ValueError, KeyError, TypeError):
        return None
    return max(pairs, default=None)


def read_daily(lake: Lake, numbers: Sequence[int], since: date, until: date) -> list[tuple[int, date, Row]]:
    """Lowest, highest, mean, sum and hours with values by datastream and day of Việt Nam. Blocks: use a thread."""
    if not numbers:
        return []
    begin, end = day_us(since), day_us(until) + DAY_US
    names = ("low", "high", "mean", "sum", "hours")
    rows = lake.rows(f"""
        SELECT datastream, (epoch_us(time) + {7 * HOUR_US}) // {DAY_US} AS day, min(result), max(result), avg(result),
               sum(result), count(DISTINCT epoch_us(time) // {HOUR_US})
        FROM lake.observation
        WHERE datastream IN ({", ".join(str(int(number)) for number in numbers)})
          AND time >= make_timestamptz({begin}::BIGINT) AND time < make_timestamptz({end}::BIGINT) AND isfinite(result)
        GROUP BY 1, 2 ORDER BY 2, 1""")
    return [
        (int(number), date(1970, 1, 1) + timedelta(days=int(day)), dict(zip(names, rest, strict=True)))
        for number, day, *rest in rows
    ]


def station_weather(streams: Sequence[Stream], daily: Sequence[tuple[int, date, Row]]) -> dict[date, Row]:
    """The province's weather by day: the mean over its stations."""
    what = {one["id"]: WEATHER[one["property"]] for one in streams if one["property"] in WEATHER}
    gathered: dict[date, dict[str, list[float]]] = {}
    for number, day, row in daily:
        kind = what.get(number)
        one = gathered.setdefault(day, {})
        if kind == "air" and row["hours"] >= _LEAST_HOURS:
            one.setdefault("low_c", []).append(row["low"])
            one.setdefault("high_c", []).append(row["high"])
        elif kind == "rain":
            one.setdefault("rain_mm", []).append(row["sum"])
        elif kind == "wind":
            one.setdefault("wind_kmh", []).append(row["mean"] * _MS_KMH)
        elif kind == "humidity":
            one.setdefault("humidity", []).append(row["mean"])
    return {
        day: {name: round(sum(values) / len(values), 1) for name, values in one.items()}
        for day, one in gathered.items()
        if one
    }


async def keep_station_weather(connection: AsyncConnection, found: Mapping[date, Row], now: int) -> int:
    """Keep it as the province's observed weather, where nobody imported that day; gives how many days changed."""
    w = weather.c
    rows = await connection.execute(
        sa.select(weather).where(w.place == "", w.kind == "observed", w.day.in_([day.isoformat() for day in found]))
    )
    known = {row["day"]: row for row in rows.mappings()}
    changed = 0
    names = ("low_c", "high_c", "rain_mm", "humidity", "wind_kmh", "wind_from_deg")
    for day, values in found.items():
        before = known.get(day.isoformat())
        said = {name: values.get(name) for name in names}
        if before is None:
            row = {"place": "", "day": day.isoformat(), "kind": "observed", "source": SOURCE, "changed_by": ""}
            await connection.execute(sa.insert(weather).values(**row, **said, changed=now))
        elif before["source"] == SOURCE and any(before[name] != value for name, value in said.items()):
            await connection.execute(sa.update(weather).where(w.id == before["id"]).values(**said, changed=now))
        else:
            continue
        changed += 1
    return changed


def read_levels(streams: Sequence[Stream], daily: Sequence[tuple[int, date, Row]], today: date) -> list[Level]:
    """The highest salinity and water level of each station in the days given, and of days to come."""
    by_id = {one["id"]: one for one in streams if one["property"] in LEVELS}
    best: dict[tuple[int, bool], Level] = {}
    for number, day, row in daily:
        one = by_id.get(number)
        if one is None:
            continue
        level = Level(
            one["thing"],
            one["title"] or one["thing"],
            one["property"],
            round(float(row["high"]), 2),
            day,
            day > today,
            _alarm_of(one),
        )
        known = best.get((number, level.expected))
        if known is None or level.value > known.value:
            best[number, level.expected] = level
    for one in by_id.values():
        if one.get("expected"):
            value, time = one["expected"]
            day = from_us(time).astimezone(VIETNAM).date()
            name, title, what = one["thing"], one["title"] or one["thing"], one["property"]
            best[one["id"], True] = Level(name, title, what, round(value, 2), day, True, _alarm_of(one))
    return sorted(best.values(), key=lambda level: (level.station, level.what, level.expected))


def _alarm_of(stream: Stream) -> float | None:
    """Alarm I of a station of water levels: the water domain's, else the registry's `alarm_1_m`."""
    if stream["property"] != "water_level":
        return None
    told = stream["properties"] if isinstance(stream["properties"], dict) else {}
    value = stream.get("alarm") if stream.get("alarm") is not None else told.get("alarm_1_m")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
