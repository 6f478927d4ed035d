"""Words of the policy: actions, roles that grant them, who acts, and on what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa

from thap.kernel.clock import now_us
from thap.kernel.units import PROVINCE_CODE

__all__ = [
    "ACTIONS",
    "EVERYWHERE",
    "LATEST_US",
    "READING",
    "ROLES",
    "SCOPE_ROLES",
    "Decision",
    "Grant",
    "Resource",
    "Restriction",
    "RestrictionKind",
    "Subject",
    "Who",
    "WhoKind",
]

WhoKind = Literal["person", "token", "local", "system", "anonymous"]
RestrictionKind = Literal["thing", "domain", "unit"]

LATEST_US = 250_000_000_000_000_000
"""The latest moment anything can end, in the year 9892: calendars stop at 9999."""
EVERYWHERE = frozenset({"", PROVINCE_CODE})
"""How the whole province is written as a unit."""

_LOOK = {
    "thing.read",
    "history.read",
    "history.query",
    "alarm.read",
    "rule.read",
    "incident.read",
    "duty.read",
    "notice.read",
    "warning.read",
    "report.read",
    "people.read",
    "system.read",
    "register.read",
}
_HANDLE = {"alarm.act", "incident.open", "incident.work", "task.work"}

ACTIONS: frozenset[str] = frozenset(
    {
        *_LOOK,
        *_HANDLE,
        "record.write",
        "quarantine.act",
        "register.write",
        "register.approve",
        "survey.write",
        "camera.view",
        "camera.write",
        "plate.read",
        "rule.write",
        "incident.assign",
        "incident.close",
        "procedure.write",
        "duty.write",
        "warning.compose",
        "warning.approve",
        "report.moderate",
        "personal.read",
        "people.write",
        "token.write",
        "audit.read",
        "export",
        "system.write",
    }
)
"""All that can be allowed, as noun.verb."""

ROLES: dict[str, frozenset[str]] = {
    "operator": frozenset(
        _LOOK
        | _HANDLE
        | {"quarantine.act", "warning.compose", "report.moderate", "personal.read"}
        | {"camera.view", "survey.write"}
    ),
    "shift_lead": frozenset(
        _LOOK
        | _HANDLE
        | {"quarantine.act", "warning.compose", "report.moderate", "personal.read"}
        | {"incident.assign", "incident.close", "duty.write", "export"}
        | {"camera.view", "survey.write"}
    ),
    "leader": frozenset(
        _LOOK
        | _HANDLE
        | {"incident.assign", "incident.close", "duty.write", "warning.approve", "export"}
        | {"camera.view", "plate.read", "register.approve"}
    ),
    "commune_official": frozenset(
        (_LOOK - {"history.query"}) | _HANDLE | {"report.moderate", "personal.read"} | {"camera.view", "survey.write"}
    ),
    "domain_expert": frozenset(
        _LOOK
        | _HANDLE
        | {"rule.write", "procedure.write", "warning.compose", "quarantine.act", "export"}
        | {"register.write", "register.approve", "survey.write", "camera.view", "camera.write"}
    ),
    "integrator": frozenset(
        {"thing.read", "history.read", "rule.read", "system.read", "record.write", "quarantine.act"}
    ),
    "administrator": ACTIONS - {"personal.read", "warning.approve", "register.approve", "plate.read"},
    "citizen": frozenset({"warning.read"}),
    "viewer": frozenset(_LOOK),
    "sender": frozenset({"record.write"}),
}
"""Each role with the actions it grants. An administrator reads nobody's personal data and publishes no warning
without a further role; `sender` is what a device's token has."""

SCOPE_ROLES: dict[str, frozenset[str]] = {
    "read": frozenset({"viewer"}),
    "operate": frozenset({"operator", "shift_lead"}),
    "write": frozenset({"sender"}),
    "admin": frozenset(ROLES) - {"leader"},
}
"""Each scope of a token with the roles it amounts to. None approves a warning to the public: that takes a person, and
another than who wrote it."""

READING: dict[str, str] = {
    **{action: f"{action.partition('.')[0]}.read" for action in ACTIONS if "." in action},
    "record.write": "thing.read",
    "quarantine.act": "thing.read",
    "survey.write": "register.read",
    "camera.view": "thing.read",
    "camera.write": "thing.read",
    "plate.read": "thing.read",
    "history.query": "history.read",
    "task.work": "incident.read",
    "procedure.write": "incident.read",
    "personal.read": "report.read",
    "token.write": "people.read",
    "export": "system.read",
}
"""Each action with the one that lets a record be seen at all: who lacks it is told that there is none."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role within a unit and all below it, and within a domain."""

    role: str
    unit: str
    """`''` or the province's code: everywhere."""
    domain: str = ""
    """`''`: all domains, and what has none."""
    until: int | None = None
    """Moment it ends, µs; None never."""

    def live(self, now: int) -> bool:
        """Whether it is in force at `now`, µs."""
        return self.until is None or self.until > now


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts, as policy knows them. Take a new one from `Policy.person` for each request."""

    name: str
    """Login of a person, name of a token, `local`; `''` for the centre's own work."""
    kind: WhoKind
    person_id: int | None = None
    unit: str = ""
    """The unit a person belongs to; what they may do follows from grants alone."""
    grants: tuple[Grant, ...] = ()
    clearances: frozenset[str] = frozenset()
    """Of restricted things, domains and units, as `thing:cam-1`."""
    language: str = "vi"

    @property
    def is_unlimited(self) -> bool:
        """Whether no policy holds for it: the machine's owner, and the centre itself."""
        return self.kind in ("local", "system")

    @classmethod
    def local(cls) -> Who:
        """The machine's owner."""
        return cls("local", "local")

    @classmethod
    def system(cls) -> Who:
        """The centre itself."""
        return cls("", "system")

    @classmethod
    def anonymous(cls) -> Who:
        """Who gave no credential."""
        return cls("anonymous", "anonymous")


@dataclass(frozen=True, slots=True)
class Resource:
    """A statement's columns that policy looks at. A record counts to each of its units."""

    units: tuple[sa.ColumnElement[Any], ...]
    domain: sa.ColumnElement[Any] | None = None
    thing: sa.ColumnElement[Any] | None = None
    """Name of a thing or mover, or a datastream's key, which begins with its thing's name and a slash."""
    things: Callable[[str], sa.ColumnElement[bool]] | None = None
    """For records that have to do with several things: whether a row has to do with the thing of this name."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One record as policy sees it: the values of a Resource's columns."""

    kind: str
    """As `incident`, for messages."""
    units: tuple[str, ...]
    domain: str = ""
    thing: str = ""
    things: tuple[str, ...] = ()
    """Others that it has to do with."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """A thing, domain or unit that only those see who have a clearance for it."""

    kind: RestrictionKind
    ref: str
    reason: str = ""
    created: int = field(default_factory=now_us, compare=False)
    created_by: str = ""

    @property
    def key(self) -> str:
        """As in `Who.clearances`."""
        return f"{self.kind}:{self.ref}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether, and why: one sentence for each grant and restriction that was looked at."""

    allowed: bool
    reasons: tuple[str, ...]
