"""The history stage: everything in the journal ends in the lake, once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import structlog
from tests.kernel.lake_rows import SmallDisk

from thap.kernel.bus import DEAD, JOURNAL, Bus
from thap.kernel.clock import DAY_US, SECOND_US, parse_time_us
from thap.kernel.history import Lake
from thap.kernel.nats import NatsServer
from thap.kernel.settings import Settings, load_settings
from thap.observe.historian import Historian
from thap.observe.kinds import BLOCK_VERSION, Kind, encode_block

START = parse_time_us("2026-03-10T00:00:00Z")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    settings.history.flush_ms = 50
    return settings


async def until(condition: Callable[[], object], limit_s: float = 30) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(bus: Bus, settings: Settings) -> AsyncIterator[Historian]:
    historian = Historian(bus, settings)
    task = asyncio.create_task(historian.run())
    try:
        await until(lambda: historian.ready.is_set() or task.done())
        yield historian
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def observations(first: int, rows: int = 1000, series: int = 10) -> bytes:
    """A block whose times begin at second `first`."""
    row = np.arange(rows)
    return encode_block(
        Kind.OBSERVATION,
        {
            "datastream": (row % series + 1).astype(np.int32),
            "time": START + (first + row) * SECOND_US,
            "result": row / 10,
        },
    )


def positions(first: int, rows: int = 10) -> bytes:
    row = np.arange(rows)
    return encode_block(
        Kind.POSITION,
        {
            "mover": np.ones(rows, np.int32),
            "time": START + (first + row) * SECOND_US,
            "lon": 105.6 + row / 1000,
            "lat": 10.4 + row / 1000,
            "speed_kn": np.full(rows, 5.0, np.float32),
            "course_deg": np.full(rows, np.nan, np.float32),
        },
    )


async def send(bus: Bus, kind: str, block: bytes, received: int = START, version: str = BLOCK_VERSION) -> int:
    return await bus.append(f"journal.{kind}", block, {"Thap-Block": version, "Thap-Received": str(received)})


async def dead_letters(bus: Bus) -> list[dict[str, Any]]:
    return [
        msgspec.json.decode(entry.payload) async for entries in bus.read(DEAD, 0, stop_at_end=True) for entry in entries
    ]


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    lake = Lake.open(settings, read_only=True)
    try:
        return lake.query(sql, 10_000).rows
    finally:
        lake.close()


async def test_records_of_all_kinds_reach_the_lake_with_their_door_time(bus: Bus, settings: Settings) -> None:
    stamp = pa.array([START]).view("int64")
    sighting = encode_block(
        Kind.SIGHTING,
        {
            "camera": np.ones(1, np.int32),
            "time": np.array(stamp),
            "track": [7],
            "label": ["truck"],
            "action": ["crossed"],
            "detail": [None],
        },
    )
    article = encode_block(
        Kind.ARTICLE,
        {
            "source": ["báo"],
            "time": np.array(stamp),
            "url": ["https://example.org"],
            "title": ["Nước lên"],
            "text": ["…"],
        },
    )
    report = encode_block(
        Kind.REPORT,
        {"report": ["R-1"], "time": np.array(stamp), "lon": [105.6], "lat": [10.4], "text": ["ổ gà"], "media": [None]},
    )
    await send(bus, "observation", observations(0), START + 5)
    await send(bus, "position", positions(0))
    for kind, block in (("sighting", sighting), ("article", article), ("report", report)):
        last = await send(bus, kind, block)
    async with running(bus, settings) as historian:
        await until(lambda: historian.seq == last)
        assert historian.total == 1000 + 10 + 3
    assert rows(settings, "SELECT count(*), sum(result), max(received) FROM observations") == [
        (1000, pytest.approx(49950), "2026-03-10T00:00:00.000005Z")
    ]
    assert rows(settings, "SELECT count(*), count(speed_kn) FROM positions") == [(10, 10)]
    assert rows(settings, "SELECT label, title, report FROM sightings, articles, reports") == [
        ("truck", "Nước lên", "R-1")
    ]


async def test_records_that_come_while_it_runs_are_written_and_the_heartbeat_says_so(
    bus: Bus, settings: Settings
) -> None:
    beats: list[dict[str, Any]] = []

    async def hear(_subject: str, payload: bytes) -> None:
        beats.append(msgspec.json.decode(payload))

    await bus.listen("centre.stats.history", hear)
    async with running(bus, settings) as historian:
        for number in range(5):
            last = await send(bus, "observation", observations(number * 1000))
        await send(bus, "observation", observations(0))
        await until(lambda: historian.seq == last + 1)
        await until(lambda: beats and beats[-1]["stages"]["history"]["seq"] == last + 1)
    beat = beats[-1]
    assert (beat["role"], beat["pid"]) == ("history", os.getpid())
    assert beat["stages"]["history"]["lag"] == 0
    assert beat["stages"]["history"]["total"] == 5000
    assert beat["stages"]["history"]["disk_full"] is False
    assert beat["counters"]["duplicates"] == 1000


async def test_after_a_restart_it_reads_on_where_the_lake_stands(bus: Bus, settings: Settings) -> None:
    await send(bus, "observation", observations(0))
    async with running(bus, settings) as historian:
        await until(lambda: historian.seq == 1)
    await send(bus, "observation", observations(1000))
    async with running(bus, settings) as historian:
        await until(lambda: historian.seq == 2)
        assert (historian.total, historian.counters["duplicates"]) == (1000, 0)
    assert rows(settings, "SELECT count(*) FROM observations") == [(2000,)]


async def test_a_block_that_is_none_goes_to_the_dead_letters_and_the_rest_goes_on(bus: Bus, settings: Settings) -> None:
    await send(bus, "observation", observations(0))
    bad = [
        ("observation", b"not a block", "1"),
        ("observation", observations(0)[:-40], "1"),
        ("rumour", b"x", "1"),
        ("observation", observations(5000), "2"),
    ]
    for kind, block, version in bad:
        await send(bus, kind, block, version=version)
    last = await send(bus, "observation", observations(1000))
    async with running(bus, settings) as historian:
        await until(lambda: historian.seq == last)
        assert (historian.total, historian.counters["dead"]) == (2000, 4)
    letters = await dead_letters(bus)
    assert [(letter["door"], letter["stage"], letter["seq"]) for letter in letters] == [
        ("history", "history", seq) for seq in (2, 3, 4, 5)
    ]
    assert [base64.b64decode(letter["record"]) for letter in letters] == [block for _, block, _ in bad]
    assert "version '2'" in letters[-1]["reason"]


async def test_a_poisoned_row_goes_to_the_dead_letters_and_its_neighbours_are_written(
    bus: Bus, settings: Settings
) -> None:
    row = np.arange(1000)
    ids = (row % 10 + 1).astype(np.int32)
    at = START + row * SECOND_US
    ids[333], at[777] = 2**31 - 1, 2**62
    await send(bus, "observation", encode_block(Kind.OBSERVATION, {"datastream": ids, "time": at, "result": row / 10}))
    last = await send(bus, "position", positions(0))
    async with running(bus, settings) as historian:
        await until(lambda: historian.seq == last)
        assert historian.total == 998 + 10
    assert rows(settings, "SELECT count(*) FROM observations") == [(998,)]
    letters = {letter["record"]["result"]: letter for letter in await dead_letters(bus)}
    assert set(letters) == {33.3, 77.7}
    assert letters[33.3]["reason"] == "2147483647 is not a number of the registry"
    assert letters[77.7]["record"]["time"] == 2**62
    assert letters[33.3]["kind"] == "observation"
    assert letters[33.3]["seq"] == 1


async def test_records_the_journal_dropped_before_they_were_written_are_told_loudly(
    bus: Bus, settings: Settings
) -> None:
    async with running(bus, settings) as historian:
        await send(bus, "observation", observations(0))
        await until(lambda: historian.seq == 1)
    for number in range(1, 6):
        await send(bus, "observation", observations(number * 1000))
    await bus.js.purge_stream(JOURNAL, seq=5)  # as if 2, 3 and 4 had aged out
    with structlog.testing.capture_logs() as logs:
        async with running(bus, settings) as historian:
            await until(lambda: historian.seq == 6)
            assert historian.counters["lost"] == 3
    [said] = [line for line in logs if "GAP" in line["event"]]
    assert (said["log_level"], said["messages"], said["first"], said["last"]) == ("error", 3, 2, 4)


async def test_a_journal_begun_anew_is_read_from_its_beginning(bus: Bus, settings: Settings) -> None:
    settings.data.mkdir(exist_ok=True)
    lake = Lake.open(settings)
    lake.append({}, 1000)
    lake.close()
    last = await send(bus, "observation", observations(0))
    async with running(bus, settings) as historian:
        await until(lambda: historian.seq == last)
        assert historian.total == 1000


async def test_upkeep_goes_on_beside_the_writing(bus: Bus, settings: Settings) -> None:
    settings.history.compact_minutes = 0.2 / 60
    settings.history.keep_days["observation"] = 0
    async with running(bus, settings) as historian:
        number = 0
        while historian.counters["tidied.merge"] < 2:
            last = await send(bus, "observation", observations(number * 1000))
            number += 1
            await until(lambda: historian.seq == last)  # noqa: B023
    assert rows(settings, "SELECT count(*) FROM observations") == [(number * 1000,)]


@pytest.fixture
def informed() -> Iterator[None]:
    """Log lines of information are not left out."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("informed")
