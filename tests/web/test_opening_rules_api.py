"""/api/v1/opening-rules on a real application."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from thap.detect.detector import Action, Change, Severity
from thap.kernel.clock import HOUR_US, now_us
from thap.respond.book import AlarmBook
from thap.web.deps import Centre

BODY = """[[rule]]
name = "song-cao"
domains = ["water"]
conditions = ["system.*"]
severity = 2
window = "3h"
title = { vi = "Nước: {what}", en = "Water: {what}" }
"""


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/a"), ("PUT", "/a"), ("DELETE", "/a"), ("POST", "/check"), ("POST", "/test")],
)
async def test_a_stranger_sees_and_changes_nothing(stranger: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await stranger.request(method, f"/api/v1/opening-rules{path}", json={})).status_code == 401


async def test_somebody_of_one_unit_or_without_the_right_changes_nothing(desk: Any) -> None:
    expert = await desk("chuyen-vien-xa", "domain_expert", unit="29869")
    operator = await desk("truc-ban", "operator")
    for person in (expert, operator):
        assert (await person.put("/api/v1/opening-rules/song-cao", json={"body": BODY})).status_code == 403
        assert (await person.delete("/api/v1/opening-rules/serious")).status_code == 403
    whole = await desk("chuyen-vien", "domain_expert")
    assert (await whole.put("/api/v1/opening-rules/song-cao", json={"body": BODY})).status_code == 200


async def test_a_rule_is_kept_before_those_of_the_program_and_taken_out_again(client: httpx.AsyncClient) -> None:
    made = await client.put("/api/v1/opening-rules/song-cao", json={"body": BODY, "version": 0})
    assert (made.status_code, made.json()) == (200, {"name": "song-cao", "version": 1, "enabled": True})
    assert (await client.put("/api/v1/opening-rules/song-cao", json={"body": BODY, "version": 0})).status_code == 409
    listed = (await client.get("/api/v1/opening-rules")).json()
    assert (listed["rules"][0]["rule"]["name"], listed["rules"][0]["origin"]) == ("song-cao", "records")
    assert "serious" in [one["rule"]["name"] for one in listed["rules"] if one["origin"] == "program"]
    assert listed["problems"] == []
    stronger = listed["rules"][-1]["rule"] | {"severity": 4}
    assert (await client.put("/api/v1/opening-rules/serious", json={"rule": stronger})).status_code == 200
    one = (await client.get("/api/v1/opening-rules/serious")).json()
    assert (one["rule"]["severity"], one["origin"], one["replaces"]) == (4, "records", True)
    gone = await client.delete("/api/v1/opening-rules/serious")
    assert gone.json() == {"name": "serious", "stands": "program"}
    assert (await client.get("/api/v1/opening-rules/serious")).json()["rule"]["severity"] == 3
    assert (await client.delete("/api/v1/opening-rules/serious")).status_code == 404
    assert (await client.get("/api/v1/opening-rules/nobody")).status_code == 404


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "words"),
    [
        ('"water"', '"watr"', 3, "domains.0", "did you mean 'water'"),
        ('"system.*"', '"fire.smoke"', 4, "conditions.0", "write its alarm rule first"),
        ("severity = 2", "severity = 9", 5, "severity", "1 to 4"),
        ("severity = 2", "severety = 2", 5, "severety", "did you mean 'severity'"),
        ("severity = 2", 'severity = "x"', 5, "severity", "expected `int`"),
        ('"3h"', '"3 giờ"', 6, "window", ""),
        ("{what}", "{whom}", 7, "title", "{what}"),
        ('vi = "Nước: {what}", ', "", 7, "title.vi", "is needed"),
        ("severity = 2", "severity = ", 5, "", "TOML"),
    ],
)
async def test_a_mistake_comes_back_with_its_place(
    client: httpx.AsyncClient, old: str, new: str, line: int, field: str, words: str
) -> None:
    body = BODY.replace(old, new, 1)
    checked = (await client.post("/api/v1/opening-rules/check", json={"body": body})).json()
    (problem,) = checked["problems"]
    assert not checked["ok"]
    assert (problem["line"], problem["field"]) == (line, field)
    assert words in f"{problem['message']} {problem['hint']}"
    refused = await client.put("/api/v1/opening-rules/song-cao", json={"body": body})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_rule")


async def test_what_is_wrong_with_the_file_is_told(client: httpx.AsyncClient, centre: Centre) -> None:
    (centre.settings.data / "opening.toml").write_text(BODY.replace("water", "watr").replace("song-cao", "tep"))
    listed = (await client.get("/api/v1/opening-rules")).json()
    assert (listed["rules"][0]["rule"]["name"], listed["rules"][0]["origin"]) == ("tep", "file")
    assert [problem["field"] for problem in listed["problems"]] == ["domains.0"]


async def test_a_trial_tells_which_incidents_would_have_been_opened(client: httpx.AsyncClient, centre: Centre) -> None:
    now = now_us()
    changes = [
        Change(source, "water.high", Action.RAISE, Severity.MEDIUM, now - age * HOUR_US, 0, domain="water")
        for source, age in (("tram-1", 10), ("tram-2", 9), ("tram-3", 1))
    ]
    await AlarmBook(centre.records).apply(changes)
    rule = {
        "name": "nuoc",
        "conditions": ["water.high"],
        "severity": 2,
        "place": "province",
        "title": {"vi": "{what}", "en": "{what}"},
    }
    said = (await client.post("/api/v1/opening-rules/test", json={"rule": rule})).json()
    assert (said["count"], said["now"], said["then"], said["unopened"]) == (2, 0, 2, 0)
    assert [one["sources"] for one in said["incidents"]] == [["tram-3"], ["tram-1", "tram-2"]]
    assert [len(one["alarms"]) for one in said["incidents"]] == [1, 2]
    none = (await client.post("/api/v1/opening-rules/test", json={})).json()
    assert (none["count"], none["unopened"], none["complete"]) == (0, 3, True)
    strict = (await client.post("/api/v1/opening-rules/test", json={"rule": rule | {"severity": 4}})).json()
    assert (strict["count"], strict["unopened"]) == (0, 3)
    for wrong in ({"rule": rule, "body": BODY}, {"rule": rule | {"window": "x"}}, {"since": "200d"}, {"since": "x"}):
        assert (await client.post("/api/v1/opening-rules/test", json=wrong)).status_code == 400


async def test_a_long_text_is_checked_in_a_time_that_grows_with_its_length(client: httpx.AsyncClient) -> None:
    def text(count: int) -> str:
        return "\n".join(BODY.replace("song-cao", f"song-{n}") for n in range(count))

    assert len(text(1200)) < 256 * 1024
    began = time.monotonic()
    checked = (await client.post("/api/v1/opening-rules/check", json={"body": text(1200)})).json()
    assert checked["ok"] and len(checked["rules"]) == 1200
    assert time.monotonic() - began < 20  # the text read once for each rule takes minutes
    wrong = text(1200).replace("water", "watr")
    told = (await client.post("/api/v1/opening-rules/check", json={"body": wrong})).json()
    assert not told["ok"] and len(told["problems"]) == 200


@pytest.mark.parametrize("body", [{"body": "#" * 262_145}, {"rule": {"name": "a" * 262_145}}])
async def test_a_text_that_is_too_large_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.post("/api/v1/opening-rules/check", json=body)
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, next(iter(body)))
    assert "256 KiB" in answer.json()["error"]["message"]
