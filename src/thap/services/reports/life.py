"""The life of a report: which act leads from which state to which."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CLOSED", "OPEN", "Act", "State", "step"]


class State(StrEnum):
    """Where a report stands."""

    RECEIVED = "received"
    """Nobody has looked at it yet; the public does not see it."""
    ACCEPTED = "accepted"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    """Answered."""
    REJECTED = "rejected"
    """Not a matter for the centre, abuse, or nothing that can be worked on."""
    DUPLICATE = "duplicate"
    """The same as an earlier one, whose life it shares."""


class Act(StrEnum):
    """What can happen to a report."""

    RECEIVE = "receive"
    ACCEPT = "accept"
    START = "start"
    ANSWER = "answer"
    REJECT = "reject"
    DUPLICATE = "duplicate"
    REOPEN = "reopen"
    # These leave the state as it is.
    COMMENT = "comment"
    EDIT = "edit"
    LINK = "link"
    UNLINK = "unlink"
    REFER = "refer"
    UPDATE = "update"
    RATE = "rate"
    ERASE = "erase"


OPEN = frozenset({State.RECEIVED, State.ACCEPTED, State.IN_PROGRESS})
CLOSED = frozenset(State) - OPEN

_STEPS: dict[tuple[State, Act], State] = {
    (State.RECEIVED, Act.ACCEPT): State.ACCEPTED,
    (State.RECEIVED, Act.REJECT): State.REJECTED,
    (State.RECEIVED, Act.DUPLICATE): State.DUPLICATE,
    (State.ACCEPTED, Act.START): State.IN_PROGRESS,
    (State.ACCEPTED, Act.ANSWER): State.DONE,
    (State.ACCEPTED, Act.REJECT): State.REJECTED,
    (State.ACCEPTED, Act.DUPLICATE): State.DUPLICATE,
    (State.IN_PROGRESS, Act.ANSWER): State.DONE,
    (State.IN_PROGRESS, Act.REJECT): State.REJECTED,
    (State.IN_PROGRESS, Act.DUPLICATE): State.DUPLICATE,
    (State.DONE, Act.REOPEN): State.IN_PROGRESS,
    (State.REJECTED, Act.REOPEN): State.RECEIVED,
    (State.DUPLICATE, Act.REOPEN): State.RECEIVED,
}
_MOVES = frozenset(act for _, act in _STEPS)


def step(state: State, act: Act) -> State | None:
    """Where an act leads; None where it is not allowed in this state."""
    if act in _MOVES:
        return _STEPS.get((state, act))
    if act is Act.RATE:
        return state if state is State.DONE else None
    return None if act is Act.RECEIVE else state
