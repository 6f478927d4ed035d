"""What escalation is made of."""

from __future__ import annotations

import msgspec

__all__ = ["Chain", "Escalation", "ReachedStep", "Step", "Suppression"]


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to tell, and how long to wait for them."""

    to: list[str]
    """`duty:UNIT/ROLE`, `role:UNIT/ROLE` (everybody who has it), `person:LOGIN`, or `channel:address`. UNIT may be
    `$unit` or `$commune` of the incident, LOGIN `$owner`. No role is any."""
    wait_s: int
    """How long before the next step."""
    times: int = 1
    """How often this step is taken before the next."""
    urgent: bool | None = None
    """Whether it goes out in quiet hours; by default where the incident is high or critical."""


class ReachedStep(msgspec.Struct, frozen=True, kw_only=True):
    """Who a step would tell at one moment."""

    people: list[str]
    """Logins of those to whom there is a way."""
    silent: list[str]
    """Logins of those it means to whom there is none."""
    channels: list[str]
    """Of addresses outside the centre; the addresses themselves are not told."""
    after_s: int
    """How long after the beginning of the chain, where everybody is told and nobody answers."""


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """What happens while nobody takes an incident up."""

    name: str
    title: str = ""
    domain: str = ""
    """'' is any."""
    unit: str | None = None
    """'' is the province (kept as its code), None any."""
    severity: int = 1
    """The least it is for."""
    steps: list[Step]
    rounds: int = 1
    """How often all of it is gone through."""
    enabled: bool = True
    version: int = 0
    """0 for one that came with the program or stands in the settings' folder."""
    changed: int = 0
    changed_by: str = ""


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """A chain at work for one incident."""

    id: int = 0
    incident: int
    chain: str
    steps: list[Step]
    rounds: int
    title: str
    domain: str
    unit: str
    commune: str
    owner: str
    severity: int
    state: str = "running"
    """running, acknowledged, or stopped (resolved, closed, merged, rejected)."""
    reason: str = ""
    """While running: `unreachable` where nobody could be told, `unanswered` where the chain is at its end."""
    step: int = 0
    """The next step."""
    time: int = 0
    """How often the next step was taken already."""
    round: int = 0
    started: int
    changed: int
    ended: int | None = None
    ended_by: str = ""


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which chains do not begin: they begin at its end, if nobody took the incident up."""

    id: int = 0
    title: str
    domain: str = ""
    """'' is any."""
    unit: str | None = None
    """'' is the province (kept as its code), None any."""
    severity: int = 3
    """The highest it is for; critical incidents are never held back."""
    rule: str = ""
    """Recurrence, as of a rota; '' for once."""
    start: int
    length_us: int
    created: int = 0
    created_by: str = ""
    removed: int | None = None
    removed_by: str = ""
