"""/api/v1/incidents: what alarms and reports became, who answers for it, and what was done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Response

from thap.domains.known_records import check_domain
from thap.kernel.clock import now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.places import communes
from thap.kernel.policy import EVERYWHERE, Policy, Resource, Subject
from thap.kernel.store import Store, Transaction
from thap.respond.incidents.attachments import attached
from thap.respond.incidents.book import IncidentBook, act, open_many, split
from thap.respond.incidents.listing import CountBy, IncidentFilter, IncidentSort, count_incidents, counts_of, scope_of
from thap.respond.incidents.mentions import Call, called
from thap.respond.incidents.model import (
    LIVE_SUBJECT,
    Act,
    Draft,
    Incident,
    IncidentEvent,
    announcement,
)
from thap.respond.incidents.records import IncidentRows, incident_of
from thap.respond.incidents.resembling import resembling
from thap.respond.incidents.sources import things_in, things_of
from thap.respond.incidents.states import LIVE, IncidentState
from thap.respond.records import alarms
from thap.respond.warnings.records import warnings
from thap.services.reports.records import reports
from thap.web.api.alarms import documented, severities
from thap.web.api.incident_bodies import (
    Alike,
    Assigning,
    Counts,
    Editing,
    Events,
    Incidents,
    Level,
    Like,
    Linking,
    Merging,
    Moving,
    Opened,
    Rating,
    Remark,
    Reported,
    Said,
    Several,
    Splitting,
    WholeIncident,
)
from thap.web.api.linked_alarms import acknowledge_linked
from thap.web.api.places import locator_of
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.once import OnceDep
from thap.web.params import split as split_words
from thap.web.sight import note_reading, store_of

__all__ = ["incidents_of", "perform", "router", "seen"]

T = TypeVar("T")
router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"])
Reader = Annotated[Caller, Depends(require("incident.read"))]
Worker = Annotated[Caller, Depends(require("incident.work"))]
Opener = Annotated[Caller, Depends(require("incident.open"))]
IncidentId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the incident.")]
_LEVELS = {"low": 1, "medium": 2, "high": 3, "critical": 4}
_NEEDS = {"close": "incident.close", "reopen": "incident.close", "reject": "incident.close"}
_EVENTS_SHOWN = 500


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def incidents_of(centre: Centre) -> IncidentBook:
    """The incident book of this process, made at first use."""
    found: IncidentBook | None = centre.parts.get("incidents")
    if found is None:
        found = centre.parts["incidents"] = IncidentBook(centre.records, store_of(centre))
    return found


def _subject(incident: Incident | Mapping[str, Any], things: tuple[str, ...] = ()) -> Subject:
    """An incident as policy sees it, with what it has to do with."""
    if isinstance(incident, Incident):
        return Subject("incident", (incident.unit, incident.commune), incident.domain, things=things)
    return Subject("incident", (incident["unit"], incident["commune"]), incident["domain"], things=things)


async def _subjects(centre: Centre, policy: Policy, found: Sequence[Incident]) -> dict[int, Subject]:
    """By number, incidents as policy sees them."""
    async with centre.records.read() as connection:
        things = await things_of(connection, policy, [one.id for one in found])
    return {one.id: _subject(one, things.get(one.id, ())) for one in found}


async def seen(
    centre: Centre, caller: Caller, number: int, need: str = "incident.read"
) -> tuple[Policy, Incident, Subject]:
    """An incident that the caller may do something to; its being read is noted where it is restricted.

    Raises:
        NotFoundError: there is none, or the caller may not know of it.
        DeniedError: the caller may see it, not do this.
    """
    policy = await policy_of(centre).current()
    incident = await incidents_of(centre).get(number)
    subject = (await _subjects(centre, policy, [incident]))[number]
    _check(policy, caller, need, number, subject)
    await note_reading(centre, caller, policy, "incident", [(f"incident:{number}", subject)])
    return policy, incident, subject


def _check(policy: Policy, caller: Caller, need: str, number: int, subject: Subject | None) -> None:
    """As `Policy.check`; what may not be seen is refused in the words of the book, so that nobody learns which numbers
    there are."""
    if subject is not None:
        with contextlib.suppress(NotFoundError):
            policy.check(caller.who, need, subject, where=f"incident {number}")
            return
    raise NotFoundError(f"there is no incident {number}", hint="`thap incidents list` shows those there are")


async def perform(
    centre: Centre,
    caller: Caller,
    needs: Mapping[int, str],
    work: Callable[[Transaction], list[IncidentEvent]],
    store: Store | None = None,
) -> list[IncidentEvent]:
    """Run a transaction on incidents that the caller may do something to, and announce what it did.

    Args:
        centre: the centre.
        caller: who does it.
        needs: number → action of policy. It is asked of the rows as they are then, locked.
        work: writes, and returns the events.
        store: where it is done; by default the store of this process.

    Raises:
        NotFoundError, DeniedError: as `seen`, of any of them; nothing was done.
    """
    policy = await policy_of(centre).current()

    def guarded(tx: Transaction) -> list[IncidentEvent]:
        held = IncidentRows(tx).many(needs)
        for number, need in needs.items():
            row = held.get(number)
            subject = None if row is None else _subject(row, things_in(tx, policy, number))
            _check(policy, caller, need, number, subject)
        return work(tx)

    events = await (store or store_of(centre)).transact(guarded)
    for event in events:
        await centre.bus.announce(LIVE_SUBJECT, announcement(event))
    return events


async def _acted(centre: Centre, caller: Caller, need: str, one: Act) -> Response:
    """Do one act; whom its comment calls is told."""
    call = await _call(centre, caller, one.incident, one.comment)

    def work(tx: Transaction) -> list[IncidentEvent]:
        call.tell(tx)
        return act(tx, [one])

    return _json((await perform(centre, caller, {one.incident: need}, work))[0])


async def _call(centre: Centre, caller: Caller, number: int, comment: str) -> Call:
    if "@" not in comment:
        return Call()
    policy, incident, subject = await seen(centre, caller, number)
    return called(policy, subject, incident, caller.name, comment)


def _level(value: Level) -> int:
    level = value if isinstance(value, int) else _LEVELS.get(value.lower(), 0)
    if not 1 <= level <= 4:
        raise InputError("severity is low, medium, high, critical, or 1 to 4", where="severity")
    return level


def _unit(policy: Policy, code: str) -> str:
    """A unit's code as incidents keep it; the province is ''."""
    if code in EVERYWHERE:
        return ""
    if code not in policy.below(""):
        raise InputError(f"there is no unit {code!r}", where="unit", hint="`thap units list` shows those there are")
    return code


