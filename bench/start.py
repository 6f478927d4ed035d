"""`thap up` on an existing store of 10 million rows: seconds until /readyz says yes."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from typing import Any

from bench.harness import centre
from bench.ingest import Moving, bodies, count_rows, send
from bench.rules import install_rules, register_datastreams

__all__ = ["run"]


def run(argv: list[str]) -> dict[str, Any]:
    """Run it; `--rows`, `--starts`."""
    parser = argparse.ArgumentParser(prog="bench start")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--starts", type=int, default=5)
    given = parser.parse_args(argv)
    with centre("--durability", "process") as up:
        register_datastreams(up, 10_000)
        install_rules(up, 100)
        start = (int(time.time()) - 7200) * 1_000_000
        queue = Moving(bodies(200, 1000, 10_000, start), given.rows // 200_000, start)
        asyncio.run(send(up, queue, 600, 8))  # type: ignore[arg-type]
        deadline = time.monotonic() + 120
        while (rows := count_rows(up)) < given.rows and time.monotonic() < deadline:
            time.sleep(0.5)
        times = []
        for turn in range(given.starts):
            up.stop() if turn % 2 == 0 else up.kill()
            time.sleep(1)
            up.start()
            times.append(up.ready_s)
    return {
        "bench": "start",
        "figures": {"ready_s": round(statistics.median(times), 2), "max_s": round(max(times), 2), "rows": rows},
        "input": f"{rows} rows, 10,000 datastreams, 100 rules; {given.starts} starts, after a stop and kill -9 in turn",
        "peer": None,
    }
