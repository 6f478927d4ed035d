"""The lives of advice and bulletins, and the steps kept of them.

    draft ── approve ──▶ approved ── publish ──▶ published (advice), archived (bulletin)
      ▲  ╲                  │  ╲                     │
    edit  withdraw        return withdraw         withdraw
             ▼            (draft)   ▼                ▼
          withdrawn             withdrawn        withdrawn

What was published is never changed: it is withdrawn, and another takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.rice.records import events
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import iso
from thap.kernel.errors import ConflictError
from thap.kernel.policy import Who

__all__ = ["Act", "State", "allowed", "check_step", "note_step", "steps_of"]

Row = dict[str, Any]


class State(StrEnum):
    """Where it stands."""

    DRAFT = "draft"
    APPROVED = "approved"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


class Act(StrEnum):
    """What is done to it."""

    DRAFT = "draft"
    EDIT = "edit"
    APPROVE = "approve"
    RETURN = "return"
    PUBLISH = "publish"
    WITHDRAW = "withdraw"


_NEXT: Mapping[Act, Mapping[State, State]] = {
    Act.EDIT: {State.DRAFT: State.DRAFT},
    Act.APPROVE: {State.DRAFT: State.APPROVED},
    Act.RETURN: {State.APPROVED: State.DRAFT},
    Act.PUBLISH: {State.APPROVED: State.PUBLISHED},
    Act.WITHDRAW: dict.fromkeys((State.DRAFT, State.APPROVED, State.PUBLISHED), State.WITHDRAWN),
}
APPROVING = frozenset({Act.APPROVE, Act.RETURN, Act.PUBLISH})
"""Acts that take `register.approve`; withdrawing what was approved does too."""


def allowed(state: State, act: Act) -> State | None:
    """Where an act leads; None where it is not allowed."""
    return _NEXT.get(act, {}).get(state)


def check_step(what: str, row: Mapping[str, Any], act: Act, version: int | None) -> State:
    """Where an act leads.

    Raises:
        ConflictError: it changed since the version seen, or its state does not allow this.
    """
    where = f"{what} {row['id']}"
    if version is not None and version != row["version"]:
        raise ConflictError(
            f"it was changed meanwhile (version {row['version']}, at {iso(row['changed'])})",
            where=where,
            hint="look at it again",
        )
    after = allowed(State(row["state"]), act)
    if after is None:
        hint = {"published": "withdraw it and draft another", "approved": "return it first"}.get(row["state"])
        raise ConflictError(f"it is {row['state']}, so it cannot {act}", where=where, hint=hint)
    return after


async def note_step(
    connection: AsyncConnection,
    kind: str,
    row: Mapping[str, Any],
    act: Act,
    before: str,
    *,
    by: Who | str,
    comment: str = "",
    detail: Mapping[str, Any] | None = None,
    now: int,
) -> None:
    """Keep a step, and write it into the audit log."""
    name = by if isinstance(by, str) else by.name
    line = {
        "kind": kind,
        "ref": row["id"],
        "action": str(act),
        "from_state": before,
        "to_state": row["state"],
        "time": now,
        "by": name[:64],
        "comment": comment[:1000],
        "detail": dict(detail or {}),
        "version": row["version"],
    }
    await connection.execute(sa.insert(events).values(**line))
    told = {"state": row["state"], "version": row["version"], **({"comment": comment[:500]} if comment else {})}
    await append_async(connection, [Entry(by, f"rice.{kind}.{act}", f"rice_{kind}:{row['id']}", told)], now)


async def steps_of(connection: AsyncConnection, kind: str, ref: int) -> list[Row]:
    """The steps of one, the latest first."""
    statement = sa.select(events).where(events.c.kind == kind, events.c.ref == ref).order_by(events.c.id.desc())
    return [dict(row) for row in (await connection.execute(statement)).mappings()]
