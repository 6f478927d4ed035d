"""What `thap replay` sends: the records of a file, row by row, whichever format it has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from thap.kernel.clock import iso
from thap.kernel.errors import InputError
from thap.observe.columns import Plan, plan_columns
from thap.observe.files import DataFile, Format
from thap.observe.kinds import Kind
from thap.observe.nmea import AisBatch, AisDecoder, checksum

__all__ = ["Item", "LogSource", "TableSource"]

_TIMED_TAG = re.compile(rb"^\\(?:[^\\]*,)?[cg]:")
_SENTENCE = re.compile(rb"![A-Z]{2}VD[MO],[^*]*\*[0-9A-Fa-f]{2}")
_BROKEN = ("bad_checksum", "malformed", "incomplete", "bad_mmsi")


@dataclass(slots=True)
class Item:
    """One row of a file."""

    row: int
    """Its line, or row of a Parquet file."""
    time: int | None = None
    """Event time, µs."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """As the HTTP door takes them."""
    movers: list[dict[str, Any]] = field(default_factory=list)
    """Static data it tells."""
    sentence: bytes = b""
    """As the AIS door takes it."""
    whole: bool = True
    """Whether no message has begun whose other parts are still to come."""


class TableSource:
    """The rows of a CSV, Parquet or NDJSON file."""

    def __init__(self, file: DataFile, plan: Plan) -> None:
        self._file, self._plan = file, plan
        self.kind = plan.kind
        self.broken = 0
        """Rows that could not even be read."""
        self._movers: set[str] = set()

    @classmethod
    def open(cls, file: DataFile, kind: Kind | None, maps: dict[str, str], thing: str | None) -> TableSource:
        """Find out what the columns mean.

        Raises:
            InputError: they do not make records.
        """
        return cls(
            file, plan_columns(file.columns, file.sample(), kind=kind, maps=maps, thing=thing, where=str(file.path))
        )

    def __iter__(self) -> Iterator[Item]:
        for row in self._file.rows():
            if row.values is None:
                self.broken += 1
                yield Item(row.number, None, [{"line": row.number, "fault": row.fault, "row": row.raw}])
                continue
            made = self._plan.records(row.values)
            item = Item(row.number, made.time, made.records)
            if self.kind is Kind.POSITION and made.records:
                key = made.records[0]["mover"]
                if key not in self._movers:
                    self._movers.add(key)
                    item.movers.append(self._plan.describe_mover(key, row.values))
            yield item

    def describe(self, keys: list[str]) -> dict[str, list[dict[str, Any]]]:
        """The things to register so that datastreams of these keys are known."""
        things: dict[str, dict[str, Any]] = {}
        for key in keys:
            thing, stream = self._plan.describe(key)
            things.setdefault(thing, {"name": thing, "datastreams": []})["datastreams"].append(stream)
        return {"things": list(things.values()), "movers": []}


class LogSource:
    """The sentences of an NMEA log, with the times it gives them.

    Args:
        start: when a log without times begins, µs.
    """

    kind = Kind.POSITION

    def __init__(self, file: DataFile, start: int | None) -> None:
        self._file = file
        self._decoder = AisDecoder(start=start)
        self.counts: Counter[str] = Counter()
        """By the names of `nmea.COUNTS`."""

    @property
    def broken(self) -> int:
        """Sentences that could not be read."""
        return sum(self.counts[name] for name in _BROKEN)

    def __iter__(self) -> Iterator[Item]:
        for number, line in self._file.lines():
            batch = self._decoder.feed(line + b"\n")
            self.counts.update(batch.counts)
            if batch.counts["untimed"]:
                raise InputError(
                    "the log gives no times",
                    where=f"{self._file.path}, line {number}",
                    hint="say when it begins: --start 2026-11-22T08:00:00Z",
                )
            if b"!" in line:
                yield self._item(number, line, batch)
        self.counts.update(self._decoder.finish().counts)

    def _item(self, number: int, line: bytes, batch: AisBatch) -> Item:
        records = []
        for row in range(len(batch)):
            raw = batch.raw(row)
            record = {
                "mover": raw["key"],
                "at": iso(raw["at"]),
                "lon": raw["lon"],
                "lat": raw["lat"],
                "speed_kn": raw["speed"],
                "course_deg": raw["course"],
            }
            records.append({name: value for name, value in record.items() if value is not None})
        time = batch.times[0] if len(batch) else self._decoder.clock
        return Item(number, time, records, batch.statics, self._stamped(line, time), whole=not self._decoder.unfinished)

    @staticmethod
    def _stamped(line: bytes, time: int | None) -> bytes:
        """The line as a receiver would have sent it, its time in a tag block."""
        text = line.strip()
        found = _SENTENCE.search(text)
        if found is None or time is None or _TIMED_TAG.match(text):
            return text + b"\r\n"
        tag = b"c:%d" % (time // 1_000_000 if time % 1_000_000 == 0 else time // 1000)
        return b"\\%s*%02X\\%s\r\n" % (tag, checksum(tag), found[0])


def open_source(
    file: DataFile, what: str | None, maps: dict[str, str], thing: str | None, start: int | None
) -> TableSource | LogSource:
    """The source for a file.

    Args:
        what: `observations`, `positions`, `ais`, or None to go by what the file holds.

    Raises:
        InputError: the file does not hold that.
    """
    if file.format is Format.NMEA:
        if what not in (None, "ais"):
            raise InputError(
                f"this is a log of NMEA sentences, not of {what}",
                where=str(file.path),
                hint="leave --as out, or say --as ais",
            )
        if maps or thing:
            raise InputError(
                "an NMEA log has no columns and names its vessels itself",
                where=str(file.path),
                hint="leave --map and --thing out",
            )
        return LogSource(file, start)
    if what == "ais":
        raise InputError(
            f"there are no AIS sentences in this {file.format} file",
            where=str(file.path),
            hint="say --as positions for a table of positions",
        )
    kind = {"observations": Kind.OBSERVATION, "positions": Kind.POSITION, None: None}[what]
    return TableSource.open(file, kind, maps, thing)
