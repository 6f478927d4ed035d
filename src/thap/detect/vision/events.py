"""What gives concern in a scene: congestion, stopped and wrong-way vehicles, persons on the road, crowds, forbidden
zones.

Every event has an onset and an end, congestion a spread between them. Speeds are km/h where the ground plane is
known, and sizes of the vehicle a second elsewhere: a car is 4 m long, so half its size a second is a walk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from thap.detect.vision.found import Event
from thap.detect.vision.ground import speed_kmh, to_metres
from thap.detect.vision.motion import inside
from thap.detect.vision.scene import Scene, Zone
from thap.detect.vision.tracker import Track

__all__ = ["EventSettings", "Events", "Sight"]

State = Literal["onset", "spread", "end"]
_MINUTE_US = 60_000_000
_VIETNAM_US = 7 * 60 * _MINUTE_US
_RASTER = 24
_PERSON = "person"


@dataclass(frozen=True, slots=True)
class EventSettings:
    """From when on something is an event. All are a choice, to be tuned by the province."""

    stopped_s: float = 60.0
    """A vehicle that has not moved for so long has stopped; in a queue zone it waits."""
    wrong_way_sizes: float = 2.0
    """How far against the heading, in its own sizes, a vehicle must have gone."""
    person_s: float = 2.0
    """How long a person must have been on the carriageway."""
    forbidden_s: float = 1.0
    """How long something must have been where it may not be."""
    slow_kmh: float = 10.0
    """Traffic slower than this may be congested."""
    slow_sizes: float = 0.5
    """The same without a ground plane, in sizes a second."""
    jam_vehicles: int = 4
    """So many vehicles, most of them slow, are a jam."""
    jam_s: float = 60.0
    """How long it must last, and how long it must be over."""
    spread_share: float = 0.5
    """How much a jam must have grown to be told of again."""
    crowd_over: int = 6
    """So many persons more than usual are sudden."""
    crowd_s: float = 5.0
    """How long they must be there."""
    usual_s: float = 600.0
    """What is usual is the mean of so long."""
    still_s: float = 60.0
    """A picture that is the same to the last bit for so long has stopped."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of a moment."""

    time_us: int
    tracks: Sequence[Track]
    same: bool
    looked: bool


@dataclass(slots=True)
class _Standing:
    """A condition with a delay before it holds and one before it ends."""

    since: int | None = None
    """When it began to be so, or, while it stands, began to be no more so."""
    on: bool = False

    def update(self, holds: bool, time_us: int, delay_s: float, off_s: float) -> State | None:
        if holds == self.on:
            self.since = None
            return None
        if self.since is None:
            self.since = time_us
        if time_us - self.since < 1e6 * (off_s if self.on else delay_s):
            return None
        self.on, self.since = holds, None
        return "onset" if holds else "end"


@dataclass(slots=True)
class _ZoneState:
    zone: Zone
    raster: npt.NDArray[np.float64]
    jam: _Standing = field(default_factory=_Standing)
    jam_size: float = 0.0
    crowd: _Standing = field(default_factory=_Standing)
    usual: float | None = None
    levels: list[tuple[str, str, float]] = field(default_factory=list)


@dataclass(slots=True)
class _Of:
    """What is known of one track and kind of event in a zone."""

    since: int
    told: bool = False


