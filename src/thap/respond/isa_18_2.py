"""The life of an alarm, after ANSI/ISA-18.2-2016 (IEC 62682).

    normal ── raise ──▶ unacknowledged ── acknowledge ──▶ acknowledged
      ▲                   │        ▲                        │      │
      │                 clear    raise                    clear  escalate (re-alarm)
      │                   ▼        │                        │      ▼
      ├─ acknowledge ─ returned_unacknowledged              │   unacknowledged
      └─────────────────────────────────────────────────────┘

and three states that hide an alarm from the operator: `shelved` (by the operator, until a time),
`suppressed` (by design) and `out_of_service` (for maintenance). Whether the condition is true goes on
being kept while hidden. The life cycle is a pure function of a standing and an event; whoever wants
another one writes a class with the same `step`.

Readings of the standard, where it leaves room:

- A more severe alarm is a new call on the operator: `escalate` of an acknowledged alarm re-alarms it
  (back to unacknowledged). `downgrade` never calls.
- An alarm that leaves hiding with its condition true is annunciated anew, even if it had been
  acknowledged before; with its condition false it is normal.
- The hiding states are ranked shelved < suppressed < out_of_service: a higher one takes over from a
  lower one, a lower one is refused while a higher one holds.
- Acknowledging what is hidden is refused: nobody was called.
- Raising what is raised changes nothing, unless it is more severe than before: then it is an escalation.
  Escalating or downgrading what is not raised raises it: the condition is evidently true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

__all__ = ["AlarmAction", "Event", "Isa182", "LifeCycle", "Refusal", "Standing", "State", "Step"]


class State(StrEnum):
    """Where an alarm stands."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED_UNACKNOWLEDGED = "returned_unacknowledged"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed"
    OUT_OF_SERVICE = "out_of_service"


class AlarmAction(StrEnum):
    """What can happen to an alarm. The first four come from detectors, `expire` from the clock."""

    RAISE = "raise"
    ESCALATE = "escalate"
    DOWNGRADE = "downgrade"
    CLEAR = "clear"
    ACKNOWLEDGE = "acknowledge"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    EXPIRE = "expire"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    OUT_OF_SERVICE = "out_of_service"
    IN_SERVICE = "in_service"
    COMMENT = "comment"


