"""Passwords: what makes one good enough, and how it is kept (argon2id, parameters of RFC 9106's second choice)."""

from __future__ import annotations

import asyncio
import unicodedata
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise

import argon2

from thap.kernel.errors import InputError

__all__ = ["check_rules", "hash_password", "is_right", "needs_new_hash"]

LEAST = 10
"""Characters a password must have."""
MOST = 200
"""Characters a password may have; beyond, hashing it would be work for nothing."""

_hasher = argon2.PasswordHasher()
_at_once: dict[int, asyncio.Semaphore] = {}


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    text = (files("thap.kernel") / "common_passwords.txt").read_text("utf-8")
    return frozenset(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


@lru_cache(maxsize=1)
def _nobodys() -> str:
    """A hash that takes as long as a real one, for logins that do not exist."""
    return _hasher.hash("nobody has this password")


def _clean(password: str) -> str:
    """One spelling for what keyboards spell in two: Vietnamese letters come composed or with marks apart."""
    return unicodedata.normalize("NFC", password)


def check_rules(password: str, login: str) -> None:
    """Whether a new password will do.

    Raises:
        InputError: it is too short or long, holds the login, or is one of the first that are guessed.
    """
    text = _clean(password)
    plain = text.casefold()
    problem = ""
    if len(text) < LEAST:
        problem = f"a password must have at least {LEAST} characters"
    elif len(text) > MOST:
        problem = f"a password may have at most {MOST} characters"
    elif "\x00" in text:
        problem = "a password may not hold a NUL"
    elif login and len(login) > 2 and login.casefold() in plain:
        problem = "a password may not hold the login"
    elif plain in _common() or plain.rstrip("0123456789!@#.") in _common() or len(set(plain)) < 4 or _is_run(plain):
        problem = "this password is one of the first that are guessed"
    if problem:
        raise InputError(problem, where="password", hint="several words in a row are good and easy to remember")


def _is_run(text: str) -> bool:
    """Whether each character follows the one before it, as 1234567890 or abcdefghij."""
    steps = {(ord(after) - ord(before)) for before, after in pairwise(text)}
    return len(steps) == 1 or text in ("1234567890", "0987654321")


async def hash_password(password: str) -> str:
    """The hash to keep."""
    async with _turn():
        return await asyncio.to_thread(_hasher.hash, _clean(password))


async def is_right(kept: str | None, password: str) -> bool:
    """Whether the password is the kept one; takes as long where nothing is kept."""
    if len(password) > MOST:
        return False
    async with _turn():
        return await asyncio.to_thread(_verify, kept or _nobodys(), _clean(password)) and kept is not None


def needs_new_hash(kept: str) -> bool:
    """Whether it was hashed with weaker parameters than are used now."""
    return _hasher.check_needs_rehash(kept)


def _verify(kept: str, password: str) -> bool:
    try:
        return _hasher.verify(kept, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError, UnicodeEncodeError):
        return False


def _turn() -> asyncio.Semaphore:
    """Each hashing takes 64 MiB: few at once in one process."""
    loop = id(asyncio.get_running_loop())
    if loop not in _at_once:
        _at_once.clear()
        _at_once[loop] = asyncio.Semaphore(2)
    return _at_once[loop]
