"""From the journal to the records: trips are kept exactly once over a kill at any point; quantities raise alarms."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa
from msgspec import Raw, msgpack

from thap.detect.engine import Engine
from thap.detect.rules import Rule
from thap.domains.sand.demo_register import register_files
from thap.domains.sand.detectors import SandWatch
from thap.domains.sand.following import Follower
from thap.domains.sand.found import Found, finding_of, read_found
from thap.domains.sand.importing import import_reading
from thap.domains.sand.ledger_records import violations, write_found
from thap.domains.sand.model import Fix, Kind, Stay, StayKind, Trip, Violation, local_day
from thap.domains.sand.reading import read_entries
from thap.domains.sand.records import entries, load_book, put_entry, retire_entry, sand_state, sand_stays, sand_trips
from thap.kernel.bus import FOUND, Bus, Entry
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, VIETNAM, from_us, now_us, to_us
from thap.kernel.errors import ConflictError
from thap.kernel.grid import Locator
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import SqliteStore, open_store
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


def morning() -> int:
    """Seven o'clock of yesterday, Vietnamese time: the day of work lies within the licence's hours."""
    today = from_us(now_us()).astimezone(VIETNAM).replace(hour=7, minute=0, second=0, microsecond=0)
    return to_us(today) - DAY_US


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


async def journal(bus: Bus, start: int, blocks: slice = slice(None)) -> None:
    """A day in eleven blocks, or some of these."""
    columns = day_of_work(start)
    for rows in np.array_split(np.arange(len(columns["mover"])), 11)[blocks]:
        part = {name: values[rows] for name, values in columns.items()}
        await bus.append(f"journal.{RecordKind.POSITION}", encode_block(RecordKind.POSITION, part))


@asynccontextmanager
async def judging(records: Records, bus: Bus, settings: Settings) -> AsyncIterator[Engine]:
    """An engine with the detector of the live centre."""

    async def rules() -> list[Rule]:
        return []

    book = AlarmBook(records)
    engine = Engine(bus, records, settings, book, rules, [SandWatch()])
    task = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await book.close()


async def judge(records: Records, bus: Bus, settings: Settings, upto: int, *, killed: bool = False) -> None:
    """Judge the journal up to a block at least; `killed`: as far as no checkpoint is written at the end."""
    async with judging(records, bus, settings) as engine, asyncio.timeout(20):
        while engine.seq < upto or len(engine._findings):
            await asyncio.sleep(0.02)
        engine._halfway = killed


async def follow(records: Records, bus: Bus, *, stop_after: int | None = None) -> Follower:
    """A follower that takes what was found; it is left without a word after `stop_after` messages."""
    store = open_store(records)
    follower = Follower(records, store, bus)
    await follower.load()
    taken = 0
    if await bus.last_seq(FOUND) > follower.seq:
        async for group in bus.read(FOUND, follower.seq, stop_at_end=True):
            for entry in group:
                if taken == stop_after:
                    await store.close()
                    return follower
                await follower.take([entry])
                taken += 1
                if taken % 2 == 0:
                    await follower.flush()
    await follower.flush()
    await store.close()
    return follower


async def kept(records: Records) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]], int]:
    async with records.read() as connection:
        columns = (sand_trips.c.vessel, sand_trips.c.licence_id, sand_trips.c.wharf_id, sand_trips.c.load_begin)
        trips = (await connection.execute(sa.select(*columns).order_by(sand_trips.c.id))).all()
        columns = (sand_stays.c.vessel, sand_stays.c.kind, sand_stays.c.begin, sand_stays.c.end)
        stays = (await connection.execute(sa.select(*columns).order_by(sand_stays.c.begin))).all()
        seq = await connection.scalar(sa.select(sand_state.c.seq))
        return [tuple(row) for row in trips], [tuple(row) for row in stays], int(seq or 0)


async def test_a_load_taken_to_a_wharf_is_one_trip_of_its_licence(
    records: Records, bus: Bus, settings: Settings
) -> None:
    await seeded(records)
    await journal(bus, morning())
    await judge(records, bus, settings, 11)
    await follow(records, bus)
    trips, stays, seq = await kept(records)
    async with records.read() as connection:
        book = await load_book(connection)
    assert [(vessel, licence) for vessel, licence, _, _ in trips] == [("mmsi-574000101", book.licences[0].id)]
    here = next(wharf.id for wharf in book.wharves if wharf.name == "Bến Tân Thuận Đông")
    assert trips[0][2] == here and seq == await bus.last_seq(FOUND) == len(trips) + len(stays)
    assert [kind for _, kind, _, _ in stays][:3] == ["moored", "dredging", "moored"]


@pytest.mark.parametrize("anew", [False, True])
async def test_an_engine_and_a_follower_killed_at_any_point_repeat_and_lose_nothing(
    records: Records, bus: Bus, settings: Settings, anew: bool
) -> None:
    settings.engine.checkpoint_s = 600  # written once the engine has caught up, and not again
    await seeded(records)
    start = morning()
    for begin, end in ((0, 4), (4, 7), (7, 10), (10, 11)):
        await journal(bus, start, slice(begin, end))
        await judge(records, bus, settings, end, killed=True)
        if anew:
            settings.state_dir.joinpath("engine.checkpoint").unlink(missing_ok=True)
    messages = await bus.last_seq(FOUND)
    for stop_after in (1, 2, 3):
        await follow(records, bus, stop_after=stop_after)  # as if killed: what was not written is taken again
    await follow(records, bus)
    trips, stays, seq = await kept(records)
    assert len(trips) == 1 and len(stays) >= 3 and seq == messages == len(trips) + len(stays)
    await follow(records, bus)
    assert await kept(records) == (trips, stays, seq)
    async for group in bus.read(FOUND, 0, stop_at_end=True):  # long after a crash the stream knows them no longer
        for entry in group:
            await bus.append(entry.subject, entry.payload)
    await follow(records, bus)
    assert await kept(records) == (trips, stays, 2 * seq)


async def test_a_state_of_another_version_is_judged_anew_from_the_journal(
    records: Records, bus: Bus, settings: Settings
) -> None:
    await seeded(records)
    await journal(bus, morning())
    await judge(records, bus, settings, 11)
    await follow(records, bus)
    before = await kept(records)
    path = settings.state_dir / "engine.checkpoint"
    state = msgpack.decode(path.read_bytes())
    judges = msgpack.decode(state[2])
    assert judges["detectors"]["sand.watch"]["behaviour"].pop("layout") == 2
    state[2] = msgpack.encode(judges)
    path.write_bytes(msgpack.encode(state))
    await bus.js.delete_stream(FOUND)
    await bus.ensure_streams(settings.journal)
    await judge(records, bus, settings, 11)
    await follow(records, bus)
    assert await kept(records) == before


async def test_a_stream_of_findings_begun_anew_is_read_from_its_beginning(
    records: Records, bus: Bus, settings: Settings
) -> None:
    await seeded(records)
    for at in range(3):
        await bus.append("found.sand", message(replace(STAY, begin=at)))
    await follow(records, bus)
    await bus.js.delete_stream(FOUND)
    await bus.ensure_streams(settings.journal)
    await bus.append("found.sand", message(replace(STAY, begin=3)))
    await follow(records, bus)
    _, stays, seq = await kept(records)
    assert [begin for _, _, begin, _ in stays] == [0, 1, 2, 3] and seq == 1


STAY = Stay("mmsi-574000101", StayKind.MOORED, 5, 9, 105.6, 10.45, 1.5, 20, None, 3, "", 12.5, {"speed_kn": 0.1})
TRIP = Trip("mmsi-574000101", 1, 5, 9, 12, 20, None, 105.6, 10.45, "mmsi-574000102", 300.0, 0.8)
VIOLATION = Violation(
    Kind.HOURS, "mmsi-574000101", 10, None, 12, 105.6, 10.4, 1, {"minutes": 3.0}, {"licence": "12/GP"},
    (Fix(9, 105.6, 10.4, 0.5), Fix(10, 105.6, 10.4, None)),
)  # fmt: skip


def message(one: Stay | Trip | Violation, clock: int = 0) -> bytes:
    """As the engine appends it."""
    finding = finding_of(Found(one, clock, 7, {"near_m": 250.0}))
    return msgpack.encode([(finding.what, Raw(finding.payload))])


@pytest.mark.parametrize("one", [STAY, TRIP, VIOLATION, replace(VIOLATION, end=50)])
def test_a_finding_is_read_as_it_was_written(one: Stay | Trip | Violation) -> None:
    [found] = read_found(message(one, 60))
    assert (found.one, found.clock, found.book_version) == (one, 60, 7)
    assert found.parameters == ({"near_m": 250.0} if isinstance(one, Violation) else {})


async def test_a_message_that_cannot_be_read_is_left_out_and_the_next_is_kept(records: Records, bus: Bus) -> None:
    for payload in (b"nothing", b"\x91\x92\xa5other\x01", b"\x91\x92\xa4trip\x01", message(TRIP)):
        with pytest.raises(ValueError) if payload != message(TRIP) else contextlib.nullcontext():
            read_found(payload)
        await bus.append("found.sand", payload)
    await follow(records, bus)
    trips, _, seq = await kept(records)
    assert len(trips) == 1 and seq == 4


async def test_what_began_and_ended_is_one_violation_judged_by_what_it_was_judged_by(either: Records, bus: Bus) -> None:
    ended = replace(VIOLATION, end=50)
    for one in (VIOLATION, ended, VIOLATION):  # the last: told again, out of order
        await bus.append("found.sand", message(one))
    await follow(either, bus)
    async with either.read() as connection:
        [found] = await violations(connection)
    assert found.violation == ended
    assert (found.book_version, found.parameters) == (7, {"near_m": 250.0})


async def test_quantities_are_of_the_day_that_is_read_while_old_records_are(records: Records, bus: Bus) -> None:
    store = open_store(records)
    follower = Follower(records, store, bus)
    now = now_us()
    old = now - 3 * DAY_US
    for clock, told, pending, behind in (
        (old, now - MINUTE_US, 0, True),
        (old, now - HOUR_US, 0, False),  # long ago: the engine has caught up since, and found nothing
        (now - 2 * MINUTE_US, now, 0, False),
        (now - 2 * MINUTE_US, now, 5, True),
    ):
        await follower.take([Entry(1, "found.sand", message(TRIP, clock), None, told, pending)])
        assert (follower._event_time() == clock) is behind
    await store.close()


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
    assert local_day(0) == "1970-01-01"
    assert set(await book.active()) == {("licence:02-gp-mau", str(Kind.OVER_DAY))}
    async with records.write() as connection:
        await retire_entry(connection, licence, True, by="test", expected=None)
    await follower.look_again()
    assert await book.active() == {}
    await book.close()
    await store.close()


async def test_what_was_under_way_where_the_journal_begins_is_what_it_overlaps(records: Records) -> None:
    """Judged anew from the middle it seems to begin later: it is no second load, and no second violation."""
    store = open_store(records)
    load = Trip("v", None, 100, 200, 300, None, None, 105.2, 10.7)
    act = Violation(Kind.HOURS, "v", 100, 200, 120, 105.6, 10.4, numbers={"minutes": 9.0})
    later = Violation(Kind.HOURS, "v", 250, None, 260, 105.6, 10.4)
    told = [
        ([load], [act]),
        (
            [replace(load, load_begin=150, unload_end=400)],
            [replace(act, begin=140, end=None, numbers={"minutes": 1.0})],
        ),
        ([replace(load, load_begin=500, load_end=600)], [later]),
    ]
    for trips, found in told * 3:
        await store.transact(lambda tx, t=trips, v=found: write_found(tx, trips=t, violations=v, communes={}))  # type: ignore[misc]
    async with records.read() as connection:
        rows = await connection.execute(sa.select(sand_trips).order_by(sand_trips.c.load_begin))
        assert [(row.load_begin, row.load_end, row.unload_end) for row in rows] == [(100, 200, 400), (500, 600, None)]
        kept = [one.violation for one in await violations(connection)]
    assert [(one.begin, one.end, one.numbers) for one in kept] == [(250, None, {}), (100, 200, {"minutes": 9.0})]
    assert isinstance(store, SqliteStore) and store._transaction is not None
    assert len(store._transaction._compiled) <= 4  # and no more, however often it is written
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
