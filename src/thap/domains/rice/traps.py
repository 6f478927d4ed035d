"""Light traps and what they caught, night by night: what the trap sent, what pictures show, what people say.

A trap is a thing of the kind `light_trap` in the domain `rice`. Its datastreams, by observed property:

| property | unit | what |
|---|---|---|
| `planthopper_catch`, and so on (`SPECIES`) | 1/trap/night | a count, sent in the morning after |
| `lamp_hours` | h | how long the lamp burnt |
| `battery_voltage` | V | |

They come in by any door (MQTT, HTTP, files) and are admitted like others. A person's count holds before the trap's own,
and that before a picture's; all are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.rice.flights import Catches
from thap.domains.rice.pests import PESTS
from thap.domains.rice.records import trap_counts
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import DAY_US, HOUR_US, VIETNAM, from_us, now_us
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.history.lake import Lake
from thap.kernel.policy import Who
from thap.observe.registry import datastreams, things

__all__ = [
    "KIND",
    "SPECIES",
    "Night",
    "Trap",
    "add_count",
    "catches_of",
    "counts_of",
    "day_us",
    "load_traps",
    "night_of",
    "nights_of",
    "read_series",
    "today",
    "traps_by_zone",
]

KIND = "light_trap"
SPECIES = {
    "planthopper_catch": "bph",
    "white_backed_catch": "wbph",
    "leaf_folder_catch": "leaf_folder",
    "stem_borer_catch": "stem_borer",
}
"""Observed property → pest."""
LAMP, BATTERY = "lamp_hours", "battery_voltage"
_NEAR_KM = 20.0
_N = trap_counts.c


@dataclass(frozen=True, slots=True)
class Trap:
    """A light trap and the numbers of its datastreams."""

    name: str
    title: str
    commune: str
    lon: float | None
    lat: float | None
    species: Mapping[str, int]
    """Pest → registry number."""
    keys: Mapping[str, str]
    """Pest → key of the datastream."""
    lamp: int | None = None
    battery: int | None = None


@dataclass(slots=True)
class Night:
    """What is known of one night of a trap and one pest."""

    night: date
    sent: float | None = None
    """What the trap sent."""
    picture: float | None = None
    """What the newest picture shows."""
    person: float | None = None
    """What a person said last."""
    counts: list[dict[str, Any]] = field(default_factory=list)
    """Rows of `rice_trap_counts`, the newest first."""
    lamp_hours: float | None = None

    @property
    def value(self) -> float | None:
        """What holds."""
        return next((one for one in (self.person, self.sent, self.picture) if one is not None), None)


def day_us(day: date) -> int:
    """Midnight of a day in Việt Nam, µs."""
    return (day - date(1970, 1, 1)).days * DAY_US - 7 * HOUR_US


def today(now: int | None = None) -> date:
    """The day it is in Việt Nam."""
    return from_us(now_us() if now is None else now).astimezone(VIETNAM).date()


def night_of(time: int) -> date:
    """The evening on which the night of a count began: what is sent until noon is of the night before."""
    return from_us(time).astimezone(VIETNAM).date() - timedelta(
        days=1 if from_us(time).astimezone(VIETNAM).hour < 12 else 0
    )


async def load_traps(connection: AsyncConnection, *, name: str = "") -> list[Trap]:
    """The light traps there are, by name; only the one of a name where that is given."""
    t, d = things.c, datastreams.c
    statement = (
        sa.select(t.name, t.title, t.commune, t.lon, t.lat, d.id, d.key, d.property)
        .join_from(things, datastreams)
        .where(sa.or_(t.kind == KIND, d.property.in_(SPECIES)))
        .order_by(t.name, d.id)
    )
    if name:
        statement = statement.where(t.name == name)
    found: dict[str, dict[str, Any]] = {}
    for row in await connection.execute(statement):
        one = found.setdefault(row.name, {"row": row, "species": {}, "keys": {}, LAMP: None, BATTERY: None})
        if row.property in SPECIES:
            one["species"].setdefault(SPECIES[row.property], row.id)
            one["keys"].setdefault(SPECIES[row.property], row.key)
        elif row.property in (LAMP, BATTERY):
            one[row.property] = row.id
    return [
        Trap(name, one["row"].title or name, one["row"].commune, one["row"].lon, one["row"].lat, one["species"],
             one["keys"], one[LAMP], one[BATTERY])
        for name, one in found.items()
        if one["species"]
    ]  # fmt: skip


def read_series(lake: Lake, numbers: Iterable[int], since: date, until: date) -> dict[int, dict[date, float]]:
    """Values by night, of datastreams that have one a night; of several in a night the last one. Blocks: use a thread.

    Args:
        lake: the history.
        numbers: of datastreams.
        since, until: nights, both included.
    """
    wanted = sorted(set(numbers))
    found: dict[int, dict[date, float]] = {number: {} for number in wanted}
    begin, end = day_us(since) + 12 * HOUR_US, day_us(until) + 36 * HOUR_US
    for batch in lake.scan_observations(wanted, begin, end):
        numbers_ = batch.column("datastream").to_numpy(zero_copy_only=False)
        times = batch.column("time").cast("int64").to_numpy(zero_copy_only=False)
        days = (times - 5 * HOUR_US) // DAY_US  # a night begins at noon in Việt Nam, 05:00 UTC
        results = batch.column("result").to_numpy(zero_copy_only=False)
        for number, day, result in zip(numbers_.tolist(), days.tolist(), results.tolist(), strict=True):
            if math.isfinite(result) and result >= 0:
                found[number][date(1970, 1, 1) + timedelta(days=day)] = result
    return found


async def counts_of(
    connection: AsyncConnection,
    where: sa.ColumnElement[bool] | None = None,
    *,
    trap: str = "",
    since: date | None = None,
    number: int | None = None,
) -> list[dict[str, Any]]:
    """Counts by people and pictures, the newest first."""
    statement = sa.select(trap_counts).order_by(_N.id.desc())
    if where is not None:
        statement = statement.where(where)
    if trap:
        statement = statement.where(_N.trap == trap)
    if since is not None:
        statement = statement.where(_N.night >= since.isoformat())
    if number is not None:
        statement = statement.where(_N.id == number)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


def nights_of(
    trap: Trap,
    species: str,
    series: Mapping[int, Mapping[date, float]],
    counts: Sequence[Mapping[str, Any]],
    since: date,
    until: date,
) -> list[Night]:
    """A trap's nights from `since` to `until`, each once, in order; counts of other traps and pests are left out."""
    sent = series.get(trap.species.get(species, -1), {})
    lamp = series.get(trap.lamp, {}) if trap.lamp is not None else {}
    nights = {
        day: Night(day, sent.get(day), lamp_hours=lamp.get(day))
        for day in (since + timedelta(days=n) for n in range((until - since).days + 1))
    }
    for row in sorted(counts, key=lambda row: row["id"], reverse=True):
        one = nights.get(date.fromisoformat(row["night"]))
        if one is None or row["trap"] != trap.name or row["species"] != species:
            continue
        one.counts.append(dict(row))
        if row["origin"] == "person" and one.person is None:
            one.person = row["value"]
        elif row["origin"] == "image" and one.picture is None:
            one.picture = row["value"]
    return list(nights.values())


