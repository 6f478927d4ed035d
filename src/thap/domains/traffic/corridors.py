"""Corridors, named stretches of road whose speed or flow is forecast, and the forecasts, as records."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.errors import ConflictError, InputError
from thap.kernel.records import metadata
from thap.observe.registry import datastreams, things

__all__ = [
    "MOST_DATASTREAMS",
    "Corridor",
    "KeptForecast",
    "drop_forecasts",
    "forecast_runs",
    "keep_forecast",
    "latest_forecasts",
    "load_corridors",
    "members_of",
    "set_corridor",
    "shipped_corridors",
    "traffic_corridors",
    "traffic_forecasts",
]

MOST_DATASTREAMS = 20
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

traffic_corridors = sa.Table(
    "traffic_corridors",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("datastreams", sa.Text, nullable=False),  # JSON: a list of keys
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
    sa.UniqueConstraint("name", "version"),
    sqlite_autoincrement=True,
)
traffic_forecasts = sa.Table(
    "traffic_forecasts",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("corridor", sa.String(64), nullable=False),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("inputs_until", sa.BigInteger, nullable=False),
    sa.Column("parameters", sa.Integer, nullable=False),  # version of the parameters it was made with
    sa.Column("version", sa.Integer, nullable=False),  # of the corridor
    sa.Column("body", sa.Text, nullable=False),  # JSON
    sa.UniqueConstraint("corridor", "inputs_until"),
    sqlite_autoincrement=True,
)
_C, _F = traffic_corridors.c, traffic_forecasts.c


@dataclass(frozen=True, slots=True)
class Corridor:
    """A stretch of road."""

    name: str
    title: str
    datastreams: tuple[str, ...]
    """Keys; all of one observed property."""
    enabled: bool = True
    version: int = 0
    """0: as shipped; else of the record that set it."""
    changed: int | None = None
    changed_by: str = ""


@dataclass(frozen=True, slots=True)
class KeptForecast:
    """A forecast as it is kept."""

    corridor: str
    made: int
    inputs_until: int
    """End of the last five minutes it knows, µs."""
    parameters: int
    version: int
    body: dict[str, Any]
    """`minutes`, `value`, `low`, `high`, `persistence` and `usual` (a list each); `now`, `free`, `limit` (None for
    flow), `property`, `unit`, `days` of history."""


@cache
def shipped_corridors() -> dict[str, Corridor]:
    """Corridors as shipped, by name."""
    body = tomllib.loads(resources.files("thap.domains.traffic").joinpath("corridors.toml").read_text("utf-8"))
    return {name: Corridor(name, one["title"], tuple(one["datastreams"])) for name, one in body.items()}


async def load_corridors(connection: AsyncConnection) -> dict[str, Corridor]:
    """All corridors by name, those switched off too: shipped ones, and what was set instead."""
    newest = sa.select(_C.name, sa.func.max(_C.version).label("version")).group_by(_C.name).subquery()
    rows = await connection.execute(
        sa.select(traffic_corridors).join(newest, sa.and_(_C.name == newest.c.name, _C.version == newest.c.version))
    )
    found = dict(shipped_corridors())
    for row in rows:
        found[row.name] = Corridor(
            row.name,
            row.title,
            tuple(json.loads(row.datastreams)),
            row.enabled,
            row.version,
            row.changed,
            row.changed_by,
        )
    return dict(sorted(found.items()))


async def set_corridor(connection: AsyncConnection, wanted: Corridor, *, version: int, by: str, now: int) -> Corridor:
    """Set a corridor; every older version is kept.

    Args:
        wanted: name, title, datastreams, and whether it is on.
        version: the version the caller saw in force, 0 for a new one.
        by: who sets it.
        now: µs.

    Raises:
        InputError: its name cannot be used, or its datastreams are none, too many, unknown, or measure several things.
        ConflictError: somebody else set it meanwhile.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", wanted.name):
        raise InputError(f"{wanted.name!r} is no name", where="name", hint="lower-case letters, digits, - and _")
    if not 0 < len(wanted.datastreams) <= MOST_DATASTREAMS:
        raise InputError(f"give 1 to {MOST_DATASTREAMS} datastreams", where="datastreams")
    known = {row.key: row for row in await members_of(connection, wanted.datastreams)}
    if missing := [key for key in wanted.datastreams if key not in known]:
        raise InputError(f"there is no datastream {missing[0]!r}", where="datastreams")
    if len(kinds := {row.property for row in known.values()}) > 1:
        raise InputError(
            f"these measure several things: {', '.join(sorted(kinds))}",
            where="datastreams",
            hint="a corridor is of speeds or of counts",
        )
    before = (await load_corridors(connection)).get(wanted.name)
    if (before.version if before else 0) != version:
        raise ConflictError(f"{wanted.name} was changed meanwhile", hint="look at it, then set it again")
    made = replace(
        wanted,
        title=(wanted.title.strip() or wanted.name)[:200],
        datastreams=tuple(dict.fromkeys(wanted.datastreams)),
        version=version + 1,
        changed=now,
        changed_by=by[:64],
    )
    row = {name: getattr(made, name) for name in ("name", "version", "title", "enabled", "changed", "changed_by")}
    try:
        await connection.execute(
            sa.insert(traffic_corridors).values(**row, datastreams=json.dumps(made.datastreams, ensure_ascii=False))
        )
    except IntegrityError:
        raise ConflictError(f"{wanted.name} was set by somebody else at once", hint="look at it again") from None
    return made


