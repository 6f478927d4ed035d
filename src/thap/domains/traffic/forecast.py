"""Speeds (or flows) of many sensors 5 to 60 minutes ahead, with bands.

The expected value of a sensor is its last one plus a linear function of: its own last hour, what its neighbours on the
road network do (one and two steps of diffusion over the adjacency), and what *similar days* had at the same time and at
the target time. Days are similar whose last hour, over all sensors, was near to the present one, so no calendar is
needed: a Sunday finds Sundays, a day of rain days of rain. A training row never sees its own day. Coefficients are
ridge regressions, one for each sensor and horizon, drawn to the one of all sensors. NumPy alone, no GPU.

Bands are quantiles of errors on the last part of the history, made by coefficients fitted on what lies before it, by
whether the road is free or slow, in units of each sensor's own error.

Missing values (0 or less, or empty) are filled with the last known one for features, and never a target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.kernel.errors import InputError

__all__ = ["Advisory", "Expected", "SpeedModel", "congestion_ahead", "corridor", "filled", "fit"]

Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]
MODEL = "ridge over own hour, network diffusion and similar days; one a sensor, drawn to the network's"
_HOUR_ROWS = 12
_MOST_DAYS = 21
_NEARNESS = 10.0
"""Mean squared difference at which a day counts 1/e as much as the nearest: chosen on a tail of the training part."""
_TO_NETWORK = 100.0
_RIDGE = 10.0
_UNIT = 10.0
"""Values are divided by this for the regression, so that one ridge fits all columns."""
_TAIL = 0.15
_SLOW = 0.7
"""Below this share of its free value a road is slow."""
_FREE = 0.9
"""The quantile taken as the free value."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected at a moment, an array over sensors each."""

    steps: int
    value: Doubles
    low: Doubles
    high: Doubles
    """Between them it lies four times in five."""
    persistence: Doubles
    """The last values, for comparison."""
    usual: Doubles
    """Mean of the same time on earlier days, for comparison."""


@dataclass(frozen=True, slots=True)
class Advisory:
    """Congestion expected somewhere."""

    condition: str
    """`traffic.congestion_expected`."""
    where: str
    minutes: float
    value: float
    low: float
    limit: float
    """What counts as congested: a share of the free value."""
    sure: bool
    """The expected value is under the limit; else only the band reaches there."""


@dataclass(frozen=True, slots=True)
class SpeedModel:
    """Coefficients by horizon, and what they were fitted on."""

    history: Doubles
    """Rows × sensors, filled."""
    neighbours: Doubles
    """Sensors × sensors, rows sum to 1 or are 0."""
    day_rows: int
    free: Doubles
    highest: Doubles
    spread: Doubles
    coefficients: dict[int, Doubles]
    """By steps ahead: sensors × columns."""
    scale: dict[int, Doubles]
    """By steps ahead: typical error of each sensor."""
    quantiles: dict[int, Doubles]
    """By steps ahead: low and high, free and slow road, in units of `scale`."""

    def expect(self, rows: Doubles, steps: int) -> Expected:
        """What is expected `steps` rows after the last of `rows`.

        Args:
            rows: the history and what came after it, filled, from the same first row; at least an hour.
            steps: as in `fit`.
        """
        return self.expect_many(rows, np.array([len(rows) - 1]), steps)[0]

    def expect_many(self, rows: Doubles, origins: Longs, steps: int) -> list[Expected]:
        """`expect` from each of several rows; what comes after an origin is not looked at."""
        seen = _See(rows, len(self.history), self.neighbours, self.day_rows, self.free, self.spread)
        columns, usual = seen.columns(origins, steps)
        level = rows[origins]
        change = np.einsum("snf,sf->ns", columns, self.coefficients[steps].astype(np.float32))
        value = np.clip(level + _UNIT * change, 0, self.highest)
        slow = (level < _SLOW * self.free).astype(int)
        low, high = self.quantiles[steps][0][slow], self.quantiles[steps][1][slow]
        scale = self.scale[steps]
        return [
            Expected(
                steps,
                value[n],
                np.clip(value[n] + low[n] * scale, 0, None),
                np.clip(value[n] + high[n] * scale, 0, self.highest * 1.1),
                level[n],
                usual[n],
            )
            for n in range(len(origins))
        ]


