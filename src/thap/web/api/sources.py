"""About one thing, mover or datastream: its rules, when alarms of it stood, its incidents, how good its data is."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from thap.detect.backtest import watched_by
from thap.detect.records import gather_rules
from thap.detect.rules import NOfM, Rule, Threshold
from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.history.quality import Quality, quality
from thap.kernel.policy import Subject
from thap.observe.kinds import Kind
from thap.observe.registry import DatastreamInfo, MoverInfo, Registry
from thap.respond.incidents.listing import scope_of
from thap.respond.incidents.model import Incident
from thap.respond.source_records import Episode, episodes_of, incidents_about
from thap.web.api.alarms import RESOURCE, documented
from thap.web.api.history import Since, Until, lake_of, span_of
from thap.web.api.places import locator_of
from thap.web.deps import Caller, CallerDep, Centre, CentreDep, policy_of, require
from thap.web.live import Live
from thap.web.readings import note_alarms, note_incidents
from thap.web.sight import note_reading, sight_of

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["things"])
Reader = Annotated[Caller, Depends(require("thing.read"))]
HistoryReader = Annotated[Caller, Depends(require("history.read"))]
Of = Annotated[Literal["thing", "mover", "datastream"], Query(description="What `key` names.")]
Key = Annotated[str, Query(min_length=1, max_length=257, description="Name of a thing, key of a mover or datastream.")]
_LONGEST_DAYS = 100


class Count(BaseModel):
    """How many there are of one kind and domain."""

    kind: str
    domain: str
    count: int


class Kinds(BaseModel):
    """What exists, as far as the caller may see it."""

    things: list[Count]
    movers: list[Count]
    properties: list[str] = Field(description="Observed properties of datastreams.")


class RuleLimit(msgspec.Struct, kw_only=True):
    """A number at which a rule's condition becomes true."""

    value: float
    way: str
    """above, below, outside or inside."""
    severity: int


class TouchingRule(msgspec.Struct, kw_only=True):
    """A rule that looks at a source."""

    name: str
    kind: str
    title: dict[str, str]
    severity: int
    enabled: bool
    source: str
    """Where its numbers come from."""
    datastreams: list[str]
    """Which of the thing's it looks at; none for a mover."""
    limits: list[RuleLimit]
    """To be drawn as lines; only of thresholds and n_of_m."""


class TouchingRules(msgspec.Struct, kw_only=True):
    items: list[TouchingRule]


class Episodes(msgspec.Struct, kw_only=True):
    items: list[Episode]


class About(msgspec.Struct, kw_only=True):
    items: list[Incident]


class QualityOf(msgspec.Struct, kw_only=True):
    """How good a series' data is within a time."""

    key: str
    since: int
    until: int
    quality: Quality


def _live(centre: Centre) -> Live:
    live: Live = centre.parts["live"]
    return live


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


async def _mover(centre: Centre, caller: Caller, key: str) -> MoverInfo:
    live = _live(centre)
    number = live.directory.registry.mover_id.get(key, 0)
    seen = await live.visible("position", np.array([number], np.int64), await sight_of(centre, caller))
    if not number or not len(seen):
        raise NotFoundError(f"there is no mover {key!r}", hint="GET /api/v1/movers lists them")
    return live.directory.movers[number]


async def _now(centre: Centre, info: MoverInfo) -> Subject:
    """A mover as policy sees it where it is now; nowhere without a position."""
    latest, commune = _live(centre).values("position", [info.id])[0], ""
    if latest is not None:
        commune = (await locator_of(centre)).codes_of([latest["lon"]], [latest["lat"]]).tolist()[0]
    return Subject("thing", (commune,), info.domain, info.key)


async def _streams(centre: Centre, caller: Caller, of: str, key: str) -> list[DatastreamInfo]:
    """The datastreams of what is named, where the caller may see it.

    Raises:
        NotFoundError: there is no such thing, or they may not know of it.
    """
    live, sight = _live(centre), await sight_of(centre, caller)
    if of == "thing":
        info = live.directory.thing.get(key)
        if info is None or not sight.thing(info):
            raise NotFoundError(f"there is no thing named {key!r}", hint="GET /api/v1/things lists them")
        return live.directory.datastreams_of(key)
    stream = live.directory.datastreams.get(live.directory.registry.datastream_id.get(key, 0))
    if stream is None or not sight.thing(stream):
        raise NotFoundError(f"there is no datastream {key!r}", hint="GET /api/v1/datastreams lists them")
    return [stream]


@router.get("/kinds", summary="Kinds and domains of what exists")
async def get_kinds(centre: CentreDep, caller: Reader) -> Kinds:
    live, sight = _live(centre), await sight_of(centre, caller)
    things = Counter((info.kind, info.domain) for info in live.directory.things if sight.thing(info))
    rows = np.flatnonzero(live.directory.known_mover)
    rows = await live.visible("position", rows, sight)
    infos = [live.directory.movers[number] for number in rows.tolist()]
    movers = Counter((info.kind, info.domain) for info in infos)
    properties = {info.property for info in live.directory.registry.datastreams if sight.thing(info)}
    return Kinds(
        things=[Count(kind=kind, domain=domain, count=many) for (kind, domain), many in sorted(things.items())],
        movers=[Count(kind=kind, domain=domain, count=many) for (kind, domain), many in sorted(movers.items())],
        properties=sorted(properties - {""}),
    )


