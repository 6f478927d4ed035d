"""Which incidents may be the same event: near in place, near in time, told in like words.

A suggestion never joins anything by itself: a person looks at it and merges, or does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Generic, TypeVar

import msgspec

from thap.kernel.clock import HOUR_US
from thap.kernel.units import fold

__all__ = ["Closeness", "Likeness", "Sketch", "Suggestion", "likeness", "most_like"]

K = TypeVar("K")
_EARTH_M = 6_371_008.8


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is compared of an incident or a report."""

    text: str
    """Title and description."""
    time: int
    """When it happened or was told, µs."""
    domain: str = ""
    commune: str = ""
    lon: float | None = None
    lat: float | None = None


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near is near: the province's choice, no norm."""

    metres: float = 500.0
    """Distance at which place speaks half as much as at no distance."""
    farthest_m: float = 3000.0
    """Farther apart nothing is a duplicate, whatever the words."""
    hours: float = 24.0
    """Time apart at which time speaks half as much."""
    longest_h: float = 24.0 * 7
    """Further apart in time nothing is a duplicate."""
    least: float = 0.5
    """Least likeness that is suggested, 0 to 1."""


class Likeness(msgspec.Struct, frozen=True, kw_only=True):
    """How alike two are, and by what."""

    score: float
    """0 to 1."""
    distance_m: float | None
    """None where one has no place."""
    hours: float
    words: list[str]
    """Folded words that both have, the longest first."""


class Suggestion(Likeness, Generic[K], frozen=True, kw_only=True):
    """Something that may be the same."""

    key: K


def likeness(one: Sketch, other: Sketch, near: Closeness | None = None) -> Likeness:
    """Compare two; symmetrical, 1 for the same place, moment and words."""
    near = near or Closeness()
    distance = _metres(one, other)
    hours = abs(one.time - other.time) / HOUR_US
    words, said = _common(one.text, other.text)
    place = _place(one, other, distance, near)
    score = 0.45 * place + 0.2 * 0.5 ** (hours / near.hours) + 0.35 * said
    if one.domain and other.domain and one.domain != other.domain:
        score *= 0.6
    if place == 0.0 or hours > near.longest_h:
        score = 0.0
    return Likeness(
        score=round(score, 3),
        distance_m=None if distance is None else round(distance, 1),
        hours=round(hours, 2),
        words=words,
    )


def most_like(
    one: Sketch, others: Iterable[tuple[K, Sketch]], *, limit: int = 5, near: Closeness | None = None
) -> list[Suggestion[K]]:
    """Those that may be the same, the likest first."""
    near = near or Closeness()
    found = []
    for key, other in others:
        like = likeness(one, other, near)
        if like.score >= near.least:
            found.append(Suggestion(key=key, **msgspec.structs.asdict(like)))
    found.sort(key=lambda suggestion: -suggestion.score)
    return found[:limit]


def _place(one: Sketch, other: Sketch, distance: float | None, near: Closeness) -> float:
    if distance is not None:
        return 0.0 if distance > near.farthest_m else 0.5 ** (distance / near.metres)
    if one.commune and other.commune:
        return 0.5 if one.commune == other.commune else 0.0
    return 0.25  # one has no place at all: it may be anywhere


def _metres(one: Sketch, other: Sketch) -> float | None:
    """Distance on a sphere: places a few kilometres apart need no better."""
    if one.lon is None or one.lat is None or other.lon is None or other.lat is None:
        return None
    north, south = math.radians(one.lat), math.radians(other.lat)
    across = math.radians(one.lon - other.lon)
    half = math.sin((north - south) / 2) ** 2 + math.cos(north) * math.cos(south) * math.sin(across / 2) ** 2
    return 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(half)))


@lru_cache(maxsize=20_000)
def _terms(text: str) -> frozenset[str]:
    """Folded words and pairs of them: a Vietnamese word is often two syllables."""
    words = fold(text).split()[:400]
    return frozenset(words) | frozenset(f"{a} {b}" for a, b in pairwise(words))


def _common(one: str, other: str) -> tuple[list[str], float]:
    first, second = _terms(one), _terms(other)
    if not first or not second:
        return [], 0.0
    both = first & second
    # Against the shorter of the two: a title is a part of a long description of the same event.
    share = sum(map(len, both)) / min(sum(map(len, first)), sum(map(len, second)))
    shown = sorted((term for term in both if " " not in term and len(term) > 1), key=lambda term: (-len(term), term))
    return shown[:8], share
