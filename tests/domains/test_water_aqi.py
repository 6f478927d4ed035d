"""VN_AQI: every breakpoint of QĐ 1459/QĐ-TCMT, the nowcast's rules, classes, hours and days."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.domains.water.aqi import CLASSES, class_of, daily, hourly, index_of, nowcast

NAN = math.nan
POINTS = {
    "pm25": [0, 25, 50, 80, 150, 250, 350, 500],
    "pm10": [0, 50, 150, 250, 350, 420, 500, 600],
    "o3": [0, 160, 200, 300, 400, 800, 1000, 1200],
    "o3_8h": [0, 100, 120, 170, 210, 400],
    "no2": [0, 100, 200, 700, 1200, 2350, 3100, 3850],
    "so2": [0, 125, 350, 550, 800, 1600, 2100, 2630],
    "co": [0, 10_000, 30_000, 45_000, 60_000, 90_000, 120_000, 150_000],
}
INDEX = [0, 50, 100, 150, 200, 300, 400, 500]
CASES = [(name, c, i) for name, points in POINTS.items() for c, i in zip(points, INDEX, strict=False)]


@pytest.mark.parametrize(("pollutant", "concentration", "index"), CASES)
def test_every_breakpoint_has_its_index(pollutant: str, concentration: float, index: float) -> None:
    assert index_of(pollutant, concentration) == pytest.approx(index)


@pytest.mark.parametrize(
    ("pollutant", "concentration", "index"),
    [
        ("pm25", 37.5, 75),
        ("pm25", 65, 125),
        ("pm25", 425, 450),
        ("pm10", 385, 250),
        ("o3", 180, 75),
        ("o3_8h", 305, 250),
        ("no2", 450, 125),
        ("so2", 675, 175),
        ("co", 20_000, 75),
    ],
)
def test_between_breakpoints_the_index_lies_on_a_straight_line(
    pollutant: str, concentration: float, index: float
) -> None:
    assert index_of(pollutant, concentration) == pytest.approx(index)


def test_above_the_last_breakpoint_the_index_stays_and_eight_hour_ozone_leaves_it_to_the_hour() -> None:
    assert index_of("pm25", 900) == 500
    assert index_of("co", 1e7) == 500
    assert index_of("o3_8h", 401) is None


@pytest.mark.parametrize("concentration", [-1, NAN, math.inf, -math.inf])
def test_what_is_no_concentration_has_no_index(concentration: float) -> None:
    assert index_of("pm25", concentration) is None


@given(st.sampled_from(sorted(POINTS)), st.floats(0, 1e5), st.floats(0, 1e5))
def test_more_is_never_better(pollutant: str, one: float, two: float) -> None:
    low, high = sorted((index_of(pollutant, min(one, two)) or 0, index_of(pollutant, max(one, two)) or 500))
    assert 0 <= low <= high <= 500
    first, second = index_of(pollutant, min(one, two)), index_of(pollutant, max(one, two))
    if first is not None and second is not None:
        assert first <= second


@pytest.mark.parametrize(
    ("index", "level", "vi", "colour"),
    [
        (0, 1, "Tốt", "#00E400"),
        (50, 1, "Tốt", "#00E400"),
        (51, 2, "Trung bình", "#FFFF00"),
        (100, 2, "Trung bình", "#FFFF00"),
        (101, 3, "Kém", "#FF7E00"),
        (150, 3, "Kém", "#FF7E00"),
        (151, 4, "Xấu", "#FF0000"),
        (200, 4, "Xấu", "#FF0000"),
        (201, 5, "Rất xấu", "#8F3F97"),
        (300, 5, "Rất xấu", "#8F3F97"),
        (301, 6, "Nguy hại", "#7E0023"),
        (500, 6, "Nguy hại", "#7E0023"),
    ],
)
def test_every_class_has_its_bounds_name_and_colour(index: int, level: int, vi: str, colour: str) -> None:
    found = class_of(index)
    assert (found.level, found.title["vi"], found.colour) == (level, vi, colour)
    assert len(CLASSES) == 6


def test_the_nowcast_of_steady_air_is_what_it_is() -> None:
    assert nowcast([40.0] * 12) == pytest.approx(40.0)


def test_the_weight_is_the_smallest_by_the_largest_but_at_least_a_half() -> None:
    # 0.9: 27 of 30
    values = [30.0, 27.0]
    assert nowcast(values) == pytest.approx((30 + 0.9 * 27) / 1.9)
    # 10 of 100 is a half
    values = [100.0, 10.0, 10.0]
    assert nowcast(values) == pytest.approx((100 + 0.5 * 10 + 0.25 * 10) / 1.75)


def test_twelve_hours_count_and_no_more() -> None:
    assert nowcast([20.0] * 12 + [9999.0]) == pytest.approx(20.0)
    assert nowcast([20.0] * 11 + [40.0]) != pytest.approx(20.0)


@pytest.mark.parametrize(
    ("latest", "known"),
    [
        ([10, 10, NAN], True),
        ([10, NAN, 10], True),
        ([NAN, 10, 10], True),
        ([10, NAN, NAN, 10, 10], False),
        ([NAN, NAN, 10, 10, 10], False),
        ([NAN, 10, NAN, 10, 10], False),
        ([10], False),
        ([], False),
        ([10, -5, NAN, 10], False),
    ],
)
def test_two_of_the_latest_three_hours_must_be_known(latest: list[float], known: bool) -> None:
    assert (nowcast(latest) is not None) is known


def test_missing_hours_are_left_out_and_the_others_keep_their_weights() -> None:
    # w = max(0.5, 10/40) = 0.5; the third hour is missing
    assert nowcast([40, 20, NAN, 10]) == pytest.approx((40 + 0.5 * 20 + 0.125 * 10) / 1.625)


def test_air_without_dust_at_all_is_no_division_by_zero() -> None:
    assert nowcast([0.0, 0.0, 0.0]) == 0.0


@given(st.lists(st.one_of(st.just(NAN), st.floats(0, 1000)), min_size=0, max_size=15))
def test_a_nowcast_lies_between_the_smallest_and_the_largest(latest: list[float]) -> None:
    made = nowcast(latest)
    known = [one for one in latest[:12] if not math.isnan(one)]
    if made is not None:
        assert min(known) - 1e-6 <= made <= max(known) + 1e-6


def test_the_worst_pollutant_decides_the_hour() -> None:
    series = {"pm25": np.array([10.0, 10, 10]), "no2": np.array([50.0, 50, 450])}
    hours = hourly(1000, series)
    assert [one.hour for one in hours] == [1000, 1001, 1002]
    assert (hours[2].aqi, hours[2].pollutant, hours[2].complete) == (125, "no2", True)
    assert (hours[0].aqi, hours[0].pollutant) == (25, "no2")  # one hour is no nowcast yet
    assert not hours[0].complete and hours[1].complete


def test_without_dust_there_is_an_index_but_it_is_marked() -> None:
    (hour,) = hourly(0, {"o3": np.array([180.0])})
    assert (hour.aqi, hour.complete) == (75, False)


def test_an_hour_without_anything_has_no_index() -> None:
    (hour,) = hourly(0, {"pm25": np.array([NAN])})
    assert (hour.aqi, hour.pollutant, dict(hour.parts)) == (None, "", {})


def test_a_day_is_the_mean_of_dust_and_the_highest_hour_of_gases() -> None:
    first = 24 * 20_000 - 7  # midnight on Vietnamese clocks
    pm25 = np.full(24, 25.0)
    pm25[:12] = 75.0  # mean 50: 100
    no2 = np.full(24, 10.0)
    no2[5] = 450.0  # 125
    (day,) = daily(first, {"pm25": pm25, "no2": no2})
    assert (day.day, day.hours) == (20_000, 24)
    assert (day.aqi, day.pollutant, dict(day.parts)) == (125, "no2", {"pm25": 100, "no2": 125})


def test_days_are_those_of_vietnamese_clocks() -> None:
    found = daily(24 * 20_000, {"no2": np.full(24, 100.0)})  # 07:00 in Việt Nam
    assert [(one.day, one.hours) for one in found] == [(20_000, 17), (20_001, 7)]


def test_the_mean_of_a_day_takes_eighteen_hours() -> None:
    first = 24 * 20_000 - 7
    values = np.full(24, 50.0)
    values[:6] = NAN
    assert daily(first, {"pm25": values})[0].aqi == 100
    values[6] = NAN
    assert daily(first, {"pm25": values})[0].aqi is None


def test_ozone_counts_by_the_hour_and_by_eight_hours_whichever_is_worse() -> None:
    first = 24 * 20_000 - 7
    ozone = np.zeros(24)
    ozone[8:16] = 120.0  # eight hours: 100; the highest hour: 37.5
    assert dict(daily(first, {"o3": ozone})[0].parts) == {"o3": 100}
    ozone[10] = 390.0  # the hour: 195; eight hours: 153.75, which is 133.75
    assert daily(first, {"o3": ozone})[0].aqi == 195
