"""The registry: which things, datastreams and movers exist, and the whole numbers blocks name them by.

A *thing* (station, trap, camera) has *datastreams* (its measured series); a *mover* (vessel, vehicle)
has positions. The key of a datastream is `thing/name`, as in the MQTT topic. Names from outside that
the registry does not know wait in quarantine until somebody, or the policy, admits them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import now_us
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.policy.records import grants
from thap.kernel.records import metadata

__all__ = [
    "DatastreamInfo",
    "MoverInfo",
    "Registry",
    "check_restrictable",
    "datastreams",
    "load_numbers",
    "load_registry",
    "movers",
    "note_quarantined",
    "numbers_of",
    "quarantine",
    "quarantined_keys",
    "register_datastreams",
    "register_movers",
    "register_things",
    "things",
    "update_movers",
    "valid_name",
]

_NAME = re.compile(r"[\w][\w.:@-]{0,127}")

things = sa.Table(
    "things",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(128), nullable=False, unique=True),
    sa.Column("title", sa.String(256), nullable=False, server_default=""),
    sa.Column("kind", sa.String(64), nullable=False, server_default=""),
    sa.Column("domain", sa.String(32), nullable=False, server_default="", index=True),
    sa.Column("lon", sa.Float),
    sa.Column("lat", sa.Float),
    sa.Column("commune", sa.String(16), nullable=False, server_default="", index=True),
    sa.Column("properties", sa.JSON, nullable=False, server_default="{}"),
    sa.Column("created", sa.BigInteger, nullable=False),
)
datastreams = sa.Table(
    "datastreams",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("thing_id", sa.ForeignKey("things.id"), nullable=False, index=True),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("key", sa.String(257), nullable=False, unique=True),
    sa.Column("property", sa.String(64), nullable=False, server_default="", index=True),
    sa.Column("unit", sa.String(32), nullable=False, server_default=""),
    sa.Column("created", sa.BigInteger, nullable=False),
)
movers = sa.Table(
    "movers",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(128), nullable=False, unique=True),
    sa.Column("name", sa.String(256), nullable=False, server_default=""),
    sa.Column("kind", sa.String(64), nullable=False, server_default=""),
    sa.Column("domain", sa.String(32), nullable=False, server_default="", index=True),
    sa.Column("properties", sa.JSON, nullable=False, server_default="{}"),
    sa.Column("created", sa.BigInteger, nullable=False),
)
quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("kind", sa.String(16), primary_key=True),  # observation or position
    sa.Column("key", sa.String(257), primary_key=True),  # datastream or mover key as it was sent
    sa.Column("door", sa.String(32), nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("first", sa.BigInteger, nullable=False),  # µs, door time
    sa.Column("last", sa.BigInteger, nullable=False, index=True),
    sa.Column("sample", sa.String(512), nullable=False),  # the latest record, JSON
)


@dataclass(frozen=True, slots=True)
class DatastreamInfo:
    """One datastream with what rules select it by."""

    id: int
    key: str
    thing: str
    name: str
    property: str
    unit: str
    domain: str
    kind: str
    """Kind of its thing."""
    lon: float | None
    lat: float | None
    commune: str


@dataclass(frozen=True, slots=True)
class MoverInfo:
    """One mover with what rules select it by."""

    id: int
    key: str
    name: str
    kind: str
    domain: str
    properties: dict[str, Any]


@dataclass(frozen=True)
class Registry:
    """A snapshot of all that exists. Immutable: a change makes a new snapshot."""

    datastreams: tuple[DatastreamInfo, ...] = ()
    movers: tuple[MoverInfo, ...] = ()
    datastream_id: dict[str, int] = field(default_factory=dict)
    """By key."""
    mover_id: dict[str, int] = field(default_factory=dict)
    """By key."""

    @property
    def max_datastream(self) -> int:
        """The largest datastream number, 0 when there is none."""
        return self.datastreams[-1].id if self.datastreams else 0

    @property
    def max_mover(self) -> int:
        return self.movers[-1].id if self.movers else 0


def valid_name(name: str) -> bool:
    """Whether a thing, datastream or mover may be called this: word characters, then also `.:@-`; ≤ 128."""
    return _NAME.fullmatch(name) is not None


async def load_registry(connection: AsyncConnection) -> Registry:
    """The registry as it stands, ordered by number."""
    t, d, m = things.c, datastreams.c, movers.c
    rows = await connection.execute(
        sa.select(d.id, d.key, t.name, d.name, d.property, d.unit, t.domain, t.kind, t.lon, t.lat, t.commune)
        .join_from(datastreams, things)
        .order_by(d.id)
    )
    series = tuple(DatastreamInfo(*row) for row in rows.all())
    rows = await connection.execute(sa.select(m.id, m.key, m.name, m.kind, m.domain, m.properties).order_by(m.id))
    moving = tuple(MoverInfo(*tuple(row)) for row in rows.all())
    return Registry(series, moving, {s.key: s.id for s in series}, {m.key: m.id for m in moving})


async def load_numbers(connection: AsyncConnection) -> tuple[dict[str, int], dict[str, int]]:
    """Only the numbers of datastreams and of movers by key: what a door needs, and much quicker to read."""
    series = await connection.execute(sa.select(datastreams.c.key, datastreams.c.id))
    moving = await connection.execute(sa.select(movers.c.key, movers.c.id))
    return {row.key: row.id for row in series.all()}, {row.key: row.id for row in moving.all()}


async def numbers_of(connection: AsyncConnection, kind: str, keys: list[str]) -> dict[str, int]:
    """Numbers of those `keys` that the registry knows, of datastreams (`observation`) or movers (`position`)."""
    table = datastreams if kind == "observation" else movers
    found: dict[str, int] = {}
    for start in range(0, len(keys), 500):
        rows = await connection.execute(
            sa.select(table.c.key, table.c.id).where(table.c.key.in_(keys[start : start + 500]))
        )
        found.update({row.key: row.id for row in rows.all()})
    return found


async def check_restrictable(connection: AsyncConnection, kind: str, ref: str, domains: Collection[str] = ()) -> None:
    """See that what shall be restricted is there: a name mistyped would hide nothing. Units are looked up by policy.

    Args:
        connection: to the records.
        kind: thing (or mover), domain, unit.
        ref: its name.
        domains: those known whether or not anything is of them yet; those of things, movers and grants are, too.

    Raises:
        NotFoundError: there is none.
    """
    if kind == "unit" or (kind == "domain" and ref in domains):
        return
    of_thing = (things.c.name, movers.c.key)
    of_domain = (things.c.domain, movers.c.domain, grants.c.domain)
    for column in of_thing if kind == "thing" else of_domain:
        if await connection.scalar(sa.select(column).where(column == ref).limit(1)) is not None:
            return
    what, hint = "thing or mover", "register it first; names are told apart by capital letters, too"
    if kind == "domain":
        what, hint = "domain", f"known are {', '.join(sorted(domains))} and those of things, movers and roles given"
    raise NotFoundError(f"there is no {what} {ref[:64]!r}", where="ref", hint=hint)


def _insert(connection: AsyncConnection, table: sa.Table) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


async def _upsert(connection: AsyncConnection, table: sa.Table, unique: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows; a row whose `unique` column exists already has its given columns updated."""
    for shape in dict.fromkeys(tuple(sorted(row)) for row in rows):
        group = [row for row in rows if tuple(sorted(row)) == shape]
        statement = _insert(connection, table)
        changed = {c: statement.excluded[c] for c in shape if c not in (unique, "created")}
        statement = (
            statement.on_conflict_do_update(index_elements=[unique], set_=changed)
            if changed
            else statement.on_conflict_do_nothing(index_elements=[unique])
        )
        await connection.execute(statement, group)


