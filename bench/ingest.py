"""Observations over HTTP batches of 1,000 into 10,000 datastreams, with 100 active rules, until history has them.

Every request is answered after the fsynced append. Reported: rows acknowledged by the time divided by the time,
rows in history by the time the sending stopped and how long it took to hold all of them, both counted in the lake.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from bench.harness import CentreProcess, centre
from bench.postgres import missing, private_postgres
from bench.rules import install_rules, register_datastreams

__all__ = ["HEAD", "Moving", "bodies", "count_rows", "run", "send"]

HEAD = (
    "POST /api/v1/observations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)


def bodies(count: int, batch: int, datastreams: int, start_us: int, seed: int = 1) -> list[bytes]:
    """Ready-made request bodies: every series moves on by a second each time round."""
    rng = np.random.default_rng(seed)
    made = []
    row = 0
    level = rng.uniform(0.5, 2.5, datastreams)
    for _ in range(count):
        records = []
        for _ in range(batch):
            series, step = row % datastreams, row // datastreams
            at = start_us + step * 1_000_000
            moment = np.datetime64(at, "us").item().isoformat() + "Z"
            records.append(
                {
                    "datastream": f"tram-{series:05d}/level",
                    "at": moment,
                    "result": round(float(level[series] + rng.normal(0, 0.05)), 3),
                }
            )
            row += 1
        made.append(orjson.dumps(records))
    return made


async def _pump(host: str, port: int, token: str, queue: list[bytes], deadline: float, tally: dict[str, int]) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=2**20)
    while queue and time.monotonic() < deadline:
        body = queue.pop()
        writer.write(HEAD.format(token=token, length=len(body)).encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        answer = orjson.loads(await reader.readexactly(length))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head!r} {answer}")
        tally["accepted"] += answer["accepted"]
        tally["rejected"] += len(answer["rejected"])
    writer.close()


async def send(run: CentreProcess, queue: list[bytes], seconds: float, connections: int) -> dict[str, Any]:
    """Send until the queue or the time is used up."""
    assert run.run is not None
    host, _, port = run.run.http.removeprefix("http://").partition(":")
    tally = {"accepted": 0, "rejected": 0}
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_pump(host, int(port), run.run.token, queue, began + seconds, tally))
    return {**tally, "seconds": time.monotonic() - began}


def run(argv: list[str]) -> dict[str, Any]:
    """Run it; `--seconds`, `--connections`, `--durability`."""
    parser = argparse.ArgumentParser(prog="bench ingest")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--durability", default="power")
    parser.add_argument("--most", type=int, default=700_000, help="largest rate prepared for, observations/s")
    given = parser.parse_args(argv)
    with centre("--durability", given.durability) as up:
        register_datastreams(up, 10_000)
        rules = install_rules(up, 100)
        start = (int(time.time()) - 7200) * 1_000_000
        # Bodies are made beforehand and repeated with moved times, so that making them does not count.
        templates = bodies(200, 1000, 10_000, start)
        rounds = int(given.most * given.seconds) // (200 * 1000) + 1
        queue = Moving(templates, rounds, start)
        result = asyncio.run(send(up, queue, given.seconds, given.connections))  # type: ignore[arg-type]
        sent_at = time.monotonic()
        in_history = count_rows(up)
        deadline = sent_at + 120
        while in_history < result["accepted"] and time.monotonic() < deadline:
            time.sleep(0.2)
            in_history = count_rows(up)
        caught_up = time.monotonic() - sent_at
        stages = up.stages()
    rate = result["accepted"] / result["seconds"]
    whole = in_history / (result["seconds"] + caught_up)
    return {
        "bench": "ingest",
        "figures": {
            "observations_per_second": round(rate),
            "until_in_history_per_second": round(whole),
            "history_behind_s": round(caught_up, 2),
            "accepted": result["accepted"],
            "in_history": in_history,
            "rejected": result["rejected"],
            "seconds": round(result["seconds"], 1),
        },
        "input": f"JSON batches of 1,000 over {given.connections} HTTP connections, 10,000 datastreams, {rules} rules, "
        f"durability {given.durability}, load generator on the same 2 cores",
        "peer": _peer(min(given.seconds, 15)),
        "stages": stages,
    }


async def _postgres(seconds: float) -> float:
    """Rows per second of plain INSERTs of 1,000 rows each, four connections, fsynced, unique (datastream, time)."""
    import asyncpg  # type: ignore[import-untyped]  # only where the comparison runs

    sql = """
        INSERT INTO observation SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::float8[]) ON CONFLICT DO NOTHING
    """
    with private_postgres() as host:
        links = [await asyncpg.connect(host=host, user="thap", database="postgres") for _ in range(4)]
        await links[0].execute(
            "CREATE TABLE observation (datastream int, time timestamptz, result float8, UNIQUE (datastream, time))"
        )
        began, rows = time.monotonic(), 0

        async def insert(link: Any, number: int) -> None:
            nonlocal rows
            step = number
            while time.monotonic() - began < seconds:
                first = step % 10 * 1000
                at = datetime.fromtimestamp(1_795_000_000 + step // 10, UTC)
                series = list(range(first, first + 1000))
                await link.execute(sql, series, [at] * 1000, [1.5] * 1000)
                rows += 1000
                step += 4

        await asyncio.gather(*(insert(link, number) for number, link in enumerate(links)))
        elapsed = time.monotonic() - began
        for link in links:
            await link.close()
    return rows / elapsed


def _peer(seconds: float) -> dict[str, Any] | None:
    reason = missing()
    if reason:
        return {"name": "PostgreSQL", "skipped": reason}
    rate = asyncio.run(_postgres(seconds))
    return {
        "name": "PostgreSQL, INSERT of 1,000 rows a statement, 4 connections, fsync on, same machine, no rules",
        "observations_per_second": round(rate),
    }


def count_rows(up: CentreProcess) -> int:
    return int(up.query("SELECT count(*) AS n FROM observations")[0]["n"])


class Moving:
    """The templates again and again, each round later by the span of one."""

    def __init__(self, templates: list[bytes], rounds: int, start_us: int) -> None:
        self._templates = templates
        self._left = len(templates) * rounds
        self._sent = 0
        self._moments = [
            np.datetime64(start_us + i * 1_000_000, "us").item().isoformat().encode() for i in range(20 * rounds + 20)
        ]

    def __bool__(self) -> bool:
        return self._left > 0

    def pop(self) -> bytes:
        """The next body."""
        round_, index = divmod(self._sent, len(self._templates))
        self._sent += 1
        self._left -= 1
        body = self._templates[index]
        if round_ == 0:
            return body
        step = index // 10  # ten bodies of 1,000 make one step of 10,000 series
        return body.replace(self._moments[step], self._moments[step + (len(self._templates) // 10) * round_])
