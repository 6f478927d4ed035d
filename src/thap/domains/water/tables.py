"""Files of series as stations and offices give them: a time and one or several values a line."""

from __future__ import annotations

import csv
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thap.kernel.clock import parse_time_us
from thap.kernel.errors import InputError

__all__ = ["BadRow", "Table", "fold", "read_lines", "read_table"]

_LARGEST = 64 << 20
_TIMES = ("time", "timestamp", "datetime", "date", "thoi_gian", "phenomenontime", "ngay_gio", "ngay")
_NONE = frozenset({"", "-", "--", "na", "nan", "n/a", "null", "none", "."})


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line, or a value of it, that could not be taken."""

    line: int
    column: str
    reason: str

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {"line": self.line, "column": self.column, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns by name, in order of time; each moment once."""

    times: npt.NDArray[np.int64]
    """µs."""
    columns: dict[str, npt.NDArray[np.float64]]
    """NaN where a line has no value."""
    faults: list[BadRow]
    repeated: int
    """Lines of a moment that came before; the last one counts."""


def fold(text: str) -> str:
    """A heading without case, marks and spaces: `Mực nước (m)` is `muc_nuoc`."""
    text = text.partition("(")[0].strip().lower().replace("đ", "d")
    text = "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))
    return text.replace(".", "").replace(",", "").replace(" ", "_").replace("-", "_")


def read_lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], str]:
    """Headings, lines with their numbers, and the delimiter of a file of text.

    Raises:
        InputError: it cannot be read, is no text, or has no heading.
    """
    try:
        raw = path.read_bytes()
    except IsADirectoryError:
        raise InputError("this is a folder", where=str(path), hint="name a CSV file") from None
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
    if len(raw) > _LARGEST:
        raise InputError(f"more than {_LARGEST >> 20} MiB", where=str(path), hint="give it in parts")
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("the file is no text in UTF-8", where=str(path), hint="save it as CSV in UTF-8") from None
    if "\x00" in text:
        raise InputError("the file is no text", where=str(path), hint="save it as CSV in UTF-8")
    lines = text.splitlines()
    head = next((line for line in lines if line.strip()), "")
    if not head:
        raise InputError("the file is empty", where=str(path))
    delimiter = max(",;\t", key=head.count)
    rows = [
        (number, [cell.strip() for cell in row])
        for number, row in enumerate(csv.reader(lines, delimiter=delimiter), start=1)
        if any(cell.strip() for cell in row)
    ]
    (_, headings), *body = rows
    return headings, body, delimiter


def number_of(text: str, decimal_comma: bool) -> float:
    """A number as it is written, NaN for none.

    Raises:
        ValueError: it is none.
    """
    if text.lower() in _NONE:
        return math.nan
    value = float(text.replace(",", ".") if decimal_comma or ("," in text and "." not in text) else text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def read_table(path: Path, wanted: Mapping[str, Sequence[str]], *, only: str = "") -> Table:
    """A file with a time and values.

    Args:
        path: CSV with `,`, `;` or a tab between values; times in ISO 8601 (UTC where no offset is given) or Unix time.
        wanted: column → headings it may have, folded (see `fold`).
        only: a column that the only other column is taken for, whatever its heading.

    Raises:
        InputError: there is no time, none of the columns, or no line that can be read.
    """
    headings, body, delimiter = read_lines(path)
    names = [fold(one) for one in headings]
    when = next((at for at, name in enumerate(names) if name in _TIMES), None)
    if when is None:
        raise InputError(
            f"there is no column of times among {', '.join(headings)[:200]}",
            where=f"{path}, line 1",
            hint="call it `time`",
        )
    places = {
        column: next((at for at, name in enumerate(names) if name in (column, *allowed) and at != when), None)
        for column, allowed in wanted.items()
    }
    found = {column: at for column, at in places.items() if at is not None}
    scale = {column: 1000.0 if "mg/m" in headings[at].lower() else 1.0 for column, at in found.items()}
    if not found and only and len(headings) == 2:
        found, scale = {only: 1 - when}, {only: 1.0}
    if not found:
        raise InputError(
            f"none of the columns {', '.join(headings)[:200]} is known",
            where=f"{path}, line 1",
            hint=f"known are {', '.join(wanted)}",
        )
    faults: list[BadRow] = []
    times: list[int] = []
    values: dict[str, list[float]] = {column: [] for column in found}
    for line, cells in body:
        try:
            moment = parse_time_us(cells[when])
        except (InputError, IndexError) as error:
            faults.append(BadRow(line, headings[when], str(error) or "there is no time"))
            continue
        times.append(moment)
        for column, at in found.items():
            text = cells[at] if at < len(cells) else ""
            try:
                values[column].append(scale[column] * number_of(text, delimiter == ";"))
            except ValueError:
                faults.append(BadRow(line, headings[at], f"{text[:40]!r} is no number"))
                values[column].append(math.nan)
    if not times:
        raise InputError("no line can be read", where=str(path), hint=str(faults[0].reason) if faults else None)
    return _sorted(times, values, faults)


def _sorted(times: list[int], values: dict[str, list[float]], faults: list[BadRow]) -> Table:
    moments = np.asarray(times, np.int64)
    # The last line of a moment counts: of a reversed list, the first of each.
    unique, first = np.unique(moments[::-1], return_index=True)
    last = len(moments) - 1 - first
    columns = {name: np.asarray(column, np.float64)[last] for name, column in values.items()}
    return Table(unique, columns, faults, len(moments) - len(unique))
