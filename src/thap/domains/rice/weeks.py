"""Weekly counts: the calendar of standard weeks, a series of them, and what a week of the year usually has.

Plant-protection offices count in *standard weeks*: 52 a year, the first begins on 1 January, the last ends on 31
December (eight days), and the week of 29 February has eight days in a leap year. A week is numbered here
year * 52 + week - 1, so that the same week of the next year is 52 further on.

All levels are log1p of counts: a pest multiplies, and what matters is how many times more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

__all__ = ["WeeklySeries", "climatology", "implausible_zeros", "week_begin", "week_of", "weekly_series"]

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_DISTANCE = np.abs(np.arange(52)[:, None] - np.arange(52)[None, :])
_DISTANCE = np.minimum(_DISTANCE, 52 - _DISTANCE)
_TOWARDS_MEAN = 0.15
"""Weight of the mean of the whole year in a week's climatology, in weeks of data."""
_SURELY = 2.5
"""A week whose median of log1p is above this (11 insects) is not expected to have none."""


def week_of(day: date) -> int:
    """The number of the standard week of a day."""
    passed = (day - date(day.year, 1, 1)).days
    if passed >= 59 and (date(day.year, 3, 1) - date(day.year, 1, 1)).days == 60:
        passed -= 1
    return day.year * 52 + min(passed // 7, 51)


def week_begin(number: int) -> date:
    """The first day of a standard week."""
    year, week = divmod(number, 52)
    passed = 7 * week
    if passed >= 59 and (date(year, 3, 1) - date(year, 1, 1)).days == 60:
        passed += 1
    return date(year, 1, 1) + timedelta(days=passed)


@dataclass(frozen=True, slots=True)
class WeeklySeries:
    """Weekly counts of one pest at one place, without gaps between the first and the last week."""

    first: int
    """Number of the first week."""
    counts: Doubles
    """NaN where not counted."""
    pest: str = ""
    location: str = ""
    collection: str = ""
    """How it was counted, as `Number/Light trap`."""
    weather: Mapping[str, Doubles] = field(default_factory=dict)
    """By column name, same length; may be empty."""

    @property
    def last(self) -> int:
        """Number of the last week."""
        return self.first + len(self.counts) - 1

    @property
    def weeks(self) -> npt.NDArray[np.int64]:
        """The week of the year of each count, 0 to 51."""
        return (self.first + np.arange(len(self.counts))) % 52

    @property
    def years(self) -> npt.NDArray[np.int64]:
        return (self.first + np.arange(len(self.counts))) // 52

    def until(self, last: int) -> WeeklySeries:
        """The same up to a week."""
        keep = max(0, min(len(self.counts), last - self.first + 1))
        weather = {name: values[:keep] for name, values in self.weather.items()}
        return replace(self, counts=self.counts[:keep], weather=weather)


def weekly_series(
    days: Iterable[date], counts: Iterable[float], *, pest: str = "", location: str = "", collection: str = ""
) -> WeeklySeries:
    """A series of dated counts: nightly ones become the mean of a week's counted nights.

    Args:
        days: in any order; several of one week are averaged.
        counts: as many; NaN, or below 0: not counted.
    """
    found: dict[int, list[float]] = {}
    for day, count in zip(days, counts, strict=True):
        values = found.setdefault(week_of(day), [])
        if count >= 0:
            values.append(count)
    if not found:
        return WeeklySeries(0, np.empty(0), pest, location, collection)
    first, last = min(found), max(found)
    made = np.full(last - first + 1, np.nan)
    for number, values in found.items():
        if values:
            made[number - first] = sum(values) / len(values)
    return WeeklySeries(first, made, pest, location, collection)


def climatology(levels: Doubles, weeks: npt.NDArray[np.int64], use: Flags, width: float, weight: Doubles) -> Doubles:
    """What each of the 52 weeks usually has.

    Args:
        levels: log1p of counts.
        weeks: week of the year of each.
        use: which of them count.
        width: standard deviation of the smoothing over neighbouring weeks.
        weight: of each, as of recent years more than of old ones.

    Returns:
        52 levels, drawn to the mean of the year where few weeks are known.
    """
    if not use.any():
        return np.zeros(52)
    total = np.bincount(weeks[use], weights=(levels * weight)[use], minlength=52)
    known = np.bincount(weeks[use], weights=weight[use], minlength=52)
    kernel = np.exp(-0.5 * (_DISTANCE / width) ** 2)
    mean = float(levels[use].mean())
    return np.asarray((kernel @ total + _TOWARDS_MEAN * mean) / (kernel @ known + _TOWARDS_MEAN))


def implausible_zeros(levels: Doubles, weeks: npt.NDArray[np.int64], past: Flags) -> Flags:
    """Zeros in weeks that ordinarily have many: offices write 0 where nobody counted.

    They stay what they are as observations; they are left out of what is usual and of recent levels.

    Args:
        levels: log1p of counts, NaN where not counted.
        weeks: week of the year of each.
        past: from which to learn what a week ordinarily has.
    """
    if (past & (levels > 0)).sum() < 20:
        return np.zeros(len(levels), bool)
    usual = np.zeros(52)
    for week in range(52):
        near = levels[past & (_DISTANCE[week][weeks] <= 2)]
        usual[week] = np.median(near) if len(near) else 0.0
    return np.asarray((levels == 0) & (usual[weeks] > _SURELY))
