"""Writing to the lake: whole, once, and in step with its offset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from tests.kernel.lake_rows import MIDNIGHT, SmallDisk, day, observations, positions, times

from thap.kernel.clock import DAY_US, HOUR_US, SECOND_US
from thap.kernel.errors import BusyError, DiskFullError, InputError, UnavailableError
from thap.kernel.history import TABLES, Lake
from thap.kernel.history.novelty import Novelty
from thap.kernel.settings import Settings, load_settings
from thap.observe.kinds import SCHEMAS


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lake]:
    made = Lake.open(settings)
    yield made
    made.close()


def count(lake: Lake, table: str = "observation") -> int:
    row = lake.connection.cursor().execute(f"SELECT count(*) FROM lake.{table}").fetchone()
    assert row is not None
    return int(row[0])


def parquet(settings: Settings) -> list[Path]:
    return sorted(settings.lake_dir.rglob("*.parquet"))


def test_the_tables_hold_exactly_what_the_kinds_of_record_have() -> None:
    assert set(TABLES) == {str(kind) for kind in SCHEMAS}
    for kind, schema in SCHEMAS.items():
        assert TABLES[str(kind)].schema.remove(len(schema)).equals(schema)


def test_rows_and_offset_are_there_after_reopening(settings: Settings, lake: Lake) -> None:
    assert lake.offset() == 0
    done = lake.append({"observation": day(10, 2000), "position": positions([1, 2], [MIDNIGHT] * 2)}, 17)
    assert (done.rows, done.duplicates) == ({"observation": 2000, "position": 2}, 0)
    lake.close()
    again = Lake.open(settings)
    assert (again.offset(), count(again), count(again, "position")) == (17, 2000, 2)
    again.close()


def test_an_offset_without_any_new_row_is_kept_as_well(settings: Settings, lake: Lake) -> None:
    lake.append({}, 5)
    assert lake.append({"observation": day(1, 10)}, 6).rows == {"observation": 10}
    assert lake.append({"observation": day(1, 10)}, 7).duplicates == 10
    lake.close()
    again = Lake.open(settings)
    assert again.offset() == 7
    again.close()


def test_the_same_rows_again_add_nothing_not_even_after_a_restart(settings: Settings, lake: Lake) -> None:
    rows = day(50, 20_000)
    lake.append({"observation": rows}, 1)
    assert lake.append({"observation": rows}, 2).duplicates == 20_000
    lake.close()
    again = Lake.open(settings)
    assert again.append({"observation": rows.slice(5000)}, 3).duplicates == 15_000
    assert count(again) == 20_000
    again.close()


def test_of_two_records_with_the_same_time_the_first_stays(lake: Lake) -> None:
    lake.append({"observation": observations([1, 1, 2], [MIDNIGHT] * 3, [1.0, 2.0, 3.0])}, 1)
    lake.append({"observation": observations([2, 3], [MIDNIGHT] * 2, [9.0, 4.0])}, 2)
    assert lake.connection.execute("SELECT datastream, result FROM lake.observation ORDER BY 1").fetchall() == [
        (1, 1.0),
        (2, 3.0),
        (3, 4.0),
    ]


def test_late_rows_are_new_and_a_gap_may_be_filled_in(lake: Lake) -> None:
    lake.append({"observation": observations([1, 1], [MIDNIGHT, MIDNIGHT + 2 * HOUR_US])}, 1)
    done = lake.append(
        {"observation": observations([1, 1, 1], [MIDNIGHT + 2 * HOUR_US, MIDNIGHT + HOUR_US, MIDNIGHT - 40 * DAY_US])},
        2,
    )
    assert (done.rows["observation"], done.duplicates) == (2, 1)


def test_other_kinds_collapse_too(lake: Lake) -> None:
    at = times([MIDNIGHT])
    article = pa.table(
        [["báo"], at, ["https://example.org/1"], ["Tin"], ["Nội dung"], at], schema=TABLES["article"].schema
    )
    sighting = pa.table(
        [
            pa.array([1, 1], pa.int32()),
            times([MIDNIGHT] * 2),
            pa.array([7, 7]),
            ["truck", "truck"],
            ["crossed", "stopped"],
            pa.array([None, None], pa.string()),
            times([MIDNIGHT] * 2),
        ],
        schema=TABLES["sighting"].schema,
    )
    assert lake.append({"article": article, "sighting": sighting}, 1).rows == {"article": 1, "sighting": 2}
    assert lake.append({"article": article, "sighting": sighting}, 2).duplicates == 3


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 12)), max_size=12), max_size=12), st.integers(0, 12)
)
def test_novelty_never_takes_a_record_twice_and_never_leaves_one_out(
    flushes: list[list[tuple[int, int]]], learnt: int
) -> None:
    there: set[tuple[int, int]] = set()
    novelty: Novelty | None = None
    for number, flush in enumerate(flushes):
        if novelty is None or number == learnt:  # as after a restart, knowing only what is at or after time 4
            seen = {s: max(t for k, t in there if k == s and t >= 4) for s, t in there if t >= 4}
            novelty = Novelty(np.array(list(seen), np.int64), np.array(list(seen.values()), np.int64), 4)
        series = np.array([s for s, _ in flush], np.int32)
        at = np.array([t for _, t in flush], np.int64)
        keep, check = novelty.sift(series, at)
        for row in check.tolist():
            keep[row] = (int(series[row]), int(at[row])) not in there
        taken = [flush[row] for row in np.flatnonzero(keep).tolist()]
        assert taken == [pair for pair in dict.fromkeys(flush) if pair not in there]
        novelty.took(series[keep], at[keep])
        there.update(taken)


@examples(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9), st.booleans()), max_size=8), max_size=5))
def test_the_lake_holds_each_record_once_whatever_comes_and_however_often_it_is_reopened(
    tmp_path_factory: pytest.TempPathFactory, flushes: list[list[tuple[int, int, bool]]]
) -> None:
    settings = load_settings(tmp_path_factory.mktemp("lake"))
    lake, expected = Lake.open(settings), {}
    for number, flush in enumerate(flushes):
        at = [MIDNIGHT + t * (9 * HOUR_US if far else SECOND_US) for _, t, far in flush]
        ids = [s for s, _, _ in flush]
        results = [float(number * 100 + row) for row in range(len(flush))]
        for key in zip(ids, at, results, strict=True):
            expected.setdefault(key[:2], key[2])
        lake.append({"observation": observations(ids, at, results)}, number + 1)
        if number % 2:
            lake.close()
            lake = Lake.open(settings)
            assert lake.offset() == number + 1
    kept = lake.connection.execute("SELECT datastream, epoch_us(time), result FROM lake.observation").fetchall()
    lake.close()
    assert {row[:2]: row[2] for row in kept} == expected
    assert len(kept) == len(expected)


def test_a_second_writer_is_told_who_writes_and_readers_are_not_disturbed(settings: Settings, lake: Lake) -> None:
    lake.append({"observation": day(5, 1000)}, 1)
    with pytest.raises(BusyError, match=f"process {os.getpid()} writes to this lake"):
        Lake.open(settings)
    reader = Lake.open(settings, read_only=True)
    assert (count(reader), reader.offset()) == (1000, 1)
    lake.append({"observation": day(5, 1000, MIDNIGHT + DAY_US)}, 2)
    assert (count(reader), reader.offset()) == (2000, 2)
    reader.close()


def test_reading_where_nothing_was_written_yet_says_so(settings: Settings) -> None:
    with pytest.raises(UnavailableError, match="there is no history yet"):
        Lake.open(settings, read_only=True)


def test_a_reader_in_another_process_never_sees_half_a_write_nor_an_error(settings: Settings, lake: Lake) -> None:
    lake.append({"observation": day(5, 1000)}, 1)
    code = """
