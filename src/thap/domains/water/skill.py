"""How good past forecasts were: each run held against what was measured then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from thap.domains.water.history import Hours

__all__ = ["LEADS_H", "Skill", "skill_of"]

LEADS_H = (6, 24, 48)


@dataclass(frozen=True, slots=True)
class Skill:
    """Errors at one lead."""

    lead_h: int
    runs: int
    rmse: float
    bias: float
    """Mean of forecast less measurement."""
    covered: float
    """Share of measurements within the band; it is made for 0.8."""


def skill_of(runs: Iterable[dict[str, Any]], hours: Hours | None) -> list[Skill]:
    """Errors of forecasts whose moment has come.

    Args:
        runs: bodies of forecasts, see `thap.domains.water.background.forecast_body`.
        hours: what was measured, by the hour around each whole hour.
    """
    if hours is None:
        return []
    measured = dict(zip(hours.number.tolist(), hours.value.tolist(), strict=True))
    wrong: dict[int, list[tuple[float, bool]]] = {lead: [] for lead in LEADS_H}
    for body in runs:
        for lead in LEADS_H:
            value = measured.get(int(body["first"]) + lead - 1)
            if value is not None and lead <= len(body["mean"]):
                inside = body["low"][lead - 1] <= value <= body["high"][lead - 1]
                wrong[lead].append((body["mean"][lead - 1] - value, inside))
    made = []
    for lead, found in wrong.items():
        if found:
            errors = np.array([one for one, _ in found])
            made.append(
                Skill(
                    lead,
                    len(found),
                    round(float(np.sqrt(np.mean(errors**2))), 4),
                    round(float(errors.mean()), 4),
                    round(float(np.mean([inside for _, inside in found])), 3),
                )
            )
    return made
