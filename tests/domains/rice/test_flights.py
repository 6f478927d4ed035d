from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from thap.domains.parameters import shipped_parameters
from thap.domains.rice import DOMAIN
from thap.domains.rice.flights import Catches, Wind, alert_level, find_flights, zone_flights
from thap.domains.rice.moon import moon_lit
from thap.domains.rice.nights import Scored, plant

SHIPPED = shipped_parameters(DOMAIN)
FIRST = date(2026, 1, 1)


def nights(seed: int = 3, count: int = 60, peak: int | None = 30, height: float = 12) -> Catches:
    random = np.random.default_rng(seed)
    level = 60 * np.exp(random.normal(0, 0.25, count))
    if peak is not None:
        level *= 1 + height * np.exp(-0.5 * ((np.arange(count) - peak) / 1.6) ** 2)
    return Catches(FIRST, np.round(level))


@pytest.mark.parametrize(
    ("day", "lit"),
    [
        (date(2024, 1, 25), 1.0),  # full 17:54 UT
        (date(2024, 1, 11), 0.0),  # new 11:57 UT
        (date(2025, 3, 14), 1.0),  # full 06:55 UT, total eclipse
        (date(2026, 8, 12), 0.0),  # new 17:37 UT, total eclipse of the sun
        (date(2024, 1, 18), 0.55),  # first quarter 03:53 UT, ten hours before
    ],
)
def test_the_moon_is_where_almanacs_have_it(day: date, lit: float) -> None:
    assert moon_lit(day, 1)[0] == pytest.approx(lit, abs=0.02)


def test_a_flight_is_found_on_its_peak_night() -> None:
    (found,) = find_flights(nights(), SHIPPED)
    assert abs((found.peak - (FIRST + timedelta(days=30))).days) <= 1
    assert found.first < found.peak <= found.last
    assert found.confirmed
    assert found.ratio > 5


def test_ordinary_nights_hold_no_flight() -> None:
    assert [find_flights(nights(seed, peak=None), SHIPPED) for seed in range(20)].count([]) >= 19


def test_a_peak_is_not_confirmed_before_a_night_has_fallen() -> None:
    whole = nights()
    (found,) = find_flights(replace(whole, counts=whole.counts[:30]), SHIPPED)
    assert not found.confirmed


def test_one_night_alone_is_no_flight() -> None:
    one = nights(peak=None)
    one.counts[30] *= 8
    assert find_flights(one, SHIPPED) == []


def test_moonlight_alone_is_no_flight() -> None:
    for seed in range(5):
        dark = nights(seed, 120, None)
        bright = replace(dark, counts=np.round(dark.counts * np.exp(0.8 * (moon_lit(FIRST, 120) - 0.5))))
        assert find_flights(bright, SHIPPED) == []


def test_harvest_alone_is_no_flight_where_the_calendar_knows_it() -> None:
    one = nights(5, peak=None)
    one.counts[28:34] *= 2.6
    harvest = np.zeros(60, bool)
    harvest[28:34] = True
    assert find_flights(replace(one, harvest=harvest), SHIPPED) == []


def test_a_lamp_that_fails_makes_no_flight_when_it_burns_again() -> None:
    one = nights(peak=None)
    one.counts[15:29] = 0
    assert find_flights(one, SHIPPED) == []
    hours = np.full(60, 3.0)
    hours[15:29] = 0.4
    part = nights(peak=None)
    part.counts[15:29] = np.round(part.counts[15:29] * 0.13)
    assert find_flights(replace(part, lamp_hours=hours), SHIPPED) == []


def test_a_flight_is_found_though_nights_before_its_peak_are_missing() -> None:
    one = nights()
    one.counts[[22, 25, 29]] = np.nan
    (found,) = find_flights(one, SHIPPED)
    assert abs((found.peak - (FIRST + timedelta(days=30))).days) <= 1
    assert "missing" in found.confounders


def test_planted_flights_on_unseen_seeds_are_found_with_precision_and_recall_of_95_percent() -> None:
    scored = Scored()
    for seed in range(50_000, 50_080):
        planted = plant(seed)
        scored.add(planted, find_flights(planted.catches, SHIPPED))
    assert scored.right > 350
    assert scored.precision >= 0.95
    assert scored.recall >= 0.95


def test_wind_tells_immigration_from_local_emergence() -> None:
    trap = nights()
    calm = Wind(np.full(60, 225.0), np.full(60, 3.0))
    carried = Wind(np.full(60, 45.0), np.full(60, 14.0))
    assert [one.origin for one in find_flights(trap, SHIPPED)] == ["unknown"]
    assert [one.origin for one in find_flights(trap, SHIPPED, calm)] == ["local"]
    assert [one.origin for one in find_flights(trap, SHIPPED, carried)] == ["immigration"]
    due = [(FIRST + timedelta(days=27), FIRST + timedelta(days=33))]
    assert [one.origin for one in find_flights(trap, SHIPPED, carried, due)] == ["unknown"]


def test_weekly_counts_have_flights_too() -> None:
    random = np.random.default_rng(1)
    counts = np.round(80 * np.exp(random.normal(0, 0.3, 40)))
    counts[20:23] *= (3, 9, 3)
    (found,) = find_flights(Catches(FIRST, counts, 7), SHIPPED)
    assert found.peak == FIRST + timedelta(days=147)


def test_a_zone_flies_when_a_third_of_its_traps_does() -> None:
    traps = {f"t{number}": nights(number, peak=30 if number < 3 else None) for number in range(6)}
    (zone,) = zone_flights(traps, SHIPPED)
    assert zone.traps == ("t0", "t1", "t2")
    assert zone.counted == 6
    assert zone_flights({key: traps[key] for key in ("t0", "t3", "t4", "t5")}, SHIPPED) == []


@pytest.mark.parametrize("counts", [[], [np.nan] * 30, [0.0] * 30, [5.0, np.nan, 7.0]])
def test_nothing_to_see_is_no_flight(counts: list[float]) -> None:
    assert find_flights(Catches(FIRST, np.array(counts)), SHIPPED) == []


@pytest.mark.parametrize(
    ("catch", "level"), [(499, "none"), (500, "watch"), (1499.9, "watch"), (1500, "high"), (float("nan"), "none")]
)
def test_a_catch_calls_for_what_the_parameters_say(catch: float, level: str) -> None:
    assert alert_level(catch, SHIPPED) == level


def test_a_long_and_total_outage_is_missing_not_quiet() -> None:
    one = nights(9, 80, 60)
    one.counts[20:34] = 0
    (found,) = find_flights(one, SHIPPED)
    assert abs((found.peak - (FIRST + timedelta(days=60))).days) <= 1
