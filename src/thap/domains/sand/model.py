"""What the sand domain knows and what it finds: plain objects, without SQL and without files.

A `Book` is everything licences and registers say at one moment; behaviour and detectors read nothing else. What they
find are `Stay`s, `Trip`s and `Violation`s. All geometry is WGS 84 (longitude, latitude), all times µs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from shapely.geometry.base import BaseGeometry

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, from_us, iso

__all__ = [
    "Banks",
    "Book",
    "Capacity",
    "Fix",
    "Kind",
    "Licence",
    "Stay",
    "StayKind",
    "Trip",
    "Vessel",
    "VesselKind",
    "Violation",
    "Wharf",
    "Zone",
    "local_day",
    "local_minute",
]

VesselKind = Literal["dredger", "barge", "other"]
_OFFSET_US = 7 * HOUR_US


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a licence lets out, m³; None where it sets no such limit."""

    day_m3: float | None = None
    month_m3: float | None = None
    """In a calendar month of Việt Nam."""
    year_m3: float | None = None
    """In a calendar year of Việt Nam."""
    total_m3: float | None = None


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence to mine sand."""

    id: int
    number: str
    """As printed: `12/GP-UBND`."""
    holder: str
    polygon: BaseGeometry
    """Polygon or MultiPolygon."""
    valid_from: int | None = None
    """First moment, µs; None where it is not told."""
    valid_to: int | None = None
    """First moment no longer valid, µs (midnight after the last day); None where it is not told."""
    opens: int = 5 * 60
    """Minutes after midnight in Việt Nam."""
    closes: int = 19 * 60
    """Minutes after midnight in Việt Nam; smaller than `opens` for hours over midnight, equal for all day."""
    max_depth_m: float | None = None
    capacity: Capacity = Capacity()
    vessels: frozenset[str] = frozenset()
    """Keys of the movers it names; empty where it names none, and then every vessel may work there."""
    source: str = ""
    """The document, or the file and line it was read from."""
    name: str = ""
    """Of the mine."""

    def valid_at(self, time: int) -> bool:
        """Whether it is in force."""
        return (self.valid_from is None or time >= self.valid_from) and (self.valid_to is None or time < self.valid_to)

    def open_at(self, time: int) -> bool:
        """Whether its hours let work go on; validity apart."""
        minute = local_minute(time)
        if self.opens == self.closes:
            return True
        if self.opens < self.closes:
            return self.opens <= minute < self.closes
        return minute >= self.opens or minute < self.closes


@dataclass(frozen=True, slots=True)
class Vessel:
    """A vessel of the register."""

    key: str
    """Key of its mover: `mmsi-574000101`, or of its tracker."""
    name: str = ""
    owner: str = ""
    hold_m3: float | None = None
    """Measured volume of its hold; None where nobody measured it."""
    kind: VesselKind = "other"


@dataclass(frozen=True, slots=True)
class Wharf:
    """A registered place where sand is unloaded."""

    id: int
    name: str
    polygon: BaseGeometry
    kind: Literal["wharf", "yard"] = "wharf"


@dataclass(frozen=True, slots=True)
class Zone:
    """An area where nobody may dredge: a slide, a bridge, a cable."""

    id: int
    name: str
    polygon: BaseGeometry
    reason: str = ""
    valid_from: int | None = None
    valid_to: int | None = None

    def valid_at(self, time: int) -> bool:
        """Whether it is forbidden at a moment."""
        return (self.valid_from is None or time >= self.valid_from) and (self.valid_to is None or time < self.valid_to)


@dataclass(frozen=True, slots=True)
class Banks:
    """Banks of a river, and how near to them nobody may dredge."""

    id: int
    name: str
    geometry: BaseGeometry
    """Lines of the bank, or a polygon of the river, whose edge is the bank."""
    min_distance_m: float
    source: str = ""


@dataclass(frozen=True)
class Book:
    """All licences and registers at one moment."""

    licences: tuple[Licence, ...] = ()
    vessels: Mapping[str, Vessel] = field(default_factory=dict)
    """By key."""
    wharves: tuple[Wharf, ...] = ()
    zones: tuple[Zone, ...] = ()
    banks: tuple[Banks, ...] = ()
    version: int = 0
    """Grows with every change of the records, and goes into evidence; 0 for a book read from files."""

    @cached_property
    def licence_by_id(self) -> dict[int, Licence]:
        return {licence.id: licence for licence in self.licences}

    @cached_property
    def wharf_by_id(self) -> dict[int, Wharf]:
        return {wharf.id: wharf for wharf in self.wharves}

    def hold_m3(self, key: str) -> float | None:
        """The measured hold of a vessel; None where it is not known."""
        vessel = self.vessels.get(key)
        return vessel.hold_m3 if vessel is not None else None


class StayKind(StrEnum):
    """What a vessel did while it stayed."""

    DREDGING = "dredging"
    LOADING = "loading"
    """A barge beside a dredger."""
    WORK = "work"
    """Slow work that is not dredging: fishing, towing, survey."""
    ANCHORED = "anchored"
    MOORED = "moored"
    UNCLEAR = "unclear"
    """Too short or too few positions to tell."""


class Kind(StrEnum):
    """What a violation is; its value is the condition of the alarm."""

    OUTSIDE = "sand.dredging_outside"
    """Dredging beyond the boundary of every licence."""
    HOURS = "sand.dredging_at_night"
    """Dredging in a mine outside the hours of its licence."""
    UNLISTED = "sand.dredging_unlisted"
    """Dredging in a mine whose licence does not name the vessel."""
    EXPIRED = "sand.dredging_expired"
    """Dredging in a mine whose licence is no longer, or not yet, valid."""
    FORBIDDEN = "sand.dredging_forbidden"
    """Dredging in a forbidden zone."""
    BANK = "sand.dredging_near_bank"
    """Dredging nearer to the bank than allowed."""
    SILENT = "sand.mine_silent"
    """No position for too long, in or near a mine."""
    UNLOADING = "sand.unloading_unregistered"
    """Sand unloaded where no wharf or yard is registered."""
    OVER_DAY = "sand.over_day"
    OVER_MONTH = "sand.over_month"
    OVER_YEAR = "sand.over_year"
    OVER_TOTAL = "sand.over_total"
    TWO_PLACES = "sand.identity_two_places"
    """One identity heard in two places at once."""
    RENAMED = "sand.identity_changed"
    """A vessel fell silent and another identity began at the same spot."""


@dataclass(frozen=True, slots=True)
class Fix:
    """One position as evidence."""

    time: int
    lon: float
    lat: float
    speed_kn: float | None = None
    course_deg: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "time": iso(self.time),
            "lon": round(self.lon, 6),
            "lat": round(self.lat, 6),
            "speed_kn": self.speed_kn,
            "course_deg": self.course_deg,
        }


@dataclass(frozen=True, slots=True)
class Stay:
    """A vessel kept to one place, or worked slowly around it."""

    vessel: str
    kind: StayKind
    begin: int
    end: int
    lon: float
    """Its middle."""
    lat: float
    spread_m: float
    """Root mean square distance from the middle."""
    positions: int
    licence: int | None = None
    """Id of the licence whose polygon it was in."""
    wharf: int | None = None
    """Id of the wharf it was at."""
    beside: str = ""
    """Key of the vessel it lay beside."""
    distance_m: float | None = None
    """From its middle to the nearest licence, 0 inside; None where none is near."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What decided its kind: mean speed, path, turning …"""
    open: bool = False
    """It had not ended when the input did."""


