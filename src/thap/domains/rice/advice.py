"""Sowing advice in the records: drafted by the system after a flight, approved by the plant-protection officer, then
published; and what the other registers say that bears on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.rice.biology import Biology, cohort
from thap.domains.rice.records import advice, crops, flights, zones
from thap.domains.rice.registers import crops_of
from thap.domains.rice.seasons import temperatures_of
from thap.domains.rice.sowing import Level, Plan, plan_sowing
from thap.domains.rice.steps import Act, State, check_step, note_step
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.policy import Who

__all__ = ["act_on_advice", "advice_by_id", "advice_of", "draft_advice", "flights_of", "plan_for"]

Row = dict[str, Any]
_A, _Z = advice.c, zones.c
_EVERYTHING = sa.true()
_LONGEST_WINDOW = 21


async def advice_of(
    connection: AsyncConnection,
    where: sa.ColumnElement[bool] = _EVERYTHING,
    *,
    states: Sequence[str] = (),
    zone_id: int | None = None,
    limit: int = 500,
) -> list[Row]:
    """Advice with code and name of its zone, the newest first."""
    statement = (
        sa.select(advice, _Z.code.label("zone"), _Z.name.label("zone_name"))
        .join_from(advice, zones)
        .where(where)
        .order_by(_A.id.desc())
        .limit(limit)
    )
    if states:
        statement = statement.where(_A.state.in_(states))
    if zone_id is not None:
        statement = statement.where(_A.zone_id == zone_id)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def advice_by_id(connection: AsyncConnection, number: int, where: sa.ColumnElement[bool] = _EVERYTHING) -> Row:
    """One advice.

    Raises:
        NotFoundError: there is none among those meant.
    """
    found = await advice_of(connection, sa.and_(_A.id == number, where), limit=1)
    if not found:
        raise NotFoundError(f"there is no advice {number}", hint="the list shows those there are")
    return found[0]


async def plan_for(
    connection: AsyncConnection,
    zone: Row,
    peak: date,
    parameters: Mapping[str, float],
    levels: Sequence[Level],
    *,
    today: date,
    window: tuple[date, date] | None = None,
    highest: float | None = None,
) -> Plan:
    """The window of a zone after a flight with all that the records say; `window` tries other days.

    Raises:
        InputError: the window is longer than three weeks.
    """
    if window is not None and abs((window[1] - window[0]).days) > _LONGEST_WINDOW:
        raise InputError(f"a window has at most {_LONGEST_WINDOW} days", where="sow_to")
    temperatures = await temperatures_of(connection, zone["code"], peak, parameters)
    following = cohort(peak, temperatures, Biology.of(parameters)).windows["next_flight"]
    standing = await crops_of(connection, crops.c.zone_id == zone["id"], standing=min(today, peak))
    return plan_sowing(
        zone,
        peak,
        parameters,
        today=today,
        window=window,
        highest=highest,
        next_flight=(following.early, following.expected, following.late),
        crops=standing,
        levels=levels,
    )


async def draft_advice(
    connection: AsyncConnection, zone: Row, plan: Plan, *, by: Who | str, now: int, flight_id: int | None = None
) -> Row:
    """Begin advice for a zone from a plan; a draft for the same zone and peak is brought up to date instead.

    Args:
        connection: in a write transaction.
        zone: row of `rice_zones`.
        plan: what it says.
        by: who drafts it; '' the centre itself.
        now: µs.
        flight_id: the flight it follows.
    """
    name = (by if isinstance(by, str) else by.name)[:64]
    said = {
        "sow_from": plan.sow_from.isoformat(),
        "sow_to": plan.sow_to.isoformat(),
        "reason": dict(plan.reason),
        "conflicts": [one.as_dict() for one in plan.conflicts],
        "parameters": dict(plan.parameters),
    }
    same = sa.and_(_A.zone_id == zone["id"], _A.peak == plan.peak.isoformat(), _A.state == State.DRAFT)
    known = await advice_of(connection, same, limit=1)
    if known:
        before = known[0]
        if any(before[key] != value for key, value in said.items()):
            after = {**before, **said, "changed": now, "version": before["version"] + 1}
            await _write(connection, after, (*said, "changed", "version"))
            await note_step(connection, "advice", after, Act.EDIT, before["state"], by=by, detail=said, now=now)
            return after
        return before
    row = {
        "zone_id": zone["id"],
        "commune": zone["commune"],
        "flight_id": flight_id,
        "peak": plan.peak.isoformat(),
        "state": str(State.DRAFT),
        **said,
        "created": now,
        "created_by": name,
        "changed": now,
        "approved": None,
        "approved_by": "",
        "published": None,
        "withdrawn": None,
        "version": 1,
    }
    number = (await connection.execute(sa.insert(advice).values(**row).returning(_A.id))).scalar_one()
    made = {**row, "id": int(number), "zone": zone["code"], "zone_name": zone["name"]}
    await note_step(connection, "advice", made, Act.DRAFT, "", by=by, detail=said, now=now)
    return made


async def act_on_advice(
    connection: AsyncConnection,
    row: Row,
    act: Act,
    *,
    by: Who | str,
    now: int,
    version: int | None,
    comment: str = "",
    plan: Plan | None = None,
    reason: Mapping[str, str] | None = None,
) -> Row:
    """Edit, approve, return, publish or withdraw advice; gives it as it is then.

    Args:
        connection: in a write transaction.
        row: as `advice_by_id` gave it in this transaction.
        act: what is done.
        by: who does it.
        now: µs.
        version: the version they saw; None does not check.
        comment: why; needed to return or withdraw it.
        plan: of an edit: the days as they shall be.
        reason: of an edit: the words, where the person wrote others than the plan's.

    Raises:
        ConflictError: it changed meanwhile, or its state does not allow this.
        InputError: the comment is missing.
    """
    after_state = check_step("advice", row, act, version)
    if act in (Act.RETURN, Act.WITHDRAW) and not comment.strip():
        raise InputError("say why", where="comment")
    name = (by if isinstance(by, str) else by.name)[:64]
    change: Row = {"state": str(after_state), "changed": now, "version": row["version"] + 1}
    detail: Row = {}
    if act is Act.EDIT and plan is not None:
        detail = plan.as_dict()
        change |= {
            **{key: detail[key] for key in ("sow_from", "sow_to", "conflicts", "parameters")},
            "reason": dict(reason or plan.reason),
        }
        detail["reason"] = change["reason"]
    elif act is Act.APPROVE:
        change |= {"approved": now, "approved_by": name}
    elif act is Act.RETURN:
        change |= {"approved": None, "approved_by": ""}
    elif act is Act.PUBLISH:
        change |= {"published": now}
    elif act is Act.WITHDRAW:
        change |= {"withdrawn": now}
    made = {**row, **change}
    await _write(connection, made, tuple(change))
    await note_step(
        connection, "advice", made, act, row["state"], by=by, comment=comment.strip(), detail=detail, now=now
    )
    return made


async def _write(connection: AsyncConnection, row: Row, names: Sequence[str]) -> None:
    await connection.execute(sa.update(advice).where(_A.id == row["id"]).values(**{name: row[name] for name in names}))


async def flights_of(
    connection: AsyncConnection,
    where: sa.ColumnElement[bool] = _EVERYTHING,
    *,
    since: date | None = None,
    zone_id: int | None = None,
) -> list[Row]:
    """Flights with code and name of their zone, the latest first."""
    statement = (
        sa.select(flights, _Z.code.label("zone"), _Z.name.label("zone_name"))
        .join_from(flights, zones)
        .where(where)
        .order_by(flights.c.peak.desc(), flights.c.id)
    )
    if since is not None:
        statement = statement.where(flights.c.peak >= since.isoformat())
    if zone_id is not None:
        statement = statement.where(flights.c.zone_id == zone_id)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]
