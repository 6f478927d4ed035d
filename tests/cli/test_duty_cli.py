"""`thap duty` and `thap notices` against a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from thap.cli.app import build
from thap.cli.common import RunFile
from thap.kernel.bus import Bus
from thap.kernel.errors import ThapError
from thap.kernel.nats import free_port
from thap.kernel.policy import people as people_of
from thap.kernel.policy import seed
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.respond.incidents.model import Draft
from thap.web.api.incidents import incidents_of
from thap.web.app import create_app
from thap.web.deps import Centre

CHAIN = """
name = "thu"
title = "Thử"
severity = 2
[[steps]]
to = ["duty:$unit", "person:truc-ban"]
wait = "10m"
times = 2
"""


@dataclass
class Running:
    centre: Centre

    async def thap(self, *words: str) -> Result:
        """What a person would type, in another thread: the server answers from this one."""
        line = [*words, "--data", str(self.centre.settings.data)]
        return await asyncio.to_thread(CliRunner().invoke, build(words[0]), line, env={"COLUMNS": "220"})

    async def json(self, *words: str) -> Any:
        result = await self.thap(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
async def running(settings: Settings, records: Records, bus: Bus) -> AsyncIterator[Running]:
    settings.notify.channels = {"email": SecretStr("mailto://127.0.0.1:9/?to={address}")}
    centre = Centre(settings, records, bus)
    async with records.write() as connection:
        await seed(connection)
        for login in ("truc-ban", "truc-1", "truc-2", "truc-3", "truc-9"):
            await people_of.add_person(connection, login)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(centre), port=port, log_level="error", ws="none"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    run = RunFile(os.getpid(), f"http://127.0.0.1:{port}", "", "", secrets.token_urlsafe(32))
    (settings.run_dir / "centre.json").write_text(json.dumps(asdict(run)))
    yield Running(centre)
    server.should_exit = True
    await task


async def test_a_shift_lead_plans_duty(running: Running) -> None:
    for words, empty in (
        (("duty", "now"), "Nobody is on duty."),
        (("duty", "plan"), "Nobody is on duty in that time."),
        (("duty", "rotas"), "No rota."),
        (("duty", "handovers"), "No hand-over yet."),
        (("duty", "escalations"), "No chain."),
        (("duty", "suppress", "list"), "No suppression."),
        (("notices", "list"), "No notice."),
    ):
        assert empty in (await running.thap(*words)).output
    rota = ("duty", "rota", "truc", "--role", "operator", "--rule", "FREQ=DAILY", "--length", "24h", "--start")
    made = await running.json(*rota, "2026-01-01T00:00:00Z", "--turn", "truc-1,truc-2", "--turn", "truc-3")
    assert (made["version"], made["turns"]) == (1, [["truc-1", "truc-2"], ["truc-3"]])
    assert "truc-1, truc-2; truc-3" in (await running.thap("duty", "rotas")).output
    assert (await running.json("duty", "now"))["items"]
    instant = ("duty", "plan", "--since", "2026-03-01T08:00:10Z", "--until", "2026-03-01T08:00:20Z")
    assert "Nobody is on duty in that time." in (await running.thap(*instant)).output  # no rows of no length
    shift = await running.json("duty", "shift", "truc-9", "--rota", "truc", "--for", "2h")
    assert "truc-9" in (await running.thap("duty", "now")).output
    assert "taken back" in (await running.thap("duty", "unshift", str(shift["id"]))).output
    assert "truc-9" not in (await running.thap("duty", "now")).output
    note = await running.json("duty", "hand-over", "Trạm 3 [chập chờn]")
    assert "Trạm 3 [chập chờn]" in (await running.thap("duty", "handovers")).output
    refused = await running.thap("duty", "take-over", str(note["id"]))
    assert isinstance(refused.exception, ThapError) and "does not take over" in str(refused.exception)
    assert "has ended" in (await running.thap("duty", "end", "truc")).output
    for words in (("duty", "shift", "a"), ("duty", "end", "truc"), ("duty", "unshift", "99")):
        assert isinstance((await running.thap(*words)).exception, ThapError)


async def test_chains_are_put_from_a_file_and_watched(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "chain.toml"
    file.write_text(CHAIN)
    assert (await running.json("duty", "chain", "put", str(file)))["version"] == 1
    shown = (await running.thap("duty", "chains")).output
    assert "wait 10 min, 2 times" in shown and "khan-cap" in shown and "came with the program" in shown
    for text, words in (("name = 1", "a chain has a name"), ("x", "not valid TOML"), ("name = 'a'\ny = 1", "steps")):
        file.write_text(text)
        told = (await running.thap("duty", "chain", "put", str(file))).exception
        assert isinstance(told, ThapError) and words in str(told), told
    await incidents_of(running.centre).open(Draft("Sạt lở [bờ]", severity=2), "")
    assert "Sạt lở [bờ]" in (await running.thap("duty", "escalations")).output
    window = ("duty", "suppress", "add", "bảo trì", "--for", "2h", "--rule", "FREQ=WEEKLY;BYDAY=SU")
    made = await running.json(*window)
    assert "bảo trì" in (await running.thap("duty", "suppress", "list")).output
    assert "taken back" in (await running.thap("duty", "suppress", "remove", str(made["id"]))).output
    assert "is forgotten" in (await running.thap("duty", "chain", "delete", "thu")).output
    assert isinstance((await running.thap("duty", "chain", "delete", "thuong")).exception, ThapError)


async def test_notices_are_tested_shown_and_tried_again(running: Running) -> None:
    chosen = ("notices", "preferences", "truc-ban", "--channel", "email:truc-ban@example.org", "--quiet", "22:00-06:00")
    assert "quiet hours 22:00 to 06:00" in (await running.thap(*chosen)).output
    cleared = (await running.thap("notices", "preferences", "truc-ban", "--quiet", "-", "--channel", "-")).output
    assert "quiet hours none" in cleared and "No channel chosen" in cleared
    made = await running.json("notices", "test", "person:truc-ban")
    assert "waits" in (await running.thap("notices", "list")).output
    assert "No message yet." in (await running.thap("notices", "show", str(made["id"]))).output
    assert "Nothing of it failed" in (await running.thap("notices", "retry", str(made["id"]))).output
    for words in (
        ("test", "ai"),
        ("show", "99"),
        ("preferences", "khong-co"),
        ("preferences", "truc-ban", "--channel", "x"),
    ):
        assert isinstance((await running.thap("notices", *words)).exception, ThapError)