def _moment(text: str | None, where: str) -> int | None:
    """A moment, or a length of time before now."""
    if text is None:
        return None
    try:
        return now_us() - parse_duration_us(text)
    except InputError:
        pass
    try:
        return parse_time_us(text)
    except InputError as error:
        raise InputError(error.message, where=where, hint="write 7d, or ISO 8601 as 2026-11-22T08:00:00Z") from None


def _chosen(
    state: Annotated[list[str] | None, Query(description="States, as open; several by comma.")] = None,
    domain: Annotated[list[str] | None, Query(description="Domains, as sand.")] = None,
    unit: Annotated[list[str] | None, Query(description="Responsible units; `82` is the province.")] = None,
    commune: Annotated[list[str] | None, Query(description="Codes of communes they lie in.")] = None,
    severity: Annotated[list[str] | None, Query(description="low, medium, high, critical, or 1 to 4.")] = None,
    owner: Annotated[list[str] | None, Query(description="Logins; `-` is nobody.")] = None,
    origin: Annotated[list[str] | None, Query(description="alarm, hand, report, story.")] = None,
    late: Annotated[bool, Query(description="Only those not done whose deadline is over.")] = False,
    cleared: Annotated[bool, Query(description="Only those with alarms, none of which is true any more.")] = False,
    since: Annotated[str | None, Query(max_length=40, description="Opened since: moment, or length as 7d.")] = None,
    until: Annotated[str | None, Query(max_length=40, description="Opened before.")] = None,
    text: Annotated[str, Query(max_length=200, description="Part of title or description.")] = "",
) -> IncidentFilter:
    states = frozenset(split_words(state))
    for value in states - set(IncidentState):
        raise InputError(
            f"{value!r} is not a state of an incident", where="state", hint=f"one of {', '.join(IncidentState)}"
        )
    if late:
        states = (states or LIVE) & LIVE or frozenset(("-",))
    return IncidentFilter(
        states=frozenset(map(str, states)),
        domains=frozenset(split_words(domain)),
        units=frozenset("" if code in EVERYWHERE else code for code in split_words(unit)),
        communes=frozenset(split_words(commune)),
        severities=severities(severity),
        owners=frozenset("" if login == "-" else login for login in split_words(owner)),
        origins=frozenset(split_words(origin)),
        since=_moment(since, "since"),
        until=_moment(until, "until"),
        due_before=now_us() if late else None,
        cleared=cleared,
        text=text.strip().replace("\x00", ""),
    )


