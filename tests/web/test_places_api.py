"""/api/v1/places: communes, which one a point lies in, outlines."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import shapely.geometry

from thap.kernel.places import import_polygons, read_polygons
from thap.kernel.records import Records

PATHS = (
    "/api/v1/places",
    "/api/v1/places/at?lon=105.6&lat=10.4",
    "/api/v1/places/convert?name=x",
    "/api/v1/places.geojson",
)


@pytest.mark.parametrize("path", PATHS)
async def test_a_stranger_is_not_let_in(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(path)).status_code == 401


async def test_communes_are_listed_and_searched(client: httpx.AsyncClient) -> None:
    assert len((await client.get("/api/v1/places")).json()) == 102
    found = (await client.get("/api/v1/places", params={"q": "dao thanh"})).json()
    assert found[0]["title"] == "Phường Đạo Thạnh" and found[0]["code"] == "28249"


async def test_an_old_name_is_converted_and_an_unknown_one_is_404(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/v1/places/convert", params={"name": "Gáo Giồng"})).json()
    assert [unit["name"] for unit in found[0]["became"]] == ["Phong Mỹ", "Phú Cường"]
    assert (await client.get("/api/v1/places/convert", params={"name": "Atlantis"})).status_code == 404


async def test_a_point_is_approximate_until_outlines_are_imported(
    client: httpx.AsyncClient, records: Records, shared_data: Path
) -> None:
    at = {"lon": 105.6375, "lat": 10.45}
    before = (await client.get("/api/v1/places/at", params=at)).json()
    assert before["approximate"] is True and before["commune"]["code"] == "29869"
    tag = (await client.get("/api/v1/places.geojson")).headers["etag"]
    read = read_polygons(shared_data / "places" / "dong_thap_102_simplified.geojson")
    async with records.write() as connection:
        await import_polygons(connection, "outlines", read.digest, read.wkb)
    after = (await client.get("/api/v1/places/at", params=at)).json()
    assert after["approximate"] is False and after["commune"]["code"] == "29869"
    assert (await client.get("/api/v1/places/at", params={"lon": 105.85, "lat": 21.03})).json()["commune"] is None
    answer = await client.get("/api/v1/places.geojson", headers={"If-None-Match": tag})
    body = answer.json()
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/geo+json"
    assert len(body["features"]) == 102 and body["source"] == "outlines"
    assert all(shapely.geometry.shape(feature["geometry"]).area > 0 for feature in body["features"])
    again = await client.get("/api/v1/places.geojson", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304 and not again.content


async def test_without_outlines_the_map_has_points_that_say_so(client: httpx.AsyncClient) -> None:
    body = (await client.get("/api/v1/places.geojson")).json()
    assert {feature["geometry"]["type"] for feature in body["features"]} == {"Point"}
    assert all(feature["properties"]["approximate"] for feature in body["features"])


@pytest.mark.parametrize("query", ["lon=200&lat=10", "lon=105&lat=-91", "lon=nan&lat=10", "lon=a&lat=10", "lon=105"])
async def test_a_point_that_is_none_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/api/v1/places/at?{query}")
    assert answer.status_code in (400, 422) and answer.json()["error"]["message"]
