"""Tokens: the credentials of doors and API. There is no default password anywhere.

A token is 256 random bits, shown once when it is made and kept only as a hash:

| kind   | used as                                      | kept as                                          |
|--------|----------------------------------------------|--------------------------------------------------|
| `api`  | `Authorization: Bearer …` of HTTP doors, API | SHA-256: a random secret needs no slow hash      |
| `mqtt` | user = the token's name, password = secret   | bcrypt, because nats-server checks it, at cost 4 |

Besides those in the records there is one *local* token, written anew into `run/centre.json` at each start
of a centre: whoever may read that file administers the centre.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import bcrypt
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError, UnauthenticatedError
from thap.kernel.nats import INTERNAL_USER, MqttUser
from thap.kernel.records import Records, metadata

__all__ = [
    "LOCAL",
    "SCOPES",
    "Token",
    "Tokens",
    "create_token",
    "granted",
    "list_tokens",
    "mqtt_users",
    "revoke_token",
    "tokens",
]

SCOPES: dict[str, frozenset[str]] = {
    "read": frozenset({"read"}),
    "operate": frozenset({"operate", "read"}),
    "write": frozenset({"write"}),
    "admin": frozenset({"admin", "operate", "read", "write"}),
}
"""Each scope with what it grants: `read` everything shown, `operate` also acknowledge, shelve and admit,
`write` send records and nothing else, `admin` all of these and tokens."""

LOCAL = "local"
"""Name of the local administrator's token."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_FRESH_S = 30.0

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(8), nullable=False),  # api or mqtt
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("things", sa.JSON, nullable=False),  # patterns of what it may write; [] for all
    sa.Column("hash", sa.String(80), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("expires", sa.BigInteger),  # µs
    sa.Column("revoked", sa.BigInteger),  # µs
    sa.Column("last_used", sa.BigInteger),  # µs
    sa.Column("requests", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("accepted", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("refused", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("unit", sa.String(32), nullable=False, server_default=""),  # its scopes hold within; '' everywhere
    sa.Column("domain", sa.String(32), nullable=False, server_default=""),
)
# A revoked token stays listed, and its name may be given again.
sa.Index(
    "uq_tokens_name_live",
    tokens.c.name,
    unique=True,
    sqlite_where=tokens.c.revoked.is_(None),
    postgresql_where=tokens.c.revoked.is_(None),
)


@lru_cache(maxsize=256)
def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern) for pattern in patterns))


@dataclass(frozen=True, slots=True)
class Token:
    """A credential as it is known after checking; the secret is not in it."""

    name: str
    kind: Literal["api", "mqtt"]
    scopes: frozenset[str]
    """As granted, implied scopes included."""
    things: tuple[str, ...] = ()
    """Patterns (`*`, `?`, `[…]`) of the things and movers it may write; none means all. A pattern with a
    slash is held against the whole datastream key."""
    created: int = 0
    created_by: str = ""
    expires: int | None = None
    revoked: int | None = None
    last_used: int | None = None
    requests: int = 0
    accepted: int = 0
    """Records taken."""
    refused: int = 0
    """Records refused."""
    digest: bytes = field(default=b"", repr=False)
    unit: str = ""
    """Unit within which its scopes hold; '' everywhere."""
    domain: str = ""
    """Domain within which its scopes hold; '' in all."""

    def may_write(self, key: str) -> bool:
        """Whether it may send records of this datastream (`thing/name`) or mover."""
        if not self.things:
            return True
        matches = _matcher(self.things).match
        return matches(key) is not None or matches(key.partition("/")[0]) is not None

    def live(self, now: int) -> bool:
        """Whether it is neither revoked nor expired at `now`, µs."""
        return self.revoked is None and (self.expires is None or self.expires > now)

    def as_dict(self) -> dict[str, Any]:
        """The token as API and `--json` show it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "scopes": sorted(self.scopes),
            "things": list(self.things),
            "unit": self.unit,
            "domain": self.domain,
            "created": self.created,
            "created_by": self.created_by,
            "expires": self.expires,
            "revoked": self.revoked,
            "last_used": self.last_used,
            "requests": self.requests,
            "accepted": self.accepted,
            "refused": self.refused,
        }


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes with all that they imply.

    Raises:
        InputError: one of them does not exist.
    """
    wanted = list(scopes)
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise InputError(
            f"{unknown[0]!r} is not a scope" if unknown else "no scope given",
            where="scopes",
            hint=f"choose of {', '.join(SCOPES)}",
        )
    return frozenset().union(*(SCOPES[scope] for scope in wanted))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _check_request(name: str, kind: str, scopes: frozenset[str], things: tuple[str, ...], expires: int | None) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is not a name for a token", where="name", hint="use letters, digits and . _ @ -, at most 64"
        )
    if name in (LOCAL, INTERNAL_USER):
        raise ConflictError(f"the name {name!r} belongs to the centre itself", where="name", hint="choose another name")
    if kind not in ("api", "mqtt"):
        raise InputError(f"{kind!r} is not a kind of token", where="kind", hint="choose api or mqtt")
    if any(not pattern or len(pattern) > 257 for pattern in things):
        raise InputError("a pattern of things must have 1 to 257 characters", where="things")
    if kind == "mqtt" and scopes != SCOPES["write"]:
        raise InputError("an MQTT account can only write", where="scopes", hint="give it the scope write alone")
    if kind == "mqtt" and any(character in pattern for pattern in things for character in "*?[/ >"):
        raise InputError(
            "an MQTT account is limited by whole names, not by patterns",
            where="things",
            hint="name each thing: nats-server enforces the limit and compares whole topic levels",
        )
    if expires is not None and expires <= now_us():
        raise InputError("it would have expired already", where="expires")


