"""Levels of the river: above the flood alarm levels, above the predicted tide, rising faster than the tide."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from thap.detect.detector import Outcome, Severity
from thap.domains.water.stations import LEVEL_SEVERITY
from thap.domains.water.watching import Rows, Seen, Watcher
from thap.kernel.clock import HOUR_US, MINUTE_US
from thap.observe.registry import DatastreamInfo, Registry

__all__ = ["LevelAboveAlarm", "LevelAboveTide", "RiseAboveTide"]


class LevelAboveAlarm(Watcher):
    """A level at or above a station's flood alarm level I, II or III, as one ladder.

    Watches `water_level` of every station whose limits are known (shipped, or set by the province), but for those that
    a rule `water.flood_…` in force watches: one alarm for one thing. Raises once the level has stood there for
    `alarm_delay_min`; steps down and clears `deadband_m` below, after half an hour.

    Source: the station's own, shown in the evidence.
    """

    condition = "water.level_alarm"
    properties = ("water_level",)
    severities = LEVEL_SEVERITY
    source = "flood alarm levels of the station"

    def wants(self, info: DatastreamInfo) -> bool:
        station = self.known.stations.get(info.thing)
        return (
            super().wants(info)
            and station is not None
            and station.has_levels
            and self.known.ruled is not None
            and info.id <= self.known.ruled_upto
            and info.key not in self.known.ruled
        )

    @property
    def delays(self) -> tuple[int, int]:
        return round(self.known.parameters["alarm_delay_min"] * MINUTE_US), 30 * MINUTE_US

    def bind(self, registry: Registry) -> None:
        super().bind(registry)
        levels = [self.known.stations[one.info.thing].levels for one in self._order]
        lowest = [min((level for level in one if level is not None), default=math.inf) for one in levels]
        self._lowest = np.array(lowest, np.float64)

    def take(self, outcome: Outcome, rows: Rows) -> None:
        at = rows.at[rows.starts]
        high = np.maximum.reduceat(rows.value, rows.starts) >= self._lowest[at]
        for group in np.flatnonzero(high | self._laddered[at]).tolist():
            self.judge(outcome, rows, group)

    def demand(self, one: Seen, time: int, value: float) -> int:
        held, band = one.ladder.demand if one.ladder else 0, self.known.parameters["deadband_m"]
        reached = 0
        for number, level in enumerate(self.known.stations[one.info.thing].levels, 1):
            if level is not None and value >= (level - band if held >= number else level):
                reached = number
        return reached

    def evidence(self, one: Seen) -> dict[str, Any]:
        station = self.known.stations[one.info.thing]
        return {"levels": list(station.levels), "levels_source": station.source, "levels_version": station.version}


class LevelAboveTide(Watcher):
    """A level well above what stage and tide alone would give: a surge, a flood wave, or a sluice that was opened.

    Watches `water_level` of every station whose tide was fitted. Raises medium where it has stood `surge_m` above the
    predicted tide for `surge_delay_min`, high at twice that; clears below three quarters of it. So a spring tide raises
    nothing, and a surge at low water does.
    """

    condition = "water.surge"
    properties = ("water_level",)
    severities = (Severity.MEDIUM, Severity.HIGH)
    source = "level less predicted tide; limit a proposal"

    @property
    def delays(self) -> tuple[int, int]:
        return round(self.known.parameters["surge_delay_min"] * MINUTE_US), 30 * MINUTE_US

    def wants(self, info: DatastreamInfo) -> bool:
        return super().wants(info) and info.key in self.known.tides

    def take(self, outcome: Outcome, rows: Rows) -> None:
        limit = self.known.parameters["surge_m"]
        for group, at in enumerate(rows.at[rows.starts].tolist()):
            if self._order[at].info.key not in self.known.tides:
                continue  # taken away a moment ago
            above = self.excess(rows, group)
            if self._laddered[at] or above.max() >= limit:
                self._above = dict(zip(rows.time[rows.starts[group] : rows.stops[group]].tolist(), above, strict=True))
                self.judge(outcome, rows, group)

    def demand(self, one: Seen, time: int, value: float) -> int:
        above = float(self._above[time])
        one.kept["above"] = round(above, 3)
        limit, held = self.known.parameters["surge_m"], one.ladder.demand if one.ladder else 0
        return sum(above >= step * limit * (0.75 if held >= step else 1.0) for step in (1, 2))

    def evidence(self, one: Seen) -> dict[str, Any]:
        return {"above_tide_m": one.kept.get("above"), "limit_m": self.known.parameters["surge_m"]}


class RiseAboveTide(Watcher):
    """A level that rises within an hour by `rise_m_h` more than its tide does.

    Watches `water_level` of every station whose tide was fitted; elsewhere the rule `water.fast_rise` sees to it. The
    rise is counted from the lowest of the last hour, must be seen by two readings, and clears below half of it.
    """

    condition = "water.rise"
    properties = ("water_level",)
    severities = (Severity.HIGH,)
    source = "rise within an hour above the tide's own; limit a proposal"

    @property
    def delays(self) -> tuple[int, int]:
        return 10 * MINUTE_US, 20 * MINUTE_US

    def wants(self, info: DatastreamInfo) -> bool:
        return super().wants(info) and info.key in self.known.tides

    def take(self, outcome: Outcome, rows: Rows) -> None:
        limit = self.known.parameters["rise_m_h"]
        for group, at in enumerate(rows.at[rows.starts].tolist()):
            one = self._order[at]
            if one.info.key not in self.known.tides:
                continue
            above = np.round(self.excess(rows, group), 4)
            times = rows.time[rows.starts[group] : rows.stops[group]]
            recent = one.kept.get("recent", [])
            lowest = min((pair[1] for pair in recent), default=above[0])
            if self._laddered[at] or above.max() - min(lowest, above.min()) >= limit:
                self._above = dict(zip(times.tolist(), above, strict=True))
                self.judge(outcome, rows, group)
                continue
            seen = [[time, round(float(value), 4)] for time, value in zip(times.tolist(), above, strict=True)]
            one.kept["recent"] = [pair for pair in [*recent, *seen] if pair[0] > times[-1] - HOUR_US][-400:]

    def demand(self, one: Seen, time: int, value: float) -> int:
        above = float(self._above[time])
        recent = [pair for pair in one.kept.get("recent", []) if pair[0] > time - HOUR_US]
        rise = above - min((pair[1] for pair in recent), default=above)
        one.kept["recent"] = [*recent, [time, round(above, 4)]][-400:]
        one.kept["rise"] = round(rise, 3)
        limit = self.known.parameters["rise_m_h"]
        return int(rise >= (0.5 * limit if one.ladder and one.ladder.demand else limit))

    def evidence(self, one: Seen) -> dict[str, Any]:
        return {"rise_m": one.kept.get("rise"), "limit_m_h": self.known.parameters["rise_m_h"]}
