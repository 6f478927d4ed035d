"""Rules and domains' detectors together."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from thap.detect.detector import Action, Change, Detector, Outcome, Severity
from thap.detect.judges import Judges
from thap.detect.ruleset import RuleSet
from thap.kernel.settings import EngineSettings
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch
from thap.observe.registry import Registry


class _Counts(Detector):
    """Raises at each second row it sees; breaks on results above 100."""

    watches: ClassVar[Kind] = Kind.OBSERVATION
    condition = "test.counts"

    def __init__(self) -> None:
        self.seen = 0

    def bind(self, registry: Registry) -> None:
        self.known = len(registry.datastreams)

    def update(self, batch: ObservationBatch | PositionBatch) -> Outcome:
        assert isinstance(batch, ObservationBatch)
        if (batch.result > 100).any():
            raise ArithmeticError("too much")
        outcome = Outcome()
        for row in range(len(batch)):
            self.seen += 1
            if self.seen % 2 == 0:
                outcome.changes.append(
                    Change("a/b", self.condition, Action.RAISE, Severity.LOW, int(batch.time[row]), int(batch.seq[row]))
                )
        return outcome

    def dump(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


def _judges() -> Judges:
    judges = Judges(RuleSet([], Registry(), EngineSettings()), [_Counts()])
    judges.rebind([], Registry())
    return judges


def _batch(*results: float) -> ObservationBatch:
    rows = len(results)
    return ObservationBatch(
        np.ones(rows, np.int32), np.arange(rows), np.array(results), np.zeros(rows, np.int64), np.arange(1, rows + 1)
    )


def test_a_domains_detector_is_asked_and_its_state_is_kept() -> None:
    judges = _judges()
    assert judges.update(_batch(1, 2, 3)).changes[0].seq == 2
    after = _judges()
    after.load(judges.dump())
    assert [change.seq for change in after.update(_batch(4)).changes] == [1]


def test_a_detector_that_fails_tells_so_and_stops_nobody() -> None:
    judges = _judges()
    outcome = judges.update(_batch(1, 999))
    assert [(fault.condition, fault.row) for fault in outcome.faults] == [("test.counts", 0)]
    assert "too much" in outcome.faults[0].reason
    assert judges.update(_batch(1, 1)).changes
