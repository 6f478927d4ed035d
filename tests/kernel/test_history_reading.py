"""Reading history: peaks survive, order holds, nothing is left out."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from tests.kernel.lake_rows import MIDNIGHT, day, observations, positions

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, now_us
from thap.kernel.errors import InputError
from thap.kernel.history import TABLES, Bucket, Lake, upkeep
from thap.kernel.settings import Settings, load_settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(tmp_path_factory.mktemp("reading"))


@pytest.fixture(scope="module")
def lake(settings: Settings) -> Iterator[Lake]:
    """Three days of 20 datastreams every 72 s; datastream 7 has one spike; in files merged, unmerged, and catalogue."""
    made = Lake.open(settings)
    for number in range(3):
        made.append({"observation": day(20, 24_000, MIDNIGHT + number * DAY_US, number)}, number)
        if number == 0:
            made.settings.history.keep_days["observation"] = 0
            list(upkeep(made))
    made.append({"observation": observations([7], [MIDNIGHT + 30 * HOUR_US + 1], [99.5])}, 4)
    fixes = [MIDNIGHT + second * 10 * SECOND_US for second in range(2000)]
    made.append({"position": positions([3] * 2000, fixes)}, 5)
    made.close()
    reader = Lake.open(settings, read_only=True)
    yield reader
    reader.close()


def plain(lake: Lake, datastream: int, since: int, until: int) -> list[tuple[int, float]]:
    return lake.connection.execute(
        "SELECT epoch_us(time), result FROM lake.observation WHERE datastream = ? AND epoch_us(time) >= ? AND "
        "epoch_us(time) < ? ORDER BY 1",
        [datastream, since, until],
    ).fetchall()


@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    since=st.integers(-HOUR_US, 3 * DAY_US),
    length=st.integers(0, 3 * DAY_US),
    width=st.integers(MINUTE_US, DAY_US),
    origin=st.integers(-DAY_US, DAY_US),
)
def test_a_bucket_says_what_its_records_did(lake: Lake, since: int, length: int, width: int, origin: int) -> None:
    start, end = MIDNIGHT + since, MIDNIGHT + since + length
    expected = []
    rows = plain(lake, 7, start, end)
    for bucket in sorted({(at - origin) // width for at, _ in rows}):
        inside = [(at, value) for at, value in rows if (at - origin) // width == bucket]
        values = [value for _, value in inside]
        low, high = min(values), max(values)
        expected.append((bucket * width + origin, low, high, inside[0][1], inside[-1][1], len(inside)))
    found = lake.series(7, start, end, bucket=width, origin=origin)
    assert [(b.start, b.min, b.max, b.first, b.last, b.count) for b in found] == expected
    for bucket in found:
        assert {(bucket.min_time, bucket.min), (bucket.max_time, bucket.max)} <= set(rows)
        assert bucket.min - 1e-9 <= bucket.mean <= bucket.max + 1e-9


def test_a_spike_of_one_record_is_in_the_coarsest_picture(lake: Lake) -> None:
    [bucket] = lake.series(7, MIDNIGHT, MIDNIGHT + 3 * DAY_US, max_points=1)
    assert isinstance(bucket, Bucket)
    assert (bucket.max, bucket.max_time, bucket.count) == (99.5, MIDNIGHT + 30 * HOUR_US + 1, 3601)


def test_there_are_never_more_buckets_than_asked_for(lake: Lake) -> None:
    for points in (1, 2, 7, 500):
        found = lake.series(7, MIDNIGHT + 1, MIDNIGHT + 3 * DAY_US - 5, max_points=points)
        assert len(found) <= points
        assert sum(bucket.count for bucket in found) == len(plain(lake, 7, MIDNIGHT + 1, MIDNIGHT + 3 * DAY_US - 5))


def test_questions_that_make_no_sense_are_refused(lake: Lake) -> None:
    with pytest.raises(InputError, match="since lies after until"):
        lake.series(7, 5, 4, bucket=1)
    with pytest.raises(InputError, match="either a bucket or a number of points"):
        lake.series(7, 0, 4)
    with pytest.raises(InputError, match="longer than nothing"):
        lake.series(7, 0, 4, bucket=0)
    assert lake.series(7, 4, 4, bucket=10) == []
    assert lake.series(12345, MIDNIGHT, MIDNIGHT + DAY_US, bucket=HOUR_US) == []


def test_records_come_one_by_one_up_to_a_limit(lake: Lake) -> None:
    found = lake.raw(7, MIDNIGHT, MIDNIGHT + DAY_US, 5)
    assert [(row.time, row.result) for row in found] == plain(lake, 7, MIDNIGHT, MIDNIGHT + DAY_US)[:5]
    rest = lake.raw(7, found[-1].time + 1, MIDNIGHT + DAY_US, 100_000)
    assert len(found) + len(rest) == 1200


def test_a_track_is_thinned_evenly_and_keeps_its_ends(lake: Lake) -> None:
    whole = lake.track(3, MIDNIGHT, MIDNIGHT + DAY_US, max_points=2000)
    assert len(whole) == 2000
    assert (whole[0].speed_kn, whole[0].course_deg) == (5.0, None)
    thin = lake.track(3, MIDNIGHT, MIDNIGHT + DAY_US, max_points=100)
    assert 20 <= len(thin) <= 100
    assert (thin[0], thin[-1]) == (whole[0], whole[-1])
    assert [fix.time for fix in thin] == sorted(fix.time for fix in thin)
    assert lake.track(4, MIDNIGHT, MIDNIGHT + DAY_US) == []


def test_a_scan_gives_every_record_once_in_order_of_time(lake: Lake) -> None:
    batches = list(lake.scan_observations(None, 0, now_us()))
    assert all(batch.schema.equals(TABLES["observation"].schema) for batch in batches)
    table = pa.Table.from_batches(batches)
    assert table.num_rows == 72_001
    at = table["time"].cast(pa.int64()).to_numpy()
    assert (np.diff(at) >= 0).all()
    chosen = pa.Table.from_batches(list(lake.scan_observations([7, 9], MIDNIGHT + HOUR_US, MIDNIGHT + 2 * DAY_US)))
    assert set(chosen["datastream"].to_pylist()) == {7, 9}
    assert chosen.num_rows == 2 * 2 * 1200 - 2 * 50 + 1
    assert chosen.equals(
        pa.Table.from_batches(
            list(lake.scan_observations([7, 9, *range(100, 1000)], MIDNIGHT + HOUR_US, MIDNIGHT + 2 * DAY_US))
        )
    )


def test_a_scan_of_nothing_is_empty(lake: Lake) -> None:
    assert list(lake.scan_observations([], 0, now_us())) == []
    assert list(lake.scan_observations(None, 0, MIDNIGHT)) == []
    assert list(lake.scan_observations([12345], 0, now_us())) == []
    assert sum(batch.num_rows for batch in lake.scan_positions(None, 0, now_us())) == 2000
