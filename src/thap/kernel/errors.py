"""Every error Tháp raises on purpose.

    ThapError                    anything below; carries code, HTTP status, where and what to do next
    ├── SettingsError            a setting is missing, unknown or out of bounds
    ├── InputError               a file, body or argument from outside cannot be read
    │   └── RuleError            a rule does not hold together
    ├── NotFoundError            the named thing does not exist
    ├── ConflictError            somebody else changed it first, or it exists already
    ├── DeniedError              the caller may not do this (403)
    │   └── UnauthenticatedError no or unknown credential (401)
    ├── BusyError                another centre holds this data directory, or a port is taken
    ├── UnavailableError         a part of the centre is not up (503)
    │   └── DiskFullError        there is no room to keep what was sent (503)
    └── CorruptError             stored data fails its own check

A message says what was wrong, `where` says in which line, field or record, `hint` says what to do.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ThapError(Exception):
    """Base of all deliberate errors.

    Args:
        message: what was wrong, one sentence, no trailing full stop.
        where: line, field, file or record it concerns, if any.
        hint: what the reader can do next, if anything.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = self.message if self.where is None else f"{self.where}: {self.message}"
        return text if self.hint is None else f"{text}. {self.hint}"

    def as_dict(self) -> dict[str, Any]:
        """The error as the API and `--json` show it: code, message, and where and hint if set."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.where is not None:
            body["where"] = self.where
        if self.hint is not None:
            body["hint"] = self.hint
        return body


class SettingsError(ThapError):
    code, status = "settings", 500


class InputError(ThapError):
    code, status = "bad_input", 400


class RuleError(InputError):
    code = "bad_rule"


class NotFoundError(ThapError):
    code, status = "not_found", 404


class ConflictError(ThapError):
    code, status = "conflict", 409


class DeniedError(ThapError):
    code, status = "denied", 403


class UnauthenticatedError(DeniedError):
    code, status = "unauthenticated", 401


class BusyError(ThapError):
    code, status = "busy", 409


class UnavailableError(ThapError):
    code, status = "unavailable", 503


class DiskFullError(UnavailableError):
    code = "disk_full"


class CorruptError(ThapError):
    code, status = "corrupt", 500
