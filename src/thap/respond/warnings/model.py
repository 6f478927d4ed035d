"""Warnings and their events as they leave this package: over HTTP and `centre.live.warning`. Times are µs UTC."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Warning", "WarningEvent", "WarningPage"]


class WarningEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of one warning."""

    id: int
    """Number of the step; grows in the order steps took effect."""
    warning: int
    action: str
    from_state: str
    to_state: str
    time: int
    by: str
    comment: str
    version: int
    """Of the warning, after the step."""
    headline: str
    """Vietnamese."""
    message_type: str
    status: str
    severity: str
    unit: str
    domain: str
    incident: int | None


class Warning(msgspec.Struct, frozen=True, kw_only=True):
    """One warning as it stands."""

    id: int
    series: int
    """The first of its chain; its own number where it is the first."""
    follows: int | None
    """The one it updates or cancels."""
    replaced_by: int | None
    """The one that updated or cancelled it."""
    incident: int | None
    message_type: str
    """Alert, Update or Cancel."""
    state: str
    unit: str
    """Code of the unit it is written for; '' is the province."""
    domain: str
    status: str
    """Actual, Exercise or Test."""
    severity: str
    """Extreme, Severe, Moderate, Minor or Unknown."""
    headline: str
    """Vietnamese."""
    draft: dict[str, Any]
    """What people wrote."""
    identifier: str
    """'' until it goes out."""
    sender: str
    sent: int | None
    expires: int | None
    digest: str
    """SHA-256 of the signed document."""
    created: int
    created_by: str
    submitted: int | None
    submitted_by: str
    decided: int | None
    """When it was approved or returned."""
    decided_by: str
    changed: int
    version: int


class WarningPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list, the newest first."""

    items: list[Warning]
    total: int
    next: str | None
    """Give it as `after` to get the next page; None on the last."""
