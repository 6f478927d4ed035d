"""All rules of one kind judged together.

A *cell* is one rule on one source. A *seat* is a series feeding a cell: most cells have one, a condition over
three datastreams has three. Seats lie in arrays sorted by series, so the groups of a batch find theirs by
two look-ups. For each seat a range of values and a time are kept, the *quiet* range and the *due* time: a row
within the range and before that time provably changes nothing. Cells with any other row in the batch have all
their rows of that batch stepped through one by one, in plain Python; few do.

A kind says what its quiet range is (`quiet`), and what a row means (`step`); everything about delays,
severities and schedules is the ladder's. That quiet rows are no-ops under `step`, and that the way rows are
cut into batches changes nothing, is tested for each kind (tests/detect/test_invariance.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from thap.detect.catalogue import Catalogue, Source
from thap.detect.detector import Action, Change, Fault, Outcome, Severity
from thap.detect.ladder import NEVER, Ladder, Move, Plan
from thap.detect.order import LONG_AGO, Groups, Order
from thap.detect.packing import pack, unpack
from thap.detect.rules import CommonRule
from thap.kernel.clock import iso
from thap.observe.kinds import Ints, ObservationBatch

__all__ = ["Fused", "Row", "Sink"]

Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


class Row(NamedTuple):
    """One row as a step sees it."""

    time: int
    value: float
    """The result; of a position, what the kind made of it."""
    received: int
    seq: int
    place: int
    """Where its judgement belongs in the journal's order."""
    origin: int
    lon: float | None = None
    lat: float | None = None


class Sink:
    """Gathers what cells say, with the place in the journal's order it belongs to."""

    def __init__(self) -> None:
        self._changes: list[tuple[int, Change]] = []
        self._faults: list[Fault] = []

    def change(self, place: int, change: Change) -> None:
        self._changes.append((place, change))

    def fault(self, row: int, condition: str, reason: str) -> None:
        self._faults.append(Fault(row, condition, reason))

    def outcome(self) -> Outcome:
        """Everything, in the journal's order."""
        self._changes.sort(key=lambda item: item[0])
        self._faults.sort(key=lambda fault: fault.row)
        return Outcome([change for _, change in self._changes], self._faults)


