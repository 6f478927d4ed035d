"""/api/v1/stream: what happens, as it happens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from thap.web.auth import authenticate
from thap.web.deps import CallerDep, Centre, CentreDep
from thap.web.live import Live
from thap.web.params import FilterDep, split
from thap.web.sight import Sight, sight_of
from thap.web.sse import EventStream, Hub, parse_event_id

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["live"])


@router.get(
    "/stream",
    response_class=Response,
    summary="Server-sent events",
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events until either side closes."}},
)
async def stream(
    request: Request,
    centre: CentreDep,
    caller: CallerDep,
    wanted: FilterDep,
    kinds: Annotated[
        list[str] | None,
        Query(
            description="Of alarm, observation, position, stage, incident, report, warning, duty, "
            "quarantine, registry, rules; alarm alone if not given."
        ),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Query(
            description="Id of the last event had, as the header Last-Event-ID: "
            "goes on after it, alarms without gaps or doubles, and latest values "
            "that changed since once. 0.0 gives everything there is."
        ),
    ] = None,
    last_event: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """Events `alarm` carry one transition of an alarm. Events `observation` and `position` carry, at most four times
    a second, the latest values that changed, as columns: `source`, `time`, `received` (µs) and the values. Events
    `incident`, `report`, `warning` and `duty` say what changed, not how: what was said is read anew, under policy. Only
    what the caller may see is carried.
    """
    hub, live = _parts(centre)

    async def prove() -> Sight:
        return await sight_of(centre, await authenticate(request, "read"))

    resume = parse_event_id(last_event or last_event_id)
    sight = await sight_of(centre, caller)
    console = await hub.join(frozenset(split(kinds) or ["alarm"]), wanted, resume, sight)
    return EventStream(hub, live, console, prove)


def _parts(centre: Centre) -> tuple[Hub, Live]:
    return centre.parts["stream"], centre.parts["live"]