async def test_a_full_disk_holds_the_writing_and_it_goes_on_by_itself(
    bus: Bus, settings: Settings, tmp_path: Path
) -> None:
    with SmallDisk(tmp_path / "small", 3) as disk, structlog.testing.capture_logs() as logs:
        small = load_settings(disk.folder / "centre")
        small.data.mkdir()
        small.history.flush_ms = 50
        async with running(bus, small) as historian:
            noise = np.random.default_rng(1)
            row = np.arange(50_000)
            for number in range(10):
                last = await send(
                    bus,
                    "observation",
                    encode_block(
                        Kind.OBSERVATION,
                        {
                            "datastream": (row % 100 + 1).astype(np.int32),
                            "time": START + number * DAY_US + row * SECOND_US,
                            "result": noise.normal(size=50_000),
                        },
                    ),
                )
            await until(lambda: historian.disk_full)
            assert historian.seq < last
            disk.grow(40)
            await until(lambda: historian.seq == last)
            assert historian.disk_full is False
            await until(lambda: any("room again" in line["event"] for line in logs))
        assert rows(small, "SELECT count(*) FROM observations") == [(500_000,)]
    said = [line["event"] for line in logs if "room" in line["event"] or "cannot be written" in line["event"]]
    assert said == [
        "history cannot be written; records wait in the journal, trying again",
        "the disk has room again: history goes on",
    ]


