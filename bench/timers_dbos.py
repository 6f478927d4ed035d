"""DBOS as the keeper of deadlines: the peer of `bench/timers.py`, and why timers are rows of our own.

    python -m bench.timers_dbos [--pending 100000] [--due 30000] [--seconds 30] [--grace 30] [--concurrency 1000]

Each deadline is a workflow enqueued with a delay, the way DBOS offers since 3.x: one row each until it is due, no
thread and no coroutine. `pending` of them are made in few transactions with `enqueue_in_transaction` (the fastest
way it has), `due` of them fall due evenly over `seconds`, the rest in a week. The workflow does nothing but note
the time, so what is measured is DBOS alone. Its SQLite file is given WAL and `synchronous=NORMAL`, which it does
not set by itself, and the queue is polled every 0.1 s instead of every second. `concurrency` workflows may run at
once: a small number limits what a poll can start (16 of them: 160 a second), which is no property of DBOS.

Prints one JSON line: seconds to make them, lateness of those that fired until `grace` seconds after the last was
due, how many did not fire by then, and seconds from the start of a new process, with as many pending, until a
deadline fires that fell due while nothing ran. Needs `dbos` (measured with 3.4.0), which Tháp does not depend on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

__all__: list[str] = []

_fired: list[float] = []
_first = threading.Event()


def _engine(path: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{path}", pool_size=20)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _launch(path: Path, concurrency: int) -> Any:
    import dbos

    dbos.DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{path}",
            "system_database_engine": _engine(path),
            "log_level": "ERROR",
            "application_version": "1",
            "executor_id": "bench",
        }
    )

    @dbos.DBOS.workflow(name="deadline")  # type: ignore[untyped-decorator,unused-ignore]
    def deadline(due: float) -> None:
        _fired.append(time.time() - due)
        _first.set()

    dbos.DBOS.launch()
    dbos.DBOS.register_queue("deadlines", worker_concurrency=concurrency, polling_interval_sec=0.1)
    return dbos


def _make(dbos: Any, path: Path, dues: list[float]) -> float:
    began = time.monotonic()
    engine = _engine(path)
    client = dbos.DBOSClient(system_database_engine=engine, system_database_url=f"sqlite:///{path}")
    for start in range(0, len(dues), 1000):
        with engine.begin() as connection:
            for due in dues[start : start + 1000]:
                client.enqueue_in_transaction(
                    connection,
                    {
                        "workflow_name": "deadline",
                        "queue_name": "deadlines",
                        "delay_seconds": max(due - time.time(), 0.001),
                        "app_version": "1",
                        "application_name": "bench",
                    },
                    due,
                )
    client.destroy()
    return time.monotonic() - began


def _restart(path: Path, began: float, concurrency: int) -> None:
    """In a new process: until the first that is due has fired."""
    dbos = _launch(path, concurrency)
    fired = _first.wait(120)
    print(json.dumps({"rearm_s": round(time.time() - began, 3) if fired else None}), flush=True)
    del dbos
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pending", type=int, default=100_000)
    parser.add_argument("--due", type=int, default=30_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--grace", type=float, default=30)
    parser.add_argument("--concurrency", type=int, default=1000)
    parser.add_argument("--restart", nargs=2, default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.restart:
        _restart(Path(asked.restart[0]), float(asked.restart[1]), asked.concurrency)
    with tempfile.TemporaryDirectory(prefix="thap-dbos-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "system.sqlite"
        dbos = _launch(path, asked.concurrency)
        week = time.time() + 7 * 86400
        # The many first, so that making them does not eat into the time of those that fall due.
        make_s = _make(dbos, path, [week + i for i in range(asked.pending - asked.due)])
        begin = time.time() + asked.due / max((asked.pending - asked.due) / make_s, 1) * 1.5 + 1
        make_s += _make(dbos, path, [begin + i * asked.seconds / asked.due for i in range(asked.due)])
        early = time.time() < begin
        time.sleep(max(begin + asked.seconds - time.time(), 0))
        end = time.time() + asked.grace
        while time.time() < end and len(_fired) < asked.due:
            time.sleep(0.1)
        late = sorted(_fired)
        memory = psutil.Process().memory_info().rss / 2**20
        figures: dict[str, Any] = {
            "make_s": round(make_s, 1),
            "all_made_before_first_due": early,
            "fired": len(late),
            "not_fired": asked.due - len(late),
            "p50_s": round(late[len(late) // 2], 3) if late else None,
            "p99_s": round(late[int(len(late) * 0.99)], 3) if late else None,
            "memory_mib": round(memory),
            "load": round(os.getloadavg()[0], 1),
        }
        with contextlib.suppress(Exception):
            dbos.DBOS.destroy(workflow_completion_timeout_sec=0)
        # One more that falls due while nothing runs.
        engine = _engine(path)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE workflow_status SET delay_until_epoch_ms = 1 WHERE workflow_uuid = "
                "(SELECT workflow_uuid FROM workflow_status WHERE status = 'DELAYED' LIMIT 1)"
            )
        engine.dispose()
        words = [sys.executable, "-m", "bench.timers_dbos", "--restart", str(path), str(time.time())]
        words += ["--concurrency", str(asked.concurrency)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=180)
        with contextlib.suppress(ValueError, IndexError):
            figures |= json.loads(done.stdout.strip().splitlines()[-1])
        print(json.dumps({"peer": "dbos 3.4.0, SQLite", "figures": figures, "input": vars(asked)}), flush=True)
        os._exit(0)


if __name__ == "__main__":
    main()
