"""Cells that several datastreams feed: votes of a group, and conditions over the values of one thing.

Rows of different datastreams come in journal order, not in order of event time; the time of such a cell is the
largest event time it has seen, and a value's age is counted from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thap.detect.catalogue import Catalogue, Source
from thap.detect.detector import Severity
from thap.detect.expression import Expression
from thap.detect.fused import Bools, Fused, Index, Row
from thap.detect.ladder import NEVER, Ladder
from thap.detect.limits import Limits
from thap.detect.order import LONG_AGO, Groups
from thap.detect.rules import Combined, NOfM
from thap.kernel.clock import iso
from thap.observe.kinds import ObservationBatch
from thap.observe.registry import DatastreamInfo

__all__ = ["Combinations", "Votes"]

_NOTHING = (np.inf, -np.inf)


class Votes(Fused):
    """N datastreams of a group: one cell for each rule and group, one seat for each datastream.

    Keeps the time of each standing vote; datastreams that do not vote leave no trace.
    """

    name = "votes"

    def cells_of(self, rule: NOfM, catalogue: Catalogue) -> list[tuple[Source, list[int]]]:
        groups: dict[str, list[DatastreamInfo]] = {}
        for info in catalogue.select_datastreams(rule.select):
            key = {"thing": info.thing, "commune": f"commune:{info.commune}"}.get(rule.group or "", f"rule:{rule.name}")
            if rule.group != "commune" or info.commune:
                groups.setdefault(key, []).append(info)
        cells = []
        for key, members in groups.items():
            first = members[0]
            where = (
                (first.lon, first.lat, first.commune)
                if rule.group == "thing"
                else (None, None, first.commune if rule.group == "commune" else "")
            )
            domain = first.domain if all(info.domain == first.domain for info in members) else ""
            cells.append((Source(key, domain, *where), [info.id for info in members]))
        return cells

    def prepare(self) -> None:
        self._limits: list[Limits] = [rule.limits() for rule in self.rules]
        self._needed = [[rule.n, *(level.n for level in rule.limit_levels())] for rule in self.rules]
        self._voted = self.kept["voted"] = np.full(len(self.seat_cell), LONG_AGO, np.int64)
        """Event time of the standing vote of each seat."""
        self._at = np.full(len(self.seat_cell), np.nan)
        """Value when last stepped; only the quiet range hangs on it, so it need not be kept."""
        ages = np.array([rule.max_age for rule in self.rules], np.int64)
        self._age = ages[self.seat_rule]

    def rest(self, rule: NOfM) -> tuple[float, float]:
        return rule.limits().rest()

    def quiet(self, cell: int, seat: int, ladder: Ladder | None) -> tuple[float, float]:
        limits = self._limits[self.cell_rule[cell]]
        if self._voted[seat] == LONG_AGO:
            return limits.rest()
        return _NOTHING if np.isnan(self._at[seat]) else limits.band(float(self._at[seat]), 1)

    def scan(self, groups: Groups, group: Index, seat: Index) -> Bools:
        loud = super().scan(groups, group, seat)
        # A vote that stays is renewed, unless its row lies so far behind the others that it counts no more.
        votes = np.flatnonzero(self._voted[seat] > LONG_AGO)
        if len(votes):
            newest = max(int(groups.last.max()), int(self._voted.max()))
            first = groups.rows.time[groups.start[group[votes]]]
            loud[votes] |= first + self._age[seat[votes]] < newest
        return loud

    def absorb(self, groups: Groups, group: Index, seat: Index) -> None:
        votes = self._voted[seat] > LONG_AGO
        self._voted[seat[votes]] = groups.last[group[votes]]

    def moment(self, cell: int, row: Row) -> int:
        return max([row.time, *(int(self._voted[seat]) for seat in self.seats(cell))])

    def step(self, cell: int, seat: int, row: Row, ladder: Ladder | None) -> int:
        standing = self._voted[seat] > LONG_AGO
        self._at[seat] = row.value
        vote = self._limits[self.cell_rule[cell]].reached(row.value, int(standing))
        fresh = row.time + self.rules[self.cell_rule[cell]].max_age >= self.moment(cell, row)
        self._voted[seat] = row.time if vote and fresh else LONG_AGO
        return self._demand(cell)

    def expiry(self, cell: int) -> int:
        standing = [voted for seat in self.seats(cell) if (voted := int(self._voted[seat])) > LONG_AGO]
        return min(standing) + self.rules[self.cell_rule[cell]].max_age + 1 if standing else NEVER

    def expire(self, cell: int, time: int) -> int:
        seats = np.array(self.seats(cell))
        self._voted[seats[self._voted[seats] + self.rules[self.cell_rule[cell]].max_age < time]] = LONG_AGO
        return self._demand(cell)

    def _demand(self, cell: int) -> int:
        votes = sum(int(self._voted[seat]) > LONG_AGO for seat in self.seats(cell))
        return sum(votes >= needed for needed in self._needed[self.cell_rule[cell]])

    def evidence(self, cell: int, ladder: Ladder, severity: Severity) -> dict[str, Any]:
        rule: NOfM = self.rules[self.cell_rule[cell]]
        voted = self._voted[self.seats(cell)]
        return {rule.way: rule.limit, "votes": int((voted > LONG_AGO).sum()), "n": rule.n, "of": len(voted)}


class Combinations(Fused):
    """Conditions over several datastreams of one thing: one cell for each rule and thing that has them all, one
    seat for each name. Keeps the latest value of each seat with its time.
    """

    name = "combined"

    def cells_of(self, rule: Combined, catalogue: Catalogue) -> list[tuple[Source, list[int]]]:
        cells = []
        for thing in dict.fromkeys(info.thing for info in catalogue.select_datastreams(rule.select)):
            members = catalogue.things[thing]
            found = {}
            for name in rule.when.names:
                info = next((m for m in members if m.name == name), None) or next(
                    (m for m in members if m.property == name), None
                )
                if info is not None:
                    found[name] = info.id
            if len(found) == len(rule.when.names) and len(set(found.values())) == len(found):
                cells.append((catalogue.of_thing(thing), [found[name] for name in rule.when.names]))
        return cells

    def prepare(self) -> None:
        size = len(self.seat_cell)
        self._ages = [[rule.age_of(name) for name in rule.when.names] for rule in self.rules]
        self._value = self.kept["value"] = np.full(size, np.nan)
        self._time = self.kept["time"] = np.full(size, LONG_AGO, np.int64)

    def rest(self, rule: Combined) -> tuple[float, float]:
        return _NOTHING

    def quiet(self, cell: int, seat: int, ladder: Ladder | None) -> tuple[float, float]:
        if self._time[seat] == LONG_AGO:
            return _NOTHING
        rule, seats = self.cell_rule[cell], self.seats(cell)
        at = seats.index(seat)
        when: Expression = self.rules[rule].when
        now = LONG_AGO
        if ladder is not None and ladder.demand:
            now = max(self._latest(cell), ladder.clock)
            if self._time[seat] + self._ages[rule][at] < now:
                return _NOTHING  # a value known to be too old comes back with its next row
        try:
            truth, by = when.why(self._values(cell, now))
        except ArithmeticError:
            return _NOTHING
        # If only age keeps the condition from being true, any row may bring it about; age alone never does.
        if truth is True and now == LONG_AGO:
            return _NOTHING
        return when.band(when.names[at], float(self._value[seat])) if when.names[at] in by else (-np.inf, np.inf)

    def _latest(self, cell: int) -> int:
        return max([int(self._time[seat]) for seat in self.seats(cell)])

    def _values(self, cell: int, now: int) -> dict[str, float | None]:
        """What is known at a time; LONG_AGO asks for everything ever known."""
        rule = self.cell_rule[cell]
        known: dict[str, float | None] = {}
        for seat, name, age in zip(self.seats(cell), self.rules[rule].when.names, self._ages[rule], strict=True):
            time = int(self._time[seat])
            known[name] = float(self._value[seat]) if time > LONG_AGO and time + age >= now else None
        return known

    def absorb(self, groups: Groups, group: Index, seat: Index) -> None:
        assert isinstance(groups.rows, ObservationBatch)
        last = groups.stop[group] - 1
        self._value[seat] = groups.rows.result[last]
        self._time[seat] = groups.rows.time[last]

    def moment(self, cell: int, row: Row) -> int:
        # A tick may have gone ahead of the rows; the time of a cell does not go back.
        ladder = self.ladders.get(cell)
        return max(row.time, self._latest(cell), ladder.clock if ladder else LONG_AGO)

    def step(self, cell: int, seat: int, row: Row, ladder: Ladder | None) -> int:
        before = self._value[seat], self._time[seat]
        self._value[seat], self._time[seat] = row.value, row.time
        try:
            return self._judge(cell, self.moment(cell, row))
        except ArithmeticError:
            self._value[seat], self._time[seat] = before
            raise

    def _judge(self, cell: int, now: int) -> int:
        return int(self.rules[self.cell_rule[cell]].when(self._values(cell, now)) is True)

    def expiry(self, cell: int) -> int:
        """While the condition holds: when the next of its values becomes too old."""
        ladder = self.ladders.get(cell)
        if ladder is None or ladder.demand == 0:
            return NEVER
        rule = self.cell_rule[cell]
        ends = [int(self._time[seat]) + age + 1 for seat, age in zip(self.seats(cell), self._ages[rule], strict=True)]
        # One that was too old already when the condition was judged last changes nothing more.
        return min((end for end in ends if end > ladder.clock), default=NEVER)

    def expire(self, cell: int, time: int) -> int:
        try:
            return self._judge(cell, time)
        except ArithmeticError:  # a division that a value now too old had made needless
            return 0

    def evidence(self, cell: int, ladder: Ladder, severity: Severity) -> dict[str, Any]:
        rule: Combined = self.rules[self.cell_rule[cell]]
        seats = self.seats(cell)
        known = {
            name: {"value": float(self._value[seat]), "time": iso(int(self._time[seat]))}
            for name, seat in zip(rule.when.names, seats, strict=True)
            if self._time[seat] > LONG_AGO
        }
        return {"when": rule.when.text, "values": known}
