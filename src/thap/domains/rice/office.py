"""The office's round: flights, forecasts and drafts of advice, anew from traps, people's counts and weather.

Everything it writes follows from registry, history and registers, so a round repeated changes nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.domain import domain
from thap.domains.parameter_records import load_parameters
from thap.domains.parameters import Parameters
from thap.domains.rice.advice import advice_of, draft_advice, plan_for
from thap.domains.rice.alarms import expected_alarm, flight_alarm, stands
from thap.domains.rice.biology import Biology, cohort
from thap.domains.rice.flights import Catches, Wind, ZoneFlight, find_flights_many, zone_flights
from thap.domains.rice.forecast import FEWEST, Prediction, forecast
from thap.domains.rice.records import DOMAIN_NAME, advice, flights, predictions
from thap.domains.rice.registers import crops_of, weather_of, zones_of
from thap.domains.rice.seasons import temperatures_of
from thap.domains.rice.sowing import Level
from thap.domains.rice.stations import (
    LEVELS,
    WEATHER,
    Stream,
    add_expected,
    keep_station_weather,
    read_daily,
    read_levels,
    station_weather,
    streams_of,
)
from thap.domains.rice.traps import (
    Night,
    Trap,
    catches_of,
    counts_of,
    day_us,
    load_traps,
    nights_of,
    read_series,
    today,
    traps_by_zone,
)
from thap.domains.rice.weeks import week_of, weekly_series
from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import InputError, UnavailableError
from thap.kernel.history.lake import Lake
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.respond.standing import Standing

__all__ = ["PEST", "Done", "keep_flights", "levels_of", "near_peak", "open_lake", "recompute", "same_flights"]

PEST = "bph"
_log = structlog.get_logger(__name__)
Row = dict[str, Any]
_DAYS = 150
"""How far back flights are sought: three generations and the nights their medians need."""
_WEEKS = 104
_DRAFT_DAYS = 21
"""A flight that peaked longer ago is no reason for new advice."""
_SAME = 4
"""Peaks so many nights apart are one flight, seen again with more nights."""
_AHEAD = 3


@dataclass(slots=True)
class Done:
    """What a round did."""

    zones: int = 0
    traps: int = 0
    flights: int = 0
    """Flights of all zones now known in the time looked at."""
    new_flights: int = 0
    drafts: int = 0
    predictions: int = 0
    weather_days: int = 0
    alarms: list[Standing] = field(default_factory=list)
    """What should stand now of the alarms `rice.flight` and `rice.catch_expected`."""
    notes: list[str] = field(default_factory=list)
    """What could not be reckoned, and why."""


@dataclass(frozen=True, slots=True)
class _Known:
    """All that a round works on."""

    now: int
    day: date
    parameters: Parameters
    zones: list[Row]
    traps: list[Trap]
    mine: Mapping[int, list[Trap]]
    counts: list[Row]
    crops: list[Row]
    streams: list[Stream]
    winds: Mapping[str, tuple[float, float]]
    """By day: direction it came from, degrees, and speed, km/h."""


async def recompute(records: Records, lake: Lake, *, now: int | None = None) -> Done:
    """One round.

    Args:
        records: of the centre.
        lake: its history, for reading.
        now: µs.
    """
    moment = now_us() if now is None else now
    known = await _gather(records, moment)
    done = Done(zones=len(known.zones), traps=len(known.traps))
    nights, daily = await asyncio.to_thread(_read, lake, known)
    found = await asyncio.to_thread(_find, known, nights, done)
    expected = await asyncio.to_thread(_expect, known, nights, done)
    async with records.write() as connection:
        done.weather_days = await keep_station_weather(connection, station_weather(known.streams, daily), moment)
        for zone in known.zones:
            seen, coming = found.get(zone["id"], []), expected.get(zone["id"], [])
            fresh = await keep_flights(connection, zone, seen, known.day, known.now, done)
            await _keep_predictions(connection, zone, coming, known, done)
            await _alarm(connection, zone, seen, coming, known, done)
            levels = _levels(zone, known, daily)
            for flight in fresh:
                await _advise(connection, zone, flight, known, levels, done)
    return done


async def _gather(records: Records, now: int) -> _Known:
    day = today(now)
    async with records.read() as connection:
        zones = await zones_of(connection)
        traps = await load_traps(connection)
        stations = sorted({name for zone in zones for name in zone["stations"]})
        streams = await streams_of(connection, WEATHER)
        levels = await streams_of(connection, LEVELS, stations) if stations else []
        await add_expected(connection, levels, now + _AHEAD * DAY_US)
        streams += levels
        return _Known(
            now,
            day,
            await load_parameters(connection, domain(DOMAIN_NAME)),
            zones,
            traps,
            traps_by_zone(zones, traps),
            await counts_of(connection, since=day - timedelta(days=7 * _WEEKS)),
            await crops_of(connection, standing=None),
            streams,
            {
                row["day"]: (row["wind_from_deg"], row["wind_kmh"])
                for row in await weather_of(connection, "", day - timedelta(days=_DAYS), day, kinds=("observed",))
                if row["wind_from_deg"] is not None and row["wind_kmh"] is not None
            },
        )


def _read(lake: Lake, known: _Known) -> tuple[dict[str, list[Night]], list[tuple[int, date, Row]]]:
    """Nights by trap over two years, and daily values of stations over the weeks that matter."""
    last = known.day - timedelta(days=1)
    first = last - timedelta(days=7 * _WEEKS)
    numbers = [number for trap in known.traps for number in (trap.species.get(PEST), trap.lamp) if number is not None]
    series = read_series(lake, numbers, first, last)
    by_trap: dict[str, list[Row]] = {}
    for row in known.counts:
        by_trap.setdefault(row["trap"], []).append(row)
    nights = {}
    for trap in known.traps:
        if PEST not in trap.species:
            continue
        days = list(series.get(trap.species[PEST], ())) + [
            date.fromisoformat(row["night"]) for row in by_trap.get(trap.name, ()) if row["species"] == PEST
        ]
        begin = max(first, min(days, default=last))
        nights[trap.name] = nights_of(trap, PEST, series, by_trap.get(trap.name, []), begin, last)
    ids = [one["id"] for one in known.streams]
    return nights, read_daily(lake, ids, known.day - timedelta(days=45), known.day + timedelta(days=_AHEAD))


def _find(known: _Known, nights: Mapping[str, list[Night]], done: Done) -> dict[int, list[ZoneFlight]]:
    """Flights by zone."""
    catches: dict[str, Catches] = {}
    first = known.day - timedelta(days=_DAYS)
    harvests = _harvests(known)
    zone_of = {trap.name: zone_id for zone_id, traps in known.mine.items() for trap in traps}
    for name, all_ in nights.items():
        recent = [one for one in all_ if one.night >= first]
        if sum(one.value is not None for one in recent) >= 10:
            catches[name] = catches_of(recent, harvests.get(zone_of.get(name, -1), ()))
    if not catches:
        done.notes.append("no trap has counted ten nights yet")
        return {}
    winds = {name: wind for name, one in catches.items() if (wind := _wind(known, one)) is not None}
    seen = find_flights_many(catches, known.parameters, winds)
    found = {}
    for zone in known.zones:
        own = [trap.name for trap in known.mine[zone["id"]] if trap.name in catches]
        if own:
            found[zone["id"]] = zone_flights(
                {name: catches[name] for name in own}, known.parameters, {name: seen[name] for name in own}
            )
    done.flights = sum(len(one) for one in found.values())
    return found


def _wind(known: _Known, catches: Catches) -> Wind | None:
    """The province's wind on the days of a trap's nights; None where no day says speed and direction."""
    days = [catches.day(index).isoformat() for index in range(len(catches.counts))]
    rows = [known.winds.get(day, (math.nan, math.nan)) for day in days]
    if not any(math.isfinite(from_deg) for from_deg, _ in rows):
        return None
    return Wind(np.array([from_deg for from_deg, _ in rows]), np.array([speed for _, speed in rows]))


def _harvests(known: _Known) -> dict[int, list[tuple[date, date]]]:
    """Days of harvest by zone: a week before to a week after the crop is ripe, as sowing spreads."""
    found: dict[int, list[tuple[date, date]]] = {}
    for crop in known.crops:
        ready = date.fromisoformat(crop["sown"]) + timedelta(days=crop["days"])
        found.setdefault(crop["zone_id"], []).append((ready - timedelta(days=3), ready + timedelta(days=3)))
    return found


def _expect(known: _Known, nights: Mapping[str, list[Night]], done: Done) -> dict[int, list[Prediction]]:
    """Forecasts by zone: the mean catch of a trap and night, week by week."""
    found = {}
    for zone in known.zones:
        counted = [
            (one.night, one.value)
            for trap in known.mine[zone["id"]]
            for one in nights.get(trap.name, ())
            if one.value is not None and week_of(one.night) < week_of(known.day)
        ]
        series = weekly_series(
            [night for night, _ in counted], [value for _, value in counted], pest=PEST, location=zone["code"]
        )
        if np.isfinite(series.counts).sum() < FEWEST:
            continue
        try:
            found[zone["id"]] = forecast(series, 4)
        except InputError as error:
            done.notes.append(f"zone {zone['code']}: {error.message}")
    return found


async def keep_flights(
    connection: AsyncConnection, zone: Row, found: Sequence[ZoneFlight], day: date, now: int, done: Done
) -> list[Row]:
    """Write a zone's flights; gives those that may call for advice.

    Args:
        connection: in a write transaction.
        zone: its row.
        found: its flights as they are seen now.
        day: today.
        now: µs.
        done: where new ones are counted.
    """
    f = flights.c
    since = day - timedelta(days=_DAYS - 20)  # at the edge medians are missing: what was found then stays
    rows = await connection.execute(
        sa.select(flights).where(f.zone_id == zone["id"], f.pest == PEST, f.peak >= since.isoformat())
    )
    before = {int(row["id"]): dict(row) for row in rows.mappings()}
    fresh = [flight for flight in found if flight.peak >= since]
    match = same_flights([flight.peak for flight in fresh], before)
    # First what makes room: no two rows of a zone have one peak, and peaks move as more nights come.
    left = set(before) - set(match.values())
    if left:  # a count was corrected, and what looked like a flight is none
        used = await connection.execute(sa.select(advice.c.flight_id).where(advice.c.flight_id.in_(left)))
        gone = left - {int(number) for (number,) in used}
        await connection.execute(sa.delete(flights).where(f.id.in_(gone)))
    moving = [number for at, number in match.items() if before[number]["peak"] != fresh[at].peak.isoformat()]
    if moving:
        aside = sa.literal("~") + sa.cast(f.id, sa.String(9))
        await connection.execute(sa.update(flights).where(f.id.in_(moving)).values(peak=aside))
    calling = []
    for at, flight in enumerate(fresh):
        values = _values(flight)
        if at not in match:
            row = {**values, "zone_id": zone["id"], "pest": PEST, "found": now, "changed": now}
            number = (await connection.execute(sa.insert(flights).values(**row).returning(f.id))).scalar_one()
            row["id"] = int(number)
            done.new_flights += 1
        else:
            row = before[match[at]]
            if any(row[name] != value for name, value in values.items()):
                changed = {**values, "changed": now}
                await connection.execute(sa.update(flights).where(f.id == row["id"]).values(**changed))
                row = {**row, **changed}
        if (day - flight.peak).days <= _DRAFT_DAYS:
            calling.append(row)
    return calling


def near_peak(rows: Sequence[Row], peak: date) -> list[Row]:
    """Rows (of flights, of advice) that are about the same flight, the closest first."""
    apart = [(abs((date.fromisoformat(row["peak"]) - peak).days), row) for row in rows]
    return [row for distance, row in sorted(apart, key=lambda one: one[0]) if distance <= _SAME]


def same_flights(peaks: Sequence[date], kept: Mapping[int, Row]) -> dict[int, int]:
    """Which kept flight each peak is of: the closest pairs within `_SAME` nights first, each once.

    Returns:
        Id of the kept flight by index into `peaks`.
    """
    apart = sorted(
        (distance, at, number)
        for at, peak in enumerate(peaks)
        for number, row in kept.items()
        if (distance := abs((date.fromisoformat(row["peak"]) - peak).days)) <= _SAME
    )
    match: dict[int, int] = {}
    for _, at, number in apart:
        if at not in match and number not in match.values():
            match[at] = number
    return match


def _values(flight: ZoneFlight) -> Row:
    confounders = sorted({word for one in flight.evidence.values() for word in one.confounders})
    return {
        "peak": flight.peak.isoformat(),
        "first": flight.first.isoformat(),
        "last": flight.last.isoformat(),
        "highest": float(flight.highest),
        "common": float(flight.common),
        "traps": list(flight.traps),
        "counted": int(flight.counted),
        "origin": flight.origin,
        "confounders": confounders,
    }


async def _keep_predictions(
    connection: AsyncConnection, zone: Row, expected: Sequence[Prediction], known: _Known, done: Done
) -> None:
    p = predictions.c
    await connection.execute(sa.delete(predictions).where(p.zone_id == zone["id"], p.pest == PEST))
    for one in expected:
        row = {"horizon_weeks": one.horizon_weeks, "target": one.target.isoformat()}
        row |= {"value": float(one.value), "low": float(one.low), "high": float(one.high)}
        await connection.execute(sa.insert(predictions).values(zone_id=zone["id"], pest=PEST, made=known.now, **row))
        done.predictions += 1


async def _alarm(
    connection: AsyncConnection,
    zone: Row,
    seen: Sequence[ZoneFlight],
    coming: Sequence[Prediction],
    known: _Known,
    done: Done,
) -> None:
    """Note what should stand of a zone's alarms: that of its newest flight, and of what is expected."""
    recent = [flight for flight in seen if stands(flight, known.day, known.parameters)]
    if recent:
        flight = max(recent, key=lambda one: one.peak)
        try:
            temperatures = await temperatures_of(connection, zone["code"], flight.peak, known.parameters)
            brood = cohort(flight.peak, temperatures, Biology.of(known.parameters))
            done.alarms.append(flight_alarm(zone, flight, brood, known.parameters))
        except InputError as error:
            done.notes.append(f"zone {zone['code']}: {error.message}")
    advisory = expected_alarm(zone, coming, known.day, known.parameters)
    if advisory is not None:
        done.alarms.append(advisory)


