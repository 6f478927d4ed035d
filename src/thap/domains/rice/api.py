"""/api/v1/rice: zones, crops, surveys, traps and their counts, flights, sowing advice, risk, bulletins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import FileResponse

from thap.domains.domain import domain
from thap.domains.parameter_records import load_parameters
from thap.domains.parameters import Parameters
from thap.domains.rice.advice import act_on_advice, advice_by_id, advice_of, draft_advice, flights_of, plan_for
from thap.domains.rice.api_bodies import (
    ActBody,
    AdviceBody,
    BulletinBegin,
    BulletinEdit,
    Catalogue,
    CorrectionBody,
    CountBody,
    ImportAnswer,
    Named,
    PlanBody,
    SurveyBody,
)
from thap.domains.rice.bulletins import (
    act_on_bulletin,
    approve_bulletin,
    archive_of,
    begin_bulletin,
    bulletin_by_id,
    bulletins_of,
    document_of,
    edit_bulletin,
    refresh_bulletin,
    week_named,
)
from thap.domains.rice.importing import Reading, read_file
from thap.domains.rice.office import levels_of, near_peak, open_lake
from thap.domains.rice.overview import overview_of, risk_geojson, zone_risks
from thap.domains.rice.parts import SUBJECT
from thap.domains.rice.pests import PESTS, STAGES, class_of
from thap.domains.rice.records import (
    ADVICE,
    BULLETIN,
    COUNT,
    DOMAIN_NAME,
    SURVEY,
    ZONE,
    bulletins,
    crops,
    surveys,
)
from thap.domains.rice.registers import Kept, crops_of, keep_registers, zone_by_code, zones_of
from thap.domains.rice.risk import COLOURS, LEVELS
from thap.domains.rice.sowing import Plan
from thap.domains.rice.steps import APPROVING, Act, State, allowed, steps_of
from thap.domains.rice.surveys import correct_survey, keep_surveys, surveys_of, week_of, write_survey
from thap.domains.rice.traps import (
    SPECIES,
    Trap,
    add_count,
    counts_of,
    load_traps,
    nights_of,
    read_series,
    today,
    traps_by_zone,
)
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.history.lake import Lake
from thap.kernel.policy import Policy, Subject
from thap.kernel.units import commune, communes
from thap.respond.incidents import attachments as files
from thap.web.answers import to_json
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.once import OnceDep
from thap.web.sight import store_of

__all__ = ["risk_layer", "router"]

router = APIRouter(prefix="/api/v1/rice", tags=["rice"])
Reader = Annotated[Caller, Depends(require("register.read"))]
Writer = Annotated[Caller, Depends(require("register.write"))]
Surveyor = Annotated[Caller, Depends(require("survey.write"))]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Code = Annotated[str, Path(max_length=32)]
TrapName = Annotated[str, Path(max_length=128)]
Plain = Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")]
Row = dict[str, Any]
_MOST_BYTES = 20 * 2**20
_PICTURES = ("image/jpeg", "image/png", "image/webp")
_PREVIEW_ROWS = 200
_TYPES = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


# What every route needs.


async def _policy(centre: Centre) -> Policy:
    return await policy_of(centre).current()


def _subject(kind: str, unit: str, thing: str = "") -> Subject:
    return Subject(kind, (unit,), DOMAIN_NAME, thing)


async def _check(centre: Centre, caller: Caller, action: str, kind: str, unit: str, where: str) -> None:
    (await _policy(centre)).check(caller.who, action, _subject(kind, unit), where=where)


async def _check_province(centre: Centre, caller: Caller, action: str) -> None:
    """Raise DeniedError unless the caller may do that to what is the whole province's."""
    if not (await _policy(centre)).decide(caller.who, action, _subject("register", "")).allowed:
        raise DeniedError(f"{caller.name!r} may not do this for the whole province", where=action)


async def _told(centre: Centre, what: str) -> None:
    await centre.bus.announce(SUBJECT, {"what": what})


async def _parameters(centre: Centre) -> Parameters:
    async with centre.records.read() as connection:
        return await load_parameters(connection, domain(DOMAIN_NAME))


