"""/api/v1/stream: what happens, as it happens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from thap.web.deps import CallerDep, Centre, CentreDep
from thap.web.live import Live
from thap.web.params import FilterDep, split
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
    centre: CentreDep,
    _caller: CallerDep,
    wanted: FilterDep,
    kinds: Annotated[
        list[str] | None,
        Query(
            description="Of alarm, observation, position, stage, incident, "
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
    a second, the latest values that changed, as columns: `source`, `time`, `received` (µs) and the values.
    """
    hub, live = _parts(centre)
    console = await hub.join(frozenset(split(kinds) or ["alarm"]), wanted, parse_event_id(last_event or last_event_id))
    return EventStream(hub, live, console)


def _parts(centre: Centre) -> tuple[Hub, Live]:
    return centre.parts["stream"], centre.parts["live"]
