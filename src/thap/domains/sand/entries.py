"""What the register keeps: licences, vessels, wharves, forbidden zones and banks, as people write them down.

An entry is JSON-able and names things the way papers do (days, hours, GeoJSON); `to_*` makes of it what detectors
read (`thap.domains.sand.model`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any, ClassVar, Literal

import shapely
import shapely.geometry
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from shapely.geometry.base import BaseGeometry

from thap.domains.sand.model import Banks, Capacity, Licence, Vessel, VesselKind, Wharf, Zone
from thap.domains.sand.writing_styles import fold
from thap.kernel.clock import HOUR_US, to_us
from thap.kernel.errors import InputError

__all__ = [
    "ENTRIES",
    "PLURALS",
    "BankEntry",
    "Entry",
    "LicenceEntry",
    "Noun",
    "VesselEntry",
    "WharfEntry",
    "ZoneEntry",
    "geometry_of",
    "read_entry",
    "reference_key",
    "vessel_key",
]

Noun = Literal["licence", "vessel", "wharf", "zone", "bank"]
Amount = Annotated[float | None, Field(None, gt=0, le=1e12)]
Text = Annotated[str, Field(max_length=300, pattern=r"^[^\x00]*$")]
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ZONE_US = 7 * HOUR_US
_MMSI = re.compile(r"\d{9}")


def geometry_of(body: Mapping[str, Any]) -> BaseGeometry:
    """A GeoJSON geometry, checked.

    Raises:
        ValueError: it is none, lies outside the globe, or crosses itself.
    """
    try:
        shape = shapely.geometry.shape(dict(body))
    except Exception as error:
        raise ValueError(f"not a GeoJSON geometry: {error}") from None
    if shape.is_empty:
        raise ValueError("the geometry is empty")
    west, south, east, north = shape.bounds
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise ValueError("longitudes lie in ±180 and latitudes in ±90: are these plane metres, or latitude first?")
    if not shape.is_valid:
        raise ValueError(f"the outline crosses itself: {shapely.is_valid_reason(shape)}")
    return shapely.force_2d(shape)


class Entry(BaseModel):
    """Any entry."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    noun: ClassVar[Noun]
    source: Text = ""
    """The document it is from."""

    @property
    def key(self) -> str:
        """What it is known by; unique within its noun."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        """What people call it."""
        return self.key

    @property
    def shape(self) -> BaseGeometry | None:
        """Its outline, WGS 84."""
        given = getattr(self, "geometry", None)
        return None if given is None else geometry_of(given)


def _polygons(given: Any) -> Any:
    if given is not None:
        kind = geometry_of(given).geom_type
        if kind not in ("Polygon", "MultiPolygon"):
            raise ValueError(f"a {kind} is no area")
    return given


def _day(given: Any) -> Any:
    if given in (None, ""):
        return None
    if not _ISO_DAY.fullmatch(str(given)):
        raise ValueError("write the day as 2026-12-31")
    date.fromisoformat(str(given))
    return str(given)


def first_moment(day: str | None) -> int | None:
    """Midnight in Việt Nam at which a day begins, µs."""
    return None if day is None else to_us_of(date.fromisoformat(day))


def after_day(day: str | None) -> int | None:
    """Midnight at which a day has ended, µs."""
    return None if day is None else to_us_of(date.fromisoformat(day) + timedelta(days=1))


def to_us_of(day: date) -> int:
    """Midnight in Việt Nam at which a day begins, µs."""
    from datetime import datetime

    return to_us(datetime(day.year, day.month, day.day)) - _ZONE_US


def _clock(given: Any) -> Any:
    text = str(given)
    found = re.fullmatch(r"(\d{1,2}):(\d{2})", text)
    if not found or int(found[1]) > 24 or int(found[2]) > 59 or int(found[1]) * 60 + int(found[2]) > 24 * 60:
        raise ValueError("write the hour as 05:00")
    return f"{int(found[1]):02d}:{found[2]}"


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


class CornerBody(BaseModel):
    """A corner as printed."""

    model_config = ConfigDict(extra="forbid")
    label: str = Field(max_length=16)
    x: float
    y: float


class CornersBody(BaseModel):
    """The table a polygon was made from, kept as evidence of what the licence says."""

    model_config = ConfigDict(extra="forbid")
    meridian: float
    rows: list[CornerBody] = Field(max_length=2000)


class LicenceEntry(Entry):
    """A licence to mine sand."""

    noun: ClassVar[Noun] = "licence"
    number: Text = Field(min_length=1, max_length=100)
    name: Text = ""
    """Of the mine."""
    holder: Text = ""
    geometry: dict[str, Any]
    """GeoJSON, WGS 84."""
    valid_from: str | None = None
    valid_to: str | None = None
    """The last day on which it is valid."""
    opens: str = "05:00"
    closes: str = "19:00"
    max_depth_m: float | None = Field(None, ge=-200, le=200)
    day_m3: Amount = None
    month_m3: Amount = None
    year_m3: Amount = None
    total_m3: Amount = None
    used_m3: float = Field(0.0, ge=0, le=1e12)
    """Taken under this licence before the centre watched it."""
    area_ha: float | None = Field(None, gt=0, le=1e6)
    vessels: list[Text] = Field(default_factory=list, max_length=500)
    """MMSI, tracker ids, or names of vessels of the register."""
    corners: CornersBody | None = None

    _polygon = field_validator("geometry")(_polygons)
    _days = field_validator("valid_from", "valid_to", mode="before")(_day)
    _hours = field_validator("opens", "closes", mode="before")(_clock)

    @model_validator(mode="after")
    def _in_order(self) -> LicenceEntry:
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError("it ends before it begins")
        return self

    @property
    def key(self) -> str:
        return reference_key(self.number)

    @property
    def title(self) -> str:
        return self.number

    def to_licence(self, number: int, known: Mapping[str, str]) -> Licence:
        """As detectors read it.

        Args:
            number: id of the record.
            known: key of a vessel by its folded name, MMSI or tracker id.
        """
        shape = self.shape
        assert shape is not None
        return Licence(
            id=number,
            number=self.number,
            holder=self.holder,
            polygon=shape,
            valid_from=first_moment(self.valid_from),
            valid_to=after_day(self.valid_to),
            opens=_minutes(self.opens) % (24 * 60),
            closes=_minutes(self.closes) % (24 * 60),
            max_depth_m=self.max_depth_m,
            capacity=Capacity(self.day_m3, self.month_m3, self.year_m3, self.total_m3),
            vessels=frozenset(known.get(fold(one)) or vessel_key(one) for one in self.vessels if one.strip()),
            source=self.source,
            name=self.name,
        )


class VesselEntry(Entry):
    """A vessel of the register."""

    noun: ClassVar[Noun] = "vessel"
    mmsi: str = ""
    tracker: str = Field("", max_length=128, pattern=r"^[^\s\x00]*$")
    name: Text = ""
    registration: Text = ""
    owner: Text = ""
    hold_m3: float | None = Field(None, gt=0, le=100_000)
    kind: VesselKind = "other"

    @field_validator("mmsi")
    @classmethod
    def _nine_digits(cls, given: str) -> str:
        if given and not _MMSI.fullmatch(given):
            raise ValueError(f"{given[:20]!r} is no MMSI, which has nine digits")
        return given

    @model_validator(mode="after")
    def _known_by(self) -> VesselEntry:
        if not (self.mmsi or self.tracker):
            raise ValueError("give its MMSI or the id of its tracker: else it cannot be followed")
        return self

    @property
    def key(self) -> str:
        return f"mmsi-{self.mmsi}" if self.mmsi else self.tracker

    @property
    def title(self) -> str:
        return self.name or self.registration or self.key

    def to_vessel(self) -> Vessel:
        """As detectors read it."""
        return Vessel(self.key, self.name or self.registration, self.owner, self.hold_m3, self.kind)


class WharfEntry(Entry):
    """A wharf or a storage yard."""

    noun: ClassVar[Noun] = "wharf"
    name: Text = Field(min_length=1)
    kind: Literal["wharf", "yard"] = "wharf"
    owner: Text = ""
    geometry: dict[str, Any]

    _polygon = field_validator("geometry")(_polygons)

    @property
    def key(self) -> str:
        return reference_key(self.name)

    @property
    def title(self) -> str:
        return self.name

    def to_wharf(self, number: int) -> Wharf:
        """As detectors read it."""
        shape = self.shape
        assert shape is not None
        return Wharf(number, self.name, shape, self.kind)


class ZoneEntry(Entry):
    """An area where nobody may dredge."""

    noun: ClassVar[Noun] = "zone"
    name: Text = Field(min_length=1)
    reason: Text = ""
    geometry: dict[str, Any]
    valid_from: str | None = None
    valid_to: str | None = None

    _polygon = field_validator("geometry")(_polygons)
    _days = field_validator("valid_from", "valid_to", mode="before")(_day)

    @property
    def key(self) -> str:
        return reference_key(self.name)

    @property
    def title(self) -> str:
        return self.name

    def to_zone(self, number: int) -> Zone:
        """As detectors read it."""
        shape = self.shape
        assert shape is not None
        return Zone(number, self.name, shape, self.reason, first_moment(self.valid_from), after_day(self.valid_to))


class BankEntry(Entry):
    """A bank of the river, and how near to it nobody may dredge."""

    noun: ClassVar[Noun] = "bank"
    name: Text = Field(min_length=1)
    geometry: dict[str, Any]
    """Lines of the bank, or the river as an area, whose edge is the bank."""
    min_distance_m: float = Field(gt=0, le=5000)

    @field_validator("geometry")
    @classmethod
    def _lines(cls, given: Any) -> Any:
        kind = geometry_of(given).geom_type
        if "Point" in kind:
            raise ValueError("a bank is a line, or the river as an area")
        return given

    @property
    def key(self) -> str:
        return reference_key(self.name)

    @property
    def title(self) -> str:
        return self.name

    def to_banks(self, number: int) -> Banks:
        """As detectors read it."""
        shape = self.shape
        assert shape is not None
        return Banks(number, self.name, shape, self.min_distance_m, self.source)


ENTRIES: dict[Noun, type[Entry]] = {
    "licence": LicenceEntry,
    "vessel": VesselEntry,
    "wharf": WharfEntry,
    "zone": ZoneEntry,
    "bank": BankEntry,
}


PLURALS: dict[Noun, str] = {
    "licence": "licences",
    "vessel": "vessels",
    "wharf": "wharves",
    "zone": "zones",
    "bank": "banks",
}


def reference_key(text: str) -> str:
    """What two spellings of one number or name have in common: `12 / GP-UBND` and `12/gp-ubnd`."""
    plain = fold(text).replace(" ", "-")[:128]
    return plain or hashlib.sha256(text.strip().encode()).hexdigest()[:32]


def vessel_key(text: str) -> str:
    """Key of the mover that an MMSI or a tracker's id means."""
    compact = re.sub(r"[\s.]", "", text)
    found = re.fullmatch(r"(?:mmsi[-:]?)?(\d{9})", compact, re.IGNORECASE)
    return f"mmsi-{found[1]}" if found else text.strip()


def read_entry(noun: Noun, body: Mapping[str, Any]) -> Entry:
    """An entry from JSON.

    Raises:
        InputError: it does not hold together; says which field and why.
    """
    try:
        return ENTRIES[noun].model_validate(dict(body))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or noun
        said = str(first["msg"]).removeprefix("Value error, ")
        said = "it is missing" if first["type"] == "missing" else said[:1].lower() + said[1:]
        raise InputError(said, where=where, hint="correct it and send it again") from None
