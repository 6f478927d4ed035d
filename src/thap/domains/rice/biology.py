"""Degree-days of the brown planthopper, and the dated windows of a cohort that follow of them.

Development runs with the temperature above a base, no faster above an upper cut-off, and not at all in hours above the
heat stop (nor, for eggs, in hours below their own stop). The course of a day is a sine between its lowest and highest
temperature, looked at in 24 hours (the single-sine method of Baskerville and Emin 1969, summed by the hour, which takes
cut-off and stops without formulas of their own). Sums per stage are the domain's parameters, with their sources.

A **cohort** is the offspring of one flight. Its windows:

| event | degree-days after arrival |
|---|---|
| `laying` | before laying |
| `hatch` | + egg |
| `nymph_peak` | + the middle of the share of the nymph in which spraying works |
| `adults`, `next_flight` | + nymph: the adults of the cohort, at their most in light traps |

Each has a band: individuals differ (`bph_spread`), laying goes on for days (`bph_laying_days`, the late side), and
temperatures beyond those given are assumed, with `weather_spread_c` either way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.kernel.errors import InputError

__all__ = ["Biology", "Cohort", "Temperatures", "Window", "cohort", "cohorts", "degree_days", "generation_days"]

Doubles = npt.NDArray[np.float64]
_HOURS = 0.5 - 0.5 * np.cos(np.pi * 2 * (np.arange(24) + 0.5) / 24)
"""Share of the way from the day's lowest to its highest temperature, by the hour."""
_Z80 = 1.2816
_LONGEST_DAYS = 400


@dataclass(frozen=True, slots=True)
class Biology:
    """How an insect develops: temperatures in °C, sums in °C·d."""

    base_c: float = 11.0
    cutoff_c: float = 32.0
    heat_stop_c: float = 36.0
    egg_stop_c: float = 15.0
    adult_stop_c: float = 32.5
    egg_dd: float = 126.0
    nymph_dd: float = 196.0
    preoviposition_dd: float = 56.0
    spread: float = 0.08
    """Standard deviation between individuals, as a share of the sum."""
    laying_days: float = 5.0
    spray_from: float = 0.2
    spray_to: float = 0.6
    """The share of the nymphs' sum between which spraying works."""
    weather_spread_c: float = 1.2

    @classmethod
    def of(cls, parameters: Mapping[str, float]) -> Biology:
        """As the domain's parameters say; see `parameters.toml`."""
        p = parameters
        return cls(
            p["bph_base_c"], p["bph_cutoff_c"], p["bph_heat_stop_c"], p["bph_egg_stop_c"], p["bph_adult_stop_c"],
            p["bph_egg_dd"], p["bph_nymph_dd"], p["bph_preoviposition_dd"], p["bph_spread"], p["bph_laying_days"],
            p["spray_from_share"], p["spray_to_share"], p["weather_spread_c"],
        )  # fmt: skip

    @property
    def generation_dd(self) -> float:
        """From adult to adult."""
        return self.preoviposition_dd + self.egg_dd + self.nymph_dd


@dataclass(frozen=True, slots=True)
class Temperatures:
    """Lowest and highest temperature by day, without gaps between the first and the last; NaN where unknown."""

    first: date
    lowest_c: Doubles
    highest_c: Doubles

    @property
    def last(self) -> date:
        """The last day given."""
        return self.first + timedelta(days=len(self.lowest_c) - 1)

    def days(self, begin: date, count: int) -> tuple[Doubles, Doubles, npt.NDArray[np.bool_]]:
        """Lowest, highest and whether assumed, for `count` days from `begin`.

        A day without a value takes the mean of the same fortnight of the year where another year has it, else
        of the nearest known days within three weeks before, else of all days given.

        Raises:
            InputError: no day has a temperature.
        """
        low, high = np.asarray(self.lowest_c, float), np.asarray(self.highest_c, float)
        known = np.isfinite(low) & np.isfinite(high)
        if not known.any():
            raise InputError("no day has a temperature", where="temperature")
        at = np.arange(count) + (begin - self.first).days
        inside = (at >= 0) & (at < len(low))
        given = np.zeros(count, bool)
        given[inside] = known[at[inside]]
        out_low, out_high = np.empty(count), np.empty(count)
        out_low[given], out_high[given] = low[at[given]], high[at[given]]
        where = np.flatnonzero(known)
        years = np.arange(-60, 61)[:, None] * 365.25
        for i in np.flatnonzero(~given).tolist():
            away = np.abs((where[None, :] - at[i]) - years).min(axis=0) if len(low) >= 330 else np.array([])
            near = where[away <= 7] if len(away) else where[:0]
            if not len(near):
                near = where[(where < at[i]) & (where >= at[i] - 21)]
            if not len(near):
                near = where[-21:] if at[i] >= len(low) else where[:21] if at[i] < 0 else where
            out_low[i], out_high[i] = low[near].mean(), high[near].mean()
        return out_low, out_high, ~given


