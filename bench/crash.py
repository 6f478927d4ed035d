"""kill -9 of each process at random moments of ingest: what was acknowledged and what history holds.

One sender posts batches of 1,000 and repeats a batch until it is acknowledged, as a careful client does. Every
record is a new (datastream, time). One series crosses its limit at known records, so that transitions of alarms
are counted too: each must be there exactly once.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import threading
import time
from typing import Any

import httpx
import orjson
import psutil

from bench.harness import CentreProcess, centre
from bench.rules import install_rules, put_rule, register_datastreams

__all__ = ["run"]


class _Sender(threading.Thread):
    """Posts batch after batch until told to stop."""

    def __init__(self, up: CentreProcess, start_us: int) -> None:
        super().__init__(daemon=True)
        self.up, self.start_us = up, start_us
        self.acknowledged = 0
        self.refused = 0
        self.stop = threading.Event()

    def body(self, number: int) -> bytes:
        """Batch `number`: 999 series move on by 100 ms, and the marked one goes up and down."""
        at = self.start_us + number * 100_000
        records = [{"datastream": f"tram-{series:05d}/level", "at": at / 1e6, "result": 1.0} for series in range(999)]
        records.append({"datastream": "mark/level", "at": at / 1e6, "result": 9.0 if number % 2 == 0 else 1.0})
        return orjson.dumps(records)

    def run(self) -> None:
        client: httpx.Client | None = None
        while not self.stop.is_set():
            body = self.body(self.acknowledged)
            while not self.stop.is_set():
                try:
                    client = client or self.up.client()
                    answer = client.post("/api/v1/observations", content=body, timeout=15)
                    if answer.status_code == 200 and answer.json()["accepted"] == 1000:
                        self.acknowledged += 1
                        break
                    self.refused += 1
                except (httpx.HTTPError, OSError):
                    with contextlib.suppress(Exception):
                        if client is not None:
                            client.close()
                    client = None
                time.sleep(0.05)


def run(argv: list[str]) -> dict[str, Any]:
    """Run it; `--kills`, `--seed`, `--durability`."""
    parser = argparse.ArgumentParser(prog="bench crash")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--durability", default="process")
    given = parser.parse_args(argv)
    rng = random.Random(given.seed)
    roles = ["nats", "gateway", "engine", "history", "up"]
    with centre("--durability", given.durability) as up:
        register_datastreams(up, 999)
        with up.client() as client:
            client.post(
                "/api/v1/things",
                json={"things": [{"name": "mark", "datastreams": [{"name": "level", "property": "mark"}]}]},
            ).raise_for_status()
        install_rules(up, 99)
        put_rule(
            up,
            '[[rule]]\nname = "bench.mark"\nkind = "threshold"\ntitle = { vi = "Mark", en = "Mark" }\n'
            'severity = "high"\nselect = { property = "mark" }\nabove = 5.0\n',
        )
        sender = _Sender(up, (int(time.time()) - 86_400) * 1_000_000)
        sender.start()
        killed: dict[str, int] = dict.fromkeys(roles, 0)
        for turn in range(given.kills):
            time.sleep(rng.uniform(0.5, 3.0))
            role = roles[turn % len(roles)]
            process = up.children().get(role)
            if process is None:
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                killed[role] += 1
            if role == "up":
                assert up.process is not None
                up.process.wait()
                process.wait(10)
                up.start()
            else:
                before = sender.acknowledged
                _until(lambda before=before: sender.acknowledged > before + 3, 60)
        time.sleep(2)
        sender.stop.set()
        sender.join()
        acknowledged = sender.acknowledged * 1000
        _until(lambda: _count(up)[0] >= acknowledged, 90, give_up=True)
        rows, distinct = _count(up)
        expected = sender.acknowledged
        _until(lambda: _transitions(up)[0] >= expected, 60, give_up=True)
        transitions, times = _transitions(up)
        kept = up.query(
            "SELECT count(*) AS n FROM (SELECT DISTINCT datastream, time FROM observations) "
            f"WHERE time < make_timestamptz({sender.start_us + sender.acknowledged * 100_000})"
        )[0]["n"]
    return {
        "bench": "crash",
        "figures": {
            "lost": acknowledged - int(kept),
            "doubled": rows - distinct,
            "acknowledged": acknowledged,
            "in_history": rows,
            "kills": sum(killed.values()),
            "transitions_expected": expected,
            "transitions": transitions,
            "transitions_doubled": transitions - times,
        },
        "input": f"kill -9 of {killed} while batches of 1,000 come in one after another, seed {given.seed}, durability "
        f"{given.durability}, 100 rules",
        "peer": None,
    }


def _until(condition: Any, seconds: float, *, give_up: bool = False) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            if give_up:
                return
            raise RuntimeError("the centre did not recover in time")
        time.sleep(0.2)


def _count(up: CentreProcess) -> tuple[int, int]:
    row = up.query(
        "SELECT count(*) AS n, (SELECT count(*) FROM (SELECT DISTINCT datastream, time FROM observations)) "
        "AS d FROM observations"
    )[0]
    return int(row["n"]), int(row["d"])


def _transitions(up: CentreProcess) -> tuple[int, int]:
    """Raises and clears of the marked series, and how many distinct times they have."""
    row = up.query(
        "SELECT count(*) AS n, count(DISTINCT time) AS d FROM alarm_transitions "
        "JOIN alarms ON alarms.id = alarm_transitions.alarm_id "
        "WHERE alarms.condition = 'bench.mark' AND action IN ('raise', 'clear')"
    )[0]
    return int(row["n"]), int(row["d"])
