"""/api/v1/reports: citizens' reports for the people who moderate, handle and answer them.

Who sent a report is masked; `/sender` shows it to whoever may `personal.read` there, and the audit log keeps that
it was shown. The words a citizen wrote are shown without numbers and addresses of people to everybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

import msgspec
import orjson
import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.audit import Entry, append
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.policy import EVERYWHERE, Policy, Resource, Subject
from thap.kernel.store import Transaction
from thap.respond.incidents import attachments
from thap.respond.incidents.attachments import Attachment
from thap.respond.incidents.model import LIVE_SUBJECT, announcement
from thap.services.reports import (
    Act,
    Draft,
    Near,
    Opened,
    Report,
    ReportEvent,
    ReportFilter,
    ReportPage,
    Sender,
    State,
    masked,
    redact,
)
from thap.services.reports.catalogue import definition
from thap.services.reports.life import step
from thap.services.reports.privacy import redact_json
from thap.services.reports.records import ReportRows, publicly_says, reports
from thap.web.answers import JsonAnswer
from thap.web.api.alarms import documented
from thap.web.api.incidents import seen as seen_incident
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.params import split
from thap.web.reports import desk_of, tell
from thap.web.sight import store_of

__all__ = ["router", "subject_of"]

router = APIRouter(prefix="/api/v1/reports", tags=["reports"])
Reader = Annotated[Caller, Depends(require("report.read"))]
Moderator = Annotated[Caller, Depends(require("report.moderate"))]
ReportId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the report.")]
Words = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
Short = Annotated[str, Field(max_length=300, pattern=r"^[^\x00]*$")]
Code = Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")]
_RESOURCE = Resource((reports.c.unit, reports.c.commune), reports.c.domain)


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A report with what belongs to it."""

    report: Report
    sender: dict[str, str] | None
    """Masked; None where it was erased."""
    steps: Sequence[ReportEvent]
    photos: Sequence[Attachment]
    near: Sequence[Near]
    """Earlier and later ones that may be the same."""
    exchanges: Sequence[dict[str, Any]]
    """Under which numbers other endpoints know it."""
    may: list[str]
    """What can be done to it now, by the caller."""
    suggested: str
    """What the public would read by default: the words without numbers and addresses of people."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A report that was written down."""

    report: Report
    receipt: str
    """The code its sender follows it by; shown once."""


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Doing(_Given):
    """What a person does to a report."""

    comment: Words = Field("", description="Words to the sender; with accept, start and duplicate they may be empty.")
    version: int | None = Field(
        None, ge=0, le=2**31 - 1, description="The version the person saw; refused with 409 where it changed since."
    )


class Accepting(Doing):
    """Taking a report on."""

    public_text: Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$")] | None = Field(
        None, description="What the public reads; by default what was written, without numbers of people."
    )
    photos: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(
        default_factory=list, max_length=10, description="Numbers of photos the public may see."
    )


class Editing(Accepting):
    """What is to be otherwise; what is not given stays."""

    photos: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] | None = Field(None, max_length=10)  # type: ignore[assignment]
    service: Code | None = None
    unit: Code | None = None


class Remark(Doing):
    """A remark."""

    public: bool = Field(False, description="Whether the sender and the public read it.")


class Same(Doing):
    """Which report came first."""

    of: int = Field(ge=1, le=2**63 - 1)


class Opening(_Given):
    """An incident to be opened from a report."""

    title: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")] = ""
    severity: int | None = Field(None, ge=1, le=4)
    unit: Code | None = None
    version: int | None = Field(None, ge=0, le=2**31 - 1)


class Linking(Doing):
    """The incident that handles it."""

    incident: int = Field(ge=1, le=2**63 - 1)


class Told(_Given):
    """A report that an official writes down, as from the telephone."""

    service: Code
    text: Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$")] = ""
    lon: float | None = Field(None, ge=-180, le=180)
    lat: float | None = Field(None, ge=-90, le=90)
    place: Short = ""
    commune: Code = ""
    answers: dict[Code, list[Annotated[str, Field(max_length=4000)]]] = Field(default_factory=dict, max_length=50)
    name: Short = ""
    phone: Short = ""
    email: Short = ""
    address: Short = ""
    language: Literal["vi", "en"] = "vi"
    accept: bool = Field(False, description="Whether it is taken on at once.")