class Events:
    """Watches the zones of one camera.

    Args:
        scene: zones and ground plane.
        settings: from when on.
        aspect: width of the picture through its height.
    """

    def __init__(self, scene: Scene, settings: EventSettings, aspect: float) -> None:
        self._settings = settings
        self._aspect = aspect
        self._ground = None if scene.ground is None else scene.ground.matrix()
        self._zones = [_ZoneState(zone, _raster(zone)) for zone in scene.zones]
        self._held: dict[tuple[str, str, int], _Of] = {}
        self._anchors: dict[int, tuple[int, float, float]] = {}
        self._same: _Standing = _Standing()
        self._now_us = 0

    def update(self, sight: Sight) -> list[Event]:
        """Take what is known of a moment."""
        said: list[Event] = []
        if (state := self._same.update(sight.same, sight.time_us, self._settings.still_s, 0.0)) is not None:
            said.append(Event(sight.time_us, "still_picture", state, ""))
        tracks = [track for track in sight.tracks if track.confirmed]
        self._now_us = self._now_us if self._now_us else sight.time_us
        self._anchor(tracks, sight.time_us)
        feet = np.array([[track.path[-1][1], track.path[-1][3]] for track in tracks]).reshape(-1, 2)
        holding: set[tuple[str, str, int]] = set()
        for state_of in self._zones:
            within = [track for track, is_in in zip(tracks, inside(state_of.zone, feet), strict=True) if is_in]
            for kind, track, delay in self._of_tracks(state_of.zone, within, sight.time_us):
                key = (kind, state_of.zone.name, track.number)
                holding.add(key)
                of = self._held.setdefault(key, _Of(sight.time_us))
                if not of.told and sight.time_us - of.since >= 1e6 * delay:
                    of.told = True
                    said.append(self._event(kind, "onset", state_of.zone, track, sight.time_us))
            said += self._of_zone(state_of, within, sight)
        for key in [key for key in self._held if key not in holding]:
            kind, zone, number = key
            if self._held.pop(key).told:
                said.append(Event(sight.time_us, kind, "end", zone, track=number))
        self._now_us = sight.time_us
        return said

    def levels(self) -> Iterator[tuple[str, str, str, float]]:
        """(name, unit, zone, value) of the picture just taken."""
        for state in self._zones:
            for name, unit, value in state.levels:
                yield name, unit, state.zone.name, value

    def close(self, time_us: int) -> list[Event]:
        """The stream ended: what stands ends."""
        said = [Event(time_us, kind, "end", zone, track=at) for (kind, zone, at), of in self._held.items() if of.told]
        for state in self._zones:
            for kind, standing in (("congestion", state.jam), ("crowd", state.crowd)):
                if standing.on:
                    said.append(Event(time_us, kind, "end", state.zone.name))
        if self._same.on:
            said.append(Event(time_us, "still_picture", "end", ""))
        self._held.clear()
        return said

    def _of_tracks(self, zone: Zone, within: Sequence[Track], time_us: int) -> Iterator[tuple[str, Track, float]]:
        """(kind, track, delay) of what holds now of tracks in a zone."""
        settings = self._settings
        minute = (time_us + _VIETNAM_US) // _MINUTE_US % 1440
        closed = "forbidden" in zone.uses and (not zone.hours or any(_within(minute, *span) for span in zone.hours))
        road = "carriageway" in zone.uses
        for track in within:
            if closed and (track.cls in zone.classes if zone.classes else track.cls != _PERSON):
                yield "forbidden", track, settings.forbidden_s
            if not road:
                continue
            if track.cls == _PERSON:
                yield "person_on_carriageway", track, settings.person_s
                continue
            stood = (time_us - self._anchors[track.number][0]) / 1e6
            if "queue" not in zone.uses and stood >= settings.stopped_s:
                yield "stopped_vehicle", track, 0.0
            if zone.heading is not None and self._against(track, zone.heading):
                yield "wrong_way", track, 0.0

    def _of_zone(self, state: _ZoneState, within: Sequence[Track], sight: Sight) -> list[Event]:
        zone, settings, said = state.zone, self._settings, []
        vehicles = [track for track in within if track.cls != _PERSON]
        slow = [track for track in vehicles if self._slow(track)]
        state.levels = []
        if zone.uses & {"carriageway", "queue"}:
            occupancy = _covered(state.raster, vehicles)
            state.levels += [("occupancy", "1", occupancy), ("density", "1", float(len(vehicles)))]
        if "queue" in zone.uses:
            state.levels += [("queue", "1", float(len(slow)))]
            if self._ground is not None:
                state.levels += [("queue_m", "m", self._length(slow))]
        if "carriageway" in zone.uses:
            jam = len(vehicles) >= settings.jam_vehicles and len(slow) >= 0.6 * len(vehicles)
            change = state.jam.update(jam, sight.time_us, settings.jam_s, settings.jam_s)
            size = float(len(slow))
            if change is not None:
                state.jam_size = size
                said.append(Event(sight.time_us, "congestion", change, zone.name, value=size))
            elif state.jam.on and size >= (1 + settings.spread_share) * state.jam_size:
                state.jam_size = size
                said.append(Event(sight.time_us, "congestion", "spread", zone.name, value=size))
        if "crowd" in zone.uses:
            persons = sum(track.cls == _PERSON for track in within)
            state.levels += [("present", "1", float(persons))]
            usual = persons if state.usual is None else state.usual
            crowd = persons > usual + settings.crowd_over or (zone.limit > 0 and persons >= zone.limit)
            change = state.crowd.update(crowd, sight.time_us, settings.crowd_s, settings.crowd_s)
            if change is not None:
                said.append(Event(sight.time_us, "crowd", change, zone.name, _PERSON, value=float(persons)))
            if not crowd:  # a crowd does not become usual
                share = min(1.0, (sight.time_us - self._now_us) / 1e6 / settings.usual_s)
                state.usual = usual + share * (persons - usual)
        return said

    def _event(self, kind: str, state: State, zone: Zone, track: Track, time_us: int) -> Event:
        speed = None if self._ground is None else speed_kmh(self._ground, track.path)
        return Event(time_us, kind, state, zone.name, track.cls, track.number, speed, track.box)

    def _anchor(self, tracks: Sequence[Track], time_us: int) -> None:
        """Since when each track has been where it is."""
        kept: dict[int, tuple[int, float, float]] = {}
        for track in tracks:
            x, y = float(track.mean[0]), float(track.mean[1])
            before = self._anchors.get(track.number)
            moved = before is None or np.hypot(x - before[1], y - before[2]) > 0.4 * track.size
            kept[track.number] = (time_us, x, y) if before is None or moved else before
        self._anchors = kept

    def _slow(self, track: Track) -> bool:
        if track.now_us - track.seen_us > 0 and track.speed == 0:
            return True
        speed = None if self._ground is None else speed_kmh(self._ground, track.path)
        if speed is None:
            return track.speed < self._settings.slow_sizes
        return speed < self._settings.slow_kmh

    def _against(self, track: Track, heading: tuple[float, float]) -> bool:
        """Whether its path of the last three seconds leads far against a heading."""
        steps = [step for step in track.path if step[0] >= track.seen_us - 3_000_000]
        if len(steps) < 3:
            return False
        dx = (steps[-1][1] - steps[0][1]) * self._aspect
        dy = steps[-1][2] - steps[0][2]
        x, y = heading[0] * self._aspect, heading[1]
        gone = -(dx * x + dy * y) / float(np.hypot(x, y))
        return gone > self._settings.wrong_way_sizes * track.size and gone > 0.5 * float(np.hypot(dx, dy))

    def _length(self, slow: Sequence[Track]) -> float:
        """How far it is along a queue, m: its vehicles and one vehicle's length."""
        if not slow or self._ground is None:
            return 0.0
        places = to_metres(self._ground, np.array([[track.path[-1][1], track.path[-1][3]] for track in slow]))
        places = places[np.isfinite(places).all(axis=1)]
        if len(places) < 2:
            return 4.0 * len(places)
        centred = places - places.mean(axis=0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        return float(along.max() - along.min()) + 4.0


def _within(minute: int, begin: int, end: int) -> bool:
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def _raster(zone: Zone) -> npt.NDArray[np.float64]:
    """Points spread evenly over a zone."""
    low, high = np.min(zone.points, axis=0), np.max(zone.points, axis=0)
    share = (np.arange(_RASTER) + 0.5) / _RASTER
    grid = np.stack(np.meshgrid(*(low[at] + share * (high[at] - low[at]) for at in (0, 1))), axis=-1).reshape(-1, 2)
    return grid[inside(zone, grid)]


def _covered(raster: npt.NDArray[np.float64], tracks: Sequence[Track]) -> float:
    """The share of a zone that boxes cover."""
    if not len(raster):
        return 0.0
    covered = np.zeros(len(raster), np.bool_)
    for track in tracks:
        x1, y1, x2, y2 = track.box
        covered |= (raster[:, 0] >= x1) & (raster[:, 0] <= x2) & (raster[:, 1] >= y1) & (raster[:, 1] <= y2)
    return float(covered.mean())
