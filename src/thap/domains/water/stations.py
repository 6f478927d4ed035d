"""Stations with their flood alarm levels: shipped ones, and what the province set instead."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from thap.detect.detector import Severity
from thap.kernel.errors import InputError

__all__ = ["LEVEL_SEVERITY", "Station", "check_levels", "level_class", "shipped_stations"]

LEVEL_SEVERITY = (Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
"""How bad flood alarm levels I, II and III are."""
_LOWEST, _HIGHEST = -5.0, 20.0


@dataclass(frozen=True, slots=True)
class Station:
    """A place where levels or salinity are measured."""

    thing: str
    """Name of its thing, as `tan-chau`."""
    title: str
    river: str
    levels: tuple[float | None, float | None, float | None]
    """Flood alarm levels I, II, III, m; None where one is not known."""
    km: float | None
    """Kilometres from the mouth, as forecasts of salinity count them."""
    source: str
    confidence: str
    """H read in its source, M partly read, L recalled."""
    version: int = 0
    """0: as shipped; else of the record that set it."""
    changed: int | None = None
    changed_by: str = ""

    @property
    def has_levels(self) -> bool:
        """Whether any alarm level is known."""
        return any(one is not None for one in self.levels)


def check_levels(levels: tuple[float | None, ...]) -> tuple[float | None, float | None, float | None]:
    """Alarm levels that hold together.

    Raises:
        InputError: not three, one out of bounds, or one not above the one before.
    """
    if len(levels) != 3:
        raise InputError("give levels I, II and III, null where one is not known", where="levels")
    last = -math.inf
    for name, level in zip(("I", "II", "III"), levels, strict=True):
        if level is None:
            continue
        if not math.isfinite(level) or not _LOWEST <= level <= _HIGHEST:
            raise InputError(
                f"level {name} of {level:g} m is not allowed", where="levels", hint=f"{_LOWEST:g} to {_HIGHEST:g} m"
            )
        if level <= last:
            raise InputError(f"level {name} must lie above the one before it", where="levels")
        last = level
    return levels[0], levels[1], levels[2]


def level_class(value: float, levels: tuple[float | None, ...]) -> int:
    """The highest alarm level reached: 0 none, 1…3."""
    return max((number for number, level in enumerate(levels, 1) if level is not None and value >= level), default=0)


@cache
def shipped_stations() -> dict[str, Station]:
    """Those shipped, by thing."""
    text = resources.files("thap.domains.water").joinpath("stations.toml").read_text("utf-8")
    made = {}
    for thing, entry in tomllib.loads(text).items():
        levels = tuple(None if math.isnan(one) else float(one) for one in entry["levels"])
        made[thing] = Station(
            thing,
            entry["title"],
            entry["river"],
            check_levels(levels),
            entry.get("km"),
            entry["source"],
            entry["confidence"],
        )
    return made


def with_levels(station: Station, levels: tuple[float | None, ...], source: str, km: float | None) -> Station:
    """The same with other levels, of a source that was read."""
    return replace(station, levels=check_levels(levels), source=source, km=km, confidence="H")
