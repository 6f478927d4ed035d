"""/api/v1/quarantine: names nobody knew, and deciding about them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.audit import Entry, append_async
from thap.kernel.errors import DeniedError, UnavailableError
from thap.kernel.policy import Subject
from thap.kernel.units import PROVINCE_CODE
from thap.observe.admission import Admission
from thap.observe.quarantine import list_waiting
from thap.web.deps import Caller, CallerDep, Centre, CentreDep, policy_of, require

__all__ = ["admission_of", "router"]

router = APIRouter(prefix="/api/v1/quarantine", tags=["quarantine"])
Operator = Annotated[Caller, Depends(require("operate"))]
Kind = Literal["observation", "position"]


class WaitingName(BaseModel):
    """A name nobody admitted yet. Moments are microseconds since 1970 UTC."""

    kind: Kind
    key: str = Field(description="thing/datastream, or the name of a mover.")
    door: str = Field(description="Where it came in last.")
    count: int = Field(description="How many of its records wait.")
    first: int
    last: int
    sample: str = Field(description="Its latest record, JSON.")


class WaitingNames(BaseModel):
    """The last heard first."""

    items: list[WaitingName]
    total: int


class Choice(BaseModel):
    """Names to decide about."""

    model_config = ConfigDict(extra="forbid")

    patterns: list[Annotated[str, Field(min_length=1, max_length=257)]] = Field(
        min_length=1, max_length=1000, description="Names or globs, as `tram-01/level`, `tram-*`, `*`."
    )
    kind: Kind | None = Field(None, description="Only names of this kind.")


class Decision(BaseModel):
    """What was done."""

    names: int = Field(description="How many names it concerned.")
    released: int = Field(description="Records handed to the journal.")
    rejected: int = Field(description="Records now among the dead letters.")
    unmatched: list[str] = Field(description="Patterns that match no name in quarantine.")


def admission_of(centre: Centre) -> Admission:
    """The admission of this process, made at first use.

    Raises:
        UnavailableError: this process keeps no doors.
    """
    if centre.intake is None:
        raise UnavailableError("this part of the centre keeps no doors", hint="ask the gateway")
    found: Admission | None = centre.parts.get("admission")
    if found is None:
        found = centre.parts["admission"] = Admission(centre.bus, centre.records, centre.intake)
    return found


@router.get("", summary="Names that wait to be admitted")
async def read_quarantine(
    centre: CentreDep,
    caller: CallerDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    pattern: Annotated[str | None, Query(max_length=257, description="A glob, or a part of the name.")] = None,
    kind: Kind | None = None,
) -> WaitingNames:
    """Names that wait belong to no unit yet, so they are for who looks after the whole province; those of a thing that
    was restricted beforehand, for who has a clearance for it."""
    policy = await policy_of(centre).current()
    if not policy.may(caller.who, "system.read", PROVINCE_CODE):
        raise DeniedError(f"{caller.name!r} may not see what waits in the province", where="system.read")
    async with centre.records.read() as connection:
        names, total = await list_waiting(connection, limit=limit, offset=offset, pattern=pattern, kind=kind)
    seen = [one for one in names if policy.decide(caller.who, "system.read", Subject("name", (), "", one.key)).allowed]
    return WaitingNames(
        items=[WaitingName.model_validate(name.as_dict()) for name in seen], total=total - len(names) + len(seen)
    )


async def _note(centre: Centre, caller: Caller, action: str, choice: Choice) -> None:
    """Before it is done: releasing records takes its time, and what was begun must be known."""
    told = {"patterns": choice.patterns, "kind": choice.kind}
    async with centre.records.write() as connection:
        await append_async(connection, [Entry(caller.who, action, "quarantine", told, caller.address)])


@router.post("/admit", summary="Register names and release their records")
async def admit(choice: Choice, centre: CentreDep, caller: Operator) -> Decision:
    await _note(centre, caller, "quarantine.admit", choice)
    done = await admission_of(centre).admit(choice.patterns, kind=choice.kind)
    await centre.bus.announce("centre.live.quarantine", {})
    return Decision(**done.as_dict())


@router.post("/drop", summary="Send the records of names to the dead letters")
async def drop(choice: Choice, centre: CentreDep, caller: Operator) -> Decision:
    await _note(centre, caller, "quarantine.drop", choice)
    done = await admission_of(centre).drop(choice.patterns, caller.name, kind=choice.kind)
    await centre.bus.announce("centre.live.quarantine", {})
    return Decision(**done.as_dict())
