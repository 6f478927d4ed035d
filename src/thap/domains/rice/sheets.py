"""CSV files of catches and of temperatures, as offices and research stations hand them over.

Known layouts, told by their headings (any case, with or without marks; comma, semicolon or tab; gzip too):

- weekly counts of several pests and places with weather: `Observation Year, Standard Week, Pest Value, Collection Type,
  MaxT, MinT, …, PEST NAME, Location`;
- dated counts: `date, count`, and if there `pest`, `location` or `trap`, `collection`, `lamp_hours`, `harvest`,
  `wind_direction`, `wind_speed`;
- temperatures: `date` (or `time`, hourly) with `min` and `max`, or one `temperature`.

A line that cannot be read is left out and told, with its number; the rest goes on.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thap.domains.rice.biology import Temperatures
from thap.domains.rice.flights import Catches, Wind
from thap.domains.rice.weeks import WeeklySeries, week_begin, week_of
from thap.kernel.errors import InputError, NotFoundError

__all__ = ["CatchFile", "Row", "catches_of", "choose", "pool_of", "read_catches", "read_temperatures", "series_of"]

Doubles = npt.NDArray[np.float64]
_NAMES = {
    "year": ("observationyear", "year", "nam", "obsyear"),
    "week": ("standardweek", "week", "smw", "tuan", "stdweek", "weekno", "isoweek"),
    "date": ("date", "day", "night", "ngay", "dem", "time", "datetime", "timestamp", "phenomenontime"),
    "count": (
        "pestvalue", "count", "catch", "value", "counts", "catches", "soluong", "matdo", "con", "result",
        "number", "planthoppercatch", "soray", "total", "insects",
    ),
    "pest": ("pestname", "pest", "species", "sauhai", "sinhvat", "loai", "doituong"),
    "location": ("location", "station", "place", "site", "trap", "bay", "bayden", "diadiem", "tram", "xa", "trapid",
                 "thing", "zone"),
    "collection": ("collectiontype", "collection", "method", "cachthu", "unit", "donvi"),
    "lamp_hours": ("lamphours", "hours", "giodien", "gioden", "lamp", "lighthours", "burnhours"),
    "harvest": ("harvest", "thuhoach", "gat", "harvesting"),
    "wind_from": ("winddirection", "winddir", "winddeg", "windfrom", "huonggio", "windfromdeg"),
    "wind_speed": ("windspeed", "wskmph", "ws", "tocdogio", "windkmh", "windspeedkmh"),
    "low": ("mint", "tmin", "min", "low", "lowest", "minimum", "nhietdothapnhat", "mintemp", "mintemperature", "tminc",
            "minc", "temperaturemin", "temperature2mmin", "thapnhat", "lowc", "mintc"),
    "high": ("maxt", "tmax", "max", "high", "highest", "maximum", "nhietdocaonhat", "maxtemp", "maxtemperature",
             "tmaxc",
             "maxc", "temperaturemax", "temperature2mmax", "caonhat", "highc", "maxtc"),
    "mean": ("temperature", "temp", "tmean", "mean", "tavg", "avg", "nhietdo", "temperaturec", "tempc", "t", "value",
             "temperature2m", "airtemperature", "meanc", "tmeanc", "celsius", "result", "temperature2mmean",
             "temperaturemean", "meantemp", "meantemperature", "average"),
}  # fmt: skip
_PESTS = {
    "brownplanthopper": ("bph", "raynau", "nilaparvatalugens", "nlugens", "brownplanthoppers", "brownhopper"),
    "whitebackedplanthopper": ("wbph", "raylungtrang", "sogatellafurcifera"),
    "yellowstemborer": ("ysb", "sauducthan", "sauducthan2cham", "scirpophagaincertulas"),
    "leaffolder": ("saucuonla", "cnaphalocrocismedinalis", "saucuonlanho"),
    "greenleafhopper": ("glh", "rayxanh", "nephotettix"),
    "gallmidge": ("muoihanh", "orseoliaoryzae"),
}
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "--", "."})


@dataclass(frozen=True, slots=True)
class Row:
    """One count."""

    day: date
    """The night, or the first day of its week."""
    week: int
    """Number of the standard week."""
    count: float
    """NaN: not counted."""
    pest: str
    location: str
    collection: str
    extra: dict[str, float]
    """`lamp_hours`, `harvest`, `wind_from`, `wind_speed` where the file has them."""


@dataclass(slots=True)
class CatchFile:
    """What a file holds."""

    path: str
    rows: list[Row]
    problems: list[str] = field(default_factory=list)
    """Lines left out, and why."""

    def names(self, which: Callable[[Row], str]) -> list[str]:
        """All names in a column, in alphabetical order."""
        return sorted({which(row) for row in self.rows})


def read_catches(path: Path) -> CatchFile:
    """The counts of a file.

    Raises:
        InputError: it cannot be read, has no column of dates or counts, or not one line that can be used.
    """
    header, lines = _table(path)
    at = _columns(header)
    if "count" not in at or ("date" not in at and not {"year", "week"} <= at.keys()):
        raise InputError(
            f"no column of {'counts' if 'count' not in at else 'dates'}; there are {', '.join(header) or 'none'}",
            where=f"{path.name} line 1",
            hint="name them `date` and `count`, or `Observation Year`, `Standard Week` and `Pest Value`",
        )
    found = CatchFile(str(path), [])
    seen_weeks = "date" not in at
    for number, cells in lines:
        try:
            found.rows.append(_row(cells, at, seen_weeks))
        except ValueError as error:
            found.problems.append(f"line {number}: {error}")
    if not found.rows:
        why = found.problems[0] if found.problems else "there is no line below the headings"
        raise InputError(f"not one line can be used: {why}", where=path.name)
    return found


def _row(cells: Sequence[str], at: dict[str, int], weekly: bool) -> Row:
    def cell(name: str) -> str:
        index = at.get(name)
        return cells[index].strip() if index is not None and index < len(cells) else ""

    if weekly:
        year, week = (round(_number(cell(name), name)) for name in ("year", "week"))
        if not 1800 <= year <= 2200 or not 1 <= week <= 53:
            raise ValueError(f"year {year}, week {week}: no week of the calendar")
        number = year * 52 + min(week, 52) - 1
        day = week_begin(number)
    else:
        day = _day(cell("date"))
        number = week_of(day)
    text = cell("count")
    count = math.nan if text.casefold() in _MISSING else _number(text, "count")
    if count < 0:
        raise ValueError(f"count {text} is below 0")
    extra: dict[str, float] = {}
    for name in ("lamp_hours", "harvest", "wind_from", "wind_speed"):
        if name in at:
            extra[name] = _soft(cell(name))
    return Row(day, number, count, cell("pest"), cell("location"), cell("collection"), extra)


def choose(
    file: CatchFile, pest: str | None = None, location: str | None = None, collection: str | None = None
) -> list[Row]:
    """The rows of one pest at one place, counted in one way.

    A name may be given in any case, in part where that is unique, and pests by their common short and Vietnamese
    names. Several ways of counting: a light trap's where there is one, else the one with most rows.

    Raises:
        NotFoundError: no such pest, place or way, with those there are.
        InputError: none was named and the file has several.
    """
    rows = file.rows
    for what, wanted, which in (
        ("pest", pest, lambda row: row.pest),
        ("location", location, lambda row: row.location),
    ):
        rows = _narrow(rows, what, wanted, which, file.path)
    if collection is None:
        many = Counter(row.collection for row in rows)
        kept = max(many, key=lambda name: ("light" in _fold(name) or "den" in _fold(name), many[name]))
        return [row for row in rows if row.collection == kept]
    return _narrow(rows, "collection", collection, lambda row: row.collection, file.path)


def _narrow(rows: list[Row], what: str, wanted: str | None, which: Callable[[Row], str], path: str) -> list[Row]:
    there = sorted({which(row) for row in rows})
    where = Path(path).name
    if wanted is None:
        if len(there) > 1:
            raise InputError(
                f"the file has several: {', '.join(there)}", where=f"{where}, {what}", hint=f"name one with --{what}"
            )
        return rows
    if there == [""]:  # the file has no such column: it is about one alone
        return rows
    key = _fold(wanted)
    same = [name for name in there if _fold(name) == key]
    if not same:
        full = next((name for name, short in _PESTS.items() if key == name or key in short), None)
        aliases = {_fold(short) for short in (full, *_PESTS.get(full or "", ())) if short}
        same = [name for name in there if _fold(name) in aliases]
    if not same and key:
        part = [name for name in there if key in _fold(name)]
        same = part if len(part) == 1 else []
    if not same:
        raise NotFoundError(
            f"no {what} is called {wanted!r}",
            where=where,
            hint=f"there are {', '.join(name or '(none)' for name in there)}",
        )
    return [row for row in rows if which(row) in same]


def series_of(rows: Sequence[Row]) -> WeeklySeries:
    """Rows as a weekly series; several rows of a week are averaged.

    Raises:
        InputError: the rows span more than three hundred years.
    """
    first, last = min(row.week for row in rows), max(row.week for row in rows)
    if last - first > 300 * 52:
        raise InputError(f"counts from {first // 52} to {last // 52}", where="year", hint="check the years")
    total, known = np.zeros(last - first + 1), np.zeros(last - first + 1)
    for row in rows:
        if math.isfinite(row.count):
            total[row.week - first] += row.count
            known[row.week - first] += 1
    with np.errstate(invalid="ignore"):
        counts = np.where(known > 0, total / known, np.nan)
    one = rows[0]
    return WeeklySeries(first, counts, one.pest, one.location, one.collection)


def pool_of(file: CatchFile, chosen: WeeklySeries, most: int = 6) -> list[WeeklySeries]:
    """Other series of the file that steady the fit of a short one: same place first, then the longest.

    One of four years and more needs none (measured: its errors do not change, and fitting takes six times as long).
    """
    if int(np.isfinite(chosen.counts).sum()) >= 208:
        return []
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in file.rows:
        groups.setdefault((row.pest, row.location, row.collection), []).append(row)
    mine = (chosen.pest, chosen.location, chosen.collection)
    trap = "trap" in _fold(chosen.collection) or not chosen.collection
    keys = [
        key for key, rows in groups.items()
        if key != mine and len(rows) >= 104 and (("trap" in _fold(key[2])) == trap or not key[2])
    ]  # fmt: skip
    keys.sort(key=lambda key: (key[1] != chosen.location, -len(groups[key])))
    return [series_of(groups[key]) for key in keys[:most]]


def catches_of(rows: Sequence[Row]) -> tuple[Catches, Wind | None]:
    """Rows of one trap as nights, or as weeks where they are seven days apart; several of a night are averaged."""
    days = sorted({row.day for row in rows})
    gaps = Counter((later - earlier).days for earlier, later in pairwise(days))
    weekly = bool(gaps) and gaps.most_common(1)[0][0] >= 5
    begin = days[0] if not weekly else week_begin(min(row.week for row in rows))
    place = (
        [row.week - min(one.week for one in rows) for row in rows]
        if weekly
        else [(row.day - begin).days for row in rows]
    )
    size = max(place) + 1
    if size > 100_000:
        raise InputError(f"counts from {days[0]} to {days[-1]}", where="date", hint="check the years")
    columns = {
        name: _mean(place, [row.extra.get(name, math.nan) for row in rows], size)
        for name in ("lamp_hours", "harvest", "wind_from", "wind_speed")
    }
    counts = _mean(place, [row.count for row in rows], size)
    lamp, harvest = columns["lamp_hours"], columns["harvest"]
    made = Catches(
        begin,
        counts,
        7 if weekly else 1,
        lamp if np.isfinite(lamp).any() else None,
        np.nan_to_num(harvest) > 0 if np.isfinite(harvest).any() else None,
    )
    wind = Wind(columns["wind_from"], columns["wind_speed"]) if np.isfinite(columns["wind_from"]).any() else None
    return made, wind


def read_temperatures(path: Path, location: str | None = None, problems: list[str] | None = None) -> Temperatures:
    """Lowest and highest temperature by day of a file; hourly values become a day's lowest and highest.

    Args:
        path: the file.
        location: whose, where the file has several.
        problems: takes the lines left out, and why.

    Raises:
        InputError: it cannot be read or has no temperatures.
        NotFoundError: no such location in it.
    """
    header, lines = _table(path)
    at = _columns(header)
    weekly = "date" not in at and {"year", "week"} <= at.keys()
    if not (("date" in at or weekly) and ({"low", "high"} <= at.keys() or "mean" in at)):
        raise InputError(
            f"no column of dates or of temperatures; there are {', '.join(header) or 'none'}",
            where=f"{path.name} line 1",
            hint="name them `date`, `min` and `max` (°C), or `time` and `temperature`",
        )
    low: dict[date, float] = {}
    high: dict[date, float] = {}
    wanted = _fold(location) if location else ""
    there: set[str] = set()
    left_out = problems if problems is not None else []
    for number, cells in lines:
        place = cells[at["location"]] if "location" in at and at["location"] < len(cells) else ""
        there.add(place)
        if wanted and place and _fold(place) != wanted:
            continue
        try:
            for day, coldest, warmest in _degrees(cells, at, weekly):
                low[day] = min(low.get(day, math.inf), coldest)
                high[day] = max(high.get(day, -math.inf), warmest)
        except (ValueError, IndexError) as error:
            left_out.append(f"line {number}: {error}")
    if not low and wanted and there != {""}:
        raise NotFoundError(
            f"no location is called {location!r}", where=path.name, hint=f"there are {', '.join(sorted(there))}"
        )
    if not low:
        raise InputError(f"no temperature can be read{': ' + left_out[0] if left_out else ''}", where=path.name)
    first, last = min(low), max(low)
    if (last - first).days > 100_000:
        raise InputError(f"temperatures from {first} to {last}", where=path.name, hint="check the years")
    days = [first + timedelta(days=index) for index in range((last - first).days + 1)]
    return Temperatures(
        first,
        np.array([low.get(day, math.nan) for day in days]),
        np.array([high.get(day, math.nan) for day in days]),
    )


def _degrees(cells: Sequence[str], at: dict[str, int], weekly: bool) -> Iterable[tuple[date, float, float]]:
    if {"low", "high"} <= at.keys():
        low, high = _number(cells[at["low"]], "lowest"), _number(cells[at["high"]], "highest")
    else:
        low = high = _number(cells[at["mean"]], "temperature")
    if not (-60 < low < 65 and -60 < high < 65):
        raise ValueError(f"{low:g} to {high:g} °C is no temperature of the air")
    low, high = min(low, high), max(low, high)
    if not weekly:
        return [(_day(cells[at["date"]]), low, high)]
    number = round(_number(cells[at["year"]], "year")) * 52 + min(round(_number(cells[at["week"]], "week")), 52) - 1
    begin = week_begin(number)
    return [(begin + timedelta(days=one), low, high) for one in range((week_begin(number + 1) - begin).days)]


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Headings, and each line with its number."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=str(path)) from None
    for encoding in ("utf-8-sig", "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1258"):
        try:
            text = raw.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise InputError("not a text file", where=str(path), hint="save it as CSV in UTF-8")
    lines = text.splitlines()
    head = next((line for line in lines if line.strip()), "")
    mark = max(",;\t", key=head.count)
    try:
        cells = [(number, row) for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=mark), 1)]
    except csv.Error as error:
        raise InputError(f"not a CSV file: {error}", where=str(path)) from None
    filled = [(number, row) for number, row in cells if any(cell.strip() for cell in row)]
    if not filled:
        raise InputError("the file is empty", where=str(path))
    return [cell.strip() for cell in filled[0][1]], filled[1:]


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Known columns → index; of several headings for one, the first in the order of `_NAMES`."""
    folded = [_fold(title) for title in header]
    # Units in brackets or after the name, as in "WS(kmph)" or "Temp (°C)", do not make another column.
    plain = [_fold(re.sub(r"[(\[].*", "", title)) for title in header]
    found: dict[str, int] = {}
    for name, titles in _NAMES.items():
        for title in titles:
            for names in (folded, plain):
                if title in names and name not in found:
                    found[name] = names.index(title)
    return found


