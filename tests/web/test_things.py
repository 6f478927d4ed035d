"""Things, datastreams, movers and latest values over the API."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import numpy as np
import pytest

from thap.detect.latest import Latest
from thap.kernel.bus import Bus
from thap.kernel.clock import now_us
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch
from thap.web.deps import Centre
from thap.web.live import Live

BODY: dict[str, Any] = {
    "things": [
        {
            "name": "tram-01",
            "title": "Trạm Cao Lãnh",
            "kind": "station",
            "domain": "water",
            "lon": 105.63,
            "lat": 10.45,
            "properties": {"river": "Tiền"},
            "datastreams": [
                {"name": "level", "property": "water_level", "unit": "m"},
                {"name": "salinity", "property": "salinity", "unit": "g/l"},
            ],
        },
        {"name": "tram-02", "domain": "water", "datastreams": [{"name": "level", "property": "water_level"}]},
        {
            "name": "bay-1",
            "title": "Bẫy đèn",
            "kind": "light_trap",
            "domain": "rice",
            "lon": 106.3,
            "lat": 10.3,
            "datastreams": [{"name": "count"}],
        },
    ],
    "movers": [
        {
            "key": "mmsi-574000001",
            "name": "Sà lan Đồng Tháp",
            "kind": "vessel",
            "domain": "sand",
            "properties": {"length_m": 40},
        },
        {"key": "mmsi-574000002", "kind": "vessel", "domain": "sand"},
        {"key": "xe-1", "kind": "truck", "domain": "traffic"},
    ],
}


async def until(happened: Any, limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.005)


@pytest.fixture
async def filled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    answer = await client.post("/api/v1/things", json=BODY)
    assert answer.json() == {"things": 3, "datastreams": 4, "movers": 3}
    return client


async def names(client: httpx.AsyncClient, path: str, field: str = "name", **params: Any) -> list[str]:
    answer = await client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return [item[field] for item in answer.json()["items"]]


@pytest.mark.parametrize("path", ["things", "things/x", "datastreams", "movers", "latest"])
async def test_a_stranger_sees_nothing(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(f"/api/v1/{path}")).status_code == 401
    assert (await stranger.post("/api/v1/things", json={})).status_code == 401


async def test_only_operators_register(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    secret = (await client.post("/api/v1/tokens", json={"name": "xem", "scopes": ["read"]})).json()["secret"]
    answer = await stranger.post("/api/v1/things", json=BODY, headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 403


async def test_what_is_registered_is_listed_at_once_and_announced(client: httpx.AsyncClient, bus: Bus) -> None:
    heard = asyncio.Event()

    async def hear(_subject: str, _payload: bytes) -> None:
        heard.set()

    await bus.listen("centre.live.registry", hear)
    await client.post("/api/v1/things", json=BODY)
    assert await names(client, "things") == ["tram-01", "tram-02", "bay-1"]
    await asyncio.wait_for(heard.wait(), 30)


async def test_registering_again_changes_what_is_given_and_keeps_the_rest(filled: httpx.AsyncClient) -> None:
    await filled.post("/api/v1/things", json={"things": [{"name": "tram-01", "kind": "gauge"}]})
    thing = (await filled.get("/api/v1/things/tram-01")).json()
    assert (thing["kind"], thing["title"], thing["properties"]) == ("gauge", "Trạm Cao Lãnh", {"river": "Tiền"})
    units = {stream["key"]: stream["unit"] for stream in thing["datastreams"]}
    assert units == {"tram-01/level": "m", "tram-01/salinity": "g/l"}
    assert thing["commune"]


async def test_an_unknown_thing_says_where_to_look(filled: httpx.AsyncClient) -> None:
    answer = await filled.get("/api/v1/things/nowhere")
    assert answer.status_code == 404 and "quarantine" in answer.json()["error"]["hint"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"things": [{"name": "a b"}]}, "row 0"),
        ({"things": [{"name": ""}]}, "row 0"),
        ({"things": [{"name": "a", "lon": 181, "lat": 0}]}, "body.things.0.lon"),
        ({"things": [{"name": "a", "lat": "x"}]}, "body.things.0.lat"),
        ({"things": [{"name": "a", "colour": 1}]}, "body.things.0.colour"),
        ({"things": [{"name": "a", "datastreams": [{"name": "b/c"}]}]}, "row 0"),
        ({"movers": [{"key": "\x00"}]}, "body, byte 20"),
        ({"movers": {}}, "body.movers"),
        ([], "body"),
    ],
)
async def test_bad_bodies_are_refused_whole(client: httpx.AsyncClient, body: Any, where: str) -> None:
    answer = await client.post("/api/v1/things", json=body)
    assert answer.status_code == 400 and answer.json()["error"]["where"] == where, answer.text
    assert await names(client, "things") == []


async def test_things_are_filtered(filled: httpx.AsyncClient) -> None:
    assert await names(filled, "things", domain="water") == ["tram-01", "tram-02"]
    assert await names(filled, "things", kind="station,light_trap") == ["tram-01", "bay-1"]
    assert await names(filled, "things", property="salinity") == ["tram-01"]
    assert await names(filled, "things", bbox="105,10,106,11") == ["tram-01"]
    assert await names(filled, "things", text="bay den") == ["bay-1"]
    assert await names(filled, "things", text="CAO LÃNH") == ["tram-01"]
    assert await names(filled, "things", source="tram-*") == ["tram-01", "tram-02"]
    commune = (await filled.get("/api/v1/things/tram-01")).json()["commune"]
    assert await names(filled, "things", commune=commune) == ["tram-01"]
    assert await names(filled, "datastreams", "key", property="water_level") == ["tram-01/level", "tram-02/level"]
    assert await names(filled, "datastreams", "key", source="*/salinity") == ["tram-01/salinity"]
    assert await names(filled, "movers", "key", domain="sand") == ["mmsi-574000001", "mmsi-574000002"]
    assert await names(filled, "movers", "key", text="sa lan dong") == ["mmsi-574000001"]


@pytest.mark.parametrize(("path", "field"), [("things", "name"), ("datastreams", "key"), ("movers", "key")])
async def test_pages_follow_one_another_without_gap_or_double(filled: httpx.AsyncClient, path: str, field: str) -> None:
    whole = await names(filled, path, field)
    found, after = [], None
    while True:
        body = (await filled.get(f"/api/v1/{path}", params={"limit": 2, **({"after": after} if after else {})})).json()
        found += [item[field] for item in body["items"]]
        after = body["next"]
        if after is None:
            break
        assert len(body["items"]) == 2
    assert found == whole
    assert (await filled.get(f"/api/v1/{path}", params={"after": "x"})).json()["error"]["where"] == "after"
    assert (await filled.get(f"/api/v1/{path}", params={"limit": 0})).status_code == 400


async def _say(bus: Bus, live: Live) -> None:
    ids = {info.key: info.id for info in live.directory.registry.datastreams}
    movers = {info.key: info.id for info in live.directory.registry.movers}
    stamp = now_us()
    latest, places = Latest(Kind.OBSERVATION), Latest(Kind.POSITION)
    latest.update(
        ObservationBatch(
            np.array([ids["tram-01/level"]], np.int32),
            np.array([stamp]),
            np.array([1.25]),
            np.array([stamp]),
            np.zeros(1, np.int64),
        )
    )
    two = np.array([stamp, stamp])
    places.update(
        PositionBatch(
            np.array([movers["mmsi-574000001"], movers["xe-1"]], np.int32),
            two,
            np.array([105.63, 106.7]),
            np.array([10.45, 10.7]),
            np.array([4.2, np.nan], np.float32),
            np.array([90, np.nan], np.float32),
            two,
            np.zeros(2, np.int64),
        )
    )
    await bus.client.publish("centre.live.latest", latest.ipc())
    await bus.client.publish("centre.live.latest", places.ipc())
    await until(lambda: live.observations.rows == 1 and live.positions.rows == 2)


async def test_latest_values_stand_beside_what_they_are_of(filled: httpx.AsyncClient, bus: Bus, centre: Centre) -> None:
    await _say(bus, centre.parts["live"])
    streams = (await filled.get("/api/v1/datastreams")).json()["items"]
    assert {item["key"]: item["latest"] and item["latest"]["result"] for item in streams} == {
        "tram-01/level": 1.25,
        "tram-01/salinity": None,
        "tram-02/level": None,
        "bay-1/count": None,
    }
    movers = {item["key"]: item["latest"] for item in (await filled.get("/api/v1/movers")).json()["items"]}
    assert (movers["mmsi-574000001"]["lon"], movers["mmsi-574000001"]["speed_kn"]) == (105.63, 4.2)
    assert movers["xe-1"]["speed_kn"] is None and movers["mmsi-574000002"] is None
    assert await names(filled, "movers", "key", bbox="105,10,106,11") == ["mmsi-574000001"]
    commune = (await filled.get("/api/v1/things/tram-01")).json()["commune"]
    assert await names(filled, "movers", "key", commune=commune) == ["mmsi-574000001"]
    columns = (await filled.get("/api/v1/latest", params={"of": "position", "kind": "truck"})).json()
    assert (columns["source"], columns["lon"], columns["course_deg"]) == (["xe-1"], [106.7], [None])
    assert columns["next"] is None


async def test_latest_of_ten_thousand_is_answered_from_memory(
    client: httpx.AsyncClient, bus: Bus, centre: Centre
) -> None:
    things = [
        {"name": f"s{number}", "datastreams": [{"name": f"d{stream}"} for stream in range(10)]}
        for number in range(1000)
    ]
    await client.post("/api/v1/things", json={"things": things})
    live: Live = centre.parts["live"]
    numbers = np.array([info.id for info in live.directory.registry.datastreams], np.int32)
    stamp = np.full(10_000, now_us())
    latest = Latest(Kind.OBSERVATION)
    latest.update(
        ObservationBatch(numbers, stamp, np.random.default_rng(1).random(10_000), stamp, np.zeros(10_000, np.int64))
    )
    await bus.client.publish("centre.live.latest", latest.ipc())
    await until(lambda: live.observations.rows == 10_000)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        answer = await client.get("/api/v1/latest")
        times.append(time.perf_counter() - began)
    body = answer.json()
    assert len(body["source"]) == len(body["result"]) == 10_000
    assert min(times) < 0.05, times
