"""Scenes that tests draw: coloured boxes on a grey road, a detector that knows the colours, and clips of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thap.detect.vision.found import CLASSES, Detections, Picture

WIDE, HIGH = 320, 180
COLOURS = {"car": (220, 40, 40), "motorcycle": (40, 220, 40), "person": (40, 40, 220), "bus": (220, 220, 40)}
Place = tuple[str, float, float, float, float]
"""Class, middle x and y, width and height, in pixels of 320 × 180."""


class ColourDetector:
    """Finds the boxes of the known colours, each connected run of columns one thing."""

    def __init__(self) -> None:
        self.asked = 0

    def detect(self, pictures: Sequence[Picture]) -> list[Detections]:
        self.asked += len(pictures)
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: Picture) -> Detections:
        high, wide = picture.shape[:2]
        boxes, kinds = [], []
        given = picture.astype(np.int16)
        for name, colour in COLOURS.items():
            mask = (np.abs(given - np.array(colour, np.int16)) < 60).all(axis=2)
            for x1, x2 in _runs(mask.any(axis=0)):
                for y1, y2 in _runs(mask[:, x1:x2].any(axis=1)):
                    if x2 - x1 >= 3 and y2 - y1 >= 3:
                        boxes.append((x1 / wide, y1 / high, x2 / wide, y2 / high))
                        kinds.append(CLASSES.index(name))
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32), np.array(kinds, np.int16)
        )


def _runs(marks: Any) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marks.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def picture(places: Iterable[Place], noise: int | None = None, wide: int = WIDE // 2, high: int = HIGH // 2) -> Picture:
    """A picture of a scene; noise is the seed of a sensor's."""
    made = np.full((high, wide, 3), 110, np.int16)
    for name, x, y, w, h in places:
        x1, x2 = (max(0, round((x + side * w / 2) * wide / WIDE)) for side in (-1, 1))
        y1, y2 = (max(0, round((y + side * h / 2) * high / HIGH)) for side in (-1, 1))
        made[y1:y2, x1:x2] = COLOURS[name]
    if noise is not None:
        made += np.random.default_rng(noise).integers(-3, 4, made.shape[:2])[..., None].astype(np.int16)
    return np.clip(made, 0, 255).astype(np.uint8)


def write_clip(path: Path, frames: Iterable[Picture], rate: int = 15, codec: str = "libx264") -> Path:
    """Encode pictures as a clip."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = None
        for one in frames:
            if stream is None:
                stream = container.add_stream(codec, rate=rate)
                stream.width, stream.height, stream.pix_fmt = one.shape[1], one.shape[0], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(one, format="rgb24")))
        container.mux(stream.encode())
    return path


def film(places: Callable[[float], Iterable[Place]], seconds: float, rate: float = 10) -> Iterable[tuple[int, Picture]]:
    """(µs, picture) of a scene that changes with time."""
    for at in range(int(seconds * rate)):
        yield int(at / rate * 1e6), picture(places(at / rate), noise=at)
