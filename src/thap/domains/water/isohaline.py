"""Where along the river salinity passes a line: between two stations, by a straight line of the logarithm.

It is interpolation, not measurement, and is marked so wherever it is shown: salt falls off about exponentially up the
river, but two stations fifteen kilometres apart cannot tell more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log

__all__ = ["Crossing", "Sample", "isohaline"]

_LEAST_G_L = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """Salinity at a station on the river."""

    station: str
    km: float
    """Of the river's line, rising upstream or downstream."""
    g_l: float
    time: int
    """µs."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A place at which salinity passes a line."""

    line_g_l: float
    km: float
    between: tuple[str, str]
    time: int
    """Of the older of the two values, µs."""
    apart_us: int
    """How far the two values lie apart in time."""


def isohaline(samples: Sequence[Sample], line_g_l: float) -> list[Crossing]:
    """Every place between two neighbouring stations where salinity passes a line.

    Args:
        samples: one for each station, in any order.
        line_g_l: the line.
    """
    found = []
    for one, two in pairwise(sorted(samples, key=lambda sample: sample.km)):
        first, second = max(one.g_l, _LEAST_G_L), max(two.g_l, _LEAST_G_L)
        if (first - line_g_l) * (second - line_g_l) > 0 or first == second or one.km == two.km:
            continue
        share = (log(line_g_l) - log(first)) / (log(second) - log(first))
        found.append(
            Crossing(
                line_g_l,
                one.km + share * (two.km - one.km),
                (one.station, two.station),
                min(one.time, two.time),
                abs(one.time - two.time),
            )
        )
    return found
