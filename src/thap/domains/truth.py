"""What ought to be noticed, worked out from signals without noise.

A signal near a limit may or may not cross it once noise is added; such a stretch is kept as not `certain`, and
an alarm in it is neither right nor wrong. A crossing shorter than the rule's delay is no event at all: an alarm
there is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from thap.detect.detector import Severity
from thap.detect.rules import Rule
from thap.domains.world import Mover, Path, Plan, Series, Signal, Truth, World
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US

__all__ = ["Limit", "Quiet", "depth_m", "limit_of", "local_hour", "rise_within", "slower_than", "when"]

Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
_METRES = np.array([111_320 * np.cos(np.radians(10.45)), 110_600.0])
_FAR = 1e6


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule on a signal, as the truth sees it; call it with a stretch of time to get what it ought to notice."""

    condition: str
    source: str
    signal: Signal
    steps: Sequence[tuple[float, Severity]]
    """Limits and severities, the mildest first; a limit is reached from below."""
    margin: float
    """How far noise reaches: three standard deviations and the rounding."""
    on_delay: int = 0
    """The rule's, µs."""
    off_delay: int = 0
    deadband: float = 0.0
    period: int = MINUTE_US
    """µs between two observations."""
    gaps: tuple[Plan, ...] = ()
    """The source is silent in these: what happens around them cannot be promised."""
    afters: Sequence[tuple[int, Severity]] = ()
    """Severities by time since the raise, µs."""
    note: str = ""
    step: int = MINUTE_US
    """How finely the signal is looked at, µs."""
    settle: int = 6 * HOUR_US
    """How long before the stretch of time the signal is looked at, µs: longer than any event lasts."""

    def __call__(self, begin: int, end: int) -> Iterable[Truth]:
        """Events around a stretch of time; those that start outside it may be cut."""
        first = begin - begin % self.step - self.settle
        times = np.arange(first, end + self.settle, self.step, dtype=np.int64)
        values = self.signal(times)
        events: list[Truth] = []
        for span in self._active(values):
            event = self._event(times, values, span)
            if event is not None:
                events.append(event)
        return events

    def _active(self, values: Doubles) -> list[tuple[int, int]]:
        """Stretches in which the rule may be active: from nearly reaching its limit until it has been back
        beyond the deadband for the off-delay."""
        lowest = self.steps[0][0]
        spans: list[tuple[int, int]] = []
        for first, last in _runs(values >= lowest - self.margin):
            if spans:
                between = values[spans[-1][1] + 1 : first]
                back = max((b - a + 1 for a, b in _runs(between < lowest - self.deadband - self.margin)), default=0)
                if back * self.step <= self.off_delay + 2 * self.period:
                    spans[-1] = (spans[-1][0], last)
                    continue
            spans.append((first, last))
        return spans

    def _event(self, times: Longs, values: Doubles, span: tuple[int, int]) -> Truth | None:
        first, last = span
        inside = values[first : last + 1]
        lowest = self.steps[0][0]
        near = _longest(inside >= lowest - self.margin) * self.step
        if near + self.period < self.on_delay:
            return None
        over = np.flatnonzero(inside >= lowest)
        start, stop = (first + int(over[0]), first + int(over[-1])) if len(over) else (first, last)
        sure = _longest(inside >= lowest + self.margin) * self.step
        certain = sure >= self.on_delay + 2 * self.period + self.step
        # A first touch of the limit that does not last would make the start uncertain.
        surely = next((a for a, b in _runs(inside >= lowest) if (b - a) * self.step >= self.on_delay), None)
        if surely is not None:
            start = first + surely
        severity = max(
            (s for limit, s in self.steps if _longest(inside >= limit + self.margin) * self.step >= self.on_delay),
            default=self.steps[0][1],
        )
        lasted = int(times[stop] - times[start]) - self.on_delay + self.off_delay
        severity = max([severity, *(s for after, s in self.afters if lasted >= after)])
        event = Truth(
            self.condition,
            self.source,
            int(times[start]),
            int(times[stop]),
            severity,
            self.on_delay,
            certain,
            self.note,
        )
        broken = any(plan.between(event.start - 2 * self.period, event.end + self.period) for plan in self.gaps)
        return replace(event, certain=False) if broken else event