async def _lake(centre: Centre) -> Lake | None:
    """The centre's history, shared with its other routes; None where there is none yet."""
    async with centre.parts.setdefault("lake_lock", asyncio.Lock()):
        if "lake" not in centre.parts:
            opened = await asyncio.to_thread(open_lake, centre.settings)
            if opened is None:
                return None
            centre.parts["lake"] = opened
    found: Lake = centre.parts["lake"]
    return found


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > _MOST_BYTES:
            raise InputError(f"a file has at most {_MOST_BYTES >> 20} MiB", where="body", hint="divide it")
    return bytes(content)


def _json(body: Any) -> Response:
    return Response(to_json(body), media_type="application/json")


async def _traps(centre: Centre, caller: Caller, name: str = "") -> list[Trap]:
    """Light traps the caller may see."""
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        found = await load_traps(connection, name=name)
    return [
        trap
        for trap in found
        if policy.decide(caller.who, "thing.read", _subject("thing", trap.commune, trap.name)).allowed
    ]


async def _trap(centre: Centre, caller: Caller, name: str) -> Trap:
    found = await _traps(centre, caller, name)
    if not found:
        raise NotFoundError(f"there is no light trap {name[:64]!r}", where="trap")
    return found[0]


async def _caught(centre: Centre, traps: list[Trap], day: date, pest: str = "bph") -> dict[str, Row]:
    """By trap: the newest count of the last three nights, and the highest of seven."""
    last = day - timedelta(days=1)
    lake = await _lake(centre)
    numbers = [trap.species[pest] for trap in traps if pest in trap.species]
    since = last - timedelta(days=6)
    series = {} if lake is None else await asyncio.to_thread(read_series, lake, numbers, since, day)
    async with centre.records.read() as connection:
        counts = await counts_of(connection, since=since)
    found: dict[str, Row] = {}
    for trap in traps:
        nights = [one for one in nights_of(trap, pest, series, counts, since, last) if one.value is not None]
        if nights:
            newest = nights[-1] if (last - nights[-1].night).days < 3 else None
            found[trap.name] = {
                "value": newest and newest.value,
                "night": newest and newest.night.isoformat(),
                "week": max(one.value or 0.0 for one in nights),
            }
    return found


async def _mine(centre: Centre, traps: list[Trap]) -> dict[int, list[Trap]]:
    async with centre.records.read() as connection:
        return traps_by_zone(await zones_of(connection), traps)


# Overview, catalogue, parameters.


@router.get("/overview", summary="Zones with flights, catches, windows, forecast and advice", response_class=Response)
async def read_overview(centre: CentreDep, caller: Reader) -> Response:
    policy, traps, day = await _policy(centre), await _traps(centre, caller), today()
    caught, mine, parameters = await _caught(centre, traps, day), await _mine(centre, traps), await _parameters(centre)
    known = {name: row for name, row in caught.items() if row["value"] is not None}
    async with centre.records.read() as connection:
        where = policy.where(caller.who, "register.read", ZONE)
        said = policy.where(caller.who, "register.read", SURVEY)
        items = await overview_of(connection, where, mine, known, parameters, day, said)
    return _json({"day": day.isoformat(), "items": items})


@router.get("/catalogue", summary="What forms choose from")
async def read_catalogue(centre: CentreDep, caller: Reader) -> Catalogue:
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        known = await zones_of(connection, policy.where(caller.who, "register.read", ZONE))
    mine = [
        one for one in communes() if policy.decide(caller.who, "survey.write", _subject("survey", one.code)).allowed
    ]
    return Catalogue(
        pests=[Named(key=one.key, title=dict(one.title), unit=one.unit) for one in PESTS.values()],
        stages=[Named(key=key, title={"vi": vi, "en": en}) for key, (vi, en, _) in STAGES.items()],
        zones=[{key: zone[key] for key in ("code", "name", "communes")} for zone in known],
        communes=[{"code": one.code, "title": one.title} for one in mine],
    )


# Zones and crops, and files of them.


@router.get("/zones", summary="Irrigation zones", response_class=Response)
async def list_zones(centre: CentreDep, caller: Reader) -> Response:
    where = (await _policy(centre)).where(caller.who, "register.read", ZONE)
    async with centre.records.read() as connection:
        return _json({"items": await zones_of(connection, where)})


