"""Many consoles at once: 200 open event streams, 500 alarm events a second on each.

Alarms are raised and cleared through the HTTP door. Each stream's events are counted; the centre's processor time is
that of all its processes, taken over the same span. The listeners run in a process of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from typing import Any

import httpx
import orjson
import psutil

from bench.browser import register_stations
from bench.harness import CentreProcess, centre

__all__ = ["run"]

STATIONS = 500


def _listen(host: str, port: int, token: str, streams: int, ready: Any, stop: Any, found: Any) -> None:
    counts = [0] * streams
    ended = [False] * streams

    async def one(index: int) -> None:
        reader, writer = await asyncio.open_connection(host, port, limit=2**22)
        writer.write(
            f"GET /api/v1/stream?kinds=alarm HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        with ready.get_lock():
            ready.value += 1
        rest = b""
        while True:
            data = await reader.read(1 << 20)
            if not data:
                ended[index] = True
                return
            data = rest + data
            counts[index] += data.count(b"event: alarm\n")
            rest = data[-12:]  # one byte less than what is counted

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(one(i)) for i in range(streams)]
        while not stop.is_set():  # noqa: ASYNC110 - the event is another process's
            await asyncio.sleep(0.2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(all_of_them())
    found.put((counts, sum(ended)))


def _used(up: CentreProcess) -> float:
    total = 0.0
    for process in up.children().values():
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def run(argv: list[str]) -> dict[str, Any]:
    """Run it; `--streams`, `--events` a second, `--seconds`."""
    parser = argparse.ArgumentParser(prog="bench fanout")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=30)
    given = parser.parse_args(argv)
    context = multiprocessing.get_context("spawn")
    with centre() as up:
        register_stations(up, STATIONS)
        assert up.run is not None
        host, _, port = up.run.http.removeprefix("http://").partition(":")
        ready, stop, found = context.Value("i", 0), context.Event(), context.Queue()
        listening = context.Process(
            target=_listen, args=(host, int(port), up.run.token, given.streams, ready, stop, found)
        )
        listening.start()
        while ready.value < given.streams:
            time.sleep(0.1)
        time.sleep(1)
        with up.client() as client:
            first = _last_event(client)
            used, began = _used(up), time.monotonic()
            for turn in range(given.seconds * 10):
                rows = [
                    {
                        "datastream": f"probe-{(turn * given.events // 10 + i) % STATIONS:05d}/level",
                        "result": 9.0 if (turn * given.events // 10 + i) // STATIONS % 2 == 0 else 1.0,
                    }
                    for i in range(given.events // 10)
                ]
                client.post("/api/v1/observations", content=orjson.dumps(rows)).raise_for_status()
                time.sleep(max(0.0, began + (turn + 1) / 10 - time.monotonic()))
            wall = time.monotonic() - began
            cores = (_used(up) - used) / wall
            time.sleep(5)
            events = _last_event(client) - first
        stop.set()
        counts, ended = found.get(timeout=60)
        listening.join()
    return {
        "bench": "fanout",
        "figures": {
            "cpu_cores": round(cores, 2),
            "dropped": sum(max(0, events - count) for count in counts),
            "streams_ended": ended,
            "events_per_second": round(events / wall),
            "delivered_per_second": round(sum(counts) / wall),
        },
        "input": f"{given.streams} streams of kind alarm, {events} alarm events in {wall:.0f} s; "
        "processor time of all of the centre's processes, doors, engine and history included",
        "peer": None,
    }


def _last_event(client: httpx.Client) -> int:
    """The number of the newest alarm transition."""
    answer = client.get("/api/v1/alarms", params={"sort": "-changed", "limit": 1}).json()
    if not answer["items"]:
        return 0
    steps = client.get(f"/api/v1/alarms/{answer['items'][0]['id']}").json()["transitions"]
    return int(max(step["id"] for step in steps))
