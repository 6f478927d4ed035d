"""Every statement on warnings themselves; those on feeds are in `feed_rows`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.store import Transaction
from thap.respond.warnings.model import Warning, WarningEvent
from thap.respond.warnings.records import warning_events, warning_pushes, warning_subscribers, warnings

__all__ = [
    "Row",
    "WarningRows",
    "count_warnings",
    "current",
    "document_of",
    "events_after",
    "last_event",
    "life_of",
    "list_warnings",
    "pushes_of",
    "row_by_id",
    "series_rows",
    "subscribers",
    "to_warning",
]

Row = dict[str, Any]
_W, _E, _S, _P = warnings.c, warning_events.c, warning_subscribers.c, warning_pushes.c
_SHOWN = tuple(column for column in warnings.columns if column.name != "document")
_COLUMNS = tuple(column.name for column in _SHOWN)
_CHANGING = tuple(
    name for name in (*_COLUMNS, "document") if name not in ("id", "created", "created_by", "incident_id", "follows")
)

_ONE = sa.select(*_SHOWN).where(_W.id == sa.bindparam("id")).with_for_update()
_INSERT = sa.insert(warnings)
_LOG = sa.insert(warning_events)
# Two of the same: a store compiles a statement once, for the columns it was first run with.
_UPDATE = sa.update(warnings).where(_W.id == sa.bindparam("row_id"))
_UPDATE_WITH_DOCUMENT = sa.update(warnings).where(_W.id == sa.bindparam("row_id"))
_REPLACED = sa.update(warnings).where(_W.id == sa.bindparam("row_id")).values(replaced_by=sa.bindparam("by_id"))
_WRITERS = (
    sa.select(_E.by)
    .where(
        _E.warning_id == sa.bindparam("id"), sa.or_(_E.action == "compose", _E.action == "edit", _E.action == "submit")
    )
    .distinct()
)
_SINCE = (
    sa.select(_E.action, _E.by, _E.time)
    .where(_E.warning_id == sa.bindparam("id"), _E.version > sa.bindparam("version"))
    .order_by(_E.id)
)
_SUBSCRIBERS = sa.select(_S.id).where(_S.removed.is_(None)).order_by(_S.id)
_PUSH = sa.insert(warning_pushes)
_STREAM_LOCK = sa.select(sa.func.pg_advisory_xact_lock(0x7761726E))  # "warn"


class WarningRows:
    """Warnings within one write transaction. Rows it returns are locked until the transaction ends."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def by_id(self, warning_id: int) -> Row | None:
        """One warning, without its document."""
        found = self._tx.rows(_ONE, {"id": warning_id})
        return dict(zip(_COLUMNS, found[0], strict=True)) if found else None

    def add(self, row: Row) -> int:
        """A new warning."""
        return self._tx.insert(_INSERT, _W.id, [row])[0]

    def update(self, row: Row) -> None:
        """Write a warning back; its document too, where the row has one."""
        values = {name: row[name] for name in _CHANGING if name in row}
        self._tx.run(_UPDATE_WITH_DOCUMENT if "document" in row else _UPDATE, [{"row_id": row["id"], **values}])

    def replaced(self, warning_id: int, by_id: int) -> None:
        """Note that a warning was updated or cancelled by another."""
        self._tx.run(_REPLACED, [{"row_id": warning_id, "by_id": by_id}])

    def writers(self, warning_id: int) -> set[str]:
        """Who wrote any of its text."""
        return {str(by) for (by,) in self._tx.rows(_WRITERS, {"id": warning_id})}

    def since(self, warning_id: int, version: int) -> list[tuple[str, str, int]]:
        """Action, person and time of each step after a version."""
        found = self._tx.rows(_SINCE, {"id": warning_id, "version": version})
        return [(str(action), str(by), int(time)) for action, by, time in found]

    def log(self, line: Row) -> int:
        """Keep a step; returns its number. Numbers appear in order, so that a reader who goes on from the last
        one misses none."""
        if self._tx.dialect == "postgresql":
            self._tx.rows(_STREAM_LOCK, {})
        return self._tx.insert(_LOG, _E.id, [line])[0]

    def push(self, warning_id: int, now: int) -> int:
        """Let it be pushed to every subscriber; returns how many there are."""
        found = [int(number) for (number,) in self._tx.rows(_SUBSCRIBERS, {})]
        if found:
            self._tx.run(
                _PUSH,
                [
                    {
                        "warning_id": warning_id,
                        "subscriber_id": number,
                        "state": "waiting",
                        "created": now,
                        "due": now,
                        "tries": 0,
                        "answer": "",
                        "done": None,
                    }
                    for number in found
                ],
            )
        return len(found)