@router.get("/crops", summary="The crop calendar", response_class=Response)
async def list_crops(
    centre: CentreDep,
    caller: Reader,
    zone: Plain = "",
    standing: Annotated[bool, Query(description="Only what stands today.")] = False,
) -> Response:
    where = (await _policy(centre)).where(caller.who, "register.read", ZONE)
    day = today()
    async with centre.records.read() as connection:
        if zone:
            where = sa.and_(where, crops.c.zone_id == (await zone_by_code(connection, zone, where))["id"])
        found = await crops_of(connection, where, standing=day if standing else None)
    return _json({"day": day.isoformat(), "items": found})


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
    policy = await _policy(centre)
    if not policy.may_somewhere(caller.who, action):
        raise DeniedError(f"{caller.name!r} may not import {kind}", where=action)
    content = await _body(request)
    reading = await asyncio.to_thread(read_file, kind, content, name, day=day)

    def may(unit: str) -> bool:
        return policy.decide(caller.who, action, _subject(kind, unit)).allowed

    if not keep:
        return _import_answer(reading, None)
    now = now_us()
    if kind == "surveys":
        kept = await store_of(centre).transact(lambda tx: keep_surveys(tx, reading, by=caller.who, now=now, may=may))
    else:
        async with centre.records.write() as connection:
            kept = await keep_registers(connection, reading, by=caller.who, now=now, may=may)
    if kept.new or kept.changed:
        await _told(centre, kind)
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


# Surveys.


