"""Open311 GeoReport v2: what a client that knows only the specification meets."""

from __future__ import annotations

import asyncio
import json
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from thap.kernel.bus import Bus
from thap.kernel.records import Records
from thap.kernel.tokens import create_token
from thap.services.reports import ReportDesk
from thap.web.deps import Centre
from thap.web.reports import desk_of

URL = "/open311/v2"
SENT = {
    "service_code": "rac-thai",
    "lat": "10.4602",
    "long": "105.6325",
    "description": "Rác dưới cầu, gọi 0912 345 678",
    "first_name": "Gửi",
    "last_name": "Người",
    "email": "nguoi-gui@example.vn",
}


@pytest.fixture
async def desk(centre: Centre) -> AsyncIterator[ReportDesk]:
    yield desk_of(centre)
    await desk_of(centre).close()


@pytest.fixture
async def key(records: Records) -> str:
    async with records.write() as connection:
        _, secret = await create_token(connection, "cong-1022", ["write"])
    return secret


@pytest.fixture
async def other_key(records: Records) -> str:
    async with records.write() as connection:
        _, secret = await create_token(connection, "ung-dung-khac", ["write"])
    return secret


async def send(stranger: httpx.AsyncClient, key: str, **more: Any) -> httpx.Response:
    body = {name: value for name, value in {**SENT, "api_key": key, **more}.items() if value is not None}
    return await stranger.post(f"{URL}/requests.json", data=body)


def error(answer: httpx.Response) -> tuple[int, str]:
    [found] = answer.json()
    assert found["code"] == answer.status_code and set(found) == {"code", "description"}
    return found["code"], found["description"]


async def test_nobody_sends_without_a_key_that_may(
    stranger: httpx.AsyncClient, desk: ReportDesk, records: Records
) -> None:
    async with records.write() as connection:
        _, reader = await create_token(connection, "chi-doc", ["read"])
    for path in ("requests", "servicerequestupdates"):
        for given, words in (("", "no api_key"), ("wrong", "not valid"), (reader, "may not write")):
            answer = await stranger.post(f"{URL}/{path}.json", data={**SENT, "api_key": given})
            assert error(answer)[0] == 403 and words in error(answer)[1]
    assert (await desk.list()).total == 0


async def test_services_and_their_questions_are_told_in_both_formats(
    stranger: httpx.AsyncClient, desk: ReportDesk
) -> None:
    listed = (await stranger.get(f"{URL}/services.json")).json()
    sand = next(one for one in listed if one["service_code"] == "khai-thac-cat")
    assert sand["service_name"] == "Khai thác cát trái phép"
    assert (sand["metadata"], sand["type"], sand["group"]) == (True, "realtime", "Môi trường")
    assert all(
        set(one) == {"service_code", "service_name", "description", "metadata", "type", "keywords", "group"}
        for one in listed
    )
    answer = await stranger.get(f"{URL}/services.xml", headers={"Accept-Language": "en-GB,en;q=0.9"})
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"
    assert answer.content.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    root = ET.fromstring(answer.content)
    assert root.tag == "services" and [child.tag for child in root] == ["service"] * len(listed)
    assert root.findtext("service[service_code='khai-thac-cat']/service_name") == "Unlawful sand mining"
    assert root.findtext("service[service_code='rac-thai']/metadata") == "false"

    asked = (await stranger.get(f"{URL}/services/duong-hu-hong.json")).json()
    [attribute] = asked["attributes"]
    assert (attribute["code"], attribute["datatype"], attribute["required"], attribute["order"]) == (
        "nguy_hiem",
        "singlevaluelist",
        True,
        1,
    )
    assert attribute["values"][0] == {"key": "co", "name": "Có, cần rào chắn ngay"}
    root = ET.fromstring((await stranger.get(f"{URL}/services/duong-hu-hong.xml")).content)
    assert [one.text for one in root.findall("attributes/attribute/values/value/key")] == ["co", "it", "khong"]
    assert root.findtext("attributes/attribute/variable") == "true"


