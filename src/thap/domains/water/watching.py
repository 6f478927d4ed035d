"""What the detectors of water share: a ladder for each datastream they watch, and what they read of the records."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from thap.detect.detector import Action, Change, Detector, Outcome, Severity
from thap.detect.ladder import NEVER, Ladder, Move, Plan
from thap.detect.packing import pack, unpack
from thap.domains.water.harmonic import Tide, tide_of
from thap.domains.water.stations import Station, shipped_stations
from thap.kernel.clock import HOUR_US
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch
from thap.observe.registry import DatastreamInfo, Registry

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from thap.domains.parameters import Parameters

__all__ = ["Known", "Rows", "Seen", "Watcher"]


@dataclass(frozen=True, slots=True)
class Known:
    """What was taken of the records."""

    parameters: Parameters
    stations: dict[str, Station]
    tides: dict[str, tuple[Tide, float]] = field(default_factory=dict)
    """Tide and slow stage by datastream."""
    ruled: frozenset[str] | None = frozenset()
    """Datastreams whose flood alarm levels a rule in force watches; None before that was ever looked at."""
    ruled_upto: int = 2**31
    """The newest datastream when that was looked at: of later ones it is not known yet."""


@dataclass(slots=True)
class Seen:
    """One datastream as a detector sees it."""

    info: DatastreamInfo
    place: int
    """Among those watched."""
    ladder: Ladder | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    """What the detector keeps beside its columns; msgpack-able."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What one batch holds of the datastreams watched: one datastream after another, each in order of time."""

    at: npt.NDArray[np.intp]
    """Place of each row's datastream among those watched."""
    time: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    seq: npt.NDArray[np.int64]
    received: npt.NDArray[np.int64]
    index: npt.NDArray[np.intp]
    """Place of each row in the batch."""
    starts: npt.NDArray[np.intp]
    """Index of the first row of each datastream."""
    stops: npt.NDArray[np.intp]
    """One past the last."""