import sys
from pathlib import Path
from thap.kernel.history import Lake
from thap.kernel.settings import load_settings
lake, seen = Lake.open(load_settings(Path(sys.argv[1])), read_only=True), set()
while 8000 not in seen:
    seen.add(lake.connection.cursor().execute("SELECT count(*) FROM lake.observation").fetchone()[0])
    print("looked", flush=True)
print(sorted(seen))
"""
    reader = subprocess.Popen([sys.executable, "-c", code, str(settings.data)], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "looked\n"
    for number in range(1, 8):
        lake.append({"observation": day(5, 1000, MIDNIGHT + number * DAY_US)}, number + 1)
    out, _ = reader.communicate(timeout=60)
    assert reader.returncode == 0
    assert all(seen % 1000 == 0 for seen in json.loads(out.splitlines()[-1]))


def test_a_writer_killed_in_the_middle_leaves_whole_writes_only(settings: Settings) -> None:
    code = """
import sys
from pathlib import Path
from tests.kernel.lake_rows import MIDNIGHT, day
from thap.kernel.clock import DAY_US
from thap.kernel.history import Lake
from thap.kernel.settings import load_settings
lake = Lake.open(load_settings(Path(sys.argv[1])))
while True:
    number = lake.offset() + 1
    lake.append({"observation": day(20, 5000, MIDNIGHT + number * DAY_US, number)}, number)
    print(number, flush=True)