def fit(
    values: Doubles, steps: Sequence[int], neighbours: Doubles | None = None, step_minutes: float = 5.0
) -> SpeedModel:
    """Fit on a history.

    Args:
        values: rows (one every `step_minutes`) × sensors; 0, negative or NaN: missing.
        steps: how many rows ahead, each.
        neighbours: weights between sensors, larger is nearer, the diagonal is not looked at; where None, the sensors
            that go together with each.
        step_minutes: minutes between rows.

    Raises:
        InputError: fewer rows than two hours and a half, no sensor, a matrix of another size.
    """
    known = np.isfinite(values) & (values > 0)
    full = filled(values)
    rows, sensors = full.shape
    day_rows = max(1, round(1440 / step_minutes))
    if sensors == 0 or rows < 2 * _HOUR_ROWS + max(steps) + 6:
        raise InputError(
            f"{rows} rows of {sensors} sensors: too few",
            where="speeds",
            hint=f"give {2 * _HOUR_ROWS + 18} rows or more",
        )
    near = _neighbours(full, neighbours)
    free, spread = np.quantile(full, _FREE, axis=0), full.std(axis=0)
    seen = _See(full, rows, near, day_rows, free, spread)
    coefficients, scale, quantiles = {}, {}, {}
    for ahead in steps:
        origins = np.arange(_HOUR_ROWS - 1, rows - ahead)
        columns, _ = seen.columns(origins, ahead)
        change = ((full[origins + ahead] - full[origins]) / _UNIT).T.astype(np.float32)
        weight = known[origins + ahead].T.astype(np.float32)
        tail = max(1, round(len(origins) * (1 - _TAIL)))
        first, whole = (
            _moments(columns, change, weight, slice(0, tail)),
            _moments(columns, change, weight, slice(tail, None)),
        )
        early = _ridge(*first)
        error = _UNIT * (change[:, tail:] - np.einsum("snf,sf->sn", columns[:, tail:], early.astype(np.float32)))
        error = np.where(weight[:, tail:] > 0, error, np.nan)
        slow = (full[origins[tail:]] < _SLOW * free).T
        scale[ahead], quantiles[ahead] = _errors(np.asarray(error, np.float64), slow)
        coefficients[ahead] = _ridge(first[0] + whole[0], first[1] + whole[1])
    highest = np.quantile(full, 0.999, axis=0) * 1.02
    return SpeedModel(full, near, day_rows, free, highest, spread, coefficients, scale, quantiles)


def filled(values: Doubles) -> Doubles:
    """Missing values (not finite, or not above 0) replaced by the last known of the sensor, else by its mean.

    Nothing later than a row fills it, except before a sensor's first value.
    """
    data = np.array(values, np.float64)
    known = np.isfinite(data) & (data > 0)
    at = np.maximum.accumulate(np.where(known, np.arange(len(data))[:, None], -1), axis=0)
    count = known.sum(axis=0)
    overall = float(data[known].mean()) if known.any() else 0.0
    mean = np.where(count > 0, np.where(known, data, 0).sum(axis=0) / np.maximum(count, 1), overall)
    return np.where(at >= 0, np.take_along_axis(data, np.maximum(at, 0), axis=0), mean)


def corridor(expected: Expected, members: Sequence[int]) -> tuple[float, float, float]:
    """Value, low and high of a corridor: the mean of its sensors; its band is the mean of theirs, for neighbours err
    together."""
    at = np.asarray(members)
    return float(expected.value[at].mean()), float(expected.low[at].mean()), float(expected.high[at].mean())


