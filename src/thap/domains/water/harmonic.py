"""Tides out of a record with noise, gaps and floods: least squares on the main constituents.

A level is taken as slow stage + tide + rest. The stage is a line through knots two days apart, the tide a sum of
constituents of known frequency, the rest is given little weight where it is large, so that a flood of some hours does
not bend the tide. Constituents that a short record cannot tell apart (Rayleigh criterion) are kept apart by a prior on
their size instead of being dropped: over the two days that are forecast the share each gets does not matter.

All stations of a grid are solved with one design matrix. Frequencies are those of utide (Foreman's); its nodal
corrections are left out, because the constants are fitted anew on the last weeks and used for two days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["CONSTITUENTS", "Fit", "Grid", "Tide", "constants", "fit_tides", "refit", "tide_of"]

Doubles = npt.NDArray[np.float64]

CONSTITUENTS: dict[str, tuple[float, float]] = {
    "2Q1": (0.0357063507, 0.04),
    "Q1": (0.0372185026, 0.15),
    "RHO1": (0.0374208736, 0.04),
    "O1": (0.0387306544, 1.0),
    "NO1": (0.0402685944, 0.08),
    "P1": (0.0415525871, 0.25),
    "K1": (0.0417807462, 1.0),
    "J1": (0.0432928981, 0.06),
    "OO1": (0.044830838, 0.05),
    "2N2": (0.077487097, 0.06),
    "MU2": (0.077689468, 0.1),
    "N2": (0.0789992488, 0.4),
    "NU2": (0.0792016198, 0.1),
    "M2": (0.0805114007, 1.0),
    "L2": (0.0820235525, 0.08),
    "S2": (0.0833333333, 1.0),
    "K2": (0.0835614924, 0.2),
    "MO3": (0.1192420551, 0.08),
    "MK3": (0.1222921469, 0.08),
    "SK3": (0.1251140796, 0.05),
    "MN4": (0.1595106495, 0.06),
    "M4": (0.1610228013, 0.15),
    "MS4": (0.163844734, 0.12),
    "M6": (0.241534202, 0.04),
    "2MS6": (0.2443561347, 0.04),
}
"""Name → frequency in cycles an hour, and the standard deviation of each of its two terms that is expected beforehand,
as a share of the record's own (the largest may be as large as the record, shallow-water ones are small)."""
_NAMES = tuple(CONSTITUENTS)
_FREQUENCY = np.array([one[0] for one in CONSTITUENTS.values()])
_PRIOR = np.array([one[1] for one in CONSTITUENTS.values()])
_KNOT_H = 48.0
_STAGE_STEP = 0.6
"""How far the stage may move in two days, standard deviation as a share of the record's."""
_ROUNDS = 4
_TURN = 2.0
"""Residual, in standard deviations, at which a value's weight is halved."""


def _waves(hours: Doubles, shrink: Doubles | float = 1.0) -> Doubles:
    """Cosines then sines of all constituents, (n, 2k)."""
    angle = 2 * np.pi * np.multiply.outer(hours, _FREQUENCY)
    return np.concatenate([np.cos(angle) * shrink, np.sin(angle) * shrink], axis=1)


@dataclass(frozen=True, slots=True)
class Tide:
    """The tide of one place: constants for `predict`."""

    origin_h: float
    """Hours since 1970 UTC that phases are counted from."""
    terms: Doubles
    """Cosine then sine amplitudes, in the order of CONSTITUENTS."""

    def predict(self, hours: npt.ArrayLike) -> Doubles:
        """The tide about the stage, at hours since 1970 UTC."""
        return np.asarray(_waves(np.atleast_1d(np.asarray(hours, np.float64)) - self.origin_h) @ self.terms)

    def amplitudes(self) -> dict[str, float]:
        """Half the range of each constituent, in the record's unit."""
        half = len(_NAMES)
        return dict(zip(_NAMES, np.hypot(self.terms[:half], self.terms[half:]).tolist(), strict=True))

    @property
    def range(self) -> float:
        """Largest less smallest of the coming spring–neap cycle, in the record's unit."""
        level = self.predict(self.origin_h + np.arange(0, 29.6 * 24, 0.5))
        return float(level.max() - level.min())


@dataclass(frozen=True, slots=True)
class Fit:
    """What a record was taken apart into."""

    tide: Tide
    stage: Doubles
    """Slow level at each hour of the grid."""
    rest: Doubles
    """Record less tide at each hour of the grid, NaN where there is no value: stage and rest together."""
    weight: Doubles
    """0…1, how much each hour counted; 0 where there is no value."""
    sigma: float
    """Standard deviation of what is neither stage nor tide, robust."""