Chosen = Annotated[IncidentFilter, Depends(_chosen)]
_EVENT = documented(IncidentEvent)


@router.get("", summary="Incidents as they stand", response_class=Response, responses=documented(Incidents))
async def read_incidents(
    centre: CentreDep,
    caller: Reader,
    chosen: Chosen,
    sort: Annotated[IncidentSort, Query(description="Column, with - for descending.")] = "-opened",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")] = None,
) -> Response:
    """Only those the caller may see, and `total` counts only those."""
    policy = await policy_of(centre).current()
    scope = scope_of(policy, caller.who)
    page = await incidents_of(centre).list(scope, chosen, sort=sort, limit=limit, after=after)
    async with centre.records.read() as connection:
        total = await count_incidents(connection, scope, chosen)
    if policy.restrictions:
        subjects = await _subjects(centre, policy, page.items)
        told = [(f"incident:{number}", subject) for number, subject in subjects.items()]
        await note_reading(centre, caller, policy, "incident", told)
    return _json(Incidents(items=page.items, total=total, next=page.next))


@router.get("/counts", summary="How many there are of each kind", response_class=Response, responses=documented(Counts))
async def count(
    centre: CentreDep,
    caller: Reader,
    chosen: Chosen,
    by: Annotated[CountBy, Query(description="Column.")] = "state",
) -> Response:
    scope = scope_of(await policy_of(centre).current(), caller.who)
    async with centre.records.read() as connection:
        counts = await counts_of(connection, scope, chosen, by)
    return _json(Counts(by=by, counts=counts, total=sum(counts.values())))


@router.post(
    "",
    summary="Open an incident by hand",
    status_code=201,
    response_class=Response,
    responses={201: documented(Opened)[200]},
)
async def open_incident(body: Reported, centre: CentreDep, caller: Opener, once: OnceDep) -> Response:
    """Nothing is joined by itself: `duplicates` are those that may be the same, to be merged by a person."""
    await once.begin(centre, caller, body, lambda: _openable(centre, caller, body))
    draft = await _openable(centre, caller, body)
    like = await _alike(centre, caller, draft, body.time or now_us())
    made: dict[int, Incident] = {}

    def work(tx: Transaction) -> list[IncidentEvent]:
        events = open_many(tx, [draft], caller.name)
        number = events[0].incident
        made[number] = incident_of(IncidentRows(tx).many([number])[number])
        return events

    def answer(events: list[IncidentEvent]) -> Opened:
        return Opened(incident=made[events[0].incident], duplicates=like)

    events = await perform(centre, caller, {}, work, once.store(centre, caller, answer, 201))
    return _json(answer(events), 201)


async def _openable(centre: Centre, caller: Caller, body: Reported) -> Draft:
    """What is to be opened, where the caller may open it.

    Raises:
        InputError: it names what there is not.
        DeniedError: they may not open it there.
    """
    policy = await policy_of(centre).current()
    draft = await _draft(centre, caller, policy, body)
    subject = Subject("incident", (draft.unit, draft.commune), draft.domain)
    decision = policy.decide(caller.who, "incident.open", subject)
    if not decision.allowed:
        raise DeniedError(
            f"{caller.name!r} may not open an incident there: {decision.reasons[-1]}",
            where="incident.open",
            hint="name a unit or a commune of your own",
        )
    return draft


