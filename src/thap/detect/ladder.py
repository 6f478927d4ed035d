"""The severity ladder of one condition on one source: delays, escalation by time, schedule.

A kind of rule says, row by row, how many levels the condition has reached (the *demand*). The ladder turns
that into announced moves: a level counts once its demand has lasted `on_delay` and stops counting once it has
been gone for `off_delay`; further levels follow by time since the raise; outside the schedule nothing counts.

All times are event times. Between two rows a value is taken to last, so a delay that ended before a row came
has ended at its own time, whatever that row says. A ladder exists only while something is active or pending.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from thap.detect.detector import Action, Severity
from thap.detect.schedule import NEVER, Schedule, Segment

__all__ = ["NEVER", "Ladder", "Move", "Plan"]

_ALWAYS = Segment(True, -NEVER, NEVER)


class Plan(NamedTuple):
    """The timers and severities of a rule, µs."""

    severities: tuple[Severity, ...]
    """Of each level reached by demand, base first."""
    afters: tuple[tuple[int, Severity], ...] = ()
    """Further levels: time since the raise, and severity."""
    on_delay: int = 0
    off_delay: int = 0
    schedule: Schedule | None = None


class Move(NamedTuple):
    """What the ladder announces."""

    action: Action
    severity: Severity
    time: int
    by: str
    """What decided: `value`, `delay`, `time` (an escalation by time) or `schedule`."""


@dataclass(slots=True)
class Ladder:
    """See the module.

    Attributes:
        demand: levels the condition has reached.
        since: for each level, when its demand last began or ended.
        held: levels that count.
        late: levels by time that were reached.
        raised: when the condition was raised; meaningful while `held`.
        shown: severity announced last, 0 when clear.
        clock: when anything last happened here.
        value: the value that last changed the demand.
        detail: what else the kind wants to keep for evidence; JSON-able.
    """

    plan: Plan
    clock: int
    demand: int = 0
    held: int = 0
    late: int = 0
    raised: int = 0
    shown: int = 0
    value: float | None = None
    since: list[int] | None = None
    detail: dict[str, Any] | None = None

    @property
    def resting(self) -> bool:
        """Nothing is active or pending: the ladder can be forgotten."""
        return self.demand == 0 and self.held == 0

    def ask(self, demand: int, time: int, value: float | None) -> None:
        """The demand changed at a time; call `advance` to that time before and after."""
        time = max(time, self.clock)
        if self.since is None:
            self.since = [time] * len(self.plan.severities)
        for level in range(min(demand, self.demand), max(demand, self.demand)):
            self.since[level] = time
        self.demand, self.clock, self.value = demand, time, value

    def due(self) -> int:
        """The earliest time at which something happens by itself, NEVER if nothing does."""
        return self._next()[0]

    def advance(self, now: int) -> list[Move]:
        """Let everything happen that is due at or before `now`; what is announced, in order of time."""
        moves: list[Move] = []
        while True:
            due, what = self._next()
            if due > now or due == NEVER:
                return moves
            self.clock = max(self.clock, due)
            by = "delay" if what in ("up", "down") and self._delayed(what) else "value"
            if what == "edge":
                by = "schedule"
                self._edge()
            elif what == "late":
                by = "time"
                self.late += 1
            elif what == "up":
                self._rise()
            else:
                self._fall()
            self._show(moves, by)

    def _delayed(self, what: str) -> bool:
        return bool(self.plan.on_delay if what == "up" else self.plan.off_delay)

    def _segment(self) -> Segment:
        return _ALWAYS if self.plan.schedule is None else self.plan.schedule.segment(self.clock)

    def _next(self) -> tuple[int, str]:
        if self.resting:
            return NEVER, ""
        segment = self._segment()
        best = (segment.end, "edge")
        if not segment.open:
            return best
        since = self.since or []
        if self.demand > self.held:
            best = min(best, (max(since[self.held] + self.plan.on_delay, self.clock), "up"))
        elif self.demand < self.held:
            best = min(best, (max(since[self.held - 1] + self.plan.off_delay, self.clock), "down"))
        if self.held and self.late < len(self.plan.afters):
            best = min(best, (max(self.raised + self.plan.afters[self.late][0], self.clock), "late"))
        return best

    def _rise(self) -> None:
        since = self.since or []
        if self.held == 0:
            self.raised = self.clock
        while self.held < self.demand and since[self.held] + self.plan.on_delay <= self.clock:
            self.held += 1

    def _fall(self) -> None:
        since = self.since or []
        while self.held > self.demand and since[self.held - 1] + self.plan.off_delay <= self.clock:
            self.held -= 1
        if self.held == 0:
            self.late = 0

    def _edge(self) -> None:
        if self._segment().open:
            self.since = [self.clock] * len(self.plan.severities)
        else:
            self.held = self.late = 0

    def _show(self, moves: list[Move], by: str) -> None:
        severity = 0
        if self.held:
            severity = self.plan.severities[self.held - 1]
            if self.late:
                severity = max(severity, self.plan.afters[self.late - 1][1])
        if severity == self.shown:
            return
        if severity == 0:
            action, announced = Action.CLEAR, Severity(self.shown)
        else:
            action = Action.RAISE if self.shown == 0 else Action.ESCALATE if severity > self.shown else Action.DOWNGRADE
            announced = Severity(severity)
        self.shown = int(severity)
        moves.append(Move(action, announced, self.clock, by))

    def dump(self) -> list[Any]:
        """As msgpack-able values; inverse of `restore`."""
        return [
            self.clock,
            self.demand,
            self.held,
            self.late,
            self.raised,
            self.shown,
            self.value,
            self.since,
            self.detail,
        ]

    @classmethod
    def restore(cls, plan: Plan, state: list[Any]) -> Ladder:
        """A ladder from what `dump` gave."""
        return cls(plan, *state)
