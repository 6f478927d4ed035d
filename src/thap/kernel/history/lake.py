"""The lake: where every record ends, in Parquet files under a DuckLake catalogue."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thap.kernel.clock import DAY_US, from_us, to_us
from thap.kernel.errors import InputError, ThapError
from thap.kernel.history import attach, reading
from thap.kernel.history.ask import Answer, Asker
from thap.kernel.history.novelty import Novelty, distinct_rows
from thap.kernel.history.tables import PROGRESS, TABLES, Table
from thap.kernel.settings import Settings

__all__ = ["TARGET_BYTES", "Appended", "Lake"]

_EARLIEST, _LATEST = to_us(datetime.min), to_us(datetime.max)

SPARSE_ROWS = 100
"""A day that gets fewer rows than this in one write has them kept in the catalogue until there are more: a
file of its own would cost more to write than that."""
TARGET_BYTES = 32 * 2**20
"""Files are merged up to about this size: it bounds the memory and the time of one step of upkeep."""
NEWEST_BYTES = 96 * 2**20
"""How much of the newest files is read at opening to learn the newest time of each series."""


@dataclass(slots=True)
class Appended:
    """What a write did."""

    rows: dict[str, int] = field(default_factory=dict)
    """New rows by table."""
    duplicates: int = 0
    """Rows that were there already, or twice in what was handed in."""
    seconds: float = 0.0


class Lake:
    """The history of one centre. Safe to use from several threads; writes and upkeep take turns.

    Times are int microseconds. One process at a time has the write side; readers, in any number of
    processes, see whole writes or nothing of them.
    """

    def __init__(
        self, settings: Settings, connection: duckdb.DuckDBPyConnection, lock: attach.WriteLock | None
    ) -> None:
        self.settings = settings
        self.path = attach.data_path(settings)
        self.connection = connection
        self.turn = threading.RLock()
        """Held while something is written."""
        self._lock = lock
        self._novelty: dict[str, Novelty] = {}
        self._offset = 0
        self._asker: Asker | None = None
        self._asking = threading.Lock()
        self.tidied_day = -1
        """The day, since 1970, of the latest thorough upkeep by this process."""

    @classmethod
    def open(cls, settings: Settings, read_only: bool = False) -> Lake:
        """Open the lake in `settings.lake_dir`; the write side makes it if need be.

        Raises:
            UnavailableError: read-only, and there is no lake yet.
            BusyError: another process has the write side.
            DiskFullError: no room to make it.
        """
        if read_only:
            return cls(settings, attach.connect(settings, read_only=True), None)
        lock = attach.WriteLock(settings.lake_dir)
        try:
            attach.clear_spill(settings.lake_dir)
            attach.data_path(settings).mkdir(parents=True, exist_ok=True)
            lake = cls(settings, attach.connect(settings, read_only=False), lock)
            lake._make()
        except BaseException:
            lock.release()
            raise
        return lake

    def close(self) -> None:
        """Close it; a write under way is finished first."""
        with self.turn:
            self.connection.close()
            if self._asker is not None:
                self._asker.close()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _make(self) -> None:
        """Create the tables that do not exist yet, and read how far the lake is."""
        self._offset = self._stored_offset()
        sql = self.connection
        have = attach.tables(sql)
        missing = [table for table in TABLES.values() if table.name not in have]
        if not missing and PROGRESS in have:
            return
        with self.transaction(sql, "make"):
            for option, value in (
                ("parquet_compression", "zstd"),
                ("parquet_version", "2"),
                ("target_file_size", f"{TARGET_BYTES}B"),
            ):
                sql.execute(f"CALL lake.set_option('{option}', '{value}')")
            for table in missing:
                sql.execute(f"CREATE TABLE lake.{table.name} ({table.ddl})")
                sql.execute(f"ALTER TABLE lake.{table.name} SET PARTITIONED BY (year(time), month(time), day(time))")
                sql.execute(f"ALTER TABLE lake.{table.name} SET SORTED BY ({table.order})")
            if PROGRESS not in have:
                sql.execute(f'CREATE TABLE lake.{PROGRESS} ("offset" BIGINT NOT NULL)')

    @contextlib.contextmanager
    def transaction(
        self, sql: duckdb.DuckDBPyConnection, what: str, offset: int | None = None, folders: list[Path] | None = None
    ) -> Iterator[None]:
        """A transaction that commits when the block ends; `offset` becomes the lake's with it.

        The files it makes in `folders`, or anywhere when that is None, are on the disk itself before it
        commits, so that the catalogue never names a file that a loss of power could tear.

        Raises:
            ThapError: it did not take effect.
        """
        offset = self._offset if offset is None else offset
        before = self._files(folders)
        committing = False
        try:
            sql.execute("BEGIN")
            yield
            note = attach.literal(json.dumps({"offset": offset}))
            sql.execute(f"CALL lake.set_commit_message('thap', {attach.literal(what)}, extra_info => {note})")
            attach.sync_files(self._files(folders) - before, self.path)
            committing = True
            sql.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(duckdb.Error):
                sql.execute("ROLLBACK")
            if not committing:  # after a failed commit only DuckLake knows whether the catalogue names them
                for file in self._files(folders) - before:
                    file.unlink(missing_ok=True)
            if isinstance(error, duckdb.Error | OSError):
                raise attach.translate(error, where=str(self.settings.lake_dir)) from error
            raise
        self._offset = offset

    def _files(self, folders: list[Path] | None) -> set[Path]:
        return set(self.path.rglob("*.parquet")) if folders is None else attach.files_in(folders)

    def rows(self, sql: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement, on a connection of its own.

        Raises:
            ThapError: it failed.
        """
        try:
            return self.connection.cursor().execute(sql, list(arguments)).fetchall()
        except duckdb.Error as error:
            raise attach.translate(error, where=str(self.settings.lake_dir)) from error

    # How far it is.
    def offset(self) -> int:
        """The journal sequence up to which every record is in the lake; 0 at the beginning."""
        return self._offset if self._lock is not None else self._stored_offset()

    def _stored_offset(self) -> int:
        found = self.rows(
            "SELECT commit_extra_info FROM __ducklake_metadata_lake.ducklake_snapshot_changes "
            "WHERE author = 'thap' AND commit_extra_info IS NOT NULL ORDER BY snapshot_id DESC LIMIT 1"
        )
        return int(json.loads(found[0][0])["offset"]) if found else 0

    # Writing.
    def append(self, tables: Mapping[str, pa.Table], offset: int) -> Appended:
        """Write records of any kinds and the offset they bring the lake to, all in one transaction.

        Records that are there already are left out, exactly: see `Table.identity`; of two, the first stays.

        Args:
            tables: by table name, with that table's columns.
            offset: journal sequence that the lake has reached with these.

        Raises:
            DiskFullError: no room; nothing of it was written, try again when there is.
            BusyError: somebody else changed the lake at the same moment; nothing was written.
            InputError: a record cannot be written; nothing was.
        """
        started = time.perf_counter()
        done = Appended()
        with self.turn:
            fresh: dict[str, pa.Table] = {}
            for name, given in tables.items():
                if name not in TABLES:
                    raise InputError(f"{name!r} is not a kind of record")
                table = _conform(given, TABLES[name])
                new = self._only_new(TABLES[name], table)
                done.duplicates += table.num_rows - new.num_rows
                done.rows[name] = new.num_rows
                if new.num_rows:
                    fresh[name] = new
            try:
                self._write(fresh, offset)
            except ThapError:
                self._novelty.clear()  # whether it took effect is not certain: learn again
                raise
            for name, new in fresh.items():
                if TABLES[name].series is not None:
                    self.novelty(name).took(*_series_and_time(new))
        done.seconds = time.perf_counter() - started
        return done

    def _write(self, fresh: dict[str, pa.Table], offset: int) -> None:
        sql = self.connection
        parts = {name: _split(table, self.settings.history.inline_rows) for name, table in fresh.items()}
        folders = [
            self.path / "main" / name / f"year={day.year}" / f"month={day.month}" / f"day={day.day}"
            for name, (_, _, days) in parts.items()
            for day in (from_us(int(d) * DAY_US) for d in days)
        ]
        with self.transaction(sql, "flush", offset, folders):
            for name, (bulk, pieces, _) in parts.items():
                for piece in ([bulk] if bulk.num_rows else []) + pieces:
                    sql.register("incoming", piece)
                    sql.execute(f"INSERT INTO lake.{name} SELECT * FROM incoming")
                    sql.unregister("incoming")
            if not fresh:
                sql.execute(f"INSERT INTO lake.{PROGRESS} VALUES ({int(offset)})")

    # Reading. See `reading` and `ask` for what these give and raise.
    def series(
        self,
        datastream: int,
        since: int,
        until: int,
        *,
        bucket: int | None = None,
        max_points: int | None = None,
        origin: int = 0,
    ) -> list[reading.Bucket]:
        """A datastream in buckets whose peaks survive: see `reading.series`."""
        return reading.series(self, datastream, since, until, bucket=bucket, max_points=max_points, origin=origin)

    def raw(self, datastream: int, since: int, until: int, limit: int) -> list[reading.Sample]:
        """A datastream's observations one by one: see `reading.raw`."""
        return reading.raw(self, datastream, since, until, limit)

    def track(self, mover: int, since: int, until: int, *, max_points: int = 1000) -> list[reading.Fix]:
        """A mover's positions: see `reading.track`."""
        return reading.track(self, mover, since, until, max_points=max_points)

    def scan_observations(self, ids: Sequence[int] | None, since: int, until: int) -> Iterator[pa.RecordBatch]:
        """Observations in order of time, with the columns of the table: see `reading.scan`."""
        return reading.scan(self, "observation", ids, since, until)

    def scan_positions(self, ids: Sequence[int] | None, since: int, until: int) -> Iterator[pa.RecordBatch]:
        """Positions in order of time, with the columns of the table: see `reading.scan`."""
        return reading.scan(self, "position", ids, since, until)

    def query(self, sql: str, limit: int = 1000, timeout_s: float = 30) -> Answer:
        """One reading SQL statement: see `Asker.ask`."""
        with self._asking:
            if self._asker is None:
                self._asker = Asker(self.settings)
            asker = self._asker
        return asker.ask(sql, limit=limit, timeout_s=timeout_s)

    # Duplicates.
    def novelty(self, name: str) -> Novelty:
        """What is known of the series of a table; learned from the lake at first use."""
        if name not in self._novelty:
            self._novelty[name] = self._learn(TABLES[name])
        return self._novelty[name]

    def _learn(self, table: Table) -> Novelty:
        since = self._newest_days(table)
        where = "" if since is None else f"WHERE time >= make_timestamptz({since}::BIGINT)"
        try:
            found = (
                self.connection.cursor()
                .execute(
                    f"SELECT {table.series} AS number, epoch_us(max(time)) AS newest FROM lake.{table.name} {where} "
                    "GROUP BY 1"
                )
                .fetchnumpy()
            )
        except duckdb.Error as error:
            raise attach.translate(error, where=str(self.settings.lake_dir)) from error
        return Novelty(np.asarray(found["number"], np.int64), np.asarray(found["newest"], np.int64), since)

    def _newest_days(self, table: Table) -> int | None:
        """The day from which on the newest `NEWEST_BYTES` of a table lie, µs; None when that is all of it."""
        total = 0
        for day, size in sorted(self.files(table.name).items(), reverse=True):
            total += size
            if total > NEWEST_BYTES:
                return day
        return None

    def files(self, name: str) -> dict[int, int]:
        """Bytes in files by day (its beginning, µs) of a table."""
        sizes: dict[int, int] = {}
        for path, size in self.rows(
            f"SELECT data_file, data_file_size_bytes FROM ducklake_list_files('lake', '{name}')"
        ):
            day = _day_of(path)
            sizes[day] = sizes.get(day, 0) + int(size)
        return sizes

    def _only_new(self, table: Table, rows: pa.Table) -> pa.Table:
        if rows.num_rows == 0:
            return rows
        if table.series is not None:
            keep, check = self.novelty(table.name).sift(*_series_and_time(rows))
        else:
            keep = distinct_rows(rows, table.identity)
            check = np.flatnonzero(keep)
        if len(check):
            keep[check[self._in_lake(table, rows, check)]] = False
        return rows if keep.all() else rows.filter(pa.array(keep))

    def _in_lake(self, table: Table, rows: pa.Table, check: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which of the rows `check` are in the lake, as indices into `check`.

        They are looked for in runs of neighbouring days, so that files of other days stay closed.
        """
        sql = self.connection.cursor()
        times = rows.column("time").cast(pa.int64()).to_numpy()[check]
        order = np.argsort(times, kind="stable")
        breaks = np.flatnonzero(np.diff(times[order] // DAY_US) > 1) + 1
        wanted = (
            rows.select(list(table.identity))
            .take(pa.array(check))
            .append_column("at", pa.array(np.arange(len(check), dtype=np.int64)))
        )
        join = " AND ".join(f'w."{c}" = l."{c}"' for c in table.identity)
        found: list[npt.NDArray[np.int64]] = []
        try:
            for run in np.split(order, breaks) if len(breaks) < 64 else [order]:
                bounds = [f"make_timestamptz({int(times[run[end]])}::BIGINT)" for end in (0, -1)]
                within = f"l.time BETWEEN {bounds[0]} AND {bounds[1]}"
                if table.series is not None:
                    ids = pc.min_max(wanted.column(table.series).take(pa.array(run)))
                    within += f" AND l.{table.series} BETWEEN {ids['min']} AND {ids['max']}"
                sql.register("wanted", wanted.take(pa.array(run)))
                found.append(
                    np.asarray(
                        sql.execute(
                            f"SELECT DISTINCT w.at FROM wanted w JOIN lake.{table.name} l ON {join} WHERE {within}"
                        ).fetchnumpy()["at"],
                        np.int64,
                    )
                )
                sql.unregister("wanted")
        except duckdb.Error as error:
            raise attach.translate(error, where=str(self.settings.lake_dir)) from error
        return np.concatenate(found)


def _conform(given: pa.Table, table: Table) -> pa.Table:
    """The columns in the table's order and types, nothing missing where nothing may be."""
    try:
        rows = given.select(table.schema.names).cast(table.schema)
        rows.validate(full=True)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise InputError(f"not rows of {table.name}: {error}") from None
    times = rows.column("time").cast(pa.int64()).to_numpy()
    if len(times) and not (times.min() >= _EARLIEST and times.max() <= _LATEST):
        raise InputError(f"a {table.name} of a time before year 1 or after year 9999")
    return rows


def _series_and_time(rows: pa.Table) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    return (rows.column(0).to_numpy(), rows.column("time").cast(pa.int64()).to_numpy())


def _day_of(file: str) -> int:
    """The beginning of the day that a file's folder holds, µs."""
    part = dict(piece.split("=", 1) for piece in Path(file).parts if "=" in piece)
    return to_us(datetime(int(part["year"]), int(part["month"]), int(part["day"])))


def _split(rows: pa.Table, inline: int) -> tuple[pa.Table, list[pa.Table], npt.NDArray[np.int64]]:
    """What goes to files, what goes to the catalogue in pieces small enough for that, and the days of the former."""
    if rows.num_rows <= inline:
        return rows.slice(0, 0), [rows], np.empty(0, np.int64)
    days, inverse, counts = np.unique(
        rows.column("time").cast(pa.int64()).to_numpy() // DAY_US, return_inverse=True, return_counts=True
    )
    sparse = counts < min(SPARSE_ROWS, inline)
    if not sparse.any():
        return rows, [], days
    mask = sparse[inverse]
    small = rows.filter(pa.array(mask))
    pieces = [small.slice(start, inline) for start in range(0, small.num_rows, inline)]
    return rows.filter(pa.array(~mask)), pieces, days[~sparse]
