"""/api/v1/incidents/…/alarms and /people, /api/v1/domains: what the desk shows beside an incident."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Response

from thap.domains.domain import domains
from thap.domains.known_records import known_domains
from thap.kernel.policy import Subject
from thap.respond.alarm import Alarm
from thap.respond.incidents.linked_alarms import linked_alarms, quiet_since
from thap.web.api.alarms import documented
from thap.web.api.incidents import IncidentId, Reader, seen
from thap.web.api.linked_alarms import SEEN_AS
from thap.web.deps import CentreDep
from thap.web.sight import note_reading

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["incidents"])


class LinkedAlarms(msgspec.Struct, frozen=True, kw_only=True):
    """The alarms of an incident that the caller may see, true ones first."""

    items: Sequence[Alarm]
    quiet_since: int | None
    """When the last of all its alarms cleared, µs; None while one is true, or where it has none."""


class Colleague(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may see an incident."""

    login: str
    unit: str
    work: bool
    """Whether they may work on it, and so be given it."""


class Colleagues(msgspec.Struct, frozen=True, kw_only=True):
    """Who may see an incident, by login."""

    items: list[Colleague]


class DomainName(msgspec.Struct, frozen=True, kw_only=True):
    """A domain by its name."""

    name: str
    title: dict[str, str]
    """By language; empty for one that no package installed here brings."""


class DomainNames(msgspec.Struct, frozen=True, kw_only=True):
    """The domains there are."""

    items: list[DomainName]


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


@router.get("/domains", summary="The domains there are", response_class=Response, responses=documented(DomainNames))
async def read_domains(centre: CentreDep, _caller: Reader) -> Response:
    installed = domains()
    async with centre.records.read() as connection:
        known = await known_domains(connection)
    titles = {name: installed[name].title if name in installed else {} for name in sorted(known)}
    return _json(DomainNames(items=[DomainName(name=name, title=title) for name, title in titles.items()]))


@router.get(
    "/incidents/{number}/alarms", summary="Its alarms", response_class=Response, responses=documented(LinkedAlarms)
)
async def read_linked_alarms(number: IncidentId, centre: CentreDep, caller: Reader) -> Response:
    policy, _, _ = await seen(centre, caller, number)
    within = policy.where(caller.who, "alarm.read", SEEN_AS)
    async with centre.records.read() as connection:
        items = await linked_alarms(connection, number, within)
        quiet = await quiet_since(connection, number)
    told = [(f"alarm:{one.id}", Subject("alarm", (one.commune,), one.domain, one.source)) for one in items]
    await note_reading(centre, caller, policy, "alarm", told)
    return _json(LinkedAlarms(items=items, quiet_since=quiet))


@router.get(
    "/incidents/{number}/people",
    summary="Who may see it, to be called or given it",
    response_class=Response,
    responses=documented(Colleagues),
)
async def read_colleagues(number: IncidentId, centre: CentreDep, caller: Reader) -> Response:
    """Logins and units only."""
    policy, _, subject = await seen(centre, caller, number)
    able = {who.name for who in policy.people_who("incident.work", subject)}
    found = [
        Colleague(login=who.name, unit=who.unit, work=who.name in able)
        for who in policy.people_who("incident.read", subject)
    ]
    return _json(Colleagues(items=found))
