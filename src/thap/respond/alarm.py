"""Alarms and alarm events as they leave this package: over HTTP, the event stream and `centre.live.alarm`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

__all__ = ["Alarm", "AlarmEvent", "AlarmFilter", "AlarmPage", "AlarmSort", "EventFilter", "Refused"]

AlarmSort = Literal["raised", "-raised", "changed", "-changed", "severity", "-severity", "source", "-source"]


class AlarmEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of one alarm. Times are µs UTC."""

    id: int
    """Number of the transition; grows in the order transitions took effect."""
    alarm: int
    source: str
    """Key of the datastream, thing or mover."""
    condition: str
    """Name of the rule or detector."""
    action: str
    from_state: str
    to_state: str
    severity: int
    """1 low … 4 critical, after the transition."""
    active: bool
    """Whether the condition is true after the transition, also while shelved or suppressed."""
    annunciated: bool
    """Whether it calls the operator."""
    time: int
    """Event time: when the condition changed, or when a person acted."""
    recorded_at: int
    """When the transition was written."""
    received: int = 0
    """Door time of the record that decided it; 0 for timers and people."""
    seq: int = 0
    """Journal sequence of that record; 0 for timers and people."""
    value: float | None = None
    domain: str = ""
    lon: float | None = None
    lat: float | None = None
    commune: str = ""
    by: str = ""
    """Who did it; empty for detectors and clocks."""
    comment: str = ""
    version: int = 0
    """Version of the alarm after the transition."""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm as it stands: one for each (source, condition) ever raised. Times are µs UTC."""

    id: int
    source: str
    condition: str
    domain: str
    state: str
    active: bool
    severity: int
    raised: int
    """Event time of the latest raise."""
    announced: int
    """When that raise was written."""
    cleared: int | None
    """Event time of the latest clear, None while active."""
    acknowledged: int | None
    """When the present raise was acknowledged."""
    acknowledged_by: str
    shelved_until: int | None
    count: int
    """How often it was raised."""
    value: float | None
    lon: float | None
    lat: float | None
    commune: str
    evidence: dict[str, Any]
    """Of the latest change by a detector."""
    changed: int
    """When the latest transition was written."""
    version: int


class AlarmPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list."""

    items: list[Alarm]
    total: int
    """How many match the filter, on all pages."""
    next: str | None
    """Give it as `after` to get the next page; None on the last."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm of a bulk action that was left as it was."""

    alarm: int
    reason: str


@dataclass(frozen=True, slots=True)
class AlarmFilter:
    """Which alarms; an empty field does not narrow."""

    states: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    communes: frozenset[str] = frozenset()
    severities: frozenset[int] = frozenset()
    source: str = ""
    """Pattern with `*` and `?`, letter case ignored."""
    condition: str = ""
    """Pattern as for source."""
    active: bool | None = None
    text: str = ""
    """Somewhere in source, condition, domain or evidence; letter case ignored (only that of A–Z in SQLite)."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which alarm events; an empty field does not narrow."""

    alarms: frozenset[int] = frozenset()
    domains: frozenset[str] = frozenset()
    communes: frozenset[str] = frozenset()
    severities: frozenset[int] = frozenset()
