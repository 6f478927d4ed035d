"""Tracks: which detection of this picture is which of the last.

Every track is a box with a velocity (a Kalman filter, constant velocity). Detections are given to tracks by the
cheapest assignment (Hungarian), in two rounds as in ByteTrack (arXiv:2110.06864): first what the detector is sure of,
then what it is not, which may only keep a track, never begin one. A track that is not seen goes on where it was
headed for a while, behind a pole or a bus; one that stands still is kept longer, since what stands still is hidden by
what passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import numpy as np
import numpy.typing as npt

from thap.detect.vision.found import CLASSES, Detections, Floats

__all__ = ["Track", "Tracker", "TrackerSettings"]

Doubles = npt.NDArray[np.float64]
_FAR = 1e6
_FIRST_MOST = 2.0
_STEADY = 0.35
_SLOPE_US = 500_000
_UNLIKE = 0.6
"""Sizes whose logarithms differ by more (one is 1.8 times the other) are not of one thing seen twice."""
_PERSON = CLASSES.index("person")
_RIDDEN = (CLASSES.index("motorcycle"), CLASSES.index("bicycle"))
_SLIM = (*_RIDDEN, _PERSON)
_LOOK_S = 0.5
"""Of a look in vain no more than this counts: between two looks farther apart nothing was looked at."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """How tracks are made. Lengths are in sizes of the box, the root of its area, so that near and far count alike."""

    sure: float = 0.3
    """Score from which a detection may begin a track."""
    weak: float = 0.12
    """Score from which a detection may keep one."""
    sure_two_wheeled: float = 0.22
    """The same for motorbikes, bicycles and persons, which are small and which detectors are less sure of."""
    confirm: int = 3
    """Sightings that make a track of a suspicion; two do when they are `confirm_s` apart."""
    confirm_s: float = 0.15
    patience_s: float = 1.0
    """How long a moving track lives unseen."""
    standing_patience_s: float = 8.0
    """How long one that stands still does."""
    reach: float = 0.9
    """How far from where a track is expected a detection may be."""
    first_reach: float = 0.5
    """The same for a track seen once, whose speed is not known, to which comes what it may have driven:"""
    first_speed: float = 7.0
    """sizes a second; a car of 4.5 m at 110 km/h, a motorbike of 2 m at 50 km/h."""


@dataclass(slots=True)
class Track:
    """One thing followed. Places are relative to the picture, corrected for its proportions in `Tracker`."""

    number: int
    mean: Doubles
    """cx, cy, w, h and their speeds a second."""
    cov: Doubles
    """8 × 8."""
    first_us: int
    seen_us: int
    now_us: int
    seen: int = 1
    votes: Doubles = field(default_factory=lambda: np.zeros(len(CLASSES)))
    score: float = 0.0
    confirmed: bool = False
    missed_s: float = 0.0
    """How long the detector has looked for it in vain."""
    path: list[tuple[int, float, float, float]] = field(default_factory=list)
    """(µs, x, y, foot) where it was seen, relative, smoothed: the box's middle and its lower edge; the latest last."""
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """x1, y1, x2, y2 where it is now thought to be."""

    @property
    def cls(self) -> str:
        """Its class: what most detections, weighed by their scores, said.

        A rider is often seen as a person alone, so a quarter of the votes makes a motorbike or bicycle of a person.
        """
        best = int(self.votes.argmax())
        if best == _PERSON:
            ridden = max(_RIDDEN, key=lambda kind: float(self.votes[kind]))
            return CLASSES[ridden if 3 * self.votes[ridden] >= self.votes[_PERSON] else _PERSON]
        return CLASSES[best]

    @property
    def has_moved(self) -> bool:
        """Whether it is somewhere else than where it was first seen, by more than boxes jitter."""
        _, x, y, _ = self.path[0]
        _, to_x, to_y, _ = self.path[-1]
        aspect = self.mean[0] / max(to_x, 1e-9)
        return bool(np.hypot((to_x - x) * aspect, to_y - y) > 0.4 * self.size)

    @property
    def size(self) -> float:
        """The root of its area."""
        return float(np.sqrt(max(self.mean[2] * self.mean[3], 1e-12)))

    @property
    def speed(self) -> float:
        """Sizes of itself a second."""
        return float(np.hypot(self.mean[4], self.mean[5])) / self.size


