"""Reports as they come in and as they leave this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from thap.respond.incidents.model import IncidentEvent
from thap.services.reports.life import OPEN, State
from thap.services.reports.privacy import Sender

__all__ = [
    "Draft",
    "Near",
    "Opened",
    "Received",
    "Report",
    "ReportEvent",
    "ReportFilter",
    "ReportPage",
    "report_of",
    "step_of",
]


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody reports."""

    service: str
    text: str = ""
    lon: float | None = None
    lat: float | None = None
    place: str = ""
    """Where it is, in words."""
    address_id: str = ""
    commune: str = ""
    """Code, where the sender chose one; a point decides before it."""
    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sender: Sender = field(default_factory=Sender)
    media_url: str = ""
    language: str = "vi"
    same_as: int | None = None
    """The earlier report the sender takes it to be the same as."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One report as it stands. Times are µs UTC. Who sent it is not in it."""

    id: int
    source: str
    client: str
    service: str
    domain: str
    severity: int
    unit: str
    commune: str
    lon: float | None
    lat: float | None
    place: str
    address_id: str
    text: str
    """As it was written; for the public, `public_text`."""
    public_text: str
    answers: dict[str, list[str]]
    media_url: str
    shown_photos: list[int]
    language: str
    state: str
    note: str
    """The latest words to the sender."""
    published: bool
    received: int
    changed: int
    closed: int | None
    expected: int | None
    incident: int | None
    duplicate_of: int | None
    same_as: int | None
    satisfaction: int | None
    """1 not at all … 5 wholly."""
    opinion: str
    erased: int | None
    """When the sender and what the text said of people were erased."""
    version: int

    @property
    def open(self) -> bool:
        """Whether it is open in Open311's sense."""
        return State(self.state) in OPEN


class ReportEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one report; announced on `centre.live.report`."""

    id: int
    """Grows in the order steps took effect."""
    report: int
    action: str
    from_state: str
    to_state: str
    time: int
    by: str
    comment: str
    public: bool
    detail: dict[str, Any]
    version: int
    service: str = ""
    domain: str = ""
    unit: str = ""
    commune: str = ""
    incident: int | None = None


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What comes back when a report was taken."""

    report: Report
    receipt: str
    """The code to follow it by, as `K7M2-9QXA-3FDT`; shown once."""
    event: ReportEvent | None = None
    """None where this very form had been sent before."""


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A report and the incident that handles it."""

    incident: int
    incidents: list[IncidentEvent]
    """What happened to the incident; for the caller to announce."""
    reports: list[ReportEvent]


class Near(msgspec.Struct, frozen=True, kw_only=True):
    """A report that may be the same."""

    report: Report
    metres: float
    likeness: float
    """0 … 1: how much the words have in common."""


class ReportPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list."""

    items: list[Report]
    states: dict[str, int]
    """How many match the filter in each state, on all pages, states of the filter left aside."""
    total: int
    next: str | None
    """Give it as `after` to get the next page; None on the last."""


@dataclass(frozen=True, slots=True)
class ReportFilter:
    """Which reports; an empty field does not narrow."""

    states: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    """Codes of units or communes."""
    incident: int | None = None
    unhappy: bool = False
    """Only those whose sender was not satisfied."""
    text: str = ""


def report_of(row: Mapping[str, Any]) -> Report:
    """A row as a report."""
    kept = {name: row[name] for name in Report.__struct_fields__}
    kept["answers"] = orjson.loads(row["answers"])
    kept["shown_photos"] = orjson.loads(row["shown_photos"])
    return Report(**kept)


def step_of(row: Mapping[str, Any], report: Mapping[str, Any] | None = None) -> ReportEvent:
    """A row of `report_events` as an event; with its report's row, also where it belongs."""
    kept = {
        name: row[name]
        for name in ("id", "action", "from_state", "to_state", "time", "by", "comment", "public", "version")
    }
    if report is not None:
        kept |= {name: report[name] for name in ("service", "domain", "unit", "commune", "incident")}
    return ReportEvent(report=row["report_id"], detail=orjson.loads(row["detail"]), **kept)
