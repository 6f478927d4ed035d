"""The map's basemap and layers, and the search by names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from thap.domains.domain import Layer, domain
from thap.kernel.audit import audit
from thap.kernel.errors import SettingsError
from thap.kernel.policy.limits import restrict
from thap.kernel.policy.people import clear
from thap.kernel.settings import MapSettings, Settings
from thap.kernel.units import communes
from thap.web.api.map import tile_origin
from thap.web.deps import Centre, policy_of

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
HERE, THERE = communes()[0], communes()[1]


@pytest.mark.parametrize(
    "path", ["/api/v1/map", "/api/v1/map/layers/water.rivers", "/api/v1/map/basemap.pmtiles", "/api/v1/search?q=a"]
)
async def test_nobody_sees_the_map_without_signing_in(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(path)).status_code == 401


async def test_layers_of_the_domains_are_listed_and_given(client: httpx.AsyncClient, settings: Settings) -> None:
    settings.rules_dir.mkdir(parents=True, exist_ok=True)
    (settings.rules_dir / "traffic.toml").write_text(domain("traffic").rules_text())
    layers = {layer["id"]: layer for layer in (await client.get("/api/v1/map")).json()["layers"]}
    assert {"water.rivers", "sand.mines", "traffic.closed_zones"} <= layers.keys()
    river = (await client.get("/api/v1/map/layers/water.rivers")).json()
    assert river["features"][0]["geometry"]["type"] == "LineString"
    polygon = {"type": "Polygon", "coordinates": [[[105.6, 10.45], [105.61, 10.45], [105.61, 10.46], [105.6, 10.45]]]}
    licence = {"type": "Feature", "properties": {"number": "1/GP"}, "geometry": polygon}
    assert (await client.post("/api/v1/sand/import/licences", json=licence)).status_code == 200
    mines = (await client.get("/api/v1/map/layers/sand.mines")).json()
    assert [one["properties"]["title"] for one in mines["features"]] == ["1/GP"]
    closed = (await client.get("/api/v1/map/layers/traffic.closed_zones")).json()
    assert all(len(one["geometry"]["coordinates"][0]) >= 5 for one in closed["features"])
    assert (await client.get("/api/v1/map/layers/water.none")).status_code == 404


async def test_somebody_of_one_domain_sees_its_layers_only(desk: Desk) -> None:
    browser = await desk("chuyen-vien", "domain_expert", domain="water")
    layers = [layer["id"] for layer in (await browser.get("/api/v1/map")).json()["layers"]]
    assert layers == ["water.rivers", "water.levels", "water.isohaline"]
    assert (await browser.get("/api/v1/map/layers/sand.mines")).status_code == 404


async def test_an_archive_of_tiles_is_served_in_parts(client: httpx.AsyncClient, centre: Centre) -> None:
    assert (await client.get("/api/v1/map")).json()["basemap"]["kind"] == "none"
    assert (await client.get("/api/v1/map/basemap.pmtiles")).status_code == 404
    (centre.settings.data / "map.pmtiles").write_bytes(bytes(range(256)) * 40)
    centre.settings.map.pmtiles = Path("map.pmtiles")
    basemap = (await client.get("/api/v1/map")).json()["basemap"]
    assert basemap["kind"] == "pmtiles"
    part = await client.get(basemap["url"], headers={"Range": "bytes=256-258"})
    assert (part.status_code, part.content) == (206, bytes([0, 1, 2]))


def test_only_the_configured_tile_server_is_let_through(settings: Settings) -> None:
    assert tile_origin(settings) == ""
    settings.map = MapSettings(tiles="https://tiles.example:8443/{z}/{x}/{y}.png")
    assert tile_origin(settings) == "https://tiles.example:8443"
    for bad in ("https://a.example/ *", "javascript:alert(1)", "https://a.example/;script-src *"):
        with pytest.raises(ValueError, match="pattern"):
            MapSettings(tiles=bad)


def test_a_layer_says_what_is_wrong_with_it() -> None:
    title = {"vi": "Sông", "en": "Rivers"}
    for made in (
        lambda: Layer("Sông", title, rules=("a",)),
        lambda: Layer("rivers", {"vi": "Sông"}, rules=("a",)),
        lambda: Layer("rivers", title),
        lambda: Layer("rivers", title, rules=("a",), colour="blue"),
    ):
        with pytest.raises(SettingsError):
            made()


async def test_names_are_found_in_either_spelling_old_and_new(client: httpx.AsyncClient) -> None:
    async def find(q: str) -> list[tuple[str, str]]:
        return [
            (hit["title"], hit["note"]) for hit in (await client.get("/api/v1/search", params={"q": q})).json()["items"]
        ]

    assert (await find("gao giong"))[0][1] == "Xã Gáo Giồng, Huyện Cao Lãnh"
    assert await find("gao giong") == await find("Gáo Giồng")
    assert any(note.endswith("Huyện Tam Nông") for _, note in await find("huyện Tam Nông"))
    assert await find("không đâu có tên này") == []
    assert await find("...") == []


async def test_a_search_finds_only_what_may_be_seen(client: httpx.AsyncClient, desk: Desk) -> None:
    things = [
        {"name": "tram-gan", "title": "Trạm đo gần", "domain": "water", "lon": HERE.lon, "lat": HERE.lat},
        {"name": "tram-xa", "title": "Trạm đo xa", "domain": "water", "lon": THERE.lon, "lat": THERE.lat},
    ]
    body = {"things": things, "movers": [{"key": "tau-do", "name": "Tàu đo", "domain": "water"}]}
    assert (await client.post("/api/v1/things", json=body)).status_code == 200
    official = await desk("can-bo-xa", "commune_official", unit=HERE.code)
    for browser, expected in ((client, {"tram-gan", "tram-xa", "tau-do"}), (official, {"tram-gan"})):
        found = (await browser.get("/api/v1/search", params={"q": "đo"})).json()["items"]
        assert {hit["id"] for hit in found if hit["kind"] != "place"} == expected


async def test_a_search_finds_what_may_be_seen_behind_hundreds_that_may_not(
    client: httpx.AsyncClient, desk: Desk, centre: Centre
) -> None:
    movers = [{"key": f"tau-{n}", "name": f"Tàu đo {n}", "domain": "water"} for n in range(400)]
    movers.append({"key": "tau-cat", "name": "Zz tàu đo cát", "domain": "sand"})
    things = [{"name": f"tram-{n}", "title": f"Trạm cũ đo {n}", "domain": "water"} for n in range(300)]
    things.append({"name": "dung", "title": "Đo", "domain": "water"})
    assert (await client.post("/api/v1/things", json={"movers": movers, "things": things})).status_code == 200
    expert = await desk("chuyen-vien", "domain_expert", domain="sand")
    found = (await expert.get("/api/v1/search", params={"q": "đo"})).json()["items"]
    assert [hit["id"] for hit in found if hit["kind"] == "mover"] == ["tau-cat"]
    found = (await client.get("/api/v1/search", params={"q": "đo", "limit": 3})).json()["items"]
    assert next(hit["id"] for hit in found if hit["kind"] == "thing") == "dung"
    async with centre.records.write() as connection:
        await restrict(connection, "thing", "tau-cat")
        await clear(connection, "chuyen-vien", "thing", "tau-cat")
    policy_of(centre).changed()
    assert "tau-cat" in (await expert.get("/api/v1/search", params={"q": "đo"})).text
    async with centre.records.read() as connection:
        rows = await connection.execute(sa.select(audit.c.who, audit.c.object).where(audit.c.action == "thing.read"))
        assert [tuple(row) for row in rows] == [("chuyen-vien", "mover:tau-cat")]
