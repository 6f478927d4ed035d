"""`thap tasks`, `thap procedures` and `thap timers` against a real HTTP server."""

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
from thap.kernel.clock import HOUR_US, now_us
from thap.kernel.errors import NotFoundError, UnavailableError
from thap.kernel.nats import free_port
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import open_store
from thap.kernel.working_calendar import packaged_text
from thap.respond import timers
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.model import Draft
from thap.respond.procedures.follow import follow
from thap.respond.timers import Timer, Timers
from thap.web.app import create_app
from thap.web.deps import Centre


@dataclass
class Running:
    data: Path

    async def thap(self, *words: str) -> Result:
        """What a person would type, in another thread: the server answers from this one."""
        line = [*words, "--data", str(self.data)]
        return await asyncio.to_thread(CliRunner().invoke, build(words[0]), line, env={"COLUMNS": "220"})

    async def json(self, *words: str) -> Any:
        result = await self.thap(*words, "--json")
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)

    async def text(self, *words: str) -> str:
        result = await self.thap(*words)
        assert result.exit_code == 0, (result.output, result.exception)
        return " ".join(result.stdout.split())


@pytest.fixture
async def running(settings: Settings, records: Records, bus: Bus) -> AsyncIterator[Running]:
    port = free_port()
    app = create_app(Centre(settings, records, bus))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", ws="none"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    run = RunFile(os.getpid(), f"http://127.0.0.1:{port}", "", "", secrets.token_urlsafe(32))
    (settings.run_dir / "centre.json").write_text(json.dumps(asdict(run)))
    yield Running(settings.data)
    server.should_exit = True
    await task


async def test_tasks_from_the_first_to_the_last(running: Running, records: Records) -> None:
    assert await running.text("tasks", "list") == "No task."
    book = IncidentBook(records, followers=(follow,))
    number = (await book.open(Draft("Tàu hút cát", domain="sand", cause="sand.dredging_outside"), "truc-ban")).incident
    await book.close_store()
    listed = await running.text("tasks", "list")
    assert "Tiếp nhận vụ việc" in listed and "operator (province)" in listed and "min" in listed
    [first] = (await running.json("tasks", "list"))["items"]
    assert (await running.json("tasks", "assign", str(first["id"]), "--to", "truc-ban"))["assignee"] == "truc-ban"
    assert (await running.json("tasks", "done", str(first["id"]), "-m", "xong"))["state"] == "done"
    second = await running.thap("tasks", "done", str(first["id"]))
    assert second.exit_code == 1 and "it is done by local" in str(second.exception)
    [track] = (await running.json("tasks", "list"))["items"]
    wanting = await running.thap("tasks", "done", str(track["id"]))
    assert isinstance(wanting.exception, Exception) and "it wants attached: track" in str(wanting.exception)
    longer = await running.json("tasks", "extend", str(track["id"]), "2h", "-m", "chờ")
    assert longer["within"] == track["within"] + 2 * HOUR_US
    await running.json("tasks", "done", str(track["id"]), "--evidence", "track:7")
    assert (await running.json("tasks", "reopen", str(track["id"]), "-m", "nhầm tàu"))["state"] == "open"
    assert (await running.json("tasks", "skip", str(track["id"]), "-m", "trùng"))["state"] == "skipped"
    added = await running.json("tasks", "add", str(number), "Gọi xã bên", "--within", "4h")
    shown = await running.text("tasks", "show", str(added["id"]))
    assert "4.0 h of working hours" in shown and "added by local" in shown
    every = await running.json("tasks", "list", "--incident", str(number), "--all")
    assert len(every["items"]) == 8 and {one["state"] for one in every["items"]} == {
        *("done", "skipped", "open", "planned")
    }
    assert isinstance((await running.thap("tasks", "show", "999")).exception, NotFoundError)


async def test_procedures_are_shown_changed_and_put_back(running: Running, tmp_path: Path) -> None:
    listed = await running.text("procedures", "list")
    assert "general.critical" in listed and "sand.dredging_*" in listed and "any incident" in listed
    shown = await running.text("procedures", "show", "sand.dredging")
    assert "4h" in shown and "record, photo" in shown and "version 1" in shown and "thap.domains.sand" in shown
    file = tmp_path / "sand.toml"
    file.write_text((await running.json("procedures", "export", "sand.dredging"))["toml"])
    assert await running.text("procedures", "import", str(file)) == "1 say what they said before."
    file.write_text(file.read_text().replace("4h", "5h"))
    assert await running.text("procedures", "import", str(file), "--version", "1") == "sand.dredging: version 2"
    file.write_text(file.read_text().replace("5h", "6h"))
    late = await running.thap("procedures", "import", str(file), "--version", "1")
    assert late.exit_code == 1 and "newest version is 2" in str(late.exception)
    assert (await running.json("procedures", "show", "sand.dredging", "--version", "1"))["version"] == 1
    assert (await running.thap("procedures", "show", "sand.dredging", "--version", "9")).exit_code == 1
    year = await running.text("procedures", "calendar", "--year", "2026")
    assert "8 h a day, 40 h a week" in year and "2026-11-24" in year and "not all known" not in year
    assert "not all known" in await running.text("procedures", "calendar", "--year", "2031")
    calendar = tmp_path / "calendar.toml"
    calendar.write_text(packaged_text())
    assert await running.text("procedures", "calendar", "--import", str(calendar)) == (
        "In force; 0 deadlines lie elsewhere now."
    )


async def test_timers_are_told_with_or_without_a_running_centre(settings: Settings, records: Records) -> None:
    alone = Running(settings.data)
    assert (await alone.json("timers")) == {"pending": 0, "late": 0, "failed": 0, "timers": []}
    store, now = open_store(records), now_us()
    made = [Timer("task.due", "1", now + HOUR_US), Timer("warning.nothing", "2", now - HOUR_US)]
    await store.transact(lambda tx: timers.set(tx, made))
    told = await alone.text("timers")
    assert "2 wait, 1 are late, 0 could not be handled yet." in told and "late by 1.0 h" in told
    assert await Timers(records, store).fire() == 1
    [failed] = (await alone.json("timers", "--failed"))["timers"]
    assert failed["ref"] == "2" and "nothing handles timers" in failed["error"]
    assert [one["ref"] for one in (await alone.json("timers", "--kind", "task.due"))["timers"]] == ["1"]
    assert await alone.json("timers", "retry") == {"timers": [failed["id"]]}
    assert "None waits for that." in await alone.text("timers", "retry", "999")
    await store.close()


async def test_where_there_is_no_centre_it_says_so(tmp_path: Path) -> None:
    nowhere = Running(tmp_path / "nothing")
    for words in (("tasks", "list"), ("procedures", "list"), ("timers",)):
        assert isinstance((await nowhere.thap(*words)).exception, UnavailableError)
