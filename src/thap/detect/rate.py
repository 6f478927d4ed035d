"""Changes within a window: how far the latest value lies above the lowest, or below the highest, in it.

The window is kept as a ring of `BUCKETS` equal stretches of event time, each with its least and greatest value;
a value is compared with what lies in the current stretch and the `BUCKETS - 1` before it. So nothing older than
the window is ever compared, and nothing younger than 15/16 of it is ever missed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thap.detect.catalogue import Catalogue, Source
from thap.detect.detector import Severity
from thap.detect.fused import Bools, Fused, Index, Lost, Row
from thap.detect.ladder import Ladder
from thap.detect.limits import Limits
from thap.detect.order import Groups
from thap.detect.rules import Rate
from thap.observe.kinds import Floats, Longs, ObservationBatch

__all__ = ["BUCKETS", "Rates"]

BUCKETS = 16
_NONE = -(2**62)
_INF = np.inf


class Rates(Fused):
    """Rate rules: one cell for each rule and datastream. Keeps a ring of least and greatest values."""

    name = "rate"
    peaks = False

    def cells_of(self, rule: Rate, catalogue: Catalogue) -> list[tuple[Source, list[int]]]:
        return [(catalogue.of_datastream(info), [info.id]) for info in catalogue.select_datastreams(rule.select)]

    def prepare(self) -> None:
        size = len(self.seat_cell)
        self._limits: list[Limits] = [rule.limits() for rule in self.rules]
        self._up = [rule.way in ("rise", "change") for rule in self.rules]
        self._down = [rule.way in ("fall", "change") for rule in self.rules]
        width = np.array([max(1, rule.window // BUCKETS) for rule in self.rules], np.int64)
        first = np.array([rule.limit for rule in self.rules], float)
        # By seat: width of a stretch, and the change in each direction at which something happens.
        self._width: Longs = width[self.seat_rule]
        self._rise_at: Floats = np.where(np.array(self._up), first, _INF)[self.seat_rule]
        self._fall_at: Floats = np.where(np.array(self._down), first, _INF)[self.seat_rule]
        self._stretch = self.kept["stretch"] = np.full((size, BUCKETS), _NONE, np.int64)
        self._least = self.kept["least"] = np.full((size, BUCKETS), _INF)
        self._most = self.kept["most"] = np.full((size, BUCKETS), -_INF)
        # Bounds of what a ring holds, of stretches gone by as well: enough to see that most rows change nothing.
        self._floor, self._ceiling = np.full(size, _INF), np.full(size, -_INF)

    def rest(self, rule: Rate) -> tuple[float, float]:
        return -_INF, _INF

    def quiet(self, cell: int, seat: int, ladder: Ladder | None) -> tuple[float, float]:
        # Here the range only says whether the cell is at rest; `scan` looks at the change itself.
        return (-_INF, _INF) if ladder is None else (_INF, -_INF)

    def scan(self, groups: Groups, group: Index, seat: Index) -> Bools:
        loud = super().scan(groups, group, seat)
        loud |= groups.high[group] - np.minimum(self._floor[seat], groups.low[group]) >= self._rise_at[seat]
        loud |= np.maximum(self._ceiling[seat], groups.high[group]) - groups.low[group] >= self._fall_at[seat]
        again = np.flatnonzero(loud)
        if len(again):
            loud[again] = self._look(groups, group[again], seat[again])
        return loud

    def _look(self, groups: Groups, group: Index, seat: Index) -> Bools:
        """The same with what the rings really hold."""
        loud = super().scan(groups, group, seat)
        # What the first row of the group can still see; later rows see no more of the past than that.
        oldest = groups.rows.time[groups.start[group]] // self._width[seat] - BUCKETS
        live = self._stretch[seat] > oldest[:, None]
        least = np.minimum(np.where(live, self._least[seat], _INF).min(axis=1), groups.low[group])
        most = np.maximum(np.where(live, self._most[seat], -_INF).max(axis=1), groups.high[group])
        self._floor[seat], self._ceiling[seat] = least, most
        loud |= groups.high[group] - least >= self._rise_at[seat]
        loud |= most - groups.low[group] >= self._fall_at[seat]
        return loud

    def absorb(self, groups: Groups, group: Index, seat: Index) -> None:
        """Add quiet rows to the rings."""
        self._floor[seat] = np.minimum(self._floor[seat], groups.low[group])
        self._ceiling[seat] = np.maximum(self._ceiling[seat], groups.high[group])
        rows = groups.rows
        assert isinstance(rows, ObservationBatch)
        count = groups.stop[group] - groups.start[group]
        pair = np.repeat(np.arange(len(group)), count)
        row = np.arange(len(pair)) + np.repeat(groups.start[group] - (np.cumsum(count) - count), count)
        stretch = rows.time[row] // self._width[seat][pair]
        value = rows.result[row]
        # Times rise within a pair, so rows of one stretch lie together.
        head = np.ones(len(pair), bool)
        head[1:] = (pair[1:] != pair[:-1]) | (stretch[1:] != stretch[:-1])
        run = np.flatnonzero(head)
        least, most = np.minimum.reduceat(value, run), np.maximum.reduceat(value, run)
        pair, stretch = pair[run], stretch[run]
        # Of stretches that share a slot of the ring only the last counts.
        last = stretch[np.append(np.flatnonzero(pair[1:] != pair[:-1]), len(pair) - 1)]
        fits = stretch > last[np.cumsum(np.append(0, pair[1:] != pair[:-1]))] - BUCKETS
        at, slot = seat[pair[fits]], stretch[fits] % BUCKETS
        stretch, least, most = stretch[fits], least[fits], most[fits]
        same = self._stretch[at, slot] == stretch
        self._least[at, slot] = np.where(same, np.minimum(self._least[at, slot], least), least)
        self._most[at, slot] = np.where(same, np.maximum(self._most[at, slot], most), most)
        self._stretch[at, slot] = stretch

    def step(self, cell: int, seat: int, row: Row, ladder: Ladder | None) -> int:
        rule = self.cell_rule[cell]
        now = row.time // int(self._width[seat])
        slot = now % BUCKETS
        if self._stretch[seat, slot] != now:
            self._stretch[seat, slot], self._least[seat, slot], self._most[seat, slot] = now, row.value, row.value
        else:
            self._least[seat, slot] = min(self._least[seat, slot], row.value)
            self._most[seat, slot] = max(self._most[seat, slot], row.value)
        self._floor[seat] = min(self._floor[seat], row.value)
        self._ceiling[seat] = max(self._ceiling[seat], row.value)
        rise, fall = self._change(seat, now, row.value)
        change = max(rise if self._up[rule] else 0.0, fall if self._down[rule] else 0.0)
        return self._limits[rule].reached(change, ladder.demand if ladder else 0)

    def _change(self, seat: int, now: int, value: float) -> tuple[float, float]:
        live = self._stretch[seat] > now - BUCKETS
        return value - float(self._least[seat][live].min()), float(self._most[seat][live].max()) - value

    def load(self, state: dict[str, Any]) -> list[Lost]:
        lost = super().load(state)
        self._floor, self._ceiling = self._least.min(axis=1), self._most.max(axis=1)
        return lost

    def evidence(self, cell: int, ladder: Ladder, severity: Severity) -> dict[str, Any]:
        rule: Rate = self.rules[self.cell_rule[cell]]
        seat = self.seats(cell)[0]
        live = self._stretch[seat] > int(self._stretch[seat].max()) - BUCKETS
        return {
            rule.way: self._limits[self.cell_rule[cell]].steps[max(ladder.held, 1) - 1],
            "window_s": rule.window / 1e6,
            "lowest": float(self._least[seat][live].min()),
            "highest": float(self._most[seat][live].max()),
        }
