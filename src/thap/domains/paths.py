"""Ways in which movers of the demo world move; each gives a place for every moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thap.domains.river import along
from thap.domains.world import Doubles, Longs, Plan, bump
from thap.kernel.clock import HOUR_US, MINUTE_US

__all__ = ["Crossing", "Shuttle", "Visits"]

Point = tuple[npt.ArrayLike, npt.ArrayLike]
_LON_M, _LAT_M = 109_460.0, 110_600.0


@dataclass(frozen=True, slots=True)
class Shuttle:
    """Up and down the river between two kilometres, keeping to its right."""

    low_km: float
    high_km: float
    speed_kn: float
    phase: float
    """0…1: where in its round it is at time 0."""
    lane_m: float
    """From the middle."""

    def __call__(self, times: Longs) -> tuple[Doubles, Doubles]:
        length = self.high_km - self.low_km
        rounds = times / HOUR_US * self.speed_kn * 1.852 / (2 * length) + self.phase
        share = rounds % 1
        down = 1 - np.abs(2 * share - 1)
        # Near the turning points it changes over to the other lane, not at once.
        side = np.clip(np.sin(2 * np.pi * share) * 12, -1, 1)
        return along(self.low_km + length * down, self.lane_m * side)


@dataclass(frozen=True, slots=True)
class Crossing:
    """To and fro across the river, with a rest at either bank."""

    km: float
    half_width_m: float
    period: int
    """Of a whole round, µs."""
    phase: float

    def __call__(self, times: Longs) -> tuple[Doubles, Doubles]:
        swing = np.clip(1.4 * np.sin(2 * np.pi * (times / self.period + self.phase)), -1, 1)
        return along(np.full(len(times), self.km), self.half_width_m * swing)


@dataclass(frozen=True)
class Visits:
    """At home, swinging at anchor, but for visits to other places while episodes of a plan last.

    Visits add up: one may begin at the place of another (of a work place by day, a place beside it for an hour).
    """

    home: Point
    away: Sequence[tuple[Point, Plan, int]]
    """Place, when, and how long the way there and back takes, µs."""
    swing_m: float = 12.0
    origin: Sequence[int | None] = ()
    """For each visit, which other visit's place it begins at; home if not given."""

    def __call__(self, times: Longs) -> tuple[Doubles, Doubles]:
        begin, end = int(times.min()), int(times.max()) + 1
        turn = 2 * np.pi * times / (50 * MINUTE_US)
        lon = float(np.asarray(self.home[0])) + self.swing_m * np.cos(turn) / _LON_M
        lat = float(np.asarray(self.home[1])) + self.swing_m * np.sin(turn) / _LAT_M
        for number, (place, plan, ramp) in enumerate(self.away):
            origin = self.origin[number] if self.origin else None
            start = self.home if origin is None else self.away[origin][0]
            share = bump(times, plan.between(begin, end), ramp)
            lon = lon + share * (float(np.asarray(place[0])) - float(np.asarray(start[0])))
            lat = lat + share * (float(np.asarray(place[1])) - float(np.asarray(start[1])))
        return lon, lat
