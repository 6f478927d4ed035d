"""No data for a while, by the clock of the doors.

Device clocks may be wrong, and late rows are signs of life too, so only the time of arrival counts. While the
centre itself stood still it heard nobody: if two ticks lie further apart than `standstill_us`, every clock of
a source that is not silent yet starts again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.detect.catalogue import Catalogue, Source
from thap.detect.fused import Lost, Row, Sink, make_change
from thap.detect.ladder import NEVER, Ladder, Move, Plan
from thap.detect.order import LONG_AGO, Batch, series_of
from thap.detect.packing import pack, unpack
from thap.detect.rules import Silence
from thap.kernel.clock import iso
from thap.observe.kinds import Ints, Kind, Longs, ObservationBatch

__all__ = ["Silences"]


class Silences:
    """Silence rules over one kind of record: one cell for each rule and source.

    Args:
        rules: all watching `kind`.
        catalogue: the sources.
        kind: observations or positions.
        size: series numbers are below it.
    """

    def __init__(self, rules: Sequence[Silence], catalogue: Catalogue, kind: Kind, size: int) -> None:
        self.rules = list(rules)
        self.plans: list[Plan] = [rule.plan() for rule in rules]
        self._limits = [
            [rule.no_data_for or NEVER, *(level.no_data_for or NEVER for level in rule.limit_levels())]
            for rule in rules
        ]
        cells: list[tuple[int, int, Source]] = []
        for number, rule in enumerate(self.rules):
            if kind is Kind.OBSERVATION:
                cells += [
                    (info.id, number, catalogue.of_datastream(info))
                    for info in catalogue.select_datastreams(rule.select)
                ]
            else:
                cells += [(info.id, number, catalogue.of_mover(info)) for info in catalogue.select_movers(rule.select)]
        cells.sort(key=lambda cell: cell[:2])
        self.series: Ints = np.array([cell[0] for cell in cells], np.int32)
        self.cell_rule: npt.NDArray[np.intp] = np.array([cell[1] for cell in cells], np.intp)
        self.cell_source = [cell[2] for cell in cells]
        self.wait = np.array([self._limits[rule][0] for _, rule, _ in cells], np.int64)
        """Silence that next changes something, µs; NEVER at the last level."""
        self.due = np.full(len(cells), NEVER, np.int64)
        self.ladders: dict[int, Ladder] = {}
        self.heard = np.full(size, LONG_AGO, np.int64)
        """Door time of the latest row of each series; of one never heard, the first tick."""
        self._watched = np.zeros(size, bool)
        self._watched[self.series] = True
        self._begin = np.searchsorted(self.series, np.arange(size + 1))
        self._quiet = np.zeros(size, bool)
        """Series with a cell that has a ladder."""
        self.standstill_us: int | None = None
        self._ticked = LONG_AGO

    def __len__(self) -> int:
        return len(self.series)

    def update(self, batch: Batch, rows: Longs, sink: Sink) -> None:
        """Take rows of a batch in journal order; those of other series are passed over."""
        if not len(self.series):
            return
        series = series_of(batch)
        if len(rows) < len(series):
            series = series[rows]
        if self.ladders:
            for at in np.flatnonzero(self._quiet[series]).tolist():
                self._hear(batch, int(rows[at]), sink)
        # Of two rows of one series the later is written last; door time never falls along the journal.
        received = batch.received if len(rows) == len(batch) else batch.received[rows]
        self.heard[series] = np.maximum(self.heard[series], received)

    def _hear(self, batch: Batch, row: int, sink: Sink) -> None:
        series = int(series_of(batch)[row])
        received = int(batch.received[row])
        value = float(batch.result[row]) if isinstance(batch, ObservationBatch) else None
        where = (None, None) if isinstance(batch, ObservationBatch) else (float(batch.lon[row]), float(batch.lat[row]))
        seen = Row(int(batch.time[row]), 0.0, received, int(batch.seq[row]), row, row, *where)
        for cell in range(int(self._begin[series]), int(self._begin[series + 1])):
            ladder = self.ladders.get(cell)
            if ladder is not None:
                self._announce(cell, ladder, ladder.advance(received), seen, sink)
                if ladder.demand:
                    ladder.ask(0, received, value)
                    self._announce(cell, ladder, ladder.advance(received), seen, sink)
                self._settle(cell)
        self.heard[series] = max(int(self.heard[series]), received)

    def tick(self, now: int, sink: Sink) -> None:
        """Time passed: who has not been heard?"""
        if not len(self.series):
            return
        if self.standstill_us is not None and self._ticked > LONG_AGO and now - self._ticked > self.standstill_us:
            self.heard[self._watched & ~self._quiet] = now
        self._ticked = max(self._ticked, now)
        new = self._watched & (self.heard == LONG_AGO)
        if new.any():
            self.heard[new] = now
        over = (now - self.heard[self.series] >= self.wait) | (now >= self.due)
        for cell in np.flatnonzero(over).tolist():
            self._pass(cell, now, sink)

    def _pass(self, cell: int, now: int, sink: Sink) -> None:
        heard = int(self.heard[self.series[cell]])
        ladder = self.ladders.get(cell)
        for level, limit in enumerate(self._limits[self.cell_rule[cell]], start=1):
            reached = heard + limit
            if reached > now or (ladder is not None and ladder.demand >= level):
                continue
            if ladder is None:
                ladder = self.ladders[cell] = Ladder(self.plans[self.cell_rule[cell]], reached)
            self._announce(cell, ladder, ladder.advance(reached), None, sink)
            ladder.ask(level, reached, None)
        if ladder is not None:
            self._announce(cell, ladder, ladder.advance(now), None, sink)
        self._settle(cell)

    def next_tick(self) -> int | None:
        """The earliest door time at which a tick does anything."""
        if not len(self.series):
            return None
        heard = self.heard[self.series]
        ends = np.where((self.wait < NEVER) & (heard > LONG_AGO), heard + np.minimum(self.wait, -LONG_AGO), NEVER)
        first = min(int(ends.min()), int(self.due.min()))
        return None if first == NEVER else first

    def _settle(self, cell: int) -> None:
        ladder = self.ladders.get(cell)
        if ladder is not None and ladder.resting:
            del self.ladders[cell]
            ladder = None
        limits = self._limits[self.cell_rule[cell]]
        demand = ladder.demand if ladder else 0
        self.wait[cell] = limits[demand] if demand < len(limits) else NEVER
        self.due[cell] = ladder.due() if ladder else NEVER
        series = int(self.series[cell])
        self._quiet[series] = any(
            other in self.ladders for other in range(int(self._begin[series]), int(self._begin[series + 1]))
        )

    def _announce(self, cell: int, ladder: Ladder, moves: list[Move], row: Row | None, sink: Sink) -> None:
        rule = self.rules[self.cell_rule[cell]]
        heard = int(self.heard[self.series[cell]])
        for move in moves:
            limits = self._limits[self.cell_rule[cell]]
            said = {"no_data_for_s": limits[max(ladder.held, 1) - 1] / 1e6, "heard": iso(heard)}
            sink.change(
                move.time if row is None else row.place,
                make_change(rule, self.cell_source[cell], ladder, move, said, row),
            )

    def dump(self) -> dict[str, Any]:
        """Its state, msgpack-able."""
        number = np.flatnonzero(self.heard > LONG_AGO)
        ladders = [
            [
                self.rules[self.cell_rule[cell]].name,
                self.rules[self.cell_rule[cell]].fingerprint,
                self.cell_source[cell].key,
                ladder.dump(),
            ]
            for cell, ladder in sorted(self.ladders.items())
        ]
        return {"series": pack(number), "heard": pack(self.heard[number]), "ladders": ladders, "ticked": self._ticked}

    def load(self, state: dict[str, Any]) -> list[Lost]:
        """Take what `dump` gave; gives the ladders that no cell takes any more."""
        number = unpack(state["series"])
        kept = number < len(self.heard)
        kept[kept] &= self._watched[number[kept]]
        self.heard[number[kept]] = unpack(state["heard"])[kept]
        self._ticked = state["ticked"]
        cells = (
            {
                (self.rules[rule].fingerprint, source.key): cell
                for cell, (rule, source) in enumerate(zip(self.cell_rule.tolist(), self.cell_source, strict=True))
            }
            if state["ladders"]
            else {}
        )
        lost = []
        for name, fingerprint, key, body in state["ladders"]:
            cell = cells.get((fingerprint, key))
            if cell is None:
                lost.append(Lost(name, key, body))
            else:
                self.ladders[cell] = Ladder.restore(self.plans[self.cell_rule[cell]], body)
                self._settle(cell)
        return lost
