"""Escalation: while nobody takes an incident up, more people are told; when nobody can be, that is an alarm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, now_us, parse_time_us
from thap.kernel.errors import InputError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store, open_store
from thap.respond.book import AlarmBook
from thap.respond.duty.book import DutyBook
from thap.respond.duty.model import Shift
from thap.respond.escalation.alarms import Trouble
from thap.respond.escalation.book import EscalationBook
from thap.respond.escalation.chains import check_chain, check_suppression, choose, held_until, packaged
from thap.respond.escalation.follow import follow
from thap.respond.escalation.follow import step as take_step
from thap.respond.escalation.model import Chain, Escalation, Step, Suppression
from thap.respond.escalation.records import escalation_rows
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.model import Draft
from thap.respond.notify.people import Channel, Preferences, put_preferences
from thap.respond.notify.records import notice_rows
from thap.respond.notify.sending import Sender
from thap.respond.timers import Timers

TABLES = (
    "escalations, escalation_chains, escalation_suppressions, notice_attempts, notice_deliveries, notices, "
    "notice_channels, notice_preferences, duty_shifts, duty_rotas, timers, incident_events, incident_links, incidents"
)
DRAFT = Draft("Mực nước vượt báo động 3", domain="water", severity=3, unit="82", commune="29869")


class World:
    """A centre's escalation with a clock that tests set."""

    def __init__(self, settings: Settings, records: Records, store: Store) -> None:
        self.now = now_us()
        self.records, self.store = records, store
        self.incidents = IncidentBook(records, store, followers=(follow,))
        self.duty, self.book = DutyBook(records, store), EscalationBook(records, store)
        self.timers = Timers(records, store, None, {"escalation.step": take_step}, clock=lambda: self.now)
        self.sender = Sender(settings, records, store, clock=lambda: self.now)

    async def on_duty(self, login: str, unit: str = "82", role: str = "operator", reach: bool = True) -> None:
        await self.duty.add_shift(
            Shift(unit=unit, role=role, login=login, start=self.now - HOUR_US, until=self.now + 30 * DAY_US), "x"
        )
        if reach:
            await self.reach(login)

    async def reach(self, login: str) -> None:
        chosen = Preferences(login=login, channels=[Channel(channel="nowhere", address=login)])
        await self.store.transact(lambda tx: put_preferences(tx, chosen, self.now))

    async def open(self, **more: Any) -> int:
        draft = Draft(**{**{f: getattr(DRAFT, f) for f in ("title", "domain", "severity", "unit", "commune")}, **more})
        number = (await self.incidents.open(draft, "")).incident
        self.now = max(self.now, now_us())
        return number

    async def fire(self, after_s: float = 0) -> None:
        """Let some time pass, and what falls due then happen."""
        self.now = max(self.now + round(after_s * SECOND_US), now_us())
        while await self.timers.fire():
            pass

    async def told(self) -> list[str]:
        """Whom chains told since the last time."""
        async with self.records.read() as connection:
            found = [row["to_name"] for row in reversed(await notice_rows(connection, template="escalation.step"))]
        fresh = found[getattr(self, "seen", 0) :]
        self.seen = len(found)
        return fresh

    async def state(self, incident: int) -> Escalation:
        async with self.records.read() as connection:
            return (await escalation_rows(connection, incident=incident))[0]


