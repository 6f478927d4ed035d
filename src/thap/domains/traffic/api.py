"""/api/v1/traffic: corridors with their forecasts, and number plates. A centre that reads none answers so."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from thap.domains.traffic.corridors import (
    MOST_DATASTREAMS,
    Corridor,
    KeptForecast,
    forecast_runs,
    latest_forecasts,
    load_corridors,
    set_corridor,
)
from thap.domains.traffic.plates import add_watch, drop_watch, list_watch, lookup
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import HOUR_US, now_us
from thap.kernel.errors import ConflictError, NotFoundError
from thap.kernel.policy import Subject
from thap.observe.cameras.records import RESOURCE, cameras
from thap.observe.registry import DatastreamInfo, things
from thap.web.answers import JsonAnswer
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.live import Live
from thap.web.sight import Sight, sight_of

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/traffic", tags=["traffic"])
Reader = Annotated[Caller, Depends(require("plate.read"))]
Onlooker = Annotated[Caller, Depends(require("thing.read"))]
Writer = Annotated[Caller, Depends(require("register.write"))]
CorridorName = Annotated[str, Path(max_length=64, description="Name of the corridor, as cau-my-thuan.")]
Words = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class NewWatch(BaseModel):
    """A plate to look for."""

    model_config = ConfigDict(extra="forbid")
    plate: str = Field(max_length=20)
    reason: Words
    legal_basis: Words = Field(description="The decision that allows looking for it.")
    until: int = Field(description="When that ends, µs; within a year.")


class Question(BaseModel):
    """A plate that somebody asks for."""

    model_config = ConfigDict(extra="forbid")
    plate: str = Field(max_length=20)
    basis: Words = Field(description="Legal basis of the question.")


async def _may(centre: Centre, caller: Caller) -> None:
    """Plates are of no one place: it takes the right in the whole province, and a centre that reads them.

    Raises:
        ConflictError: this centre reads no plates.
        DeniedError: the right is for a part of the province.
    """
    (await sight_of(centre, caller)).check_whole("plate.read", "plates are read in the whole province")
    if not centre.settings.plates.enabled:
        raise ConflictError("this centre reads no plates", hint="setting `plates.enabled`, where the law allows it")


@router.get("/plates/watch", summary="The watch list", response_class=Response)
async def get_watch(centre: CentreDep, caller: Reader) -> Response:
    """Each reading of the list stands in the audit log."""
    await _may(centre, caller)
    async with centre.records.write() as connection:
        found = await list_watch(connection, centre.settings, caller.who, caller.address)
    return JsonAnswer({"items": [asdict(one) for one in found]})


@router.post("/plates/watch", summary="Put a plate on the watch list", status_code=201, response_class=Response)
async def post_watch(body: NewWatch, centre: CentreDep, caller: Reader) -> Response:
    await _may(centre, caller)
    async with centre.records.write() as connection:
        made = await add_watch(connection, centre.settings, body.model_dump(), caller.who, caller.address)
    return JsonAnswer(asdict(made), 201)


@router.delete("/plates/watch/{number}", summary="Take a plate off the watch list", status_code=204)
async def delete_watch(number: Annotated[int, Path(ge=1, le=2**62)], centre: CentreDep, caller: Reader) -> Response:
    await _may(centre, caller)
    async with centre.records.write() as connection:
        await drop_watch(connection, number, caller.who, caller.address)
    return Response(status_code=204)


@router.post("/plates/lookup", summary="Where a plate was read", response_class=Response)
async def post_lookup(body: Question, centre: CentreDep, caller: Reader) -> Response:
    """Within the days that hashed readings are kept, at cameras the caller may see. The question stands in the audit
    log, with its legal basis, before it is answered."""
    await _may(centre, caller)
    policy = await policy_of(centre).current()
    within = policy.where(caller.who, "camera.view", RESOURCE)
    async with centre.records.write() as connection:
        found = await lookup(connection, centre.settings, body.plate, body.basis, caller.who, caller.address)
        seen = sa.select(things.c.id, things.c.name).join_from(things, cameras).where(within)
        names: dict[int, str] = {row.id: row.name for row in await connection.execute(seen)}
    items: list[dict[str, Any]] = [
        {"camera": names[one["thing_id"]], "time": one["time"], "confidence": round(one["confidence"], 3)}
        for one in found
        if one["thing_id"] in names
    ]
    return JsonAnswer({"items": items})


class CorridorBody(BaseModel):
    """A corridor to be set."""

    model_config = ConfigDict(extra="forbid")
    title: str = Field("", max_length=200, pattern=r"^[^\x00]*$")
    datastreams: list[Annotated[str, Field(max_length=257)]] = Field(min_length=1, max_length=MOST_DATASTREAMS)
    enabled: bool = True
    version: int = Field(0, ge=0, description="The version that the caller saw; 0 for a new one.")


class CorridorForecast(BaseModel):
    """What is expected, the same place in each list for the same time ahead."""

    made: int
    inputs_until: int = Field(description="End of the last five minutes it knows, µs.")
    minutes: list[int]
    value: list[float]
    low: list[float]
    high: list[float] = Field(description="Between low and high it lies four times in five.")
    persistence: list[float] = Field(description="The present value, for comparison.")
    usual: list[float] = Field(description="Mean of that time on earlier days, for comparison.")
    now: float
    free: float
    limit: float | None = Field(description="Under it the road is congested; null where flow is forecast.")
    property: str
    unit: str
    days: float = Field(description="Days of history it is made from.")


class CorridorShown(BaseModel):
    """A corridor and its newest forecast."""

    name: str
    title: str
    datastreams: list[str]
    enabled: bool
    version: int
    changed: int | None
    changed_by: str
    may_write: bool
    forecast: CorridorForecast | None


class CorridorList(BaseModel):
    items: list[CorridorShown]


class CorridorRuns(BaseModel):
    items: list[CorridorForecast]


def _present(centre: Centre, corridor: Corridor) -> list[DatastreamInfo]:
    live: Live = centre.parts["live"]
    known = {info.key: info for info in live.directory.registry.datastreams if info.key in corridor.datastreams}
    return [known[key] for key in corridor.datastreams if key in known]


def _members(centre: Centre, sight: Sight, corridor: Corridor) -> list[DatastreamInfo] | None:
    """Its datastreams; None where one is not there, or may not be seen: then the corridor is not shown."""
    found = _present(centre, corridor)
    return found if len(found) == len(corridor.datastreams) and all(map(sight.thing, found)) else None


def _forecast(kept: KeptForecast | None) -> CorridorForecast | None:
    return None if kept is None else CorridorForecast(made=kept.made, inputs_until=kept.inputs_until, **kept.body)


def _shown(sight: Sight, one: Corridor, members: list[DatastreamInfo], kept: KeptForecast | None) -> CorridorShown:
    return CorridorShown(
        name=one.name,
        title=one.title,
        datastreams=list(one.datastreams),
        enabled=one.enabled,
        version=one.version,
        changed=one.changed,
        changed_by=one.changed_by,
        may_write=all(sight.may("register.write", info.commune, info.domain) for info in members),
        forecast=_forecast(kept) if one.enabled else None,
    )


@router.get("/corridors", summary="Corridors with their newest forecast")
async def list_corridors(centre: CentreDep, caller: Onlooker) -> CorridorList:
    """Those whose datastreams the caller may see, all of them."""
    sight = await sight_of(centre, caller)
    async with centre.records.read() as connection:
        found, latest = await load_corridors(connection), await latest_forecasts(connection)
    seen = [(one, members) for one in found.values() if (members := _members(centre, sight, one)) is not None]
    return CorridorList(items=[_shown(sight, one, members, latest.get(one.name)) for one, members in seen])


@router.get("/corridors/{name}/forecasts", summary="Forecasts of a corridor as they were made")
async def list_forecasts(
    name: CorridorName,
    centre: CentreDep,
    caller: Onlooker,
    hours: Annotated[int, Query(ge=1, le=216, description="Back from the newest")] = 24,
) -> CorridorRuns:
    sight = await sight_of(centre, caller)
    async with centre.records.read() as connection:
        one = (await load_corridors(connection)).get(name)
        if one is None or _members(centre, sight, one) is None:
            raise NotFoundError(f"there is no corridor {name!r}", hint="/api/v1/traffic/corridors lists them")
        newest = (await latest_forecasts(connection)).get(name)
        runs = await forecast_runs(connection, name, newest.inputs_until - hours * HOUR_US) if newest else []
    return CorridorRuns(items=[made for run in runs if (made := _forecast(run)) is not None])


@router.put("/corridors/{name}", summary="Set a corridor")
async def put_corridor(name: CorridorName, body: CorridorBody, centre: CentreDep, caller: Writer) -> CorridorShown:
    """It holds from the next forecast on; `enabled` false ends it. An older version is refused (409)."""
    sight, policy = await sight_of(centre, caller), await policy_of(centre).current()
    wanted = Corridor(name, body.title, tuple(body.datastreams), body.enabled)
    members = _members(centre, sight, wanted)
    if members is None:
        raise NotFoundError("a datastream is not there, or may not be seen", where="datastreams")
    async with centre.records.write() as connection:
        before = (await load_corridors(connection)).get(name)
        for info in (*members, *(_present(centre, before) if before else ())):
            subject = Subject("corridor", (info.commune,), info.domain, info.thing)
            policy.check(caller.who, "register.write", subject, where=f"corridor {name}")
        made = await set_corridor(connection, wanted, version=body.version, by=caller.name, now=now_us())
        told = {
            "before": list(before.datastreams) if before else None,
            "datastreams": list(made.datastreams),
            "enabled": made.enabled,
            "version": made.version,
        }
        await append_async(connection, [Entry(caller.who, "corridor.set", f"corridor:{name}", told, caller.address)])
    await centre.bus.announce("centre.live.traffic", {"corridor": name, "by": caller.name})
    return _shown(sight, made, members, None)