async def _draft(centre: Centre, caller: Caller, policy: Policy, body: Reported) -> Draft:
    commune = body.commune
    if (body.lon is None) != (body.lat is None):
        raise InputError("a place has a longitude and a latitude", where="lon")
    commune = await _commune_at(centre, commune, body.lon, body.lat)
    async with centre.records.read() as connection:
        await check_domain(connection, body.domain)
    return Draft(
        title=body.title,
        description=body.description,
        domain=body.domain,
        severity=_level(body.severity),
        unit=_unit(policy, caller.who.unit if body.unit is None else body.unit),
        commune=commune,
        lon=body.lon,
        lat=body.lat,
        origin="hand",
        time=body.time,
    )


async def _commune_at(centre: Centre, commune: str, lon: float | None, lat: float | None) -> str:
    """The commune named, or the one a place lies in.

    Raises:
        InputError: there is no such commune, or the place lies outside the province.
    """
    if commune and commune not in {one.code for one in communes()}:
        raise InputError(
            f"there is no commune {commune!r}", where="commune", hint="`thap places search NAME` shows its code"
        )
    if lon is None or lat is None:
        return commune
    found = str((await locator_of(centre)).codes_of([lon], [lat])[0])
    if not found:
        raise InputError(
            "this place lies outside the province",
            where="lon",
            hint="degrees of WGS 84, longitude about 105 to 107; or name the commune alone",
        )
    return commune or found


async def _alike(centre: Centre, caller: Caller, draft: Draft, time: int, but: int | None = None) -> list[Like]:
    scope = scope_of(await policy_of(centre).current(), caller.who)
    async with centre.records.read() as connection:
        found = await resembling(connection, scope, draft, time, but=but)
    return [Like(**msgspec.structs.asdict(like), incident=incident) for like, incident in found]


@router.post(
    "/duplicates",
    summary="Incidents that may be the same as what is told",
    response_class=Response,
    responses=documented(Alike),
)
async def find_duplicates(body: Reported, centre: CentreDep, caller: Reader) -> Response:
    draft = await _draft(centre, caller, await policy_of(centre).current(), body)
    return _json(Alike(items=await _alike(centre, caller, draft, body.time or now_us())))


@router.get("/{number}", summary="One incident", response_class=Response, responses=documented(WholeIncident))
async def read_incident(number: IncidentId, centre: CentreDep, caller: Reader) -> Response:
    policy, incident, subject = await seen(centre, caller, number)
    book = incidents_of(centre)
    links = await book.links(number)
    wanted = ("incident.work", "incident.assign", "incident.close", "task.work")
    return _json(
        WholeIncident(
            incident=incident,
            links=links,
            attachments=await attached(centre.records, [link.ref for link in links if link.kind == "file"]),
            events=await book.life(number, _EVENTS_SHOWN),
            total=incident.events,
            may=[action for action in wanted if policy.decide(caller.who, action, subject).allowed],
        )
    )


@router.get("/{number}/events", summary="Its history", response_class=Response, responses=documented(Events))
async def read_events(
    number: IncidentId,
    centre: CentreDep,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="`next` of the page before.")] = None,
) -> Response:
    await seen(centre, caller, number)
    found = await incidents_of(centre).life(number, limit + 1, before)
    more = len(found) > limit
    return _json(Events(items=found[:limit], next=found[limit - 1].nth if more else None))


@router.get(
    "/{number}/duplicates",
    summary="Incidents that may be the same",
    response_class=Response,
    responses=documented(Alike),
)
async def read_duplicates(number: IncidentId, centre: CentreDep, caller: Reader) -> Response:
    _, one, _ = await seen(centre, caller, number)
    draft = Draft(one.title, one.description, one.domain, commune=one.commune, lon=one.lon, lat=one.lat)
    return _json(Alike(items=await _alike(centre, caller, draft, one.opened, but=number)))


