"""What happens to tasks, in the histories of their incidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thap.kernel.store import Transaction
from thap.respond.incidents.book import act
from thap.respond.incidents.model import LIVE_SUBJECT, Act, announcement
from thap.respond.timers import Announcement

__all__ = ["tell"]


def tell(
    tx: Transaction, said: Sequence[tuple[int, str, Mapping[str, Any]]], by: str = "", comment: str = ""
) -> list[Announcement]:
    """Add events, (incident, action, detail), to the histories of incidents, whose state does not change.

    Returns:
        What is to be announced after the commit.
    """
    if not said:
        return []
    acts = [Act(incident, action, by, comment, None, detail) for incident, action, detail in said]
    return [(LIVE_SUBJECT, announcement(event)) for event in act(tx, acts, followers=())]
