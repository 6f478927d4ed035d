"""Statements on the list of names that wait to be admitted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fnmatch import translate
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.observe.registry import datastreams, movers, quarantine

__all__ = ["Waiting", "forget", "is_glob", "list_waiting", "matching", "registered"]

_SOME = 400


@dataclass(frozen=True, slots=True)
class Waiting:
    """A name nobody admitted yet."""

    kind: str
    """observation or position"""
    key: str
    door: str
    """Where it came in last."""
    count: int
    """How many records of it wait."""
    first: int
    """Door time, µs."""
    last: int
    sample: str
    """Its latest record, JSON."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def is_glob(pattern: str) -> bool:
    """Whether it can match more than one name."""
    return any(character in pattern for character in "*?[")


def _like(pattern: str) -> str:
    """An SQL pattern that matches at least what the glob matches."""
    start, bracket, _ = pattern.partition("[")  # how long a set is, only fnmatch knows
    text = f"{start}*" if bracket else pattern
    for character in "\\%_":
        text = text.replace(character, f"\\{character}")
    return text.replace("*", "%").replace("?", "_")


async def list_waiting(
    connection: AsyncConnection,
    *,
    limit: int = 100,
    offset: int = 0,
    pattern: str | None = None,
    kind: str | None = None,
) -> tuple[list[Waiting], int]:
    """Names in quarantine, the last heard first, and how many there are in all."""
    q = quarantine.c
    where: list[sa.ColumnElement[bool]] = []
    if pattern:
        where.append(q.key.like(_like(pattern if is_glob(pattern) else f"*{pattern}*"), escape="\\"))
    if kind:
        where.append(q.kind == kind)
    total = (await connection.execute(sa.select(sa.func.count()).select_from(quarantine).where(*where))).scalar_one()
    rows = await connection.execute(
        sa.select(q.kind, q.key, q.door, q.count, q.first, q.last, q.sample)
        .where(*where)
        .order_by(q.last.desc(), q.kind, q.key)
        .limit(limit)
        .offset(offset)
    )
    return [Waiting(*row) for row in rows.all()], int(total)


async def matching(
    connection: AsyncConnection, patterns: Iterable[str], kind: str | None = None
) -> tuple[dict[tuple[str, str], int], list[str]]:
    """Names that match any of the globs, with how many records of each wait, and the globs that match none."""
    q = quarantine.c
    found: dict[tuple[str, str], int] = {}
    unmatched: list[str] = []
    for pattern in patterns:
        # The database narrows the names down; what a glob means is decided by fnmatch, letter case and sets included.
        condition = q.key.like(_like(pattern), escape="\\") if is_glob(pattern) else q.key == pattern
        statement = sa.select(q.kind, q.key, q.count.label("waiting")).where(condition)
        if kind:
            statement = statement.where(q.kind == kind)
        fits = re.compile(translate(pattern)).match if is_glob(pattern) else pattern.__eq__
        before = len(found)
        matched = False
        for row in (await connection.execute(statement)).all():
            if fits(row.key):
                matched = True
                found[row.kind, row.key] = row.waiting
        if not matched and len(found) == before:
            unmatched.append(pattern)
    return found, unmatched


async def registered(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    """Names in quarantine that the registry knows by now, with how many records of each wait."""
    q = quarantine.c
    found: dict[tuple[str, str], int] = {}
    for kind, table in (("observation", datastreams), ("position", movers)):
        rows = await connection.execute(
            sa.select(q.key, q.count.label("waiting"))
            .join_from(quarantine, table, table.c.key == q.key)
            .where(q.kind == kind)
        )
        found.update({(kind, row.key): row.waiting for row in rows.all()})
    return found


async def forget(connection: AsyncConnection, names: dict[tuple[str, str], int]) -> None:
    """Take names off the list, each only if no more records of it came than given.

    Args:
        connection: in a write transaction.
        names: (kind, key) → count as it was when their records were read.
    """
    q = quarantine.c
    statement = sa.delete(quarantine).where(
        q.kind == sa.bindparam("of_kind"), q.key == sa.bindparam("of_key"), q.count <= sa.bindparam("until")
    )
    rows = [{"of_kind": kind, "of_key": key, "until": count} for (kind, key), count in names.items()]
    for start in range(0, len(rows), _SOME):
        await connection.execute(statement, rows[start : start + _SOME])