def limit_of(rule: Rule, source: str, signal: Signal, *, noise: float, **rest: Any) -> Limit:
    """The truth of a rule with one limit below or above a signal.

    Args:
        rule: a threshold, rate or n_of_m rule.
        source: the datastream.
        signal: its value without noise, or its rise for a rate rule.
        noise: standard deviation of an observation.
        rest: as `Limit` takes them.
    """
    way = rule.way
    sign = -1.0 if way in ("below", "fall") else 1.0
    levels = [(rule.limit, rule.severity), *((getattr(level, way), level.severity) for level in rule.limit_levels())]
    return Limit(
        rule.name,
        source,
        signal if sign > 0 else lambda times: -signal(times),
        [(sign * limit, severity) for limit, severity in levels],
        **{
            "margin": 3 * noise,
            "on_delay": rule.on_delay,
            "off_delay": rule.off_delay,
            "deadband": getattr(rule, "deadband", 0.0),
            "afters": rule.plan().afters,
            **rest,
        },
    )


@dataclass(frozen=True, slots=True)
class Quiet:
    """A silence rule on a part, as the truth sees it."""

    rule: Rule
    world: World
    part: Series | Mover
    note: str = ""

    def __call__(self, begin: int, end: int) -> Iterable[Truth]:
        """Gaps of the part around a stretch of time that are longer than the rule allows."""
        limit = int(self.rule.limit)
        afters = self.rule.plan().afters
        # Gaps of several plans may touch, so what counts is when the part spoke.
        times = self.world.due(self.part, max(begin - 3 * DAY_US, self.world.start), end + 3 * DAY_US)
        for at in np.flatnonzero(np.diff(times) > 0.9 * limit).tolist():
            last, first = int(times[at]), int(times[at + 1])
            severity = max([self.rule.severity, *(s for after, s in afters if first - last - limit >= after)])
            yield Truth(
                self.rule.name, self.part.key, last, first, severity, limit, first - last > 1.25 * limit, self.note
            )


def depth_m(path: Path, polygon: Any) -> Signal:
    """How deep a mover is inside an area, metres; negative outside."""
    flat = shapely.transform(polygon, lambda points: points * _METRES)
    edge = shapely.boundary(flat)
    shapely.prepare(flat)

    def depth(times: Longs) -> Doubles:
        x, y = path(times)
        points = shapely.points(x * _METRES[0], y * _METRES[1])
        return np.asarray(np.where(shapely.contains(flat, points), 1.0, -1.0) * shapely.distance(edge, points))

    return depth


def slower_than(path: Path, limit_kn: float) -> Callable[[Longs], npt.NDArray[np.bool_]]:
    """Whether a mover is slower than a speed."""

    def slow(times: Longs) -> npt.NDArray[np.bool_]:
        (x0, y0), (x1, y1) = path(times - 5 * SECOND_US), path(times + 5 * SECOND_US)
        return np.asarray(np.hypot((x1 - x0) * _METRES[0], (y1 - y0) * _METRES[1]) / 10 * 3600 / 1852 < limit_kn)

    return slow


def rise_within(signal: Signal, window: int, step: int = 5 * MINUTE_US) -> Signal:
    """How far a signal has risen from its lowest value within a window that ends at each time."""

    def rise(times: Longs) -> Doubles:
        now = signal(times)
        lowest = now
        for back in range(step, window + 1, step):
            lowest = np.minimum(lowest, signal(times - back))
        return np.asarray(now - lowest, np.float64)

    return rise


def local_hour(times: Longs) -> Doubles:
    """Hour of the day on Vietnamese clocks, with its fraction."""
    return np.asarray((times + 7 * HOUR_US) % (24 * HOUR_US) / HOUR_US)


def when(signal: Signal, allowed: Callable[[Longs], npt.NDArray[np.bool_]]) -> Signal:
    """The signal where it is allowed, far below any limit elsewhere."""
    return lambda times: np.where(allowed(times), signal(times), -_FAR)


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of every run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(last) - 1) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _longest(mask: npt.NDArray[np.bool_]) -> int:
    return max((last - first + 1 for first, last in _runs(mask)), default=0)
