"""Correlation: which incident an alarm belongs to.

An alarm that belongs to a live incident already (it was raised before) stays with it. Otherwise it joins one of
the same domain and cause (or of a cause nobody knows yet: opened by hand) at the same place whose alarms are no
farther away in time than the rule's window; of several the nearest, then the latest. Otherwise it opens its own. A
resolved incident takes nothing in: it is in none of the indices that are asked.

Pure but for the look-up: `plan` decides for a batch in order, each alarm seeing what those before it did.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from thap.respond.incidents.correlate_records import Candidate, CandidateRows, Key
from thap.respond.incidents.records import cell_of
from thap.respond.incidents.rules import OpeningRule

__all__ = ["Found", "Sign", "Target", "look_up", "plan"]

_METRES_A_DEGREE = 111_320.0


@dataclass(frozen=True, slots=True)
class Sign:
    """What an alarm transition means for incidents."""

    alarm: int
    domain: str
    time: int
    """Event time, not after it was written: a source whose clock runs ahead must not hold an incident open."""
    calls: bool
    """Whether it calls the operator; other signs only reach the incident the alarm belongs to."""
    rule: OpeningRule | None = None
    """None: it opens nothing."""
    cause: str = ""
    place: str = ""
    """What "the same place" is by its rule: c:<commune>, s:<source> or p:."""
    lon: float | None = None
    lat: float | None = None

    @property
    def near_m(self) -> float | None:
        """How far away the same place may be, where distance decides."""
        by_distance = self.rule is not None and self.rule.metres is not None and self.lon is not None
        return self.rule.metres if by_distance and self.rule is not None else None


@dataclass(slots=True)
class Target:
    """An incident that signs join, or that the first of them opens (`id` None)."""

    id: int | None
    began: int
    latest: int
    lon: float | None
    lat: float | None
    keys: tuple[Key, ...]
    """Under which others find it."""


@dataclass(slots=True)
class Found:
    """What was looked up for a batch."""

    linked: dict[int, Candidate]
    places: dict[Key, list[Candidate]]
    cells: dict[Key, list[Candidate]]
    gone: set[int] = field(default_factory=set)
    """Incidents that were resolved before they could be locked."""


def look_up(rows: CandidateRows, signs: Sequence[Sign]) -> Found:
    """Ask for all that the signs may join."""
    linked = rows.linked(sign.alarm for sign in signs)
    places: dict[Key, int] = {}
    cells: dict[Key, int] = {}
    for sign in signs:
        if sign.rule is None or sign.alarm in linked:
            continue
        since = sign.time - sign.rule.window_us
        for keys, wanted in ((_place_keys(sign), places), (_cell_keys(sign), cells)):
            for key in keys:
                wanted[key] = min(since, wanted.get(key, since))
    return Found(linked, rows.by_place(places), rows.by_cell(cells))


def plan(signs: Sequence[Sign], found: Found) -> list[Target | None]:
    """The incident of each sign; None: it concerns none."""
    known: dict[int, Target] = {}
    joined: dict[Key, dict[int, Target]] = {}
    belongs: dict[int, Target] = {}
    result: list[Target | None] = []
    for sign in signs:
        target = belongs.get(sign.alarm) or _target(found.linked.get(sign.alarm), found, known)
        if target is None and sign.calls and sign.rule is not None:
            target = _best(sign, _candidates(sign, found, known, joined))
            if target is None:
                target = Target(None, sign.time, sign.time, sign.lon, sign.lat, _own_keys(sign))
        if target is not None:
            belongs[sign.alarm] = target
            if sign.calls:
                target.began, target.latest = min(target.began, sign.time), max(target.latest, sign.time)
                for key in target.keys:  # it is newer now than a look-up by time may have found it
                    joined.setdefault(key, {})[id(target)] = target
        result.append(target)
    return result


def _target(one: Candidate | None, found: Found, known: dict[int, Target]) -> Target | None:
    if one is None or one.id in found.gone:
        return None
    target = known.get(one.id)
    if target is None:
        keys: tuple[Key, ...] = ((one.domain, one.cause, one.place),)
        if one.cell is not None:
            keys = (*keys, (one.domain, one.cause, one.cell))
        target = known[one.id] = Target(one.id, one.began, one.latest, one.lon, one.lat, keys)
    return target


def _candidates(
    sign: Sign, found: Found, known: dict[int, Target], joined: dict[Key, dict[int, Target]]
) -> Iterable[tuple[bool, Target]]:
    """(whether of the very cause, incident); one may come twice."""
    for keys, looked_up in ((_place_keys(sign), found.places), (_cell_keys(sign), found.cells)):
        for key in keys:
            for one in looked_up.get(key, ()):
                target = _target(one, found, known)
                if target is not None:
                    yield key[1] == sign.cause, target
            for target in joined.get(key, {}).values():
                yield key[1] == sign.cause, target


def _best(sign: Sign, candidates: Iterable[tuple[bool, Target]]) -> Target | None:
    assert sign.rule is not None
    window = sign.rule.window_us
    best: tuple[tuple[bool, float, int, int], Target] | None = None
    for same_cause, target in candidates:
        if target.latest < sign.time - window or target.began > sign.time + window:
            continue
        distance = _distance_m(sign, target)
        if sign.near_m is not None and distance is not None and distance > sign.near_m:
            continue
        rank = (same_cause, -distance if sign.near_m is not None and distance is not None else 0.0)
        full = (*rank, target.latest, target.id or 2**63)
        if best is None or full > best[0]:
            best = (full, target)
    return None if best is None else best[1]


def _causes(sign: Sign) -> tuple[str, ...]:
    return (sign.cause, "") if sign.cause else ("",)


def _place_keys(sign: Sign) -> list[Key]:
    """Keys of the same place."""
    if sign.rule is None:
        return []
    return [(sign.domain, cause, sign.place) for cause in _causes(sign)]


def _cell_keys(sign: Sign) -> list[Key]:
    """Keys of the cells within reach."""
    if sign.near_m is None or sign.lon is None or sign.lat is None:
        return []
    up = sign.near_m / _METRES_A_DEGREE
    across = min(up / max(math.cos(math.radians(sign.lat)), 0.01), 1.0)
    low = cell_of(sign.lon - across, sign.lat - up)
    high = cell_of(sign.lon + across, sign.lat + up)
    rows = range(low // 100_000, high // 100_000 + 1)
    columns = range(low % 100_000, high % 100_000 + 1)
    cells = [row * 100_000 + column for row in rows for column in columns]
    return [(sign.domain, cause, cell) for cause in _causes(sign) for cell in cells]


def _own_keys(sign: Sign) -> tuple[Key, ...]:
    """Keys under which what this sign opens will be found."""
    place: Key = (sign.domain, sign.cause, sign.place)
    if sign.lon is None or sign.lat is None:
        return (place,)
    return place, (sign.domain, sign.cause, cell_of(sign.lon, sign.lat))


def _distance_m(sign: Sign, target: Target) -> float | None:
    """Between places some kilometres apart; None where one has none."""
    if sign.lon is None or sign.lat is None or target.lon is None or target.lat is None:
        return None
    north = (sign.lat - target.lat) * _METRES_A_DEGREE
    east = (sign.lon - target.lon) * _METRES_A_DEGREE * math.cos(math.radians(sign.lat))
    return math.hypot(north, east)