def subject_of(report: Report) -> Subject:
    """A report as policy sees it."""
    return Subject("report", (report.unit, report.commune), report.domain)


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


async def _seen(centre: Centre, caller: Caller, number: int, need: str) -> tuple[Policy, Report]:
    """A report that the caller may do something to.

    Raises:
        NotFoundError: there is none, or the caller may not know of it.
        DeniedError: the caller may see it, not do this.
    """
    policy = await policy_of(centre).current()
    try:
        report = await desk_of(centre).get(number)
    except NotFoundError:
        raise NotFoundError("there is no such report", where=f"report {number}") from None
    policy.check(caller.who, need, subject_of(report), where=f"report {number}")
    return policy, report


def _shown(policy: Policy, caller: Caller, report: Report) -> Report:
    """As this caller may read it."""
    if policy.decide(caller.who, "personal.read", subject_of(report)).allowed:
        return report
    return msgspec.structs.replace(
        report,
        text=redact(report.text),
        place=redact(report.place),
        opinion=redact(report.opinion),
        answers={code: [redact(value) for value in values] for code, values in report.answers.items()},
    )


def _told(policy: Policy, caller: Caller, report: Report, event: ReportEvent) -> ReportEvent:
    """A step as this caller may read it: senders and citizens speak in steps too."""
    if policy.decide(caller.who, "personal.read", subject_of(report)).allowed:
        return event
    detail = orjson.loads(redact_json(orjson.dumps(event.detail).decode()))
    return msgspec.structs.replace(event, comment=redact(event.comment), detail=detail)


@router.get("", summary="Reports, the latest first", response_class=Response, responses=documented(ReportPage))
async def read_reports(
    centre: CentreDep,
    caller: Reader,
    state: Annotated[list[str] | None, Query(description=f"Of {', '.join(State)}; several by comma.")] = None,
    service: Annotated[list[str] | None, Query(description="Codes of kinds.")] = None,
    domain: Annotated[list[str] | None, Query(description="Domains, as water.")] = None,
    unit: Annotated[list[str] | None, Query(description="Codes of units or communes.")] = None,
    incident: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Those an incident handles.")] = None,
    unhappy: Annotated[bool, Query(description="Only those whose sender was not satisfied.")] = False,
    text: Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$", description="Part of the words or place.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    after: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
) -> Response:
    states = frozenset(split(state))
    for wrong in states - set(State):
        raise InputError(f"{wrong[:40]!r} is not a state of a report", where="state", hint=f"one of {', '.join(State)}")
    chosen = ReportFilter(
        states,
        frozenset(split(service)),
        frozenset(split(domain)),
        frozenset(split(unit)),
        incident,
        unhappy,
        text.strip(),
    )
    policy = await policy_of(centre).current()
    where = [policy.where(caller.who, "report.read", _RESOURCE)]
    if chosen.text:  # who may not read what leads to people cannot search for it either
        where.append(sa.or_(policy.where(caller.who, "personal.read", _RESOURCE), publicly_says(chosen.text)))
    page = await desk_of(centre).list(chosen, where=where, limit=limit, after=after)
    return _json(msgspec.structs.replace(page, items=[_shown(policy, caller, one) for one in page.items]))


@router.get("/services", summary="Kinds of report")
async def read_services(centre: CentreDep, _caller: Reader) -> list[dict[str, Any]]:
    catalogue = desk_of(centre).catalogue
    return [
        {
            "code": one.code,
            "name": one.name,
            "group": one.group,
            "domain": one.domain,
            "severity": one.severity,
            "unit": one.unit,
            "expected_hours": one.expected_hours,
            "hidden": one.hidden,
            "attributes": definition(one, "vi"),
        }
        for one in catalogue.all(hidden=True)
    ]


