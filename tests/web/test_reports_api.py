"""Reports over the API, and the public pages without scripts: who may, what is shown, what is kept."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from PIL import Image

from thap.kernel.audit import audit
from thap.kernel.policy import seed
from thap.kernel.records import Records
from thap.kernel.tokens import create_token
from thap.services.reports import Draft, ReportDesk, Sender
from thap.services.reports.guard import leading_zero_bits, network_of
from thap.web.deps import Centre
from thap.web.reports import desk_of
from thap.web.reports.wording import words

URL = "/api/v1/reports"
HERE = {"lon": 105.6325, "lat": 10.4602}
WHO = Sender("Người gửi phản ánh", "0912 345 678", "nguoi-gui@example.vn")
DRAFT = Draft("rac-thai", "Rác dưới cầu, gọi 0912 345 678", sender=WHO, **HERE)


@pytest.fixture
async def desk(centre: Centre, records: Records) -> AsyncIterator[ReportDesk]:
    async with records.write() as connection:
        await seed(connection)
    centre.settings.reports.least_s = 0
    yield desk_of(centre)
    await centre.parts["store"].close()


async def bearer(records: Records, name: str, *scopes: str, **more: Any) -> dict[str, str]:
    async with records.write() as connection:
        _, secret = await create_token(connection, name, scopes, **more)
    return {"Authorization": f"Bearer {secret}"}


async def test_strangers_readers_and_other_units(
    stranger: httpx.AsyncClient, records: Records, desk: ReportDesk
) -> None:
    report = (await desk.receive(DRAFT)).report
    paths = [("GET", URL), ("GET", f"{URL}/1"), ("GET", f"{URL}/services"), ("GET", f"{URL}/1/sender")]
    paths += [("GET", f"{URL}/1/photos/1"), ("POST", URL)]
    acts = (
        "accept",
        "start",
        "answer",
        "reject",
        "reopen",
        "duplicate",
        "comment",
        "edit",
        "incident",
        "link",
        "erase",
    )
    paths += [("POST", f"{URL}/1/{act}") for act in acts]
    for method, path in paths:
        assert (await stranger.request(method, path)).status_code == 401, path
    elsewhere = "28249" if report.commune != "28249" else "28270"
    other = await bearer(records, "xa-khac", "operate", unit=elsewhere)
    reader = await bearer(records, "chi-doc", "read")
    found = (await stranger.get(f"{URL}/1", headers=reader)).json()
    assert found["report"]["text"] == "Rác dưới cầu, gọi •••" and found["may"] == []
    assert found["sender"]["phone"] == "•••••••678" and "nguoi-gui" not in str(found)
    assert (await stranger.get(f"{URL}/1/sender", headers=reader)).status_code == 403
    assert (await stranger.post(f"{URL}/1/accept", headers=reader)).status_code == 403
    listed = await stranger.get(URL, headers=other)
    assert listed.status_code == 200 and listed.json()["total"] == 0, listed.text
    for method, path in paths:
        if path not in (URL, f"{URL}/services"):
            body = {"json": {"of": 1, "incident": 1, "comment": "x"}} if path.endswith(("duplicate",)) else {}
            answer = await stranger.request(method, path, headers=other, **body)
            assert answer.status_code in (400, 404), (path, answer.text)


async def test_moderation_over_the_api(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, records: Records, desk: ReportDesk
) -> None:
    await desk.receive(DRAFT)
    operator = await bearer(records, "truc-ban", "operate")
    whole = (await stranger.get(f"{URL}/1", headers=operator)).json()
    assert whole["report"]["text"] == DRAFT.text and "accept" in whole["may"] and "sender" in whole["may"]
    shown = (await stranger.get(f"{URL}/1/sender", headers=operator)).json()
    assert shown["email"] == "nguoi-gui@example.vn" and shown["receipt"]
    async with records.read() as connection:
        kept = (await connection.execute(sa.select(audit.c.who, audit.c.action, audit.c.object))).all()
    assert ("truc-ban", "personal.read", "report:1") in [tuple(row) for row in kept]
    done = await stranger.post(f"{URL}/1/accept", headers=operator, json={"version": 1})
    assert done.status_code == 200 and done.json()["by"] == "truc-ban"
    late = await stranger.post(f"{URL}/1/reject", headers=operator, json={"version": 1, "comment": "x"})
    assert late.status_code == 409 and "accept by truc-ban" in late.json()["error"]["message"]
    opened = await stranger.post(f"{URL}/1/incident", headers=operator, json={"severity": 3})
    assert opened.status_code == 200, opened.text
    assert (await client.get(f"/api/v1/incidents/{opened.json()['incident']}")).json()["incident"]["severity"] == 3
    assert (await stranger.post(f"{URL}/1/incident", headers=operator)).status_code == 409
    for act, body, status in (
        ("start", {}, 200),
        ("answer", {}, 400),
        ("answer", {"comment": "Đã dọn."}, 200),
        ("start", {}, 409),
        ("edit", {"unit": "no-such"}, 400),
        ("edit", {"unit": "so-xay-dung"}, 200),
        ("explode", {}, 400),
        ("comment", {"comment": "a", "publik": True}, 400),
    ):
        answer = await stranger.post(f"{URL}/1/{act}", headers=operator, json=body)
        assert answer.status_code == status, (act, answer.text)
    told = {"service": "khac", "text": "Gọi điện báo", "commune": "28249", "name": "Người gọi", "accept": True}
    made = (await client.post(URL, json=told)).json()
    assert made["report"]["state"] == "accepted" and made["report"]["source"] == "desk" and made["receipt"]
    assert (await client.get(URL, params={"state": "accepted"})).json()["total"] == 1
    assert (await client.get(URL, params={"state": "angry"})).status_code == 400
    assert (await client.post(f"{URL}/2/erase")).json() == {"erased": True}
    assert (await client.get(f"{URL}/2")).json()["sender"] is None


# The public pages, as a browser without scripts has them.


def hidden(page: str) -> dict[str, str]:
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    one, two = re.search(r"(\d) (?:cộng|plus) (\d)", page).groups()  # type: ignore[union-attr]
    return {**fields, "sum": str(int(one) + int(two))}


async def opened(stranger: httpx.AsyncClient, code: str = "rac-thai") -> dict[str, str]:
    answer = await stranger.get(f"/reports/new/{code}")
    assert answer.status_code == 200
    return hidden(answer.text)


def picture() -> bytes:
    buffer = io.BytesIO()
    image = Image.new("RGB", (40, 30), (10, 200, 90))
    exif = image.getexif()
    exif.get_ifd(0x8825).update({1: "N", 2: (10.0, 27.0, 0.0), 3: "E", 4: (105.0, 38.0, 0.0)})
    image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


async def test_a_report_with_a_photo_is_sent_followed_rated_and_erased_without_scripts(
    stranger: httpx.AsyncClient, desk: ReportDesk, records: Records
) -> None:
    assert "Rác thải" in (await stranger.get("/reports")).text
    fields = await opened(stranger)
    sent = {**fields, "commune": "28249", "text": "Rác <b>trước</b> cổng chợ", "email": "nguoi-gui@example.vn"}
    files = [("photo", ("anh.jpg", picture(), "image/jpeg"))]
    answer = await stranger.post("/reports", data=sent, files=files)
    assert answer.status_code == 303, answer.text
    again = await stranger.post("/reports", data=sent, files=files)
    assert again.headers["location"] == answer.headers["location"] and (await desk.list()).total == 1
    where = answer.headers["location"].partition("?")[0]
    page = (await stranger.get(answer.headers["location"])).text
    assert where.rpartition("/")[2] in page and "Rác &lt;b&gt;trước&lt;/b&gt; cổng chợ" in page
    [photo] = await desk.photos(1)
    shown = await stranger.get(f"{where}/photos/{photo.id}")
    assert shown.headers["content-type"] == "image/jpeg" and b"Exif" not in shown.content
    for path in (f"/reports/photos/{photo.id}", f"/reports/K7M2-9QXA-3FDT/photos/{photo.id}"):
        assert (await stranger.get(path)).status_code == 404
    assert (await stranger.post(f"{where}/rate", data={"satisfaction": "5"})).status_code == 422
    await desk.accept(1, "truc-ban", photos=[photo.id])
    assert (await stranger.get(f"/reports/photos/{photo.id}")).status_code == 200
    await desk.answer(1, "truc-ban", comment="Đã thu gom.")
    assert "Đã thu gom." in (await stranger.get(where)).text
    assert (await stranger.post(f"{where}/rate", data={})).status_code == 422
    assert (await stranger.post(f"{where}/rate", data={"satisfaction": "2", "opinion": "chậm"})).status_code == 303
    assert (await desk.get(1)).satisfaction == 2
    assert (await stranger.post(f"{where}/erase")).status_code == 303
    assert await desk.sender(1) is None and "đã được xóa" in (await stranger.get(where)).text


async def test_what_is_wrong_is_told_in_the_form_which_keeps_what_was_written(
    stranger: httpx.AsyncClient, desk: ReportDesk
) -> None:
    for change, words_ in (
        ({"text": ""}, "Hãy viết nội dung"),
        ({"commune": ""}, "ở đâu trong tỉnh"),
        ({"lon": "0", "lat": "0"}, "ở đâu trong tỉnh"),
        ({"lon": "x", "lat": "y"}, "ở đâu trong tỉnh"),
        ({"email": "no"}, "thư điện tử chưa đúng"),
        ({"sum": "99"}, "phép cộng"),
        ({"token": "made-up"}, "mở quá lâu"),
        ({"website": "http://spam"}, "ô ẩn"),
        ({"commune": "99999"}, "trong danh sách"),
        ({"text": "x" * 4001}, "4.000"),
    ):
        fields = await opened(stranger)
        answer = await stranger.post(
            "/reports", data={**fields, "commune": "28249", "text": "giữ lại", **change}, files={"photo": ("", b"")}
        )
        assert answer.status_code == 422 and words_ in answer.text, (change, answer.status_code)
        assert "giữ lại" in answer.text or "text" in change
    fields = await opened(stranger, "duong-hu-hong")
    answer = await stranger.post("/reports?lang=en", data={**fields, "lang": "en", "commune": "28249", "text": "x"})
    assert answer.status_code == 422 and "missing or not right" in answer.text
    answer = await stranger.post(
        "/reports",
        data={**await opened(stranger), "commune": "28249", "text": "x"},
        files=[("photo", ("a.jpg", b"no picture at all", "image/jpeg"))],
    )
    assert answer.status_code == 422 and "Ảnh không nhận được" in answer.text
    assert (await stranger.post("/reports", json={})).status_code == 400
    for path in ("/reports/new/no-such", "/reports/find?code=xx", "/reports/K7M2-9QXA-3FDT", "/reports/static/../x"):
        assert (await stranger.get(path)).status_code == 404
    assert (await desk.list()).total == 0


async def test_one_address_cannot_flood_and_work_buys_more(
    stranger: httpx.AsyncClient, desk: ReportDesk, centre: Centre
) -> None:
    limits = centre.settings.reports
    limits.unproven_per_hour, limits.per_hour, limits.proof_bits = 1, 2, 6

    async def send(proof: bool) -> int:
        fields = await opened(stranger)
        if proof:
            number = next(n for n in range(100_000) if leading_zero_bits(fields["token"], str(n)) >= 6)
            fields |= {"proof": str(number), "sum": ""}
        files = {"photo": ("", b"")}
        answer = await stranger.post("/reports", data={**fields, "commune": "28249", "text": "x"}, files=files)
        return answer.status_code

    assert [await send(False), await send(False), await send(True), await send(True)] == [303, 429, 303, 429]
    assert (await desk.list()).total == 2


async def test_a_closed_form_and_a_body_too_large_are_told(
    stranger: httpx.AsyncClient, desk: ReportDesk, centre: Centre
) -> None:
    centre.settings.reports.photo_mib = 0.01
    fields = await opened(stranger)
    answer = await stranger.post("/reports", data=fields, files=[("photo", ("a.jpg", b"x" * (2 << 20), "image/jpeg"))])
    assert answer.status_code == 413 and "quá lớn" in answer.text
    centre.settings.reports.public = False
    assert (await stranger.get("/reports/new/khac")).status_code == 503
    assert "không nhận" in (await stranger.get("/reports")).text


def test_an_address_is_what_a_trusted_proxy_says() -> None:
    trusted = ["10.0.0.0/8"]
    assert network_of("203.0.113.9", "1.2.3.4", trusted) == "203.0.113.9"
    assert network_of("10.0.0.1", "6.6.6.6, 203.0.113.9", trusted) == "203.0.113.9"
    assert network_of("10.0.0.1", "203.0.113.9, 10.2.2.2", trusted) == "203.0.113.9"
    assert network_of("2001:db8::1:2", "", trusted) == "2001:db8::/64"
    assert network_of("10.0.0.1", "rubbish", trusted) == "rubbish"


def test_both_languages_say_the_same_things() -> None:
    gaps = {one: {key: set(re.findall(r"{(\w+)}", text)) for key, text in words(one).items()} for one in ("vi", "en")}
    assert gaps["vi"] == gaps["en"]


async def test_who_may_not_read_what_leads_to_people_cannot_search_for_it_nor_read_it_in_steps(
    stranger: httpx.AsyncClient, records: Records, desk: ReportDesk
) -> None:
    taken = await desk.receive(DRAFT)
    await desk.accept(taken.report.id, "truc-ban", public_text="Rác dưới cầu")
    await desk.answer(taken.report.id, "truc-ban", comment="Đã dọn")
    await desk.rate(taken.receipt, 2, "Gọi tôi 0912 345 678")
    reader, operator = await bearer(records, "doc", "read"), await bearer(records, "truc", "operate")
    for text, sees, knows in (("0912", 0, 1), ("dưới cầu", 1, 1)):
        for headers, total in ((reader, sees), (operator, knows)):
            answer = await stranger.get(URL, params={"text": text}, headers=headers)
            assert answer.json()["total"] == total, (text, headers)
    assert "345 678" not in (await stranger.get(f"{URL}/1", headers=reader)).text
    assert "345 678" in (await stranger.get(f"{URL}/1", headers=operator)).text


async def test_a_report_written_down_for_another_commune_is_accepted_there(
    stranger: httpx.AsyncClient, records: Records, desk: ReportDesk
) -> None:
    xa = await bearer(records, "xa", "operate", unit="28249")
    told = {"service": "rac-thai", "text": "Rác bên đường", "commune": "28270"}
    refused = await stranger.post(URL, json={**told, "accept": True}, headers=xa)
    assert refused.status_code == 403 and refused.json()["error"]["where"] == "accept"
    assert (await desk.list()).total == 0
    assert (await stranger.post(URL, json=told, headers=xa)).json()["report"]["state"] == "received"
    own = {**told, "commune": "28249", "accept": True}
    assert (await stranger.post(URL, json=own, headers=xa)).json()["report"]["state"] == "accepted"


async def test_a_key_of_one_unit_closes_no_report_of_another(
    stranger: httpx.AsyncClient, records: Records, desk: ReportDesk
) -> None:
    report = (await desk.receive(DRAFT)).report
    elsewhere = "28249" if report.commune != "28249" else "28270"
    path = "/open311/v2/servicerequestupdates.json"
    other = await bearer(records, "khac", "operate", "write", unit=elsewhere)
    whole = await bearer(records, "tinh", "operate", "write")
    for headers, status in ((other, 404), (whole, 200)):
        form = {"service_request_id": str(report.id), "status": "closed", "description": "xong"}
        answer = await stranger.post(path, data=form, headers=headers)
        assert answer.status_code == status, answer.text
