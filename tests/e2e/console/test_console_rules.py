"""The rules screen: a rule is written as a form, tried on the past, armed; opening rules; figures."""

from __future__ import annotations

import time
from typing import Any

from browsing import bars_nobody
from playwright.sync_api import Page, expect

LIMIT = 30_000


def fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_rule_is_written_tried_armed_and_its_versions_told(desk: Any, until: Any) -> None:
    stamp = time.time_ns()
    station, name = f"luat-{stamp}", f"test.luat_{stamp}"
    desk.station(station)
    desk.say(**{station.replace("-", "_"): 3.5})
    key = f"{station}/level"
    until(lambda: desk.api.get(f"/api/v1/datastreams?source={key}").json()["items"][0]["latest"])
    page = desk.open("/rules/new")
    page.set_default_timeout(LIMIT)
    page.locator("[data-field=name] input").fill(name)
    page.locator("[data-field='title.vi'] input").fill("Nước cao thử")
    page.locator("[data-field='title.en'] input").fill("High water, tried")
    page.locator("[data-field='select.datastream'] input").fill(key)
    page.locator("[data-field=above] input").fill("abc")
    expect(page.locator("[data-field=above] .error")).to_be_visible(timeout=LIMIT)
    page.locator("[data-field=above] input").fill("3.2")
    expect(page.locator(".ok")).to_be_visible(timeout=LIMIT)
    bars_nobody(page)
    page.get_by_role("button", name="Văn bản").click()
    text = page.locator("textarea")
    expect(text).to_have_value(f"""[[rule]]
name = "{name}"
kind = "threshold"
title = {{vi = "Nước cao thử", en = "High water, tried"}}
select = {{datastream = "{key}"}}
severity = "medium"
above = 3.2
""")
    text.fill(text.input_value().replace("above", "abvoe"))
    expect(page.locator(".problems")).to_contain_text("unknown field", timeout=LIMIT)
    expect(page.locator(".problems button")).to_have_text("7:1")
    text.fill(text.input_value().replace("abvoe = 3.2", "above = 3.2  # mét"))
    expect(page.locator(".ok")).to_be_visible(timeout=LIMIT)
    page.get_by_role("button", name="Biểu mẫu").click()
    expect(page.locator("[data-field=above] input")).to_have_value("3.2")
    page.get_by_role("button", name="Thử rồi bật").click()

    def tried() -> bool:  # the record is in history some seconds after it was taken
        page.get_by_role("button", name="Thử", exact=True).click()
        expect(page.locator(".figures")).to_be_visible(timeout=LIMIT)
        return page.locator(".figures dd").first.inner_text() == "1"

    until(tried, 60)
    bars_nobody(page)
    page.get_by_role("button", name="Lưu và bật").click()
    expect(page).to_have_url(f"{desk.http}/rules/{name}", timeout=LIMIT)
    page.get_by_role("tab", name="Các phiên bản").click()
    expect(page.locator("li.card")).to_contain_text("Bật sau khi thử: 1", timeout=LIMIT)
    bars_nobody(page)
    kept = desk.api.get(f"/api/v1/rules/{name}/history").json()["versions"]
    assert [(one["version"], one["enabled"], one["armed"]["backtest"]["alarms"]) for one in kept] == [(1, True, 1)]
    assert "# mét" in kept[0]["body"]


def test_arming_untried_asks_for_a_reason_that_is_kept(desk: Any) -> None:
    name = f"test.khong_thu_{time.time_ns()}"
    body = f"""[[rule]]
name = "{name}"
kind = "silence"
title = {{ vi = "Im", en = "Silent" }}
select = {{ thing = "khong-co-{name}" }}
no_data_for = "1h"
severity = "low"
"""
    desk.api.put(f"/api/v1/rules/{name}", json={"body": body, "enabled": False}).raise_for_status()
    page = desk.open(f"/rules/{name}", width=390, height=844)
    page.set_default_timeout(LIMIT)
    page.get_by_role("button", name="Bật không thử").click()
    page.fill("#confirm-reason", "lũ lên nhanh")
    page.get_by_role("alertdialog").get_by_role("button", name="Bật không thử").click()
    expect(page.locator(".head .pill")).to_have_text("có hiệu lực", timeout=LIMIT)
    fits(page)
    armed = desk.api.get(f"/api/v1/rules/{name}/history").json()["versions"][0]["armed"]
    assert armed == {"backtest": None, "reason": "lũ lên nhanh"}


def test_the_list_is_filtered_by_its_address_and_empty_says_so(desk: Any) -> None:
    page = desk.open("/rules?q=nuoc%20cao&state=on")
    expect(page.get_by_role("row").filter(has_text="test.high_water")).to_be_visible(timeout=LIMIT)
    bars_nobody(page)
    page.fill("[data-filter]", "không có luật này")
    expect(page.locator(".empty")).to_contain_text("Không có luật nào khớp")


def test_an_opening_rule_is_refused_where_nobody_knows_a_name_then_kept(desk: Any) -> None:
    name = f"mo-{time.time_ns()}"
    page = desk.open("/rules/opening")
    page.set_default_timeout(LIMIT)
    page.get_by_role("button", name="Luật mở mới").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Tên", exact=True).fill(name)
    dialog.get_by_label("Tên luật báo động").fill("test.hihg_water")
    expect(dialog).to_contain_text("did you mean 'test.high_water'", timeout=LIMIT)
    dialog.get_by_label("Tên luật báo động").fill("cap.warning")
    dialog.get_by_role("button", name="Thử", exact=True).click()
    expect(dialog).to_contain_text("Sẽ mở 0 vụ việc", timeout=LIMIT)
    bars_nobody(page)
    dialog.get_by_role("button", name="Lưu").click()
    expect(page.locator("li.card").filter(has_text=name)).to_be_visible(timeout=LIMIT)
    bars_nobody(page)
    desk.api.delete(f"/api/v1/opening-rules/{name}").raise_for_status()


def test_figures_open_to_their_alarms_and_fit_a_phone(desk: Any) -> None:
    page = desk.open("/rules/figures", width=390, height=844)
    expect(page.get_by_role("heading", name="Nhiều nhất")).to_be_visible(timeout=LIMIT)
    fits(page)
    bars_nobody(page)


def test_who_may_only_look_is_offered_no_change(desk: Any) -> None:
    login = f"xem-{time.time_ns()}"
    desk.person(login, "operator")
    page = desk.open("/rules", login=login)
    expect(page.get_by_role("row").filter(has_text="test.high_water")).to_be_visible(timeout=LIMIT)
    expect(page.get_by_role("link", name="Luật mới")).to_have_count(0)
