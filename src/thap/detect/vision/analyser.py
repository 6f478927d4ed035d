"""One camera's pictures in, crossings, trips, events and measures out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from thap.detect.vision.events import Events, EventSettings, Sight
from thap.detect.vision.flow import FlowSettings
from thap.detect.vision.found import CLASSES, Crossing, Detections, Detector, Floats, Picture, Said, Trip
from thap.detect.vision.ground import speed_kmh
from thap.detect.vision.lines import LineWatch
from thap.detect.vision.minutes import Minutes
from thap.detect.vision.motion import Box, MotionGate, inside, interest, looked_at
from thap.detect.vision.scene import Scene
from thap.detect.vision.tracker import Track, Tracker, TrackerSettings

__all__ = ["Analyser", "AnalyserSettings"]

_PERSON = CLASSES.index("person")
_TWO_WHEELED = (CLASSES.index("motorcycle"), CLASSES.index("bicycle"))


@dataclass(frozen=True, slots=True)
class AnalyserSettings:
    """How one camera is watched."""

    classes: frozenset[str] = frozenset(CLASSES)
    """What is followed; anything else is not seen."""
    gate: bool = True
    """Whether the detector looks only where something moves or is being followed."""
    recheck_s: float = 1.0
    """After how long without motion what stands still is looked at again; then after twice as long, and so on,"""
    idle_recheck_s: float = 30.0
    """up to this."""
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    events: EventSettings = field(default_factory=EventSettings)
    flow: FlowSettings = field(default_factory=FlowSettings)


@dataclass(frozen=True, slots=True)
class _Look:
    """A picture taken in."""

    time_us: int
    boxes: tuple[Box, ...]
    """Where the parts that the detector must see lie in it."""
    still: bool
    """Nothing moves in it."""
    same: bool
    """Bit for bit the picture before."""


class Analyser:
    """Follows one camera. Not thread-safe. A jump of the stream's clock backwards starts the tracks anew.

    A worker of many cameras calls `prepare` of each, gives all wanted pictures to one `Detector.detect`, and hands each
    analyser its share with `finish`, in the order of `prepare`; several pictures of one camera may be on their way.
    `frame` does it for one picture of one camera.

    Args:
        scene: lines, zones and ground plane.
        detector: shared by all cameras of a worker.
        settings: what is followed and how.
    """

    def __init__(self, scene: Scene, detector: Detector, settings: AnalyserSettings | None = None) -> None:
        self.scene = scene
        self.detector = detector
        self.settings = settings or AnalyserSettings()
        self.frames = 0
        """Pictures taken in."""
        self.looked = 0
        """Of these, the ones that the detector looked at."""
        self._aspect: float | None = None
        self._minutes = Minutes(scene, self.settings.flow)
        self._ground = None if scene.ground is None else scene.ground.matrix()
        self._time_us = -1
        self._looks: deque[_Look] = deque()
        self._ended: list[Said] = []
        """Events that ended because the stream began anew."""
        self._origins: dict[int, tuple[str, int]] = {}
        self._waiting: dict[int, list[tuple[LineWatch, str, int]]] = {}

    def prepare(self, time_us: int, picture: Picture) -> list[Picture]:
        """Take a picture; says which parts of it the detector must see: none where nothing moves.

        Args:
            time_us: when it was taken, µs.
            picture: height × width × 3, RGB; its size may change from one to the next.
        """
        aspect = picture.shape[1] / picture.shape[0]
        if self._aspect is None or abs(aspect - self._aspect) > 0.01 or time_us < self._time_us:
            if self._aspect is not None:
                self._ended += self._events.close(time_us)
            self._start(aspect)
        self._time_us = time_us
        self.frames += 1
        motion = self._gate.update(time_us, picture)
        wanted = self._wanted(time_us, motion.box is not None)
        if wanted is None:
            self._looks.append(_Look(time_us, (), True, motion.same))
            return []
        self._looked_us = time_us
        self.looked += 1
        self._looks.append(_Look(time_us, (wanted,), motion.box is None, motion.same))
        return [_cut(picture, wanted)]

    def finish(self, found: Sequence[Detections]) -> list[Said]:
        """Take what was found in the parts that the oldest `prepare` not finished yet gave; returns what there is to
        say."""
        look = self._looks.popleft()
        said: list[Said] = [*self._minutes.advance(look.time_us), *self._ended]
        self._ended = []
        self._minutes.frame(bool(look.boxes))
        if look.boxes:
            parts = [_moved(one, box) for one, box in zip(found, look.boxes, strict=True)]
            self._tracker.update(look.time_us, self._kept(parts))
        elif look.still:
            self._tracker.rest(look.time_us)
        fresh = [track for track in self._tracker.tracks if track.seen_us == look.time_us]
        for track in fresh:
            said += self._crossings(track, look.time_us)
            said += self._trips(track, look.time_us)
        alive = {track.number for track in self._tracker.tracks}
        for watch in self._lines:
            watch.forget(alive)
        self._origins = {number: origin for number, origin in self._origins.items() if number in alive}
        self._waiting = {number: one for number, one in self._waiting.items() if number in alive}
        for one in said:
            if isinstance(one, Crossing):
                self._minutes.crossing(one)
            elif isinstance(one, Trip):
                self._minutes.trip(one)
        said += self._events.update(Sight(look.time_us, self._tracker.tracks, look.same, bool(look.boxes)))
        for name, unit, zone, value in self._events.levels():
            self._minutes.level(name, unit, zone, value)
        return said

    def frame(self, time_us: int, picture: Picture) -> list[Said]:
        """Take a picture and say what there is to say of it."""
        parts = self.prepare(time_us, picture)
        return self.finish(self.detector.detect(parts) if parts else [])

    def dropped(self, frames: int) -> None:
        """Tell of frames that were planned and not analysed; their share is a measure of the minute."""
        self._minutes.dropped(frames)

    @property
    def tracks(self) -> list[Track]:
        """What is being followed now and known to be there, for whoever draws it."""
        return [] if self._aspect is None else [track for track in self._tracker.tracks if track.confirmed]

    def close(self) -> list[Said]:
        """The stream ended: events that stand end, and the numbers of the minute that was not full."""
        if self._aspect is None:
            return []
        return [*self._ended, *self._events.close(self._time_us), *self._minutes.take()]

    def _start(self, aspect: float) -> None:
        self._aspect = aspect
        self._area = interest(self.scene, aspect)
        self._gate = MotionGate(self.scene, self._area)
        self._part = looked_at(self.scene)
        self._tracker = Tracker(self.settings.tracker, aspect)
        self._lines = [LineWatch(line, aspect) for line in self.scene.lines]
        self._events = Events(self.scene, self.settings.events, aspect)
        self._origins = {}
        self._waiting = {}
        self._looked_us = -(10**15)
        self._pause_s = self.settings.recheck_s

    def _wanted(self, time_us: int, moving: bool) -> Box | None:
        """The part to look at, if anything moves in the area of interest or it is time to look all the same."""
        if moving or not self.settings.gate:
            self._pause_s = self.settings.recheck_s
            return self._part
        if (time_us - self._looked_us) / 1e6 < self._pause_s:
            return None
        self._pause_s = min(2 * self._pause_s, self.settings.idle_recheck_s)
        return self._part

    def _kept(self, parts: Sequence[Detections]) -> Detections:
        """Of what was found: the classes wanted, outside blind zones, no riders beside their motorbikes."""
        boxes = np.concatenate([one.boxes for one in parts])
        scores = np.concatenate([one.scores for one in parts])
        kinds = np.concatenate([one.classes for one in parts])
        keep = ~_riders(boxes, kinds)
        keep &= np.isin(kinds, [CLASSES.index(name) for name in self.settings.classes if name in CLASSES])
        middles = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float64)
        for zone in self.scene.of_use("ignore"):
            keep &= ~inside(zone, middles)
        return Detections(boxes[keep], scores[keep], kinds[keep])

    def _crossings(self, track: Track, time_us: int) -> list[Crossing]:
        """Crossings of a track that is known to be there; those of one not known yet wait until it is."""
        for watch in self._lines:
            met = watch.update(track, time_us)
            if met is not None:
                self._waiting.setdefault(track.number, []).append((watch, *met))
        if not (track.confirmed and track.number in self._waiting and track.has_moved):
            return []
        said = []
        for watch, direction, at in self._waiting.pop(track.number):
            if not watch.line.classes or track.cls in watch.line.classes:
                speed = None if self._ground is None else speed_kmh(self._ground, track.path)
                said.append(Crossing(at, watch.line.name, direction, track.cls, track.number, speed, track.box))
        return said

    def _trips(self, track: Track, time_us: int) -> list[Trip]:
        if not track.confirmed:
            return []
        place = np.array([[track.path[-1][1], track.path[-1][2]]])
        for zone in self.scene.of_use("trip"):
            if inside(zone, place)[0]:
                origin = self._origins.setdefault(track.number, (zone.name, time_us))
                if origin[0] != zone.name:
                    self._origins[track.number] = (zone.name, time_us)
                    seconds = (time_us - origin[1]) / 1e6
                    return [Trip(time_us, origin[0], zone.name, track.cls, track.number, seconds)]
        return []


def _cut(picture: Picture, box: Box) -> Picture:
    high, wide = picture.shape[:2]
    x1, y1, x2, y2 = round(box[0] * wide), round(box[1] * high), round(box[2] * wide), round(box[3] * high)
    return np.ascontiguousarray(picture[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)])


def _moved(found: Detections, box: Box) -> Detections:
    """Detections of a part as detections of the whole."""
    scale = np.array([box[2] - box[0], box[3] - box[1]] * 2, np.float32)
    begin = np.array([box[0], box[1]] * 2, np.float32)
    return Detections(found.boxes * scale + begin, found.scores, found.classes)


def _riders(given: Floats, classes: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Which persons sit on a motorbike or bicycle found too: they sit over or in it, feet not far above."""
    riders = np.zeros(len(given), np.bool_)
    cycles = given[np.isin(classes, _TWO_WHEELED)]
    if not len(cycles):
        return riders
    for at in np.flatnonzero(classes == _PERSON):
        x1, y1, x2, y2 = given[at]
        shared = np.minimum(cycles[:, 2], x2) - np.maximum(cycles[:, 0], x1)
        over = shared > 0.5 * np.minimum(cycles[:, 2] - cycles[:, 0], x2 - x1)
        touch = (cycles[:, 1] < y2 + (y2 - y1) / 4) & (cycles[:, 3] > (y1 + y2) / 2)
        riders[at] = bool((over & touch).any())
    return riders
