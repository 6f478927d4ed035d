"""The part that follows the journal: trips are kept exactly once over a kill at any point; quantities raise alarms."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from thap.domains.sand.demo_register import register_files
from thap.domains.sand.following import Follower
from thap.domains.sand.importing import import_reading
from thap.domains.sand.ledger_records import violations, write_found
from thap.domains.sand.model import Kind, Trip, local_day
from thap.domains.sand.reading import read_entries
from thap.domains.sand.records import entries, load_book, put_entry, retire_entry, sand_state, sand_trips
from thap.kernel.bus import JOURNAL, Bus
from thap.kernel.clock import HOUR_US, MINUTE_US, SECOND_US, now_us
from thap.kernel.errors import ConflictError
from thap.kernel.grid import Locator
from thap.kernel.records import Records
from thap.kernel.store import open_store
from thap.kernel.units import communes
from thap.observe.kinds import Kind as RecordKind
from thap.observe.kinds import encode_block
from thap.observe.registry import register_movers
from thap.respond.book import AlarmBook

LOCATOR = Locator(communes(), {}, 10_000)
NOUNS = {"licences": "licence", "vessels": "vessel", "wharves": "wharf", "zones": "zone"}


async def seeded(records: Records) -> None:
    """The demo's register, and its first dredger as a mover."""
    async with records.write() as connection:
        for part, name, content in register_files():
            await import_reading(connection, read_entries(NOUNS[part], content, name), LOCATOR, "local")  # type: ignore[arg-type]
        mover = {"key": "mmsi-574000101", "name": "TTĐ 01", "kind": "dredger", "domain": "sand"}
        await register_movers(connection, [mover])


def day_of_work(start: int) -> dict[str, np.ndarray]:
    """Positions every minute: from the berth into the mine, three hours of dredging, back to unload, and out again."""
    rng = np.random.default_rng(3)
    mine, wharf = (105.6052, 10.4530), (105.59387, 10.46692)
    legs = [
        (wharf, wharf, 30),
        (wharf, mine, 15),
        (mine, mine, 180),
        (mine, wharf, 15),
        (wharf, wharf, 60),
        (wharf, mine, 15),
        (mine, mine, 40),
    ]
    lon, lat, speed = [], [], []
    for (x1, y1), (x2, y2), minutes in legs:
        share = np.arange(minutes) / minutes
        working = (x1, y1) == (x2, y2) == mine
        phase = np.arange(minutes) / 9.0
        lon += list(x1 + (x2 - x1) * share + (np.cos(phase) * 25 / 109_500 if working else 0))
        lat += list(y1 + (y2 - y1) * share + (np.sin(phase) * 25 / 110_600 if working else 0))
        speed += [0.6 if working else 0.0 if (x1, y1) == (x2, y2) else 4.5] * minutes
    count = len(lon)
    return {
        "mover": np.ones(count, np.int32),
        "time": start + np.arange(count, dtype=np.int64) * MINUTE_US,
        "lon": np.array(lon) + rng.normal(0, 4, count) / 109_500,
        "lat": np.array(lat) + rng.normal(0, 4, count) / 110_600,
        "speed_kn": np.array(speed, np.float32),
        "course_deg": np.full(count, np.nan, np.float32),
    }


async def journal(bus: Bus, start: int, blocks: int = 11) -> None:
    columns = day_of_work(start)
    for rows in np.array_split(np.arange(len(columns["mover"])), blocks):
        part = {name: values[rows] for name, values in columns.items()}
        await bus.append(f"journal.{RecordKind.POSITION}", encode_block(RecordKind.POSITION, part))


async def follow(records: Records, bus: Bus, *, stop_after: int | None = None, flush: bool = True) -> Follower:
    """A follower that takes what the journal has; it is left without a word after `stop_after` blocks."""
    store = open_store(records)
    follower = Follower(records, store, bus)
    follower.flush_s = 0.0
    await follower.load()
    taken = 0
    if await bus.last_seq(JOURNAL) > follower.seq:
        async for group in bus.read(JOURNAL, follower.seq, stop_at_end=True):
            for entry in group:
                if stop_after is not None and taken >= stop_after:
                    await store.close()
                    return follower
                await follower.take([entry])
                taken += 1
    if flush:
        await follower.flush()
    await store.close()
    return follower