@router.get("/surveys", summary="Field surveys, the newest first", response_class=Response)
async def list_surveys(
    centre: CentreDep,
    caller: Reader,
    week: Annotated[date | None, Query(description="A day of the week.")] = None,
    pest: Plain = "",
    commune: Plain = "",
    replaced: Annotated[bool, Query(description="Those that were corrected, too.")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")] = None,
) -> Response:
    where = (await _policy(centre)).where(caller.who, "register.read", SURVEY)
    parameters = await _parameters(centre)
    async with centre.records.read() as connection:
        found = await surveys_of(
            connection,
            where,
            week=None if week is None else week_named(week.isoformat()),
            pest=pest,
            commune=commune,
            replaced=replaced,
            before=after,
            limit=limit + 1,
        )
    items = [{**row, "class": _class(row, parameters)} for row in found[:limit]]
    return _json({"items": items, "next": items[-1]["id"] if len(found) > limit else None})


def _class(row: Row, parameters: Mapping[str, float]) -> str:
    worst = max((row[name] for name in ("common", "high", "exceptional") if row[name] is not None), default=None)
    return class_of(PESTS[row["pest"]], row["stage"], worst, parameters)


@router.get("/surveys/week", summary="What a week's surveys sum to", response_class=Response)
async def read_week(
    centre: CentreDep, caller: Reader, week: Annotated[date | None, Query(description="A day of it.")] = None
) -> Response:
    where = (await _policy(centre)).where(caller.who, "register.read", SURVEY)
    begin = week_named(week.isoformat() if week else "")
    async with centre.records.read() as connection:
        found = await week_of(connection, begin, where)
    return _json({"week": begin.isoformat(), "items": [{"pest": pest, **row} for pest, row in found.items()]})


@router.post("/surveys", summary="Send a field survey", status_code=201, response_class=Response)
async def add_survey(body: SurveyBody, centre: CentreDep, caller: Surveyor, once: OnceDep) -> Response:
    """Sent again with the same Idempotency-Key it is kept once, as from a phone whose line was lost."""

    async def check() -> None:
        await _check(centre, caller, "survey.write", "survey", body.commune, f"commune {body.commune}")

    commune(body.commune)
    await check()
    await once.begin(centre, caller, body, check)
    now, said = now_us(), {**body.model_dump(mode="json")}
    store = once.store(centre, caller, lambda number: {"id": number}, 201)
    number = await store.transact(
        lambda tx: write_survey(tx, said, by=caller.who, origin="form", source="form", now=now)
    )
    await _told(centre, "surveys")
    return Response(msgspec.json.encode({"id": number}), 201, media_type="application/json")


@router.post("/surveys/{number}/correct", summary="Correct a survey", status_code=201, response_class=Response)
async def correct(number: Number, body: CorrectionBody, centre: CentreDep, caller: Surveyor) -> Response:
    """The first one is kept, and says which took its place."""
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        where = sa.and_(surveys.c.id == number, policy.where(caller.who, "register.read", SURVEY))
        found = await surveys_of(connection, where, replaced=True, limit=1)
    if not found:
        raise NotFoundError(f"there is no survey {number}")
    commune(body.survey.commune)
    for unit in {found[0]["commune"], body.survey.commune}:
        policy.check(caller.who, "survey.write", _subject("survey", unit), where=f"survey {number}")
    now, said = now_us(), body.survey.model_dump(mode="json")
    made = await store_of(centre).transact(
        lambda tx: correct_survey(tx, number, said, body.reason, by=caller.who, now=now)
    )
    await _told(centre, "surveys")
    return Response(msgspec.json.encode({"id": made}), 201, media_type="application/json")


# Traps.


@router.get("/traps", summary="Light traps", response_class=Response)
async def list_traps(centre: CentreDep, caller: Reader) -> Response:
    traps, day = await _traps(centre, caller), today()
    caught = await _caught(centre, traps, day)
    async with centre.records.read() as connection:
        zones_ = await zones_of(connection)
    zone_of = {trap.name: zone["code"] for zone in zones_ for trap in traps_by_zone([zone], traps)[zone["id"]]}
    items = [
        {
            "name": trap.name,
            "title": trap.title,
            "commune": trap.commune,
            "zone": zone_of.get(trap.name, ""),
            "lon": trap.lon,
            "lat": trap.lat,
            "species": list(trap.species),
            **caught.get(trap.name, {"value": None, "night": None, "week": None}),
        }
        for trap in traps
    ]
    return _json({"items": items, "species": {pest: PESTS[pest].title for pest in SPECIES.values()}})


@router.get("/traps/{name}", summary="A trap's nights", response_class=Response)
async def read_trap(
    name: TrapName,
    centre: CentreDep,
    caller: Reader,
    species: Plain = "bph",
    days: Annotated[int, Query(ge=7, le=800)] = 60,
) -> Response:
    """Each night with what the trap sent, what a picture shows and what a person says; `value` is what holds."""
    trap = await _trap(centre, caller, name)
    last = today() - timedelta(days=1)
    since = last - timedelta(days=days - 1)
    lake = await _lake(centre)
    numbers = [number for number in (trap.species.get(species), trap.lamp, trap.battery) if number is not None]
    series = {} if lake is None else await asyncio.to_thread(read_series, lake, numbers, since, last)
    async with centre.records.read() as connection:
        counts = await counts_of(connection, trap=name, since=since)
    nights = nights_of(trap, species, series, counts, since, last)
    battery = series.get(trap.battery, {}) if trap.battery is not None else {}
    return _json(
        {
            "name": trap.name,
            "title": trap.title,
            "commune": trap.commune,
            "species": list(trap.species),
            "titles": {pest: PESTS[pest].title for pest in trap.species},
            "chosen": species,
            "battery_v": battery[max(battery)] if battery else None,
            "nights": [
                {
                    "night": one.night.isoformat(),
                    "value": one.value,
                    "sent": one.sent,
                    "picture": one.picture,
                    "person": one.person,
                    "lamp_hours": one.lamp_hours,
                    "counts": one.counts,
                }
                for one in reversed(nights)
            ],
        }
    )


async def _held(centre: Centre, trap: Trap, night: date, species: str) -> float | None:
    """The count of a night that holds so far."""
    lake = await _lake(centre)
    numbers = [trap.species[species]] if species in trap.species else []
    series = {} if lake is None else await asyncio.to_thread(read_series, lake, numbers, night, night)
    async with centre.records.read() as connection:
        counts = await counts_of(connection, trap=trap.name, since=night)
    return nights_of(trap, species, series, counts, night, night)[0].value


@router.post("/traps/{name}/counts", summary="Correct a count", status_code=201, response_class=Response)
async def correct_count(name: TrapName, body: CountBody, centre: CentreDep, caller: Surveyor) -> Response:
    """What the trap sent stays as it is; the person's count holds from now on, however late it is."""
    trap = await _trap(centre, caller, name)
    await _check(centre, caller, "survey.write", "trap", trap.commune, f"trap {name}")
    before = await _held(centre, trap, body.night, body.species)
    async with centre.records.write() as connection:
        number = await add_count(
            connection,
            trap,
            body.night,
            body.species,
            body.value,
            origin="person",
            before=before,
            by=caller.who,
            reason=body.reason,
        )
    await _told(centre, "counts")
    return Response(to_json({"id": number, "before": before}), 201, media_type="application/json")


@router.post(
    "/traps/{name}/picture",
    summary="Count the insects on a picture",
    status_code=201,
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def count_picture(
    name: TrapName,
    request: Request,
    centre: CentreDep,
    caller: Surveyor,
    night: Annotated[date, Query(ge=date(2000, 1, 1), le=date(2100, 1, 1), description="The evening it began on.")],
    species: Plain = "bph",
    sheet_mm: Annotated[
        float | None, Query(ge=20, le=5000, description="Width of the sheet that fills the picture, mm.")
    ] = None,
    file: Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$", description="What the picture is called.")] = "",
) -> Response:
    """The picture as the body. It is kept as evidence; its count holds until the trap or a person says otherwise."""
    trap = await _trap(centre, caller, name)
    await _check(centre, caller, "survey.write", "trap", trap.commune, f"trap {name}")
    if species not in trap.species:
        raise NotFoundError(f"{name} does not count {species[:40]}", where="species")
    kept = await files.keep(centre.settings, request.stream(), file or f"{name}-{night}", types=_PICTURES)
    path = files.path_of(centre.settings, kept, original=True)

    def look() -> dict[str, Any]:
        from thap.domains.rice.insects import count_insects, read_picture  # loads SciPy: not before it is needed

        picture = read_picture(path.read_bytes(), kept.name)
        return count_insects(picture, mm_per_px=None if sheet_mm is None else sheet_mm / picture.width).as_dict()

    seen = await asyncio.to_thread(look)
    before = await _held(centre, trap, night, species)
    number = await store_of(centre).transact(
        lambda tx: files.record(tx, kept, caller.name[:64], "rice_trap", name[:64])
    )
    async with centre.records.write() as connection:
        made = await add_count(
            connection,
            trap,
            night,
            species,
            seen["count"],
            origin="image",
            before=before,
            by=caller.who,
            detail={**seen, "sha256": kept.sha256},
            attachment=number,
        )
    await _told(centre, "counts")
    return Response(to_json({"id": made, **seen}), 201, media_type="application/json")


@router.get(
    "/counts/{number}/picture",
    summary="The picture a count is of",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {}}, "description": "The picture, without the place it tells."}},
)
async def read_picture_of(number: Number, centre: CentreDep, caller: Reader) -> Response:
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        where = policy.where(caller.who, "register.read", COUNT)
        found = await counts_of(connection, where, number=number)
    if not found or found[0]["attachment"] is None:
        raise NotFoundError(f"there is no picture of count {number}")
    kept = await files.one(centre.records, found[0]["attachment"])
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return FileResponse(files.path_of(centre.settings, kept), media_type=kept.type, headers=headers)


