"""Positions of vessels out of a file, as columns in order of time, with what the file tells of each vessel."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thap.kernel.clock import parse_time_us
from thap.kernel.errors import InputError
from thap.observe.columns import plan_columns
from thap.observe.files import DataFile, Format
from thap.observe.kinds import Kind
from thap.observe.nmea import COUNTS, AisBatch, AisDecoder

__all__ = ["PositionFile", "read_positions"]

_TOLD_EVERY = 5000
_FAULTS = 20
_NOTHING = (None, "", "Undefined", "Unknown", 0, "0")
Progress = Callable[[float], None]


@dataclass(slots=True)
class PositionFile:
    """Columns of equal length, ordered by time; rows of one time as in the file."""

    keys: list[str]
    """Of vessels, by number."""
    kinds: list[str]
    """What each vessel's ship type says; empty unknown."""
    names: list[str]
    vessel: npt.NDArray[np.int64]
    """Number of the vessel of each row."""
    time: npt.NDArray[np.int64]
    lon: npt.NDArray[np.float64]
    lat: npt.NDArray[np.float64]
    sog: npt.NDArray[np.float64]
    """Knots, NaN unknown."""
    line: npt.NDArray[np.int64]
    """Line of the file, or row of a Parquet file."""
    status: dict[str, Counter[str]] = field(default_factory=dict)
    """Navigation statuses a vessel gave, by key; empty where the file has none."""
    left: Counter[str] = field(default_factory=Counter)
    """Rows left out, by why."""
    faults: list[tuple[int, str]] = field(default_factory=list)
    """Line and reason of the first of them."""

    def __len__(self) -> int:
        return len(self.time)


