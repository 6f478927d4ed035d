"""The console's alarm queue in a flood: 200 alarms/s for a minute, while somebody types into its filter.

Every alarm is another station's, so the queue grows to 12,000 rows. Input delay is from the key's own time stamp to
its handler; memory is the page's heap after garbage collection, before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from contextlib import ExitStack
from typing import Any

import httpx
import numpy as np
import orjson

from bench.browser import browser, open_console, register_stations
from bench.harness import CentreProcess, centre

__all__ = ["run"]

WATCH = """
() => {
  window.delays = [];
  addEventListener('keydown', (event) => window.delays.push(performance.now() - event.timeStamp), true);
  window.long = [];
  new PerformanceObserver((list) => window.long.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: 'longtask' });
}
"""


def _flood(up: CentreProcess, number: int, per_second: int) -> None:
    """Batches, ten a second."""

    async def pump() -> None:
        assert up.run is not None
        headers = {"Authorization": f"Bearer {up.run.token}"}
        batch = max(1, per_second // 10)
        async with httpx.AsyncClient(base_url=up.run.http, headers=headers, trust_env=False) as client:
            began = time.monotonic()
            for turn, start in enumerate(range(0, number, batch)):
                rows = [
                    {"datastream": f"probe-{i:05d}/level", "result": 9.0}
                    for i in range(start, min(start + batch, number))
                ]
                answer = await client.post("/api/v1/observations", content=orjson.dumps(rows))
                answer.raise_for_status()
                await asyncio.sleep(max(0.0, began + (turn + 1) * batch / per_second - time.monotonic()))

    asyncio.run(pump())


def run(argv: list[str]) -> dict[str, Any]:
    """Run it; `--seconds`, `--per-second`."""
    parser = argparse.ArgumentParser(prog="bench queue")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--per-second", type=int, default=200)
    given = parser.parse_args(argv)
    number = given.seconds * given.per_second
    with ExitStack() as stack:
        up = stack.enter_context(centre())
        register_stations(up, number)
        page = open_console(stack.enter_context(browser()), up)
        page.wait_for_selector("#alarms-filter")
        tools = page.context.new_cdp_session(page)

        def heap() -> int:
            tools.send("HeapProfiler.collectGarbage")
            return int(page.evaluate("performance.memory.usedJSHeapSize"))

        page.evaluate(WATCH)
        page.wait_for_timeout(3000)
        before = heap()
        flooding = threading.Thread(target=_flood, args=(up, number, given.per_second))
        flooding.start()
        page.focus("#alarms-filter")
        typed = 0
        while flooding.is_alive():
            page.keyboard.press("p" if typed % 2 == 0 else "Backspace")
            typed += 1
            page.wait_for_timeout(230)
        page.wait_for_timeout(3000)
        delays = page.evaluate("window.delays")
        long_tasks = page.evaluate("window.long")
        title = page.title()
        after = heap()
    p50, p95 = (float(np.percentile(delays, q)) for q in (50, 95))
    return {
        "bench": "queue",
        "figures": {
            "input_delay_p50_ms": round(p50, 1),
            "input_delay_p95_ms": round(p95, 1),
            "memory_growth_mb": round((after - before) / 1e6, 1),
            "long_tasks": len(long_tasks),
            "long_task_max_ms": round(max(long_tasks, default=0)),
            "shown": title,
        },
        "input": f"{number} alarms of as many stations at {given.per_second}/s, {typed} keys typed into the filter; "
        "the desk at 1440 × 900, headless Chromium",
        "peer": None,
    }
