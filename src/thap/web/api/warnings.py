"""/api/v1/warnings: warnings to the public, from draft to publication; feeds of others; subscribers.

What went out is public: `/feeds/warnings.atom` and the documents it names need no sign-in.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.clock import from_us, now_us
from thap.kernel.errors import DeniedError, InputError
from thap.kernel.policy import EVERYWHERE, Policy, Resource, Subject
from thap.kernel.units import PROVINCE_CODE
from thap.respond.incidents.listing import RESOURCE as INCIDENT
from thap.respond.incidents.model import LIVE_SUBJECT, Incident, NewLink, announcement
from thap.respond.incidents.sources import having_to_do_with
from thap.respond.warnings.book import WarningBook
from thap.respond.warnings.compose import Draft, from_incident, problems
from thap.respond.warnings.desk import Feed, Push, Received, Subscriber, WarningDesk
from thap.respond.warnings.document import parse, read
from thap.respond.warnings.model import Warning, WarningEvent, WarningPage
from thap.respond.warnings.records import warnings
from thap.respond.warnings.schema import faults
from thap.respond.warnings.signing import read_certificates, verify
from thap.respond.warnings.states import EDITABLE, State, WarningAction, next_state
from thap.web import feeds as public
from thap.web.api.alarms import documented
from thap.web.api.incidents import incidents_of
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.feeds import warnings_of
from thap.web.params import cursor_number, split
from thap.web.sight import note_reading

__all__ = ["RESOURCE", "router"]

router = APIRouter(prefix="/api/v1/warnings", tags=["warnings"])

RESOURCE = Resource(
    (warnings.c.unit,), warnings.c.domain, things=having_to_do_with(sa.func.coalesce(warnings.c.incident_id, 0))
)
Reader = Annotated[Caller, Depends(require("warning.read"))]
Composer = Annotated[Caller, Depends(require("warning.compose"))]
Approver = Annotated[Caller, Depends(require("warning.approve"))]
Keeper = Annotated[Caller, Depends(require("system.write"))]
Viewer = Annotated[Caller, Depends(require("system.read"))]
WarningId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the warning.")]
Words = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
Plain = Annotated[str, Field(pattern=r"^[^\x00-\x1f]*$")]
_MOST = 4 * 1024 * 1024
_WRITING = ("compose", "edit", "submit")


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A warning and its steps."""

    warning: Warning
    steps: list[WarningEvent]
    """The latest first."""
    may: list[str]
    """What the caller can do to it now: edit, submit, retract, withdraw, approve, return, update, cancel."""
    own: bool
    """Whether the caller wrote or submitted some of it, so that another person must approve it."""
    missing: list[Missing]
    """What keeps a draft from being submitted."""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """What is missing from a draft, or wrong with it."""

    where: str
    """The field, as `headline.en`."""
    message: str


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A warning that was begun."""

    warning: Warning
    event: WarningEvent


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What can be said of a CAP document."""

    valid: bool
    """Whether it keeps to the schema of CAP 1.2."""
    faults: list[str]
    signature: str
    """none, broken, valid or trusted."""
    signer: str
    reason: str
    """Why a signature is broken."""
    identifier: str
    sender: str
    message_type: str


class Composition(BaseModel):
    """A warning to begin."""

    model_config = ConfigDict(extra="forbid")

    draft: Draft | None = Field(None, description="What it says; by default what the incident says already.")
    incident: int | None = Field(None, ge=1, le=2**63 - 1, description="The incident it is about.")
    unit: str = Field(
        "", max_length=32, pattern=r"^[^\x00]*$", description="Unit it is for; by default the incident's."
    )
    domain: str = Field("", max_length=32, pattern=r"^[^\x00]*$")


class Edit(BaseModel):
    """All that a warning is to say."""

    model_config = ConfigDict(extra="forbid")

    draft: Draft
    version: int | None = Field(None, description="The version the person saw; refused with 409 where it changed.")


class Act(BaseModel):
    """What a person does to a warning, and why."""

    model_config = ConfigDict(extra="forbid")

    comment: Words = ""
    version: int | None = Field(None, description="The version the person saw; refused with 409 where it changed.")


