"""Files of records: CSV, Parquet, NDJSON and NMEA logs, packed with gzip or not, read row by row.

What a file is, is told by its first bytes, not by its name. A row that cannot be read is given as it is, so
that whoever asked for it can report it; a file that cannot be read raises `InputError` with file, line and
column.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from thap.kernel.errors import InputError

__all__ = ["DataFile", "Format", "Row"]

_HEAD = 256 * 1024
_LINE_MAX = 16 * 2**20
_NMEA = re.compile(rb"![A-Z]{2}VD[MO],\d")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BROKEN_PACKING = (EOFError, zlib.error, gzip.BadGzipFile)


class Format(StrEnum):
    """What a file holds."""

    CSV = "csv"
    PARQUET = "parquet"
    NDJSON = "ndjson"
    NMEA = "nmea"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    number: int
    """Line of the file it ends at, or the row of a Parquet file; counted from one."""
    values: Sequence[Any] | None
    """As many as the table has columns; None where the row cannot be read."""
    raw: Any = None
    """The row as it is, where it cannot be read."""
    fault: str = ""
    """Why it cannot be read."""


class DataFile:
    """A file of records, opened for one pass.

    Raises:
        InputError: there is no such file, it is empty, broken, or of no known format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = path.open("rb")
        except IsADirectoryError:
            raise InputError("this is a folder", where=str(path), hint="name its files") from None
        except OSError as error:
            raise InputError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
        self.size = path.stat().st_size
        """Bytes on disk."""
        self.packed = self._file.read(2) == b"\x1f\x8b"
        self._file.seek(0)
        self._text: BinaryIO = gzip.GzipFile(fileobj=self._file) if self.packed else self._file  # type: ignore[assignment]
        self._rows_read = 0
        self._parquet: pq.ParquetFile | None = None
        head = self._read_head()
        self.format = self._recognise(head)
        self.delimiter = ","
        self.columns: list[str] = []
        """Names of the table's columns; empty for an NMEA log."""
        if self.format is Format.PARQUET:
            self.columns = self._open_parquet()
        elif self.format is Format.CSV:
            self.columns = self._open_csv(head)
        elif self.format is Format.NDJSON:
            self.columns = self._open_ndjson(head)
        self._text.seek(0)

    def close(self) -> None:
        self._text.close()
        self._file.close()

    def __enter__(self) -> DataFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def progress(self) -> float:
        """How much of the file was read so far, 0 to 1."""
        if self._parquet is not None:
            return self._rows_read / max(1, int(self._parquet.metadata.num_rows))
        return min(1.0, self._file.tell() / max(1, self.size))

    def digest(self) -> str:
        """A hash of the file's content, hexadecimal."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:32]

    def sample(self, count: int = 300) -> list[Sequence[Any]]:
        """The first readable rows, for guessing what columns mean."""
        with DataFile(self.path) as again:
            return [row.values for row in islice(again.rows(), count) if row.values is not None]

    def rows(self) -> Iterator[Row]:
        """The rows of a table, in order.

        Raises:
            InputError: the rest of the file cannot be read: wrong encoding, or it ends too early.
        """
        if self.format is Format.PARQUET:
            return self._parquet_rows()
        if self.format is Format.NDJSON:
            return self._ndjson_rows()
        return self._csv_rows()

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Line number from one, and the line without its end.

        Raises:
            InputError: the packing is broken, or a line is longer than 16 MiB.
        """
        number = 0
        while True:
            try:
                line = self._text.readline(_LINE_MAX)
            except _BROKEN_PACKING as error:
                raise self._broken(number + 1, error) from None
            if not line:
                return
            number += 1
            if len(line) == _LINE_MAX:
                raise InputError(
                    "the line is longer than 16 MiB", where=f"{self.path}, line {number}", hint="is this a text file?"
                )
            yield number, line.rstrip(b"\r\n")

    # ---- what it is

    def _read_head(self) -> bytes:
        if self.size == 0:
            raise InputError("the file is empty", where=str(self.path))
        try:
            head = self._text.read(_HEAD)
        except _BROKEN_PACKING as error:
            raise self._broken(1, error) from None
        if not head.strip():
            raise InputError("the file is empty", where=str(self.path))
        return head

    def _recognise(self, head: bytes) -> Format:
        if head[:4] == b"PAR1":
            if self.packed:
                raise InputError("a Parquet file packed with gzip", where=str(self.path), hint="unpack it first")
            return Format.PARQUET
        if head[:2] in _UTF16:
            raise InputError("the file is UTF-16", where=f"{self.path}, line 1, column 1", hint="save it as UTF-8")
        if _NMEA.search(head):
            return Format.NMEA
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if start == b"{":
            return Format.NDJSON
        if start == b"[":
            raise InputError(
                "a JSON array",
                where=str(self.path),
                hint="write one record a line (`jq -c '.[]'`), or post it to the HTTP door",
            )
        return Format.CSV

    def _broken(self, line: int, error: BaseException) -> InputError:
        what = "ends too early" if isinstance(error, EOFError) else f"is broken ({error})"
        return InputError(
            f"the packed file {what}",
            where=f"{self.path}, line {line}",
            hint="fetch it again; rows before this line are good",
        )

    # ---- Parquet

    def _open_parquet(self) -> list[str]:
        try:
            self._parquet = pq.ParquetFile(self.path)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"not a whole Parquet file: {str(error).splitlines()[0][:200]}",
                where=str(self.path),
                hint="a Parquet file ends with its index: fetch or write it again",
            ) from None
        if not self._parquet.metadata.num_rows:
            raise InputError("the file has no rows", where=str(self.path))
        return list(self._parquet.schema_arrow.names)

    def _parquet_rows(self) -> Iterator[Row]:
        assert self._parquet is not None
        batches = self._parquet.iter_batches(batch_size=10_000)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise InputError(
                    f"the Parquet file is broken: {str(error).splitlines()[0][:200]}",
                    where=f"{self.path}, after row {self._rows_read}",
                ) from None
            if batch is None:
                return
            for values in zip(*(_plain(column).to_pylist() for column in batch.columns), strict=True):
                self._rows_read += 1
                yield Row(self._rows_read, values)

    # ---- text

    def _decoded(self) -> Iterator[str]:
        for number, line in self.lines():
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"byte {line[error.start]:#04x} is not UTF-8",
                    where=f"{self.path}, line {number}, column {error.start + 1}",
                    hint="save the file as UTF-8 (`iconv -f WINDOWS-1258 -t UTF-8`)",
                ) from None
            yield text + "\n"

    def _open_csv(self, head: bytes) -> list[str]:
        self._text.seek(0)
        first = next(self._decoded(), "")
        self.delimiter = max(",;\t|", key=first.count)
        try:
            names = next(csv.reader([first], delimiter=self.delimiter), [])
        except csv.Error as error:
            raise InputError(
                f"the first line cannot be read: {error}",
                where=f"{self.path}, line 1",
                hint="CSV, Parquet, NDJSON and NMEA logs are read, packed with gzip or not",
            ) from None
        columns = [name.strip() for name in names]
        where = f"{self.path}, line 1"
        if b"\0" in head[:4096] or (len(columns) < 2 and not first.strip().isprintable()):
            raise InputError(
                "the file is of no known format",
                where=str(self.path),
                hint="CSV, Parquet, NDJSON and NMEA logs are read, packed with gzip or not",
            )
        if len(columns) < 2:
            raise InputError(
                "the first line does not name columns",
                where=where,
                hint="a CSV file begins with the names of at least two columns",
            )
        doubled = next((name for name in columns if columns.count(name) > 1), None)
        if doubled is not None:
            column = [index for index, name in enumerate(columns) if name == doubled][1] + 1
            raise InputError(f"two columns are called {doubled!r}", where=f"{where}, column {column}")
        return columns

    def _csv_rows(self) -> Iterator[Row]:
        reader = csv.reader(self._decoded(), delimiter=self.delimiter)
        width = len(self.columns)
        next(reader, None)
        while True:
            try:
                values = next(reader, None)
            except csv.Error as error:
                yield Row(reader.line_num, None, f"line {reader.line_num}", f"not valid CSV: {error}")
                continue
            if values is None:
                return
            if len(values) == width:
                yield Row(reader.line_num, values)
            elif values:
                yield Row(reader.line_num, None, values, f"the row has {len(values)} columns, not {width}")

    def _open_ndjson(self, head: bytes) -> list[str]:
        """Columns of all objects in the first part of the file, in the order they come."""
        columns: dict[str, None] = {}
        lines = head.splitlines()
        for line in lines if len(lines) == 1 or len(head) < _HEAD else lines[:-1]:
            try:
                record = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(record, dict):
                columns.update(dict.fromkeys(record))
        if not columns:
            raise InputError(
                "no line is a JSON object", where=f"{self.path}, line 1", hint="NDJSON has one whole object a line"
            )
        return list(columns)

    def _ndjson_rows(self) -> Iterator[Row]:
        for number, line in self.lines():
            if not line.strip():
                continue
            try:
                record = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield Row(number, None, line.decode("utf-8", "backslashreplace"), f"not valid JSON: {error}")
                continue
            if isinstance(record, dict):
                yield Row(number, [record.get(column) for column in self.columns])
            else:
                yield Row(number, None, record, "not a JSON object")


def _plain(column: pa.Array) -> pa.Array:
    """Times in microseconds: Python has no finer ones."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64())
    return column