class Tracker:
    """Follows the things of one camera.

    Args:
        settings: how.
        aspect: width of the picture through its height; distances are measured in heights.
    """

    def __init__(self, settings: TrackerSettings | None = None, aspect: float = 16 / 9) -> None:
        self.settings = settings or TrackerSettings()
        self.aspect = aspect
        self.tracks: list[Track] = []
        self._numbers = count(1)

    def update(self, time_us: int, found: Detections) -> list[Track]:
        """Take what was found in the picture of a moment.

        Args:
            time_us: of the picture; not before the last one's.
            found: detections of it.

        Returns:
            The confirmed tracks seen in this picture; those unseen stay in `tracks`.
        """
        for track in self.tracks:
            if track.seen_us < track.now_us:
                track.missed_s += min((time_us - track.now_us) / 1e6, _LOOK_S)
            _predict(track, time_us)
        boxes = _measured(found.boxes, self.aspect)
        slim = np.isin(found.classes, _SLIM)
        sure = found.scores >= np.where(slim, self.settings.sure_two_wheeled, self.settings.sure)
        high = np.flatnonzero(sure)
        low = np.flatnonzero(~sure & (found.scores >= self.settings.weak))
        free, unused = self._assign(time_us, self.tracks, boxes, found, high)
        free, _ = self._assign(time_us, [t for t in free if t.seen > 1 or t.confirmed], boxes, found, low)
        known = self.tracks
        for at in unused:
            if not self._doubles(boxes[at], time_us):
                known.append(self._begin(time_us, boxes[at], float(found.scores[at]), int(found.classes[at])))
        for track in known:
            if track.missed_s == 0 and track.seen_us != time_us:
                _coast(track, self.aspect)
        self.tracks = [track for track in known if self._lives(track)]
        seen = []
        for track in self.tracks:
            self._place(track)
            if track.seen_us == time_us and track.confirmed:
                seen.append(track)
        return seen

    def rest(self, time_us: int) -> None:
        """Nothing moves in the picture of this moment, and nobody looked: tracks stay where they are."""
        for track in self.tracks:
            track.now_us = time_us
            track.mean[4:] = 0.0

    def _assign(
        self, time_us: int, tracks: list[Track], boxes: Doubles, found: Detections, rows: npt.NDArray[np.int64]
    ) -> tuple[list[Track], list[int]]:
        """Give detections to tracks; returns the tracks and the detections that are left."""
        if not tracks or not len(rows):
            return tracks, rows.tolist()
        from scipy.optimize import linear_sum_assignment

        cost = self._costs(tracks, boxes[rows], found.classes[rows], found.scores[rows])
        taken: set[int] = set()
        used: set[int] = set()
        for one, other in zip(*linear_sum_assignment(cost), strict=True):
            if cost[one, other] >= _FAR:
                continue
            at = int(rows[other])
            _correct(tracks[one], boxes[at], float(found.scores[at]))
            track = tracks[one]
            track.seen, track.seen_us, track.missed_s = track.seen + 1, time_us, 0.0
            track.votes[found.classes[at]] += found.scores[at]
            track.score = max(track.score, float(found.scores[at]))
            apart = (time_us - track.first_us) / 1e6 >= self.settings.confirm_s
            track.confirmed = track.confirmed or apart or track.seen >= self.settings.confirm
            track.path.append(self._step(track))
            if len(track.path) > 512:
                del track.path[:256]
            taken.add(int(one))
            used.add(at)
        return [t for at, t in enumerate(tracks) if at not in taken], [int(at) for at in rows if int(at) not in used]

    def _costs(self, tracks: list[Track], boxes: Doubles, kinds: npt.NDArray[np.int16], scores: Floats) -> Doubles:
        """Track × detection: small overlap and far middles cost; beyond the reach it is `_FAR`."""
        means = np.array([track.mean[:4] for track in tracks])
        size_t = np.sqrt(means[:, 2] * means[:, 3])[:, None]
        size_d = np.sqrt(boxes[:, 2] * boxes[:, 3])[None, :]
        size = np.sqrt(size_t * size_d)
        wide = np.maximum((means[:, None, 2] + boxes[None, :, 2]) / 2, 0.7 * size)
        high = np.maximum((means[:, None, 3] + boxes[None, :, 3]) / 2, 0.7 * size)
        dx = np.abs(means[:, None, 0] - boxes[None, :, 0]) / wide
        dy = np.abs(means[:, None, 1] - boxes[None, :, 1]) / high
        away = np.hypot(dx, dy)
        iou = _iou(means, boxes)
        ratio = np.abs(np.log(size_d / size_t))
        sure = np.array([track.seen > 1 for track in tracks])[:, None]
        since = np.array([(track.now_us - track.seen_us) / 1e6 for track in tracks])[:, None]
        first = np.minimum(self.settings.first_reach + self.settings.first_speed * since, _FIRST_MOST)
        later = np.minimum(self.settings.reach, _STEADY + self.settings.first_speed / 2 * since)
        reach = np.where(sure, later, first)
        cost = (1 - iou) + 0.7 * away / reach + 0.5 * ratio - 0.1 * scores[None, :]
        two = np.array([int(track.votes.argmax()) in _SLIM for track in tracks])[:, None]
        cost += 0.4 * (two != np.isin(kinds, _SLIM)[None, :])
        cost[((away > reach) & (iou < 0.1)) | (ratio > np.where(iou < 0.3, _UNLIKE, 2 * _UNLIKE))] = _FAR
        return np.asarray(cost)

    def _begin(self, time_us: int, box: Doubles, score: float, kind: int) -> Track:
        size = float(np.sqrt(box[2] * box[3]))
        cov = np.diag(np.array([0.05, 0.05, 0.1, 0.1, 3.0, 3.0, 0.5, 0.5]) * size) ** 2
        track = Track(next(self._numbers), np.concatenate([box, np.zeros(4)]), cov, time_us, time_us, time_us)
        track.votes[kind], track.score = score, score
        track.path.append(self._step(track))
        track.confirmed = self.settings.confirm <= 1
        return track

    def _doubles(self, box: Doubles, time_us: int) -> bool:
        """Whether a detection without a track is a second box on a thing that has just been seen."""
        seen = [track.mean[:4] for track in self.tracks if track.seen_us == time_us and track.seen > 1]
        if not seen:
            return False
        means = np.array(seen)
        wide = np.minimum(means[:, 0] + means[:, 2] / 2, box[0] + box[2] / 2) - np.maximum(
            means[:, 0] - means[:, 2] / 2, box[0] - box[2] / 2
        )
        high = np.minimum(means[:, 1] + means[:, 3] / 2, box[1] + box[3] / 2) - np.maximum(
            means[:, 1] - means[:, 3] / 2, box[1] - box[3] / 2
        )
        shared = np.maximum(wide, 0) * np.maximum(high, 0)
        return bool((shared > 0.7 * np.minimum(means[:, 2] * means[:, 3], box[2] * box[3])).any())

    def _lives(self, track: Track) -> bool:
        """A track outside the picture is gone; others live as long as they were not looked for in vain too long."""
        x1, y1, x2, y2 = _corners(track, self.aspect)
        within = max(min(x2, 1.0) - max(x1, 0.0), 0.0) * max(min(y2, 1.0) - max(y1, 0.0), 0.0)
        if track.missed_s > 0 and within < 0.6 * (x2 - x1) * (y2 - y1):
            return False
        if not track.confirmed:
            return track.missed_s <= 0.5 * self.settings.patience_s
        standing = track.speed < 0.15 and track.seen >= 8
        return track.missed_s <= (self.settings.standing_patience_s if standing else self.settings.patience_s)

    def _step(self, track: Track) -> tuple[int, float, float, float]:
        x, y, _, high = track.mean[:4]
        return (track.now_us, float(x) / self.aspect, float(y), float(y + high / 2))

    def _place(self, track: Track) -> None:
        track.box = _corners(track, self.aspect)


