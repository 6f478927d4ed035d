"""/api/v1/traffic/corridors on a real application, with a real lake, and the work in the background that fills it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from thap.domains.traffic.background import EXPECTED, Corridors
from thap.domains.traffic.corridors import shipped_corridors
from thap.domains.traffic.plate_records import plate_reads
from thap.kernel.clock import DAY_US, MINUTE_US, now_us
from thap.kernel.history import TABLES, Lake
from thap.kernel.store import open_store
from thap.observe.registry import load_registry, register_datastreams, register_things
from thap.respond.book import AlarmBook
from thap.respond.parts import Context
from thap.web.deps import Centre
from thap.web.live import Live

END = now_us() // DAY_US * DAY_US  # a midnight
JAM = 7 * 60 * MINUTE_US + 30 * MINUTE_US
"""Every morning at half past seven the road stands still within half an hour."""
NAME, KEY = "cau-my-thuan", "cam-cau-my-thuan/mean_speed"
SOURCE = f"cam-cau-my-thuan/corridor.{NAME}"


def speed(times: np.ndarray) -> np.ndarray:
    since = (times % DAY_US - JAM) / MINUTE_US
    deep = np.clip(since / 25, 0, 1) * np.clip((110 - since) / 25, 0, 1)
    return np.asarray(46 - 36 * deep)


async def _write(centre: Centre, since: int, until: int, offset: int) -> None:
    async with centre.records.read() as connection:
        number = (await load_registry(connection)).datastream_id[KEY]
    times = np.arange(since, until, MINUTE_US, dtype=np.int64)
    values = speed(times) + np.random.default_rng(3).normal(0, 0.8, len(times))
    moments = pa.array(times.view("datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    ids = pa.array(np.full(len(times), number, np.int32))
    table = pa.table([ids, moments, pa.array(values), moments], schema=TABLES["observation"].schema)
    lake = await asyncio.to_thread(Lake.open, centre.settings)
    await asyncio.to_thread(lake.append, {"observation": table}, offset)
    await asyncio.to_thread(lake.close)


@pytest.fixture
async def road(centre: Centre, client: httpx.AsyncClient) -> Centre:
    """A camera on the bridge that has measured nothing yet."""
    thing = {"name": "cam-cau-my-thuan", "title": "Cầu", "domain": "traffic", "kind": "camera"}
    async with centre.records.write() as connection:
        await register_things(connection, [{**thing, "lon": 105.9, "lat": 10.28, "commune": "28249"}])
        rows = [(KEY, "mean_speed", "km/h"), ("cam-cau-my-thuan/vehicles", "vehicle_count", "1/min")]
        await register_datastreams(connection, [{"key": key, "property": what, "unit": u} for key, what, u in rows])
    live: Live = centre.parts["live"]
    await live.registry_changed()
    return centre


@pytest.fixture
async def part(road: Centre) -> AsyncIterator[Corridors]:
    store = open_store(road.records)
    yield Corridors(Context(road.settings, road.records, road.bus, store))
    await store.close()


async def _forecast(client: httpx.AsyncClient) -> Any:
    (one,) = (await client.get("/api/v1/traffic/corridors")).json()["items"]
    assert one["name"] == NAME and one["title"] == shipped_corridors()[NAME].title
    return one["forecast"]


async def test_a_stranger_sees_and_changes_no_corridor(stranger: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("GET", f"/{NAME}/forecasts"), ("PUT", f"/{NAME}")):
        assert (await stranger.request(method, f"/api/v1/traffic/corridors{path}", json={})).status_code == 401


async def test_without_enough_history_nothing_is_fitted(
    part: Corridors, road: Centre, client: httpx.AsyncClient
) -> None:
    await _write(road, END - DAY_US // 2, END, 1)
    assert await part.round() == 0
    assert await _forecast(client) is None


async def test_congestion_that_comes_every_morning_is_told_before_it_comes(
    part: Corridors, road: Centre, client: httpx.AsyncClient
) -> None:
    since, before = END - 6 * DAY_US, END - DAY_US + JAM
    await _write(road, since, before + MINUTE_US, 1)
    assert await part.round() == 1
    made = await _forecast(client)
    assert made["minutes"] == [15, 30, 45, 60] and made["inputs_until"] == before
    assert made["now"] > 40 and made["limit"] == pytest.approx(0.5 * made["free"], abs=0.01)
    truth = [speed(np.arange(before + m * MINUTE_US - 5 * MINUTE_US, before + m * MINUTE_US)[::60_000_000]).mean()
             for m in made["minutes"]]  # fmt: skip
    assert np.abs(np.array(made["value"]) - truth).max() < 7 < np.abs(np.array(made["persistence"]) - truth).max()
    assert all(low <= value <= high for low, value, high in zip(made["low"], made["value"], made["high"], strict=True))
    assert (SOURCE, EXPECTED) in await AlarmBook(road.records).active()
    assert await part.round() == 0  # nothing new
    # It has come: what was expected is there, and the advisory ends.
    await _write(road, before + MINUTE_US, before + 46 * MINUTE_US, 2)
    assert await part.round() == 1
    assert (SOURCE, EXPECTED) not in await AlarmBook(road.records).active()
    runs = (await client.get(f"/api/v1/traffic/corridors/{NAME}/forecasts")).json()["items"]
    assert [one["inputs_until"] for one in runs] == [before, before + 45 * MINUTE_US]


async def test_a_corridor_is_set_as_a_new_version_and_switched_off(
    part: Corridors, road: Centre, client: httpx.AsyncClient
) -> None:
    path, body = f"/api/v1/traffic/corridors/{NAME}", {"title": "Cầu", "datastreams": [KEY]}
    mixed = {**body, "datastreams": [KEY, "cam-cau-my-thuan/vehicles"]}
    assert (await client.put(path, json=mixed)).status_code == 400
    assert (await client.put(path, json={**body, "datastreams": ["no/thing"]})).status_code == 404
    made = (await client.put(path, json=body)).json()
    assert (made["version"], made["title"]) == (1, "Cầu")
    assert (await client.put(path, json=body)).status_code == 409
    await _write(road, END - 6 * DAY_US, END - DAY_US + JAM + MINUTE_US, 1)
    assert await part.round() == 1
    assert (SOURCE, EXPECTED) in await AlarmBook(road.records).active()
    off = (await client.put(path, json={**body, "version": 1, "enabled": False})).json()
    assert off["version"] == 2 and off["forecast"] is None
    assert await part.round() == 0
    assert (SOURCE, EXPECTED) not in await AlarmBook(road.records).active()


async def test_plates_are_forgotten_by_the_clock_though_none_is_read(part: Corridors, road: Centre) -> None:
    days = road.settings.plates.keep_days
    row = {"thing_id": 1, "hash": "0" * 64, "confidence": 0.9}
    async with road.records.write() as connection:
        times = [now_us() - (days + 1) * DAY_US, now_us()]
        await connection.execute(sa.insert(plate_reads), [{**row, "time": time} for time in times])
    await part.forget()
    async with road.records.read() as connection:
        assert list(await connection.scalars(sa.select(plate_reads.c.time))) == times[1:]
