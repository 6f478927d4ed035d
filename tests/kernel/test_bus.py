"""The stream: appended is kept, read in order and once, over kill -9 of the server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

import pytest

from thap.kernel.bus import JOURNAL, Bus
from thap.kernel.errors import BusyError, UnavailableError
from thap.kernel.nats import NatsServer
from thap.kernel.settings import Settings, load_settings


async def test_reading_ends_at_the_newest_message_when_asked(bus: Bus) -> None:
    for number in range(10):
        await bus.append("journal.observation", str(number).encode())
    seen = [entry.payload async for entries in bus.read(JOURNAL, 4, stop_at_end=True) for entry in entries]
    assert seen == [b"4", b"5", b"6", b"7", b"8", b"9"]
    assert [e async for e in bus.read(JOURNAL, 10, stop_at_end=True)] == []


async def test_a_subject_filter_ends_too(bus: Bus) -> None:
    await bus.append("journal.position", b"p")
    await bus.append("journal.observation", b"o")
    seen = [
        entry.payload
        async for entries in bus.read(JOURNAL, 0, subject="journal.position", stop_at_end=True)
        for entry in entries
    ]
    assert seen == [b"p"]


async def test_marks_are_remembered(bus: Bus) -> None:
    assert await bus.marked("mqtt") == 0
    await bus.mark("mqtt", 5)
    await bus.mark("mqtt", 9)
    assert await bus.marked("mqtt") == 9


async def test_a_reader_outlives_kill_9_of_the_server(bus: Bus, nats_server: NatsServer) -> None:
    for number in range(100):
        await bus.append("journal.observation", str(number).encode())
    seen: list[int] = []

    async def follow() -> None:
        async for entries in bus.read(JOURNAL, 0):
            seen.extend(int(entry.payload) for entry in entries)

    task = asyncio.create_task(follow())
    async with asyncio.timeout(10):
        while len(seen) < 100:
            await asyncio.sleep(0.02)
    assert nats_server.pid is not None
    os.kill(nats_server.pid, signal.SIGKILL)
    await asyncio.to_thread(nats_server.start)
    number = 100
    async with asyncio.timeout(30):
        while number < 120:
            try:
                await bus.append("journal.observation", str(number).encode())
                number += 1
            except UnavailableError:
                await asyncio.sleep(0.1)
        while seen[-1] < 119:
            await asyncio.sleep(0.02)
    task.cancel()
    assert list(dict.fromkeys(seen)) == list(range(120))


async def test_two_servers_on_one_machine_do_not_collide(nats_server: NatsServer, bus: Bus, settings: Settings) -> None:
    other = load_settings(settings.data.parent / "other", port=0, mqtt_port=0)
    other.data.mkdir()
    second = NatsServer(other)
    second.start()
    try:
        away = await Bus.connect(second.url, "other")
        await away.ensure_streams(other.journal)
        await bus.append("journal.observation", b"here")
        assert await away.last_seq(JOURNAL) == 0
        await away.close()
    finally:
        second.stop()


def test_a_taken_mqtt_port_is_a_clear_error(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings.mqtt_port = taken.getsockname()[1]
        with pytest.raises(BusyError, match="--mqtt-port"):
            NatsServer(settings).prepare()


async def test_nobody_there_is_a_clear_error(nats_server: NatsServer) -> None:
    nats_server.stop()
    with pytest.raises(UnavailableError, match="does not answer"):
        await Bus.connect(nats_server.url, "test", patience_s=0.5)


async def test_who_is_cancelled_while_an_answer_comes_is_cancelled(bus: Bus) -> None:
    async def ask() -> None:
        while True:
            await bus.last_seq(JOURNAL)

    for at in range(50):
        task = asyncio.create_task(ask())
        await asyncio.sleep(at % 7 / 3000)
        time.sleep(0.002)  # noqa: ASYNC251  the answer lies there when the loop goes on
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
