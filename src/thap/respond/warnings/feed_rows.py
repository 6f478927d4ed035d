"""Every statement on others' feeds and what was read from them, and on pushes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.store import Transaction
from thap.respond.warnings.cap import Reference
from thap.respond.warnings.records import (
    cap_feeds,
    cap_messages,
    cap_references,
    warning_pushes,
    warning_subscribers,
    warnings,
)

__all__ = [
    "FeedRows",
    "Row",
    "any_over",
    "claim_pushes",
    "due_feeds",
    "due_pushes",
    "feed_rows",
    "known_entries",
    "messages",
    "untold_sources",
]

Row = dict[str, Any]
_F, _M, _R = cap_feeds.c, cap_messages.c, cap_references.c
_P, _S, _W = warning_pushes.c, warning_subscribers.c, warnings.c

_VISITED = sa.update(cap_feeds).where(_F.id == sa.bindparam("row_id"))
_SAME = sa.select(_M.id).where(
    _M.feed_id == sa.bindparam("feed_id"),
    _M.sender == sa.bindparam("sender"),
    _M.identifier == sa.bindparam("identifier"),
    _M.sent == sa.bindparam("sent"),
)
_INSERT = sa.insert(cap_messages)
_REFERENCE = sa.insert(cap_references)
_REPLACED = (
    sa.select(_M.message_type)
    .select_from(cap_references.join(cap_messages))
    .where(
        _M.feed_id == sa.bindparam("feed_id"),
        _M.state != "ignored",
        _R.sender == sa.bindparam("sender"),
        _R.identifier == sa.bindparam("identifier"),
    )
)
_ABOUT = sa.select(_M.id, _M.source, _M.state).where(
    _M.feed_id == sa.bindparam("feed_id"),
    _M.sender == sa.bindparam("sender"),
    _M.identifier == sa.bindparam("identifier"),
)
_ENDED = (
    sa.update(cap_messages)
    .where(_M.id == sa.bindparam("row_id"))
    .values(state=sa.bindparam("to_state"), told=sa.bindparam("is_told"))
)
_OVER = sa.select(_M.id).where(_M.state == "active", _M.expires <= sa.bindparam("now")).order_by(_M.id)
_TOLD = (
    sa.update(cap_messages)
    .where(_M.id == sa.bindparam("row_id"), _M.state == sa.bindparam("in_state"))
    .values(told=sa.bindparam("is_told"))
)
_PUSHED = sa.update(warning_pushes).where(_P.id == sa.bindparam("row_id"))


class FeedRows:
    """Others' alerts within one write transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def visited(self, feed_id: int, values: Row) -> None:
        """Keep how a visit went; `values` always names the same columns."""
        self._tx.run(_VISITED, [{"row_id": feed_id, **values}])

    def known(self, row: Row) -> bool:
        """Whether this very message was read before."""
        keys = ("feed_id", "sender", "identifier", "sent")
        return bool(self._tx.rows(_SAME, {key: row[key] for key in keys}))

    def replaced_by(self, feed_id: int, sender: str, identifier: str) -> set[str]:
        """Types of the messages that refer to one."""
        about = {"feed_id": feed_id, "sender": sender, "identifier": identifier}
        return {str(kind) for (kind,) in self._tx.rows(_REPLACED, about)}

    def about(self, feed_id: int, reference: Reference) -> list[tuple[int, str, str]]:
        """Number, alarm source and state of the messages a reference means."""
        about = {"feed_id": feed_id, "sender": reference.sender, "identifier": reference.identifier}
        return [(int(number), str(source), str(state)) for number, source, state in self._tx.rows(_ABOUT, about)]

    def add(self, row: Row, references: Sequence[Reference]) -> int:
        """Keep a message and what it refers to."""
        number = self._tx.insert(_INSERT, _M.id, [row])[0]
        lines = {(r.sender[:200], r.identifier[:300], r.sent) for r in references[:200]}
        if lines:
            self._tx.run(
                _REFERENCE,
                [{"message_id": number, "sender": s, "identifier": i, "sent": t} for s, i, t in sorted(lines)],
            )
        return number

    def end(self, numbers: Sequence[int], state: str) -> None:
        """These hold no longer; the alarms are to be told."""
        if numbers:
            self._tx.run(_ENDED, [{"row_id": number, "to_state": state, "is_told": False} for number in numbers])

    def over(self, now: int) -> list[int]:
        """Those whose time is over but which still count as active."""
        return [int(number) for (number,) in self._tx.rows(_OVER, {"now": now})]

    def told(self, rows: Sequence[tuple[int, str]]) -> None:
        """The alarms know of these, if they are still in the state they were in then."""
        if rows:
            self._tx.run(_TOLD, [{"row_id": n, "in_state": state, "is_told": True} for n, state in rows])

    def pushed(self, push_id: int, values: Row) -> None:
        """Keep how a push went; `values` always names the same columns."""
        self._tx.run(_PUSHED, [{"row_id": push_id, **values}])


