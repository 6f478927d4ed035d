"""What the routes of rice share: who may, what is in force, what is read."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response

from thap.domains.domain import domain
from thap.domains.parameter_records import load_parameters
from thap.domains.parameters import Parameters
from thap.domains.rice.office import open_lake
from thap.domains.rice.parts import SUBJECT
from thap.domains.rice.records import DOMAIN_NAME
from thap.domains.rice.registers import zones_of
from thap.domains.rice.steps import APPROVING, Act, State, allowed
from thap.domains.rice.traps import Trap, counts_of, load_traps, nights_of, read_series, traps_by_zone
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.history.lake import Lake
from thap.kernel.policy import Policy, Subject
from thap.web.answers import to_json
from thap.web.deps import Caller, Centre, policy_of, require

__all__ = [
    "Code",
    "Number",
    "Plain",
    "Reader",
    "Row",
    "Surveyor",
    "TrapName",
    "Writer",
    "acts_for",
    "body_of",
    "check_may",
    "check_province",
    "json_answer",
    "lake_now",
    "latest_catches",
    "mine_by_zone",
    "parameters_now",
    "policy_now",
    "subject_of",
    "tell",
    "trap_of",
    "traps_of",
]

Reader = Annotated[Caller, Depends(require("register.read"))]
Writer = Annotated[Caller, Depends(require("register.write"))]
Surveyor = Annotated[Caller, Depends(require("survey.write"))]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Code = Annotated[str, Path(max_length=32)]
TrapName = Annotated[str, Path(max_length=128)]
Plain = Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")]
Row = dict[str, Any]
_MOST_BYTES = 20 * 2**20


async def policy_now(centre: Centre) -> Policy:
    """The policy in force."""
    return await policy_of(centre).current()


def subject_of(kind: str, unit: str, thing: str = "") -> Subject:
    """What policy decides about: something of rice in a unit."""
    return Subject(kind, (unit,), DOMAIN_NAME, thing)


async def check_may(centre: Centre, caller: Caller, action: str, kind: str, unit: str, where: str) -> None:
    """Raise DeniedError unless the caller may do that in the unit."""
    (await policy_now(centre)).check(caller.who, action, subject_of(kind, unit), where=where)


async def check_province(centre: Centre, caller: Caller, action: str) -> None:
    """Raise DeniedError unless the caller may do that to what is the whole province's."""
    if not (await policy_now(centre)).decide(caller.who, action, subject_of("register", "")).allowed:
        raise DeniedError(f"{caller.name!r} may not do this for the whole province", where=action)


async def tell(centre: Centre, what: str) -> None:
    """Let the office's round and the console know that something changed."""
    await centre.bus.announce(SUBJECT, {"what": what})


async def parameters_now(centre: Centre) -> Parameters:
    """The parameters in force."""
    async with centre.records.read() as connection:
        return await load_parameters(connection, domain(DOMAIN_NAME))


async def lake_now(centre: Centre) -> Lake | None:
    """The centre's history, shared with its other routes; None where there is none yet."""
    async with centre.parts.setdefault("lake_lock", asyncio.Lock()):
        if "lake" not in centre.parts:
            opened = await asyncio.to_thread(open_lake, centre.settings)
            if opened is None:
                return None
            centre.parts["lake"] = opened
    found: Lake = centre.parts["lake"]
    return found


async def body_of(request: Request) -> bytes:
    """The body as a whole; raises InputError beyond 20 MiB."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > _MOST_BYTES:
            raise InputError(f"a file has at most {_MOST_BYTES >> 20} MiB", where="body", hint="divide it")
    return bytes(content)


def json_answer(body: Any) -> Response:
    """An answer of JSON."""
    return Response(to_json(body), media_type="application/json")


async def traps_of(centre: Centre, caller: Caller, name: str = "") -> list[Trap]:
    """Light traps the caller may see."""
    policy = await policy_now(centre)
    async with centre.records.read() as connection:
        found = await load_traps(connection, name=name)
    return [
        trap
        for trap in found
        if policy.decide(caller.who, "thing.read", subject_of("thing", trap.commune, trap.name)).allowed
    ]


async def trap_of(centre: Centre, caller: Caller, name: str) -> Trap:
    """One light trap; raises NotFoundError for none that the caller may see."""
    found = await traps_of(centre, caller, name)
    if not found:
        raise NotFoundError(f"there is no light trap {name[:64]!r}", where="trap")
    return found[0]


async def latest_catches(centre: Centre, traps: list[Trap], day: date, pest: str = "bph") -> dict[str, Row]:
    """By trap: the newest count of the last three nights, and the highest of seven."""
    last = day - timedelta(days=1)
    lake = await lake_now(centre)
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


async def mine_by_zone(centre: Centre, traps: list[Trap]) -> dict[int, list[Trap]]:
    """Traps by the zone they stand for."""
    async with centre.records.read() as connection:
        return traps_by_zone(await zones_of(connection), traps)


def acts_for(policy: Policy, caller: Caller, row: Row, unit: str) -> list[str]:
    """What the caller may do next with advice or a bulletin."""
    writes = policy.decide(caller.who, "register.write", subject_of("register", unit)).allowed
    approves = policy.decide(caller.who, "register.approve", subject_of("register", unit)).allowed
    found = []
    for act in (Act.EDIT, Act.APPROVE, Act.RETURN, Act.PUBLISH, Act.WITHDRAW):
        needs = approves if act in APPROVING or row["state"] != State.DRAFT else writes
        if needs and allowed(State(row["state"]), act) is not None:
            found.append(str(act))
    return found