class Watcher(Detector):
    """A condition on each datastream of some properties. A row that is not newer than the one before it is left out:
    it can change nothing that was said.

    What is judged row by row costs microseconds a row, and most rows of most datastreams change nothing. So `take` of a
    detector tells by arrays which datastreams of a batch can have changed anything, and gives only those to `judge`.
    """

    watches = Kind.OBSERVATION
    properties: ClassVar[tuple[str, ...]]
    severities: ClassVar[tuple[Severity, ...]]
    source: ClassVar[str]
    """Where the rule is from, for evidence."""
    COLUMNS: ClassVar[dict[str, tuple[Any, Any]]] = {}
    """What is kept of every datastream in arrays: name → dtype, value at first. While rows are judged one by one it is
    in `Seen.kept` under the same name."""

    def __init__(self) -> None:
        from thap.domains.parameters import shipped_parameters
        from thap.domains.water import DOMAIN

        self.known = Known(shipped_parameters(DOMAIN), shipped_stations())
        self._seen: dict[str, Seen] = {}
        self._order: list[Seen] = []
        self._place = np.full(1, -1, np.intp)
        """By number of the datastream."""
        self._last = np.zeros(0, np.int64)
        """Time of the newest row by place, µs."""
        self._laddered = np.zeros(0, bool)
        """Where a ladder stands, by place."""
        self.columns: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(0, kind) for name, (kind, _) in self.COLUMNS.items()
        }
        self._gone: list[Change] = []

    async def refresh(self, connection: AsyncConnection) -> None:
        """Parameters, limits and tides in force."""
        from thap.domains.parameter_records import load_parameters
        from thap.domains.water import DOMAIN
        from thap.domains.water.records import load_looked, load_stations, load_tides

        tides = {
            key: (tide_of(row["origin_h"], row["terms"]), float(row["stage"]))
            for key, row in (await load_tides(connection)).items()
        }
        self.known = Known(
            await load_parameters(connection, DOMAIN),
            await load_stations(connection),
            tides,
            *(await load_looked(connection) or (None, 0)),
        )

    def wants(self, info: DatastreamInfo) -> bool:
        """Whether a datastream is watched."""
        return info.property in self.properties

    @property
    def delays(self) -> tuple[int, int]:
        """On-delay and off-delay, µs."""
        return 0, 0

    @abstractmethod
    def demand(self, one: Seen, time: int, value: float) -> int:
        """How many levels a row reaches."""

    def evidence(self, one: Seen) -> dict[str, Any]:
        """What a change is shown with."""
        return {}

    def bind(self, registry: Registry) -> None:
        before, old_last, old_columns = self._seen, self._last, self.columns
        wanted = [info for info in registry.datastreams if self.wants(info)]
        self._order = [before.get(info.key) or Seen(info, -1) for info in wanted]
        old = np.array([one.place for one in self._order], np.intp)
        kept = old >= 0
        self._last = np.full(len(wanted), -NEVER, np.int64)
        self._last[kept] = old_last[old[kept]]
        self.columns = {name: np.full(len(wanted), first, kind) for name, (kind, first) in self.COLUMNS.items()}
        for name, column in self.columns.items():
            column[kept] = old_columns[name][old[kept]]
        self._seen = {info.key: one for info, one in zip(wanted, self._order, strict=True)}
        for key, one in before.items():
            if key not in self._seen and one.ladder is not None and one.ladder.shown:
                last = int(old_last[one.place])
                self._gone.append(self._change(one, Move(Action.CLEAR, Severity(one.ladder.shown), last, ""), 0, 0))
        self._place = np.full(max((info.id for info in wanted), default=0) + 2, -1, np.intp)  # the last is of none
        self._place[[info.id for info in wanted]] = np.arange(len(wanted))
        self._laddered = np.zeros(len(wanted), bool)
        for place, (info, one) in enumerate(zip(wanted, self._order, strict=True)):
            one.info, one.place = info, place
            if one.ladder is not None:
                one.ladder.plan = self._plan()
                self._laddered[place] = True

    def update(self, batch: ObservationBatch | PositionBatch) -> Outcome:
        outcome = Outcome()
        if isinstance(batch, ObservationBatch) and self._order:
            rows = self._rows(batch)
            if rows is not None:
                self._last[rows.at[rows.starts]] = rows.time[rows.stops - 1]
                self.take(outcome, rows)
        return outcome

    def _rows(self, batch: ObservationBatch) -> Rows | None:
        place = self._place[np.minimum(batch.datastream, len(self._place) - 1)]
        mine = np.flatnonzero((place >= 0) & np.isfinite(batch.result))
        if not len(mine):
            return None
        at = place[mine]
        # Radix sort, for as many as sixteen bits can tell apart.
        order = np.argsort(at.astype(np.uint16) if len(self._order) < 2**16 else at, kind="stable")
        mine, at = mine[order], at[order]
        time = batch.time[mine]
        starts = np.flatnonzero(np.append(True, at[1:] != at[:-1]))
        before = np.append(0, time[:-1])
        before[starts] = self._last[at[starts]]
        late = time <= before
        if late.any():
            keep = self._newer(at, time, starts, late)
            mine, at, time = mine[keep], at[keep], time[keep]
            if not len(mine):
                return None
            starts = np.flatnonzero(np.append(True, at[1:] != at[:-1]))
        return Rows(
            at,
            time,
            np.asarray(batch.result[mine], np.float64),
            batch.seq[mine],
            batch.received[mine],
            mine,
            starts,
            np.append(starts[1:], len(at)),
        )

    def _newer(
        self,
        at: npt.NDArray[np.intp],
        time: npt.NDArray[np.int64],
        starts: npt.NDArray[np.intp],
        late: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.bool_]:
        """Rows that are newer than all of their datastream before them."""
        keep = np.ones(len(at), bool)
        stops = np.append(starts[1:], len(at))
        for group in np.unique(np.searchsorted(starts, np.flatnonzero(late), "right") - 1).tolist():
            part = slice(int(starts[group]), int(stops[group]))
            reached = np.maximum.accumulate(np.append(self._last[at[part.start]], time[part]))
            keep[part] = time[part] > reached[:-1]
        return keep

    def take(self, outcome: Outcome, rows: Rows) -> None:
        """Take the rows of a batch; here all of them are judged one by one."""
        for group in range(len(rows.starts)):
            self.judge(outcome, rows, group)

    def judge(self, outcome: Outcome, rows: Rows, group: int) -> None:
        """Judge the rows of one datastream, one by one."""
        start, stop = int(rows.starts[group]), int(rows.stops[group])
        one = self._order[int(rows.at[start])]
        self._fetch(one)
        times, values = rows.time[start:stop].tolist(), rows.value[start:stop].tolist()
        marks = zip(rows.seq[start:stop].tolist(), rows.received[start:stop].tolist(), strict=True)
        for time, value, (seq, received) in zip(times, values, marks, strict=True):
            self._row(outcome, one, time, value, seq, received)
        self._store(one)

    def judge_in_order(self, outcome: Outcome, rows: Rows, groups: npt.NDArray[np.intp]) -> None:
        """Judge the rows of several datastreams one by one, in the order of the batch: where what is said of one
        depends on the others, it must not depend on how rows are cut into batches."""
        if not len(groups):
            return
        chosen = np.concatenate([np.arange(rows.starts[group], rows.stops[group]) for group in groups.tolist()])
        chosen = chosen[np.argsort(rows.index[chosen])]
        seen = [self._order[place] for place in rows.at[rows.starts[groups]].tolist()]
        for one in seen:
            self._fetch(one)
        columns = (rows.at, rows.time, rows.value, rows.seq, rows.received)
        for at, time, value, seq, received in zip(*(column[chosen].tolist() for column in columns), strict=True):
            self._row(outcome, self._order[at], time, value, seq, received)
        for one in seen:
            self._store(one)

    def _fetch(self, one: Seen) -> None:
        one.kept.update((name, column[one.place].item()) for name, column in self.columns.items())

    def _store(self, one: Seen) -> None:
        for name, column in self.columns.items():
            column[one.place] = one.kept.pop(name)

    def tick(self, now_us: int) -> Outcome:
        outcome = Outcome(self._gone)
        self._gone = []
        for place in np.flatnonzero(self._laddered).tolist():
            one = self._order[place]
            if one.ladder is not None and one.ladder.due() <= now_us:
                self._fetch(one)
                self._say(outcome, one, one.ladder.advance(now_us), 0, 0)
                self._store(one)
        return outcome

    def _row(self, outcome: Outcome, one: Seen, time: int, value: float, seq: int, received: int) -> None:
        wanted = self.demand(one, time, value)
        ladder = one.ladder
        if ladder is None:
            if wanted == 0:
                return
            ladder = one.ladder = Ladder(self._plan(), time)
            self._laddered[one.place] = True
        moves = ladder.advance(time)
        if wanted != ladder.demand:
            ladder.ask(wanted, time, value)
        else:
            ladder.value = value
        moves += ladder.advance(time)
        self._say(outcome, one, moves, seq, received)

    def _say(self, outcome: Outcome, one: Seen, moves: list[Move], seq: int, received: int) -> None:
        outcome.changes += [self._change(one, move, seq, received) for move in moves]
        if one.ladder is not None and one.ladder.resting:
            one.ladder = None
            self._laddered[one.place] = False

    def _change(self, one: Seen, move: Move, seq: int, received: int) -> Change:
        info, told = one.info, {}
        if move.action is not Action.CLEAR:
            told = {**self.evidence(one), "source": self.source, "parameters": self.known.parameters.version}
        return Change(
            info.key,
            self.condition,
            move.action,
            move.severity,
            move.time,
            seq,
            received,
            one.ladder.value if one.ladder else None,
            info.domain,
            info.lon,
            info.lat,
            info.commune,
            told,
        )

    def _plan(self) -> Plan:
        on, off = self.delays
        return Plan(self.severities, on_delay=on, off_delay=off)

    def dump(self) -> dict[str, Any]:
        return {
            "keys": list(self._seen),
            "last": pack(self._last),
            "columns": {name: pack(column) for name, column in self.columns.items()},
            "seen": {
                key: [one.ladder.dump() if one.ladder else None, one.kept]
                for key, one in self._seen.items()
                if one.ladder or one.kept
            },
        }

    def load(self, state: dict[str, Any]) -> None:
        if state and "keys" not in state:
            raise ValueError(f"{self.condition}: a state of another version")
        places = [self._seen[key].place if key in self._seen else -1 for key in state.get("keys", ())]
        here = np.array(places, np.intp)
        known = here >= 0
        if not known.any():
            return
        self._last[here[known]] = unpack(state["last"])[known]
        for name, column in self.columns.items():
            if name in state["columns"]:
                column[here[known]] = unpack(state["columns"][name])[known]
        for key, (ladder, kept) in state["seen"].items():
            if (one := self._seen.get(key)) is not None:
                one.kept = kept
                one.ladder = Ladder.restore(self._plan(), ladder) if ladder else None
                self._laddered[one.place] = one.ladder is not None

    def excess(self, rows: Rows, group: int) -> npt.NDArray[np.float64]:
        """How far the rows of one datastream lie above stage and tide, which must be known."""
        part = slice(int(rows.starts[group]), int(rows.stops[group]))
        tide, stage = self.known.tides[self._order[int(rows.at[part.start])].info.key]
        return np.asarray(rows.value[part] - stage - tide.predict(rows.time[part] / HOUR_US))
