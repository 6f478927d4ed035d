"""The sand register, ledger and evidence over HTTP: who may see and change what, and nothing half-imported."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from thap.domains.sand.ledger_records import write_found
from thap.domains.sand.model import Fix, Kind, Trip, Violation, local_day
from thap.domains.sand.vn2000 import from_wgs84
from thap.kernel.audit import audit
from thap.kernel.clock import HOUR_US, MINUTE_US, now_us
from thap.kernel.store import open_store
from thap.kernel.units import communes
from thap.web.deps import Centre

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
RING = [
    (105.60375, 10.45783),
    (105.60616, 10.45346),
    (105.60856, 10.44909),
    (105.60663, 10.44806),
    (105.60423, 10.45242),
]
LICENCES = "/api/v1/sand/import/licences"


def geojson(*numbers: str, **more: Any) -> bytes:
    """Licences of these numbers with one boundary."""
    polygon = {"type": "Polygon", "coordinates": [[*RING, RING[0]]]}
    features = [
        {"type": "Feature", "properties": {"number": number, **more}, "geometry": polygon} for number in numbers
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def table(meridian: str = "105°00′", order: tuple[int, ...] = (0, 1, 2, 3, 4)) -> str:
    rows = [from_wgs84(*RING[at], 105.0) for at in order]
    lines = [f"{at}\t{float(x):.2f}\t{float(y):.2f}" for at, (x, y) in enumerate(rows, 1)]
    return "\n".join([f"Kinh tuyến trục {meridian}, múi chiếu 3°", "Điểm\tX (m)\tY (m)", *lines])


@pytest.mark.parametrize(
    "path",
    [
        "licences",
        "licences/a",
        "ledger",
        "violations",
        "violations/1",
        "trips",
        "week",
        "week.pdf",
        f"evidence/{'0' * 64}",
    ],
)
async def test_nobody_reads_the_register_without_signing_in(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(f"/api/v1/sand/{path}")).status_code == 401


async def test_who_only_reads_changes_nothing(desk: Desk, client: httpx.AsyncClient) -> None:
    assert (await client.post(LICENCES, content=geojson("1/GP"))).status_code == 200
    operator = await desk("truc-ban", "operator")
    assert (await operator.get("/api/v1/sand/licences/1-gp")).status_code == 200
    assert (await operator.post(LICENCES, content=geojson("2/GP"))).status_code == 403
    assert (await operator.post("/api/v1/sand/licences/1-gp/retire", json={"version": 1})).status_code == 403
    other = await desk("chuyen-vien-nuoc", "domain_expert", domain="water")
    assert (await other.get("/api/v1/sand/licences")).json()["items"] == []
    assert (await other.get("/api/v1/sand/licences/1-gp")).status_code == 404


async def test_a_commune_sees_the_licences_that_lie_in_it(desk: Desk, client: httpx.AsyncClient) -> None:
    await client.post(LICENCES, content=geojson("1/GP"))
    kept = (await client.get("/api/v1/sand/licences/1-gp")).json()
    assert kept["commune"] in {unit.code for unit in communes()}
    elsewhere = next(unit.code for unit in communes() if unit.code != kept["commune"])
    inside = await desk("can-bo-xa", "commune_official", unit=kept["commune"])
    outside = await desk("can-bo-khac", "commune_official", unit=elsewhere)
    assert len((await inside.get("/api/v1/sand/licences")).json()["items"]) == 1
    assert (await outside.get("/api/v1/sand/licences")).json()["items"] == []


async def test_a_preview_says_what_would_change_and_changes_nothing(client: httpx.AsyncClient) -> None:
    await client.post(LICENCES, content=geojson("1/GP", holder="A"))
    body = geojson("1/GP", "2/GP", holder="B")
    seen = (await client.post(LICENCES, params={"check": True}, content=body)).json()
    assert [(one["action"], one["title"]) for one in seen["items"]] == [("change", "1/GP"), ("add", "2/GP")]
    assert seen["items"][0]["changes"] == {"holder": ["A", "B"]}
    assert len((await client.get("/api/v1/sand/licences")).json()["items"]) == 1
    done = await client.post(LICENCES, params={"book": seen["book"]}, content=body)
    assert (done.json()["added"], done.json()["changed"]) == (1, 1)
    again = await client.post(LICENCES, params={"book": seen["book"]}, content=body)
    assert again.status_code == 409  # the register is another one than the preview's


async def test_one_bad_row_keeps_the_file_out_unless_asked(client: httpx.AsyncClient, centre: Centre) -> None:
    body = json.loads(geojson("1/GP", "2/GP"))
    body["features"][1]["properties"]["valid_from"] = "32/13/2026"
    refused = await client.post(LICENCES, content=json.dumps(body).encode())
    assert refused.status_code == 400 and "row 2" in refused.json()["error"]["message"]
    assert (await client.get("/api/v1/sand/licences")).json()["items"] == []
    taken = (await client.post(LICENCES, params={"skip_bad": True}, content=json.dumps(body).encode())).json()
    assert (taken["added"], taken["faults"][0]["column"]) == (1, "valid_from")
    async with centre.records.read() as connection:
        told = (await connection.execute(sa.select(audit.c.action, audit.c.detail))).all()
    assert ("sand.import", 1) in [(row.action, json.loads(row.detail).get("left_out")) for row in told]


async def test_a_change_names_the_version_it_starts_from_and_can_be_undone(client: httpx.AsyncClient) -> None:
    await client.post(LICENCES, content=geojson("1/GP", day_m3=1000))
    kept = (await client.get("/api/v1/sand/licences/1-gp")).json()
    body = {**kept["body"], "day_m3": 2000}
    put = await client.put("/api/v1/sand/licences/1-gp", json={"body": body, "version": 1, "reason": "điều chỉnh"})
    assert put.json()["version"] == 2
    late = await client.put("/api/v1/sand/licences/1-gp", json={"body": body, "version": 1})
    assert late.status_code == 409
    gone = await client.post("/api/v1/sand/licences/1-gp/retire", json={"version": 2, "reason": "thu hồi"})
    assert gone.json()["retired"] and (await client.get("/api/v1/sand/licences")).json()["items"] == []
    back = (await client.post("/api/v1/sand/licences/1-gp/restore", json={"version": 3})).json()
    assert not back["retired"]
    versions = (await client.get("/api/v1/sand/licences/1-gp")).json()["versions"]
    assert [(one["version"], one["retired"], one["reason"]) for one in versions] == [
        (4, False, ""), (3, True, "thu hồi"), (2, False, "điều chỉnh"), (1, False, versions[3]["reason"]),
    ]  # fmt: skip


async def test_a_corner_table_is_drawn_and_says_what_is_wrong(client: httpx.AsyncClient) -> None:
    async def judged(**body: Any) -> Any:
        return (await client.post("/api/v1/sand/corners", json=body)).json()

    good = await judged(text=table(), area_ha=19.9)
    assert good["good"] and good["area_ha"] == pytest.approx(19.9, abs=0.2) and good["picture"].startswith("<svg")
    wrong = await judged(text=table("105°45′"))
    assert [one["code"] for one in wrong["faults"]] == ["wrong_meridian"] and wrong["fits"] == ["105°00′"]
    crossed = await judged(text=table(order=(0, 2, 1, 3, 4)))
    assert crossed["faults"][0]["code"] == "crossed" and "b3261e" in crossed["picture"]


async def _found(centre: Centre, licence: int) -> None:
    """A trip today and a violation an hour ago."""
    now = now_us()
    store = open_store(centre.records)
    fixes = tuple(Fix(now - HOUR_US + at * MINUTE_US, 105.61, 10.46 + at / 1e5, 0.6) for at in range(30))
    violation = Violation(
        Kind.OUTSIDE, "mmsi-574000101", now - HOUR_US, now - MINUTE_US, now - HOUR_US // 2, 105.61, 10.46, licence,
        {"distance_m": 240.0, "tolerance_m": 30.0}, {"licence": "1/GP"}, fixes,
    )  # fmt: skip
    trip = Trip("mmsi-574000102", licence, now - 3, now - 2, now - 1, None, None, 105.6, 10.47, hold_m3=400.0)
    places = {(one.lon, one.lat): communes()[0].code for one in (violation, trip)}
    await store.transact(
        lambda tx: write_found(
            tx, trips=[trip], violations=[violation], communes=places, book_version=3,
            parameters={"outside_tolerance_m": 30.0},
        )
    )  # fmt: skip
    await store.close()


async def test_the_ledger_sets_trips_beside_the_declared_book(client: httpx.AsyncClient, centre: Centre) -> None:
    await client.post(LICENCES, content=geojson("1/GP", day_m3=300, total_m3=100000))
    licence = (await client.get("/api/v1/sand/licences/1-gp")).json()
    await _found(centre, licence["id"])
    today = local_day(now_us())
    book = f"Giấy phép;Ngày;Khối lượng (m³)\n1/GP;{today};120,5\n".encode()
    done = await client.post("/api/v1/sand/declared", params={"name": "sổ.csv"}, content=book)
    assert done.json()["imported"] and done.json()["lines"][0]["m3"] == 120.5
    account = (await client.get("/api/v1/sand/ledger", params={"licence": "1-gp"})).json()["items"][0]
    assert account["over"] == ["day"] and account["used"]["day"]["m3"] == 400.0
    line = account["days"][-1]
    assert (line["period"], line["declared_m3"], line["difference_m3"]) == (today, 120.5, 279.5)
    assert line["beyond_doubt"] and line["low_m3"] < 400 < line["high_m3"]
    week = (await client.get("/api/v1/sand/week")).json()
    assert week["known"] == 0 and week["licences"]


async def test_an_evidence_pack_can_be_checked_and_is_kept(client: httpx.AsyncClient, centre: Centre) -> None:
    await client.post(LICENCES, content=geojson("1/GP"))
    licence = (await client.get("/api/v1/sand/licences/1-gp")).json()
    await _found(centre, licence["id"])
    one = (await client.get("/api/v1/sand/violations")).json()["items"][0]
    made = await client.post(f"/api/v1/sand/violations/{one['id']}/evidence")
    assert made.status_code == 200 and made.headers["content-type"] == "application/zip"
    digest = hashlib.sha256(made.content).hexdigest()
    assert made.headers["etag"] == f'"{digest}"'
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        names = set(archive.namelist())
        report = archive.read("report-vi.pdf")
    assert names >= {"manifest.json", "positions.jsonl", "track.geojson", "track.gpx", "map.svg", "report-en.pdf"}
    assert report.startswith(b"%PDF")
    shown = (await client.get(f"/api/v1/sand/violations/{one['id']}")).json()
    assert shown["packs"][0]["sha256"] == digest and len(shown["positions"]) == 30
    assert (await client.get(f"/api/v1/sand/evidence/{digest}")).content == made.content
    assert (await client.get(f"/api/v1/sand/evidence/{'0' * 64}")).status_code == 404