@router.get("/movers/{mover}", summary="One mover with its latest position", response_class=Response)
async def get_mover(mover: str, centre: CentreDep, caller: Reader) -> Response:
    live, info = _live(centre), await _mover(centre, caller, mover)
    latest = live.values("position", [info.id])[0]
    subject = await _now(centre, info)
    commune = subject.units[0]
    await note_reading(centre, caller, await policy_of(centre).current(), "thing", [(f"mover:{info.key}", subject)])
    body = {"key": info.key, "name": info.name, "kind": info.kind, "domain": info.domain, "commune": commune}
    return _json({**body, "properties": info.properties, "latest": latest})


@router.get(
    "/sources/rules",
    summary="Rules that look at a source",
    response_class=Response,
    responses=documented(TouchingRules),
)
async def get_touching(centre: CentreDep, caller: CallerDep, key: Key, of: Of = "thing") -> Response:
    """In force or not. A rule of a pattern counts where the pattern fits."""
    if of == "mover":
        info = await _mover(centre, caller, key)
        subject = await _now(centre, info)
        registry = Registry(movers=(info,), mover_id={info.key: info.id})
    else:
        streams = await _streams(centre, caller, of, key)
        registry = Registry(datastreams=tuple(streams), datastream_id={one.key: one.id for one in streams})
        one = _live(centre).directory.thing[key] if of == "thing" else streams[0]
        subject = Subject("thing", (one.commune,), one.domain, key)
    await note_reading(centre, caller, await policy_of(centre).current(), "thing", [(f"{of}:{key}", subject)])
    async with centre.records.read() as connection:
        gathered = await gather_rules(centre.settings, connection)
    keys = {one.id: one.key for one in registry.datastreams}
    found = []
    for listed in gathered.rules:
        watched = watched_by([listed.rule], registry)
        if watched[Kind.OBSERVATION] or watched[Kind.POSITION]:
            found.append(_touching(listed.rule, [keys[number] for number in watched[Kind.OBSERVATION]]))
    found.sort(key=lambda one: (not one.enabled, -one.severity, one.name))
    return _json(TouchingRules(items=found))


def _touching(rule: Rule, streams: list[str]) -> TouchingRule:
    limits = []
    if isinstance(rule, Threshold | NOfM):
        kept, levels = rule.limits(), rule.plan().severities
        for index, step in enumerate(kept.steps):
            numbers = step if isinstance(step, tuple | list) else [step]
            limits += [RuleLimit(value=float(one), way=kept.way, severity=int(levels[index])) for one in numbers]
    return TouchingRule(
        name=rule.name,
        kind=rule.kind,
        title={"vi": rule.title.vi, "en": rule.title.en},
        severity=int(rule.severity),
        enabled=rule.enabled,
        source=rule.source,
        datastreams=streams,
        limits=limits,
    )


@router.get(
    "/sources/episodes",
    summary="When alarms of a source stood",
    response_class=Response,
    responses=documented(Episodes),
)
async def get_episodes(
    centre: CentreDep,
    caller: Annotated[Caller, Depends(require("alarm.read"))],
    key: Key,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> Response:
    """Of a thing with its datastreams, a mover, or a datastream; the newest first."""
    start, end = span_of(since, until)
    policy = await policy_of(centre).current()
    within = policy.where(caller.who, "alarm.read", RESOURCE)
    async with centre.records.read() as connection:
        items = await episodes_of(connection, key, start, end, within, limit)
    await note_alarms(centre, caller, policy, {one.alarm for one in items})
    return _json(Episodes(items=items))


@router.get(
    "/sources/incidents",
    summary="Incidents that have to do with a source",
    response_class=Response,
    responses=documented(About),
)
async def get_about(
    centre: CentreDep,
    caller: Annotated[Caller, Depends(require("incident.read"))],
    key: Key,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """By their alarms or by evidence; the newest first."""
    policy = await policy_of(centre).current()
    scope = scope_of(policy, caller.who)
    async with centre.records.read() as connection:
        items = await incidents_about(connection, key, scope.where, limit)
    await note_incidents(centre, caller, policy, [one.id for one in items])
    return _json(About(items=items))


@router.get(
    "/sources/quality",
    summary="How good a series' data is",
    response_class=Response,
    responses=documented(QualityOf),
)
async def get_quality(
    centre: CentreDep,
    caller: HistoryReader,
    key: Key,
    of: Annotated[Literal["datastream", "mover"], Query(description="What `key` names.")] = "datastream",
    since: Since = None,
    until: Until = None,
) -> Response:
    """Gaps, delays, records that came late or twice, reckoned from history. At most a hundred days at once."""
    start, end = span_of(since, until)
    end = min(end, now_us())
    if end - start > _LONGEST_DAYS * DAY_US:
        raise InputError(f"more than {_LONGEST_DAYS} days", where="since", hint="ask for a shorter time")
    sight = await sight_of(centre, caller)
    if of == "mover":
        mover = await _mover(centre, caller, key)
        if not sight.may("history.read", "", mover.domain, mover.key):
            raise DeniedError(
                "who may see a mover only in some communes is not told how often it spoke elsewhere",
                where="history.read",
                hint="it takes a role in the whole province",
            )
        table, number, subject = "position", mover.id, Subject("history", (), mover.domain, mover.key)
    else:
        (stream,) = await _streams(centre, caller, of, key)
        if not sight.may("history.read", stream.commune, stream.domain, stream.key):
            raise NotFoundError(f"there is no datastream {key!r}", hint="GET /api/v1/datastreams lists them")
        table, number = "observation", stream.id
        subject = Subject("history", (stream.commune,), stream.domain, stream.key)
    await note_reading(centre, caller, sight.policy, "history", [(f"{of}:{key}", subject)])
    lake = await lake_of(centre)
    found = await asyncio.to_thread(quality, lake, table, number, start, max(start, end))
    return _json(QualityOf(key=key, since=start, until=max(start, end), quality=found))
