"""When salt water leaves room for a sluice: salinity ahead by tide and recent trend, and the windows under a line.

Salinity is forecast as a level is, on its logarithm: the tide multiplies what salt there is rather than adding to it,
and no forecast falls below zero. A sluice may open while the upper end of the band stays under the line, so a forecast
that is unsure of itself opens less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from thap.domains.water.forecast import Forecast, Record, forecast
from thap.kernel.clock import HOUR_US

__all__ = ["Window", "forecast_salinity", "windows_under"]

Doubles = npt.NDArray[np.float64]

_FLOOR_G_L = 0.1
"""Added before the logarithm: below it sensors differ by more than the water does."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch in which salinity stays under a line."""

    begin: int
    """µs."""
    end: int
    """µs."""
    highest_g_l: float
    """The highest salinity expected in it."""
    open_end: bool
    """Whether it goes on beyond the forecast."""


def forecast_salinity(record: Record, hours: int = 48, step_h: float = 1.0) -> Forecast:
    """The next hours of a salinity in g/l; `tide` is what it would be at the slow level of these days."""
    logs = np.log(np.maximum(record.values, 0.0) + _FLOOR_G_L)
    made = forecast(replace(record, values=logs), hours, step_h)
    mean, low, high, tide = (
        np.maximum(np.exp(part) - _FLOOR_G_L, 0.0) for part in (made.mean, made.low, made.high, made.tide)
    )
    # Errors of logarithms are shares of the salinity; as g/l they are told at the salinity expected now.
    scale = float(np.mean(mean)) + _FLOOR_G_L
    return replace(
        made,
        mean=mean,
        low=low,
        high=high,
        tide=tide,
        errors={lead: error * scale for lead, error in made.errors.items()},
    )


def windows_under(made: Forecast, line_g_l: float, *, least_h: float = 1.0) -> list[Window]:
    """Stretches in which a salinity stays under a line with its whole band.

    Args:
        made: a forecast of salinity.
        line_g_l: the line.
        least_h: shorter ones are left out: opening and closing takes time.
    """
    hours, high = made.hours, made.high
    under = high < line_g_l
    windows = []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], under, [False]]).astype(np.int8)))
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        begin = _cross(hours, high, first - 1, line_g_l) if first else float(hours[0])
        whole = after == len(hours)
        end = float(hours[-1]) if whole else _cross(hours, high, after - 1, line_g_l)
        if end - begin >= least_h:
            windows.append(
                Window(round(begin * HOUR_US), round(end * HOUR_US), float(made.mean[first:after].max()), whole)
            )
    return windows


def _cross(hours: Doubles, values: Doubles, at: int, line: float) -> float:
    """Where the line between two neighbours is crossed."""
    one, two = float(values[at]), float(values[at + 1])
    share = (line - one) / (two - one) if two != one else 0.0
    return float(hours[at] + share * (hours[at + 1] - hours[at]))
