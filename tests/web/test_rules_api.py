"""/api/v1/rules and /backtests on a real application."""

from __future__ import annotations

import asyncio

import httpx
import numpy as np
import pyarrow as pa
import pytest

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
    assert await asyncio.wait_for(heard.get(), 5) == "centre.live.rules"
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
    for wrong in (
        {"since": iso(START)},
        {"rules": ["nobody"], "since": iso(START)},
        {**asked, "since": "x"},
        {**asked, "since": asked["until"], "until": asked["since"]},
        {**asked, "rule": "x"},
    ):
        assert (await client.post("/api/v1/backtests", json=wrong)).status_code in (400, 404, 422)
