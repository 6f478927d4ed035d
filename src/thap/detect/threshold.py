"""Values at or beyond a limit."""

from __future__ import annotations

from typing import Any

import numpy as np

from thap.detect.catalogue import Catalogue, Source
from thap.detect.detector import Severity
from thap.detect.fused import Fused, Row
from thap.detect.ladder import Ladder
from thap.detect.limits import Limits
from thap.detect.rules import NOfM, Threshold

__all__ = ["Samples", "Thresholds"]


class Thresholds(Fused):
    """Threshold rules: one cell for each rule and datastream. Keeps nothing but ladders."""

    name = "threshold"
    peaks = True

    def cells_of(self, rule: Threshold, catalogue: Catalogue) -> list[tuple[Source, list[int]]]:
        return [(catalogue.of_datastream(info), [info.id]) for info in catalogue.select_datastreams(rule.select)]

    def prepare(self) -> None:
        self._limits: list[Limits] = [rule.limits() for rule in self.rules]
        # Where the value was when last stepped. Only the quiet range hangs on it, so it need not be kept.
        self._at = np.full(len(self.seat_cell), np.nan)

    def rest(self, rule: Threshold) -> tuple[float, float]:
        return rule.limits().rest()

    def quiet(self, cell: int, seat: int, ladder: Ladder | None) -> tuple[float, float]:
        limits = self._limits[self.cell_rule[cell]]
        at = float(self._at[seat])
        value = (ladder.value if ladder else None) if np.isnan(at) else at
        return limits.rest() if value is None else limits.band(value, ladder.demand if ladder else 0)

    def step(self, cell: int, seat: int, row: Row, ladder: Ladder | None) -> int:
        self._at[seat] = row.value
        return self._limits[self.cell_rule[cell]].reached(row.value, ladder.demand if ladder else 0)

    def evidence(self, cell: int, ladder: Ladder, severity: Severity) -> dict[str, Any]:
        limits = self._limits[self.cell_rule[cell]]
        return {limits.way: limits.steps[max(ladder.held, 1) - 1]}


class Samples(Fused):
    """N of the last M values: one cell for each rule and datastream. Keeps the last M votes as bits."""

    name = "samples"
    peaks = True

    def cells_of(self, rule: NOfM, catalogue: Catalogue) -> list[tuple[Source, list[int]]]:
        return [(catalogue.of_datastream(info), [info.id]) for info in catalogue.select_datastreams(rule.select)]

    def prepare(self) -> None:
        self._limits: list[Limits] = [rule.limits() for rule in self.rules]
        self._needed = [[rule.n, *(level.n for level in rule.limit_levels())] for rule in self.rules]
        self._masks = [(1 << rule.m) - 1 for rule in self.rules]
        self._bits = self.kept["bits"] = np.zeros(len(self.seat_cell), np.int64)
        self._at = np.full(len(self.seat_cell), np.nan)  # as in Thresholds

    def rest(self, rule: NOfM) -> tuple[float, float]:
        return rule.limits().rest()

    def quiet(self, cell: int, seat: int, ladder: Ladder | None) -> tuple[float, float]:
        # With no vote among the last M one more value without a vote leaves none, and with M votes one more keeps
        # M; else every value shifts them.
        rule, bits = self.cell_rule[cell], int(self._bits[seat])
        if bits == 0:
            return self._limits[rule].rest()
        if bits == self._masks[rule] and not np.isnan(self._at[seat]):
            return self._limits[rule].band(float(self._at[seat]), 1)
        return np.inf, -np.inf

    def step(self, cell: int, seat: int, row: Row, ladder: Ladder | None) -> int:
        rule = self.cell_rule[cell]
        bits = int(self._bits[seat])
        vote = self._limits[rule].reached(row.value, bits & 1)
        self._at[seat] = row.value
        bits = (bits << 1 | vote) & self._masks[rule]
        self._bits[seat] = bits
        votes = bits.bit_count()
        return sum(votes >= needed for needed in self._needed[rule])

    def evidence(self, cell: int, ladder: Ladder, severity: Severity) -> dict[str, Any]:
        rule: NOfM = self.rules[self.cell_rule[cell]]
        bits = int(self._bits[self.seats(cell)[0]])
        return {rule.way: rule.limit, "votes": bits.bit_count(), "n": rule.n, "m": rule.m}
