"""What rules would have done: the same `RuleSet`, over rows of the past.

Every row counts as received at its event time, and time passes exactly where something falls due between two
rows. So a backtest says what an engine would have said that was never behind and never down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from thap.detect.areas import Resolver
from thap.detect.catalogue import Catalogue
from thap.detect.detector import Action, Change, Outcome, Severity
from thap.detect.order import Batch
from thap.detect.rules import Rule
from thap.detect.ruleset import RuleSet
from thap.kernel.clock import VIETNAM, from_us, iso
from thap.kernel.errors import InputError, NotFoundError, RuleError
from thap.kernel.history import Lake
from thap.kernel.settings import EngineSettings, Settings
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch
from thap.observe.registry import Registry

__all__ = ["BacktestReport", "Step", "WouldBe", "backtest", "run_over_history", "watched_by"]

_OBSERVED = ["datastream", "time", "result"]
_MOVED = ["mover", "time", "lon", "lat", "speed_kn", "course_deg"]
Progress = Callable[[int, int], None]
"""Told the event time reached, µs, and the rows taken so far."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of severity of a would-be alarm."""

    action: Action
    severity: Severity
    time: int


@dataclass(slots=True)
class WouldBe:
    """An alarm that would have been raised. Times µs."""

    source: str
    condition: str
    first: Severity
    """As raised."""
    severity: Severity
    """The worst it came to."""
    raised: int
    value: float | None
    cleared: int | None = None
    """None while it still stood at the end."""
    steps: list[Step] = field(default_factory=list)
    """Escalations and downgrades."""
    peak: float | None = None
    """The value farthest beyond the limit, where the kind of rule keeps it."""
    lon: float | None = None
    lat: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    """As of the raise."""

    def as_dict(self, until: int) -> dict[str, Any]:
        """JSON-able; `until` is the end of the backtest."""
        return {
            "source": self.source,
            "condition": self.condition,
            "severity": self.severity.name.lower(),
            "first_severity": self.first.name.lower(),
            "raised": iso(self.raised),
            "cleared": None if self.cleared is None else iso(self.cleared),
            "duration_s": ((until if self.cleared is None else self.cleared) - self.raised) / 1e6,
            "value": self.value,
            "peak": self.peak,
            "lon": self.lon,
            "lat": self.lat,
            "steps": [
                {"action": str(step.action), "severity": step.severity.name.lower(), "time": iso(step.time)}
                for step in self.steps
            ],
            "evidence": self.evidence,
        }


@dataclass(slots=True)
class BacktestReport:
    """What came of a backtest."""

    since: int
    """Time of the first row; `until` where there was none."""
    until: int
    rows: int = 0
    late: int = 0
    """Rows out of order that were not judged."""
    duplicates: int = 0
    sources: int = 0
    """Pairs of a rule and a source that were watched."""
    alarms: list[WouldBe] = field(default_factory=list)
    """In the order they were raised."""
    faults: Counter[str] = field(default_factory=Counter)
    """Rows that could not be judged, by rule and reason."""
    problems: dict[str, str] = field(default_factory=dict)
    """Rules that cannot run, and why."""

    def per_rule(self) -> dict[str, int]:
        """How many alarms each rule would have raised."""
        return dict(Counter(alarm.condition for alarm in self.alarms))

    def per_day(self) -> dict[str, dict[str, int]]:
        """How many on each day in Việt Nam, by rule."""
        days: dict[str, Counter[str]] = {}
        for alarm in self.alarms:
            day = from_us(alarm.raised).astimezone(VIETNAM).date().isoformat()
            days.setdefault(day, Counter())[alarm.condition] += 1
        return {day: dict(counts) for day, counts in sorted(days.items())}

    def as_dict(self, limit: int | None = None) -> dict[str, Any]:
        """JSON-able; with at most `limit` alarms."""
        return {
            "since": iso(self.since),
            "until": iso(self.until),
            "rows": self.rows,
            "late": self.late,
            "duplicates": self.duplicates,
            "watched": self.sources,
            "count": len(self.alarms),
            "per_rule": self.per_rule(),
            "per_day": self.per_day(),
            "alarms": [alarm.as_dict(self.until) for alarm in self.alarms[:limit]],
            "faults": dict(self.faults),
            "problems": self.problems,
        }


