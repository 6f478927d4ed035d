"""/api/v1/duty, /escalation: who is on duty, what they hand over, and who is told when nobody acts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.clock import DAY_US, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.policy import Policy, Resource, Subject
from thap.kernel.policy.people import check_on_hand, check_role
from thap.kernel.units import PROVINCE_CODE
from thap.respond.duty.book import DutyBook
from thap.respond.duty.model import Handover, Rota, Shift, Stint
from thap.respond.escalation.book import EscalationBook
from thap.respond.escalation.chains import choose
from thap.respond.escalation.model import Chain, Escalation, ReachedStep, Step, Suppression
from thap.respond.escalation.records import escalations
from thap.respond.incidents.sources import having_to_do_with
from thap.web.api.alarms import documented
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.sight import store_of

__all__ = ["duty_of", "escalation_of", "router"]

T = TypeVar("T")
router = APIRouter(prefix="/api/v1", tags=["duty"])
Reader = Annotated[Caller, Depends(require("duty.read"))]
Writer = Annotated[Caller, Depends(require("duty.write"))]
Name = Annotated[str, Path(max_length=64)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
BigNumber = Annotated[int, Path(ge=1, le=2**63 - 1)]
Code = Annotated[str, Field(max_length=32, pattern=r"^[a-z0-9_-]*$")]
Login = Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")]
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Moment = int | Annotated[str, Field(max_length=64)]
UnitAsked = Annotated[str | None, Query(max_length=32, description="Only this unit; '82' is the province.")]
_US_MAX = 4_102_444_800_000_000


class OnDuty(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on duty."""

    at: int
    items: list[Stint]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on duty between two times."""

    since: int
    until: int
    items: list[Stint]


class Rotas(msgspec.Struct, frozen=True, kw_only=True):
    """Rotas in force."""

    items: list[Rota]


class Handovers(msgspec.Struct, frozen=True, kw_only=True):
    """Hand-overs, the newest first."""

    items: list[Handover]


class Chains(msgspec.Struct, frozen=True, kw_only=True):
    """Chains by name."""

    items: list[Chain]


class Suppressions(msgspec.Struct, frozen=True, kw_only=True):
    """Suppressions in force."""

    items: list[Suppression]


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """Who would be told by a chain now, step by step."""

    chain: str
    """Its name; '' where steps were given."""
    steps: list[ReachedStep]


class Escalations(msgspec.Struct, frozen=True, kw_only=True):
    """Chains at work, the newest first."""

    items: list[Escalation]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RotaGiven(_Given):
    """A rota as it shall be."""

    title: Line = ""
    unit: Code = PROVINCE_CODE
    role: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z_]+$")]
    rule: str = Field(max_length=300, description="RFC 5545, as FREQ=DAILY;BYHOUR=7,19; hours are Việt Nam's.")
    start: Moment = Field(description="The first turn is at the rule's first time from here on.")
    length: str = Field(max_length=20, description="How long one turn lasts, as 12h.")
    turns: list[Annotated[list[Login], Field(max_length=50)]] = Field(min_length=1, max_length=100)
    version: int | None = Field(None, ge=0, description="Refused with 409 where it changed since.")


class ShiftGiven(_Given):
    """Somebody on duty for a time."""

    unit: Code = PROVINCE_CODE
    role: Annotated[str, Field(max_length=32, pattern=r"^[a-z_]*$")] = ""
    login: Login = Field("", description="Who; '' is nobody, on a rota.")
    start: Moment
    until: Moment
    rota: Code = Field("", description="The rota it overrides; unit and role are then the rota's.")
    instead_of: Login = Field("", description="Whom of the rota's turn it replaces; '' is all.")
    note: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] = ""


class HandoverGiven(_Given):
    """What those who go tell those who come."""

    unit: Code = PROVINCE_CODE
    role: Annotated[str, Field(max_length=32, pattern=r"^[a-z_]*$")] = "operator"
    to: Login = ""
    note: Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]


class StepGiven(_Given):
    """Whom to tell, and how long to wait."""

    to: list[Annotated[str, Field(max_length=500)]] = Field(min_length=1, max_length=30)
    wait: str = Field(max_length=20, description="How long before the next step, as 15m.")
    times: int = Field(1, ge=1, le=20)
    urgent: bool | None = None


class ChainGiven(_Given):
    """A chain as it shall be."""

    title: Line = ""
    domain: Code = ""
    unit: Code | None = None
    severity: int = Field(1, ge=1, le=4)
    steps: list[StepGiven] = Field(min_length=1, max_length=20)
    rounds: int = Field(1, ge=1, le=20)
    enabled: bool = True
    version: int | None = Field(None, ge=0, description="Refused with 409 where it changed since; 0 for a new one.")


class ReachAsked(_Given):
    """An incident that might be, and the steps to try on it."""

    steps: list[StepGiven] | None = Field(
        None, max_length=20, description="By default those of the chain that such an incident would begin."
    )
    unit: Code = PROVINCE_CODE
    commune: Code = ""
    domain: Code = ""
    severity: int = Field(3, ge=1, le=4)
    owner: Login = ""


class SuppressionGiven(_Given):
    """When chains do not begin."""

    title: Line
    domain: Code = ""
    unit: Code | None = None
    severity: int = Field(3, ge=1, le=3)
    rule: str = Field("", max_length=300)
    start: Moment
    length: str = Field(max_length=20)


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def duty_of(centre: Centre) -> DutyBook:
    """The duty book of this process, made at first use."""
    found: DutyBook | None = centre.parts.get("duty")
    if found is None:
        found = centre.parts["duty"] = DutyBook(centre.records, store_of(centre))
    return found


def escalation_of(centre: Centre) -> EscalationBook:
    """The book of escalation of this process, made at first use."""
    found: EscalationBook | None = centre.parts.get("escalation")
    if found is None:
        found = centre.parts["escalation"] = EscalationBook(centre.records, store_of(centre))
    return found


def _us(value: int | str, where: str) -> int:
    moment = value if isinstance(value, int) else parse_time_us(value)
    if not 0 <= moment < _US_MAX:
        raise InputError("not a time of this age", where=where)
    return moment


def _check(policy: Policy, caller: Caller, unit: str, action: str = "duty.write", domain: str = "") -> None:
    policy.check(caller.who, action, Subject("duty", (unit or PROVINCE_CODE,), domain), where=unit or PROVINCE_CODE)


def _within(policy: Policy, caller: Caller, items: Iterable[T], action: str = "duty.read") -> list[T]:
    """Those of the units the caller may see."""
    units = policy.units(caller.who, action)
    return [one for one in items if units is None or one.unit in units]  # type: ignore[attr-defined]


def _check_reach(policy: Policy, caller: Caller, asked: ReachAsked) -> None:
    """Who may not read duty everywhere asks of their own units alone, and of nobody by name.

    Raises:
        DeniedError: a step names another unit, or a person.
    """
    units = policy.units(caller.who, "duty.read")
    if units is None:
        return
    named = {asked.commune}
    for to in (to for step in asked.steps or () for to in step.to):
        kind, _, whom = to.partition(":")
        if kind in ("duty", "role"):
            named.add(whom.partition("/")[0] or PROVINCE_CODE)
        elif kind == "person" and whom != "$owner":
            named.add(to)
    for unit in sorted(named - {"", "$unit", "$commune"}):
        if unit not in units:
            raise DeniedError(f"{caller.name!r} may not ask who would be reached at {unit}", where="steps")
    if asked.owner:
        raise DeniedError(f"{caller.name!r} may not ask how a person would be reached", where="owner")


async def _told(centre: Centre, what: str, name: object) -> None:
    await centre.bus.announce("centre.live.duty", {"what": what, "name": name})


# ---- who is on duty


@router.get("/duty", summary="Who is on duty now, or at a time", responses=documented(OnDuty), response_class=Response)
async def read_duty(
    centre: CentreDep,
    caller: Reader,
    unit: UnitAsked = None,
    at: Annotated[str | None, Query(max_length=64, description="Moment; now by default.")] = None,
) -> Response:
    moment = now_us() if at is None else _us(at, "at")
    found = await duty_of(centre).on_duty(moment, unit)
    return _json(OnDuty(at=moment, items=_within(await policy_of(centre).current(), caller, found)))


@router.get(
    "/duty/plan", summary="Who is on duty between two times", responses=documented(Plan), response_class=Response
)
async def read_plan(
    centre: CentreDep,
    caller: Reader,
    unit: UnitAsked = None,
    since: Annotated[str | None, Query(max_length=64, description="By default now.")] = None,
    until: Annotated[str | None, Query(max_length=64, description="By default a week later.")] = None,
) -> Response:
    low = now_us() if since is None else _us(since, "since")
    high = low + 7 * DAY_US if until is None else _us(until, "until")
    found = await duty_of(centre).plan(low, high, unit)
    return _json(Plan(since=low, until=high, items=_within(await policy_of(centre).current(), caller, found)))


@router.get("/duty/rotas", summary="Rotas in force", responses=documented(Rotas), response_class=Response)
async def read_rotas(centre: CentreDep, caller: Reader, unit: UnitAsked = None) -> Response:
    found = await duty_of(centre).rotas(unit)
    return _json(Rotas(items=_within(await policy_of(centre).current(), caller, found)))


@router.get("/duty/rotas/{name}", summary="One rota", responses=documented(Rota), response_class=Response)
async def read_rota(centre: CentreDep, caller: Reader, name: Name) -> Response:
    return _json(await _rota(centre, caller, name, "duty.read"))


async def _rota(centre: Centre, caller: Caller, name: str, action: str) -> Rota:
    rota = await duty_of(centre).rota(name)
    units = (await policy_of(centre).current()).units(caller.who, "duty.read")
    if units is not None and rota.unit not in units:
        raise NotFoundError(f"there is no rota {name!r}", hint="`thap duty rotas` lists them")
    _check(await policy_of(centre).current(), caller, rota.unit, action)
    return rota


@router.put("/duty/rotas/{name}", summary="Make or change a rota", responses=documented(Rota), response_class=Response)
async def put_rota(centre: CentreDep, caller: Writer, name: Name, given: RotaGiven) -> Response:
    _check(await policy_of(centre).current(), caller, given.unit)
    for one in await duty_of(centre).rotas():
        if one.name == name:
            _check(await policy_of(centre).current(), caller, one.unit)
    await _check_people(centre, (login for turn in given.turns for login in turn), "turns", given.role)
    rota = Rota(
        name=name,
        title=given.title,
        unit=given.unit,
        role=given.role,
        rule=given.rule,
        start=_us(given.start, "start"),
        length_us=parse_duration_us(given.length),
        turns=given.turns,
    )
    made = await duty_of(centre).put_rota(rota, caller.name, given.version)
    await _told(centre, "rota", name)
    return _json(made)


@router.delete("/duty/rotas/{name}", summary="End a rota", responses=documented(Rota), response_class=Response)
async def end_rota(
    centre: CentreDep, caller: Writer, name: Name, version: Annotated[int | None, Query(ge=0)] = None
) -> Response:
    await _rota(centre, caller, name, "duty.write")
    ended = await duty_of(centre).end_rota(name, caller.name, version)
    await _told(centre, "rota", name)
    return _json(ended)


@router.post("/duty/shifts", summary="Put somebody on duty", responses=documented(Shift), response_class=Response)
async def add_shift(centre: CentreDep, caller: Writer, given: ShiftGiven) -> Response:
    unit = given.unit
    if given.rota:
        unit = (await _rota(centre, caller, given.rota, "duty.write")).unit
    _check(await policy_of(centre).current(), caller, unit)
    await _check_people(centre, [given.login], "login", given.role)
    shift = Shift(
        unit=unit,
        role=given.role,
        login=given.login.strip(),
        start=_us(given.start, "start"),
        until=_us(given.until, "until"),
        rota=given.rota,
        instead_of=given.instead_of,
        note=given.note,
    )
    made = await duty_of(centre).add_shift(shift, caller.name)
    await _told(centre, "shift", made.id)
    return _json(made)


@router.delete(
    "/duty/shifts/{number}", summary="Take a shift back", responses=documented(Shift), response_class=Response
)
async def remove_shift(centre: CentreDep, caller: Writer, number: BigNumber) -> Response:
    units = (await policy_of(centre).current()).units(caller.who, "duty.write")
    removed = await duty_of(centre).remove_shift(number, caller.name, units)
    await _told(centre, "shift", number)
    return _json(removed)


# ---- hand-over


@router.get("/duty/handovers", summary="Hand-overs", responses=documented(Handovers), response_class=Response)
async def read_handovers(
    centre: CentreDep,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only older ones than this number.")] = None,
) -> Response:
    units = (await policy_of(centre).current()).units(caller.who, "duty.read")
    found = await duty_of(centre).handovers(None if units is None else sorted(units), limit, before)
    return _json(Handovers(items=found))


@router.post("/duty/handovers", summary="Hand over", responses=documented(Handover), response_class=Response)
async def hand_over(centre: CentreDep, caller: Reader, given: HandoverGiven) -> Response:
    _check(await policy_of(centre).current(), caller, given.unit, "incident.work")
    made = await duty_of(centre).hand_over(
        Handover(unit=given.unit, role=given.role, time=0, from_login=caller.name, to_login=given.to, note=given.note)
    )
    await _told(centre, "handover", made.id)
    return _json(made)


@router.post(
    "/duty/handovers/{number}/take", summary="Take over", responses=documented(Handover), response_class=Response
)
async def take_over(centre: CentreDep, caller: Reader, number: BigNumber) -> Response:
    units = (await policy_of(centre).current()).units(caller.who, "incident.work")
    taken = await duty_of(centre).take_over(number, caller.name, units)
    await _told(centre, "handover", number)
    return _json(taken)


# ---- escalation


@router.get("/escalation/chains", summary="Chains", responses=documented(Chains), response_class=Response)
async def read_chains(centre: CentreDep, caller: Reader) -> Response:
    units = (await policy_of(centre).current()).units(caller.who, "duty.read")
    found = await escalation_of(centre).chains()
    return _json(Chains(items=[one for one in found if units is None or one.unit is None or one.unit in units]))


@router.put(
    "/escalation/chains/{name}", summary="Make or change a chain", responses=documented(Chain), response_class=Response
)
async def put_chain(centre: CentreDep, caller: Writer, name: Name, given: ChainGiven) -> Response:
    await _chain_check(centre, caller, name, given.unit)
    await _check_addresses(centre, caller, given.steps)
    named = (to.partition(":") for step in given.steps for to in step.to)
    await _check_people(centre, (who for kind, _, who in named if kind == "person" and who != "$owner"), "steps")
    steps = [
        Step(to=step.to, wait_s=parse_duration_us(step.wait) // 1_000_000, times=step.times, urgent=step.urgent)
        for step in given.steps
    ]
    chain = Chain(
        name=name,
        title=given.title,
        domain=given.domain,
        unit=given.unit,
        severity=given.severity,
        steps=steps,
        rounds=given.rounds,
        enabled=given.enabled,
    )
    made = await escalation_of(centre).put_chain(chain, caller.name, given.version)
    await _told(centre, "chain", name)
    return _json(made)


async def _check_people(centre: Centre, logins: Iterable[str], where: str, role: str = "") -> None:
    """Whoever is put on duty or into a chain can be told: a login mistyped would be noticed when nobody comes.

    Raises:
        InputError: there is no such person or role, or the person is disabled.
    """
    if role:
        check_role(role)
    wanted = [login.strip() for login in logins if login.strip()]
    async with centre.records.read() as connection:
        await check_on_hand(connection, wanted, where)


async def _check_addresses(centre: Centre, caller: Caller, steps: Iterable[StepGiven]) -> None:
    """A step may tell any address of the network only where who looks after the whole centre says so: others name
    its channels.

    Raises:
        DeniedError: a step names such an address.
    """
    anywhere = any(to.partition(":")[2].startswith("//") for step in steps for to in step.to)
    if anywhere and not (await policy_of(centre).current()).may(caller.who, "system.write", PROVINCE_CODE):
        raise DeniedError(
            f"{caller.name!r} may not let the centre send to any address", where="steps", hint="name a channel instead"
        )


async def _chain_check(centre: Centre, caller: Caller, name: str, unit: str | None) -> None:
    """Pass who may change both what a chain was for and what it shall be for; one for all units is the province's."""
    policy = await policy_of(centre).current()
    _check(policy, caller, unit or PROVINCE_CODE)
    for one in await escalation_of(centre).chains():
        if one.name == name:
            _check(policy, caller, one.unit or PROVINCE_CODE)


