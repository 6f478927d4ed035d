"""The phone: tasks finished without a line are at the centre exactly once when it is back."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import pytest
from browsing import CUT, bars_nobody
from PIL import Image
from playwright.sync_api import BrowserContext, Page, Route, expect

from thap.kernel.units import communes

HERE = communes()[5]
PHONE = {"viewport": {"width": 390, "height": 844}, "locale": "vi-VN", "has_touch": True, "is_mobile": True}


expect.set_options(timeout=20_000)


def photo() -> dict[str, Any]:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2026:11:20 08:30:00"
    out = io.BytesIO()
    Image.effect_noise((2400, 1800), 40).convert("RGB").save(out, "JPEG", exif=exif, quality=95)
    return {"name": "IMG_1.jpg", "mimeType": "image/jpeg", "buffer": out.getvalue()}


@pytest.fixture
def official(desk: Any) -> str:
    login = f"can-bo-{time.time_ns()}"
    desk.person(login, "commune_official", unit=HERE.code)
    return login


@pytest.fixture
def tasks(desk: Any, official: str) -> tuple[int, list[int]]:
    """An incident in the commune, and two tasks of the official."""
    body = {
        "title": "Sạt lở bờ kênh",
        "domain": "water",
        "unit": HERE.code,
        "commune": HERE.code,
        "lon": 105.9,
        "lat": 10.4,
    }
    incident = desk.api.post("/api/v1/incidents", json=body).json()["incident"]["id"]
    made = []
    for title in ("Đến xem và chụp ảnh", "Dời hai hộ dân"):
        new = {"incident": incident, "title": title, "within": "4h", "clock": "round", "assignee": official}
        made.append(desk.api.post("/api/v1/tasks", json={**new, "role": "commune_official"}).json()["id"])
    return incident, made


def phone(desk: Any, login: str, path: str = "/tasks", **more: Any) -> Page:
    context = desk.browser.new_context(**{**PHONE, **more})
    page: Page = desk.open(path, login=login, context=context)
    return page


def works_offline(page: Page) -> None:
    page.wait_for_function("() => navigator.serviceWorker.controller !== null")


def offline(page: Page) -> BrowserContext:
    page.context.set_offline(True)
    page.wait_for_function("() => !navigator.onLine")
    return page.context


def whole(desk: Any, incident: int) -> dict[str, Any]:
    return dict(desk.api.get(f"/api/v1/incidents/{incident}").json())


def did(desk: Any, incident: int, action: str) -> list[dict[str, Any]]:
    return [event for event in whole(desk, incident)["events"] if event["action"] == action]


def seen_by(page: Page, happened: Callable[[], bool]) -> None:
    """Wait while the page's routes are served."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "did not happen in time"
        page.wait_for_timeout(100)


def state(desk: Any, task: int) -> str:
    return str(desk.api.get(f"/api/v1/tasks/{task}").json()["state"])


