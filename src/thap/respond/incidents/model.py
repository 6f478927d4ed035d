"""Incidents and their events as they leave this package, and what is told to it to open or change one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from thap.kernel.store import Transaction

__all__ = [
    "LIVE_SUBJECT",
    "Act",
    "Draft",
    "Follower",
    "Incident",
    "IncidentEvent",
    "IncidentLink",
    "IncidentPage",
    "LinkKind",
    "NewLink",
    "Origin",
    "Row",
    "announcement",
]

Origin = Literal["alarm", "hand", "report", "story"]
LinkKind = Literal["alarm", "observation", "track", "frame", "page", "report", "incident", "file", "warning"]
Row = dict[str, Any]
"""An incident as columns of the table `incidents`."""

LIVE_SUBJECT = "centre.live.incident"
"""Where whoever called the book announces each event it returned."""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident as it stands. Times are µs UTC."""

    id: int
    title: str
    description: str
    domain: str
    severity: int
    """1 low … 4 critical."""
    state: str
    unit: str
    """Code of the responsible unit; '' is the province."""
    commune: str
    """Where it is, five digits; '' where that is not known."""
    lon: float | None
    lat: float | None
    owner: str
    """Login of who has it in hand; '' nobody."""
    opened: int
    opened_by: str
    """'' when a rule opened it."""
    origin: Origin
    cause: str
    """What it has in common with alarms that join it; '' is not known."""
    acknowledged: int | None
    """Since it was opened or last reopened; so the next two."""
    acknowledged_by: str
    resolved: int | None
    closed: int | None
    reopened: int
    """How often."""
    merged_into: int | None
    version: int
    """Grows whenever anything above changes; not by comments, links and alarms that only join."""
    changed: int
    """When its newest event was written."""
    due: int | None
    """The next deadline of its tasks."""
    latest: int | None
    """Event time of the newest alarm that joined; None when it takes none in any more."""
    events: int
    """How many events it has."""


class IncidentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one incident: what was done, and how the incident stands after it."""

    id: int
    """Number in the stream of all incidents' events; grows in the order they took effect. It is drawn last of all,
    so that a follower, in the transaction, sees 0 here: there `incident` and `nth` name the event."""
    incident: int
    nth: int
    """The how manyth of its incident, from 1."""
    action: str
    """One of `states.IncidentAction`, or a name another part gave."""
    from_state: str
    """'' when it was opened."""
    to_state: str
    time: int
    """When it was written, µs."""
    by: str
    """Who did it; '' for rules, clocks and detectors."""
    comment: str
    detail: dict[str, Any]
    """By action: open {rule, title: {vi, en}, alarm}; join {alarm, source, condition, severity, time}; assign {unit:
    [from, to], owner: [from, to]}; severity {from, to}; edit {field: [from, to]}; merge {into}; absorb {incident};
    split {into}; link, unlink {link, kind, ref, title}; comment {mentions}."""
    version: int
    title: str = ""
    domain: str = ""
    severity: int = 0
    unit: str = ""
    commune: str = ""
    owner: str = ""


class IncidentLink(msgspec.Struct, frozen=True, kw_only=True):
    """Something that belongs to an incident: evidence, another incident, a report, a warning."""

    id: int
    incident: int
    kind: LinkKind
    ref: str
    """Which, as its kind numbers it."""
    title: str
    detail: dict[str, Any]
    added: int
    added_by: str
    removed: int | None
    """A link that was taken away stays in the history."""
    removed_by: str


class IncidentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list."""

    items: list[Incident]
    next: str | None
    """Give it as `after` to get the next page; None on the last."""


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link to be made."""

    kind: LinkKind
    ref: str
    title: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """An incident to be opened."""

    title: str
    description: str = ""
    domain: str = ""
    severity: int = 2
    unit: str = ""
    commune: str = ""
    lon: float | None = None
    lat: float | None = None
    owner: str = ""
    origin: Origin = "hand"
    cause: str = ""
    time: int | None = None
    """Event time of what it is about, µs, from which alarms near in time join; None is now."""
    links: tuple[NewLink, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Goes into the event `open`."""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """Something done to an incident, for `IncidentBook.act` in a transaction of the caller."""

    incident: int
    action: str
    by: str = ""
    comment: str = ""
    version: int | None = None
    """The version the caller saw; None does not check."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What the action needs: assign {unit, owner}, severity {severity}, edit {field: value}, merge {into,
    into_version}, link {kind, ref, title, detail}, unlink {link}; kept as it is with an action of another name."""


class Follower(Protocol):
    """What another part does when incidents change, in the very transaction that changes them.

    A task list, an escalation, a notice so exists exactly if the event does that asks for it.
    """

    def __call__(self, tx: Transaction, events: Sequence[IncidentEvent], incidents: Mapping[int, Row]) -> None:
        """Take note of events.

        Args:
            tx: the transaction; their rows are written and locked, the events' numbers are drawn only after this.
            events: in order, of one or several incidents; several may be of one incident.
            incidents: those concerned, by id, as they stand after the last event. A follower changes nothing in
                them; `records.IncidentRows(tx).set_due` sets the deadline that is shown.

        It may run again after a deadlock, so it must change nothing but the database. When it raises, nothing has
        happened. Locks it takes come after those of incidents; it takes them in one order (by id).
        """
        ...


def announcement(event: IncidentEvent) -> dict[str, Any]:
    """An event as it is announced on `LIVE_SUBJECT`."""
    return {
        "id": event.incident,
        "version": event.version,
        "action": event.action,
        "state": event.to_state,
        "severity": event.severity,
        "domain": event.domain,
        "unit": event.unit,
        "commune": event.commune,
        "owner": event.owner,
        "title": event.title,
        "event": event.id,
    }
