"""10,000 movers on the map page, each moving every second; what the page's script costs.

Vessels all over the province report through the HTTP door, every one of them once a second, in blocks. A headless
Chromium shows the map page, zoomed to the province. After ten seconds of warming up it is watched for a minute:

- `map.script_ms_median`: script on the page's main thread for each frame that the browser drew, milliseconds of that
  thread's processor time, as the browser's own trace has it: in tasks that run script (functions, callbacks of frames,
  sockets and timers), from one frame's callback to the next. Nested pieces are counted once. What the software
  rasteriser of a machine without a graphics card spends is in other processes, and is not script.
- `map.script_wall_ms_median`: the same by the clock on the wall. In it the thread also waits for a core that the
  rasteriser, the centre and the sender have, and for the rasteriser to take what was drawn.
- `map.long_tasks`: main-thread tasks over 200 ms, by the page's own PerformanceObserver.

Beside them stand the frames drawn, p95 and the most script of a frame, the batches that came and how many movers were
on the map at the end; a run in which fewer than 95 % of the movers were shown, or not even every other second
brought a batch, is void.

Options: --movers 10000, --seconds 60. There is no peer.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from bench.harness import centre

__all__ = ["run"]

_WARM_S = 10
_BLOCK = 2500
_BOX = (105.15, 10.15, 106.75, 10.95)
# Not --disable-gpu: it composes pages in software, for which the page waits until each frame of a canvas is read back;
# that wait shows as tasks over 200 ms, one a frame, though no script runs in them.
_FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_SCRIPT = frozenset(
    (
        "FunctionCall",
        "EvaluateScript",
        "FireAnimationFrame",
        "TimerFire",
        "EventDispatch",
        "RunMicrotasks",
        "v8.callFunction",
    )
)
_LONG_MS = 200
_SHOWN = "() => Number(document.querySelector('[data-movers]')?.dataset.movers ?? 0)"


class _Fleet(threading.Thread):
    """Vessels that go straight on and turn at the edge of the box, once a second through the door."""

    def __init__(self, http: str, token: str, count: int) -> None:
        super().__init__(daemon=True)
        rng = random.Random(7)
        west, south, east, north = _BOX
        self.rows = [
            [rng.uniform(west, east), rng.uniform(south, north), rng.uniform(0, 360), rng.uniform(4, 18)]
            for _ in range(count)
        ]
        self.done = threading.Event()
        self.late_s = 0.0
        self._client = httpx.Client(base_url=http, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def admit(self) -> None:
        for at in range(0, len(self.rows), 5000):
            movers = [
                {"key": f"vessel-{number}", "kind": "cargo", "domain": "traffic"}
                for number in range(at, min(at + 5000, len(self.rows)))
            ]
            self._client.post("/api/v1/things", json={"movers": movers}).raise_for_status()

    def run(self) -> None:
        begin, step = time.monotonic(), 0
        while not self.done.is_set():
            self._send()
            step += 1
            rest = begin + step - time.monotonic()
            self.late_s = max(self.late_s, -rest)
            if rest > 0:
                self.done.wait(rest)

    def _send(self) -> None:
        west, south, east, north = _BOX
        now = int(time.time() * 1e6)
        sent: list[dict[str, Any]] = []
        for number, row in enumerate(self.rows):
            lon, lat, course, speed = row
            metres = speed * 0.514444
            lon += metres * math.sin(math.radians(course)) / 109_500
            lat += metres * math.cos(math.radians(course)) / 110_600
            if not (west < lon < east and south < lat < north):
                row[2] = (course + 180) % 360
            row[0], row[1] = min(max(lon, west), east), min(max(lat, south), north)
            sent.append(
                {
                    "mover": f"vessel-{number}",
                    "time": now,
                    "lon": round(row[0], 6),
                    "lat": round(row[1], 6),
                    "speed_kn": round(speed, 1),
                    "course_deg": round(row[2], 1),
                }
            )
        for at in range(0, len(sent), _BLOCK):
            self._client.post("/api/v1/positions", json=sent[at : at + _BLOCK]).raise_for_status()


_WATCH = """
window.long = []; window.batches = 0;
new PerformanceObserver((list) => { for (const one of list.getEntries()) window.long.push(one.duration); })
  .observe({ type: 'longtask', buffered: false });