def to_warning(row: Mapping[str, Any]) -> Warning:
    """A row as it leaves the package."""
    values = {name: row[name] for name in _COLUMNS if name not in ("draft", "incident_id", "series")}
    return Warning(
        **values,
        incident=row["incident_id"],
        series=row["series"] or row["id"],
        draft=msgspec.json.decode(row["draft"]),
    )


async def row_by_id(connection: AsyncConnection, warning_id: int) -> Row | None:
    """One warning, without its document."""
    found = (await connection.execute(sa.select(*_SHOWN).where(_W.id == warning_id))).mappings().first()
    return None if found is None else dict(found)


async def document_of(
    connection: AsyncConnection, *, warning_id: int | None = None, identifier: str = ""
) -> tuple[Row, bytes] | None:
    """A warning that went out, by number or identifier, with its document."""
    where = _W.id == warning_id if warning_id is not None else sa.and_(_W.identifier == identifier, _W.identifier != "")
    found = (
        await connection.execute(sa.select(warnings).where(where, _W.state == "published", _W.document.is_not(None)))
    ).mappings()
    row = found.first()
    return None if row is None else (dict(row), bytes(row["document"]))


async def list_warnings(
    connection: AsyncConnection, where: sa.ColumnElement[bool], limit: int, before: int | None
) -> list[Row]:
    """Warnings, the newest first."""
    statement = sa.select(*_SHOWN).where(where).order_by(_W.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(_W.id < before)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def count_warnings(connection: AsyncConnection, where: sa.ColumnElement[bool]) -> int:
    """How many there are."""
    return int(await connection.scalar(sa.select(sa.func.count()).select_from(warnings).where(where)) or 0)


async def current(connection: AsyncConnection, since: int, limit: int) -> list[Row]:
    """Warnings for the public that hold, or ended after a time, the newest first; of each chain the last only."""
    statement = (
        sa.select(*_SHOWN)
        .where(_W.state == "published", _W.replaced_by.is_(None), _W.expires > since)
        .order_by(_W.sent.desc(), _W.id.desc())
        .limit(limit)
    )
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def series_rows(connection: AsyncConnection, series: int) -> list[Row]:
    """All of a chain that went out, the first first."""
    statement = (
        sa.select(*_SHOWN)
        .where(sa.or_(_W.id == series, _W.series == series), _W.state == "published")
        .order_by(_W.sent, _W.id)
    )
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


_EVENT = (
    _E.id,
    _E.warning_id.label("warning"),
    _E.action,
    _E.from_state,
    _E.to_state,
    _E.time,
    _E.by,
    _E.comment,
    _E.version,
    _W.headline,
    _W.message_type,
    _W.status,
    _W.severity,
    _W.unit,
    _W.domain,
    _W.incident_id.label("incident"),
)
_EVENTS = sa.select(*_EVENT).select_from(warning_events.join(warnings))


async def life_of(connection: AsyncConnection, warning_id: int) -> Sequence[WarningEvent]:
    """Every step of one warning, the latest first."""
    found = await connection.execute(_EVENTS.where(_E.warning_id == warning_id).order_by(_E.id.desc()).limit(1000))
    return [WarningEvent(**row) for row in found.mappings()]


async def events_after(
    connection: AsyncConnection, event_id: int, limit: int, where: sa.ColumnElement[bool]
) -> Sequence[WarningEvent]:
    """Steps numbered above `event_id`, in order."""
    found = await connection.execute(_EVENTS.where(_E.id > event_id, where).order_by(_E.id).limit(limit))
    return [WarningEvent(**row) for row in found.mappings()]


async def last_event(connection: AsyncConnection) -> int:
    """The number of the newest step, 0 when there is none."""
    return int(await connection.scalar(sa.select(sa.func.coalesce(sa.func.max(_E.id), 0))) or 0)


async def subscribers(connection: AsyncConnection) -> list[Row]:
    """Who is pushed to, secrets left out."""
    columns = [column for column in warning_subscribers.columns if column.name != "secret"]
    statement = sa.select(*columns, (_S.secret != "").label("signed")).where(_S.removed.is_(None)).order_by(_S.id)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def pushes_of(connection: AsyncConnection, warning_id: int) -> list[Row]:
    """How a warning's pushes went."""
    statement = (
        sa.select(_P.subscriber_id, _S.url, _S.title, _P.state, _P.tries, _P.answer, _P.created, _P.due, _P.done)
        .select_from(warning_pushes.join(warning_subscribers))
        .where(_P.warning_id == warning_id)
        .order_by(_P.id)
    )
    return [dict(row) for row in (await connection.execute(statement)).mappings()]
