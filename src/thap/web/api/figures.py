"""Figures of response, the incidents behind each, and the after-action report of one incident."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response

from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import DAY_US, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import InputError
from thap.measure.after_action.gather import gather
from thap.measure.after_action.writing import write_pdf
from thap.measure.response import Behind, By, Figure, ResponseFigures, incidents_behind, read_response
from thap.respond.incidents.listing import RESOURCE
from thap.web.api.alarms import documented
from thap.web.deps import Caller, CentreDep, policy_of, require
from thap.web.readings import note_incidents

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["figures"])
Reader = Annotated[Caller, Depends(require("incident.read"))]
Since = Annotated[
    str | None,
    Query(max_length=40, description="Moment (µs or ISO 8601) or length of time, as 30d; by default 30 days."),
]
Until = Annotated[str | None, Query(max_length=40, description="Moment; by default now.")]
GroupedBy = Annotated[By, Query(description="What incidents are grouped by.")]


def _period(since: str | None, until: str | None) -> tuple[int, int]:
    now = now_us()
    end = now if until is None else _moment(until, now, "until")
    return (end - 30 * DAY_US if since is None else _moment(since, end, "since")), end


def _moment(text: str, base: int, where: str) -> int:
    try:
        return base - parse_duration_us(text)
    except InputError:
        pass
    try:
        return parse_time_us(text)
    except InputError as error:
        raise InputError(error.message, where=where, hint="write 30d, or ISO 8601 as 2026-11-22T08:00:00Z") from None


@router.get(
    "/figures/response",
    summary="How soon incidents are acknowledged and resolved",
    response_class=Response,
    responses=documented(ResponseFigures),
)
async def read_response_figures(
    centre: CentreDep, caller: Reader, by: GroupedBy = "unit", since: Since = None, until: Until = None
) -> Response:
    policy = await policy_of(centre).current()
    begin, end = _period(since, until)
    where = policy.where(caller.who, "incident.read", RESOURCE)
    figures = await read_response(centre.records, begin, end, where, by)
    return Response(msgspec.json.encode(figures), media_type="application/json")


@router.get(
    "/figures/response/incidents",
    summary="The incidents behind a figure",
    response_class=Response,
    responses=documented(Behind),
)
async def read_incidents_behind(
    centre: CentreDep,
    caller: Reader,
    figure: Annotated[Figure, Query(description="Which figure.")],
    by: GroupedBy = "unit",
    key: Annotated[str | None, Query(max_length=64, description="The group; without it all together.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")] = None,
) -> Response:
    policy = await policy_of(centre).current()
    begin, end = _period(since, until)
    where = policy.where(caller.who, "incident.read", RESOURCE)
    page = await incidents_behind(centre.records, figure, begin, end, where, by=by, key=key, limit=limit, after=after)
    await note_incidents(centre, caller, policy, [one.id for one in page.items])
    return Response(msgspec.json.encode(page), media_type="application/json")


@router.get(
    "/incidents/{incident}/report.pdf",
    summary="After-action report",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}, "description": "Timeline, map, tasks and evidence."}},
)
async def read_after_action(
    centre: CentreDep,
    caller: Reader,
    incident: Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the incident.")],
    language: Annotated[Literal["vi", "en"], Query()] = "vi",
) -> Response:
    policy = await policy_of(centre).current()
    where = policy.where(caller.who, "incident.read", RESOURCE)
    report = await gather(centre.records, incident, language, caller.name, where)
    pdf = await asyncio.to_thread(write_pdf, report, language)
    await note_incidents(centre, caller, policy, [incident])
    async with centre.records.write() as connection:
        entry = Entry(caller.name, "export", f"incident:{incident}", {"what": "report.pdf"}, caller.address)
        await append_async(connection, [entry])
    headers = {"Content-Disposition": f'attachment; filename="incident-{incident}.pdf"'}
    return Response(pdf, media_type="application/pdf", headers=headers)
