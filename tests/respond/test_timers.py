"""Timers on real databases: once each, in order of due, whatever stops in between."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Sequence

import pytest
import sqlalchemy as sa

from thap.kernel.clock import DAY_US, SECOND_US, now_us
from thap.kernel.errors import InputError
from thap.kernel.records import Records, metadata
from thap.kernel.settings import Settings
from thap.kernel.store import Store, Transaction, open_store
from thap.kernel.tables import create_tables
from thap.respond import timers
from thap.respond.parts import PARTS
from thap.respond.procedures.records import calendars
from thap.respond.timers import Timer, Timers
from thap.respond.timers_records import TimerRows, counts, timer_rows
from thap.respond.timers_records import timers as table

NOW = 1_800_000_000_000_000
_NOTE = sa.insert(calendars)  # any table: what handlers do is in the database


@pytest.fixture
async def store(either: Records) -> AsyncIterator[Store]:
    opened = open_store(either)
    yield opened
    await opened.close()


def note(tx: Transaction, fired: Sequence[Timer], now: int) -> None:
    """A handler whose effect can be counted."""
    tx.run(_NOTE, [{"body": timer.ref, "changed": now, "changed_by": timer.kind} for timer in fired])


async def noted(records: Records) -> list[str]:
    async with records.read() as connection:
        return list(await connection.scalars(sa.select(calendars.c.body).order_by(calendars.c.id)))


async def waiting(records: Records) -> list[tuple[str, int, int, str]]:
    async with records.read() as connection:
        rows = await timer_rows(connection, limit=1000)
    return [(row["ref"], row["due"], row["attempts"], row["error"]) for row in rows]


async def all_fired(part: Timers) -> int:
    total = 0
    while count := await part.fire():
        total += count
    return total


async def test_each_fires_once_in_order_of_due(either: Records, store: Store) -> None:
    made = [Timer("note", f"n:{i}", NOW - i * SECOND_US) for i in range(450)]
    await store.transact(lambda tx: timers.set(tx, made))
    await store.transact(lambda tx: timers.set(tx, [Timer("note", "later", NOW + 1)]))
    part = Timers(either, store, kinds={"note": note}, clock=lambda: NOW)
    assert await all_fired(part) == 450
    assert await noted(either) == [f"n:{i}" for i in reversed(range(450))]
    assert await waiting(either) == [("later", NOW + 1, 0, "")]
    assert part.stats()["total"] == 450


async def test_a_timer_and_what_it_watches_are_written_together_or_not_at_all(either: Records, store: Store) -> None:
    def broken(tx: Transaction) -> None:
        timers.set(tx, [Timer("note", "x", NOW)])
        raise ValueError

    with pytest.raises(ValueError):
        await store.transact(broken)
    assert await waiting(either) == []


async def test_setting_again_replaces_cancelling_ends_moving_keeps_the_payload(either: Records, store: Store) -> None:
    def work(tx: Transaction) -> None:
        timers.set(tx, [Timer("note", "a", NOW, {"n": 1}), Timer("note", "b", NOW), Timer("note", "c", NOW, {"n": 3})])
        timers.set(tx, [Timer("note", "a", NOW + 5, {"n": 2})])
        timers.cancel(tx, "note", "b", "never")
        assert timers.move(tx, "note", "c", NOW + 9) and not timers.move(tx, "note", "never", NOW)
        timers.set(tx, [])
        timers.cancel(tx, "note")

    await store.transact(work)
    seen: list[Timer] = []
    part = Timers(either, store, kinds={"note": lambda _tx, fired, _now: seen.extend(fired)}, clock=lambda: NOW + 9)
    assert await all_fired(part) == 2
    assert seen == [Timer("note", "a", NOW + 5, {"n": 2}), Timer("note", "c", NOW + 9, {"n": 3})]


async def test_a_handler_may_cancel_move_and_set_others_that_are_due(either: Records, store: Store) -> None:
    def first(tx: Transaction, fired: Sequence[Timer], now: int) -> None:
        note(tx, fired, now)
        timers.cancel(tx, "note", "cancelled")
        timers.move(tx, "note", "moved", now + DAY_US)
        timers.set(tx, [Timer("first", "again", now + DAY_US)])

    made = [Timer("first", "again", NOW - 9)] + [Timer("note", ref, NOW - 5) for ref in ("cancelled", "moved", "left")]
    await store.transact(lambda tx: timers.set(tx, made))
    assert await all_fired(Timers(either, store, kinds={"first": first, "note": note}, clock=lambda: NOW)) == 2
    assert await noted(either) == ["again", "left"]
    assert sorted(ref for ref, *_ in await waiting(either)) == ["again", "moved"]


async def test_one_that_cannot_be_handled_holds_up_no_other_and_is_tried_later(either: Records, store: Store) -> None:
    broken = True

    def picky(tx: Transaction, fired: Sequence[Timer], now: int) -> None:
        note(tx, fired, now)
        if broken and any(timer.ref == "bad" for timer in fired):
            raise RuntimeError("not this one")

    made = [Timer("note", ref, NOW - 5 + i) for i, ref in enumerate(("a", "bad", "b"))]
    await store.transact(lambda tx: timers.set(tx, [*made, Timer("unknown", "u", NOW - 9)]))
    moment = NOW
    part = Timers(either, store, kinds={"note": picky}, clock=lambda: moment)
    assert await all_fired(part) == 4
    assert await noted(either) == ["a", "b"]
    async with either.read() as connection:
        assert await counts(connection, NOW) == {"pending": 2, "late": 2, "failed": 2}
    [(_, _, _, why), (ref, _, attempts, error)] = await waiting(either)
    assert why.startswith("LookupError: nothing handles timers of the kind 'unknown'")
    assert (ref, attempts, error) == ("bad", 1, "RuntimeError: not this one")
    assert part.stats()["failures"] == 2
    moment = NOW + SECOND_US // 2
    assert await part.fire() == 0, "too soon"
    moment = NOW + SECOND_US
    assert await all_fired(part) == 2
    assert {attempts for _, _, attempts, _ in await waiting(either)} == {2}
    for _ in range(30):  # waits grow, but never beyond ten minutes
        moment += 11 * 60 * SECOND_US
        assert await all_fired(part) == 2
    broken = False
    moment += 1
    assert await part.fire() == 0
    assert len(await store.transact(lambda tx: TimerRows(tx).again(moment))) == 2
    assert await all_fired(part) == 2
    assert await noted(either) == ["a", "b", "bad"]


async def test_two_processes_fire_each_timer_once(either: Records) -> None:
    stores = [open_store(either) for _ in range(3)]
    try:
        await stores[0].transact(lambda tx: timers.set(tx, [Timer("note", f"n:{i}", NOW - i) for i in range(900)]))
        parts = [Timers(either, store, kinds={"note": note}, clock=lambda: NOW) for store in stores]
        for part in parts:
            part.batch = 20
        await asyncio.gather(*(all_fired(part) for part in parts))
        await all_fired(parts[0])
        refs = await noted(either)
        assert len(refs) == len(set(refs)) == 900
    finally:
        for store in stores:
            await store.close()


async def test_what_one_process_tries_by_itself_another_does_not_fire_too(either: Records) -> None:
    """Its transaction had failed, so for a moment nobody had the timers."""
    stores = [open_store(either) for _ in range(2)]
    between = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        await stores[0].transact(lambda tx: timers.set(tx, [Timer("note", ref, NOW) for ref in "ab"]))

        def slow(tx: Transaction, fired: Sequence[Timer], now: int) -> None:
            note(tx, fired, now)
            loop.call_soon_threadsafe(between.set)
            tx.rows(sa.select(sa.func.pg_sleep(0.3)) if tx.dialect == "postgresql" else sa.select(1), {})

        first = Timers(either, stores[0], kinds={"note": slow}, clock=lambda: NOW)
        second = Timers(either, stores[1], kinds={"note": note}, clock=lambda: NOW)
        async with either.read() as connection:
            rows = await timer_rows(connection, limit=10)
        firing = asyncio.create_task(first.fire())
        await asyncio.wait_for(between.wait(), 30)
        await second._one_by_one(rows)
        await firing
        assert sorted(await noted(either)) == ["a", "b"] and await waiting(either) == []
    finally:
        for store in stores:
            await store.close()


async def test_kinds_are_fired_apart(either: Records, store: Store) -> None:
    """So that no handler waits for incidents with the lock of the event stream that one before it took."""
    batches: list[list[str]] = []

    def watch(_tx: Transaction, fired: Sequence[Timer], _now: int) -> None:
        batches.append([timer.ref for timer in fired])

    made = [Timer("a" if i % 2 else "b", str(i), NOW + i) for i in range(6)]
    await store.transact(lambda tx: timers.set(tx, made))
    part = Timers(either, store, kinds={"a": watch, "b": watch}, clock=lambda: NOW + 9)
    assert await part.fire() == 3 and await part.fire() == 3
    assert batches == [["0", "2", "4"], ["1", "3", "5"]]


async def test_a_cancel_while_it_fires_waits_for_nothing(either: Records, store: Store) -> None:
    await store.transact(lambda tx: timers.set(tx, [Timer("note", f"n:{i}", NOW) for i in range(50)]))
    other = open_store(either)
    try:
        part = Timers(either, store, kinds={"note": note}, clock=lambda: NOW)
        cancelling = [
            other.transact(lambda tx, i=i: timers.cancel(tx, "note", f"n:{i}"))  # type: ignore[misc]
            for i in range(50)
        ]
        await asyncio.wait_for(asyncio.gather(all_fired(part), *cancelling), 20)
        assert await waiting(either) == []
        assert len(await noted(either)) == len(set(await noted(either)))
    finally:
        await other.close()


async def test_a_clock_set_back_makes_nothing_fire_twice(either: Records, store: Store) -> None:
    await store.transact(lambda tx: timers.set(tx, [Timer("note", "a", NOW), Timer("note", "b", NOW + 10)]))
    moment = NOW
    part = Timers(either, store, kinds={"note": note}, clock=lambda: moment)
    assert await all_fired(part) == 1
    moment = NOW - DAY_US
    assert await all_fired(part) == 0
    moment = NOW + 10
    assert await all_fired(part) == 1
    assert await noted(either) == ["a", "b"]


async def test_the_part_sleeps_until_the_next_is_due_and_hears_of_sooner_ones(either: Records, store: Store) -> None:
    told: list[tuple[str, object]] = []

    class Bus:
        async def announce(self, subject: str, body: object) -> None:
            told.append((subject, body))

    late: list[int] = []

    def handler(tx: Transaction, fired: Sequence[Timer], now: int) -> list[timers.Announcement]:
        late.extend(now_us() - timer.due for timer in fired)
        return [("centre.live.test", timer.ref) for timer in fired]

    part = Timers(either, store, Bus(), {"note": handler})  # type: ignore[arg-type]
    running = asyncio.create_task(part.run())
    try:
        await store.transact(lambda tx: timers.set(tx, [Timer("note", "far", now_us() + DAY_US)]))
        await store.transact(lambda tx: timers.set(tx, [Timer("note", "soon", now_us() + SECOND_US // 2)]))
        for _ in range(500):
            if told:
                break
            await asyncio.sleep(0.01)
        assert told == [("centre.live.test", "soon")]
        assert len(late) == 1 and 0 <= late[0] < SECOND_US
        assert part.stats() == {"seq": 1, "lag": 0, "total": 1, "failures": 0}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_timer_without_a_proper_name_is_refused(records: Records) -> None:
    store = open_store(records)
    for timer in (Timer("", "a", 1), Timer("x" * 33, "a", 1), Timer("a", "", 1), Timer("a", "x" * 97, 1)):
        with pytest.raises(InputError, match="1 to 32"):
            await store.transact(lambda tx, timer=timer: timers.set(tx, [timer]))  # type: ignore[misc]
    await store.close()


KILLED = textwrap.dedent("""
    import asyncio, os, sys
    from pathlib import Path
    from tests.respond.test_timers import note
    from thap.kernel.records import Records
    from thap.kernel.settings import load_settings
    from thap.kernel.store import open_store
    from thap.respond.timers import Timers

    async def main():
        settings = load_settings(Path(sys.argv[1]))
        settings.journal.durability = "process"
        records = Records.open(settings)
        part = Timers(records, open_store(records), kinds={"note": note})
        part.batch = 10
        while await part.fire():
            print(part.stats()["total"], flush=True)

    asyncio.run(main())
""")


async def test_killed_while_firing_nothing_is_lost_and_nothing_fires_twice(settings: Settings) -> None:
    records = Records.open(settings)
    await create_tables(records)
    store = open_store(records)
    due = now_us() - DAY_US
    await store.transact(lambda tx: timers.set(tx, [Timer("note", f"n:{i}", due + i) for i in range(3000)]))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        KILLED,
        str(settings.data),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert await process.stdout.readline()  # it has begun
    process.kill()
    await process.wait()
    before = len(await noted(records))
    assert 0 < before < 3000
    assert await all_fired(Timers(records, store, kinds={"note": note})) == 3000 - before
    assert await noted(records) == [f"n:{i}" for i in range(3000)]
    await store.close()
    await records.close()


def test_the_part_is_one_of_the_role_and_the_table_is_known() -> None:
    assert "thap.respond.timers:part" in PARTS
    assert metadata.tables["timers"] is table
