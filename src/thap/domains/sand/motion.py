"""How vessels have moved in their last minutes: speed, drift, spread and straightness, with the noise of GPS taken out.

A boat at rest seems to move by what GPS errs, and a boat at anchor swings. So the *drift* is measured over three
minutes rather than from one position to the next, and from the squares of distances what noise alone would make is
taken away: the noise of each vessel's own positions, as `Tracks` measured it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thap.domains.sand.tracks import KNOT, Window

__all__ = ["Motion", "motion_of"]

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]

_SHORT_MIN = 5.01
_LONG_MIN = 20.01
_LAG = 3
_SPARSE_MIN = 1.7
_METRES_A_MINUTE = 60 * KNOT


@dataclass(frozen=True, slots=True)
class Motion:
    """One value for each vessel."""

    speed_kn: Doubles
    """Over five minutes: the greater of what was reported and what was covered."""
    sog_kn: Doubles
    """Mean reported speed since the run began, at most 20 minutes; NaN unknown."""
    recent_kn: Doubles
    """Mean reported speed of the last three minutes heard; NaN unknown."""
    drift_kn: Doubles
    """Speed of the smoothed track, without noise."""
    spread_m: Doubles
    """Root mean square distance from the middle, without noise."""
    seen_m: Doubles
    """The same with noise."""
    straight: Doubles
    """Net way over way; 1 for a straight line."""
    span_min: Doubles
    """Time between the first and last minute looked at."""
    moved: Bools
    """In the last minutes it moved more than noise would make it."""
    lon: Doubles
    """Smoothed over the last three minutes heard."""
    lat: Doubles
    slow_minutes: npt.NDArray[np.intp]
    """How many of the newest minutes heard, one after the other, were slow."""


def motion_of(window: Window, begin: Longs, slow_kn: float) -> Motion:
    """Measure.

    Args:
        window: the last minutes heard.
        begin: when each vessel's run began; minutes before it are not looked at for drift and spread.
        slow_kn: what counts as slow.
    """
    x, y, rows, age, sog = window.x, window.y, window.rows, window.age, window.sog
    noise = window.noise2[:, None] / np.maximum(rows, 1.0)
    heard = rows > 0
    column = np.arange(rows.shape[1])
    short = heard & ((age <= _SHORT_MIN) | ((column < 2) & (age <= 10)))
    three = heard & (column < 3) & (age <= 10)
    long = heard & (age <= _LONG_MIN) & (window.time >= begin[:, None])
    known = np.isfinite(sog)

    step, gone2, expected2 = _lagged(window, noise, 1)
    corrected = np.maximum(0.0, gone2 - expected2)
    # The minute before a step belongs to it as much as the one after it.
    paced = short[:, :-1] & short[:, 1:]
    steps_kn = np.sqrt(_ratio(np.where(paced, corrected, 0), np.where(paced, step**2, 0))) / _METRES_A_MINUTE
    last = _last(short)
    row = np.arange(len(x))
    net = np.hypot(x[:, 0] - x[row, last], y[:, 0] - y[row, last])
    passed = np.maximum(age[row, last], 0.5)
    noise_net = np.sqrt(2 * (noise[:, 0] + noise[row, last]))
    net_kn = np.where(last > 0, np.maximum(0.0, net - noise_net) / passed / _METRES_A_MINUTE, 0.0)
    short_sog = _mean(sog, short & known)
    told = np.isfinite(short_sog)
    # A speed of nought from a device that knows none is no speed.
    speed = np.maximum(
        np.where(told, np.nan_to_num(short_sog), steps_kn),
        np.maximum(net_kn, np.where(steps_kn > 2.0, steps_kn, 0.0)),
    )

    own = np.full_like(x, np.nan)
    own[:, :-1] = np.sqrt(corrected) / np.maximum(step, 0.1) / _METRES_A_MINUTE
    each = np.where(known, sog, own)
    slow = heard & ~(each > 1.25 * slow_kn)
    slow_minutes = np.where(slow.all(axis=1), slow.shape[1], np.argmin(slow, axis=1))

    drift, way = _drift(window, noise, long, (step, gone2, expected2))
    spread2, noise_mean = _spread(x, y, noise, long)
    ends = _last(long)
    span = np.where(long.any(axis=1), age[row, ends], 0.0)
    net_long = np.hypot(x[:, 0] - x[row, ends], y[:, 0] - y[row, ends])
    third = _last(three)
    back = np.hypot(x[:, 0] - x[row, third], y[:, 0] - y[row, third])
    took = np.maximum(age[row, third], 0.1)
    moved = (third > 0) & (back**2 > 9 * (noise[:, 0] + noise[row, third]) + (0.12 * _METRES_A_MINUTE * took) ** 2)
    weight = np.where(three, rows, 0.0)
    total = np.maximum(weight.sum(axis=1), 1.0)
    return Motion(
        speed,
        _mean(sog, long & known),
        _mean(sog, three & known),
        drift,
        np.sqrt(np.maximum(0.0, spread2 - 2 * noise_mean)),
        np.sqrt(spread2),
        np.where(way > 1.0, net_long / np.maximum(way, 1.0), 0.0),
        span,
        moved,
        (window.lon * weight).sum(axis=1) / total,
        (window.lat * weight).sum(axis=1) / total,
        slow_minutes,
    )


def _lagged(window: Window, noise: Doubles, lag: int) -> tuple[Doubles, Doubles, Doubles]:
    """Minutes, squared way and squared way expected of noise alone, between minutes `lag` apart."""
    x, y, age = window.x, window.y, window.age
    there = (window.rows[:, :-lag] > 0) & (window.rows[:, lag:] > 0)
    first, second = np.where(there, age[:, :-lag], 0.0), np.where(there, age[:, lag:], 0.0)
    gone2 = (x[:, :-lag] - x[:, lag:]) ** 2 + (y[:, :-lag] - y[:, lag:]) ** 2
    return second - first, np.where(there, gone2, 0.0), 2 * (noise[:, :-lag] + noise[:, lag:])


def _drift(
    window: Window, noise: Doubles, long: Bools, single: tuple[Doubles, Doubles, Doubles]
) -> tuple[Doubles, Doubles]:
    """Drift in knots, and the way it makes, metres: over three minutes, or from minute to minute where they are few."""
    found = []
    for lag, (step, gone2, expected2) in ((_LAG, _lagged(window, noise, _LAG)), (1, single)):
        used = long[:, :-lag] & long[:, lag:] & (step > 0) & (step < 15)
        pace = np.sqrt(np.maximum(0.0, _ratio(np.where(used, gone2 - expected2, 0.0), np.where(used, step**2, 0.0))))
        found.append(pace / _METRES_A_MINUTE)
    count = long.sum(axis=1)
    span = np.where(long, window.age, 0.0).max(axis=1)
    sparse = span > _SPARSE_MIN * np.maximum(count - 1, 1)
    drift = np.where(sparse | (count <= _LAG), found[1], found[0])
    return drift, drift * _METRES_A_MINUTE * span


def _spread(x: Doubles, y: Doubles, noise: Doubles, used: Bools) -> tuple[Doubles, Doubles]:
    count = np.maximum(used.sum(axis=1), 1)
    east, north = np.where(used, x, 0.0), np.where(used, y, 0.0)
    mean_x, mean_y = east.sum(axis=1) / count, north.sum(axis=1) / count
    spread2 = ((east**2 + north**2).sum(axis=1) / count) - mean_x**2 - mean_y**2
    return np.maximum(spread2, 0.0), np.where(used, noise, 0.0).sum(axis=1) / count


def _mean(values: Doubles, used: Bools) -> Doubles:
    count = used.sum(axis=1)
    return np.asarray(np.where(used, values, 0.0).sum(axis=1) / np.where(count > 0, count, np.nan))


def _ratio(above: Doubles, below: Doubles) -> Doubles:
    total = below.sum(axis=1)
    return np.asarray(np.where(total > 0, above.sum(axis=1) / np.where(total > 0, total, 1.0), 0.0))


def _last(used: Bools) -> npt.NDArray[np.intp]:
    """The oldest column that is used; 0 where none is."""
    count = used.shape[1]
    return np.where(used.any(axis=1), count - 1 - np.argmax(used[:, ::-1], axis=1), 0)
