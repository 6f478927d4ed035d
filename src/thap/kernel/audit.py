"""The audit log: who did what to what, when and from where, each entry chained to the one before by its hash.

An entry's hash is SHA-256 over its canonical JSON and the hash of the entry before it, so an entry that is changed,
removed or slipped in breaks the chain at a place `verify` names. The newest number and hash are kept beside the
log, so that a cut end shows too. Entries are written in the transaction of what they tell of; the lock on the head
row puts them in order. A transaction takes it before the lock of any event stream.

Retention: at least twelve months (NĐ 333/2026). What is older may be pruned; an anchor keeps the hash the rest goes
on from. Whoever can rewrite the whole database can rewrite the chain too: keep the newest number and hash, as
`verify` gives them, in another place, and hand them to a later `verify`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import DAY_US, iso, now_us
from thap.kernel.errors import InputError
from thap.kernel.policy.model import Who
from thap.kernel.records import Records, metadata
from thap.kernel.store import ConnectionTransaction, Transaction

__all__ = [
    "KEEP_DAYS",
    "AuditFilter",
    "Entry",
    "Verified",
    "append",
    "append_async",
    "audit",
    "entries_after",
    "entries_before",
    "heads",
    "newest",
    "parse_anchor",
    "prune",
    "stream_entries",
    "verify",
]

KEEP_DAYS = 366
"""The least an entry is kept. Source: NĐ 333/2026, twelve months; a leap year has 366 days."""
_START = "0" * 64
_PAGE = 2000
_DETAIL_CHARS = 20_000
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("time", sa.BigInteger, nullable=False, index=True),
    sa.Column("who", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),  # of who; name: a person or a token
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("object", sa.String(300), nullable=False, index=True),
    sa.Column("detail", sa.Text, nullable=False),  # JSON
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
heads = sa.Table(
    "audit_heads",
    metadata,
    sa.Column("name", sa.String(8), primary_key=True),  # head, or anchor: the last entry pruned
    sa.Column("entry", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

_A, _H = audit.c, heads.c
_HEAD = sa.select(_H.entry, _H.hash).where(_H.name == "head").with_for_update()
_SET_HEAD = sa.update(heads).where(_H.name == "head").values(entry=sa.bindparam("e"), hash=sa.bindparam("h"))
_ADD_HEAD = sa.insert(heads)
_INSERT = sa.insert(audit)
_FIRST_LOCK = sa.select(sa.func.pg_advisory_xact_lock(0x74617564))  # "taud"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that somebody did."""

    who: Who | str
    """Who did it; a text is a login or the name of a token, empty the centre itself."""
    action: str
    """As `sign_in`, `incident.close`, `grant.add`."""
    object: str
    """What it was done to, as `incident:12`, `person:truc-ban`."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What else is to be known; never a secret."""
    address: str = ""
    """Network address it came from."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found."""

    entries: int
    """How many hold together, from the oldest on."""
    first: int | None
    last: int | None
    hash: str
    """Of the last one: with its number an anchor."""
    broken_at: int | None = None
    """The entry at which the chain breaks; None for a whole chain."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; empty values do not choose."""

    who: str = ""
    action: str = ""
    """May end with `*`."""
    object: str = ""
    since: int | None = None
    """µs."""
    until: int | None = None
    """µs, excluded."""

    def tests(self) -> list[sa.ColumnElement[bool]]:
        """The filter as SQL."""
        tests: list[sa.ColumnElement[bool]] = [
            column == value for column, value in ((_A.who, self.who), (_A.object, self.object)) if value
        ]
        if self.action.endswith("*"):
            tests.append(sa.func.substr(_A.action, 1, len(self.action) - 1) == self.action[:-1])
        elif self.action:
            tests.append(_A.action == self.action)
        tests += [_A.time >= self.since] if self.since is not None else []
        tests += [_A.time < self.until] if self.until is not None else []
        return tests


_ALL = AuditFilter()


def _clean(text: str, length: int) -> str:
    """What people send may hold anything; the log holds what every database keeps and every terminal may show."""
    kept = text[:length].encode("utf-8", "replace").decode("utf-8")
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", kept)


def _detail(detail: Mapping[str, Any]) -> str:
    try:
        text = msgspec.json.encode(dict(detail), enc_hook=str).decode()
    except UnicodeEncodeError:  # a lone surrogate
        text = msgspec.json.encode(_encodable(detail), enc_hook=str).decode()
    if len(text) > _DETAIL_CHARS:
        text = json.dumps({"left_out_chars": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()})
    return text


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_encodable(str(name)): _encodable(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encodable(one) for one in value]
    return value


