"""What vision hands around: detections of a picture, and what an analyser has to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "CLASSES",
    "Crossing",
    "Detections",
    "Detector",
    "Event",
    "Floats",
    "Measure",
    "Picture",
    "Said",
    "Trip",
]

Picture = npt.NDArray[np.uint8]
"""Height × width × 3, RGB."""
Floats = npt.NDArray[np.float32]

CLASSES = ("motorcycle", "bicycle", "car", "bus", "truck", "person", "vehicle")
"""What is followed: names as in COCO. `vehicle` is what moves like one and no model has named."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one picture, best first."""

    boxes: Floats
    """(n, 4): x1, y1, x2, y2, relative to the picture, 0 to 1."""
    scores: Floats
    """(n,), 0 to 1."""
    classes: npt.NDArray[np.int16]
    """(n,), index into `CLASSES`."""

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        """Nothing."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int16))


class Detector(Protocol):
    """Finds things in pictures; `thap.detect.vision.runtime.DetectorRuntime` is one."""

    def detect(self, pictures: Sequence[Picture]) -> list[Detections]:
        """One answer a picture, in order; pictures may differ in size and come from any camera."""
        ...


@dataclass(frozen=True, slots=True)
class Crossing:
    """A track went over a line: once, however long it waited on it."""

    time_us: int
    line: str
    direction: str
    cls: str
    track: int
    speed_kmh: float | None
    """With a ground plane."""
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Trip:
    """A track that began in one zone and came into another."""

    time_us: int
    origin: str
    destination: str
    cls: str
    track: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something of concern began, grew or ended."""

    time_us: int
    kind: str
    """stopped_vehicle, wrong_way, person_on_carriageway, forbidden, crowd, congestion, still_picture."""
    state: Literal["onset", "spread", "end"]
    zone: str
    """'' for the whole picture."""
    cls: str = ""
    track: int = 0
    value: float | None = None
    box: tuple[float, float, float, float] | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of a minute, to become an observation of a datastream."""

    time_us: int
    """End of the minute."""
    name: str
    """count, speed_mean, speed_p85, flow_pcu, level_of_service, trips, occupancy, queue, density, dropped, present."""
    value: float
    unit: str
    at: str = ""
    """The line or zone; '' for the camera."""
    cls: str = ""
    direction: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


Said = Crossing | Trip | Event | Measure
