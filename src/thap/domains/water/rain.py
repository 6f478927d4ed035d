"""Rain over the last hours, as forecasters ask for it: 1, 3, 6, 12, 24 and 72 hours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thap.kernel.clock import HOUR_US

__all__ = ["SPANS_H", "Rain", "accumulate"]

SPANS_H = (1, 3, 6, 12, 24, 72)
_NEEDED = 0.8


@dataclass(frozen=True, slots=True)
class Rain:
    """Rain in the hours up to a moment."""

    hours: int
    mm: float
    share: float
    """How much of the span has readings, 0…1."""

    @property
    def whole(self) -> bool:
        """Whether enough of it was measured to be called the rain of that span; else it is at least `mm`."""
        return self.share >= _NEEDED


def accumulate(times: npt.NDArray[np.int64], mm: npt.NDArray[np.float64], now: int, period: int) -> list[Rain]:
    """Sums over each span.

    Args:
        times: when each reading was taken, µs; it holds the rain since the one before.
        mm: rain of each reading; negative and NaN ones are left out.
        now: end of the spans, µs.
        period: µs between two readings.
    """
    good = np.isfinite(mm) & (mm >= 0)
    times, order = np.unique(times[good], return_index=True)
    mm = mm[good][order]
    made = []
    for hours in SPANS_H:
        inside = (times > now - hours * HOUR_US) & (times <= now)
        share = min(1.0, float(inside.sum()) * period / (hours * HOUR_US))
        made.append(Rain(hours, round(float(mm[inside].sum()), 2), round(share, 3)))
    return made
