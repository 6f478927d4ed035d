"""/api/v1/datastreams/…/observations, /movers/…/positions, /query: what was."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import DAY_US, VIETNAM, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.history import Lake
from thap.kernel.policy import Subject
from thap.kernel.units import communes
from thap.web.answers import JsonAnswer
from thap.web.api.places import locator_of
from thap.web.deps import Caller, Centre, CentreDep, require
from thap.web.live import Live
from thap.web.sight import note_reading, sight_of

__all__ = ["Since", "Until", "lake_of", "router", "span_of"]

router = APIRouter(prefix="/api/v1", tags=["history"])
Reader = Annotated[Caller, Depends(require("history.read"))]
Asker = Annotated[Caller, Depends(require("history.query"))]
Since = Annotated[
    str | None, Query(max_length=40, description="ISO 8601 or Unix time; a day before `until` if not given.")
]
Until = Annotated[
    str | None, Query(max_length=40, description="ISO 8601 or Unix time, not included; now if not given.")
]
After = Annotated[str | None, Query(max_length=24, description="`next` of the page before, with raw.")]
MAX_BUCKETS = 20_000
_LOCAL_MIDNIGHT = -round(VIETNAM.utcoffset(None).total_seconds() * 1e6)
_ASKING_AT_ONCE = 4


async def lake_of(centre: Centre) -> Lake:
    """The centre's history for reading, opened at first use.

    Raises:
        UnavailableError: there is none yet.
    """
    lock: asyncio.Lock = centre.parts.setdefault("lake_lock", asyncio.Lock())
    async with lock:
        if "lake" not in centre.parts:
            centre.parts["lake"] = await asyncio.to_thread(Lake.open, centre.settings, True)
    lake: Lake = centre.parts["lake"]
    return lake


def span_of(since: str | None, until: str | None) -> tuple[int, int]:
    """The time asked about, µs: a day up to now where nothing is said.

    Raises:
        InputError: not a time, or `since` after `until`.
    """
    end = _time(until, "until") if until is not None else now_us()
    start = _time(since, "since") if since is not None else end - DAY_US
    if start > end:
        raise InputError("since lies after until", where="since")
    return start, end


def _time(text: str, where: str) -> int:
    try:
        return parse_time_us(text)
    except InputError as error:
        error.where = where
        raise


@router.get("/datastreams/{datastream:path}/observations", summary="A datastream over time", response_class=Response)
async def get_observations(
    datastream: str,
    centre: CentreDep,
    caller: Reader,
    since: Since = None,
    until: Until = None,
    bucket: Annotated[
        str | None,
        Query(max_length=20, description="Width of a bucket, as 15m, 1h or 1d; days begin at midnight in Việt Nam."),
    ] = None,
    points: Annotated[
        int | None, Query(ge=1, le=MAX_BUCKETS, description="Instead of a width, the most buckets to give.")
    ] = None,
    raw: Annotated[bool, Query(description="Every observation instead of buckets.")] = False,
    limit: Annotated[int, Query(ge=1, le=100_000, description="How many at most, with raw.")] = 10_000,
    after: After = None,
) -> Response:
    """By registry number or key. Without `bucket`, `points` or `raw` it comes in at most 500 buckets. A bucket has
    smallest, largest, mean, first and last value, their count, and when the extremes were, so that peaks survive."""
    live: Live = centre.parts["live"]
    number = (
        int(datastream)
        if datastream.isdecimal() and len(datastream) < 10
        else live.directory.registry.datastream_id.get(datastream, 0)
    )
    info = live.directory.datastreams.get(number)
    sight = await sight_of(centre, caller)
    if info is None or not sight.may("history.read", info.commune, info.domain, info.key):
        raise NotFoundError(f"there is no datastream {datastream!r}", hint="GET /api/v1/datastreams lists them")
    subject = Subject("history", (info.commune,), info.domain, info.key)
    await note_reading(centre, caller, sight.policy, "history", [(f"datastream:{info.key}", subject)])
    if (bucket is not None) + (points is not None) + raw > 1:
        raise InputError("choose one of bucket, points and raw", where="bucket")
    start, end = span_of(since, until)
    head: dict[str, Any] = {"datastream": info.id, "key": info.key, "unit": info.unit, "since": start, "until": end}
    lake = await lake_of(centre)
    if raw:
        if after is not None:
            start = max(start, _after(after) + 1)
        rows = await asyncio.to_thread(lake.raw, info.id, start, max(start, end), limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        return JsonAnswer(
            {**head, "items": [row._asdict() for row in rows], "next": str(rows[-1].time) if more else None}
        )
    if bucket is not None:
        width = parse_duration_us(bucket)
        if width < 1 or (end - start) / width > MAX_BUCKETS:
            raise InputError(
                f"more than {MAX_BUCKETS} buckets of {bucket}",
                where="bucket",
                hint="ask for longer buckets or a shorter time",
            )
        found = await asyncio.to_thread(lake.series, info.id, start, end, bucket=width, origin=_LOCAL_MIDNIGHT)
    else:
        width = max(1, -(-(end - start) // (points or 500)))
        found = await asyncio.to_thread(lake.series, info.id, start, end, max_points=points or 500)
    return JsonAnswer({**head, "bucket": width, "items": [asdict(row) for row in found]})


def _after(text: str) -> int:
    if not text.lstrip("-").isdecimal():
        raise InputError("this is not where a page ended", where="after", hint="give `next` of the page before")
    return int(text)


@router.get("/movers/{mover}/positions", summary="A mover's track", response_class=Response)
async def get_positions(
    mover: str,
    centre: CentreDep,
    caller: Reader,
    since: Since = None,
    until: Until = None,
    points: Annotated[
        int, Query(ge=2, le=50_000, description="How many at most; if there are more, some at equal distances in time.")
    ] = 2000,
) -> Response:
    """By key or registry number."""
    live: Live = centre.parts["live"]
    number = live.directory.registry.mover_id.get(mover)
    if number is None and mover.isdecimal() and len(mover) < 10:
        number = int(mover)
    info = live.directory.movers.get(number or 0)
    if info is None:
        raise NotFoundError(f"there is no mover {mover!r}", hint="GET /api/v1/movers lists them")
    start, end = span_of(since, until)
    sight = await sight_of(centre, caller)
    if not sight.may("history.read", "", info.domain, info.key):
        # Not everywhere: then only where they may see it. Who may see it nowhere is not told that there is one.
        codes = [commune.code for commune in communes()]
        if not any(sight.may("history.read", code, info.domain, info.key) for code in codes):
            raise NotFoundError(f"there is no mover {mover!r}", hint="GET /api/v1/movers lists them")
    lake = await lake_of(centre)
    found = await asyncio.to_thread(lake.track, info.id, start, end, max_points=points)
    if not sight.whole and found:
        places = (await locator_of(centre)).codes_of([row.lon for row in found], [row.lat for row in found])
        found = [
            row
            for row, code in zip(found, places.tolist(), strict=True)
            if sight.may("history.read", code, info.domain, info.key)
        ]
    subject = Subject("history", (), info.domain, info.key)
    await note_reading(centre, caller, sight.policy, "history", [(f"mover:{info.key}", subject)])
    return JsonAnswer(
        {
            "mover": info.id,
            "key": info.key,
            "name": info.name,
            "since": start,
            "until": end,
            "items": [row._asdict() for row in found],
        }
    )


class Question(BaseModel):
    """A statement."""

    model_config = ConfigDict(extra="forbid")

    sql: str = Field(
        max_length=100_000,
        description="SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN over "
        "observations, positions, sightings, articles, reports, datastreams, movers, things, alarms "
        "and alarm_transitions.",
    )
    limit: int = Field(1000, ge=1, le=100_000, description="Rows at most.")
    timeout_s: float = Field(30, gt=0, le=300, description="Seconds after which it is ended.")


class Result(BaseModel):
    """What a statement gave."""

    columns: list[str]
    types: list[str]
    rows: list[dict[str, Any]]
    truncated: bool = Field(description="Whether there were more rows than the limit.")
    seconds: float


@router.post("/query", summary="Ask history in SQL, only reading", response_model=Result)
async def post_query(question: Question, centre: CentreDep, caller: Asker) -> Response:
    (await sight_of(centre, caller)).check_whole("history.query", "SQL over history knows no units and no domains")
    async with centre.records.write() as connection:  # what it may read is for few, so that it was asked is kept
        entry = Entry(caller.who, "history.query", "history", {"sql": question.sql[:2000]}, caller.address)
        await append_async(connection, [entry])
    lake = await lake_of(centre)
    gate: asyncio.Semaphore = centre.parts.setdefault("query_gate", asyncio.Semaphore(_ASKING_AT_ONCE))
    async with gate:
        answer = await asyncio.to_thread(lake.query, question.sql, question.limit, question.timeout_s)
    return JsonAnswer(
        {
            "columns": answer.columns,
            "types": answer.types,
            "rows": answer.dicts(),
            "truncated": answer.truncated,
            "seconds": round(answer.seconds, 4),
        }
    )
