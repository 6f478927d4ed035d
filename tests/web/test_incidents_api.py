"""Incidents over HTTP: who sees them, who may do what, what was done meanwhile, and what is attached."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import sqlalchemy as sa
from PIL import Image

from thap.detect.detector import Action, Change, Severity
from thap.kernel.audit import audit
from thap.kernel.bus import Bus
from thap.kernel.clock import now_us
from thap.kernel.policy.limits import restrict
from thap.kernel.policy.people import clear
from thap.kernel.units import communes
from thap.respond.book import AlarmBook
from thap.respond.notify.records import notices
from thap.respond.records import alarms
from thap.web.deps import Centre, policy_of

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
PATH = "/api/v1/incidents"
_SEQ = itertools.count(1)
HERE, THERE = (commune.code for commune in communes()[:2])


async def opened(client: httpx.AsyncClient, title: str = "Cháy chợ", **more: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"title": title, "domain": "system", "commune": HERE, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["incident"])


async def listed(client: httpx.AsyncClient, **asked: Any) -> tuple[list[int], int]:
    answer = await client.get(PATH, params=asked)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return [one["id"] for one in body["items"]], body["total"]


def photo(*, place: bool = True) -> bytes:
    exif = Image.Exif()
    if place:
        exif.get_ifd(0x8825)[2] = (10.0, 21.0, 22.0)
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(out, "JPEG", exif=exif)
    return out.getvalue()


ROUTES = [
    ("GET", ""),
    ("POST", ""),
    ("GET", "/counts"),
    ("POST", "/duplicates"),
    ("GET", "/1"),
    ("PATCH", "/1"),
    ("GET", "/1/events"),
    ("GET", "/1/duplicates"),
    ("POST", "/1/links"),
    ("DELETE", "/1/links/1"),
    ("POST", "/1/attachments"),
    ("GET", "/1/attachments/1"),
    *(("POST", f"/1/{act}") for act in ("comment", "assign", "severity", "merge", "split", "acknowledge", "close")),
]
BODIES: dict[str, dict[str, Any]] = {
    "": {"title": "x", "unit": "82"},
    "/duplicates": {"title": "x"},
    "/1": {"title": "x"},
    "/1/links": {"kind": "page", "ref": "x"},
    "/1/comment": {"comment": "x"},
    "/1/assign": {"owner": ""},
    "/1/severity": {"severity": 4},
    "/1/merge": {"into": 2},
    "/1/split": {"links": [1]},
}


async def test_nobody_passes_without_a_credential(stranger: httpx.AsyncClient) -> None:
    for method, path in ROUTES:
        answer = await stranger.request(method, PATH + path, json=BODIES.get(path, {}))
        assert answer.status_code == 401, (method, path)


async def test_another_units_person_sees_nothing_of_it_and_is_told_it_does_not_exist(
    client: httpx.AsyncClient, desk: Desk
) -> None:
    one = await opened(client)
    await opened(client)
    await client.post(f"{PATH}/1/links", json={"kind": "page", "ref": "x"})
    other = await desk("xa-khac", "commune_official", unit=THERE)
    assert await listed(other) == ([], 0)
    assert (await other.get(f"{PATH}/counts")).json()["counts"] == {}
    assert (await other.post(f"{PATH}/duplicates", json={"title": one["title"]})).json()["items"] == []
    missing = (await other.get(f"{PATH}/99")).text.replace("99", "1")
    for method, path in ROUTES:
        if "/1" in path:
            answer = await other.request(method, PATH + path, json=BODIES.get(path, {}))
            assert answer.status_code == 404, (method, path, answer.text)
            assert answer.text == missing, (method, path)
    assert (await client.get(f"{PATH}/1")).json()["incident"]["version"] == one["version"]


async def test_an_official_sees_what_lies_in_the_commune_and_what_it_answers_for_and_totals_count_only_that(
    client: httpx.AsyncClient, desk: Desk
) -> None:
    official = await desk("xa", "commune_official", unit=HERE)
    lies = await opened(client)
    answers = await opened(client, commune=THERE, unit=HERE)
    await opened(client, commune=THERE)
    await opened(client, commune="")
    both = await opened(client, unit=HERE)
    assert await listed(official) == ([both["id"], answers["id"], lies["id"]], 3)
    assert (await listed(client))[1] == 5
    assert (await official.get(f"{PATH}/counts", params={"by": "unit"})).json()["counts"] == {HERE: 2, "": 1}


async def test_who_has_a_domain_sees_that_domain_alone(client: httpx.AsyncClient, desk: Desk) -> None:
    expert = await desk("chuyen-gia", "domain_expert", domain="sand")
    await opened(client)
    sand = await opened(client, domain="sand")
    assert await listed(expert) == ([sand["id"]], 1)


async def test_what_is_restricted_is_seen_by_the_cleared_alone_and_their_reading_is_noted(
    client: httpx.AsyncClient, desk: Desk, centre: Centre
) -> None:
    lead, cleared = await desk("truong-ca", "shift_lead"), await desk("lanh-dao", "leader")
    one = await opened(client, domain="traffic")
    async with centre.records.write() as connection:
        await restrict(connection, "domain", "traffic")
        await clear(connection, "lanh-dao", "domain", "traffic")
    policy_of(centre).changed()
    assert await listed(lead) == ([], 0)
    assert (await lead.get(f"{PATH}/{one['id']}")).status_code == 404
    assert await listed(cleared) == ([one["id"]], 1)
    assert (await cleared.get(f"{PATH}/{one['id']}")).status_code == 200
    async with centre.records.read() as connection:
        noted = (
            await connection.execute(
                sa.select(audit.c.who, audit.c.object).where(audit.c.action == "incident.read").order_by(audit.c.id)
            )
        ).all()
    assert [tuple(row) for row in noted] == [("lanh-dao", "incident:1"), ("lanh-dao", "incident:1")]


async def test_the_first_of_two_to_act_wins_and_the_second_is_told_what_changed_and_by_whom(
    client: httpx.AsyncClient, desk: Desk
) -> None:
    one = await opened(client)
    first, second = await desk("truc-1", "operator"), await desk("truc-2", "operator")
    body = {"version": one["version"], "comment": "đã nhận"}
    answers = [await first.post(f"{PATH}/1/acknowledge", json=body), await second.post(f"{PATH}/1/start", json=body)]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert "acknowledge by truc-1" in answers[1].json()["error"]["message"]
    assert answers[0].json()["by"] == "truc-1"


async def test_twenty_who_acknowledge_at_once_are_one_and_nineteen_who_came_late(client: httpx.AsyncClient) -> None:
    await opened(client)
    answers = await asyncio.gather(*(client.post(f"{PATH}/1/acknowledge", json={}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19


async def test_a_whole_life_is_done_kept_and_announced(client: httpx.AsyncClient, bus: Bus) -> None:
    heard: list[dict[str, Any]] = []

    async def hear(_subject: str, payload: bytes) -> None:
        heard.append(json.loads(payload))

    await bus.listen("centre.live.incident", hear)
    await opened(client)
    for action in ("acknowledge", "start", "wait", "resume", "resolve", "close"):
        assert (await client.post(f"{PATH}/1/{action}", json={"comment": action})).status_code == 200, action
    assert (await client.post(f"{PATH}/1/reopen", json={})).status_code == 400
    assert (await client.post(f"{PATH}/1/reopen", json={"comment": "lại cháy"})).status_code == 200
    body = (await client.get(f"{PATH}/1")).json()
    actions = [event["action"] for event in body["events"]]
    assert actions == ["reopen", "close", "resolve", "resume", "wait", "start", "acknowledge", "open"]
    assert body["incident"]["state"] == "open"
    assert body["total"] == 8
    page = (await client.get(f"{PATH}/1/events", params={"limit": 3})).json()
    older = (await client.get(f"{PATH}/1/events", params={"limit": 9, "before": page["next"]})).json()
    assert [event["action"] for event in page["items"] + older["items"]] == actions
    assert older["next"] is None
    for _ in range(100):
        if len(heard) >= 8:
            break
        await asyncio.sleep(0.02)
    assert [event["action"] for event in reversed(heard)] == actions
    assert heard[-1]["state"] == "open"


async def test_a_state_that_does_not_allow_it_is_said(client: httpx.AsyncClient) -> None:
    await opened(client)
    answer = await client.post(f"{PATH}/1/close", json={})
    assert answer.status_code == 409
    assert "resolved" in answer.json()["error"]["message"]


async def test_who_may_see_but_not_close_is_told_so(client: httpx.AsyncClient, desk: Desk) -> None:
    operator, viewer = await desk("truc", "operator"), await desk("khach", "viewer")
    await opened(client)
    assert (await viewer.post(f"{PATH}/1/acknowledge", json={})).status_code == 403
    assert (await operator.post(f"{PATH}/1/resolve", json={})).status_code == 200
    assert (await operator.post(f"{PATH}/1/close", json={})).status_code == 403
    assert (await operator.get(f"{PATH}/1")).json()["may"] == ["incident.work", "task.work"]


async def test_an_incident_is_opened_only_where_one_may(desk: Desk) -> None:
    official = await desk("xa", "commune_official", unit=HERE)
    assert (await opened(official))["unit"] == HERE
    answer = await official.post(PATH, json={"title": "x", "unit": THERE, "commune": THERE})
    assert answer.status_code == 403
    assert (await official.post(PATH, json={"title": "x", "unit": "so-khong-co"})).status_code == 400


async def test_the_commune_is_found_from_the_place(client: httpx.AsyncClient) -> None:
    place = communes()[5]
    one = await opened(client, commune="", lon=place.lon, lat=place.lat)
    assert len(one["commune"]) == 5


async def test_who_works_on_it_may_take_it_on_and_give_it_to_others_only_with_leave(
    client: httpx.AsyncClient, desk: Desk
) -> None:
    operator, lead = await desk("truc", "operator"), await desk("truong-ca", "shift_lead")
    await desk("xa-khac", "commune_official", unit=THERE)
    await opened(client)
    assert (await operator.post(f"{PATH}/1/assign", json={"owner": "truc"})).status_code == 200
    assert (await operator.post(f"{PATH}/1/assign", json={"owner": "truong-ca"})).status_code == 403
    assert (await lead.post(f"{PATH}/1/assign", json={"owner": "truong-ca"})).status_code == 200
    assert (await lead.post(f"{PATH}/1/assign", json={"owner": "xa-khac"})).status_code == 400
    assert (await lead.post(f"{PATH}/1/assign", json={"owner": "xa-khac", "unit": THERE})).status_code == 200
    assert (await lead.post(f"{PATH}/1/assign", json={})).status_code == 400
    assert (await client.get(PATH, params={"owner": "xa-khac", "unit": THERE})).json()["total"] == 1


async def test_a_comment_calls_who_may_see_it_and_says_who_may_not(
    client: httpx.AsyncClient, desk: Desk, centre: Centre
) -> None:
    await desk("truong-ca", "shift_lead")
    await desk("xa-khac", "commune_official", unit=THERE)
    await opened(client)
    answer = await client.post(f"{PATH}/1/comment", json={"comment": "nhờ @truong-ca, @xa-khac và @ai-do xem"})
    assert answer.json()["called"] == ["truong-ca"]
    assert answer.json()["unknown"] == ["xa-khac", "ai-do"]
    await client.post(f"{PATH}/1/acknowledge", json={"comment": "@truong-ca đã nhận"})
    async with centre.records.read() as connection:
        told = (await connection.execute(sa.select(notices.c.to_name, notices.c.template))).all()
    assert [tuple(row) for row in told] == [("truong-ca", "incident.mention")] * 2


async def test_evidence_is_linked_taken_away_and_its_having_been_there_is_kept(client: httpx.AsyncClient) -> None:
    await opened(client)
    link = {"kind": "track", "ref": "mmsi-574001234@1-2", "title": "vết tàu"}
    assert (await client.post(f"{PATH}/1/links", json=link)).status_code == 200
    assert (await client.post(f"{PATH}/1/links", json=link)).status_code == 409
    assert (await client.post(f"{PATH}/1/links", json={**link, "kind": "file"})).status_code == 400
    number = (await client.get(f"{PATH}/1")).json()["links"][0]["id"]
    assert (await client.delete(f"{PATH}/1/links/{number}", params={"comment": "nhầm"})).status_code == 200
    body = (await client.get(f"{PATH}/1")).json()
    assert body["links"] == []
    assert [event["action"] for event in body["events"]] == ["unlink", "link", "open"]


async def test_merging_and_splitting_keep_both_histories_and_take_leave_for_both(
    client: httpx.AsyncClient, desk: Desk
) -> None:
    official = await desk("xa", "commune_official", unit=HERE)
    await opened(client)
    await opened(client)
    await opened(client, commune=THERE)
    await client.post(f"{PATH}/1/links", json={"kind": "page", "ref": "a"})
    assert (await official.post(f"{PATH}/1/merge", json={"into": 3})).status_code == 404
    assert (await official.post(f"{PATH}/1/merge", json={"into": 1})).status_code == 400
    merged = (await official.post(f"{PATH}/1/merge", json={"into": 2, "comment": "một vụ"})).json()["events"]
    assert [(event["incident"], event["action"]) for event in merged] == [(1, "merge"), (2, "absorb")]
    whole = (await official.get(f"{PATH}/2")).json()
    page = next(link["id"] for link in whole["links"] if link["kind"] == "page")
    parted = (await official.post(f"{PATH}/2/split", json={"links": [page], "title": "vụ khác"})).json()["events"]
    assert [(event["incident"], event["action"]) for event in parted] == [(4, "open"), (2, "split")]
    assert (await client.get(f"{PATH}/4")).json()["incident"]["title"] == "vụ khác"
    assert (await client.get(f"{PATH}/1")).json()["incident"]["merged_into"] == 2


async def test_what_may_be_the_same_is_shown_when_it_is_opened_and_later(client: httpx.AsyncClient) -> None:
    place = {"lon": 105.6336, "lat": 10.4560}
    first = await opened(client, "Cháy ở chợ Cao Lãnh", **place)
    await opened(client, "Sạt lở bờ sông", domain="rice", lon=105.9, lat=10.3)
    answer = await client.post(PATH, json={"title": "Hoả hoạn chợ Cao Lãnh", "domain": "system", **place})
    assert [like["incident"]["id"] for like in answer.json()["duplicates"]] == [first["id"]]
    like = (await client.get(f"{PATH}/{first['id']}/duplicates")).json()["items"]
    assert [one["key"] for one in like] == [3]
    assert {"cho", "cao", "lanh"} <= set(like[0]["words"])
    assert like[0]["distance_m"] == 0


async def test_it_can_be_said_otherwise(client: httpx.AsyncClient) -> None:
    await opened(client, lon=105.6, lat=10.4)
    assert (
        await client.patch(f"{PATH}/1", json={"title": "Cháy nhà kho", "lon": None, "lat": None})
    ).status_code == 200
    one = (await client.get(f"{PATH}/1")).json()["incident"]
    assert (one["title"], one["lon"], one["domain"]) == ("Cháy nhà kho", None, "system")
    assert (await client.patch(f"{PATH}/1", json={"state": "closed"})).status_code == 400
    assert (await client.patch(f"{PATH}/1", json={})).status_code == 400
    assert (await client.post(f"{PATH}/1/severity", json={"severity": "critical"})).status_code == 200
    assert (await client.post(f"{PATH}/1/severity", json={"severity": 9})).status_code == 400


async def test_pages_follow_each_other_without_gap_or_double_while_others_are_opened(
    client: httpx.AsyncClient,
) -> None:
    numbers = [(await opened(client))["id"] for _ in range(7)]
    got: list[int] = []
    after = None
    while True:
        asked = {"limit": 3} | ({"after": after} if after else {})
        body = (await client.get(PATH, params=asked)).json()
        got += [one["id"] for one in body["items"]]
        after = body["next"]
        if after is None:
            break
        await opened(client)
    assert got == numbers[::-1]


async def test_every_order_shows_each_incident_once(client: httpx.AsyncClient, desk: Desk) -> None:
    official = await desk("xa", "commune_official", unit=HERE)
    for number in range(7):
        await opened(client, severity=number % 3 + 1, **({"unit": HERE} if number % 2 else {}))
    await client.post(f"{PATH}/3/resolve", json={})
    for sort in ("opened", "-changed", "-severity", "severity", "due", "-due", "-resolved"):
        column = sort.removeprefix("-")
        for who in (client, official):
            got: list[dict[str, Any]] = []
            after = ""
            while after is not None:
                asked = {"limit": 2, "sort": sort} | ({"after": after} if after else {})
                body = (await who.get(PATH, params=asked)).json()
                got += body["items"]
                after = body["next"]
            assert sorted(one["id"] for one in got) == [1, 2, 3, 4, 5, 6, 7], sort
            values = [one[column] for one in got if one[column] is not None]
            assert values == sorted(values, reverse=sort.startswith("-")), sort


async def test_a_filter_narrows_list_and_total(client: httpx.AsyncClient) -> None:
    await opened(client, "Cháy chợ")
    await opened(client, "cháy nhà", severity="high")
    await opened(client, "Đê sạt lở", domain="sand", commune=THERE)
    await client.post(f"{PATH}/1/acknowledge", json={})
    for asked, numbers in (
        ({"state": "acknowledged"}, [1]),
        ({"state": "open,acknowledged", "severity": "high"}, [2]),
        ({"domain": "sand"}, [3]),
        ({"text": "CHÁY"}, [2, 1]),
        ({"text": "đê"}, [3]),
        ({"text": "100%"}, []),
        ({"owner": "-"}, [3, 2, 1]),
        ({"origin": "alarm"}, []),
        ({"since": "1h"}, [3, 2, 1]),
        ({"until": "1h"}, []),
        ({"late": True}, []),
        ({"commune": THERE}, [3]),
    ):
        assert await listed(client, **asked) == (numbers, len(numbers)), asked  # type: ignore[arg-type]


async def test_what_cannot_be_asked_is_an_error_that_says_so(client: httpx.AsyncClient) -> None:
    for name, value in (
        ("state", "burning"),
        ("severity", "very"),
        ("after", "x"),
        ("after", "WyItb3BlbmVkIiwxXQ"),
        ("sort", "title"),
        ("limit", 0),
        ("since", "yesterday"),
    ):
        answer = await client.get(PATH, params={name: value})
        assert answer.status_code == 400, name
        assert answer.json()["error"]["message"]


async def test_a_file_is_attached_served_without_its_place_and_its_original_kept_for_those_who_work_on_it(
    client: httpx.AsyncClient, desk: Desk
) -> None:
    viewer, data = await desk("khach", "viewer"), photo()
    await opened(client)
    answer = await client.post(f"{PATH}/1/attachments", params={"name": "cầu.jpg"}, content=data)
    assert answer.status_code == 201, answer.text
    number = answer.json()["id"]
    got = await viewer.get(f"{PATH}/1/attachments/{number}")
    assert got.headers["content-type"] == "image/jpeg"
    assert got.headers["content-disposition"].startswith("attachment;")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert not dict(Image.open(io.BytesIO(got.content)).getexif().get_ifd(0x8825))
    assert (await viewer.get(f"{PATH}/1/attachments/{number}", params={"original": True})).status_code == 403
    assert (await client.get(f"{PATH}/1/attachments/{number}", params={"original": True})).content == data
    body = (await viewer.get(f"{PATH}/1")).json()
    assert [one["name"] for one in body["attachments"]] == ["cầu.jpg"]
    assert body["events"][0]["action"] == "link"


async def test_a_file_comes_as_a_form_too(client: httpx.AsyncClient) -> None:
    await opened(client)
    answer = await client.post(f"{PATH}/1/attachments", files={"file": ("ảnh.jpg", photo(), "text/html")})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["type"]) == ("ảnh.jpg", "image/jpeg")
    assert (await client.post(f"{PATH}/1/attachments", files={"other": ("x", b"x")})).status_code == 400
    assert (await client.post(f"{PATH}/1/attachments", data={"file": "x"})).status_code == 400


async def test_a_file_that_cannot_be_taken_leaves_no_trace(client: httpx.AsyncClient) -> None:
    await opened(client)
    for content in (b"", b"MZ" + bytes(100), b"<html><script>alert(1)</script></html>", photo()[:-40]):
        assert (await client.post(f"{PATH}/1/attachments", content=content)).status_code == 400
    assert (await client.get(f"{PATH}/1")).json()["total"] == 1


async def test_a_form_larger_than_allowed_is_refused_at_once(client: httpx.AsyncClient, centre: Centre) -> None:
    centre.settings.attachments.max_mib = 0.01
    await opened(client)
    assert (await client.post(f"{PATH}/1/attachments", files={"file": ("x", bytes(100_000))})).status_code == 400
    assert (await client.post(f"{PATH}/1/attachments", content=bytes(100_000))).status_code == 400


async def test_a_file_of_another_incident_is_not_given_out(client: httpx.AsyncClient) -> None:
    await opened(client)
    await opened(client)
    number = (await client.post(f"{PATH}/1/attachments", content=b"x\n")).json()["id"]
    assert (await client.get(f"{PATH}/2/attachments/{number}")).status_code == 404
    await client.post(f"{PATH}/1/merge", json={"into": 2})
    assert (await client.get(f"{PATH}/2/attachments/{number}")).status_code == 200


async def test_an_unknown_domain_and_a_place_outside_the_province_are_refused(client: httpx.AsyncClient) -> None:
    for wrong, where in (
        ({"domain": "watr", "commune": HERE}, "domain"),
        ({"domain": "water", "commune": "00001"}, "commune"),
        ({"domain": "water", "lon": 100.0, "lat": 21.0}, "lon"),
    ):
        answer = await client.post(PATH, json={"title": "Lở bờ", **wrong})
        assert (answer.status_code, answer.json()["error"]["where"]) == (400, where), answer.text
        assert answer.json()["error"]["hint"]
    number = (await opened(client))["id"]
    assert (await client.patch(f"{PATH}/{number}", json={"domain": "watr"})).status_code == 400
    names = [one["name"] for one in (await client.get("/api/v1/domains")).json()["items"]]
    assert {"water", "sand", "system"} <= set(names) and "watr" not in names


async def raised(centre: Centre, source: str, *, active: bool = True) -> int:
    book = AlarmBook(centre.records)
    said = Action.RAISE if active else Action.CLEAR
    change = Change(source, "test.high", said, Severity.HIGH, now_us(), next(_SEQ), domain="water", commune=HERE)
    await book.apply([change])
    async with centre.records.read() as connection:
        number = await connection.scalar(sa.select(alarms.c.id).where(alarms.c.source == source))
    await book.close()
    return int(number or 0)


async def test_its_alarms_are_acknowledged_with_it_where_that_is_asked(
    centre: Centre, client: httpx.AsyncClient, stranger: httpx.AsyncClient, desk: Desk
) -> None:
    alarm = await raised(centre, "tram-1")
    ask = {"kind": "alarm", "ref": str(alarm)}
    for with_alarms, state in ((False, "unacknowledged"), (True, "acknowledged")):
        number = (await opened(client))["id"]
        assert (await client.post(f"{PATH}/{number}/links", json=ask)).status_code == 200
        answer = await client.post(f"{PATH}/{number}/acknowledge", json={"alarms": with_alarms})
        assert answer.status_code == 200, answer.text
        linked = (await client.get(f"{PATH}/{number}/alarms")).json()
        assert [(one["id"], one["state"]) for one in linked["items"]] == [(alarm, state)]
        assert linked["quiet_since"] is None
    assert (await client.post(f"{PATH}/{number}/start", json={"alarms": True})).status_code == 400
    for path in (f"{PATH}/{number}/alarms", f"{PATH}/{number}/people", "/api/v1/domains"):
        assert (await stranger.get(path)).status_code == 401
    away = await desk("xa-khac", "operator", unit=THERE)
    assert (await away.get(f"{PATH}/{number}/alarms")).status_code == 404
    assert (await away.get(f"{PATH}/{number}/people")).status_code == 404


async def test_an_incident_whose_alarms_are_all_over_is_found(centre: Centre, client: httpx.AsyncClient) -> None:
    first, second = (await opened(client))["id"], (await opened(client))["id"]
    for number, source in ((first, "tram-1"), (first, "tram-2"), (second, "tram-1")):
        ask = {"kind": "alarm", "ref": str(await raised(centre, source))}
        assert (await client.post(f"{PATH}/{number}/links", json=ask)).status_code == 200
    assert await listed(client, cleared=True) == ([], 0)
    await raised(centre, "tram-1", active=False)
    assert await listed(client, cleared=True) == ([second], 1)
    assert (await client.get(f"{PATH}/{second}/alarms")).json()["quiet_since"] > 0
    assert (await client.get(f"{PATH}/{first}/alarms")).json()["quiet_since"] is None
    await raised(centre, "tram-2", active=False)
    assert await listed(client, cleared=True) == ([second, first], 2)


async def test_whom_a_comment_can_call_are_those_who_may_see_it(client: httpx.AsyncClient, desk: Desk) -> None:
    here = await desk("truc-ban", "operator", unit=HERE)
    await desk("xa-khac", "operator", unit=THERE)
    await desk("lanh-dao", "viewer")
    number = (await opened(client))["id"]
    found = (await here.get(f"{PATH}/{number}/people")).json()["items"]
    assert [(one["login"], one["work"]) for one in found] == [("lanh-dao", False), ("truc-ban", True)]
