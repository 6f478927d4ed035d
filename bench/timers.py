"""100,000 pending deadlines, some of which fall due: how late they fire, and how soon after a restart.

Deadlines are tasks' (`task.due`, with everything that missing one brings: the task is marked, the incident's history
says so, a notice goes into the outbox, the next reminder is set) unless --light is given; then the handler only
notes the time, which is what the peer does. `pending` of them are set, `due` of them fall due evenly over `seconds`,
the others in a week. The part that fires them runs in a process of its own, as under `thap up`; lateness is
measured when the transaction that handles a deadline has been committed.

Then that process is killed (kill -9) and a new one started: `rearm_s` is the time from its start until a deadline
that fell due meanwhile has fired, with all the others pending.

Peer: DBOS 3.x, see `bench/timers_dbos.py`, where `dbos` is installed and --peer is given; otherwise the figures
measured once are repeated from docs/decisions/0006-timers.md, named as such.

Options: --pending 100000, --due 20000, --seconds 30, --light, --url postgresql+asyncpg://…
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thap.kernel.clock import DAY_US, SECOND_US, now_us
from thap.kernel.records import Records
from thap.kernel.settings import load_settings
from thap.kernel.store import Store, Transaction, open_store
from thap.kernel.tables import create_tables
from thap.respond import timers
from thap.respond.incidents.book import open_many
from thap.respond.incidents.model import Draft
from thap.respond.procedures.follow import due as task_due
from thap.respond.procedures.records import TaskRows

__all__ = ["run"]

_PEER_ONCE = {
    "what": "dbos 3.4.0 on SQLite, 1,000 at once, handler that only notes the time; measured once on 2 cores "
    "(docs/decisions/0006-timers.md)",
    "due_per_s": 667,
    "p50_s": 10.9,
    "p99_s": 22.5,
    "rearm_s": 1.4,
}


class _Watched(timers.Timers):
    """Says, after each commit, how late its deadlines were."""

    def __init__(self, records: Records, store: Store, light: bool) -> None:
        self.fired: list[int] = []
        super().__init__(records, store, kinds={"task.due": self._light if light else self._whole})

    def _light(self, tx: Transaction, fired: Sequence[timers.Timer], now: int) -> None:
        self.fired += [timer.due for timer in fired]

    def _whole(self, tx: Transaction, fired: Sequence[timers.Timer], now: int) -> Sequence[timers.Announcement]:
        self.fired += [timer.due for timer in fired]
        return task_due(tx, fired, now)

    async def fire(self) -> int:
        self.fired.clear()
        count = await super().fire()
        now = now_us()
        if self.fired:
            print(json.dumps([now - due for due in self.fired]), flush=True)
        return count


async def _serve(data: Path, light: bool) -> None:
    settings = load_settings(data)
    records = Records.open(settings)
    print("[]", flush=True)
    await _Watched(records, open_store(records), light).run()


async def _prepare(records: Records, pending: int, light: bool) -> tuple[list[str], float]:
    """Set deadlines of a week ahead; returns their refs and how long it took."""
    store = open_store(records)
    week = now_us() + 7 * DAY_US
    began = time.monotonic()
    refs: list[str] = []
    for start in range(0, pending, 500):
        count = min(500, pending - start)

        def work(tx: Transaction, start: int = start, count: int = count) -> list[str]:
            if light:
                made = [str(start + i) for i in range(count)]
                timers.set(tx, [timers.Timer("task.due", ref, week) for ref in made])
                return made
            draft = Draft("Vụ việc", domain="bench", unit="so-xay-dung")
            events = open_many(tx, [draft] * count, "", followers=_followers())
            rows = TaskRows(tx)
            return [str(rows.of(event.incident)[0]["id"]) for event in events]

        refs += await store.transact(work)
    await store.close()
    return refs, time.monotonic() - began


def _followers() -> Any:
    from thap.respond.procedures.follow import follow

    return (follow,)


async def _set(records: Records, refs: Sequence[str], first: int, step: float, light: bool) -> None:
    """Let deadlines be one after the other."""
    store = open_store(records)
    for start in range(0, len(refs), 2000):
        part = refs[start : start + 2000]

        def work(tx: Transaction, start: int = start, part: Sequence[str] = part) -> None:
            dues = [first + round((start + i) * step) for i in range(len(part))]
            if not light:
                rows = TaskRows(tx)
                known = rows.many([int(ref) for ref in part])
                rows.save([{**known[int(ref)], "due": due} for ref, due in zip(part, dues, strict=True)])
            timers.set(tx, [timers.Timer("task.due", ref, due) for ref, due in zip(part, dues, strict=True)])

        await store.transact(work)
    await store.close()


def _process(data: Path, light: bool) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "bench.timers", "--serve", str(data), *(["--light"] if light else [])]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def _measure(asked: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="thap-bench-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "centre"
        if asked.url:
            data.mkdir()
            (data / "thap.toml").write_text(f'records_url = "{asked.url}"\n')
        settings = load_settings(data)

        async def make() -> tuple[list[str], float]:
            records = Records.open(settings)
            await create_tables(records)
            made = await _prepare(records, asked.pending, asked.light)
            await records.close()
            return made

        async def let_fall_due(refs: Sequence[str]) -> None:
            records = Records.open(settings)
            # Setting them takes a while; none may be due before all are set.
            first = now_us() + round((2 + asked.due / 2500) * SECOND_US)
            await _set(records, refs[: asked.due], first, asked.seconds * SECOND_US / asked.due, asked.light)
            early = now_us() < first
            await records.close()
            if not early:
                raise RuntimeError("the first fell due before all were set; give a smaller --due")

        refs, took = asyncio.run(make())
        process = _process(data, asked.light)
        _read(process, 0, 60)  # says that it runs
        asyncio.run(let_fall_due(refs))
        late = _read(process, asked.due, asked.seconds + 60)
        process.send_signal(signal.SIGKILL)
        process.wait()

        async def one_more() -> None:
            records = Records.open(settings)
            await _set(records, refs[-1:], now_us() - SECOND_US, 0, asked.light)
            await records.close()

        asyncio.run(one_more())
        began = time.monotonic()
        process = _process(data, asked.light)
        fired = _read(process, 1, 60)
        rearm = time.monotonic() - began
        process.send_signal(signal.SIGKILL)
        process.wait()
        late.sort()
        return {
            "p50_s": round(late[len(late) // 2] / 1e6, 3),
            "p99_s": round(late[int(len(late) * 0.99)] / 1e6, 3),
            "max_s": round(late[-1] / 1e6, 3),
            "fired": len(late),
            "not_fired": asked.due - len(late),
            "rearm_s": round(rearm, 3) if fired else None,
            "set_per_s": round(asked.pending / took),
            "load": round(os.getloadavg()[0], 1),
        }


def _read(process: subprocess.Popen[str], wanted: int, patience_s: float) -> list[int]:
    assert process.stdout is not None
    late: list[int] = []
    end = time.monotonic() + patience_s
    begun = False
    while (len(late) < wanted or not begun) and time.monotonic() < end:
        begun = True
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the process that fires them ended")
        late += json.loads(line)
    return late


def _peer(asked: argparse.Namespace) -> dict[str, Any]:
    if not asked.peer or importlib.util.find_spec("dbos") is None:
        return _PEER_ONCE
    words = [sys.executable, "-m", "bench.timers_dbos", "--pending", str(asked.pending), "--due", str(asked.due)]
    done = subprocess.run(
        [*words, "--seconds", str(asked.seconds)], capture_output=True, text=True, check=False, timeout=600
    )
    with contextlib.suppress(ValueError, IndexError):
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    return {"error": done.stderr[-500:]}


def _asked(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench timers")
    parser.add_argument("--pending", type=int, default=100_000)
    parser.add_argument("--due", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--url", default="")
    parser.add_argument("--serve", type=Path, default=None, help=argparse.SUPPRESS)
    return parser.parse_args(list(words))


def run(words: Sequence[str]) -> dict[str, Any]:
    """Run the benchmark."""
    asked = _asked(words)
    figures = _measure(asked)
    kept = {name: getattr(asked, name) for name in ("pending", "due", "seconds", "light")}
    return {"bench": "timers", "figures": figures, "input": kept, "peer": _peer(asked)}


if __name__ == "__main__":
    served = _asked(sys.argv[1:])
    asyncio.run(_serve(served.serve, served.light))
