"""Sensors that lie: a value that stands still, and a level that drifts away from its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from thap.detect.detector import Severity
from thap.domains.water.watching import Seen, Watcher
from thap.kernel.clock import DAY_US, HOUR_US
from thap.observe.registry import DatastreamInfo, Registry

__all__ = ["SensorDrift", "StuckValue"]


class StuckValue(Watcher):
    """A sensor that says the same for longer than it ever did.

    Watches levels, salinity, dust and temperature. Raises where the same value has come for `stuck_h` and at least
    twelve times, and for three times as long as the longest such stretch of the weeks before: a sensor that counts in
    whole centimetres stands still at every slack water, and has taught how long (in its first two days: a day). A value
    of zero is never stuck (no salt, no dust to count), and rain gauges and anemometers are not watched: rain and wind
    do stop. Clears with another value.
    """

    condition = "water.stuck"
    properties = ("water_level", "salinity", "pm25", "pm10", "air_temperature")
    severities = (Severity.LOW,)
    source = "longest stretch of one value before; a proposal"

    _READINGS = 12
    _LEARN_US = 2 * DAY_US
    _FORGET = 0.97
    """Each day; from one neap tide to the next two thirds are left."""
    _TIMES = 3.0

    def demand(self, one: Seen, time: int, value: float) -> int:
        kept = one.kept
        if "value" not in kept:
            kept.update(value=value, since=time, count=1, longest=0, first=time)
            return 0
        if value != kept["value"]:
            lasted = time - kept["since"]
            stuck = one.ladder is not None and one.ladder.demand > 0
            if not stuck and kept["count"] > 1:  # what was called stuck teaches nothing
                kept["longest"] = max(lasted, round(kept["longest"] * self._FORGET ** (lasted / DAY_US)))
            kept.update(value=value, since=time, count=1)
            return 0
        kept["count"] += 1
        limit = self.known.parameters["stuck_h"] * HOUR_US
        known = time - kept["first"] >= self._LEARN_US
        needed = max(limit if known else max(limit, DAY_US), self._TIMES * kept["longest"])
        lasted = time - kept["since"]
        return int(value != 0 and kept["count"] >= self._READINGS and lasted >= needed)

    def evidence(self, one: Seen) -> dict[str, Any]:
        kept = one.kept
        return {
            "value": kept["value"],
            "since": kept["since"],
            "readings": kept["count"],
            "longest_before_h": round(kept["longest"] / HOUR_US, 2),
        }


class SensorDrift(Watcher):
    """A level sensor that wanders off while its neighbours do not.

    Watches `water_level` where at least three stations within 120 km have it. The mean of each tidal day (24 h 50 min)
    is compared with the median of the neighbours' by a straight line fitted over the fortnight before, so that a flood
    that passes all of them is no drift. Raises where the difference has exceeded `drift_m`, and four of its own
    standard deviations, for `drift_days`; clears when it is within half of that for a day.
    """

    condition = "water.drift"
    properties = ("water_level",)
    severities = (Severity.LOW,)
    source = "mean of the tidal day against stations near by; a proposal"

    _TIDAL_DAY_US = round(24.84 * HOUR_US)
    _NEAR_KM = 120.0
    _NEIGHBOURS, _NEEDED = 5, 3
    _BASE, _LEAST_BASE = 14, 7
    _SHARE = 0.6
    _FLOOD = 0.5
    """Share of a flood by which places may differ in it."""

    def __init__(self) -> None:
        super().__init__()
        self._near: dict[str, list[str]] = {}

    def bind(self, registry: Registry) -> None:
        super().bind(registry)
        placed = [one.info for one in self._seen.values() if one.info.lon is not None and one.info.lat is not None]
        self._near = {info.key: self._nearest(info, placed) for info in placed}

    def _nearest(self, info: DatastreamInfo, others: Sequence[DatastreamInfo]) -> list[str]:
        def away(other: DatastreamInfo) -> float:
            east = ((other.lon or 0) - (info.lon or 0)) * 109.5
            return float(np.hypot(east, ((other.lat or 0) - (info.lat or 0)) * 110.6))

        near = sorted((away(other), other.key) for other in others if other.thing != info.thing)
        return [key for km, key in near[: self._NEIGHBOURS] if km <= self._NEAR_KM]

    def demand(self, one: Seen, time: int, value: float) -> int:
        kept, day = one.kept, time // self._TIDAL_DAY_US
        if kept.get("day", day) != day:
            self._close(one)
        if kept.get("day") != day:
            kept.update(day=day, total=0.0, count=0, hours=[])
        kept["total"] += value
        kept["count"] += 1
        hour = time // HOUR_US
        if not kept["hours"] or kept["hours"][-1] != hour:
            kept["hours"].append(hour)
        return int(kept.get("beyond", 0) >= self.known.parameters["drift_days"])

    def _close(self, one: Seen) -> None:
        """A tidal day is over: keep its mean, and judge the newest day of which the neighbours' are known."""
        kept = one.kept
        means = kept.setdefault("means", [])
        if len(kept["hours"]) >= self._SHARE * self._TIDAL_DAY_US / HOUR_US:
            means.append([kept["day"], kept["total"] / kept["count"]])
            del means[: -(self._BASE + 10)]
        others = [
            {int(day): mean for day, mean in self._seen[key].kept.get("means", [])}
            for key in self._near.get(one.info.key, [])
            if key in self._seen
        ]
        # The newest day of which enough neighbours are known; days that are beyond already are no base for it.
        days = [int(day) for day, _ in means if sum(int(day) in other for other in others) >= self._NEEDED]
        if len(days) <= self._LEAST_BASE or days[-1] <= kept.get("judged", -1):
            return
        kept["judged"] = today = days[-1]
        base = days[: len(days) - 1 - kept.get("beyond", 0)][-self._BASE :]
        if len(base) < self._LEAST_BASE:
            return
        off, spread, strange = self._off({int(day): mean for day, mean in means}, others, base, today)
        limit = max(self.known.parameters["drift_m"], 4 * spread) + self._FLOOD * strange
        beyond = abs(off) > (0.5 if one.ladder and one.ladder.demand else 1.0) * limit
        kept["beyond"] = kept.get("beyond", 0) + 1 if beyond else 0
        kept.update(off=round(off, 3), limit=round(limit, 3))

    @staticmethod
    def _off(
        mine: dict[int, float], others: list[dict[int, float]], base: list[int], today: int
    ) -> tuple[float, float, float]:
        """How far today lies off the line, the spread about it, and how far the neighbours are from what it was fitted
        on: the line is drawn towards a slope of one, since quiet weeks do not tell how a flood lifts each place."""
        known = [other for other in others if sum(day in other for day in base) * 2 > len(base)]
        usual = [float(np.mean([other[day] for day in base if day in other])) for other in known]

        def near(day: int) -> float:
            """How much the neighbours lie above what is usual for each."""
            above = [other[day] - mean for other, mean in zip(known, usual, strict=True) if day in other]
            return median(above) if above else 0.0

        own = np.array([mine[day] for day in base])
        moved = np.array([near(day) for day in base])
        middle = float(moved.mean())
        moved = moved - middle
        pull = 0.05 * len(base)
        slope = float(np.clip((moved @ (own - own.mean()) + pull) / (moved @ moved + pull), 0.0, 4.0))
        left = own - own.mean() - slope * moved
        shift = near(today) - middle
        strange = max(0.0, abs(shift) - 2 * float(moved.std()))
        return mine[today] - float(own.mean()) - slope * shift, float(left.std()), strange

    def evidence(self, one: Seen) -> dict[str, Any]:
        kept = one.kept
        return {
            "off_m": kept.get("off"),
            "limit_m": kept.get("limit"),
            "days": kept.get("beyond"),
            "neighbours": self._near.get(one.info.key, []),
        }
