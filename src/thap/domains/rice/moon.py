"""How much of the moon is lit, without a library: a few terms of the moon's motion are enough for a light trap.

Jean Meeus, *Astronomical Algorithms*, 2nd edition, chapter 48 (the lower-accuracy formula); within about one hundredth
of the lit share. The unit tests hold it against published full and new moons.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt

__all__ = ["moon_lit"]

_EVENING_UT = 13.5 / 24
"""Half past eight in the evening on Vietnamese clocks: the middle of the hours traps burn."""
_J2000_ORDINAL = date(2000, 1, 1).toordinal() + 0.5


def moon_lit(first: date, count: int, step_days: int = 1) -> npt.NDArray[np.float64]:
    """Lit share of the moon's disc, 0 (new) to 1 (full).

    Args:
        first: the first evening.
        count: how many evenings.
        step_days: days between two of them.
    """
    days = first.toordinal() + _EVENING_UT + step_days * np.arange(count) - _J2000_ORDINAL
    t = days / 36525
    elongation = np.radians(297.8501921 + 445267.1114034 * t)
    sun = np.radians(357.5291092 + 35999.0502909 * t)
    moon = np.radians(134.9633964 + 477198.8675055 * t)
    angle = (
        np.pi
        - elongation
        - np.radians(
            6.289 * np.sin(moon)
            - 2.100 * np.sin(sun)
            + 1.274 * np.sin(2 * elongation - moon)
            + 0.658 * np.sin(2 * elongation)
            + 0.214 * np.sin(2 * moon)
            + 0.110 * np.sin(elongation)
        )
    )
    return np.asarray((1 + np.cos(angle)) / 2)