@dataclass(frozen=True, slots=True)
class Window:
    """When something is expected: its likeliest day, and the days between which it happens four times in five."""

    event: str
    """`laying`, `hatch`, `nymph_peak`, `spray`, `adults` or `next_flight`."""
    expected: date
    early: date
    late: date
    days: float
    """From arrival to `expected`."""
    degree_days: float
    """The sum it is expected at, from arrival."""
    assumed: bool
    """Whether temperatures had to be assumed before `expected`."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: dates as ISO 8601."""
        return {
            "event": self.event,
            "expected": self.expected.isoformat(),
            "early": self.early.isoformat(),
            "late": self.late.isoformat(),
            "days": round(self.days, 2),
            "degree_days": round(self.degree_days, 1),
            "assumed": self.assumed,
        }


@dataclass(frozen=True, slots=True)
class Cohort:
    """The offspring of a flight."""

    arrived: date
    windows: Mapping[str, Window]
    """By event."""
    generation_days: float
    """From arrival to the next flight."""
    hot_days: int
    """Days of the nymphs whose mean reaches the temperature at which no adults emerge: fewer come than expected."""
    egg_heat_hours: int
    """Hours of the eggs above the heat stop, in which they die."""

    def stage_on(self, day: date) -> str:
        """`adult`, `egg`, `nymph` or `next` (the next adults): what most of the cohort is on a day."""
        for event, stage in (("adults", "next"), ("hatch", "nymph"), ("laying", "egg")):
            if day >= self.windows[event].expected:
                return stage
        return "adult"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "arrived": self.arrived.isoformat(),
            "generation_days": round(self.generation_days, 2),
            "windows": [window.as_dict() for window in self.windows.values()],
            "hot_days": self.hot_days,
            "egg_heat_hours": self.egg_heat_hours,
        }


def degree_days(lowest_c: Any, highest_c: Any, biology: Biology, *, egg: bool = False) -> Doubles:
    """Degree-days of each day.

    Args:
        lowest_c, highest_c: temperatures by day, °C, same shape; swapped where the wrong way round.
        biology: thresholds.
        egg: apply the lower stop of eggs too.

    Returns:
        °C·d of each day, 0 to cut-off minus base; NaN where a temperature is.
    """
    hours = _by_hour(lowest_c, highest_c)
    rate = np.minimum(hours, biology.cutoff_c) - biology.base_c
    still = (hours <= biology.base_c) | (hours > biology.heat_stop_c)
    if egg:
        still |= hours < biology.egg_stop_c
    return np.asarray(np.where(np.isnan(hours), np.nan, np.where(still, 0.0, rate)).mean(axis=-1))


def generation_days(mean_c: float, biology: Biology) -> float:
    """Days from adult to adult at a constant temperature; infinite where nothing develops."""
    egg = float(degree_days([mean_c], [mean_c], biology, egg=True)[0])
    other = float(degree_days([mean_c], [mean_c], biology)[0])
    if min(egg, other) <= 0:
        return math.inf
    return biology.egg_dd / egg + (biology.preoviposition_dd + biology.nymph_dd) / other


