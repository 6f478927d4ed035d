"""How threatened the rice of each commune is by planthoppers: catches, surveys and the crop's stage together.

    level = the higher of catch and survey, lessened where no rice is in the stages that suffer most

| part | none 0 | low 1 | watch 2 | high 3 |
|---|---|---|---|---|
| highest catch of 7 nights | below | from half of `catch_watch` | from `catch_watch` | from `catch_high` |
| highest class of 14 days' surveys | none | light | medium | heavy |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from thap.domains.rice.pests import PESTS, class_of
from thap.domains.rice.seasons import stages_on

__all__ = ["COLOURS", "LEVELS", "Risk", "risks_of"]

LEVELS = ("none", "low", "watch", "high")
COLOURS = ("#dfe7da", "#f3e2a0", "#f0a848", "#d1495b")
_CLASS = {"": 0, "light": 1, "medium": 2, "heavy": 3}
_HARMED = ("tillering", "booting", "heading")


@dataclass(frozen=True, slots=True)
class Risk:
    """Of one commune."""

    commune: str
    level: int
    """Index into LEVELS."""
    catch: float | None
    """Highest of its zones' traps in the last seven nights; None where none counted."""
    survey: str
    """Highest class: '', light, medium or heavy."""
    stage: str
    """The stage that most of its rice is in; '' where none stands."""
    stages: Mapping[str, float]
    """Hectares by stage."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "commune": self.commune,
            "level": LEVELS[self.level],
            "catch": self.catch,
            "survey": self.survey,
            "stage": self.stage,
            "stages": dict(self.stages),
        }


def risks_of(
    zones: Sequence[Mapping[str, Any]],
    crops: Sequence[dict[str, Any]],
    surveys: Sequence[Mapping[str, Any]],
    catches: Mapping[int, float],
    parameters: Mapping[str, float],
    day: date,
    stage: str = "",
) -> list[Risk]:
    """The risk of every commune that a zone lies in or a survey speaks of, by code.

    Args:
        zones: rows of `rice_zones`.
        crops: rows with `zone_id`.
        surveys: of planthoppers, of the last fortnight.
        catches: highest catch of the last seven nights by zone.
        parameters: of the domain.
        day: today.
        stage: only communes with rice in this stage; '' for all.
    """
    by_commune: dict[str, list[Mapping[str, Any]]] = {}
    for zone in zones:
        for code in zone["communes"]:
            by_commune.setdefault(code, []).append(zone)
    said: dict[str, str] = {}
    for row in surveys:
        pest = PESTS[row["pest"]]
        worst = max(
            (class_of(pest, row["stage"], row[name], parameters) for name in ("common", "high", "exceptional")),
            key=lambda one: _CLASS[one],
        )
        said[row["commune"]] = max(said.get(row["commune"], ""), worst, key=lambda one: _CLASS[one])
    found = []
    for code in sorted({*by_commune, *said}):
        own = {zone["id"] for zone in by_commune.get(code, ())}
        stages = stages_on([crop for crop in crops if crop["zone_id"] in own], day)
        if stage and not stages.get(stage):
            continue
        caught = [catches[number] for number in own if number in catches]
        catch = max(caught, default=None)
        found.append(
            Risk(
                code,
                _level(catch, said.get(code, ""), stages, parameters),
                catch,
                said.get(code, ""),
                max(stages, key=lambda name: stages[name], default=""),
                stages,
            )
        )
    return found


def _level(catch: float | None, survey: str, stages: Mapping[str, float], parameters: Mapping[str, float]) -> int:
    bounds = (parameters["catch_watch"] / 2, parameters["catch_watch"], parameters["catch_high"])
    by_catch = 0 if catch is None else sum(catch >= bound for bound in bounds)
    worst = max(by_catch, _CLASS[survey])
    if any(stages.get(name) for name in _HARMED) or (not stages and survey):
        return worst
    return round(worst * parameters["risk_stage_share"])
