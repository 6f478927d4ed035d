"""CSV files of speeds: a column for each sensor, a row for each step of time; and the sensors' adjacency."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thap.kernel.errors import InputError

__all__ = ["Speeds", "read_adjacency", "read_speeds"]

Doubles = npt.NDArray[np.float64]
_MISSING = frozenset({"", "na", "nan", "null", "none", "-"})


@dataclass(frozen=True, slots=True)
class Speeds:
    """What a file holds."""

    names: tuple[str, ...]
    values: Doubles
    """Rows × sensors; NaN where missing (empty, 0 or less)."""
    step_minutes: float = 5.0
    last: datetime | None = None
    """Time of the last row, where the file has times."""


def read_speeds(path: Path, step_minutes: float | None = None) -> Speeds:
    """The speeds of a file; gzip too. A first column of times gives the step, else it is five minutes.

    Raises:
        InputError: it cannot be read; with the line and the column.
    """
    lines = _lines(path)
    first = [cell.strip() for cell in lines[0][1]]
    headed = len(lines) < 2 or _looks_like_heading(first, lines[1][1])
    names = first if headed else [f"s{number}" for number in range(1, len(first) + 1)]
    body = lines[1:] if headed else lines
    if not body:
        raise InputError("there is no row below the headings", where=path.name)
    timed = _time(body[0][1][0]) is not None
    start = 1 if timed else 0
    values = np.full((len(body), len(names) - start), np.nan)
    times: list[datetime] = []
    for row, (number, cells) in enumerate(body):
        if len(cells) != len(names):
            raise InputError(
                f"{len(cells)} columns, the headings have {len(names)}",
                where=f"{path.name} line {number}",
                hint="give a column for each sensor in every row; leave missing values empty",
            )
        if timed:
            when = _time(cells[0])
            if when is None:
                raise InputError(f"{cells[0]!r} is no time", where=f"{path.name} line {number}")
            times.append(when)
        values[row] = [
            _value(cell, path.name, number, name) for cell, name in zip(cells[start:], names[start:], strict=True)
        ]
    if values.shape[1] == 0:
        raise InputError("there is no column of a sensor", where=path.name)
    if step_minutes is None:
        gaps = Counter((later - earlier).total_seconds() / 60 for earlier, later in pairwise(times))
        step_minutes = gaps.most_common(1)[0][0] if gaps else 5.0
    if not 0 < step_minutes <= 240:
        raise InputError(f"{step_minutes:g} minutes between two rows", where=path.name, hint="more than 0, 240 at most")
    values[~(values > 0)] = np.nan
    return Speeds(tuple(names[start:]), values, step_minutes, times[-1] if times else None)


def read_adjacency(path: Path, sensors: int) -> Doubles:
    """A square matrix of weights between sensors, in the order of the speeds; headings are left out.

    Raises:
        InputError: it cannot be read, or has another size.
    """
    lines = _lines(path)
    if len(lines) == sensors + 1:
        lines = lines[1:]
    wide = [cells[1:] if len(cells) == sensors + 1 else cells for _, cells in lines]
    if len(wide) != sensors or any(len(cells) != sensors for cells in wide):
        shape = f"{len(wide)} × {len(wide[0]) if wide else 0}"
        raise InputError(
            f"the matrix is {shape}, for {sensors} sensors",
            where=path.name,
            hint="give one row and one column for each sensor, in the order of the speeds",
        )
    numbers = [number for number, _ in lines]
    return np.array(
        [
            [_value(cell, path.name, number, "weight", missing=0.0) for cell in cells]
            for number, cells in zip(numbers, wide, strict=True)
        ]
    )


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        text = raw.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text, at byte {error.start}", where=str(path), hint="save it as CSV") from None
    head = text[:10_000].partition("\n")[0]
    mark = max(",;\t", key=head.count)
    lines = [(number, row) for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=mark), 1) if any(row)]
    if not lines:
        raise InputError("the file is empty", where=str(path))
    return lines


def _looks_like_heading(first: list[str], second: list[str]) -> bool:
    """Whether the first line names sensors: something in it is no number, or they are whole and far from speeds."""
    numbers = []
    for cell in first[1:] or first:
        try:
            numbers.append(float(cell))
        except ValueError:
            return cell.strip().casefold() not in _MISSING
    return all(number.is_integer() and number > 300 for number in numbers) and first != second


def _time(cell: str) -> datetime | None:
    text = cell.strip()
    if len(text) < 8:
        return None
    for form in ("", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M"):
        try:
            return datetime.strptime(text, form) if form else datetime.fromisoformat(text)
        except ValueError:
            continue
    return None


def _value(cell: str, file: str, line: int, name: str, missing: float = float("nan")) -> float:
    text = cell.strip()
    if text.casefold() in _MISSING:
        return missing
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{cell!r} is no number", where=f"{file} line {line}, column {name}") from None