async def register_things(connection: AsyncConnection, rows: list[dict[str, Any]]) -> None:
    """Create or update things.

    Args:
        connection: in a write transaction.
        rows: columns of `things`; `name` is required, the rest optional.

    Raises:
        InputError: a name is not allowed; the message says which row.
    """
    stamped = []
    for index, row in enumerate(rows):
        if not valid_name(str(row.get("name", ""))):
            raise InputError(
                f"{row.get('name')!r} is not a name for a thing",
                where=f"row {index}",
                hint="use letters, digits and . : @ - _, at most 128",
            )
        stamped.append({**row, "created": now_us()})
    if stamped:
        await _upsert(connection, things, "name", stamped)


async def register_datastreams(connection: AsyncConnection, rows: list[dict[str, Any]]) -> None:
    """Create or update datastreams, and with them things that do not exist yet.

    Args:
        connection: in a write transaction.
        rows: `key` as `thing/name`; optionally `property` and `unit`.

    Raises:
        InputError: a key is not `thing/name`.
    """
    names: dict[str, None] = {}
    for index, row in enumerate(rows):
        thing, slash, name = str(row.get("key", "")).partition("/")
        if not slash or not valid_name(thing) or not valid_name(name):
            raise InputError(
                f"{row.get('key')!r} is not a datastream key", where=f"row {index}", hint="write thing/datastream"
            )
        names[thing] = None
    if not names:
        return
    known: dict[str, int] = {}

    async def find() -> None:
        wanted = [name for name in names if name not in known]
        for start in range(0, len(wanted), 500):
            found = await connection.execute(
                sa.select(things.c.name, things.c.id).where(things.c.name.in_(wanted[start : start + 500]))
            )
            known.update((name, number) for name, number in found)

    await find()
    await register_things(connection, [{"name": name} for name in names if name not in known])
    await find()
    stamp = now_us()
    await _upsert(
        connection,
        datastreams,
        "key",
        [
            {
                **row,
                "thing_id": known[row["key"].partition("/")[0]],
                "name": row["key"].partition("/")[2],
                "created": stamp,
            }
            for row in rows
        ],
    )


