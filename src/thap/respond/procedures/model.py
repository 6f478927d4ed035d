"""What a procedure and a task are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

__all__ = [
    "ROLES",
    "SEVERITIES",
    "Attachment",
    "Procedure",
    "Step",
    "StoredProcedure",
    "Task",
    "TaskFilter",
    "TaskPage",
    "TaskState",
]

SEVERITIES = {"low": 1, "medium": 2, "high": 3, "critical": 4}
ROLES = frozenset({"operator", "shift_lead", "leader", "commune_official", "domain_expert", "administrator"})
"""Roles a step may be for."""


class TaskState(StrEnum):
    """How a task stands."""

    PLANNED = "planned"
    """Waits for other steps."""
    OPEN = "open"
    """To be done; its clock runs."""
    PAUSED = "paused"
    """To be done; its clock stands still with the incident's."""
    DONE = "done"
    SKIPPED = "skipped"
    """Left out, with a reason."""
    CANCELLED = "cancelled"
    """No longer to be done: the incident was closed, or another procedure took over."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """What a step wants attached to the incident."""

    key: str
    title: dict[str, str]
    """By language, `vi` and `en`."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a procedure."""

    key: str
    title: dict[str, str]
    """By language, `vi` and `en`."""
    text: dict[str, str] = {}
    """How it is done, by language."""
    role: str
    """Who does it: a role of `ROLES`."""
    unit: str = "incident"
    """Of which unit: `incident` (the one responsible), `commune` (where it happened), `province`, or a code."""
    within: str
    """How long it may take from when it can begin, as `15m`, `4h`, `3d`."""
    clock: str = "round"
    """What `within` counts: `round` the clock, or `working` hours."""
    after: tuple[str, ...] = ()
    """Keys of steps that must be done first."""
    attach: tuple[Attachment, ...] = ()
    done_when: str = ""
    """A state of the incident that does it by itself: `acknowledged`, `in_progress` or `resolved`."""


class Procedure(msgspec.Struct, frozen=True, kw_only=True):
    """A template: what is to be done about incidents of a kind."""

    name: str
    title: dict[str, str]
    domain: str = ""
    """Incidents of this domain; '' of any."""
    severity: tuple[int, ...] = ()
    """Of these severities, 1 to 4; empty: of any."""
    causes: tuple[str, ...] = ()
    """Whose cause meets one of these patterns, as `sand.dredging_*`; empty: any."""
    source: str = ""
    """Where its steps and times come from."""
    enabled: bool = True
    steps: tuple[Step, ...]


class StoredProcedure(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a procedure in the records."""

    id: int
    version: int
    origin: str
    """Package it came with, as `thap.domains.sand`; '' where a person wrote it."""
    changed: int
    """µs."""
    changed_by: str
    procedure: Procedure


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done about an incident. Times µs."""

    id: int
    incident: int
    procedure: str
    """'' where a person added it."""
    procedure_version: int
    step: str
    position: int
    title: Mapping[str, str]
    text: Mapping[str, str]
    domain: str
    unit: str
    """Who is to do it; '' is the province."""
    commune: str
    role: str
    assignee: str
    """Login; '' is nobody in person."""
    state: TaskState
    clock: str
    within: int
    """Counted time it may take, µs."""
    remaining: int
    """Counted time left at `since`, or now where the clock stands still; below nothing when late."""
    since: int | None
    """When the clock last began to run; None while it stands still."""
    due: int | None
    """Deadline; None while the clock stands still."""
    late: int | None
    """The deadline that was missed."""
    reminded: int
    """How often somebody was told that it is late."""
    after: list[str]
    attach: list[Attachment]
    done_when: str
    why: str
    """Why it was cancelled: `closed`, `rejected`, `merged` or `replaced`."""
    created: int
    created_by: str
    closed: int | None
    closed_by: str
    comment: str
    """What was said when it was closed."""
    evidence: list[Any]
    """What was attached: numbers of links, or texts."""
    changed: int
    version: int


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are wanted. Empty fields want all; several fields must all hold."""

    states: frozenset[str] = frozenset({TaskState.OPEN})
    incident: int | None = None
    assignee: str | None = None
    """Login; '' is nobody."""
    units: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    late: bool | None = None
    due_before: int | None = None
    """µs."""


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some tasks, and where the next page begins."""

    items: list[Task]
    total: int
    next: str | None
