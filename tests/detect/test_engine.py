"""The engine on a real journal and a real alarm book: exactly once, whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from thap.detect.engine import Engine
from thap.detect.rules import Rule
from thap.detect.ruletext import read_rules
from thap.kernel.bus import DEAD, Bus
from thap.kernel.clock import SECOND_US, now_us
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.kinds import BLOCK_VERSION, Kind, encode_block
from thap.observe.registry import register_datastreams
from thap.respond.alarm import AlarmEvent
from thap.respond.book import AlarmBook

RULES = """
[[rule]]
name = "high"
kind = "threshold"
title = { vi = "Cao", en = "High" }
severity = "high"
select = { datastream = "*/level" }
above = 2.0

[[rule]]
name = "silent"
kind = "silence"
title = { vi = "Im", en = "Silent" }
severity = "low"
select = { datastream = "quiet/level" }
no_data_for = "2s"
"""


@pytest.fixture
async def known(records: Records) -> Records:
    async with records.write() as connection:
        await register_datastreams(connection, [{"key": "tram/level"}, {"key": "quiet/level"}])
    return records


async def _append(bus: Bus, *rows: tuple[int, int, float]) -> int:
    """A block of (datastream, time, result)."""
    block = encode_block(
        Kind.OBSERVATION,
        {
            "datastream": np.array([r[0] for r in rows], np.int32),
            "time": np.array([r[1] for r in rows], np.int64),
            "result": np.array([r[2] for r in rows], np.float64),
        },
    )
    return await bus.append("journal.observation", block, {"Thap-Block": BLOCK_VERSION, "Thap-Received": str(now_us())})


@asynccontextmanager
async def _running(bus: Bus, records: Records, settings: Settings) -> AsyncIterator[Engine]:
    async def rules() -> list[Rule]:
        return read_rules(RULES)

    book = AlarmBook(records)
    engine = Engine(bus, records, settings, book, rules)
    task = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await book.close()


async def _until(condition: Callable[[], Any], seconds: float = 15) -> Any:
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)


async def _events(records: Records) -> list[AlarmEvent]:
    book = AlarmBook(records)
    try:
        return await book.events_after(0, 1000)
    finally:
        await book.close()


async def test_a_crash_before_the_checkpoint_repeats_nothing(bus: Bus, known: Records, settings: Settings) -> None:
    settings.engine.checkpoint_s = 600
    start = now_us() - 3600 * SECOND_US
    for turn in range(4):
        async with _running(bus, known, settings) as engine:
            for step in range(5):
                at = start + (turn * 5 + step) * SECOND_US
                seq = await _append(bus, (1, at, 3.0), (1, at + 1, 1.0))
            await _until(lambda engine=engine, seq=seq: engine.seq >= seq)
            engine._halfway = True  # as a crash would leave it: no checkpoint is written at the end
    actions = [event.action for event in await _events(known) if event.condition == "high"]
    assert actions == ["raise", "clear"] * 20


async def test_a_checkpoint_saves_reading_again_and_keeps_latest_values(
    bus: Bus, known: Records, settings: Settings
) -> None:
    at = now_us() - 60 * SECOND_US
    async with _running(bus, known, settings) as engine:
        seq = await _append(bus, (1, at, 3.0))
        await _until(lambda: engine.seq >= seq)
        await engine.checkpoint()
    async with _running(bus, known, settings) as engine:
        await _until(engine.ready.is_set)
        assert engine.seq == seq
        assert engine.totals[Kind.OBSERVATION] == 0
        answer = await bus.ask("centre.ask.latest", b"observation")
        with pa.ipc.open_stream(answer) as reader:
            assert reader.read_all().column("result").to_pylist() == [3.0]
        await _append(bus, (1, at + 1, 1.0))
        await _until(lambda: engine.seq > seq)
    assert [event.action for event in await _events(known) if event.condition == "high"] == ["raise", "clear"]


async def test_a_torn_checkpoint_is_passed_over(bus: Bus, known: Records, settings: Settings) -> None:
    async with _running(bus, known, settings) as engine:
        seq = await _append(bus, (1, now_us(), 3.0))
        await _until(lambda: engine.seq >= seq)
        await engine.checkpoint()
    path = settings.state_dir / "engine.checkpoint"
    path.write_bytes(path.read_bytes()[:-20])
    async with _running(bus, known, settings) as engine:
        await _until(lambda: engine.seq >= seq)
    assert [event.action for event in await _events(known) if event.condition == "high"] == ["raise"]


async def test_a_poisoned_block_becomes_a_dead_letter_and_the_stream_goes_on(
    bus: Bus, known: Records, settings: Settings
) -> None:
    await bus.append("journal.observation", b"this is no block", {"Thap-Block": BLOCK_VERSION})
    seq = await _append(bus, (1, now_us(), 3.0))
    async with _running(bus, known, settings) as engine:
        await _until(lambda: engine.seq >= seq)
    letters = [json.loads(entry.payload) async for entries in bus.read(DEAD, 0, stop_at_end=True) for entry in entries]
    assert [(letter["door"], letter["seq"]) for letter in letters] == [("engine", 1)]
    assert [event.action for event in await _events(known) if event.condition == "high"] == ["raise"]


async def test_records_of_a_datastream_registered_meanwhile_are_judged(
    bus: Bus, known: Records, settings: Settings
) -> None:
    async with _running(bus, known, settings) as engine:
        await _until(engine.ready.is_set)
        async with known.write() as connection:
            await register_datastreams(connection, [{"key": "later/level"}])
        seq = await _append(bus, (3, now_us(), 5.0))  # before anybody announced the change
        await _until(lambda: engine.seq >= seq)
    assert [event.source for event in await _events(known)] == ["later/level"]


async def test_silence_raises_and_the_next_record_clears(bus: Bus, known: Records, settings: Settings) -> None:
    heard: list[dict[str, Any]] = []

    async def hear(_subject: str, payload: bytes) -> None:
        heard.append(json.loads(payload))

    await bus.listen("centre.live.alarm", hear)
    async with _running(bus, known, settings):
        await _append(bus, (2, now_us(), 1.0))
        await _until(lambda: [e for e in heard if (e["condition"], e["action"]) == ("silent", "raise")])
        await _append(bus, (2, now_us(), 1.0))
        await _until(lambda: [e for e in heard if (e["condition"], e["action"]) == ("silent", "clear")])
    assert [event.action for event in await _events(known)] == ["raise", "clear"]


async def test_timers_go_on_after_a_failure(
    bus: Bus, known: Records, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 0

    async def fails_once(self: AlarmBook, now: int | None = None) -> list[AlarmEvent]:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise OSError(28, "No space left on device")
        return []

    monkeypatch.setattr(AlarmBook, "expire", fails_once)
    async with _running(bus, known, settings):
        await _append(bus, (2, now_us(), 1.0))
        await _until(lambda: failures > 3)

        async def silent() -> list[AlarmEvent]:
            return [event for event in await _events(known) if event.condition == "silent"]

        await _until(silent)


async def test_a_journal_begun_anew_is_judged_from_its_beginning(bus: Bus, known: Records, settings: Settings) -> None:
    async with _running(bus, known, settings) as engine:
        for step in range(5):
            seq = await _append(bus, (1, now_us() - (10 - step) * SECOND_US, 3.0 if step % 2 == 0 else 1.0))
        await _until(lambda: engine.seq >= seq)
    before = len(await _events(known))
    await bus.js.delete_stream("JOURNAL")
    await bus.ensure_streams(settings.journal)
    seq = await _append(bus, (1, now_us(), 1.0))
    async with _running(bus, known, settings) as engine:
        await _until(lambda: engine.seq == seq == 1)
    assert len(await _events(known)) == before + 1


async def test_the_engine_says_how_far_it_is_behind(bus: Bus, known: Records, settings: Settings) -> None:
    async with _running(bus, known, settings) as engine:
        await _until(engine.ready.is_set)
        async with engine._reload:  # it cannot judge now
            for step in range(3):
                await _append(bus, (1, now_us() + step, 1.0))
            await _until(lambda: engine.stats()["detect"]["lag"] >= 3)
        await _until(lambda: engine.stats()["detect"]["lag"] == 0)