# Flights, advice, risk.


@router.get("/flights", summary="Flights of planthoppers", response_class=Response)
async def list_flights(
    centre: CentreDep, caller: Reader, zone: Plain = "", days: Annotated[int, Query(ge=1, le=2000)] = 120
) -> Response:
    where = (await _policy(centre)).where(caller.who, "register.read", ZONE)
    async with centre.records.read() as connection:
        number = (await zone_by_code(connection, zone, where))["id"] if zone else None
        found = await flights_of(connection, where, since=today() - timedelta(days=days), zone_id=number)
    return _json({"items": found})


@router.get("/advice", summary="Sowing advice, the newest first", response_class=Response)
async def list_advice(
    centre: CentreDep, caller: Reader, state: Annotated[State | None, Query()] = None, zone: Plain = ""
) -> Response:
    policy = await _policy(centre)
    where = policy.where(caller.who, "register.read", ADVICE)
    async with centre.records.read() as connection:
        number = None
        if zone:
            visible = policy.where(caller.who, "register.read", ZONE)
            number = (await zone_by_code(connection, zone, visible))["id"]
        found = await advice_of(connection, where, states=[str(state)] if state else (), zone_id=number)
    return _json({"items": [{**row, "may": _may(policy, caller, row, row["commune"])} for row in found]})