async def members_of(connection: AsyncConnection, keys: Sequence[str]) -> Sequence[Any]:
    """Datastreams of these keys with their things: id, key, property, unit, thing, lon, lat, commune, domain."""
    rows = await connection.execute(
        sa.select(
            datastreams.c.id,
            datastreams.c.key,
            datastreams.c.property,
            datastreams.c.unit,
            things.c.name.label("thing"),
            things.c.lon,
            things.c.lat,
            things.c.commune,
            things.c.domain,
        )
        .join(things, things.c.id == datastreams.c.thing_id)
        .where(datastreams.c.key.in_(keys))
        .order_by(datastreams.c.key)
    )
    return list(rows)


async def keep_forecast(connection: AsyncConnection, one: KeptForecast) -> None:
    """Keep a forecast; one with the same inputs as one before takes its place."""
    await connection.execute(
        sa.delete(traffic_forecasts).where(_F.corridor == one.corridor, _F.inputs_until == one.inputs_until)
    )
    await connection.execute(
        sa.insert(traffic_forecasts).values(
            corridor=one.corridor,
            made=one.made,
            inputs_until=one.inputs_until,
            parameters=one.parameters,
            version=one.version,
            body=json.dumps(one.body, separators=(",", ":")),
        )
    )


async def latest_forecasts(connection: AsyncConnection) -> dict[str, KeptForecast]:
    """The newest forecast of each corridor."""
    newest = sa.select(_F.corridor, sa.func.max(_F.inputs_until).label("until")).group_by(_F.corridor).subquery()
    asked = sa.select(traffic_forecasts).join(
        newest, sa.and_(_F.corridor == newest.c.corridor, _F.inputs_until == newest.c.until)
    )
    return {row.corridor: _kept(row) for row in await connection.execute(asked)}


async def forecast_runs(connection: AsyncConnection, corridor: str, since: int) -> list[KeptForecast]:
    """Forecasts of a corridor whose inputs end after a moment, oldest first."""
    asked = sa.select(traffic_forecasts).where(_F.corridor == corridor, _F.inputs_until >= since)
    return [_kept(row) for row in await connection.execute(asked.order_by(_F.inputs_until))]


async def drop_forecasts(connection: AsyncConnection, before: int) -> int:
    """Drop forecasts whose inputs end before a moment; gives how many."""
    return int((await connection.execute(sa.delete(traffic_forecasts).where(_F.inputs_until < before))).rowcount)


def _kept(row: Any) -> KeptForecast:
    return KeptForecast(row.corridor, row.made, row.inputs_until, row.parameters, row.version, json.loads(row.body))