async def _advise(
    connection: AsyncConnection, zone: Row, flight: Row, known: _Known, levels: Sequence[Level], done: Done
) -> None:
    """Draft advice after a flight, unless there is some already that a person has taken up or given up."""
    peak = date.fromisoformat(flight["peak"])
    near = near_peak(await advice_of(connection, advice.c.zone_id == zone["id"]), peak)
    if any(row["state"] != "draft" or row["created_by"] or row["version"] > 1 for row in near):
        return
    try:
        plan = await plan_for(
            connection, zone, peak, known.parameters, levels, today=known.day, highest=flight["highest"]
        )
    except InputError as error:
        done.notes.append(f"zone {zone['code']}: {error.message}")
        return
    if plan.sow_to < known.day and not near:
        return
    if near and near[0]["peak"] == flight["peak"]:
        return
    for row in near:  # the peak moved as more nights came
        await connection.execute(sa.delete(advice).where(advice.c.id == row["id"]))
    await draft_advice(connection, zone, plan, by="", now=known.now, flight_id=flight["id"])
    done.drafts += 1


def _levels(zone: Row, known: _Known, daily: Sequence[tuple[int, date, Row]]) -> list[Level]:
    since = known.day - timedelta(days=round(known.parameters["sow_salinity_days"]))
    streams = [one for one in known.streams if one["thing"] in zone["stations"]]
    return read_levels(streams, [row for row in daily if row[1] >= since], known.day)


async def levels_of(records: Records, lake: Lake | None, zone: Row, parameters: Parameters, day: date) -> list[Level]:
    """What the water stations of a zone say now; nothing where there is no history yet."""
    if lake is None or not zone["stations"]:
        return []
    async with records.read() as connection:
        streams = await streams_of(connection, LEVELS, zone["stations"])
        await add_expected(connection, streams, day_us(day) + (_AHEAD + 1) * DAY_US)
    since = day - timedelta(days=round(parameters["sow_salinity_days"]))
    numbers = [one["id"] for one in streams]
    return read_levels(
        streams, await asyncio.to_thread(read_daily, lake, numbers, since, day + timedelta(days=_AHEAD)), day
    )


def open_lake(settings: Settings) -> Lake | None:
    """The history for reading; None where there is none yet."""
    try:
        return Lake.open(settings, True)
    except UnavailableError:
        return None
