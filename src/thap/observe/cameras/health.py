"""Whether a camera shows what it should: judged on one small grey picture a second, and on how its stream behaves.

| condition | true when |
|---|---|
| gone | no picture came for a while, or the camera cannot be opened |
| garbage | what came is no video, or most of it cannot be decoded |
| black | the picture is dark and even |
| frozen | pictures come, and are equal to the last bit: a sensor's noise never is |
| blurred | the finest detail has fallen to a fraction of what this camera showed |
| turned | the structure of the picture is no longer that of the reference |
| clock | the camera's clock is off, or its stream jumps in time |

Each has its own on and off delay, so that a lorry before the lens or one lost packet raises nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CONDITIONS", "GREY_SIZE", "Condition", "Health", "Judgement", "PictureJudge"]

Grey = npt.NDArray[np.uint8]
GREY_SIZE = (160, 90)
"""Width and height of the pictures that are judged."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A way in which a camera fails."""

    name: str
    severity: int
    """1 low … 4 critical."""
    on_s: float
    """How long it must hold to count, seconds."""
    off_s: float
    """How long it must be over."""


CONDITIONS: dict[str, Condition] = {
    one.name: one
    for one in (
        Condition("gone", 3, 20.0, 10.0),
        Condition("garbage", 3, 10.0, 20.0),
        Condition("black", 2, 15.0, 10.0),
        Condition("frozen", 2, 30.0, 5.0),
        Condition("blurred", 2, 60.0, 30.0),
        Condition("turned", 2, 30.0, 15.0),
        Condition("clock", 1, 30.0, 60.0),
    )
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A condition began or ended."""

    condition: str
    active: bool
    time_us: int
    detail: dict[str, Any] = field(default_factory=dict)


class Health:
    """The conditions of one camera with their delays. Feed `see` whenever something is known, `tick` every second.

    Args:
        active: conditions that stand from before, as alarms that a restart must not lose.
        delays: in place of `CONDITIONS`.
    """

    def __init__(self, active: set[str] | None = None, delays: dict[str, Condition] | None = None) -> None:
        self._delays = delays or CONDITIONS
        self.active: set[str] = set(active or ()) & set(self._delays)
        self._said: dict[str, bool] = {}
        self._since: dict[str, int] = {}
        self.detail: dict[str, dict[str, Any]] = {}

    def see(self, condition: str, true: bool, time_us: int, **detail: Any) -> None:
        """What is the case at a moment."""
        if self._said.get(condition) is not true:
            self._said[condition], self._since[condition] = true, time_us
        if true or condition not in self.active:
            self.detail[condition] = detail

    def forget(self, condition: str) -> None:
        """Nothing is known of it for now: what stands, stands."""
        self._said.pop(condition, None)
        self._since.pop(condition, None)

    def tick(self, time_us: int) -> list[Judgement]:
        """What began or ended by now."""
        made = []
        for name, true in self._said.items():
            if true is (name in self.active):
                continue
            limits = self._delays[name]
            if time_us - self._since[name] >= (limits.on_s if true else limits.off_s) * 1e6:
                (self.active.add if true else self.active.discard)(name)
                made.append(Judgement(name, true, time_us, dict(self.detail.get(name, {}))))
        return made


class PictureJudge:
    """Looks at one camera's pictures, about one a second.

    Args:
        reference: the grey picture the camera should show (160 × 90), as kept when its scene was drawn; without one the
            first steady half minute becomes it.
    """

    dark, even = 28.0, 9.0
    """Mean and standard deviation below which a picture is black, of 255."""
    soft = 0.25
    """Share of the usual fine detail below which a picture is blurred."""
    alike = 0.25
    """Correlation of structure with the reference below which the camera looks elsewhere."""
    _learn = 30

    def __init__(self, reference: Grey | None = None) -> None:
        self.reference = reference
        self._edges = None if reference is None else _edges(reference)
        self._before: Grey | None = None
        self._detail: deque[float] = deque(maxlen=900)
        self._usual = 0.0
        self._learned: deque[Grey] = deque(maxlen=self._learn)
        self.values: dict[str, float] = {}
        """What was measured last: mean, spread, detail, change, likeness."""

    def look(self, grey: Grey) -> dict[str, bool]:
        """Which conditions hold for this picture. A black picture says nothing of blur and direction."""
        mean, spread, detail = float(grey.mean()), float(grey.std()), _fine(grey)
        change = -1.0 if self._before is None else float(np.abs(grey.astype(np.int16) - self._before).mean())
        frozen = self._before is not None and self._before.shape == grey.shape and bool((grey == self._before).all())
        self._before = grey
        black = mean < self.dark and spread < self.even
        self.values = {"mean": mean, "spread": spread, "detail": detail, "change": change}
        found = {"black": black, "frozen": frozen and not black}
        if black:
            return found
        blurred = self._usual > 0 and detail < self.soft * self._usual
        if not blurred and not frozen:
            self._detail.append(detail)
            if len(self._detail) >= self._learn:
                self._usual = float(np.median(self._detail))
        found["blurred"] = blurred
        if self._edges is None:
            self._learn_reference(grey, frozen or blurred)
        elif not blurred:
            self.values["likeness"] = likeness = _likeness(self._edges, _edges(grey))
            found["turned"] = likeness < self.alike
        return found

    def _learn_reference(self, grey: Grey, doubtful: bool) -> None:
        if doubtful:
            return
        self._learned.append(grey)
        if len(self._learned) == self._learn:
            self.take_reference(np.median(np.stack(self._learned), axis=0).astype(np.uint8))
            self._learned.clear()

    def take_reference(self, grey: Grey) -> None:
        """From now on this is what the camera should show."""
        self.reference, self._edges = grey, _edges(grey)


def _fine(grey: Grey) -> float:
    """Variance of the Laplacian: how much fine detail there is."""
    g = grey.astype(np.float32)
    laplace = 4 * g[1:-1, 1:-1] - g[:-2, 1:-1] - g[2:, 1:-1] - g[1:-1, :-2] - g[1:-1, 2:]
    return float(laplace.var())


def _edges(grey: Grey) -> npt.NDArray[np.float32]:
    """Strength of edges over 4 × 4 points, levelled: light and weather change it little, direction all."""
    g = grey.astype(np.float32)
    g = (g - g.mean()) / max(float(g.std()), 4.0)
    strength = np.hypot(np.diff(g, axis=1)[:-1], np.diff(g, axis=0)[:, :-1])
    high, wide = (size // 4 * 4 for size in strength.shape)
    blocks = np.minimum(strength[:high, :wide], 1.5).reshape(high // 4, 4, wide // 4, 4).mean(axis=(1, 3))
    return np.asarray(blocks - blocks.mean(), np.float32)


def _likeness(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Greatest correlation of two edge maps over shifts of one block: a mast sways."""
    if one.shape != other.shape:
        return 0.0
    best = -1.0
    core = one[1:-1, 1:-1]
    for down in (0, 1, 2):
        for right in (0, 1, 2):
            part = other[down : down + core.shape[0], right : right + core.shape[1]]
            scale = float(np.sqrt((core**2).sum() * (part**2).sum()))
            if scale > 1e-6:
                best = max(best, float((core * part).sum()) / scale)
    return best
