"""/api/v1/procedures and /api/v1/calendar: what is to be done about incidents of a kind, and when offices are open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.clock import DAY_US, VIETNAM, from_us, now_us
from thap.kernel.policy import Subject
from thap.respond.procedures.model import StoredProcedure
from thap.respond.procedures.templates import read_procedures
from thap.web.api.alarms import documented
from thap.web.api.tasks import tasks_of
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["procedures"])
Reader = Annotated[Caller, Depends(require("incident.read"))]
Writer = Annotated[Caller, Depends(require("procedure.write"))]
Name = Annotated[str, Path(max_length=64, description="Name of the procedure.")]
_AHEAD_US = 40 * DAY_US


class Procedures(msgspec.Struct, frozen=True, kw_only=True):
    """Procedures, by name or by version."""

    items: Sequence[StoredProcedure]


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """What was put in: those that say what they said before are no new version."""

    items: Sequence[StoredProcedure]
    read: int
    """How many the text held."""


class ClosedDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day on which offices are closed."""

    day: str
    name: str


class OpenHours(msgspec.Struct, frozen=True, kw_only=True):
    """When offices are open, µs."""

    begin: int
    end: int


class CalendarYear(msgspec.Struct, frozen=True, kw_only=True):
    """The working calendar of a year."""

    year: int
    complete: bool
    """Whether all holidays of the year are listed."""
    closed: list[ClosedDay]
    worked: list[str]
    """Swap days: worked whatever their weekday."""
    day_hours: float
    week_hours: float
    open_now: bool
    ahead: list[OpenHours]
    """From now on, 40 days: what deadlines in working hours count, and when the next such hour begins."""
    source: str


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a new calendar did."""

    moved: int
    """How many deadlines ahead lie elsewhere now."""


class Text(BaseModel):
    """Procedures, or a calendar, as TOML."""

    model_config = ConfigDict(extra="forbid")

    toml: Annotated[str, Field(min_length=1, max_length=1_000_000, pattern=r"^[^\x00]*$")]
    version: int | None = Field(
        None, ge=0, le=2**31 - 1, description="The version they saw; refused with 409 where there is a newer one."
    )


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


async def _may_write(centre: Centre, caller: Caller, domains: set[str]) -> None:
    """Who writes procedures of a domain may do so in the whole province: they hold for all units."""
    policy = await policy_of(centre).current()
    for domain in sorted(domains):
        policy.check(caller.who, "procedure.write", Subject("procedure", (), domain), where=domain or "any domain")


@router.get(
    "/procedures", summary="The newest version of each", response_class=Response, responses=documented(Procedures)
)
async def read_procedures_(centre: CentreDep, _caller: Reader) -> Response:
    return _json(Procedures(items=await tasks_of(centre).procedures()))


@router.get(
    "/procedures/{name}",
    summary="One procedure, the newest version first",
    response_class=Response,
    responses=documented(Procedures),
)
async def read_procedure(name: Name, centre: CentreDep, _caller: Reader) -> Response:
    return _json(Procedures(items=await tasks_of(centre).versions(name)))


@router.put("/procedures", summary="Put procedures in", response_class=Response, responses=documented(Put))
async def put_procedures(
    body: Text,
    centre: CentreDep,
    caller: Writer,
    check: Annotated[bool, Query(description="Only say whether they hold together; put nothing in.")] = False,
) -> Response:
    """All of them, or none where one does not hold together. Incidents that are open go on with the version they
    began with."""
    read = list(read_procedures(body.toml, "toml").values())
    await _may_write(centre, caller, {one.domain for one in read})
    if check:
        return _json(Put(items=[], read=len(read)))
    put = await tasks_of(centre).put(read, caller.who, version=body.version, address=caller.address)
    return _json(Put(items=put, read=len(read)))


@router.get("/calendar", summary="When offices are open", response_class=Response, responses=documented(CalendarYear))
async def read_calendar(
    centre: CentreDep, _caller: Reader, year: Annotated[int | None, Query(ge=1970, le=9998)] = None
) -> Response:
    calendar, now = await tasks_of(centre).calendar(), now_us()
    asked = from_us(now).astimezone(VIETNAM).year if year is None else year
    return _json(
        CalendarYear(
            year=asked,
            complete=asked in calendar.complete,
            closed=[ClosedDay(day=day.isoformat(), name=name) for day, name in calendar.closed_days(asked)],
            worked=sorted(day.isoformat() for day in calendar.worked if day.year == asked),
            day_hours=calendar.day_us / 3.6e9,
            week_hours=calendar.week_us / 3.6e9,
            open_now=calendar.open_at(now),
            ahead=[OpenHours(begin=begin, end=end) for begin, end in calendar.spans(now, now + _AHEAD_US)],
            source=calendar.source,
        )
    )


@router.put("/calendar", summary="Put another calendar in", response_class=Response, responses=documented(Moved))
async def put_calendar(body: Text, centre: CentreDep, caller: Writer) -> Response:
    """Deadlines ahead are counted anew by it."""
    await _may_write(centre, caller, {""})
    return _json(Moved(moved=await tasks_of(centre).put_calendar(body.toml, caller.who, address=caller.address)))
