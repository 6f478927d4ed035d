"""Whose feeds the centre reads, and whom it pushes warnings to: kept, listed, removed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.policy import Who
from thap.kernel.records import Records
from thap.respond.warnings import feed_rows
from thap.respond.warnings.fetching import check_address
from thap.respond.warnings.records import cap_feeds, cap_messages, warning_subscribers
from thap.respond.warnings.rows import pushes_of, subscribers

__all__ = ["Feed", "Push", "Received", "Subscriber", "WarningDesk"]

By = Who | str
_F, _S = cap_feeds.c, warning_subscribers.c
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MOST = 200


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed of others. Times are µs UTC."""

    name: str
    url: str
    domain: str
    """Of its alarms."""
    language: str
    hosts: str
    """Hosts besides its own that its entries may lie on."""
    every_s: int
    enabled: bool
    visited: int | None
    answered: int | None
    """Last visit without an error."""
    failures: int
    """Visits in a row that failed."""
    error: str
    """What was wrong at the last visit."""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message of others. Times are µs UTC."""

    id: int
    feed: str
    sender: str
    identifier: str
    sent: int
    message_type: str
    status: str
    state: str
    """active, replaced, cancelled, expired, distant or ignored."""
    reason: str
    """Why it does not count."""
    source: str
    """Source of its alarm; '' for none."""
    event: str
    headline: str
    area: str
    severity: int
    """1 low … 4 critical."""
    expires: int
    signature: str
    """none, broken, valid or trusted."""
    signer: str
    remarks: str
    """What the schema says against it."""
    received: int


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody warnings are pushed to."""

    id: int
    url: str
    title: str
    signed: bool
    """Whether what is pushed carries an HMAC under its secret."""
    created: int
    created_by: str


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """How a warning's push to one subscriber went."""

    subscriber: int
    url: str
    title: str
    state: str
    """waiting, sent or failed."""
    tries: int
    answer: str
    due: int
    done: int | None


