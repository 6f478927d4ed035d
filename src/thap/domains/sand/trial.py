"""The detectors on a simulated day: what they said, against what was true."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from thap.domains.sand.behaviour import Behaviour, Rows
from thap.domains.sand.model import Stay, Trip, Violation
from thap.domains.sand.simulator import Day
from thap.domains.score import Raised, Score, compare
from thap.kernel.clock import MINUTE_US

__all__ = ["Trial", "try_day"]

_TOLERANCE_US = 10 * MINUTE_US
_TAIL_US = 20 * MINUTE_US


@dataclass(slots=True)
class Trial:
    """What came of a day."""

    score: Score
    raised: list[Raised]
    """Every violation; its begin is when the position that decided it came."""
    from_act_s: list[float]
    """For every planted event that was found: from the act's beginning to the alarm, seconds."""
    positions: int
    trips: list[Trip] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


def try_day(day: Day, parameters: Mapping[str, float], cuts: Sequence[int] | None = None) -> Trial:
    """Run the detectors over a simulated day, as positions come.

    Args:
        day: the day.
        parameters: as in `parameters.toml`.
        cuts: where the rows are cut into batches; every 300 rows if not given.
    """
    heard = day.heard
    behaviour = Behaviour(day.book, parameters)
    slots = np.array([behaviour.slot_of(*one) for one in zip(heard.keys, heard.kinds, heard.names, strict=True)])
    received = np.maximum.accumulate(heard.time)
    count = len(heard.time)
    edges = [0, *(range(300, count, 300) if cuts is None else cuts), count]
    trial = Trial(Score(), [], [], count)
    for begin, end in itertools.pairwise(edges):
        part = slice(begin, end)
        found = behaviour.update(
            Rows(
                slots[heard.vessel[part]],
                heard.time[part],
                heard.lon[part],
                heard.lat[part],
                heard.sog[part],
                received[part],
                np.arange(begin + 1, end + 1),
            )
        )
        trial.stays += found.stays
        trial.trips += found.trips
        for told in found.changes:
            one = told.violation
            trial.violations.append(one)
            if one.end is None:
                trial.raised.append(Raised(one.vessel, str(one.kind), told.received or behaviour.now))
    last = behaviour.finish()
    trial.stays += last.stays
    trial.trips += last.trips
    trial.score = compare(day.truth, trial.raised, day.begin, day.end - _TAIL_US, _TOLERANCE_US)
    trial.from_act_s = _from_act(day, trial.raised)
    return trial


def _from_act(day: Day, raised: Sequence[Raised]) -> list[float]:
    """From the beginning of each certain event to its first alarm."""
    found = []
    for truth in day.truth:
        if not truth.certain:
            continue
        alarm = next(
            (
                one
                for one in raised
                if (one.source, one.condition) == (truth.source, truth.condition)
                and truth.start - _TOLERANCE_US <= one.begin <= truth.end + _TOLERANCE_US
            ),
            None,
        )
        if alarm is not None:
            found.append(max(0, alarm.begin - truth.start) / 1e6)
    return found
