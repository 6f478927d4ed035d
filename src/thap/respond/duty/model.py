"""What duty is made of."""

from __future__ import annotations

import msgspec

__all__ = ["Handover", "Rota", "Shift", "Stint"]


class Rota(msgspec.Struct, frozen=True, kw_only=True):
    """A roster that repeats: each time the rule comes round, the next turn is on."""

    id: int = 0
    name: str
    version: int = 1
    title: str = ""
    unit: str
    """Code of the unit; '' is the province, kept as its code."""
    role: str
    rule: str
    """Recurrence after RFC 5545, as `FREQ=DAILY;BYHOUR=7,19`; hours are Việt Nam's."""
    start: int
    """The first turn begins at the rule's first time from here on, µs."""
    length_us: int
    """How long one turn lasts."""
    turns: list[list[str]]
    """Logins of those on together, turn by turn; after the last the first follows."""
    valid_from: int = 0
    valid_until: int | None = None
    changed_by: str = ""


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody is on duty from a time until another: beside the rotas, or instead of somebody on one."""

    id: int = 0
    unit: str
    role: str
    login: str
    """Who; '' is nobody, for an absence that is not filled."""
    start: int
    until: int
    rota: str = ""
    """The rota it overrides; '' is none."""
    instead_of: str = ""
    """Whom of that rota's turn it replaces; '' is all of them."""
    note: str = ""
    created: int = 0
    created_by: str = ""
    removed: int | None = None
    removed_by: str = ""


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """What those who go tell those who come."""

    id: int = 0
    unit: str
    role: str
    time: int
    from_login: str
    to_login: str = ""
    """Whom it is for; '' is whoever comes next."""
    note: str
    taken: int | None = None
    taken_by: str = ""


class Stint(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A stretch of time somebody is on duty."""

    start: int
    until: int
    unit: str
    role: str
    login: str
    rota: str = ""
    """The rota it comes from; '' is a shift of its own."""
    shift: int | None = None
    """The shift that says so, where one does."""
