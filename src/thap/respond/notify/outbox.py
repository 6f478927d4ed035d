"""Putting notices into the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from thap.kernel.clock import MINUTE_US, now_us
from thap.kernel.errors import InputError
from thap.kernel.store import Transaction
from thap.respond.notify.model import Address, Duty, Notice, Person
from thap.respond.notify.records import notices

__all__ = ["DEDUP_MINUTES", "enqueue"]

DEDUP_MINUTES = 30
"""How long notices of one key to one recipient are one."""

_N = notices.c
_INSERT = sa.insert(notices)
_TWIN = (
    sa.select(_N.id)
    .where(
        _N.dedup == sa.bindparam("dedup"),
        sa.text("dedup != ''"),  # as in the index, so that it serves
        _N.created > sa.bindparam("since"),
        _N.to_kind == sa.bindparam("to_kind"),
        _N.to_name == sa.bindparam("to_name"),
        _N.to_unit == sa.bindparam("to_unit"),
        _N.to_role == sa.bindparam("to_role"),
    )
    .order_by(_N.id.desc())
    .limit(1)
)
_REPEAT = sa.update(notices).where(_N.id == sa.bindparam("row_id")).values(repeats=_N.repeats + sa.bindparam("more"))
_LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(sa.bindparam("key"))))


def enqueue(tx: Transaction, notices: Sequence[Notice], now: int | None = None) -> list[int]:
    """Put notices into the outbox, in the transaction of what they tell of.

    A notice whose `dedup` key went to the same recipient within the last half hour is counted there and not
    kept again. Nothing is sent before the transaction commits; the part `notices` then sends within a second.

    Args:
        tx: the transaction.
        notices: what to tell.
        now: time, µs; by default the clock's.

    Returns:
        The number of each notice; of a repeated one, the number of the first.

    Raises:
        InputError: a text is longer than its column, or a parameter has no JSON form.
    """
    moment = now_us() if now is None else now
    rows = [_row(notice, moment) for notice in notices]
    if tx.dialect == "postgresql":  # two transactions with one key must not both find nothing
        for key in sorted({row["dedup"] for row in rows if row["dedup"]}):
            tx.rows(_LOCK, {"key": key})
    return [_keep(tx, row, moment) for row in rows]


def _keep(tx: Transaction, row: dict[str, Any], moment: int) -> int:
    if row["dedup"]:
        names = ("dedup", "to_kind", "to_name", "to_unit", "to_role")
        twin = tx.rows(_TWIN, {"since": moment - DEDUP_MINUTES * MINUTE_US, **{name: row[name] for name in names}})
        if twin:
            tx.run(_REPEAT, [{"row_id": int(twin[0][0]), "more": 1}])
            return int(twin[0][0])
    return tx.insert(_INSERT, _N.id, [row])[0]


def _row(notice: Notice, moment: int) -> dict[str, Any]:
    to = notice.to
    name, unit, role, language = "", "", "", ""
    match to:
        case Person(login):
            kind, name = "person", login
        case Duty(unit, role):
            kind = "duty"
        case Address(url, language):
            kind, name = "address", url
    try:
        params = orjson.dumps(dict(notice.params)).decode()
    except TypeError as error:
        raise InputError(f"a parameter has no JSON form: {error}", where=notice.template) from None
    row: dict[str, Any] = {
        "created": moment,
        "to_kind": kind,
        "to_name": name,
        "to_unit": unit,
        "to_role": role,
        "language": language,
        "template": notice.template,
        "params": params,
        "incident": notice.incident,
        "dedup": notice.dedup,
        "urgent": notice.urgent,
        "state": "waiting",
        "repeats": 0,
    }
    for column in ("to_name", "to_unit", "to_role", "language", "template", "dedup"):
        of = _N[column].type
        assert isinstance(of, sa.String) and of.length is not None
        if len(str(row[column])) > of.length:
            raise InputError(f"longer than {of.length} characters", where=f"{notice.template}, {column}")
    return row
