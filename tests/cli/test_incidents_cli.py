"""`thap incidents` against a real HTTP server."""

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
from typer.testing import CliRunner, Result

from thap.cli.app import build
from thap.cli.common import RunFile
from thap.kernel.bus import Bus
from thap.kernel.errors import ThapError
from thap.kernel.nats import free_port
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.web.app import create_app
from thap.web.deps import Centre
from thap.web.sight import store_of


@dataclass
class Running:
    settings: Settings

    async def thap(self, *words: str) -> Result:
        """What a person would type, in another thread: the server answers from this one."""
        line = ["incidents", *words, "--data", str(self.settings.data)]
        return await asyncio.to_thread(CliRunner().invoke, build("incidents"), line, env={"COLUMNS": "200"})

    async def json(self, *words: str) -> Any:
        result = await self.thap(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    async def says(self, *words: str) -> str:
        result = await self.thap(*words)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.output


@pytest.fixture
async def running(settings: Settings, records: Records, bus: Bus) -> AsyncIterator[Running]:
    centre = Centre(settings, records, bus)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(centre), port=port, log_level="error", ws="none"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    run = RunFile(os.getpid(), f"http://127.0.0.1:{port}", "", "", secrets.token_urlsafe(32))
    (settings.run_dir / "centre.json").write_text(json.dumps(asdict(run)))
    yield Running(settings)
    server.should_exit = True
    await task
    await store_of(centre).close()


async def test_an_incident_is_opened_worked_on_and_closed(running: Running) -> None:
    assert "No incident." in await running.says("list")
    said = await running.says("open", "Cháy chợ [A]", "--domain", "traffic", "--severity", "high", "-m", "Khói nhiều")
    assert "Cháy chợ [A]" in said
    assert "may be the same" in await running.says("open", "Cháy chợ A", "--domain", "traffic")
    for action, word in (
        ("acknowledge", "acknowledged"),
        ("start", "in progress"),
        ("wait", "waiting"),
        ("resume", "in progress"),
    ):
        assert f"→ {word}" in await running.says(action, "1", "-m", "x")
    assert "1  severity: in progress" in await running.says("severity", "1", "critical")
    assert (await running.json("show", "1"))["incident"]["severity"] == 4
    assert "@ai-do is nobody" in await running.says("comment", "1", "nhờ @ai-do")
    listed = await running.says("list")
    for words in ("Cháy chợ [A]", "critical", "in progress"):
        assert words in listed
    assert "merge" in await running.says("merge", "2", "1", "-m", "một vụ")
    assert "→ resolved" in await running.says("resolve", "1")
    closed = await running.says("close", "1")
    assert "→ closed" in closed and "ended undone: 2 " in closed
    assert "No incident." in await running.says("list")
    assert len((await running.json("list", "--all"))["items"]) == 2
    assert (await running.json("counts"))["counts"] == {"closed": 1, "merged": 1}
    assert "closed" in await running.says("counts")
    assert "→ open" in await running.says("reopen", "1", "-m", "lại cháy")
    shown = await running.says("show", "1")
    for words in ("Khói nhiều", "reopen", "lại cháy", "absorb"):
        assert words in shown


async def test_evidence_is_linked_attached_split_off_and_saved(running: Running, tmp_path: Path) -> None:
    await running.says("open", "Sạt lở", "--domain", "sand")
    await running.says("link", "1", "track", "mmsi-1@1-2", "--title", "vết tàu")
    await running.says("link", "1", "page", "trang")
    note = tmp_path / "ghi chú.txt"
    note.write_text("mực nước 1,52 m\n")
    assert "ghi chú.txt" in await running.says("attach", "1", str(note))
    body = await running.json("show", "1")
    file, links = body["attachments"][0]["id"], body["links"]
    saved = await running.json("download", "1", str(file), "-o", str(tmp_path / "saved"))
    assert saved["bytes"] == note.stat().st_size
    assert (tmp_path / "saved").read_bytes() == note.read_bytes()
    assert "unlink" in await running.says("unlink", "1", str(links[0]["id"]), "-m", "nhầm")
    assert "split" in await running.says("split", "1", str(links[1]["id"]), "--title", "vụ khác")
    assert (await running.json("show", "2"))["incident"]["title"] == "vụ khác"
    assert "vụ khác" in await running.says("show", "2")
    assert "None is like it." in await running.says("duplicates", "1")


async def test_refusals_say_what_to_do(running: Running, tmp_path: Path) -> None:
    await running.says("open", "Sạt lở")
    wrong = tmp_path / "x.exe"
    wrong.write_bytes(b"MZ" + bytes(100))
    for words, told in (
        (("acknowledge", "9"), "no incident 9"),
        (("close", "1"), "resolved"),
        (("reject", "1"), "reason"),
        (("acknowledge", "1", "--version", "7"), "version 7"),
        (("assign", "1"), "to which unit"),
        (("assign", "1", "--owner", "ai-do"), "nobody"),
        (("severity", "1", "bad"), "critical"),
        (("list", "--state", "burning"), "not a state"),
        (("merge", "1", "1"), "itself"),
        (("attach", "1", str(wrong)), "not taken"),
        (("download", "1", "5"), "no attachment 5"),
    ):
        result = await running.thap(*words)
        assert isinstance(result.exception, ThapError), (words, result.output, result.exception)
        assert told in str(result.exception), (words, str(result.exception))


async def test_opening_rules_are_checked_tried_kept_and_taken_out(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "opening.toml"
    rule = """[[rule]]
name = "canh-bao"
conditions = ["cap.*"]
severity = 2
title = { vi = "{what}", en = "{what}" }
"""
    file.write_text(rule.replace("cap.*", "cap.no_such"))
    wrong = await running.thap("rules", "check", str(file))
    assert wrong.exit_code == 1
    assert f"{file}:3" in wrong.output
    refused = await running.thap("rules", "put", str(file))
    assert isinstance(refused.exception, ThapError)
    file.write_text(rule)
    assert "1 sound rules, 0 mistakes" in await running.says("rules", "check", str(file))
    assert "0 incidents" in await running.says("rules", "test", str(file), "--since", "1d")
    assert "canh-bao: version 1" in await running.says("rules", "put", str(file))
    assert (await running.json("rules", "list"))["rules"][0]["rule"]["name"] == "canh-bao"
    assert "cap.*" in await running.says("rules", "show", "canh-bao")
    assert "removed canh-bao" in await running.says("rules", "remove", "canh-bao")