async def register_movers(connection: AsyncConnection, rows: list[dict[str, Any]]) -> None:
    """Create or update movers; `key` is required, the other columns of `movers` optional."""
    for index, row in enumerate(rows):
        if not valid_name(str(row.get("key", ""))):
            raise InputError(f"{row.get('key')!r} is not a name for a mover", where=f"row {index}")
    if rows:
        stamp = now_us()
        await _upsert(connection, movers, "key", [{**row, "created": stamp} for row in rows])


async def update_movers(connection: AsyncConnection, rows: list[dict[str, Any]]) -> bool:
    """Set `name`, `kind` or `properties` (merged) of existing movers by `key`; whether anything changed."""
    m = movers.c
    changed = False
    for row in rows:
        found = (
            await connection.execute(sa.select(m.name, m.kind, m.properties).where(m.key == row["key"]))
        ).one_or_none()
        if found is None:
            continue
        wanted = {
            "name": row.get("name") or found.name,
            "kind": row.get("kind") or found.kind,
            "properties": {**found.properties, **row.get("properties", {})},
        }
        if wanted != {"name": found.name, "kind": found.kind, "properties": found.properties}:
            await connection.execute(sa.update(movers).where(m.key == row["key"]).values(**wanted))
            changed = True
    return changed


async def quarantined_keys(connection: AsyncConnection) -> set[tuple[str, str]]:
    """(kind, key) of every name in quarantine."""
    rows = await connection.execute(sa.select(quarantine.c.kind, quarantine.c.key))
    return {(kind, key) for kind, key in rows.all()}


async def note_quarantined(
    connection: AsyncConnection, kind: str, door: str, records: list[dict[str, Any]], now: int
) -> None:
    """List the names of records that wait in quarantine, with how many and the latest of each.

    Args:
        connection: in a write transaction.
        kind: `observation` or `position`.
        door: where they came in.
        records: each with `key`, in the order they came.
        now: door time, µs.
    """
    counts: dict[str, int] = {}
    samples: dict[str, str] = {}
    for record in records:
        counts[record["key"]] = counts.get(record["key"], 0) + 1
        samples[record["key"]] = json.dumps(record, ensure_ascii=False)[:512]
    statement = _insert(connection, quarantine)
    statement = statement.on_conflict_do_update(
        index_elements=["kind", "key"],
        set_={
            "count": quarantine.c.count + statement.excluded.count,
            "last": statement.excluded.last,
            "door": statement.excluded.door,
            "sample": statement.excluded.sample,
        },
    )
    await connection.execute(
        statement,
        [
            {"kind": kind, "key": key, "door": door, "count": count, "first": now, "last": now, "sample": samples[key]}
            for key, count in counts.items()
        ],
    )