def watched_by(rules: Sequence[Rule], registry: Registry) -> dict[Kind, list[int]]:
    """Numbers of the datastreams and movers that rules look at: what of history a backtest needs."""
    catalogue = Catalogue(registry)
    found: dict[Kind, set[int]] = {Kind.OBSERVATION: set(), Kind.POSITION: set()}
    for rule in rules:
        if rule.watches is Kind.POSITION:
            found[Kind.POSITION].update(info.id for info in catalogue.select_movers(rule.select))
        elif rule.kind == "combined":
            things = {info.thing for info in catalogue.select_datastreams(rule.select)}
            found[Kind.OBSERVATION].update(info.id for thing in things for info in catalogue.things[thing])
        else:
            found[Kind.OBSERVATION].update(info.id for info in catalogue.select_datastreams(rule.select))
    return {kind: sorted(numbers) for kind, numbers in found.items()}


def backtest(
    rules: Sequence[Rule],
    registry: Registry,
    batches: Iterable[Batch],
    until_us: int,
    *,
    settings: EngineSettings | None = None,
    resolve_area: Resolver | None = None,
    progress: Progress | None = None,
) -> BacktestReport:
    """Run rules over rows of the past, whether they are enabled or not.

    Args:
        rules: to try, by name unique.
        registry: what exists.
        batches: in order of time, within and from one to the next; observations and positions may take turns.
            Door times in them are not looked at.
        until_us: the end: timers up to here take effect.
        settings: for the lateness of rules that name none.
        resolve_area: see `RuleSet`.
        progress: called after each batch.

    Raises:
        RuleError: none of the rules can run.
    """
    tried = [rule.model_copy(update={"enabled": True}) for rule in rules]
    judge = RuleSet(tried, registry, settings or EngineSettings(), resolve_area)
    if judge.problems and len(judge.problems) == len(tried):
        name, reason = next(iter(judge.problems.items()))
        raise RuleError(reason, where=name)
    judge.standstill_us = None
    report = BacktestReport(until_us, until_us, sources=judge.watched, problems=judge.problems)
    book = _Book(report)
    begun = False
    for batch in batches:
        if not len(batch):
            continue
        if not begun:
            begun, report.since = True, int(batch.time[0])
            book.take(judge.tick(report.since))
        for part in _between_ticks(judge, _dated(batch, report.rows), book):
            book.take(judge.update(part))
        report.rows += len(batch)
        if progress is not None:
            progress(int(batch.time[-1]), report.rows)
    if begun:
        _tick_until(judge, until_us + 1, book)
    report.alarms.sort(key=lambda alarm: alarm.raised)
    report.late, report.duplicates = judge.late, judge.duplicates
    return report


def _dated(batch: Batch, rows: int) -> Batch:
    """Received when it happened; each row its own message."""
    seq = np.arange(rows + 1, rows + 1 + len(batch), dtype=np.int64)
    if isinstance(batch, ObservationBatch):
        return ObservationBatch(batch.datastream, batch.time, batch.result, batch.time, seq)
    return PositionBatch(
        batch.mover, batch.time, batch.lon, batch.lat, batch.speed_kn, batch.course_deg, batch.time, seq
    )


def _between_ticks(judge: RuleSet, batch: Batch, book: _Book) -> Iterator[Batch]:
    """Parts of a batch between which nothing falls due; what does is let happen in between.

    Rows can only put silence off and bring delays of their own series, which the series' next row or the
    next tick ends at the same event time; so what is due first when a part begins stays right to its end.
    """
    at = 0
    while at < len(batch):
        due = _tick_until(judge, int(batch.time[at]), book)
        stop = len(batch) if due is None else max(at + 1, int(np.searchsorted(batch.time, due, side="right")))
        yield batch.take(np.arange(at, stop))
        at = stop


def _tick_until(judge: RuleSet, time: int, book: _Book) -> int | None:
    """Let everything happen that falls due before a time; gives what is due next."""
    due = judge.next_tick_us()
    while due is not None and due < time:
        book.take(judge.tick(due))
        later = judge.next_tick_us()
        due = None if later is None else max(later, due + 1)
    return due


