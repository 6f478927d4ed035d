"""Reading a lake: one series in buckets whose peaks survive, one track, and everything in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import pyarrow as pa

from thap.kernel.clock import DAY_US
from thap.kernel.errors import InputError
from thap.kernel.history import attach
from thap.kernel.history.tables import TABLES

if TYPE_CHECKING:
    from thap.kernel.history.lake import Lake

__all__ = ["Bucket", "Fix", "Sample", "raw", "scan", "series", "track"]

_FEW_ROWS, _MANY_ROWS = 300_000, 3_000_000
_LITERALS = 500


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a series did in `start` ≤ time < start + width. Times in µs."""

    start: int
    min: float
    min_time: int
    max: float
    max_time: int
    mean: float
    first: float
    last: float
    count: int


class Sample(NamedTuple):
    """One observation."""

    time: int
    result: float


class Fix(NamedTuple):
    """One position of a mover; unknown speed or course is None."""

    time: int
    lon: float
    lat: float
    speed_kn: float | None
    course_deg: float | None


def _moment(us: int) -> str:
    return f"make_timestamptz({int(us)}::BIGINT)"


def _within(since: int, until: int) -> str:
    return f"time >= {_moment(since)} AND time < {_moment(until)}"


def _width(since: int, until: int, bucket: int | None, max_points: int | None) -> int:
    if since > until:
        raise InputError("since lies after until", where="since")
    if (bucket is None) == (max_points is None):
        raise InputError("give either a bucket or a number of points")
    width = bucket if bucket is not None else -(-(until - since) // max(1, max_points or 1))
    if width < 1 and since < until:
        raise InputError("a bucket must be longer than nothing", where="bucket")
    return max(1, width)


def series(
    lake: Lake,
    datastream: int,
    since: int,
    until: int,
    *,
    bucket: int | None = None,
    max_points: int | None = None,
    origin: int = 0,
) -> list[Bucket]:
    """A datastream from `since` up to, not including, `until`, in buckets; empty buckets are left out.

    Args:
        lake: to read.
        datastream: registry number.
        since: µs.
        until: µs.
        bucket: width, µs; buckets begin at whole multiples of it after `origin`.
        max_points: instead of a width, the most buckets to give; they begin at `since`.
        origin: µs.

    Raises:
        InputError: neither or both of bucket and max_points, or `since` after `until`.
    """
    width = _width(since, until, bucket, max_points)
    begin = since if bucket is None else origin
    return [
        Bucket(*row)
        for row in lake.rows(f"""
        SELECT (epoch_us(time) - {begin}) // {width} * {width} + {begin} AS start,
               min(result), epoch_us(arg_min(time, result)), max(result), epoch_us(arg_max(time, result)),
               avg(result), arg_min(result, time), arg_max(result, time), count(*)
        FROM lake.observation
        WHERE datastream = {int(datastream)} AND {_within(since, until)} GROUP BY start ORDER BY start""")
    ]


def raw(lake: Lake, datastream: int, since: int, until: int, limit: int) -> list[Sample]:
    """The first `limit` observations of a datastream from `since` up to, not including, `until`."""
    _width(since, until, 1, None)
    return [
        Sample(*row)
        for row in lake.rows(f"""
        SELECT epoch_us(time), result FROM lake.observation
        WHERE datastream = {int(datastream)} AND {_within(since, until)} ORDER BY time LIMIT {int(limit)}""")
    ]


def track(lake: Lake, mover: int, since: int, until: int, *, max_points: int) -> list[Fix]:
    """A mover's positions in order of time: all of them if there are at most `max_points`, else the first in
    each of as many equal spans of time, and the very last."""
    width = _width(since, until, None, max(2, max_points) - 1)
    return [
        Fix(*row)
        for row in lake.rows(f"""
        WITH fixes AS (
            SELECT epoch_us(time) AS us, lon, lat, speed_kn, course_deg, count(*) OVER () AS n
            FROM lake.position WHERE mover = {int(mover)} AND {_within(since, until)})
        SELECT us, lon, lat, CASE WHEN isnan(speed_kn) THEN NULL ELSE speed_kn END,
               CASE WHEN isnan(course_deg) THEN NULL ELSE course_deg END
        FROM fixes
        QUALIFY n <= {int(max_points)} OR row_number() OVER (PARTITION BY (us - {since}) // {width} ORDER BY us) = 1
                OR row_number() OVER (ORDER BY us DESC) = 1
        ORDER BY us""")
    ]


def scan(
    lake: Lake, name: str, ids: Sequence[int] | None, since: int, until: int, *, batch_rows: int = 100_000
) -> Iterator[pa.RecordBatch]:
    """The rows of a table with `since` ≤ time < `until`, in order of time, in batches of the table's schema.

    It reads some days at a time, as many as hold a moderate number of rows, each in a transaction of its own;
    so memory stays bounded, and it never keeps files from being removed.

    Args:
        lake: to read.
        name: table.
        ids: only these series; None for all.
        since: µs.
        until: µs.
        batch_rows: rows of a batch, at most.
    """
    table = TABLES[name]
    if ids is not None and (len(ids) == 0 or table.series is None):
        return
    bounds = lake.rows(f"SELECT epoch_us(min(time)), epoch_us(max(time)) FROM lake.{name}")[0]
    if bounds[0] is None:
        return
    at, end = max(since, bounds[0]), min(until, bounds[1] + 1)
    span = DAY_US
    cursor = lake.connection.cursor()
    chosen = ""
    if ids is not None and len(ids) <= _LITERALS:
        chosen = f" AND {table.series} IN ({', '.join(str(int(number)) for number in ids)})"
    elif ids is not None:
        cursor.register("chosen", pa.table({"id": pa.array(list(ids), pa.int64())}))
        chosen = f" AND {table.series} IN (SELECT id FROM chosen)"
    columns = ", ".join(f'"{column}"' for column in table.schema.names)
    while at < end:
        stop = min(end, (at + span) // DAY_US * DAY_US if span >= DAY_US else at + span)
        rows = 0
        try:
            reader = cursor.execute(
                f"SELECT {columns} FROM lake.{name} WHERE {_within(at, stop)}{chosen} ORDER BY time, {table.order}"
            ).to_arrow_reader(batch_rows)
            for batch in reader:
                if batch.num_rows:
                    rows += batch.num_rows
                    yield batch.cast(table.schema)
        except duckdb.Error as error:
            raise attach.translate(error, where=str(lake.settings.lake_dir)) from error
        at = stop
        if rows < _FEW_ROWS:
            span *= 2
        elif rows > _MANY_ROWS:
            span = max(span // 2, DAY_US // 64)
