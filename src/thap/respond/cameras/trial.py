"""Trying a scene on the last hour before it is saved: samples and clips, in a process of its own.

`python -m thap.respond.cameras.trial DATA` takes `{"scene": …, "files": [...], "fps": …}` on standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from thap.detect.vision.found import Crossing, Event, Measure, Said, Trip
from thap.detect.vision.found import Detector as PictureDetector
from thap.detect.vision.scene import Scene
from thap.kernel.errors import ThapError, UnavailableError
from thap.kernel.settings import Settings

__all__ = ["trial", "trial_apart"]

_MOST_S = 150.0


def trial(
    scene: Scene,
    paths: Sequence[Path],
    fps: float,
    make_detector: Callable[[], PictureDetector],
    most_s: float = _MOST_S,
) -> dict[str, Any]:
    """Run a scene over files.

    Returns:
        `counts` (line, direction, class, count), `trips`, `events`, `speeds` (line → mean km/h), `pictures` looked at,
        `seconds` of film, `files` read of `of`, and `unread` with the reason for each that could not be.
    """
    import av

    from thap.detect.vision.analyser import Analyser
    from thap.observe.cameras.reader import frame_rgb

    detector = make_detector()
    began, pictures, seconds = time.monotonic(), 0, 0.0
    said: list[Said] = []
    unread: list[dict[str, str]] = []
    done = 0
    for path in paths:
        if time.monotonic() - began > most_s:
            break
        analyser = Analyser(scene, detector)
        start = int(path.stem) if path.stem.isdecimal() else int(path.stat().st_mtime * 1e6)
        try:
            with av.open(str(path)) as container:
                due, last = 0.0, 0.0
                for frame in container.decode(video=0):
                    last = float(frame.time or 0.0)
                    if last >= due:
                        due = max(due + 1 / fps, last)
                        said += analyser.frame(start + round(last * 1e6), frame_rgb(frame))
                        pictures += 1
            seconds += last
            said += analyser.close()
            done += 1
        except (av.FFmpegError, OSError) as error:
            unread.append({"file": path.name, "reason": str(getattr(error, "strerror", error))})
    told = {**_told(said), "pictures": pictures, "seconds": round(seconds, 1), "files": done, "of": len(paths)}
    return {**told, "unread": unread, "took_s": round(time.monotonic() - began, 1)}


def _told(said: Sequence[Said]) -> dict[str, Any]:
    counts = Counter((one.line, one.direction, one.cls) for one in said if isinstance(one, Crossing))
    trips = Counter((one.origin, one.destination) for one in said if isinstance(one, Trip))
    speeds: dict[str, list[float]] = {}
    for one in said:
        if isinstance(one, Crossing) and one.speed_kmh is not None:
            speeds.setdefault(one.line, []).append(one.speed_kmh)
    events = [
        {"kind": one.kind, "zone": one.zone, "time": one.time_us, "class": one.cls}
        for one in said
        if isinstance(one, Event) and one.state == "onset"
    ]
    queue = max((one.value for one in said if isinstance(one, Measure) and one.name == "queue"), default=None)
    return {
        "counts": [
            {"line": line, "direction": way, "class": cls, "count": number}
            for (line, way, cls), number in sorted(counts.items())
        ],
        "trips": [{"origin": a, "destination": b, "count": number} for (a, b), number in sorted(trips.items())],
        "speeds": {line: round(sum(values) / len(values), 1) for line, values in sorted(speeds.items())},
        "events": events[:200],
        "longest_queue_m": queue,
    }


async def trial_apart(settings: Settings, scene: dict[str, Any], paths: Sequence[Path], fps: float) -> dict[str, Any]:
    """`trial` in a process of its own, at low priority.

    Raises:
        InputError: the scene does not hold together.
        UnavailableError: there is nothing of the last hour, or the trial failed.
    """
    Scene.from_json(scene)
    if not paths:
        raise UnavailableError(
            "nothing of the last hour is kept yet", hint="samples are kept from the first minute a camera is read"
        )
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "thap.respond.cameras.trial",
        str(settings.data),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    asked = {"scene": scene, "files": [str(path) for path in paths], "fps": fps}
    try:
        async with asyncio.timeout(_MOST_S + 60):
            out, _ = await child.communicate(json.dumps(asked).encode())
    except TimeoutError:
        raise UnavailableError("the trial took too long", hint="try fewer zones, or when the machine is idle") from None
    finally:
        if child.returncode is None:
            child.kill()
    try:
        told: dict[str, Any] = json.loads(out)
    except ValueError:
        raise UnavailableError("the trial ended without an answer", hint="the centre's log may say why") from None
    if error := told.get("error"):
        raise UnavailableError(error["message"], where=error.get("where"), hint=error.get("hint"))
    return told


def _main() -> None:
    from thap.kernel.settings import load_settings
    from thap.respond.cameras.worker import make_detector_of

    os.nice(10)
    make_detector = make_detector_of(load_settings(Path(sys.argv[1])))
    asked = json.load(sys.stdin)
    try:
        told = trial(
            Scene.from_json(asked["scene"]), [Path(one) for one in asked["files"]], asked["fps"], make_detector
        )
    except ThapError as error:
        told = {"error": error.as_dict()}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    _main()
