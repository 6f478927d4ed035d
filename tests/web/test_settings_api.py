"""The settings in force, over the API."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from thap.kernel.settings import Open311Settings, Settings, load_settings
from thap.kernel.settings_info import BY_UP, describe, origins
from thap.web.deps import Centre

URL = "/api/v1/settings"
MESSAGES = Path(__file__).parents[2] / "console" / "src" / "messages"


async def test_only_administrators_of_the_province_read_settings(
    stranger: httpx.AsyncClient, desk: Callable[..., Awaitable[httpx.AsyncClient]]
) -> None:
    assert (await stranger.get(URL)).status_code == 401
    assert (await (await desk("truc-ban", "operator")).get(URL)).status_code == 403
    assert (await (await desk("quan-tri-xa", "administrator", unit="29869")).get(URL)).status_code == 403
    assert (await (await desk("quan-tri", "administrator")).get(URL)).status_code == 200


async def test_every_setting_is_told_with_its_bounds(client: httpx.AsyncClient) -> None:
    body = (await client.get(URL)).json()
    found = {one["name"]: one for one in body["items"]}
    assert body["file"].endswith("thap.toml")
    assert found["journal.keep_hours"]["bounds"] == "≥ 24, ≤ 8,760"
    assert all(one["description"] for one in found.values())


async def test_no_secret_is_told(client: httpx.AsyncClient, centre: Centre) -> None:
    settings = centre.settings
    settings.notify.channels = {"email": SecretStr("mailto://a:bi-mat@smtp.example.org")}
    settings.records_url = "postgresql+asyncpg://thap:bi-mat@db/thap"
    settings.history.catalogue = "postgres:dbname=thap password=bi-mat host=db"
    settings.reports.endpoints = [Open311Settings(name="khac", url="https://khac.example", api_key="bi-mat")]
    answer = await client.get(URL)
    found: dict[str, Any] = {one["name"]: one["value"] for one in answer.json()["items"]}
    assert "bi-mat" not in answer.text
    assert found["notify.channels"] == {"email": "…"} and "db/thap" in found["records_url"]
    assert found["reports.endpoints"][0]["api_key"] == "…"


def test_where_a_setting_is_from(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (settings.data).mkdir(parents=True, exist_ok=True)
    (settings.data / "thap.toml").write_text('port = 9000\nlog_level = "error"\n[doors]\nfuture_s = 5\n')
    monkeypatch.setenv("THAP_LOG_FORMAT", "json")
    monkeypatch.setenv("THAP_PORT", "8207")
    monkeypatch.setenv("THAP_HOST", "127.0.0.1")
    monkeypatch.setenv(BY_UP, "THAP_PORT,THAP_HOST")
    found = origins(load_settings(settings.data))
    assert found["log_level"] == "file" and found["doors.future_s"] == "file"
    assert found["log_format"] == "environment"
    assert found["port"] == "command line" and found["host"] == "default"
    assert found["journal.keep_hours"] == "default"
    assert set(found) == {one.name for one in describe(settings)}


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_console_says_what_each_setting_is(language: str) -> None:
    said = json.loads((MESSAGES / language / "settings.json").read_text("utf-8"))
    names = {f"is.{one.name}" for one in describe(Settings.model_construct())}
    assert {key for key in said if key.startswith("is.")} == names
