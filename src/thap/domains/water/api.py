"""/api/v1/water: stations against their limits, forecasts, salinity with its windows and sheets, the air, rain."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, Request

from thap.detect.records import load_rules
from thap.detect.rules import Threshold
from thap.domains.parameter_records import load_parameters
from thap.domains.river import along, km_of
from thap.domains.water.aqi import CLASSES
from thap.domains.water.background import LEVELS, SALT
from thap.domains.water.forecast import Forecast
from thap.domains.water.harmonic import Tide
from thap.domains.water.isohaline import Crossing, Sample, isohaline
from thap.domains.water.rain import accumulate
from thap.domains.water.records import (
    Kept,
    forecast_runs,
    keep_sheet,
    latest_air,
    latest_forecasts,
    load_ruled,
    load_stations,
    salinity_rows,
    set_station,
    station_versions,
)
from thap.domains.water.salinity import windows_under
from thap.domains.water.shapes import (
    AirBoard,
    AirDay,
    AirHour,
    AirShown,
    BadCell,
    Coming,
    ForecastShown,
    ImportedSheet,
    Line,
    OpenWindow,
    RainBoard,
    RainShown,
    RainSpan,
    SheetRow,
    SheetRows,
    SkillShown,
    StationBody,
    StationList,
    StationShown,
    StationVersion,
    StationVersions,
    Value,
)
from thap.domains.water.sheets import Sheet, read_sheet
from thap.domains.water.skill import skill_of
from thap.domains.water.stations import Station, level_class
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, now_us
from thap.kernel.errors import InputError, NotFoundError, UnavailableError
from thap.kernel.policy import Resource, Subject
from thap.observe.registry import DatastreamInfo, things
from thap.web.api.history import lake_of
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.live import Live
from thap.web.sight import Sight, note_reading, sight_of

__all__ = ["isohaline_layer", "level_layer", "router"]

router = APIRouter(prefix="/api/v1/water", tags=["water"])
Reader = Annotated[Caller, Depends(require("thing.read"))]
Historian = Annotated[Caller, Depends(require("history.read"))]
Writer = Annotated[Caller, Depends(require("register.write"))]
ThingName = Annotated[str, Path(max_length=128, description="Name of the station's thing, as my-tho.")]
_SHEET_LARGEST = 8 << 20
_FRESH_US = 24 * HOUR_US
_SKILL_US = 7 * DAY_US
_APART_US = 6 * HOUR_US
_RAIN = ("rain_10m", "rain_5m", "rain_1h", "rain")
_PERIODS = {"rain_10m": 10 * MINUTE_US, "rain_5m": 5 * MINUTE_US, "rain_1h": HOUR_US, "rain": HOUR_US}
_CLASS_COLOURS = ("#3a9d5d", "#e0b400", "#e07000", "#d03030")


async def _parameters(centre: Centre) -> Any:
    from thap.domains.water import DOMAIN

    async with centre.records.read() as connection:
        return await load_parameters(connection, DOMAIN)


def _live(centre: Centre) -> Live:
    live: Live = centre.parts["live"]
    return live


def _streams(centre: Centre, sight: Sight, properties: tuple[str, ...]) -> list[DatastreamInfo]:
    """Datastreams of these properties that may be seen."""
    infos = _live(centre).directory.registry.datastreams
    return [info for info in infos if info.property in properties and sight.thing(info)]


def _value(centre: Centre, info: DatastreamInfo | None) -> Value | None:
    if info is None:
        return None
    (latest,) = _live(centre).values("observation", [info.id])
    return Value(
        datastream=info.key,
        time=latest["time"] if latest else None,
        value=latest["result"] if latest else None,
    )


def _coming(kept: Kept | None, limits: list[float | None], advise_days: float) -> Coming | None:
    if kept is None or not kept.body["mean"]:
        return None
    mean = np.asarray(kept.body["mean"])
    at = int(mean.argmax())
    told = kept.body["span_h"] >= advise_days * 24  # before that, tide and flood cannot be told apart
    reaches = level_class(float(mean[at]), tuple(limits)) if told else 0
    when = None
    if reaches:
        when = (kept.body["first"] + int(np.flatnonzero(mean >= (limits[reaches - 1] or 0.0))[0])) * HOUR_US
    return Coming(
        made=kept.made,
        inputs_until=kept.inputs_until,
        highest=float(mean[at]),
        highest_at=(kept.body["first"] + at) * HOUR_US,
        reaches=reaches,
        reaches_at=when,
    )


async def _ruled(centre: Centre, ruled: frozenset[str]) -> dict[str, list[str]]:
    """Rules in force that watch levels, by datastream."""
    if not ruled:
        return {}
    async with centre.records.read() as connection:
        rules = await load_rules(centre.settings, connection)
    found: dict[str, list[str]] = {}
    for rule in rules:
        if isinstance(rule, Threshold) and rule.enabled and rule.way == "above":
            for key in ruled & set(rule.select.datastream):
                found.setdefault(key, []).append(rule.name)
    return found


@router.get("/stations", summary="Stations against their limits")
async def list_stations(centre: CentreDep, caller: Reader) -> StationList:
    """Every station with a level or a salinity that the caller may see: limits with their source, newest values, and
    what the newest forecast reaches."""
    return StationList(items=await _stations(centre, caller))


async def _stations(centre: Centre, caller: Caller) -> list[StationShown]:
    sight = await sight_of(centre, caller)
    policy = await policy_of(centre).current()
    parameters = await _parameters(centre)
    streams: dict[str, dict[str, DatastreamInfo]] = {}
    for info in _streams(centre, sight, (LEVELS, SALT)):
        streams.setdefault(info.thing, {}).setdefault(info.property, info)
    async with centre.records.read() as connection:
        known = await load_stations(connection)
        ruled = await load_ruled(connection)
        forecasts = await latest_forecasts(connection)
    rules = await _ruled(centre, ruled or frozenset())
    lines: list[float | None] = [parameters["salinity_low_g_l"], parameters["salinity_high_g_l"]]
    directory, made, days = _live(centre).directory, [], parameters["advise_days"]
    for thing, mine in streams.items():
        info = next(iter(mine.values()))
        station = known.get(thing) or Station(thing, "", "", (None, None, None), None, "", "L")
        level, salt = mine.get(LEVELS), mine.get(SALT)
        now = _value(centre, level)
        title = directory.thing[thing].title if thing in directory.thing else ""
        made.append(
            StationShown(
                thing=thing,
                title=title or station.title or thing,
                river=station.river,
                km=station.km,
                lon=info.lon,
                lat=info.lat,
                commune=info.commune,
                levels=list(station.levels),
                source=station.source,
                confidence=station.confidence,
                version=station.version,
                changed=station.changed,
                changed_by=station.changed_by,
                level=now,
                level_class=level_class(now.value, station.levels) if now and now.value is not None else 0,
                salinity=_value(centre, salt),
                level_coming=_coming(forecasts.get(level.key) if level else None, list(station.levels), days),
                salinity_coming=_coming(forecasts.get(salt.key) if salt else None, lines, days),
                ruled_by=rules.get(level.key, []) if level else [],
                writable=policy.decide(
                    caller.who, "register.write", Subject("station", (info.commune,), "water", thing)
                ).allowed,
            )
        )
    return sorted(made, key=lambda one: (-one.level_class, one.title))


def _info_of(centre: Centre, sight: Sight, thing: str) -> DatastreamInfo:
    found = next((info for info in _streams(centre, sight, (LEVELS, SALT)) if info.thing == thing), None)
    if found is None:
        raise NotFoundError(f"there is no station {thing!r}", hint="/api/v1/water/stations lists them")
    return found


@router.get("/stations/{thing}/versions", summary="Limits of a station as they were set")
async def read_versions(thing: ThingName, centre: CentreDep, caller: Reader) -> StationVersions:
    from thap.domains.water.stations import shipped_stations

    _info_of(centre, await sight_of(centre, caller), thing)
    async with centre.records.read() as connection:
        found = await station_versions(connection, thing)
    shipped = shipped_stations().get(thing)
    return StationVersions(
        items=[
            StationVersion(
                version=one.version,
                levels=list(one.levels),
                source=one.source,
                changed=one.changed,
                changed_by=one.changed_by,
            )
            for one in (*found, *([shipped] if shipped else []))
        ]
    )


@router.put("/stations/{thing}", summary="Set the limits of a station")
async def put_station(thing: ThingName, body: StationBody, centre: CentreDep, caller: Writer) -> StationVersion:
    """They hold from now on, for alarms, forecasts and screens. A version that is not the latest is refused (409)."""
    info = _info_of(centre, await sight_of(centre, caller), thing)
    policy = await policy_of(centre).current()
    policy.check(
        caller.who, "register.write", Subject("station", (info.commune,), "water", thing), where=f"station {thing}"
    )
    async with centre.records.write() as connection:
        before = (await load_stations(connection)).get(thing)
        wanted = Station(
            thing,
            body.title.strip() or (before.title if before else thing),
            body.river.strip() or (before.river if before else ""),
            (body.levels[0], body.levels[1], body.levels[2]),
            body.km if body.km is not None else (before.km if before else None),
            body.source,
            "H",
        )
        made = await set_station(connection, wanted, version=body.version, by=caller.name, now=now_us())
        told = {
            "before": list(before.levels) if before else None,
            "levels": list(made.levels),
            "source": made.source,
            "version": made.version,
        }
        await append_async(connection, [Entry(caller.who, "station.set", f"station:{thing}", told, caller.address)])
    await centre.bus.announce("centre.live.rules", {"station": thing, "by": caller.name})
    return StationVersion(
        version=made.version,
        levels=list(made.levels),
        source=made.source,
        changed=made.changed,
        changed_by=made.changed_by,
    )


@router.get("/forecasts/{datastream:path}", summary="The newest forecast of a level or salinity")
async def read_forecast(datastream: str, centre: CentreDep, caller: Historian) -> ForecastShown:
    """With a band that holds four of five values, the errors of the last week's runs, and for salinity the windows in
    which a sluice may open."""
    sight = await sight_of(centre, caller)
    live = _live(centre)
    info = live.directory.datastreams.get(live.directory.registry.datastream_id.get(datastream, 0))
    if info is None or not sight.may("history.read", info.commune, info.domain, info.key):
        raise NotFoundError(f"there is no datastream {datastream[:200]!r}")
    subject = Subject("history", (info.commune,), info.domain, info.key)
    await note_reading(centre, caller, sight.policy, "history", [(f"datastream:{info.key}", subject)])
    async with centre.records.read() as connection:
        kept = (await latest_forecasts(connection, [info.key])).get(info.key)
        if kept is None:
            raise NotFoundError(
                f"there is no forecast of {info.key} yet", hint="one is made once there are 36 hours of values"
            )
        runs = await forecast_runs(connection, info.key, kept.inputs_until - _SKILL_US)
    body, parameters = kept.body, await _parameters(centre)
    count = len(body["mean"])
    return ForecastShown(
        datastream=info.key,
        property=info.property,
        unit=info.unit,
        made=kept.made,
        inputs_until=kept.inputs_until,
        times=[(body["first"] + at) * HOUR_US for at in range(count)],
        mean=body["mean"],
        low=body["low"],
        high=body["high"],
        tide=body["tide"],
        tide_range=body["range"],
        tried=body["errors"],
        skill=await _skill(centre, info, kept, runs),
        lines=_lines(kept, parameters) if info.property == SALT else [],
    )


async def _skill(centre: Centre, info: DatastreamInfo, kept: Kept, runs: list[Kept]) -> list[SkillShown]:
    from thap.domains.water.history import hours_of

    try:
        lake = await lake_of(centre)
        hours = await asyncio.to_thread(
            hours_of, lake, [info.id], kept.inputs_until - _SKILL_US, kept.inputs_until + HOUR_US
        )
    except UnavailableError:
        return []
    found = skill_of([one.body for one in runs], hours.get(info.id))
    return [SkillShown(**{name: getattr(one, name) for name in SkillShown.model_fields}) for one in found]


def _lines(kept: Kept, parameters: Any) -> list[Line]:
    body = kept.body
    mean, low, high, tide = (np.asarray(body[name], np.float64) for name in ("mean", "low", "high", "tide"))
    hours = body["first"] + np.arange(len(mean), dtype=np.float64)
    made = Forecast(hours, mean, low, high, tide, Tide(0.0, np.zeros(0)), 0.0, 0.0, 0.0, 0, {})
    return [
        Line(
            g_l=line,
            windows=[
                OpenWindow(begin=one.begin, end=one.end, highest_g_l=one.highest_g_l, open_end=one.open_end)
                for one in windows_under(made, line, least_h=parameters["sluice_open_h"])
            ],
        )
        for line in (parameters["salinity_low_g_l"], parameters["salinity_high_g_l"])
    ]


@router.get("/salinity", summary="Ten-day salinities of the province's sheets")
async def read_sheets(centre: CentreDep, caller: Reader) -> SheetRows:
    """By distance from the mouth, then time. Sheets are of the whole province: who sees the water of any part of it
    sees them."""
    policy = await policy_of(centre).current()
    units = policy.units(caller.who, "thing.read", "water")
    if units is not None and not units:
        return SheetRows(items=[])
    async with centre.records.read() as connection:
        rows = await salinity_rows(connection)
    return SheetRows(items=[SheetRow(**{name: row[name] for name in SheetRow.model_fields}) for row in rows])


@router.post(
    "/salinity/import",
    summary="Import a sheet of salinity by ten days",
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def import_sheet(
    request: Request,
    centre: CentreDep,
    caller: Writer,
    source: Annotated[str, Query(max_length=200, description="Where it is from, as the file's name")] = "",
    check: Annotated[bool, Query(description="Only say what it holds; change nothing")] = False,
    skip_bad: Annotated[bool, Query(description="Take the good cells where others are bad")] = False,
) -> ImportedSheet:
    """The body is CSV: station, year, and a column for each ten days, as p0101_0110. Where a cell cannot be taken
    nothing is imported, unless `skip_bad` is set; the same station and days take the new value."""
    policy = await policy_of(centre).current()
    policy.check(caller.who, "register.write", Subject("salinity", ("",), "water"))
    sheet = await _read_body(request, source.replace("\x00", "").strip() or "sheet.csv")
    if sheet.faults and not check and not skip_bad:
        raise InputError(
            f"{len(sheet.faults)} cells cannot be taken, nothing was imported: "
            + "; ".join(f"line {one.line}, {one.column}: {one.reason}" for one in sheet.faults[:3]),
            where=sheet.source,
            hint="mend them, or import the others with skip_bad",
        )
    kept = None
    if not check:
        async with centre.records.write() as connection:
            kept = await keep_sheet(connection, sheet, by=caller.name, now=now_us())
            told = {"source": sheet.source, "sha256": sheet.sha256, "added": kept.added, "replaced": kept.replaced}
            await append_async(connection, [Entry(caller.who, "salinity.import", "salinity", told, caller.address)])
        await centre.bus.announce("centre.live.water", {"salinity": sheet.source})
    return ImportedSheet(
        rows=len(sheet.rows),
        empty=sheet.empty,
        stations=sheet.stations,
        faults=[BadCell(line=one.line, column=one.column, reason=one.reason) for one in sheet.faults[:500]],
        imported=kept is not None,
        added=kept.added if kept else 0,
        replaced=kept.replaced if kept else 0,
        same=kept.same if kept else 0,
        preview=[
            SheetRow(
                station=one.station,
                title=one.title,
                river=one.river,
                km=one.km,
                begin=one.begin,
                end=one.end,
                g_l=one.g_l,
                source=sheet.source,
            )
            for one in sheet.rows[:200]
        ],
    )


async def _read_body(request: Request, name: str) -> Sheet:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _SHEET_LARGEST:
            raise InputError(f"more than {_SHEET_LARGEST >> 20} MiB is too large for a sheet", where=name)

    def read() -> Sheet:
        with tempfile.TemporaryDirectory() as folder:
            path = FilePath(folder) / "sheet.csv"
            path.write_bytes(body)
            try:
                return replace(read_sheet(path), source=name)
            except InputError as error:
                error.where = (error.where or name).replace(str(path), name)
                raise

    return await asyncio.to_thread(read)


@router.get("/air", summary="VN_AQI of every station of the air")
async def read_air(centre: CentreDep, caller: Reader) -> AirBoard:
    """Of the newest full picture: the index, the pollutant that decides, class and colour, the last 48 hours and days.
    `complete` is false where there is neither PM2.5 nor PM10, without which it is no VN_AQI."""
    policy = await policy_of(centre).current()
    within = policy.where(
        caller.who,
        "thing.read",
        Resource((things.c.commune,), domain=things.c.domain, thing=things.c.name),
    )
    async with centre.records.read() as connection:
        rows = await latest_air(connection, within)
    items = []
    for row in rows:
        kind = CLASSES[row["level"] - 1] if row["level"] else None
        items.append(
            AirShown(
                thing=row["thing"],
                title=row["title"] or row["thing"],
                lon=row["lon"],
                lat=row["lat"],
                commune=row["commune"],
                hour=row["hour"],
                aqi=row["aqi"],
                pollutant=row["pollutant"],
                level=row["level"],
                colour=kind.colour if kind else "",
                class_title=dict(kind.title) if kind else {},
                parts=row["body"]["parts"],
                complete=row["body"]["complete"],
                hours=[AirHour(**one) for one in row["body"]["hours"]],
                days=[AirDay(**one) for one in row["body"]["days"]],
            )
        )
    return AirBoard(source="QĐ 1459/QĐ-TCMT", items=items)


@router.get("/rain", summary="Rain of the last 1 to 72 hours")
async def read_rain(centre: CentreDep, caller: Historian) -> RainBoard:
    """Sums up to the newest reading of each gauge. A span of which less than four fifths were measured has at least
    that much rain."""
    sight = await sight_of(centre, caller)
    live = _live(centre)
    infos = [
        info
        for info in _streams(centre, sight, _RAIN)
        if sight.may("history.read", info.commune, info.domain, info.key)
    ]
    if not infos:
        return RainBoard(items=[])
    latest = dict(
        zip([info.id for info in infos], live.values("observation", [info.id for info in infos]), strict=True)
    )
    newest = max((one["time"] for one in latest.values() if one), default=None)
    if newest is None:
        return RainBoard(items=[])
    lake = await lake_of(centre)
    found = await asyncio.to_thread(_rain_rows, lake, [info.id for info in infos], newest)
    items = []
    for info in infos:
        if info.id not in found:
            continue
        times, mm = found[info.id]
        until = int(times.max())
        title = live.directory.thing[info.thing].title if info.thing in live.directory.thing else ""
        items.append(
            RainShown(
                datastream=info.key,
                thing=info.thing,
                title=title or info.thing,
                until=until,
                spans=[
                    RainSpan(hours=one.hours, mm=one.mm, share=one.share)
                    for one in accumulate(times, mm, until, _PERIODS[info.property])
                ],
            )
        )
    return RainBoard(items=sorted(items, key=lambda one: (-one.spans[4].mm, one.datastream)))


def _rain_rows(lake: Any, ids: list[int], newest: int) -> dict[int, tuple[Any, Any]]:
    listed = ", ".join(map(str, ids))
    rows = lake.rows(
        f"SELECT datastream, epoch_us(time), result FROM lake.observation WHERE datastream IN ({listed}) "
        f"AND time > make_timestamptz({newest - 72 * HOUR_US}::BIGINT) ORDER BY datastream, time"
    )
    found: dict[int, tuple[list[int], list[float]]] = {}
    for number, time, result in rows:
        times, values = found.setdefault(number, ([], []))
        times.append(time)
        values.append(result)
    return {number: (np.asarray(times, np.int64), np.asarray(values)) for number, (times, values) in found.items()}


async def level_layer(centre: Centre, caller: Caller) -> dict[str, Any]:
    """Stations as points, coloured by the alarm level they have reached."""
    features = []
    for one in await _stations(centre, caller):
        if one.lon is None or one.lat is None or one.level is None or one.level.value is None:
            continue
        reached = ("", " · BĐ I", " · BĐ II", " · BĐ III")[one.level_class]
        features.append(
            {
                "type": "Feature",
                "properties": {
                    "title": f"{one.title}: {one.level.value:.2f} m{reached}",
                    "class": one.level_class,
                    "colour": _CLASS_COLOURS[one.level_class],
                    "time": one.level.time,
                },
                "geometry": {"type": "Point", "coordinates": [one.lon, one.lat]},
            }
        )
    return {"type": "FeatureCollection", "features": features}


async def isohaline_layer(centre: Centre, caller: Caller) -> dict[str, Any]:
    """Where salinity passes the two lines on the Tiền, as short lines across it, marked as interpolated."""
    parameters = await _parameters(centre)
    samples = [
        Sample(one.title, km_of(one.lon, one.lat), one.salinity.value, one.salinity.time)
        for one in await _stations(centre, caller)
        if one.lon is not None
        and one.lat is not None
        and one.salinity is not None
        and one.salinity.value is not None
        and one.salinity.time is not None
    ]
    newest = max((one.time for one in samples), default=0)
    samples = [one for one in samples if one.time > newest - _APART_US]
    features = []
    for name in ("salinity_low_g_l", "salinity_high_g_l"):
        features += [_across(one) for one in isohaline(samples, parameters[name])]
    return {"type": "FeatureCollection", "features": features}


def _across(one: Crossing) -> dict[str, Any]:
    lon, lat = along([one.km, one.km], [-1500.0, 1500.0])
    return {
        "type": "Feature",
        "properties": {
            "title": f"{one.line_g_l:g} g/l (nội suy {one.between[0]} – {one.between[1]})",
            "line_g_l": one.line_g_l,
            "interpolated": True,
            "between": list(one.between),
            "time": one.time,
            "apart_us": one.apart_us,
        },
        "geometry": {
            "type": "LineString",
            "coordinates": [[round(float(x), 5), round(float(y), 5)] for x, y in zip(lon, lat, strict=True)],
        },
    }
