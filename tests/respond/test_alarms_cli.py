"""`thap alarms` against a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from thap.cli.app import build
from thap.cli.common import RunFile
from thap.detect.detector import Change
from thap.kernel.bus import Bus
from thap.kernel.errors import ThapError
from thap.kernel.nats import free_port
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.respond.book import AlarmBook
from thap.web.api.alarms import book_of
from thap.web.app import create_app
from thap.web.deps import Centre

MakeChange = Callable[..., Change]


@dataclass
class Running:
    book: AlarmBook
    settings: Settings

    async def thap(self, *words: str) -> Result:
        """What a person would type, in another thread: the server answers from this one."""
        line = ["alarms", *words, "--data", str(self.settings.data)]
        return await asyncio.to_thread(CliRunner().invoke, build(), line, env={"COLUMNS": "200"})

    async def json(self, *words: str) -> Any:
        result = await self.thap(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


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
    yield Running(book_of(centre), settings)
    server.should_exit = True
    await task
    await book_of(centre).close()


async def test_an_operator_works_through_the_list(running: Running, change: MakeChange) -> None:
    assert "No alarm." in (await running.thap("list")).output
    await running.book.apply(
        [
            change("raise", source="tram-1[a]/muc", value=1.93, severity=4, evidence={"limit": 1.8}, commune="30337"),
            change("raise", source="tram-2/muc"),
            change("raise", source="tram-3/muc"),
            change("clear", source="tram-3/muc", time=2_000_000),
        ]
    )
    listed = await running.thap("list")
    for words in ("tram-1[a]/muc", "critical", "returned unacknowledged"):
        assert words in listed.output
    assert [a["source"] for a in (await running.json("list", "--severity", "critical"))["items"]] == ["tram-1[a]/muc"]
    shown = await running.thap("show", "1")
    assert "limit 1.8" in shown.output and "30337" in shown.output and "raise" in shown.output
    one = await running.thap("ack", "1", "-m", "đang đến", "--version", "1")
    assert "unacknowledged → acknowledged" in one.output
    several = await running.thap("ack", "1", "2", "3")
    assert several.exit_code == 0 and "left: it is acknowledged already" in several.output
    assert (await running.thap("ack", "1", "2")).exit_code == 1
    assert "→ shelved" in (await running.thap("shelve", "2", "--for", "8h", "--reason", "sửa")).output
    assert len((await running.json("list"))["items"]) == 1
    everything = await running.thap("list", "--all", "--sort", "source")
    assert "shelved until" in everything.output and everything.output.count("tram-") == 3
    assert (await running.json("unshelve", "2"))["to_state"] == "unacknowledged"
    assert [t["by"] for t in (await running.json("show", "2"))["transitions"]] == ["local", "local", "local", ""]


async def test_a_list_goes_on_where_a_page_ended(running: Running, change: MakeChange) -> None:
    await running.book.apply([change("raise", source=f"s{i}/x") for i in range(5)])
    first = await running.thap("list", "--limit", "3")
    assert "5 in all" in first.output
    cursor = (await running.json("list", "--limit", "3"))["next"]
    assert len((await running.json("list", "--limit", "3", "--after", cursor))["items"]) == 2


async def test_figures_are_shown_with_their_limits(running: Running, change: MakeChange) -> None:
    await running.book.apply([change("raise", source=f"s{i}/x") for i in range(11)])
    told = await running.thap("figures", "--since", "2h")
    assert "11 alarms" in told.output and "worst 10 min" in told.output and "✗" in told.output
    assert (await running.json("figures", "--operators", "2"))["floods"] == []


async def test_refusals_say_what_to_do(running: Running, change: MakeChange) -> None:
    await running.book.apply([change("raise")])
    for words, told in (
        (("ack", "9"), "no alarm 9"),
        (("unshelve", "1"), "not shelved"),
        (("shelve", "1"), "until when"),
        (("list", "--severity", "bad"), "not a severity"),
        (("ack", "1", "2", "--version", "1"), "one alarm"),
        (("ack", "1", "--version", "5"), "version 5"),
    ):
        result = await running.thap(*words)
        assert isinstance(result.exception, ThapError) and told in str(result.exception), (words, result.output)