@router.post("", summary="Write down what somebody reports", response_class=Response, responses=documented(Written))
async def write_report(body: Told, centre: CentreDep, caller: Moderator) -> Response:
    desk, policy = desk_of(centre), await policy_of(centre).current()

    def check(tx: Transaction, number: int) -> None:  # where it belongs is known by now; refused, nothing is kept
        row = ReportRows(tx).by_id(number) or {}
        about = Subject("report", (row["unit"], row["commune"]), row["domain"])
        if body.accept and not policy.decide(caller.who, "report.moderate", about).allowed:
            raise DeniedError(
                f"{caller.name!r} may not accept reports there", where="accept", hint="leave it to who moderates there"
            )

    draft = Draft(
        body.service,
        body.text,
        body.lon,
        body.lat,
        body.place,
        commune=body.commune,
        answers=body.answers,
        sender=Sender(body.name, body.phone, body.email, body.address),
        language=body.language,
    )
    taken = await desk.receive(draft, source="desk", client=caller.name, accepted=body.accept, after=check)
    if taken.event is not None:
        await tell(centre, [taken.event])
    return _json(Written(report=taken.report, receipt=taken.receipt))


@router.get("/{number}", summary="One report", response_class=Response, responses=documented(Whole))
async def read_report(number: ReportId, centre: CentreDep, caller: Reader) -> Response:
    policy, report = await _seen(centre, caller, number, "report.read")
    desk = desk_of(centre)
    sender = await desk.sender(number)
    near: list[Near] = []
    if report.lon is not None and report.lat is not None:
        where = [policy.where(caller.who, "report.read", _RESOURCE)]
        found = await desk.near(
            report.lon, report.lat, service=report.service, text=report.text, but=number, where=where
        )
        near = [msgspec.structs.replace(one, report=_shown(policy, caller, one.report)) for one in found]
    return _json(
        Whole(
            report=_shown(policy, caller, report),
            sender=None if sender is None else asdict(masked(sender[0])),
            steps=[_told(policy, caller, report, one) for one in await desk.steps(number)],
            photos=await desk.photos(number),
            near=near,
            exchanges=await desk.exchanges(number),
            may=_may(policy, caller, report),
            suggested=redact(report.text),
        )
    )


def _may(policy: Policy, caller: Caller, report: Report) -> list[str]:
    subject = subject_of(report)
    found = []
    if policy.decide(caller.who, "personal.read", subject).allowed:
        found.append("sender")
    if policy.decide(caller.who, "report.moderate", subject).allowed:
        ours = set(Act) - {Act.RECEIVE, Act.RATE, Act.UPDATE, Act.UNLINK, Act.REFER}
        found += sorted(act for act in ours if step(State(report.state), act) is not None)
    return found


@router.get("/{number}/sender", summary="Who sent a report; that it was read is kept in the audit log")
async def read_sender(number: ReportId, centre: CentreDep, caller: Reader) -> dict[str, str]:
    await _seen(centre, caller, number, "personal.read")
    found = await desk_of(centre).sender(number)
    if found is None:
        raise NotFoundError("the sender was erased", where=f"report {number}")
    entry = Entry(caller.who, "personal.read", f"report:{number}", {}, caller.address)
    await store_of(centre).transact(lambda tx: append(tx, [entry]))
    return {**asdict(found[0]), "receipt": found[1]}


@router.get("/{number}/photos/{photo}", summary="A photo of a report", response_class=Response)
async def read_photo(
    number: ReportId, photo: Annotated[int, Path(ge=1, le=2**63 - 1)], centre: CentreDep, caller: Reader
) -> Response:
    policy, report = await _seen(centre, caller, number, "report.read")
    if photo not in report.shown_photos:
        policy.check(caller.who, "report.moderate", subject_of(report), where=f"report {number}")
    for one in await desk_of(centre).photos(number):
        if one.id == photo:
            path = attachments.path_of(centre.settings, one)
            return FileResponse(path, media_type=one.type, headers={"Cache-Control": "private, no-store"})
    raise NotFoundError(f"report {number} has no photo {photo}")


_EVENT = documented(ReportEvent)
_OPENED = documented(Opened)


async def _did(centre: Centre, event: ReportEvent) -> Response:
    await tell(centre, [event])
    return _json(event)


@router.post("/{number}/accept", summary="Take a report on", response_class=Response, responses=_EVENT)
async def accept(
    number: ReportId,
    centre: CentreDep,
    caller: Moderator,
    body: Accepting = Accepting(),  # noqa: B008 - an empty body means nothing to say
) -> Response:
    await _seen(centre, caller, number, "report.moderate")
    event = await desk_of(centre).accept(
        number,
        caller.who,
        comment=body.comment,
        public_text=body.public_text,
        photos=body.photos,
        version=body.version,
    )
    return await _did(centre, event)


