"""Whether anything moves in a picture, and where: what decides if a detector looks at all.

A small grey picture is compared with a slow mean of those before it. An empty road costs this alone, well under a
millisecond. The same comparison tells a picture that has stopped from a road that is empty: a live sensor has noise,
and a stream's key pictures renew it, a frozen one is the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thap.detect.vision.found import Floats, Picture
from thap.detect.vision.scene import Scene, Zone

__all__ = ["Box", "Motion", "MotionGate", "inside", "interest", "looked_at"]

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2, relative."""
_WIDE = 160
_CELL = 4
_LEARN_S = 2.0
"""How fast the mean follows: light changes within it are no motion."""
_STEP = 9.0
"""Grey levels that are a change, beside four times the picture's own noise."""
_FILLED = 0.25
"""Share of a cell's pixels that must have changed."""
_CONTEXT = 0.5
"""What a line needs around it to be counted at, in heights of the picture: tracks begin before it and end behind."""


@dataclass(frozen=True, slots=True)
class Motion:
    """What the gate saw."""

    box: Box | None
    """Around everything that moves in the area of interest; None: nothing does there."""
    same: bool
    """Bit for bit the picture before."""
    changed: float
    """Share of the cells of interest that moved."""


class MotionGate:
    """The gate of one camera.

    Args:
        scene: zones of use `ignore` are blind.
        area: of interest, as of `interest`.
    """

    def __init__(self, scene: Scene, area: Box) -> None:
        self._scene = scene
        self._area = area
        self._mean: Floats | None = None
        self._last: npt.NDArray[np.uint8] | None = None
        self._last_us = 0
        self._mask: npt.NDArray[np.bool_] = np.zeros((0, 0), np.bool_)

    def update(self, time_us: int, picture: Picture) -> Motion:
        """Take a picture; one of another size starts anew, and counts as motion everywhere."""
        step = max(1, round(picture.shape[1] / _WIDE))
        small = picture[step // 2 :: step, step // 2 :: step, 1]
        grey = small.astype(np.float32)
        if self._mean is None or self._last is None or self._mean.shape != grey.shape:
            self._mean, self._last, self._last_us = grey, small.copy(), time_us
            self._mask = self._cells(grey.shape)
            return Motion(self._area, False, 1.0)
        same = bool(np.array_equal(small, self._last))
        difference = np.abs(grey - self._mean - np.float32(np.median(grey - self._mean)))
        noise = float(np.median(difference))
        moved = difference > _STEP + 4 * noise
        learn = min(1.0, max(0.0, (time_us - self._last_us) / 1e6) / _LEARN_S)
        self._mean += np.float32(learn) * (grey - self._mean)
        self._last, self._last_us = small.copy(), time_us
        rows, columns = self._mask.shape
        cells = moved[: rows * _CELL, : columns * _CELL].reshape(rows, _CELL, columns, _CELL).mean(axis=(1, 3))
        active = (cells >= _FILLED) & self._mask
        if not active.any():
            return Motion(None, same, 0.0)
        ys, xs = np.flatnonzero(active.any(axis=1)), np.flatnonzero(active.any(axis=0))
        high, wide = grey.shape[0] / _CELL, grey.shape[1] / _CELL
        box = (xs[0] / wide, ys[0] / high, min((xs[-1] + 1) / wide, 1.0), min((ys[-1] + 1) / high, 1.0))
        return Motion(box, same, float(active.sum() / max(self._mask.sum(), 1)))

    def _cells(self, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        rows, columns = shape[0] // _CELL, shape[1] // _CELL
        y = (np.arange(rows) + 0.5) / max(rows, 1)
        x = (np.arange(columns) + 0.5) / max(columns, 1)
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        x1, y1, x2, y2 = self._area
        wanted = (grid[:, 0] >= x1) & (grid[:, 0] <= x2) & (grid[:, 1] >= y1) & (grid[:, 1] <= y2)
        for zone in self._scene.of_use("ignore"):
            wanted &= ~inside(zone, grid)
        return np.asarray(wanted.reshape(rows, columns))


def inside(zone: Zone, points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which of (n, 2) relative points lie in a zone (even-odd rule)."""
    found = np.zeros(len(points), np.bool_)
    x, y = points[:, 0], points[:, 1]
    for (ax, ay), (bx, by) in zip(zone.points, (*zone.points[1:], zone.points[0]), strict=True):
        if ay == by:
            continue
        found ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return found


def looked_at(scene: Scene) -> Box:
    """The part of the picture that the detector is shown: the zones of use `look`, or all of it."""
    points = [point for zone in scene.of_use("look") for point in zone.points]
    if not points:
        return (0.0, 0.0, 1.0, 1.0)
    (x1, y1), (x2, y2) = np.min(points, axis=0), np.max(points, axis=0)
    return (float(x1), float(y1), float(x2), float(y2))


def interest(scene: Scene, aspect: float) -> Box:
    """The part of the picture that a scene is about, with what tracks need around it; all of it where nothing is drawn.

    Args:
        scene: lines and zones.
        aspect: width of the picture through its height.
    """
    boxes: list[Box] = []
    for line in scene.lines:
        (ax, ay), (bx, by) = line.start, line.end
        across = _CONTEXT / aspect
        boxes.append((min(ax, bx) - across, min(ay, by) - _CONTEXT, max(ax, bx) + across, max(ay, by) + _CONTEXT))
    for zone in scene.zones:
        if zone.uses - {"ignore", "look"}:
            xs, ys = [x for x, _ in zone.points], [y for _, y in zone.points]
            boxes.append((min(xs) - 0.05, min(ys) - 0.05, max(xs) + 0.05, max(ys) + 0.05))
    if not boxes:
        return (0.0, 0.0, 1.0, 1.0)
    x1, y1 = (min(box[at] for box in boxes) for at in (0, 1))
    x2, y2 = (max(box[at] for box in boxes) for at in (2, 3))
    return (max(x1, 0.0), max(y1, 0.0), min(x2, 1.0), min(y2, 1.0))
