"""Numbers of a minute: counts, trips, speeds, what fills the road, how long the queue is, how many pictures were left
out."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator

import numpy as np

from thap.detect.vision.flow import FlowSettings, level_of_service
from thap.detect.vision.found import Crossing, Measure, Trip
from thap.detect.vision.scene import Line, Scene

__all__ = ["Minutes"]

_MINUTE_US = 60_000_000


class Minutes:
    """Gathers what happens in a minute of one camera.

    Args:
        scene: whose lines and zones have numbers in every minute, those in which nothing happened too.
        flow: what a vehicle of a class is worth.
    """

    def __init__(self, scene: Scene, flow: FlowSettings) -> None:
        self._scene = scene
        self._flow = flow
        self._units: dict[tuple[str, str], deque[float]] = {}
        self._minute: int | None = None
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._speeds: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._trips: Counter[tuple[str, str, str]] = Counter()
        self._levels: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        self._frames = self._looked = self._dropped = 0

    def advance(self, time_us: int) -> list[Measure]:
        """Time is now this; returns the numbers of the minute that is over, if one is."""
        minute = time_us // _MINUTE_US
        if self._minute is None:
            self._minute = minute
        if minute == self._minute:
            return []
        said = self.take()
        self._minute = minute
        return said

    def crossing(self, one: Crossing) -> None:
        """A track went over a line."""
        self._counts[one.line, one.cls, one.direction] += 1
        if one.speed_kmh is not None:
            self._speeds[one.line, one.direction].append(one.speed_kmh)

    def trip(self, one: Trip) -> None:
        """A track went from a zone to another."""
        self._trips[one.origin, one.destination, one.cls] += 1

    def level(self, name: str, unit: str, zone: str, value: float) -> None:
        """What a zone is like in a picture; the minute gets the mean, of a queue the longest."""
        self._levels[name, unit, zone].append(value)

    def frame(self, looked: bool) -> None:
        """A picture was taken in; whether the detector looked at it."""
        self._frames += 1
        self._looked += looked

    def dropped(self, frames: int) -> None:
        """Pictures were planned and not analysed."""
        self._dropped += frames

    def take(self) -> list[Measure]:
        """The numbers since the last minute began, which begins anew."""
        said = [] if self._minute is None else list(self._say((self._minute + 1) * _MINUTE_US))
        self._counts.clear()
        self._speeds.clear()
        self._trips.clear()
        self._levels.clear()
        self._frames = self._looked = self._dropped = 0
        return said

    def _say(self, end: int) -> Iterator[Measure]:
        for line in self._scene.lines:
            directions = {line.names.get(word, word) for word in ("down", "up", "left", "right")}
            seen = {key for key in self._counts if key[0] == line.name and key[2] in directions}
            for _, cls, direction in sorted(seen):
                yield Measure(end, "count", self._counts[line.name, cls, direction], "1/min", line.name, cls, direction)
            yield Measure(end, "count", sum(self._counts[key] for key in seen), "1/min", line.name)
            for direction in sorted({key[2] for key in seen} | {to for name, to in self._units if name == line.name}):
                yield from self._flows(
                    end,
                    line,
                    direction,
                    sum(
                        self._flow.units(cls) * self._counts[line.name, cls, direction]
                        for _, cls, to in seen
                        if to == direction
                    ),
                )
        for (at, direction), speeds in sorted(self._speeds.items()):
            detail = {"vehicles": len(speeds)}
            mean, high = float(np.mean(speeds)), float(np.percentile(speeds, 85))
            yield Measure(end, "speed_mean", mean, "km/h", at, direction=direction, detail=detail)
            yield Measure(end, "speed_p85", high, "km/h", at, direction=direction, detail=detail)
        for (origin, destination, cls), count in sorted(self._trips.items()):
            yield Measure(
                end, "trips", count, "1/min", f"{origin}→{destination}", cls, detail={"from": origin, "to": destination}
            )
        for (name, unit, zone), values in sorted(self._levels.items()):
            value = max(values) if name.startswith("queue") else float(np.mean(values))
            yield Measure(end, name, value, unit, zone)
        planned = self._frames + self._dropped
        if planned:
            rate = self._dropped / planned
            detail = {"frames": self._frames, "looked": self._looked, "dropped": self._dropped}
            yield Measure(end, "dropped", rate, "1", detail=detail)

    def _flows(self, end: int, line: Line, direction: str, units: float) -> Iterator[Measure]:
        """Flow of the last quarter of an hour, per hour, and the level of service where the capacity is known."""
        recent = self._units.setdefault((line.name, direction), deque(maxlen=self._flow.minutes))
        recent.append(units)
        flow = 60 * sum(recent) / len(recent)
        detail = {"minutes": len(recent)}
        yield Measure(end, "flow_pcu", flow, "PCU/h", line.name, direction=direction, detail=detail)
        if line.capacity_pcu_h > 0:
            ratio = flow / line.capacity_pcu_h
            letter = level_of_service(ratio, self._flow.limits)
            detail_of = {"letter": letter, "volume_to_capacity": round(ratio, 3), **detail}
            yield Measure(
                end,
                "level_of_service",
                1.0 + "ABCDEF".index(letter),
                "1",
                line.name,
                direction=direction,
                detail=detail_of,
            )
