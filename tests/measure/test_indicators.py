"""Indicators: a value is what its rows say, under the policy of whoever asks."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from thap.detect.catalogue import Catalogue
from thap.kernel.bus import Bus
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, now_us
from thap.kernel.errors import ConflictError, InputError, UnavailableError
from thap.kernel.metrics import Board
from thap.kernel.policy import Grant, Policy, Restriction, Who, seed
from thap.kernel.policy.people import add_person, grant
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import open_store
from thap.kernel.units import communes
from thap.measure.indicators.catalogue import indicator, indicators, theme_title
from thap.measure.indicators.compute import PROVINCE, Computer, audience_of, audiences, may_see
from thap.measure.indicators.counting import Counting
from thap.measure.indicators.model import Direction, Reading, Target, light_of
from thap.measure.indicators.printing import cell, rows_csv, said_value, wall_csv, wall_pdf, words_of
from thap.measure.indicators.records import (
    STEP_US,
    indicator_points,
    keep,
    points_of,
    points_since,
    set_target,
    target_history,
    targets_in_force,
    thin,
    values_of,
)
from thap.measure.indicators.snapshot import Heard, Moment, Moved, Snapshots
from thap.measure.indicators.wall import Wall
from thap.observe.registry import DatastreamInfo, MoverInfo, Registry
from thap.respond.incidents.records import incidents
from thap.respond.parts import PARTS, Context
from thap.respond.records import alarm_transitions, alarms
from thap.services.reports.records import reports

HERE, THERE = communes()[3].code, communes()[4].code
TREE = {"82": "", HERE: "82", THERE: "82"}


def _moment(now: int) -> Moment:
    """Two level stations, a salinity station silent for two days, a dredger."""
    series = tuple(
        DatastreamInfo(number, f"{thing}/{name}", thing, name, name, unit, "water", "station", 105.6, 10.4, commune)
        for number, (thing, name, unit, commune) in enumerate(
            [
                ("tan-chau", "water_level", "m", HERE),
                ("my-tho", "water_level", "m", THERE),
                ("a", "salinity", "g/l", HERE),
            ],
            1,
        )
    )
    mover = MoverInfo(1, "mmsi-574000001", "Tàu hút 1", "dredger", "sand", {})
    registry = Registry(series, (mover,), {one.key: one.id for one in series}, {mover.key: 1})
    return Moment(
        now=now,
        heard=(
            Heard(series[0], now - MINUTE_US, now - MINUTE_US + 2_000_000, 4.2),
            Heard(series[1], now - MINUTE_US, now - MINUTE_US + 4_000_000, 1.1),
            Heard(series[2], now - 2 * DAY_US, now - 2 * DAY_US, 9.0),
        ),
        moved=(Moved(mover, now - MINUTE_US, now, 105.6, 10.4, 0.5, HERE),),
        things={},
        rules=(),
        catalogue=Catalogue(registry),
        board=Board(),
        disk=(100 * 2**30, 40 * 2**30, 2**28),
    )


class _Letters:
    async def count(self) -> int:
        raise UnavailableError("the stream is away")


class _Snapshots:
    """A moment made by hand: what the engine would say."""

    letters = _Letters()

    async def moment(self) -> Moment:
        return _moment(now_us())


@pytest.fixture
def computer(records: Records, settings: Settings) -> Computer:
    return Computer(records, settings, _Snapshots())  # type: ignore[arg-type]


def _who(role: str, unit: str = "", domain: str = "", *, name: str = "x", clear: frozenset[str] = frozenset()) -> Who:
    return Who(name, "person", 1, unit, (Grant(role, unit, domain),), clear)


async def _fill(records: Records, many: int = 120) -> None:
    """Alarms, calls and acknowledgements, incidents and reports, drawn at random but always the same."""
    draw, now = random.Random(7), now_us()
    domains, communes = ("water", "sand"), (HERE, THERE, "")

    def any_of(*values: Any) -> Any:
        return draw.choice(values)

    async with records.write() as connection:
        for number in range(1, many + 1):
            state = any_of("normal", "unacknowledged", "acknowledged", "returned_unacknowledged", "shelved")
            texts = dict.fromkeys(("acknowledged_by", "evidence"), "")
            common = {"commune": any_of(*communes), "severity": draw.randint(1, 4), "active": any_of(True, False)}
            await connection.execute(
                sa.insert(alarms).values(
                    **{**texts, "evidence": "{}"},
                    **common,
                    id=number,
                    source=f"s-{number}/level",
                    condition=any_of("a.b", "sand.dredging_outside"),
                    domain=any_of(*domains),
                    state=state,
                    raised=now,
                    announced=now - draw.randint(0, 3) * DAY_US,
                    count=1,
                    changed=now,
                    version=1,
                )
            )
            called = now - draw.randint(1, 30) * HOUR_US
            for action, at in (("raise", called), ("acknowledge", called + draw.randint(1, 900) * 1_000_000)):
                await connection.execute(
                    sa.insert(alarm_transitions).values(
                        **common,
                        alarm_id=number,
                        action=action,
                        from_state="",
                        to_state="",
                        annunciated=action == "raise",
                        time=at,
                        recorded_at=at,
                        received=at,
                        seq=0,
                        by="truc-ban",
                        comment="",
                        evidence="{}",
                        version=1,
                    )
                )
            opened = now - draw.randint(0, 20) * DAY_US
            await connection.execute(
                sa.insert(incidents).values(
                    **dict.fromkeys(("description", "owner", "opened_by", "cause", "acknowledged_by", "commune"), ""),
                    id=number,
                    title=f"Việc {number}",
                    domain=any_of(*domains),
                    severity=2,
                    state=any_of("open", "waiting", "resolved", "closed", "merged"),
                    unit=any_of(*communes),
                    origin="hand",
                    opened=opened,
                    acknowledged=any_of(None, opened + 60_000_000),
                    resolved=any_of(None, opened + HOUR_US),
                    reopened=draw.randint(0, 1),
                    version=1,
                    changed=now,
                    began=now,
                    place="p:",
                    events=1,
                )
            )
            words = ("client", "place", "address_id", "text", "public_text", "media_url", "note", "opinion")
            await connection.execute(
                sa.insert(reports).values(
                    **dict.fromkeys(words, ""),
                    id=number,
                    receipt_hash=str(number),
                    source="form",
                    service="road",
                    domain=any_of(*domains),
                    severity=1,
                    unit=any_of(*communes),
                    commune=any_of(*communes),
                    answers="{}",
                    shown_photos="[]",
                    language="vi",
                    state=any_of("received", "in_progress", "done"),
                    published=False,
                    received=now - DAY_US,
                    changed=now,
                    closed=now - draw.randint(0, 10) * DAY_US,
                    expected=any_of(None, now - 5 * DAY_US),
                    satisfaction=any_of(None, 1, 3, 4, 5),
                    version=1,
                )
            )


async def _all_rows(computer: Computer, name: str, policy: Policy, who: Who) -> tuple[list[dict[str, Any]], Any]:
    rows: list[dict[str, Any]] = []
    after = None
    while True:
        page = await computer.page(indicator(name), policy, who, 17, after)
        rows += page.items
        if page.next is None:
            return rows, page
        after = page.next


PEOPLE = {
    "province": _who("leader"),
    "commune": _who("commune_official", HERE),
    "expert": _who("domain_expert", "", "sand"),
    "two": Who("two", "person", 1, "", (Grant("viewer", HERE), Grant("viewer", THERE, "water"))),
}


@pytest.mark.parametrize("name", sorted(PEOPLE))
async def test_a_value_is_what_its_rows_say_page_by_page(records: Records, computer: Computer, name: str) -> None:
    await _fill(records)
    policy, who, looked = Policy(TREE), PEOPLE[name], 0
    for one in indicators().values():
        if not may_see(policy, who, one) or one.id == "system.dead_letters":
            continue
        read = await computer.read(one, policy, who)
        rows, last = await _all_rows(computer, one.id, policy, who)
        assert len({row.get("key", row.get("id")) for row in rows}) == len(rows) == last.total, one.id
        assert read.rows == len(rows), one.id
        column = one.reduce.column
        if one.reduce.kind == "count":
            expected: float | None = len(rows)
        elif not rows:
            expected = None
        elif one.reduce.kind == "share":
            expected = sum(bool(row[column]) for row in rows) / len(rows)
        elif one.reduce.kind == "sum":
            expected = sum(float(row[column]) for row in rows)
        else:
            expected = float(np.quantile([float(row[column]) for row in rows], one.reduce.q))
        if one.id == "incidents.backlog_age" and expected is not None:  # grows while we count
            assert read.value == pytest.approx(expected, abs=5)
        else:
            assert read.value == (None if expected is None else pytest.approx(expected, abs=1e-6)), one.id
        for row in rows:
            assert set(row) >= {c.name for c in one.rows.columns}, one.id
        looked += bool(rows)
    assert looked >= (4 if name == "expert" else 12)


async def test_an_official_of_a_commune_counts_only_what_is_theirs(records: Records, computer: Computer) -> None:
    await _fill(records)
    policy, who = Policy(TREE), PEOPLE["commune"]
    for name, units in (("alarms.open", ("commune",)), ("incidents.open", ("unit",)), ("reports.open", ())):
        rows, page = await _all_rows(computer, name, policy, who)
        everything = await computer.read(indicator(name), policy, Who.system())
        assert 0 < len(rows) < everything.rows
        assert all(row[unit] == HERE for row in rows for unit in units)
        assert page.value == len(rows)
    assert (await computer.read(indicator("water.level_tan_chau"), policy, who)).value == 4.2
    assert (await computer.read(indicator("water.level_my_tho"), policy, who)).value is None
    assert not may_see(policy, who, indicator("system.disk_free"))
    assert may_see(policy, PEOPLE["province"], indicator("system.disk_free"))


async def test_what_is_restricted_counts_only_for_those_cleared(records: Records, computer: Computer) -> None:
    policy = Policy(TREE, (), (Restriction("thing", "tan-chau"),))
    plain, cleared = _who("leader"), _who("leader", clear=frozenset({"thing:tan-chau"}))
    one = indicator("water.level_tan_chau")
    assert (await computer.read(one, policy, plain)).value is None
    assert (await computer.read(one, policy, cleared)).value == 4.2
    assert audience_of(policy, cleared) == PROVINCE != audience_of(policy, plain)


async def test_one_that_fails_takes_no_other_with_it(computer: Computer) -> None:
    policy, who = Policy(TREE), Who.system()
    read = await computer.read_all([indicator("system.dead_letters"), indicator("system.disk_free")], policy, who)
    assert read["system.dead_letters"].value is None and "away" in read["system.dead_letters"].reason
    assert read["system.disk_free"].value == pytest.approx(40)


async def test_an_old_value_is_not_now(computer: Computer) -> None:
    read = await computer.read(indicator("water.salinity"), Policy(TREE), Who.system())
    assert read.value is None and read.reason == "no_rows"


def test_who_sees_the_same_is_one_audience() -> None:
    policy = Policy(TREE)
    assert audience_of(policy, _who("leader")) == audience_of(policy, Who.local()) == PROVINCE
    here = audience_of(policy, _who("commune_official", HERE))
    assert here == audience_of(policy, _who("viewer", HERE, name="y")) != audience_of(policy, _who("viewer", THERE))
    assert audience_of(policy, Who("z", "person")) != PROVINCE


@given(
    st.sampled_from(["lower", "higher", "band"]),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
)
def test_worse_is_never_a_better_light(
    direction: Direction, value: float, bound: float, wide: float, more: float
) -> None:
    target = {
        "lower": Target(high=bound, warn_high=bound + wide, source="x"),
        "higher": Target(low=bound, warn_low=bound - wide, source="x"),
        "band": Target(low=bound, high=bound + wide, warn_low=bound - wide, warn_high=bound + 2 * wide, source="x"),
    }[direction]
    target.check(direction)
    rank = ["good", "warn", "bad"]
    worse = value + more if direction != "higher" else value - more
    if direction != "band" or value >= bound:
        assert rank.index(light_of(worse, target)) >= rank.index(light_of(value, target))
    assert light_of(bound, target) == "good"
    assert light_of(None, target) == "unknown" and light_of(value, Target()) == "none"


@pytest.mark.parametrize(
    ("direction", "target"),
    [
        ("lower", Target(low=1, source="x")),
        ("higher", Target(high=1, source="x")),
        ("lower", Target(high=2, warn_high=1, source="x")),
        ("band", Target(low=2, high=1, source="x")),
        ("lower", Target(high=1)),
        ("lower", Target(high=float("nan"), source="x")),
        ("lower", Target(warn_high=1, source="x")),
    ],
)
def test_bounds_that_make_no_sense_are_refused(direction: Direction, target: Target) -> None:
    with pytest.raises(InputError):
        target.check(direction)


def test_every_declared_target_names_its_source_and_every_theme_has_a_title(settings: Settings) -> None:
    for one in indicators().values():
        target = one.own_target(settings)
        target.check(one.direction)
        assert {"vi", "en"} <= theme_title(one.theme).keys()
    assert "thap.measure.indicators.counting:part" in PARTS
    assert words_of("vi").keys() == words_of("en").keys()


async def test_targets_are_kept_and_nobody_is_overwritten(records: Records) -> None:
    target = Target(high=5, source="QĐ 1")
    async with records.write() as connection:
        await set_target(connection, "alarms.open", target, 0, "truong-phong", 1)
        with pytest.raises(ConflictError, match="truong-phong"):
            await set_target(connection, "alarms.open", target, 0, "chuyen-vien", 2)
        await set_target(connection, "alarms.open", Target(), 1, "chuyen-vien", 3)
        assert (await targets_in_force(connection))["alarms.open"].high is None
        assert [one.version for one in await target_history(connection, "alarms.open")] == [2, 1]


async def test_of_two_who_set_a_target_at_the_same_time_the_second_is_told(either: Records) -> None:
    both = asyncio.Barrier(2)

    async def one(who: str) -> str:
        async with either.write() as connection:
            if connection.dialect.name == "postgresql":  # SQLite lets the second in when the first has committed
                await target_history(connection, "alarms.open", 1)
                await both.wait()
            return (await set_target(connection, "alarms.open", Target(high=5, source="QĐ 1"), 0, who, 1)).changed_by

    answers = await asyncio.gather(one("truong-phong"), one("chuyen-vien"), return_exceptions=True)
    (first,) = [answer for answer in answers if isinstance(answer, str)]
    (told,) = [answer for answer in answers if not isinstance(answer, str)]
    assert isinstance(told, ConflictError) and told.message.startswith(f"{first} has set another target")
    async with either.read() as connection:
        assert [one.version for one in await target_history(connection, "alarms.open")] == [1]


async def test_a_series_thins_with_age_and_keeps_the_last_of_each_hour_and_day(either: Records) -> None:
    now = 20_000 * DAY_US + 12 * HOUR_US
    times = [now - n * STEP_US for n in range(12 * 24 * 4)] + [now - 70 * DAY_US - n * STEP_US for n in range(600)]
    async with either.write() as connection:
        rows = [{"indicator": "a.b", "audience": "", "time": t // STEP_US * STEP_US, "value": 1.0} for t in times]
        await connection.execute(sa.insert(indicator_points), rows)
        await connection.execute(
            sa.insert(indicator_points).values(indicator="a.b", audience="gone", time=now, value=1)
        )
        await thin(connection, now, ())
        kept = [t for t, _ in await points_of(connection, "", "a.b", 0, now + 1)]
        assert await points_of(connection, "gone", "a.b", 0, now + 1) == []
        fine = [t for t in kept if t >= now - 2 * DAY_US]
        hours = [t for t in kept if now - 60 * DAY_US <= t < (now - 2 * DAY_US) // HOUR_US * HOUR_US]
        days = [t for t in kept if t < now - 60 * DAY_US]
        assert len(fine) == 2 * 24 * 12 + 1
        assert len(hours) == len({t // HOUR_US for t in hours}) >= 40
        assert len(days) == len({t // DAY_US for t in days}) >= 2
        assert {t // HOUR_US for t in times} >= {t // HOUR_US for t in kept}
        again = await thin(connection, now, ())
        assert again == 0
        spark = await points_since(connection, "", now - DAY_US, ["a.b", "c.d"])
        assert len(spark["a.b"]) == 25 and spark["c.d"] == []


async def test_counting_goes_on_after_a_start_and_counts_each_audience(
    records: Records, settings: Settings, bus: Bus
) -> None:
    await _fill(records, 20)
    async with records.write() as connection:
        await seed(connection)
        await add_person(connection, "can-bo", unit=HERE)
        await grant(connection, "can-bo", "commune_official", unit=HERE)
        policy = await Policy.load(connection)
    store = open_store(records)
    counting = Counting(Context(settings, records, bus, store))
    counting._computer._snapshots = _Snapshots()  # type: ignore[assignment]
    now = now_us()
    assert await counting.round(now) > len(indicators())
    assert await Counting(Context(settings, records, bus, store)).round(now_us()) == 0  # nothing is due again
    (other,) = audiences(policy)
    async with records.read() as connection:
        whole, part = await values_of(connection, PROVINCE), await values_of(connection, other)
        assert whole.keys() == indicators().keys()
        assert part["incidents.open"].rows < whole["incidents.open"].rows
        assert "system.disk_free" not in part
        assert len(await points_of(connection, PROVINCE, "alarms.open", 0, now + DAY_US)) == 1
    assert counting.stats()["total"] > 0
    await store.close()


async def test_without_an_engine_the_numbers_of_the_moment_say_why(
    records: Records, settings: Settings, bus: Bus
) -> None:
    snapshots = Snapshots(records, bus, settings, Board())
    bus.ask = lambda *_a, **_k: _refuse()  # type: ignore[method-assign]
    computer = Computer(records, settings, snapshots)
    read = await asyncio.wait_for(computer.read(indicator("system.silent"), Policy(TREE), Who.system()), 30)
    assert read.value is None and "nobody" in read.reason


async def _refuse() -> bytes:
    raise UnavailableError("nobody answers")


async def test_the_wall_says_yesterday_stale_and_light(
    records: Records, settings: Settings, computer: Computer
) -> None:
    now = now_us()
    async with records.write() as connection:
        await keep(connection, PROVINCE, {"alarms.in_10_min": Reading(value=3, rows=3, time=now - DAY_US)})
        await keep(connection, PROVINCE, {"alarms.in_10_min": Reading(value=30, rows=30, time=now)})
        await keep(connection, PROVINCE, {"alarms.open": Reading(value=1, rows=1, time=now - HOUR_US)})
    items = {one.id: one for one in await Wall(records, settings, computer).items(Policy(TREE), Who.local(), "alarms")}
    flood = items["alarms.in_10_min"]
    assert (flood.light, flood.light_yesterday, flood.yesterday, flood.stale) == ("bad", "good", 3, False)
    assert items["alarms.open"].stale and items["alarms.critical"].reason == "not_yet"
    pdf = wall_pdf(list(items.values()), "vi", "lãnh đạo")
    assert pdf.startswith(b"%PDF-")
    lines = wall_csv(items.values(), "en").splitlines()
    assert len(lines) == len(items) + 1 and lines[0].startswith("Id,Theme")


def test_no_cell_is_a_formula_and_numbers_are_written_as_people_do() -> None:
    assert cell("=HYPERLINK(1)") == "'=HYPERLINK(1)" and cell("") == ""
    one = indicator("alarms.open")
    text = rows_csv(one.rows.columns, [{"alarm": 1, "condition": "=1", "severity": 2, "time": 0}], "vi", head=True)
    assert "'=1" in text and "1970-01-01" in text
    assert said_value(0.125, "%", 1, "vi") == "12,5 %" and said_value(1234.5, "m", 1, "en") == "1,234.5 m"
    assert said_value(90, "s", 0, "en") == "1.5 min" and said_value(None, "", 0, "vi") == "–"
    assert json.dumps(words_of("vi"))
