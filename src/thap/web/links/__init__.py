"""/a/…: a person who was told of an incident takes it up from the notice, with one tap, without signing in.

The link itself is the credential: signed, for one person and one chain, and it ends. Opening it changes nothing,
since mail scanners open links too; the button on the page does.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from thap.kernel.clock import VIETNAM, from_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.policy import Subject
from thap.kernel.units import commune
from thap.respond.escalation.records import escalation_by_id
from thap.respond.incidents.model import LIVE_SUBJECT, Incident, announcement
from thap.respond.incidents.sources import things_of
from thap.respond.incidents.states import IncidentState
from thap.respond.notify.links import ExpiredLinkError, Links, Purpose
from thap.web.api.incidents import incidents_of
from thap.web.deps import Centre, CentreDep, policy_of

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
_HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}
_STATUS = {"ready": 200, "done": 200, "already": 409, "expired": 410, "invalid": 404, "denied": 403}


@router.get("/a/style.css")
async def style() -> Response:
    """How the page looks."""
    body = (files(__name__) / "style.css").read_bytes()
    return Response(body, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


@router.get("/a/{token}")
async def look(centre: CentreDep, token: str) -> Response:
    """The page with the button; nothing is changed."""
    return await _answer(centre, token, act=False)


@router.post("/a/{token}")
async def take(centre: CentreDep, token: str) -> Response:
    """The button: acknowledges the incident for the person the link was sent to."""
    return await _answer(centre, token, act=True)


async def _answer(centre: Centre, token: str, *, act: bool) -> Response:
    try:
        purpose = _links(centre).read(token)
    except ExpiredLinkError:
        return _page("expired")
    except InputError:
        return _page("invalid")
    book = incidents_of(centre)
    try:
        incident = await book.get(purpose.incident)
    except NotFoundError:
        return _page("invalid")
    policy = await policy_of(centre).current()
    who = policy.person(purpose.login)
    async with centre.records.read() as connection:
        things = (await things_of(connection, policy, [incident.id])).get(incident.id, ())
    subject = Subject("incident", (incident.unit, incident.commune), incident.domain, things=things)
    if who is None or not policy.decide(who, "incident.work", subject).allowed:
        return _page("denied")
    if not await _waits(centre, purpose, incident):
        return _page("already", incident, purpose.login)
    if not act:
        return _page("ready", incident, purpose.login)
    try:
        event = await book.acknowledge(purpose.incident, purpose.login, version=incident.version)
    except ConflictError:  # another was quicker, or it changed under the finger: look again
        incident = await book.get(purpose.incident)
        outcome = "ready" if incident.state == IncidentState.OPEN else "already"
        return _page(outcome, incident, purpose.login, status=409)
    await centre.bus.announce(LIVE_SUBJECT, announcement(event))
    return _page("done", await book.get(purpose.incident), purpose.login)


async def _waits(centre: Centre, purpose: Purpose, incident: Incident) -> bool:
    """Whether the chain the link came from still waits for somebody: a link does not serve for a later one."""
    if incident.state != IncidentState.OPEN:
        return False
    async with centre.records.read() as connection:
        chain = await escalation_by_id(connection, purpose.escalation)
    return chain is not None and chain.incident == incident.id and chain.state == "running"


def _page(outcome: str, incident: Incident | None = None, login: str = "", *, status: int | None = None) -> Response:
    words = _words()
    text = _template().render(
        vi=words["vi"],
        en=words["en"],
        outcome=outcome,
        incident=incident,
        login=login,
        by=incident.acknowledged_by if incident is not None and outcome in ("done", "already") else "",
        place=_place(incident.commune) if incident is not None else "",
        opened="" if incident is None else from_us(incident.opened).astimezone(VIETNAM).strftime("%d/%m/%Y %H:%M"),
    )
    return HTMLResponse(text, status or _STATUS[outcome], _HEADERS)


def _place(code: str) -> str:
    try:
        return commune(code).title
    except NotFoundError:
        return code


@cache
def _words() -> dict[str, dict[str, str]]:
    return tomllib.loads((files(__name__) / "messages" / "links.toml").read_text("utf-8"))


@cache
def _template() -> Any:
    from jinja2 import Environment

    source = (files(__name__) / "page.html").read_text("utf-8")
    return Environment(autoescape=True, trim_blocks=True).from_string(source)


def _links(centre: Centre) -> Links:
    found: Links | None = centre.parts.get("links")
    if found is None:
        found = centre.parts["links"] = Links(centre.settings)
    return found