class FollowUp(BaseModel):
    """An update or cancellation to begin."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["Update", "Cancel"]
    draft: Draft | None = Field(None, description="What it says; by default words are made ready.")


class FeedBody(BaseModel):
    """A feed of others to read."""

    model_config = ConfigDict(extra="forbid")

    url: Plain = Field(max_length=1000, description="Atom or RSS feed, or a CAP document.")
    domain: Plain = Field("", max_length=32, description="Domain of its alarms.")
    language: Plain = Field("vi-VN", max_length=16, description="Language preferred.")
    hosts: Plain = Field("", max_length=500, description="Hosts besides its own that its entries may lie on.")
    every_s: int = Field(60, ge=10, le=86_400)
    enabled: bool = True


class SubscriberBody(BaseModel):
    """Somebody to push warnings to."""

    model_config = ConfigDict(extra="forbid")

    url: Plain = Field(max_length=500)
    title: Plain = Field("", max_length=200)
    secret: Plain = Field("", max_length=128, description="Key of the HMAC-SHA256 that each push carries; shown never.")


async def _check_keeper(centre: Centre, caller: Caller) -> None:
    """Which addresses the centre reads from and sends to is for who looks after all of it.

    Raises:
        DeniedError: the caller may do so in a unit or a domain only.
    """
    if not (await policy_of(centre).current()).may(caller.who, "system.write", PROVINCE_CODE):
        raise DeniedError(f"{caller.name!r} may not change what the province reads and sends", where="system.write")


def _desk(centre: Centre) -> WarningDesk:
    made: WarningDesk = centre.parts.setdefault("warning_desk", WarningDesk(centre.records))
    return made


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


async def _visible(centre: Centre, caller: Caller) -> sa.ColumnElement[bool]:
    """Warnings the caller may see: those of their units, and all that went out."""
    policy = await policy_of(centre).current()
    return sa.or_(policy.where(caller.who, "warning.read", RESOURCE), warnings.c.state == str(State.PUBLISHED))


async def _one(centre: Centre, caller: Caller, number: int, action: str = "warning.read") -> Warning:
    """A warning the caller may see, and do this to.

    Raises:
        NotFoundError: there is none, or the caller may not see it.
        DeniedError: they may see it, but not do this.
    """
    found = await warnings_of(centre).get(number, await _visible(centre, caller))
    policy = await policy_of(centre).current()
    if action != "warning.read":
        policy.check(caller.who, action, _subject(found), where=f"warning {number}")
    await note_reading(centre, caller, policy, "warning", [(f"warning:{number}", _subject(found))])
    return found


def _subject(warning: Warning) -> Subject:
    return Subject("warning", (warning.unit,), warning.domain)


def _may(policy: Policy, caller: Caller, found: Warning, own: bool) -> list[str]:
    may: list[str] = []
    if policy.decide(caller.who, "warning.compose", _subject(found)).allowed:
        does: tuple[WarningAction, ...] = (
            WarningAction.EDIT,
            WarningAction.SUBMIT,
            WarningAction.RETRACT,
            WarningAction.WITHDRAW,
        )
        may += [str(one) for one in does if next_state(State(found.state), one) is not None]
        if found.state == State.PUBLISHED and found.replaced_by is None and found.message_type != "Cancel":
            may += ["update", "cancel"]
    if policy.decide(caller.who, "warning.approve", _subject(found)).allowed:
        does = (WarningAction.RETURN,) if own else (WarningAction.APPROVE, WarningAction.RETURN)
        may += [str(one) for one in does if next_state(State(found.state), one) is not None]
    return may


def _missing(found: Warning) -> list[Missing]:
    if found.state not in (*EDITABLE, State.SUBMITTED):
        return []
    told = problems(Draft.model_validate(found.draft), found.message_type, now_us())
    return [Missing(where=where, message=words) for where, _, words in (one.partition(": ") for one in told)]


async def _incident(centre: Centre, caller: Caller, number: int) -> Incident:
    policy = await policy_of(centre).current()
    return await incidents_of(centre).get(number, policy.where(caller.who, "incident.read", INCIDENT))


async def _told(centre: Centre, event: WarningEvent) -> None:
    await centre.bus.announce("centre.live.warning", event)


def _said(incident: Incident) -> dict[str, Any]:
    return {name: getattr(incident, name) for name in ("title", "description", "domain", "severity", "commune")}


@router.get("", summary="Warnings, the newest first", response_class=Response, responses=documented(WarningPage))
async def list_warnings(
    centre: CentreDep,
    caller: Reader,
    state: Annotated[list[str] | None, Query(description="States, as submitted; several by comma.")] = None,
    incident: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="About this incident.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=40, description="`next` of the page before.")] = None,
) -> Response:
    states = frozenset(split(state))
    if unknown := states - set(State):
        raise InputError(
            f"{min(unknown)[:40]!r} is not a state of a warning", where="state", hint=f"one of {', '.join(State)}"
        )
    policy = await policy_of(centre).current()
    page = await warnings_of(centre).list(
        await _visible(centre, caller),
        states=states,
        incident=incident,
        limit=limit,
        after=cursor_number(after) if after is not None else None,
    )
    await note_reading(centre, caller, policy, "warning", [(f"warning:{one.id}", _subject(one)) for one in page.items])
    return _json(page)


@router.post("", summary="Begin a warning", response_class=Response, responses=documented(Begun))
async def compose_warning(body: Composition, centre: CentreDep, caller: Composer) -> Response:
    incident = None if body.incident is None else await _incident(centre, caller, body.incident)
    if incident is None and body.draft is None:
        raise InputError("say what the warning says, or name an incident", where="body.draft")
    unit = body.unit or (incident.unit if incident else "")
    unit = "" if unit in EVERYWHERE else unit
    domain = body.domain or (incident.domain if incident else "")
    policy = await policy_of(centre).current()
    policy.check(caller.who, "warning.compose", Subject("warning", (unit,), domain), where=f"unit {unit or 'province'}")
    draft = body.draft or from_incident(_said(incident) if incident else {}, now_us())
    book = warnings_of(centre)
    event = await book.compose(caller.who, draft, incident=body.incident, unit=unit, domain=domain)
    await _told(centre, event)
    return _json(Begun(warning=await book.get(event.warning), event=event))


@router.get("/draft", summary="What a warning about an incident would begin with")
async def suggest_draft(
    centre: CentreDep, caller: Composer, incident: Annotated[int, Query(ge=1, le=2**63 - 1)]
) -> Draft:
    return from_incident(_said(await _incident(centre, caller, incident)), now_us())


@router.post("/check", summary="Check a CAP document", response_class=Response, responses=documented(Checked))
async def check_document(request: Request, centre: CentreDep, _caller: Reader) -> Response:
    """Send the document as the body."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST:
            raise InputError(f"a document has at most {_MOST >> 20} MiB", where="body")
    return _json(await asyncio.to_thread(_checked, centre, bytes(body)))