def congestion_ahead(
    names: Sequence[str],
    now: Doubles,
    free: Doubles,
    expected: Expected,
    *,
    minutes: float = 30.0,
    share: float = 0.5,
    members: Mapping[str, Sequence[int]] | None = None,
) -> list[Advisory]:
    """Where congestion is expected that is not there yet: speed under a share of the free speed.

    Args:
        names: of the sensors.
        now, free: present and free speed of each.
        expected: of the horizon asked about.
        minutes: that horizon.
        share: of the free speed, under which a road is congested.
        members: corridors by name, as indices; each sensor for itself where None.
    """
    groups = members if members is not None else {name: [index] for index, name in enumerate(names)}
    made = []
    for name, indices in groups.items():
        at = np.asarray(indices)
        limit = share * float(free[at].mean())
        value, low, _ = corridor(expected, indices)
        if float(now[at].mean()) >= limit and low < limit:
            made.append(Advisory("traffic.congestion_expected", name, minutes, value, low, limit, value < limit))
    return sorted(made, key=lambda one: (not one.sure, one.value))


class _See:
    """Rows of features for the regression."""

    def __init__(
        self, rows: Doubles, history: int, neighbours: Doubles, day_rows: int, free: Doubles, spread: Doubles
    ) -> None:
        self._rows, self._history, self._day_rows, self._free = rows, history, day_rows, free
        self._spread = spread
        self._near = rows @ neighbours.T
        self._far = self._near @ neighbours.T
        self._mean = rows[:history].mean(axis=0)
        last = (history - 1) // day_rows
        self._days = list(range(last + 1))[-_MOST_DAYS:]

    def columns(self, origins: Longs, ahead: int) -> tuple[Singles, Doubles]:
        """Sensors × origins × columns, in units of `_UNIT`, and what was usual at the target (origins × sensors)."""
        rows, free = self._rows, self._free
        then, now, least, usual, doubt = self._similar(origins, ahead)
        level = rows[origins]
        back = [rows[np.maximum(origins - lag, 0)] for lag in range(_HOUR_ROWS)]
        near, far = self._near[origins], self._far[origins]
        before = np.maximum(origins - 3, 0)
        turn = then - now
        off = level - now
        parts: list[Any] = [
            level - free, then - free, now - free, np.mean(back[:3], axis=0) - free, np.mean(back, axis=0) - free,
            np.min(back, axis=0) - free, near - free, far - free, least - free, usual - free,
            doubt, level - back[3], level - back[1], level - back[-1], near - self._near[before],
            far - self._far[before], np.minimum(turn, 0), np.maximum(turn, 0), off * np.minimum(now - free, 0) / 20,
            np.maximum(off, 0), np.ones_like(level),
        ]  # fmt: skip
        made = np.empty((level.shape[1], len(origins), len(parts)), np.float32)
        for number, part in enumerate(parts):
            made[:, :, number] = part.T / _UNIT
        return made, usual

    def _similar(self, origins: Longs, ahead: int) -> tuple[Doubles, ...]:
        """What similar days had at the target and at the origin, the least and the mean of all days at the target, and
        how far similar days were apart."""
        rows, day_rows = self._rows, self._day_rows
        shape = (len(origins), rows.shape[1])
        distance = np.full((len(self._days), len(origins)), np.inf)
        then = np.zeros((len(self._days), *shape), np.float32)
        now = np.zeros((len(self._days), *shape), np.float32)
        for number, day in enumerate(self._days):
            same = day * day_rows + origins % day_rows
            # Neither the row's own day nor, where a day is unfinished, what is not in the history.
            use = (origins // day_rows != day) & (same >= _HOUR_ROWS - 1) & (same + ahead < self._history)
            at, own = same[use], origins[use]
            total = np.zeros(len(at))
            for lag in range(_HOUR_ROWS):
                total += ((rows[at - lag] - rows[own - lag]) ** 2).mean(axis=1)
            distance[number, use] = total / _HOUR_ROWS
            later = np.minimum(at + ahead + 1, self._history - 1)
            then[number, use] = (rows[at + ahead - 1] + rows[at + ahead] + rows[later]) / 3
            now[number, use] = (rows[at] + rows[at - 1]) / 2
        known = np.isfinite(distance)
        none = ~known.any(axis=0)
        nearest = np.where(none, 0.0, distance.min(axis=0))
        weight = np.where(known, np.exp(-(np.where(known, distance, 0) - nearest) / _NEARNESS), 0.0)
        weight /= np.maximum(weight.sum(axis=0), 1e-12)
        mean = np.asarray(np.einsum("dn,dns->ns", weight, then), np.float64)
        start = np.asarray(np.einsum("dn,dns->ns", weight, now), np.float64)
        apart = np.sqrt(np.maximum(np.einsum("dn,dns->ns", weight, then.astype(np.float64) ** 2) - mean**2, 0))
        masked = np.where(known[:, :, None], then, np.inf)
        least = np.asarray(masked.min(axis=0), np.float64)
        usual = np.where(known[:, :, None], then, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)[:, None]
        for part in (mean, start, least, usual):
            part[none] = self._mean
        apart[none] = self._spread
        return mean, start, least, np.asarray(usual, np.float64), apart


def _neighbours(rows: Doubles, weights: Doubles | None) -> Doubles:
    sensors = rows.shape[1]
    if weights is None:
        away = rows - rows.mean(axis=0)
        size = np.sqrt((away**2).sum(axis=0)) + 1e-9
        weights = np.maximum((away / size).T @ (away / size), 0)
        np.fill_diagonal(weights, 0)
        few = np.sort(weights, axis=1)[:, -min(6, sensors)][:, None]
        weights = np.where(weights >= few, weights, 0)
    elif weights.shape != (sensors, sensors):
        raise InputError(
            f"the matrix is {weights.shape[0]} × {weights.shape[1]}, for {sensors} sensors",
            where="adjacency",
            hint="give one row and one column for each sensor, in the order of the speeds",
        )
    near = np.maximum(np.nan_to_num(np.array(weights, np.float64)), 0)
    np.fill_diagonal(near, 0)
    total = near.sum(axis=1, keepdims=True)
    alone = total[:, 0] == 0
    near[alone, np.flatnonzero(alone)] = 1.0
    return np.asarray(near / np.where(total == 0, 1, total))


def _moments(columns: Singles, change: Singles, weight: Singles, rows: slice) -> tuple[Doubles, Doubles]:
    part = columns[:, rows] * weight[:, rows, None]
    square = np.matmul(part.transpose(0, 2, 1), columns[:, rows])
    cross = np.matmul(part.transpose(0, 2, 1), change[:, rows, None])[:, :, 0]
    return square.astype(np.float64), cross.astype(np.float64)


def _ridge(square: Doubles, cross: Doubles) -> Doubles:
    eye = np.eye(square.shape[1])
    shared = np.linalg.solve(square.sum(axis=0) + _RIDGE * eye, cross.sum(axis=0))
    right = cross + _TO_NETWORK * shared
    return np.asarray(np.linalg.solve(square + _TO_NETWORK * eye, right[:, :, None])[:, :, 0])


def _errors(error: Doubles, slow: npt.NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """Typical error of each sensor, and quantiles [low, high] × [free, slow] in its units."""
    known = np.isfinite(error)
    overall = float(np.sqrt(np.mean(error[known] ** 2))) if known.any() else 1.0
    count = known.sum(axis=1)
    own = np.sqrt((np.where(known, error, 0) ** 2).sum(axis=1) + 20 * overall**2) / np.sqrt(count + 20)
    scale = np.maximum(own, 1e-3)
    units = error / scale[:, None]
    edges = np.empty((2, 2))
    for number, where in enumerate((known & ~slow, known & slow)):
        values = units[where] if where.sum() >= 100 else units[known]
        edges[:, number] = np.quantile(values, [0.1, 0.9]) if len(values) else (-1.3, 1.3)
    return scale, edges
