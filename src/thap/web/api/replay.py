"""/api/v1/replay: the past as it happened, piece by piece, for a console that plays it; nothing is changed."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
from fastapi import APIRouter, Depends, Query, Response

from thap.kernel.clock import DAY_US, HOUR_US, SECOND_US, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import InputError
from thap.kernel.history.replaying import positions_at, positions_through
from thap.kernel.places import Locator
from thap.kernel.policy import Subject
from thap.respond.incidents.listing import scope_of
from thap.respond.replay_records import (
    Happened,
    Step,
    happened_at,
    happened_through,
    steps_at,
    steps_through,
)
from thap.web.api.alarms import RESOURCE, documented
from thap.web.api.history import lake_of
from thap.web.api.places import locator_of
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.directory import Directory
from thap.web.live import Live
from thap.web.readings import note_incidents
from thap.web.sight import Sight, note_reading, sight_of

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/replay", tags=["history"])
Reader = Annotated[Caller, Depends(require("history.read"))]
Moment = Annotated[str, Query(max_length=40, description="ISO 8601 or Unix time.")]
_LONGEST = 12 * HOUR_US
_POSITIONS = 100_000
_EVENTS = 20_000
_STANDING = 5_000
_FRESH = HOUR_US


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """Positions in order of time, as columns of equal length."""

    movers: list[str]
    """Keys."""
    mover: list[int]
    """Which of `movers`."""
    time: list[int]
    lon: list[float]
    lat: list[float]
    speed_kn: list[float | None]
    course_deg: list[float | None]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """The past at a moment, or through a stretch of time. Times are µs UTC."""

    since: int
    until: int
    positions: Track
    alarms: list[Step]
    incidents: list[Happened]
    truncated: bool
    """Whether there was more than one piece carries: ask for a shorter one."""


_PIECE = documented(Piece)


def _moment(text: str, where: str) -> int:
    try:
        return parse_time_us(text)
    except InputError as error:
        error.where = where
        raise


async def _events(centre: Centre, caller: Caller, since: int, until: int | None) -> tuple[list[Step], list[Happened]]:
    """What the caller may see of alarms and incidents: as they stood at `since`, or what happened up to `until`."""
    policy = await policy_of(centre).current()
    within = policy.where(caller.who, "alarm.read", RESOURCE)
    where = scope_of(policy, caller.who).where
    async with centre.records.read() as connection:
        if until is None:
            steps = await steps_at(connection, since, within, _STANDING + 1)
            happened = await happened_at(connection, since, where, _STANDING + 1)
        else:
            steps = await steps_through(connection, since, until, within, _EVENTS + 1)
            happened = await happened_through(connection, since, until, where, _EVENTS + 1)
    told = [(f"alarm:{one.alarm}", Subject("alarm", (one.commune,), one.domain, one.source)) for one in steps]
    await note_reading(centre, caller, policy, "alarm", told)
    await note_incidents(centre, caller, policy, {one.incident for one in happened})
    return steps, happened


async def _track(centre: Centre, caller: Caller, found: pa.Table) -> Track:
    """The positions that the caller may see, where the movers were then."""
    live: Live = centre.parts["live"]
    sight: Sight = await sight_of(centre, caller)
    needs_place = not sight.whole or bool(sight.policy.restrictions)
    locator = await locator_of(centre) if needs_place else None
    track, told = await asyncio.to_thread(_columns, found, live.directory, sight, locator)
    await note_reading(centre, caller, sight.policy, "history", told)
    return track


def _columns(
    found: pa.Table, directory: Directory, sight: Sight, locator: Locator | None
) -> tuple[Track, list[tuple[str, Subject]]]:
    """Positions that may be seen, and what they are of, as policy sees it: each mover in each commune it was in.

    Args:
        found: as `positions_through` gives.
        directory: movers it does not know are left out.
        sight: decides, once for each mover and commune.
        locator: without it all may be seen, and nothing is told.
    """
    numbers = found.column("mover").to_numpy()
    known = directory.known_mover[np.where(numbers < len(directory.known_mover), numbers, 0)]
    found = found.filter(pa.array(known))
    told: list[tuple[str, Subject]] = []
    if locator is not None and len(found):
        codes = locator.codes_of(found.column("lon").to_numpy(), found.column("lat").to_numpy())
        places, place = np.unique(codes, return_inverse=True)
        pairs, pair = np.unique(
            found.column("mover").to_numpy().astype(np.int64) * len(places) + place, return_inverse=True
        )
        allowed = np.zeros(len(pairs), np.bool_)
        for index, both in enumerate(pairs.tolist()):
            info, code = directory.movers[both // len(places)], str(places[both % len(places)])
            allowed[index] = sight.may("history.read", code, info.domain, info.key)
            if allowed[index]:
                told.append((f"mover:{info.key}", Subject("history", (code,), info.domain, info.key)))
        found = found.filter(pa.array(allowed[pair]))
    distinct, index_of = np.unique(found.column("mover").to_numpy(), return_inverse=True)
    track = Track(
        movers=[directory.movers[number].key for number in distinct.tolist()],
        mover=index_of.tolist(),
        time=found.column("time").to_pylist(),
        lon=np.round(found.column("lon").to_numpy(), 6).tolist(),
        lat=np.round(found.column("lat").to_numpy(), 6).tolist(),
        speed_kn=_tenths(found, "speed_kn"),
        course_deg=_tenths(found, "course_deg"),
    )
    return track, told


def _tenths(found: pa.Table, name: str) -> list[float | None]:
    values = np.round(found.column(name).to_numpy().astype(np.float64), 1)
    whole = values.astype(np.object_)
    whole[np.isnan(values)] = None
    return list(whole)


def _answer(piece: Any) -> Response:
    return Response(msgspec.json.encode(piece), media_type="application/json")


@router.get("/at", summary="The past at a moment", response_class=Response, responses=_PIECE)
async def get_at(centre: CentreDep, caller: Reader, at: Moment) -> Response:
    """Where movers were (if they said so within the hour before), which alarms were open, which incidents not done:
    of each the latest before the moment."""
    moment = _moment(at, "at")
    lake = await lake_of(centre)
    found = await asyncio.to_thread(positions_at, lake, moment, _FRESH)
    steps, happened = await _events(centre, caller, moment, None)
    more = len(steps) > _STANDING or len(happened) > _STANDING
    track = await _track(centre, caller, found)
    return _answer(
        Piece(
            since=moment,
            until=moment,
            positions=track,
            alarms=steps[:_STANDING],
            incidents=happened[:_STANDING],
            truncated=more,
        )
    )


@router.get("/piece", summary="The past through a stretch of time", response_class=Response, responses=_PIECE)
async def get_piece(
    centre: CentreDep,
    caller: Reader,
    since: Moment,
    until: Moment,
    step: Annotated[
        str, Query(max_length=20, description="Of each mover one position in so much time, as 10s; 1s to 1h.")
    ] = "10s",
) -> Response:
    """Positions, transitions of alarms and events of incidents, each in order of time. At most twelve hours."""
    start, end = _moment(since, "since"), min(_moment(until, "until"), now_us() + DAY_US)
    width = parse_duration_us(step)
    if not SECOND_US <= width <= HOUR_US:
        raise InputError("a step is between a second and an hour", where="step")
    if start > end or end - start > _LONGEST:
        raise InputError("since lies after until, or more than twelve hours before it", where="since")
    lake = await lake_of(centre)
    found = await asyncio.to_thread(positions_through, lake, start, end, width, _POSITIONS + 1)
    steps, happened = await _events(centre, caller, start, end)
    more = len(found) > _POSITIONS or len(steps) > _EVENTS or len(happened) > _EVENTS
    track = await _track(centre, caller, found.slice(0, _POSITIONS))
    return _answer(
        Piece(
            since=start,
            until=end,
            positions=track,
            alarms=steps[:_EVENTS],
            incidents=happened[:_EVENTS],
            truncated=more,
        )
    )