def _corners(track: Track, aspect: float) -> tuple[float, float, float, float]:
    x, y, w, h = (float(one) for one in track.mean[:4])
    return ((x - w / 2) / aspect, y - h / 2, (x + w / 2) / aspect, y + h / 2)


def _measured(boxes: Floats, aspect: float) -> Doubles:
    """cx, cy, w, h, in heights of the picture."""
    given = boxes.astype(np.float64) * np.array([aspect, 1.0, aspect, 1.0])
    low, high = given[:, :2], given[:, 2:]
    return np.concatenate([(low + high) / 2, np.maximum(high - low, 1e-4)], axis=1)


def _predict(track: Track, time_us: int) -> None:
    dt = (time_us - track.now_us) / 1e6
    track.now_us = time_us
    if dt <= 0:
        return
    move = np.eye(8)
    move[:4, 4:] = dt * np.eye(4)
    # Acceleration as white noise, in sizes of the box: a vehicle brakes or starts within about a second.
    size = track.size
    accel = (np.array([2.0, 2.0, 0.6, 0.6]) * size) ** 2
    noise = np.zeros((8, 8))
    noise[:4, :4] = np.diag(accel * dt**3 / 3)
    noise[:4, 4:] = noise[4:, :4] = np.diag(accel * dt**2 / 2)
    noise[4:, 4:] = np.diag(accel * dt)
    track.mean = move @ track.mean
    track.cov = move @ track.cov @ move.T + noise
    track.mean[2:4] = np.maximum(track.mean[2:4], 1e-4)
    if time_us - track.seen_us > 500_000:  # unseen: it does not grow
        track.mean[6:] = 0.0


