"""What vehicles are worth as passenger cars, and how well a road serves its flow.

Numbers as shipped are those of the traffic domain's parameters (TCVN 4054:2005 for the units); a centre that has
others in force hands them over in `FlowSettings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["LIMITS", "PCU", "FlowSettings", "level_of_service"]

PCU = {"bicycle": 0.2, "motorcycle": 0.3, "car": 1.0, "truck": 2.0, "bus": 2.5, "vehicle": 1.0, "person": 0.0}
"""TCVN 4054:2005, by what a detector can tell apart: a lorry as one of two axles, a bus as a large one."""
LIMITS = (0.35, 0.5, 0.75, 0.9, 1.0)
"""Volume through capacity below which the level is A, B, C, D, E; from the last on it is F. A proposal, to be
confirmed."""


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """How counts become flow."""

    factors: Mapping[str, float] = field(default_factory=lambda: dict(PCU))
    """Class → passenger-car units."""
    limits: Sequence[float] = LIMITS
    """Volume through capacity at the ends of levels A to E."""
    minutes: int = 15
    """Flow is the mean of so many minutes: single minutes leap."""

    def units(self, cls: str) -> float:
        """What a vehicle of a class is worth; a car where nothing is said."""
        return self.factors.get(cls, 1.0)


def level_of_service(ratio: float, limits: Sequence[float] = LIMITS) -> str:
    """A to F of a ratio of volume to capacity."""
    return "ABCDEF"[sum(ratio >= limit for limit in limits)]