@pytest.fixture
async def world(settings: Settings, either: Records) -> AsyncIterator[World]:
    if not either.is_sqlite:
        async with either.write() as connection:
            await connection.execute(sa.text(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE"))
    store = open_store(either)
    made = World(settings, either, store)
    yield made
    await made.sender.close()
    await store.close()


CHAIN = Chain(
    name="thu",
    severity=1,
    rounds=2,
    steps=[
        Step(to=["duty:$unit/operator"], wait_s=600, times=2),
        Step(to=["duty:82/shift_lead", "person:lanh-dao"], wait_s=900),
    ],
)


async def test_a_chain_tells_waits_tells_again_and_goes_on_until_it_is_acknowledged(world: World) -> None:
    for login, role in (("truc-ban", "operator"), ("truong-ca", "shift_lead")):
        await world.on_duty(login, role=role)
    await world.reach("lanh-dao")
    await world.book.put_chain(CHAIN, "x")
    number = await world.open()
    told = []
    for seconds in (0, 599, 1, 600, 899, 1, 600):
        await world.fire(seconds)
        told.append(sorted(await world.told()))
    assert told == [["truc-ban"], [], ["truc-ban"], ["lanh-dao", "truong-ca"], [], ["truc-ban"], ["truc-ban"]]
    await world.incidents.acknowledge(number, "truong-ca")
    await world.fire(DAY_US / SECOND_US)
    assert await world.told() == []
    ended = await world.state(number)
    assert (ended.state, ended.ended_by, ended.reason) == ("acknowledged", "truong-ca", "")
    kept = [(e.action, e.detail.get("to")) for e in reversed(await world.incidents.life(number))]
    assert kept[:3] == [("open", None), ("escalation", ["truc-ban"]), ("escalation", ["truc-ban"])]
    await world.incidents.resolve(number, "x")
    await world.incidents.reopen(number, "x", comment="chưa xong")
    world.now = now_us() + DAY_US
    await world.fire()
    assert await world.told() == ["truc-ban"], "opened again, it begins again"


async def test_steps_that_have_nobody_are_passed_at_once(world: World) -> None:
    await world.on_duty("khong-kenh", reach=False)
    await world.reach("lanh-dao")
    await world.book.put_chain(CHAIN, "x")
    number = await world.open()
    await world.fire()
    assert await world.told() == ["lanh-dao"]
    assert (await world.state(number)).reason == ""


async def test_a_chain_that_can_reach_nobody_is_an_alarm_until_it_can(
    world: World, either: Records, settings: Settings
) -> None:
    async with either.write() as connection:
        await connection.execute(sa.text("DELETE FROM alarm_transitions"))
        await connection.execute(sa.text("DELETE FROM alarms"))
    await world.book.put_chain(CHAIN, "x")
    alarms = AlarmBook(either)
    trouble = Trouble(either, book=alarms)
    first, second = await world.open(), await world.open(severity=4)
    await world.fire()
    events = await trouble.settle()
    assert [(e.source, e.condition, e.action, e.severity) for e in events] == [
        ("duty/82", "system.unreachable", "raise", 4)
    ]
    assert await trouble.settle() == []
    assert await Trouble(either, book=alarms).settle() == [], "a restart raises nothing twice"
    hook = "json://127.0.0.1:9/"
    settings.notify.channels = {"nowhere": SecretStr(hook + "{address}")}
    await world.on_duty("truc-ban")
    await world.fire(300)
    assert await world.told() == ["truc-ban"] * 2, "it is tried again while nobody was there"
    assert (await world.state(first)).reason == "unreachable", "that one is on duty is not yet that one was told"
    async with either.write() as connection:
        await connection.execute(sa.text("UPDATE notices SET state = 'taken'"))
        for number in (1, 2):
            await connection.execute(
                sa.text(
                    "INSERT INTO notice_deliveries (notice_id, login, channel, address, language, urgent, state, due, "
                    "attempts, error, created, sent) VALUES (:n, 'truc-ban', 'x', 'x', 'vi', false, 'sent', 0, 1, '', "
                    "0, :at)"
                ),
                {"n": number, "at": world.now},
            )
    await world.fire(600)
    assert (await world.state(first)).reason == (await world.state(second)).reason == ""
    assert [(e.condition, e.action) for e in await trouble.settle()] == [("system.unreachable", "clear")]
    await alarms.close()


async def test_a_chain_whose_messages_all_fail_goes_on_at_once_and_is_unreachable_at_its_end(world: World) -> None:
    await world.on_duty("truc-ban")
    await world.reach("lanh-dao")
    await world.book.put_chain(CHAIN, "x")
    number = await world.open()
    for _ in range(12):
        await world.fire()
        while await world.sender.once():
            await world.sender.idle()
    assert "lanh-dao" in await world.told()
    assert (await world.state(number)).reason == "unreachable", "no channel of that name is set"


async def test_nobody_who_answers_is_an_alarm_too(world: World) -> None:
    await world.on_duty("truc-ban")
    await world.book.put_chain(CHAIN, "x")
    number = await world.open()
    for _ in range(5):
        await world.fire(1800)
    assert (await world.state(number)).reason == "unanswered"
    await world.told()
    await world.fire(7200)
    await world.fire(7200)
    assert (await world.state(number)).state == "running", "it never falls silent"
    async with world.records.read() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM timers WHERE kind = 'escalation.step'")) == 1


async def test_every_way_to_take_an_incident_up_ends_its_chain(world: World) -> None:
    await world.on_duty("truc-ban")
    book = world.incidents
    one, two, three, four = [await world.open() for _ in range(4)]
    await book.start(one, "x")
    await book.reject(two, "x", comment="nhầm")
    await book.merge(three, "x", four)
    await book.resolve(four, "x")
    found = [(await world.state(number)).state for number in (one, two, three, four)]
    assert found == ["acknowledged", "stopped", "stopped", "stopped"]
    async with world.records.read() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM timers WHERE kind = 'escalation.step'")) == 0


async def test_an_incident_that_grows_worse_or_moves_gets_the_chain_for_it(world: World) -> None:
    await world.on_duty("truc-ban")
    await world.on_duty("xa", unit="29869")
    number = await world.open(severity=2)
    await world.fire()
    assert (await world.state(number)).chain == "thuong" and await world.told() == ["truc-ban"]
    await world.incidents.comment(number, "x", "đang đi")
    await world.incidents.set_severity(number, "x", 4)
    await world.fire()
    assert (await world.state(number)).chain == "khan-cap" and await world.told() == ["truc-ban"]
    await world.incidents.assign(number, "x", unit="29869", owner="chu-tri")
    await world.fire()
    after = await world.state(number)
    assert (after.unit, after.owner) == ("29869", "chu-tri") and "xa" in await world.told()
    await world.incidents.edit(number, "x", {"title": "Tên khác"})
    assert (await world.state(number)).title == "Tên khác"


async def test_one_that_takes_over_a_worse_one_gets_the_chain_of_that(world: World) -> None:
    await world.on_duty("truc-ban")
    number, worse = await world.open(severity=2), await world.open(severity=4)
    await world.fire()
    assert (await world.state(number)).chain == "thuong" and (await world.state(worse)).chain == "khan-cap"
    await world.incidents.merge(worse, "x", number)
    after = await world.state(number)
    assert (after.chain, after.severity, after.state) == ("khan-cap", 4, "running")
    assert (await world.state(worse)).state == "stopped"


async def test_a_suppression_puts_a_chain_off_and_never_a_critical_one(world: World) -> None:
    await world.on_duty("truc-ban")
    await world.book.add_suppression(
        Suppression(title="bảo trì", rule="FREQ=DAILY", start=world.now - 5 * DAY_US - HOUR_US, length_us=2 * HOUR_US),
        "x",
    )
    await world.open(severity=3)
    await world.fire()
    assert await world.told() == []
    await world.open(severity=4)
    await world.fire()
    assert await world.told() == ["truc-ban"]
    await world.fire(3600)
    assert "truc-ban" in await world.told(), "at its end it begins"


async def test_a_week_switched_off_tells_once(world: World) -> None:
    await world.on_duty("truc-ban")
    await world.book.put_chain(CHAIN, "x")
    await world.open()
    await world.fire(7 * 86_400)
    assert await world.told() == ["truc-ban"]


# Without a database.


def test_the_chain_closest_to_the_incident_is_chosen() -> None:
    def chain(name: str, **more: Any) -> Chain:
        return Chain(name=name, steps=[Step(to=["person:a"], wait_s=60)], **more)

    chains = [
        chain("any"),
        chain("severe", severity=3),
        chain("water", domain="water"),
        chain("commune", unit="29869"),
        chain("off", unit="29869", domain="water", enabled=False),
    ]
    for domain, units, severity, name in (
        ("sand", ("82", ""), 1, "any"),
        ("sand", ("82", ""), 4, "severe"),
        ("water", ("82", ""), 4, "water"),
        ("water", ("82", "29869"), 4, "commune"),
    ):
        found = choose(chains, domain=domain, units=units, severity=severity)
        assert found is not None and found.name == name
    assert choose([chain("x", severity=3)], domain="", units=(), severity=2) is None


def test_the_chains_that_come_with_the_program_cover_every_severity() -> None:
    assert {one.name for one in packaged()} == {"thuong", "khan-cap"}
    assert all(choose(packaged(), domain="sand", units=("82",), severity=n) is not None for n in range(1, 5))


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "Có dấu"},
        {"severity": 5},
        {"rounds": 0},
        {"steps": []},
        {"steps": [Step(to=[], wait_s=60)]},
        {"steps": [Step(to=["ai-do"], wait_s=60)]},
        {"steps": [Step(to=["duty:82/x y"], wait_s=60)]},
        {"steps": [Step(to=["role:$who/leader"], wait_s=60)]},
        {"steps": [Step(to=["person:a"], wait_s=1)]},
        {"steps": [Step(to=["person:a"], wait_s=60, times=0)]},
    ],
)
def test_a_chain_that_does_not_hold_together_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        check_chain(msgspec.structs.replace(CHAIN, **bad))