class _Columns:
    """Rows as they are read."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}
        self.kinds: list[str] = []
        self.names: list[str] = []
        self.vessel, self.time, self.line = array("q"), array("q"), array("q")
        self.lon, self.lat, self.sog = array("d"), array("d"), array("d")
        self.left: Counter[str] = Counter()
        self.faults: list[tuple[int, str]] = []
        self.status: dict[str, Counter[str]] = {}

    def vessel_of(self, key: str) -> int:
        number = self.number.get(key)
        if number is None:
            number = self.number[key] = len(self.kinds)
            self.kinds.append("")
            self.names.append("")
        return number

    def add(self, line: int, key: str, time: int, lon: float, lat: float, sog: float) -> None:
        self.vessel.append(self.vessel_of(key))
        self.time.append(time)
        self.lon.append(lon)
        self.lat.append(lat)
        self.sog.append(sog)
        self.line.append(line)

    def leave(self, line: int, reason: str, detail: str = "") -> None:
        self.left[reason] += 1
        if len(self.faults) < _FAULTS:
            self.faults.append((line, f"{reason}{': ' if detail else ''}{detail[:120]}"))

    def done(self) -> PositionFile:
        time = np.frombuffer(self.time, np.int64) if self.time else np.empty(0, np.int64)
        order = np.argsort(time, kind="stable")

        def whole(values: array[int]) -> npt.NDArray[np.int64]:
            return np.asarray(np.frombuffer(values, np.int64)[order] if values else np.empty(0, np.int64))

        def number(values: array[float]) -> npt.NDArray[np.float64]:
            return np.asarray(np.frombuffer(values, np.float64)[order] if values else np.empty(0))

        return PositionFile(
            list(self.number),
            self.kinds,
            self.names,
            whole(self.vessel),
            time[order],
            number(self.lon),
            number(self.lat),
            number(self.sog),
            whole(self.line),
            self.status,
            self.left,
            self.faults,
        )


def read_positions(
    path: Path,
    *,
    maps: Mapping[str, str] | None = None,
    thing: str | None = None,
    start: str | None = None,
    progress: Progress | None = None,
) -> PositionFile:
    """Read a table (CSV, Parquet, NDJSON) or a log of NMEA sentences, packed with gzip or not.

    Args:
        path: the file; what it is is told by its content.
        maps: column → what it is, where its name does not say so; as `thap replay --map`.
        thing: the vessel of all rows of a table that names none.
        start: when a log without times begins, ISO 8601.
        progress: told the share of the file that was read.

    Raises:
        InputError: the file cannot be read, or not one position is in it.
    """
    columns = _Columns()
    with DataFile(path) as file:
        if file.format is Format.NMEA:
            _read_log(file, columns, start, progress)
        else:
            _read_table(file, columns, dict(maps or {}), thing, progress)
    if not columns.time:
        why = f"; of {columns.faults[0][1]} (line {columns.faults[0][0]})" if columns.faults else ""
        raise InputError(f"there is no position in this file{why}", where=str(path))
    return columns.done()


def _read_table(
    file: DataFile, columns: _Columns, maps: dict[str, str], thing: str | None, progress: Progress | None
) -> None:
    plan = plan_columns(file.columns, file.sample(), kind=Kind.POSITION, maps=maps, thing=thing, where=str(file.path))
    state = next(
        (at for at, name in enumerate(file.columns) if "status" in name.lower() and "nav" in name.lower()), None
    )
    kind_at = plan.roles.get("kind", [None])[0]
    known: set[str] = set()
    seen: set[str] = set()
    for count, row in enumerate(file.rows()):
        if progress is not None and count % _TOLD_EVERY == 0:
            progress(file.progress)
        if row.values is None:
            columns.leave(row.number, "the row cannot be read", row.fault)
            continue
        made = plan.records(row.values)
        if not made.records:
            continue
        record = made.records[0]
        key = str(record["mover"])
        lon, lat, sog = record["lon"], record["lat"], record.get("speed_kn")
        if made.time is None:
            columns.leave(row.number, "not a time", str(record["at"]))
        elif not _on_earth(lon, lat):
            columns.leave(row.number, "no position", f"{lon}, {lat}")
        else:
            speed = sog if isinstance(sog, float) and 0 <= sog < 102.2 else math.nan
            columns.add(row.number, key, made.time, lon, lat, speed)
            if key not in known and (key not in seen or (kind_at is not None and row.values[kind_at] not in _NOTHING)):
                seen.add(key)
                told = plan.describe_mover(key, row.values)
                number = columns.vessel_of(key)
                columns.kinds[number] = str(told.get("kind") or "")
                columns.names[number] = str(told.get("name") or "")
                if columns.kinds[number]:
                    known.add(key)
            if state is not None and row.values[state]:
                columns.status.setdefault(key, Counter())[str(row.values[state])] += 1


def _on_earth(lon: object, lat: object) -> bool:
    return (
        isinstance(lon, float)
        and isinstance(lat, float)
        and abs(lon) <= 180
        and abs(lat) <= 90
        and (lon != 0 or lat != 0)
    )


def _read_log(file: DataFile, columns: _Columns, start: str | None, progress: Progress | None) -> None:
    decoder = AisDecoder(start=None if start is None else parse_time_us(start))
    counts: Counter[str] = Counter()
    number = 0
    for number, line in file.lines():
        if progress is not None and number % _TOLD_EVERY == 0:
            progress(file.progress)
        batch = decoder.feed(line + b"\n")
        if batch.counts["untimed"]:
            raise InputError(
                "the log gives no times",
                where=f"{file.path}, line {number}",
                hint="say when it begins: --start 2026-11-22T08:00:00Z",
            )
        counts.update(batch.counts)
        _take(columns, number, batch)
    last = decoder.finish()
    counts.update(last.counts)
    _take(columns, number, last)
    for name in ("bad_checksum", "malformed", "incomplete", "bad_mmsi", "no_position"):
        if counts[name]:
            columns.left[COUNTS[name]] += counts[name]


def _take(columns: _Columns, line: int, batch: AisBatch) -> None:
    for key, time, lon, lat, sog in zip(batch.keys, batch.times, batch.lons, batch.lats, batch.speeds_kn, strict=True):
        columns.add(line, key, time, lon, lat, sog)
    for row in batch.statics:
        number = columns.vessel_of(row["key"])
        columns.kinds[number] = row.get("kind") or columns.kinds[number]
        columns.names[number] = row.get("name") or columns.names[number]