@dataclass(frozen=True, slots=True)
class Trip:
    """One load of sand from where it was taken to where it was put ashore."""

    vessel: str
    licence: int | None
    """Id of the licence whose mine it came out of; None: from outside every mine."""
    load_begin: int
    load_end: int
    unload_begin: int
    unload_end: int | None
    """None while it still lies at the berth."""
    wharf: int | None
    """Id of the wharf; None where none is registered."""
    lon: float
    """Of the berth."""
    lat: float
    dredger: str = ""
    """The dredger it lay beside; empty where the vessel filled its own hold."""
    hold_m3: float | None = None
    """Measured; None where nobody measured it."""
    confidence: float = 1.0
    """0…1: how sure it is that the hold was filled."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something a licence or the law does not let a vessel do."""

    kind: Kind
    vessel: str
    begin: int
    """When it became true."""
    end: int | None
    """None while it goes on."""
    noticed: int
    """Event time at which it could be told: what the alarm waits for."""
    lon: float
    lat: float
    licence: int | None = None
    """Id of the licence it goes against, or of the nearest one."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """distance_m, tolerance_m, minutes …"""
    detail: Mapping[str, str] = field(default_factory=dict)
    """Names: of the zone, the other vessel, the licence …"""
    positions: tuple[Fix, ...] = ()
    """Positions that decided it."""

    def as_state(self) -> dict[str, Any]:
        """All of it, msgpack-able; inverse of `of_state`."""
        body = {name: getattr(self, name) for name in self.__slots__}
        fixes = [[fix.time, fix.lon, fix.lat, fix.speed_kn, fix.course_deg] for fix in self.positions]
        return {
            **body,
            "kind": str(self.kind),
            "numbers": dict(self.numbers),
            "detail": dict(self.detail),
            "positions": fixes,
        }

    @classmethod
    def of_state(cls, body: Mapping[str, Any]) -> Violation:
        """What `as_state` gave."""
        return cls(**{**body, "kind": Kind(body["kind"]), "positions": tuple(Fix(*fix) for fix in body["positions"])})


def local_minute(time: int) -> int:
    """Minutes after midnight in Việt Nam."""
    return (time + _OFFSET_US) % DAY_US // MINUTE_US


def local_day(time: int) -> str:
    """The day in Việt Nam, as 2026-12-01."""
    return from_us(time + _OFFSET_US).date().isoformat()