def _checked(centre: Centre, body: bytes) -> Checked:
    root = parse(body, "body", _MOST)
    alert = read(root, "body")
    wrong = [str(fault) for fault in faults(root)[:50]]
    trusted = read_certificates(centre.settings.warnings.trust)
    verdict = verify(root, trusted, at=from_us(min(max(alert.sent, 0), now_us())))
    return Checked(
        valid=not wrong,
        faults=wrong,
        signature=verdict.state,
        signer=verdict.signer,
        reason=verdict.reason,
        identifier=alert.identifier,
        sender=alert.sender,
        message_type=alert.message_type,
    )


@router.get("/feeds", summary="Feeds of others", response_class=Response, responses=documented(list[Feed]))
async def list_feeds(centre: CentreDep, _caller: Viewer) -> Response:
    return _json(await _desk(centre).feeds())


@router.put("/feeds/{name}", summary="Read a feed of others", response_class=Response, responses=documented(Feed))
async def put_feed(
    name: Annotated[str, Path(max_length=64)], body: FeedBody, centre: CentreDep, caller: Keeper
) -> Response:
    await _check_keeper(centre, caller)
    return _json(await _desk(centre).add_feed(caller.who, name, **body.model_dump()))


@router.delete("/feeds/{name}", summary="Read a feed no longer", status_code=204)
async def delete_feed(name: Annotated[str, Path(max_length=64)], centre: CentreDep, caller: Keeper) -> None:
    await _check_keeper(centre, caller)
    await _desk(centre).remove_feed(caller.who, name)


@router.get("/received", summary="Warnings of others", response_class=Response, responses=documented(list[Received]))
async def list_received(
    centre: CentreDep,
    _caller: Reader,
    feed: Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")] = "",
    state: Annotated[Literal["", "active", "replaced", "cancelled", "expired", "distant", "ignored"], Query()] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Number of the last one seen.")] = None,
) -> Response:
    return _json(await _desk(centre).received(feed=feed, state=state, limit=limit, after=after))


_SUBSCRIBERS = documented(list[Subscriber])


@router.get("/subscribers", summary="Whom warnings are pushed to", response_class=Response, responses=_SUBSCRIBERS)
async def list_subscribers(centre: CentreDep, caller: Keeper) -> Response:
    await _check_keeper(centre, caller)
    return _json(await _desk(centre).subscribers())


@router.post("/subscribers", summary="Push to an address", response_class=Response, responses=documented(Subscriber))
async def add_subscriber(body: SubscriberBody, centre: CentreDep, caller: Keeper) -> Response:
    await _check_keeper(centre, caller)
    return _json(await _desk(centre).subscribe(caller.who, body.url, body.title, body.secret))


@router.delete("/subscribers/{number}", summary="Push there no longer", status_code=204)
async def remove_subscriber(
    number: Annotated[int, Path(ge=1, le=2**31 - 1)], centre: CentreDep, caller: Keeper
) -> None:
    await _check_keeper(centre, caller)
    await _desk(centre).unsubscribe(caller.who, number)