@router.post("/{number}/comment", summary="Remark on it", response_class=Response, responses=documented(Said))
async def comment_incident(
    number: IncidentId, body: Remark, centre: CentreDep, caller: Worker, once: OnceDep
) -> Response:
    await once.begin(centre, caller, body, lambda: seen(centre, caller, number, "incident.work"))
    call = await _call(centre, caller, number, body.comment)

    def work(tx: Transaction) -> list[IncidentEvent]:
        call.tell(tx)
        return act(tx, [Act(number, "comment", caller.name, body.comment, None, detail)])

    def answer(events: list[IncidentEvent]) -> Said:
        return Said(event=events[0], called=call.logins, unknown=call.unknown)

    detail = {"position": body.position.model_dump()} if body.position else {}
    store = once.store(centre, caller, answer)
    return _json(answer(await perform(centre, caller, {number: "incident.work"}, work, store)))


@router.post("/{number}/assign", summary="Give it to a unit or a person", response_class=Response, responses=_EVENT)
async def assign_incident(number: IncidentId, body: Assigning, centre: CentreDep, caller: Worker) -> Response:
    """Whoever may work on it may take it on; to give it to others takes more."""
    policy, incident, subject = await seen(centre, caller, number)
    detail: dict[str, str] = {}
    if body.unit is not None:
        detail["unit"] = _unit(policy, body.unit)
    if body.owner is not None:
        detail["owner"] = _owner(policy, body.owner, subject, incident, detail.get("unit", incident.unit))
    if not detail:
        raise InputError("say to which unit, or to whom", where="body", hint='send {"unit": …}, {"owner": …} or both')
    need = "incident.work" if detail == {"owner": caller.name} else "incident.assign"
    return await _acted(centre, caller, need, Act(number, "assign", caller.name, body.comment, body.version, detail))


def _owner(policy: Policy, login: str, before: Subject, incident: Incident, unit: str) -> str:
    """The login of somebody who may see it once it is the unit's; '' is nobody."""
    if not login:
        return ""
    who = policy.person(login.lower())
    subject = replace(before, units=(unit, incident.commune))
    if who is None or not policy.decide(who, "incident.work", subject).allowed:
        raise InputError(
            f"{login!r} is nobody who may work on this incident",
            where="owner",
            hint="`thap policy explain` says what somebody may do",
        )
    return who.name


@router.post("/{number}/severity", summary="Say how severe it is", response_class=Response, responses=_EVENT)
async def rate_incident(number: IncidentId, body: Rating, centre: CentreDep, caller: Worker) -> Response:
    detail = {"severity": _level(body.severity)}
    return await _acted(
        centre, caller, "incident.work", Act(number, "severity", caller.name, body.comment, body.version, detail)
    )


@router.patch("/{number}", summary="Say it otherwise", response_class=Response, responses=_EVENT)
async def edit_incident(number: IncidentId, body: Editing, centre: CentreDep, caller: Worker) -> Response:
    """`null` for `lon` and `lat` takes the place away. A change of domain or commune may change who sees it."""
    nullable = {"lon", "lat"}
    given = body.model_dump(exclude={"comment", "version"}, exclude_unset=True)
    detail = {name: value for name, value in given.items() if value is not None or name in nullable}
    await _commune_at(centre, body.commune or "", body.lon, body.lat)
    async with centre.records.read() as connection:
        await check_domain(connection, body.domain or "")
    return await _acted(
        centre, caller, "incident.work", Act(number, "edit", caller.name, body.comment, body.version, detail)
    )


@router.post("/{number}/links", summary="Link evidence", response_class=Response, responses=_EVENT)
async def link_evidence(number: IncidentId, body: Linking, centre: CentreDep, caller: Worker) -> Response:
    detail = {"kind": body.kind, "ref": body.ref, "title": body.title, "detail": body.detail}
    await _check_evidence(centre, caller, body)
    if body.kind == "incident":
        if not body.ref.isdecimal() or len(body.ref) > 18:
            raise InputError("an incident is named by its number", where="ref")
        await seen(centre, caller, int(body.ref))
    return await _acted(
        centre, caller, "incident.work", Act(number, "link", caller.name, body.comment, body.version, detail)
    )