def _check_limits(scopes: frozenset[str], unit: str, domain: str) -> None:
    if len(unit) > 32 or len(domain) > 32:
        raise InputError("a unit or domain has at most 32 characters", where="unit")
    if (unit or domain) and "admin" in scopes:
        raise InputError(
            "an administrator's token cannot be limited to a unit or domain",
            where="scopes",
            hint="give it the scope operate or read",
        )


async def create_token(
    connection: AsyncConnection,
    name: str,
    scopes: Iterable[str],
    *,
    kind: Literal["api", "mqtt"] = "api",
    things: Iterable[str] = (),
    expires: int | None = None,
    created_by: str = "",
    unit: str = "",
    domain: str = "",
) -> tuple[Token, str]:
    """Make a token; returns it with its secret, which is never shown again.

    Args:
        connection: in a write transaction.
        name: unique among tokens not revoked; also the user name of an MQTT account.
        scopes: of `SCOPES`.
        kind: `api` or `mqtt`.
        things: patterns of what it may write; whole names for an MQTT account.
        expires: moment, µs; None never.
        created_by: name of the caller's token.
        unit: code of the unit within which the scopes hold; '' everywhere.
        domain: the domain within which they hold; '' in all.

    Raises:
        InputError: an argument does not hold.
        ConflictError: a token of this name exists.
    """
    grant, patterns = granted(scopes), tuple(things)
    _check_request(name, kind, grant, patterns, expires)
    _check_limits(grant, unit, domain)
    secret = secrets.token_urlsafe(32)
    kept = bcrypt.hashpw(secret.encode(), bcrypt.gensalt(4)).decode() if kind == "mqtt" else _digest(secret).hex()
    stamp = now_us()
    try:
        await connection.execute(
            sa.insert(tokens).values(
                name=name,
                kind=kind,
                scopes=sorted(grant),
                things=list(patterns),
                hash=kept,
                created=stamp,
                created_by=created_by,
                expires=expires,
                unit=unit,
                domain=domain,
            )
        )
    except IntegrityError:
        raise ConflictError(
            f"a token named {name!r} exists", where="name", hint="revoke it first or choose another name"
        ) from None
    made = Token(name, kind, grant, patterns, stamp, created_by, expires, unit=unit, domain=domain)
    return made, secret


async def revoke_token(connection: AsyncConnection, name: str) -> Token:
    """Revoke the token of this name; it stays listed.

    Raises:
        NotFoundError: no token of this name is in force.
    """
    where = (tokens.c.name == name) & tokens.c.revoked.is_(None)
    row = (await connection.execute(sa.select(tokens).where(where))).mappings().first()
    if row is None:
        raise NotFoundError(f"no token named {name!r} is in force", hint="`thap tokens list` shows them")
    stamp = now_us()
    await connection.execute(sa.update(tokens).where(tokens.c.id == row["id"]).values(revoked=stamp))
    return _token({**row, "revoked": stamp})


async def list_tokens(connection: AsyncConnection, *, revoked: bool = False) -> list[Token]:
    """All tokens by name, revoked ones only if asked for."""
    statement = sa.select(tokens).order_by(tokens.c.name, tokens.c.id)
    if not revoked:
        statement = statement.where(tokens.c.revoked.is_(None))
    return [_token(row) for row in (await connection.execute(statement)).mappings()]


async def mqtt_users(connection: AsyncConnection) -> list[MqttUser]:
    """The accounts nats-server shall accept now: MQTT tokens neither revoked nor expired."""
    now = now_us()
    statement = (
        sa.select(tokens)
        .where(
            tokens.c.kind == "mqtt", tokens.c.revoked.is_(None), tokens.c.expires.is_(None) | (tokens.c.expires > now)
        )
        .order_by(tokens.c.id)
    )
    return [
        MqttUser(row["name"], row["hash"], _subjects(row["things"]))
        for row in (await connection.execute(statement)).mappings()
    ]