@router.post(
    "/{number}/edit",
    summary="Change what the public sees, the kind, the unit",
    response_class=Response,
    responses=_EVENT,
)
async def edit(number: ReportId, body: Editing, centre: CentreDep, caller: Moderator) -> Response:
    policy, _ = await _seen(centre, caller, number, "report.moderate")
    unit = None if body.unit is None else _unit(policy, body.unit)
    event = await desk_of(centre).edit(
        number,
        caller.who,
        public_text=body.public_text,
        photos=body.photos,
        service=body.service,
        unit=unit,
        comment=body.comment,
        version=body.version,
    )
    return await _did(centre, event)


def _unit(policy: Policy, code: str) -> str:
    if code in EVERYWHERE:
        return ""
    if code not in policy.below(""):
        raise InputError(f"there is no unit {code!r}", where="unit", hint="`thap units list` shows those there are")
    return code


@router.post("/{number}/comment", summary="Remark on a report", response_class=Response, responses=_EVENT)
async def comment(number: ReportId, body: Remark, centre: CentreDep, caller: Moderator) -> Response:
    await _seen(centre, caller, number, "report.moderate")
    return await _did(
        centre,
        await desk_of(centre).comment(
            number, caller.who, comment=body.comment, public=body.public, version=body.version
        ),
    )


@router.post(
    "/{number}/duplicate", summary="Say that an earlier report is the same", response_class=Response, responses=_EVENT
)
async def duplicate(number: ReportId, body: Same, centre: CentreDep, caller: Moderator) -> Response:
    await _seen(centre, caller, number, "report.moderate")
    await _seen(centre, caller, body.of, "report.read")
    event = await desk_of(centre).duplicate(number, caller.who, body.of, comment=body.comment, version=body.version)
    return await _did(centre, event)


@router.post(
    "/{number}/incident", summary="Open an incident that handles a report", response_class=Response, responses=_OPENED
)
async def open_incident(
    number: ReportId,
    centre: CentreDep,
    caller: Moderator,
    body: Opening = Opening(),  # noqa: B008 - an empty body means nothing to say
) -> Response:
    policy, report = await _seen(centre, caller, number, "report.moderate")
    unit = report.unit if body.unit is None else _unit(policy, body.unit)
    policy.check(caller.who, "incident.open", Subject("incident", (unit, report.commune), report.domain))
    opened = await desk_of(centre).open_incident(
        number, caller.who, title=body.title, severity=body.severity, unit=unit, version=body.version
    )
    return await _opened(centre, opened)


@router.post(
    "/{number}/link", summary="Say which incident handles a report", response_class=Response, responses=_OPENED
)
async def link(number: ReportId, body: Linking, centre: CentreDep, caller: Moderator) -> Response:
    await _seen(centre, caller, number, "report.moderate")
    await seen_incident(centre, caller, body.incident, "incident.work")
    opened = await desk_of(centre).link(number, caller.who, body.incident, comment=body.comment, version=body.version)
    return await _opened(centre, opened)


async def _opened(centre: Centre, opened: Opened) -> Response:
    for event in opened.incidents:
        await centre.bus.announce(LIVE_SUBJECT, announcement(event))
    await tell(centre, opened.reports)
    return _json(opened)


@router.post("/{number}/erase", summary="Erase who sent a report", response_class=Response)
async def erase(number: ReportId, centre: CentreDep, caller: Moderator) -> Response:
    await _seen(centre, caller, number, "personal.read")
    event = await desk_of(centre).erase(number, caller.who)
    if event is not None:
        await tell(centre, [event])
    return JsonAnswer({"erased": event is not None})


@router.post("/{number}/{act}", summary="Start, answer, reject, reopen", response_class=Response, responses=_EVENT)
async def act_on_report(
    number: ReportId,
    act: Literal["start", "answer", "reject", "reopen"],
    centre: CentreDep,
    caller: Moderator,
    body: Doing = Doing(),  # noqa: B008 - an empty body means nothing to say
) -> Response:
    await _seen(centre, caller, number, "report.moderate")
    desk = desk_of(centre)
    does: Mapping[str, Any] = {
        "start": desk.start,
        "answer": desk.answer,
        "reject": desk.reject,
        "reopen": desk.reopen,
    }
    return await _did(centre, await does[act](number, caller.who, comment=body.comment, version=body.version))
