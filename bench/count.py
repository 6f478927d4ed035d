"""How well clips are counted: `python -m bench count`.

Each shared clip with its line through `count_clip` with the detector and rate of it, as `thap traffic count` does it.
The first clip is the one the settings were tuned on; the others were counted once they stood. `error` is counted less
true.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from thap.cli.traffic import CLIP_MODEL, CLIP_RATE
from thap.detect.vision.clips import Clip
from thap.detect.vision.counting import count_clip
from thap.detect.vision.models import model_named
from thap.detect.vision.runtime import DetectorRuntime
from thap.detect.vision.scene import Scene

__all__ = ["CLIPS", "run", "shared"]

CLIPS = (
    # file, line in pixels, directions, what of ground_truth.json it crosses
    ("haar_video1.avi", (30, 144, 215, 144), None, ("three_lanes_total",)),
    ("traffic_o4n.mp4", (320, 100, 320, 359), None, ("near_dir_total",)),
    ("traffic_o4n.mp4", (320, 25, 320, 90), None, ("opposite_dir(25<y<85)",)),
    ("ahmetozlu_input_video.mp4", (0, 211, 639, 211), ("down",), ("towards_camera",)),
)


def shared() -> Path:
    """The folder of the shared clips."""
    return Path(os.environ.get("THAP_DATA", "../shared/data")) / "traffic"


def run(words: list[str]) -> dict[str, Any]:
    """Count; words name another detector and the least rate."""
    truths = {
        clip["file"]: clip["counts"] for clip in json.loads((shared() / "ground_truth.json").read_text())["clips"]
    }
    detector = DetectorRuntime(model_named(words[0] if words else CLIP_MODEL))
    rate = float(words[1]) if len(words) > 1 else CLIP_RATE
    figures: dict[str, Any] = {}
    for file, line, directions, names in CLIPS:
        began = time.process_time()
        clip = Clip(shared() / file, rate)
        scene = {
            "width": clip.width,
            "height": clip.height,
            "lines": [{"name": "l", "start": line[:2], "end": line[2:]}],
        }
        found = count_clip(clip, Scene.from_json(scene), detector)
        counted = sum(
            n
            for (_, cls, to), n in found.counts.items()
            if cls != "person" and (directions is None or to in directions)
        )
        true = sum(truths[file][name] for name in names)
        name = f"count.{Path(file).stem}" + (".far" if line[3] == 90 else "")
        figures[f"{name}.error"] = counted - true
        figures[f"{name}.true"] = true
        figures[f"{name}.cpu_s"] = round(time.process_time() - began, 1)
    return {
        "bench": "count",
        "figures": figures,
        "input": f"shared clips at {rate:g} frames/s or more, {detector.model.name}; tuned on haar_video1 alone",
        "peer": "one person's count of slit-scan pictures",
    }
