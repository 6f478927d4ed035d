"""Tides are told from noise, gaps, floods and spikes, and carried on for two days."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domains.water_data import PERIODS_H, START, measured, tide

from thap.domains.water.forecast import Record, forecast, gather
from thap.domains.water.harmonic import CONSTITUENTS, constants, fit_tides, tide_of
from thap.domains.water.salinity import forecast_salinity, windows_under
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US
from thap.kernel.errors import InputError

RATES = np.array([15.0, 13.1763965268 / 24, 0.9856473288 / 24, 0.1114040803 / 24])
"""Degrees an hour: the sun's hour angle, mean longitudes of moon and sun, the moon's perigee."""
DOODSON = {
    "2Q1": (1, -4, 1, 2),
    "Q1": (1, -3, 1, 1),
    "RHO1": (1, -3, 3, -1),
    "O1": (1, -2, 1, 0),
    "NO1": (1, -1, 1, 1),
    "P1": (1, 0, -1, 0),
    "K1": (1, 0, 1, 0),
    "J1": (1, 1, 1, -1),
    "OO1": (1, 2, 1, 0),
    "2N2": (2, -4, 2, 2),
    "MU2": (2, -4, 4, 0),
    "N2": (2, -3, 2, 1),
    "NU2": (2, -3, 4, -1),
    "M2": (2, -2, 2, 0),
    "L2": (2, -1, 2, -1),
    "S2": (2, 0, 0, 0),
    "K2": (2, 0, 2, 0),
}
PARTS = {
    "MO3": ("M2", "O1"),
    "MK3": ("M2", "K1"),
    "SK3": ("S2", "K1"),
    "MN4": ("M2", "N2"),
    "M4": ("M2", "M2"),
    "MS4": ("M2", "S2"),
    "M6": ("M2", "M2", "M2"),
    "2MS6": ("M2", "M2", "S2"),
}


def rmse(wrong: np.ndarray) -> float:
    return float(np.sqrt(np.mean(wrong**2)))


def test_frequencies_are_those_of_sun_and_moon() -> None:
    for name, (frequency, _) in CONSTITUENTS.items():
        turns = np.array(DOODSON[name]) if name in DOODSON else sum(np.array(DOODSON[one]) for one in PARTS[name])
        assert frequency == pytest.approx(float(turns @ RATES) / 360, abs=2e-8)


@pytest.mark.parametrize(("days", "every_min", "limit_cm"), [(30, 10, 3), (30, 60, 4), (15, 10, 5), (7, 10, 8)])
def test_a_day_ahead_a_level_is_forecast_within_centimetres(days: int, every_min: int, limit_cm: float) -> None:
    wrong = []
    for seed in range(6):
        made = forecast(gather(*measured(days, seed, every_min=every_min)), 48)
        wrong.append(made.mean[23] - tide((made.hours[23:24] * HOUR_US).astype(np.int64), seed)[0])
    assert rmse(np.array(wrong)) * 100 < limit_cm


def test_the_bands_hold_about_what_they_promise_of_measurements() -> None:
    inside = []
    for seed in range(8):
        made = forecast(gather(*measured(30, seed, every_min=60)), 48)
        truth = tide((made.hours * HOUR_US).astype(np.int64), seed)
        noise = 0.05 * np.random.default_rng([seed, 3]).standard_normal(len(truth))
        inside.append(np.mean((truth + noise >= made.low) & (truth + noise <= made.high)))
    assert 0.7 < np.mean(inside) < 0.93


def test_single_spikes_and_a_flood_of_hours_bend_the_tide_little() -> None:
    times, values = measured(30, 4, noise=0.02)
    spiked = values.copy()
    spiked[::97] += 1.4
    flood = np.abs(times - times[len(times) // 2]) < 3 * HOUR_US
    spiked[flood] += 1.0
    made, plain = (forecast(gather(times, one), 48) for one in (spiked, values))
    truth = tide((made.hours * HOUR_US).astype(np.int64), 4)
    assert rmse(made.mean - truth) < 0.05
    assert rmse(made.mean - plain.mean) < 0.05


def test_a_rising_stage_is_carried_on() -> None:
    times, values = measured(30, 2, noise=0.02)
    rising = values + 0.08 * np.maximum(0, (times - times[-1]) / DAY_US + 10)
    made = forecast(gather(times, rising), 48)
    truth = (
        tide((made.hours * HOUR_US).astype(np.int64), 2)
        + 0.08 * (made.hours * HOUR_US - times[-1] + 10 * DAY_US) / DAY_US
    )
    assert rmse(made.mean[:24] - truth[:24]) < 0.08
    assert made.mean[23] - made.tide[23] > 0.02 or made.stage > 1.0


def test_constants_come_back_from_the_records_as_they_were() -> None:
    times, values = measured(20, 3)
    record = gather(times, values)
    (fit,) = fit_tides(record.first, record.values[None], record.offsets[None])
    again = tide_of(*constants(fit.tide))
    hours = record.first + np.arange(0, 600, 7.5)
    assert np.allclose(again.predict(hours), fit.tide.predict(hours), atol=1e-4)
    amplitudes = fit.tide.amplitudes()
    assert amplitudes["M2"] == pytest.approx(0.7 * 0.46, abs=0.08)
    assert set(PERIODS_H) <= set(amplitudes)


@pytest.mark.parametrize("hours", [0, 1, 20])
def test_a_record_too_short_to_see_a_tide_in_is_refused_with_what_it_takes(hours: int) -> None:
    times = START + np.arange(hours * 6, dtype=np.int64) * 10 * MINUTE_US
    with pytest.raises(InputError, match="too few to see a tide in"):
        gather(times, np.zeros(len(times)))


@given(
    st.lists(st.floats(-3, 6), min_size=40, max_size=120),
    st.lists(st.booleans(), min_size=40, max_size=120),
)
@settings(max_examples=25, deadline=None)
def test_whatever_is_measured_the_forecast_is_finite_and_its_band_in_order(
    values: list[float], gone: list[bool]
) -> None:
    series = np.array(values)
    series[[at for at, one in enumerate(gone[: len(values)]) if one]] = np.nan
    series[0], series[-1] = values[0], values[-1]
    made = forecast(Record(400_000.0, series, np.zeros(len(series)), False), 48)
    for part in (made.mean, made.low, made.high, made.tide):
        assert np.isfinite(part).all() and len(part) == 48
    assert (made.low <= made.mean).all() and (made.mean <= made.high).all()


def test_the_order_of_rows_does_not_matter() -> None:
    times, values = measured(10, 5)
    mixed = np.random.default_rng(1).permutation(len(times))
    one, two = gather(times, values), gather(times[mixed], values[mixed])
    assert np.allclose(one.values, two.values, equal_nan=True) and one.first == two.first


def salty(days: float = 20, seed: int = 1, top: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    times, _ = measured(days, seed, every_min=30, gaps=3)
    hours = times / HOUR_US
    level = 0.6 * top * np.exp(0.9 * np.cos(2 * np.pi * hours / 12.4206)) / np.exp(0.9) + 0.1
    random = np.random.default_rng([seed, 5])
    return times, np.round(np.maximum(0, level * np.exp(0.05 * random.standard_normal(len(times)))), 2)


def test_salinity_is_never_negative_and_its_windows_lie_where_it_is_low() -> None:
    times, values = salty(top=3.0)
    made = forecast_salinity(gather(times, values), 48)
    assert (made.low >= 0).all() and (made.mean <= made.high).all()
    windows = windows_under(made, 1.0)
    assert len(windows) >= 3
    for one in windows:
        inside = (made.hours * HOUR_US >= one.begin) & (made.hours * HOUR_US <= one.end)
        assert (made.high[inside] <= 1.0 + 1e-9).all()
        assert one.highest_g_l <= 1.0
        truth = 0.6 * 3 * np.exp(0.9 * np.cos(2 * np.pi * made.hours[inside] / 12.4206)) / np.exp(0.9) + 0.1
        assert (truth < 1.15).all()
    assert windows_under(made, 0.01) == []
    (whole,) = windows_under(made, 40.0)
    assert whole.open_end and whole.end - whole.begin == 47 * HOUR_US


def test_a_window_too_short_to_work_a_sluice_in_is_left_out() -> None:
    made = forecast_salinity(gather(*salty(top=3.0)), 48)
    every = windows_under(made, 1.0, least_h=0.0)
    assert all(one.end - one.begin >= 6 * HOUR_US for one in windows_under(made, 1.0, least_h=6.0))
    assert len(windows_under(made, 1.0, least_h=6.0)) <= len(every)
