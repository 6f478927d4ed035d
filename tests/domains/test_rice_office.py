"""The office's round: flights, forecasts and drafts of advice follow from traps; repeated, it changes nothing."""

from __future__ import annotations

import asyncio
import itertools
from datetime import date, timedelta

import pyarrow as pa
import pytest
import sqlalchemy as sa

from thap.domains.domain import domains
from thap.domains.parameters import shipped_parameters
from thap.domains.rice.advice import act_on_advice, advice_by_id, advice_of, flights_of
from thap.domains.rice.alarms import FLIGHT, is_mine
from thap.domains.rice.bulletins import begin_bulletin
from thap.domains.rice.demo_files import files, past_nights, past_traps
from thap.domains.rice.flights import Catches, Wind, ZoneFlight, find_flights
from thap.domains.rice.importing import read_file
from thap.domains.rice.nights import Planted, Scored
from thap.domains.rice.office import Done, keep_flights, recompute, same_flights
from thap.domains.rice.records import flights
from thap.domains.rice.registers import keep_registers, zones_of
from thap.domains.rice.steps import Act
from thap.domains.rice.surveys import keep_surveys
from thap.domains.rice.traps import add_count, load_traps, today
from thap.domains.world import World
from thap.kernel.bus import Bus
from thap.kernel.clock import DAY_US, parse_time_us
from thap.kernel.history.lake import Lake
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import open_store
from thap.observe.registry import load_numbers, register_datastreams, register_things
from thap.respond.standing import StandingAlarms

NOW = parse_time_us("2026-11-20T04:00:00Z")


@pytest.fixture(scope="module")
def world() -> World:
    made = World(5, NOW)
    contribute = domains()["rice"].demo
    assert contribute is not None
    contribute(made)
    return made


@pytest.fixture
async def office(records: Records, settings: Settings, world: World) -> Lake:
    """The demo's files and past nights in an empty centre."""
    async with records.write() as connection:
        things = [
            {
                "name": one.name,
                "title": one.title,
                "kind": one.kind,
                "domain": one.domain,
                "lon": one.lon,
                "lat": one.lat,
            }
            for one in world.things.values()
        ]
        await register_things(connection, things)
        await register_datastreams(
            connection, [{"key": one.key, "property": one.observes} for one in world.series.values()]
        )
    store = open_store(records)
    for kind, name, content in files(world):
        reading = read_file(kind, content.encode(), name)  # type: ignore[arg-type]
        assert not [fault for fault in reading.faults if fault.fatal]
        if kind == "surveys":
            await store.transact(lambda tx, reading=reading: keep_surveys(tx, reading, by="demo", now=NOW))  # type: ignore[misc]
        else:
            async with records.write() as connection:
                assert (await keep_registers(connection, reading, by="demo", now=NOW)).faults == []
    await store.close()
    async with records.read() as connection:
        numbers, _ = await load_numbers(connection)
    rows = list(past_nights(world))
    stamp = pa.timestamp("us", tz="UTC")
    times = pa.array([time for _, time, _ in rows], pa.int64()).cast(stamp)
    table = pa.table(
        {
            "datastream": pa.array([numbers[key] for key, _, _ in rows], pa.int32()),
            "time": times,
            "result": pa.array([result for _, _, result in rows], pa.float64()),
            "received": times,
        }
    )
    lake = await asyncio.to_thread(Lake.open, settings)
    await asyncio.to_thread(lake.append, {"observation": table}, 1)
    return lake


def test_the_flights_planted_in_the_demos_past_are_found_among_moonlight_outages_and_missing_nights() -> None:
    contribute, parameters = domains()["rice"].demo, shipped_parameters(domains()["rice"])
    assert contribute is not None
    scored = Scored()
    for seed in range(100, 110):
        made = World(seed, NOW + seed * 7 * DAY_US)  # another moon each time
        contribute(made)
        for trap in past_traps(made):
            sure = tuple(peak for peak in trap.peaks if (peak - trap.first).days >= 14)
            planted = Planted(
                Catches(trap.first, trap.counts),
                Wind(trap.counts, trap.counts),
                sure,
                tuple(set(trap.peaks) - {*sure}),
                (),
            )
            scored.add(planted, find_flights(planted.catches, parameters))
    assert scored.right > 250 and scored.precision >= 0.95 and scored.recall >= 0.95


async def test_a_round_finds_flights_forecasts_and_drafts_and_another_changes_nothing(
    records: Records, office: Lake
) -> None:
    first = await recompute(records, office, now=NOW)
    assert first.zones == 7 and first.new_flights >= 14 and first.drafts >= 4 and first.predictions >= 16
    again = await recompute(records, office, now=NOW)
    assert (again.new_flights, again.drafts) == (0, 0) and again.flights == first.flights
    async with records.read() as connection:
        drafts = await advice_of(connection)
        flights = await flights_of(connection)
    day = today(NOW)
    for one in drafts:
        peak = date.fromisoformat(one["peak"])
        assert one["state"] == "draft" and one["created_by"] == ""
        assert one["sow_from"] == (peak + timedelta(days=5)).isoformat()
        assert date.fromisoformat(one["sow_to"]) >= day
    peaks = sorted(date.fromisoformat(one["peak"]) for one in flights if one["zone"] == drafts[0]["zone"])
    assert all(22 <= (b - a).days <= 28 for a, b in itertools.pairwise(peaks))  # planted 25 nights apart
    office.close()


