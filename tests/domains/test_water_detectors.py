"""Levels above alarm and above the tide, and sensors that stand still or drift; whatever way rows are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domains.water_data import START, tide

from thap.detect.detector import Action, Change, Outcome, Severity
from thap.domains.water.forecast import gather
from thap.domains.water.harmonic import fit_tides
from thap.domains.water.levels import LevelAboveAlarm, LevelAboveTide, RiseAboveTide
from thap.domains.water.sensors import SensorDrift, StuckValue
from thap.domains.water.watching import Rows, Watcher
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US
from thap.observe.kinds import ObservationBatch
from thap.observe.registry import DatastreamInfo, Registry

Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
NAMES = ("vam-kenh", "hoa-binh", "my-tho", "cai-lay", "tan-chau")


def registry(*names: str, of: str = "water_level") -> Registry:
    infos = tuple(
        DatastreamInfo(
            number, f"{name}/{of}", name, of, of, "m", "water", "hydrology", 106.0 + number / 10, 10.3, "29869"
        )
        for number, name in enumerate(names, start=1)
    )
    return Registry(infos, (), {one.key: one.id for one in infos}, {})


def batch(numbers: Sequence[int] | npt.NDArray[np.int64], times: Longs, values: Doubles) -> ObservationBatch:
    count = len(times)
    return ObservationBatch(np.asarray(numbers, np.int32), times, values, times, np.arange(1, count + 1))


def play(detector: Watcher, times: Longs, values: Doubles, number: int = 1, pieces: int = 7) -> list[Change]:
    """Rows in several batches, time passing between them."""
    changes: list[Change] = []
    for part in np.array_split(np.arange(len(times)), pieces):
        if len(part):
            changes += detector.update(batch([number] * len(part), times[part], values[part])).changes
            changes += detector.tick(int(times[part[-1]])).changes
    return changes + detector.tick(int(times[-1]) + 2 * HOUR_US).changes


def told(changes: list[Change]) -> list[tuple[str, str, int]]:
    return [(one.action.value, one.severity.name, one.time) for one in changes]


def hours(*spans: tuple[float, float]) -> tuple[Longs, Doubles]:
    """A level by ten minutes: (hours, value) after one another."""
    values = np.concatenate([np.full(round(lasting * 6), value) for lasting, value in spans])
    return START + np.arange(len(values), dtype=np.int64) * 10 * MINUTE_US, values


def test_a_level_climbs_the_ladder_and_comes_down_with_a_deadband() -> None:
    detector = LevelAboveAlarm()
    detector.bind(registry("tan-chau"))
    times, values = hours((1, 3.0), (2, 3.6), (2, 4.2), (2, 4.6), (2, 3.97), (2, 3.4))
    found = play(detector, times, values)
    assert [(one.action, one.severity) for one in found] == [
        (Action.RAISE, Severity.MEDIUM),
        (Action.ESCALATE, Severity.HIGH),
        (Action.ESCALATE, Severity.CRITICAL),
        (Action.DOWNGRADE, Severity.HIGH),
        (Action.CLEAR, Severity.HIGH),
    ]
    assert found[0].evidence["levels"] == [3.5, 4.0, 4.5]
    assert "công bố" in found[0].evidence["levels_source"]
    assert found[0].time == START + HOUR_US + 20 * MINUTE_US  # after the delay


def test_where_only_level_three_is_known_it_alone_counts() -> None:
    detector = LevelAboveAlarm()
    detector.bind(registry("vam-kenh"))
    found = play(detector, *hours((1, 1.45), (2, 1.55), (2, 1.3)))
    assert [(one.action, one.severity) for one in found] == [
        (Action.RAISE, Severity.CRITICAL),
        (Action.CLEAR, Severity.CRITICAL),
    ]


def test_a_single_spike_raises_nothing() -> None:
    detector = LevelAboveAlarm()
    detector.bind(registry("tan-chau"))
    times, values = hours((6, 3.0))
    values[10] = 9.0
    assert play(detector, times, values) == []


def test_a_level_that_a_rule_watches_is_left_to_the_rule() -> None:
    detector = LevelAboveAlarm()
    detector.known = replace(detector.known, ruled=frozenset({"tan-chau/water_level"}))
    detector.bind(registry("tan-chau", "cai-lay"))
    times, values = hours((2, 9.0))
    assert play(detector, times, values, number=1) == []
    assert len(play(detector, times + DAY_US, values, number=2)) == 1
    unknown = LevelAboveAlarm()
    unknown.known = replace(unknown.known, ruled=None)
    unknown.bind(registry("tan-chau"))
    assert play(unknown, times, values) == []


def test_an_alarm_of_a_station_that_is_no_longer_watched_is_cleared() -> None:
    detector = LevelAboveAlarm()
    detector.bind(registry("tan-chau"))
    times, values = hours((2, 4.1))
    detector.update(batch([1] * len(times), times, values))
    detector.known = replace(detector.known, ruled=frozenset({"tan-chau/water_level"}))
    detector.bind(registry("tan-chau"))
    (gone,) = detector.tick(int(times[-1])).changes
    assert (gone.action, gone.source) == (Action.CLEAR, "tan-chau/water_level")


def knowing(detector: Watcher, name: str = "my-tho") -> Watcher:
    """With the tide fitted on the thirty days before START."""
    times = START - np.arange(1, 30 * 144, dtype=np.int64) * 10 * MINUTE_US
    record = gather(times, tide(times))
    (fit,) = fit_tides(record.first, record.values[None], record.offsets[None])
    detector.known = replace(detector.known, tides={f"{name}/water_level": (fit.tide, float(fit.stage[-1]))})
    detector.bind(registry(name))
    return detector


def over_days(days: float, more: Callable[[Longs], Doubles] | None = None) -> tuple[Longs, Doubles]:
    times = START + np.arange(round(days * 144), dtype=np.int64) * 10 * MINUTE_US
    return times, tide(times) + (0 if more is None else more(times))


def bump(at_h: float, long_h: float, size: float) -> Callable[[Longs], Doubles]:
    def made(times: Longs) -> Doubles:
        return np.where(np.abs(times - START - at_h * HOUR_US) < long_h / 2 * HOUR_US, size, 0.0)

    return made


def test_spring_tides_raise_no_surge() -> None:
    assert play(knowing(LevelAboveTide()), *over_days(6)) == []


def test_a_surge_at_low_water_is_seen_though_no_alarm_level_is_reached() -> None:
    found = play(knowing(LevelAboveTide()), *over_days(2, bump(20, 6, 0.5)))
    assert [(one.action, one.severity) for one in found] == [
        (Action.RAISE, Severity.MEDIUM),
        (Action.CLEAR, Severity.MEDIUM),
    ]
    assert found[0].evidence["above_tide_m"] == pytest.approx(0.5, abs=0.06)
    assert abs(found[0].time - START - 18 * HOUR_US) < 15 * MINUTE_US
    twice = play(knowing(LevelAboveTide()), *over_days(2, bump(20, 6, 0.9)))
    assert max(one.severity for one in twice) is Severity.HIGH


def test_a_surge_shorter_than_its_delay_raises_nothing() -> None:
    assert play(knowing(LevelAboveTide()), *over_days(2, bump(20, 0.6, 0.8))) == []


def test_a_fast_flood_tide_is_no_fast_rise_but_a_wave_on_it_is() -> None:
    assert play(knowing(RiseAboveTide()), *over_days(3)) == []
    found = play(knowing(RiseAboveTide()), *over_days(2, bump(20, 8, 0.8)))
    assert [one.action for one in found] == [Action.RAISE, Action.CLEAR]
    assert found[0].evidence["rise_m"] > 0.5


@pytest.mark.parametrize("make", [LevelAboveTide, RiseAboveTide])
def test_without_a_tide_nothing_is_said(make: type[Watcher]) -> None:
    detector = make()
    detector.bind(registry("my-tho"))
    assert play(detector, *over_days(1, bump(10, 5, 3.0))) == []


# Sensors


def watch_stuck(values: Doubles, of: str = "water_level", every_min: int = 10) -> list[Change]:
    detector = StuckValue()
    detector.bind(registry("my-tho", of=of))
    times = START + np.arange(len(values), dtype=np.int64) * every_min * MINUTE_US
    return play(detector, times, values)


def level(days: float, decimals: int, size: float = 0.7, noise: float = 0.0, seed: int = 1) -> Doubles:
    times = START + np.arange(round(days * 144), dtype=np.int64) * 10 * MINUTE_US
    random = np.random.default_rng(seed)
    return np.round(tide(times, seed, size) + noise * random.standard_normal(len(times)), decimals)


@given(
    st.integers(0, 50),
    st.sampled_from([(1, 0.8), (2, 0.15), (2, 0.6), (3, 0.3), (3, 1.2)]),
    st.sampled_from([0.0, 0.003, 0.02]),
)
@settings(max_examples=20, deadline=None)
def test_slack_water_and_coarse_sensors_are_not_stuck(seed: int, sensor: tuple[int, float], noise: float) -> None:
    decimals, size = sensor  # in decimetres, centimetres or millimetres, on tides of 0.3 to 2.4 m
    assert watch_stuck(level(10, decimals, size, noise, seed)) == []


@given(st.integers(3, 8), st.floats(7, 40), st.sampled_from([2, 3]), st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_a_sensor_that_stands_still_is_found_and_cleared(day: int, lasting_h: float, decimals: int, seed: int) -> None:
    values = level(12, decimals, 0.8, 0.01, seed)
    begin, end = day * 144, day * 144 + round(lasting_h * 6)
    values[begin:end] = values[begin] if values[begin] != 0 else 0.5
    found = watch_stuck(values)
    assert [one.action for one in found] == [Action.RAISE, Action.CLEAR]
    assert START + begin * 10 * MINUTE_US <= found[0].time <= START + end * 10 * MINUTE_US
    assert found[0].evidence["readings"] >= 12


def test_zeros_of_a_rain_gauge_and_of_fresh_water_are_not_stuck() -> None:
    assert watch_stuck(np.zeros(3000), of="rain_10m") == []
    assert watch_stuck(np.zeros(3000), of="salinity") == []


def test_few_readings_are_not_enough_to_call_a_value_stuck() -> None:
    assert watch_stuck(np.full(5, 1.3), every_min=120) == []


def drifting(off: Callable[[float], float], flood: float = 0.0, days: int = 30, which: int = 1) -> list[Change]:
    """Five gauges on one river; one is off by a function of the day, a flood lifts all, the upper ones more."""
    detector = SensorDrift()
    detector.bind(registry(*NAMES))
    times = START + np.arange(days * 48, dtype=np.int64) * 30 * MINUTE_US
    day = (times - START) / DAY_US
    random = np.random.default_rng(5)
    rows = []
    for number in range(1, len(NAMES) + 1):
        values = tide(times, 3, 0.3 + 0.1 * number, stage=number / 2)
        values += flood * (0.5 + 0.15 * number) * np.clip((day - 12) / 8, 0, 1)
        values += 0.02 * random.standard_normal(len(times))
        if number == which:
            values += np.array([off(one) for one in day])
        rows.append(values)
    changes = []
    for part in np.array_split(np.arange(len(times)), days):
        numbers = np.tile(np.arange(1, len(NAMES) + 1), len(part))
        moments = np.repeat(times[part], len(NAMES))
        results = np.stack(rows)[:, part].T.ravel()
        changes += detector.update(batch(numbers, moments, results)).changes
        changes += detector.tick(int(moments[-1])).changes
    return changes


def test_a_sensor_that_wanders_off_is_found_and_only_that_one() -> None:
    found = drifting(lambda day: max(0.0, day - 14) * 0.15)
    assert {one.source for one in found} == {"vam-kenh/water_level"}
    assert found[0].action is Action.RAISE
    assert 14 < (found[0].time - START) / DAY_US < 22
    assert found[0].evidence["off_m"] > 0.2 and len(found[0].evidence["neighbours"]) >= 3


def test_a_flood_that_lifts_all_of_them_is_no_drift() -> None:
    assert drifting(lambda _day: 0.0, flood=1.2) == []


def test_stations_without_neighbours_are_not_judged() -> None:
    detector = SensorDrift()
    detector.bind(registry("my-tho", "vam-kenh"))
    times, values = over_days(25)
    assert play(detector, times, values + (times - START) / DAY_US * 0.2) == []


# However rows come


@given(st.lists(st.floats(0, 6), min_size=5, max_size=60), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_how_rows_are_cut_into_batches_changes_nothing(values: list[float], one: int, two: int) -> None:
    times = START + np.arange(len(values), dtype=np.int64) * 10 * MINUTE_US
    said = []
    for pieces in (one, two):
        detector = LevelAboveAlarm()
        detector.bind(registry("tan-chau"))
        said.append(told(play(detector, times, np.array(values), pieces=pieces)))
    assert said[0] == said[1]


@given(st.lists(st.floats(0, 6), min_size=5, max_size=60), st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_a_state_that_was_kept_goes_on_where_it_stopped(values: list[float], at: int) -> None:
    times = START + np.arange(len(values), dtype=np.int64) * 10 * MINUTE_US
    results, at = np.array(values), min(at, len(values))
    for make in (LevelAboveAlarm, StuckValue, SensorDrift):
        whole, before, after = make(), make(), make()
        for one in (whole, before, after):
            one.bind(registry("tan-chau"))
        expected = whole.update(batch([1] * len(times), times, results)).changes
        found = before.update(batch([1] * at, times[:at], results[:at])).changes
        after.load(before.dump())
        found += after.update(batch([1] * (len(times) - at), times[at:], results[at:])).changes
        assert told(found) == told(expected)


def test_late_and_repeated_rows_change_nothing() -> None:
    detector = LevelAboveAlarm()
    detector.bind(registry("tan-chau"))
    times, values = hours((1, 3.0), (2, 3.7))
    said = detector.update(batch([1] * len(times), times, values)).changes
    assert len(said) == 1
    again = detector.update(batch([1] * len(times), times, np.full(len(times), 9.0))).changes
    assert again == []
    assert detector.update(batch([99], times[-1:] + 1, values[-1:])).changes == []


class StuckRowByRow(StuckValue):
    take = Watcher.take


class DriftRowByRow(SensorDrift):
    def take(self, outcome: Outcome, rows: Rows) -> None:
        self.judge_in_order(outcome, rows, np.arange(len(rows.starts)))


class RiseRowByRow(RiseAboveTide):
    def take(self, outcome: Outcome, rows: Rows) -> None:
        for group in range(len(rows.starts)):
            times = rows.time[rows.starts[group] : rows.stops[group]].tolist()
            self._above = dict(zip(times, np.round(self.excess(rows, group), 4), strict=True))
            self.judge(outcome, rows, group)


@pytest.mark.parametrize(
    ("quick", "slow"),
    [(StuckValue, StuckRowByRow), (SensorDrift, DriftRowByRow), (RiseAboveTide, RiseRowByRow)],
)
@settings(max_examples=20)
@given(data=st.data())
def test_what_arrays_leave_out_changes_nothing(quick: type[Watcher], slow: type[Watcher], data: st.DataObject) -> None:
    """Taken by arrays or row by row: the same changes, and the same is kept."""
    seed = data.draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    size, step_min = data.draw(st.sampled_from([(3000, 10), (1500, 60), (400, 360)]))
    number = rng.integers(1, len(NAMES) + 1, size)
    times = START + np.cumsum(rng.integers(0, step_min * MINUTE_US, size))
    late = rng.random(size) < 0.02
    times[late] -= rng.integers(0, DAY_US, int(late.sum()))
    values = rng.choice([0.0, 1.0, 1.1], size) if data.draw(st.booleans()) else np.repeat([1.0, 2.0], size // 2)
    values = values + (rng.random(size) < 0.1) * rng.normal(0, 1, size)
    values[rng.random(size) < 0.01] = np.nan
    detectors = [knowing(make()) for make in (quick, slow)]
    for one in detectors:
        one.known = replace(
            one.known, tides={f"{name}/water_level": one.known.tides["my-tho/water_level"] for name in NAMES}
        )
        one.bind(registry(*NAMES))
    cuts = [np.sort(rng.integers(0, size, data.draw(st.integers(0, 60)))) for _ in detectors]
    said: list[list[tuple[str, str, int, str]]] = [[], []]
    for which, one in enumerate(detectors):
        for part in np.split(np.arange(size), cuts[which]):
            found = one.update(batch(number[part], times[part], values[part])).changes
            said[which] += [(told.source, told.action.value, told.time, str(told.evidence)) for told in found]
    assert sorted(said[0]) == sorted(said[1])
    first, second = detectors
    assert first.dump()["last"] == second.dump()["last"]
    for name, column in first.columns.items():
        np.testing.assert_allclose(column, second.columns[name], rtol=1e-12)
    if quick is not RiseAboveTide:  # which forgets at other moments what is older than an hour
        assert kept_of(first) == kept_of(second)


def kept_of(detector: Watcher) -> str:
    """What is kept beside the columns; sums may be added up in another order."""

    def rounded(found: Any) -> Any:
        if isinstance(found, float):
            return round(found, 6)
        return [rounded(one) for one in found] if isinstance(found, list) else found

    return str(
        {key: {name: rounded(one) for name, one in kept.items()} for key, (_, kept) in detector.dump()["seen"].items()}
    )


@pytest.mark.parametrize("make", [LevelAboveAlarm, LevelAboveTide, RiseAboveTide, StuckValue, SensorDrift])
def test_ten_thousand_stations_cost_no_row_by_row(make: type[Watcher], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ordinary levels of many stations: bound in a moment, and none is judged by itself."""
    detector, judged = make(), 0

    def judge(*_: object) -> None:
        nonlocal judged
        judged += 1

    monkeypatch.setattr(detector, "_row", judge)
    detector.bind(registry(*(f"station-{number}" for number in range(10_000))))
    rng = np.random.default_rng(1)
    for turn in range(3):
        numbers = np.concatenate([rng.permutation(10_000), rng.permutation(10_000)]) + 1
        times = START + turn * MINUTE_US + np.sort(rng.integers(0, MINUTE_US, 20_000))
        assert detector.update(batch(numbers, times, rng.normal(1.0, 0.2, 20_000))).changes == []
    assert judged == 0


@pytest.mark.parametrize("rows", [5, 120, 1200, 9600])
def test_a_drift_is_seen_however_many_days_a_batch_holds(rows: int) -> None:
    """Five stations every half hour for forty days; one drifts by 0.1 m a day from the twentieth."""
    detector = SensorDrift()
    detector.bind(registry(*NAMES))
    times = np.repeat(START + np.arange(40 * 48, dtype=np.int64) * 30 * MINUTE_US, len(NAMES))
    number = np.tile(np.arange(1, len(NAMES) + 1), 40 * 48)
    days = (times - START) / DAY_US
    values = 1.0 + 0.3 * np.sin(days * 11.7) + np.where((number == 2) & (days > 20), 0.1 * (days - 20), 0.0)
    changes = []
    for begin in range(0, len(times), rows):
        part = slice(begin, begin + rows)
        changes += detector.update(batch(number[part], times[part], values[part])).changes
    (raised,) = changes
    assert (raised.action, raised.source) == (Action.RAISE, "hoa-binh/water_level")
    assert 23 < (raised.time - START) / DAY_US < 32
