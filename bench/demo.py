"""`demo`: the demo province through the real doors of a real centre, and its score; the rules alone as its peer."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.harness import CentreProcess
from thap.domains.domain import domains
from thap.domains.offline import play
from thap.domains.rice.detectors import PlanthopperCatch
from thap.domains.sand.demo_register import demo_book
from thap.domains.sand.detectors import SandWatch
from thap.domains.score import Score, compare
from thap.domains.world import World
from thap.kernel.clock import HOUR_US, MINUTE_US, parse_time_us

__all__ = ["run"]

TUNED_SEED = 1
"""The world and its rules were looked at with this seed; figures on others say how far that carries."""


def run(argv: list[str]) -> dict[str, Any]:
    """Some minutes of the demo in a centre of its own, then `thap demo score`; and days of it without a network.

    Raises:
        SystemExit: the demo does not run.
    """
    parser = argparse.ArgumentParser(prog="bench demo")
    parser.add_argument("--minutes", type=float, default=6.0, help="of wall time, through the doors")
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=2, help="of the run through the doors")
    parser.add_argument("--seeds", type=int, default=8, help="how many seeds without a network, from 2 on")
    parser.add_argument("--hours", type=int, default=72, help="simulated, without a network")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="thap-bench-demo-") as folder:
        live, first_alarm_s = _live(Path(folder) / "centre", options)
    tuned = _offline([TUNED_SEED], options.hours)
    others = _offline(list(range(2, 2 + options.seeds)), options.hours)
    return {
        "bench": "demo",
        "figures": {
            **{
                name: live[name]
                for name in ("precision", "recall", "delay_p50_s", "delay_p95_s", "events", "alarms", "severity_right")
            },
            "first_alarm_s": first_alarm_s,
        },
        "input": f"thap up --demo, seed {options.seed}, {options.speed:g}× for {options.minutes:g} minutes of wall "
        "time; delays in simulated seconds",
        "peer": {
            "name": "the same rules over the same world without doors and journal",
            "hours": options.hours,
            f"seed_{TUNED_SEED}_tuned": tuned,
            f"seeds_2_to_{1 + options.seeds}": others,
        },
    }


def _live(data: Path, options: argparse.Namespace) -> tuple[dict[str, Any], float | None]:
    centre = CentreProcess(data, ["--demo", "--seed", str(options.seed), "--speed", str(options.speed)])
    centre.start()
    try:
        began = time.time()
        first: float | None = None
        with centre.client() as client:
            while time.time() < began + options.minutes * 60:
                if first is None and client.get("/api/v1/alarms", params={"limit": 1}).json().get("items"):
                    first = round(time.time() - began, 1)
                time.sleep(0.2)
        done = subprocess.run(
            [sys.executable, "-m", "thap", "demo", "score", "--json", "--data", str(data)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"demo score: {done.stdout}{done.stderr}\n{centre.tail()}")
        return dict(json.loads(done.stdout)), first
    finally:
        centre.stop()


def _offline(seeds: list[int], hours: int) -> dict[str, Any]:
    """The score over several seeds taken together."""
    total = Score()
    start = parse_time_us("2026-11-19T11:40:00Z")
    end = start + hours * HOUR_US
    rules = [rule for domain in domains().values() for rule in domain.read_rules().values()]
    for seed in seeds:
        world = World(seed, start)
        for domain in domains().values():
            if domain.demo is not None:
                domain.demo(world)
        raised = play(world, rules, start, end, detectors=[PlanthopperCatch(), SandWatch(demo_book(start))])
        one = compare(world.truth(start, end), raised, start, end, 10 * MINUTE_US)
        for name in ("events", "alarms", "right", "severities_right", "severities"):
            setattr(total, name, getattr(total, name) + getattr(one, name))
        total.delays_s += one.delays_s
        total.missed += one.missed
        total.false += one.false
    body = total.as_dict()
    return {
        name: body[name]
        for name in ("precision", "recall", "delay_p50_s", "delay_p95_s", "events", "alarms", "severity_right")
    }
