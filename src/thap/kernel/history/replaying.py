"""Positions of all movers as they were: at a moment, and through a stretch of time, thinned evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from thap.kernel.errors import InputError
from thap.kernel.history import attach

if TYPE_CHECKING:
    from thap.kernel.history.lake import Lake

__all__ = ["positions_at", "positions_through"]

_COLUMNS = "mover, epoch_us(time) AS time, lon, lat, speed_kn, course_deg"


def positions_at(lake: Lake, moment: int, within: int) -> pa.Table:
    """The last position of every mover before a moment, if it is not older than `within`.

    Args:
        lake: to read.
        moment: µs, not included.
        within: µs.

    Returns:
        Columns mover (registry number), time (µs), lon, lat, speed_kn, course_deg; by mover.
    """
    return _table(
        lake,
        f"""SELECT {_COLUMNS} FROM lake.position
        WHERE time >= make_timestamptz({int(moment - within)}::BIGINT)
              AND time < make_timestamptz({int(moment)}::BIGINT)
        QUALIFY row_number() OVER (PARTITION BY mover ORDER BY position.time DESC) = 1 ORDER BY mover""",
    )


def positions_through(lake: Lake, since: int, until: int, step: int, limit: int) -> pa.Table:
    """Positions with `since` ≤ time < `until` in order of time: of each mover the first in each `step`.

    Args:
        lake: to read.
        since: µs.
        until: µs.
        step: µs; the steps begin at `since`.
        limit: how many rows at most; the first ones.

    Raises:
        InputError: a step of no length, or `since` after `until`.
    """
    if step < 1 or since > until:
        raise InputError("a replay needs a step longer than nothing, and since before until", where="step")
    return _table(
        lake,
        f"""SELECT {_COLUMNS} FROM lake.position
        WHERE time >= make_timestamptz({int(since)}::BIGINT) AND time < make_timestamptz({int(until)}::BIGINT)
        QUALIFY row_number() OVER (
            PARTITION BY mover, (epoch_us(position.time) - {int(since)}) // {int(step)} ORDER BY position.time) = 1
        ORDER BY position.time, mover LIMIT {int(limit)}""",
    )


def _table(lake: Lake, sql: str) -> pa.Table:
    try:
        return lake.connection.cursor().execute(sql).to_arrow_table()
    except duckdb.Error as error:
        raise attach.translate(error, where=str(lake.settings.lake_dir)) from error
