"""`thap watch`, `thap doctor`, `thap settings`, `thap tokens`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from textual.widgets import DataTable, Static
from typer.testing import CliRunner, Result

from thap.cli.app import build
from thap.cli.checks import Check, examine
from thap.cli.feed import Feed
from thap.cli.settings import describe, markdown
from thap.cli.watch import Watch, spark
from thap.detect.detector import Action, Change, Severity
from thap.kernel.bus import Bus
from thap.kernel.clock import now_us
from thap.kernel.nats import NatsServer
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.respond.book import AlarmBook
from thap.web.app import create_app
from thap.web.deps import Centre

ROOT = Path(__file__).parents[2]


async def until(happened: Callable[[], Any], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.01)


def thap(*words: str) -> Result:
    return CliRunner().invoke(build(), list(words), catch_exceptions=True)


async def run_thap(*words: str) -> Result:
    """In a thread, for the centre it talks to lives in this one."""
    return await asyncio.to_thread(thap, *words)


class Serving:
    """The web application of a centre behind a socket, which can be taken away and given back."""

    def __init__(self, centre: Centre, token: str) -> None:
        self.centre, self.token = centre, token
        self.port = 0
        self.book = AlarmBook(centre.records)
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        app = create_app(self.centre)
        await self._stack.enter_async_context(app.router.lifespan_context(app))
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(64)
        self.port = listening.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_level="warning", loop="none", timeout_graceful_shutdown=1)
        )
        task = asyncio.create_task(server.serve(sockets=[listening]))
        await until(lambda: server.started)
        self.write_run_file()

        async def end() -> None:
            self.centre.parts["stream"].close()
            server.should_exit = True
            await task
            listening.close()

        self._stack.push_async_callback(end)

    async def stop(self) -> None:
        await self._stack.aclose()
        self._stack = contextlib.AsyncExitStack()

    def write_run_file(self) -> None:
        settings = self.centre.settings
        (settings.run_dir / "centre.json").write_text(
            json.dumps(
                {
                    "pid": os.getpid(),
                    "http": f"http://127.0.0.1:{self.port}",
                    "nats": "",
                    "mqtt": "",
                    "token": self.token,
                }
            )
        )

    async def change(self, source: str, action: Action = Action.RAISE) -> None:
        events = await self.book.apply([Change(source, "water.high", action, Severity.HIGH, now_us(), 0, value=2.5)])
        for event in events:
            await self.centre.bus.announce("centre.live.alarm", event)

    async def beat(self, role: str, **figures: Any) -> None:
        await self.centre.bus.announce(
            f"centre.stats.{role}",
            {
                "role": role,
                "pid": os.getpid(),
                "time_us": now_us(),
                "counters": {"http.accepted": 12, "ais.bad": 3},
                "stages": {role: {"seq": 5, "lag": 0, "rate": 10.0, "total": 100, **figures}},
            },
        )


@pytest.fixture
async def serving(settings: Settings, records: Records, bus: Bus) -> AsyncIterator[Serving]:
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    made = Serving(Centre(settings, records, bus), secrets.token_urlsafe(32))
    await made.start()
    yield made
    await made.stop()
    await made.book.close()


# ---- watch


def cells(app: Watch) -> list[list[str]]:
    table = app.query_one(DataTable)
    return [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]


def text(app: Watch, selector: str) -> str:
    return str(app.query_one(selector, Static).render())


async def test_the_view_follows_alarms_and_stages(serving: Serving) -> None:
    await serving.change("tram-01/level")
    app = Watch(Feed(serving.centre.settings.data))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: app.feed.streaming and app.feed.system)
        await serving.beat("gateway")
        await until(lambda: app.feed.system and app.feed.system["roles"])
        await serving.change("tram-02/level")
        await until(lambda: len(cells(app)) == 2)
        assert [row[3] for row in cells(app)] == ["tram-02/level", "tram-01/level"]
        assert "live" in text(app, "#status")
        assert "http 12" in text(app, "#overview") and "3 bad" in text(app, "#overview")
        await pilot.press("a")  # the cursor stays on the alarm it was on when another came above it
        await until(lambda: {row[3]: row[2] for row in cells(app)}["tram-01/level"] == "○ acknowledged")
        await serving.change("tram-02/level", Action.CLEAR)
        await until(lambda: {row[3]: row[2] for row in cells(app)}["tram-02/level"] == "◌ returned")
        await serving.change("tram-01/level", Action.CLEAR)
        await until(lambda: [row[3] for row in cells(app)] == ["tram-02/level"])


async def test_the_view_is_filtered_and_paused(serving: Serving) -> None:
    for number in range(3):
        await serving.change(f"tram-0{number}/level")
    app = Watch(Feed(serving.centre.settings.data))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: len(cells(app)) == 3)
        await pilot.press("slash", "T", "r", "a", "m", "-", "0", "1", "enter")
        await until(lambda: [row[3] for row in cells(app)] == ["tram-01/level"])
        assert "filter: Tram-01" in text(app, "#status")
        await pilot.press("escape", "slash", "z", "enter")
        await until(lambda: "fits the filter" in text(app, "#empty"))
        await pilot.press("escape")
        await until(lambda: len(cells(app)) == 3)
        await pilot.press("p")
        await serving.change("tram-09/level")
        await until(lambda: len(app.feed.alarms) == 4 and "paused" in text(app, "#status"))
        assert len(cells(app)) == 3
        await pilot.press("p")
        await until(lambda: len(cells(app)) == 4)


async def test_an_empty_centre_and_a_lost_one_are_told_apart(serving: Serving) -> None:
    app = Watch(Feed(serving.centre.settings.data))
    async with app.run_test(size=(80, 24)):
        await until(lambda: "No open alarms" in text(app, "#empty") and "live" in text(app, "#status"))
        await serving.stop()
        await until(lambda: "not connected" in text(app, "#status"), 15)
        await serving.change("tram-01/level")
        await serving.start()
        await until(lambda: "live" in text(app, "#status") and len(cells(app)) == 1, 15)


async def test_the_view_is_printed_once_for_scripts(serving: Serving) -> None:
    await serving.change("tram-01/level")
    data = str(serving.centre.settings.data)
    answer = await run_thap("watch", "--once", "--json", "--data", data)
    body = json.loads(answer.stdout)
    assert answer.exit_code == 0 and [alarm["source"] for alarm in body["alarms"]] == ["tram-01/level"]
    assert body["system"]["waiting"] == {"quarantine": 0, "dead_letters": 0}
    assert (await run_thap("watch", "--once", "--data", data)).exit_code == 0


async def test_the_view_is_drawn_without_asking_for_fonts(serving: Serving, tmp_path: Path) -> None:
    file = tmp_path / "watch.svg"
    answer = await run_thap("watch", "--svg", str(file), "--data", str(serving.centre.settings.data))
    assert answer.exit_code == 0
    drawn = file.read_text("utf-8")
    assert "No&#160;open&#160;alarms" in drawn and "font-face" not in drawn and "cdn" not in drawn


def test_without_a_centre_the_view_says_so(tmp_path: Path) -> None:
    answer = thap("watch", "--data", str(tmp_path))
    assert answer.exit_code != 0 and "no centre is running" in str(answer.exception)


def test_bars_show_the_newest_at_the_right() -> None:
    assert spark([0, 1, 2, 4, 8], 5) == " ▁▂▄█"
    assert spark([0, 0]) == "" and spark([]) == ""
    assert len(spark(range(100), 30)) == 30


# ---- doctor


def found(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in examine(settings)}


def test_a_machine_without_a_centre_is_examined(settings: Settings) -> None:
    checks = found(settings)
    assert {check.status for check in checks.values()} <= {"ok", "warn"}, checks
    assert checks["centre"].status == "warn" and "thap up" in checks["centre"].hint
    assert {"python", "wheels", "extensions", "nats server", "clock", "disk", "fsync", "port", "lock"} <= {
        name.replace("-", " ") for name in checks
    }


def test_a_port_in_use_fails_with_what_to_do(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings.port = other.getsockname()[1]
        check = found(settings)["port"]
    assert check.status == "fail" and str(settings.port) in check.message and "--port" in check.hint


def test_a_full_disk_fails_and_a_clock_that_stepped_back_warns(settings: Settings) -> None:
    settings.journal.reserve_mib = 10**9
    ahead = time.time() + 7200
    (settings.data / "records.sqlite").touch()
    os.utime(settings.data / "records.sqlite", (ahead, ahead))
    checks = found(settings)
    assert checks["disk"].status == "fail" and "503" in checks["disk"].message
    assert checks["clock"].status == "warn" and "stepped back" in checks["clock"].message


async def test_a_running_centre_is_examined(serving: Serving, nats_server: NatsServer) -> None:
    settings = serving.centre.settings
    checks = await asyncio.to_thread(found, settings)
    assert checks["engine"].status == "fail" and checks["engine"].message == "not heard yet"
    await serving.beat("engine")
    await serving.beat("history", lag=20_000)
    await serving.beat("respond")
    await until(lambda: len(serving.centre.parts["live"].board.beats()) == 3)
    run_file = settings.run_dir / "centre.json"
    run_file.write_text(json.dumps({**json.loads(run_file.read_text()), "mqtt": f"127.0.0.1:{nats_server.mqtt_port}"}))
    await serving.change("tram-01/level")
    checks = await asyncio.to_thread(found, settings)
    assert (checks["mqtt"].status, checks["role engine"].status) == ("ok", "ok")
    assert checks["role history"].status == "warn" and "20,000 behind" in checks["role history"].message
    assert checks["history"].status == "ok" and "1 alarms" in checks["alarms"].message
    assert "fail" not in {check.status for check in checks.values()}


async def test_the_exit_status_says_whether_something_fails(serving: Serving) -> None:
    data = str(serving.centre.settings.data)
    answer = await run_thap("doctor", "--json", "--data", data)
    assert answer.exit_code == 1 and json.loads(answer.stdout)["healthy"] is False
    for role in ("engine", "history", "respond"):
        await serving.beat(role)
    await until(lambda: len(serving.centre.parts["live"].board.beats()) == 3)
    answer = await run_thap("doctor", "--data", data)
    assert answer.exit_code == 0 and "FAIL" not in answer.stdout


async def test_a_port_that_is_not_mqtt_is_noticed(serving: Serving) -> None:
    run_file = serving.centre.settings.run_dir / "centre.json"
    body = json.loads(run_file.read_text())
    run_file.write_text(json.dumps({**body, "mqtt": body["http"].removeprefix("http://")}))
    checks = await asyncio.to_thread(found, serving.centre.settings)
    assert checks["mqtt"].status == "fail"


# ---- settings


def test_the_page_of_settings_is_current() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert page == markdown(), "run: thap settings --markdown > docs/settings.md"


def test_every_setting_is_described(settings: Settings) -> None:
    infos = list(describe(settings))
    assert len(infos) > 20
    assert [info.name for info in infos if len(info.description) < 15] == []


def test_passwords_in_addresses_are_not_printed(settings: Settings) -> None:
    settings.journal.url = "nats://thap:very-secret@10.0.0.5:4222"
    shown = {info.name: info.value for info in describe(settings)}
    assert shown["journal.url"] == "nats://thap:…@10.0.0.5:4222"


def test_a_changed_setting_is_shown(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "thap.toml").write_text("port = 8123\n")
    body = json.loads(thap("settings", "--json", "--data", str(data_dir)).stdout)
    assert next(info for info in body if info["name"] == "port")["value"] == 8123


# ---- tokens


async def test_tokens_are_made_with_and_without_a_running_centre(serving: Serving) -> None:
    data = str(serving.centre.settings.data)
    made = json.loads(
        (
            await run_thap(
                "tokens",
                "create",
                "tram",
                "--scope",
                "write",
                "--things",
                "tram-*",
                "--expires",
                "30d",
                "--json",
                "--data",
                data,
            )
        ).stdout
    )
    assert made["things"] == ["tram-*"] and made["expires"] > now_us()
    await serving.stop()
    (serving.centre.settings.run_dir / "centre.json").unlink()
    account = json.loads((await run_thap("tokens", "create", "bom", "--mqtt", "--json", "--data", data)).stdout)
    assert account["kind"] == "mqtt" and len(account["secret"]) >= 43
    listed = json.loads((await run_thap("tokens", "list", "--json", "--data", data)).stdout)["items"]
    assert [token["name"] for token in listed] == ["bom", "tram"] and made["secret"] not in json.dumps(listed)
    assert (await run_thap("tokens", "revoke", "bom", "--data", data)).exit_code == 0
    again = await run_thap("tokens", "revoke", "bom", "--data", data)
    assert again.exit_code != 0 and "no token named" in str(again.exception)
    await serving.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{serving.port}") as client:
        answer = await client.get("/api/v1/things", headers={"Authorization": f"Bearer {made['secret']}"})
        assert answer.status_code == 403