async def test_the_demos_past_gives_a_bulletin_its_flights_and_forecasts(records: Records, office: Lake) -> None:
    await recompute(records, office, now=NOW)
    day = today(NOW)
    week = day - timedelta(days=day.weekday() + 7)
    made = await begin_bulletin(records, office, week, by="", now=NOW)
    data, said = made["data"], made["content"]
    assert data["traps"]["traps"] == 8 and data["traps"]["highest"] > 100
    assert data["windows"] and data["predictions"] and data["pests"] and data["weather"]
    assert data["advice"] == []  # drafts are not told before a person approved them
    assert all(said[section] for section in ("weather", "crops", "traps", "pests", "forecast", "advice"))
    office.close()


async def test_what_a_person_took_up_is_left_and_a_corrected_count_takes_a_flight_away(
    records: Records, office: Lake
) -> None:
    await recompute(records, office, now=NOW)
    async with records.write() as connection:
        row = (await advice_of(connection))[0]
        await act_on_advice(
            connection, row, Act.WITHDRAW, by="bvtv", now=NOW, version=None, comment="lúa còn trên đồng"
        )
        before = await flights_of(connection)
        traps = await load_traps(connection)
        old = min(before, key=lambda one: one["peak"])
        peak = date.fromisoformat(old["peak"])
        for trap in traps:
            if trap.name not in old["traps"]:
                continue
            for n in range(-3, 4):
                await add_count(
                    connection, trap, peak + timedelta(days=n), "bph", 30, origin="person", before=None, by="bvtv",
                    reason="đếm lại", now=NOW,
                )  # fmt: skip
    done = await recompute(records, office, now=NOW + DAY_US // 24)
    async with records.read() as connection:
        after = await flights_of(connection)
        kept = await advice_by_id(connection, row["id"])
        others = await advice_of(connection)
    assert done.drafts == 0 and kept["state"] == "withdrawn"
    assert len([one for one in others if one["zone"] == row["zone"]]) == 1
    assert old["id"] not in {one["id"] for one in after} and len(after) < len(before)
    office.close()


def test_each_flight_is_matched_with_the_closest_and_each_once() -> None:
    kept = {7: {"peak": "2026-11-10"}, 8: {"peak": "2026-11-13"}}
    assert same_flights([date(2026, 11, 12), date(2026, 11, 16)], kept) == {0: 8}
    assert same_flights([date(2026, 11, 13), date(2026, 11, 14)], kept) == {0: 8, 1: 7}
    assert same_flights([date(2026, 11, 20)], kept) == {}


async def test_flights_that_move_keep_their_rows_though_one_takes_the_day_of_another(
    records: Records, office: Lake
) -> None:
    async def keep(*days: int) -> dict[int, str]:
        peaks = [date(2026, 11, day) for day in days]
        found = [ZoneFlight(peak, peak, peak, ("t",), 1, 90.0, 90.0) for peak in peaks]
        async with records.write() as connection:
            zone = (await zones_of(connection))[0]
            await keep_flights(connection, zone, found, date(2026, 11, 30), 1, Done())
            rows = await connection.execute(sa.select(flights.c.id, flights.c.peak).order_by(flights.c.id))
            return {row.id: row.peak for row in rows}

    one, other = await keep(10, 13)
    assert await keep(13, 14) == {one: "2026-11-14", other: "2026-11-13"}
    assert await keep(14, 15) == {one: "2026-11-14", other: "2026-11-15"}
    assert await keep(15, 18) == {one: "2026-11-18", other: "2026-11-15"}
    assert await keep(18) == {one: "2026-11-18"}


async def test_flights_of_the_round_stand_as_alarms_until_their_sowing_days_are_over(
    records: Records, office: Lake, bus: Bus
) -> None:
    alarms = StandingAlarms(records, bus, "rice")
    found = await recompute(records, office, now=NOW)
    events = await alarms.settle(found.alarms, is_mine, NOW)
    raised = {event.source: event for event in events}
    async with records.read() as connection:
        recent = [
            one for one in await flights_of(connection) if (today(NOW) - date.fromisoformat(one["peak"])).days <= 7
        ]
    assert raised and {one["zone"] for one in recent} == {source.removeprefix("zone:") for source in raised}
    assert all(event.condition == FLIGHT and event.action == "raise" for event in events)
    evidence = {one.source: one.evidence for one in found.alarms}
    for one in recent:
        told = evidence[f"zone:{one['zone']}"]
        assert told["peak"] == one["peak"] and sorted(told["traps"]) == sorted(one["traps"]) and told["ratio"] > 2
        assert told["expected"]["next_flight"][1] > one["peak"]
    assert await alarms.settle((await recompute(records, office, now=NOW)).alarms, is_mine, NOW) == []
    later = NOW + 14 * DAY_US
    cleared = await alarms.settle((await recompute(records, office, now=later)).alarms, is_mine, later)
    assert {event.source for event in cleared if event.action == "clear"} == set(raised)
    office.close()
