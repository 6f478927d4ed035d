"""Upkeep of a lake: rows kept in the catalogue become files, small files become large sorted ones, what is too
old goes, and what nobody can be reading any more leaves the disk.

Everything is done in steps of bounded size, so that writing goes on between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from thap.kernel.clock import DAY_US, HOUR_US, iso, now_us
from thap.kernel.history.lake import TARGET_BYTES, Lake
from thap.kernel.history.tables import PROGRESS, TABLES

__all__ = ["upkeep"]

_log = structlog.get_logger(__name__)
_META = "__ducklake_metadata_lake"

GRACE_US = HOUR_US
"""How long a reader may go on with the files it began with."""
ORPHAN_US = DAY_US
"""Files that no catalogue entry names and that are older than this were left by a process that was killed."""
INLINED_ROWS = 10_000
"""Rows of a table in the catalogue that are worth files of their own."""
TINY_BYTES = 64 * 2**10
SMALL_BYTES = 8 * 2**20
"""A file of a day still being written is merged again until it is larger."""


def upkeep(lake: Lake, *, now: int | None = None, thorough: bool = False) -> Iterator[str]:
    """Do one step at each `next` and say what it was; ends when nothing is left to do.

    Args:
        lake: with the write side.
        now: the time it is taken to be, µs.
        thorough: do what is otherwise done once a day: merge also larger files, clear orphans; and turn
            every row in the catalogue into files.

    Raises:
        ThapError: a step failed; it had no effect, and may be tried again later.
    """
    moment = now_us() if now is None else now
    daily = thorough or moment // DAY_US != lake.tidied_day
    yield from _flush_inlined(lake, 1 if thorough else INLINED_ROWS)
    yield from _merge(lake, TARGET_BYTES if daily else SMALL_BYTES)
    yield from _retain(lake, moment)
    yield from _expire(lake, moment)
    if daily:
        yield from _clear_orphans(lake, moment)
    lake.tidied_day = moment // DAY_US


def _flush_inlined(lake: Lake, worth: int) -> Iterator[str]:
    for name in TABLES:
        if _inlined_rows(lake, name) >= worth:
            _change(lake, "inlined", f"CALL ducklake_flush_inlined_data('lake', table_name => '{name}')")
            yield "inlined"
    if _inlined_rows(lake, PROGRESS) > 100:
        _change(lake, "progress", f"DELETE FROM lake.{PROGRESS}")
        yield "progress"


def _inlined_rows(lake: Lake, name: str) -> int:
    """Rows of a table that lie in the catalogue."""
    with lake.turn:
        parts = lake.rows(
            f"SELECT i.table_name FROM {_META}.ducklake_inlined_data_tables i "
            f"JOIN {_META}.ducklake_table t USING (table_id) WHERE t.table_name = ? AND t.end_snapshot IS NULL",
            [name],
        )
        return sum(
            int(lake.rows(f'SELECT count(*) FROM {_META}."{part}" WHERE end_snapshot IS NULL')[0][0])
            for (part,) in parts
        )


def _merge(lake: Lake, largest: int) -> Iterator[str]:
    """Tiny files of many days a step, then larger ones, one merged file a step."""
    for name in TABLES:
        for limit, count in ((TINY_BYTES, 100), (largest, 1)):
            while _change(
                lake,
                "merge",
                f"CALL ducklake_merge_adjacent_files('lake', '{name}', "
                f"max_compacted_files => {count}, max_file_size => {limit})",
            ):
                yield "merge"


def _retain(lake: Lake, now: int) -> Iterator[str]:
    """Delete what is older than its kind is kept, some days at a step."""
    for name in TABLES:
        days = lake.settings.history.keep_days.get(name, 0)
        if days == 0:
            continue
        end = (now // DAY_US - days) * DAY_US
        with lake.turn:
            files = lake.files(name)
        total = 0
        for day, size in sorted(files.items()):
            if day >= end:
                break
            total += size
            if total >= TARGET_BYTES:
                yield from _delete(lake, name, day + DAY_US, end)
                total = 0
        yield from _delete(lake, name, end, end)


def _delete(lake: Lake, name: str, until: int, kept_since: int) -> Iterator[str]:
    """The records of a kind before `until` that came in before `kept_since`: an old record that was sent lately,
    as a replayed file's, is kept as long as any other."""
    found = _change(
        lake,
        "retention",
        f"DELETE FROM lake.{name} WHERE time < make_timestamptz({until}::BIGINT) "
        f"AND received < make_timestamptz({kept_since}::BIGINT)",
    )
    rows = int(found[0][0]) if found else 0
    if rows:
        _log.info("records older than they are kept were deleted", kind=name, rows=rows, before=iso(until))
        yield "retention"


def _expire(lake: Lake, now: int) -> Iterator[str]:
    """Forget old snapshots; remove files that only they had, once no reader can still need them.

    In an SQLite catalogue DuckLake compares `older_than` as text, and takes anything of the same calendar day
    for older. So snapshots are named one by one, and files are given a day more: with or without that mistake
    they stay for at least `GRACE_US`.
    """
    with lake.turn:
        old = [
            row[0]
            for row in lake.rows(
                "SELECT snapshot_id FROM ducklake_snapshots('lake') WHERE epoch_us(snapshot_time) < ? AND "
                f"snapshot_id < (SELECT max(snapshot_id) FROM {_META}.ducklake_snapshot)",
                [now - GRACE_US],
            )
        ]
        if old:
            lake.rows(f"CALL ducklake_expire_snapshots('lake', versions => {old})")
        lake.rows(
            "CALL ducklake_cleanup_old_files('lake', older_than => "
            f"make_timestamptz({now - GRACE_US - DAY_US}::BIGINT))"
        )
    yield "expire"


def _clear_orphans(lake: Lake, now: int) -> Iterator[str]:
    """Remove files that no entry of the catalogue names. Names are unique, so they are told by name alone."""
    with lake.turn:
        files = [path for path in lake.path.rglob("*.parquet") if path.stat().st_mtime * 1e6 < now - ORPHAN_US]
        named = {
            Path(row[0]).name
            for row in lake.rows(
                " UNION ALL ".join(
                    f"SELECT path FROM {_META}.ducklake_{table}"
                    for table in ("data_file", "delete_file", "files_scheduled_for_deletion")
                )
            )
        }
        for path in files:
            if path.name not in named:
                _log.info("removed a file that an ended process left", file=str(path))
                path.unlink()
    yield "orphans"


def _change(lake: Lake, what: str, statement: str) -> list[tuple[Any, ...]]:
    """One statement in a transaction of its own, new files on the disk before it commits."""
    with lake.turn:
        sql = lake.connection.cursor()
        with lake.transaction(sql, what):
            rows: list[tuple[Any, ...]] = sql.execute(statement).fetchall()
    return rows
