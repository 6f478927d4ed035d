"""The rice office over HTTP: files, surveys, counts, advice, bulletins, and who may do what."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from datetime import date, timedelta

import httpx
import pyarrow as pa
import pytest
from tests.domains.rice_sheets import draw_sheet

from thap.domains.rice.bulletins import archive_of
from thap.domains.rice.traps import day_us, today
from thap.kernel.clock import DAY_US, HOUR_US
from thap.kernel.history.lake import Lake
from thap.kernel.places import communes
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.registry import numbers_of, register_datastreams, register_things

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
HERE, THERE = communes()[3], communes()[40]
API = "/api/v1/rice"
ZONES = (
    "Mã vùng;Tên vùng;Xã, phường;Diện tích (ha);Trạm đo mặn;Mặn từ;Mặn đến;Lũ từ;Lũ đến\n"
    f"TV-1;Tiểu vùng Một;{HERE.title};1.200,5;tram-1;;;15/8;30/10\n"
    f"TV-2;Tiểu vùng Hai;{THERE.title};800;;1/2;31/5;;\n"
)
REPORT = (
    "BÁO CÁO TÌNH HÌNH DỊCH HẠI 7 NGÀY\n(Từ ngày {begin} đến ngày {end})\n"
    "Xã;Đối tượng;Giai đoạn;Phổ biến;Cao;Cá biệt;Nhẹ;Trung bình;Nặng\n"
    f"{HERE.title};Rầy nâu;Đẻ nhánh;750;1.600;2.000;{{light}};10;0\n"
    f"{THERE.title};Đạo ôn lá;Làm đòng;5;10;;12,5;0;0\n"
    f"{THERE.title};Rầy nâu;Đẻ nhánh;abc;10;;1;0;0\n"
)


def survey(**change: object) -> dict[str, object]:
    body = {"surveyed": today().isoformat(), "commune": HERE.code, "pest": "bph", "stage": "tillering", "common": 800}
    return {**body, "high": 1600, "light_ha": 12.5, **change}


def report(week: date, light: str = "30,5") -> bytes:
    end = week + timedelta(days=6)
    return REPORT.format(begin=f"{week:%d/%m}", end=f"{end:%d/%m/%Y}", light=light).encode()


async def bring(client: httpx.AsyncClient, kind: str, content: bytes, name: str = "f.csv", **more: object) -> dict:
    answer = await client.post(f"{API}/import/{kind}", params={"name": name, "keep": True, **more}, content=content)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture
async def trap(records: Records) -> str:
    async with records.write() as connection:
        await register_things(
            connection,
            [{"name": "bd-1", "title": "Bẫy Một", "kind": "light_trap", "domain": "rice", "commune": HERE.code}],
        )
        await register_datastreams(
            connection,
            [
                {"key": "bd-1/planthopper_catch", "property": "planthopper_catch", "unit": "1/trap/night"},
                {"key": "bd-1/lamp_hours", "property": "lamp_hours", "unit": "h"},
            ],
        )
    return "bd-1"


@pytest.fixture
async def caught(settings: Settings, records: Records, trap: str) -> dict[date, float]:
    """Thirty nights in the history, one of them a flight."""
    async with records.read() as connection:
        number = (await numbers_of(connection, "observation", [f"{trap}/planthopper_catch"]))[
            f"{trap}/planthopper_catch"
        ]
    nights = {today() - timedelta(days=n): 900.0 if n == 8 else 20.0 + n for n in range(1, 31)}
    times = [day_us(night) + DAY_US + 5 * HOUR_US + HOUR_US // 2 for night in nights]

    def write() -> None:
        lake = Lake.open(settings)
        stamp = pa.timestamp("us", tz="UTC")
        rows = pa.table(
            {
                "datastream": pa.array([number] * len(times), pa.int32()),
                "time": pa.array(times, pa.int64()).cast(stamp),
                "result": pa.array(list(nights.values()), pa.float64()),
                "received": pa.array(times, pa.int64()).cast(stamp),
            }
        )
        lake.append({"observation": rows}, 1)
        lake.close()

    await asyncio.to_thread(write)
    return nights


@pytest.mark.parametrize("path", ["/overview", "/zones", "/surveys", "/traps", "/advice", "/risk", "/bulletins"])
async def test_nobody_unknown_sees_anything(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(API + path)).status_code == 401


async def test_a_file_is_looked_at_before_it_is_kept_and_kept_once(client: httpx.AsyncClient) -> None:
    look = (await client.post(f"{API}/import/zones", params={"name": "z.csv"}, content=ZONES.encode())).json()
    assert (look["kept"], look["good"], look["new"]) == (False, 2, 0)
    assert (await client.get(f"{API}/zones")).json()["items"] == []
    first = await bring(client, "zones", ZONES.encode())
    again = await bring(client, "zones", ZONES.replace("1.200,5", "1.300").encode())
    assert (first["new"], again["new"], again["changed"], again["same"]) == (2, 0, 1, 1)
    zone = (await client.get(f"{API}/zones")).json()["items"][0]
    assert (zone["area_ha"], zone["flood_from"], zone["stations"], zone["version"]) == (1300, "08-15", ["tram-1"], 2)


async def test_a_weekly_report_says_which_row_is_wrong_and_keeps_the_rest(client: httpx.AsyncClient) -> None:
    week = today() - timedelta(days=today().weekday() + 7)
    told = await bring(client, "surveys", report(week), "bc7n.csv")
    assert (told["read"], told["new"]) == (3, 2)
    (fault,) = [one for one in told["faults"] if one["fatal"]]
    assert (fault["line"], fault["field"]) == (6, "common") and "'abc' is not a number" in fault["message"]
    assert (await bring(client, "surveys", report(week), "bc7n.csv"))["same"] == 2
    await bring(client, "surveys", report(week - timedelta(days=7), "10"))
    summed = (await client.get(f"{API}/surveys/week", params={"week": week.isoformat()})).json()
    bph = next(row for row in summed["items"] if row["pest"] == "bph")
    assert (bph["light_ha"], bph["total_ha"], bph["change_ha"]) == (30.5, 40.5, 20.5)
    items = (await client.get(f"{API}/surveys", params={"pest": "bph"})).json()["items"]
    assert items[0]["class"] == "medium"  # 2,000 per m²


async def test_a_survey_sent_twice_is_kept_once_and_a_correction_stands_beside_it(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "phone-1"}
    sent = [await client.post(f"{API}/surveys", json=survey(), headers=headers) for _ in range(2)]
    assert {answer.status_code for answer in sent} == {201}
    number = sent[0].json()["id"]
    assert sent[1].json()["id"] == number
    body = {"survey": survey(common=80), "reason": "viết thừa một số 0"}
    fixed = await client.post(f"{API}/surveys/{number}/correct", json=body)
    assert fixed.status_code == 201, fixed.text
    assert (await client.post(f"{API}/surveys/{number}/correct", json=body)).status_code == 409
    held = (await client.get(f"{API}/surveys")).json()["items"]
    every = (await client.get(f"{API}/surveys", params={"replaced": True})).json()["items"]
    assert [row["common"] for row in held] == [80]
    assert [(row["common"], row["replaced_by"]) for row in every] == [(80, None), (800, held[0]["id"])]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"pest": "ufo"}, "pest"),
        ({"commune": "99999"}, None),
        ({"common": None, "high": None, "light_ha": 0}, "common"),
    ],
)
async def test_a_survey_that_says_nothing_known_is_refused(
    client: httpx.AsyncClient, change: dict[str, object], where: str | None
) -> None:
    answer = await client.post(f"{API}/surveys", json=survey(**change))
    assert answer.status_code in (400, 404) and answer.json()["error"].get("where") == where


async def test_a_commune_reports_and_reads_only_its_own(client: httpx.AsyncClient, desk: Desk) -> None:
    official = await desk("can-bo", "commune_official", unit=HERE.code)
    assert (await official.post(f"{API}/surveys", json=survey())).status_code == 201
    assert (await official.post(f"{API}/surveys", json=survey(commune=THERE.code))).status_code == 404
    await client.post(f"{API}/surveys", json=survey(commune=THERE.code))
    assert {row["commune"] for row in (await official.get(f"{API}/surveys")).json()["items"]} == {HERE.code}
    week = today() - timedelta(days=today().weekday() + 7)
    told = await bring(official, "surveys", report(week))
    assert told["new"] == 1 and "may not report" in str(told["faults"])
    assert (await official.post(f"{API}/import/zones", content=ZONES.encode())).status_code == 403


async def test_a_late_count_by_a_person_holds_and_what_the_trap_sent_stays(
    client: httpx.AsyncClient, trap: str, caught: dict[date, float]
) -> None:
    night = today() - timedelta(days=8)
    path = f"{API}/traps/{trap}"
    before = {row["night"]: row for row in (await client.get(path)).json()["nights"]}
    assert before[night.isoformat()]["value"] == 900
    body = {"night": night.isoformat(), "value": 90, "reason": "đếm nhầm lá"}
    made = await client.post(f"{path}/counts", json=body)
    assert made.status_code == 201 and made.json()["before"] == 900
    after = {row["night"]: row for row in (await client.get(path)).json()["nights"]}[night.isoformat()]
    assert (after["value"], after["sent"], after["person"]) == (90, 900, 90)
    assert after["counts"][0]["reason"] == "đếm nhầm lá"
    refused = await client.post(f"{path}/counts", json={**body, "night": (today() + timedelta(days=1)).isoformat()})
    assert refused.status_code == 400


async def test_a_picture_is_counted_kept_and_correctable(client: httpx.AsyncClient, trap: str) -> None:
    sheet = draw_sheet(4242, 60)
    out = io.BytesIO()
    sheet.picture.save(out, "PNG")
    night = (today() - timedelta(days=40)).isoformat()
    path = f"{API}/traps/{trap}"
    made = await client.post(f"{path}/picture", params={"night": night, "sheet_mm": 400}, content=out.getvalue())
    assert made.status_code == 201, made.text
    assert abs(made.json()["count"] - 60) <= 6 and sum(made.json()["sizes"].values()) == made.json()["count"]
    picture = await client.get(f"{API}/counts/{made.json()['id']}/picture")
    assert picture.status_code == 200 and picture.headers["content-type"] == "image/png"
    await client.post(f"{path}/counts", json={"night": night, "value": 61, "reason": "đếm tay"})
    row = {one["night"]: one for one in (await client.get(path, params={"days": 60})).json()["nights"]}[night]
    assert (row["value"], row["picture"], row["person"]) == (61, made.json()["count"], 61)
    assert (await client.post(f"{path}/picture", params={"night": night}, content=b"none")).status_code == 400
    later = {"night": "2099-01-01", "sheet_mm": 400}
    refused = await client.post(f"{path}/picture", params=later, content=out.getvalue())
    assert refused.status_code == 400 and "yet to come" in refused.text


async def test_advice_is_drafted_tried_approved_and_only_then_published(client: httpx.AsyncClient, desk: Desk) -> None:
    await bring(client, "zones", ZONES.encode())
    expert = await desk("bvtv", "domain_expert", domain="rice")
    viewer = await desk("xem", "viewer")
    peak = today() - timedelta(days=1)
    tried = await viewer.post(
        f"{API}/advice/plan",
        json={"zone": "TV-1", "peak": peak.isoformat(), "sow_from": peak.isoformat(), "sow_to": peak.isoformat()},
    )
    assert tried.status_code == 200, tried.text
    assert {"past", "next_flight"} <= {one["kind"] for one in tried.json()["conflicts"]}
    assert (await viewer.post(f"{API}/advice", json={"zone": "TV-1", "peak": peak.isoformat()})).status_code == 403
    made = (await expert.post(f"{API}/advice", json={"zone": "TV-1", "peak": peak.isoformat()})).json()
    assert made["sow_from"] == (peak + timedelta(days=5)).isoformat()
    assert made["sow_to"] == (peak + timedelta(days=7)).isoformat()
    assert "Gieo sạ đồng loạt" in made["reason"]["vi"] and "Sow all at once" in made["reason"]["en"]
    path = f"{API}/advice/{made['id']}"
    assert (await expert.post(f"{path}/publish", json={})).status_code == 409  # not approved yet
    assert (await viewer.post(f"{path}/approve", json={})).status_code == 403
    days = {"sow_from": made["sow_from"], "sow_to": (peak + timedelta(days=9)).isoformat()}
    edited = (await expert.put(path, json={**days, "version": 1})).json()
    assert (await expert.post(f"{path}/approve", json={"version": 1})).status_code == 409
    approved = await expert.post(f"{path}/approve", json={"version": edited["version"]})
    assert approved.json()["approved_by"] == "bvtv"
    assert (await expert.put(path, json=days)).status_code == 409
    assert (await expert.post(f"{path}/publish", json={})).json()["state"] == "published"
    assert (await expert.post(f"{path}/withdraw", json={})).status_code == 400  # says no reason
    whole = (await viewer.get(path)).json()
    assert [step["action"] for step in whole["steps"]] == ["publish", "approve", "edit", "draft"]
    assert whole["may"] == []


async def test_a_calendar_of_salt_water_stands_against_a_window(client: httpx.AsyncClient) -> None:
    await bring(client, "zones", ZONES.encode())
    body = {"zone": "TV-2", "peak": "2027-03-01"}
    plan = (await client.post(f"{API}/advice/plan", json=body)).json()
    assert [one["kind"] for one in plan["conflicts"]] == ["salinity_calendar"]
    assert "1/2–31/5" not in plan["reason"]["en"] and "01/02–31/05" in plan["reason"]["vi"]


async def test_a_bulletin_is_drafted_edited_approved_and_archived(
    client: httpx.AsyncClient, records: Records, trap: str, caught: dict[date, float], desk: Desk
) -> None:
    await bring(client, "zones", ZONES.encode())
    week = today() - timedelta(days=today().weekday() + 7)
    await bring(client, "surveys", report(week))
    crops = f"Mã vùng;Vụ;Giống;Ngày sạ;Diện tích\nTV-1;Đông Xuân;OM 18;{week - timedelta(days=20):%d/%m/%Y};900\n"
    await bring(client, "crops", crops.encode())
    expert = await desk("bvtv", "domain_expert", domain="rice")
    made = (await expert.post(f"{API}/bulletins", json={"week": week.isoformat()})).json()
    assert "con/bẫy/đêm" in made["content"]["traps"] and "đẻ nhánh 900 ha" in made["content"]["crops"]
    assert "53 ha" in made["content"]["pests"]
    assert (await expert.post(f"{API}/bulletins", json={"week": week.isoformat()})).status_code == 409
    path = f"{API}/bulletins/{made['id']}"
    edited = (await expert.put(path, json={"content": {"advice": "Thăm đồng."}, "version": 1})).json()
    assert (edited["content"]["advice"], edited["version"]) == ("Thăm đồng.", 2)
    refreshed = (await expert.post(f"{path}/refresh", json={"version": 2})).json()
    assert refreshed["content"]["advice"] == "Thăm đồng."  # a person's words stay
    preview = await expert.get(f"{path}/document.pdf")
    assert preview.content.startswith(b"%PDF-")
    approved = (await expert.post(f"{path}/approve", json={"version": 3})).json()
    assert (approved["state"], len(approved["digest"])) == ("approved", 64)
    assert (await expert.put(path, json={"content": {"advice": "Khác"}})).status_code == 409
    first = [(await expert.get(f"{path}/document.{kind}")).content for kind in ("pdf", "docx")]
    await bring(client, "surveys", report(week, "99"))  # what comes later changes nothing that was approved
    assert [(await expert.get(f"{path}/document.{kind}")).content for kind in ("pdf", "docx")] == first
    body, digest = await archive_of(records, made["id"])
    assert digest == approved["digest"] and "Thăm đồng." in body.decode()
    outsider = await desk("can-bo-xa", "commune_official", unit=HERE.code)
    assert (await outsider.get(path)).status_code == 404
    await expert.post(f"{path}/publish", json={})
    assert (await outsider.get(path)).json()["state"] == "published"


async def test_the_risk_of_a_commune_follows_catch_survey_and_stage(
    client: httpx.AsyncClient, trap: str, caught: dict[date, float]
) -> None:
    await bring(client, "zones", ZONES.encode())
    await client.post(f"{API}/surveys", json=survey(high=4000))
    risks = {row["commune"]: row for row in (await client.get(f"{API}/risk")).json()["items"]}
    assert (risks[HERE.code]["level"], risks[HERE.code]["survey"]) == ("high", "heavy")
    assert risks[THERE.code]["level"] == "none"
    assert (await client.get(f"{API}/risk", params={"stage": "none"})).status_code == 400
    layer = (await client.get("/api/v1/map/layers/rice.risk")).json()
    assert layer["type"] == "FeatureCollection"
