"""Workbooks (.xlsx) that people send: cells as plain values, however large the file says it is.

A few kilobytes can unpack to gigabytes, and one cell far out, or one merged area, can name a thousand million others.
So the size is looked at before anything is unpacked, cells are read as a stream, and only so many rows and columns.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from typing import Any

from thap.kernel.errors import InputError

__all__ = ["Area", "Grid", "is_workbook", "read_workbook"]

UNPACKED = 256 * 2**20
"""Bytes that all parts of a workbook may have together when unpacked."""
_SHEETS = 50
_AREAS = 2_000
_HEAD = 64 * 2**20
_MERGED = re.compile(rb'<mergeCell\b[^>]*\bref="([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})"')


@dataclass(frozen=True, slots=True)
class Area:
    """Merged cells; rows and columns count from one, both ends belong to it."""

    min_row: int
    min_col: int
    max_row: int
    max_col: int


@dataclass(frozen=True, slots=True)
class Grid:
    """A sheet: its rows from the first, each as long as there are cells or as `columns` allows."""

    title: str
    rows: list[list[Any]]
    merged: list[Area]
    cut: bool
    """Whether there are more rows than were read."""


def is_workbook(content: bytes) -> bool:
    """Whether bytes begin as a workbook does."""
    return content[:2] == b"PK"


def read_workbook(content: bytes, name: str, *, rows: int, columns: int) -> list[Grid]:
    """The sheets of a workbook, of each at most so many rows and columns.

    Args:
        content: the file.
        name: what to call it in errors.

    Raises:
        InputError: it is none, is torn, or is far too large.
    """
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(part.file_size for part in archive.infolist()) > UNPACKED:
                raise InputError(
                    f"unpacked, the workbook has more than {UNPACKED >> 20} MiB", where=name, hint="divide it"
                )
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            try:
                return [_grid(archive, sheet, rows, columns) for sheet in book.worksheets[:_SHEETS]]
            finally:
                book.close()
    except InputError:
        raise
    except Exception as error:  # whatever the reader raises for what is no workbook, or half of one
        raise InputError(
            f"the workbook cannot be read: {type(error).__name__}", where=name, hint="save it anew as .xlsx or .csv"
        ) from None


def _grid(archive: zipfile.ZipFile, sheet: Any, rows: int, columns: int) -> Grid:
    found: list[list[Any]] = []
    cut = False
    for row in sheet.iter_rows(max_row=rows + 1, max_col=columns, values_only=True):
        if len(found) == rows:
            cut = any(cell is not None for cell in row)
            break
        cells = list(row)
        while cells and cells[-1] is None:
            cells.pop()
        found.append(cells)
    while found and not found[-1]:
        found.pop()
    return Grid(sheet.title, found, _merged(archive, sheet), cut)


def _merged(archive: zipfile.ZipFile, sheet: Any) -> list[Area]:
    """Merged areas stand behind the cells, where a stream of rows does not come by."""
    with archive.open(sheet._worksheet_path.lstrip("/")) as part:
        text = part.read(_HEAD)
    found = []
    for left, top, right, bottom in _MERGED.findall(text):
        found.append(Area(int(top), _column(left), int(bottom), _column(right)))
        if len(found) == _AREAS:
            break
    return found


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