class Fused(ABC):
    """The rules of one kind under one order.

    Args:
        rules: of this kind.
        catalogue: the sources.
        order: of the rows that will come; it also tells what event time it is for a series.
    """

    name: ClassVar[str]
    peaks: ClassVar[bool] = False
    """Whether the greatest and least value while active are kept."""

    def __init__(self, rules: Sequence[Any], catalogue: Catalogue, order: Order) -> None:
        self.rules: list[Any] = list(rules)
        self.order = order
        self.plans: list[Plan] = [rule.plan() for rule in rules]
        self.cell_rule: list[int] = []
        self.cell_source: list[Source] = []
        listed: list[tuple[int, int]] = []
        for number, rule in enumerate(self.rules):
            for source, series in self.cells_of(rule, catalogue):
                listed += [(one, len(self.cell_rule)) for one in series]
                self.cell_rule.append(number)
                self.cell_source.append(source)
        seats = np.array(listed, np.int64).reshape(-1, 2)
        order_of_seats = np.argsort(seats[:, 0], kind="stable")
        self.seat_series: Ints = seats[order_of_seats, 0].astype(np.int32)
        self.seat_cell: Index = seats[order_of_seats, 1]
        self.seat_rule: Index = np.array(self.cell_rule, np.intp)[self.seat_cell]
        self._seat_listed = np.empty(len(seats), np.intp)
        self._seat_listed[order_of_seats] = np.arange(len(seats))
        self._cell_first = np.searchsorted(seats[:, 1], np.arange(len(self.cell_rule) + 1))
        self._seats: dict[int, list[int]] = {}
        self.alone = len(seats) == len(self.cell_rule)
        """Every cell has exactly one seat."""
        self._begin = np.searchsorted(self.seat_series, np.arange(order.size + 1))
        self.ladders: dict[int, Ladder] = {}
        self.top = np.full(len(self.cell_rule) if self.peaks else 0, -np.inf)
        self.bottom = np.full(len(self.top), np.inf)
        self.busy = np.zeros(len(self.cell_rule), bool)
        """Cells that have a ladder."""
        self.due = np.full(len(seats), NEVER, np.int64)
        self.kept: dict[str, npt.NDArray[Any]] = {}
        """The kind's own state by seat, first axis seats; dumped and loaded with the rest."""
        self.prepare()
        rest = np.array([self.rest(rule) for rule in self.rules], float).reshape(-1, 2)
        self.low, self.high = rest[self.seat_rule, 0], rest[self.seat_rule, 1]

    # ---- what a kind says

    @abstractmethod
    def cells_of(self, rule: Any, catalogue: Catalogue) -> list[tuple[Source, list[int]]]:
        """The sources of a rule, each with the series numbers that feed it."""

    def prepare(self) -> None:  # noqa: B027  not every kind has any
        """Make the kind's own state, once cells and seats are known."""

    @abstractmethod
    def rest(self, rule: Any) -> tuple[float, float]:
        """The quiet range of a seat that no row has come to yet; empty (low > high) if every row matters."""

    @abstractmethod
    def quiet(self, cell: int, seat: int, ladder: Ladder | None) -> tuple[float, float]:
        """The closed range of values at a seat that change nothing, as things stand."""

    @abstractmethod
    def step(self, cell: int, seat: int, row: Row, ladder: Ladder | None) -> int:
        """The demand after a row; raises, before it changes anything, if the row cannot be judged."""

    def moment(self, cell: int, row: Row) -> int:
        """The event time at which a row is judged."""
        return row.time

    def expiry(self, cell: int) -> int:
        """When a cell must be looked at again even if its ladder waits for nothing."""
        return NEVER

    def expire(self, cell: int, time: int) -> int:
        """The demand once the time that `expiry` named has come."""
        raise AssertionError(f"{type(self).__name__} named no time to be looked at again")

    def values(self, groups: Groups, row: Index, seat: Index) -> npt.NDArray[Any]:
        """What rows mean at seats, as numbers."""
        assert isinstance(groups.rows, ObservationBatch)
        return groups.rows.result[row]

    def scan(self, groups: Groups, group: Index, seat: Index) -> Bools:
        """For each pair of a group and a seat, whether any of its rows may change anything."""
        loud: Bools = groups.low[group] < self.low[seat]
        loud |= groups.high[group] > self.high[seat]
        loud |= groups.last[group] >= self.due[seat]
        return loud

    def absorb(self, groups: Groups, group: Index, seat: Index) -> None:
        """Take in quiet rows, where a kind keeps what they say."""
        if self.peaks and self.ladders:
            cell = self.seat_cell[seat]
            busy = np.flatnonzero(self.busy[cell])
            if len(busy):
                cell, group = cell[busy], group[busy]
                self.top[cell] = np.maximum(self.top[cell], groups.high[group])
                self.bottom[cell] = np.minimum(self.bottom[cell], groups.low[group])

    def evidence(self, cell: int, ladder: Ladder, severity: Severity) -> dict[str, Any]:
        """What a reader needs to see why; JSON-able."""
        return {}

    def seats(self, cell: int) -> list[int]:
        """The seats of a cell, in the order `cells_of` named them."""
        found = self._seats.get(cell)
        if found is None:
            found = self._seats[cell] = self._seat_listed[self._cell_first[cell] : self._cell_first[cell + 1]].tolist()
        return found

    # ---- rows

    def update(self, groups: Groups, sink: Sink) -> None:
        """Judge rows."""
        first = self._begin[groups.series]
        count = self._begin[groups.series + 1] - first
        total = int(count.sum())
        if total == 0:
            return
        group = np.repeat(np.arange(len(first)), count)
        seat = np.arange(total) + np.repeat(first - (np.cumsum(count) - count), count)
        loud = self.scan(groups, group, seat)
        if not loud.any():
            self.absorb(groups, group, seat)
            return
        if not self.alone:
            stirred = np.zeros(len(self.cell_rule), bool)
            stirred[self.seat_cell[seat[loud]]] = True
            loud = stirred[self.seat_cell[seat]]
        if not loud.all():
            self.absorb(groups, group[~loud], seat[~loud])
        self._step_through(groups, group[loud], seat[loud], sink)

    def _step_through(self, groups: Groups, group: Index, seat: Index, sink: Sink) -> None:
        """Take all rows of these pairs one by one, cell by cell, and within a cell in the journal's order."""
        count = groups.stop[group] - groups.start[group]
        at = np.arange(int(count.sum())) + np.repeat(groups.start[group] - (np.cumsum(count) - count), count)
        seats = np.repeat(seat, count)
        cells = self.seat_cell[seats]
        if not self.alone:
            sorter = np.lexsort((groups.place[at], cells))
            at, seats, cells = at[sorter], seats[sorter], cells[sorter]
        rows = groups.rows
        columns = [
            rows.time[at].tolist(),
            self.values(groups, at, seats).tolist(),
            rows.received[at].tolist(),
            groups.seq[at].tolist(),
            groups.place[at].tolist(),
            groups.origin[at].tolist(),
        ]
        if not isinstance(rows, ObservationBatch):
            columns += [rows.lon[at].tolist(), rows.lat[at].tolist()]
        items = list(zip(seats.tolist(), map(Row, *columns), strict=True))
        begins = np.flatnonzero(np.append(True, cells[1:] != cells[:-1]))
        for begin, end, cell in zip(
            begins.tolist(), [*begins[1:].tolist(), len(items)], cells[begins].tolist(), strict=True
        ):
            self._run(cell, items[begin:end], sink)

    def _run(self, cell: int, rows: list[tuple[int, Row]], sink: Sink) -> None:
        for seat, row in rows:
            try:
                moment = self.moment(cell, row)
                self._expire_until(cell, moment, row, sink)
                demand = self.step(cell, seat, row, self.ladders.get(cell))
            except (ArithmeticError, ValueError, TypeError) as error:
                sink.fault(
                    row.origin if row.origin >= 0 else row.place,
                    self.rules[self.cell_rule[cell]].name,
                    f"{self.cell_source[cell].key}: {error}",
                )
                continue
            self._ask(cell, demand, moment, row.value, row, sink)
        self._settle(cell)

    def _ask(self, cell: int, demand: int, time: int, value: float | None, row: Row | None, sink: Sink) -> None:
        ladder = self.ladders.get(cell)
        if ladder is not None:
            self._announce(cell, ladder, ladder.advance(time), row, sink)
            if ladder.resting:
                del self.ladders[cell]
                ladder = None
        if ladder is None:
            if demand == 0:
                return
            ladder = self.ladders[cell] = Ladder(self.plans[self.cell_rule[cell]], time)
            if self.peaks:
                self.top[cell], self.bottom[cell] = -np.inf, np.inf
        if self.peaks and value is not None:
            self.top[cell] = max(self.top[cell], value)
            self.bottom[cell] = min(self.bottom[cell], value)
        if demand != ladder.demand:
            ladder.ask(demand, time, value)
            self._announce(cell, ladder, ladder.advance(time), row, sink)

    def _expire_until(self, cell: int, time: int, row: Row | None, sink: Sink) -> None:
        while (expiry := self.expiry(cell)) <= time and expiry < NEVER:
            self._ask(cell, self.expire(cell, expiry), expiry, None, row, sink)
            ladder = self.ladders.get(cell)
            if ladder is not None:
                ladder.clock = max(ladder.clock, expiry)

    def _settle(self, cell: int) -> None:
        """Bring the quiet range and due time of a cell up to date after it was stepped."""
        ladder = self.ladders.get(cell)
        if ladder is not None and ladder.resting:
            del self.ladders[cell]
            ladder = None
        self.busy[cell] = ladder is not None
        due = min(ladder.due() if ladder else NEVER, self.expiry(cell))
        for seat in self.seats(cell):
            self.low[seat], self.high[seat] = self.quiet(cell, seat, ladder)
            self.due[seat] = due

    # ---- time

    def tick(self, now: int, sink: Sink) -> None:
        """Let timers end, by the event time it is for each cell."""
        waiting = np.flatnonzero(self.due < NEVER)
        if not len(waiting):
            return
        over = waiting[self.order.clock(self.seat_series[waiting], now) >= self.due[waiting]]
        for cell in np.unique(self.seat_cell[over]).tolist():
            clock = int(self.order.clock(self.seat_series[self.seats(cell)], now).max())
            self._expire_until(cell, clock, None, sink)
            ladder = self.ladders.get(cell)
            if ladder is not None:
                self._announce(cell, ladder, ladder.advance(clock), None, sink)
            self._settle(cell)

    def next_tick(self) -> int | None:
        """The earliest door time at which a tick does anything, None if none does."""
        waiting = np.flatnonzero(self.due < NEVER)
        if not len(waiting):
            return None
        series = self.seat_series[waiting]
        left = self.due[waiting] - self.order.judged[series]
        known = self.order.judged[series] > LONG_AGO
        if not known.any():
            return None
        return int((self.order.received[series] + left + self.order.lateness)[known].min())

    # ---- what is said

    def _announce(self, cell: int, ladder: Ladder, moves: list[Move], row: Row | None, sink: Sink) -> None:
        for move in moves:
            change = make_change(
                self.rules[self.cell_rule[cell]],
                self.cell_source[cell],
                ladder,
                move,
                self.evidence(cell, ladder, move.severity) | self._peak(cell),
                row,
            )
            sink.change(move.time if row is None else row.place, change)

    def _peak(self, cell: int) -> dict[str, Any]:
        return {"highest": float(self.top[cell]), "lowest": float(self.bottom[cell])} if self.peaks else {}

    # ---- state

    def dump(self) -> dict[str, Any]:
        """Its state, msgpack-able: ladders by rule and source, the kind's own arrays by rule and series."""
        ladders = []
        for cell, ladder in sorted(self.ladders.items()):
            rule = self.rules[self.cell_rule[cell]]
            peak = [float(self.top[cell]), float(self.bottom[cell])] if self.peaks else []
            ladders.append([rule.name, rule.fingerprint, self.cell_source[cell].key, ladder.dump(), peak])
        return {
            "ladders": ladders,
            "rules": [rule.fingerprint for rule in self.rules],
            "seat_rule": pack(self.seat_rule),
            "seat_series": pack(self.seat_series),
            "kept": {name: pack(array) for name, array in self.kept.items()},
        }

    def load(self, state: dict[str, Any]) -> list[Lost]:
        """Take what `dump` gave; gives the ladders that no cell takes any more."""
        seats = self._load_kept(state)
        cells = (
            {
                (self.rules[rule].fingerprint, source.key): cell
                for cell, (rule, source) in enumerate(zip(self.cell_rule, self.cell_source, strict=True))
            }
            if state["ladders"]
            else {}
        )
        lost = []
        touched = set(self.seat_cell[seats].tolist()) if self.kept else set()
        for name, fingerprint, key, body, peak in state["ladders"]:
            cell = cells.get((fingerprint, key))
            if cell is None:
                lost.append(Lost(name, key, body))
                continue
            self.ladders[cell] = Ladder.restore(self.plans[self.cell_rule[cell]], body)
            if self.peaks:
                self.top[cell], self.bottom[cell] = peak
            touched.add(cell)
        for cell in touched:
            self._settle(cell)
        return lost

    def _load_kept(self, state: dict[str, Any]) -> Index:
        """Bring the kind's own arrays over; gives the seats that had any before."""
        number = {rule.fingerprint: at for at, rule in enumerate(self.rules)}
        rules = np.array([number.get(fingerprint, -1) for fingerprint in state["rules"]], np.int64)
        old_rule, old_series = unpack(state["seat_rule"]), unpack(state["seat_series"]).astype(np.int64)
        if not self.kept or not len(old_rule) or not len(self.seat_cell):
            return np.empty(0, np.intp)
        there = np.flatnonzero(rules[old_rule] >= 0)
        wanted = rules[old_rule[there]] << 32 | old_series[there]
        have = self.seat_rule.astype(np.int64) << 32 | self.seat_series
        sorter = np.argsort(have)
        at = np.minimum(np.searchsorted(have, wanted, sorter=sorter), len(have) - 1)
        seats: Index = sorter[at]
        same = have[seats] == wanted
        there, seats = there[same], seats[same]
        for name, array in self.kept.items():
            old = unpack(state["kept"][name])
            if old.shape[1:] == array.shape[1:]:
                array[seats] = old[there]
        return seats


class Lost(NamedTuple):
    """A ladder whose rule or source is gone."""

    rule: str
    source: str
    body: list[Any]

    @property
    def shown(self) -> int:
        """Severity announced last, 0 when clear."""
        return int(self.body[5])

    @property
    def clock(self) -> int:
        """When anything last happened to it."""
        return int(self.body[0])


def make_change(
    rule: CommonRule, source: Source, ladder: Ladder, move: Move, evidence: dict[str, Any], row: Row | None
) -> Change:
    """What a move means for the alarm of a rule on a source."""
    said = {"kind": rule.kind, "version": rule.version, "by": move.by, **evidence}
    if ladder.since is not None:
        said["since"] = iso(ladder.since[0])
    if move.action is not Action.RAISE:
        said["raised"] = iso(ladder.raised)
    return Change(
        source.key,
        rule.name,
        move.action,
        move.severity,
        move.time,
        seq=0 if row is None else row.seq,
        received=0 if row is None else row.received,
        value=ladder.value,
        domain=rule.domain or source.domain,
        lon=source.lon if row is None or row.lon is None else row.lon,
        lat=source.lat if row is None or row.lat is None else row.lat,
        commune=source.commune,
        evidence=said,
    )