@router.post(
    "/escalation/reach",
    summary="Who would be told now, by which chain or these steps; nobody is",
    responses=documented(Reached),
    response_class=Response,
)
async def who_is_reached(centre: CentreDep, caller: Reader, asked: ReachAsked) -> Response:
    policy = await policy_of(centre).current()
    _check(policy, caller, asked.unit, "duty.read")
    _check_reach(policy, caller, asked)
    chain, steps = (
        "",
        [
            Step(to=one.to, wait_s=parse_duration_us(one.wait) // 1_000_000, times=one.times, urgent=one.urgent)
            for one in asked.steps or ()
        ],
    )
    if asked.steps is None:
        units = (asked.unit or PROVINCE_CODE, asked.commune)
        found = choose(await escalation_of(centre).chains(), domain=asked.domain, units=units, severity=asked.severity)
        if found is None:
            return _json(Reached(chain="", steps=[]))
        chain, steps = found.name, found.steps
    told = await escalation_of(centre).reach(
        steps, unit=asked.unit or PROVINCE_CODE, commune=asked.commune, owner=asked.owner, severity=asked.severity
    )
    return _json(Reached(chain=chain, steps=list(told)))


@router.delete("/escalation/chains/{name}", status_code=204, summary="Forget a chain")
async def delete_chain(centre: CentreDep, caller: Writer, name: Name) -> None:
    policy = await policy_of(centre).current()
    for one in await escalation_of(centre).chains():
        if one.name == name:
            _check(policy, caller, one.unit or PROVINCE_CODE)
    await escalation_of(centre).delete_chain(name, caller.name)
    await _told(centre, "chain", name)


@router.get(
    "/escalation/suppressions",
    summary="When chains do not begin",
    responses=documented(Suppressions),
    response_class=Response,
)
async def read_suppressions(centre: CentreDep, caller: Reader) -> Response:
    units = (await policy_of(centre).current()).units(caller.who, "duty.read")
    found = await escalation_of(centre).suppressions()
    return _json(Suppressions(items=[one for one in found if units is None or one.unit is None or one.unit in units]))


@router.post(
    "/escalation/suppressions",
    summary="Hold chains back at times",
    responses=documented(Suppression),
    response_class=Response,
)
async def add_suppression(centre: CentreDep, caller: Writer, given: SuppressionGiven) -> Response:
    _check(await policy_of(centre).current(), caller, given.unit or PROVINCE_CODE)
    one = Suppression(
        title=given.title,
        domain=given.domain,
        unit=given.unit,
        severity=given.severity,
        rule=given.rule,
        start=_us(given.start, "start"),
        length_us=parse_duration_us(given.length),
    )
    made = await escalation_of(centre).add_suppression(one, caller.name)
    await _told(centre, "suppression", made.id)
    return _json(made)


@router.delete(
    "/escalation/suppressions/{number}",
    summary="Take a suppression back",
    responses=documented(Suppression),
    response_class=Response,
)
async def remove_suppression(centre: CentreDep, caller: Writer, number: Number) -> Response:
    policy = await policy_of(centre).current()
    for one in await escalation_of(centre).suppressions():
        if one.id == number:
            _check(policy, caller, one.unit or PROVINCE_CODE)
    removed = await escalation_of(centre).remove_suppression(number, caller.name)
    await _told(centre, "suppression", number)
    return _json(removed)


@router.get("/escalation", summary="Chains at work", responses=documented(Escalations), response_class=Response)
async def read_escalations(
    centre: CentreDep,
    caller: Annotated[Caller, Depends(require("incident.read"))],
    state: Annotated[str, Query(max_length=16, description="running, acknowledged or stopped.")] = "running",
    incident: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    if state not in ("", "running", "acknowledged", "stopped"):
        raise InputError(f"{state!r} is not a state of a chain", where="state", hint="running, acknowledged, stopped")
    policy = await policy_of(centre).current()
    of = escalations.c
    resource = Resource((of.unit, of.commune), of.domain, things=having_to_do_with(of.incident))
    where = policy.where(caller.who, "incident.read", resource)
    found = await escalation_of(centre).list(where=where, state=state, incident=incident, limit=limit, before=before)
    return _json(Escalations(items=found))
