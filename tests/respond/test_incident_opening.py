"""Alarms become incidents: each transition exactly once, whoever else writes and whatever is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from bench.races import judge

from thap.detect.detector import Change
from thap.kernel.bus import Bus
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, now_us
from thap.kernel.errors import ConflictError, NotFoundError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store, Transaction, open_store
from thap.kernel.units import PROVINCE_CODE
from thap.respond.book import AlarmBook
from thap.respond.escalation.alarms import CONDITIONS
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.correlate_records import _BY_CELL, _BY_PLACE
from thap.respond.incidents.model import Draft, IncidentEvent, Row
from thap.respond.incidents.opening import OFFSET, Opener, part
from thap.respond.incidents.records import incident_events, incident_links
from thap.respond.incidents.rules import OpeningRule, OpeningRules, Title, packaged, put_rule, remove_rule
from thap.respond.parts import Context
from thap.respond.records import alarm_transitions, read_offset

MakeChange = Callable[..., Change]
BY = "truc-ban"
CAO_LANH, TAN_PHU_TRUNG = "29869", "30259"


class World:
    """Alarms and the incidents made of them, with nobody following unless told."""

    def __init__(self, records: Records, store: Store, change: MakeChange) -> None:
        self.records, self.store, self.change = records, store, change
        self.alarms = AlarmBook(records)
        self.book = IncidentBook(records, store, followers=())
        self.opener = Opener(records, store, followers=())
        self.now = now_us()

    async def alarm(self, action: str = "raise", minutes: float = 0, **more: Any) -> list[IncidentEvent]:
        """Something happens to an alarm, and the opener looks."""
        at = self.now - HOUR_US + int(minutes * MINUTE_US)
        known = {"severity": 3, "domain": "water", "lon": 105.63, "lat": 10.46, "commune": CAO_LANH, **more}
        await self.alarms.apply([self.change(action, time=at, **known)])
        return await self.look()

    async def look(self) -> list[IncidentEvent]:
        events = []
        while await self.opener.behind():
            events += await self.opener.step()
        return events

    async def effects(self) -> Counter[int]:
        """How often each alarm transition shows in the incidents."""
        chosen = sa.select(incident_events.c.detail).where(
            incident_events.c.action.in_(("open", "join", "alarm_cleared"))
        )
        async with self.records.read() as connection:
            return Counter(msgspec.json.decode(row.detail)["transition"] for row in await connection.execute(chosen))


@pytest.fixture
async def store(either: Records) -> AsyncIterator[Store]:
    opened = open_store(either)
    yield opened
    await opened.close()


@pytest.fixture
async def world(either: Records, store: Store, change: MakeChange) -> AsyncIterator[World]:
    made = World(either, store, change)
    yield made
    await made.alarms.close()


async def test_a_serious_alarm_opens_an_incident_for_its_commune(world: World) -> None:
    world.opener.titles = {"water.high": {"vi": "Mực nước vượt báo động", "en": "Water above alarm level"}}
    (event,) = await world.alarm()
    incident = await world.book.get(event.incident)
    assert (event.action, event.by, incident.origin, incident.opened_by) == ("open", "", "alarm", "")
    assert incident.title == "Mực nước vượt báo động – Phường Cao Lãnh"
    assert event.detail["title"]["en"] == "Water above alarm level – Phường Cao Lãnh"
    assert (incident.domain, incident.severity, incident.cause) == ("water", 3, "water.high")
    assert (incident.unit, incident.commune, incident.lon, incident.lat) == (CAO_LANH, CAO_LANH, 105.63, 10.46)
    (link,) = await world.book.links(event.incident)
    assert (link.kind, link.ref, link.title) == ("alarm", "1", "my-thuan/level water.high")
    assert await world.look() == []


async def test_what_is_not_serious_or_hidden_opens_nothing_until_it_calls(world: World) -> None:
    assert await world.alarm(severity=2) == []
    await world.alarms.shelve(1, BY, now_us() + HOUR_US)
    assert await world.alarm("escalate", 1, severity=4) == []
    await world.alarms.unshelve(1, BY)
    assert [event.action for event in await world.look()] == ["open"]


async def test_alarms_near_in_place_and_time_join_and_a_worse_one_raises_the_severity(world: World) -> None:
    await world.alarm()
    events = await world.alarm(source="cao-lanh/level", severity=4, minutes=10)
    assert [(event.incident, event.action) for event in events] == [(1, "join"), (1, "severity")]
    assert (await world.book.get(1)).severity == 4
    assert [link.ref for link in await world.book.links(1)] == ["1", "2"]
    (elsewhere,) = await world.alarm(source="vinh-long/level", commune=TAN_PHU_TRUNG)
    assert (elsewhere.incident, elsewhere.action) == (2, "open")


async def test_a_joining_alarm_does_not_stand_in_the_way_of_who_decides(world: World) -> None:
    await world.alarm()
    await world.alarm(source="cao-lanh/level", minutes=1)
    assert (await world.book.acknowledge(1, BY, version=1)).version == 2


async def test_an_alarm_that_clears_and_is_raised_again_stays_with_its_incident(world: World) -> None:
    await world.alarm()
    (cleared,) = await world.alarm("clear", 10)
    assert (cleared.incident, cleared.action, cleared.detail["alarm"]) == (1, "alarm_cleared", 1)
    (again,) = await world.alarm("raise", 20)
    assert (again.incident, again.action) == (1, "join")
    assert len(await world.book.links(1)) == 1


async def test_a_resolved_incident_absorbs_nothing_but_a_reopened_one_does(world: World) -> None:
    await world.alarm()
    await world.book.resolve(1, BY)
    (other,) = await world.alarm(source="cao-lanh/level")
    assert (other.incident, other.action) == (2, "open")
    assert await world.alarm("clear", 1) == []
    (own,) = await world.alarm("raise", 2)
    assert (own.incident, own.action) == (2, "join")
    await world.book.close(1, BY)
    await world.book.resolve(2, BY)
    await world.book.reopen(1, BY, comment="nước lại lên")
    (back,) = await world.alarm(source="sa-dec/level", minutes=59)
    assert (back.incident, back.action) == (1, "join")


async def test_alarms_join_what_a_person_opened_and_go_where_it_was_merged(world: World) -> None:
    by_hand = await world.book.open(Draft("Dân báo ngập", domain="water", severity=3, commune=CAO_LANH), BY)
    (joined,) = await world.alarm()
    assert (joined.incident, joined.action) == (by_hand.incident, "join")
    into = await world.book.open(Draft("Ngập diện rộng", domain="water"), BY)
    await world.book.merge(by_hand.incident, BY, into.incident)
    await world.alarm("clear", 1)
    (again,) = await world.alarm("raise", 2)
    assert (again.incident, again.action) == (into.incident, "join")


async def test_an_alarm_split_off_stays_with_the_new_incident(world: World) -> None:
    await world.alarm()
    await world.alarm(source="cao-lanh/level", minutes=1)
    second = (await world.book.links(1))[1]
    fresh, _ = await world.book.split(1, BY, [second.id])
    (cleared,) = await world.alarm("clear", 2, source="cao-lanh/level")
    assert cleared.incident == fresh.incident
    (first,) = await world.alarm("clear", 2)
    assert first.incident == 1


async def test_units_that_nobody_can_be_told_in_are_one_incident(world: World) -> None:
    told = [
        event
        for unit in (PROVINCE_CODE, CAO_LANH, TAN_PHU_TRUNG)
        for event in await world.alarm(
            source=f"duty/{unit}", condition=CONDITIONS["unreachable"], domain="system", commune=""
        )
    ]
    assert [(event.incident, event.action) for event in told] == [(1, "open"), (1, "join"), (1, "join")]
    assert (await world.book.get(1)).title == "Hệ thống: có vụ việc không báo được cho ai"
    (other,) = await world.alarm(
        source=f"duty/{CAO_LANH}", condition=CONDITIONS["unanswered"], domain="system", commune=""
    )
    assert (other.incident, other.action) == (2, "open")


async def test_a_clock_that_runs_ahead_does_not_hold_an_incident_open(world: World) -> None:
    (event,) = await world.alarm(minutes=60 * 24 * 365)
    assert (await world.book.get(event.incident)).latest is not None
    assert ((await world.book.get(event.incident)).latest or 0) <= now_us()


async def test_a_place_that_is_none_opens_all_the_same(world: World) -> None:
    (event,) = await world.alarm(lon=500.0, lat=10.0, commune="")
    incident = await world.book.get(event.incident)
    assert (incident.lon, incident.lat, incident.unit, incident.commune) == (None, None, "", "")


async def test_rules_in_the_records_are_asked_first(world: World) -> None:
    rule = OpeningRule(name="nuoc", title=Title("Nước{where}", "Water{where}"), conditions=("water.*",), severity=1)
    assert await world.store.transact(lambda tx: put_rule(tx, rule, BY, 0)) == 1
    with pytest.raises(ConflictError):
        await world.store.transact(lambda tx: put_rule(tx, rule, BY, 0))
    assert await world.store.transact(lambda tx: put_rule(tx, rule, BY, 1)) == 2
    await world.store.transact(lambda tx: remove_rule(tx, "nuoc", BY))
    with pytest.raises(NotFoundError):
        await world.store.transact(lambda tx: remove_rule(tx, "nuoc", BY))
    world.opener.rules = OpeningRules([rule, *packaged()])
    (event,) = await world.alarm(severity=1)
    assert event.title == "Nước – Phường Cao Lãnh"


# What goes wrong.


async def test_a_follower_that_breaks_keeps_no_incident_from_being_opened(
    world: World, either: Records, store: Store
) -> None:
    def follow(_tx: Transaction, events: Sequence[IncidentEvent], _rows: Mapping[int, Row]) -> None:
        if any(event.commune == TAN_PHU_TRUNG for event in events):
            raise RuntimeError("broken")

    world.opener = Opener(either, store, followers=(follow,))
    for commune in (CAO_LANH, TAN_PHU_TRUNG, "28249"):
        await world.alarms.apply([world.change(source=f"{commune}/level", severity=3, commune=commune, time=world.now)])
    events = await world.look()
    assert {event.commune: event.detail.get("without_tasks") for event in events} == {
        **{CAO_LANH: None, TAN_PHU_TRUNG: "RuntimeError('broken')", "28249": None},
    }


async def test_a_centre_that_had_alarms_before_begins_with_those_that_stand(world: World, either: Records) -> None:
    for source in ("cu/level", "con/level"):
        await world.alarms.apply([world.change(source=source, severity=3, time=world.now - 9 * DAY_US)])
    await world.alarms.apply([world.change("clear", source="cu/level", time=world.now - 8 * DAY_US)])
    async with either.write() as connection:
        await connection.execute(sa.update(alarm_transitions).values(recorded_at=world.now - 8 * DAY_US))
    (event,) = await world.look()
    assert event.detail["source"] == "con/level"
    async with either.read() as connection:
        assert await read_offset(connection, OFFSET) == 3
    assert len(await world.alarm(source="moi/level", commune=TAN_PHU_TRUNG)) == 1


async def flood(world: World, count: int) -> None:
    """Alarms over many sources, some raised, cleared and raised again."""
    rng = random.Random(5)
    changes = []
    for number in range(count):
        known = {"source": f"tram-{number}/level", "severity": 3, "domain": "water", "commune": f"c{number % 17}"}
        steps = ("raise", "clear", "raise") if rng.random() < 0.3 else ("raise",)
        changes += [world.change(step, time=world.now + nth, **known) for nth, step in enumerate(steps)]
    await world.alarms.apply(changes)


async def test_openers_at_once_take_turns_and_people_resolve_meanwhile(world: World, either: Records) -> None:
    await flood(world, 300)
    stores = [open_store(either) for _ in range(3)]
    openers = [Opener(either, store, followers=()) for store in stores]
    done = asyncio.Event()

    async def work(opener: Opener) -> None:
        opener.batch = 20
        while await opener.behind():
            await opener.step()

    async def resolve() -> None:
        rng = random.Random(1)
        while not done.is_set():
            number = rng.randint(1, 17)
            with contextlib.suppress(ConflictError, NotFoundError):
                await world.book.resolve(number, BY)
            await asyncio.sleep(0.005)

    resolving = asyncio.create_task(resolve())
    await asyncio.gather(*map(work, openers))
    done.set()
    await resolving
    for opened in stores:
        await opened.close()
    effects = await world.effects()
    assert set(effects.values()) == {1}
    async with either.read() as connection:
        raised = await connection.execute(
            sa.select(alarm_transitions.c.id).where(alarm_transitions.c.annunciated.is_(True))
        )
        assert {row.id for row in raised} <= set(effects)
        links = await connection.execute(sa.select(incident_links.c.ref, incident_links.c.incident_id))
        assert len(list(links)) >= 300
    assert (await judge(either, []))["illegal"] == 0


KILLED = """
import asyncio, sys
from pathlib import Path
from thap.kernel.records import Records
from thap.kernel.settings import load_settings
from thap.kernel.store import open_store
from thap.respond.incidents.opening import Opener