def _may(policy: Policy, caller: Caller, row: Row, unit: str) -> list[str]:
    """What the caller can do to advice or a bulletin now."""
    writes = policy.decide(caller.who, "register.write", _subject("register", unit)).allowed
    approves = policy.decide(caller.who, "register.approve", _subject("register", unit)).allowed
    found = []
    for act in (Act.EDIT, Act.APPROVE, Act.RETURN, Act.PUBLISH, Act.WITHDRAW):
        needs = approves if act in APPROVING or row["state"] != State.DRAFT else writes
        if needs and allowed(State(row["state"]), act) is not None:
            found.append(str(act))
    return found


async def _plan(centre: Centre, zone: Row, peak: date, window: tuple[date, date] | None) -> tuple[Plan, Row | None]:
    parameters, day = await _parameters(centre), today()
    levels = await levels_of(centre.records, await _lake(centre), zone, parameters, day)
    async with centre.records.read() as connection:
        near = near_peak(await flights_of(connection, zone_id=zone["id"]), peak)
        highest = near[0]["highest"] if near else None
        plan = await plan_for(connection, zone, peak, parameters, levels, today=day, window=window, highest=highest)
    return plan, near[0] if near else None


def _window(begin: date | None, end: date | None) -> tuple[date, date] | None:
    if begin is None and end is None:
        return None
    if begin is None or end is None:
        raise InputError("a window has a first and a last day", where="sow_to" if end is None else "sow_from")
    return begin, end


@router.post("/advice/plan", summary="What a window would mean", response_class=Response)
async def try_plan(body: PlanBody, centre: CentreDep, caller: Reader) -> Response:
    """Nothing is kept."""
    where = (await _policy(centre)).where(caller.who, "register.read", ZONE)
    async with centre.records.read() as connection:
        zone = await zone_by_code(connection, body.zone, where)
    plan, _ = await _plan(centre, zone, body.peak, _window(body.sow_from, body.sow_to))
    return _json(plan.as_dict())


@router.post("/advice", summary="Draft advice", status_code=201, response_class=Response)
async def begin_advice(body: PlanBody, centre: CentreDep, caller: Writer) -> Response:
    where = (await _policy(centre)).where(caller.who, "register.read", ZONE)
    async with centre.records.read() as connection:
        zone = await zone_by_code(connection, body.zone, where)
    await _check(centre, caller, "register.write", "advice", zone["commune"], f"zone {body.zone}")
    plan, flight = await _plan(centre, zone, body.peak, _window(body.sow_from, body.sow_to))
    async with centre.records.write() as connection:
        made = await draft_advice(
            connection, zone, plan, by=caller.who, now=now_us(), flight_id=flight["id"] if flight else None
        )
    return Response(to_json(made), 201, media_type="application/json")


@router.get("/advice/{number}", summary="One advice with its steps", response_class=Response)
async def read_advice(number: Number, centre: CentreDep, caller: Reader) -> Response:
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        row = await advice_by_id(connection, number, policy.where(caller.who, "register.read", ADVICE))
        steps = await steps_of(connection, "advice", number)
    return _json({**row, "may": _may(policy, caller, row, row["commune"]), "steps": steps})