def cohort(arrived: date, temperatures: Temperatures, biology: Biology | None = None) -> Cohort:
    """The windows of the offspring of a flight.

    Args:
        arrived: the night of the flight's peak.
        temperatures: observed and forecast; days beyond are assumed (see `Temperatures.days`).
        biology: the brown planthopper as shipped where None.

    Raises:
        InputError: no temperature is known, or it is so cold that no generation ends within 400 days.
    """
    biology = biology or Biology()
    low, high, assumed = temperatures.days(arrived, _LONGEST_DAYS)
    mid = _Course(low, high, biology)
    change = np.where(assumed, biology.weather_spread_c, 0.0)
    fast, slow = _Course(low + change, high + change, biology), _Course(low - change, high - change, biology)
    nymph = biology.preoviposition_dd + biology.egg_dd
    events = {
        "laying": biology.preoviposition_dd,
        "hatch": nymph,
        "spray": nymph + biology.spray_from * biology.nymph_dd,
        "nymph_peak": nymph + (biology.spray_from + biology.spray_to) / 2 * biology.nymph_dd,
        "spray_end": nymph + biology.spray_to * biology.nymph_dd,
        "adults": biology.generation_dd,
        "next_flight": biology.generation_dd,
    }
    when = {event: mid.day_of(total) for event, total in events.items()}
    if not math.isfinite(when["next_flight"]):
        raise InputError(
            f"too cold or too hot: no generation ends within {_LONGEST_DAYS} days",
            where=f"from {arrived}",
            hint="check that temperatures are in °C",
        )
    windows: dict[str, Window] = {}
    for event in ("laying", "hatch", "spray", "nymph_peak", "adults", "next_flight"):
        total, days = events["nymph_peak" if event == "spray" else event], when[event]
        sure = _Z80 * biology.spread
        # The spray window is the cohort's middle: from the first share to the last, not a band of doubt.
        first = days if event == "spray" else fast.day_of(total * (1 - sure))
        last = when["spray_end"] if event == "spray" else slow.day_of(total * (1 + sure)) + biology.laying_days / 2
        middle = (days + when["spray_end"]) / 2 if event == "spray" else days
        windows[event] = Window(
            event,
            _date(arrived, middle),
            _date(arrived, first),
            _date(arrived, min(last, _LONGEST_DAYS)),
            middle,
            total,
            bool(assumed[: math.ceil(middle)].any()),
        )
    return Cohort(arrived, windows, when["next_flight"], *_heat(low, high, when, biology))


def cohorts(
    flights: Iterable[date], temperatures: Temperatures, biology: Biology | None = None, *, generations: int = 1
) -> list[Cohort]:
    """The cohorts of several flights, in order of arrival; with more than one generation, each one's next flight is
    taken as the arrival of the next."""
    made: list[Cohort] = []
    for flight in flights:
        arrived = flight
        for _ in range(generations):
            one = cohort(arrived, temperatures, biology)
            made.append(one)
            arrived = one.windows["next_flight"].expected
    return sorted(made, key=lambda one: one.arrived)


class _Course:
    """Development along a run of days, stage after stage."""

    def __init__(self, low: Doubles, high: Doubles, biology: Biology) -> None:
        self._biology = biology
        self._adult = np.concatenate([[0.0], np.cumsum(degree_days(low, high, biology))])
        self._egg = np.concatenate([[0.0], np.cumsum(degree_days(low, high, biology, egg=True))])

    def day_of(self, total: float) -> float:
        """Days from arrival until a sum is reached, with its fraction; infinite where it is not."""
        laid, egg = self._biology.preoviposition_dd, self._biology.egg_dd
        day = _cross(self._adult, min(total, laid), 0.0)
        if total > laid:
            day = _cross(self._egg, min(total - laid, egg), day)
        if total > laid + egg:
            day = _cross(self._adult, total - laid - egg, day)
        return day


def _cross(summed: Doubles, more: float, since: float) -> float:
    """When a running sum has grown by `more` since a (fractional) day."""
    if not math.isfinite(since):
        return math.inf
    days = np.arange(len(summed), dtype=np.float64)
    goal = float(np.interp(since, days, summed)) + more
    at = int(np.searchsorted(summed, goal - 1e-9))
    if at >= len(summed):
        return math.inf
    if at == 0:
        return max(since, 0.0)
    step = summed[at] - summed[at - 1]
    return max(since, at - 1 + float((goal - summed[at - 1]) / step) if step > 0 else float(at))


def _heat(low: Doubles, high: Doubles, when: Mapping[str, float], biology: Biology) -> tuple[int, int]:
    laid, hatched, grown = (int(when[event]) for event in ("laying", "hatch", "adults"))
    mean = (low + high) / 2
    hot_days = int((mean[hatched : grown + 1] >= biology.adult_stop_c).sum())
    hours = _by_hour(low[laid : hatched + 1], high[laid : hatched + 1])
    return hot_days, int((hours > biology.heat_stop_c).sum())


def _by_hour(lowest_c: Any, highest_c: Any) -> Doubles:
    low, high = np.asarray(lowest_c, np.float64), np.asarray(highest_c, np.float64)
    low, high = np.minimum(low, high), np.maximum(low, high)
    return np.asarray(low[..., None] + (high - low)[..., None] * _HOURS)


def _date(begin: date, days: float) -> date:
    return begin + timedelta(days=int(days + 1e-6))