def test_a_suppression_holds_when_it_comes_round() -> None:
    start = parse_time_us("2026-11-01T02:00:00+07:00")  # a Sunday
    one = check_suppression(
        Suppression(title="bảo trì", rule="FREQ=WEEKLY;BYDAY=SU", start=start, length_us=2 * HOUR_US, unit="")
    )

    def held(at: int, severity: int = 3, unit: str = "82") -> int | None:
        return held_until([one], domain="water", units=(unit, ""), severity=severity, at=at)

    assert held(start) == start + 2 * HOUR_US
    assert held(start + 7 * DAY_US + HOUR_US) == start + 7 * DAY_US + 2 * HOUR_US
    assert held(start + 2 * HOUR_US) is None and held(start + DAY_US) is None
    assert held(start, severity=4) is None and held(start, unit="29869") is None
    once = Suppression(title="diễn tập", start=start, length_us=MINUTE_US)
    assert held_until([once], domain="", units=("82",), severity=1, at=start + DAY_US) is None
    for bad in (
        {"severity": 4},
        {"title": " "},
        {"length_us": 0},
        {"length_us": 40 * DAY_US},
        {"rule": "FREQ=SECONDLY"},
    ):
        with pytest.raises(InputError):
            check_suppression(msgspec.structs.replace(one, **bad))
