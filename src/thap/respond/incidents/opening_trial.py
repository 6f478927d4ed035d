"""What opening rules would have made of alarms of the past: the same correlation, over transitions already written.

As if no incident had stood before and none had been resolved in that time, so that each opens at its first alarm and
takes in all that belong to it. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from thap.respond.incidents.correlate import Found, Target, plan
from thap.respond.incidents.model import Row
from thap.respond.incidents.opening import sign_of
from thap.respond.incidents.rules import OpeningRule, OpeningRules

__all__ = ["Trial", "WouldOpen", "try_rules", "with_rule"]

_SOURCES = 20


class WouldOpen(msgspec.Struct, kw_only=True):
    """An incident that would have been opened. Times µs."""

    rule: str
    title: dict[str, str]
    domain: str
    severity: int
    """The worst it came to."""
    unit: str
    commune: str
    began: int
    latest: int
    alarms: list[int]
    """Numbers of the alarms in it, in the order they joined."""
    sources: list[str]
    """Of their sources, the first twenty."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a trial."""

    since: int
    until: int
    transitions: int
    """How many were looked at."""
    complete: bool
    """Whether those were all; else the newest."""
    incidents: list[WouldOpen]
    """Newest first, at most a thousand; where one rule was tried, those of that rule."""
    count: int
    now: int
    """How many all rules in force would have opened."""
    then: int
    """How many with the rule tried among them."""
    unopened: int
    """Alarms that call somebody and would have opened or joined nothing."""


def with_rule(rules: OpeningRules, rule: OpeningRule | None) -> OpeningRules:
    """The rules with one put in: in the place of its name, else before all others, as `OpeningRules.gather` has it."""
    if rule is None:
        return rules
    if any(one.name == rule.name for one in rules.rules):
        return OpeningRules([rule if one.name == rule.name else one for one in rules.rules])
    return OpeningRules([rule, *rules.rules])


def try_rules(
    rules: OpeningRules, transitions: Sequence[Row], titles: Mapping[str, Mapping[str, str]]
) -> tuple[list[WouldOpen], int]:
    """The incidents that rules would have opened, oldest first, and how many alarms would have called for nothing.

    Args:
        rules: in the order in which they are asked.
        transitions: as `CandidateRows.transitions` gives them, in order.
        titles: of the alarms' conditions, by language.
    """
    told = [(one, sign_of(rules, one)) for one in transitions if one["annunciated"] or one["action"] == "clear"]
    targets = plan([sign for _, sign in told], Found({}, {}, {}))
    made: dict[int, WouldOpen] = {}
    unopened: set[int] = set()
    kept: list[Target] = []  # so that no two have one identity
    for (one, sign), target in zip(told, targets, strict=True):
        if target is None:
            if sign.calls:
                unopened.add(sign.alarm)
            continue
        incident = made.get(id(target))
        if incident is None:
            assert sign.rule is not None
            kept.append(target)
            what = titles.get(one["condition"], {})
            incident = made[id(target)] = WouldOpen(
                rule=sign.rule.name,
                title=sign.rule.titles(one["source"], one["condition"], one["commune"], what),
                domain=one["domain"],
                severity=1,
                unit=sign.rule.unit_of(one["commune"]),
                commune=one["commune"],
                began=sign.time,
                latest=sign.time,
                alarms=[],
                sources=[],
            )
        if sign.calls:
            _join(incident, one, sign.time)
    return list(made.values()), len(unopened)


def _join(incident: WouldOpen, one: Mapping[str, Any], time: int) -> None:
    incident.severity = max(incident.severity, min(int(one["severity"]), 4))
    incident.began, incident.latest = min(incident.began, time), max(incident.latest, time)
    if one["alarm"] not in incident.alarms[-200:]:
        incident.alarms.append(int(one["alarm"]))
    if one["source"] not in incident.sources and len(incident.sources) < _SOURCES:
        incident.sources.append(one["source"])
