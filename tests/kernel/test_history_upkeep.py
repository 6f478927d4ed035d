"""Upkeep: fewer, larger, sorted files with the same records in them; old ones gone; readers undisturbed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.kernel.lake_rows import MIDNIGHT, day, observations

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, now_us
from thap.kernel.history import Lake, upkeep
from thap.kernel.settings import Settings

YESTERDAY = now_us() // DAY_US * DAY_US - DAY_US


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lake]:
    settings.history.keep_days["observation"] = 0
    made = Lake.open(settings)
    yield made
    made.close()


def content(lake: Lake) -> list[tuple[object, ...]]:
    return (
        lake.connection.cursor()
        .execute("SELECT count(*), sum(result::DECIMAL(18, 6)), sum(epoch_us(time) % 999983) FROM lake.observation")
        .fetchall()
    )


def live_files(lake: Lake) -> list[Path]:
    return [
        Path(row[0])
        for row in lake.connection.cursor()
        .execute("SELECT data_file FROM ducklake_list_files('lake', 'observation') ORDER BY 1")
        .fetchall()
    ]


def test_a_day_of_small_files_becomes_one_sorted_by_series_and_time(lake: Lake) -> None:
    rows = day(200, 60_000, YESTERDAY)
    mixed = rows.take(pa.array(np.random.default_rng(1).permutation(60_000)))
    for number in range(12):
        lake.append({"observation": mixed.slice(number * 5000, 5000)}, number + 1)
    before = content(lake)
    assert len(live_files(lake)) == 12
    assert set(upkeep(lake)) == {"merge", "expire", "orphans"}
    [file] = live_files(lake)
    kept = pq.read_table(file, columns=["datastream", "time"], partitioning=None)
    keys = list(zip(kept["datastream"].to_pylist(), kept["time"].cast(pa.int64()).to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert content(lake) == before


def test_rows_in_the_catalogue_become_files_when_there_are_enough(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thap.kernel.history.tidying.INLINED_ROWS", 1000)
    for number in range(4):
        lake.append({"observation": day(10, 300, YESTERDAY + number * MINUTE_US)}, number + 1)
        list(upkeep(lake))
        assert len(live_files(lake)) == (number == 3)
    assert content(lake)[0][0] == 1200
    assert lake.append({"observation": day(10, 300, YESTERDAY)}, 9).duplicates == 300


def test_the_offset_outlives_every_snapshot_it_was_written_with(settings: Settings, lake: Lake) -> None:
    for number in range(5):
        lake.append({"observation": day(10, 1000, YESTERDAY + number * MINUTE_US)}, number + 1)
    list(upkeep(lake, now=now_us() + 3 * DAY_US))
    list(upkeep(lake, now=now_us() + 6 * DAY_US, thorough=True))
    lake.close()
    again = Lake.open(settings)
    assert again.offset() == 5
    again.close()


def test_snapshots_are_forgotten_after_the_grace_and_not_before(lake: Lake) -> None:
    for number in range(5):
        lake.append({"observation": day(10, 1000, YESTERDAY + number * MINUTE_US)}, number + 1)

    def snapshots(hours: float) -> int:
        list(upkeep(lake, now=now_us() + round(hours * HOUR_US)))
        return len(lake.connection.cursor().execute("FROM ducklake_snapshots('lake')").fetchall())

    assert (snapshots(0), snapshots(0.9), snapshots(1.1)) == (8, 8, 1)


def test_replaced_files_stay_for_readers_and_go_after_the_grace(settings: Settings, lake: Lake) -> None:
    for number in range(5):
        lake.append({"observation": day(10, 1000, YESTERDAY + number * MINUTE_US)}, number + 1)
    before = content(lake)
    list(upkeep(lake))
    assert len(list(settings.lake_dir.rglob("*.parquet"))) == 6
    for hours in (0.9, 51, 52):
        list(upkeep(lake, now=now_us() + round(hours * HOUR_US)))
        assert len(list(settings.lake_dir.rglob("*.parquet"))) == (6 if hours < 1 else 1)
    assert list(settings.lake_dir.rglob("*.parquet")) == live_files(lake)
    assert content(lake) == before


def test_files_of_a_killed_writer_are_cleared_after_a_day_and_no_others(settings: Settings, lake: Lake) -> None:
    lake.append({"observation": day(10, 5000, YESTERDAY)}, 1)
    before = content(lake)
    old, young = (live_files(lake)[0].with_name(f"ducklake-{name}.parquet") for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half a fi")
    os.utime(old, (1, 1))
    list(upkeep(lake, thorough=True))
    assert (old.exists(), young.exists()) == (False, True)
    assert content(lake) == before


def test_records_older_than_their_kind_is_kept_go_and_the_others_stay(settings: Settings, lake: Lake) -> None:
    settings.history.keep_days["observation"] = 30
    for age in (400, 90, 31, 30, 2):
        lake.append({"observation": day(10, 1000, YESTERDAY - (age - 1) * DAY_US)}, 1)
        lake.append({"observation": observations([99], [YESTERDAY - (age - 1) * DAY_US])}, 1)
    assert "retention" in set(upkeep(lake))
    oldest = lake.connection.execute("SELECT epoch_us(min(time)), count(*) FROM lake.observation").fetchone()
    assert oldest == (YESTERDAY - 29 * DAY_US, 2002)
    settings.history.keep_days["observation"] = 0
    assert "retention" not in set(upkeep(lake))


def test_an_old_record_that_came_in_lately_is_kept(settings: Settings, lake: Lake) -> None:
    settings.history.keep_days["observation"] = 30
    table = day(10, 1000, YESTERDAY - 400 * DAY_US)
    now = pa.array([now_us()] * table.num_rows, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    place = table.schema.get_field_index("received")
    lake.append({"observation": table.set_column(place, table.schema.field(place), now)}, 1)
    assert "retention" not in set(upkeep(lake))
    assert lake.connection.execute("SELECT count(*) FROM lake.observation").fetchone() == (table.num_rows,)


def test_many_days_with_few_rows_are_tidied_in_few_steps(lake: Lake) -> None:
    for number in range(3):
        lake.append(
            {"observation": observations([1] * 80, [MIDNIGHT - week * 7 * DAY_US + number for week in range(80)])},
            number + 1,
        )
        steps = list(upkeep(lake, thorough=True))
        assert len(steps) < 8
    assert content(lake)[0][0] == 240
    assert len(live_files(lake)) == 80
