"""Who is on duty: rotas that come round, overrides, shifts of their own, hand-over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from thap.kernel.clock import DAY_US, HOUR_US, VIETNAM, from_us, now_us, parse_time_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.records import Records
from thap.respond.duty.book import DutyBook, duty_now
from thap.respond.duty.model import Handover, Rota, Shift
from thap.respond.duty.roster import check_rule, on_duty, plan, times

START = parse_time_us("2026-11-02T07:00:00+07:00")  # a Monday
DAY_AND_NIGHT = Rota(
    name="truc",
    unit="82",
    role="operator",
    rule="FREQ=DAILY;BYHOUR=7,19",
    start=START,
    length_us=12 * HOUR_US,
    turns=[["truc-1"], ["truc-2"], ["truc-3", "truc-4"]],
)


@pytest.fixture
async def book(either: Records) -> AsyncIterator[DutyBook]:
    if not either.is_sqlite:
        async with either.write() as connection:
            await connection.execute(sa.text("TRUNCATE duty_rotas, duty_shifts, duty_handovers RESTART IDENTITY"))
    made = DutyBook(either)
    yield made
    await made.close()


def at(text: str) -> int:
    return parse_time_us(f"{text}+07:00")


# Without a database.


def test_turns_follow_each_other_as_the_rule_comes_round() -> None:
    for moment, who in (
        ("2026-11-02T07:00:00", ["truc-1"]),
        ("2026-11-02T18:59:59", ["truc-1"]),
        ("2026-11-02T19:00:00", ["truc-2"]),
        ("2026-11-03T00:30:00", ["truc-2"]),
        ("2026-11-03T07:00:00", ["truc-3", "truc-4"]),
        ("2026-11-03T19:00:00", ["truc-1"]),
        ("2026-11-02T06:59:59", []),
    ):
        assert on_duty([DAY_AND_NIGHT], [], at(moment)) == who, moment
    assert on_duty([DAY_AND_NIGHT], [], at("2026-11-02T08:00:00"), "leader") == []


def test_an_override_replaces_one_or_all_and_the_last_one_made_counts() -> None:
    def shift(number: int, low: str, high: str, login: str, instead: str = "") -> Shift:
        return Shift(
            id=number, unit="82", role="operator", login=login, start=at(low), until=at(high), rota="truc",
            instead_of=instead,
        )  # fmt: skip

    ill = shift(1, "2026-11-03T07:00:00", "2026-11-03T12:00:00", "truc-9", "truc-3")
    assert on_duty([DAY_AND_NIGHT], [ill], at("2026-11-03T08:00:00")) == ["truc-4", "truc-9"]
    assert on_duty([DAY_AND_NIGHT], [ill], at("2026-11-03T12:00:00")) == ["truc-3", "truc-4"]
    nobody = shift(2, "2026-11-03T08:00:00", "2026-11-03T09:00:00", "")
    assert on_duty([DAY_AND_NIGHT], [nobody, ill], at("2026-11-03T08:30:00")) == []
    other = shift(3, "2026-11-03T08:00:00", "2026-11-03T09:00:00", "truc-8")
    assert on_duty([DAY_AND_NIGHT], [nobody, ill, other], at("2026-11-03T08:30:00")) == ["truc-8"]
    taken_back = msgspec.structs.replace(other, removed=1)
    assert on_duty([DAY_AND_NIGHT], [taken_back], at("2026-11-03T08:30:00")) == ["truc-3", "truc-4"]
    wrong = shift(4, "2026-11-03T08:00:00", "2026-11-03T09:00:00", "truc-7", "truc-1")
    assert on_duty([DAY_AND_NIGHT], [wrong], at("2026-11-03T08:30:00")) == ["truc-3", "truc-4"], "truc-1 is not on it"


@given(
    hours=st.lists(st.integers(0, 23), min_size=1, max_size=4, unique=True),
    people=st.integers(1, 7),
    length=st.integers(1, 30),
    begin=st.integers(0, 300 * 24),
    span=st.integers(1, 24 * 20),
    cuts=st.lists(st.tuples(st.integers(0, 300 * 24), st.integers(1, 50)), max_size=4),
)
def test_a_plan_and_who_is_on_duty_say_the_same(
    hours: list[int], people: int, length: int, begin: int, span: int, cuts: list[tuple[int, int]]
) -> None:
    rota = msgspec.structs.replace(
        DAY_AND_NIGHT,
        rule=f"FREQ=DAILY;BYHOUR={','.join(map(str, sorted(hours)))}",
        length_us=length * HOUR_US,
        turns=[[f"p{n}"] for n in range(people)],
    )
    shifts = [
        Shift(
            id=n, unit="82", role="operator", login=f"s{n}", start=START + low * HOUR_US,
            until=START + (low + many) * HOUR_US, rota="truc" if n % 2 else "",
        )
        for n, (low, many) in enumerate(cuts)
    ]  # fmt: skip
    since, until = START + begin * HOUR_US, START + (begin + span) * HOUR_US
    stints = plan([rota], shifts, since, until)
    assert all(since <= one.start < one.until <= until for one in stints)
    for moment in range(since, until, HOUR_US):
        now = {one.login for one in stints if one.start <= moment < one.until}
        assert now == set(on_duty([rota], shifts, moment))


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "DAILY",
        "FREQ=HOURLY",
        "FREQ=SECONDLY",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYHOUR=25",
        "FREQ=DAILY;BYSECOND=1",
        "FREQ=DAILY;FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
        "FREQ=DAILY;UNTIL=20200101",
        "FREQ=WEEKLY;BYDAY=2MO",
        "FREQ=DAILY\nDTSTART:20200101",
        "FREQ=DAILY;COUNT=999999",
    ],
)
def test_a_rule_that_is_none_is_refused_at_once(rule: str) -> None:
    with pytest.raises(InputError):
        check_rule(rule, START, HOUR_US)


def test_rules_of_the_usual_kinds_are_taken() -> None:
    for rule in ("freq=weekly;byday=mo,fr;byhour=8", "RRULE:FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=WEEKLY;INTERVAL=2"):
        assert check_rule(rule, START, HOUR_US).startswith("FREQ=")
    for length in (0, -1, 400 * DAY_US):
        with pytest.raises(InputError):
            check_rule("FREQ=DAILY", START, length)


# With one.


async def test_a_rota_that_changes_keeps_who_was_on_duty(book: DutyBook) -> None:
    now = now_us()
    started = now - 30 * DAY_US
    first = await book.put_rota(msgspec.structs.replace(DAY_AND_NIGHT, start=started), "lanh-dao")
    before = await book.plan(now - 20 * DAY_US, now - DAY_US, "82")
    assert first.version == 1 and {one.login for one in before} == {"truc-1", "truc-2", "truc-3", "truc-4"}
    second = await book.put_rota(
        msgspec.structs.replace(DAY_AND_NIGHT, start=started, turns=[["truc-7"]]), "lanh-dao", version=1
    )
    assert second.version == 2
    assert await book.plan(now - 20 * DAY_US, now - DAY_US, "82") == before
    after = await book.plan(now_us(), now_us() + 5 * DAY_US, "82")
    assert {one.login for one in after} == {"truc-7"}
    with pytest.raises(ConflictError, match="at version 2, by lanh-dao"):
        await book.put_rota(DAY_AND_NIGHT, "ai-do", version=1)
    await book.end_rota("truc", "lanh-dao")
    assert await book.rotas() == [] and await book.plan(now_us() + HOUR_US, now_us() + DAY_US, "82") == []
    assert await book.plan(now - 20 * DAY_US, now - DAY_US, "82") == before
    for name in ("truc", "khac"):
        with pytest.raises(NotFoundError):
            await book.end_rota(name, "lanh-dao")


async def test_units_do_not_mix_and_the_province_has_one_name(book: DutyBook) -> None:
    now = now_us()
    start = now - 2 * DAY_US
    await book.put_rota(msgspec.structs.replace(DAY_AND_NIGHT, unit="", start=start), "x")
    await book.put_rota(
        msgspec.structs.replace(DAY_AND_NIGHT, name="xa", unit="29869", start=start, turns=[["xa-1"]]), "x"
    )
    await book.add_shift(Shift(unit="29869", role="leader", login="xa-2", start=now - 1, until=now + HOUR_US), "x")
    assert {one.login for one in await book.on_duty(unit="29869")} == {"xa-1", "xa-2"}
    assert {one.unit for one in await book.on_duty()} == {"82", "29869"}
    assert {one.unit for one in await book.on_duty(unit="")} == {"82"}
    asked = (("", ""), ("29869", "leader"), ("29869", ""), ("so-y-te", ""))
    found = await book._store.transact(lambda tx: [set(duty_now(tx, u, r, now_us())) for u, r in asked])
    assert len(found[0]) in (1, 2) and found[1:] == [{"xa-2"}, {"xa-1", "xa-2"}, set()]


async def test_shifts_are_checked_and_taken_back(book: DutyBook) -> None:
    now = now_us()
    good = Shift(unit="82", role="operator", login="a", start=now - HOUR_US, until=now + HOUR_US)
    for bad, kind in (
        (msgspec.structs.replace(good, until=now - HOUR_US), InputError),
        (msgspec.structs.replace(good, start=-5), InputError),
        (msgspec.structs.replace(good, login=""), InputError),
        (msgspec.structs.replace(good, instead_of="b"), InputError),
        (msgspec.structs.replace(good, rota="khong-co"), NotFoundError),
    ):
        with pytest.raises(kind):
            await book.add_shift(bad, "x")
    made = await book.add_shift(good, "x")
    assert [one.login for one in await book.on_duty(unit="82")] == ["a"]
    with pytest.raises(NotFoundError):
        await book.remove_shift(made.id, "x", frozenset({"29869"}))
    await book.remove_shift(made.id, "x")
    assert await book.on_duty(unit="82") == []
    with pytest.raises(NotFoundError):
        await book.remove_shift(made.id, "x")


async def test_a_hand_over_is_taken_once_by_whom_it_is_for(book: DutyBook) -> None:
    with pytest.raises(InputError):
        await book.hand_over(Handover(unit="82", role="operator", time=0, from_login="a", note=" "))
    note = await book.hand_over(Handover(unit="82", role="operator", time=0, from_login="a", to_login="b", note="trực"))
    for who in ("a", "c"):
        with pytest.raises(ConflictError):
            await book.take_over(note.id, who)
    with pytest.raises(NotFoundError):
        await book.take_over(note.id, "b", frozenset({"29869"}))
    taken = await book.take_over(note.id, "b")
    assert taken.taken_by == "b" and taken.taken is not None
    with pytest.raises(ConflictError, match="b has taken"):
        await book.take_over(note.id, "b")
    with pytest.raises(NotFoundError):
        await book.take_over(99, "b")
    assert [one.id for one in await book.handovers(["82"])] == [note.id]
    assert await book.handovers(["29869"]) == [] and await book.handovers(before=note.id) == []


async def test_ten_who_change_a_rota_at_once_are_ten_versions(book: DutyBook) -> None:
    await asyncio.gather(*(book.put_rota(DAY_AND_NIGHT, f"p{n}") for n in range(10)))
    [standing] = await book.rotas()
    before = await book.plan(START, START + 30 * DAY_US)
    assert standing.version == 10
    assert all(one.until <= two.start or one.login != two.login for one, two in pairwise(before)), "no moment is double"


def test_hours_of_a_rule_are_full_hours_whenever_it_is_typed() -> None:
    typed = parse_time_us("2026-11-23T00:38:12+07:00")
    found = [
        from_us(moment).astimezone(VIETNAM)
        for _, moment in times("FREQ=DAILY;BYHOUR=7,19", typed).between(typed, typed + DAY_US)
    ]
    assert [(at.hour, at.minute, at.second) for at in found] == [(7, 0, 0), (19, 0, 0)]
