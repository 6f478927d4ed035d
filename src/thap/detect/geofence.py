"""Movers inside or outside areas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.detect.areas import INSIDE, OUTSIDE, Fence
from thap.detect.catalogue import Catalogue, Source
from thap.detect.detector import Severity
from thap.detect.fused import Bools, Fused, Index, Row
from thap.detect.ladder import Ladder
from thap.detect.order import Groups, Order
from thap.detect.rules import Geofence
from thap.observe.kinds import Floats, PositionBatch

__all__ = ["Geofences"]

_KEEP, _FALSE, _TRUE = -1, 0, 1


class Geofences(Fused):
    """Geofence rules: one cell for each rule and mover. Keeps nothing but ladders.

    A row says of each cell: true, false, or nothing new (in the strip of the hysteresis, or with an unknown
    speed where the rule asks for one).
    """

    name = "geofence"

    def __init__(self, rules: Sequence[Any], catalogue: Catalogue, order: Order, fences: dict[str, Fence]) -> None:
        self._fences = [fences[rule.name] for rule in rules]
        super().__init__(rules, catalogue, order)

    def cells_of(self, rule: Geofence, catalogue: Catalogue) -> list[tuple[Source, list[int]]]:
        return [(catalogue.of_mover(info), [info.id]) for info in catalogue.select_movers(rule.select)]

    def prepare(self) -> None:
        # A rule that is false of everything far from its areas needs no closer look at most groups.
        self._near_only = np.array([rule.mode != "outside" for rule in self.rules], bool)
        self._boxes = np.array([fence.box for fence in self._fences], float).reshape(-1, 4)
        self._demand = np.zeros(len(self.seat_cell), np.int8)

    def rest(self, rule: Geofence) -> tuple[float, float]:
        return 0.0, 0.0

    def quiet(self, cell: int, seat: int, ladder: Ladder | None) -> tuple[float, float]:
        self._demand[seat] = ladder.demand if ladder else 0
        return 0.0, 0.0  # the value of a row here is no number; `scan` compares with the demand

    def scan(self, groups: Groups, group: Index, seat: Index) -> Bools:
        rows = groups.rows
        assert isinstance(rows, PositionBatch)
        loud: Bools = groups.last[group] >= self.due[seat]
        rule = self.seat_rule[seat]
        box = self._boxes[rule]
        near = np.minimum.reduceat(rows.lon, groups.start)[group] <= box[:, 2]
        near &= np.maximum.reduceat(rows.lon, groups.start)[group] >= box[:, 0]
        near &= np.minimum.reduceat(rows.lat, groups.start)[group] <= box[:, 3]
        near &= np.maximum.reduceat(rows.lat, groups.start)[group] >= box[:, 1]
        closer = near | ~self._near_only[rule]
        loud |= ~closer & (self._demand[seat] == _TRUE)
        closer &= ~loud
        for number in np.unique(rule[closer]).tolist():
            pairs = np.flatnonzero(closer & (rule == number))
            loud[pairs] = self._differs(groups, group[pairs], seat[pairs], number)
        return loud

    def _differs(self, groups: Groups, group: Index, seat: Index, rule: int) -> Bools:
        """For each group and seat of one rule, whether any row says other than the cell's demand."""
        count = groups.stop[group] - groups.start[group]
        before = np.cumsum(count) - count
        row = np.arange(int(count.sum())) + np.repeat(groups.start[group] - before, count)
        rows = groups.rows
        assert isinstance(rows, PositionBatch)
        says = self._says(rule, rows.lon[row], rows.lat[row], rows.speed_kn[row])
        differs: Bools = np.logical_or.reduceat(
            (says != _KEEP) & (says != np.repeat(self._demand[seat], count)), before
        )
        return differs

    def _says(self, rule: int, lon: Floats, lat: Floats, speed_kn: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
        one: Geofence = self.rules[rule]
        zone = self._fences[rule].classify(lon, lat)
        true, false = (zone == OUTSIDE, zone == INSIDE) if one.mode == "outside" else (zone == INSIDE, zone == OUTSIDE)
        if one.below_kn is not None:
            true, false = true & (speed_kn < one.below_kn), false | (speed_kn >= one.below_kn)
        if one.above_kn is not None:
            true, false = true & (speed_kn > one.above_kn), false | (speed_kn <= one.above_kn)
        return np.where(true, _TRUE, np.where(false, _FALSE, _KEEP)).astype(np.int8)

    def values(self, groups: Groups, row: Index, seat: Index) -> npt.NDArray[Any]:
        rows = groups.rows
        assert isinstance(rows, PositionBatch)
        says = np.empty(len(row))
        rule = self.seat_rule[seat]
        for number in np.unique(rule).tolist():
            some = np.flatnonzero(rule == number)
            at = row[some]
            says[some] = self._says(number, rows.lon[at], rows.lat[at], rows.speed_kn[at])
        return says

    def step(self, cell: int, seat: int, row: Row, ladder: Ladder | None) -> int:
        return (ladder.demand if ladder else 0) if row.value == _KEEP else int(row.value)

    def evidence(self, cell: int, ladder: Ladder, severity: Severity) -> dict[str, Any]:
        rule: Geofence = self.rules[self.cell_rule[cell]]
        names = [area.name for area in rule.area if area.name]
        said: dict[str, Any] = {"mode": rule.mode, "hysteresis_m": rule.hysteresis_m}
        if names:
            said["area"] = ", ".join(names)
        if rule.dwell is not None:
            said["dwell_s"] = rule.dwell / 1e6
        return said