class Grid:
    """Hours shared by the records of many stations, with what does not depend on their values.

    Args:
        hours: hour numbers since 1970 UTC, one apart; each stands for the hour around it.
        averaged: whether values are means over their hour, so that fast constituents come out smaller than they are.
    """

    def __init__(self, hours: Doubles, averaged: bool = True) -> None:
        self.hours = hours
        self.origin = float(hours[-1])
        knots = max(2, int(np.ceil((hours[-1] - hours[0]) / _KNOT_H)) + 1)
        at = np.linspace(hours[0], hours[-1], knots)
        self.stage = np.maximum(0.0, 1 - np.abs(hours[:, None] - at) / max(at[1] - at[0], 1e-9))
        self.knots = knots
        shrink = np.sinc(_FREQUENCY) if averaged else 1.0
        self.waves = _waves(hours - self.origin, shrink)
        self.design = np.concatenate([self.stage, self.waves], axis=1)
        step = np.diff(np.eye(knots), axis=0)
        self._smooth = step.T @ step
        # How fast each wave rises, per hour: values are moved from where they were measured to the whole hour.
        half = len(_NAMES)
        omega = 2 * np.pi * _FREQUENCY
        self.slopes = np.concatenate([-self.waves[:, half:] * omega, self.waves[:, :half] * omega], axis=1)

    def penalty(self, scale: float, sigma: float) -> Doubles:
        """Prior precision of all terms, in units of the noise."""
        made = np.zeros((self.design.shape[1],) * 2)
        made[: self.knots, : self.knots] = self._smooth / (_STAGE_STEP * scale) ** 2
        made[np.arange(self.knots), np.arange(self.knots)] += 1e-6 / scale**2
        prior = np.concatenate([_PRIOR, _PRIOR]) * scale
        at = np.arange(self.knots, self.design.shape[1])
        made[at, at] = 1 / prior**2
        return made * sigma**2

    def solve(self, values: Doubles, weight: Doubles, penalty: Doubles, upto: int | None = None) -> Doubles:
        """Terms of least squares; only the first `upto` hours count, where given."""
        end = len(values) if upto is None else upto
        design = self.design[:end]
        weighed = design * weight[:end, None]
        return np.asarray(np.linalg.solve(weighed.T @ design + penalty, weighed.T @ values[:end]))


@lru_cache(maxsize=4)
def _grid(first: float, count: int, averaged: bool) -> Grid:
    return Grid(first + np.arange(count, dtype=np.float64), averaged)


def fit_tides(first: float, values: Doubles, offsets: Doubles | None = None, *, averaged: bool = True) -> list[Fit]:
    """Take the records of several stations apart.

    Args:
        first: hour since 1970 UTC of the first column.
        values: (stations, hours), NaN where there is none; a station without any value is an error of the caller.
        offsets: hours from each whole hour to the mean time of its values, same shape; none: zero.
        averaged: whether a value is a mean over its hour.
    """
    grid = _grid(first, values.shape[1], averaged)
    return [_fit(grid, row, None if offsets is None else offsets[number]) for number, row in enumerate(values)]


def _fit(grid: Grid, values: Doubles, offset: Doubles | None) -> Fit:
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)
    scale = max(float(np.std(values[there])), 1e-3)
    sigma, weight = 0.2 * scale, there.astype(np.float64)
    terms = grid.solve(filled, weight, grid.penalty(scale, sigma))
    for number in range(_ROUNDS):
        moved = filled
        if offset is not None:
            moved = filled - np.where(there, offset, 0.0) * (grid.slopes @ terms[grid.knots :])
        left = moved - grid.design @ terms
        sigma = max(1.4826 * float(np.median(np.abs(left[there]))), 1e-3 * scale)
        weight = there / (1 + (left / (_TURN * sigma)) ** 2)
        if number == 0:
            weight = np.where(there, np.maximum(weight, 0.2), 0.0)
        terms = grid.solve(moved, weight, grid.penalty(scale, sigma))
    if offset is not None:
        filled = filled - np.where(there, offset, 0.0) * (grid.slopes @ terms[grid.knots :])
    rest = np.where(there, filled - grid.waves @ terms[grid.knots :], np.nan)
    return Fit(
        Tide(grid.origin, terms[grid.knots :]), grid.stage @ terms[: grid.knots], rest, np.asarray(weight), sigma
    )


def refit(first: float, values: Doubles, fit: Fit, upto: int, *, averaged: bool = True) -> Doubles:
    """Record less tide over the whole grid, of a tide fitted on its first `upto` hours alone with the weights of a fit:
    what a forecast made then would have known. NaN where there is no value."""
    grid = _grid(first, len(values), averaged)
    there = np.isfinite(values)
    scale = max(float(np.std(values[there])), 1e-3)
    terms = grid.solve(np.where(there, values, 0.0), fit.weight, grid.penalty(scale, fit.sigma), upto)
    return np.where(there, values - grid.waves @ terms[grid.knots :], np.nan)


def constants(tide: Tide) -> tuple[float, list[float]]:
    """As they are kept in the records; `tide_of` reads them."""
    return tide.origin_h, [round(one, 6) for one in tide.terms.tolist()]


def tide_of(origin_h: float, terms: Sequence[float]) -> Tide:
    """Inverse of `constants`."""
    return Tide(origin_h, np.asarray(terms, np.float64))
