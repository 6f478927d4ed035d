"""/api/v1/things, /datastreams, /movers, /latest: what exists, and what it said last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us, parse_duration_us
from thap.kernel.errors import NotFoundError
from thap.kernel.policy import Subject
from thap.observe.listing import ThingInfo, thing_properties
from thap.observe.registry import register_datastreams, register_movers, register_things
from thap.web.answers import JsonAnswer
from thap.web.api.places import locator_of
from thap.web.api.quarantine import admission_of
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.latest import Rows
from thap.web.live import Live
from thap.web.params import FilterDep, cursor_number
from thap.web.sight import note_reading, sight_of
from thap.web.sse import Hub

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["things"])
Reader = Annotated[Caller, Depends(require("thing.read"))]
Operator = Annotated[Caller, Depends(require("operate"))]
Limit = Annotated[int, Query(ge=1, le=10_000, description="How many at most.")]
After = Annotated[str | None, Query(max_length=40, description="`next` of the page before.")]
Silent = Annotated[
    str | None, Query(max_length=20, description="Only those of which nothing came for so long, or ever: as 1h.")
]
Words = Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")]
Lon = Annotated[float, Field(ge=-180, le=180)]
Lat = Annotated[float, Field(ge=-90, le=90)]


class _Given(BaseModel):
    """A row of a body: what is not given stays as it is."""

    model_config = ConfigDict(extra="forbid")


class NewDatastream(_Given):
    """A measured series of a thing."""

    name: str = Field(max_length=128)
    property: str | None = Field(None, max_length=64, description="What is observed, as water_level.")
    unit: str | None = Field(None, max_length=32, description="As m or g/l.")


class NewThing(_Given):
    """A station, trap, camera, or whatever stands somewhere."""

    name: str = Field(max_length=128, description="As in the MQTT topic.")
    title: Words | None = None
    kind: str | None = Field(None, max_length=64)
    domain: str | None = Field(None, max_length=32)
    lon: Lon | None = None
    lat: Lat | None = None
    properties: dict[str, Any] | None = None
    datastreams: list[NewDatastream] = Field(default_factory=list, max_length=1000)


class NewMover(_Given):
    """A vessel or vehicle."""

    key: str = Field(max_length=128, description="As mmsi-574001234.")
    name: Words | None = None
    kind: str | None = Field(None, max_length=64)
    domain: str | None = Field(None, max_length=32)
    properties: dict[str, Any] | None = None


class NewThings(_Given):
    """Things and movers to create or change."""

    things: list[NewThing] = Field(default_factory=list, max_length=10_000)
    movers: list[NewMover] = Field(default_factory=list, max_length=10_000)


class Registered(BaseModel):
    """How many were created or changed."""

    things: int
    datastreams: int
    movers: int


def _live(centre: Centre) -> Live:
    live: Live = centre.parts["live"]
    return live


def _page(items: list[Any], last: int, more: bool) -> Response:
    return JsonAnswer({"items": items, "next": str(last) if more else None})


@router.post("/things", summary="Create or change things with their datastreams, and movers")
async def post_things(body: NewThings, centre: CentreDep, caller: Operator) -> Registered:
    """What exists already is changed where the body gives a value; nothing is removed."""
    rows = [_given(thing, "datastreams") for thing in body.things]
    await _place(centre, rows)
    streams = [
        {"key": f"{thing.name}/{stream.name}", **_given(stream, "name")}
        for thing in body.things
        for stream in thing.datastreams
    ]
    movers = [_given(mover) for mover in body.movers]
    async with centre.records.write() as connection:
        await register_things(connection, rows)
        await register_datastreams(connection, streams)
        await register_movers(connection, movers)
        told = {"things": [row["name"] for row in rows], "movers": [row["key"] for row in movers]}
        await append_async(connection, [Entry(caller.who, "registry.put", "registry", told, caller.address)])
    await centre.bus.announce("centre.live.registry", {"by": caller.name})
    await _live(centre).registry_changed()
    if centre.intake is not None:
        await centre.intake.reload()  # so that records sent after this answer are taken,
        await admission_of(centre).settle()  # and those that waited under these names are released
    return Registered(things=len(rows), datastreams=len(streams), movers=len(movers))


def _given(row: _Given, *but: str) -> dict[str, Any]:
    return row.model_dump(exclude_none=True, exclude=set(but))


async def _place(centre: Centre, rows: list[dict[str, Any]]) -> None:
    """Note in which commune things stand."""
    placed = [row for row in rows if "lon" in row and "lat" in row]
    if placed:
        codes = (await locator_of(centre)).codes_of([row["lon"] for row in placed], [row["lat"] for row in placed])
        for row, code in zip(placed, codes.tolist(), strict=True):
            row["commune"] = code


def _heard(live: Live, kind: str, numbers: Sequence[int]) -> int:
    """When something of these sources was last taken in, µs; 0 for never."""
    mirror = live.mirror(kind)
    inside = [number for number in numbers if number < len(mirror.changed) and mirror.changed[number]]
    return int(mirror["received"][inside].max()) if inside else 0


def _before(silent: str | None) -> int:
    """Since when nothing may have come, µs; 0 where that does not matter."""
    return 0 if silent is None else now_us() - parse_duration_us(silent)


def _silent(live: Live, kind: str, rows: Rows, since: int) -> Rows:
    mirror = live.mirror(kind)
    spoke = np.zeros(len(rows), np.bool_)
    inside = rows < len(mirror.changed)
    there = rows[inside]
    spoke[inside] = (mirror.changed[there] > 0) & (mirror["received"][there] >= since)
    return rows[~spoke]


def _thing(info: ThingInfo, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": info.name,
        "title": info.title,
        "kind": info.kind,
        "domain": info.domain,
        "lon": info.lon,
        "lat": info.lat,
        "commune": info.commune,
        "properties": properties,
    }


@router.get("/things", summary="Things", response_class=Response)
async def get_things(
    centre: CentreDep,
    caller: Reader,
    wanted: FilterDep,
    limit: Limit = 100,
    after: After = None,
    silent: Silent = None,
) -> Response:
    """`datastreams` is how many each has, `heard` when the latest of them came in (µs, 0 for never)."""
    sight, live = await sight_of(centre, caller), _live(centre)
    since = _before(silent)

    def heard(info: ThingInfo) -> int:
        return _heard(live, "observation", [one.id for one in live.directory.datastreams_of(info.name)])

    def seen(info: ThingInfo) -> bool:
        return sight.thing(info) and (not since or heard(info) < since)

    found = live.directory.things_after(wanted, cursor_number(after), limit + 1, seen)
    more, found = len(found) > limit, found[:limit]
    async with centre.records.read() as connection:
        properties = await thing_properties(connection, [info.id for info in found])
    items = [
        {
            **_thing(info, properties.get(info.id, {})),
            "datastreams": len(live.directory.datastreams_of(info.name)),
            "heard": heard(info),
        }
        for info in found
    ]
    return _page(items, found[-1].id if found else 0, more)


@router.get("/things/{name}", summary="One thing with its datastreams and what they said last", response_class=Response)
async def get_thing(name: str, centre: CentreDep, caller: Reader) -> Response:
    live = _live(centre)
    info = live.directory.thing.get(name)
    if info is None or not (await sight_of(centre, caller)).thing(info):
        raise NotFoundError(
            f"there is no thing named {name!r}",
            hint="`thap things list` shows those there are; "
            "names that only devices know wait in `thap quarantine list`",
        )
    async with centre.records.read() as connection:
        properties = await thing_properties(connection, [info.id])
    told = [(f"thing:{name}", Subject("thing", (info.commune,), info.domain, name))]
    await note_reading(centre, caller, await policy_of(centre).current(), "thing", told)
    infos = live.directory.datastreams_of(name)
    values = live.values("observation", [stream.id for stream in infos])
    streams = [
        {"key": stream.key, "name": stream.name, "property": stream.property, "unit": stream.unit, "latest": latest}
        for stream, latest in zip(infos, values, strict=True)
    ]
    return JsonAnswer({**_thing(info, properties.get(info.id, {})), "datastreams": streams})


@router.get("/datastreams", summary="Datastreams with what they said last", response_class=Response)
async def get_datastreams(
    centre: CentreDep,
    caller: Reader,
    wanted: FilterDep,
    limit: Limit = 100,
    after: After = None,
    silent: Silent = None,
) -> Response:
    live = _live(centre)
    rows = np.flatnonzero(live.directory.datastream_mask(wanted))
    rows = await live.visible("observation", rows[rows > cursor_number(after)], await sight_of(centre, caller))
    if silent is not None:
        rows = _silent(live, "observation", rows, _before(silent))
    rows = rows[: limit + 1]
    more, numbers = len(rows) > limit, rows[:limit].tolist()
    infos = [live.directory.datastreams[number] for number in numbers]
    values = live.values("observation", numbers)
    items = [
        {
            "key": info.key,
            "thing": info.thing,
            "name": info.name,
            "property": info.property,
            "unit": info.unit,
            "domain": info.domain,
            "kind": info.kind,
            "lon": info.lon,
            "lat": info.lat,
            "commune": info.commune,
            "latest": latest,
        }
        for info, latest in zip(infos, values, strict=True)
    ]
    return _page(items, numbers[-1] if numbers else 0, more)


@router.get("/movers", summary="Movers with their latest position", response_class=Response)
async def get_movers(
    centre: CentreDep,
    caller: Reader,
    wanted: FilterDep,
    limit: Limit = 100,
    after: After = None,
    silent: Silent = None,
) -> Response:
    """With `bbox` or `commune`, only movers whose latest position lies there."""
    live = _live(centre)
    if wanted.bbox is None and not wanted.communes:
        rows = np.flatnonzero(live.directory.mover_mask(wanted))
    else:
        rows = await live.rows("position", wanted)
    rows = await live.visible("position", rows[rows > cursor_number(after)], await sight_of(centre, caller))
    if silent is not None:
        rows = _silent(live, "position", rows, _before(silent))
    rows = rows[: limit + 1]
    more, numbers = len(rows) > limit, rows[:limit].tolist()
    infos = [live.directory.movers[number] for number in numbers]
    values = live.values("position", numbers)
    items = [
        {
            "key": info.key,
            "name": info.name,
            "kind": info.kind,
            "domain": info.domain,
            "properties": info.properties,
            "latest": latest,
        }
        for info, latest in zip(infos, values, strict=True)
    ]
    return _page(items, numbers[-1] if numbers else 0, more)


@router.get("/latest", summary="Latest values as columns", response_class=Response)
async def get_latest(
    centre: CentreDep,
    caller: Reader,
    wanted: FilterDep,
    of: Annotated[Literal["observation", "position"], Query(description="Which kind of record.")] = "observation",
    limit: Annotated[int, Query(ge=1, le=200_000, description="How many at most.")] = 10_000,
    after: After = None,
) -> Response:
    """Columns of equal length: `source`, `time` and `received` (µs), and the values. `event_id` is where to begin
    with /api/v1/stream to hear of every change after this answer."""
    live: Live = _live(centre)
    hub: Hub = centre.parts["stream"]
    event_id = f"{hub.last}.{live.version}"
    rows = await live.rows(of, wanted, sight=await sight_of(centre, caller))
    rows = rows[rows > cursor_number(after)]
    more, rows = len(rows) > limit, rows[:limit]
    return JsonAnswer({"event_id": event_id, **live.columns(of, rows), "next": str(int(rows[-1])) if more else None})
