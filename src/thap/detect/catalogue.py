"""The registry as rules look at it: which sources a selection means, and what is known of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple, TypeVar

from thap.detect.rules import Select
from thap.observe.registry import DatastreamInfo, MoverInfo, Registry

__all__ = ["Catalogue", "Source"]

_T = TypeVar("_T", DatastreamInfo, MoverInfo)


class Source(NamedTuple):
    """Whom a change is about."""

    key: str
    domain: str = ""
    lon: float | None = None
    lat: float | None = None
    commune: str = ""


@lru_cache(maxsize=4096)
def _matcher(pattern: str) -> Callable[[str], object]:
    if not any(char in pattern for char in "*?["):
        return pattern.__eq__
    return re.compile(translate(pattern)).match


class Catalogue:
    """One registry, with its sources by number and by thing."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.datastream = {info.id: info for info in registry.datastreams}
        self.mover = {info.id: info for info in registry.movers}
        self._sources: dict[int, Source] = {}
        self._moving: dict[int, Source] = {}
        self.things: dict[str, list[DatastreamInfo]] = {}
        for info in registry.datastreams:
            self.things.setdefault(info.thing, []).append(info)

    def select_datastreams(self, select: Select) -> list[DatastreamInfo]:
        """The datastreams a selection means, by number."""
        found: Iterable[DatastreamInfo] = self.registry.datastreams
        # Patterns without wildcards are looked up; the others are tried on distinct texts, not on each source.
        if select.datastream and not any(char in "".join(select.datastream) for char in "*?["):
            numbers = (self.registry.datastream_id.get(key) for key in select.datastream)
            found = [self.datastream[number] for number in sorted({n for n in numbers if n is not None})]
        else:
            found = self._narrow(found, "key", select.datastream)
        for name, patterns in (
            ("property", select.property),
            ("thing", select.thing),
            ("kind", select.kind),
            ("domain", select.domain),
            ("commune", select.commune),
        ):
            found = self._narrow(found, name, patterns)
        return list(found)

    def select_movers(self, select: Select) -> list[MoverInfo]:
        """The movers a selection means, by number."""
        found: Iterable[MoverInfo] = self.registry.movers
        for name, patterns in (("key", select.mover), ("kind", select.kind), ("domain", select.domain)):
            if patterns != ("*",):
                found = self._narrow(found, name, patterns)
        return list(found)

    def of_datastream(self, info: DatastreamInfo) -> Source:
        """A datastream as a source."""
        found = self._sources.get(info.id)
        if found is None:
            found = self._sources[info.id] = Source(info.key, info.domain, info.lon, info.lat, info.commune)
        return found

    def of_mover(self, info: MoverInfo) -> Source:
        """A mover as a source."""
        found = self._moving.get(info.id)
        if found is None:
            found = self._moving[info.id] = Source(info.key, info.domain)
        return found

    def of_thing(self, name: str) -> Source:
        """A thing as a source."""
        info = self.things[name][0]
        return Source(name, info.domain, info.lon, info.lat, info.commune)

    def _narrow(self, found: Iterable[_T], name: str, patterns: tuple[str, ...]) -> Iterable[_T]:
        if not patterns:
            return found
        matchers = [_matcher(pattern) for pattern in patterns]
        known: dict[str, bool] = {}
        kept = []
        for info in found:
            text = getattr(info, name)
            match = known.get(text)
            if match is None:
                match = known[text] = any(
                    result is not None and result is not False for result in (test(text) for test in matchers)
                )
            if match:
                kept.append(info)
        return kept
