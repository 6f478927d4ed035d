"""When a track goes over a line: once, however long it waits on it.

What crosses is the middle of the box. It has crossed when it was clearly on one side (farther from the line than a
share of its own size) and is clearly on the other; the place of the crossing, where its path meets the line, must lie
between the line's ends. Jitter of something that stands on the line is within that margin, so it counts when it
drives on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from thap.detect.vision.scene import Line
from thap.detect.vision.tracker import Track

__all__ = ["LineWatch"]

_MARGIN = 0.1
"""Of the box's extent across the line: beyond it a track is clearly on a side. Boxes jitter by about a twentieth."""


@dataclass(slots=True)
class _Sides:
    side: int = 0
    """Clearly on: 1, -1, or 0 for not seen yet."""
    met: float | None = None
    """Where along the line (0 to 1) its path met it since then."""
    met_us: int = 0
    last: tuple[float, float] | None = None
    done: set[int] = field(default_factory=set)


class LineWatch:
    """Watches one line.

    Args:
        line: as drawn.
        aspect: width of the picture through its height.
    """

    def __init__(self, line: Line, aspect: float) -> None:
        self.line = line
        self.directions = line.directions(aspect, 1.0)
        self._start = (line.start[0] * aspect, line.start[1])
        end = (line.end[0] * aspect, line.end[1])
        self._length = math.dist(self._start, end)
        self._along = ((end[0] - self._start[0]) / self._length, (end[1] - self._start[1]) / self._length)
        self._sides: dict[int, _Sides] = {}

    def update(self, track: Track, time_us: int) -> tuple[str, int] | None:
        """Take where a track is; returns the direction and the moment of its crossing where it has just crossed."""
        sides = self._sides.setdefault(track.number, _Sides())
        x, y, wide, high = (float(one) for one in track.mean[:4])
        off = self._off(x, y)
        if sides.last is not None:
            self._meet(sides, sides.last, (x, y), time_us)
        sides.last = (x, y)
        if not sides.side:  # begun on the line: the side its middle is on
            sides.side = 1 if off > 0 else -1
        margin = _MARGIN * (abs(self._along[1]) * wide + abs(self._along[0]) * high)
        if abs(off) <= margin:
            return None
        side = 1 if off > 0 else -1
        before, sides.side = sides.side, side
        met, sides.met = sides.met, None
        if before == side or met is None or side in sides.done:
            return None
        sides.done = {side}
        return self.directions[0 if side > 0 else 1], sides.met_us

    def forget(self, alive: set[int]) -> None:
        """Drop what is known of tracks that are gone."""
        self._sides = {number: sides for number, sides in self._sides.items() if number in alive}

    def _off(self, x: float, y: float) -> float:
        """Distance from the line, heights of the picture; positive on its positive side."""
        return (y - self._start[1]) * self._along[0] - (x - self._start[0]) * self._along[1]

    def _meet(self, sides: _Sides, one: tuple[float, float], other: tuple[float, float], time_us: int) -> None:
        before, now = self._off(*one), self._off(*other)
        if (before > 0) == (now > 0):
            return
        share = before / (before - now)
        x, y = one[0] + share * (other[0] - one[0]), one[1] + share * (other[1] - one[1])
        along = (x - self._start[0]) * self._along[0] + (y - self._start[1]) * self._along[1]
        if 0 <= along <= self._length:
            sides.met, sides.met_us = along / self._length, time_us
        else:
            sides.met = None
