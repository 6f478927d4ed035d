"""/api/v1/alarms: what is wrong now, and what people do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.clock import DAY_US, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.policy import Policy, Resource, Subject
from thap.respond.alarm import Alarm, AlarmEvent, AlarmFilter, AlarmPage, AlarmSort, Refused
from thap.respond.book import AlarmBook
from thap.respond.figures import Figures, Limits, read_figures
from thap.respond.isa_18_2 import State
from thap.respond.records import alarms, numbers_within, rows_behind
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.params import split
from thap.web.readings import note_alarms
from thap.web.sight import note_reading

__all__ = ["RESOURCE", "book_of", "documented", "router", "severities"]

router = APIRouter(prefix="/api/v1/alarms", tags=["alarms"])
Reader = Annotated[Caller, Depends(require("alarm.read"))]
Operator = Annotated[Caller, Depends(require("alarm.act"))]
RESOURCE = Resource(units=(alarms.c.commune,), domain=alarms.c.domain, thing=alarms.c.source)
"""What policy looks at: an alarm counts to the commune it lies in."""
AlarmId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the alarm.")]
Words = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
_SEVERITIES = {"low": 1, "medium": 2, "high": 3, "critical": 4}
_STEPS_SHOWN = 1000


class AlarmSteps(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm and its life."""

    alarm: Alarm
    transitions: Sequence[AlarmEvent]
    """The latest first."""
    total: int
    """How many there are; the latest thousand are shown."""


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """What a bulk acknowledgement did."""

    events: list[AlarmEvent]
    refused: list[Refused]


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """A row behind a figure of the alarms. Time µs."""

    transition: int | None
    """None where the row is the alarm itself."""
    alarm: int
    source: str
    condition: str
    domain: str
    action: str
    severity: int
    time: int | None


class BehindPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    items: list[Behind]


class Act(BaseModel):
    """What a person does to an alarm, and why."""

    model_config = ConfigDict(extra="forbid")

    comment: Words = ""
    version: int | None = Field(
        None,
        description="The alarm's version the person saw; refused with 409 where it "
        "changed since. Without it nothing is checked.",
    )


class Shelving(Act):
    """Until when an alarm is hidden: `until` or `for`."""

    until: int | str | None = Field(None, description="Moment: microseconds since 1970 UTC, or ISO 8601.")
    duration: str | None = Field(None, alias="for", description="Length of time, as 8h.")


class Remark(BaseModel):
    """A remark on an alarm."""

    model_config = ConfigDict(extra="forbid")

    comment: Words


class ManyAlarms(BaseModel):
    """Alarms to acknowledge together."""

    model_config = ConfigDict(extra="forbid")

    alarms: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(min_length=1, max_length=1000)
    comment: Words = ""


