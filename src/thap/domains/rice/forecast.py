"""Counts of a pest 1 to 8 weeks ahead, with bands.

In log1p, with y the last count, c what a week of the year usually has (`weeks.climatology`) and a = y - c:

    level(t + h) = y + b · [a, changes of a over 1 and 2 weeks, mean of a over 13 and 52 weeks, c(t + h) - c(t), …]

so persistence, climatology and everything between them are cases of it, and the series' own drift from what was usual
is followed. Where the last count is 0 other coefficients hold. Coefficients minimise the absolute error (iteratively
reweighted least squares), a horizon each, and are drawn in three steps from much data to little: shipped ones (fitted
on six stations' weeks before 1999), then all series of the same file or network, then the series itself. In training a
week's own year is left out of what is usual, or the fit would trust climatology too much, and recent years count more.
Of three widths of smoothing the median holds. Bands are quantiles of past errors at that horizon, recent ones counting
more, so they widen within weeks of a year that behaves unlike those before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.domains.rice.weeks import WeeklySeries, climatology, implausible_zeros, week_begin, week_of, weekly_series
from thap.kernel.errors import InputError

__all__ = ["Model", "Prediction", "WeeklySeries", "fit", "forecast", "pooled_coefficients", "weekly_series"]

Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MODEL = "shrunken autoregression around climatology, log1p, least absolute error"
LONGEST = 8
"""Weeks ahead, at most."""
FEWEST = 8
"""Counted weeks a series needs."""
_WIDTHS = (1.0, 1.5, 2.5)
_COLUMNS = 11
_TO_SHIPPED, _TO_POOL = 100.0, 300.0
"""How strongly the pool is drawn to what is shipped, a series to the pool."""
_TO_ONE = 5.0
_GAIN_MOST = 1.3
_OWN_ROWS = 80
"""Training rows from which a series has a fit of its own, about two years."""
_HALF_LIFE = 52.0
"""Weeks after which an error counts half, in the bands and in the gain."""
_YEARS = 3.0
"""Years after which a year counts half, in what is usual and in a series' own fit."""
_INSIDE = 0.8
_ENOUGH = 30
"""Errors of its own from which a series needs no others."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is expected of one week."""

    horizon_weeks: int
    week: int
    """Number of the standard week, see `weeks`."""
    value: float
    """Median expected count."""
    low: float
    high: float
    """Between them the count lies four times in five."""
    persistence: float
    """The last count, for comparison."""
    climatology: float
    """What the same week of earlier years had (mean of log1p), for comparison; NaN where no earlier year has it."""

    @property
    def target(self) -> date:
        """First day of the week."""
        return week_begin(self.week)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: dates as ISO 8601."""
        usual = self.climatology
        return {
            "horizon": self.horizon_weeks,
            "target_date": self.target.isoformat(),
            "target_year": self.week // 52,
            "target_week": self.week % 52 + 1,
            "value": round(self.value, 2),
            "low": round(self.low, 2),
            "high": round(self.high, 2),
            "baselines": {
                "persistence": round(self.persistence, 2),
                "climatology": None if np.isnan(usual) else round(usual, 2),
            },
        }


@dataclass(frozen=True, slots=True)
class Model:
    """What was fitted on a series' past: coefficients by horizon and width of smoothing, and past errors."""

    until: int
    """The last week used."""
    coefficients: dict[tuple[int, float], Doubles]
    spare_errors: dict[int, Doubles]
    """By horizon: errors of the pool, for series too short to have their own."""
    fitted: dict[int, Doubles]
    """By horizon: week of the origin, change expected, change that came, whether the last count was 0, of every week
    fitted on; what is usual learnt without the week's own year."""
    weeks: int = 0
    """Counted weeks used."""
    pooled: int = 0
    """Other series used."""

    def levels(self, series: WeeklySeries, horizon: int, origins: Longs) -> Doubles:
        """Expected log1p count `horizon` weeks after each origin (indices into the series).

        Of the series, only what is at or before an origin is looked at, and of what is usual only weeks until `until`.
        """
        past = _Past(series, self.until)
        change = self._change(past, horizon, origins)
        history = self._history(past, horizon)
        for number, origin in enumerate(origins.tolist()):
            week = origin + series.first
            change[number] *= _gain(history[history[:, 0] + horizon <= week], week, horizon)
        return np.maximum(past.filled[origins] + change, 0.0)

    def bands(self, series: WeeklySeries, horizon: int, origins: Longs) -> tuple[Doubles, Doubles]:
        """How far below and above the expected level the band reaches, for each origin; errors known at the origin
        alone decide."""
        past = _Past(series, self.until)
        history = self._history(past, horizon)
        spare = self.spare_errors.get(horizon, np.empty(0))
        low, high = np.empty(len(origins)), np.empty(len(origins))
        for number, origin in enumerate(origins.tolist()):
            week = origin + series.first
            known = history[history[:, 0] + horizon <= week]
            same = known[known[:, 3] == (past.filled[origin] == 0)]
            use = same if len(same) >= _ENOUGH else known
            more = spare if len(use) < _ENOUGH else spare[:0]
            age = week - horizon - use[:, 0]
            weight = np.concatenate([0.5 ** (age / _HALF_LIFE), np.full(len(more), 0.1)])
            low[number], high[number] = _quantiles(np.concatenate([use[:, 2] - use[:, 1], more]), weight)
        return np.minimum(low, 0.0), np.maximum(high, 0.0)

    def _change(self, past: _Past, horizon: int, origins: Longs) -> Doubles:
        """Expected change of level, not below zero counts, before the gain."""
        parts = []
        for width in _WIDTHS:
            design = past.design(past.usual(width), horizon, origins)
            parts.append(np.maximum(design @ self.coefficients[horizon, width], -past.filled[origins]))
        return np.asarray(np.median(parts, axis=0))

    def _history(self, past: _Past, horizon: int) -> Doubles:
        """`fitted`, and the same of the weeks since."""
        later = np.arange(max(0, self.until - past.first - horizon + 1), len(past.levels) - horizon)
        later = later[np.isfinite(past.filled[later]) & past.counted[later + horizon]]
        change, level = self._change(past, horizon, later), past.filled[later]
        actual = past.levels[later + horizon] - level
        since = np.stack([(later + past.first).astype(float), change, actual, level == 0], axis=1)
        return np.concatenate([self.fitted.get(horizon, np.empty((0, 4))), since])

    def predict(self, series: WeeklySeries, horizon: int) -> Prediction:
        """What is expected `horizon` weeks after the last counted week of a series."""
        counted = np.flatnonzero(np.isfinite(series.counts))
        at = counted[-1:]
        level = float(self.levels(series, horizon, at)[0])
        low, high = self.bands(series, horizon, at)
        target = series.first + int(at[0]) + horizon
        same = np.log1p(series.counts[(series.weeks == target % 52) & (series.years < target // 52)])
        same = same[np.isfinite(same)]
        return Prediction(
            horizon,
            target,
            float(np.expm1(level)),
            float(np.expm1(max(0.0, level + float(low[0])))),
            float(np.expm1(level + float(high[0]))),
            float(series.counts[at[0]]),
            float(np.expm1(same.mean())) if len(same) else float("nan"),
        )


def forecast(
    series: WeeklySeries, horizon: int = 4, origin: date | None = None, pool: Sequence[WeeklySeries] = ()
) -> list[Prediction]:
    """Counts of the weeks after the origin.

    Args:
        series: history; only weeks up to the origin are looked at.
        horizon: how many weeks ahead, 1 to 8.
        origin: a day of the last week to be used; the last counted week where None.
        pool: other series of the same file or network, which steady the fit; used up to the origin.

    Raises:
        InputError: fewer than eight counted weeks, or a horizon out of bounds.
    """
    cut, _, model = prepare(series, horizon, origin, pool)
    return [model.predict(cut, ahead) for ahead in range(1, horizon + 1)]


def prepare(
    series: WeeklySeries, horizon: int, origin: date | None, pool: Sequence[WeeklySeries]
) -> tuple[WeeklySeries, int, Model]:
    """The series up to its origin, the week of the origin, and the model fitted on it; errors as of `forecast`."""
    if not 1 <= horizon <= LONGEST:
        raise InputError(f"{horizon} weeks ahead are not forecast", where="horizon", hint=f"1 to {LONGEST}")
    cut = series.until(week_of(origin)) if origin is not None else series
    counted = np.flatnonzero(np.isfinite(cut.counts))
    if len(counted) < FEWEST:
        raise InputError(
            f"{len(counted)} counted weeks{f' until {origin}' if origin else ''}: too few for a forecast",
            where=f"{series.pest} {series.location}".strip() or "series",
            hint=f"give at least {FEWEST}",
        )
    last = cut.first + int(counted[-1])
    cut = cut.until(last)
    return cut, last, fit(cut, last, range(1, horizon + 1), pool)


def fit(
    series: WeeklySeries,
    until: int,
    horizons: Iterable[int],
    pool: Sequence[WeeklySeries] = (),
    priors: dict[int, tuple[Doubles, Doubles]] | None = None,
) -> Model:
    """Fit on the weeks until `until` alone.

    Args:
        series: what will be forecast.
        until: number of the last week that may be used.
        horizons: weeks ahead.
        pool: other series.
        priors: of `pooled_coefficients` where they are at hand; made of `pool` where None.
    """
    known = series.until(until)
    horizons = tuple(horizons)
    others = [one for one in pool if (one.pest, one.location, one.collection) != _name(series)]
    priors = priors if priors is not None else pooled_coefficients(others, until, horizons)
    coefficients: dict[tuple[int, float], Doubles] = {}
    fitted: dict[int, Doubles] = {}
    for horizon in horizons:
        prior, _ = priors[horizon]
        expected: list[Doubles] = []
        for width in _WIDTHS:
            rows = _rows(known, until, horizon, width)
            own = len(rows.change) >= _OWN_ROWS
            recent = 0.5 ** ((known.last - horizon - known.first - rows.origin) / (52 * _YEARS))
            found = _least_absolute(rows.design, rows.change, _TO_POOL, prior, recent) if own else prior
            coefficients[horizon, width] = found
            expected.append(np.maximum(rows.design @ found, -rows.level))
        week = (rows.origin + known.first).astype(float)
        fitted[horizon] = np.stack([week, np.median(expected, axis=0), rows.change, rows.level == 0], axis=1)
    spare = {horizon: priors[horizon][1] for horizon in horizons}
    return Model(until, coefficients, spare, fitted, int(np.isfinite(known.counts).sum()), len(others))


def pooled_coefficients(
    pool: Sequence[WeeklySeries], until: int, horizons: Iterable[int], *, shipped: bool = True
) -> dict[int, tuple[Doubles, Doubles]]:
    """Coefficients that many series share, and their errors, by horizon.

    Args:
        pool: the series; those of less than two years are left out.
        until: the last week that may be used.
        horizons: weeks ahead.
        shipped: draw them to those that are shipped; False to make these.
    """
    made = {}
    for horizon in horizons:
        start, errors = _shipped(horizon) if shipped else (np.zeros(_COLUMNS), np.empty(0))
        parts = [_rows(one.until(until), until, horizon, 1.5) for one in pool]
        parts = [part for part in parts if len(part.change) >= _OWN_ROWS]
        if parts:
            design = np.concatenate([part.design for part in parts])
            change = np.concatenate([part.change for part in parts])
            start = _least_absolute(design, change, _TO_SHIPPED if shipped else 3.0, start)
            left = change - design @ start
            errors = np.quantile(left[design[:, -1] > 0], np.linspace(0.005, 0.995, 100))
        made[horizon] = (start, errors)
    return made


class _Past:
    """A series seen from the weeks until a last one: what is usual is learnt of those alone."""

    def __init__(self, series: WeeklySeries, until: int) -> None:
        self.first = series.first
        self.levels = np.log1p(series.counts)
        self.weeks, self.years = series.weeks, series.years
        self.counted = np.isfinite(self.levels)
        self.past = self.counted & (series.first + np.arange(len(self.levels)) <= until)
        self.newest = until // 52
        self.odd = implausible_zeros(self.levels, self.weeks, self.past)
        at = np.maximum.accumulate(np.where(self.counted, np.arange(len(self.levels)), -1))
        self.filled = np.where(at >= 0, self.levels[at], np.nan)
        """The last count known at each week."""
        positive = np.maximum.accumulate(np.where(self.filled != 0, np.arange(len(self.levels)), -1))
        self.zeros = np.arange(len(self.levels)) - positive
        """How many weeks the last count known has been 0."""

    def usual(self, width: float, without: int | None = None) -> Doubles:
        """What each week of the year usually has, without a year."""
        recent = 0.5 ** (np.abs(self.years - (self.newest + 1 if without is None else without)) / _YEARS)
        use = self.past & ~self.odd
        if without is not None:
            fewer = use & (self.years != without)
            use = fewer if fewer.sum() >= 40 else use
        return climatology(self.levels, self.weeks, use, width, recent)

    def design(self, usual: Doubles, horizon: int, origins: Longs) -> Doubles:
        """A row for each origin."""
        away = self.filled - usual[self.weeks]
        recent = np.where(self.counted & ~self.odd, self.levels - usual[self.weeks], np.nan)
        now = away[origins]
        one, two = (self._before(away, origins, back) - now for back in (1, 2))
        season = usual[(self.first + origins + horizon) % 52] - usual[self.weeks[origins]]
        columns = [now, one, two, _trailing(recent, 13)[origins], _trailing(recent, 52)[origins], season]
        zero = (self.filled[origins] == 0).astype(float)
        long = np.minimum(self.zeros[origins], 6) / 6 * zero
        rows = [column * (1 - zero) for column in columns]
        return np.stack([*rows, now * zero, season * zero, zero, long, 1 - zero], axis=1)

    @staticmethod
    def _before(away: Doubles, origins: Longs, back: int) -> Doubles:
        earlier = away[np.maximum(origins - back, 0)]
        return np.where((origins >= back) & np.isfinite(earlier), earlier, away[origins])


@dataclass(frozen=True, slots=True)
class _Rows:
    """Training rows of a series, in order of origin."""

    design: Doubles
    change: Doubles
    """Of the level, from origin to target."""
    origin: Longs
    level: Doubles
    """At the origin."""


def _rows(series: WeeklySeries, until: int, horizon: int, width: float) -> _Rows:
    past = _Past(series, until)
    origins = np.arange(max(0, len(series.counts) - horizon))
    origins = origins[np.isfinite(past.filled[origins]) & past.counted[origins + horizon]]
    designs, changes = [np.empty((0, _COLUMNS))], [np.empty(0)]
    for year in np.unique(past.years[origins + horizon]).tolist():
        here = origins[past.years[origins + horizon] == year]
        designs.append(past.design(past.usual(width, year), horizon, here))
        changes.append(past.levels[here + horizon] - past.filled[here])
    return _Rows(np.concatenate(designs), np.concatenate(changes), origins, past.filled[origins])


def _least_absolute(
    design: Doubles, change: Doubles, towards: float, prior: Doubles, share: Doubles | float = 1.0
) -> Doubles:
    """Coefficients of least absolute error, drawn to a prior with a ridge of weight `towards`; each row counts by its
    share."""
    found = prior.copy()
    ridge = np.diag(np.full(len(prior), towards))
    for _ in range(40):
        weight = share / np.maximum(np.abs(change - design @ found), 0.1)
        weighted = design.T * weight
        new = np.linalg.solve(weighted @ design + ridge, weighted @ change + towards * prior)
        done = np.abs(new - found).max() < 1e-4
        found = np.asarray(new)
        if done:
            break
    return found


def _gain(known: Doubles, week: int, horizon: int) -> float:
    """How many times the changes expected lately were the changes that came: 1 where nothing speaks against it.

    Least absolute error over past origins, recent ones counting more, drawn to 1: a year that does not follow its
    season pulls the forecast towards persistence.
    """
    known = known[np.abs(known[:, 1]) > 0.05]
    expected, came = known[:, 1], known[:, 2]
    recent = 0.5 ** ((week - horizon - known[:, 0]) / _HALF_LIFE)
    gain, towards = 1.0, _TO_ONE * horizon
    for _ in range(8):
        weight = recent / np.maximum(np.abs(came - gain * expected), 0.1)
        gain = float(((weight * expected * came).sum() + towards) / ((weight * expected**2).sum() + towards))
    return min(max(gain, 0.0), _GAIN_MOST)


def _trailing(values: Doubles, length: int) -> Doubles:
    """Mean of the last values, drawn to 0 as if two more were there; NaN ones do not count."""
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
    known = np.concatenate([[0], np.cumsum(np.isfinite(values))])
    end = np.arange(len(values)) + 1
    begin = np.maximum(end - length, 0)
    return np.asarray((total[end] - total[begin]) / (known[end] - known[begin] + 2))


def _quantiles(values: Doubles, weight: Doubles) -> tuple[float, float]:
    """The weighted quantiles that leave a tenth out on either side."""
    if not len(values):
        return -1.0, 1.0
    order = np.argsort(values)
    share = np.cumsum(weight[order])
    share = (share - 0.5 * weight[order]) / share[-1]
    edge = (1 - _INSIDE) / 2
    low, high = np.interp([edge, 1 - edge], share, values[order])
    return float(low), float(high)


def _name(series: WeeklySeries) -> tuple[str, str, str]:
    return series.pest, series.location, series.collection


@cache
def _shipped(horizon: int) -> tuple[Doubles, Doubles]:
    """Shipped coefficients and errors; beyond the longest, those of the longest."""
    body = json.loads(resources.files("thap.domains.rice").joinpath("forecast_prior.json").read_text("utf-8"))
    horizons = body["horizons"]
    one = horizons.get(str(horizon)) or horizons[max(horizons, key=int)]
    return np.array(one["coefficients"]), np.array(one["errors"])
