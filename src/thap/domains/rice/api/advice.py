"""/api/v1/rice: flights, sowing advice, risk."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from thap.domains.rice.advice import act_on_advice, advice_by_id, advice_of, draft_advice, flights_of, plan_for
from thap.domains.rice.api.bodies import ActBody, AdviceBody, PlanBody
from thap.domains.rice.api.parts import (
    Number,
    Plain,
    Reader,
    Row,
    Writer,
    acts_for,
    check_may,
    json_answer,
    lake_now,
    latest_catches,
    mine_by_zone,
    parameters_now,
    policy_now,
    subject_of,
    traps_of,
)
from thap.domains.rice.office import levels_of, near_peak
from thap.domains.rice.overview import risk_geojson, zone_risks
from thap.domains.rice.pests import STAGES
from thap.domains.rice.records import ADVICE, SURVEY, ZONE
from thap.domains.rice.registers import zone_by_code
from thap.domains.rice.risk import COLOURS, LEVELS
from thap.domains.rice.sowing import Plan
from thap.domains.rice.steps import Act, State, steps_of
from thap.domains.rice.traps import today
from thap.kernel.clock import now_us
from thap.kernel.errors import InputError
from thap.kernel.units import communes
from thap.web.answers import to_json
from thap.web.deps import Caller, Centre, CentreDep

__all__ = ["risk_layer", "router"]

router = APIRouter()


@router.get("/flights", summary="Flights of planthoppers", response_class=Response)
async def list_flights(
    centre: CentreDep, caller: Reader, zone: Plain = "", days: Annotated[int, Query(ge=1, le=2000)] = 120
) -> Response:
    where = (await policy_now(centre)).where(caller.who, "register.read", ZONE)
    async with centre.records.read() as connection:
        number = (await zone_by_code(connection, zone, where))["id"] if zone else None
        found = await flights_of(connection, where, since=today() - timedelta(days=days), zone_id=number)
    return json_answer({"items": found})


@router.get("/advice", summary="Sowing advice, the newest first", response_class=Response)
async def list_advice(
    centre: CentreDep, caller: Reader, state: Annotated[State | None, Query()] = None, zone: Plain = ""
) -> Response:
    policy = await policy_now(centre)
    where = policy.where(caller.who, "register.read", ADVICE)
    async with centre.records.read() as connection:
        number = None
        if zone:
            visible = policy.where(caller.who, "register.read", ZONE)
            number = (await zone_by_code(connection, zone, visible))["id"]
        found = await advice_of(connection, where, states=[str(state)] if state else (), zone_id=number)
    return json_answer({"items": [{**row, "may": acts_for(policy, caller, row, row["commune"])} for row in found]})


async def _plan(centre: Centre, zone: Row, peak: date, window: tuple[date, date] | None) -> tuple[Plan, Row | None]:
    parameters, day = await parameters_now(centre), today()
    levels = await levels_of(centre.records, await lake_now(centre), zone, parameters, day)
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
    where = (await policy_now(centre)).where(caller.who, "register.read", ZONE)
    async with centre.records.read() as connection:
        zone = await zone_by_code(connection, body.zone, where)
    plan, _ = await _plan(centre, zone, body.peak, _window(body.sow_from, body.sow_to))
    return json_answer(plan.as_dict())


@router.post("/advice", summary="Draft advice", status_code=201, response_class=Response)
async def begin_advice(body: PlanBody, centre: CentreDep, caller: Writer) -> Response:
    where = (await policy_now(centre)).where(caller.who, "register.read", ZONE)
    async with centre.records.read() as connection:
        zone = await zone_by_code(connection, body.zone, where)
    await check_may(centre, caller, "register.write", "advice", zone["commune"], f"zone {body.zone}")
    plan, flight = await _plan(centre, zone, body.peak, _window(body.sow_from, body.sow_to))
    async with centre.records.write() as connection:
        made = await draft_advice(
            connection, zone, plan, by=caller.who, now=now_us(), flight_id=flight["id"] if flight else None
        )
    return Response(to_json(made), 201, media_type="application/json")


@router.get("/advice/{number}", summary="One advice with its steps", response_class=Response)
async def read_advice(number: Number, centre: CentreDep, caller: Reader) -> Response:
    policy = await policy_now(centre)
    async with centre.records.read() as connection:
        row = await advice_by_id(connection, number, policy.where(caller.who, "register.read", ADVICE))
        steps = await steps_of(connection, "advice", number)
    return json_answer({**row, "may": acts_for(policy, caller, row, row["commune"]), "steps": steps})


@router.put("/advice/{number}", summary="Change the days of advice", response_class=Response)
async def edit_advice(number: Number, body: AdviceBody, centre: CentreDep, caller: Writer) -> Response:
    policy = await policy_now(centre)
    async with centre.records.read() as connection:
        row = await advice_by_id(connection, number, policy.where(caller.who, "register.read", ADVICE))
        zone = await zone_by_code(connection, row["zone"])
    policy.check(caller.who, "register.write", subject_of("advice", row["commune"]), where=f"advice {number}")
    plan, _ = await _plan(centre, zone, date.fromisoformat(row["peak"]), (body.sow_from, body.sow_to))
    reason = {str(key): text for key, text in body.reason.items()} if body.reason else None
    if reason is not None and not all(reason.get(key, "").strip() for key in ("vi", "en")):
        raise InputError("give the words in both languages", where="reason", hint="vi and en")
    async with centre.records.write() as connection:
        row = await advice_by_id(connection, number)
        made = await act_on_advice(
            connection, row, Act.EDIT, by=caller.who, now=now_us(), version=body.version, plan=plan, reason=reason
        )
    return json_answer(made)


@router.post("/advice/{number}/{act}", summary="Approve, return, publish or withdraw advice", response_class=Response)
async def act_advice(
    number: Number,
    act: Literal["approve", "return", "publish", "withdraw"],
    body: ActBody,
    centre: CentreDep,
    caller: Reader,
) -> Response:
    policy, step = await policy_now(centre), Act(act)
    async with centre.records.write() as connection:
        row = await advice_by_id(connection, number, policy.where(caller.who, "register.read", ADVICE))
        action = "register.write" if step is Act.WITHDRAW and row["state"] == State.DRAFT else "register.approve"
        policy.check(caller.who, action, subject_of("advice", row["commune"]), where=f"advice {number}")
        made = await act_on_advice(
            connection, row, step, by=caller.who, now=now_us(), version=body.version, comment=body.comment
        )
    return json_answer({**made, "may": acts_for(policy, caller, made, made["commune"])})


async def _risks(centre: Centre, caller: Caller, stage: str) -> list[Row]:
    policy, traps, day = await policy_now(centre), await traps_of(centre, caller), today()
    caught, mine = await latest_catches(centre, traps, day), await mine_by_zone(centre, traps)
    parameters = await parameters_now(centre)
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
    return json_answer({"day": today().isoformat(), "items": await _risks(centre, caller, stage)})


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
