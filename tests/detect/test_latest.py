"""Latest values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from thap.detect.latest import Latest
from thap.observe.kinds import Kind, ObservationBatch

rows = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 50), st.floats(-9, 9)), max_size=40)


def _batch(part: list[tuple[int, int, float]]) -> ObservationBatch:
    return ObservationBatch(
        np.array([r[0] for r in part], np.int32),
        np.array([r[1] for r in part], np.int64),
        np.array([r[2] for r in part], np.float64),
        np.zeros(len(part), np.int64),
        np.ones(len(part), np.int64),
    )


@given(rows, st.integers(1, 7))
def test_the_newest_time_wins_however_rows_come(given_: list[tuple[int, int, float]], size: int) -> None:
    latest = Latest(Kind.OBSERVATION)
    for start in range(0, len(given_), size):
        latest.update(_batch(given_[start : start + size]))
    expected: dict[int, int] = {}
    for series, time, _ in given_:
        expected[series] = max(time, expected.get(series, -1))
    table = latest.table().to_pydict()
    assert dict(zip(table["datastream"], table["time"], strict=True)) == expected
    values = {
        (series, time): {v for s, t, v in given_ if (s, t) == (series, time)} for series, time in expected.items()
    }
    for series, time, value in zip(table["datastream"], table["time"], table["result"], strict=True):
        assert value in values[series, time]


def test_what_changed_since_a_version_is_all_that_is_told() -> None:
    latest = Latest(Kind.OBSERVATION)
    latest.update(_batch([(1, 1, 1.0), (2, 1, 2.0)]))
    version = latest.version
    latest.update(_batch([(2, 2, 3.0), (3000, 2, 4.0)]))
    with pa.ipc.open_stream(latest.ipc(version)) as reader:
        table = reader.read_all()
    assert table.column("datastream").to_pylist() == [2, 3000]
    assert table.schema.metadata[b"kind"] == b"observation"
    assert int(table.schema.metadata[b"version"]) == latest.version


@given(rows)
def test_state_survives_dump_and_load(given_: list[tuple[int, int, float]]) -> None:
    latest, other = Latest(Kind.OBSERVATION), Latest(Kind.OBSERVATION)
    latest.update(_batch(given_))
    other.load(latest.dump())
    assert other.table().to_pydict() == latest.table().to_pydict()
