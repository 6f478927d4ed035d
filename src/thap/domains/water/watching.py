"""What the detectors of water share: a ladder for each datastream they watch, and what they read of the records."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from thap.detect.detector import Action, Change, Detector, Outcome, Severity
from thap.detect.ladder import NEVER, Ladder, Move, Plan
from thap.domains.water.harmonic import Tide, tide_of
from thap.domains.water.stations import Station, shipped_stations
from thap.kernel.clock import HOUR_US
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch
from thap.observe.registry import DatastreamInfo, Registry

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from thap.domains.parameters import Parameters

__all__ = ["Known", "Seen", "Watcher"]


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
    ladder: Ladder | None = None
    last: int = -NEVER
    """Time of the newest row, µs."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What the detector keeps; msgpack-able."""


class Watcher(Detector):
    """A condition on each datastream of some properties, judged row by row in order of time. A row that is not newer
    than the one before it is left out: it can change nothing that was said."""

    watches = Kind.OBSERVATION
    properties: ClassVar[tuple[str, ...]]
    severities: ClassVar[tuple[Severity, ...]]
    source: ClassVar[str]
    """Where the rule is from, for evidence."""

    def __init__(self) -> None:
        from thap.domains.parameters import shipped_parameters
        from thap.domains.water import DOMAIN

        self.known = Known(shipped_parameters(DOMAIN), shipped_stations())
        self._seen: dict[str, Seen] = {}
        self._by_id: dict[int, Seen] = {}
        self._watched = np.zeros(1, bool)
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
        before = self._seen
        self._seen = {}
        for info in registry.datastreams:
            if self.wants(info):
                kept = before.get(info.key)
                self._seen[info.key] = Seen(info) if kept is None else kept
                self._seen[info.key].info = info
        for key, one in before.items():
            if key not in self._seen and one.ladder is not None and one.ladder.shown:
                self._gone.append(self._change(one, Move(Action.CLEAR, Severity(one.ladder.shown), one.last, ""), 0, 0))
        self._by_id = {one.info.id: one for one in self._seen.values()}
        self._watched = np.zeros(max(self._by_id, default=0) + 1, bool)
        self._watched[list(self._by_id)] = True
        for one in self._seen.values():
            if one.ladder is not None:
                one.ladder.plan = self._plan()

    def update(self, batch: ObservationBatch | PositionBatch) -> Outcome:
        outcome = Outcome()
        if not isinstance(batch, ObservationBatch) or not self._by_id:
            return outcome
        number = batch.datastream
        mine = np.flatnonzero(self._watched[np.minimum(number, len(self._watched) - 1)] & (number < len(self._watched)))
        for at in mine.tolist():
            one, time, value = self._by_id[int(number[at])], int(batch.time[at]), float(batch.result[at])
            if time <= one.last or not np.isfinite(value):
                continue
            self._row(outcome, one, time, value, int(batch.seq[at]), int(batch.received[at]))
        return outcome

    def tick(self, now_us: int) -> Outcome:
        outcome = Outcome(self._gone)
        self._gone = []
        for one in self._seen.values():
            if one.ladder is not None and one.ladder.due() <= now_us:
                self._say(outcome, one, one.ladder.advance(now_us), 0, 0)
        return outcome

    def _row(self, outcome: Outcome, one: Seen, time: int, value: float, seq: int, received: int) -> None:
        one.last = time
        wanted = self.demand(one, time, value)
        ladder = one.ladder
        if ladder is None:
            if wanted == 0:
                return
            ladder = one.ladder = Ladder(self._plan(), time)
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
            key: [one.last, one.ladder.dump() if one.ladder else None, one.kept]
            for key, one in self._seen.items()
            if one.ladder or one.kept
        }

    def load(self, state: dict[str, Any]) -> None:
        for key, (last, ladder, kept) in state.items():
            if (one := self._seen.get(key)) is not None:
                one.last, one.kept = last, kept
                one.ladder = Ladder.restore(self._plan(), ladder) if ladder else None

    def excess(self, one: Seen, time: int, value: float) -> float | None:
        """How far a level lies above stage and tide; None where the tide is not known."""
        known = self.known.tides.get(one.info.key)
        if known is None:
            return None
        tide, stage = known
        return value - stage - float(tide.predict(time / HOUR_US)[0])
