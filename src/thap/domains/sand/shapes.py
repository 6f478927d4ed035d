"""What the routes of the sand domain answer, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = [
    "CornersJudged",
    "EntryPage",
    "EntryShown",
    "EvidenceList",
    "ImportDone",
    "LedgerPage",
    "TripPage",
    "ViolationPage",
    "ViolationShown",
    "WeekShown",
]


class FaultShown(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a row or a corner."""

    row: int
    column: str
    code: str
    message: str
    hint: str
    value: str
    blocking: bool
    values: Mapping[str, Any]


class CornerShown(msgspec.Struct, frozen=True, kw_only=True):
    """A corner as printed."""

    label: str
    x: float
    y: float
    line: int


class CornersJudged(msgspec.Struct, frozen=True, kw_only=True):
    """A corner table as a polygon."""

    good: bool
    meridian: float | None
    meridian_text: str
    home: Mapping[str, str]
    fits: Sequence[str]
    area_ha: float | None
    edges_m: Sequence[float]
    corners: Sequence[CornerShown]
    faults: Sequence[FaultShown]
    geometry: Mapping[str, Any] | None
    picture: str


class EntryKept(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it is kept."""

    id: int
    noun: str
    key: str
    commune: str
    version: int
    retired: bool
    changed: int
    changed_by: str
    reason: str
    body: Mapping[str, Any]


class EntryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries by title."""

    items: Sequence[EntryKept]


class EntryShown(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with its versions, newest first."""

    id: int
    noun: str
    key: str
    commune: str
    version: int
    retired: bool
    changed: int
    changed_by: str
    reason: str
    body: Mapping[str, Any]
    versions: Sequence[EntryKept] = ()
    picture: str = ""


class ImportItem(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of an entry."""

    action: str
    noun: str
    key: str
    title: str
    row: int
    version: int
    changes: Mapping[str, Sequence[Any]]
    notes: Sequence[FaultShown]
    geometry: Mapping[str, Any] | None
    area_ha: float | None


class PictureShown(msgspec.Struct, frozen=True, kw_only=True):
    """A corner table drawn, SVG."""

    title: str
    picture: str


class DeclaredLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a declared book."""

    row: int
    licence: str
    period: str
    m3: float
    trips: int | None


class ImportDone(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did, or would do."""

    file: str
    sha256: str
    imported: bool
    faults: Sequence[FaultShown]
    unknown_columns: Sequence[str]
    noun: str = ""
    book: int = 0
    added: int = 0
    changed: int = 0
    same: int = 0
    items: Sequence[ImportItem] = ()
    lines: Sequence[DeclaredLine] = ()
    pictures: Sequence[PictureShown] = ()


class AmountShown(msgspec.Struct, frozen=True, kw_only=True):
    """A quantity with its band of 90 %, m³."""

    m3: float
    low_m3: float
    high_m3: float
    trips: int
    unmeasured: int


class ForecastShown(msgspec.Struct, frozen=True, kw_only=True):
    """When a licence is used up."""

    day: str | None
    early: str | None
    late: str | None
    rate_m3: float
    days: int
    left_m3: float


class LineShown(msgspec.Struct, frozen=True, kw_only=True):
    """A day or month."""

    period: str
    m3: float
    low_m3: float
    high_m3: float
    trips: int
    unmeasured: int
    declared_m3: float | None
    declared_trips: int | None
    difference_m3: float | None
    beyond_doubt: bool


class AccountShown(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger of a licence."""

    licence: str
    key: str
    name: str
    holder: str
    today: str
    used: Mapping[str, AmountShown]
    limits: Mapping[str, float | None]
    over: Sequence[str]
    declared_m3: float
    forecast: ForecastShown | None
    days: Sequence[LineShown] = ()
    months: Sequence[LineShown] = ()


class LedgerPage(msgspec.Struct, frozen=True, kw_only=True):
    """Ledgers by licence."""

    items: Sequence[AccountShown]


class TripShown(msgspec.Struct, frozen=True, kw_only=True):
    """A trip. Times µs."""

    id: int
    vessel: str
    vessel_name: str
    licence_id: int | None
    day: str
    load_begin: int
    load_end: int
    unload_begin: int
    unload_end: int | None
    wharf_id: int | None
    lon: float
    lat: float
    commune: str
    dredger: str
    hold_m3: float | None
    confidence: float


class TripPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    items: Sequence[TripShown]


class ViolationKept(msgspec.Struct, frozen=True, kw_only=True):
    """A violation. Times µs."""

    id: int
    kind: str
    vessel: str
    vessel_name: str
    begin: int
    end: int | None
    noticed: int
    lon: float
    lat: float
    commune: str
    licence: int | None
    numbers: Mapping[str, float]
    detail: Mapping[str, str]


class ViolationPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    items: Sequence[ViolationKept]


class FixShown(msgspec.Struct, frozen=True, kw_only=True):
    """A position that decided it."""

    time: str
    lon: float
    lat: float
    speed_kn: float | None
    course_deg: float | None


class PackShown(msgspec.Struct, frozen=True, kw_only=True):
    """A pack that was made."""

    id: int
    violation_id: int
    sha256: str
    size: int
    signed: bool
    made: int
    made_by: str


class ViolationShown(msgspec.Struct, frozen=True, kw_only=True):
    """A violation with what decided it."""

    id: int
    kind: str
    vessel: str
    vessel_name: str
    begin: int
    end: int | None
    noticed: int
    lon: float
    lat: float
    commune: str
    licence: int | None
    numbers: Mapping[str, float]
    detail: Mapping[str, str]
    positions: Sequence[FixShown]
    packs: Sequence[PackShown]
    parameters: Mapping[str, float]
    book_version: int


class EvidenceList(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    items: Sequence[PackShown]


class WeekLicence(msgspec.Struct, frozen=True, kw_only=True):
    """A licence in a week."""

    licence: str
    key: str
    name: str
    holder: str
    today: str
    used: Mapping[str, AmountShown]
    limits: Mapping[str, float | None]
    over: Sequence[str]
    declared_m3: float
    forecast: ForecastShown | None
    week: AmountShown
    declared_week_m3: float | None
    estimated_beside_m3: float | None


class WeekVessel(msgspec.Struct, frozen=True, kw_only=True):
    """A vessel in a week."""

    vessel: str
    name: str
    violations: int
    trips: int


class WeekShown(msgspec.Struct, frozen=True, kw_only=True):
    """The weekly summary."""

    week: str
    since: str
    until: str
    licences: Sequence[WeekLicence]
    violations: Mapping[str, int]
    vessels: Sequence[WeekVessel]
    hours: float
    heard: int
    known: int
