"""`detect`: observations through 100 rules on 10,000 datastreams, one process, against a plain loop over rows.

2,000 stations have five datastreams each, and each datastream is watched by four or five rules. Of the rules 60 are
thresholds (two levels, deadband, delays), 12 rates, 10 silences, 10 of the kind "3 of the last 5", 4 votes of a
station's datastreams and 4 conditions over two of them. The rows are slow waves with noise; some hundred series at
a time are beyond their limits, as on a bad day.

The peer judges the same thresholds, rates, silences, counts and conditions row by row with dictionaries and
deques, the way such a thing is first written. That both raise the same number of threshold and n-of-m alarms is
checked.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thap.detect.catalogue import Catalogue
from thap.detect.detector import Action
from thap.detect.rules import Combined, NOfM, Rate, Rule, Threshold
from thap.detect.ruleset import RuleSet
from thap.detect.ruletext import read_rules
from thap.kernel.clock import SECOND_US
from thap.kernel.settings import EngineSettings
from thap.observe.kinds import ObservationBatch
from thap.observe.registry import DatastreamInfo, Registry

__all__ = ["run"]

_NAMES = ("level", "rain", "salt", "wind", "heat")
_START = 1_790_000_000 * SECOND_US
_STEP = 60 * SECOND_US


def run(argv: list[str]) -> dict[str, Any]:
    """Rows a second in batches of three sizes, and of the peer.

    Raises:
        SystemExit: ours and the peer's alarms differ.
    """
    parser = argparse.ArgumentParser(prog="bench detect")
    parser.add_argument("--things", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=60, help="rows of each datastream")
    parser.add_argument("--warm-rounds", type=int, default=5, help="rows of each that find every state empty")
    parser.add_argument("--peer-rounds", type=int, default=12, help="rows of each datastream the peer judges")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    registry, rules = _registry(options.things), _rules()
    rows = _rows(len(registry.datastreams), options.rounds, options.seed)

    begin = len(registry.datastreams) * options.warm_rounds
    later = rows.take(np.arange(begin, len(rows)))
    figures: dict[str, float] = {}
    started = time.perf_counter()
    judge = RuleSet(rules, registry, EngineSettings())
    figures["build_s"] = round(time.perf_counter() - started, 3)
    figures["watched_pairs"] = judge.watched
    for size in (1_000, 5_000, 50_000):
        judge = RuleSet(rules, registry, EngineSettings())
        first, _ = _feed(judge, rows.take(np.arange(begin)), size)
        seconds, changes = _feed(judge, later, size)
        figures["first_rows_per_second"] = round(begin / first)
        figures[f"rows_per_second_{size}"] = round(len(later) / seconds)
        figures[f"microseconds_per_row_{size}"] = round(seconds / len(later) * 1e6, 3)
        figures["changes"] = changes
    figures["tick_ms"] = _best_ms(lambda: judge.tick(int(rows.received[-1]) + 1))
    figures["dump_ms"] = _best_ms(judge.dump)
    figures["state_bytes"] = len(judge.dump())

    few = rows.take(np.arange(len(registry.datastreams) * options.peer_rounds))
    plain = _Plain(rules, registry)
    started = time.perf_counter()
    plain.feed(few)
    peer_s = time.perf_counter() - started
    ours = _raises(RuleSet(rules, registry, EngineSettings()), few, rules)
    if ours != plain.raises:
        raise SystemExit(f"alarms differ: ours {ours}, the peer's {plain.raises}")
    return {
        "bench": "detect",
        "figures": figures,
        "input": f"{len(later):,} observations, after {begin:,} to warm up, of {len(registry.datastreams):,} "
        f"datastreams under {len(rules)} rules",
        "peer": {
            "name": "plain Python loop over rows",
            "rows_per_second": round(len(few) / peer_s),
            "microseconds_per_row": round(peer_s / len(few) * 1e6, 3),
            "rows": len(few),
            "alarms_compared": ours,
        },
    }


def _registry(things: int) -> Registry:
    series = tuple(
        DatastreamInfo(
            5 * thing + at + 1,
            f"tram-{thing:04}/{name}",
            f"tram-{thing:04}",
            name,
            name,
            "",
            "water",
            f"k{thing % 12}",
            None,
            None,
            "",
        )
        for thing in range(things)
        for at, name in enumerate(_NAMES)
    )
    return Registry(series, (), {one.key: one.id for one in series}, {})


def _rules() -> list[Rule]:
    halves = [", ".join(f'"k{part}"' for part in range(half, 12, 2)) for half in (0, 1)]
    bodies = [
        f'kind = "threshold"\nselect = {{ property = "{name}", kind = "k{part}" }}\nabove = 2.2\n'
        'deadband = 0.1\non_delay = "2m"\noff_delay = "2m"\nlevels = [ { severity = "high", above = 2.5 } ]'
        for name in _NAMES
        for part in range(12)
    ]
    bodies += [
        f'kind = "rate"\nselect = {{ property = "{name}", kind = ["k{part}", "k{part + 3}", "k{part + 6}"] }}\n'
        f'{way} = 1.5\nwindow = "10m"'
        for name in ("level", "salt", "wind", "heat")
        for part, way in enumerate(("rise", "fall", "change"))
    ]
    bodies += [
        f'kind = "silence"\nselect = {{ property = "{name}", kind = [{half}] }}\nno_data_for = "15m"'
        for name in _NAMES
        for half in halves
    ]
    bodies += [
        f'kind = "n_of_m"\nselect = {{ property = "{name}", kind = [{half}] }}\nbelow = -2.2\nn = 3\nm = 5'
        for name in _NAMES
        for half in halves
    ]
    bodies += [
        f'kind = "n_of_m"\nselect = {{ kind = "k{part}" }}\nabove = 2.0\nn = 2\ngroup = "thing"'
        for part in (2, 3, 4, 5)
    ]
    bodies += [
        f'kind = "combined"\nselect = {{ thing = "*" }}\nwhen = "{when}"\nmax_age = "10m"'
        for when in (
            "level > 2.2 and rain > 1",
            "salt > 2.2 and heat > 1",
            "wind > 2.2 and rain > 1.5",
            "heat > 2.2 and not wind > 0",
        )
    ]
    return read_rules(
        "\n".join(
            f'[[rule]]\nname = "r{at:03}"\ntitle = {{ vi = "r", en = "r" }}\nseverity = "low"\n{body}'
            for at, body in enumerate(bodies)
        )
    )


def _rows(series: int, rounds: int, seed: int) -> ObservationBatch:
    """Each datastream once a minute, in the same shuffled order."""
    random = np.random.default_rng(seed)
    order = random.permutation(series)
    height, phase = random.uniform(0.2, 2.3, series), random.uniform(0, 2 * np.pi, series)
    at = np.arange(rounds)[:, None]
    wave = height * np.sin(2 * np.pi * at / 360 + phase) + random.normal(0, 0.05, (rounds, series))
    number = np.broadcast_to(order + 1, (rounds, series)).reshape(-1).astype(np.int32)
    moment = (_START + at * _STEP + np.arange(series) * (_STEP // series)).reshape(-1)
    return ObservationBatch(
        number, moment, np.ascontiguousarray(wave[:, order]).reshape(-1), moment, np.arange(len(number)) // 1000 + 1
    )


def _feed(judge: RuleSet, rows: ObservationBatch, size: int) -> tuple[float, int]:
    """Seconds, and changes. A tick after every batch, as the engine has them."""
    batches = [rows.take(np.arange(at, min(at + size, len(rows)))) for at in range(0, len(rows), size)]
    changes = 0
    started = time.perf_counter()
    for batch in batches:
        changes += len(judge.update(batch).changes)
        changes += len(judge.tick(int(batch.received[-1])).changes)
    return time.perf_counter() - started, changes


def _best_ms(action: Any) -> float:
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - started)
    return round(best * 1000, 3)


def _raises(judge: RuleSet, rows: ObservationBatch, rules: list[Rule]) -> int:
    compared = {rule.name for rule in rules if isinstance(rule, Threshold) or (isinstance(rule, NOfM) and rule.m)}
    outcome = judge.update(rows)
    return sum(change.action is Action.RAISE and change.condition in compared for change in outcome.changes)


@dataclass(slots=True)
class _Cell:
    rule: Rule
    level: int = 0
    shown: int = 0
    since: int = 0
    seen: deque[Any] = field(default_factory=deque)
    values: dict[str, tuple[int, float]] = field(default_factory=dict)


class _Plain:
    """Rules judged row by row."""

    def __init__(self, rules: list[Rule], registry: Registry) -> None:
        self.raises = 0
        self.latest: dict[int, int] = {}
        self.heard: dict[int, int] = {}
        self.cells: dict[int, list[tuple[_Cell, str]]] = {}
        catalogue = Catalogue(registry)
        for rule in rules:
            groups: dict[str, _Cell] = {}
            for info in catalogue.select_datastreams(rule.select):
                if rule.kind == "silence" or (isinstance(rule, Combined) and info.name not in rule.when.names):
                    continue
                together = isinstance(rule, Combined) or (isinstance(rule, NOfM) and rule.group is not None)
                cell = groups.setdefault(info.thing if together else info.key, _Cell(rule))
                self.cells.setdefault(info.id, []).append((cell, info.name))

    def feed(self, rows: ObservationBatch) -> None:
        for series, at, value, received in zip(
            rows.datastream.tolist(), rows.time.tolist(), rows.result.tolist(), rows.received.tolist(), strict=True
        ):
            self.heard[series] = received
            if at <= self.latest.get(series, 0):
                continue
            self.latest[series] = at
            for cell, name in self.cells.get(series, ()):
                self._judge(cell, name, at, value)

    def _judge(self, cell: _Cell, name: str, at: int, value: float) -> None:
        rule = cell.rule
        if isinstance(rule, Threshold):
            level = rule_level(rule, value, cell.level)
        elif isinstance(rule, Rate):
            while cell.seen and cell.seen[0][0] <= at - rule.window:
                cell.seen.popleft()
            cell.seen.append((at, value))
            past = [one[1] for one in cell.seen]
            rise, fall = value - min(past), max(past) - value
            change = rise if rule.rise else fall if rule.fall else max(rise, fall)
            level = int(change >= rule.limit)
        elif isinstance(rule, NOfM) and rule.m:
            cell.seen.append(value >= rule.above if rule.above is not None else value <= (rule.below or 0))
            if len(cell.seen) > rule.m:
                cell.seen.popleft()
            level = int(sum(cell.seen) >= rule.n)
        elif isinstance(rule, NOfM):
            cell.values[name] = (at, value)
            level = int(
                sum(v >= (rule.above or 0) and at - t <= rule.max_age for t, v in cell.values.values()) >= rule.n
            )
        else:
            assert isinstance(rule, Combined)
            cell.values[name] = (at, value)
            known = {
                key: cell.values[key][1]
                if key in cell.values and at - cell.values[key][0] <= rule.age_of(key)
                else None
                for key in rule.when.names
            }
            level = int(rule.when(known) is True)
        self._delay(cell, level, at)

    def _delay(self, cell: _Cell, level: int, at: int) -> None:
        rule = cell.rule
        if cell.level != cell.shown:
            wait = rule.on_delay if cell.level > cell.shown else rule.off_delay
            if at >= cell.since + wait:
                self._show(cell)
        if level != cell.level:
            cell.level, cell.since = level, at
            if not (rule.on_delay if level > cell.shown else rule.off_delay):
                self._show(cell)

    def _show(self, cell: _Cell) -> None:
        rule = cell.rule
        if cell.shown == 0 and cell.level and (isinstance(rule, Threshold) or (isinstance(rule, NOfM) and rule.m)):
            self.raises += 1
        cell.shown = cell.level


def rule_level(rule: Threshold, value: float, before: int) -> int:
    """Levels of a threshold rule that hold for a value."""
    steps = [rule.limit, *(getattr(level, rule.way) for level in rule.levels)]
    found = 0
    for number, step in enumerate(steps, start=1):
        band = rule.deadband if number <= before else 0.0
        beyond = value >= step - band
        found = number if beyond else found
    return found
