"""Films for the demo's cameras: a road drawn from above, with motorbikes and cars that pass. Nothing was filmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["DEMO_CAMERAS", "SCENE", "write_film"]

DEMO_CAMERAS = (
    ("cam-cau-my-thuan", "Camera cầu Mỹ Thuận", 105.909, 10.279),
    ("cam-ql30-cao-lanh", "Camera QL30 Cao Lãnh", 105.640, 10.463),
)
SCENE = {
    "lines": [{"name": "giữa cầu", "start": [0.5, 0.2], "end": [0.5, 0.9]}],
    "zones": [{"name": "mặt đường", "points": [[0.0, 0.25], [1.0, 0.25], [1.0, 0.85], [0.0, 0.85]]}],
}
_WIDE, _HIGH, _FPS = 640, 360, 8
_LANES = (110, 160, 215, 265)
_COLOURS = ((200, 60, 50), (60, 90, 190), (235, 235, 230), (40, 40, 45), (220, 180, 60))


def write_film(path: Path, seed: int, seconds: int = 40) -> None:
    """Draw and encode one film, H.264, 640 × 360 at 8 pictures a second; about two seconds of processor time.

    Raises:
        OSError: it cannot be written.
    """
    import av

    random = np.random.default_rng(seed)
    ground = _road(random)
    count = 14
    starts, kinds = random.uniform(0, _WIDE * 4, count), random.integers(0, 3, count)
    speeds, lanes = random.uniform(60, 130, count), random.integers(0, len(_LANES), count)
    with av.open(str(path), "w", format="mp4") as output:
        options = {"preset": "veryfast", "tune": "zerolatency", "g": "16", "crf": "26"}
        stream = output.add_stream("libx264", rate=_FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = _WIDE, _HIGH, "yuv420p"
        for number in range(seconds * _FPS):
            shown = ground.copy()
            for one in range(count):
                way = 1 if lanes[one] < 2 else -1
                place = (starts[one] + way * speeds[one] * number / _FPS) % (_WIDE * 4) - 80
                _vehicle(shown, int(place), _LANES[lanes[one]], int(kinds[one]), _COLOURS[one % len(_COLOURS)])
            noise = random.integers(0, 6, (_HIGH, _WIDE, 1), dtype=np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.minimum(shown, 249) + noise, format="rgb24")))
        output.mux(stream.encode())


def _road(random: np.random.Generator) -> npt.NDArray[np.uint8]:
    made = np.empty((_HIGH, _WIDE, 3), np.uint8)
    made[:] = (86, 112, 78)
    blocks = random.integers(0, 30, (18, 32, 1), dtype=np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    made += blocks
    made[90:310] = (92, 92, 96)
    made[90:94] = made[306:310] = made[198:202] = (225, 225, 220)
    for left in range(0, _WIDE, 60):
        made[146:149, left : left + 30] = made[250:253, left : left + 30] = (215, 215, 210)
    return made


def _vehicle(shown: npt.NDArray[np.uint8], left: int, top: int, kind: int, colour: tuple[int, int, int]) -> None:
    """A motorbike (two of three) or a car; what lies outside the picture is cut off."""
    long, high = ((34, 14), (34, 14), (74, 34))[kind]
    begin, end = max(left, 0), min(left + long, _WIDE)
    if begin >= end:
        return
    shown[top : top + high, begin:end] = colour
    inner_begin, inner_end = max(left + long // 3, 0), min(left + 2 * long // 3, _WIDE)
    if inner_begin < inner_end:
        shown[top + 3 : top + high - 3, inner_begin:inner_end] = (30, 35, 45) if kind == 2 else (60, 40, 35)
