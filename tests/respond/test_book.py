"""The alarm book on real databases: exactly once, legal lives, conflicts told."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from thap.detect.detector import Action, Change
from thap.kernel.clock import HOUR_US, now_us
from thap.kernel.errors import BusyError, ConflictError, DiskFullError, InputError, NotFoundError
from thap.kernel.records import Records
from thap.respond.alarm import AlarmEvent, AlarmFilter, EventFilter
from thap.respond.book import AlarmBook
from thap.respond.records import alarm_transitions, alarms

MakeChange = Callable[..., Change]


async def rows(records: Records, table: sa.Table) -> list[Any]:
    async with records.read() as connection:
        return list(await connection.execute(sa.select(table).order_by(table.c.id)))


async def test_the_same_change_twice_is_one_transition(book: AlarmBook, either: Records, change: MakeChange) -> None:
    first = await book.apply([change("raise"), change("raise", time=2_000_000)])
    assert [(e.action, e.to_state, e.annunciated) for e in first] == [("raise", "unacknowledged", True)]
    assert await book.apply([change("raise")]) == []
    assert await book.apply([change("clear", source="never/raised")]) == []
    assert len(await rows(either, alarms)) == 1
    assert len(await rows(either, alarm_transitions)) == 1


async def test_a_batch_takes_its_changes_in_order(book: AlarmBook, change: MakeChange) -> None:
    events = await book.apply(
        [
            change("clear"),
            change("raise"),
            change("escalate", severity=4),
            change("downgrade", severity=1),
            change("clear", time=5_000_000),
            change("raise", time=6_000_000),
            change("raise", source="other/level"),
        ]
    )
    assert [(e.source, e.action, e.severity) for e in events] == [
        ("my-thuan/level", "raise", 2),
        ("my-thuan/level", "escalate", 4),
        ("my-thuan/level", "downgrade", 1),
        ("my-thuan/level", "clear", 1),
        ("my-thuan/level", "raise", 2),
        ("other/level", "raise", 2),
    ]
    assert [e.id for e in events] == sorted(e.id for e in events)
    alarm = await book.get(events[0].alarm)
    assert (alarm.count, alarm.raised, alarm.cleared, alarm.version) == (2, 6_000_000, None, 5)


async def test_the_offset_commits_with_what_it_produced(book: AlarmBook, change: MakeChange) -> None:
    assert await book.applied_seq() == 0
    assert len(await book.apply([change("raise", seq=7)], upto_seq=9)) == 1
    assert await book.applied_seq() == 9
    assert await book.apply([change("raise", seq=8, source="again/level")], upto_seq=9) == []
    assert await book.apply([change("clear", seq=0, time=9_000_000)], upto_seq=8) == [], "a replayed past is ignored"
    assert await book.applied_seq() == 9, "an offset never goes back"
    cleared = await book.apply([change("raise", seq=9, source="b/c"), change("clear", seq=11)], upto_seq=12)
    assert [e.action for e in cleared] == ["clear"]
    assert await book.applied_seq() == 12
    assert await book.apply([], upto_seq=20) == []
    assert await book.applied_seq() == 20


async def test_a_batch_that_fails_leaves_neither_alarms_nor_offset(
    book: AlarmBook, either: Records, change: MakeChange
) -> None:
    class TornError(Exception):
        pass

    class TornChange:
        def __getattr__(self, _name: str) -> Any:
            raise TornError

    with pytest.raises(TornError):
        await book.apply([change("raise", seq=4), TornChange()], upto_seq=5)  # type: ignore[list-item]
    assert await book.applied_seq() == 0
    assert await rows(either, alarms) == []
    assert len(await book.apply([change("raise", seq=4)], upto_seq=5)) == 1, "the next transaction works"


async def test_timers_that_repeat_themselves_after_a_crash_are_not_taken_twice(
    book: AlarmBook, change: MakeChange
) -> None:
    ladder = [
        change("raise", seq=0, time=1_000),
        change("escalate", seq=0, time=2_000, severity=4),
        change("downgrade", seq=0, time=3_000, severity=1),
    ]
    assert len(await book.apply(ladder, upto_seq=3)) == 3
    assert await book.apply(ladder, upto_seq=3) == []
    ended = [*ladder, change("clear", seq=0, time=4_000)]
    assert [e.action for e in await book.apply(ended, upto_seq=3)] == ["clear"]
    again = [*ended, change("raise", seq=0, time=5_000)]
    assert [e.action for e in await book.apply(again, upto_seq=3)] == ["raise"]


async def test_a_timers_raise_that_stands_is_never_dropped_as_a_repetition(book: AlarmBook, change: MakeChange) -> None:
    silence = change("raise", seq=0, time=1_000)
    assert len(await book.apply([silence, change("clear", seq=3, time=2_000)], upto_seq=3)) == 2
    again = await book.apply([silence], upto_seq=3)
    assert [e.action for e in again] == ["raise"], "a rule armed again finds it still so"


async def test_an_event_is_announced_as_it_is_kept(book: AlarmBook, change: MakeChange) -> None:
    told = await book.apply(
        [
            change(
                "raise",
                value=1.93,
                domain="water",
                lon=105.9,
                lat=10.27,
                commune="30337",
                received=77,
                evidence={"limit": 1.8, "rows": np.arange(3)},
            )
        ]
    )
    assert list(await book.events_after(0)) == told
    assert msgspec.json.decode(msgspec.json.encode(told[0]), type=AlarmEvent) == told[0]
    alarm = await book.get(told[0].alarm)
    assert alarm.evidence == {"limit": 1.8, "rows": [0, 1, 2]}
    assert (alarm.value, alarm.commune, told[0].received) == (1.93, "30337", 77)
    moved = await book.apply([change("clear", lon=106.0, lat=10.3, commune="30340")])
    assert [e.commune for e in await book.events_after(0)] == ["30337", "30340"], "the place it had then"
    assert list(await book.events_after(told[0].id)) == moved


@pytest.mark.parametrize("evidence", [{"x": float("nan")}, {"x": object()}, {"x": "\ud800"}, {1: {2}}])
async def test_evidence_that_is_not_json_does_not_keep_an_alarm_from_being_raised(
    book: AlarmBook, change: MakeChange, evidence: dict[Any, Any]
) -> None:
    [event] = await book.apply([change("raise", value=float("inf"), evidence=evidence, time=np.int64(5))])
    assert event.value is None
    assert (await book.get(event.alarm)).evidence


async def test_people_act_and_every_step_names_them(book: AlarmBook, change: MakeChange) -> None:
    [raised] = await book.apply([change("raise")])
    number = raised.alarm
    acknowledged = await book.acknowledge(number, "lan", "on my way", version=raised.version)
    assert (acknowledged.to_state, acknowledged.by, acknowledged.comment) == ("acknowledged", "lan", "on my way")
    await book.comment(number, "minh", "pump 2 is off")
    await book.shelve(number, "minh", now_us() + HOUR_US, "being repaired")
    await book.apply([change("clear")])
    shown = await book.unshelve(number, "minh")
    assert shown.to_state == "normal"
    await book.suppress(number, "minh", "dry season")
    await book.out_of_service(number, "minh", "sensor sent away")
    with pytest.raises(ConflictError, match="out of service"):
        await book.suppress(number, "minh")
    await book.apply([change("raise", time=9_000_000)])
    back = await book.in_service(number, "lan")
    assert (back.to_state, back.annunciated) == ("unacknowledged", True)
    assert [e.action for e in await book.events_after(0)] == [
        "raise",
        "acknowledge",
        "comment",
        "shelve",
        "clear",
        "unshelve",
        "suppress",
        "out_of_service",
        "raise",
        "in_service",
    ]
    with pytest.raises(NotFoundError, match="no alarm 999"):
        await book.acknowledge(999, "lan")
    with pytest.raises(InputError):
        await book.comment(number, "lan", "  ")


async def test_a_stale_version_is_refused_with_what_changed_and_who(book: AlarmBook, change: MakeChange) -> None:
    [raised] = await book.apply([change("raise")])
    await book.acknowledge(raised.alarm, "lan", version=1)
    with pytest.raises(ConflictError, match=r"since version 1: acknowledge by lan at 20\d\d"):
        await book.shelve(raised.alarm, "minh", now_us() + HOUR_US, version=1)
    with pytest.raises(ConflictError, match="acknowledged already, by lan at 20"):
        await book.acknowledge(raised.alarm, "minh")
    with pytest.raises(ConflictError, match="no version 7"):
        await book.unshelve(raised.alarm, "minh", version=7)
    await book.comment(raised.alarm, "minh", "seen")
    await book.shelve(raised.alarm, "minh", now_us() + HOUR_US, version=2)


async def test_several_are_acknowledged_at_once_and_the_others_told(book: AlarmBook, change: MakeChange) -> None:
    events = await book.apply([change("raise", source=f"s{i}/x") for i in range(3)])
    await book.acknowledge(events[0].alarm, "lan")
    done, refused = await book.acknowledge_many([e.alarm for e in events] + [999], "minh", "storm")
    assert [(e.alarm, e.by, e.comment) for e in done] == [(e.alarm, "minh", "storm") for e in events[1:]]
    assert [(r.alarm, r.reason) for r in refused] == [
        (events[0].alarm, "it is acknowledged already"),
        (999, "there is no such alarm"),
    ]


async def test_a_shelving_ends_by_itself(book: AlarmBook, change: MakeChange) -> None:
    [a, b] = await book.apply([change("raise", source="a/x"), change("raise", source="b/x")])
    end = now_us() + HOUR_US
    await book.shelve(a.alarm, "lan", end)
    await book.shelve(b.alarm, "lan", end + 1)
    assert await book.expire(end - 1) == []
    [event] = await book.expire(end)
    assert (event.alarm, event.action, event.to_state, event.time) == (a.alarm, "expire", "unacknowledged", end)
    assert await book.expire(end) == []
    assert await book.expire() == []


async def test_the_list_filters_sorts_and_pages(book: AlarmBook, change: MakeChange) -> None:
    await book.apply(
        [
            change(
                "raise",
                source=f"station-{i:03}/level",
                severity=1 + i % 4,
                time=1000 + i // 10,
                domain="water" if i % 2 else "air",
                commune=f"c{i % 5}",
            )
            for i in range(45)
        ]
    )
    await book.apply(
        [change("clear", source="station-007/level"), change("raise", source="50%_off/x", condition="a.b")]
    )

    async def keys(**chosen: Any) -> list[str]:
        return [a.source for a in (await book.list(AlarmFilter(**chosen), limit=1000)).items]

    for sort in ("raised", "-raised", "severity", "-severity", "source", "-changed"):
        seen, after, pages = [], None, 0
        while True:
            page = await book.list(sort=sort, limit=7, after=after)
            assert page.total == 46
            seen += page.items
            pages += 1
            if (after := page.next) is None:
                break
        assert pages == 7
        assert len({a.id for a in seen}) == 46
        values = [(getattr(a, sort.removeprefix("-")), a.id) for a in seen]
        assert values == sorted(values, reverse=sort.startswith("-"))
    assert await keys(states=frozenset({"returned_unacknowledged"})) == ["station-007/level"]
    assert await keys(active=False) == ["station-007/level"]
    assert len(await keys(domains=frozenset({"water"}), severities=frozenset({2, 4}))) == 22
    assert len(await keys(communes=frozenset({"c1", "c2"}))) == 18
    assert len(await keys(source="STATION-01?/*")) == 10
    assert await keys(source="50%_*") == ["50%_off/x"]
    assert await keys(source="5_%") == []
    assert await keys(condition="a.*") == await keys(text="A.B") == ["50%_off/x"]
    quiet_air = EventFilter(domains=frozenset({"air"}), severities=frozenset({1}))
    assert len(await book.events_after(0, chosen=quiet_air)) == 12


async def test_a_page_cursor_that_is_none_is_refused(book: AlarmBook, change: MakeChange) -> None:
    await book.apply([change("raise", source=f"s{i}/x") for i in range(3)])
    good = (await book.list(limit=1)).next
    for bad in ("", "x", "AAAA", "ñ", good and good[:-4]):
        with pytest.raises(InputError):
            await book.list(after=bad)
    with pytest.raises(InputError, match="sorted by -raised"):
        await book.list(sort="source", after=good)
    with pytest.raises(InputError, match="order"):
        await book.list(sort="colour")  # type: ignore[arg-type]
    with pytest.raises(InputError):
        await book.list(limit=0)


async def test_many_writers_at_once_make_legal_lives_without_duplicates(either: Records, change: MakeChange) -> None:
    books = [AlarmBook(either) for _ in range(4)]

    async def write(writer: int) -> int:
        rng, done = random.Random(writer), 0
        for _ in range(25):
            batch = [
                change(
                    rng.choice(list(Action)), source=f"s{rng.randrange(6)}/x", severity=rng.randint(1, 4), time=now_us()
                )
                for _ in range(rng.randint(1, 4))
            ]
            done += len(await books[writer % 4].apply(batch))
            if rng.random() < 0.2:
                try:
                    await books[writer % 4].acknowledge(rng.randint(1, 6), f"w{writer}")
                    done += 1
                except (ConflictError, NotFoundError):
                    pass
        return done

    told = sum(await asyncio.gather(*(write(i) for i in range(8))))
    kept = await rows(either, alarm_transitions)
    assert told == len(kept) > 100
    stored = {a.id: a for a in await rows(either, alarms)}
    assert max(Counter((a.source, a.condition) for a in stored.values()).values()) == 1
    last: dict[int, Any] = {}
    for step in kept:
        before = last.get(step.alarm_id)
        assert step.from_state == (before.to_state if before else "normal")
        assert step.version == (before.version if before else 0) + 1
        was = bool(before and before.active)
        assert step.active != was if step.action in ("raise", "clear") else step.active == was
        last[step.alarm_id] = step
    for number, step in last.items():
        assert (stored[number].state, stored[number].active, stored[number].version) == (
            step.to_state,
            step.active,
            step.version,
        )
    for opened in books:
        await opened.close()


async def test_readers_that_go_on_from_the_last_event_miss_none(either: Records, change: MakeChange) -> None:
    books = [AlarmBook(either) for _ in range(3)]
    finished = asyncio.Event()
    seen: list[int] = []

    async def follow() -> None:
        while True:
            ending = finished.is_set()
            events = await books[0].events_after(seen[-1] if seen else 0, 50)
            seen.extend(e.id for e in events)
            if ending and not events:
                return

    async def write(book: AlarmBook, name: str) -> None:
        for i in range(40):
            await book.apply([change("raise" if i % 2 == 0 else "clear", source=name)])

    follower = asyncio.create_task(follow())
    await asyncio.gather(*(write(books[i % 3], f"s{i}/x") for i in range(6)))
    finished.set()
    await follower
    assert seen == [row.id for row in await rows(either, alarm_transitions)]
    assert len(seen) == 240
    for opened in books:
        await opened.close()


async def test_a_writer_that_never_ends_is_reported_and_survived(
    records: Records, change: MakeChange, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = AlarmBook(records)
    await book.apply([change("raise")])
    monkeypatch.setattr(book._store, "_patience_s", 0.2, raising=False)
    blocker = sqlite3.connect(str(records.engine.url.database), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError, match="another writer"):
        await book.apply([change("clear")])
    blocker.execute("ROLLBACK")
    blocker.close()
    assert len(await book.apply([change("clear")])) == 1
    await book.close()


async def test_a_full_disk_is_told_and_forgotten_once_there_is_room(records: Records, change: MakeChange) -> None:
    book = AlarmBook(records)
    await book.apply([change("raise", seq=1)], upto_seq=1)
    store: Any = book._store
    await store._do(lambda: store._connection.execute("PRAGMA max_page_count=1").fetchall())
    many = [change("raise", source=f"s{i}/x", seq=2, evidence={"text": "x" * 500}) for i in range(300)]
    with pytest.raises(DiskFullError, match="no room"):
        await book.apply(many, upto_seq=2)
    assert await book.applied_seq() == 1 and len(await book.active()) == 1
    await store._do(lambda: store._connection.execute("PRAGMA max_page_count=1000000").fetchall())
    assert len(await book.apply(many, upto_seq=2)) == 300
    await book.close()


async def test_hundreds_of_alarms_change_in_one_transaction(book: AlarmBook, change: MakeChange) -> None:
    batch = [change("raise", source=f"s{i}/x", time=i) for i in range(800)]
    assert len(await book.apply(batch, upto_seq=5)) == 800
    assert await book.active() == {(f"s{i}/x", "water.high"): 2 for i in range(800)}
    assert threading.active_count() < 20
