"""Alarms of the office's round: a flight that a zone's traps confirm, and a catch over the bounds that is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from thap.detect.detector import Severity
from thap.domains.parameters import Parameters
from thap.domains.rice.biology import Cohort
from thap.domains.rice.flights import ZoneFlight
from thap.domains.rice.forecast import Prediction
from thap.respond.standing import Standing

__all__ = ["EXPECTED", "FLIGHT", "expected_alarm", "flight_alarm", "is_mine", "stands", "zone_source"]

FLIGHT, EXPECTED = "rice.flight", "rice.catch_expected"
_PREFIX = "zone:"
_WINDOWS = ("hatch", "spray", "nymph_peak", "next_flight")
_HALF = 0.5


def zone_source(code: str) -> str:
    """The source of a zone's alarms, by the zone's code."""
    return _PREFIX + code


def is_mine(source: str, condition: str) -> bool:
    """Whether the round keeps an alarm, those of zones that are gone too."""
    return condition in (FLIGHT, EXPECTED) and source.startswith(_PREFIX)


def stands(flight: ZoneFlight, day: date, parameters: Mapping[str, float]) -> bool:
    """Whether a flight is a reason for an alarm: at least half the traps that saw it have had a night that fell since,
    and the days for sowing after it are not over."""
    sure = sum(one.confirmed for one in flight.evidence.values())
    nights = max(parameters["sow_until_nights"], parameters["sow_from_nights"])
    return sure >= max(1, _HALF * len(flight.evidence)) and day <= flight.peak + timedelta(days=round(nights))


def flight_alarm(zone: Mapping[str, Any], flight: ZoneFlight, brood: Cohort, parameters: Parameters) -> Standing:
    """The alarm of a confirmed flight: low, medium from `catch_watch` and high from `catch_high` on, by the most that a
    trap caught in a night.

    Args:
        zone: row of `rice_zones`.
        flight: of the zone.
        brood: its offspring.
        parameters: of the domain.
    """
    limits = (parameters["catch_watch"], parameters["catch_high"])
    severity = (Severity.LOW, Severity.MEDIUM, Severity.HIGH)[sum(flight.highest >= limit for limit in limits)]
    traps = {
        name: {"peak": one.peak.isoformat(), "catch": round(one.catch, 1), "ratio": round(one.ratio, 2)}
        for name, one in sorted(flight.evidence.items())
    }
    return _alarm(
        zone,
        FLIGHT,
        severity,
        float(flight.highest),
        parameters,
        {
            "peak": flight.peak.isoformat(),
            "ratio": round(max((one.ratio for one in flight.evidence.values()), default=0.0), 2),
            "traps": traps,
            "counted": flight.counted,
            "origin": flight.origin,
            "confounders": sorted({word for one in flight.evidence.values() for word in one.confounders}),
            "expected": {
                event: [window.early.isoformat(), window.expected.isoformat(), window.late.isoformat()]
                for event, window in brood.windows.items()
                if event in _WINDOWS
            },
        },
    )


def expected_alarm(
    zone: Mapping[str, Any], expected: Sequence[Prediction], day: date, parameters: Parameters
) -> Standing | None:
    """The advisory of a week to come whose mean catch is expected over a bound that the last week was under.

    Args:
        zone: row of `rice_zones`.
        expected: its forecasts; weeks that are over count no more.
        day: today.
        parameters: of the domain.

    Gives the highest bound and the first week over it; None where none is expected.
    """
    for name in ("catch_high", "catch_watch"):
        limit = parameters[name]
        for one in sorted(expected, key=lambda one: one.week):
            if one.value < limit or one.persistence >= limit or one.target + timedelta(days=6) < day:
                continue
            told = {
                "bound": name,
                "above": limit,
                "week": one.target.isoformat(),
                "weeks_ahead": one.horizon_weeks,
                "low": round(one.low, 1),
                "high": round(one.high, 1),
                "last": round(one.persistence, 1),
            }
            return _alarm(zone, EXPECTED, Severity.LOW, round(one.value, 1), parameters, told)
    return None


def _alarm(
    zone: Mapping[str, Any],
    condition: str,
    severity: Severity,
    value: float,
    parameters: Parameters,
    told: Mapping[str, Any],
) -> Standing:
    return Standing(
        zone_source(zone["code"]),
        condition,
        severity,
        value,
        "rice",
        zone["lon"],
        zone["lat"],
        zone["commune"],
        {"zone": zone["code"], "name": zone["name"], **told, "parameters": parameters.version},
    )