def _fold(text: str) -> str:
    """Lower case, without marks, spaces and punctuation."""
    bare = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(letter for letter in bare if letter.isalnum() and not unicodedata.combining(letter))


def _number(text: str, what: str) -> float:
    bare = text.strip().replace("\u00a0", "")
    if re.fullmatch(r"-?\d+,\d+", bare):
        bare = bare.replace(",", ".")
    try:
        value = float(bare)
    except ValueError:
        raise ValueError(f"{what} {text!r} is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{what} {text!r} is no number")
    return value


def _soft(text: str) -> float:
    """A number, or yes and no; NaN where it is neither."""
    folded = _fold(text)
    if folded in ("true", "yes", "y", "co", "x"):
        return 1.0
    if folded in ("false", "no", "n", "khong"):
        return 0.0
    try:
        return _number(text, "")
    except ValueError:
        return math.nan


def _day(text: str) -> date:
    bare = text.strip()
    try:
        return datetime.fromisoformat(bare).date()
    except ValueError:
        pass
    for form in ("%d/%m/%Y", "%d-%m-%Y", "%Y/%m/%d", "%d.%m.%Y", "%Y%m%d", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S"):
        try:
            return datetime.strptime(bare, form).date()
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no date; write it as 2026-04-20 or 20/04/2026")


def _mean(place: Sequence[int], values: Sequence[float], size: int) -> Doubles:
    at, value = np.asarray(place), np.asarray(values, np.float64)
    use = np.isfinite(value)
    known = np.bincount(at[use], minlength=size)
    total = np.bincount(at[use], weights=value[use], minlength=size)
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)
