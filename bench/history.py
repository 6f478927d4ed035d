"""`python -m bench history [--rows N] [--dir DIR]`: a large lake, written, tidied and asked.

Made input: 10,000 datastreams report in turn over at least ten days, whole seconds with up to 2 s of jitter,
a daily wave with noise to two or three decimals, door times to the microsecond. It is written through
`Lake.append` as the historian does (duplicates looked for, files synced), tidied after each day as the
background job does, and then one datastream's day is read in buckets of an hour, each time on a fresh
connection with the files dropped from the page cache.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.harness import centre
from bench.rules import register_datastreams
from thap.kernel.clock import DAY_US, HOUR_US, SECOND_US, now_us
from thap.kernel.history import TABLES, Lake, upkeep
from thap.kernel.settings import load_settings

__all__ = ["run"]

SERIES = 10_000
DAYS = 10
CHUNK = 500_000
ASKED = 20
PEER_SHARE = 10


def _tables(rows: int, start: int, seed: int) -> Iterator[pa.Table]:
    """The input, in order of arrival, in pieces of `CHUNK` rows."""
    made = np.random.default_rng(seed)
    series = np.arange(SERIES, dtype=np.int32) + 1
    base = made.normal(2.0, 0.5, SERIES)
    places = np.where(made.random(SERIES) < 0.5, 100.0, 1000.0)
    rounds = max(1, rows // SERIES)
    period = DAYS * DAY_US // rounds
    per_piece = max(1, CHUNK // SERIES)
    for first in range(0, rounds, per_piece):
        turns = np.arange(first, min(first + per_piece, rounds))
        n = len(turns) * SERIES
        at = start + np.repeat(turns, SERIES) * period + np.tile(np.arange(SERIES), len(turns)) * period // SERIES
        received = at + 400_000
        received -= (np.arange(n) % 100) * (period // SERIES)  # a hundred records share a block
        jitter = made.integers(0, 3, n) * SECOND_US
        at = (at // SECOND_US) * SECOND_US - jitter
        wave = np.sin((at % DAY_US) / DAY_US * 2 * np.pi)
        scale = np.tile(places, len(turns))
        result = np.round((np.tile(base, len(turns)) + wave + made.normal(0, 0.02, n)) * scale) / scale
        yield pa.table(
            [pa.array(np.tile(series, len(turns))), _moments(at), pa.array(result), _moments(received)],
            schema=TABLES["observation"].schema,
        )


def _moments(us: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(us.view("datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))


def run(argv: list[str]) -> dict[str, Any]:
    """The figures."""
    parser = argparse.ArgumentParser(prog="python -m bench history")
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--dir", type=Path, default=None, help="where to write; a temporary directory by default")
    parser.add_argument("--no-peer", action="store_true")
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="thap-bench-history-", dir=chosen.dir) as folder:
        home = Path(folder)
        start = (now_us() // DAY_US - DAYS - 2) * DAY_US
        figures = {**_ours(home / "centre", chosen.rows, start), "latest_ms": _latest()}
        peer = None if chosen.no_peer else _sqlite(home / "peer.sqlite", chosen.rows // PEER_SHARE, start)
    return {
        "bench": "history",
        "figures": figures,
        "peer": peer,
        "input": f"{figures['rows']:,} observations of {SERIES:,} datastreams over {DAYS} days, made (seed 1)",
    }


def _ours(data: Path, rows: int, start: int) -> dict[str, Any]:
    data.mkdir(parents=True)
    settings = load_settings(data)
    lake = Lake.open(settings)
    written, append_s, compaction_s, steps, worst, day = 0, 0.0, 0.0, 0, 0.0, start // DAY_US

    def tidy(**options: Any) -> None:
        nonlocal compaction_s, steps, worst
        began = time.perf_counter()
        for _ in upkeep(lake, **options):
            ended = time.perf_counter()
            steps, worst, compaction_s = steps + 1, max(worst, ended - began), compaction_s + ended - began
            began = ended

    for number, table in enumerate(_tables(rows, start, 1)):
        done = lake.append({"observation": table}, number + 1)
        written, append_s = written + done.rows["observation"], append_s + done.seconds
        reached = table.column("time")[-1].value // DAY_US
        if reached != day:
            day = reached
            tidy(thorough=True)
    tidy(thorough=True)
    tidy(thorough=True, now=now_us() + 3 * DAY_US)  # the grace for readers over, replaced files go
    lake.close()
    asked = np.random.default_rng(2)
    opens, days, latest = [], [], []
    for _ in range(ASKED):
        _forget(settings.lake_dir)
        began = time.perf_counter()
        reader = Lake.open(settings, read_only=True)
        opens.append(time.perf_counter() - began)
        since = start + int(asked.integers(1, DAYS - 1)) * DAY_US
        began = time.perf_counter()
        buckets = reader.series(int(asked.integers(1, SERIES + 1)), since, since + DAY_US, bucket=HOUR_US)
        days.append(time.perf_counter() - began)
        assert 0 < len(buckets) <= 24
        reader.close()
    for _ in range(5):
        _forget(settings.lake_dir)
        reader = Lake.open(settings, read_only=True)
        began = time.perf_counter()
        found = reader.connection.execute(
            "SELECT datastream, max(time), arg_max(result, time) FROM lake.observation "
            f"WHERE time >= make_timestamptz({start + (DAYS - 1) * DAY_US}::BIGINT) GROUP BY 1"
        ).fetchall()
        latest.append(time.perf_counter() - began)
        assert len(found) == SERIES
        reader.close()
    size = sum(path.stat().st_size for path in settings.lake_dir.rglob("*") if path.is_file())
    return {
        "day_ms": round(statistics.median(days) * 1000, 1),
        "day_max_ms": round(max(days) * 1000, 1),
        "open_ms": round(statistics.median(opens) * 1000, 1),
        "latest_from_lake_ms": round(statistics.median(latest) * 1000, 1),
        "bytes_per_row": round(size / written, 2),
        "rows": written,
        "append_rows_per_second": round(written / append_s),
        "compaction_s": round(compaction_s, 1),
        "compaction_step_max_s": round(worst, 2),
        "files": len(list(settings.lake_dir.rglob("*.parquet"))),
        "lake_mib": round(size / 2**20, 1),
    }


def _latest() -> float:
    """Milliseconds for the latest values of 10,000 datastreams from a running centre, median of 20 answers."""
    with centre() as up:
        register_datastreams(up, SERIES)
        with up.client() as client:
            for first in range(0, SERIES, 5000):
                client.post(
                    "/api/v1/observations",
                    json=[
                        {"datastream": f"tram-{number:05d}/level", "result": 1.5}
                        for number in range(first, first + 5000)
                    ],
                ).raise_for_status()
            deadline = time.monotonic() + 30
            took: list[float] = []
            while len(took) < ASKED and time.monotonic() < deadline:
                began = time.perf_counter()
                answer = client.get("/api/v1/latest")
                elapsed = time.perf_counter() - began
                if len(answer.raise_for_status().json()["source"]) == SERIES:
                    took.append(elapsed)
                time.sleep(0.05)
    return round(statistics.median(took) * 1000, 1)


def _forget(folder: Path) -> None:
    """Drop the files of a folder from the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            with contextlib.suppress(OSError):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def _sqlite(path: Path, rows: int, start: int) -> dict[str, Any]:
    """The same in an SQLite table with an index on (datastream, time), as recorders commonly keep it."""
    written, append_s = 0, 0.0
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as sql:
        sql.execute("PRAGMA journal_mode=WAL")
        sql.execute(
            "CREATE TABLE observation (datastream INTEGER, time INTEGER, result REAL, received INTEGER, "
            "UNIQUE (datastream, time))"
        )
        for table in _tables(rows, start, 1):
            columns = [
                table.column(0).to_pylist(),
                table.column(1).cast(pa.int64()).to_pylist(),
                table.column(2).to_pylist(),
                table.column(3).cast(pa.int64()).to_pylist(),
            ]
            began = time.perf_counter()
            sql.execute("BEGIN")
            sql.executemany("INSERT OR IGNORE INTO observation VALUES (?, ?, ?, ?)", zip(*columns, strict=True))
            sql.execute("COMMIT")
            append_s += time.perf_counter() - began
            written += len(columns[0])
        sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    asked, days = np.random.default_rng(2), []
    for _ in range(ASKED):
        _forget(path.parent)
        since = start + int(asked.integers(1, DAYS - 1)) * DAY_US
        with contextlib.closing(sqlite3.connect(path)) as sql:
            began = time.perf_counter()
            found = sql.execute(
                "SELECT time / ? AS bucket, min(result), max(result), avg(result), count(*) FROM observation "
                "WHERE datastream = ? AND time >= ? AND time < ? GROUP BY bucket",
                (HOUR_US, int(asked.integers(1, SERIES + 1)), since, since + DAY_US),
            ).fetchall()
            days.append(time.perf_counter() - began)
        assert found
    return {
        "name": f"SQLite {sqlite3.sqlite_version}, unique index on (datastream, time), 1/{PEER_SHARE} of the rows",
        "rows": written,
        "day_ms": round(statistics.median(days) * 1000, 1),
        "bytes_per_row": round(path.stat().st_size / written, 2),
        "append_rows_per_second": round(written / append_s),
    }
