"""/api/v1/places: communes, which one a point lies in, outlines."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import shapely.geometry

from thap.kernel.places import import_polygons, read_polygons
from thap.kernel.records import Records
from thap.web.deps import Centre

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


def _outline(code: str, *, lon: float = 105.6, ring: bool = True) -> dict[str, object]:
    corners = [[lon, 10.4], [lon + 0.1, 10.4], [lon + 0.1, 10.5], [lon, 10.4]]
    geometry = {"type": "Polygon", "coordinates": [corners]} if ring else {"type": "Point", "coordinates": corners[0]}
    return {"type": "Feature", "properties": {"code": code}, "geometry": geometry}


def _file(*features: dict[str, object]) -> bytes:
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


IMPORT = "/api/v1/places/import"


async def test_outlines_are_imported_by_administrators_only(
    stranger: httpx.AsyncClient, desk: Callable[..., Awaitable[httpx.AsyncClient]]
) -> None:
    body = _file(_outline("29869"))
    assert (await stranger.post(IMPORT, content=body)).status_code == 401
    operator = await desk("truc-ban", "operator")
    assert (await operator.post(IMPORT, content=body)).status_code == 403
    commune = await desk("quan-tri-xa", "administrator", unit="29869")
    assert (await commune.post(IMPORT, content=body)).status_code == 403


async def test_a_file_is_looked_at_first_then_imported_and_then_changes_nothing(
    client: httpx.AsyncClient, centre: Centre
) -> None:
    body = _file(_outline("29869"))
    seen = (await client.post(IMPORT, params={"check": True}, content=body)).json()
    assert (seen["read"], seen["imported"], len(seen["missing"])) == (1, 0, 101)
    done = (await client.post(IMPORT, params={"source": "xa.geojson"}, content=body)).json()
    assert (done["imported"], done["unchanged"]) == (1, False)
    again = (await client.post(IMPORT, content=body)).json()
    assert (again["imported"], again["unchanged"]) == (0, True)
    noted = (await client.get("/api/v1/audit", params={"action": "places.import"})).json()["items"]
    assert [entry["detail"]["source"] for entry in noted] == ["xa.geojson"]


async def test_bad_features_stop_an_import_unless_they_are_skipped(client: httpx.AsyncClient) -> None:
    body = _file(_outline("29869"), _outline("00000"), _outline("29888", ring=False))
    refused = await client.post(IMPORT, content=body)
    assert refused.status_code == 400 and refused.json()["error"]["message"].startswith("2 features cannot be taken")
    done = (await client.post(IMPORT, params={"skip_bad": True}, content=body)).json()
    assert done["imported"] == 1 and [fault["index"] for fault in done["faults"]] == [1, 2]
    nothing = _file(_outline("00000"))
    assert (await client.post(IMPORT, params={"skip_bad": True}, content=nothing)).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"type": "FeatureCollection", "features": []}', b"\xff\xfe"])
async def test_a_file_that_is_no_geojson_says_so(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(IMPORT, params={"source": "tệp.geojson"}, content=body)
    assert answer.status_code == 400 and answer.json()["error"]["where"].startswith("tệp.geojson")
