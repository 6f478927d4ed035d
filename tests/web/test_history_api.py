"""History over the API."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.kernel.lake_rows import MIDNIGHT, day, positions

from thap.kernel.clock import DAY_US, HOUR_US, SECOND_US
from thap.kernel.history import Lake
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.registry import register_datastreams, register_movers
from thap.web.deps import Centre

SPAN = {"since": "2026-03-10T00:00:00Z", "until": "2026-03-11T00:00:00Z"}


@pytest.fixture
async def centre(centre: Centre, records: Records) -> Centre:
    async with records.write() as connection:
        await register_datastreams(connection, [{"key": f"tram-{n}/muc-nuoc", "unit": "m"} for n in (1, 2)])
        await register_movers(connection, [{"key": "mmsi-574000001", "name": "Sa Đéc 01"}])
    return centre


@pytest.fixture
def filled(settings: Settings) -> Iterator[None]:
    """Two datastreams with 720 records each in a day, and 500 positions."""
    lake = Lake.open(settings)
    lake.append(
        {
            "observation": day(2, 1440),
            "position": positions([1] * 500, [MIDNIGHT + second * SECOND_US for second in range(500)]),
        },
        1,
    )
    lake.close()
    yield


@pytest.mark.parametrize("path", ["/api/v1/datastreams/1/observations", "/api/v1/movers/1/positions"])
async def test_a_stranger_sees_nothing(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(path)).status_code == 401
    assert (await stranger.post("/api/v1/query", json={"sql": "SELECT 1"})).status_code == 401


async def test_before_the_first_record_history_is_not_there_yet(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/datastreams/1/observations")
    assert answer.status_code == 503
    assert "there is no history yet" in answer.text


@pytest.mark.usefixtures("filled")
async def test_a_datastream_comes_in_buckets_by_number_or_key(client: httpx.AsyncClient) -> None:
    body = (await client.get("/api/v1/datastreams/2/observations", params={**SPAN, "bucket": "1h"})).json()
    assert (body["key"], body["unit"], body["bucket"]) == ("tram-2/muc-nuoc", "m", HOUR_US)
    assert [item["count"] for item in body["items"]] == [30] * 24
    assert body["items"][0]["start"] == MIDNIGHT
    assert set(body["items"][0]) == {"start", "min", "min_time", "max", "max_time", "mean", "first", "last", "count"}
    assert (
        await client.get("/api/v1/datastreams/tram-2/muc-nuoc/observations", params={**SPAN, "bucket": "1h"})
    ).json() == body
    days = (await client.get("/api/v1/datastreams/2/observations", params={**SPAN, "bucket": "1d"})).json()["items"]
    assert [item["start"] for item in days] == [MIDNIGHT - 7 * HOUR_US, MIDNIGHT + 17 * HOUR_US]  # local midnights
    few = (await client.get("/api/v1/datastreams/2/observations", params={**SPAN, "points": 10})).json()["items"]
    assert (len(few), sum(item["count"] for item in few)) == (10, 720)


@pytest.mark.usefixtures("filled")
async def test_single_records_come_page_after_page(client: httpx.AsyncClient) -> None:
    seen, after = [], None
    while True:
        body = (
            await client.get(
                "/api/v1/datastreams/1/observations",
                params={**SPAN, "raw": "true", "limit": 300, **({"after": after} if after else {})},
            )
        ).json()
        seen += body["items"]
        after = body["next"]
        if after is None:
            break
    assert len(seen) == 720
    assert [item["time"] for item in seen] == sorted({item["time"] for item in seen})


@pytest.mark.usefixtures("filled")
async def test_a_track_is_thinned_to_what_is_asked_for(client: httpx.AsyncClient) -> None:
    body = (await client.get("/api/v1/movers/mmsi-574000001/positions", params={**SPAN, "points": 50})).json()
    assert (body["name"], body["mover"]) == ("Sa Đéc 01", 1)
    assert 2 <= len(body["items"]) <= 50
    assert body["items"][0] == {"time": MIDNIGHT, "lon": 105.6, "lat": 10.4, "speed_kn": 5.0, "course_deg": None}
    assert len((await client.get("/api/v1/movers/1/positions", params=SPAN)).json()["items"]) == 500


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("path", "params", "status", "where"),
    [
        ("datastreams/99/observations", {}, 404, None),
        ("datastreams/x/y/observations", {}, 404, None),
        ("movers/99/positions", {}, 404, None),
        ("datastreams/1/observations", {"since": "yesterday"}, 400, "since"),
        ("datastreams/1/observations", {"since": "2026-01-02", "until": "2026-01-01"}, 400, "since"),
        ("datastreams/1/observations", {"bucket": "soon"}, 400, None),
        ("datastreams/1/observations", {"bucket": "1ms", **SPAN}, 400, "bucket"),
        ("datastreams/1/observations", {"bucket": "0s", **SPAN}, 400, "bucket"),
        ("datastreams/1/observations", {"bucket": "1h", "points": "5"}, 400, "bucket"),
        ("datastreams/1/observations", {"raw": "true", "after": "x"}, 400, "after"),
    ],
)
async def test_mistakes_are_named(
    client: httpx.AsyncClient, path: str, params: dict[str, str], status: int, where: str | None
) -> None:
    answer = await client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == status
    if where:
        assert answer.json()["error"]["where"] == where


@pytest.mark.usefixtures("filled")
async def test_history_is_asked_in_sql_by_administrators(client: httpx.AsyncClient) -> None:
    sql = "SELECT key, count(*) AS n FROM observations JOIN datastreams USING (datastream) GROUP BY key ORDER BY key"
    body = (await client.post("/api/v1/query", json={"sql": sql})).json()
    assert body["rows"] == [{"key": "tram-1/muc-nuoc", "n": 720}, {"key": "tram-2/muc-nuoc", "n": 720}]
    assert (body["columns"], body["truncated"]) == (["key", "n"], False)
    wrong = await client.post("/api/v1/query", json={"sql": "SELECT nothing FROM observations"})
    assert (wrong.status_code, wrong.json()["error"]["where"]) == (400, "line 1, column 8")
    denied = await client.post("/api/v1/query", json={"sql": "DROP VIEW observations"})
    assert denied.status_code == 403


@pytest.mark.usefixtures("filled")
async def test_records_written_later_are_seen_by_the_open_reader(client: httpx.AsyncClient, settings: Settings) -> None:
    params = {"since": str(MIDNIGHT), "until": str(MIDNIGHT + 2 * DAY_US), "points": "1"}
    before = (await client.get("/api/v1/datastreams/1/observations", params=params)).json()["items"][0]["count"]
    lake = Lake.open(settings)
    lake.append({"observation": day(2, 1440, MIDNIGHT + DAY_US)}, 2)
    lake.close()
    after = (await client.get("/api/v1/datastreams/1/observations", params=params)).json()["items"][0]["count"]
    assert (before, after) == (720, 1440)