def _hash(row: Mapping[str, Any]) -> str:
    names = ("id", "time", "who", "kind", "action", "object", "detail", "address", "previous")
    return hashlib.sha256(msgspec.json.encode([row[name] for name in names])).hexdigest()


def _row(entry: Entry, number: int, time: int, previous: str) -> dict[str, Any]:
    who = entry.who
    if isinstance(who, str):
        name, kind = who, {"": "system", "local": "local"}.get(who, "name")
    else:
        name, kind = who.name, who.kind
    row: dict[str, Any] = {
        "id": number,
        "time": time,
        "who": _clean(name, 64),
        "kind": kind,
        "action": _clean(entry.action, 64),
        "object": _clean(entry.object, 300),
        "detail": _detail(entry.detail),
        "address": _clean(entry.address, 64),
        "previous": previous,
    }
    row["hash"] = _hash(row)
    return row


def append(tx: Transaction, entries: Sequence[Entry], time: int | None = None) -> None:
    """Add entries to the log, in the transaction of what they tell of.

    Args:
        tx: the transaction.
        entries: what was done, in order.
        time: when, µs; by default now.
    """
    if not entries:
        return
    if tx.dialect == "postgresql":
        tx.rows(_FIRST_LOCK, {})
    found = tx.rows(_HEAD, {})
    number, previous = (int(found[0][0]), str(found[0][1])) if found else (0, _START)
    moment = now_us() if time is None else time
    rows = []
    for entry in entries:
        number += 1
        rows.append(_row(entry, number, moment, previous))
        previous = rows[-1]["hash"]
    tx.run(_INSERT, rows)
    if found:
        tx.run(_SET_HEAD, [{"e": number, "h": previous}])
    else:
        tx.run(_ADD_HEAD, [{"name": "head", "entry": number, "hash": previous}])


async def append_async(connection: AsyncConnection, entries: Sequence[Entry], time: int | None = None) -> None:
    """`append` on an open write transaction of the records."""
    await connection.run_sync(lambda sync: append(ConnectionTransaction(sync), entries, time))