class _Book:
    """Would-be alarms out of changes.

    What detectors find beside alarms is left out: it is for the records of a domain, and a backtest writes none.
    """

    def __init__(self, report: BacktestReport) -> None:
        self._report = report
        self._open: dict[tuple[str, str], WouldBe] = {}

    def take(self, outcome: Outcome) -> None:
        for fault in outcome.faults:
            self._report.faults[f"{fault.condition}: {fault.reason}" if fault.condition else fault.reason] += 1
        for change in outcome.changes:
            self._change(change)

    def _change(self, change: Change) -> None:
        key = change.source, change.condition
        if change.action is Action.RAISE:
            alarm = self._open[key] = WouldBe(
                change.source,
                change.condition,
                change.severity,
                change.severity,
                change.time,
                change.value,
                lon=change.lon,
                lat=change.lat,
                evidence=change.evidence,
            )
            self._report.alarms.append(alarm)
        else:
            alarm = self._open[key]
            if change.action is Action.CLEAR:
                alarm.cleared = change.time
                del self._open[key]
            else:
                alarm.steps.append(Step(change.action, change.severity, change.time))
                alarm.severity = max(alarm.severity, change.severity)
        alarm.peak = _peak(change, alarm)


def _peak(change: Change, alarm: WouldBe) -> float | None:
    said = change.evidence
    if "highest" not in said or said["kind"] == "rate":
        return alarm.peak
    if "below" in said:
        return float(said["lowest"])
    if "outside" in said:
        low, high = said["outside"]
        return float(said["lowest"] if low - said["lowest"] > said["highest"] - high else said["highest"])
    return float(said["highest"])


# ---- over the lake


def run_over_history(
    settings: Settings,
    rules: Sequence[Rule],
    registry: Registry,
    since: int,
    until: int,
    *,
    resolve_area: Resolver | None = None,
    progress: Progress | None = None,
) -> BacktestReport:
    """Run rules over `since` ≤ time < `until` of a centre's history. Blocks; see `backtest`.

    Raises:
        UnavailableError: there is no history yet.
        NotFoundError: the rules watch nothing that exists.
        InputError: the stretch of time is empty.
        RuleError: none of the rules can run.
    """
    if since >= until:
        raise InputError(f"nothing lies between {iso(since)} and {iso(until)}", where="since")
    wanted = watched_by(rules, registry)
    if not any(wanted.values()):
        raise NotFoundError(
            "the rules watch nothing that exists here",
            where=", ".join(rule.name for rule in rules),
            hint="see `select`; `thap things list` shows what there is",
        )
    lake = Lake.open(settings, read_only=True)
    try:
        rows: dict[Kind, Iterator[Batch]] = {
            Kind.OBSERVATION: (
                ObservationBatch.of(batch.select(_OBSERVED), 0, 0)
                for batch in lake.scan_observations(wanted[Kind.OBSERVATION], since, until)
            ),
            Kind.POSITION: (
                PositionBatch.of(batch.select(_MOVED), 0, 0)
                for batch in lake.scan_positions(wanted[Kind.POSITION], since, until)
            ),
        }
        # Rules over observations and rules over positions have nothing to do with each other, so they take turns.
        reports: list[BacktestReport] = []
        for kind, batches in rows.items():
            some = [rule for rule in rules if rule.watches is kind]
            if some:
                before = sum(report.rows for report in reports)
                reports.append(
                    backtest(
                        some,
                        registry,
                        batches,
                        until,
                        settings=settings.engine,
                        resolve_area=resolve_area,
                        progress=None if progress is None else partial(_share, progress, before),
                    )
                )
    finally:
        lake.close()
    return _joined(reports)


def _share(progress: Progress, before: int, time: int, rows: int) -> None:
    progress(time, before + rows)


def _joined(reports: list[BacktestReport]) -> BacktestReport:
    whole = BacktestReport(min(r.since for r in reports), reports[0].until)
    for report in reports:
        whole.rows += report.rows
        whole.late += report.late
        whole.duplicates += report.duplicates
        whole.sources += report.sources
        whole.alarms += report.alarms
        whole.faults += report.faults
        whole.problems |= report.problems
    whole.alarms.sort(key=lambda alarm: alarm.raised)
    return whole
