"""Sessions of browsers: kept here, so that they can be listed and ended; a cookie holds nothing but a random secret.

A session is a person's, or a token's (whoever opened the centre's link). It ends when it is idle or old, when it is
signed out or revoked, when its person is disabled or gets a new password, when its token is revoked.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, now_us
from thap.kernel.errors import NotFoundError
from thap.kernel.records import Records, metadata
from thap.kernel.settings import SignInSettings

__all__ = ["Session", "Sessions", "csrf_token", "end_sessions", "sessions"]

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),  # SHA-256 of the secret
    sa.Column("person_id", sa.BigInteger),  # NULL for a token's
    sa.Column("token", sa.String(64), nullable=False),  # name; '' for a person's
    sa.Column("method", sa.String(64), nullable=False),  # password, code, link, token, oidc:NAME
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("agent", sa.String(200), nullable=False),
    sa.Column("ended", sa.BigInteger),
    sa.Column("ended_why", sa.String(40), nullable=False, server_default=""),
    sa.Index("ix_sessions_person_id_ended", "person_id", "ended"),
    sa.Index("ix_sessions_expires", "expires"),
    sqlite_autoincrement=True,
)

_FRESH_S = 5.0
_SEEN_US = MINUTE_US
_KEPT_US = 90 * DAY_US
"""How long an ended session stays listed."""
_CACHE = 10_000
_TOKEN_US = 30 * DAY_US
"""How long a session lasts that began with a token: screens on walls have no idle time."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session in force."""

    id: int
    person_id: int | None
    token: str
    method: str
    created: int
    seen: int
    expires: int
    address: str
    agent: str

    def as_dict(self) -> dict[str, Any]:
        """The session as its owner sees it."""
        return {
            "id": self.id,
            "method": self.method,
            "created": self.created,
            "seen": self.seen,
            "expires": self.expires,
            "address": self.address,
            "agent": self.agent,
        }


def csrf_token(secret: str) -> str:
    """What a change must carry besides the cookie; only who has the session's secret can know it."""
    return hmac.new(secret.encode(), b"thap csrf", hashlib.sha256).hexdigest()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


_COLUMNS = [sessions.c[name] for name in Session.__slots__]


