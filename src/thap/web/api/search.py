"""/api/v1/search: places, things and movers by part of a name, in either spelling."""

from __future__ import annotations

import asyncio
import sys
from heapq import nsmallest
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from thap.kernel.errors import NotFoundError
from thap.kernel.places import Commune, OldUnit, commune, convert, fold, old_units, search
from thap.kernel.policy import Subject
from thap.observe.listing import ThingInfo
from thap.observe.registry import MoverInfo
from thap.web.api.places import locator_of
from thap.web.deps import Caller, Centre, CentreDep, require
from thap.web.directory import Filter
from thap.web.live import Live
from thap.web.sight import Sight, note_reading, sight_of

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["search"])
Reader = Annotated[Caller, Depends(require("thing.read"))]
_AT_ONCE = 200


class Hit(BaseModel):
    """Something that was found."""

    kind: Literal["place", "thing", "mover"]
    id: str = Field(description="Code of a commune, name of a thing, key of a mover.")
    title: str
    note: str = Field(description="For a commune the unit of before July 2025 that was meant; else its kind.")
    lon: float | None
    lat: float | None


class Found(BaseModel):
    """What was found: of each kind, what fits best first."""

    items: list[Hit]


@router.get("/search", summary="Find by name")
async def find(
    centre: CentreDep,
    caller: Reader,
    q: Annotated[str, Query(min_length=1, max_length=100, description="Part of a name, with or without marks.")],
    limit: Annotated[int, Query(ge=1, le=50, description="Of each kind.")] = 6,
) -> Found:
    """Communes are found by the names of the units they were made of too. Only what the caller may see is found."""
    wanted = fold(q)
    if not wanted:
        return Found(items=[])
    live: Live = centre.parts["live"]
    sight = await sight_of(centre, caller)

    def rank(title: str, key: str) -> tuple[int, str]:
        plain = fold(title)
        words = plain == wanted, plain.startswith(wanted), f" {wanted}" in f" {plain}", key.startswith(q)
        return next((place for place, fits in enumerate(words) if fits), len(words)), plain

    directory = live.directory
    seen = directory.things_after(Filter(text=q), 0, sys.maxsize, sight.thing)
    named = [directory.movers[number] for number in np.flatnonzero(directory.mover_mask(Filter(text=q))).tolist()]
    things, named = await asyncio.to_thread(
        lambda: (
            nsmallest(limit, seen, key=lambda info: rank(info.title or info.name, info.name)),
            sorted(named, key=lambda info: rank(info.name or info.key, info.key)),
        )
    )
    movers = await _visible(live, sight, named, limit)
    values = live.values("position", [info.id for info in movers])
    await _note(centre, caller, sight, things, movers, values)
    items = [_place(unit, note) for unit, note in _communes(q, limit)]
    items += [
        Hit(kind="thing", id=info.name, title=info.title or info.name, note=info.kind, lon=info.lon, lat=info.lat)
        for info in things
    ]
    items += [
        Hit(
            kind="mover",
            id=info.key,
            title=info.name or info.key,
            note=info.kind,
            lon=value["lon"] if value else None,
            lat=value["lat"] if value else None,
        )
        for info, value in zip(movers, values, strict=True)
    ]
    return Found(items=items)


async def _visible(live: Live, sight: Sight, named: list[MoverInfo], limit: int) -> list[MoverInfo]:
    """The first of these movers that may be seen where they are now."""
    found: list[MoverInfo] = []
    for at in range(0, len(named), _AT_ONCE):
        some = named[at : at + _AT_ONCE]
        rows = set((await live.visible("position", np.array([info.id for info in some], np.int64), sight)).tolist())
        found += [info for info in some if info.id in rows]
        if len(found) >= limit:
            break
    return found[:limit]


async def _note(
    centre: Centre,
    caller: Caller,
    sight: Sight,
    things: list[ThingInfo],
    movers: list[MoverInfo],
    values: list[dict[str, Any] | None],
) -> None:
    if not sight.policy.restrictions:
        return
    told = [(f"thing:{one.name}", Subject("thing", (one.commune,), one.domain, one.name)) for one in things]
    for one, value in zip(movers, values, strict=True):
        codes = [""] if value is None else (await locator_of(centre)).codes_of([value["lon"]], [value["lat"]]).tolist()
        told.append((f"mover:{one.key}", Subject("thing", (codes[0],), one.domain, one.key)))
    await note_reading(centre, caller, sight.policy, "thing", told)


def _communes(q: str, limit: int) -> list[tuple[Commune, str]]:
    """Communes that a name means, each with the former unit it was found by, if it was."""
    wanted = fold(q)
    found: dict[str, str] = {}
    for unit in search(q, limit):
        plain = fold(unit.title)
        found[unit.code] = "" if wanted in plain else _former(unit, wanted)
    try:
        for old in convert(q):
            for code in old.became:
                found.setdefault(code, _said(old))
    except NotFoundError:
        pass
    return [(commune(code), note) for code, note in list(found.items())[:limit]]


def _former(unit: Commune, wanted: str) -> str:
    return next((_said(old) for old in old_units() if unit.code in old.became and wanted in fold(old.ward)), "")


def _said(old: OldUnit) -> str:
    return f"{old.ward}, {old.district}"


def _place(unit: Commune, note: str) -> Hit:
    return Hit(kind="place", id=unit.code, title=unit.title, note=note, lon=unit.lon, lat=unit.lat)
