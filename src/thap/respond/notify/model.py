"""What a notice is, and to whom it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Address", "Duty", "Notice", "Person", "Recipient"]


@dataclass(frozen=True, slots=True)
class Person:
    """One person, on the channels they chose."""

    login: str


@dataclass(frozen=True, slots=True)
class Duty:
    """Whoever is on duty when the notice is sent out. Where nobody is who can be told: who has the role there, else
    anybody on duty there, else the same of the province."""

    unit: str
    """Code of the unit; '' is the province."""
    role: str = ""
    """Role of the roster; '' is any."""


@dataclass(frozen=True, slots=True)
class Address:
    """Somebody, or something, that is no person of the centre."""

    url: str
    """`channel:address` with a channel of the settings, as `email:ai@example.org`, or an Apprise URL."""
    language: str = "vi"


Recipient = Person | Duty | Address


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell.

    Its words stand in `messages/notices.vi.toml` and `notices.en.toml` of the package that sends it (the
    packages are named in `thap.respond.notify.wording.PACKAGES`), under the name of the template.
    """

    to: Recipient
    template: str
    """Name of the words, as `task.late`."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """What the words speak of: JSON-able values. `url`, where given, is where to read on."""
    incident: int | None = None
    dedup: str = ""
    """Notices of one key to one recipient within half an hour are one; '' never is."""
    urgent: bool = False
    """Goes out in quiet hours too."""
