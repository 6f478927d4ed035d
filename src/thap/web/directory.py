"""What exists, as arrays that filters of the API and the live stream select from."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from thap.kernel.errors import InputError
from thap.kernel.units import fold
from thap.observe.listing import ThingInfo
from thap.observe.registry import DatastreamInfo, MoverInfo, Registry

__all__ = ["Directory", "Filter", "Mask", "parse_bbox"]

Mask = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]
T = TypeVar("T", DatastreamInfo, MoverInfo)
_fold = lru_cache(maxsize=250_000)(fold)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a caller wants to see. Empty fields want everything; several fields must all hold."""

    domains: frozenset[str] = frozenset()
    communes: frozenset[str] = frozenset()
    """Codes of communes."""
    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north, degrees. West may be greater than east: then it crosses the antimeridian."""
    sources: tuple[str, ...] = ()
    """Patterns of keys, as `vam-*` or `tram-01/*`."""
    kinds: frozenset[str] = frozenset()
    """Kinds of things or movers."""
    properties: frozenset[str] = frozenset()
    """Observed properties of datastreams."""
    text: str = ""
    """Part of a key, name or title; case and accents do not matter."""

    def inside(self, lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]) -> Mask:
        """Which points lie in the box; an unknown place (NaN) does not."""
        if self.bbox is None:
            return np.ones(len(lon), np.bool_)
        west, south, east, north = self.bbox
        across = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
        found: Mask = across & (lat >= south) & (lat <= north)
        return found

    def matches(self, key: str) -> bool:
        """Whether a key fits one of the patterns of sources."""
        return not self.sources or _pattern(self.sources).match(key) is not None


@lru_cache(maxsize=1024)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(glob) for glob in globs))


def parse_bbox(text: str | None) -> tuple[float, float, float, float] | None:
    """`west,south,east,north` in degrees.

    Raises:
        InputError: it is not four numbers within the globe, south below north.
    """
    if not text:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{text!r} is not a box", where="bbox", hint="write west,south,east,north in degrees"
        ) from None
    if not (abs(west) <= 180 and abs(east) <= 180 and -90 <= south <= north <= 90):
        raise InputError(
            f"{text!r} is not a box on the globe",
            where="bbox",
            hint="write west,south,east,north in degrees, south below north",
        )
    return west, south, east, north


class Directory:
    """The registry with what filters need, by registry number. Immutable; a change makes a new one."""

    def __init__(self, registry: Registry, things: tuple[ThingInfo, ...] = ()) -> None:
        self.registry = registry
        self.things = things
        self.thing: dict[str, ThingInfo] = {info.name: info for info in things}
        self.datastreams: dict[int, DatastreamInfo] = {info.id: info for info in registry.datastreams}
        self.movers: dict[int, MoverInfo] = {info.id: info for info in registry.movers}
        self.datastream_key = _by_number(registry.max_datastream, ((i.id, i.key) for i in registry.datastreams))
        self.mover_key = _by_number(registry.max_mover, ((i.id, i.key) for i in registry.movers))
        self.known_datastream = _mask(registry.max_datastream, registry.datastreams, lambda _: True)
        self.known_mover = _mask(registry.max_mover, registry.movers, lambda _: True)
        self._by_thing: dict[str, list[DatastreamInfo]] | None = None
        self._datastream_masks: dict[Filter, Mask] = {}
        self._mover_masks: dict[Filter, Mask] = {}

    def datastream_mask(self, wanted: Filter) -> Mask:
        """By number, which datastreams a filter wants."""
        mask = self._datastream_masks.get(wanted)
        if mask is None:
            mask = _mask(
                self.registry.max_datastream, self.registry.datastreams, lambda info: _wants_datastream(wanted, info)
            )
            _remember(self._datastream_masks, wanted, mask)
        return mask

    def things_after(
        self, wanted: Filter, after: int, limit: int, seen: Callable[[ThingInfo], bool] = lambda _: True
    ) -> list[ThingInfo]:
        """Things that a filter wants, and that are seen, with a number above `after`, at most `limit`."""
        found = []
        for info in self.things[bisect_right(self.things, after, key=lambda thing: thing.id) :]:
            wants = _wants_thing(wanted, info) and (not wanted.properties or self._measures(info, wanted.properties))
            if wants and seen(info):
                found.append(info)
                if len(found) == limit:
                    break
        return found

    def datastreams_of(self, thing: str) -> list[DatastreamInfo]:
        """The datastreams of a thing."""
        if self._by_thing is None:
            self._by_thing = {}
            for info in self.registry.datastreams:
                self._by_thing.setdefault(info.thing, []).append(info)
        return self._by_thing.get(thing, [])

    def _measures(self, info: ThingInfo, properties: frozenset[str]) -> bool:
        return any(stream.property in properties for stream in self.datastreams_of(info.name))

    def mover_mask(self, wanted: Filter) -> Mask:
        """By number, which movers a filter wants, wherever they are: box and communes are not looked at."""
        mask = self._mover_masks.get(wanted)
        if mask is None:
            mask = _mask(self.registry.max_mover, self.registry.movers, lambda info: _wants_mover(wanted, info))
            _remember(self._mover_masks, wanted, mask)
        return mask


def _by_number(highest: int, keys: Iterable[tuple[int, str]]) -> Texts:
    texts: Texts = np.full(highest + 1, None, np.object_)
    for number, key in keys:
        texts[number] = key
    return texts


def _mask(highest: int, infos: Iterable[T], wants: Callable[[T], bool]) -> Mask:
    mask = np.zeros(highest + 1, np.bool_)
    chosen = [info.id for info in infos if wants(info)]
    mask[chosen] = True
    return mask


def _remember(masks: dict[Filter, Mask], wanted: Filter, mask: Mask) -> None:
    """Keep the masks of the filters consoles use now; a stream of new filters must not fill the memory."""
    if len(masks) >= 256:
        masks.pop(next(iter(masks)))
    masks[wanted] = mask


def _wants_thing(wanted: Filter, info: ThingInfo | DatastreamInfo) -> bool:
    if wanted.domains and info.domain not in wanted.domains:
        return False
    if wanted.kinds and info.kind not in wanted.kinds:
        return False
    if wanted.communes and info.commune not in wanted.communes:
        return False
    if wanted.bbox is not None:
        if info.lon is None or info.lat is None:
            return False
        west, south, east, north = wanted.bbox
        across = west <= info.lon <= east if west <= east else info.lon >= west or info.lon <= east
        if not across or not south <= info.lat <= north:
            return False
    text = _fold(wanted.text) if wanted.text else ""
    title = info.title if isinstance(info, ThingInfo) else info.property
    return wanted.matches(info.key) and (not text or text in _fold(info.key) or text in _fold(title))


def _wants_datastream(wanted: Filter, info: DatastreamInfo) -> bool:
    return (not wanted.properties or info.property in wanted.properties) and _wants_thing(wanted, info)


def _wants_mover(wanted: Filter, info: MoverInfo) -> bool:
    if wanted.domains and info.domain not in wanted.domains:
        return False
    if wanted.kinds and info.kind not in wanted.kinds:
        return False
    return wanted.matches(info.key) and (
        not wanted.text or _fold(wanted.text) in _fold(info.key) or _fold(wanted.text) in _fold(info.name)
    )
