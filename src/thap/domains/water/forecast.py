"""The next two days of a level (or of the logarithm of a salinity): tide and what the last days add to it, with bands.

What is left of a record without its tide is carried on from exponentially weighted means: the level of the last hours
fades into that of the last days, which may go on rising or falling. How quickly, and whether at all, is chosen for
each record by forecasting its own last quarter from a tide fitted on the first three; the errors of those forecasts
are the bands. So a place where floods pass within hours and one whose stage moves by the week each get their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from thap.domains.water.harmonic import Fit, Tide, fit_tides, refit
from thap.kernel.clock import HOUR_US
from thap.kernel.errors import InputError

__all__ = ["Forecast", "Record", "forecast", "forecast_all", "gather"]

Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]

LEAST_HOURS = 36
"""A tide of one day cannot be told from a rise in less than a day and a half."""
_FAST_H, _LONG_H = 2.0, 120.0
_WAYS = tuple(product((8.0, 25.0, 72.0), (0.0, 0.5, 1.0), (0.1, 4.0, 12.0, 36.0)))
"""Ways to carry the rest on: hours of the mean, share of the trend, hours in which the last level fades."""
_PLAIN = _WAYS.index((72.0, 0.0, 4.0))
_SHARE = 0.75
_EVERY_H = 3
_BAND = 0.8
_LEADS = (1, 3, 6, 12, 18, 24, 30, 36, 42, 48)


@dataclass(frozen=True, slots=True)
class Record:
    """Hourly values of one place."""

    first: float
    """Hour since 1970 UTC of the first value."""
    values: Doubles
    """NaN where there is none; the last is there."""
    offsets: Doubles
    """Hours from each whole hour to the mean time of its values."""
    averaged: bool
    """Whether values are means of several."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What comes, and how good forecasts of this record were."""

    hours: Doubles
    """Moments, hours since 1970 UTC."""
    mean: Doubles
    low: Doubles
    """Four of five hourly means come between `low` and `high`."""
    high: Doubles
    tide: Doubles
    """Tide on the slow stage: what would come if nothing but the tide moved."""
    fit: Tide
    stage: float
    """The slow stage now."""
    rest: float
    """How far the last hours lie above tide and stage."""
    sigma: float
    """Standard deviation of hourly values about tide and stage."""
    span_h: int
    """Hours from the record's first value to its last."""
    errors: dict[int, float]
    """Root of the mean square error by lead in hours, of forecasts of the record's last quarter; empty where the
    record is too short to try."""


