"""Rows of many series brought into the order they are judged in: by series, and in each by event time.

For each series, a row counts as late once the *watermark* (largest event time seen, less the lateness allowed)
has reached its time, and as a duplicate if its time was seen before; neither is judged, both are counted. With
a lateness, rows wait until the watermark passes them, or until they have waited that long by the clock of the
doors. With none, every row that is not late is judged at once, and where time strictly increases in every
series, which is the rule, finding that out is all the work there is.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.detect.packing import pack, unpack
from thap.observe.kinds import Floats, Ints, Longs, ObservationBatch, PositionBatch

__all__ = ["LONG_AGO", "Batch", "Groups", "Order", "series_of"]

Batch = ObservationBatch | PositionBatch
Bools = npt.NDArray[np.bool_]

LONG_AGO = -(2**62)
"""A time before all times that occur."""
_ROW = np.int64(0xFFFFFFFF)


def series_of(batch: Batch) -> Ints:
    """The series numbers of a batch: datastreams or movers."""
    return batch.datastream if isinstance(batch, ObservationBatch) else batch.mover


class Groups:
    """Rows sorted by series, and within each in the order to be judged; one group for each series.

    Attributes:
        rows: the sorted rows.
        series: series number of each group, increasing.
        start, stop: its rows.
        place: for each row, where in the journal's order its judgement belongs: the index, in the batch
            handed in, of the row that brought it about.
        origin: index of the row itself in that batch, -1 for one that waited from an earlier batch.
        seq: journal sequence that brought the judgement about, 0 for the clock.
    """

    def __init__(self, rows: Batch, heads: Longs, place: Longs, origin: Longs, seq: Longs) -> None:
        self.rows = rows
        self.start = heads
        self.stop = np.append(heads[1:], len(rows))
        self.series: Ints = series_of(rows)[heads]
        self.place, self.origin, self.seq = place, origin, seq

    @cached_property
    def last(self) -> Longs:
        """The latest event time of each group, µs."""
        last: Longs = self.rows.time[self.stop - 1]
        return last

    @cached_property
    def low(self) -> Floats:
        """The least result of each group; only of observations."""
        low: Floats = (
            self._result if len(self._result) == len(self.start) else np.minimum.reduceat(self._result, self.start)
        )
        return low

    @cached_property
    def high(self) -> Floats:
        """The greatest result of each group; only of observations."""
        high: Floats = (
            self._result if len(self._result) == len(self.start) else np.maximum.reduceat(self._result, self.start)
        )
        return high

    @property
    def _result(self) -> Floats:
        assert isinstance(self.rows, ObservationBatch)
        return self.rows.result

    def __len__(self) -> int:
        return len(self.start)


class Order:
    """The order of one kind of record under one lateness.

    Args:
        size: series numbers are below it.
        watched: for each series number, whether its rows are wanted.
        lateness_us: how long to wait for rows out of order.
    """

    def __init__(self, size: int, watched: Bools, lateness_us: int) -> None:
        self.size, self.lateness = size, lateness_us
        self._watched = watched
        self.newest = np.full(size, LONG_AGO, np.int64)
        """Largest event time seen."""
        self.judged = np.full(size, LONG_AGO, np.int64)
        """Event time of the row judged last."""
        self.received = np.zeros(size, np.int64)
        """Door time of the row judged last."""
        self._waiting: Batch | None = None
        self.late = 0
        self.duplicates = 0

    def push(self, batch: Batch, rows: Longs) -> Groups | None:
        """Take rows of a batch.

        Args:
            batch: in journal order.
            rows: which of them, increasing; their series numbers are within `size`.

        Returns:
            What is to be judged now; None if nothing is.
        """
        series = series_of(batch)
        if len(rows) < len(series):
            rows = rows[self._watched[series[rows]]]
        else:
            wanted = self._watched[series]
            if not wanted.all():
                rows = rows[wanted]
        if not len(rows):
            return None
        key = (series[rows].astype(np.int64) << 32) | rows
        key.sort()  # by series, then as they came
        origin = key & _ROW
        batch = batch.take(origin)
        return self._judge_at_once(batch, origin) if self.lateness == 0 else self._wait(batch, origin)

    # ---- without waiting

    def _judge_at_once(self, batch: Batch, origin: Longs) -> Groups | None:
        head = _heads(series_of(batch))
        start = np.flatnonzero(head)
        known = self.newest[series_of(batch)[start]]
        if not (((batch.time[1:] > batch.time[:-1]) | head[1:]).all() and (batch.time[start] > known).all()):
            before = self._before(batch, head)
            fresh = batch.time > before
            again = int((batch.time == before).sum())
            self.duplicates += again
            self.late += int((~fresh).sum()) - again
            batch, origin = batch.take(fresh), origin[fresh]
            if not len(batch):
                return None
            start = np.flatnonzero(_heads(series_of(batch)))
        groups = Groups(batch, start, origin, origin, batch.seq)
        self.newest[groups.series] = self.judged[groups.series] = groups.last
        self.received[groups.series] = batch.received[groups.stop - 1]
        return groups

    def _before(self, batch: Batch, head: Bools) -> Longs:
        """For each row, the largest event time of its series seen before it."""
        series = series_of(batch)
        known = self.newest[series]
        running = _running_max(np.maximum(batch.time, known), head)
        before = np.empty_like(running)
        before[1:] = running[:-1]
        before[head] = known[head]
        return before

    # ---- with waiting

    def _wait(self, batch: Batch, origin: Longs) -> Groups | None:
        series, head = series_of(batch), _heads(series_of(batch))
        before = self._before(batch, head)
        fresh = batch.time > np.maximum(before - self.lateness, self.judged[series])
        # What the watermark has come to with each row, late or not.
        reached = np.maximum(before, batch.time) - self.lateness
        ends = np.append(np.flatnonzero(head)[1:], len(head)) - 1
        self.newest[series[ends]] = reached[ends] + self.lateness
        self.late += int((~fresh).sum())

        rows, rows_origin = batch.take(fresh), origin[fresh]
        if self._waiting is not None:
            rows_origin = np.concatenate([np.full(len(self._waiting), -1, np.int64), rows_origin])
            rows = _join(self._waiting, rows)
        if not len(rows):
            return None
        order = np.lexsort((rows.time, series_of(rows)))  # stable: of two with one time the first come is first
        rows, rows_origin = rows.take(order), rows_origin[order]
        again = np.zeros(len(rows), bool)
        again[1:] = (rows.time[1:] == rows.time[:-1]) & (series_of(rows)[1:] == series_of(rows)[:-1])
        if again.any():
            self.duplicates += int(again.sum())
            rows, rows_origin = rows.take(~again), rows_origin[~again]

        ripe = rows.time <= self.newest[series_of(rows)] - self.lateness
        self._waiting = rows.take(~ripe) if not ripe.all() else None
        rows, rows_origin = rows.take(ripe), rows_origin[ripe]
        if not len(rows):
            return None
        cause = _first_reaching(series, reached, series_of(rows), rows.time)
        return self._release(rows, origin[cause], rows_origin, batch.seq[cause])

    def tick(self, now: int) -> Groups | None:
        """Rows that have waited as long as they may, with those of their series that come before them."""
        waiting = self._waiting
        if waiting is None:
            return None
        over = waiting.received + self.lateness <= now
        if not over.any():
            return None
        upto = np.full(self.size, LONG_AGO, np.int64)
        np.maximum.at(upto, series_of(waiting)[over], waiting.time[over])
        ripe = waiting.time <= upto[series_of(waiting)]
        self._waiting = waiting.take(~ripe) if not ripe.all() else None
        rows = waiting.take(ripe)
        nothing = np.zeros(len(rows), np.int64)
        return self._release(rows, nothing, nothing - 1, nothing)

    def next_tick(self) -> int | None:
        """When the first waiting row has waited long enough."""
        return None if self._waiting is None else int(self._waiting.received.min()) + self.lateness

    def _release(self, rows: Batch, place: Longs, origin: Longs, seq: Longs) -> Groups:
        groups = Groups(rows, np.flatnonzero(_heads(series_of(rows))), place, origin, seq)
        self.judged[groups.series] = groups.last
        self.received[groups.series] = rows.received[groups.stop - 1]
        return groups

    # ---- clock and state

    def clock(self, series: Ints, now: int) -> Longs:
        """The event time it is for each series at a door time: that of its latest row, and what has passed since."""
        passed = np.maximum(now - self.received[series] - self.lateness, 0)
        return np.where(self.judged[series] > LONG_AGO, self.judged[series] + passed, LONG_AGO)

    def dump(self) -> dict[str, Any]:
        """Its state, msgpack-able, with the series numbers that have any."""
        number = np.flatnonzero(self.newest > LONG_AGO)
        state: dict[str, Any] = {"series": pack(number), "late": self.late, "duplicates": self.duplicates}
        for name in ("newest", "judged", "received"):
            state[name] = pack(getattr(self, name)[number])
        if self._waiting is not None:
            state["waiting"] = {name: pack(getattr(self._waiting, name)) for name in self._waiting.__slots__}
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Take what `dump` gave; series that are no longer watched are left out."""
        number = unpack(state["series"])
        kept = number < self.size
        kept[kept] &= self._watched[number[kept]]
        for name in ("newest", "judged", "received"):
            getattr(self, name)[number[kept]] = unpack(state[name])[kept]
        self.late, self.duplicates = state["late"], state["duplicates"]
        if "waiting" in state:
            columns = {name: unpack(data) for name, data in state["waiting"].items()}
            waiting: Batch = ObservationBatch(**columns) if "datastream" in columns else PositionBatch(**columns)
            series = series_of(waiting)
            held = series < self.size
            held[held] &= self._watched[series[held]]
            self._waiting = waiting.take(held) if held.any() else None


