"""The engine on a real journal and a real alarm book: exactly once, whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from thap.detect.detector import Detector, Finding, Outcome
from thap.detect.engine import Engine
from thap.detect.findings import Outbox, read_findings
from thap.detect.rules import Rule
from thap.detect.ruletext import read_rules
from thap.kernel.bus import DEAD, FOUND, Bus
from thap.kernel.clock import SECOND_US, now_us
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.kinds import BLOCK_VERSION, Kind, ObservationBatch, PositionBatch, encode_block
from thap.observe.registry import Registry, register_datastreams
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


class _Notes(Detector):
    """Notes every row, with how many it has seen."""

    watches = Kind.OBSERVATION
    condition = "notes"

    def __init__(self) -> None:
        self._seen = 0

    def bind(self, registry: Registry) -> None:
        pass

    def update(self, batch: ObservationBatch | PositionBatch) -> Outcome:
        assert isinstance(batch, ObservationBatch)
        outcome = Outcome()
        for result in batch.result.tolist():
            self._seen += 1
            outcome.findings.append(Finding("test", "note", msgspec.msgpack.encode((self._seen, result))))
        return outcome

    def dump(self) -> dict[str, Any]:
        return {"seen": self._seen}

    def load(self, state: dict[str, Any]) -> None:
        self._seen = state["seen"]


async def _notes(bus: Bus) -> list[tuple[int, float]]:
    """What the stream of findings has, in its order."""
    found: list[tuple[int, float]] = []
    async for entries in bus.read(FOUND, 0, subject="found.test", stop_at_end=True):
        for entry in entries:
            for what, body in read_findings(entry.payload):
                assert what == "note"
                found.append(tuple(msgspec.msgpack.decode(body)))  # type: ignore[arg-type]
    return found


@asynccontextmanager
async def _running(bus: Bus, records: Records, settings: Settings, *detectors: Detector) -> AsyncIterator[Engine]:
    async def rules() -> list[Rule]:
        return read_rules(RULES)

    book = AlarmBook(records)
    engine = Engine(bus, records, settings, book, rules, detectors)
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


# What detectors find beside alarms


@pytest.mark.parametrize("batch_rows", [100, 100_000])
async def test_a_crash_after_findings_were_appended_repeats_none(
    bus: Bus, known: Records, settings: Settings, batch_rows: int
) -> None:
    settings.engine.checkpoint_s = 600  # one when the engine has caught up
    settings.engine.batch_rows = batch_rows
    start = now_us() - 3600 * SECOND_US
    for turn in range(4):
        async with _running(bus, known, settings, _Notes()) as engine:
            for step in range(5):
                at = turn * 5 + step
                seq = await _append(bus, (1, start + 2 * at, 3.0), (1, start + 2 * at + 1, 1.0))
            await _until(lambda engine=engine, seq=seq: engine.seq >= seq and not len(engine._findings))
            engine._halfway = True
        if turn % 2:
            settings.state_dir.joinpath("engine.checkpoint").unlink(missing_ok=True)
    assert await _notes(bus) == [(1 + at, 3.0 - at % 2 * 2) for at in range(40)]
    assert [event.action for event in await _events(known) if event.condition == "high"] == ["raise", "clear"] * 20


async def test_findings_are_told_again_where_their_stream_lost_them_and_alarms_are_not(
    bus: Bus, known: Records, settings: Settings
) -> None:
    at = now_us() - 60 * SECOND_US
    seq = await _append(bus, (1, at, 3.0), (1, at + 1, 1.0))
    async with _running(bus, known, settings, _Notes()) as engine:
        await _until(lambda: engine.seq >= seq and not len(engine._findings))
    settings.state_dir.joinpath("engine.checkpoint").unlink()
    await bus.js.delete_stream(FOUND)
    await bus.ensure_streams(settings.journal)
    async with _running(bus, known, settings, _Notes()) as engine:
        await _until(lambda: engine.seq >= seq and not len(engine._findings))
        assert engine.applied == seq
    assert await _notes(bus) == [(1, 3.0), (2, 1.0)]
    assert [event.action for event in await _events(known) if event.condition == "high"] == ["raise", "clear"]


async def test_without_the_stream_alarms_go_on_and_findings_wait_over_a_restart(
    bus: Bus, known: Records, settings: Settings
) -> None:
    await bus.js.delete_stream(FOUND)
    at = now_us() - 60 * SECOND_US
    for turn in range(2):
        async with _running(bus, known, settings, _Notes()) as engine:
            seq = await _append(bus, (1, at + 2 * turn, 3.0), (1, at + 2 * turn + 1, 1.0))
            await _until(lambda engine=engine, seq=seq: engine.seq >= seq)
            assert engine.stats()["detect"]["findings_waiting"] == 2 * (turn + 1)
    assert [event.action for event in await _events(known) if event.condition == "high"] == ["raise", "clear"] * 2
    async with _running(bus, known, settings, _Notes()) as engine:
        await _until(lambda: len(engine._findings) == 4)
        await bus.ensure_streams(settings.journal)
        await _append(bus, (1, at + 9, 1.0))
        await _until(lambda: engine.stats()["detect"]["findings_sent"] == 5)
        assert engine.stats()["detect"]["findings_waiting"] == engine.stats()["detect"]["findings_lost"] == 0
    assert await _notes(bus) == [(1, 3.0), (2, 1.0), (3, 3.0), (4, 1.0), (5, 1.0)]


async def test_of_more_findings_than_there_is_room_for_the_newest_are_kept_in_order(bus: Bus) -> None:
    notes = [Finding("test", "note", msgspec.msgpack.encode((at, 0.5))) for at in range(2500)]
    box = Outbox(bus, limit=2000)
    box.put(notes[:300])
    task = asyncio.create_task(box.run())
    await _until(lambda: box.sent >= 300)
    before = await bus.last_seq(FOUND)
    box.put(notes[300:])
    assert (len(box), box.lost) == (2000, 200)
    await _until(lambda: not len(box))
    task.cancel()
    assert await _notes(bus) == [(at, 0.5) for at in (*range(300), *range(500, 2500))]
    assert before < 300 and await bus.last_seq(FOUND) - before < 200  # where many wait, many go together
    small = Outbox(bus, limit_bytes=25)
    small.put(notes[:4])
    assert (len(small), small.lost) == (2, 2) and small.dump()[0] == ("test", "note", notes[2].payload)


async def test_a_finding_that_no_message_can_hold_does_not_stop_those_behind_it(bus: Bus) -> None:
    most = bus.client.max_payload
    box = Outbox(bus)
    box.put([Finding("test", "note", msgspec.msgpack.encode(b"x" * most)), Finding("test", "note", b"\x92\x01\xc2")])
    task = asyncio.create_task(box.run())
    await _until(lambda: box.sent == 1)
    task.cancel()
    assert (len(box), box.lost) == (0, 1) and await _notes(bus) == [(1, False)]
