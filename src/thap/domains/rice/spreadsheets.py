"""Tables out of CSV and XLSX files as offices write them: headings in Vietnamese or English somewhere below a title,
perhaps in two rows of merged cells, days as dd/mm/yyyy, numbers as 1.200,5.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from thap.kernel.errors import InputError
from thap.kernel.units import fold
from thap.observe.workbook import is_workbook, read_workbook

__all__ = ["Cells", "Sheet", "read_day", "read_number", "read_sheet"]

_MOST_BYTES = 20 * 2**20
_MOST_ROWS = 20_000
_MOST_COLUMNS = 100
_TITLE_ROWS = 25
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[. \u00a0]\d{3})+(?:,\d+)?")
_ENGLISH = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_PLAIN = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_DAYS = re.compile(r"\b(\d{1,2})\s*[/.-]\s*(\d{1,2})(?:\s*[/.-]\s*(\d{4}|\d{2}))?\b")
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?")
_NOTHING = frozenset({"", "-", "–", "—", "x", "na", "n/a", "null", "nan", "…", "..."})

Names = Mapping[str, Sequence[str]]
"""Field → what headings call it, folded."""


@dataclass(frozen=True, slots=True)
class Cells:
    """One row of a table."""

    line: int
    """Of the file, counted from one."""
    values: Mapping[str, Any]
    """By field; what the file has no column for is absent."""

    def text(self, field: str) -> str:
        """A cell as text; '' where it is empty or absent."""
        value = self.values.get(field)
        if value is None:
            return ""
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        if isinstance(value, datetime):
            return value.date().isoformat()
        return " ".join(str(value).split())


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table found in a file."""

    fields: tuple[str, ...]
    """Those that it has a column for."""
    unknown: tuple[str, ...]
    """Headings of columns that nobody asked for."""
    rows: tuple[Cells, ...]
    period: tuple[date, date] | None
    """The days that its title names, as `Từ ngày 20/11 đến ngày 26/11/2026`."""
    title: str
    """What stands above the headings."""


def read_sheet(content: bytes, name: str, names: Names, needed: Sequence[str]) -> Sheet:
    """The first table of a file that has the columns needed.

    Args:
        content: of the file.
        name: of the file, for messages; what it is is told by its content.
        names: what headings may be called, folded (`thap.kernel.units.fold`), by field.
        needed: fields without which it is another table.

    Raises:
        InputError: it is empty, too large, no table, or has no such columns; the message says which are missing.
    """
    if not content.strip():
        raise InputError("the file is empty", where=name, hint="send one with a row of headings and the rows below")
    if len(content) > _MOST_BYTES:
        raise InputError(f"the file is larger than {_MOST_BYTES >> 20} MiB", where=name, hint="divide it")
    missing: list[str] = list(needed)
    for grid in _grids(content, name):
        found = _headings(grid, names)
        if found is None:
            continue
        last, columns, unknown = found
        lacking = [field for field in needed if field not in columns]
        if lacking:
            missing = min(missing, lacking, key=len)
            continue
        title = " ".join(str(cell) for row in grid[: last + 1] for cell in row if cell is not None)
        rows = tuple(
            Cells(line + 1, {field: row[at] if at < len(row) else None for field, at in columns.items()})
            for line, row in enumerate(grid)
            if line > last and any(cell is not None and str(cell).strip() for cell in row)
        )
        return Sheet(tuple(columns), unknown, rows, _period(title), title)
    called = "; ".join(f"{field} ({' / '.join(names[field][:3])})" for field in missing)
    raise InputError(
        f"there is no column for {called}", where=name, hint="the first row of the table names its columns"
    )


def read_number(value: Any) -> float | None:
    """A number as a cell has it; None for an empty cell or a dash. 1.200,5 is 1200.5; 1.200 is 1200; 1.2 is 1.2.

    Raises:
        InputError: it is no number.
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            return None
        return float(value)
    text = str(value).strip().replace("\u00a0", " ")
    if text.casefold() in _NOTHING:
        return None
    bare = text.removesuffix("%").strip()
    if _GROUPED.fullmatch(bare):
        return float(re.sub(r"[. \u00a0]", "", bare).replace(",", "."))
    if _ENGLISH.fullmatch(bare) and ("." in bare or bare.count(",") > 1):
        return float(bare.replace(",", ""))
    if _PLAIN.fullmatch(bare):
        number = float(bare.replace(",", "."))
        if math.isfinite(number):
            return number
    raise InputError(f"{text[:40]!r} is not a number", hint="write it as 1.200,5 or 1200.5")


def read_day(value: Any, year: int | None = None) -> date | None:
    """A day as a cell has it: 22/11/2026, 22-11-26, 2026-11-22, or a spreadsheet's own; None for an empty cell.

    Args:
        value: of the cell.
        year: of a day written without one, as 22/11.

    Raises:
        InputError: it is no day.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = str(value).strip()
    if text.casefold() in _NOTHING:
        return None
    try:
        if found := _ISO.fullmatch(text):
            return date(*(int(part) for part in found.groups()))
        if found := _DAYS.fullmatch(text.split()[0] if ":" in text else text):
            return _day(found, year)
        if text.isdecimal() and 20_000 < int(text) < 80_000:  # a spreadsheet counts days from the end of 1899
            return date(1899, 12, 30) + timedelta(days=int(text))
        if isinstance(value, float) and 20_000 < value < 80_000:
            return date(1899, 12, 30) + timedelta(days=int(value))
    except (ValueError, TypeError):
        pass
    raise InputError(f"{text[:40]!r} is not a day", hint="write it as 22/11/2026")


