"""What every change of people, units and restrictions has in common."""

from __future__ import annotations

import re
import unicodedata

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import now_us
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.policy.model import EVERYWHERE, LATEST_US
from thap.kernel.policy.records import policy_versions, units
from thap.kernel.units import PROVINCE_CODE

__all__ = ["begin_change", "clean_domain", "clean_email", "clean_phone", "clean_until", "clean_words", "known_unit"]

_DOMAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_EMAIL = re.compile(r"[^@\s<>,;:\"]{1,64}@[^@\s<>,;:\"]{1,189}")
_PHONE = re.compile(r"\+?[0-9][0-9 .()-]{2,30}")


async def begin_change(connection: AsyncConnection) -> None:
    """Count the policy's version up; other changes wait until this one's transaction ends.

    So two administrators who take each other's role at once do not both succeed.
    """
    count_up = sa.update(policy_versions).values(version=policy_versions.c.version + 1)
    if (await connection.execute(count_up)).rowcount:
        return
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(0x7470_6F6C)))  # "tpol"
        if (await connection.execute(count_up)).rowcount:
            return
    await connection.execute(sa.insert(policy_versions).values(id=1, version=1))


async def known_unit(connection: AsyncConnection, code: str, where: str = "unit") -> str:
    """The code of a unit there is; `''` is the province.

    Raises:
        NotFoundError: there is none.
    """
    wanted = PROVINCE_CODE if code in EVERYWHERE else code
    found = await connection.scalar(sa.select(units.c.code).where(units.c.code == _asked(wanted, 32, where)))
    if found is None:
        raise NotFoundError(f"there is no unit {code!r}", where=where, hint="`thap units list` shows those there are")
    return str(found)


def _asked(text: str, length: int, where: str) -> str:
    """What databases can be asked for; they stumble over NUL and lone surrogates."""
    if len(text) > length or "\x00" in text or not text.isprintable():
        raise InputError(f"at most {length} printable characters are possible here", where=where)
    return text


def clean_words(text: str, length: int, where: str) -> str:
    """A name or reason on one line, composed letters.

    Raises:
        InputError: it is too long or holds characters that do not show.
    """
    words = " ".join(unicodedata.normalize("NFC", text).split())
    return _asked(words, length, where)


def clean_domain(text: str) -> str:
    """A domain's name, `''` for all.

    Raises:
        InputError: it is none.
    """
    if text and not _DOMAIN.fullmatch(text):
        raise InputError(f"{text[:64]!r} is not a name of a domain", where="domain", hint="as sand or water")
    return text


def clean_email(text: str) -> str:
    """An address, `''` for none.

    Raises:
        InputError: it is none.
    """
    text = text.strip()
    if text and (len(text) > 254 or not _EMAIL.fullmatch(text) or not text.isprintable()):
        raise InputError(f"{text[:64]!r} is not an e-mail address", where="email", hint="as truc-ban@so.example")
    return text


def clean_phone(text: str) -> str:
    """A telephone number, `''` for none.

    Raises:
        InputError: it is none.
    """
    text = text.strip()
    if text and not _PHONE.fullmatch(text):
        raise InputError(f"{text[:64]!r} is not a telephone number", where="phone", hint="as +84 277 000 000")
    return text


def clean_until(until: int | None) -> int | None:
    """A moment to come, None for no end.

    Raises:
        InputError: it has passed, or lies beyond all calendars.
    """
    if until is not None and not now_us() < until <= LATEST_US:
        raise InputError("it must end in the future, before the year 9892", where="until")
    return until
