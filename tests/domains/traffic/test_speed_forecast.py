from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from thap.cli.app import build
from thap.domains.traffic.forecast import congestion_ahead, corridor, filled, fit
from thap.domains.traffic.speeds import read_adjacency, read_speeds
from thap.kernel.errors import InputError


def days(count: int = 4, sensors: int = 6, seed: int = 0) -> np.ndarray:
    """Rush hours whose depth differs from day to day, felt by one sensor after the other."""
    random = np.random.default_rng(seed)
    row = np.arange(288 * count)
    depth = random.uniform(15, 40, count)[row // 288]
    made = np.empty((len(row), sensors))
    noise = np.zeros(sensors)
    for sensor in range(sensors):
        peak = 96 + 3 * sensor
        made[:, sensor] = 64 - depth * np.exp(-0.5 * ((row % 288 - peak) / 14) ** 2)
    for at in range(len(row)):
        noise = 0.9 * noise + random.normal(0, 1.0, sensors)
        made[at] += noise
    return np.clip(made, 3, 70)


CHAIN = np.eye(6, k=1) + np.eye(6, k=-1)


def test_it_beats_persistence_and_the_average_on_a_day_not_fitted_on() -> None:
    values = days(6)
    model = fit(values[: 288 * 5], [6], CHAIN)
    origins = np.arange(288 * 5 + 12, 288 * 6 - 6)
    made = model.expect_many(values, origins, 6)
    true = values[origins + 6]
    error = {
        name: float(np.sqrt(np.mean([(getattr(one, name) - row) ** 2 for one, row in zip(made, true, strict=True)])))
        for name in ("value", "persistence", "usual")
    }
    assert error["value"] < 0.95 * min(error["persistence"], error["usual"])
    inside = np.mean([((row >= one.low) & (row <= one.high)).mean() for one, row in zip(made, true, strict=True)])
    assert 0.7 <= inside <= 0.95


def test_nothing_after_the_origin_changes_what_is_expected() -> None:
    values = days()
    model = fit(values[:900], [3], CHAIN)
    other = values.copy()
    other[951:] = 5.0
    first, second = (model.expect_many(rows, np.array([950]), 3)[0] for rows in (values, other))
    assert (first.value == second.value).all()
    assert first.value == pytest.approx(model.expect(values[:951], 3).value, abs=1e-4)


def test_missing_values_are_filled_and_never_a_target() -> None:
    values = days()
    holes = values.copy()
    random = np.random.default_rng(2)
    holes[random.random(holes.shape) < 0.1] = 0.0
    holes[:, 5] = np.nan
    made = fit(holes, [3, 6], CHAIN).expect(filled(holes), 6)
    assert np.isfinite([made.value, made.low, made.high]).all()
    assert filled(np.array([[0.0], [40.0], [0.0], [30.0]]))[:, 0].tolist() == [35.0, 40.0, 40.0, 30.0]


def test_less_than_a_day_and_no_adjacency_will_do() -> None:
    made = fit(days(1)[:150], [3, 12]).expect(days(1)[:150], 12)
    assert ((made.low <= made.value) & (made.value <= made.high)).all()


def test_congestion_ahead_is_told_only_where_it_is_not_there_yet() -> None:
    values = days()
    model = fit(values, [6], CHAIN)
    made = model.expect(values, 6)
    free, now = np.full(6, 64.0), np.full(6, 60.0)
    falling = type(made)(6, np.array([20.0, 60, 60, 60, 60, 60]), np.full(6, 15.0), np.full(6, 66.0), now, now)
    told = congestion_ahead(["a", "b", "c", "d", "e", "f"], now, free, falling)
    assert (told[0].where, told[0].sure, told[0].condition) == ("a", True, "traffic.congestion_expected")
    assert [one.sure for one in told[1:]] == [False] * 5
    assert congestion_ahead(["a"] * 6, np.full(6, 20.0), free, falling) == []
    value, low, high = corridor(falling, [0, 1])
    assert (value, low, high) == (40.0, 15.0, 66.0)


def test_too_little_or_a_matrix_of_another_size_is_said() -> None:
    with pytest.raises(InputError, match="too few"):
        fit(days(1)[:30], [12])
    with pytest.raises(InputError, match="2 × 2, for 6 sensors"):
        fit(days(1), [3], np.eye(2))


def test_a_file_is_forecast_on_the_command_line(tmp_path: Path) -> None:
    values = days(2)
    times = [f"2026-05-{4 + row // 288:02d} {row % 288 // 12:02d}:{row % 12 * 5:02d}" for row in range(len(values))]
    lines = [",".join([time, *(f"{cell:.2f}" for cell in row)]) for time, row in zip(times, values, strict=True)]
    speeds, near = tmp_path / "speeds.csv", tmp_path / "near.csv"
    speeds.write_text("time,a,b,c,d,e,f\n" + "\n".join(lines) + "\n")
    near.write_text("\n".join(",".join(map(str, row)) for row in CHAIN) + "\n")
    words = ["traffic", "forecast", str(speeds), "--adjacency", str(near), "--corridor", "main=a,b", "--json"]
    done = CliRunner().invoke(build("traffic"), words)
    assert done.exception is None, done.output
    body = json.loads(done.stdout)
    assert [one["minutes"] for one in body["forecasts"]] == [15, 30, 45, 60]
    assert body["forecasts"][0]["time"] == "2026-05-06T00:10:00"
    assert [one["sensor"] for one in body["forecasts"][0]["values"]] == list("abcdef")
    assert body["forecasts"][0]["corridors"][0]["corridor"] == "main"


def test_headings_of_numbers_are_headings_and_rows_of_another_length_are_said(tmp_path: Path) -> None:
    path = tmp_path / "speeds.csv"
    path.write_text("773869,767541\n64.5,60\n0,61\n")
    read = read_speeds(path)
    assert read.names == ("773869", "767541")
    assert np.isnan(read.values[1, 0])
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(InputError, match=r"line 3: 1 columns"):
        read_speeds(path)
    path.write_text("a,b\n1,x\n")
    with pytest.raises(InputError, match=r"line 2, column b"):
        read_speeds(path)
    path.write_text("1,0\n0,1\n")
    with pytest.raises(InputError, match="2 × 2, for 3 sensors"):
        read_adjacency(path, 3)
