"""What an after-action report tells: plain values, in the language of its reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["AfterAction", "Evidence", "Fact", "Line", "Mark"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the summary, as (`Mở lúc`, `22/11/2026 08:15`)."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Line:
    """One step of the timeline."""

    time: str
    what: str
    by: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence, by what it can be found and checked again with."""

    kind: str
    title: str
    ref: str
    added: str
    digest: str = ""
    """SHA-256 where it is a file."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A point on the map."""

    lon: float
    lat: float
    label: str


@dataclass(frozen=True, slots=True)
class AfterAction:
    """One incident from its opening to its end."""

    number: int
    title: str
    description: str
    state: str
    made: str
    """When the report was made, and for whom."""
    facts: Sequence[Fact]
    timeline: Sequence[Line]
    tasks: Sequence[Line] = ()
    alarms: Sequence[Line] = ()
    evidence: Sequence[Evidence] = ()
    marks: Sequence[Mark] = ()
    outlines: Sequence[Sequence[Sequence[tuple[float, float]]]] = field(default=())
    """Outlines of communes: polygons of rings of (longitude, latitude)."""
    here: Sequence[Sequence[tuple[float, float]]] = ()
    """Outline of the commune it happened in."""
    left_out: int = 0
    """Steps of the timeline that are not shown."""