_HIDING = {State.SHELVED: 1, State.SUPPRESSED: 2, State.OUT_OF_SERVICE: 3}
_HIDE = {
    AlarmAction.SHELVE: State.SHELVED,
    AlarmAction.SUPPRESS: State.SUPPRESSED,
    AlarmAction.OUT_OF_SERVICE: State.OUT_OF_SERVICE,
}
_SHOW = {
    AlarmAction.UNSHELVE: State.SHELVED,
    AlarmAction.EXPIRE: State.SHELVED,
    AlarmAction.UNSUPPRESS: State.SUPPRESSED,
    AlarmAction.IN_SERVICE: State.OUT_OF_SERVICE,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """All that the life cycle knows of an alarm."""

    state: State = State.NORMAL
    active: bool = False
    """Whether the condition is true, also while the alarm is hidden."""
    severity: int = 0
    """Of the present or latest raise; 0 for never raised."""
    shelved_until: int | None = None
    """µs; set in the state shelved, and only there."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to an alarm at a time."""

    action: AlarmAction
    time: int
    """µs."""
    severity: int = 0
    """Of raise, escalate and downgrade."""
    until: int | None = None
    """End of a shelving, µs."""


@dataclass(frozen=True, slots=True)
class Step:
    """A transition: the new standing, and what it is recorded as (a repeated but more severe raise is an
    escalation)."""

    standing: Standing
    action: AlarmAction


@dataclass(frozen=True, slots=True)
class Refusal:
    """The event changes nothing, for this reason."""

    reason: str


class LifeCycle(Protocol):
    """What the alarm book asks of a life cycle."""

    def step(self, now: Standing, event: Event) -> Step | Refusal:
        """Where the event leads from here, or why nowhere."""
        ...

    def annunciates(self, before: Standing, after: Step) -> bool:
        """Whether the transition calls the operator."""
        ...


class Isa182:
    """The life cycle of ISA-18.2."""

    def step(self, now: Standing, event: Event) -> Step | Refusal:
        """Where the event leads from here, or why nowhere. Pure: neither argument changes."""
        action = event.action
        if action in (AlarmAction.RAISE, AlarmAction.ESCALATE, AlarmAction.DOWNGRADE):
            return self._true(now, event)
        if action is AlarmAction.CLEAR:
            return self._false(now)
        if action is AlarmAction.ACKNOWLEDGE:
            return self._acknowledge(now)
        if action in _HIDE:
            return self._hide(now, event)
        if action in _SHOW:
            return self._show(now, event)
        return Step(now, action)  # a comment

    def annunciates(self, before: Standing, after: Step) -> bool:
        """Whether the transition calls the operator: it becomes unacknowledged, or a raised one more severe."""
        return after.standing.state is State.UNACKNOWLEDGED and (
            before.state is not State.UNACKNOWLEDGED or after.action is AlarmAction.ESCALATE
        )

    def _true(self, now: Standing, event: Event) -> Step | Refusal:
        hidden = now.state in _HIDING
        if not now.active:
            state = now.state if hidden else State.UNACKNOWLEDGED
            return Step(replace(now, state=state, active=True, severity=event.severity), AlarmAction.RAISE)
        if event.severity > now.severity and event.action is not AlarmAction.DOWNGRADE:
            state = now.state if hidden else State.UNACKNOWLEDGED
            return Step(replace(now, state=state, severity=event.severity), AlarmAction.ESCALATE)
        if event.severity < now.severity and event.action is AlarmAction.DOWNGRADE:
            return Step(replace(now, severity=event.severity), AlarmAction.DOWNGRADE)
        done = {
            AlarmAction.RAISE: "raised",
            AlarmAction.ESCALATE: "that severe",
            AlarmAction.DOWNGRADE: "no more severe than that",
        }[event.action]
        return Refusal(f"it is {done} already")

    def _false(self, now: Standing) -> Step | Refusal:
        if not now.active:
            return Refusal("its condition is not true")
        after = {State.UNACKNOWLEDGED: State.RETURNED_UNACKNOWLEDGED, State.ACKNOWLEDGED: State.NORMAL}
        return Step(replace(now, state=after.get(now.state, now.state), active=False), AlarmAction.CLEAR)

    def _acknowledge(self, now: Standing) -> Step | Refusal:
        if now.state is State.UNACKNOWLEDGED:
            return Step(replace(now, state=State.ACKNOWLEDGED), AlarmAction.ACKNOWLEDGE)
        if now.state is State.RETURNED_UNACKNOWLEDGED:
            return Step(replace(now, state=State.NORMAL), AlarmAction.ACKNOWLEDGE)
        why = {
            State.NORMAL: "it is normal, there is nothing to acknowledge",
            State.ACKNOWLEDGED: "it is acknowledged already",
        }
        return Refusal(why.get(now.state, f"it is {_words(now.state)}: nobody was called"))

    def _hide(self, now: Standing, event: Event) -> Step | Refusal:
        state = _HIDE[event.action]
        if _HIDING.get(now.state, 0) > _HIDING[state]:
            return Refusal(f"it is {_words(now.state)}, which goes before {_words(state)}")
        if state is State.SHELVED:
            if event.until is None or event.until <= event.time:
                return Refusal("a shelving must end in the future")
            if now.state is State.SHELVED and now.shelved_until == event.until:
                return Refusal("it is shelved until then already")
        elif now.state is state:
            return Refusal(f"it is {_words(state)} already")
        until = event.until if state is State.SHELVED else None
        return Step(replace(now, state=state, shelved_until=until), event.action)

    def _show(self, now: Standing, event: Event) -> Step | Refusal:
        state = _SHOW[event.action]
        if now.state is not state:
            return Refusal(f"it is not {_words(state)} but {_words(now.state)}")
        if event.action is AlarmAction.EXPIRE and now.shelved_until is not None and now.shelved_until > event.time:
            return Refusal("its shelving has not ended yet")
        after = State.UNACKNOWLEDGED if now.active else State.NORMAL
        return Step(replace(now, state=after, shelved_until=None), event.action)


def _words(state: State) -> str:
    return state.value.replace("_", " ")
