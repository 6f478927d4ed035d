"""Against guessing: after some failures an account, and an address, waits; each further failure doubles the wait.

A try is taken before the password is looked at, so a hundred guesses at once are a hundred tries. Accounts that
do not exist are counted alike, so a wait says nothing about whether a login exists.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import SECOND_US, now_us
from thap.kernel.errors import DeniedError
from thap.kernel.records import metadata

__all__ = ["Lockout", "TooManyTriesError", "prune_failures", "sign_in_failures"]

sign_in_failures = sa.Table(
    "sign_in_failures",
    metadata,
    sa.Column("key", sa.String(80), primary_key=True),  # "login:" or "address:" and a hash
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failed", sa.BigInteger, nullable=False),  # µs, the last
    sa.Column("until", sa.BigInteger, nullable=False),  # µs, waits until; 0 for not
    sa.Index("ix_sign_in_failures_failed", "failed"),
)

_FORGET_US = 24 * 3600 * SECOND_US
_ADDRESS_TRIES = 6
"""An address may fail so many times as often as an account: offices share one."""


class TooManyTriesError(DeniedError):
    """Too many failures; `wait_s` says how long until the next try counts (429)."""

    code: ClassVar[str] = "too_many_tries"
    status: ClassVar[int] = 429

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            "too many failed tries", hint=f"wait {wait_s} seconds, or ask an administrator for a one-time link"
        )
        self.wait_s = wait_s


class Lockout:
    """Counts failures per account and per address.

    Args:
        tries: failures an account has free.
        first_s: the first wait.
        most_s: the longest.
    """

    def __init__(self, tries: int, first_s: float, most_s: float) -> None:
        self._tries, self._first_us, self._most_us = tries, round(first_s * SECOND_US), round(most_s * SECOND_US)

    async def take(self, connection: AsyncConnection, login: str, address: str) -> bool:
        """Count a try as failed until `give_back` says otherwise; gives whether it was the last before a wait.

        Raises:
            TooManyTriesError: a wait is not over.
        """
        now = now_us()
        kept = {key: await _read(connection, key) for key in self._keys(login, address)}
        waits = [min(until - now, self._most_us) for _, failed, until in kept.values() if until > now]
        if waits:
            raise TooManyTriesError(max(1, -(-max(waits) // SECOND_US)))
        last = False
        for (key, free), (failures, failed, _) in zip(self._keys(login, address).items(), kept.values(), strict=True):
            count = failures + 1 if abs(now - failed) < _FORGET_US else 1
            wait = min(self._first_us * 2 ** min(count - free, 30), self._most_us) if count >= free else 0
            last = last or wait > 0
            await _write(connection, key, count, now, now + wait if wait else 0)
        return last

    async def give_back(self, connection: AsyncConnection, login: str, address: str, *, forget: bool) -> None:
        """The try was none of a guesser.

        Args:
            connection: in a write transaction.
            login: as given to `take`.
            address: as given to `take`.
            forget: whether the account's earlier failures are forgotten too. An address keeps its own: or else
                whoever has an account could guess at others for ever.
        """
        for key in self._keys(login, address):
            failures, failed, _ = await _read(connection, key)
            if failures <= 1 or (forget and key.startswith("login:")):
                await connection.execute(sa.delete(sign_in_failures).where(sign_in_failures.c.key == key))
            else:
                await _write(connection, key, failures - 1, failed, 0)

    def _keys(self, login: str, address: str) -> dict[str, int]:
        """What is counted, with the failures each has free."""
        keys = {_key("login", login.casefold()): self._tries}
        if address:
            keys[_key("address", _network(address))] = self._tries * _ADDRESS_TRIES
        return keys


def _key(kind: str, text: str) -> str:
    return f"{kind}:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _network(address: str) -> str:
    """An IPv6 host has a whole /64 to itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{found}/64", strict=False)) if found.version == 6 else str(found)


async def _read(connection: AsyncConnection, key: str) -> tuple[int, int, int]:
    """Failures, the last and the end of the wait of a key, whose row is there and locked afterwards."""
    fresh = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    c = sign_in_failures.c
    # In one statement: between two, another who signs in might forget the row.
    statement = (
        fresh(sign_in_failures)
        .values(key=key, failures=0, failed=0, until=0)
        .on_conflict_do_update(index_elements=["key"], set_={"failures": c.failures})
        .returning(c.failures, c.failed, c.until)
    )
    found = (await connection.execute(statement)).one()
    return (found[0], found[1], found[2])


async def _write(connection: AsyncConnection, key: str, failures: int, failed: int, until: int) -> None:
    await connection.execute(
        sa.update(sign_in_failures)
        .where(sign_in_failures.c.key == key)
        .values(failures=failures, failed=failed, until=until)
    )


async def prune_failures(connection: AsyncConnection) -> None:
    """Forget failures older than a day."""
    await connection.execute(sa.delete(sign_in_failures).where(sign_in_failures.c.failed < now_us() - _FORGET_US))
