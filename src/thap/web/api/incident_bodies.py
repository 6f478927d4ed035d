"""What is said to /api/v1/incidents, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from thap.respond.incidents.attachments import Attachment
from thap.respond.incidents.duplicates import Suggestion
from thap.respond.incidents.model import (
    Incident,
    IncidentEvent,
    IncidentLink,
)

__all__ = [
    "Alike",
    "Assigning",
    "Code",
    "Counts",
    "Doing",
    "Editing",
    "Events",
    "Incidents",
    "Level",
    "Like",
    "Linking",
    "Merging",
    "Moving",
    "Opened",
    "Position",
    "Rating",
    "Remark",
    "Reported",
    "Said",
    "Several",
    "Short",
    "Splitting",
    "WholeIncident",
    "Words",
]

Words = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]
Short = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Code = Annotated[str, Field(max_length=32, pattern=r"^[^\x00]*$")]
Level = int | Annotated[str, Field(max_length=10)]
"""low, medium, high, critical, or 1 to 4."""


class Incidents(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list."""

    items: list[Incident]
    total: int
    """How many match the filter, on all pages, of those the caller may see."""
    next: str | None
    """Give it as `after` to get the next page; None on the last."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many incidents have each value of a column."""

    by: str
    counts: dict[str, int]
    total: int


class Like(Suggestion[int], frozen=True, kw_only=True):
    """An incident that may be the same."""

    incident: Incident


class Alike(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents that may be the same, the likest first."""

    items: list[Like]


class WholeIncident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident with what belongs to it and its history."""

    incident: Incident
    links: Sequence[IncidentLink]
    attachments: Sequence[Attachment]
    events: Sequence[IncidentEvent]
    """The newest first; older ones at `events?before=`."""
    total: int
    """How many events there are."""
    may: list[str]
    """What the caller may do to it, of the actions of policy."""


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Events of an incident, the newest first."""

    items: Sequence[IncidentEvent]
    next: int | None
    """Give it as `before`; None on the last page."""


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A new incident, and those that may be the same."""

    incident: Incident
    duplicates: list[Like]


class Several(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one act that concerned two incidents."""

    events: list[IncidentEvent]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A remark, and whom it called."""

    event: IncidentEvent
    called: list[str]
    unknown: list[str]
    """Nobody of this login may see the incident, so nobody was called."""


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Doing(_Given):
    """What a person does to an incident, and why."""

    comment: Words = Field("", description="`@login` calls a person.")
    version: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="The incident's version the person saw; refused with 409, saying what changed and by whom, where "
        "it changed since. Without it nothing is checked.",
    )


class Moving(Doing):
    """What moves an incident on."""

    alarms: bool = Field(
        False,
        description="With `acknowledge`: its alarms that call for somebody are acknowledged too, as far as the caller "
        "may.",
    )


class Reported(_Given):
    """An incident to be opened, or to be compared with others."""

    title: Short = Field(min_length=1)
    description: Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00]*$")] = ""
    domain: Code = ""
    severity: Level = 2
    unit: Code | None = Field(None, description="Responsible; the caller's own if not given.")
    commune: Annotated[str, Field(max_length=16, pattern=r"^[^\x00]*$")] = Field(
        "", description="Code; found from the place if not given."
    )
    lon: float | None = Field(None, ge=-180, le=180)
    lat: float | None = Field(None, ge=-90, le=90)
    time: int | None = Field(None, ge=0, le=2**62, description="When it happened, µs; now if not given.")


class Assigning(Doing):
    """To whom an incident is given."""

    unit: Code | None = None
    owner: Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")] | None = None


class Rating(Doing):
    """How severe an incident is."""

    severity: Level


class Editing(Doing):
    """What is to be said otherwise; what is not given stays."""

    title: Short | None = Field(None, min_length=1)
    description: Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00]*$")] | None = None
    domain: Code | None = None
    commune: Annotated[str, Field(max_length=16, pattern=r"^[^\x00]*$")] | None = None
    cause: Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")] | None = None
    lon: float | None = Field(None, ge=-180, le=180)
    lat: float | None = Field(None, ge=-90, le=90)


class Position(_Given):
    """Where somebody was, as their device says."""

    lon: float = Field(ge=-180, le=180)
    lat: float = Field(ge=-90, le=90)
    accuracy_m: float | None = Field(None, ge=0, le=1e7, description="Radius within which it holds, m.")
    time: int | None = Field(None, ge=0, le=2**62, description="When, µs.")


class Remark(_Given):
    """A remark on an incident."""

    comment: Words = Field(description="`@login` calls a person.")
    position: Position | None = Field(None, description="Where it was made; kept in the history.")


class Linking(Doing):
    """Evidence, or something else that belongs to an incident. Files are attached, not linked."""

    kind: Literal["alarm", "observation", "track", "frame", "page", "report", "incident", "warning"]
    ref: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00]*$")]
    title: Short = ""
    detail: dict[str, Any] = Field(default_factory=dict)


class Merging(Doing):
    """Which incident goes on."""

    into: int = Field(ge=1, le=2**63 - 1)
    into_version: int | None = Field(None, ge=0, le=2**31 - 1)


class Splitting(Doing):
    """What becomes an incident of its own."""

    links: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(min_length=1, max_length=1000)
    title: Short = ""