def _heads(series: Ints) -> Bools:
    head = np.empty(len(series), bool)
    head[:1] = True
    np.not_equal(series[1:], series[:-1], out=head[1:])
    return head


def _join(first: Batch, second: Batch) -> Batch:
    if isinstance(first, ObservationBatch):
        assert isinstance(second, ObservationBatch)
        return ObservationBatch.join([first, second])
    assert isinstance(second, PositionBatch)
    return PositionBatch.join([first, second])


def _running_max(values: Longs, head: Bools) -> Longs:
    """The running maximum within each group."""
    distinct, rank = np.unique(values, return_inverse=True)
    group = np.cumsum(head, dtype=np.int64)
    # Ranks are small, so group and rank fit one number and a later group starts above all earlier ones.
    running = np.maximum.accumulate(group * (len(distinct) + 1) + rank)
    found: Longs = distinct[running - group * (len(distinct) + 1)]
    return found


def _first_reaching(series: Ints, reached: Longs, wanted_series: Ints, wanted: Longs) -> npt.NDArray[np.intp]:
    """For each wanted (series, time), the first row of that series whose watermark is at or past the time.

    `reached` never falls within a series; rows are sorted by series.
    """
    distinct, rank = np.unique(np.concatenate([reached, wanted]), return_inverse=True)
    scale = np.int64(len(distinct) + 1)
    have = series.astype(np.int64) * scale + rank[: len(reached)]
    return np.searchsorted(have, wanted_series.astype(np.int64) * scale + rank[len(reached) :])