def _coast(track: Track, aspect: float) -> None:
    """Unseen, a track goes on as it has gone of late, not as its last detection, often a poor one, would have it."""
    steps = np.array([step for step in track.path if step[0] >= track.seen_us - _SLOPE_US], np.float64)
    if len(steps) < 4:
        return
    times = (steps[:, 0] - steps[:, 0].mean()) / 1e6
    slope = times @ (steps[:, 1:3] * np.array([aspect, 1.0])) / (times @ times)
    dt = (track.now_us - track.seen_us) / 1e6
    track.mean[:2] += dt * (slope - track.mean[4:6])
    track.mean[4:6] = slope


def _correct(track: Track, box: Doubles, score: float) -> None:
    size = float(np.sqrt(box[2] * box[3]))
    spread = (np.array([0.05, 0.05, 0.1, 0.1]) * size * (1.5 - score)) ** 2
    against = track.cov[:4, :4] + np.diag(spread)
    gain = np.linalg.solve(against, track.cov[:4]).T
    track.mean = track.mean + gain @ (box - track.mean[:4])
    track.mean[2:4] = np.maximum(track.mean[2:4], 1e-4)
    track.cov = track.cov - gain @ track.cov[:4]
    track.cov = (track.cov + track.cov.T) / 2


def _iou(means: Doubles, boxes: Doubles) -> Doubles:
    low_t, high_t = means[:, :2] - means[:, 2:4] / 2, means[:, :2] + means[:, 2:4] / 2
    low_d, high_d = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    shared = np.maximum(np.minimum(high_t[:, None], high_d[None]) - np.maximum(low_t[:, None], low_d[None]), 0).prod(
        axis=2
    )
    either = means[:, 2:4].prod(axis=1)[:, None] + boxes[:, 2:].prod(axis=1)[None] - shared
    return np.asarray(shared / np.maximum(either, 1e-12))
