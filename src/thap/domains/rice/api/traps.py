"""/api/v1/rice/traps: light traps, their nights, corrected counts, pictures of insects."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import FileResponse

from thap.domains.rice.api.bodies import CountBody
from thap.domains.rice.api.parts import (
    Number,
    Plain,
    Reader,
    Surveyor,
    TrapName,
    check_may,
    json_answer,
    lake_now,
    latest_catches,
    policy_now,
    tell,
    trap_of,
    traps_of,
)
from thap.domains.rice.pests import PESTS
from thap.domains.rice.records import COUNT
from thap.domains.rice.registers import zones_of
from thap.domains.rice.traps import SPECIES, Trap, add_count, counts_of, nights_of, read_series, today, traps_by_zone
from thap.kernel.errors import NotFoundError
from thap.respond.incidents import attachments as files
from thap.web.answers import to_json
from thap.web.deps import Centre, CentreDep
from thap.web.sight import store_of

__all__ = ["router"]

router = APIRouter()
_PICTURES = ("image/jpeg", "image/png", "image/webp")


@router.get("/traps", summary="Light traps", response_class=Response)
async def list_traps(centre: CentreDep, caller: Reader) -> Response:
    traps, day = await traps_of(centre, caller), today()
    caught = await latest_catches(centre, traps, day)
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
    return json_answer({"items": items, "species": {pest: PESTS[pest].title for pest in SPECIES.values()}})


@router.get("/traps/{name}", summary="A trap's nights", response_class=Response)
async def read_trap(
    name: TrapName,
    centre: CentreDep,
    caller: Reader,
    species: Plain = "bph",
    days: Annotated[int, Query(ge=7, le=800)] = 60,
) -> Response:
    """Each night with what the trap sent, what a picture shows and what a person says; `value` is what holds."""
    trap = await trap_of(centre, caller, name)
    last = today() - timedelta(days=1)
    since = last - timedelta(days=days - 1)
    lake = await lake_now(centre)
    numbers = [number for number in (trap.species.get(species), trap.lamp, trap.battery) if number is not None]
    series = {} if lake is None else await asyncio.to_thread(read_series, lake, numbers, since, last)
    async with centre.records.read() as connection:
        counts = await counts_of(connection, trap=name, since=since)
    nights = nights_of(trap, species, series, counts, since, last)
    battery = series.get(trap.battery, {}) if trap.battery is not None else {}
    return json_answer(
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
    lake = await lake_now(centre)
    numbers = [trap.species[species]] if species in trap.species else []
    series = {} if lake is None else await asyncio.to_thread(read_series, lake, numbers, night, night)
    async with centre.records.read() as connection:
        counts = await counts_of(connection, trap=trap.name, since=night)
    return nights_of(trap, species, series, counts, night, night)[0].value


@router.post("/traps/{name}/counts", summary="Correct a count", status_code=201, response_class=Response)
async def correct_count(name: TrapName, body: CountBody, centre: CentreDep, caller: Surveyor) -> Response:
    """What the trap sent stays as it is; the person's count holds from now on, however late it is."""
    trap = await trap_of(centre, caller, name)
    await check_may(centre, caller, "survey.write", "trap", trap.commune, f"trap {name}")
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
    await tell(centre, "counts")
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
    trap = await trap_of(centre, caller, name)
    await check_may(centre, caller, "survey.write", "trap", trap.commune, f"trap {name}")
    if species not in trap.species:
        raise NotFoundError(f"{name} does not count {species[:40]}", where="species")
    kept = await files.keep(centre.settings, request.stream(), file or f"{name}-{night}", types=_PICTURES)
    path = files.path_of(centre.settings, kept, original=True)

    def look() -> dict[str, Any]:
        from thap.domains.rice.insects import count_insects, read_picture  # loads SciPy: not before it is needed

        picture = read_picture(path.read_bytes(), kept.name)
        return count_insects(picture, mm_per_px=None if sheet_mm is None else sheet_mm / picture.width).as_dict()

    async with centre.parts.setdefault("rice_pictures", asyncio.Semaphore(1)):  # each takes a core for seconds
        seen = await asyncio.to_thread(look)
    before = await _held(centre, trap, night, species)
    number = await store_of(centre).transact(
        lambda tx: files.record(tx, kept, caller.name[:64], "rice_trap", name[:64])
    )
    try:
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
    except BaseException:  # no picture stays that no count is of
        await asyncio.shield(store_of(centre).transact(lambda tx: files.forget(tx, [number])))
        raise
    await tell(centre, "counts")
    return Response(to_json({"id": made, **seen}), 201, media_type="application/json")


@router.get(
    "/counts/{number}/picture",
    summary="The picture a count is of",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {}}, "description": "The picture, without the place it tells."}},
)
async def read_picture_of(number: Number, centre: CentreDep, caller: Reader) -> Response:
    policy = await policy_now(centre)
    async with centre.records.read() as connection:
        where = policy.where(caller.who, "register.read", COUNT)
        found = await counts_of(connection, where, number=number)
    if not found or found[0]["attachment"] is None:
        raise NotFoundError(f"there is no picture of count {number}")
    kept = await files.one(centre.records, found[0]["attachment"])
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return FileResponse(files.path_of(centre.settings, kept), media_type=kept.type, headers=headers)