async def test_a_request_is_taken_and_shown_when_moderation_publishes_it(
    stranger: httpx.AsyncClient, desk: ReportDesk, key: str, other_key: str
) -> None:
    answer = await send(stranger, key)
    assert answer.status_code == 200, answer.text
    [made] = answer.json()
    number = made["service_request_id"]
    assert (
        set(made) == {"service_request_id", "service_notice", "account_id"} and "Mã theo dõi" in made["service_notice"]
    )
    path = f"{URL}/requests/{number}.json"
    assert error(await stranger.get(path))[0] == 404
    assert error(await stranger.get(path, params={"api_key": other_key}))[0] == 404
    assert (await stranger.get(f"{URL}/requests.json")).json() == []
    [own] = (await stranger.get(path, params={"api_key": key})).json()
    assert own["status"] == "open" and own["description"] == SENT["description"]

    await desk.accept(int(number), "truc-ban", comment="Đã chuyển phường.")
    [shown] = (await stranger.get(path)).json()
    assert shown["description"] == "Rác dưới cầu, gọi •••" and shown["status_notes"] == "Đã chuyển phường."
    assert (shown["lat"], shown["long"]) == (10.4602, 105.6325)
    assert shown["agency_responsible"].startswith(("Phường", "Xã"))
    assert shown["requested_datetime"].endswith("+07:00") and shown["expected_datetime"] > shown["requested_datetime"]
    assert "nguoi-gui" not in answer.text + json.dumps(shown)
    root = ET.fromstring((await stranger.get(f"{URL}/requests/{number}.xml")).content)
    assert root.tag == "service_requests"
    assert root.findtext("request/service_request_id") == number and root.find("request/zipcode") is not None

    await desk.answer(int(number), "truc-ban", comment="Đã dọn.")
    [closed] = (await stranger.get(path)).json()
    assert (closed["status"], closed["status_notes"]) == ("closed", "Đã dọn.")


async def test_a_machine_that_sends_again_after_a_lost_answer_makes_no_twin(
    stranger: httpx.AsyncClient, desk: ReportDesk, key: str
) -> None:
    answers = await asyncio.gather(*(send(stranger, key) for _ in range(4)))
    assert len({one.json()[0]["service_request_id"] for one in answers}) == 1
    assert (await send(stranger, key, description="khác")).json()[0]["service_request_id"] != answers[0].json()[0][
        "service_request_id"
    ]


async def test_what_is_wrong_is_told_in_the_form_of_the_specification(
    stranger: httpx.AsyncClient, desk: ReportDesk, key: str
) -> None:
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"service_code": None}, 400, "service_code was not provided"),
        ({"service_code": "no-such"}, 404, "no service"),
        ({"jurisdiction_id": "elsewhere.gov"}, 404, "jurisdiction_id"),
        ({"lat": None, "long": None}, 400, "where it is must be said"),
        ({"lat": None}, 400, "both lat and long"),
        ({"lat": "ten"}, 400, "degrees"),
        ({"lat": "nan"}, 400, "not a point"),
        ({"lat": "21.03", "long": "105.85"}, 400, "outside the province"),
        ({"description": "x" * 4001}, 400, "4000"),
        ({"email": "no"}, 400, "e-mail"),
        ({"service_code": "duong-hu-hong"}, 400, "must be answered"),
        ({"service_code": "duong-hu-hong", "attribute[nguy_hiem]": "maybe"}, 400, "not one of its values"),
        ({"attribute[": "x"}, 400, "attribute"),
    ]
    for change, code, words in cases:
        found = error(await send(stranger, key, **change))
        assert found[0] == code and words in found[1], (change, found)
    assert (await desk.list()).total == 0


async def test_broken_bodies_and_addresses_are_refused(stranger: httpx.AsyncClient, desk: ReportDesk, key: str) -> None:
    path = f"{URL}/requests.json"
    for content, kind, code in (
        (b"{}", "application/json", 400),
        (b"", "", 400),
        (b"\xff=\xff&service_code=%FF", "application/x-www-form-urlencoded", 403),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 403),
        (b"--x\r\n", "multipart/form-data", 400),
        (b"a" * (2 << 20), "application/x-www-form-urlencoded", 413),
    ):
        answer = await stranger.post(path, content=content, headers={"Content-Type": kind})
        assert error(answer)[0] == code, (kind, answer.text)
    for path in ("services/no-such.json", "requests/99.json", "requests/x.json", "requests/٣.json", "tokens/x.json"):
        assert error(await stranger.get(f"{URL}/{path}"))[0] == 404
    assert (await stranger.get(f"{URL}/services.yaml")).status_code == 404
    root = ET.fromstring((await stranger.get(f"{URL}/requests/99.xml")).content)
    assert root.tag == "errors" and root.findtext("error/code") == "404"


