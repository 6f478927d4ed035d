"""Fifty clients act on the same few incidents at once: acknowledge, merge, close, reopen, edit, through the book.

Each client reads an incident, then acts on the version it read; what it is told (done, or what changed meanwhile)
is compared with what the store kept. An edit adds the client's mark to the description it read, so an update that
overwrites another loses a mark. Counted are

- lost: marks and acts that were told as done and are not kept, or kept and not told; two acts on one version;
- illegal: events that the life cycle does not allow or that do not follow each other, and rows that are not what
  their events lead to.

Clients are tasks in several processes, each process with connections of its own; SQLite and, where it is
installed, PostgreSQL.

Options: --clients 50, --processes 5, --seconds 10, --incidents 12, --database sqlite|postgresql|both.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from bench.postgres import missing, private_postgres
from thap.kernel.errors import BusyError, ConflictError, InputError
from thap.kernel.records import Records
from thap.kernel.settings import load_settings
from thap.kernel.tables import create_tables
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.model import Draft, Incident
from thap.respond.incidents.records import incident_events, incidents
from thap.respond.incidents.states import IncidentLife, IncidentState, Refused

__all__ = ["Told", "client", "judge", "open_some", "run"]

_ACTS = (
    *("acknowledge", "start", "wait", "resume", "resolve", "close", "reopen", "reject", "merge"),
    *("edit", "edit", "edit", "assign", "severity", "comment", "split"),
)
_LIFE = IncidentLife()


@dataclass
class Told:
    """What clients were told."""

    done: list[tuple[int, str, int | None]] = field(default_factory=list)
    """(incident, action, version acted on)."""
    marks: list[tuple[int, str]] = field(default_factory=list)
    refused: int = 0
    waits: list[float] = field(default_factory=list)


async def open_some(book: IncidentBook, count: int) -> list[int]:
    """Incidents to be fought for."""
    events = await book.open_many([Draft(f"Sự cố {number}", domain="water") for number in range(count)], "truc-ban")
    return [event.incident for event in events]


async def client(book: IncidentBook, name: str, chosen: Sequence[int], end: float, seed: int) -> Told:
    """Act at random until a moment of `time.time()`."""
    rng, told = random.Random(seed), Told()
    acts = 0
    while time.time() < end:
        seen = await book.get(rng.choice(chosen))
        action = _chosen(rng, seen)
        acts += 1
        began = time.perf_counter()
        try:
            mark = f"<{name}:{acts}>"
            if await _act(book, name, seen, action, mark, rng, chosen):
                told.done.append((seen.id, action, None if action == "comment" else seen.version))
                if action == "edit":
                    told.marks.append((seen.id, mark))
        except (ConflictError, InputError):
            told.refused += 1
        told.waits.append(time.perf_counter() - began)
    return told


def _chosen(rng: random.Random, seen: Incident) -> str:
    """Most often something that the state the client saw allows."""
    allowed = [act for act in _ACTS if not isinstance(_LIFE.step(IncidentState(seen.state), act), Refused)]
    return rng.choice(allowed if allowed and rng.random() < 0.85 else _ACTS)


async def _act(
    book: IncidentBook, by: str, seen: Incident, action: str, mark: str, rng: random.Random, chosen: Sequence[int]
) -> bool:
    one, version = seen.id, seen.version
    if action == "edit":
        await book.edit(one, by, {"description": (seen.description + mark)[-20_000:]}, version=version)
    elif action == "assign":
        await book.assign(one, by, owner=f"{by}-{rng.randrange(1000)}", version=version)
    elif action == "severity":
        await book.set_severity(one, by, rng.randint(1, 4), version=version)
    elif action == "comment":
        await book.comment(one, by, f"Đã gọi @{by}")
    elif action == "merge":
        if seen.id % 4 == 0 or rng.random() < 0.9:  # those that are merged never come back: let most live
            return False
        await book.merge(one, by, rng.choice(chosen), version=version)
    elif action == "split":
        links = await book.links(one)
        if not links or rng.random() < 0.8:
            return False
        await book.split(one, by, [links[0].id], version=version)
    else:
        await getattr(book, action)(one, by, comment="vì thử", version=version)
    return True


async def judge(records: Records, told: Sequence[Told]) -> dict[str, int]:
    """What was lost, and what is illegal, in what the records keep."""
    e = incident_events.c
    async with records.read() as connection:
        rows = {row["id"]: row for row in (await connection.execute(sa.select(incidents))).mappings()}
        events = list((await connection.execute(sa.select(incident_events).order_by(e.incident_id, e.nth))).mappings())
    illegal = _illegal(rows, events)
    told_acts = Counter((number, action) for one in told for number, action, _ in one.done)
    kept_acts = Counter((event["incident_id"], event["action"]) for event in events if event["by"].startswith("client"))
    made = {"open", "absorb"}  # beside what was asked for, of other incidents
    lost = sum(abs(told_acts[key] - kept_acts[key]) for key in told_acts | kept_acts if key[1] not in made)
    versions = Counter((number, version) for one in told for number, _, version in one.done if version is not None)
    lost += sum(count - 1 for count in versions.values())
    for one in told:
        lost += sum(mark not in rows[number]["description"] for number, mark in one.marks)
    return {"lost": lost, "illegal": illegal, "events": len(events), "incidents": len(rows)}


def _illegal(rows: dict[int, Any], events: Sequence[Any]) -> int:
    found, last = 0, dict[int, Any]()
    for event in events:
        number, before = event["incident_id"], last.get(event["incident_id"])
        last[number] = event
        if before is None:
            found += event["nth"] != 1 or event["action"] != "open" or event["version"] != 1
            continue
        after = _LIFE.step(IncidentState(event["from_state"]), event["action"])
        found += isinstance(after, Refused) or str(after) != event["to_state"]
        found += event["from_state"] != before["to_state"] or event["nth"] != before["nth"] + 1
        found += event["version"] - before["version"] not in (0, 1) or event["time"] < before["time"]
    for number, row in rows.items():
        event = last.get(number)
        kept = ("state", "version", "events")
        ends = None if event is None else (event["to_state"], event["version"], event["nth"])
        found += ends != tuple(row[name] for name in kept)
        found += (row["state"] == IncidentState.MERGED) != (row["merged_into"] is not None)
        found += (row["latest"] is None) != (row["state"] in ("resolved", "closed", "rejected", "merged"))
        found += _circle(rows, number)
    return found


def _circle(rows: dict[int, Any], number: int) -> bool:
    seen = {number}
    while (into := rows[number]["merged_into"]) is not None:
        if into in seen:
            return True
        seen.add(into)
        number = into
    return False


# Processes.


@dataclass(frozen=True)
class Work:
    """What one process does."""

    data: Path
    url: str | None
    number: int
    clients: int
    chosen: tuple[int, ...]
    seconds: float


def _records(data: Path, url: str | None) -> Records:
    if url is not None:
        return Records(create_async_engine(url, pool_size=12, max_overflow=0))
    return Records.open(load_settings(data))


async def _clients(work: Work, ready: Barrier) -> list[Told]:
    records = _records(work.data, work.url)
    book = IncidentBook(records)
    try:
        await asyncio.gather(*(book.get(work.chosen[0]) for _ in range(work.clients)))
        await asyncio.to_thread(ready.wait, 300)
        end = time.time() + work.seconds
        names = [f"client-{work.number}-{n}" for n in range(work.clients)]
        seeds = [work.number * 1000 + n for n in range(work.clients)]
        return list(
            await asyncio.gather(
                *(client(book, name, work.chosen, end, seed) for name, seed in zip(names, seeds, strict=True))
            )
        )
    finally:
        await book.close_store()
        await records.close()


def _process(work: Work, ready: Barrier, out: Queue[Any]) -> None:
    try:
        out.put(asyncio.run(_clients(work, ready)))
    except BaseException as error:
        out.put(error if isinstance(error, BusyError | OSError) else RuntimeError(repr(error)))
        raise


async def _prepare(data: Path, url: str | None, count: int) -> tuple[int, ...]:
    records = _records(data, url)
    await create_tables(records)
    book = IncidentBook(records)
    chosen = await open_some(book, count)
    await book.close_store()
    await records.close()
    return tuple(chosen)


async def _judged(data: Path, url: str | None, told: Sequence[Told]) -> dict[str, int]:
    records = _records(data, url)
    try:
        found = await judge(records, told)
        if url is not None:
            async with records.read() as connection:
                chosen = sa.text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
                found["deadlocks"] = int(await connection.scalar(chosen) or 0)
        return found
    finally:
        await records.close()


@contextlib.contextmanager
def _place(database: str) -> Iterator[tuple[Path, str | None]]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="thap-bench-races-"))
        if database == "sqlite":
            yield Path(folder) / "centre", None
        else:
            host = stack.enter_context(private_postgres())
            yield Path(folder) / "centre", f"postgresql+asyncpg://thap@/postgres?host={host}"


def measure(database: str, clients: int, processes: int, seconds: float, count: int) -> dict[str, Any]:
    """One run on a fresh store."""
    with _place(database) as (data, url):
        chosen = asyncio.run(_prepare(data, url, count))
        context = multiprocessing.get_context("spawn")
        out: Queue[Any] = context.Queue()
        ready = context.Barrier(processes)
        works = [Work(data, url, number, clients // processes, chosen, seconds) for number in range(processes)]
        started = [context.Process(target=_process, args=(work, ready, out)) for work in works]
        for process in started:
            process.start()
        told: list[Told] = []
        for _ in started:
            answer = out.get(timeout=seconds + 120)
            if isinstance(answer, BaseException):
                raise answer
            told += answer
        for process in started:
            process.join()
        found = asyncio.run(_judged(data, url, told))
    waits = sorted(wait for one in told for wait in one.waits)
    return {
        **found,
        "acts_per_second": round(sum(len(one.done) for one in told) / seconds),
        "conflicts": sum(one.refused for one in told),
        "p50_ms": round(waits[len(waits) // 2] * 1000, 1),
        "p99_ms": round(waits[len(waits) * 99 // 100] * 1000, 1),
    }


def run(argv: list[str]) -> dict[str, Any]:
    """Measure on each database."""
    parser = argparse.ArgumentParser(prog="python -m bench races")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--incidents", type=int, default=12)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    options = parser.parse_args(argv)
    chosen = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    figures: dict[str, Any] = {"lost": 0, "illegal": 0}
    measured = []
    for database in chosen:
        if database == "postgresql" and missing():
            continue
        one = measure(database, options.clients, options.processes, options.seconds, options.incidents)
        figures["lost"] += one.pop("lost")
        figures["illegal"] += one.pop("illegal")
        figures |= {f"{name}_{database}": value for name, value in one.items()}
        measured.append(database)
    return {
        "bench": "races",
        "figures": figures,
        "input": f"{options.clients} clients in {options.processes} processes act on {options.incidents} incidents at "
        f"random for {options.seconds:g} s, through the incident book with its followers; {' and '.join(measured)}",
        "peer": None,
    }
