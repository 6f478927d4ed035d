"""The table of timers, and every statement on it.

A row is a timer that has not fired. It is written in the transaction of what it watches, and deleted in the
transaction of what its firing does, so neither can be without the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.records import metadata
from thap.kernel.store import Transaction

__all__ = ["TimerRows", "counts", "fallen_count", "next_time", "timer_rows", "timers"]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

timers = sa.Table(
    "timers",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("ref", sa.String(96), nullable=False),
    sa.Column("due", sa.BigInteger, nullable=False),
    sa.Column("next", sa.BigInteger, nullable=False),  # when it is tried: `due`, or later after a failure
    sa.Column("payload", sa.Text, nullable=False),  # JSON
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.String(500), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("kind", "ref"),
    sqlite_autoincrement=True,
)
sa.Index("ix_timers_next_id", timers.c.next, timers.c.id)

_T = timers.c
_Row = dict[str, Any]
_COLUMNS = tuple(column.name for column in timers.columns)


def _upsert(module: Any) -> Any:
    statement = module.insert(timers)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["kind", "ref"],
        set_={name: new[name] for name in ("due", "next", "payload", "attempts", "error", "created")},
    )


_SET = {"sqlite": _upsert(sqlite), "postgresql": _upsert(postgresql)}
_CANCEL = sa.delete(timers).where(_T.kind == sa.bindparam("b_kind"), _T.ref == sa.bindparam("b_ref"))
_CANCEL_FREE = sa.delete(timers).where(
    _T.id.in_(
        sa.select(_T.id)
        .where(_T.kind == sa.bindparam("b_kind"), _T.ref == sa.bindparam("b_ref"))
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
)
_BY_REF = sa.select(timers).where(_T.kind == sa.bindparam("kind"), _T.ref == sa.bindparam("ref")).with_for_update()
_MOVE = sa.update(timers).where(_T.id == sa.bindparam("row_id"))
_FALLEN = (
    sa.select(timers)
    .where(_T.next <= sa.bindparam("now"))
    .order_by(_T.next, _T.id)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)
_STILL = sa.select(timers).where(_T.id == sa.bindparam("id"), _T.next <= sa.bindparam("now"))
_DELETE = sa.delete(timers).where(_T.id == sa.bindparam("row_id"))
_FAILED = (
    sa.update(timers)
    .where(_T.id == sa.bindparam("row_id"), _T.due == sa.bindparam("row_due"))
    .values(next=sa.bindparam("n_next"), attempts=sa.bindparam("n_attempts"), error=sa.bindparam("n_error"))
)
_AGAIN = (
    sa.update(timers)
    .where(_T.id == sa.bindparam("row_id"), _T.attempts > 0, _T.next > sa.bindparam("now"))
    .values(next=sa.bindparam("now"))
    .returning(_T.id)
)
_ALL_AGAIN = (
    sa.update(timers)
    .where(_T.attempts > 0, _T.next > sa.bindparam("now"))
    .values(next=sa.bindparam("now"))
    .returning(_T.id)
)


class TimerRows:
    """The timers within one write transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def set(self, rows: Sequence[_Row]) -> None:
        """Insert rows (all columns but `id`); one of the same kind and ref is replaced."""
        if rows:
            # In one order, so that two transactions that set the same ones cannot wait for each other.
            self._tx.run(_SET[self._tx.dialect], sorted(rows, key=lambda row: (row["kind"], row["ref"])))

    def cancel(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Delete those of (kind, ref) that there are.

        One that is being fired right now is left to its handler, which waits for what this transaction has
        locked and then finds that there is nothing to do: waiting for each other would be a deadlock.
        """
        found = [{"b_kind": kind, "b_ref": ref} for kind, ref in sorted(pairs)]
        if found:
            self._tx.run(_CANCEL if self._tx.dialect == "sqlite" else _CANCEL_FREE, found)

    def find(self, kind: str, ref: str) -> _Row | None:
        """One timer, locked."""
        rows = self._tx.rows(_BY_REF, {"kind": kind, "ref": ref})
        return dict(zip(_COLUMNS, rows[0], strict=True)) if rows else None

    def move(self, row_id: int, due: int) -> None:
        """Give one another time."""
        self._tx.run(_MOVE, [{"row_id": row_id, "due": due, "next": due, "attempts": 0, "error": ""}])

    def fallen(self, now: int, most: int) -> list[_Row]:
        """The first `most` to be tried by `now`, in order, locked; those that another process has are left out."""
        rows = self._tx.rows(_FALLEN, {"now": now, "most": most})
        return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]

    def take(self, rows: Sequence[_Row], now: int, *, sure: bool) -> list[_Row]:
        """Delete rows, and return those that were still there and due. `sure`: they were read in this transaction.

        Else somebody may have cancelled, moved or fired them since; one that another process has is left to it."""
        standing = list(rows) if sure else self._standing(rows, now)
        if standing:
            self._delete([int(row["id"]) for row in standing])
        return standing

    def _standing(self, rows: Sequence[_Row], now: int) -> list[_Row]:
        found: list[Sequence[Any]] = []
        if self._tx.dialect == "sqlite":
            for row in rows:
                found += self._tx.rows(_STILL, {"id": row["id"], "now": now})
        else:
            numbers = [row["id"] for row in rows]
            standing = sa.select(timers).where(_T.id.in_(numbers), _T.next <= now).order_by(_T.next, _T.id)
            found += self._tx.rows(standing.with_for_update(skip_locked=True), {})
        return [dict(zip(_COLUMNS, row, strict=True)) for row in found]

    def _delete(self, numbers: Sequence[int]) -> None:
        if self._tx.dialect == "sqlite":
            self._tx.run(_DELETE, [{"row_id": number} for number in numbers])
        else:
            self._tx.run(sa.delete(timers).where(_T.id.in_(numbers)), [{}])

    def failed(self, row: _Row, next_try: int, error: str) -> None:
        """Note that a timer could not be handled, and when it is tried again."""
        self._tx.run(
            _FAILED,
            [
                {
                    "row_id": row["id"],
                    "row_due": row["due"],
                    "n_next": next_try,
                    "n_attempts": int(row["attempts"]) + 1,
                    "n_error": error[:500],
                }
            ],
        )

    def again(self, now: int, number: int | None = None) -> list[int]:
        """Let a failed timer, or all of them, be tried now; returns which."""
        if number is None:
            rows = self._tx.rows(_ALL_AGAIN, {"now": now})
        else:
            rows = self._tx.rows(_AGAIN, {"now": now, "row_id": number})
        return sorted(int(row[0]) for row in rows)


async def next_time(connection: AsyncConnection) -> int | None:
    """When the next timer is to be tried; None where there is none."""
    found: int | None = await connection.scalar(sa.select(_T.next).order_by(_T.next).limit(1))
    return found


async def fallen_count(connection: AsyncConnection, now: int) -> int:
    """How many are to be tried by `now`."""
    return int(await connection.scalar(sa.select(sa.func.count()).select_from(timers).where(_T.next <= now)) or 0)


async def counts(connection: AsyncConnection, late_before: int) -> Mapping[str, int]:
    """How many there are: in all, late (due before that time), and failed."""
    total = await connection.scalar(sa.select(sa.func.count()).select_from(timers))
    late = await connection.scalar(sa.select(sa.func.count()).select_from(timers).where(_T.due < late_before))
    failed = await connection.scalar(sa.select(sa.func.count()).select_from(timers).where(_T.attempts > 0))
    return {"pending": int(total or 0), "late": int(late or 0), "failed": int(failed or 0)}


async def timer_rows(
    connection: AsyncConnection, *, limit: int, kind: str = "", late_before: int | None = None, failed: bool = False
) -> list[_Row]:
    """Timers in order of due: all, or of a kind, or due before a time, or failed ones."""
    statement = sa.select(timers).order_by(_T.due, _T.id).limit(limit)
    if kind:
        statement = statement.where(_T.kind == kind)
    if late_before is not None:
        statement = statement.where(_T.due < late_before)
    if failed:
        statement = statement.where(_T.attempts > 0)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]