async def kept(records: Records) -> tuple[list[tuple[object, ...]], int]:
    async with records.read() as connection:
        columns = (sand_trips.c.vessel, sand_trips.c.licence_id, sand_trips.c.wharf_id, sand_trips.c.load_begin)
        rows = (await connection.execute(sa.select(*columns).order_by(sand_trips.c.id))).all()
        seq = await connection.scalar(sa.select(sand_state.c.seq))
        return [tuple(row) for row in rows], int(seq or 0)


async def test_a_load_taken_to_a_wharf_is_one_trip_of_its_licence(records: Records, bus: Bus) -> None:
    await seeded(records)
    await journal(bus, now_us() - 8 * HOUR_US)
    await follow(records, bus)
    trips, seq = await kept(records)
    async with records.read() as connection:
        book = await load_book(connection)
    assert [(vessel, licence) for vessel, licence, _, _ in trips] == [("mmsi-574000101", book.licences[0].id)]
    here = next(wharf.id for wharf in book.wharves if wharf.name == "Bến Tân Thuận Đông")
    assert trips[0][2] == here and seq == 11


@pytest.mark.parametrize("stop_after", [1, 5, 8, 10])
async def test_a_follower_killed_at_any_block_repeats_and_loses_nothing(
    records: Records, bus: Bus, stop_after: int
) -> None:
    await seeded(records)
    await journal(bus, now_us() - 8 * HOUR_US)
    await follow(records, bus, stop_after=stop_after, flush=False)  # as if killed: what was not written is gone
    second = await follow(records, bus)
    trips, seq = await kept(records)
    assert len(trips) == 1 and seq == second.seq == 11
    await follow(records, bus)
    assert await kept(records) == (trips, seq)


async def test_a_damaged_state_is_read_anew_from_the_journal(records: Records, bus: Bus) -> None:
    await seeded(records)
    await journal(bus, now_us() - 8 * HOUR_US)
    await follow(records, bus)
    before, _ = await kept(records)
    async with records.write() as connection:
        await connection.execute(sa.update(sand_state).values(state=msgspec.msgpack.encode({"now": 1})))
    await follow(records, bus)
    assert (await kept(records))[0] == before


async def test_more_than_the_day_lets_out_raises_one_alarm(records: Records, bus: Bus) -> None:
    await seeded(records)
    async with records.read() as connection:
        licence = next(one for one in await entries(connection, "licence") if one.body["number"] == "02/GP-MAU")
    now = now_us()
    start = now - now % SECOND_US
    trips = [
        Trip(
            f"mmsi-57400010{3 + at % 2}",
            licence.id,
            start + at,
            start + at + 1,
            start + at + 2,
            None,
            None,
            105.2,
            10.7,
        )
        for at in range(4)
    ]
    store = open_store(records)
    await store.transact(lambda tx: write_found(tx, trips=trips, communes={}))
    follower = Follower(records, store, bus)
    await follower.load()
    await follower.look({licence.id + 1})
    book = AlarmBook(records)
    assert await book.active() == {}
    await follower.look({licence.id})
    await follower.look_again()
    await follower.look_again()
    assert set(await book.active()) == {("licence:02-gp-mau", str(Kind.OVER_DAY))}
    async with records.write() as connection:
        await retire_entry(connection, licence, True, by="test", expected=None)
    await follower.look_again()
    assert await book.active() == {}
    await book.close()
    await store.close()


async def test_what_began_and_ended_is_one_violation(records: Records, bus: Bus) -> None:
    from dataclasses import replace

    from thap.domains.sand.model import Violation

    store = open_store(records)
    begun = Violation(Kind.HOURS, "v", 10, None, 12, 105.6, 10.4)
    for one in (begun, replace(begun, end=50)):
        await store.transact(lambda tx, one=one: write_found(tx, violations=[one], communes={}))  # type: ignore[misc]
    async with records.read() as connection:
        found = await violations(connection)
    assert [one.violation.end for one in found] == [50]
    assert local_day(0) == "1970-01-01"
    await store.close()


async def test_two_writers_of_one_entry_do_not_lose_a_change(records: Records) -> None:
    await seeded(records)
    async with records.read() as connection:
        licence = next(iter(await entries(connection, "licence")))
    async with records.write() as connection:
        await put_entry(connection, licence.entry, commune="", by="a", expected=licence.version)
    with pytest.raises(ConflictError, match="version 2"):
        async with records.write() as connection:
            await put_entry(connection, licence.entry, commune="", by="b", expected=licence.version)