_CHILD = """
import asyncio, sys
from pathlib import Path
from thap.kernel.bus import Bus
from thap.kernel.settings import load_settings
from thap.observe.historian import Historian
async def main():
    settings = load_settings(Path(sys.argv[1]))
    settings.history.flush_ms = 50
    settings.history.flush_rows = 1000
    settings.history.compact_minutes = 0.3 / 60
    historian = Historian(await Bus.connect(sys.argv[2], "history"), settings)
    task = asyncio.create_task(historian.run())
    await historian.ready.wait()
    print("ready", flush=True)
    await task
asyncio.run(main())
"""


async def test_killed_at_any_moment_it_loses_nothing_and_doubles_nothing(
    bus: Bus, settings: Settings, nats_server: NatsServer
) -> None:
    seed = np.random.default_rng(7)
    sent = 0
    for _ in range(6):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CHILD, str(settings.data), nats_server.url, stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
        began = time.monotonic()
        life = seed.random()
        while time.monotonic() - began < life:
            await send(bus, "observation", observations(sent))
            sent += 1000
            await asyncio.sleep(0.01)
        child.kill()
        await child.wait()
    last = await bus.last_seq(JOURNAL)
    async with running(bus, settings) as historian:
        assert historian.seq > 0  # the killed ones had got somewhere
        await until(lambda: historian.seq == last)
    assert rows(settings, "SELECT count(*), count(DISTINCT (datastream, time)) FROM observations") == [(sent, sent)]
