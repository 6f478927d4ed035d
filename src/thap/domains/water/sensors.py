"""Sensors that lie: a value that stands still, and a level that drifts away from its neighbours."""

from __future__ import annotations

import math
from itertools import islice
from statistics import median
from typing import Any

import numpy as np

from thap.detect.detector import Outcome, Severity
from thap.domains.water.watching import Rows, Seen, Watcher
from thap.kernel.clock import DAY_US, HOUR_US
from thap.observe.registry import Registry

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

    COLUMNS = {  # noqa: RUF012  as Watcher says
        "value": (np.float64, np.nan),
        "since": (np.int64, 0),
        "count": (np.int64, 0),
        "longest": (np.int64, 0),
        "first": (np.int64, 0),
    }

    def take(self, outcome: Outcome, rows: Rows) -> None:
        """By stretches of one value. Only that which each datastream came with may have lasted; where another of the
        batch did and ended, where one may be too long, and where an alarm stands, rows are judged one by one."""
        c, at, time, value = self.columns, rows.at, rows.time, rows.value
        here = at[rows.starts]
        other = np.append(True, value[1:] != value[:-1])
        other[rows.starts] = (value[rows.starts] != c["value"][here]) | (c["count"][here] == 0)
        begins = other.copy()
        begins[rows.starts] = True
        first = np.flatnonzero(begins)
        stops = np.append(first[1:], len(at))
        group = np.searchsorted(rows.starts, first, "right") - 1
        place, carried = at[first], ~other[first]
        since = np.where(carried, c["since"][place], time[first])
        count = stops - first + np.where(carried, c["count"][place], 0)
        ended = np.append(group[1:] == group[:-1], False)

        opening = np.searchsorted(first, rows.starts)  # the stretch each datastream begins with
        closes = ~carried[opening] | ended[opening]
        lasts = np.where(carried[opening], time[np.minimum(stops[opening], len(time) - 1)], time[rows.starts])
        lasted = lasts - c["since"][here]
        learns = closes & (np.where(carried[opening], count[opening], c["count"][here]) > 1)
        faded = np.rint(c["longest"][here] * self._FORGET ** (lasted / DAY_US)).astype(np.int64)
        longest = np.where(learns, np.maximum(lasted, faded), c["longest"][here])

        fresh = c["count"][here] == 0
        born = np.where(fresh, time[rows.starts], c["first"][here])
        reach = time[stops - 1]
        limit = self.known.parameters["stuck_h"] * HOUR_US
        taught = np.where(carried, c["longest"][place], longest[group])
        needed = np.where(reach - born[group] >= self._LEARN_US, limit, max(limit, DAY_US))
        stuck = (value[first] != 0) & (count >= self._READINGS)
        stuck &= reach - since >= np.maximum(needed, self._TIMES * taught)
        hard = self._laddered[here].copy()
        hard[group[stuck | (~carried & ended & (count > 1))]] = True

        quick = ~hard
        closing = np.searchsorted(first, rows.stops, "left") - 1
        for name, new in (
            ("value", value[first[closing]]),
            ("since", since[closing]),
            ("count", count[closing]),
            ("longest", longest),
            ("first", born),
        ):
            c[name][here[quick]] = new[quick]
        for number in np.flatnonzero(hard).tolist():
            self.judge(outcome, rows, number)

    def demand(self, one: Seen, time: int, value: float) -> int:
        kept = one.kept
        if not kept["count"]:
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
        self._near = {}
        infos = [one.info for one in self._order]
        nowhere = math.nan
        self._east = np.array([nowhere if info.lon is None else info.lon * 109.5 for info in infos])
        self._north = np.array([nowhere if info.lat is None else info.lat * 110.6 for info in infos])

    def _neighbours(self, one: Seen) -> list[str]:
        """Keys of the nearest levels of other stations; looked for when first asked."""
        found = self._near.get(one.info.key)
        if found is None:
            km = np.hypot(self._east - self._east[one.place], self._north - self._north[one.place])
            near = np.flatnonzero(km <= self._NEAR_KM)
            infos = (self._order[at].info for at in near[np.argsort(km[near], kind="stable")].tolist())
            others = (info.key for info in infos if info.thing != one.info.thing)
            found = self._near[one.info.key] = list(islice(others, self._NEIGHBOURS))
        return found

    COLUMNS = {  # noqa: RUF012  as Watcher says; of the running tidal day
        "day": (np.int64, -1),
        "total": (np.float64, 0.0),
        "count": (np.int64, 0),
        "hour": (np.int64, -1),
        "hours": (np.int64, 0),
    }

    def take(self, outcome: Outcome, rows: Rows) -> None:
        """Where no tidal day ended, rows are summed and nothing can change."""
        c, here = self.columns, rows.at[rows.starts]
        day = rows.time // self._TIDAL_DAY_US
        begun, reached = day[rows.starts], day[rows.stops - 1]
        fresh = c["day"][here] == -1
        hard = (begun != reached) | ((begun != c["day"][here]) & ~fresh)
        hour = rows.time // HOUR_US
        turns = np.append(True, hour[1:] != hour[:-1])
        turns[rows.starts] = hour[rows.starts] != c["hour"][here]
        total = np.add.reduceat(rows.value, rows.starts)
        hours = np.add.reduceat(turns.astype(np.int64), rows.starts)
        quick = ~hard
        mine = here[quick]
        c["day"][mine] = begun[quick]
        c["total"][mine] += total[quick]
        c["count"][mine] += (rows.stops - rows.starts)[quick]
        c["hour"][mine] = hour[rows.stops - 1][quick]
        c["hours"][mine] += hours[quick]
        self.judge_in_order(outcome, rows, np.flatnonzero(hard))

    def demand(self, one: Seen, time: int, value: float) -> int:
        kept, day, hour = one.kept, time // self._TIDAL_DAY_US, time // HOUR_US
        if kept["day"] not in (-1, day):
            self._close(one)
        if kept["day"] != day:
            kept.update(day=day, total=0.0, count=0, hour=-1, hours=0)
        kept["total"] += value
        kept["count"] += 1
        if kept["hour"] != hour:
            kept.update(hour=hour, hours=kept["hours"] + 1)
        return int(kept.get("beyond", 0) >= self.known.parameters["drift_days"])

    def _close(self, one: Seen) -> None:
        """A tidal day is over: keep its mean, and judge the newest day of which the neighbours' are known."""
        kept = one.kept
        means = kept.setdefault("means", [])
        if kept["hours"] >= self._SHARE * self._TIDAL_DAY_US / HOUR_US:
            means.append([kept["day"], kept["total"] / kept["count"]])
            del means[: -(self._BASE + 10)]
        others = [
            {int(day): mean for day, mean in self._seen[key].kept.get("means", [])}
            for key in self._neighbours(one)
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
            "neighbours": self._neighbours(one),
        }
