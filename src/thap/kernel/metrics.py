"""The heartbeats of all stages, and their figures for Prometheus.

Every process announces each second on `centre.stats.<role>` what its stages do: sequence reached, lag,
rate, total. A `Board` keeps the newest of each and says which are overdue.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

__all__ = ["FRESH_S", "Beat", "Board", "exposition"]

FRESH_S = 5.0
"""A heartbeat older than this, seconds, means that its process stands still or is gone."""
_FORGET_S = 600.0


class _Body(msgspec.Struct):
    role: str
    pid: int = 0
    time_us: int = 0
    stages: dict[str, dict[str, Any]] = {}
    counters: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Beat:
    """The newest heartbeat of one process."""

    role: str
    pid: int
    time_us: int
    """When it was sent, µs, by the sender's clock."""
    stages: dict[str, dict[str, Any]]
    """By stage: `seq`, `lag` (messages or records behind), `rate` (records/s), `total`, and what else it says."""
    counters: dict[str, float]
    heard: float = field(default_factory=time.monotonic)

    @property
    def age_s(self) -> float:
        """Seconds since it was heard, by this process's steady clock."""
        return time.monotonic() - self.heard

    def as_dict(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "pid": self.pid,
            "time": self.time_us,
            "age_s": round(self.age_s, 2),
            "fresh": self.age_s <= FRESH_S,
            "stages": self.stages,
            "counters": self.counters,
        }


class Board(Collector):
    """The newest heartbeat of every process, by role."""

    def __init__(self) -> None:
        self._beats: dict[tuple[str, int], Beat] = {}
        self.ignored = 0
        """Announcements that were no heartbeats."""

    def hear(self, payload: bytes) -> Beat | None:
        """Take an announcement; what is no heartbeat is counted and ignored."""
        try:
            body = msgspec.json.decode(payload, type=_Body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.ignored += 1
            return None
        beat = Beat(body.role, body.pid, body.time_us, body.stages, body.counters)
        self._beats[beat.role, beat.pid] = beat
        return beat

    def beats(self) -> list[Beat]:
        """The newest heartbeat of every process, by role. A process that another of its role has replaced,
        or that has been silent for ten minutes, is left out."""
        newest: dict[tuple[str, int], Beat] = {}
        for key, beat in self._beats.items():
            replaced = any(
                role == beat.role and pid != beat.pid and other.heard > beat.heard
                for (role, pid), other in self._beats.items()
            )
            if beat.age_s <= FRESH_S or (not replaced and beat.age_s <= _FORGET_S):
                newest[key] = beat
        self._beats = newest
        return sorted(newest.values(), key=lambda beat: (beat.role, beat.pid))

    def fresh(self, role: str) -> bool:
        """Whether a process of this role was heard within `FRESH_S`."""
        return any(beat.role == role and beat.age_s <= FRESH_S for beat in self._beats.values())

    def collect(self) -> Iterator[Metric]:
        """Figures of all stages, for prometheus-client."""
        beats = self.beats()
        age = GaugeMetricFamily("thap_heartbeat_age_seconds", "Since the last heartbeat of a process.", labels=["role"])
        lag = GaugeMetricFamily("thap_stage_lag", "Records or messages a stage is behind.", labels=["role", "stage"])
        rate = GaugeMetricFamily("thap_stage_rate", "Records a second a stage handles.", labels=["role", "stage"])
        total = CounterMetricFamily(
            "thap_stage_records", "Records a stage has handled since it started.", labels=["role", "stage"]
        )
        reached = GaugeMetricFamily(
            "thap_stage_sequence", "Journal sequence a stage has reached.", labels=["role", "stage"]
        )
        other = GaugeMetricFamily(
            "thap_stage_figure", "Further figures of a stage.", labels=["role", "stage", "figure"]
        )
        doors = CounterMetricFamily("thap_door_records", "What doors did with what came in.", labels=["door", "what"])
        events = CounterMetricFamily("thap_events", "Events counted by processes.", labels=["role", "name"])
        known: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
            "lag": lag,
            "rate": rate,
            "total": total,
            "seq": reached,
        }
        for beat in beats:
            age.add_metric([beat.role], beat.age_s)
            for stage, figures in beat.stages.items():
                for name, value in _numbers(figures):
                    family = known.get(name)
                    if family is not None:
                        family.add_metric([beat.role, stage], value)
                    else:
                        other.add_metric([beat.role, stage, name], value)
            for name, value in _numbers(beat.counters):
                door, dot, what = name.partition(".")
                if dot and beat.role == "gateway":
                    doors.add_metric([door, what], value)
                else:
                    events.add_metric([beat.role, name], value)
        yield from (age, lag, rate, total, reached, other, doors, events)


def _numbers(figures: dict[str, Any]) -> Iterable[tuple[str, float]]:
    return [
        (name, float(value))
        for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def exposition(*collectors: Collector) -> bytes:
    """The text that Prometheus reads, of these collectors together."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)