class Sessions:
    """Starts, checks and ends sessions for one process.

    A session checked a moment ago is not read again for five seconds; call `changed()` on the announcement
    `centre.live.sessions`, and an ended one is refused at once.
    """

    def __init__(self, records: Records, settings: SignInSettings) -> None:
        self._records = records
        self._idle_us = round(settings.idle_hours * HOUR_US)
        self._longest_us = round(settings.longest_hours * HOUR_US)
        self._known: OrderedDict[str, tuple[float, Session]] = OrderedDict()
        self._seen: dict[int, int] = {}

    def changed(self) -> None:
        """Read every session again at its next check."""
        self._known.clear()

    async def start(
        self,
        connection: AsyncConnection,
        *,
        person_id: int | None = None,
        token: str = "",
        method: str,
        address: str = "",
        agent: str = "",
        until: int | None = None,
    ) -> tuple[Session, str]:
        """A new session with its secret, which goes into the cookie and nowhere else.

        Args:
            connection: in a write transaction.
            person_id: whose; None for a token's.
            token: name of the token; '' for a person's.
            method: how it began.
            address: where from.
            agent: what the browser calls itself.
            until: moment at which it ends at the latest, µs.
        """
        secret, now = secrets.token_urlsafe(32), now_us()
        expires = now + (self._longest_us if person_id is not None else _TOKEN_US)
        values: dict[str, Any] = {
            "person_id": person_id,
            "token": token,
            "method": method[:64],
            "created": now,
            "seen": now,
            "expires": min(expires, until) if until is not None else expires,
            "address": address[:64],
            "agent": agent[:200],
        }
        await connection.execute(sa.delete(sessions).where(sessions.c.expires < now - _KEPT_US))
        made = await connection.execute(sa.insert(sessions).values(hash=_hash(secret), **values))
        key = made.inserted_primary_key
        assert key is not None
        return Session(id=int(key[0]), **values), secret

    async def check(self, secret: str) -> Session | None:
        """The session in force with this secret, None where there is none."""
        key, now = _hash(secret), now_us()
        kept = self._known.get(key)
        if kept is None or time.monotonic() - kept[0] > _FRESH_S:
            session = await self._read(key)
            if session is None:
                self._known.pop(key, None)
                return None
            kept = self._known[key] = (time.monotonic(), session)
            self._known.move_to_end(key)
            while len(self._known) > _CACHE:
                self._known.popitem(last=False)
        session = kept[1]
        seen = max(session.seen, self._seen.get(session.id, 0))
        if session.expires <= now or (session.person_id is not None and seen + self._idle_us <= now):
            return None
        if now - seen > _SEEN_US:
            self._seen[session.id] = now
        return replace(session, seen=max(seen, self._seen.get(session.id, 0)))

    async def flush(self) -> None:
        """Write down when sessions were last used; call it every few seconds and at the end."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        async with self._records.write() as connection:
            await connection.execute(
                sa.update(sessions)
                .where(sessions.c.id == sa.bindparam("of"), sessions.c.seen < sa.bindparam("now"))
                .values(seen=sa.bindparam("now")),
                [{"of": number, "now": now} for number, now in seen.items()],
            )
        self.changed()

    async def of_person(self, person_id: int) -> list[Session]:
        """A person's sessions in force, the last used first."""
        await self.flush()
        now = now_us()
        async with self._records.read() as connection:
            rows = await connection.execute(
                sa.select(*_COLUMNS)
                .where(
                    sessions.c.person_id == person_id,
                    sessions.c.ended.is_(None),
                    sessions.c.expires > now,
                    sessions.c.seen > now - self._idle_us,
                )
                .order_by(sessions.c.seen.desc(), sessions.c.id.desc())
                .limit(500)
            )
            return [Session(*row) for row in rows]

    async def end(self, number: int, why: str, *, person_id: int | None = None) -> None:
        """End one session, of this person if one is given.

        Raises:
            NotFoundError: it is not in force.
        """
        where = (sessions.c.id == number) & sessions.c.ended.is_(None)
        if person_id is not None:
            where &= sessions.c.person_id == person_id
        async with self._records.write() as connection:
            done = await connection.execute(sa.update(sessions).where(where).values(ended=now_us(), ended_why=why))
            if done.rowcount == 0:
                raise NotFoundError("no such session is in force", hint="/api/v1/session/all lists yours")
        self.changed()

    async def in_force(self, number: int) -> bool:
        """Whether this session has neither ended nor expired."""
        async with self._records.read() as connection:
            where = (sessions.c.id == number) & sessions.c.ended.is_(None) & (sessions.c.expires > now_us())
            return await connection.scalar(sa.select(sessions.c.id).where(where)) is not None

    async def _read(self, key: str) -> Session | None:
        async with self._records.read() as connection:
            row = (
                await connection.execute(sa.select(*_COLUMNS).where(sessions.c.hash == key, sessions.c.ended.is_(None)))
            ).first()
        return None if row is None else Session(*row)


async def end_sessions(connection: AsyncConnection, person_id: int, why: str, *, keep: int | None = None) -> int:
    """End all sessions of a person but `keep`; gives how many. Announce `centre.live.sessions` afterwards.

    Args:
        connection: in a write transaction.
        person_id: whose.
        why: as listed, at most 40 characters.
        keep: number of the session that goes on.
    """
    where = (sessions.c.person_id == person_id) & sessions.c.ended.is_(None)
    if keep is not None:
        where &= sessions.c.id != keep
    done = await connection.execute(sa.update(sessions).where(where).values(ended=now_us(), ended_why=why))
    return done.rowcount
