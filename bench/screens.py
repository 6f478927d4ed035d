"""The screens of the console and of its public pages that there is something to show of, and how each is brought up."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from playwright.sync_api import Page

from thap.cli.common import RunFile

__all__ = ["Shot", "bring_up", "screens_of", "wait_for_alarms"]


@dataclass(frozen=True)
class Shot:
    """One screen: its name, its address, and what is done before the picture is taken."""

    name: str
    path: str
    do: Callable[[Page], Any] | None = None
    signed_in: bool = True


def _first(api: httpx.Client, path: str, field: str, **query: Any) -> str | None:
    """A field of the first of a list, None where the list is empty."""
    answer = api.get(path, params={"limit": 1, **query})
    items = answer.json().get("items", []) if answer.is_success else []
    return str(items[0][field]) if items else None


_TABLE = """Kinh tuyến trục 105°00′, múi chiếu 3°
Điểm\tX (m)\tY (m)
1\t1156554,26\t565898,69
2\t1156071,42\t566163,46
3\t1155588,57\t566427,28
4\t1155474,04\t566216,11
5\t1155955,90\t565951,29"""


def _corner_table(page: Page) -> None:
    page.locator("textarea").fill(_TABLE)
    page.locator("form button.primary").click()
    page.locator("main img").wait_for()


def _new_camera(page: Page) -> None:
    page.get_by_role("button", name=re.compile("Thêm camera|Add a camera")).first.click()
    page.get_by_role("dialog").wait_for()


def _week_of_surveys(page: Page) -> None:
    """Back, at most four weeks, to one of which there are surveys: below the sums each of them is listed."""
    for _ in range(4):
        if page.locator("main table").count() > 1:
            return
        page.get_by_role("button", name=re.compile("Tuần trước|Week before")).click()
        page.wait_for_timeout(1500)


def screens_of(api: httpx.Client) -> list[Shot]:
    """Every screen there is something to show of."""
    thing = _first(api, "/api/v1/things", "name", kind="station") or _first(api, "/api/v1/things", "name")
    mover = _first(api, "/api/v1/movers", "key")
    camera = _first(api, "/api/v1/cameras", "name")
    incident = _first(api, "/api/v1/incidents", "id", sort="-severity")
    task = _first(api, "/api/v1/tasks", "id")
    report = _first(api, "/api/v1/reports", "id")
    found = [
        Shot("sign-in", "/", signed_in=False),
        Shot("report-form", "/reports", signed_in=False),
        Shot("watch", "/", lambda page: page.keyboard.press("j")),
        Shot("map", "/map"),
        Shot("things", "/things"),
        Shot("cameras", "/cameras"),
        Shot("camera-wall", "/cameras/wall", lambda page: page.wait_for_timeout(4000)),
        Shot("camera-new", "/cameras", _new_camera),
        Shot("traffic-forecast", "/cameras/forecast"),
        Shot("replay", "/replay"),
        Shot("tasks", "/tasks"),
        Shot("incidents", "/incidents"),
        Shot("response", "/incidents/figures"),
        Shot("inbox", "/inbox"),
        Shot("duty", "/duty"),
        Shot("warnings", "/warnings"),
        Shot("warning-new", "/warnings/new"),
        Shot("rice", "/rice"),
        Shot("rice-surveys", "/rice?tab=surveys", _week_of_surveys),
        Shot("rice-crops", "/rice?tab=crops"),
        Shot("rice-survey", "/rice/survey"),
        Shot("indicators", "/indicators"),
        Shot("slides", "/indicators/show"),
        Shot("rules", "/rules"),
        Shot("rule-figures", "/rules/figures"),
        Shot("people", "/people"),
        Shot("units", "/people/units"),
        Shot("roles", "/people/roles"),
        Shot("tokens", "/tokens"),
        Shot("quarantine", "/quarantine"),
        Shot("dead-letters", "/dead-letters"),
        Shot("health", "/health"),
        Shot("audit", "/audit"),
        Shot("parameters", "/parameters"),
        Shot("water", "/water"),
        Shot("water-salinity", "/water/salinity"),
        Shot("water-air", "/water/air"),
        Shot("settings", "/settings"),
        Shot("start", "/start"),
        Shot("sand", "/sand"),
        Shot("sand-places", "/sand?tab=places"),
        Shot("sand-violations", "/sand?tab=violations"),
        Shot("sand-vessels", "/sand?tab=vessels"),
        Shot("sand-week", "/sand?tab=week"),
        Shot("sand-corners", "/sand/corners", _corner_table),
        Shot("sand-import", "/sand/import/licences"),
    ]
    licence = _first(api, "/api/v1/sand/licences", "key")
    violation = _first(api, "/api/v1/sand/violations", "id")
    trap = _first(api, "/api/v1/rice/traps", "name")
    advice = _first(api, "/api/v1/rice/advice", "id")
    bulletin = _first(api, "/api/v1/rice/bulletins", "id")
    for name, path, key in (
        ("rice-trap", "/rice/traps/{}", trap),
        ("rice-advice", "/rice/advice/{}", advice),
        ("rice-bulletin", "/rice/bulletins/{}", bulletin),
        ("thing", "/things/{}", thing),
        ("mover", "/movers/{}", mover),
        ("camera", "/cameras/{}", camera),
        ("camera-scene", "/cameras/{}/scene", camera),
        ("incident", "/incidents/{}", incident),
        ("task", "/tasks/{}", task),
        ("report", "/inbox/{}", report),
        ("sand-licence", "/sand/licences/{}", licence),
        ("sand-violation", "/sand/violations/{}", violation),
    ):
        if key:
            found.append(Shot(name, path.format(key)))
    stations = api.get("/api/v1/water/stations")
    ahead = [one for one in stations.json()["items"] if one["level_coming"]] if stations.is_success else []
    if ahead:
        best = next((one for one in ahead if one["salinity_coming"]), ahead[0])
        found.append(Shot("water-station", f"/water/stations/{best['thing']}"))
    rules = api.get("/api/v1/rules")
    if rules.is_success and rules.json()["rules"]:
        found.append(Shot("rule", f"/rules/{rules.json()['rules'][0]['name']}"))
    return found


def wait_for_alarms(run: RunFile, wanted: int = 4) -> None:
    """Until that many alarms are open, or ten minutes are over."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        answer = httpx.get(
            f"{run.http}/api/v1/alarms",
            headers={"Authorization": f"Bearer {run.token}"},
            params={"state": "unacknowledged", "limit": 100},
            trust_env=False,
        )
        if answer.is_success and answer.json()["total"] >= wanted:
            return
        time.sleep(2)
    raise SystemExit(f"fewer than {wanted} alarms were raised in ten minutes; is it a demo? `thap up --demo`")


def bring_up(page: Page, http: str, shot: Shot, language: str) -> None:
    """Open a screen and wait until it has read what it shows.

    Raises:
        playwright.sync_api.Error: it does not come, or goes on loading for a minute.
    """
    page.goto(http + shot.path + (f"?lang={language}" if shot.path == "/reports" else ""))
    page.wait_for_selector("h1")
    page.wait_for_selector("[aria-busy=true]", state="detached", timeout=60_000)
    page.wait_for_timeout(1500)  # what moves in has come to rest
    if shot.do:
        shot.do(page)
        page.wait_for_timeout(700)
