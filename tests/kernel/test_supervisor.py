"""The supervisor: what ends is started again, what stands still is restarted, all ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil

from thap.kernel.settings import Settings
from thap.kernel.supervisor import Child, Supervisor

BEATING = """
import asyncio, os, sys
from thap.kernel.bus import Bus

async def main():
    bus = await Bus.connect(sys.argv[1], "child")
    seq = 0
    while True:
        seq += int(sys.argv[2])
        await bus.announce("centre.stats.child", {"role": "child", "pid": os.getpid(),
                           "stages": {"work": {"seq": seq, "lag": 5}}, "counters": {}})
        await asyncio.sleep(0.1)

asyncio.run(main())
"""


@asynccontextmanager
async def _supervised(
    settings: Settings, make: Callable[[Supervisor], Child]
) -> AsyncIterator[tuple[Supervisor, Child]]:
    settings.engine.stall_s = 2
    supervisor = Supervisor(settings, [])
    supervisor.start_nats()
    child = make(supervisor)
    supervisor.children[child.role] = child
    supervisor.start_children()
    watching = asyncio.create_task(supervisor.watch())
    try:
        yield supervisor, child
    finally:
        await supervisor.stop()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _until(condition: Callable[[], Any], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def test_a_stage_that_stands_still_with_work_waiting_is_restarted(settings: Settings) -> None:
    def make(supervisor: Supervisor) -> Child:
        return Child("child", [sys.executable, "-c", BEATING, supervisor.nats.url, "0"])

    async with _supervised(settings, make) as (_, child):
        first = child.pid
        await _until(lambda: child.restarts >= 1 and child.pid != first)
        assert first is not None
        assert not psutil.pid_exists(first)


async def test_a_stage_that_moves_is_left_alone_however_much_waits(settings: Settings) -> None:
    def make(supervisor: Supervisor) -> Child:
        return Child("child", [sys.executable, "-c", BEATING, supervisor.nats.url, "1"])

    async with _supervised(settings, make) as (_, child):
        await _until(lambda: child.stats.get("stages", {}).get("work", {}).get("seq", 0) > 45)
        assert child.restarts == 0


async def test_a_process_that_ends_and_a_killed_server_are_started_again(settings: Settings) -> None:
    def make(_supervisor: Supervisor) -> Child:
        return Child("child", [sys.executable, "-c", "import time; time.sleep(0.5)"])

    async with _supervised(settings, make) as (supervisor, child):
        await _until(lambda: child.restarts >= 2)
        server = supervisor.nats.pid
        assert server is not None
        os.kill(server, 9)
        await _until(lambda: supervisor.nats.alive() and supervisor.nats.pid != server)
    assert not supervisor.nats.alive()
    assert child.ended() is not None
