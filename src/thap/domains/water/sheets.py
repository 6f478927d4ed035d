"""The province's sheets of salinity by ten days: a line for each station and year, a column for each ten days.

    station,river,province,km_to_mouth,year,p0101_0110,p0111_0120,p0121_0131,…
    My Tho,Tien,Tien Giang,55,2021,,,,1.5,…

Values are g/l, the highest of the ten days; an empty cell was not measured. Columns of any ten days may be there, in
any order. A cell that cannot be taken is told with its line and column, and the others go on.
"""

from __future__ import annotations

import calendar
import hashlib
import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from thap.domains.water.tables import BadRow, fold, number_of, read_lines
from thap.kernel.clock import DAY_US, HOUR_US, to_us
from thap.kernel.errors import InputError

__all__ = ["MOST_G_L", "Sheet", "TenDays", "read_sheet", "station_name"]

MOST_G_L = 45.0
"""The sea has 35 g/l; more is a slip of the pen."""
_PERIOD = re.compile(r"p?_?(\d{2})(\d{2})_(\d{2})(\d{2})")
_NAMES = {
    "station": ("tram", "ten_tram", "name"),
    "river": ("song", "ten_song"),
    "province": ("tinh",),
    "km": ("km_to_mouth", "km_cach_cua", "khoang_cach", "km_to_sea"),
    "year": ("nam",),
}
_OFFSET_US = 7 * HOUR_US


@dataclass(frozen=True, slots=True)
class TenDays:
    """The salinity of one station over some ten days."""

    station: str
    """As a thing is named: `my-tho`."""
    title: str
    """As the sheet writes it."""
    river: str
    km: float | None
    """Along the river from its mouth."""
    begin: int
    """First midnight, Vietnamese clocks, µs."""
    end: int
    """Midnight after the last day, µs."""
    g_l: float
    line: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file holds."""

    source: str
    sha256: str
    rows: list[TenDays]
    faults: list[BadRow]
    empty: int
    """Cells that say that nothing was measured."""
    stations: list[str]
    """In the order of the file, as it writes them."""


def station_name(title: str) -> str:
    """The name of a thing from that of a station: `Mỹ Tho` is `my-tho`."""
    return re.sub(r"[^a-z0-9]+", "-", fold(title).replace("_", "-")).strip("-")


def read_sheet(path: Path) -> Sheet:
    """A sheet of a file.

    Raises:
        InputError: it is none: there is no station, no year, or no column of days.
    """
    headings, body, delimiter = read_lines(path)
    folded = [fold(one) for one in headings]
    places = {
        key: next((at for at, name in enumerate(folded) if name == key or name in names), None)
        for key, names in _NAMES.items()
    }
    for key in ("station", "year"):
        if places[key] is None:
            raise InputError(f"there is no column `{key}` among {', '.join(headings)[:200]}", where=f"{path}, line 1")
    periods = {at: match for at, name in enumerate(folded) if (match := _PERIOD.fullmatch(name))}
    if not periods:
        raise InputError(
            "there is no column of days", where=f"{path}, line 1", hint="they are called as p0101_0110: month and day"
        )
    reader = _Reader(headings, places, {at: match.groups() for at, match in periods.items()}, delimiter == ";")
    for line, cells in body:
        reader.take(line, cells)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Sheet(path.name, digest, list(reader.rows.values()), reader.faults, reader.empty, reader.stations)


class _Reader:
    def __init__(
        self,
        headings: list[str],
        places: dict[str, int | None],
        periods: dict[int, tuple[str, ...]],
        decimal_comma: bool,
    ) -> None:
        self._headings, self._places, self._periods, self._comma = headings, places, periods, decimal_comma
        self.rows: dict[tuple[str, int], TenDays] = {}
        self.faults: list[BadRow] = []
        self.stations: list[str] = []
        self.empty = 0

    def _cell(self, cells: list[str], key: str) -> str:
        at = self._places[key]
        return cells[at] if at is not None and at < len(cells) else ""

    def take(self, line: int, cells: list[str]) -> None:
        """One line of the sheet."""
        title, year = self._cell(cells, "station"), self._cell(cells, "year")
        name = station_name(title)
        if not name:
            self.faults.append(BadRow(line, "station", "there is no name of a station"))
            return
        if not (year.isdecimal() and 1900 <= int(year) <= 2200):
            self.faults.append(BadRow(line, "year", f"{year[:20]!r} is no year"))
            return
        km = None
        if text := self._cell(cells, "km"):
            try:
                km = number_of(text, self._comma)
            except ValueError:
                self.faults.append(BadRow(line, "km_to_mouth", f"{text[:20]!r} is no number of kilometres"))
            km = None if km is None or math.isnan(km) else km
        if title not in self.stations:
            self.stations.append(title)
        for at, days in self._periods.items():
            self._period(line, at, days, int(year), cells, (name, title, self._cell(cells, "river"), km))

    def _period(
        self,
        line: int,
        at: int,
        days: tuple[str, ...],
        year: int,
        cells: list[str],
        station: tuple[str, str, str, float | None],
    ) -> None:
        heading, text = self._headings[at], cells[at] if at < len(cells) else ""
        try:
            value = number_of(text, self._comma)
        except ValueError:
            self.faults.append(BadRow(line, heading, f"{text[:20]!r} is no number"))
            return
        if math.isnan(value):
            self.empty += 1
            return
        if not 0 <= value <= MOST_G_L:
            self.faults.append(BadRow(line, heading, f"{value:g} g/l is outside 0–{MOST_G_L:g}"))
            return
        try:
            begin, end = _days(year, *map(int, days))
        except ValueError:
            self.faults.append(BadRow(line, heading, f"there are no such days in {year}"))
            return
        name, title, river, km = station
        if (name, begin) in self.rows:
            before = self.rows[name, begin].line
            self.faults.append(BadRow(line, heading, f"{title} has these days on line {before} already"))
            return
        self.rows[name, begin] = TenDays(name, title, river, km, begin, end, value, line)


def _days(year: int, month: int, day: int, last_month: int, last_day: int) -> tuple[int, int]:
    begin = date(year, month, day)
    if (last_month, last_day) in ((2, 28), (2, 29)):
        last_day = calendar.monthrange(year, 2)[1]  # sheets keep one heading over the years
    end = date(year, last_month, last_day)
    if not begin <= end < begin + timedelta(days=32):
        raise ValueError
    first, last = (to_us(datetime(one.year, one.month, one.day, tzinfo=UTC)) for one in (begin, end))
    return first - _OFFSET_US, last - _OFFSET_US + DAY_US
