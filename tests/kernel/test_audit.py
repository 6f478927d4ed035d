"""The audit log: a chain that shows where it was touched."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from thap.kernel import audit as log
from thap.kernel.audit import (
    KEEP_DAYS,
    AuditFilter,
    Entry,
    append,
    append_async,
    audit,
    entries_after,
    entries_before,
    heads,
    parse_anchor,
    prune,
    stream_entries,
    verify,
)
from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import InputError
from thap.kernel.policy import Who
from thap.kernel.records import Records
from thap.kernel.store import Store, open_store

TRUC_BAN = Who("truc-ban", "person", 7)


@pytest.fixture
async def store(either: Records) -> AsyncIterator[Store]:
    opened = open_store(either)
    yield opened
    await opened.close()


async def fill(store: Store, count: int = 6, time: int | None = None) -> None:
    entries = [Entry(TRUC_BAN, "incident.close", f"incident:{n}", {"n": n}, "10.0.0.1") for n in range(1, count + 1)]
    await store.transact(lambda tx: append(tx, entries, time))


async def change(records: Records, *statements: sa.Executable) -> None:
    async with records.write() as connection:
        for statement in statements:
            await connection.execute(statement)


async def test_an_empty_log_is_whole(either: Records) -> None:
    found = await verify(either)
    assert (found.entries, found.first, found.last, found.broken_at) == (0, None, None, None)


async def test_entries_say_who_did_what_and_are_chained(either: Records, store: Store) -> None:
    await fill(store, 2)
    async with either.write() as connection:
        await append_async(connection, [Entry("", "start", "centre"), Entry("local", "export", "audit")])
    async with either.read() as connection:
        entries = await entries_after(connection, 0, 10)
    assert [one["id"] for one in entries] == [1, 2, 3, 4]
    assert [(one["who"], one["kind"]) for one in entries] == [
        ("truc-ban", "person"),
        ("truc-ban", "person"),
        ("", "system"),
        ("local", "local"),
    ]
    assert entries[1]["detail"] == {"n": 2}
    assert entries[1]["address"] == "10.0.0.1"
    assert [one["previous"] for one in entries[1:]] == [one["hash"] for one in entries[:-1]]
    assert abs(entries[0]["time"] - now_us()) < DAY_US
    found = await verify(either)
    assert (found.entries, found.first, found.last, found.hash) == (4, 1, 4, entries[-1]["hash"])


async def test_what_is_rolled_back_leaves_no_entry(either: Records, store: Store) -> None:
    def work(tx: object) -> None:
        append(tx, [Entry("", "start", "centre")])  # type: ignore[arg-type]
        raise InputError("no")

    with pytest.raises(InputError):
        await store.transact(work)
    assert (await verify(either)).entries == 0


@pytest.mark.parametrize("column", ["time", "who", "kind", "action", "object", "detail", "address", "hash", "previous"])
async def test_a_changed_entry_is_named(records: Records, column: str) -> None:
    store = open_store(records)
    await fill(store)
    await store.close()
    value = 5 if column == "time" else '{"n":30}' if column == "detail" else "0" * 10
    await change(records, sa.update(audit).where(audit.c.id == 3).values({column: value}))
    found = await verify(records)
    assert (found.broken_at, found.entries, found.last) == (3, 2, 2)
    assert found.why == "its content was changed"


async def test_a_changed_entry_with_a_new_hash_breaks_the_chain_behind_it(either: Records, store: Store) -> None:
    await fill(store)
    async with either.read() as connection:
        entry = (await entries_after(connection, 2, 1))[0]
    entry["detail"], entry["who"] = json.dumps(entry["detail"]), "ai-khac"
    forged = log._hash(entry)
    values = {"who": "ai-khac", "detail": entry["detail"], "hash": forged}
    await change(either, sa.update(audit).where(audit.c.id == 3).values(values))
    found = await verify(either)
    assert (found.broken_at, found.why) == (4, "it does not follow entry 3: one of the two was changed")


@pytest.mark.parametrize(
    ("gone", "at", "why"),
    [
        ((1,), 1, "it was removed"),
        ((1, 2), 1, "entries 1 to 2 were removed"),
        ((3,), 3, "it was removed"),
        ((3, 4, 5), 3, "entries 3 to 5 were removed"),
        ((6,), 6, "the newest entries, up to 6, were removed"),
        ((5, 6), 5, "the newest entries, up to 6, were removed"),
        ((1, 2, 3, 4, 5, 6), 1, "the newest entries, up to 6, were removed"),
    ],
)
async def test_removed_entries_are_named_also_at_both_ends(
    records: Records, gone: tuple[int, ...], at: int, why: str
) -> None:
    store = open_store(records)
    await fill(store)
    await store.close()
    await change(records, sa.delete(audit).where(audit.c.id.in_(gone)))
    found = await verify(records)
    assert (found.broken_at, found.why) == (at, why)


async def test_an_entry_put_in_is_named(either: Records, store: Store) -> None:
    await fill(store)
    async with either.read() as connection:
        last = (await entries_before(connection, None, 1))[0]
    forged = log._row(Entry("ai-khac", "sign_in", ""), 7, now_us(), last["hash"])
    await change(either, sa.insert(audit).values(forged))
    found = await verify(either)
    assert (found.broken_at, found.why) == (7, "it was put in behind the newest entry")
    await change(either, sa.insert(audit).values({**forged, "id": 0}))
    assert (await verify(either)).broken_at == 0


async def test_a_log_written_anew_is_whole_in_itself_but_not_against_an_anchor_kept_elsewhere(
    either: Records, store: Store
) -> None:
    await fill(store)
    kept = await verify(either)
    anchor = parse_anchor(f"{kept.last}:{kept.hash}")
    assert (await verify(either, anchor)).broken_at is None
    await change(either, sa.delete(audit), sa.delete(heads))
    assert (await verify(either)).broken_at is None
    assert (await verify(either, anchor)).broken_at == 1
    await fill(store, 8)
    found = await verify(either, anchor)
    assert found.broken_at == 6
    assert found.why == "it has another hash than the anchor: this entry or one before it was changed"
    await change(either, sa.update(heads).values(hash="0" * 64))
    assert (await verify(either)).why == "it has another hash than the one kept beside the log"


@pytest.mark.parametrize(
    "text", ["", "12", "12:", ":ab", "0:" + "0" * 64, "-1:" + "0" * 64, "1:" + "G" * 64, "١:" + "0" * 64]
)
def test_an_anchor_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not an anchor"):
        parse_anchor(text)


async def test_writers_at_once_make_one_chain(either: Records) -> None:
    stores = [open_store(either) for _ in range(4)]

    async def write(number: int) -> None:
        for n in range(10):
            await stores[number % 4].transact(lambda tx, n=n: append(tx, [Entry("", "a", f"{number}:{n}")] * 2))
            async with either.write() as connection:
                await append_async(connection, [Entry("", "b", f"{number}:{n}")])

    await asyncio.gather(*(write(number) for number in range(8)))
    found = await verify(either)
    assert (found.entries, found.broken_at) == (240, None)
    for store in stores:
        await store.close()


async def test_a_verification_sees_the_log_of_one_moment_while_it_grows(either: Records, store: Store) -> None:
    await fill(store, 5000)

    async def grow() -> None:
        for _ in range(20):
            await fill(store, 5)

    growing = asyncio.create_task(grow())
    while not growing.done():
        assert (await verify(either)).broken_at is None
        await asyncio.sleep(0)
    await growing


async def test_any_text_is_taken_and_made_harmless(either: Records, store: Store) -> None:
    nasty = "\x00\ud800\n\x1b[31m\u202e" + "đ" * 400
    entry = Entry(nasty, nasty, nasty, {"a": nasty, "b": float("nan"), "c": {1, 2}, "d": b"\xff"}, nasty)
    await store.transact(lambda tx: append(tx, [entry, Entry("", "a", "", {"text": "x" * 100_000})]))
    async with either.read() as connection:
        first, second = await entries_after(connection, 0, 10)
    assert len(first["who"]) == 64
    assert first["object"].isprintable()
    json.dumps(first, allow_nan=False)
    assert second["detail"]["left_out_chars"] > 100_000
    assert (await verify(either)).broken_at is None


async def test_entries_are_found_by_who_what_and_when(either: Records, store: Store) -> None:
    await fill(store, 3, time=1_000)
    await fill(store, 2, time=2_000)
    await store.transact(lambda tx: append(tx, [Entry("lanh-dao", "incident.reopen", "incident:1")], 3_000))
    async with either.read() as connection:

        async def ids(chosen: AuditFilter) -> list[int]:
            return [one["id"] for one in await entries_before(connection, None, 100, chosen)]

        assert await ids(AuditFilter(who="lanh-dao")) == [6]
        assert await ids(AuditFilter(object="incident:1")) == [6, 4, 1]
        assert await ids(AuditFilter(action="incident.*", since=2_000, until=3_000)) == [5, 4]
        assert await ids(AuditFilter(action="incident")) == []
        assert [one["id"] for one in await entries_before(connection, 3, 1)] == [2]
    streamed = [one["id"] async for one in stream_entries(either, AuditFilter(since=2_000))]
    assert streamed == [4, 5, 6]


async def test_pruning_keeps_twelve_months_and_a_chain_that_holds(either: Records, store: Store) -> None:
    old = now_us() - (KEEP_DAYS + 30) * DAY_US
    await fill(store, 4, time=old)
    await fill(store, 3)
    await fill(store, 2, time=old)  # the clock was set back: younger than those before it
    async with either.write() as connection:
        with pytest.raises(InputError, match="366 days at least"):
            await prune(connection, now_us() - (KEEP_DAYS - 1) * DAY_US)
    async with either.write() as connection:
        assert await prune(connection, old - 1) == 0
        assert await prune(connection, old + 1, TRUC_BAN) == 4
    found = await verify(either)
    assert (found.first, found.last, found.entries, found.broken_at) == (5, 10, 6, None)
    async with either.read() as connection:
        told = (await entries_before(connection, None, 1))[0]
    assert (told["who"], told["action"], told["detail"]["entries"]) == ("truc-ban", "audit.prune", 4)
    await change(either, sa.delete(audit).where(audit.c.id == 5))
    assert (await verify(either)).broken_at == 5


async def test_a_log_of_old_entries_only_can_be_pruned_and_goes_on(either: Records, store: Store) -> None:
    old = now_us() - (KEEP_DAYS + 30) * DAY_US
    await fill(store, 4, time=old)
    async with either.write() as connection:
        assert await prune(connection, old + 1) == 4
    await fill(store, 1)
    found = await verify(either)
    assert (found.first, found.last, found.broken_at) == (5, 6, None)


async def test_a_kill_in_the_midst_of_writing_leaves_a_whole_chain(records: Records) -> None:
    script = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from thap.kernel.audit import Entry, append\nfrom thap.kernel.records import Records\n"
        "from thap.kernel.settings import load_settings\nfrom thap.kernel.store import open_store\n"
        "async def main():\n"
        "    store = open_store(Records.open(load_settings(Path(sys.argv[1]))))\n"
        "    while True:\n"
        "        await store.transact(lambda tx: append(tx, [Entry('', 'a', 'b')] * 5))\n"
        "        print('.', flush=True)\n"
        "asyncio.run(main())\n"
    )
    folder = str(Path(str(records.engine.url.database)).parent)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", script, folder, stdout=subprocess.PIPE)
    assert child.stdout is not None
    said = 0
    for _ in range(20):
        said += await child.stdout.readline() == b".\n"
    child.kill()
    await child.communicate()
    found = await verify(records)
    assert found.broken_at is None
    assert found.entries >= said * 5 == 100
    assert found.entries % 5 == 0
