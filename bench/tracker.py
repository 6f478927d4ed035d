"""Tracks on recorded detections beside the `trackers` package's ByteTrack: `python -m bench tracker`.

The recording has no identities, so switches and fragments are told by what a true track cannot do:

- a *fragment* is a track that begins in the picture's middle within 2 s after and one box of where another one ended
  there: the same vehicle under a new number;
- a *switch* is a step of a track, between two detections it was given, that leads farther than one and a half times its
  box from where its own speed led: it went over to another vehicle.

Both trackers get the same detections (score from 0.1), 30 a second.
"""

from __future__ import annotations

import gzip
import json
import time
from collections import defaultdict
from typing import Any

import numpy as np

from bench.count import shared
from thap.detect.vision.found import CLASSES, Detections
from thap.detect.vision.tracker import Tracker

__all__ = ["fragments", "run", "switches"]

Row = tuple[int, float, float, float, float]
"""Frame, x, y, width, height, relative."""
_FPS = 30.0
_ASPECT = 16 / 9


def recording() -> list[tuple[int, Detections]]:
    """(frame, detections) of the shared recording."""
    with gzip.open(shared() / "opendatacam_yolo_detections_30fps.json.gz", "rt") as file:
        frames = json.load(file)
    made = []
    for frame in frames:
        boxes, scores, kinds = [], [], []
        for one in frame["objects"]:
            place = one["relative_coordinates"]
            x, y, w, h = (place[key] for key in ("center_x", "center_y", "width", "height"))
            name = {"motorbike": "motorcycle"}.get(one["name"], one["name"])
            if name not in CLASSES:
                continue
            boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
            scores.append(one["confidence"])
            kinds.append(CLASSES.index(name))
        order = np.argsort(-np.array(scores)) if scores else np.zeros(0, int)
        made.append(
            (
                int(frame["frame_id"]),
                Detections(
                    np.array(boxes, np.float32).reshape(-1, 4)[order],
                    np.array(scores, np.float32)[order],
                    np.array(kinds, np.int16)[order],
                ),
            )
        )
    return made


def ours(frames: list[tuple[int, Detections]]) -> dict[int, list[Row]]:
    """Track → the detections it was given, by our tracker."""
    tracker, rows = Tracker(aspect=_ASPECT), defaultdict(list)
    for number, found in frames:
        time_us = int(number / _FPS * 1e6)
        tracker.update(time_us, found)
        for track in tracker.tracks:
            if track.seen_us == time_us:
                rows[track.number].append(_nearest(number, track.box, found))
    return {number: steps for number, steps in rows.items() if len(steps) >= 3}


def theirs(frames: list[tuple[int, Detections]], **settings: Any) -> dict[int, list[Row]]:
    """The same by ByteTrack of the `trackers` package."""
    import supervision as sv
    from trackers import ByteTrackTracker

    tracker, rows = ByteTrackTracker(frame_rate=_FPS, **settings), defaultdict(list)
    scale = np.array([1280 * _ASPECT / (16 / 9), 720.0] * 2)
    for number, found in frames:
        given = sv.Detections(
            xyxy=(found.boxes * scale).astype(np.float32),
            confidence=found.scores.astype(np.float32),
            class_id=found.classes.astype(int),
        )
        made = tracker.update(given)
        for box, identity in zip(made.xyxy, np.asarray(made.tracker_id), strict=True):
            if identity >= 0:
                rows[int(identity)].append(_nearest(number, tuple(box / scale), found))
    return {number: steps for number, steps in rows.items() if len(steps) >= 3}


def _nearest(number: int, box: tuple[float, ...], found: Detections) -> Row:
    """The detection that a track's box stands for."""
    given = np.array(box)
    one = found.boxes[int(np.abs(found.boxes - given).sum(axis=1).argmin())].astype(float)
    return (number, (one[0] + one[2]) / 2, (one[1] + one[3]) / 2, one[2] - one[0], one[3] - one[1])


def fragments(tracks: dict[int, list[Row]]) -> int:
    """Tracks that go on where another one ended."""
    count = 0
    ends = [steps for steps in tracks.values() if _middle(steps[-1])]
    for steps in tracks.values():
        first = steps[0]
        if not _middle(first):
            continue
        for other in ends:
            gap = first[0] - other[-1][0]
            if other is not steps and 0 < gap <= 2 * _FPS:
                x, y = _led(other, gap)
                near = abs(first[1] - x) < first[3] and abs(first[2] - y) < first[4]
                if near:
                    count += 1
                    break
    return count


def switches(tracks: dict[int, list[Row]]) -> int:
    """Steps that lead to another vehicle."""
    count = 0
    for steps in tracks.values():
        for at in range(2, len(steps)):
            gap = steps[at][0] - steps[at - 1][0]
            if gap > _FPS:
                continue
            x, y = _led(steps[:at], gap)
            far = max(abs(steps[at][1] - x) / steps[at][3], abs(steps[at][2] - y) / steps[at][4])
            count += far > 1.5
    return int(count)


def _led(steps: list[Row], gap: int) -> tuple[float, float]:
    """Where a track's mean speed of its last ten steps leads after so many frames."""
    recent = steps[-10:]
    span = max(recent[-1][0] - recent[0][0], 1)
    return (
        recent[-1][1] + gap * (recent[-1][1] - recent[0][1]) / span,
        recent[-1][2] + gap * (recent[-1][2] - recent[0][2]) / span,
    )


def _middle(step: Row) -> bool:
    """Whether a box stands clear of the picture's edges."""
    _, x, y, w, h = step
    return x - w / 2 > 0.03 and x + w / 2 < 0.97 and y - h / 2 > 0.03 and y + h / 2 < 0.97


def run(words: list[str]) -> dict[str, Any]:
    """Run both; the peer where it is installed."""
    frames = recording()
    figures: dict[str, Any] = {"tracker.detections": sum(len(found) for _, found in frames)}
    peer = "trackers' ByteTrack is not installed: pip install trackers"
    sides: list[tuple[str, Any]] = [("tracker", ours)]
    try:
        from importlib.metadata import version

        peer = f"ByteTrack of trackers {version('trackers')}, with its defaults, and with our thresholds"
        same = {"track_activation_threshold": 0.3, "high_conf_det_threshold": 0.3}
        sides += [("bytetrack", theirs), ("bytetrack_same", lambda given: theirs(given, **same))]
    except ImportError:
        pass
    for name, follow in sides:
        began = time.process_time()
        tracks = follow(frames)
        spent = time.process_time() - began
        figures |= {
            f"{name}.tracks": len(tracks),
            f"{name}.switches": switches(tracks),
            f"{name}.fragments": fragments(tracks),
            f"{name}.followed": sum(map(len, tracks.values())),
            f"{name}.ms_per_frame": round(1e3 * spent / len(frames), 2),
        }
    return {
        "bench": "tracker",
        "figures": figures,
        "input": "opendatacam_yolo_detections_30fps.json.gz, 437 frames without identities",
        "peer": peer,
    }