@router.put("/advice/{number}", summary="Change the days of advice", response_class=Response)
async def edit_advice(number: Number, body: AdviceBody, centre: CentreDep, caller: Writer) -> Response:
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        row = await advice_by_id(connection, number, policy.where(caller.who, "register.read", ADVICE))
        zone = await zone_by_code(connection, row["zone"])
    policy.check(caller.who, "register.write", _subject("advice", row["commune"]), where=f"advice {number}")
    plan, _ = await _plan(centre, zone, date.fromisoformat(row["peak"]), (body.sow_from, body.sow_to))
    reason = {str(key): text for key, text in body.reason.items()} if body.reason else None
    if reason is not None and not all(reason.get(key, "").strip() for key in ("vi", "en")):
        raise InputError("give the words in both languages", where="reason", hint="vi and en")
    async with centre.records.write() as connection:
        row = await advice_by_id(connection, number)
        made = await act_on_advice(
            connection, row, Act.EDIT, by=caller.who, now=now_us(), version=body.version, plan=plan, reason=reason
        )
    return _json(made)


@router.post("/advice/{number}/{act}", summary="Approve, return, publish or withdraw advice", response_class=Response)
async def act_advice(
    number: Number,
    act: Literal["approve", "return", "publish", "withdraw"],
    body: ActBody,
    centre: CentreDep,
    caller: Reader,
) -> Response:
    policy, step = await _policy(centre), Act(act)
    async with centre.records.write() as connection:
        row = await advice_by_id(connection, number, policy.where(caller.who, "register.read", ADVICE))
        action = "register.write" if step is Act.WITHDRAW and row["state"] == State.DRAFT else "register.approve"
        policy.check(caller.who, action, _subject("advice", row["commune"]), where=f"advice {number}")
        made = await act_on_advice(
            connection, row, step, by=caller.who, now=now_us(), version=body.version, comment=body.comment
        )
    return _json({**made, "may": _may(policy, caller, made, made["commune"])})


async def _risks(centre: Centre, caller: Caller, stage: str) -> list[Row]:
    policy, traps, day = await _policy(centre), await _traps(centre, caller), today()
    caught, mine = await _caught(centre, traps, day), await _mine(centre, traps)
    parameters = await _parameters(centre)
    if stage and stage not in STAGES:
        raise InputError(f"{stage[:40]!r} is no stage", where="stage", hint=f"one of {', '.join(STAGES)}")
    async with centre.records.read() as connection:
        return await zone_risks(
            connection,
            policy.where(caller.who, "register.read", ZONE),
            mine,
            caught,
            parameters,
            day,
            stage,
            policy.where(caller.who, "register.read", SURVEY),
        )


@router.get("/risk", summary="The risk of each commune", response_class=Response)
async def read_risk(centre: CentreDep, caller: Reader, stage: Plain = "") -> Response:
    return _json({"day": today().isoformat(), "items": await _risks(centre, caller, stage)})


@router.get(
    "/risk.geojson",
    summary="The risk map",
    response_class=Response,
    responses={200: {"content": {"application/geo+json": {}}, "description": "A FeatureCollection"}},
)
async def read_risk_map(centre: CentreDep, caller: Reader, stage: Plain = "") -> Response:
    """Communes with an outline; `level` is none, low, watch or high."""
    risks = await _risks(centre, caller, stage)
    titles = {one.code: one.title for one in communes()}
    async with centre.records.read() as connection:
        body = await risk_geojson(connection, risks, titles)
    return Response(to_json(body), media_type="application/geo+json")


async def risk_layer(centre: Centre, caller: Caller) -> Row:
    """The risk map as a layer: communes at a level above none, each in its level's colour."""
    risks = [one for one in await _risks(centre, caller, "") if one["level"] != LEVELS[0]]
    titles = {one.code: one.title for one in communes()}
    async with centre.records.read() as connection:
        body = await risk_geojson(connection, risks, titles)
    for feature in body["features"]:
        feature["properties"]["colour"] = COLOURS[LEVELS.index(feature["properties"]["level"])]
    return body


# Bulletins.


async def _bulletin_where(centre: Centre, caller: Caller) -> sa.ColumnElement[bool]:
    """Bulletins the caller may see: all for whoever reads the province's, else those that were published."""
    policy = await _policy(centre)
    return sa.or_(policy.where(caller.who, "register.read", BULLETIN), bulletins.c.state == str(State.PUBLISHED))


def _bulletin_may(policy: Policy, caller: Caller, row: Row) -> list[str]:
    return [act for act in _may(policy, caller, row, "") if act != Act.RETURN]


