"""/api/v1/rice: the overview, what forms choose from, zones, crops, and files of them."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Annotated, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response

from thap.domains.rice.api.bodies import Catalogue, ImportAnswer, Named
from thap.domains.rice.api.parts import (
    Plain,
    Reader,
    Surveyor,
    body_of,
    json_answer,
    latest_catches,
    mine_by_zone,
    parameters_now,
    policy_now,
    subject_of,
    tell,
    traps_of,
)
from thap.domains.rice.importing import Reading, read_file
from thap.domains.rice.overview import overview_of
from thap.domains.rice.pests import PESTS, STAGES
from thap.domains.rice.records import SURVEY, ZONE, crops
from thap.domains.rice.registers import Kept, crops_of, keep_registers, zone_by_code, zones_of
from thap.domains.rice.surveys import keep_surveys
from thap.domains.rice.traps import today
from thap.kernel.clock import now_us
from thap.kernel.errors import DeniedError
from thap.kernel.units import communes
from thap.web.deps import CentreDep
from thap.web.sight import store_of

__all__ = ["router"]

router = APIRouter()
_PREVIEW_ROWS = 200


@router.get("/overview", summary="Zones with flights, catches, windows, forecast and advice", response_class=Response)
async def read_overview(centre: CentreDep, caller: Reader) -> Response:
    policy, traps, day = await policy_now(centre), await traps_of(centre, caller), today()
    caught, mine, parameters = (
        await latest_catches(centre, traps, day),
        await mine_by_zone(centre, traps),
        await parameters_now(centre),
    )
    known = {name: row for name, row in caught.items() if row["value"] is not None}
    async with centre.records.read() as connection:
        where = policy.where(caller.who, "register.read", ZONE)
        said = policy.where(caller.who, "register.read", SURVEY)
        items = await overview_of(connection, where, mine, known, parameters, day, said)
    return json_answer({"day": day.isoformat(), "items": items})


@router.get("/catalogue", summary="What forms choose from")
async def read_catalogue(centre: CentreDep, caller: Reader) -> Catalogue:
    policy = await policy_now(centre)
    async with centre.records.read() as connection:
        known = await zones_of(connection, policy.where(caller.who, "register.read", ZONE))
    mine = [
        one for one in communes() if policy.decide(caller.who, "survey.write", subject_of("survey", one.code)).allowed
    ]
    return Catalogue(
        pests=[Named(key=one.key, title=dict(one.title), unit=one.unit) for one in PESTS.values()],
        stages=[Named(key=key, title={"vi": vi, "en": en}) for key, (vi, en, _) in STAGES.items()],
        zones=[{key: zone[key] for key in ("code", "name", "communes")} for zone in known],
        communes=[{"code": one.code, "title": one.title} for one in mine],
    )


@router.get("/zones", summary="Irrigation zones", response_class=Response)
async def list_zones(centre: CentreDep, caller: Reader) -> Response:
    where = (await policy_now(centre)).where(caller.who, "register.read", ZONE)
    async with centre.records.read() as connection:
        return json_answer({"items": await zones_of(connection, where)})


@router.get("/crops", summary="The crop calendar", response_class=Response)
async def list_crops(
    centre: CentreDep,
    caller: Reader,
    zone: Plain = "",
    standing: Annotated[bool, Query(description="Only what stands today.")] = False,
) -> Response:
    where = (await policy_now(centre)).where(caller.who, "register.read", ZONE)
    day = today()
    async with centre.records.read() as connection:
        if zone:
            where = sa.and_(where, crops.c.zone_id == (await zone_by_code(connection, zone, where))["id"])
        found = await crops_of(connection, where, standing=day if standing else None)
    return json_answer({"day": day.isoformat(), "items": found})


@router.post("/import/{kind}", summary="Look at a file, or keep what it says")
async def import_file(
    kind: Literal["zones", "crops", "surveys", "weather"],
    request: Request,
    centre: CentreDep,
    caller: Surveyor,
    name: Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$", description="What the file is called.")] = "file",
    keep: Annotated[bool, Query(description="false: say what would become of it.")] = False,
    day: Annotated[date | None, Query(description="Of a weekly report that names none.")] = None,
) -> ImportAnswer:
    """CSV or XLSX as the body. Rows that cannot be taken are told with line and column; the others are kept all the
    same. What is there already is not kept twice, so the same file may be sent again."""
    action = "survey.write" if kind == "surveys" else "register.write"
    policy = await policy_now(centre)
    if not policy.may_somewhere(caller.who, action):
        raise DeniedError(f"{caller.name!r} may not import {kind}", where=action)
    content = await body_of(request)
    reading = await asyncio.to_thread(read_file, kind, content, name, day=day)

    def may(unit: str) -> bool:
        return policy.decide(caller.who, action, subject_of(kind, unit)).allowed

    if not keep:
        return _import_answer(reading, None)
    now = now_us()
    if kind == "surveys":
        kept = await store_of(centre).transact(lambda tx: keep_surveys(tx, reading, by=caller.who, now=now, may=may))
    else:
        async with centre.records.write() as connection:
            kept = await keep_registers(connection, reading, by=caller.who, now=now, may=may)
    if kept.new or kept.changed:
        await tell(centre, kind)
    return _import_answer(reading, kept)


def _import_answer(reading: Reading, kept: Kept | None) -> ImportAnswer:
    faults = [*reading.faults, *(kept.faults if kept else ())]
    return ImportAnswer(
        kind=reading.kind,
        name=reading.name,
        read=reading.read,
        good=len(reading.rows),
        kept=kept is not None,
        new=kept.new if kept else 0,
        changed=kept.changed if kept else 0,
        same=kept.same if kept else 0,
        faults=[fault.as_dict() for fault in faults],
        unknown=list(reading.unknown),
        rows=reading.rows[:_PREVIEW_ROWS],
    )
