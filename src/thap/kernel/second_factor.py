"""The second factor: codes of an authenticator (TOTP, RFC 6238: 6 digits, 30 seconds), and recovery codes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

import pyotp

__all__ = ["accepted_step", "new_codes", "new_secret", "otpauth_uri", "qr_picture", "recovery_hash"]

_STEP_S = 30
_SLACK = 1
"""Codes of the step before and the step after are taken too: clocks of telephones differ (RFC 6238, 5.2)."""
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_CODES = 10


def new_secret() -> str:
    """160 random bits in base 32, as RFC 4226 recommends."""
    return pyotp.random_base32(32)


def otpauth_uri(secret: str, login: str, issuer: str) -> str:
    """What an authenticator reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=issuer)


def qr_picture(text: str) -> str:
    """A square picture of a text, as data:image/svg+xml."""
    import segno  # seldom used, and slow to load

    return str(segno.make(text, error="m").svg_data_uri(scale=4, border=3, dark="#000", light="#fff"))


def accepted_step(secret: str, code: str, after: int) -> int | None:
    """The time step whose code this is, None if it is none of now, or not later than `after`, the last one taken."""
    digits = "".join(code.split())
    if len(digits) != 6 or not digits.isascii() or not digits.isdigit():
        return None
    now, maker, found = int(time.time()) // _STEP_S, pyotp.TOTP(secret), None
    for step in range(now - _SLACK, now + _SLACK + 1):
        if hmac.compare_digest(maker.at(step * _STEP_S), digits) and step > after:
            found = step
    return found


def new_codes() -> list[str]:
    """Recovery codes: for the day the telephone is lost; each is good once."""
    return ["-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(3)) for _ in range(_CODES)]


def recovery_hash(code: str) -> str:
    """What is kept of a recovery code: 74 random bits need no slow hash."""
    plain = "".join(character for character in code.lower() if character.isalnum())
    return hashlib.sha256(f"recovery:{plain}".encode("utf-8", "surrogatepass")).hexdigest()
