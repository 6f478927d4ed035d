"""/api/v1/rules and /backtests on a real application."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from thap.detect.rules import KINDS
from thap.kernel.clock import HOUR_US, iso, parse_time_us
from thap.kernel.history import TABLES, Lake
from thap.observe.registry import register_datastreams
from thap.web.deps import Centre

RULE = """[[rule]]
name = "water.high"
kind = "threshold"
title = { vi = "Nước cao", en = "High water" }
select = { property = "water_level" }
above = 2.0
severity = "high"
"""
START = parse_time_us("2026-05-01T00:00:00Z")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/rules"),
        ("GET", "/rules/a"),
        ("PUT", "/rules/a"),
        ("POST", "/rules/a/enable"),
        ("POST", "/rules/a/disable"),
        ("GET", "/rules/a/history"),
        ("POST", "/rules/check"),
        ("POST", "/rules/write"),
        ("GET", "/rules/schema"),
        ("POST", "/backtests/run"),
        ("POST", "/backtests"),
    ],
)
async def test_a_stranger_sees_and_changes_nothing(stranger: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await stranger.request(method, f"/api/v1{path}", json={})).status_code == 401


async def test_a_rule_is_kept_announced_and_switched(client: httpx.AsyncClient, centre: Centre) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(subject: str, _payload: bytes) -> None:
        heard.put_nowait(subject)

    await centre.bus.listen("centre.live.rules", hear)
    await centre.bus.client.flush()
    made = await client.put("/api/v1/rules/water.high", json={"body": RULE, "version": 0})
    assert (made.status_code, made.json()["version"]) == (200, 1)
    assert await asyncio.wait_for(heard.get(), 30) == "centre.live.rules"
    again = await client.put("/api/v1/rules/water.high", json={"body": RULE, "version": 0})
    assert again.status_code == 409
    off = await client.post("/api/v1/rules/water.high/disable", json={"version": 1})
    assert (off.status_code, off.json()["enabled"]) == (200, False)
    rule = (await client.get("/api/v1/rules/water.high")).json()
    assert (rule["enabled"], rule["record"]["version"], rule["origin"]) == (False, 2, "records")
    assert rule["body"] == RULE
    assert [r["name"] for r in (await client.get("/api/v1/rules")).json()["rules"]] == ["water.high"]
    versions = (await client.get("/api/v1/rules/water.high/history")).json()["versions"]
    assert [v["version"] for v in versions] == [2, 1]


async def test_a_mistake_comes_back_with_line_and_column(client: httpx.AsyncClient) -> None:
    wrong = RULE.replace("above", "abvoe")
    refused = await client.put("/api/v1/rules/water.high", json={"body": wrong})
    assert refused.status_code == 400
    assert "rule:6:1" in refused.text
    checked = (await client.post("/api/v1/rules/check", json={"body": wrong + RULE.replace("high", "low", 1)})).json()
    assert not checked["ok"]
    assert [(p["line"], p["column"], p["field"]) for p in checked["problems"]] == [(6, 1, "abvoe")]
    assert [rule["sources"] for rule in checked["rules"]] == [0]


async def test_a_rule_keeps_the_name_of_its_address(client: httpx.AsyncClient) -> None:
    assert (await client.put("/api/v1/rules/other", json={"body": RULE})).status_code == 400
    assert (await client.get("/api/v1/rules/other")).status_code == 404
    assert (await client.post("/api/v1/rules/other/enable", json={})).status_code == 404
    assert (await client.get("/api/v1/rules/other/history")).status_code == 404


async def test_who_may_write_rules_in_a_part_only_changes_none(desk: Any) -> None:
    expert = await desk("chuyen-vien-nuoc", "domain_expert", domain="water")
    assert (await expert.put("/api/v1/rules/water.high", json={"body": RULE})).status_code == 403
    whole = await desk("chuyen-vien", "domain_expert")
    assert (await whole.put("/api/v1/rules/water.high", json={"body": RULE})).status_code == 200
    assert (await expert.post("/api/v1/rules/water.high/disable", json={})).status_code == 403
    assert (await expert.get("/api/v1/rules")).json()["rules"][0]["raised"] == {"day": 0, "month": 0}


async def test_every_field_of_every_kind_has_words_in_both_languages(client: httpx.AsyncClient) -> None:
    kinds = (await client.get("/api/v1/rules/schema")).json()["kinds"]
    assert set(kinds) == set(KINDS)

    def look(name: str, part: dict[str, Any]) -> None:
        assert part["x-title"]["vi"], name
        assert part["x-title"]["en"], name
        for inner in (part, part.get("items", {})):
            for field, one in inner.get("properties", {}).items():
                look(f"{name}.{field}", one)

    for kind, one in kinds.items():
        assert one["help"]["vi"]
        assert one["help"]["en"]
        assert set(one["schema"]["properties"]) == set(KINDS[kind].model_fields)
        for field, part in one["schema"]["properties"].items():
            look(f"{kind}.{field}", part)


async def test_a_form_is_written_into_the_text_and_comments_stay(client: httpx.AsyncClient) -> None:
    text = "# đã thống nhất với đài\n" + RULE.replace("above = 2.0", "above = 2.0  # mét")
    (table,) = (await client.post("/api/v1/rules/check", json={"body": text})).json()["tables"]
    table |= {"above": 2.5, "levels": [{"severity": "critical", "above": 3}], "severity": None}
    said = (await client.post("/api/v1/rules/write", json={"body": text, "rule": table})).json()
    assert said["body"].startswith("# đã thống nhất với đài")
    assert "above = 2.5  # mét" in said["body"]
    assert [problem["field"] for problem in said["problems"]] == ["severity"]
    assert said["tables"][0]["levels"] == [{"severity": "critical", "above": 3}]
    again = (await client.post("/api/v1/rules/write", json={"body": said["body"], "rule": said["tables"][0]})).json()
    assert again["body"] == said["body"]
    new = (await client.post("/api/v1/rules/write", json={"body": "", "rule": table | {"severity": "low"}})).json()
    assert (new["ok"], new["rules"][0]["name"]) == (True, "water.high")
    for wrong in ("[[rule", RULE + RULE.replace("high", "low", 1)):
        refused = await client.post("/api/v1/rules/write", json={"body": wrong, "rule": table})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_rule")


async def test_a_backtest_tells_the_alarms_a_rule_would_have_raised(client: httpx.AsyncClient, centre: Centre) -> None:
    async with centre.records.write() as connection:
        await register_datastreams(connection, [{"key": "tram/level", "property": "water_level"}])
    hours = np.arange(48)
    time = pa.array((START + hours * HOUR_US).view("datetime64[us]")).cast(pa.timestamp("us", "UTC"))
    lake = Lake.open(centre.settings)
    lake.append(
        {
            "observation": pa.table(
                {
                    "datastream": pa.array(np.ones(48, np.int32)),
                    "time": time,
                    "received": time,
                    "result": pa.array(np.where(hours % 24 == 5, 2.5, 1.0)),
                },
                schema=TABLES["observation"].schema,
            )
        },
        1,
    )
    lake.close()
    asked = {"body": RULE, "since": iso(START), "until": iso(START + 48 * HOUR_US)}
    report = (await client.post("/api/v1/backtests", json=asked)).json()
    assert (report["count"], report["rows"], report["per_rule"]) == (2, 48, {"water.high": 2})
    assert report["alarms"][0]["raised"] == iso(START + 5 * HOUR_US)
    await client.put("/api/v1/rules/water.high", json={"body": RULE})
    short = {"rules": ["water.high"], "since": iso(START), "limit": 1}
    named = (await client.post("/api/v1/backtests", json=short)).json()
    assert (named["count"], len(named["alarms"])) == (2, 1)
    lines = (await client.post("/api/v1/backtests/run", json=asked)).text.splitlines()
    assert "progress" in json.loads(lines[0])
    told = json.loads(lines[-1])["report"]
    assert (told["count"], told["really"]) == (2, [])
    empty = {**asked, "body": RULE.replace("water_level", "nothing")}
    assert "error" in json.loads((await client.post("/api/v1/backtests/run", json=empty)).text.splitlines()[-1])
    armed = (await client.get("/api/v1/rules/water.high/history")).json()["versions"][0]["armed"]
    assert (armed["backtest"]["alarms"], armed["backtest"]["by"]) == (2, "local")
    changed = RULE.replace("2.0", "2.2")
    await client.put("/api/v1/rules/water.high", json={"body": changed, "reason": "lũ lên nhanh"})
    untried = (await client.get("/api/v1/rules/water.high/history")).json()["versions"][0]["armed"]
    assert untried == {"backtest": None, "reason": "lũ lên nhanh"}
    await client.put("/api/v1/rules/water.high", json={"body": changed, "enabled": False})
    off = (await client.get("/api/v1/rules/water.high/history")).json()["versions"][0]
    assert (off["enabled"], off["armed"]) == (False, None)
    for wrong in (
        {"since": iso(START)},
        {"rules": ["nobody"], "since": iso(START)},
        {**asked, "since": "x"},
        {**asked, "since": asked["until"], "until": asked["since"]},
        {**asked, "rule": "x"},
    ):
        assert (await client.post("/api/v1/backtests", json=wrong)).status_code in (400, 404, 422)