"""
    acknowledged = 0
    for kill_after in (1, 3, 2):
        writer = subprocess.Popen([sys.executable, "-c", code, str(settings.data)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(kill_after):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        writer.communicate()
        lake = Lake.open(settings)
        assert lake.offset() in (acknowledged, acknowledged + 1, acknowledged + 2)
        assert count(lake) == lake.offset() * 5000
        lake.close()


def test_rows_that_cannot_be_kept_are_refused_and_nothing_of_them_written(lake: Lake) -> None:
    bad = {
        "not a number of the registry": observations([2**31 - 1], [MIDNIGHT]),
        "-5 is not a number": observations([-5], [MIDNIGHT]),
        "before year 1 or after year 9999": observations([1], [2**62]),
        "with null values to non-nullable": observations([1], [MIDNIGHT]).set_column(
            2, TABLES["observation"].schema.field(2), pa.array([None], pa.float64())
        ),
        "not rows of observation": pa.table({"a": [1]}),
    }
    for reason, rows in bad.items():
        with pytest.raises(InputError, match=reason):
            lake.append({"position": positions([1], [MIDNIGHT]), "observation": rows}, 9)
    with pytest.raises(InputError, match="not a kind of record"):
        lake.append({"rumour": pa.table({"a": [1]})}, 9)
    assert (count(lake, "position"), lake.offset()) == (0, 0)


def test_few_rows_stay_in_the_catalogue_and_many_become_a_file_a_day(settings: Settings, lake: Lake) -> None:
    lake.append({"observation": day(5, 100)}, 1)
    assert parquet(settings) == []
    two_days = pa.concat_tables([day(5, 2000, MIDNIGHT + number * DAY_US) for number in (1, 2)])
    lake.append({"observation": two_days}, 2)
    assert [path.parent.name for path in parquet(settings)] == ["day=11", "day=12"]


def test_a_file_of_many_years_with_few_rows_a_day_does_not_become_thousands_of_files(
    settings: Settings, lake: Lake
) -> None:
    weeks = [MIDNIGHT - week * 7 * DAY_US for week in range(2000)]
    rows = observations([1] * 2000, weeks)
    assert lake.append({"observation": rows}, 1).rows == {"observation": 2000}
    assert parquet(settings) == []
    assert lake.append({"observation": rows}, 2).duplicates == 2000


def test_a_full_disk_writes_nothing_and_the_same_rows_are_taken_when_there_is_room(tmp_path: Path) -> None:
    def noise(number: int) -> pa.Table:
        """A day of 50,000 rows that do not compress."""
        return day(500, 50_000, MIDNIGHT + number * DAY_US).set_column(
            2, TABLES["observation"].schema.field(2), pa.array(np.random.default_rng(number).normal(size=50_000))
        )

    with SmallDisk(tmp_path / "small", 4) as disk:
        settings = load_settings(disk.folder / "centre")
        settings.data.mkdir()
        lake = Lake.open(settings)
        written = 0
        with pytest.raises(DiskFullError, match="no room to write history"):
            while True:
                lake.append({"observation": noise(written)}, written + 1)
                written += 1
        assert written > 2
        with pytest.raises(DiskFullError):
            lake.append({"observation": noise(written)}, written + 1)
        assert (lake.offset(), count(lake), len(parquet(settings))) == (written, written * 50_000, written)
        disk.grow(30)
        lake.append({"observation": noise(written)}, written + 1)
        assert (lake.offset(), count(lake)) == (written + 1, (written + 1) * 50_000)
        lake.close()


def test_new_files_are_synced_before_the_catalogue_names_them(
    settings: Settings, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[str, int] = {}
    real = os.fsync

    def watch(handle: int) -> None:
        path = str(Path(f"/proc/self/fd/{handle}").readlink())
        named = lake.connection.cursor().execute("SELECT count(*) FROM ducklake_list_files('lake', 'observation')")
        synced[path] = int(named.fetchall()[0][0])
        real(handle)

    monkeypatch.setattr(os, "fsync", watch)
    lake.append({"observation": day(5, 2000)}, 1)
    [file] = parquet(settings)
    folders = list(file.parents)[:6]
    assert folders[-1] == settings.lake_dir / "data"
    assert synced == {str(path): 0 for path in (file, *folders)}


def test_a_data_directory_may_be_moved(settings: Settings, lake: Lake) -> None:
    lake.append({"observation": day(5, 2000)}, 1)
    lake.close()
    moved = settings.data.with_name("elsewhere")
    settings.data.rename(moved)
    again = Lake.open(load_settings(moved))
    assert (count(again), again.append({"observation": day(5, 2000)}, 2).duplicates) == (2000, 2000)
    again.close()
