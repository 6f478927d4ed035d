"""VN_AQI, hourly and daily, with its nowcast.

Source: QĐ 1459/QĐ-TCMT (2019): breakpoints, nowcast, classes and colours. How a day is made up of hours (the mean of
fine dust, the highest hour of gases, ozone by hour and by eight hours) and how many hours it takes are partly recalled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "BREAKPOINTS",
    "CLASSES",
    "INDEX",
    "POLLUTANTS",
    "AirClass",
    "Daily",
    "Hourly",
    "class_of",
    "daily",
    "hourly",
    "index_of",
    "nowcast",
]

Doubles = npt.NDArray[np.float64]
Average = Literal["nowcast", "hour", "eight_hours", "day"]

POLLUTANTS = ("pm25", "pm10", "o3", "no2", "so2", "co")
INDEX = (0, 50, 100, 150, 200, 300, 400, 500)
"""Index at each breakpoint."""
BREAKPOINTS: dict[str, tuple[float, ...]] = {
    "pm25": (0, 25, 50, 80, 150, 250, 350, 500),
    "pm10": (0, 50, 150, 250, 350, 420, 500, 600),
    "o3": (0, 160, 200, 300, 400, 800, 1000, 1200),
    "o3_8h": (0, 100, 120, 170, 210, 400),
    "no2": (0, 100, 200, 700, 1200, 2350, 3100, 3850),
    "so2": (0, 125, 350, 550, 800, 1600, 2100, 2630),
    "co": (0, 10_000, 30_000, 45_000, 60_000, 90_000, 120_000, 150_000),
}
"""Concentrations, µg/m³, at which the index has the values of INDEX. Ozone over eight hours ends at 300: above
400 µg/m³ the hourly value alone counts."""
_SPAN_H = 12
_LATEST, _LATEST_NEEDED = 3, 2
_LEAST_WEIGHT = 0.5
_DAY_NEEDED, _EIGHT_NEEDED = 18, 6


@dataclass(frozen=True, slots=True)
class AirClass:
    """A class of the index."""

    level: int
    """1 good … 6 hazardous."""
    title: Mapping[str, str]
    colour: str
    upto: int
    """Highest index in it."""


CLASSES = (
    AirClass(1, {"vi": "Tốt", "en": "Good"}, "#00E400", 50),
    AirClass(2, {"vi": "Trung bình", "en": "Moderate"}, "#FFFF00", 100),
    AirClass(3, {"vi": "Kém", "en": "Poor"}, "#FF7E00", 150),
    AirClass(4, {"vi": "Xấu", "en": "Bad"}, "#FF0000", 200),
    AirClass(5, {"vi": "Rất xấu", "en": "Very bad"}, "#8F3F97", 300),
    AirClass(6, {"vi": "Nguy hại", "en": "Hazardous"}, "#7E0023", 500),
)


@dataclass(frozen=True, slots=True)
class Hourly:
    """The index of one hour."""

    hour: int
    """Hour since 1970 UTC at which the hour begins."""
    aqi: int | None
    """None where no pollutant can be judged."""
    pollutant: str
    """The one that decides."""
    parts: Mapping[str, int]
    """Index of each pollutant that could be judged."""
    complete: bool
    """Whether PM2.5 or PM10 is among them: without either it is no VN_AQI."""


@dataclass(frozen=True, slots=True)
class Daily:
    """The index of one day on Vietnamese clocks."""

    day: int
    """Days since 1970-01-01, local."""
    aqi: int | None
    pollutant: str
    parts: Mapping[str, int]
    complete: bool
    hours: int
    """How many hours of it had any value."""


def index_of(pollutant: str, concentration: float) -> float | None:
    """The index of a concentration in µg/m³, by straight lines between breakpoints; 500 above the last.

    Gives None for what is no concentration (negative, not finite), and for eight-hour ozone above its last breakpoint.
    """
    if not np.isfinite(concentration) or concentration < 0:
        return None
    points = BREAKPOINTS[pollutant]
    if concentration > points[-1]:
        return None if pollutant == "o3_8h" else float(INDEX[-1])
    return float(np.interp(concentration, points, INDEX[: len(points)]))


def class_of(aqi: float) -> AirClass:
    """The class an index falls in."""
    return next((one for one in CLASSES if round(aqi) <= one.upto), CLASSES[-1])


def nowcast(latest: Sequence[float]) -> float | None:
    """The nowcast concentration of dust.

    Args:
        latest: hourly means, the latest first, at most twelve are looked at; NaN where there is none.

    Gives None where fewer than two of the latest three hours are known.
    """
    values = np.asarray(latest[:_SPAN_H], np.float64)
    known = np.isfinite(values) & (values >= 0)
    if int(known[:_LATEST].sum()) < _LATEST_NEEDED:
        return None
    top, bottom = float(values[known].max()), float(values[known].min())
    weight = max(_LEAST_WEIGHT, bottom / top) if top > 0 else 1.0
    weights = weight ** np.arange(len(values), dtype=np.float64)
    return float((weights[known] * values[known]).sum() / weights[known].sum())


def hourly(first: int, series: Mapping[str, Doubles]) -> list[Hourly]:
    """The index of each hour.

    Args:
        first: hour since 1970 UTC of the first value.
        series: hourly means by pollutant, µg/m³, all of one length, NaN where there is none.
    """
    count = max((len(one) for one in series.values()), default=0)
    made = []
    for at in range(count):
        parts: dict[str, float] = {}
        for name, values in series.items():
            if name in ("pm25", "pm10"):
                concentration = nowcast(values[max(0, at - _SPAN_H + 1) : at + 1][::-1].tolist())
            else:
                concentration = float(values[at])
            found = None if concentration is None else index_of(name, concentration)
            if found is not None:
                parts[name] = found
        made.append(Hourly(first + at, *_worst(parts)))
    return made


def daily(first: int, series: Mapping[str, Doubles], offset_h: int = 7) -> list[Daily]:
    """The index of each day: the mean of dust over the day (of at least 18 hours), the highest hour of gases, for ozone
    also the highest mean of eight hours.

    Args:
        first: hour since 1970 UTC of the first value.
        series: as for `hourly`.
        offset_h: hours that local clocks are ahead of UTC.
    """
    count = max((len(one) for one in series.values()), default=0)
    hours = first + np.arange(count) + offset_h
    made = []
    for day in np.unique(hours // 24).tolist():
        mine = np.flatnonzero(hours // 24 == day)
        parts: dict[str, float] = {}
        for name, values in series.items():
            for found in _of_day(name, values, mine):
                parts[name] = max(parts.get(name, 0.0), found)
        there = np.zeros(len(mine), bool)
        for values in series.values():
            there |= np.isfinite(values[mine])
        made.append(Daily(int(day), *_worst(parts), hours=int(there.sum())))
    return made


def _of_day(name: str, values: Doubles, mine: npt.NDArray[np.int64]) -> list[float]:
    here = values[mine]
    known = here[np.isfinite(here) & (here >= 0)]
    if not len(known):
        return []
    if name in ("pm25", "pm10"):
        found = [index_of(name, float(known.mean()))] if len(known) >= _DAY_NEEDED else []
    else:
        found = [index_of(name, float(known.max()))]
    if name == "o3":
        eights = []
        for at in mine.tolist():
            window = values[max(0, at - 7) : at + 1]
            window = window[np.isfinite(window) & (window >= 0)]
            if len(window) >= _EIGHT_NEEDED:
                eights.append(float(window.mean()))
        if eights:
            found.append(index_of("o3_8h", max(eights)))
    return [one for one in found if one is not None]


def _worst(parts: Mapping[str, float]) -> tuple[int | None, str, Mapping[str, int], bool]:
    if not parts:
        return None, "", {}, False
    worst = max(parts, key=lambda name: parts[name])
    rounded = {name: round(one) for name, one in parts.items()}
    return rounded[worst], worst, rounded, not {"pm25", "pm10"}.isdisjoint(parts)
