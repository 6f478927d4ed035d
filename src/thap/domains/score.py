"""How well alarms agree with what was planted.

All times here are event times of the simulation; an alarm's is the moment the simulation had reached when the
transition was written to the records.

- An alarm (raise to clear) is *right* if it was raised on the source and condition of an event between the event's
  start and end, give or take the tolerance. A second alarm in one event is wrong, as is one that fits no event.
- Alarms that fit only events that are not certain, and those events, are left out.
- An event is *due* once its start, the rule's delay and the tolerance lie before the end of what is scored.
- *precision* = right alarms / alarms, *recall* = due events with an alarm / due events.
- *delay* = raise − (start + the rule's delay), not less than 0; it holds the interval between two observations, the
  way through door, journal and engine (times the speed of the simulation) and the record's commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thap.detect.detector import Severity
from thap.domains.world import Truth
from thap.kernel.clock import iso

__all__ = ["Raised", "Score", "Segment", "compare", "event_time"]


@dataclass(slots=True)
class Raised:
    """An alarm from raise to clear, in event time."""

    source: str
    condition: str
    begin: int
    end: int | None = None
    severity: Severity = Severity.LOW
    """The highest it had."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch in which the simulation ran evenly."""

    wall: int
    """Wall clock at its begin, µs."""
    event: int
    """Event time at its begin, µs."""
    speed: float
    """Event time that passes in a unit of wall time."""
    until: int
    """Wall clock at its end, or when this was written."""

    def at(self, wall: int) -> int:
        """The event time at a moment of the wall clock."""
        return self.event + round((wall - self.wall) * self.speed)


def event_time(segments: Sequence[Segment], wall: int, grace: int = 0) -> int | None:
    """The event time the simulation had reached at a moment; None where it did not run.

    Args:
        segments: in order.
        wall: the moment, µs.
        grace: how long after the end of a segment its alarms may still be written, µs.
    """
    for number, segment in enumerate(segments):
        end = segment.until + grace
        if number + 1 < len(segments):
            end = min(end, segments[number + 1].wall)
        if segment.wall <= wall < end:
            return segment.at(wall)
    return None


@dataclass(slots=True)
class Score:
    """What `compare` found."""

    events: int = 0
    """Certain events that were due."""
    alarms: int = 0
    """Alarms that were right or wrong."""
    right: int = 0
    delays_s: list[float] = field(default_factory=list)
    missed: list[Truth] = field(default_factory=list)
    false: list[Raised] = field(default_factory=list)
    severities_right: int = 0
    """Ended events whose alarm reached exactly the planted severity."""
    severities: int = 0

    @property
    def precision(self) -> float | None:
        """None before the first alarm."""
        return self.right / self.alarms if self.alarms else None

    @property
    def recall(self) -> float | None:
        """None before the first event is due."""
        return 1 - len(self.missed) / self.events if self.events else None

    def delay_s(self, share: float) -> float | None:
        """The delay that this share of the events found did not exceed, seconds of event time."""
        return float(np.quantile(self.delays_s, share)) if self.delays_s else None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""

        def rounded(value: float | None, digits: int) -> float | None:
            return None if value is None else round(value, digits)

        return {
            "precision": rounded(self.precision, 4),
            "recall": rounded(self.recall, 4),
            "delay_p50_s": rounded(self.delay_s(0.5), 1),
            "delay_p95_s": rounded(self.delay_s(0.95), 1),
            "events": self.events,
            "alarms": self.alarms,
            "severity_right": rounded(self.severities_right / self.severities if self.severities else None, 4),
            "missed": [
                {
                    "condition": one.condition,
                    "source": one.source,
                    "start": iso(one.start),
                    "end": iso(one.end),
                    "note": one.note,
                }
                for one in self.missed
            ],
            "false": [
                {
                    "condition": one.condition,
                    "source": one.source,
                    "start": iso(one.begin),
                    "end": iso(one.end) if one.end is not None else None,
                }
                for one in self.false
            ],
        }


def compare(truths: Iterable[Truth], alarms: Iterable[Raised], begin: int, until: int, tolerance: int) -> Score:
    """Compare what was planted with what was raised.

    Args:
        truths: everything planted that starts in the stretch of time, certain or not.
        alarms: everything raised in it, of the planted conditions.
        begin: first moment scored, µs of event time.
        until: what the simulation has reached.
        tolerance: see the module.
    """
    planted: dict[tuple[str, str], list[Truth]] = defaultdict(list)
    for truth in truths:
        planted[truth.source, truth.condition].append(truth)
    result = Score()
    found: dict[Truth, Raised] = {}
    for alarm in sorted(alarms, key=lambda alarm: alarm.begin):
        if not begin <= alarm.begin <= until:
            continue
        fitting = [
            truth
            for truth in planted[alarm.source, alarm.condition]
            if truth.start - tolerance <= alarm.begin <= truth.end + tolerance
        ]
        fresh = next((truth for truth in fitting if truth.certain and truth not in found), None)
        if fresh is not None:
            found[fresh] = alarm
            result.right += 1
            result.alarms += 1
        elif not any(not truth.certain for truth in fitting):
            result.false.append(alarm)
            result.alarms += 1
    for source_truths in planted.values():
        for truth in source_truths:
            if not truth.certain or truth.start < begin or truth.start + truth.on_delay + tolerance > until:
                continue
            result.events += 1
            alarm_found = found.get(truth)
            if alarm_found is None:
                result.missed.append(truth)
                continue
            result.delays_s.append(max(0, alarm_found.begin - truth.start - truth.on_delay) / 1e6)
            if truth.end + tolerance <= until:
                result.severities += 1
                result.severities_right += alarm_found.severity == truth.severity
    result.missed.sort(key=lambda truth: truth.start)
    return result