def _told(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {**row, "detail": json.loads(row["detail"])}


async def entries_after(
    connection: AsyncConnection, after: int, limit: int, chosen: AuditFilter = _ALL
) -> list[dict[str, Any]]:
    """Entries numbered above `after`, oldest first: the table's columns, `detail` decoded."""
    statement = sa.select(audit).where(_A.id > after, *chosen.tests()).order_by(_A.id).limit(limit)
    return [_told(row) for row in (await connection.execute(statement)).mappings()]


async def entries_before(
    connection: AsyncConnection, before: int | None, limit: int, chosen: AuditFilter = _ALL
) -> list[dict[str, Any]]:
    """Entries numbered below `before` (None: all), newest first."""
    tests = [*chosen.tests(), *([_A.id < before] if before is not None else [])]
    statement = sa.select(audit).where(*tests).order_by(_A.id.desc()).limit(limit)
    return [_told(row) for row in (await connection.execute(statement)).mappings()]


async def stream_entries(records: Records, chosen: AuditFilter = _ALL) -> AsyncIterator[dict[str, Any]]:
    """All entries chosen, oldest first, as many at a time as fit memory; a connection is held for a page only."""
    after = 0
    while True:
        async with records.read() as connection:
            page = await entries_after(connection, after, _PAGE, chosen)
        for entry in page:
            yield entry
        if len(page) < _PAGE:
            return
        after = int(page[-1]["id"])


async def _rows(connection: AsyncConnection) -> AsyncIterator[dict[str, Any]]:
    after = -(2**62)
    while True:
        page = (await connection.execute(sa.select(audit).where(_A.id > after).order_by(_A.id).limit(_PAGE))).mappings()
        rows = [dict(row) for row in page]
        for row in rows:
            yield row
        if len(rows) < _PAGE:
            return
        after = int(rows[-1]["id"])


def parse_anchor(text: str) -> tuple[int, str]:
    """Number and hash of an anchor written as `12:ab…`.

    Raises:
        InputError: it is not written so.
    """
    number, _, digest = text.strip().partition(":")
    if not re.fullmatch(r"[1-9]\d{0,17}", number) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise InputError(f"{text[:100]!r} is not an anchor", where="anchor", hint="write NUMBER:HASH as verify gave it")
    return int(number), digest


async def verify(
    records: Records, anchor: tuple[int, str] | None = None, progress: Callable[[int], None] | None = None
) -> Verified:
    """Read the whole chain and say where it breaks, if it does.

    Args:
        records: where the log is.
        anchor: number and hash that an entry had at an earlier verification.
        progress: called now and then with the number of entries read.
    """
    async with records.read() as connection:
        if not records.is_sqlite:  # what is appended meanwhile must not be seen by half
            await connection.execution_options(isolation_level="REPEATABLE READ")
        kept = {name: (int(entry), str(digest)) for name, entry, digest in await connection.execute(sa.select(heads))}
        chain = _Chain(*kept.get("anchor", (0, _START)))
        if anchor is not None and anchor[0] == chain.number and anchor[1] != chain.hash:
            return chain.broken(chain.number, "it was pruned, and had another hash than the anchor's")
        async for row in _rows(connection):
            if found := chain.take(row, anchor):
                return found
            if progress is not None and chain.count % _PAGE == 0:
                progress(chain.count)
        return chain.end(kept.get("head", (0, _START)), anchor)


class _Chain:
    """How far a chain holds."""

    def __init__(self, number: int, digest: str) -> None:
        self.number, self.hash = number, digest
        self.count = 0
        self.first: int | None = None

    def take(self, row: Mapping[str, Any], anchor: tuple[int, str] | None) -> Verified | None:
        """The break that this entry is; None when it follows."""
        found = int(row["id"])
        if found <= self.number:
            return self.broken(found, "it was slipped in before the oldest entry")
        if found != self.number + 1:
            many = f"entries {self.number + 1} to {found - 1} were" if found > self.number + 2 else "it was"
            return self.broken(self.number + 1, f"{many} removed")
        if row["hash"] != _hash(row):
            return self.broken(found, "its content was changed")
        if row["previous"] != self.hash:
            return self.broken(found, f"it does not follow entry {self.number}: one of the two was changed")
        if anchor is not None and anchor[0] == found and anchor[1] != row["hash"]:
            return self.broken(found, "it has another hash than the anchor: this entry or one before it was changed")
        self.number, self.hash, self.count = found, str(row["hash"]), self.count + 1
        self.first = found if self.first is None else self.first
        return None

    def end(self, head: tuple[int, str], anchor: tuple[int, str] | None) -> Verified:
        """What the whole chain comes to."""
        if head[0] > self.number or (anchor is not None and anchor[0] > self.number):
            last = max(head[0], 0 if anchor is None else anchor[0])
            return self.broken(self.number + 1, f"the newest entries, up to {last}, were removed")
        if head[0] < self.number:
            return self.broken(head[0] + 1, "it was put in behind the newest entry")
        if head[1] != self.hash:
            return self.broken(self.number, "it has another hash than the one kept beside the log")
        return Verified(self.count, self.first, self.number if self.count else None, self.hash)

    def broken(self, at: int, why: str) -> Verified:
        """The chain breaks at an entry."""
        return Verified(self.count, self.first, self.number if self.count else None, self.hash, at, why)


async def newest(connection: AsyncConnection) -> tuple[int, str] | None:
    """Number and hash of the newest entry: an anchor."""
    found = (await connection.execute(sa.select(_H.entry, _H.hash).where(_H.name == "head"))).first()
    return None if found is None else (int(found[0]), str(found[1]))


async def prune(connection: AsyncConnection, before: int, by: Who | str = "") -> int:
    """Forget entries older than `before`, µs; returns how many. The rest goes on from an anchor.

    Raises:
        InputError: some of them must still be kept.
    """
    latest = now_us() - KEEP_DAYS * DAY_US
    if before > latest:
        raise InputError(
            f"the audit log is kept for {KEEP_DAYS} days at least (NĐ 333/2026)",
            where="before",
            hint=f"choose a time up to {iso(latest)}",
        )
    if connection.dialect.name == "postgresql":
        await connection.execute(_FIRST_LOCK)
    # Entries are in the order of writing; a clock set back must not let a younger one go with the older ones.
    keep = await connection.scalar(sa.select(sa.func.min(_A.id)).where(_A.time >= before))
    gone = _A.id < keep if keep is not None else sa.true()
    last = (await connection.execute(sa.select(_A.id, _A.hash).where(gone).order_by(_A.id.desc()).limit(1))).first()
    if last is None:
        return 0
    count = int((await connection.execute(sa.delete(audit).where(gone))).rowcount)
    await connection.execute(sa.delete(heads).where(_H.name == "anchor"))
    await connection.execute(_ADD_HEAD, {"name": "anchor", "entry": last[0], "hash": last[1]})
    await append_async(connection, [Entry(by, "audit.prune", "audit", {"before": before, "entries": count})])
    return count
