from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from thap.domains.parameters import shipped_parameters
from thap.domains.rice import DOMAIN
from thap.domains.rice.biology import Biology, Temperatures, cohort, cohorts, degree_days, generation_days
from thap.kernel.errors import InputError

SHIPPED = Biology.of(shipped_parameters(DOMAIN))
APRIL = date(2026, 4, 1)


def steady(low: float, high: float, days: int = 60) -> Temperatures:
    return Temperatures(APRIL, np.full(days, low), np.full(days, high))


def test_a_generation_at_28_degrees_takes_22_2_days() -> None:
    assert generation_days(28.0, SHIPPED) == pytest.approx(22.2, abs=0.05)
    assert cohort(APRIL, steady(28, 28), SHIPPED).generation_days == pytest.approx(22.2, abs=0.05)


def test_at_25_degrees_the_stages_last_as_long_as_their_source_says() -> None:
    windows = cohort(APRIL, steady(25, 25), SHIPPED).windows
    assert windows["laying"].days == pytest.approx(4, abs=0.05)
    assert windows["hatch"].days - windows["laying"].days == pytest.approx(9, abs=0.05)
    assert windows["adults"].days - windows["hatch"].days == pytest.approx(14, abs=0.05)


def test_parameters_shipped_are_the_defaults_of_the_engine() -> None:
    assert Biology() == SHIPPED


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(28, 28, 17.0), (10, 11, 0.0), (33, 34, 21.0), (37, 38, 0.0), (24, 32, 17.0)]
)
def test_degree_days_have_a_base_a_cut_off_and_a_heat_stop(low: float, high: float, expected: float) -> None:
    assert degree_days([low], [high], SHIPPED)[0] == pytest.approx(expected, abs=0.02)


def test_eggs_do_not_develop_below_fifteen_degrees_where_nymphs_do() -> None:
    assert degree_days([13], [14], SHIPPED, egg=True)[0] == 0
    assert degree_days([13], [14], SHIPPED)[0] > 2


def test_bands_hold_the_expected_day_and_widen_where_temperatures_are_assumed() -> None:
    known, short = cohort(APRIL, steady(24, 33), SHIPPED), cohort(APRIL, steady(24, 33, 5), SHIPPED)
    for one in (known, short):
        for window in one.windows.values():
            assert window.early <= window.expected <= window.late
    assert not known.windows["next_flight"].assumed
    assert short.windows["next_flight"].assumed
    width = [one.windows["next_flight"].late - one.windows["next_flight"].early for one in (known, short)]
    assert width[0] < width[1]


def test_a_year_of_temperatures_gives_missing_days_the_season_of_other_years() -> None:
    day = np.arange(730)
    mean = 25 + 5 * np.sin(2 * np.pi * day / 365.25)
    year = Temperatures(APRIL, mean - 4, mean + 4)
    low, high, assumed = year.days(APRIL + timedelta(days=730 + 91), 3)
    assert assumed.all()
    assert ((low + high) / 2).mean() == pytest.approx(30, abs=0.5)


def test_generations_follow_each_other() -> None:
    first, second = cohorts([APRIL], steady(28, 28), SHIPPED, generations=2)
    assert second.arrived == first.windows["next_flight"].expected
    assert first.stage_on(APRIL) == "adult"
    assert first.stage_on(APRIL + timedelta(days=5)) == "egg"
    assert first.stage_on(APRIL + timedelta(days=15)) == "nymph"
    assert first.stage_on(APRIL + timedelta(days=25)) == "next"


def test_heat_that_kills_is_told() -> None:
    hot = cohort(APRIL, steady(28, 39), SHIPPED)
    assert hot.hot_days > 0
    assert hot.egg_heat_hours > 0


def test_where_nothing_develops_the_error_says_so() -> None:
    with pytest.raises(InputError, match="no generation ends"):
        cohort(APRIL, steady(2, 8), SHIPPED)
    with pytest.raises(InputError, match="no day has a temperature"):
        cohort(APRIL, steady(np.nan, np.nan), SHIPPED)
