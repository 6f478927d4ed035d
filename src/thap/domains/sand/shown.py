"""Findings as JSON: what `thap sand detect --json` prints, and others keep."""

from __future__ import annotations

from typing import Any

from thap.domains.sand.model import Book, Stay, Trip, Violation
from thap.domains.sand.offline import Report
from thap.kernel.clock import MINUTE_US, iso

__all__ = ["shown", "stay_dict", "trip_dict", "violation_dict"]


def shown(report: Report, book: Book) -> dict[str, Any]:
    """The whole report."""
    return {
        "positions": report.positions,
        "vessels": report.vessels,
        "begin": iso(report.begin),
        "end": iso(report.end),
        "stays": [stay_dict(stay, book) for stay in report.stays],
        "trips": [trip_dict(trip, book) for trip in report.trips],
        "violations": [violation_dict(violation, book) for violation in report.violations],
        "dropped": dict(report.dropped),
    }


def _moment(time: int | None) -> str | None:
    return None if time is None else iso(time)


def _number(licence: int | None, book: Book) -> str | None:
    found = book.licence_by_id.get(licence) if licence is not None else None
    return found.number if found else None


def _wharf(wharf: int | None, book: Book) -> str | None:
    found = book.wharf_by_id.get(wharf) if wharf is not None else None
    return found.name if found else None


def _mmsi(key: str) -> int | None:
    number = key.removeprefix("mmsi-")
    return int(number) if number != key and number.isdecimal() else None


def stay_dict(stay: Stay, book: Book) -> dict[str, Any]:
    """A stay: its kind, where and how long, and what decided its kind."""
    return {
        "vessel": stay.vessel,
        "mmsi": _mmsi(stay.vessel),
        "kind": str(stay.kind),
        "begin": iso(stay.begin),
        "end": iso(stay.end),
        "minutes": round((stay.end - stay.begin) / MINUTE_US, 1),
        "open": stay.open,
        "lon": round(stay.lon, 6),
        "lat": round(stay.lat, 6),
        "spread_m": stay.spread_m,
        "positions": stay.positions,
        "licence": _number(stay.licence, book),
        "distance_m": stay.distance_m,
        "wharf": _wharf(stay.wharf, book),
        "beside": stay.beside or None,
        "numbers": dict(stay.numbers),
    }


def trip_dict(trip: Trip, book: Book) -> dict[str, Any]:
    """A trip from loading to unloading."""
    return {
        "vessel": trip.vessel,
        "mmsi": _mmsi(trip.vessel),
        "licence": _number(trip.licence, book),
        "dredger": trip.dredger or None,
        "load_begin": iso(trip.load_begin),
        "load_end": iso(trip.load_end),
        "unload_begin": iso(trip.unload_begin),
        "unload_end": _moment(trip.unload_end),
        "wharf": _wharf(trip.wharf, book),
        "lon": round(trip.lon, 6),
        "lat": round(trip.lat, 6),
        "hold_m3": trip.hold_m3,
        "confidence": trip.confidence,
    }


def violation_dict(violation: Violation, book: Book) -> dict[str, Any]:
    """A violation with its evidence."""
    return {
        "kind": str(violation.kind),
        "vessel": violation.vessel,
        "mmsi": _mmsi(violation.vessel),
        "begin": iso(violation.begin),
        "end": _moment(violation.end),
        "noticed": iso(violation.noticed),
        "lon": round(violation.lon, 6),
        "lat": round(violation.lat, 6),
        "licence": _number(violation.licence, book),
        "numbers": dict(violation.numbers),
        "detail": dict(violation.detail),
        "positions": [fix.as_dict() for fix in violation.positions],
    }
