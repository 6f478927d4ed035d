"""The life of an incident.

    open ── acknowledge ──▶ acknowledged ── start ──▶ in_progress ◀── resume ──┐
      │                          │                        │ └──── wait ──▶ waiting
      ├── start ──▶ in_progress  ├── wait ──▶ waiting     │                  │
      │                          │                        │                  │
      └──────────────────────────┴──────── resolve ───────┴──────────────────┘
                                              ▼
                                          resolved ── close ──▶ closed

`reject` ends one that nobody has begun to work on; `merge` ends one that another takes over. `reopen` brings a
resolved, closed or rejected one back to `open`: whoever has it in hand has to acknowledge it anew. What has been
merged lives on in the other and never comes back by itself; a part of that one can be split off.

The life cycle is a pure function of a state and an action; whoever wants another one writes a class with the
same `step`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = ["LIVE", "IncidentAction", "IncidentLife", "IncidentState", "LifeCycle", "Refused"]


class IncidentState(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    """For somebody outside; deadlines rest."""
    RESOLVED = "resolved"
    CLOSED = "closed"
    REJECTED = "rejected"
    MERGED = "merged"


LIVE = frozenset((IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.IN_PROGRESS, IncidentState.WAITING))
"""States in which work is to be done; only these take alarms in."""


class IncidentAction(StrEnum):
    """What is kept of an incident's history. Beside these, other parts write events of their own names
    (a task that is late, a notice sent): those change no state."""

    OPEN = "open"
    ACKNOWLEDGE = "acknowledge"
    START = "start"
    WAIT = "wait"
    RESUME = "resume"
    RESOLVE = "resolve"
    CLOSE = "close"
    REOPEN = "reopen"
    REJECT = "reject"
    MERGE = "merge"
    """It went into another."""
    ABSORB = "absorb"
    """Another went into it."""
    SPLIT = "split"
    """A part of it became an incident of its own."""
    JOIN = "join"
    """An alarm joined it, or one that had joined was raised again."""
    ALARM_CLEARED = "alarm_cleared"
    """The condition of an alarm that joined is no longer true."""
    ASSIGN = "assign"
    SEVERITY = "severity"
    EDIT = "edit"
    COMMENT = "comment"
    LINK = "link"
    UNLINK = "unlink"


@dataclass(frozen=True, slots=True)
class Refused:
    """The action leads nowhere from here, for this reason."""

    reason: str


class LifeCycle(Protocol):
    """What the incident book asks of a life cycle."""

    def step(self, now: IncidentState, action: str) -> IncidentState | Refused:
        """The state after an action, or why it is not allowed."""
        ...


_MOVES: dict[str, tuple[frozenset[IncidentState], IncidentState]] = {
    IncidentAction.ACKNOWLEDGE: (frozenset((IncidentState.OPEN,)), IncidentState.ACKNOWLEDGED),
    IncidentAction.START: (frozenset((IncidentState.OPEN, IncidentState.ACKNOWLEDGED)), IncidentState.IN_PROGRESS),
    IncidentAction.WAIT: (
        frozenset((IncidentState.ACKNOWLEDGED, IncidentState.IN_PROGRESS)),
        IncidentState.WAITING,
    ),
    IncidentAction.RESUME: (frozenset((IncidentState.WAITING,)), IncidentState.IN_PROGRESS),
    IncidentAction.RESOLVE: (LIVE, IncidentState.RESOLVED),
    IncidentAction.CLOSE: (frozenset((IncidentState.RESOLVED,)), IncidentState.CLOSED),
    IncidentAction.REOPEN: (
        frozenset((IncidentState.RESOLVED, IncidentState.CLOSED, IncidentState.REJECTED)),
        IncidentState.OPEN,
    ),
    IncidentAction.REJECT: (frozenset((IncidentState.OPEN, IncidentState.ACKNOWLEDGED)), IncidentState.REJECTED),
    IncidentAction.MERGE: (LIVE, IncidentState.MERGED),
}
_LIVE_ONLY = frozenset(
    (
        IncidentAction.ABSORB,
        IncidentAction.SPLIT,
        IncidentAction.JOIN,
        IncidentAction.ASSIGN,
        IncidentAction.SEVERITY,
        IncidentAction.EDIT,
    )
)
_DONE = {
    IncidentAction.ACKNOWLEDGE: frozenset((IncidentState.ACKNOWLEDGED,)),
    IncidentAction.START: frozenset((IncidentState.IN_PROGRESS,)),
    IncidentAction.WAIT: frozenset((IncidentState.WAITING,)),
    IncidentAction.RESOLVE: frozenset((IncidentState.RESOLVED,)),
    IncidentAction.CLOSE: frozenset((IncidentState.CLOSED,)),
    IncidentAction.REJECT: frozenset((IncidentState.REJECTED,)),
    IncidentAction.MERGE: frozenset((IncidentState.MERGED,)),
    IncidentAction.REOPEN: frozenset((IncidentState.OPEN,)),
}


class IncidentLife:
    """The life cycle drawn above."""

    def step(self, now: IncidentState, action: str) -> IncidentState | Refused:
        """The state after an action, or why it is not allowed. Actions that move nothing lead to where it is."""
        move = _MOVES.get(action)
        if move is not None:
            allowed, after = move
            return after if now in allowed else Refused(_why(now, action))
        if action in _LIVE_ONLY and now not in LIVE:
            return Refused(_why(now, action))
        return now


def _why(now: IncidentState, action: str) -> str:
    if now in _DONE.get(IncidentAction(action), frozenset()):
        return f"it is {_words(now)} already"
    if now is IncidentState.MERGED:
        return "it is merged into another: act on that one"
    if now not in LIVE and action != IncidentAction.CLOSE:
        return f"it is {_words(now)}: reopen it first"
    allowed, _ = _MOVES.get(action, (LIVE, now))
    return f"it is {_words(now)}, and only what is {' or '.join(sorted(map(_words, allowed)))} allows to {action}"


def _words(state: IncidentState) -> str:
    return state.value.replace("_", " ")
