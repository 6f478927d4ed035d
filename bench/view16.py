"""What viewing sixteen cameras costs the server: fragments over WebSocket, remuxed once a camera, nothing transcoded.

Sixteen film cameras (1280 × 720, 25 pictures a second, H.264 at about 2 Mbit/s) are read; their worker's and the
gateway's processor time is taken while nobody looks, then while sixteen streams are viewed from another process. The
figure is the difference; reading, keeping and judging the health of the cameras is in both.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import psutil
import websockets

from bench.harness import CentreProcess

__all__ = ["run"]

_PATIENCE_S = 300.0
_CAMERAS, _FPS, _FILM_S, _MEASURED_S = 16, 25, 10, 20.0


def run(_options: list[str]) -> dict[str, Any]:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        process = CentreProcess(Path(folder) / "centre")
        process.start(_PATIENCE_S)
        stack.callback(process.stop)
        film = _film(Path(folder) / "film.mp4")
        bits = film.stat().st_size * 8 / _FILM_S / 1e6
        assert process.run is not None
        with httpx.Client(
            base_url=process.run.http,
            headers={"Authorization": f"Bearer {process.run.token}"},
            timeout=60,
            trust_env=False,
        ) as api:
            for number in range(_CAMERAS):
                body = {"name": f"cam-{number:02d}", "address": str(film), "loop": True}
                api.post("/api/v1/cameras", json=body).raise_for_status()
            _until_live(api)
            pids = _pids(api)
            idle = _cores(pids, lambda: time.sleep(_MEASURED_S))
            seen: dict[str, int] = {}
            viewing = _cores(pids, lambda: asyncio.run(_view(process, seen)))
        streams = sum(count > 0 for count in seen.values())
    figures = {
        "view16.cpu_cores": round(viewing - idle, 3),
        "view16.cpu_cores_reading": round(idle, 3),
        "view16.streams": streams,
        "view16.mbit_s": round(sum(seen.values()) * 8 / _MEASURED_S / 1e6, 1),
    }
    told = f"{_CAMERAS} film cameras, 1280 x 720, {_FPS} pictures/s, {bits:.1f} Mbit/s each, {_MEASURED_S:g} s"
    return {"bench": "view16", "figures": figures, "input": told, "peer": None}


def _film(path: Path) -> Path:
    random = np.random.default_rng(1)
    ground = random.integers(60, 180, (45, 80, 3), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    with av.open(str(path), "w") as output:
        options = {"preset": "veryfast", "g": "50", "b": "2000000", "maxrate": "2000000", "bufsize": "2000000"}
        stream = output.add_stream("libx264", rate=_FPS, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 1280, 720, "yuv420p", 2_000_000
        for number in range(_FILM_S * _FPS):
            shown = ground.copy()
            for row in range(8):
                left = (number * (4 + row) + row * 150) % 1200
                shown[80 * row : 80 * row + 40, left : left + 80] = random.integers(0, 255, (40, 80, 3), dtype=np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        output.mux(stream.encode())
    return path


def _until_live(api: httpx.Client, limit_s: float = _PATIENCE_S) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        items = api.get("/api/v1/cameras").json()["items"]
        if sum((one["state"] or {}).get("state") == "live" for one in items) == _CAMERAS:
            time.sleep(5)
            return
        time.sleep(0.5)
    raise SystemExit("the cameras did not all come up")


def _pids(api: httpx.Client) -> list[int]:
    roles = api.get("/api/v1/system").json()["roles"]
    found = [int(one["pid"]) for one in roles if one["role"] in ("gateway", "vision")]
    if len(found) != 2:
        raise SystemExit(f"gateway and vision were expected, found {[one['role'] for one in roles]}")
    return found


def _cores(pids: list[int], meanwhile: Callable[[], object]) -> float:
    """Processor time of processes while something is done, as a share of one core."""
    processes = [psutil.Process(pid) for pid in pids]
    before, began = [sum(one.cpu_times()[:2]) for one in processes], time.monotonic()
    meanwhile()
    spent = time.monotonic() - began
    return float(sum(sum(one.cpu_times()[:2]) - then for one, then in zip(processes, before, strict=True)) / spent)


async def _view(process: CentreProcess, seen: dict[str, int]) -> None:
    assert process.run is not None
    base, headers = process.run.http.replace("http", "ws", 1), {"Authorization": f"Bearer {process.run.token}"}

    async def one(name: str) -> None:
        async with websockets.connect(
            f"{base}/api/v1/cameras/{name}/live",
            additional_headers=headers,
            max_size=None,
            compression=None,
            proxy=None,
        ) as socket:
            async for message in socket:
                seen[name] = seen.get(name, 0) + len(message)

    tasks = [asyncio.create_task(one(f"cam-{number:02d}")) for number in range(_CAMERAS)]
    await asyncio.sleep(_MEASURED_S)
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    for error in done:
        if isinstance(error, Exception):
            raise error
