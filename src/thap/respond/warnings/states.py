"""The life of a warning until it goes out.

    draft ── submit ──▶ submitted ── approve ──▶ published
      ▲ ╲                │   │
    edit  withdraw     retract return
      │      ▼         (draft)  ▼
      │   withdrawn  ◀── withdraw ── returned ── edit, submit ──▶ …

What went out is never changed: it is updated or cancelled by a further warning, with a life of its own. Who wrote any
of its text may not approve it.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EDITABLE", "State", "WarningAction", "next_state"]


class State(StrEnum):
    """Where a warning stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


class WarningAction(StrEnum):
    """What people do to a warning."""

    COMPOSE = "compose"
    EDIT = "edit"
    SUBMIT = "submit"
    RETRACT = "retract"
    RETURN = "return"
    APPROVE = "approve"
    WITHDRAW = "withdraw"


EDITABLE = (State.DRAFT, State.RETURNED)
_STEPS = {
    WarningAction.EDIT: {State.DRAFT: State.DRAFT, State.RETURNED: State.RETURNED},
    WarningAction.SUBMIT: {State.DRAFT: State.SUBMITTED, State.RETURNED: State.SUBMITTED},
    WarningAction.RETRACT: {State.SUBMITTED: State.DRAFT},
    WarningAction.RETURN: {State.SUBMITTED: State.RETURNED},
    WarningAction.APPROVE: {State.SUBMITTED: State.PUBLISHED},
    WarningAction.WITHDRAW: {
        State.DRAFT: State.WITHDRAWN,
        State.RETURNED: State.WITHDRAWN,
        State.SUBMITTED: State.WITHDRAWN,
    },
}


def next_state(state: State, action: WarningAction) -> State | None:
    """Where an act leads; None where it is not allowed."""
    return _STEPS.get(action, {}).get(state)
