"""The demo world judged without a network: the same rules over the same records, minutes of it in a second.

Received times are event times, as if every record arrived at once; so what a score over this says is about the
rules, not about doors and journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from thap.detect.detector import Action, Change, Detector, Severity
from thap.detect.judges import Judges
from thap.detect.rules import Rule
from thap.detect.ruleset import RuleSet
from thap.domains.score import Raised
from thap.domains.world import World
from thap.kernel.clock import HOUR_US, MINUTE_US
from thap.kernel.settings import EngineSettings
from thap.observe.kinds import ObservationBatch, PositionBatch
from thap.observe.registry import DatastreamInfo, MoverInfo, Registry

__all__ = ["gather", "play", "registry_of"]


def registry_of(world: World) -> Registry:
    """A registry of everything in a world, numbered in its order."""
    series = []
    for number, one in enumerate(world.series.values(), start=1):
        thing = world.things[one.thing]
        series.append(
            DatastreamInfo(
                number,
                one.key,
                one.thing,
                one.name,
                one.observes,
                one.unit,
                thing.domain,
                thing.kind,
                thing.lon,
                thing.lat,
                "",
            )
        )
    movers = tuple(
        MoverInfo(number, one.key, one.name, one.kind, one.domain, {})
        for number, one in enumerate(world.movers.values(), start=1)
    )
    return Registry(tuple(series), movers, {one.key: one.id for one in series}, {one.key: one.id for one in movers})


def play(
    world: World,
    rules: Sequence[Rule],
    begin: int,
    end: int,
    step: int = MINUTE_US,
    detectors: Sequence[Detector] = (),
) -> list[Raised]:
    """Run rules, and detectors of domains, over a stretch of a world.

    Args:
        world: the world.
        rules: the rules; their durations are event time.
        begin: first moment, µs.
        end: last moment, µs.
        step: length of a batch, µs.
        detectors: with what they take of records as shipped.
    """
    registry = registry_of(world)
    rule_set = RuleSet(list(rules), registry, EngineSettings())
    if rule_set.problems:
        raise ValueError(f"rules that cannot run: {rule_set.problems}")
    for detector in detectors:
        detector.bind(registry)
    judge = Judges(rule_set, detectors)
    changes: list[tuple[int, Change]] = []
    judge.tick(begin)
    for hour in range(begin, end, HOUR_US):  # made by the hour, which costs less than by the minute
        last = min(hour + HOUR_US, end)
        made = (_observations(world, registry, hour, last), _positions(world, registry, hour, last))
        for after in range(hour, last, step):
            upto = min(after + step, last)
            for whole in made:
                batch = whole.take((whole.time > after) & (whole.time <= upto))
                if len(batch):
                    changes += [(upto, change) for change in judge.update(batch).changes]
            changes += [(upto, change) for change in judge.tick(upto).changes]
    return gather((at, change.source, change.condition, change.action, change.severity) for at, change in changes)


def gather(steps: Iterable[tuple[int, str, str, str, int]]) -> list[Raised]:
    """Alarms from raise to clear, out of (event time, source, condition, action, severity) in order."""
    standing: dict[tuple[str, str], Raised] = {}
    done: list[Raised] = []
    for at, source, condition, action, severity in steps:
        if action == Action.RAISE:
            standing[source, condition] = raised = Raised(source, condition, at, None, Severity(severity))
            done.append(raised)
        elif (alarm := standing.get((source, condition))) is not None:
            if action == Action.CLEAR:
                alarm.end = at
                del standing[source, condition]
            else:
                alarm.severity = max(alarm.severity, Severity(severity))
    return done


def _observations(world: World, registry: Registry, after: int, upto: int) -> ObservationBatch:
    rows = world.observations(after, upto)
    count = len(rows.keys)
    return ObservationBatch(
        np.array([registry.datastream_id[key] for key in rows.keys], np.int32),
        rows.times,
        rows.results,
        rows.times,
        np.arange(1, count + 1),
    )


def _positions(world: World, registry: Registry, after: int, upto: int) -> PositionBatch:
    rows = world.positions(after, upto)
    count = len(rows.keys)
    return PositionBatch(
        np.array([registry.mover_id[key] for key in rows.keys], np.int32),
        rows.times,
        rows.lons,
        rows.lats,
        rows.speeds_kn.astype(np.float32),
        rows.courses_deg.astype(np.float32),
        rows.times,
        np.arange(1, count + 1),
    )