async def test_requests_are_chosen_by_time_kind_and_status(
    stranger: httpx.AsyncClient, desk: ReportDesk, key: str
) -> None:
    numbers = []
    for index, code in enumerate(("rac-thai", "sau-benh-lua", "rac-thai")):
        answer = await send(stranger, key, service_code=code, description=f"số {index}")
        numbers.append(int(answer.json()[0]["service_request_id"]))
        await desk.accept(numbers[-1], "truc-ban")
    await desk.answer(numbers[0], "truc-ban", comment="xong")

    async def chosen(**params: Any) -> list[int]:
        answer = await stranger.get(f"{URL}/requests.json", params=params)
        assert answer.status_code == 200, answer.text
        return [int(one["service_request_id"]) for one in answer.json()]

    assert await chosen() == numbers[::-1]
    assert await chosen(service_code="rac-thai,khac") == [numbers[2], numbers[0]]
    assert await chosen(status="closed") == [numbers[0]] and await chosen(status="open,closed") == numbers[::-1]
    assert await chosen(service_request_id=f"{numbers[1]},999,x", status="closed") == [numbers[1]]
    assert await chosen(start_date="2020-01-01T00:00:00Z") == []
    assert await chosen(end_date="2100-01-01T00:00:00+07:00") == []
    assert await chosen(page_size=2, page=2) == [numbers[0]]
    for params in (
        {"start_date": "soon"},
        {"status": "angry"},
        {"page": "0"},
        {"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-06-01T00:00:00Z"},
        {"start_date": "9" * 400},
    ):
        assert error(await stranger.get(f"{URL}/requests.json", params=params))[0] == 400


async def test_updates_go_both_ways(
    stranger: httpx.AsyncClient, desk: ReportDesk, key: str, other_key: str, bus: Bus
) -> None:
    number = (await send(stranger, key)).json()[0]["service_request_id"]
    await desk.accept(int(number), "truc-ban", comment="Đã nhận.")
    path = f"{URL}/servicerequestupdates"
    told = (await stranger.get(f"{path}.json")).json()
    assert [one["description"] for one in told] == ["", "Đã nhận."]
    assert told[1]["service_request_id"] == number and told[1]["status"] == "open"
    root = ET.fromstring((await stranger.get(f"{path}.xml")).content)
    assert root.tag == "service_request_updates" and len(root.findall("request_update")) == 2

    body = {"service_request_id": number, "update_id": "u-7", "status": "closed", "description": "Bên tôi xong."}
    assert error(await stranger.post(f"{path}.json", data={**body, "api_key": other_key}))[0] == 404
    first = await stranger.post(f"{path}.json", data={**body, "api_key": key})
    again = await stranger.post(f"{path}.json", data={**body, "api_key": key})
    assert first.status_code == 200 and first.json() == again.json()
    report = await desk.get(int(number))
    assert report.state == "accepted"  # who sent a report does not decide that it is closed
    last = (await desk.steps(report.id))[-1]
    assert (last.action, last.by, last.comment, last.public) == ("update", "cong-1022", "Bên tôi xong.", False)


async def test_a_receipt_code_is_a_token(stranger: httpx.AsyncClient, desk: ReportDesk, key: str) -> None:
    [made] = (await send(stranger, key)).json()
    sender = await desk.sender(int(made["service_request_id"]))
    assert sender is not None
    [found] = (await stranger.get(f"{URL}/tokens/{sender[1]}.json")).json()
    assert found == {"service_request_id": made["service_request_id"], "token": sender[1]}


async def test_discovery_names_the_endpoint(stranger: httpx.AsyncClient, centre: Centre) -> None:
    centre.settings.reports.url = "https://phananh.example.vn/"
    found = (await stranger.get("/open311/discovery.json")).json()
    assert found["endpoints"][0]["url"] == "https://phananh.example.vn/open311/v2"
    root = ET.fromstring((await stranger.get("/open311/discovery.xml")).content)
    assert root.findtext("endpoints/endpoint/specification") == "http://wiki.open311.org/GeoReport_v2"


async def test_one_key_cannot_flood(stranger: httpx.AsyncClient, desk: ReportDesk, key: str, centre: Centre) -> None:
    centre.settings.reports.machine_per_minute = 3
    answers = [await send(stranger, key, description=f"số {i}") for i in range(8)]
    assert answers[0].status_code == 200 and answers[-1].status_code == 429
    assert (await desk.list()).total <= 6  # a minute may turn meanwhile
