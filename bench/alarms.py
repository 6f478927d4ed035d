"""Sixteen writer processes raise and clear the same conditions at once, through the alarm book, on one store.

Each writer goes over the same (source, condition) set in its own random order and says of each first that it is
raised, then that it has cleared, whatever the others do meanwhile; a writer that comes second changes nothing.
Counted are the transitions the store kept, and duplicates: rows that share (source, condition), and consecutive
transitions of one alarm that do not follow each other (a raise after a raise, a state or version that skips).

Peer: the same work by hand on plain PostgreSQL (row locks, asyncpg) where Debian's server is installed, otherwise
on Python's sqlite3 without anything of ours.

Options: --seconds 20, --writers 16, --conditions 64, --durability power|process, --peer-seconds 8.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench import alarms_peer
from thap.detect.detector import Action, Change, Severity
from thap.kernel.clock import now_us
from thap.kernel.records import Records
from thap.kernel.settings import Settings, load_settings
from thap.kernel.tables import create_tables
from thap.respond.book import AlarmBook
from thap.respond.records import alarm_transitions, alarms

__all__ = ["run"]

_CONDITIONS = ("water.high", "water.rising", "water.silent", "water.flood")


@dataclass(frozen=True)
class Work:
    """What one writer does."""

    data: Path
    durability: str
    conditions: int
    batch: int
    begin: float
    seconds: float


def keys(count: int) -> list[tuple[str, str]]:
    """The set all writers change."""
    return [(f"station-{i // len(_CONDITIONS):04}/level", _CONDITIONS[i % len(_CONDITIONS)]) for i in range(count)]


def batches(seed: int, count: int, batch: int) -> Iterator[list[tuple[str, str, Action]]]:
    """Endless batches: each condition raised, then cleared, in an order of the writer's own."""
    rng = random.Random(seed)
    chosen = keys(count)
    while True:
        rng.shuffle(chosen)
        for start in range(0, count, batch):
            part = chosen[start : start + batch]
            yield [(*key, Action.RAISE) for key in part]
            yield [(*key, Action.CLEAR) for key in part]


def _settings(data: Path, durability: str) -> Settings:
    settings = load_settings(data)
    settings.journal.durability = "power" if durability == "power" else "process"
    return settings


async def _write(number: int, work: Work) -> tuple[int, int, list[float], float]:
    records = Records.open(_settings(work.data, work.durability))
    book = AlarmBook(records)
    await book.applied_seq()
    calls, transitions, waits = 0, 0, []
    await asyncio.sleep(max(0.0, work.begin - time.time()))
    end = time.monotonic() + work.seconds
    for part in batches(number, work.conditions, work.batch):
        moment = now_us()
        changes = [
            Change(
                source,
                condition,
                action,
                Severity.HIGH,
                moment,
                1,
                moment,
                1.8,
                "water",
                evidence={"limit": 1.7, "rule": 1},
            )
            for source, condition, action in part
        ]
        began = time.perf_counter()
        transitions += len(await book.apply(changes))
        waits.append(time.perf_counter() - began)
        calls += 1
        if time.monotonic() >= end:
            break
    lasted = time.monotonic() - end + work.seconds
    await book.close()
    await records.close()
    return calls, transitions, waits, lasted


def _writer(number: int, work: Work, out: Queue[Any]) -> None:
    out.put(asyncio.run(_write(number, work)))


async def _prepare(settings: Settings) -> None:
    records = Records.open(settings)
    await create_tables(records)
    await records.close()


async def _judge(settings: Settings) -> tuple[int, int, int]:
    """(alarms, transitions, duplicates) the store holds."""
    records = Records.open(settings)
    async with records.read() as connection:
        rows = (await connection.execute(sa.select(alarms.c.source, alarms.c.condition))).all()
        duplicates = sum(count - 1 for count in Counter(map(tuple, rows)).values())
        t = alarm_transitions.c
        last: dict[int, tuple[str, str, int]] = {}
        total = 0
        for number, action, before, after, version in await connection.execute(
            sa.select(t.alarm_id, t.action, t.from_state, t.to_state, t.version).order_by(t.id)
        ):
            action_before, state_before, version_before = last.get(number, ("clear", "normal", 0))
            if action == action_before or before != state_before or version != version_before + 1:
                duplicates += 1
            last[number] = (action, after, version)
            total += 1
    await records.close()
    return len(rows), total, duplicates


def measure(writers: int, seconds: float, conditions: int, batch: int, durability: str) -> dict[str, float]:
    """One run on a fresh store."""
    with tempfile.TemporaryDirectory(prefix="thap-bench-alarms-") as folder:
        data = Path(folder) / "centre"
        settings = _settings(data, durability)
        asyncio.run(_prepare(settings))
        context = multiprocessing.get_context("spawn")
        out: Queue[Any] = context.Queue()
        work = Work(data, durability, conditions, batch, time.time() + 3 + writers * 0.6, seconds)
        processes = [context.Process(target=_writer, args=(n, work, out)) for n in range(writers)]
        for process in processes:
            process.start()
        results = [out.get(timeout=seconds + 120) for _ in processes]
        for process in processes:
            process.join()
        rows, kept, duplicates = asyncio.run(_judge(settings))
    if kept != sum(r[1] for r in results):
        duplicates += abs(kept - sum(r[1] for r in results))  # what was told and what was kept must agree
    lasted = max(r[3] for r in results)
    waits = sorted(wait for r in results for wait in r[2])
    return {
        "transitions_per_second": round(kept / lasted),
        "duplicates": duplicates,
        "alarms": rows,
        "transactions_per_second": round(sum(r[0] for r in results) / lasted),
        "p50_ms": round(waits[len(waits) // 2] * 1000, 2),
        "p99_ms": round(waits[len(waits) * 99 // 100] * 1000, 2),
        "max_ms": round(waits[-1] * 1000, 1),
        "least_transactions_of_a_writer": min(r[0] for r in results),
    }


def run(argv: list[str]) -> dict[str, Any]:
    """Measure singly and in batches of 200, then the peer."""
    parser = argparse.ArgumentParser(prog="python -m bench alarms")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--conditions", type=int, default=64)
    parser.add_argument("--durability", choices=("power", "process"), default="power")
    parser.add_argument("--peer-seconds", type=float, default=8)
    options = parser.parse_args(argv)
    single = measure(options.writers, options.seconds, options.conditions, 1, options.durability)
    many = measure(options.writers, max(options.seconds / 2, 2), max(options.conditions, 800), 200, options.durability)
    figures = {
        **single,
        **{
            f"batch200_{name}": value
            for name, value in many.items()
            if name in ("transitions_per_second", "duplicates", "p50_ms", "p99_ms", "max_ms")
        },
    }
    peer: dict[str, Any] | None = None
    if options.peer_seconds > 0:
        with contextlib.ExitStack() as stack:
            peer = alarms_peer.measure(stack, options.writers, options.peer_seconds, options.conditions)
    return {
        "bench": "alarms",
        "figures": figures,
        "input": f"{options.writers} processes, {options.conditions} (source, condition) in SQLite, one change a "
        f"transaction, survives {options.durability} loss, {options.seconds:.0f} s; batch200: 200 changes "
        f"a transaction on {max(options.conditions, 800)}",
        "peer": peer,
    }
