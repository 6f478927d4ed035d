"""Credentials of cameras: encrypted at rest, opened at one place.

The key is the setting `cameras.key`, else a file of mode 0600 in the run folder, made at first use. `Vault.open` is
called where a stream is opened and nowhere else; what it gives is never logged, answered or written.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from thap.kernel.errors import CorruptError, SettingsError
from thap.kernel.settings import Settings

__all__ = ["Vault"]


class Vault:
    """Seals and opens small secrets (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, settings: Settings) -> None:
        self._given = settings.cameras.key
        self._path = settings.run_dir / "cameras.key"

    def seal(self, user: str, password: str) -> str:
        """Credentials as they are kept; '' for none."""
        if not user and not password:
            return ""
        return self.seal_text(json.dumps([user, password]))

    def open(self, sealed: str) -> tuple[str, str]:
        """User and password; both '' for none.

        Raises:
            CorruptError: they were sealed with another key.
        """
        if not sealed:
            return "", ""
        user, password = json.loads(self.open_text(sealed))
        return str(user), str(password)

    def seal_text(self, text: str) -> str:
        """A text, sealed."""
        from cryptography.fernet import Fernet

        return Fernet(self._key()).encrypt(text.encode()).decode()

    def open_text(self, sealed: str) -> str:
        """The text.

        Raises:
            CorruptError: it was sealed with another key.
        """
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return Fernet(self._key()).decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise CorruptError(
                "the credentials cannot be opened with this key",
                where=str(self._path),
                hint="restore the key from a backup, or give the credentials again",
            ) from None

    def derive(self, purpose: str) -> bytes:
        """A key for one purpose, 32 bytes, from which this one cannot be found."""
        import hashlib
        import hmac

        return hmac.new(self._key(), purpose.encode(), hashlib.sha256).digest()

    def _key(self) -> bytes:
        if self._given is not None and (text := self._given.get_secret_value()):
            return _checked(text.encode(), "cameras.key")
        try:
            return _checked(self._path.read_bytes().strip(), str(self._path))
        except FileNotFoundError:
            return self._made()

    def _made(self) -> bytes:
        from cryptography.fernet import Fernet

        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_name(f"cameras.key.{os.getpid()}")
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, self._path)  # whoever is first wins: two makers must not have two keys
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return self._path.read_bytes().strip()


def _checked(key: bytes, where: str | Path) -> bytes:
    import base64
    import binascii

    try:
        if len(base64.urlsafe_b64decode(key)) == 32:
            return key
    except (binascii.Error, ValueError):
        pass
    raise SettingsError(
        "the key of camera credentials is not 32 bytes in URL-safe base64",
        where=str(where),
        hint='make one: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"',
    )