class WarningDesk:
    """The feeds and subscribers of one centre."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def feeds(self) -> Sequence[Feed]:
        """All feeds, by name."""
        async with self._records.read() as connection:
            rows = await feed_rows.feed_rows(connection)
        return [_feed(row) for row in rows]

    async def add_feed(
        self,
        by: By,
        name: str,
        url: str,
        *,
        domain: str = "",
        language: str = "vi-VN",
        hosts: str = "",
        every_s: int = 60,
        enabled: bool = True,
    ) -> Feed:
        """Read a feed from now on; one of that name already is changed instead.

        Raises:
            InputError: name, address, language or interval is none.
            ConflictError: there are too many.
        """
        if not _NAME.fullmatch(name):
            raise InputError("a name has a-z, 0-9, dot, - and _, at most 64", where="name")
        check_address(url)
        if len(url) > 1000 or len(hosts) > 500 or len(domain) > 32:
            raise InputError("url, hosts or domain is too long", where="url")
        if not re.fullmatch(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,7})?", language):
            raise InputError(f"{language[:20]!r} is no language", where="language", hint="write vi-VN or en-US")
        if not 10 <= every_s <= 86_400:
            raise InputError("a feed is visited every 10 to 86400 seconds", where="every_s")
        values = {"url": url, "domain": domain, "language": language, "hosts": hosts, "every_s": every_s}
        fresh = {"enabled": enabled, "etag": "", "modified": "", "due": 0, "failures": 0, "error": ""}
        async with self._records.write() as connection:
            await append_async(connection, [Entry(by, "warning.feed.write", f"cap-feed:{name}", values)])
            changed = await connection.execute(sa.update(cap_feeds).where(_F.name == name).values(**values, **fresh))
            if changed.rowcount == 0:
                count = await connection.scalar(sa.select(sa.func.count()).select_from(cap_feeds))
                if int(count or 0) >= _MOST:
                    raise ConflictError(f"there are {_MOST} feeds already")
                made = {"name": name, "created": now_us(), "created_by": _name(by)}
                await connection.execute(sa.insert(cap_feeds).values(**values, **fresh, **made))
            row = (await connection.execute(sa.select(cap_feeds).where(_F.name == name))).mappings().one()
        return _feed(dict(row))

    async def remove_feed(self, by: By, name: str) -> None:
        """Read a feed no longer. What it brought is kept, so it is switched off; one that brought nothing is deleted.

        Raises:
            NotFoundError: there is no such feed.
        """
        async with self._records.write() as connection:
            await append_async(connection, [Entry(by, "warning.feed.remove", f"cap-feed:{name[:64]}", {})])
            number = await connection.scalar(sa.select(_F.id).where(_F.name == name))
            if number is None:
                raise NotFoundError(f"there is no feed {name[:64]!r}", hint="`thap warnings feeds` lists them")
            kept = await connection.scalar(
                sa.select(cap_messages.c.id).where(cap_messages.c.feed_id == number).limit(1)
            )
            if kept is None:
                await connection.execute(sa.delete(cap_feeds).where(_F.id == number))
            else:
                await connection.execute(sa.update(cap_feeds).where(_F.id == number).values(enabled=False))

    async def received(
        self, *, feed: str = "", state: str = "", limit: int = 100, after: int | None = None
    ) -> Sequence[Received]:
        """Messages of others, the newest first."""
        async with self._records.read() as connection:
            rows = await feed_rows.messages(connection, limit, after, feed, state)
        return [Received(**{name: row[name] for name in Received.__struct_fields__}) for row in rows]

    async def subscribers(self) -> Sequence[Subscriber]:
        """Whom warnings are pushed to."""
        async with self._records.read() as connection:
            rows = await subscribers(connection)
        return [Subscriber(**{name: row[name] for name in Subscriber.__struct_fields__}) for row in rows]

    async def subscribe(self, by: By, url: str, title: str = "", secret: str = "") -> Subscriber:
        """Push every warning that goes out from now on to an address.

        Raises:
            InputError: the address is none.
            ConflictError: it is subscribed already, or there are too many.
        """
        check_address(url)
        if len(url) > 500 or len(title) > 200 or len(secret) > 128:
            raise InputError("url, title or secret is too long", where="url")
        async with self._records.write() as connection:
            await append_async(connection, [Entry(by, "warning.subscriber.add", "warning-subscriber", {"url": url})])
            there = (await connection.scalars(sa.select(_S.url).where(_S.removed.is_(None)))).all()
            if url in there or len(there) >= _MOST:
                why = "it is subscribed already" if url in there else f"there are {_MOST} subscribers already"
                raise ConflictError(why, where=url)
            now, name = now_us(), _name(by)
            made = {"url": url, "title": title, "secret": secret, "created": now, "created_by": name}
            number = (
                await connection.execute(sa.insert(warning_subscribers).values(**made).returning(_S.id))
            ).scalar_one()
        return Subscriber(id=int(number), url=url, title=title, signed=bool(secret), created=now, created_by=name)

    async def unsubscribe(self, by: By, number: int) -> None:
        """Push to it no longer.

        Raises:
            NotFoundError: there is no such subscriber.
        """
        async with self._records.write() as connection:
            await append_async(connection, [Entry(by, "warning.subscriber.remove", f"warning-subscriber:{number}", {})])
            changed = await connection.execute(
                sa.update(warning_subscribers).where(_S.id == number, _S.removed.is_(None)).values(removed=now_us())
            )
            if changed.rowcount == 0:
                raise NotFoundError(f"there is no subscriber {number}", hint="`thap warnings subscribers` lists them")

    async def pushes(self, warning_id: int) -> Sequence[Push]:
        """How a warning's pushes went."""
        async with self._records.read() as connection:
            rows = await pushes_of(connection, warning_id)
        shown: list[dict[str, Any]] = [{**row, "subscriber": row["subscriber_id"]} for row in rows]
        return [Push(**{name: row[name] for name in Push.__struct_fields__}) for row in shown]


def _name(by: By) -> str:
    return by if isinstance(by, str) else by.name


def _feed(row: dict[str, Any]) -> Feed:
    return Feed(**{name: row[name] for name in Feed.__struct_fields__})
