"""What the office's round asks to stand: severities, days, bounds and evidence."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from thap.detect.detector import Severity
from thap.domains.domain import domain
from thap.domains.parameters import shipped_parameters
from thap.domains.rice.alarms import EXPECTED, FLIGHT, expected_alarm, flight_alarm, is_mine, stands, zone_source
from thap.domains.rice.biology import Biology, Temperatures, cohort
from thap.domains.rice.flights import Flight, ZoneFlight
from thap.domains.rice.forecast import Prediction
from thap.domains.rice.weeks import week_begin, week_of

PEAK = date(2026, 3, 10)
ZONE = {"code": "TH-01", "name": "Tân Hồng", "commune": "29869", "lon": 105.4, "lat": 10.9}
PARAMETERS = shipped_parameters(domain("rice"))


def flight(highest: float = 400.0, confirmed: tuple[bool, ...] = (True, True)) -> ZoneFlight:
    seen = {
        f"bd-{number}": Flight(PEAK, PEAK, PEAK, highest / (number + 1), 40.0, 5.0 - number, sure)
        for number, sure in enumerate(confirmed)
    }
    return ZoneFlight(PEAK, PEAK, PEAK, tuple(seen), 3, highest, highest, "immigration", seen)


@pytest.mark.parametrize(
    ("highest", "severity"),
    [(499, Severity.LOW), (500, Severity.MEDIUM), (1499, Severity.MEDIUM), (1500, Severity.HIGH)],
)
def test_the_most_that_a_trap_caught_decides_how_severe_a_flight_is(highest: float, severity: Severity) -> None:
    warm = Temperatures(PEAK, np.full(40, 24.0), np.full(40, 32.0))
    made = flight_alarm(ZONE, flight(highest), cohort(PEAK, warm, Biology.of(PARAMETERS)), PARAMETERS)
    assert (made.source, made.condition, made.severity) == ("zone:TH-01", FLIGHT, severity)
    assert made.value == highest and made.commune == "29869" and is_mine(made.source, made.condition)
    told = made.evidence
    assert told["peak"] == "2026-03-10" and told["ratio"] == 5.0 and set(told["traps"]) == {"bd-0", "bd-1"}
    assert told["traps"]["bd-1"] == {"peak": "2026-03-10", "catch": round(highest / 2, 1), "ratio": 4.0}
    expected = {event: date.fromisoformat(days[1]) for event, days in told["expected"].items()}
    assert PEAK < expected["hatch"] < expected["spray"] <= expected["nymph_peak"] < expected["next_flight"]
    assert abs((expected["next_flight"] - PEAK).days - 22.2) < 1.5  # 28 °C


def test_a_flight_stands_while_confirmed_and_until_the_sowing_days_are_over() -> None:
    last = PEAK + timedelta(days=round(PARAMETERS["sow_until_nights"]))
    assert stands(flight(), last, PARAMETERS) and not stands(flight(), last + timedelta(days=1), PARAMETERS)
    assert not stands(flight(confirmed=(False, False, True)), PEAK, PARAMETERS)
    assert stands(flight(confirmed=(False, True)), PEAK, PARAMETERS)


def weeks(*values: float, last: float = 100.0) -> list[Prediction]:
    first = week_of(PEAK)
    return [
        Prediction(ahead, first + ahead, value, value / 2, value * 2, last, last)
        for ahead, value in enumerate(values, 1)
    ]


def test_the_highest_bound_and_its_first_week_are_told_and_the_advisory_is_low() -> None:
    made = expected_alarm(ZONE, weeks(300, 700, 1600, 1700), PEAK, PARAMETERS)
    assert made is not None and made.severity == Severity.LOW and made.value == 1600
    assert (made.source, made.condition) == (zone_source("TH-01"), EXPECTED)
    assert made.evidence["bound"] == "catch_high" and made.evidence["weeks_ahead"] == 3
    assert made.evidence["week"] == week_begin(week_of(PEAK) + 3).isoformat()
    watch = expected_alarm(ZONE, weeks(300, 700, 400, 900), PEAK, PARAMETERS)
    assert watch is not None and watch.evidence["bound"] == "catch_watch" and watch.value == 700


def test_nothing_is_expected_under_the_bounds_of_what_is_reached_or_of_weeks_that_are_over() -> None:
    assert expected_alarm(ZONE, weeks(300, 499), PEAK, PARAMETERS) is None
    assert expected_alarm(ZONE, weeks(900, 900, last=600), PEAK, PARAMETERS) is None
    assert expected_alarm(ZONE, weeks(900), PEAK + timedelta(days=21), PARAMETERS) is None
