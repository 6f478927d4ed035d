"""Memory of all processes with 10,000 datastreams and 100,000 movers live."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import orjson
import psutil

from bench.harness import CentreProcess, centre
from bench.rules import install_rules, register_datastreams

__all__ = ["run"]


def run(argv: list[str]) -> dict[str, Any]:
    """Run it; `--movers`, `--rounds` of positions."""
    parser = argparse.ArgumentParser(prog="bench memory")
    parser.add_argument("--movers", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(argv)
    rng = np.random.default_rng(1)
    with centre() as up:
        register_datastreams(up, 10_000)
        install_rules(up, 100)
        with up.client() as client:
            for start in range(0, given.movers, 5000):
                client.post(
                    "/api/v1/things",
                    json={
                        "movers": [
                            {"key": f"ghe-{i:06d}", "kind": "barge", "domain": "sand"}
                            for i in range(start, min(start + 5000, given.movers))
                        ]
                    },
                ).raise_for_status()
            lons, lats = rng.uniform(105.2, 106.5, given.movers), rng.uniform(10.1, 10.9, given.movers)
            for round_ in range(given.rounds):
                at = time.time() - 600 + round_ * 60
                _observations(client, at)
                for start in range(0, given.movers, 5000):
                    stop = min(start + 5000, given.movers)
                    body = orjson.dumps(
                        [
                            {
                                "mover": f"ghe-{i:06d}",
                                "at": at,
                                "lon": float(lons[i]) + round_ * 1e-4,
                                "lat": float(lats[i]),
                                "speed_kn": 4.0,
                            }
                            for i in range(start, stop)
                        ]
                    )
                    client.post("/api/v1/positions", content=body).raise_for_status()
            live = _wait(up, given.movers)
            latest = client.get("/api/v1/movers", params={"limit": 100})
            latest.raise_for_status()
        time.sleep(5)
        sizes = {role: process.memory_info().rss / 2**20 for role, process in up.children().items()}
        assert up.process is not None
        top = psutil.Process(up.process.pid)
        # What the centre takes of the machine: a page that roles share is there once.
        taken = sum(one.memory_full_info().pss for one in (top, *top.children(recursive=True))) / 2**20
    return {
        "bench": "memory",
        "figures": {
            "rss_mib": round(sum(sizes.values())),
            "pss_mib": round(taken),
            **{f"{role}_mib": round(size) for role, size in sizes.items()},
            "movers_live": live,
        },
        "input": f"10,000 datastreams and {given.movers} movers with {given.rounds} rounds of records each, 100 rules; "
        "rss: sum of resident memory of the roles, shared pages counted for each; pss: shared pages counted once, "
        "the process that roles are forked from included; 5 s after the last record",
        "peer": None,
    }


def _observations(client: Any, at: float) -> None:
    for start in range(0, 10_000, 5000):
        client.post(
            "/api/v1/observations",
            content=orjson.dumps(
                [{"datastream": f"tram-{i:05d}/level", "at": at, "result": 1.5} for i in range(start, start + 5000)]
            ),
        ).raise_for_status()


def _wait(up: CentreProcess, movers: int) -> int:
    deadline = time.monotonic() + 60
    live = 0
    while live < movers and time.monotonic() < deadline:
        live = int(up.stages()["detect"]["movers"])
        time.sleep(0.2)
    return live
