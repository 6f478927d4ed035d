"""The book in which a miner declares what it took: read from a file, kept by licence and day or month."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.sand.columns import DECLARED, known_names, match_columns, usual_names
from thap.domains.sand.entries import reference_key
from thap.domains.sand.faults import Fault, as_error
from thap.domains.sand.ledger import Declared
from thap.domains.sand.ledger_records import put_declared
from thap.domains.sand.records import Kept
from thap.domains.sand.tables_in import read_table
from thap.domains.sand.writing_styles import fold, parse_date, parse_number, style_of
from thap.kernel.audit import Entry, append_async
from thap.kernel.errors import InputError
from thap.kernel.policy import Who

__all__ = ["DeclaredBook", "Line", "keep_declared", "parse_period", "read_declared"]

_MONTH = re.compile(r"(?:thang\s*)?(\d{1,2})\s*(?:[/.-]|nam|\s)\s*(\d{4})")
_YEAR_MONTH = re.compile(r"(\d{4})\s*[-/.]\s*(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the book."""

    row: int
    licence: int
    """Id of the licence."""
    title: str
    declared: Declared


@dataclass(frozen=True, slots=True)
class DeclaredBook:
    """What a file says."""

    name: str
    sha256: str
    lines: Sequence[Line]
    faults: Sequence[Fault]
    unknown: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "file": self.name,
            "sha256": self.sha256,
            "lines": [
                {"row": one.row, "licence": one.title, "period": one.declared.period, "m3": one.declared.m3,
                 "trips": one.declared.trips}
                for one in self.lines
            ],
            "faults": [one.as_dict() for one in self.faults],
            "unknown_columns": list(self.unknown),
        }  # fmt: skip


def parse_period(value: Any) -> str:
    """A day as 2026-11-30, or a month as 2026-11, of what was typed: 30/11/2026, 11/2026, tháng 11 năm 2026.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, datetime | date):
        return parse_date(value).isoformat()
    text = str(value).strip()
    try:
        return parse_date(text).isoformat()
    except ValueError as error:
        if "no such day" in str(error):
            raise
    folded = re.sub(r"\s+", " ", text.lower().replace("tháng", "thang").replace("năm", "nam"))
    found = _YEAR_MONTH.fullmatch(folded)
    year, month = (int(found[1]), int(found[2])) if found else (0, 0)
    if not found and (found := _MONTH.fullmatch(folded)):
        year, month = int(found[2]), int(found[1])
    if not 1 <= month <= 12:
        raise ValueError(f"{text[:40]!r} is no day and no month")
    return f"{year:04d}-{month:02d}"


def read_declared(content: bytes, name: str, licences: Sequence[Kept], only: str = "") -> DeclaredBook:
    """The lines of a file of CSV or XLSX.

    Args:
        licences: of the register; a line names one by its number or its mine's name.
        only: key of the licence that lines without one are of.

    Raises:
        InputError: the file as a whole cannot be read.
    """
    table = read_table(content, name, known_names(DECLARED), usual_names(DECLARED))
    fields = match_columns(table.columns, DECLARED)
    column = {field: given for given, field in fields.items()}
    for needed in ("period", "m3", *(() if only else ("licence",))):
        if needed not in column:
            raise InputError(
                f"there is no column for {needed}", where=name, hint=f"name it {DECLARED[needed][0]} or {needed}"
            )
    style = style_of(str(row.cells.get(column["m3"], "")) for row in table.rows)
    known = _known(licences)
    lines: list[Line] = []
    faults: list[Fault] = []
    first: dict[tuple[int, str], int] = {}
    last: Any = ""
    for row in table.rows:
        said = row.cells.get(column.get("licence", ""), last if not only else "")
        last = said
        if fold(str(said)) in ("tong", "tong cong", "total", "cong") or not row.cells.get(column["period"]):
            continue  # the sum below the table
        made, wrong = _line(row.number, row.cells, column, known, said, style, only)
        if made is not None:
            at = first.setdefault((made.licence, made.declared.period), row.number)
            if at == row.number:
                lines.append(made)
            else:
                wrong = [
                    Fault("twice", f"{made.title} {made.declared.period} stands in row {at} already",
                          "keep one of the two", row=row.number, values={"title": made.title, "row": at})
                ]  # fmt: skip
        faults += wrong
    unknown = [given for given in table.columns if given not in fields]
    return DeclaredBook(name, hashlib.sha256(content).hexdigest(), lines, faults, unknown)


def _known(licences: Sequence[Kept]) -> dict[str, Kept]:
    names = Counter(reference_key(one.body.get("name") or "") for one in licences)
    known = {key: one for one in licences if (key := reference_key(one.body.get("name") or "")) and names[key] == 1}
    return known | {one.key: one for one in licences}


def _line(
    number: int,
    cells: Mapping[str, Any],
    column: Mapping[str, str],
    known: Mapping[str, Kept],
    said: Any,
    style: Any,
    only: str,
) -> tuple[Line | None, list[Fault]]:
    faults = []
    licence = known.get(reference_key(str(said))) if said not in (None, "") else known.get(only)
    if licence is None:
        faults.append(
            Fault(
                "unknown_licence", f"no licence {str(said)[:60]!r} is in the register",
                "import the licence first, or correct its number", row=number,
                column=column.get("licence", "licence"), value=str(said)[:60],
            )
        )  # fmt: skip
    period, m3, trips = "", 0.0, None
    for field in ("period", "m3", "trips"):
        cell = cells.get(column.get(field, ""))
        if cell is None and field == "trips":
            continue
        try:
            if field == "period":
                period = parse_period(cell)
            elif field == "m3":
                m3 = parse_number(cell if cell is not None else "", style)
                if not 0 <= m3 < 1e9:
                    raise ValueError(f"{m3:g} m³ is no quantity")
            else:
                trips = round(parse_number(cell))
        except ValueError as error:
            hint = "write 30/11/2026 or 11/2026" if field == "period" else "write it as 1.200,5 or 1200.5"
            faults.append(
                Fault("bad_day" if field == "period" else "bad_number", str(error), hint, row=number,
                      column=column[field], value=str(cell or "")[:60])
            )  # fmt: skip
    if faults or licence is None:
        return None, faults
    return Line(number, licence.id, licence.body["number"], Declared(period, m3, trips)), []


async def keep_declared(
    connection: AsyncConnection, book: DeclaredBook, who: Who | str, *, skip_bad: bool = False, address: str = ""
) -> dict[str, int]:
    """Keep what a declared book says, all of it or nothing.

    Args:
        connection: in a write transaction.
        book: as read; reading a large one takes seconds and belongs outside of transaction and event loop.
        who: imports it.
        skip_bad: take the good lines where some cannot be taken.
        address: network address of who imports.

    Returns:
        How many lines were added, changed, and the same before.

    Raises:
        InputError: it has faults and `skip_bad` is not set.
    """
    if book.faults and (not skip_bad or not book.lines):
        raise as_error(book.faults, book.name, "nothing was imported: correct these rows")
    done = await put_declared(
        connection,
        [(one.licence, one.declared) for one in book.lines],
        source=f"{book.name} sha256:{book.sha256[:16]}",
        by=who if isinstance(who, str) else who.name,
    )
    if done["added"] or done["changed"]:
        told = {"file": book.name, "sha256": book.sha256, **done}
        await append_async(connection, [Entry(who, "sand.declare", "sand:declared", told, address)])
    return done