def gather(times: Longs, values: Doubles, *, days: float = 60.0) -> Record:
    """Hours out of observations.

    Args:
        times: µs, in any order.
        values: of the same length; NaN are left out.
        days: how much of the end is taken.

    Raises:
        InputError: there are too few to see a tide in.
    """
    there = np.isfinite(values)
    times, values = times[there], values[there]
    if len(times):
        late = times > times.max() - round(days * 24 * HOUR_US)
        times, values = times[late], values[late]
    at = times / HOUR_US
    number = np.round(at).astype(np.int64)
    if len(times) == 0 or len(np.unique(number)) < LEAST_HOURS:
        raise InputError(
            f"{len(np.unique(number))} hours with values are too few to see a tide in",
            hint=f"give at least {LEAST_HOURS} hours, better 30 days",
        )
    first, count = int(number.min()), int(number.max() - number.min()) + 1
    order = np.lexsort((values, number))
    index, start, many = np.unique(number[order], return_index=True, return_counts=True)
    sort = values[order]
    middle = (sort[start + (many - 1) // 2] + sort[start + many // 2]) / 2  # a median: a spike moves it little
    mean = np.add.reduceat(sort, start) / many
    spread = np.abs(mean - middle)
    level = np.where(spread > 3 * np.median(spread) + 1e-9, middle, mean) if many.max() > 2 else middle
    made, offset = np.full(count, np.nan), np.zeros(count)
    made[index - first] = level
    offset[index - first] = np.add.reduceat(at[order], start) / many - index
    return Record(float(first), made, offset, bool(np.median(many) > 2))


def forecast(record: Record, hours: int = 48, step_h: float = 1.0) -> Forecast:
    """The next `hours` of one record, in steps from its end."""
    (fit,) = fit_tides(record.first, record.values[None], record.offsets[None], averaged=record.averaged)
    return _carry_on(record, fit, hours, step_h)


def forecast_all(records: list[Record], hours: int = 48) -> list[Forecast]:
    """As `forecast`, for many; those with the same hours share the work."""
    made: list[Forecast] = []
    for one in records:
        made.append(forecast(one, hours))
    return made


@lru_cache(maxsize=8)
def _weights(count: int, origins: tuple[int, ...]) -> dict[float, Doubles]:
    """Weights of exponentially weighted means that end at each origin, by hours."""
    age = np.asarray(origins, np.float64)[:, None] - np.arange(count)
    return {
        hours: np.asarray(np.where(age >= 0, np.exp(-np.maximum(age, 0) / hours), 0.0))
        for hours in {_FAST_H, _LONG_H, *(way[0] for way in _WAYS)}
    }


def _means(rest: Doubles, trust: Doubles, origins: tuple[int, ...]) -> dict[float, Doubles]:
    there = np.isfinite(rest)
    filled = np.where(there, rest, 0.0)
    made = {}
    for hours, weights in _weights(len(rest), origins).items():
        counted = there.astype(np.float64) if hours == _FAST_H else trust
        total = weights @ counted
        made[hours] = (weights @ (filled * counted)) / np.maximum(total, 1e-12)
    return made


def _ahead(means: dict[float, Doubles], leads: Doubles, way: tuple[float, float, float]) -> Doubles:
    """The rest at each lead after each origin, (origins, leads)."""
    short, share, fade = way
    slope = share * (means[short] - means[_LONG_H]) / (_LONG_H - short)
    now = means[short] + slope * short
    above = means[_FAST_H] - now
    return np.asarray(
        now[:, None] + slope[:, None] * np.minimum(leads, 48.0) + above[:, None] * np.exp(-leads / fade)[None]
    )


def _carry_on(record: Record, fit: Fit, hours: int, step_h: float) -> Forecast:
    count = len(record.values)
    leads = np.asarray(np.arange(1, round(hours / step_h) + 1) * step_h, np.float64)
    trust = fit.weight
    way, sizes, errors = _try(record, fit, hours)
    means = _means(fit.rest, trust, (count - 1,))
    rest = _ahead(means, leads, way)[0]
    at = record.first + count - 1 + leads
    tide = fit.tide.predict(at)
    half = np.interp(leads, *sizes)
    mean = tide + rest
    stage = float(fit.stage[-1])
    return Forecast(
        at,
        mean,
        mean - half,
        mean + half,
        tide + stage,
        fit.tide,
        stage,
        float(means[_FAST_H][0] - stage),
        fit.sigma,
        count,
        errors,
    )


def _try(
    record: Record, fit: Fit, hours: int
) -> tuple[tuple[float, float, float], tuple[Doubles, Doubles], dict[int, float]]:
    """Forecast the record's last quarter; gives the best way, half the band by lead, and the error by lead."""
    count = len(record.values)
    cut = int(count * _SHARE)
    origins = tuple(range(cut, count - 6, _EVERY_H))
    at = np.array([lead for lead in _LEADS if lead <= hours] or [1])
    if count < 96 or len(origins) < 8:
        spread = np.interp(at, [1, 48], [2.0, 4.0]) * 1.28 * fit.sigma
        return _WAYS[_PLAIN], (at.astype(np.float64), spread), {}
    rest = refit(record.first, record.values, fit, cut, averaged=record.averaged)
    means = _means(rest, fit.weight, origins)
    padded = np.concatenate([rest, np.full(int(at[-1]) + 1, np.nan)])
    truth = padded[np.asarray(origins)[:, None] + at]
    there = np.isfinite(truth)
    wrong = np.stack([_ahead(means, at.astype(np.float64), way) for way in _WAYS]) - truth
    cost = np.where(there, np.minimum(np.abs(wrong), 8 * fit.sigma), 0.0).sum((1, 2))
    cost[_PLAIN] *= 0.98  # the plain way stands where another is hardly better
    best = int(np.argmin(cost))
    size, rmse = [], {}
    for number, lead in enumerate(at.tolist()):
        mine = np.abs(wrong[best][:, number][there[:, number]])
        size.append(float(np.quantile(mine, _BAND)) if len(mine) >= 8 else np.nan)
        if len(mine) >= 8:
            rmse[lead] = float(np.sqrt(np.mean(mine**2)))
    sizes = np.asarray(size)
    known = np.isfinite(sizes)
    if not known.any():
        return _WAYS[best], (at.astype(np.float64), np.full(len(at), 2 * fit.sigma)), {}
    sizes = np.interp(at, at[known], sizes[known])
    return _WAYS[best], (at.astype(np.float64), np.maximum.accumulate(sizes)), rmse