def documented(kind: Any) -> dict[int | str, dict[str, Any]]:
    """The answer's schema for OpenAPI, which knows no definitions below a schema: they are put in their places."""
    schema = msgspec.json.schema(kind)
    definitions: dict[str, Any] = schema.pop("$defs", {})

    def resolved(part: Any) -> Any:
        if isinstance(part, list):
            return [resolved(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return resolved(definitions[part["$ref"].rpartition("/")[2]])
        return {name: resolved(one) for name, one in part.items()}

    return {200: {"description": "Done.", "content": {"application/json": {"schema": resolved(schema)}}}}


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def book_of(centre: Centre) -> AlarmBook:
    """The alarm book of this process, made at first use."""
    found: AlarmBook | None = centre.parts.get("alarms")
    if found is None:
        found = centre.parts["alarms"] = AlarmBook(centre.records)
    return found


def _subject(alarm: Alarm) -> Subject:
    return Subject("alarm", (alarm.commune,), alarm.domain, alarm.source)


async def _seen(centre: Centre, caller: Caller, number: int, need: str) -> Alarm:
    """An alarm that the caller may do something to; its being read is noted where it is restricted.

    Raises:
        NotFoundError: there is none, or the caller may not know of it.
        DeniedError: the caller may see it, not do this.
    """
    policy: Policy = await policy_of(centre).current()
    alarm = await book_of(centre).get(number)
    try:
        policy.check(caller.who, need, _subject(alarm), where=f"alarm {number}")
    except NotFoundError:  # in the words of the book, so that nobody learns which numbers there are
        raise NotFoundError(f"there is no alarm {number}", hint="`thap alarms list` shows those there are") from None
    await note_reading(centre, caller, policy, "alarm", [(f"alarm:{number}", _subject(alarm))])
    return alarm


async def _told(centre: Centre, events: Sequence[AlarmEvent]) -> None:
    for event in events:
        await centre.bus.announce("centre.live.alarm", event)


def severities(values: list[str] | None) -> frozenset[int]:
    chosen = set()
    for value in split(values):
        level = _SEVERITIES.get(value.lower(), int(value) if value in ("1", "2", "3", "4") else 0)
        if not level:
            raise InputError(
                f"{value!r} is not a severity", where="severity", hint=f"one of {', '.join(_SEVERITIES)}, or 1 to 4"
            )
        chosen.add(level)
    return frozenset(chosen)


def _states(values: list[str] | None) -> frozenset[str]:
    chosen = frozenset(split(values))
    for value in chosen - set(State):
        raise InputError(f"{value!r} is not a state of an alarm", where="state", hint=f"one of {', '.join(State)}")
    return chosen


@router.get("", summary="Alarms as they stand", response_class=Response, responses=documented(AlarmPage))
async def read_alarms(
    centre: CentreDep,
    caller: Reader,
    state: Annotated[list[str] | None, Query(description="States, as unacknowledged; several by comma.")] = None,
    domain: Annotated[list[str] | None, Query(description="Domains, as sand.")] = None,
    commune: Annotated[list[str] | None, Query(description="Codes of communes.")] = None,
    severity: Annotated[list[str] | None, Query(description="low, medium, high, critical, or 1 to 4.")] = None,
    source: Annotated[str, Query(max_length=300, description="Pattern of the source's key, as tram-*.")] = "",
    condition: Annotated[str, Query(max_length=200, description="Pattern of the rule's name, as water.*.")] = "",
    active: Annotated[bool | None, Query(description="Whether the condition is true now.")] = None,
    text: Annotated[str, Query(max_length=200, description="Part of source, condition, domain or evidence.")] = "",
    sort: Annotated[AlarmSort, Query(description="Column, with - for descending.")] = "-raised",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")] = None,
) -> Response:
    chosen = AlarmFilter(
        _states(state),
        frozenset(split(domain)),
        frozenset(split(commune)),
        severities(severity),
        source.strip(),
        condition.strip(),
        active,
        text.strip(),
    )
    policy = await policy_of(centre).current()
    within = policy.where(caller.who, "alarm.read", RESOURCE)
    page = await book_of(centre).list(chosen, sort=sort, limit=limit, after=after, within=within)
    await note_reading(centre, caller, policy, "alarm", [(f"alarm:{one.id}", _subject(one)) for one in page.items])
    return _json(page)


@router.get(
    "/figures",
    summary="How well the alarms serve their operators: ISA-18.2, EEMUA 191",
    response_class=Response,
    responses=documented(Figures),
)
async def read_alarm_figures(
    centre: CentreDep,
    caller: Reader,
    since: Annotated[
        str | None,
        Query(max_length=40, description="Moment (µs or ISO 8601) or length of time, as 7d; by default the last day."),
    ] = None,
    until: Annotated[str | None, Query(max_length=40, description="Moment; by default now.")] = None,
    domain: Annotated[str, Query(max_length=32)] = "",
    operators: Annotated[int, Query(ge=1, le=1000, description="Positions the alarms are shared by.")] = 1,
) -> Response:
    now = now_us()
    end = now if until is None else _moment(until, now, "until")
    begin = end - DAY_US if since is None else _moment(since, end, "since")
    within = (await policy_of(centre).current()).where(caller.who, "alarm.read", RESOURCE)
    limits = Limits(operators=operators)
    return _json(await read_figures(centre.records, begin, end, limits=limits, domain=domain, within=within))


@router.get(
    "/figures/rows", summary="The rows behind a figure", response_class=Response, responses=documented(BehindPage)
)
async def read_rows_behind(
    centre: CentreDep,
    caller: Reader,
    transitions: Annotated[list[str] | None, Query(description="Numbers of transitions, by comma.")] = None,
    numbers: Annotated[list[str] | None, Query(description="Numbers of alarms, by comma.")] = None,
) -> Response:
    policy = await policy_of(centre).current()
    within = policy.where(caller.who, "alarm.read", RESOURCE)
    wanted = [_numbers(transitions, "transitions"), _numbers(numbers, "numbers")]
    async with centre.records.read() as connection:
        rows = await rows_behind(connection, wanted[0], wanted[1], within)
    await note_alarms(centre, caller, policy, {row["alarm"] for row in rows})
    return _json(BehindPage(items=[Behind(**row) for row in rows]))


def _numbers(values: list[str] | None, where: str) -> list[int]:
    texts = split(values)
    if len(texts) > _STEPS_SHOWN or not all(text.isascii() and text.isdigit() and len(text) <= 18 for text in texts):
        raise InputError(f"at most {_STEPS_SHOWN} whole numbers are possible here", where=where)
    return [int(text) for text in texts]


def _moment(text: str, base: int, where: str) -> int:
    """A moment, or a length of time before `base`."""
    try:
        return base - parse_duration_us(text)
    except InputError:
        pass
    try:
        moment = parse_time_us(text)
    except InputError as error:
        raise InputError(error.message, where=where, hint="write 7d, or ISO 8601 as 2026-11-22T08:00:00Z") from None
    return moment


@router.post(
    "/acknowledge", summary="Acknowledge several alarms", response_class=Response, responses=documented(Acknowledged)
)
async def acknowledge_alarms(body: ManyAlarms, centre: CentreDep, caller: Operator) -> Response:
    within = (await policy_of(centre).current()).where(caller.who, "alarm.act", RESOURCE)
    async with centre.records.read() as connection:
        mine = await numbers_within(connection, body.alarms, within)
    events, refused = await book_of(centre).acknowledge_many(sorted(mine), caller.name, body.comment)
    hidden = [Refused(alarm=one, reason="there is no such alarm") for one in sorted(set(body.alarms) - mine)]
    await _told(centre, events)
    return _json(Acknowledged(events=events, refused=sorted(refused + hidden, key=lambda one: one.alarm)))


@router.get(
    "/{alarm_id}", summary="One alarm with its transitions", response_class=Response, responses=documented(AlarmSteps)
)
async def read_alarm(alarm_id: AlarmId, centre: CentreDep, caller: Reader) -> Response:
    book = book_of(centre)
    alarm = await _seen(centre, caller, alarm_id, "alarm.read")
    transitions, total = await book.life(alarm_id, _STEPS_SHOWN)
    return _json(AlarmSteps(alarm=alarm, transitions=transitions, total=total))


_EVENT = documented(AlarmEvent)


@router.post("/{alarm_id}/shelve", summary="Hide an alarm until a time", response_class=Response, responses=_EVENT)
async def shelve_alarm(alarm_id: AlarmId, body: Shelving, centre: CentreDep, caller: Operator) -> Response:
    await _seen(centre, caller, alarm_id, "alarm.act")
    if (body.until is None) == (body.duration is None):
        raise InputError(
            "say either until when, or for how long",
            where="body",
            hint='send {"for": "8h"} or {"until": "2026-11-22T16:00:00Z"}',
        )
    until = (
        now_us() + parse_duration_us(body.duration)
        if body.duration is not None
        else body.until
        if isinstance(body.until, int)
        else parse_time_us(str(body.until))
    )
    if not now_us() < until < now_us() + 366 * DAY_US:
        raise InputError("a shelving ends in the future and within a year", where="body")
    event = await book_of(centre).shelve(alarm_id, caller.name, until, body.comment, body.version)
    await _told(centre, [event])
    return _json(event)


@router.post("/{alarm_id}/comment", summary="Remark on an alarm", response_class=Response, responses=_EVENT)
async def comment_alarm(alarm_id: AlarmId, body: Remark, centre: CentreDep, caller: Operator) -> Response:
    await _seen(centre, caller, alarm_id, "alarm.act")
    event = await book_of(centre).comment(alarm_id, caller.name, body.comment)
    await _told(centre, [event])
    return _json(event)


@router.post("/{alarm_id}/{action}", summary="Act on an alarm", response_class=Response, responses=_EVENT)
async def act_on_alarm(
    alarm_id: AlarmId,
    action: Literal["acknowledge", "unshelve", "suppress", "unsuppress", "out-of-service", "in-service"],
    centre: CentreDep,
    caller: Operator,
    body: Act = Act(),  # noqa: B008 - an empty body means nothing to say
) -> Response:
    await _seen(centre, caller, alarm_id, "alarm.act")
    book = book_of(centre)
    act = {
        "acknowledge": book.acknowledge,
        "unshelve": book.unshelve,
        "suppress": book.suppress,
        "unsuppress": book.unsuppress,
        "out-of-service": book.out_of_service,
        "in-service": book.in_service,
    }[action]
    event = await act(alarm_id, caller.name, body.comment, body.version)
    await _told(centre, [event])
    return _json(event)