@router.get("/bulletins", summary="Weekly bulletins, the newest first", response_class=Response)
async def list_bulletins(
    centre: CentreDep,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")] = None,
) -> Response:
    async with centre.records.read() as connection:
        where = await _bulletin_where(centre, caller)
        found = await bulletins_of(connection, where, limit=limit + 1, before=after)
    items = [{key: value for key, value in row.items() if key not in ("content", "data")} for row in found[:limit]]
    return _json({"items": items, "next": items[-1]["id"] if len(found) > limit else None})


@router.post("/bulletins", summary="Draft the bulletin of a week", status_code=201, response_class=Response)
async def start_bulletin(body: BulletinBegin, centre: CentreDep, caller: Writer) -> Response:
    await _check_province(centre, caller, "register.write")
    week = week_named(body.week.isoformat() if body.week else "")
    made = await begin_bulletin(centre.records, await _lake(centre), week, by=caller.who, now=now_us())
    return Response(to_json(made), 201, media_type="application/json")


@router.get("/bulletins/{number}", summary="One bulletin with its steps", response_class=Response)
async def read_bulletin(number: Number, centre: CentreDep, caller: Reader) -> Response:
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        row = await bulletin_by_id(connection, number, await _bulletin_where(centre, caller))
        steps = await steps_of(connection, "bulletin", number)
    return _json({**row, "may": _bulletin_may(policy, caller, row), "steps": steps})


@router.put("/bulletins/{number}", summary="Change the words of a bulletin", response_class=Response)
async def put_bulletin(number: Number, body: BulletinEdit, centre: CentreDep, caller: Writer) -> Response:
    await _check_province(centre, caller, "register.write")
    made = await edit_bulletin(centre.records, number, body.content, by=caller.who, now=now_us(), version=body.version)
    return _json(made)


@router.post("/bulletins/{number}/{act}", summary="Refresh, approve, publish or withdraw", response_class=Response)
async def act_bulletin(
    number: Number,
    act: Literal["refresh", "approve", "publish", "withdraw"],
    body: ActBody,
    centre: CentreDep,
    caller: Reader,
) -> Response:
    """Approving makes the snapshot, the PDF and the DOCX, which are never made again."""
    async with centre.records.read() as connection:
        row = await bulletin_by_id(connection, number, await _bulletin_where(centre, caller))
    draft = row["state"] == State.DRAFT and act in ("refresh", "withdraw")
    await _check_province(centre, caller, "register.write" if draft else "register.approve")
    given: dict[str, Any] = {"by": caller.who, "now": now_us(), "version": body.version}
    if act == "refresh":
        made = await refresh_bulletin(centre.records, await _lake(centre), number, **given)
    elif act == "approve":
        made = await approve_bulletin(centre.records, number, comment=body.comment, **given)
    else:
        made = await act_on_bulletin(centre.records, number, Act(act), comment=body.comment, **given)
    return _json({**made, "may": _bulletin_may(await _policy(centre), caller, made)})


@router.get(
    "/bulletins/{number}/document.{kind}",
    summary="The bulletin as a document",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}, "description": "PDF or DOCX."}},
)
async def read_document(number: Number, kind: Literal["pdf", "docx"], centre: CentreDep, caller: Reader) -> Response:
    """What was approved, as it was made then; of a draft, as it would be now."""
    body = await document_of(centre.records, number, kind, await _bulletin_where(centre, caller))
    async with centre.records.write() as connection:
        entry = Entry(caller.who, "export", f"rice_bulletin:{number}", {"what": kind}, caller.address)
        await append_async(connection, [entry])
    headers = {"Content-Disposition": f'attachment; filename="bulletin-{number}.{kind}"'}
    return Response(body, media_type=_TYPES[kind], headers=headers)


@router.get(
    "/bulletins/{number}/archive.json",
    summary="What was approved, with its data",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}, "description": "Canonical JSON; its SHA-256 is the ETag."}},
)
async def read_archive(number: Number, centre: CentreDep, caller: Reader) -> Response:
    body, digest = await archive_of(centre.records, number, await _bulletin_where(centre, caller))
    return Response(body, media_type="application/json", headers={"ETag": f'"{digest}"'})
