from __future__ import annotations

import os
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.domains.rice.forecast import FEWEST, WeeklySeries, fit, forecast
from thap.domains.rice.sheets import choose, read_catches, series_of
from thap.domains.rice.weeks import week_begin, week_of, weekly_series
from thap.kernel.errors import InputError

DATA = Path(os.environ.get("THAP_DATA") or Path(__file__).parents[4] / "shared" / "data")
FILE = DATA / "pests" / "rice_pests_weather_1959_2006.csv"


def seasonal(years: int = 8, seed: int = 0, zeros: bool = False) -> WeeklySeries:
    random = np.random.default_rng(seed)
    week = np.arange(52 * years)
    drift = np.zeros(len(week))
    for at in range(1, len(week)):
        drift[at] = 0.8 * drift[at - 1] + random.normal(0, 0.5)
    counts = np.round(np.expm1(np.maximum(0, 4 + 3 * np.sin(2 * np.pi * week / 52) + drift)))
    if zeros:
        counts[random.random(len(counts)) < 0.3] = 0
    return WeeklySeries(2000 * 52, counts, "hopper", "here", "Number/Light trap")


@given(st.dates(date(1900, 1, 1), date(2100, 12, 31)))
def test_every_day_lies_in_the_week_that_begins_at_or_before_it(day: date) -> None:
    number = week_of(day)
    assert week_begin(number) <= day < week_begin(number + 1)
    assert (week_begin(number).month, week_begin(number).day) == (
        week_begin(number + 52).month,
        week_begin(number + 52).day,
    )


def test_forecasts_name_their_weeks_and_bands_hold_the_value() -> None:
    series = seasonal()
    made = forecast(series, 4)
    assert [one.week for one in made] == [series.last + ahead for ahead in (1, 2, 3, 4)]
    for one in made:
        assert 0 <= one.low <= one.value <= one.high
        assert one.persistence == series.counts[-1]
        assert one.climatology >= 0


def test_nothing_after_the_origin_changes_a_forecast() -> None:
    series = seasonal()
    origin = week_begin(series.first + 300)
    after = replace(series, counts=np.concatenate([series.counts[:301], np.full(115, 99_999.0)]))
    assert forecast(series, 4, origin) == forecast(after, 4, origin)
    assert forecast(series, 4, origin) == forecast(series.until(series.first + 300), 4)


def test_a_model_of_earlier_years_sees_no_later_count_than_its_origin() -> None:
    series = seasonal()
    model = fit(series, series.first + 207, [4])
    later = replace(series, counts=np.where(np.arange(416) > 330, 0.0, series.counts))
    at = np.array([330])
    assert model.levels(series, 4, at) == model.levels(later, 4, at)
    assert model.bands(series, 4, at)[1] == model.bands(later, 4, at)[1]


@pytest.mark.parametrize("horizon", [1, 4])
def test_a_seasonal_series_is_forecast_better_than_it_persists(horizon: int) -> None:
    series = seasonal(10)
    model = fit(series, series.first + 52 * 6 - 1, [horizon])
    origins = np.arange(52 * 6, 520 - horizon)
    actual = np.log1p(series.counts)
    error = np.abs(model.levels(series, horizon, origins) - actual[origins + horizon]).mean()
    assert error < (0.99, 0.75)[horizon == 4] * np.abs(actual[origins] - actual[origins + horizon]).mean()


@pytest.mark.parametrize(
    "counts",
    [
        np.zeros(60),
        np.r_[np.zeros(30), 5.0],
        np.r_[np.full(20, 7.0), np.full(200, np.nan), 3.0],
        np.r_[np.full(150, np.nan), np.arange(8.0)],
        np.full(400, 1e7),
        seasonal(zeros=True).counts,
    ],
)
def test_zeros_gaps_and_short_series_are_forecast(counts: np.ndarray) -> None:
    for one in forecast(WeeklySeries(1990 * 52 + 7, counts), 8):
        assert np.isfinite([one.value, one.low, one.high]).all()
        assert 0 <= one.low <= one.value <= one.high


def test_missing_last_weeks_move_the_origin_back() -> None:
    series = seasonal()
    counts = series.counts.copy()
    counts[-3:] = np.nan
    assert forecast(replace(series, counts=counts), 1)[0].week == series.last - 2


def test_too_little_is_said() -> None:
    with pytest.raises(InputError, match="too few"):
        forecast(WeeklySeries(2000 * 52, np.arange(FEWEST - 1.0)))
    with pytest.raises(InputError, match="too few"):
        forecast(seasonal(), 4, date(1999, 1, 1))
    with pytest.raises(InputError, match="9 weeks ahead"):
        forecast(seasonal(), 9)


def test_nights_become_the_mean_of_their_week() -> None:
    days = [date(2026, 1, 1) + timedelta(days=one) for one in range(14)]
    made = weekly_series(days, [10.0] * 7 + [20.0] * 6 + [float("nan")])
    assert made.counts.tolist() == [10.0, 20.0]


@pytest.mark.skipif(not FILE.exists(), reason="the shared counts are not here (set THAP_DATA)")
def test_planthoppers_of_maruteru_are_forecast_better_than_by_either_baseline() -> None:
    from bench.rice import score_year

    series = series_of(choose(read_catches(FILE), "Brownplanthopper", "Maruteru"))
    for horizon, most in ((1, 0.96), (4, 0.85)):
        rows = [score_year(series, year, horizon) for year in (2000, 2003, 2005)]
        error, persistence, climatology, inside = np.concatenate([one for one in rows if one is not None], axis=1)
        assert error.mean() < most * min(persistence.mean(), climatology.mean())
        assert 0.65 <= inside.mean() <= 0.9