def _subjects(things: list[str]) -> tuple[str, ...]:
    """What an account may publish. nats-server spells a dot within an MQTT topic level as two slashes."""
    if not things:
        return ("thap.v1.>",)
    return tuple(f"thap.v1.{thing.replace('.', '//')}.>" for thing in things)


def _token(row: Any) -> Token:
    digest = bytes.fromhex(row["hash"]) if row["kind"] == "api" else row["hash"].encode()
    return Token(
        row["name"],
        row["kind"],
        granted(row["scopes"]),
        tuple(row["things"]),
        row["created"],
        row["created_by"],
        row["expires"],
        row["revoked"],
        row["last_used"],
        row["requests"],
        row["accepted"],
        row["refused"],
        digest,
        row["unit"],
        row["domain"],
    )


class Tokens:
    """Checks secrets for one process, without a statement for each.

    Tokens are read at first use, again after `changed()` (call it on the announcement `centre.live.tokens`),
    and in any case every 30 seconds.

    Args:
        records: where tokens are kept.
        run_file: `run/centre.json`, whose `token` is the local administrator's; None for none.
    """

    def __init__(self, records: Records, run_file: Path | None = None) -> None:
        self._records = records
        self._run_file = run_file
        self._by_digest: dict[bytes, Token] = {}
        self._by_name: dict[str, Token] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._changes = 0
        self._run_stamp = (0, 0)
        self._local: Token | None = None
        self._used: dict[str, list[int]] = {}

    def changed(self) -> None:
        """Read the tokens again at the next check."""
        self._changes += 1
        self._read_at = float("-inf")

    async def check(self, secret: str) -> Token:
        """The API token with this secret.

        Looked up by its SHA-256, so the time taken says nothing about secrets that exist.

        Raises:
            UnauthenticatedError: there is none, or it is revoked or expired; the message says which.
        """
        await self._refresh()
        digest = _digest(secret)
        token = self._by_digest.get(digest) or self._local_token()
        if token is None or not hmac.compare_digest(token.digest, digest):
            raise UnauthenticatedError("this token is not known, or was revoked", hint="`thap tokens create` makes one")
        return self._in_force(token)

    async def named(self, name: str) -> Token | None:
        """The API token in force of this name, the local one included."""
        await self._refresh()
        token = self._local_token() if name == LOCAL else self._by_name.get(name)
        return token if token is not None and token.live(now_us()) else None

    def count(self, token: Token, *, accepted: int = 0, refused: int = 0) -> None:
        """Count a request and its records; `flush` writes the sums down."""
        used = self._used.setdefault(token.name, [0, 0, 0, 0])
        used[0] = now_us()
        used[1] += 1
        used[2] += accepted
        used[3] += refused

    async def flush(self) -> None:
        """Write counters and last use down; call it every few seconds and at the end."""
        used, self._used = self._used, {}
        used.pop(LOCAL, None)
        if not used:
            return
        async with self._records.write() as connection:
            for name, (last, requests, accepted, refused) in used.items():
                await connection.execute(
                    sa.update(tokens)
                    .where(tokens.c.name == name, tokens.c.revoked.is_(None))
                    .values(
                        last_used=last,
                        requests=tokens.c.requests + requests,
                        accepted=tokens.c.accepted + accepted,
                        refused=tokens.c.refused + refused,
                    )
                )

    def _in_force(self, token: Token) -> Token:
        if not token.live(now_us()):
            raise UnauthenticatedError(f"the token {token.name!r} has expired", hint="make a new one")
        return token

    async def _refresh(self) -> None:
        if time.monotonic() - self._read_at < _FRESH_S:
            return
        async with self._reading:  # callers that come meanwhile wait: they must not find the tokens half read
            if time.monotonic() - self._read_at < _FRESH_S:
                return
            stamp, change = time.monotonic(), self._changes
            async with self._records.read() as connection:
                kept = await list_tokens(connection)
            self._by_digest = {token.digest: token for token in kept if token.kind == "api"}
            self._by_name = {token.name: token for token in self._by_digest.values()}
            if change == self._changes:  # a change while reading asks for another reading
                self._read_at = stamp

    def _local_token(self) -> Token | None:
        """The local token, read again whenever its file was replaced."""
        if self._run_file is None:
            return None
        try:
            status = self._run_file.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._run_stamp:
                secret = str(json.loads(self._run_file.read_text("utf-8"))["token"])
                self._local = Token(LOCAL, "api", granted(["admin"]), digest=_digest(secret)) if secret else None
                self._run_stamp = stamp
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return self._local