const Plain = WebSocket;
window.WebSocket = class extends Plain {
  constructor(...given) { super(...given); this.addEventListener('message', () => { window.batches += 1; }); }
};
"""


def _script_per_frame(trace: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of script on the page's main thread between two callbacks of frames: processor time, wall time."""
    events = json.loads(trace.read_bytes())["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"].get("name") == "CrRendererMain"
    }
    frames: dict[tuple[int, int], list[float]] = {}
    pieces: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for event in events:
        where = event.get("pid"), event.get("tid")
        if where not in threads or event.get("ph") != "X":
            continue
        if event["name"] == "FireAnimationFrame":
            frames.setdefault(where, []).append(event["ts"])
        if event["name"] in _SCRIPT:
            wall = event.get("dur", 0)
            pieces.setdefault(where, []).append((event["ts"], event["ts"] + wall, event.get("tdur", wall)))
    page = max(frames, key=lambda where: len(frames[where]))
    starts = sorted(frames[page])
    worked, spent = [0.0] * len(starts), [0.0] * len(starts)
    frame, end = 0, 0.0
    for begin, until, work in sorted(pieces[page], key=lambda piece: (piece[0], -piece[1])):
        if until <= end:
            continue  # within a piece that is counted
        while frame + 1 < len(starts) and starts[frame + 1] <= begin:
            frame += 1
        if begin >= starts[0]:
            spent[frame] += (until - begin) / 1000
            worked[frame] += work / 1000
        end = until
    return worked[:-1], spent[:-1]


def run(arguments: list[str]) -> dict[str, Any]:
    """One run.

    Raises:
        RuntimeError: Chromium is not installed, or the run is void.
    """
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m bench map")
    parser.add_argument("--movers", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args(arguments)
    program = shutil.which("chromium")
    if program is None:
        raise RuntimeError("chromium is not installed: sh tests/e2e/need-chromium.sh")
    with TemporaryDirectory() as folder, centre("--durability", "process") as made, sync_playwright() as playwright:
        assert made.run is not None
        fleet = _Fleet(made.run.http, made.run.token, given.movers)
        fleet.admit()
        fleet.start()
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(_WATCH)
        page.goto(f"{made.run.http}/?key={made.run.token}")
        page.goto(f"{made.run.http}/map")
        deadline = time.monotonic() + 120
        while page.evaluate(_SHOWN) < 0.95 * given.movers:
            if time.monotonic() > deadline:
                raise RuntimeError(f"void: {page.evaluate(_SHOWN)} movers on the map after two minutes")
            page.wait_for_timeout(500)
        page.wait_for_timeout(_WARM_S * 1000)
        trace = Path(folder) / "trace.json"
        browser.start_tracing(
            page=page, path=trace, categories=["devtools.timeline", "v8", "disabled-by-default-devtools.timeline"]
        )
        page.evaluate("() => { window.long = []; window.batches = 0; }")
        page.wait_for_timeout(given.seconds * 1000)
        long, batches = page.evaluate("() => [window.long, window.batches]")
        shown = page.evaluate(_SHOWN)
        browser.stop_tracing()
        browser.close()
        fleet.done.set()
        fleet.join(10)
        spent, wall = (sorted(each) for each in _script_per_frame(trace))
    figures = {
        "script_ms_median": round(statistics.median(spent), 2),
        "script_ms_p95": round(spent[int(len(spent) * 0.95)], 2),
        "script_ms_most": round(spent[-1], 1),
        "script_wall_ms_median": round(statistics.median(wall), 2),
        "long_tasks": sum(duration > _LONG_MS for duration in long),
        "frames": len(spent),
        "batches": batches,
        "movers_shown": shown,
        "sender_late_s": round(fleet.late_s, 2),
    }
    if shown < 0.95 * given.movers or batches < 0.5 * given.seconds:
        raise RuntimeError(f"void: the map did not get what moved: {figures}")
    return {
        "bench": "map",
        "figures": figures,
        "input": f"{given.movers} movers through the HTTP door each second for {given.seconds} s, page of 1440x900, "
        "headless Chromium with software WebGL; script by the browser's trace, raster is not in it",
        "peer": None,
    }
