"""Who follows incidents: named here as text, as they stand in packages that build on this one."""

from __future__ import annotations

import importlib
from functools import cache

from thap.respond.incidents.model import Follower

__all__ = ["FOLLOWERS", "default_followers"]

FOLLOWERS = (
    "thap.respond.procedures.follow:follow",
    "thap.respond.escalation.follow:follow",
)


@cache
def default_followers() -> tuple[Follower, ...]:
    """Those of `FOLLOWERS`, in order."""
    found = []
    for name in FOLLOWERS:
        module, _, attribute = name.partition(":")
        found.append(getattr(importlib.import_module(module), attribute))
    return tuple(found)
