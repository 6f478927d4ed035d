"""Names nobody knew: listing, admitting, dropping, and what happens when that is interrupted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.kernel.bus import DEAD, JOURNAL, QUARANTINE, Bus, Entry
from thap.kernel.clock import SECOND_US, now_us
from thap.kernel.errors import InputError, UnavailableError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe import quarantine
from thap.observe.admission import Admission
from thap.observe.intake import Intake
from thap.observe.kinds import Kind, decode_block
from thap.observe.registry import load_registry


@pytest.fixture
async def intake(bus: Bus, records: Records, settings: Settings) -> AsyncIterator[Intake]:
    async with Intake(bus, records, settings) as made:
        yield made


@pytest.fixture
def admission(bus: Bus, records: Records, intake: Intake) -> Admission:
    return Admission(bus, records, intake)


async def send(intake: Intake, keys: list[str], start: int = 0) -> None:
    count = len(keys)
    now = now_us() // SECOND_US * SECOND_US - 3600 * SECOND_US
    receipt = await intake.observations(
        "http",
        keys,
        now + np.arange(start, start + count) * SECOND_US,
        np.arange(count, dtype=np.float64),
        lambda row: {"datastream": keys[row]},
    )
    assert not receipt.rejected


async def journalled(bus: Bus, kind: Kind = Kind.OBSERVATION) -> int:
    return sum(
        [
            decode_block(kind, entry.payload).num_rows
            async for entries in bus.read(JOURNAL, 0, subject=f"journal.{kind}", stop_at_end=True)
            for entry in entries
        ]
    )


async def test_names_are_listed_with_how_many_records_wait(admission: Admission, intake: Intake) -> None:
    await send(intake, ["tram-01/level"] * 3 + ["tram-02/level"])
    names, total = await admission.waiting()
    assert total == 2 and {name.key: name.count for name in names} == {"tram-01/level": 3, "tram-02/level": 1}
    assert names[0].door == "http" and '"key"' in names[0].sample
    assert (await admission.waiting(pattern="*-02/*"))[1] == 1 and (await admission.waiting(pattern="tram_01"))[1] == 0
    assert len((await admission.waiting(limit=1, offset=1))[0]) == 1


async def test_admitting_registers_the_name_and_releases_its_records(
    admission: Admission, intake: Intake, bus: Bus, records: Records
) -> None:
    await send(intake, ["tram-01/level", "tram-02/level", "tram-01/level"])
    assert await journalled(bus) == 0
    outcome = await admission.admit(["tram-01/*", "tram-09/*"])
    assert outcome.as_dict() == {"names": 1, "released": 2, "rejected": 0, "unmatched": ["tram-09/*"]}
    assert await journalled(bus) == 2
    async with records.read() as connection:
        assert [d.key for d in (await load_registry(connection)).datastreams] == ["tram-01/level"]
    assert [name.key for name in (await admission.waiting())[0]] == ["tram-02/level"]
    await send(intake, ["tram-01/level"], start=10)
    assert await journalled(bus) == 3


async def test_a_mover_is_admitted_with_its_positions(admission: Admission, intake: Intake, bus: Bus) -> None:
    await intake.positions(
        "trackers",
        ["xe-12"],
        np.array([now_us()]),
        np.array([105.6]),
        np.array([10.4]),
        np.array([np.nan]),
        np.array([90.0]),
        lambda _row: {},
    )
    assert (await admission.admit(["xe-*"])).released == 1
    assert await journalled(bus, Kind.POSITION) == 1


async def test_an_admission_that_was_interrupted_is_completed_by_settle(
    admission: Admission, intake: Intake, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(intake, ["tram-01/level"] * 5)
    with monkeypatch.context() as patch:

        async def no_room(*_: object) -> None:
            raise UnavailableError("the journal does not answer")

        patch.setattr(intake, "_append", no_room)
        with pytest.raises(UnavailableError):
            await admission.admit(["*"])
    assert (await admission.waiting())[1] == 1, "the name stays on the list until its records are in the journal"
    assert (await admission.settle()).released == 5
    assert await journalled(bus) == 5 and (await admission.waiting())[1] == 0
    assert (await admission.settle()).names == 0


async def test_a_record_that_arrives_during_the_admission_is_not_forgotten(
    admission: Admission, intake: Intake, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(intake, ["tram-01/level"])
    plain, reads = bus.read, 0

    async def read(stream: str, after: int, *, stop_at_end: bool) -> AsyncIterator[list[Entry]]:
        nonlocal reads
        reads += 1
        async for entries in plain(stream, after, stop_at_end=stop_at_end):
            yield entries
        if reads == 1:  # a door that had begun before the name was registered
            await intake._quarantine(
                Kind.OBSERVATION, "http", [0], ["tram-01/level"], np.array([now_us()]), (np.array([7.0]),), now_us()
            )

    monkeypatch.setattr(bus, "read", read)
    outcome = await admission.admit(["tram-01/level"])
    monkeypatch.undo()
    assert outcome.released == 2 and await journalled(bus) == 2 and (await admission.waiting())[1] == 0


async def test_dropping_sends_the_records_to_the_dead_letters(admission: Admission, intake: Intake, bus: Bus) -> None:
    await send(intake, ["tram-01/level"] * 2 + ["tram-02/level"])
    outcome = await admission.drop(["tram-01/level"], "lan")
    assert (outcome.names, outcome.rejected) == (1, 2)
    letters = [entry.payload async for entries in bus.read(DEAD, 0, stop_at_end=True) for entry in entries]
    assert len(letters) == 2 and b"dropped by lan" in letters[0]
    assert await journalled(bus) == 0
    await send(intake, ["tram-01/level"])
    assert (await admission.waiting())[1] == 2, "a dropped name that comes again waits again"


async def test_when_nothing_waits_the_stream_is_empty(admission: Admission, intake: Intake, bus: Bus) -> None:
    await send(intake, [f"tram-{number:03d}/level" for number in range(300)])
    assert (await admission.admit(["tram-*"])).released == 300
    assert (await bus.js.stream_info(QUARANTINE)).state.messages == 0


async def test_records_of_names_still_waiting_stay_in_the_stream(
    admission: Admission, intake: Intake, bus: Bus
) -> None:
    await send(intake, ["tram-01/level"])
    await send(intake, ["tram-02/level", "tram-01/level"])
    await send(intake, ["tram-01/level"])
    assert (await admission.admit(["tram-01/*"])).released == 3
    assert (await bus.js.stream_info(QUARANTINE)).state.first_seq == 2
    assert (await admission.admit(["tram-02/*"])).released == 1


async def test_more_unknown_names_than_are_listed_go_to_the_dead_letters(
    bus: Bus, records: Records, settings: Settings
) -> None:
    settings.doors.unknown_names = 500
    async with Intake(bus, records, settings) as intake:
        keys = [f"x-{number}/y" for number in range(2000)]
        receipt = await intake.observations(
            "http", keys, np.full(2000, now_us()), np.zeros(2000), lambda row: {"datastream": keys[row], "result": 0}
        )
        assert len(receipt.quarantined) == 500 and len(receipt.rejected) == 1500
        assert (await Admission(bus, records, intake).waiting())[1] == 500


async def test_no_pattern_is_an_error(admission: Admission) -> None:
    for patterns in ([], [""]):
        with pytest.raises(InputError, match="no name or pattern"):
            await admission.admit(patterns)


@given(st.text("ab/-_%\\.", min_size=1, max_size=6), st.text("ab/-_%\\.*?[]!", min_size=1, max_size=6))
def test_the_database_narrows_names_down_without_losing_one(key: str, pattern: str) -> None:
    import sqlite3
    from fnmatch import fnmatchcase

    if fnmatchcase(key, pattern):
        with sqlite3.connect(":memory:") as base:
            like = quarantine._like(pattern)
            assert base.execute("SELECT ? LIKE ? ESCAPE '\\'", (key, like)).fetchone() == (1,)
        base.close()