def test_tasks_finished_without_a_line_are_there_once_when_it_is_back(
    desk: Any, official: str, tasks: tuple[int, list[int]], until: Callable[..., None]
) -> None:
    incident, (first, second) = tasks
    page = phone(
        desk, official, geolocation={"longitude": 105.91, "latitude": 10.41, "accuracy": 9}, permissions=["geolocation"]
    )
    expect(page.locator("a.task")).to_have_count(2)
    bars_nobody(page)
    works_offline(page)
    context = offline(page)
    page.reload()  # the page comes from the service worker, the tasks from the device
    expect(page.locator("a.task")).to_have_count(2)
    expect(page.locator(".stale").first).to_contain_text("bản lưu trong máy")
    page.get_by_text("Đến xem và chụp ảnh").click()
    page.locator("input[type=file]").set_input_files([photo()])
    expect(page.locator("article img")).to_have_count(1)
    page.get_by_role("button", name="Gắn vị trí của tôi").click()
    expect(page.locator("article")).to_contain_text("sai số 9 m")
    page.fill("#task-comment", "Dài 20 m, còn lở tiếp")
    bars_nobody(page)
    page.get_by_role("button", name="Đã xong").click()
    expect(page).to_have_url(f"{desk.http}/tasks")
    page.get_by_text("Dời hai hộ dân").click()
    page.fill("#task-comment", "Đã dời")
    page.get_by_role("button", name="Đã xong").click()
    expect(page.locator("a.task .pill", has_text="chờ gửi")).to_have_count(2)
    page.goto(f"{desk.http}/tasks/outbox")  # the program was closed, and is opened again
    expect(page.locator("li.card")).to_have_count(3)
    bars_nobody(page)
    assert state(desk, first) == state(desk, second) == "open"
    context.set_offline(False)
    expect(page.locator("#content")).to_contain_text("Mọi thứ đã gửi xong", timeout=30_000)
    until(lambda: state(desk, first) == state(desk, second) == "done")
    done = {event["detail"]["task"]: event for event in did(desk, incident, "task_done")}
    assert len(did(desk, incident, "task_done")) == 2
    (link,) = [one for one in whole(desk, incident)["links"] if one["kind"] == "file"]
    assert done[first]["detail"]["evidence"] == [f"photo:{link['id']}"]
    assert done[first]["comment"] == "Dài 20 m, còn lở tiếp"
    assert done[first]["detail"]["position"]["accuracy_m"] == 9
    assert link["detail"]["taken"] == 1_795_138_200_000_000  # as the camera wrote it
    (kept,) = whole(desk, incident)["attachments"]
    assert (kept["width"], kept["height"]) == (1920, 1440)
    desk.provokes(page, *CUT)


def test_an_answer_that_is_lost_makes_nothing_twice(desk: Any, official: str, tasks: tuple[int, list[int]]) -> None:
    incident, (first, _) = tasks
    page = phone(desk, official, f"/tasks/{first}", service_workers="block")
    lost: list[str] = []

    def lose(route: Route) -> None:
        if route.request.url in lost:
            route.continue_()
            return
        lost.append(route.request.url)
        route.fetch()  # the centre does it; its answer never comes
        route.abort("connectionreset")

    page.route("**/attachments?**", lose)
    page.route("**/api/v1/tasks/*/done", lose)
    page.locator("input[type=file]").set_input_files([photo()])
    seen_by(page, lambda: len(lost) == 1)
    page.fill("#task-comment", "Xong")
    page.get_by_role("button", name="Đã xong").click()
    page.goto(f"{desk.http}/tasks/outbox")
    seen_by(page, lambda: len(lost) == 2)
    page.get_by_role("button", name="Gửi ngay").or_(page.get_by_text("Mọi thứ đã gửi xong")).first.click()
    expect(page.locator("#content")).to_contain_text("Mọi thứ đã gửi xong", timeout=40_000)
    assert len(did(desk, incident, "task_done")) == 1
    assert len([one for one in whole(desk, incident)["links"] if one["kind"] == "file"]) == 1
    desk.provokes(page, *CUT, "Service Worker registration blocked")


def test_a_task_that_others_closed_meanwhile_is_shown_with_the_words_kept(
    desk: Any, official: str, tasks: tuple[int, list[int]]
) -> None:
    incident, (first, _) = tasks
    page = phone(desk, official, f"/tasks/{first}")
    expect(page.locator("#task-comment")).to_be_visible()
    works_offline(page)
    context = offline(page)
    page.fill("#task-comment", "Tôi đã đến lúc 8 giờ")
    page.get_by_role("button", name="Đã xong").click()
    desk.api.post(f"/api/v1/tasks/{first}/done", json={"comment": "Tổ khác đã làm"}).raise_for_status()
    context.set_offline(False)
    page.locator("a[href='/tasks/outbox']").first.click()
    card = page.locator("li.card")
    expect(card).to_contain_text("đã thay đổi", timeout=30_000)
    expect(card).to_contain_text("Tôi đã đến lúc 8 giờ")
    expect(card).to_contain_text("Tổ khác đã làm")
    bars_nobody(page)
    card.get_by_role("button", name="Gửi thành ý kiến").click()
    expect(page.locator("#content")).to_contain_text("Mọi thứ đã gửi xong", timeout=20_000)
    assert [event["comment"] for event in did(desk, incident, "comment")] == ["Tôi đã đến lúc 8 giờ"]
    desk.provokes(page, *CUT, "status of 409")