async def feed_rows(connection: AsyncConnection) -> list[Row]:
    """All feeds, by name."""
    return [dict(row) for row in (await connection.execute(sa.select(cap_feeds).order_by(_F.name))).mappings()]


async def due_feeds(connection: AsyncConnection, now: int) -> list[Row]:
    """Feeds to be visited."""
    statement = sa.select(cap_feeds).where(_F.enabled.is_(True), _F.due <= now).order_by(_F.due)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def known_entries(connection: AsyncConnection, feed_id: int, digests: Sequence[str]) -> set[str]:
    """Which entries of a feed were read before."""
    found: set[str] = set()
    for begin in range(0, len(digests), 500):
        statement = sa.select(_M.entry).where(_M.feed_id == feed_id, _M.entry.in_(digests[begin : begin + 500]))
        found |= set((await connection.scalars(statement)).all())
    return found


async def untold_sources(connection: AsyncConnection) -> tuple[list[tuple[int, str]], list[Row]]:
    """What the alarms do not know yet: the messages as (number, state), and for each alarm source concerned all of its
    messages that hold, the newest first, or its newest one where none does."""
    untold = (
        await connection.execute(
            sa.select(_M.id, _M.state, _M.source).where(_M.told.is_(False)).order_by(_M.id).limit(500)
        )
    ).all()
    sources = sorted({row.source for row in untold if row.source})
    rows: list[Row] = []
    if sources:
        statement = (
            sa.select(*(c for c in cap_messages.columns if c.name not in ("remarks",)), _F.name, _F.domain, _F.language)
            .select_from(cap_messages.join(cap_feeds))
            .where(_M.source.in_(sources))
            .order_by(_M.source, (_M.state == "active").desc(), _M.sent.desc(), _M.id.desc())
        )
        seen: set[str] = set()
        for row in (await connection.execute(statement)).mappings():
            if row["source"] not in seen:
                seen.add(row["source"])
                rows.append(dict(row))
    return [(int(row.id), str(row.state)) for row in untold], rows


async def messages(
    connection: AsyncConnection, limit: int, before: int | None, feed: str = "", state: str = ""
) -> list[Row]:
    """Messages of others, the newest first, without their documents."""
    columns = [c for c in cap_messages.columns if c.name not in ("document", "entry", "told")]
    statement = (
        sa.select(*columns, _F.name.label("feed"))
        .select_from(cap_messages.join(cap_feeds))
        .order_by(_M.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(_M.id < before)
    if feed:
        statement = statement.where(_F.name == feed)
    if state:
        statement = statement.where(_M.state == state)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def claim_pushes(connection: AsyncConnection, now: int, until: int, limit: int) -> list[Row]:
    """Take pushes to be sent, with what and where to. Nobody else gets them before `until`; what was taken by a
    process that was killed is due again then."""
    waiting = sa.select(_P.id).where(_P.state == "waiting", _P.due <= now).order_by(_P.due).limit(limit)
    taken = (
        sa.update(warning_pushes)
        .where(_P.id.in_(waiting.scalar_subquery()), _P.state == "waiting", _P.due <= now)
        .values(due=until)
        .returning(_P.id)
    )
    numbers = (await connection.scalars(taken)).all()
    if not numbers:
        return []
    statement = (
        sa.select(_P.id, _P.tries, _P.created, _S.url, _S.secret, _S.removed, _W.identifier, _W.document)
        .select_from(warning_pushes.join(warning_subscribers).join(warnings))
        .where(_P.id.in_(numbers))
        .order_by(_P.id)
    )
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def any_over(connection: AsyncConnection, now: int) -> bool:
    """Whether the time of some that count as active is over."""
    statement = sa.select(_M.id).where(_M.state == "active", _M.expires <= now).limit(1)
    return (await connection.execute(statement)).first() is not None


async def due_pushes(connection: AsyncConnection, now: int) -> int:
    """How many pushes are to be sent."""
    statement = sa.select(sa.func.count()).select_from(warning_pushes).where(_P.state == "waiting", _P.due <= now)
    return int(await connection.scalar(statement) or 0)
