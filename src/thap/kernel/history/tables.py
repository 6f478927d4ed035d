"""The tables of the lake: one for each kind of record, named after the kind.

Each has the kind's columns and `received`, when the door took the record. The record kinds themselves
are declared above the kernel; what stands here is how they are kept, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

__all__ = ["PROGRESS", "TABLES", "Table"]

_SQL = {
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}
_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Table:
    """How one kind of record is kept."""

    name: str
    """The kind, and the table's name in the lake."""
    plural: str
    """The name people ask for it by."""
    schema: pa.Schema
    """Its columns in order, `received` last."""
    identity: tuple[str, ...]
    """Records that agree in these columns are the same record; the first one is kept."""
    series: str | None
    """The whole-number column that `identity` begins with, where there is one: what readers select by."""

    @property
    def ddl(self) -> str:
        """The column list of CREATE TABLE."""
        return ", ".join(f'"{f.name}" {_SQL[f.type]}{"" if f.nullable else " NOT NULL"}' for f in self.schema)

    @property
    def order(self) -> str:
        """The columns its files are sorted by."""
        return ", ".join(f'"{name}"' for name in self.identity[:2])


def _table(
    name: str, plural: str, identity: tuple[str, ...], series: str | None, *columns: tuple[str, pa.DataType, bool]
) -> Table:
    fields = [pa.field(column, kind, nullable=nullable) for column, kind, nullable in columns]
    return Table(name, plural, pa.schema([*fields, pa.field("received", _TIME, nullable=False)]), identity, series)


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        _table(
            "observation",
            "observations",
            ("datastream", "time"),
            "datastream",
            ("datastream", pa.int32(), False),
            ("time", _TIME, False),
            ("result", pa.float64(), False),
        ),
        _table(
            "position",
            "positions",
            ("mover", "time"),
            "mover",
            ("mover", pa.int32(), False),
            ("time", _TIME, False),
            ("lon", pa.float64(), False),
            ("lat", pa.float64(), False),
            ("speed_kn", pa.float32(), True),
            ("course_deg", pa.float32(), True),
        ),
        _table(
            "sighting",
            "sightings",
            ("camera", "time", "track", "label", "action"),
            None,
            ("camera", pa.int32(), False),
            ("time", _TIME, False),
            ("track", pa.int64(), False),
            ("label", pa.string(), False),
            ("action", pa.string(), False),
            ("detail", pa.string(), True),
        ),
        _table(
            "article",
            "articles",
            ("source", "time", "url"),
            None,
            ("source", pa.string(), False),
            ("time", _TIME, False),
            ("url", pa.string(), False),
            ("title", pa.string(), False),
            ("text", pa.string(), False),
        ),
        _table(
            "report",
            "reports",
            ("report", "time"),
            None,
            ("report", pa.string(), False),
            ("time", _TIME, False),
            ("lon", pa.float64(), True),
            ("lat", pa.float64(), True),
            ("text", pa.string(), False),
            ("media", pa.string(), True),
        ),
    )
}

PROGRESS = "progress"
"""A table whose only use is to make a snapshot when the journal went on without a single new record, so that
the offset, which is kept with snapshots, goes on as well."""