def catches_of(nights: Sequence[Night], harvests: Iterable[tuple[date, date]] = ()) -> Catches:
    """The nights as flights are found in.

    Args:
        nights: of `nights_of`, at least one.
        harvests: first and last day of harvests near by.
    """
    counts = np.array([math.nan if one.value is None else one.value for one in nights], np.float64)
    lamp = np.array([math.nan if one.lamp_hours is None else one.lamp_hours for one in nights], np.float64)
    spans = list(harvests)
    harvest = np.array([any(begin <= one.night <= end for begin, end in spans) for one in nights], np.bool_)
    return Catches(nights[0].night, counts, 1, lamp if np.isfinite(lamp).any() else None, harvest)


async def add_count(
    connection: AsyncConnection,
    trap: Trap,
    night: date,
    species: str,
    value: float,
    *,
    origin: str,
    before: float | None,
    by: Who | str,
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
    attachment: int | None = None,
    now: int | None = None,
) -> int:
    """Keep what a person or a picture says of a night, beside what the trap sent; gives its number.

    Raises:
        InputError: the count is none, the night is to come, the pest is not one of traps, or a person gives no reason.
        NotFoundError: the trap does not count that pest.
    """
    moment = now_us() if now is None else now
    if species not in PESTS:
        raise InputError(
            f"{species[:40]!r} is no pest known here", where="species", hint=f"as {', '.join(trap.species)}"
        )
    if species not in trap.species:
        raise NotFoundError(f"{trap.name} does not count {species}", where="species")
    if not (math.isfinite(value) and 0 <= value <= 1e7):
        raise InputError(f"{value:g} is no count", where="value", hint="a number from 0 on")
    if night > today(moment):
        raise InputError("that night is yet to come", where="night")
    if origin == "person" and not reason.strip():
        raise InputError("say why it is corrected", where="reason", hint="as `miscounted: leaves on the sheet`")
    name = by if isinstance(by, str) else by.name
    row = {
        "trap": trap.name,
        "commune": trap.commune,
        "night": night.isoformat(),
        "species": species,
        "origin": origin,
        "value": float(value),
        "before": before,
        "reason": reason.strip()[:500],
        "detail": dict(detail or {}),
        "attachment": attachment,
        "created": moment,
        "created_by": name[:64],
    }
    number = int((await connection.execute(sa.insert(trap_counts).values(**row).returning(_N.id))).scalar_one())
    told = {key: row[key] for key in ("trap", "night", "species", "value", "before", "reason")}
    await append_async(connection, [Entry(by, f"rice.count.{origin}", f"rice_count:{number}", told)], moment)
    return number


def traps_by_zone(zones: Sequence[Mapping[str, Any]], traps: Sequence[Trap]) -> dict[int, list[Trap]]:
    """The traps that speak for each zone: those in its communes; where there is none, the nearest within 20 km."""
    found: dict[int, list[Trap]] = {}
    for zone in zones:
        inside = [trap for trap in traps if trap.commune and trap.commune in zone["communes"]]
        if not inside:
            away = sorted((_km(zone, trap), trap.name) for trap in traps if trap.lon is not None)
            near = {name for km, name in away[:1] if km <= _NEAR_KM}
            inside = [trap for trap in traps if trap.name in near]
        found[zone["id"]] = inside
    return found


def _km(zone: Mapping[str, Any], trap: Trap) -> float:
    east = ((trap.lon or 0) - zone["lon"]) * math.cos(math.radians(zone["lat"]))
    return math.hypot(east, (trap.lat or 0) - zone["lat"]) * 111.2
