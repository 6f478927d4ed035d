"""Signed links to acknowledge with: they say for whom and for what, hold for a time, and do one thing."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from thap.kernel.errors import InputError
from thap.kernel.settings import Settings

__all__ = ["ExpiredLinkError", "Links", "Purpose"]

_SALT = "thap.acknowledge"


class ExpiredLinkError(InputError):
    """The link was good, and is no longer."""

    code, status = "expired", 410


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a link is for."""

    incident: int
    escalation: int
    login: str


class Links:
    """Makes and reads the links of one centre. The secret lies in the run directory, made at first use; when it is
    lost, links sent before hold no longer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._serializer: URLSafeTimedSerializer | None = None

    def make(self, purpose: Purpose) -> str:
        """The link's path."""
        return f"/a/{self._signer().dumps([purpose.incident, purpose.escalation, purpose.login])}"

    def read(self, token: str) -> Purpose:
        """What a link is for.

        Raises:
            ExpiredLinkError: it held once.
            InputError: it is none of this centre's, or was changed.
        """
        if len(token) > 500:
            raise InputError("this is no link of the centre")
        try:
            incident, escalation, login = self._signer().loads(
                token, max_age=round(self._settings.notify.link_hours * 3600)
            )
            return Purpose(int(incident), int(escalation), str(login))
        except SignatureExpired as error:
            raise ExpiredLinkError("this link holds no longer") from error
        except (BadSignature, ValueError, TypeError) as error:
            raise InputError("this is no link of the centre") from error

    def _signer(self) -> URLSafeTimedSerializer:
        if self._serializer is None:
            self._serializer = URLSafeTimedSerializer(_secret(self._settings.run_dir / "links.secret"), salt=_SALT)
        return self._serializer


def _secret(path: Path) -> str:
    """The secret in a file, made whole or not at all: two processes that begin together get the same."""
    for _ in range(50):
        try:
            found = path.read_text("ascii").strip()
            if found:
                return found
        except FileNotFoundError:
            pass
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            time.sleep(0.01)
        finally:
            draft.unlink()
    raise InputError("the file of the links' secret is empty", where=str(path), hint="remove it; old links then end")
