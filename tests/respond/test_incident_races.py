"""Many clients at the same incidents at once: nothing lost, nothing illegal, nobody waits for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from bench.races import client, judge, open_some

from thap.kernel.errors import ConflictError
from thap.kernel.records import Records
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.model import Draft, IncidentEvent

CLIENTS = 50


@pytest.fixture
async def books(either: Records) -> AsyncIterator[list[IncidentBook]]:
    """Five with connections for writing of their own, as five processes have."""
    opened = [IncidentBook(either) for _ in range(5)]
    yield opened
    for book in opened:
        await book.close_store()


async def test_fifty_clients_lose_nothing_and_leave_nothing_illegal(either: Records, books: list[IncidentBook]) -> None:
    chosen = await open_some(books[0], 8)
    end = time.time() + 2.5
    told = await asyncio.gather(
        *(client(books[n % len(books)], f"client-{n}", chosen, end, seed=n) for n in range(CLIENTS))
    )
    found = await judge(either, told)
    assert (found["lost"], found["illegal"]) == (0, 0)
    assert sum(len(one.done) for one in told) > 20


async def test_of_many_who_acknowledge_one_version_one_does_and_the_others_are_told_who(
    books: list[IncidentBook],
) -> None:
    opened = await books[0].open(Draft("Ngập"), "truc-ban")
    answers = await asyncio.gather(
        *(books[n % len(books)].acknowledge(opened.incident, f"client-{n}", version=1) for n in range(20)),
        return_exceptions=True,
    )
    (winner,) = [answer for answer in answers if isinstance(answer, IncidentEvent)]
    refused = [answer for answer in answers if isinstance(answer, ConflictError)]
    assert len(refused) == 19
    assert all(f"acknowledge by {winner.by}" in one.message for one in refused)


async def test_two_that_are_merged_into_each_other_at_once_leave_one(
    either: Records, books: list[IncidentBook]
) -> None:
    for _ in range(8):
        one, other = (event.incident for event in await books[0].open_many([Draft("a"), Draft("b")], "truc-ban"))
        answers = await asyncio.gather(
            books[1].merge(one, "client-1", other), books[2].merge(other, "client-2", one), return_exceptions=True
        )
        assert sorted(isinstance(answer, ConflictError) for answer in answers) == [False, True]
        states = {(await books[0].get(number)).state for number in (one, other)}
        assert states == {"open", "merged"}
    assert (await judge(either, []))["illegal"] == 0


async def test_a_reader_who_goes_on_from_the_last_event_misses_none(books: list[IncidentBook]) -> None:
    chosen = await open_some(books[0], 8)
    seen: list[int] = []
    done = asyncio.Event()

    async def read() -> None:
        while True:
            over = done.is_set()
            events = await books[4].events_after(seen[-1] if seen else 0)
            seen.extend(event.id for event in events)
            if over and not events:
                return
            await asyncio.sleep(0.002)

    async def write(number: int) -> None:
        book = books[number % 4]
        for turn in range(6):
            await book.comment(chosen[(number + turn) % len(chosen)], f"client-{number}", "x")

    reading = asyncio.create_task(read())
    await asyncio.gather(*map(write, range(20)))
    done.set()
    await reading
    assert len(seen) == len(set(seen)) == 8 + 120
    assert seen == sorted(seen)