def _day(found: re.Match[str], year: int | None) -> date:
    day, month, said = found.groups()
    if said is None and year is None:
        raise ValueError("no year")
    number = year if said is None else int(said)
    return date(2000 + number if number is not None and number < 100 else number or 0, int(month), int(day))


def _period(title: str) -> tuple[date, date] | None:
    found = list(_DAYS.finditer(title))
    for first, last in itertools.pairwise(found):
        try:
            end = _day(last, None)
            begin = _day(first, end.year)
            if begin > end:  # the first without its year, across New Year
                begin = begin.replace(year=begin.year - 1)
        except ValueError:
            continue
        if 0 <= (end - begin).days <= 31:
            return begin, end
    return None


def _grids(content: bytes, name: str) -> Iterator[list[list[Any]]]:
    if is_workbook(content):
        yield from _workbook(content, name)
    elif content[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise InputError("this is a workbook of before 2007", where=name, hint="save it as .xlsx or .csv")
    else:
        yield _csv(content, name)


def _workbook(content: bytes, name: str) -> Iterator[list[list[Any]]]:
    for sheet in read_workbook(content, name, rows=_MOST_ROWS + _TITLE_ROWS, columns=_MOST_COLUMNS):
        if sheet.cut:
            raise InputError(f"the sheet {sheet.title!r} has more than {_MOST_ROWS} rows", where=name, hint="divide it")
        rows = sheet.rows
        for area in sheet.merged:
            if area.min_row > _TITLE_ROWS or area.min_row > len(rows) or area.min_col > len(rows[area.min_row - 1]):
                continue
            row = rows[area.min_row - 1]
            # Headings that reach over several columns name them all; of several rows only the first is filled, else
            # two headings would be one above the other twice.
            last = min(area.max_col, max(len(one) for one in rows[:_TITLE_ROWS]))
            row += [None] * (last - len(row))
            row[area.min_col : last] = [row[area.min_col - 1]] * (last - area.min_col)
        yield rows


def _csv(content: bytes, name: str) -> list[list[Any]]:
    for encoding in ("utf-8-sig", "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1258"):
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise InputError("this is no text", where=name, hint="send CSV in UTF-8, or XLSX")
    if "\x00" in text:
        raise InputError("this is no text", where=name, hint="send CSV in UTF-8, or XLSX")
    head = text[:20_000]
    delimiter = max(";\t,|", key=lambda mark: (_evenly(head, mark), head.count(mark)))
    try:
        rows = [list(row[:_MOST_COLUMNS]) for row in csv.reader(io.StringIO(text), delimiter=delimiter)]
    except csv.Error as error:
        raise InputError(f"the file cannot be read: {error}", where=name, hint="send CSV in UTF-8, or XLSX") from None
    if len(rows) > _MOST_ROWS + _TITLE_ROWS:
        raise InputError(f"the file has more than {_MOST_ROWS} rows", where=name, hint="divide it")
    return rows


def _evenly(head: str, mark: str) -> int:
    """How many lines are cut by a mark into as many cells as most are."""
    widths = [len(row) for row in csv.reader(io.StringIO(head), delimiter=mark) if len(row) > 1]
    return max((widths.count(width) for width in set(widths)), default=0)


def _headings(grid: list[list[Any]], names: Names) -> tuple[int, dict[str, int], tuple[str, ...]] | None:
    """The last row of the headings, the column of each field, and headings unknown; None where no row looks so."""
    best: tuple[int, int, dict[str, int], tuple[str, ...]] | None = None
    for top in range(min(_TITLE_ROWS, len(grid))):
        for depth in (1, 2):
            if top + depth > len(grid):
                continue
            columns, unknown = _match([_label(grid[top : top + depth], at) for at in range(len(grid[top]))], names)
            if len(columns) >= 2 and (best is None or len(columns) > best[0]):
                best = (len(columns), top + depth - 1, columns, unknown)
    return None if best is None else best[1:]


def _label(rows: Sequence[Sequence[Any]], at: int) -> tuple[str, ...]:
    """What a column is called: each of its rows alone, and all together."""
    cells = [fold(str(row[at])) for row in rows if at < len(row) and row[at] is not None]
    cells = [cell for cell in cells if cell]
    # In a CSV a heading over several columns stands in the first of them only.
    if len(rows) == 2 and len(cells) == 1 and at < len(rows[1]) and fold(str(rows[1][at] or "")):
        above = next((fold(str(rows[0][back])) for back in range(min(at, len(rows[0]) - 1), -1, -1)
                      if rows[0][back] is not None and fold(str(rows[0][back]))), "")  # fmt: skip
        cells = [above, *cells] if above else cells
    return (" ".join(cells), *reversed(cells))


def _match(labels: Sequence[tuple[str, ...]], names: Names) -> tuple[dict[str, int], tuple[str, ...]]:
    columns: dict[str, int] = {}
    taken: set[int] = set()
    for exact in (True, False):
        for which in (0, 1):  # the whole heading first, then its lowest row
            for field, known in names.items():
                if field in columns:
                    continue
                for at, label in enumerate(labels):
                    if at in taken or which >= len(label) or not label[which]:
                        continue
                    said = label[which]
                    if (
                        said in known
                        if exact
                        else any(said.startswith((one + " ", one)) and len(one) > 3 for one in known)
                    ):
                        columns[field] = at
                        taken.add(at)
                        break
    unknown = tuple(label[0][:60] for at, label in enumerate(labels) if at not in taken and label[0])
    return columns, unknown
