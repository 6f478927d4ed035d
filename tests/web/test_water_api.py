"""/api/v1/water on a real application, with a real lake, and the work in the background that fills it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.domains.water_data import tide

from thap.domains.water.background import Forecasts
from thap.domains.water.isohaline import Sample, isohaline
from thap.domains.water.rain import accumulate
from thap.domains.water.records import load_ruled, load_tides, water_forecasts
from thap.kernel.audit import audit
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US
from thap.kernel.history import TABLES, Lake
from thap.kernel.store import open_store
from thap.observe.registry import load_registry, register_datastreams, register_things
from thap.respond.book import AlarmBook
from thap.respond.parts import Context
from thap.web.deps import Centre
from thap.web.live import Live

END = 1_795_900_000_000_000 - 1_795_900_000_000_000 % HOUR_US
THINGS = (
    ("my-tho", "Trạm Mỹ Tho", 106.365, 10.346, "water_level", "m"),
    ("my-tho", "Trạm Mỹ Tho", 106.365, 10.346, "salinity", "g/l"),
    ("vam-kenh", "Trạm Vàm Kênh", 106.735, 10.272, "salinity", "g/l"),
    ("kk-1", "Trạm khí", 106.362, 10.357, "pm25", "µg/m³"),
    ("mua-1", "Trạm mưa", 106.36, 10.35, "rain_10m", "mm"),
)
SHEET = "station,river,province,km_to_mouth,year,p0101_0110,p0111_0120\nBến Đò,Tien,Tien Giang,40,2024,1.5,x\n"


def level(times: np.ndarray) -> np.ndarray:
    return tide(times, 1, 0.9, 0.55)


def salt(times: np.ndarray) -> np.ndarray:
    return np.asarray(2.2 * np.exp(0.9 * np.cos(2 * np.pi * times / HOUR_US / 12.4206)) / np.exp(0.9))


@pytest.fixture
async def stations(centre: Centre) -> Centre:
    """Twelve days of levels, salinity, dust and rain at three stations."""
    async with centre.records.write() as connection:
        rows = {
            name: {
                "name": name,
                "title": title,
                "domain": "water",
                "kind": "hydrology",
                "lon": lon,
                "lat": lat,
                "commune": "28249",
            }
            for name, title, lon, lat, _, _ in THINGS
        }
        await register_things(connection, list(rows.values()))
        await register_datastreams(
            connection,
            [{"key": f"{name}/{what}", "property": what, "unit": unit} for name, _, _, _, what, unit in THINGS],
        )
        registry = await load_registry(connection)
    times = END - np.arange(12 * 144, dtype=np.int64)[::-1] * 10 * MINUTE_US
    random = np.random.default_rng(3)
    values = {
        "my-tho/water_level": level(times) + 0.02 * random.standard_normal(len(times)),
        "my-tho/salinity": np.round(salt(times), 2),
        "vam-kenh/salinity": np.round(8 + salt(times), 2),
        "kk-1/pm25": np.where(times > END - 12 * HOUR_US, 90.0, 30.0),
        "mua-1/rain_10m": np.where(times > END - 2 * HOUR_US, 2.0, 0.0),
    }
    lake = await asyncio.to_thread(Lake.open, centre.settings)
    moments = pa.array(times.view("datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    for number, (key, results) in enumerate(values.items(), start=1):
        ids = pa.array(np.full(len(times), registry.datastream_id[key], np.int32))
        table = pa.table([ids, moments, pa.array(results), moments], schema=TABLES["observation"].schema)
        await asyncio.to_thread(lake.append, {"observation": table}, number)
    await asyncio.to_thread(lake.close)
    return centre


@pytest.fixture
async def part(stations: Centre) -> Any:
    store = open_store(stations.records)
    yield Forecasts(Context(stations.settings, stations.records, stations.bus, store))
    await store.close()


@pytest.fixture
async def seen(stations: Centre, client: httpx.AsyncClient) -> httpx.AsyncClient:
    live: Live = stations.parts["live"]
    await live.registry_changed()
    return client


async def test_a_stranger_sees_and_changes_nothing(stranger: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", "/stations"),
        ("GET", "/stations/my-tho/versions"),
        ("PUT", "/stations/my-tho"),
        ("GET", "/forecasts/my-tho/water_level"),
        ("GET", "/salinity"),
        ("POST", "/salinity/import"),
        ("GET", "/air"),
        ("GET", "/rain"),
    ):
        assert (await stranger.request(method, f"/api/v1/water{path}", json={})).status_code == 401, path


async def test_the_background_work_forecasts_warns_and_keeps_the_air(
    part: Forecasts, stations: Centre, seen: httpx.AsyncClient
) -> None:
    assert await part.round(END + MINUTE_US) == 3
    made = (await seen.get("/api/v1/water/forecasts/my-tho/water_level")).json()
    assert made["inputs_until"] == END and made["times"][0] == END + HOUR_US and len(made["mean"]) == 48
    wrong = np.array(made["mean"]) - level(np.array(made["times"]))
    assert np.sqrt(np.mean(wrong**2)) < 0.06
    assert made["lines"] == [] and made["tide_range"] > 1
    salty = (await seen.get("/api/v1/water/forecasts/my-tho/salinity")).json()
    low, high = salty["lines"]
    assert (low["g_l"], high["g_l"]) == (1.0, 4.0) and len(low["windows"]) >= 3
    for one in low["windows"]:
        assert (salt(np.arange(one["begin"], one["end"], HOUR_US)) < 1.1).all()
    # A second round without new values makes nothing.
    assert await part.round(END + 2 * MINUTE_US) == 0
    # The tide will pass level I; the alarm says so before it does, and salinity will pass 1 g/l again.
    active = await AlarmBook(stations.records).active()
    peak = level(END + np.arange(48) * HOUR_US).max()
    assert (("my-tho/water_level", "water.forecast_level") in active) is bool(peak > 1.4)
    board = (await seen.get("/api/v1/water/air")).json()["items"]
    assert [(one["thing"], one["pollutant"], one["aqi"]) for one in board] == [("kk-1", "pm25", 157)]
    assert board[0]["colour"] == "#FF0000" and board[0]["class_title"]["vi"] == "Xấu"
    async with stations.records.read() as connection:
        assert set(await load_tides(connection)) == {"my-tho/water_level"}
        assert await load_ruled(connection) == frozenset()
        assert await connection.scalar(sa.select(sa.func.count()).select_from(water_forecasts)) == 3


async def test_an_alarm_of_what_is_to_come_is_cleared_when_it_is_no_longer(
    part: Forecasts, stations: Centre, seen: httpx.AsyncClient
) -> None:
    low = {"levels": [0.9, 5.0, 6.0], "source": "thử", "version": 0}
    assert (await seen.put("/api/v1/water/stations/my-tho", json=low)).status_code == 200
    await part.round(END)
    book = AlarmBook(stations.records)
    assert ("my-tho/water_level", "water.forecast_level") in await book.active()
    high = {"levels": [4.0, 5.0, 6.0], "source": "thử", "version": 1}
    assert (await seen.put("/api/v1/water/stations/my-tho", json=high)).status_code == 200
    again = Forecasts(Context(stations.settings, stations.records, stations.bus, open_store(stations.records)))
    await again.round(END)
    assert ("my-tho/water_level", "water.forecast_level") not in await book.active()


async def test_without_a_forecast_the_answer_says_what_it_takes(seen: httpx.AsyncClient) -> None:
    answer = await seen.get("/api/v1/water/forecasts/my-tho/water_level")
    assert answer.status_code == 404 and "36 hours" in answer.json()["error"]["hint"]
    assert (await seen.get("/api/v1/water/forecasts/none/level")).status_code == 404


async def test_limits_are_set_with_a_source_kept_by_version_and_audited(
    seen: httpx.AsyncClient, stations: Centre
) -> None:
    before = {one["thing"]: one for one in (await seen.get("/api/v1/water/stations")).json()["items"]}
    assert before["my-tho"]["levels"] == [1.4, 1.5, 1.6] and before["my-tho"]["version"] == 0
    assert before["vam-kenh"]["km"] == 2
    body = {"levels": [1.3, None, 1.7], "source": "QĐ 5/2026", "version": 0}
    made = await seen.put("/api/v1/water/stations/my-tho", json=body)
    assert (made.status_code, made.json()["version"]) == (200, 1)
    again = await seen.put("/api/v1/water/stations/my-tho", json=body)
    assert again.status_code == 409
    for wrong, says in (
        ({**body, "version": 1, "levels": [1.5, 1.4, 1.6]}, "must lie above"),
        ({**body, "version": 1, "levels": [1.5, 1.6, 99]}, "not allowed"),
        ({**body, "version": 1, "source": " "}, "where they are from"),
        ({**body, "version": 1, "levels": [1.5]}, "levels"),
    ):
        refused = await seen.put("/api/v1/water/stations/my-tho", json=wrong)
        assert refused.status_code == 400 and says in refused.text, refused.text
    after = {one["thing"]: one for one in (await seen.get("/api/v1/water/stations")).json()["items"]}
    assert after["my-tho"]["levels"] == [1.3, None, 1.7] and after["my-tho"]["confidence"] == "H"
    versions = (await seen.get("/api/v1/water/stations/my-tho/versions")).json()["items"]
    assert [one["version"] for one in versions] == [1, 0]
    async with stations.records.read() as connection:
        noted = list(await connection.scalars(sa.select(audit.c.action)))
    assert noted == ["station.set"]


async def test_who_may_see_and_set_follows_from_policy(seen: httpx.AsyncClient, desk: Any) -> None:
    body = {"levels": [1.3, 1.5, 1.7], "source": "QĐ 5/2026", "version": 0}
    elsewhere = await desk("chuyen-vien-noi-khac", "domain_expert", unit="29869")
    assert (await elsewhere.get("/api/v1/water/stations")).json()["items"] == []
    assert (await elsewhere.put("/api/v1/water/stations/my-tho", json=body)).status_code == 404
    operator = await desk("truc-ban", "operator")
    assert len((await operator.get("/api/v1/water/stations")).json()["items"]) == 2
    assert (await operator.put("/api/v1/water/stations/my-tho", json=body)).status_code == 403
    here = await desk("chuyen-vien-o-day", "domain_expert", unit="28249", domain="water")
    assert (await here.put("/api/v1/water/stations/my-tho", json=body)).status_code == 200
    assert (await here.post("/api/v1/water/salinity/import", content=SHEET)).status_code in (403, 404)


async def test_a_sheet_is_looked_at_first_and_imported_whole_or_without_what_is_bad(
    seen: httpx.AsyncClient, stations: Centre
) -> None:
    path = "/api/v1/water/salinity/import"
    looked = (await seen.post(path, content=SHEET, params={"check": True})).json()
    assert (looked["rows"], looked["imported"]) == (1, False)
    assert [(one["line"], one["column"]) for one in looked["faults"]] == [(2, "p0111_0120")]
    refused = await seen.post(path, content=SHEET, params={"source": "mặn.csv"})
    assert refused.status_code == 400 and refused.json()["error"]["where"] == "mặn.csv"
    assert (await seen.get("/api/v1/water/salinity")).json()["items"] == []
    done = (await seen.post(path, content=SHEET, params={"skip_bad": True, "source": "mặn.csv"})).json()
    assert (done["added"], done["imported"]) == (1, True)
    (row,) = (await seen.get("/api/v1/water/salinity")).json()["items"]
    assert (row["station"], row["g_l"], row["source"]) == ("ben-do", 1.5, "mặn.csv")
    assert (await seen.post(path, content=b"")).status_code == 400
    async with stations.records.read() as connection:
        details = list(await connection.scalars(sa.select(audit.c.detail)))
    assert json.loads(details[-1])["added"] == 1


async def test_layers_show_stations_and_lines_of_salinity_marked_as_interpolated(seen: httpx.AsyncClient) -> None:
    names = [one["id"] for one in (await seen.get("/api/v1/map")).json()["layers"]]
    assert {"water.levels", "water.isohaline"} <= set(names)
    for name in ("water.levels", "water.isohaline"):
        body = (await seen.get(f"/api/v1/map/layers/{name}")).json()
        assert body["type"] == "FeatureCollection"


def test_salinity_passes_a_line_between_the_stations_that_lie_about_it() -> None:
    samples = [Sample("a", 100.0, 10.0, 5), Sample("b", 80.0, 2.5, 7), Sample("c", 60.0, 0.5, 6)]
    (one,) = isohaline(samples, 4.0)
    assert one.between == ("b", "a") and 80 < one.km < 100 and (one.time, one.apart_us) == (5, 2)
    (two,) = isohaline(samples, 1.0)
    assert two.between == ("c", "b") and two.km == pytest.approx(60 + 20 * np.log(2) / np.log(5))
    assert isohaline(samples, 20.0) == [] and isohaline(samples[:1], 4.0) == []


def test_rain_is_summed_over_each_span_and_says_how_much_was_measured() -> None:
    times = np.arange(1, 145, dtype=np.int64) * 10 * MINUTE_US  # a day
    mm = np.full(144, 0.5)
    mm[3], mm[7] = -1.0, np.nan
    found = {one.hours: one for one in accumulate(times, mm, int(times[-1]), 10 * MINUTE_US)}
    assert found[1].mm == 3.0 and found[1].whole
    assert found[24].mm == pytest.approx(71.0) and found[24].share == pytest.approx(142 / 144, abs=1e-3)
    assert found[72].mm == pytest.approx(71.0) and not found[72].whole
    twice = accumulate(np.tile(times, 2), np.tile(mm, 2), int(times[-1]), 10 * MINUTE_US)
    assert [one.mm for one in twice] == [one.mm for one in found.values()]
    assert accumulate(times, mm, int(times[-1]) + 10 * DAY_US, 10 * MINUTE_US)[-1].mm == 0
