"""Limits with a deadband: how many levels a value has reached, given how many it had reached before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

__all__ = ["LimitWay", "Limits"]

LimitWay = Literal["above", "below", "outside", "inside"]
_INF = math.inf


class Limits:
    """The limits of a rule, one for each level, each stricter than the one before.

    A level is reached at its limit or beyond, and left once the value is back by more than the deadband.

    Args:
        way: which side is beyond.
        steps: a number for each level, or a (low, high) pair for `outside` and `inside`.
        deadband: in the unit of the value.
    """

    def __init__(self, way: LimitWay, steps: Sequence[Any], deadband: float) -> None:
        self.way, self.steps, self.deadband = way, tuple(steps), deadband
        low, high = -_INF, _INF
        # Each level as two closed half-lines or one closed interval in which it holds, and the same for staying.
        self._reach: list[tuple[float, float]] = []
        self._stay: list[tuple[float, float]] = []
        for step in steps:
            if way == "above":
                low, high = -_INF, float(step)
            elif way == "below":
                low, high = float(step), _INF
            else:
                low, high = float(step[0]), float(step[1])
            self._reach.append((low, high))
            give = -deadband if way == "inside" else deadband
            self._stay.append((low + give, high - give))
        self._inside = way == "inside"

    def reached(self, value: float, before: int) -> int:
        """How many levels hold for a value after `before` of them held."""
        return max(self._count(value, self._reach), min(before, self._count(value, self._stay)))

    def band(self, value: float, level: int) -> tuple[float, float]:
        """A closed range around a value, at `level` levels reached, in which that number stays the same."""
        low, high = -_INF, _INF
        edges = []
        if level:
            edges.append((self._stay[level - 1], True))
        if level < len(self._reach):
            edges.append((self._reach[level], False))
        for (below, above), holds in edges:
            if self._inside is holds:  # between the two numbers, which count as well if the level holds
                low = max(low, below if holds else _after(below))
                high = min(high, above if holds else _before(above))
            elif value <= below:
                high = min(high, below if holds else _before(below))
            else:
                low = max(low, above if holds else _after(above))
        return low, high

    def rest(self) -> tuple[float, float]:
        """A range in which no level is reached; empty (low > high) where there are two such ranges."""
        if self._inside:
            return _INF, -_INF
        low, high = self._reach[0]
        return _after(low), _before(high)

    def _count(self, value: float, ranges: list[tuple[float, float]]) -> int:
        number = 0
        for low, high in ranges:
            if (low <= value <= high) if self._inside else (value <= low or value >= high):
                number += 1
            else:
                break
        return number


def _after(value: float) -> float:
    return value if math.isinf(value) else math.nextafter(value, _INF)


def _before(value: float) -> float:
    return value if math.isinf(value) else math.nextafter(value, -_INF)