async def main():
    records = Records.open(load_settings(Path(sys.argv[1])))
    opener = Opener(records, open_store(records))
    opener.batch = 5
    print("ready", flush=True)
    sys.stdin.readline()
    while await opener.behind():
        await opener.step()
        print(opener.read, flush=True)

asyncio.run(main())
"""


async def test_each_alarm_takes_effect_once_however_often_the_opener_is_killed(
    records: Records, settings: Settings, change: MakeChange
) -> None:
    store = open_store(records)
    world = World(records, store, change)
    await flood(world, 150)
    rng = random.Random(3)
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", KILLED, str(settings.data)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        process.stdin.write(b"\n")
        await process.stdin.drain()
        for _ in range(rng.randint(1, 8)):
            await process.stdout.readline()
        process.kill()
        await process.wait()
        assert set((await world.effects()).values()) <= {1}
    assert await world.opener.behind() > 0
    await world.look()
    effects = await world.effects()
    assert set(effects.values()) == {1}
    async with records.read() as connection:
        told = await connection.execute(sa.select(alarm_transitions.c.id))
        assert {row.id for row in told} == set(effects)
    assert (await judge(records, []))["illegal"] == 0
    await world.alarms.close()
    await store.close()


async def test_looking_up_asks_the_index_however_many_are_open(records: Records) -> None:
    async with records.read() as connection:
        for statement, column in ((_BY_PLACE, "place"), (_BY_CELL, "cell")):
            text = str(statement.compile(dialect=records.engine.dialect))
            values = {"domain": "water", "cause": "x", "place": 1, "since": 1}
            names = statement.compile(dialect=records.engine.dialect).positiontup
            plan = await connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {text}", tuple(values.get(name, 0) for name in names)
            )
            told = " ".join(str(row[-1]) for row in plan)
            assert f"USING INDEX ix_incidents_{column} (domain=? AND cause=? AND {column}=? AND latest>?)" in told
            assert "TEMP B-TREE FOR ORDER BY" not in told


# The part.

RULE = """
[[rule]]
name = "water.low"
kind = "threshold"
title = { vi = "Mực nước thấp", en = "Water is low" }
domain = "water"
select = { datastream = "tan-chau/level" }
below = 0.1
severity = "critical"
"""


async def test_the_part_opens_what_is_announced_and_announces_it(
    settings: Settings, records: Records, bus: Bus, change: MakeChange, tmp_path: Path
) -> None:
    store = open_store(records)
    world = World(records, store, change)
    heard: list[dict[str, Any]] = []
    told = asyncio.Event()

    async def hear(_subject: str, payload: bytes) -> None:
        heard.append(msgspec.json.decode(payload))
        told.set()

    await bus.listen("centre.live.incident", hear)
    running = part(Context(settings, records, bus, store))
    task = asyncio.create_task(running.run())
    await world.alarms.apply([change(severity=4, time=world.now)])
    await bus.announce("centre.live.alarm", {})
    await asyncio.wait_for(told.wait(), 30)
    assert (heard[0]["action"], heard[0]["state"], heard[0]["event"]) == ("open", "open", 1)
    assert heard[0]["title"] == "water.high", "no rule of this name was there"
    told.clear()
    settings.rules_dir.mkdir(parents=True, exist_ok=True)
    (settings.rules_dir / "water.toml").write_text(RULE, "utf-8")
    await bus.announce("centre.live.rules", {})
    await world.alarms.apply([change(source="tan-chau/level", condition="water.low", severity=4, time=world.now)])
    await bus.announce("centre.live.alarm", {})
    await asyncio.wait_for(told.wait(), 30)
    assert heard[1]["title"] == "Mực nước thấp", "rules that were put in are known at once"
    stats = running.stats()
    assert (running.name, stats["total"] >= 1) == ("incidents", True)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.alarms.close()
    await store.close()