_EVIDENCE: Mapping[str, tuple[sa.Table, Resource]] = {
    "alarm": (alarms, Resource((alarms.c.commune,), alarms.c.domain, alarms.c.source)),
    "report": (reports, Resource((reports.c.unit, reports.c.commune), reports.c.domain)),
    "warning": (warnings, Resource((warnings.c.unit,), warnings.c.domain)),
}
"""What has a policy of its own, by kind of link; it is linked by who may see it."""


async def _check_evidence(centre: Centre, caller: Caller, body: Linking) -> None:
    if body.kind not in _EVIDENCE:
        return
    if not (body.ref.isascii() and body.ref.isdecimal()) or len(body.ref) > 18:
        raise InputError(f"{body.kind} is named by its number", where="ref")
    table, resource = _EVIDENCE[body.kind]
    seen_by = (await policy_of(centre).current()).where(caller.who, f"{body.kind}.read", resource)
    async with centre.records.read() as connection:
        found = await connection.scalar(sa.select(table.c.id).where(table.c.id == int(body.ref), seen_by))
    if found is None:
        raise NotFoundError(f"there is no {body.kind} {body.ref}", where="ref")


@router.delete("/{number}/links/{link}", summary="Take a link away", response_class=Response, responses=_EVENT)
async def unlink_evidence(
    number: IncidentId,
    link: Annotated[int, Path(ge=1, le=2**63 - 1)],
    centre: CentreDep,
    caller: Worker,
    comment: Annotated[str, Query(max_length=10_000, pattern=r"^[^\x00]*$")] = "",
) -> Response:
    """That it was there stays in the history."""
    return await _acted(
        centre, caller, "incident.work", Act(number, "unlink", caller.name, comment, None, {"link": link})
    )


@router.post(
    "/{number}/merge", summary="Let another take it over", response_class=Response, responses=documented(Several)
)
async def merge_incident(number: IncidentId, body: Merging, centre: CentreDep, caller: Worker) -> Response:
    """Both keep their histories; what belongs to it belongs to the other too. The event of this one comes first."""
    one = Act(
        number,
        "merge",
        caller.name,
        body.comment,
        body.version,
        {"into": body.into, "into_version": body.into_version},
    )
    needs = {number: "incident.work", body.into: "incident.work"}
    return _json(Several(events=await perform(centre, caller, needs, lambda tx: act(tx, [one]))))


@router.post(
    "/{number}/split",
    summary="Make a part of it an incident of its own",
    response_class=Response,
    responses=documented(Several),
)
async def split_incident(number: IncidentId, body: Splitting, centre: CentreDep, caller: Worker) -> Response:
    """The event `open` of the new one comes first; its `incident` is the new number."""
    one = Act(number, "split", caller.name, body.comment, body.version)
    return _json(
        Several(
            events=await perform(
                centre, caller, {number: "incident.work"}, lambda tx: split(tx, one, body.links, body.title)
            )
        )
    )


@router.post("/{number}/{action}", summary="Act on it", response_class=Response, responses=_EVENT)
async def act_on_incident(
    number: IncidentId,
    action: Literal["acknowledge", "start", "wait", "resume", "resolve", "close", "reopen", "reject"],
    centre: CentreDep,
    caller: Reader,
    body: Moving = Moving(),  # noqa: B008 - an empty body means nothing to say
) -> Response:
    """`reopen` and `reject` ask for a reason in `comment`."""
    need = _NEEDS.get(action, "incident.work")
    if body.alarms and action != "acknowledge":
        raise InputError("alarms are acknowledged with their incident only", where="alarms", hint="leave it out")
    answer = await _acted(centre, caller, need, Act(number, action, caller.name, body.comment, body.version))
    if body.alarms:
        await acknowledge_linked(centre, caller, number, body.comment)
    return answer
