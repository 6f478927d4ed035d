"""How much left a mine: trips × hold × fill factor, and where that is more than a licence lets out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from thap.domains.sand.model import Book, Kind, Licence, Trip, Violation, local_day

__all__ = ["over_quantity", "trip_m3"]

_PERIODS: tuple[tuple[Kind, str, int], ...] = (
    (Kind.OVER_DAY, "day_m3", 10),
    (Kind.OVER_MONTH, "month_m3", 7),
    (Kind.OVER_YEAR, "year_m3", 4),
    (Kind.OVER_TOTAL, "total_m3", 0),
)
"""Kind of violation, limit in `Capacity`, and how much of a date names the period."""


def trip_m3(trip: Trip, fill_factor: float) -> float | None:
    """What a trip carried, m³; None where the hold was never measured.

    Args:
        trip: the trip.
        fill_factor: how full holds are, 1 for full.
    """
    return None if trip.hold_m3 is None else trip.hold_m3 * fill_factor


def over_quantity(
    trips: Iterable[Trip], book: Book, fill_factor: float, already: dict[int, float] | None = None
) -> list[Violation]:
    """Violations of the quantities of licences: one for each licence and period, by the trip that went over.

    Trips out of no mine, and those with holds nobody measured, are not counted: what is told is the least that left.
    A trip belongs to the day in Việt Nam on which its loading ended.

    Args:
        trips: in any order; all of the periods that matter.
        book: the licences.
        fill_factor: how full holds are, 1 for full.
        already: m³ that left each licence (by id) before the first trip, for the total.
    """
    sums: dict[tuple[int, Kind, str], float] = defaultdict(float)
    for number, amount in (already or {}).items():
        sums[number, Kind.OVER_TOTAL, ""] += amount
    found: dict[tuple[int, Kind, str], Violation] = {}
    for trip in sorted(trips, key=lambda one: (one.load_end, one.vessel)):
        amount_m3 = trip_m3(trip, fill_factor)
        licence = book.licence_by_id.get(trip.licence) if trip.licence is not None else None
        if licence is None or amount_m3 is None:
            continue
        day = local_day(trip.load_end)
        for kind, name, letters in _PERIODS:
            limit = getattr(licence.capacity, name)
            if limit is None:
                continue
            key = licence.id, kind, day[:letters]
            before = sums[key]
            sums[key] = before + amount_m3
            if sums[key] > limit:
                known = found.get(key)
                found[key] = (
                    _over(licence, kind, trip, sums[key], limit, day[:letters])
                    if known is None
                    else replace(known, numbers={**known.numbers, "taken_m3": round(sums[key], 1)})
                )
    return sorted(found.values(), key=lambda one: one.begin)


def _over(licence: Licence, kind: Kind, trip: Trip, taken: float, limit: float, period: str) -> Violation:
    middle = licence.polygon.representative_point()
    return Violation(
        kind,
        trip.vessel,
        trip.load_end,
        trip.load_end,
        trip.unload_begin,
        middle.x,
        middle.y,
        licence.id,
        {"taken_m3": round(taken, 1), "limit_m3": limit},
        {"licence": licence.number, "holder": licence.holder, "period": period},
    )
