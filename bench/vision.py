"""How many pictures two cores analyse: `python -m bench vision`.

`frames_per_second`: six cameras, each a shared clip decoded whole, every picture that five a second leave analysed
without a gate: detector, tracks, line. `gated_cameras`: sixteen cameras of which four are such clips and twelve a
road on which nothing moves, drawn from a clip's middle picture with a sensor's noise, encoded as 25 pictures a
second, with the gate. Figures by processor time (two cores through what the work took) do not hang on what else ran;
those by the clock are beside them.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.count import shared
from thap.detect.vision.analyser import Analyser, AnalyserSettings
from thap.detect.vision.clips import Clip
from thap.detect.vision.models import DEFAULT_MODEL, model_named
from thap.detect.vision.runtime import DetectorRuntime
from thap.detect.vision.scene import Line, Scene

__all__ = ["run"]

_BUSY = ("haar_video1.avi", "traffic_o4n.mp4", "ahmetozlu_input_video.mp4")
_RATE = 5.0
_SECONDS = 20.0
_CORES = 2


def run(words: list[str]) -> dict[str, Any]:
    """Measure; a word names another detector."""
    detector = DetectorRuntime(model_named(words[0] if words else DEFAULT_MODEL), threads=_CORES)
    warm = [frame.picture for _, frame in zip(range(8), Clip(shared() / _BUSY[0]).pictures(), strict=False)]
    detector.detect(warm)
    busy = [shared() / _BUSY[at % 3] for at in range(6)]
    plain = _together(busy, detector, AnalyserSettings(gate=False))
    with tempfile.TemporaryDirectory() as folder:
        quiet = _quiet(Path(folder) / "quiet.mp4")
        gated = _together([*busy[:4], *[quiet] * 12], detector, AnalyserSettings())
    return {
        "bench": "vision",
        "figures": {
            "vision.frames_per_second": round(_CORES * plain["frames"] / plain["cpu_s"], 1),
            "vision.frames_per_second_wall": round(plain["frames"] / plain["wall_s"], 1),
            "vision.cpu_ms_per_frame": round(1e3 * plain["cpu_s"] / plain["frames"], 1),
            "vision.gated_cameras": int(16 * _CORES * gated["video_s"] / gated["cpu_s"]),
            "vision.gated_cameras_wall": int(16 * gated["video_s"] / gated["wall_s"]),
            "vision.gated_looked_share": round(gated["looked"] / gated["frames"], 3),
            "vision.busy_looked_share": round(gated["busy_looked"] / gated["busy_frames"], 3),
            "load_average": os.getloadavg()[0],
        },
        "input": f"{detector.model.name}; six clips at 5 frames/s; 4 clips and 12 quiet roads of 640 × 352, 20 s each",
        "peer": "",
    }


def _together(paths: Sequence[Path], detector: DetectorRuntime, settings: AnalyserSettings) -> dict[str, float]:
    """Run cameras side by side, one picture of each a turn, with one call of the detector a turn."""
    scene = Scene((Line("line", (0.0, 0.6), (1.0, 0.6)),))
    cameras = [(Clip(path, _RATE).pictures(), Analyser(scene, detector, settings)) for path in paths]
    began, spent, frames = time.monotonic(), time.process_time(), 0
    for _ in range(int(_SECONDS * _RATE)):
        turn = []
        for pictures, analyser in cameras:
            frame = next(pictures, None)
            if frame is not None:
                turn.append((analyser, analyser.prepare(frame.time_us, frame.picture)))
        found = iter(detector.detect([part for _, parts in turn for part in parts]))
        for analyser, parts in turn:
            analyser.finish([next(found) for _ in parts])
        frames += len(turn)
    analysers = [analyser for _, analyser in cameras]
    return {
        "frames": frames,
        "cpu_s": time.process_time() - spent,
        "wall_s": time.monotonic() - began,
        "video_s": frames / len(paths) / _RATE,
        "looked": sum(one.looked for one in analysers),
        "busy_looked": sum(one.looked for one in analysers[:4]),
        "busy_frames": sum(one.frames for one in analysers[:4]),
    }


def _quiet(path: Path) -> Path:
    """A road without traffic: one picture with noise of two grey levels, H.264."""
    import av

    pictures = [frame.picture for frame in Clip(shared() / _BUSY[2], 1.0).pictures()]
    road = np.median(np.stack(pictures), axis=0)
    random = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = road.shape[1], road.shape[0], "yuv420p"
        for _ in range(int(25 * _SECONDS) + 25):
            noisy = np.clip(road + random.normal(0, 2, road.shape[:2])[..., None], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode())
    return path