def test_what_one_person_did_is_not_sent_as_anothers(desk: Any, official: str, tasks: tuple[int, list[int]]) -> None:
    incident, (first, _) = tasks
    other = f"{official}-b"
    desk.person(other, "commune_official", unit=HERE.code)
    page = phone(desk, official, f"/tasks/{first}", service_workers="block")
    page.route("**/api/v1/incidents/*/comment", lambda route: route.abort())
    page.fill("#task-comment", "của tôi")
    page.get_by_role("button", name="Gửi ý kiến").click()
    page.goto(f"{desk.http}/tasks/outbox")
    expect(page.locator("li.card")).to_have_count(1)
    page.unroute("**/api/v1/incidents/*/comment")
    body = {"login": other, "password": "mùa nước nổi về sớm"}
    assert page.request.post(f"{desk.http}/session", data=body, max_retries=2).ok
    page.goto(f"{desk.http}/tasks/outbox")
    expect(page.locator("#content")).to_contain_text("Mọi thứ đã gửi xong")
    body["login"] = official
    assert page.request.post(f"{desk.http}/session", data=body, max_retries=2).ok
    page.goto(f"{desk.http}/tasks")
    page.goto(f"{desk.http}/tasks/outbox")
    expect(page.locator("#content")).to_contain_text("Mọi thứ đã gửi xong", timeout=30_000)
    (said,) = did(desk, incident, "comment")
    assert (said["by"], said["comment"]) == (official, "của tôi")
    desk.provokes(page, *CUT, "status of 4", "Service Worker registration blocked")


@pytest.mark.parametrize("width", [390, 320])
def test_an_incident_is_opened_in_the_field_with_a_photo(
    desk: Any, official: str, width: int, until: Callable[..., None]
) -> None:
    page = phone(desk, official, "/tasks/new", viewport={"width": width, "height": 700})
    title = f"Cây đổ ngang đường {time.time_ns()}"
    page.fill("#new-title", title)
    page.locator("input[type=file]").set_input_files([photo()])
    expect(page.locator("form img")).to_have_count(1)
    bars_nobody(page)
    page.evaluate("document.documentElement.style.fontSize = '200%'")  # text at 200 %
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Gửi", exact=True).click()
    until(lambda: desk.api.get("/api/v1/incidents", params={"text": title}).json()["total"] == 1)
    number = desk.api.get("/api/v1/incidents", params={"text": title}).json()["items"][0]["id"]
    until(lambda: len(whole(desk, number)["attachments"]) == 1)
    assert whole(desk, number)["incident"]["unit"] == HERE.code


def test_who_has_nothing_to_do_is_told_so_and_who_only_reads_is_offered_nothing(
    desk: Any, tasks: tuple[int, list[int]]
) -> None:
    login = f"nguoi-xem-{time.time_ns()}"
    desk.person(login, "viewer", unit=HERE.code)
    page = desk.open("/tasks", login=login)
    expect(page.locator("#content")).to_contain_text("Bạn không có việc nào phải làm")
    bars_nobody(page)
    page.goto(f"{desk.http}/tasks/{tasks[1][0]}")
    expect(page.locator(".detail")).to_contain_text("Sạt lở bờ kênh")
    expect(page.get_by_role("button", name="Đã xong")).to_have_count(0)
