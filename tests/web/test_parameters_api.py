"""/api/v1/domains/{domain}/parameters on a real application, and `thap parameters` against it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from thap.cli import parameters as command
from thap.cli.app import build
from thap.cli.common import api_json
from thap.kernel.audit import audit
from thap.kernel.errors import ThapError
from thap.web.deps import Centre

PATH = "/api/v1/domains/water/parameters"
SURGE = f"{PATH}/surge_m"


def body(value: float | None, version: int = 0, source: str = "QĐ 12/2026") -> dict[str, Any]:
    return {"value": value, "version": version, "source": source}


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("PUT", SURGE), ("GET", "/api/v1/parameters")])
async def test_a_stranger_sees_and_sets_nothing(stranger: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await stranger.request(method, path, json=body(1.0))).status_code == 401


async def test_each_role_reads_and_sets_what_is_theirs(desk: Any) -> None:
    expert = await desk("chuyen-vien-nuoc", "domain_expert", domain="water")
    other = await desk("chuyen-vien-lua", "domain_expert", domain="rice")
    local = await desk("chuyen-vien-xa", "domain_expert", unit="29869")
    operator = await desk("truc-ban", "operator")
    assert (await expert.get(PATH)).json()["writable"] is True
    assert (await operator.get(PATH)).json()["writable"] is False
    assert (await other.get(PATH)).status_code == 404
    assert [
        one["name"] for one in (await other.get("/api/v1/parameters")).json()["items"] if one["name"] == "water"
    ] == []
    assert (await local.get(PATH)).status_code == 200
    for person, status in ((operator, 403), (local, 403), (other, 404), (expert, 200)):
        assert (await person.put(SURGE, json=body(0.5))).status_code == status


async def test_a_value_holds_with_its_source_and_history_and_is_announced(
    client: httpx.AsyncClient, centre: Centre
) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(_subject: str, payload: bytes) -> None:
        heard.put_nowait(payload)

    await centre.bus.listen("centre.live.rules", hear)
    shipped = {one["name"]: one for one in (await client.get(PATH)).json()["items"]}["surge_m"]
    assert (shipped["version"], shipped["history"], shipped["confidence"]) == (0, [], "L")
    kept = (await client.put(SURGE, json=body(0.5))).json()
    assert (kept["value"], kept["source"], kept["confidence"], kept["version"]) == (0.5, "QĐ 12/2026", "H", 1)
    assert kept["shipped"] == shipped["value"]
    told = json.loads(await asyncio.wait_for(heard.get(), 10))
    assert told == {"parameter": "water.surge_m", "by": "local"}
    back = (await client.put(SURGE, json=body(None, 1, ""))).json()
    assert (back["value"], back["version"]) == (shipped["value"], 2)
    assert [(one["version"], one["value"]) for one in back["history"]] == [(2, None), (1, 0.5)]
    async with centre.records.read() as connection:
        rows = await connection.execute(sa.select(audit.c.action, audit.c.object, audit.c.detail).order_by(audit.c.id))
        noted = [(row.action, row.object, json.loads(row.detail)) for row in rows]
    assert [one[:2] for one in noted] == [("parameter.set", "parameter:water.surge_m")] * 2
    assert noted[0][2] == {"before": shipped["value"], "value": 0.5, "source": "QĐ 12/2026", "version": 1}


async def test_what_cannot_be_set_is_refused_with_the_reason(client: httpx.AsyncClient) -> None:
    for sent, status, words in (
        (body(99.0), 400, "between 0.1 and 3 m"),
        (body(0.5, source=" "), 400, "where it is from"),
        (body(0.5, version=3), 409, "look at it"),
        ({"value": 0.5}, 400, "version"),
        ({**body(0.5), "note": 1}, 400, "note"),
    ):
        answer = await client.put(SURGE, json=sent)
        assert answer.status_code == status, answer.text
        assert words in answer.text
    assert (await client.put(f"{PATH}/surge", json=body(0.5))).status_code == 404
    assert (await client.get("/api/v1/domains/forest/parameters")).status_code == 404
    assert {one["name"]: one for one in (await client.get(PATH)).json()["items"]}["surge_m"]["version"] == 0


async def test_the_command_lists_sets_and_tells_the_history(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()

    def call(method: str, path: str, _data: Any = None, **arguments: Any) -> Any:
        return api_json(asyncio.run_coroutine_threadsafe(client.request(method, path, **arguments), loop).result(20))

    monkeypatch.setattr(command, "call", call)

    async def thap(*words: str) -> Any:
        result = await asyncio.to_thread(CliRunner().invoke, build("parameters"), ["parameters", *words, "--json"])
        if isinstance(result.exception, ThapError):
            return result.exception
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)

    assert (await thap("history", "water"))["items"] == []
    kept = await thap("set", "water", "surge_m", "0,5", "--source", "QĐ 12/2026")
    assert (kept["value"], kept["version"]) == (0.5, 1)
    await thap("set", "water", "surge_m", "shipped")
    listed = {one["name"]: one for one in (await thap("list", "water"))["items"]}
    assert listed["surge_m"]["version"] == 2
    assert [one["value"] for one in (await thap("history", "water", "surge_m"))["items"]] == [None, 0.5]
    assert "there are" in str(await thap("set", "water", "surge", "1", "--source", "x"))
    assert "is no number" in str(await thap("set", "water", "surge_m", "viel", "--source", "x"))
    assert "between 0.1 and 3 m" in str(await thap("set", "water", "surge_m", "9", "--source", "x"))
    plain = await asyncio.to_thread(CliRunner().invoke, build("parameters"), ["parameters", "list", "water"])
    assert "surge_m" in plain.output and "g/l" in plain.output
