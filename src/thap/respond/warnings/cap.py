"""A CAP 1.2 alert as values: what `document` reads and writes.

Times are µs since 1970 UTC (CAP itself knows whole seconds), positions are (lon, lat) in degrees, radii in km. An
absent optional text is ''. Names follow the standard's; where it has another, the field's remark says so.

Source: OASIS, Common Alerting Protocol Version 1.2, 1 July 2010, section 3.2.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

__all__ = [
    "CATEGORIES",
    "CERTAINTIES",
    "MESSAGE_TYPES",
    "RESPONSES",
    "SCOPES",
    "SEVERITIES",
    "STATUSES",
    "URGENCIES",
    "Alert",
    "Area",
    "Category",
    "Certainty",
    "Circle",
    "Info",
    "MessageType",
    "Named",
    "Reference",
    "Resource",
    "Response",
    "Ring",
    "Severity",
    "Urgency",
]

Status = Literal["Actual", "Exercise", "System", "Test", "Draft"]
MessageType = Literal["Alert", "Update", "Cancel", "Ack", "Error"]
Scope = Literal["Public", "Restricted", "Private"]
Category = Literal[
    "Geo",
    "Met",
    "Safety",
    "Security",
    "Rescue",
    "Fire",
    "Health",
    "Env",
    "Transport",
    "Infra",
    "CBRNE",
    "Other",
]
Response = Literal["Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None"]
Urgency = Literal["Immediate", "Expected", "Future", "Past", "Unknown"]
Severity = Literal["Extreme", "Severe", "Moderate", "Minor", "Unknown"]
Certainty = Literal["Observed", "Likely", "Possible", "Unlikely", "Unknown"]

STATUSES: tuple[str, ...] = get_args(Status)
MESSAGE_TYPES: tuple[str, ...] = get_args(MessageType)
SCOPES: tuple[str, ...] = get_args(Scope)
CATEGORIES: tuple[str, ...] = get_args(Category)
RESPONSES: tuple[str, ...] = get_args(Response)
URGENCIES: tuple[str, ...] = get_args(Urgency)
SEVERITIES: tuple[str, ...] = get_args(Severity)
CERTAINTIES: tuple[str, ...] = get_args(Certainty)

Ring = tuple[tuple[float, float], ...]
"""The outline of a polygon, (lon, lat), its last point the first again."""


class Named(msgspec.Struct, frozen=True):
    """A valueName and its value: event codes, parameters, geocodes."""

    name: str
    value: str


class Reference(msgspec.Struct, frozen=True):
    """Another message: what an update or cancellation is about."""

    sender: str
    identifier: str
    sent: int


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A file that belongs to a message."""

    description: str
    mime_type: str
    size: int | None = None
    uri: str = ""
    deref_uri: str = ""
    digest: str = ""


class Circle(msgspec.Struct, frozen=True):
    """A circle on the ground."""

    lon: float
    lat: float
    radius_km: float


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message holds."""

    description: str
    polygons: tuple[Ring, ...] = ()
    circles: tuple[Circle, ...] = ()
    geocodes: tuple[Named, ...] = ()
    altitude: float | None = None
    """Feet above mean sea level, as the standard has it."""
    ceiling: float | None = None


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What a message says, in one language."""

    language: str = "en-US"
    categories: tuple[str, ...] = ("Other",)
    event: str = ""
    responses: tuple[str, ...] = ()
    urgency: str = "Unknown"
    severity: str = "Unknown"
    certainty: str = "Unknown"
    audience: str = ""
    event_codes: tuple[Named, ...] = ()
    effective: int | None = None
    onset: int | None = None
    expires: int | None = None
    sender_name: str = ""
    headline: str = ""
    description: str = ""
    instruction: str = ""
    web: str = ""
    contact: str = ""
    parameters: tuple[Named, ...] = ()
    resources: tuple[Resource, ...] = ()
    areas: tuple[Area, ...] = ()


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One message."""

    identifier: str
    sender: str
    sent: int
    status: str = "Actual"
    message_type: str = "Alert"
    """msgType."""
    source: str = ""
    scope: str = "Public"
    restriction: str = ""
    addresses: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    note: str = ""
    references: tuple[Reference, ...] = ()
    incidents: tuple[str, ...] = ()
    infos: tuple[Info, ...] = ()

    @property
    def reference(self) -> Reference:
        """How other messages refer to this one."""
        return Reference(self.sender, self.identifier, self.sent)

    @property
    def expires(self) -> int | None:
        """When the last of its information ends; None when one of them has no end."""
        ends = [info.expires for info in self.infos]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None
