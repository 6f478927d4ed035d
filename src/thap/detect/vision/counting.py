"""Counting in a clip: what `thap traffic count` and the benches do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from thap.detect.vision.analyser import Analyser, AnalyserSettings
from thap.detect.vision.clips import Clip
from thap.detect.vision.found import Crossing, Detector, Picture, Said
from thap.detect.vision.scene import Scene

__all__ = ["ClipCount", "count_clip", "watch_clip"]

_AHEAD = 8
"""Pictures whose detections are asked for together, so that all cores have work."""


@dataclass(frozen=True, slots=True)
class ClipCount:
    """What went over the lines of a clip."""

    counts: dict[tuple[str, str, str], int]
    """(line, class, direction) → how many."""
    frames: int
    """Pictures in the clip."""
    analysed: int
    """Of these, those that were analysed by plan."""
    looked: int
    """Of these, those that the detector had to look at."""
    broken: int
    """Packets that could not be decoded."""
    seconds: float
    """Length of the clip."""


def watch_clip(
    clip: Clip, analyser: Analyser, detector: Detector, progress: Callable[[int], None] | None = None
) -> list[Said]:
    """Everything there is to say of a clip.

    Args:
        clip: a file.
        analyser: of its scene.
        detector: that looks.
        progress: is told how many pictures have been decoded.
    """
    said: list[Said] = []
    waiting: list[list[Picture]] = []

    def finish() -> None:
        found = iter(detector.detect([part for parts in waiting for part in parts]))
        for parts in waiting:
            said.extend(analyser.finish([next(found) for _ in parts]))
        waiting.clear()

    for frame in clip.pictures():
        waiting.append(analyser.prepare(frame.time_us, frame.picture))
        if len(waiting) >= _AHEAD:
            finish()
            if progress is not None:
                progress(clip.frames)
    finish()
    return [*said, *analyser.close()]


def count_clip(
    clip: Clip,
    scene: Scene,
    detector: Detector,
    settings: AnalyserSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> ClipCount:
    """Count what goes over the lines of a scene.

    Raises:
        InputError: the clip holds no picture that can be decoded.
    """
    analyser = Analyser(scene, detector, settings)
    said = watch_clip(clip, analyser, detector, progress)
    counts = Counter((one.line, one.cls, one.direction) for one in said if isinstance(one, Crossing))
    return ClipCount(
        dict(sorted(counts.items())), clip.frames, analyser.frames, analyser.looked, clip.broken, clip.seconds
    )
