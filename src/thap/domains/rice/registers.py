"""Zones, crops and weather in the records: every statement on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.rice.importing import Fault, Reading
from thap.domains.rice.records import crops, weather, zones
from thap.kernel.audit import Entry, append_async
from thap.kernel.errors import NotFoundError
from thap.kernel.policy import Who
from thap.kernel.units import fold

__all__ = ["Kept", "crops_of", "has_zones", "keep_registers", "weather_of", "zone_by_code", "zone_named", "zones_of"]

Row = dict[str, Any]
May = Callable[[str], bool]
_Z, _C, _W = zones.c, crops.c, weather.c
_EVERYTHING = sa.true()


@dataclass(slots=True)
class Kept:
    """What became of the rows of a file."""

    new: int = 0
    changed: int = 0
    same: int = 0
    faults: list[Fault] = field(default_factory=list)
    """Of rows that could not be kept after all."""


async def zones_of(connection: AsyncConnection, where: sa.ColumnElement[bool] = _EVERYTHING) -> list[Row]:
    """Zones by code."""
    return [dict(row) for row in (await connection.execute(sa.select(zones).where(where).order_by(_Z.code))).mappings()]


async def has_zones(connection: AsyncConnection) -> bool:
    """Whether any zone is known."""
    return await connection.scalar(sa.select(_Z.id).limit(1)) is not None


async def zone_by_code(connection: AsyncConnection, code: str, where: sa.ColumnElement[bool] = _EVERYTHING) -> Row:
    """One zone.

    Raises:
        NotFoundError: there is none of that code among those meant.
    """
    found = (await connection.execute(sa.select(zones).where(_Z.code == code, where))).mappings().first()
    if found is None:
        raise NotFoundError(f"there is no zone {code[:40]!r}", hint="`thap rice zones list` shows those there are")
    return dict(found)


async def crops_of(
    connection: AsyncConnection,
    where: sa.ColumnElement[bool] = _EVERYTHING,
    *,
    standing: date | None = None,
    limit: int = 5000,
) -> list[Row]:
    """Crops with the code, name and commune of their zone, the latest sown first.

    Args:
        where: on zones and crops.
        standing: only those sown by then and not harvested long before.
        limit: how many at most.
    """
    statement = (
        sa.select(crops, _Z.code.label("zone"), _Z.name.label("zone_name"), _Z.commune)
        .join_from(crops, zones)
        .where(where)
        .order_by(_C.sown.desc(), _Z.code, _C.id)
        .limit(limit)
    )
    if standing is not None:
        earliest = (standing - timedelta(days=200)).isoformat()
        statement = statement.where(_C.sown <= standing.isoformat(), _C.sown >= earliest)
    rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
    if standing is None:
        return rows
    return [row for row in rows if date.fromisoformat(row["sown"]) + timedelta(days=row["days"] + 14) >= standing]


async def weather_of(
    connection: AsyncConnection,
    place: str,
    since: date,
    until: date,
    *,
    kinds: Sequence[str] = ("observed", "forecast"),
) -> list[Row]:
    """Weather of a zone by day, of the province where the zone has none; what was observed before what was forecast."""
    rows = await connection.execute(
        sa.select(weather).where(
            _W.place.in_([place, ""]),
            _W.kind.in_(kinds),
            _W.day >= since.isoformat(),
            _W.day <= until.isoformat(),
        )
    )
    best: dict[str, Row] = {}
    for row in rows.mappings():
        rank = (row["kind"] == "observed", row["place"] == place)
        known = best.get(row["day"])
        if known is None or rank > (known["kind"] == "observed", known["place"] == place):
            best[row["day"]] = dict(row)
    return [best[day] for day in sorted(best)]


async def keep_registers(
    connection: AsyncConnection, reading: Reading, *, by: Who | str, now: int, may: May = lambda _commune: True
) -> Kept:
    """Keep the rows of a file of zones, crops or weather: new ones are added, others changed, none is doubled.

    Args:
        connection: in a write transaction.
        reading: of the file.
        by: who imports it.
        now: µs.
        may: whether who imports it may change what counts to a commune; '' is the province.
    """
    kept = Kept()
    name = by if isinstance(by, str) else by.name
    keep = {"zones": _keep_zone, "crops": _keep_crop, "weather": _keep_weather}[reading.kind]
    known = {row["code"]: row for row in await zones_of(connection)}
    for row in reading.rows:
        fault = await keep(connection, kept, row, known, f"{reading.name}:{row['line']}"[:300], name[:64], now, may)
        if fault is not None:
            kept.faults.append(fault)
    if kept.new or kept.changed:
        told = {"file": reading.name, "sha256": reading.digest, "new": kept.new, "changed": kept.changed}
        await append_async(connection, [Entry(by, "rice.import", f"rice:{reading.kind}", told)])
    return kept


async def _keep_zone(
    connection: AsyncConnection,
    kept: Kept,
    row: Row,
    known: dict[str, Row],
    source: str,
    name: str,
    now: int,
    may: May,
) -> Fault | None:
    values = {key: value for key, value in row.items() if key != "line"}
    before = known.get(row["code"])
    if not may(row["commune"]) or (before is not None and not may(before["commune"])):
        return Fault(row["line"], "communes", "you may not change zones of this commune")
    if before is None:
        made = {**values, "source": source, "created": now, "created_by": name, "changed": now, "changed_by": name}
        done = await connection.execute(sa.insert(zones).values(**made, version=1).returning(_Z.id))
        known[row["code"]] = {**made, "id": done.scalar_one(), "version": 1}
        kept.new += 1
    elif all(before[key] == value for key, value in values.items()):
        kept.same += 1
    else:
        changed = {**values, "source": source, "changed": now, "changed_by": name, "version": before["version"] + 1}
        await connection.execute(sa.update(zones).where(_Z.id == before["id"]).values(**changed))
        known[row["code"]] = {**before, **changed}
        kept.changed += 1
    return None


def zone_named(known: Mapping[str, Row], said: str) -> Row | None:
    """The zone of a code or a name."""
    if said in known:
        return known[said]
    plain = fold(said)
    found = [row for row in known.values() if plain in (fold(row["code"]), fold(row["name"]))]
    return found[0] if len(found) == 1 else None


async def _keep_crop(
    connection: AsyncConnection,
    kept: Kept,
    row: Row,
    known: dict[str, Row],
    source: str,
    name: str,
    now: int,
    may: May,
) -> Fault | None:
    zone = zone_named(known, row["zone"])
    if zone is None:
        return Fault(row["line"], "zone", f"there is no zone {row['zone']!r}", "import the zones first")
    if not may(zone["commune"]):
        return Fault(row["line"], "zone", "you may not change crops of this zone")
    values = {key: value for key, value in row.items() if key not in ("line", "zone")}
    same = {"zone_id": zone["id"], **{key: row[key] for key in ("season", "variety", "sown")}}
    found = await connection.execute(sa.select(crops).filter_by(**same))
    before = found.mappings().first()
    if before is None:
        made = {**values, "zone_id": zone["id"], "source": source, "created": now, "created_by": name}
        await connection.execute(sa.insert(crops).values(**made, changed=now, changed_by=name))
        kept.new += 1
    elif all(before[key] == value for key, value in values.items()):
        kept.same += 1
    else:
        changed = {**values, "source": source, "changed": now, "changed_by": name}
        await connection.execute(sa.update(crops).where(_C.id == before["id"]).values(**changed))
        kept.changed += 1
    return None


async def _keep_weather(
    connection: AsyncConnection,
    kept: Kept,
    row: Row,
    known: dict[str, Row],
    source: str,
    name: str,
    now: int,
    may: May,
) -> Fault | None:
    zone = zone_named(known, row["place"]) if row["place"] else None
    if row["place"] and zone is None:
        return Fault(row["line"], "place", f"there is no zone {row['place']!r}", "leave it empty for the province")
    if not may(zone["commune"] if zone else ""):
        return Fault(row["line"], "place", "you may not change the weather of this place")
    values = {key: value for key, value in row.items() if key not in ("line", "place")}
    place = zone["code"] if zone else ""
    same = (_W.place == place, _W.day == row["day"], _W.kind == row["kind"])
    before = (await connection.execute(sa.select(weather).where(*same))).mappings().first()
    stamped = {**values, "source": source, "changed": now, "changed_by": name}
    if before is None:
        await connection.execute(sa.insert(weather).values(place=place, **stamped))
        kept.new += 1
    elif all(before[key] == value for key, value in values.items()):
        kept.same += 1
    else:
        await connection.execute(sa.update(weather).where(*same).values(**stamped))
        kept.changed += 1
    return None