@router.get("/{number}", summary="One warning with its steps", response_class=Response, responses=documented(Life))
async def read_warning(number: WarningId, centre: CentreDep, caller: Reader) -> Response:
    found = await _one(centre, caller, number)
    steps = list(await warnings_of(centre).life(number))
    own = any(one.by == caller.name and one.action in _WRITING for one in steps)
    may = _may(await policy_of(centre).current(), caller, found, own)
    return _json(Life(warning=found, steps=steps, may=may, own=own, missing=_missing(found)))


@router.put("/{number}", summary="Change what it says", response_class=Response, responses=documented(WarningEvent))
async def edit_warning(number: WarningId, body: Edit, centre: CentreDep, caller: Composer) -> Response:
    await _one(centre, caller, number, "warning.compose")
    event = await warnings_of(centre).edit(number, caller.who, body.draft, body.version)
    await _told(centre, event)
    return _json(event)


_XML: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/cap+xml": {}}, "description": "A CAP 1.2 document"}
}


@router.get("/{number}/preview", summary="The document it would be", response_class=Response, responses=_XML)
async def preview_warning(number: WarningId, centre: CentreDep, caller: Reader) -> Response:
    """Unsigned; what keeps it from being submitted is in the header `X-Thap-Missing`."""
    await _one(centre, caller, number)
    body, missing = await warnings_of(centre).preview(number)
    told = "; ".join(missing).encode("ascii", "replace").decode()[:2000]
    return Response(body, media_type="application/cap+xml", headers={"X-Thap-Missing": told} if told else {})


@router.get("/{number}/document", summary="The document that went out", response_class=Response, responses=_XML)
async def read_document(number: WarningId, centre: CentreDep, caller: Reader) -> Response:
    await _one(centre, caller, number)
    _, body = await warnings_of(centre).document(number)
    return Response(body, media_type="application/cap+xml")


@router.get(
    "/{number}/pushes", summary="How its pushes went", response_class=Response, responses=documented(list[Push])
)
async def read_pushes(number: WarningId, centre: CentreDep, caller: Reader) -> Response:
    await _one(centre, caller, number)
    return _json(await _desk(centre).pushes(number))


@router.post(
    "/{number}/follow-up",
    summary="Begin its update or cancellation",
    response_class=Response,
    responses=documented(Begun),
)
async def follow_up(number: WarningId, body: FollowUp, centre: CentreDep, caller: Composer) -> Response:
    await _one(centre, caller, number, "warning.compose")
    book = warnings_of(centre)
    event = await book.follow_up(number, caller.who, body.kind, body.draft)
    await _told(centre, event)
    return _json(Begun(warning=await book.get(event.warning), event=event))


_EVENT = documented(WarningEvent)


@router.post("/{number}/approve", summary="Approve it: it goes out", response_class=Response, responses=_EVENT)
async def approve_warning(number: WarningId, centre: CentreDep, caller: Approver, body: Act = Act()) -> Response:  # noqa: B008
    found = await _one(centre, caller, number, "warning.approve")
    book = warnings_of(centre)
    event = await book.approve(number, caller.who, body.comment, body.version)
    public.forget(centre)
    await _told(centre, event)
    if found.incident is not None:
        await _link(centre, caller, await book.get(number))
    return _json(event)


async def _link(centre: Centre, caller: Caller, sent: Warning) -> None:
    """Show the warning among what belongs to its incident. It went out; nothing may hide that."""
    detail = {"identifier": sent.identifier, "message_type": sent.message_type, "sent": sent.sent}
    link = NewLink("warning", str(sent.id), sent.headline, detail)
    try:
        event = await incidents_of(centre).link(int(sent.incident or 0), caller.name, link)
    except Exception as error:
        public.log.error("a warning could not be linked to its incident", warning=sent.id, exc_info=error)
        return
    await centre.bus.announce(LIVE_SUBJECT, announcement(event))


@router.post("/{number}/return", summary="Return it to who wrote it", response_class=Response, responses=_EVENT)
async def return_warning(number: WarningId, body: Act, centre: CentreDep, caller: Approver) -> Response:
    await _one(centre, caller, number, "warning.approve")
    event = await warnings_of(centre).send_back(number, caller.who, body.comment, body.version)
    await _told(centre, event)
    return _json(event)


@router.post("/{number}/{action}", summary="Act on a warning", response_class=Response, responses=_EVENT)
async def act_on_warning(
    number: WarningId,
    action: Literal["submit", "retract", "withdraw"],
    centre: CentreDep,
    caller: Composer,
    body: Act = Act(),  # noqa: B008 - an empty body means nothing to say
) -> Response:
    await _one(centre, caller, number, "warning.compose")
    book: WarningBook = warnings_of(centre)
    act = {"submit": book.submit, "retract": book.retract, "withdraw": book.withdraw}[action]
    event = await act(number, caller.who, body.comment, body.version)
    await _told(centre, event)
    return _json(event)
