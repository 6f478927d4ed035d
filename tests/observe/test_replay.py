"""`thap replay` through the real doors of a gateway."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

from thap.cli.app import build
from thap.cli.common import RunFile
from thap.kernel.bus import JOURNAL, Bus
from thap.kernel.errors import InputError, ThapError, UnavailableError
from thap.kernel.nats import free_port
from thap.kernel.records import Records
from thap.kernel.settings import AisSettings, Settings
from thap.kernel.tokens import Tokens
from thap.observe.dead_letters import DeadLetters
from thap.observe.doors.ais import AisDoor
from thap.observe.doors.http import HttpDoor
from thap.observe.intake import Intake
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch, decode_block
from thap.observe.quarantine import list_waiting
from thap.observe.registry import load_registry, register_datastreams
from thap.web.app import create_app
from thap.web.deps import Centre

TOKEN = "local-token-of-a-test"


@dataclass
class Gateway:
    """A gateway with its doors on real sockets, and what it wrote."""

    settings: Settings
    bus: Bus
    records: Records
    intake: Intake
    url: str

    async def observations(self) -> ObservationBatch:
        return ObservationBatch.join(
            [
                ObservationBatch.of(decode_block(Kind.OBSERVATION, entry.payload), entry.time, entry.seq)
                async for entries in self.bus.read(JOURNAL, 0, subject="journal.observation", stop_at_end=True)
                for entry in entries
            ]
        )

    async def positions(self) -> PositionBatch:
        return PositionBatch.join(
            [
                PositionBatch.of(decode_block(Kind.POSITION, entry.payload), entry.time, entry.seq)
                async for entries in self.bus.read(JOURNAL, 0, subject="journal.position", stop_at_end=True)
                for entry in entries
            ]
        )

    async def replay(self, *arguments: object) -> dict[str, Any]:
        """Run the command; its JSON, or its error raised."""
        words = ["replay", *map(str, arguments), "--data", str(self.settings.data), "--json"]
        result = await asyncio.to_thread(CliRunner().invoke, build(), words)
        if isinstance(result.exception, ThapError):
            raise result.exception
        assert result.exit_code == 0, result.output
        body: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])  # the gateway logs in this process too
        return body

    async def start(self, *arguments: object) -> asyncio.subprocess.Process:
        """Run the command as a process of its own."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from thap.cli import main; main()",
            "replay",
            *map(str, arguments),
            "--data",
            str(self.settings.data),
            "--json",
            stdout=asyncio.subprocess.PIPE,
        )


@pytest.fixture
async def gateway(bus: Bus, records: Records, settings: Settings) -> AsyncIterator[Gateway]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with Intake(bus, records, settings) as intake:
        ais = AisDoor(intake, AisSettings(tcp_port=0), "127.0.0.1")
        await ais.start()
        run_file = settings.run_dir / "centre.json"
        run_file.parent.mkdir(parents=True, exist_ok=True)
        run = RunFile(os.getpid(), url, "", "", TOKEN, ais.tcp_port)
        run_file.write_text(json.dumps(asdict(run)))
        tokens = Tokens(records, run_file)
        centre = Centre(settings, records, bus, intake, {"tokens": tokens})
        app = create_app(centre, doors=HttpDoor(intake, tokens, settings))
        server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="error", lifespan="on"))
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield Gateway(settings, bus, records, intake, url)
        await ais.stop()
        server.should_exit = True
        await serving


def table(path: Path, rows: int, start: int = 0) -> Path:
    lines = [f"tram-01/level,{1_700_000_000 + number},{number}" for number in range(start, start + rows)]
    path.write_text("\n".join(["datastream,time,result", *lines]) + "\n")
    return path


async def test_a_table_is_replayed_once_and_says_so_the_second_time(gateway: Gateway, tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", 2500)
    first = await gateway.replay(path, "--admit")
    assert first["accepted"] == 2500 and first["rows"] == 2500 and first["quarantined"] == 0
    taken = await gateway.observations()
    assert sorted(taken.time // 1_000_000) == list(range(1_700_000_000, 1_700_002_500))
    assert sorted(taken.result) == list(range(2500))
    again = await gateway.replay(path, "--admit")
    assert again["files"][0]["already"] and len(await gateway.observations()) == 2500
    assert (await gateway.replay(path, "--admit", "--restart"))["accepted"] == 2500


async def test_a_replay_that_was_interrupted_goes_on(gateway: Gateway, tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", 5000)
    assert (await gateway.replay(path, "--admit", "--limit", 1800))["rows"] == 1800
    assert (await gateway.replay(path, "--admit", "--limit", 1000))["rows"] == 2800
    assert (await gateway.replay(path, "--admit"))["rows"] == 5000
    taken = await gateway.observations()
    assert sorted(taken.result) == list(range(5000)), "nothing lost and nothing twice"
    path.write_text(path.read_text() + "tram-01/level,1800000000,9\n")
    assert not (await gateway.replay(path))["files"][0]["already"], "a file that changed is another file"


async def test_rows_the_door_refuses_are_reported_and_kept_and_the_rest_goes_on(
    gateway: Gateway, tmp_path: Path
) -> None:
    path = tmp_path / "f.csv"
    path.write_text(
        "datastream,time,result\na/b,2023-01-01,1\na/b,never,2\na/b,2023-01-01\na/b,1970-01-01,3\n"
        "a/b,2100-01-01,4\na/b,2023-01-02,inf\na/b,2023-01-03,5\n"
    )
    async with gateway.records.write() as connection:
        await register_datastreams(connection, [{"key": "a/b"}])
    await gateway.intake.reload()
    done = await gateway.replay(path)
    assert (done["accepted"], done["rejected"], done["broken"]) == (2, 5, 1)
    faults = {fault["row"]: fault["reason"] for fault in done["files"][0]["faults"]}
    assert sorted(faults) == [3, 4, 5, 6, 7]
    assert "not a time" in faults[3] and "1970" in faults[5] and "ahead of the clock" in faults[6]
    page = await DeadLetters(gateway.bus, gateway.records).page()
    assert page.total == 5
    assert {"line": 4, "fault": "the row has 2 columns, not 3", "row": ["a/b", "2023-01-01"]} in [
        letter.record for letter in page.items
    ]


async def test_unknown_names_wait_unless_they_are_admitted(gateway: Gateway, tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", 10)
    done = await gateway.replay(path)
    assert done["quarantined"] == 10 and done["accepted"] == 0
    async with gateway.records.read() as connection:
        assert [name.key for name in (await list_waiting(connection))[0]] == ["tram-01/level"]
    await gateway.replay(path, "--restart", "--admit")
    async with gateway.records.read() as connection:
        assert (await load_registry(connection)).datastream_id == {"tram-01/level": 1}


async def test_speed_holds_rows_back_until_their_time(gateway: Gateway, tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", 11)
    begun = time.monotonic()
    await gateway.replay(path, "--admit", "--speed", 10)
    assert 0.9 < time.monotonic() - begun < 10
    assert len(await gateway.observations()) == 11


async def test_a_centre_that_stops_half_way_is_told_and_the_rest_follows(gateway: Gateway, tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", 3000)
    plain = gateway.intake.observations
    calls = 0

    async def dies(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise UnavailableError("the stream did not answer")
        return await plain(*arguments)

    gateway.intake.observations = dies  # type: ignore[method-assign]
    done = await gateway.replay(path, "--admit")  # a 503 is waited out
    assert done["accepted"] == 3000 and calls >= 4
    run_file = gateway.settings.run_dir / "centre.json"
    run_file.unlink()
    with pytest.raises(UnavailableError, match="no centre is running"):
        await gateway.replay(path)


async def test_files_that_cannot_be_replayed_say_why(gateway: Gateway, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    for content, message in (
        (b"", "empty"),
        (b"a,b\n1,2\n", "no column tells the time"),
        (b"PAR1....", "not a whole Parquet"),
        (b"time,level\n2026-01-01,1\n", "tells the thing"),
    ):
        bad.write_bytes(content)
        with pytest.raises(InputError, match=message):
            await gateway.replay(bad)
    good = table(tmp_path / "f.csv", 1)
    with pytest.raises(InputError, match="no mapping"):
        await gateway.replay(good, "--map", "result")
    with pytest.raises(InputError, match="no AIS sentences"):
        await gateway.replay(good, "--as", "ais")
    with pytest.raises(InputError, match="only NMEA logs"):
        await gateway.replay(good, "--door", "ais")


async def test_two_replays_of_one_file_at_once_do_no_harm(gateway: Gateway, tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", 3000)
    both = [await gateway.start(path, "--admit") for _ in range(2)]
    for process in both:
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0 and json.loads(out)["files"][0]["finished"]
    assert set((await gateway.observations()).result) == set(range(3000))


async def test_a_replay_killed_at_any_moment_goes_on_and_loses_nothing(gateway: Gateway, tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", 20_000)
    process = await gateway.start(path, "--admit", "--batch", 200)
    async with asyncio.timeout(60):
        while gateway.intake.counters["http.accepted"] < 2000:
            await asyncio.sleep(0.005)
    process.kill()
    await process.wait()
    state = json.loads(next((gateway.settings.data / "replay").glob("*.json")).read_text())
    assert 1000 < state["rows"] < 20_000
    done = await gateway.replay(path, "--admit")
    assert done["rows"] == 20_000
    assert set((await gateway.observations()).result) == set(range(20_000))


async def test_the_raw_ais_log_goes_through_the_ais_door_with_its_times(gateway: Gateway, shared_data: Path) -> None:
    path = shared_data / "vessels" / "nmea_ais_20160728.log.gz"
    done = await gateway.replay(path, "--limit", 20_000)
    assert done["rows"] == 20_000 and done["rejected"] == 0 and done["quarantined"] == 0
    by_door = await gateway.positions()
    assert len(by_door) == done["accepted"] > 10_000
    assert gateway.intake.counters["ais.accepted"] == done["accepted"]
    assert by_door.time.min() > 1469663980 * 10**6 and by_door.time.max() < 1469667600 * 10**6
    async with gateway.records.read() as connection:
        movers = (await load_registry(connection)).movers
    assert sum(bool(mover.name) for mover in movers) > 50, "static data is kept"

    by_http = await gateway.replay(path, "--limit", 20_000, "--door", "http", "--restart", "--admit")
    assert by_http["accepted"] == done["accepted"], "either door takes the same positions"
    both = await gateway.positions()
    assert len(set(zip(both.mover.tolist(), both.time.tolist(), strict=True))) == len(
        set(zip(by_door.mover.tolist(), by_door.time.tolist(), strict=True))
    ), "with the same times"


async def test_a_log_without_times_needs_to_be_told_when_it_begins(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"!AIVDM,1,1,,A,15N8ip0P01I<rOj@wrVsJ?vp2<3T,0*74\n" * 3)
    with pytest.raises(InputError, match="gives no times") as caught:
        await gateway.replay(path)
    assert caught.value.where == f"{path}, line 1"
    done = await gateway.replay(path, "--start", "2024-01-01T00:00:00Z")
    assert done["accepted"] == 3
    assert abs((await gateway.positions()).time[0] // 10**6 - 1_704_067_200) < 60


async def test_the_real_tables_are_replayed_with_one_command_line_each(gateway: Gateway, shared_data: Path) -> None:
    salinity = next((shared_data / "salinity").glob("*.csv"))
    assert (await gateway.replay(salinity, "--map", "p*=salinity_g_l", "--admit"))["accepted"] == 57
    pests = shared_data / "pests" / "rice_pests_weather_1959_2006.csv"
    done = await gateway.replay(pests, "--map", "RF(mm)=rain_mm", "--admit", "--batch", 5000)
    assert done["accepted"] == 26_016 and done["rejected"] == 0
    vessels = shared_data / "vessels" / "danish_ais_20221101_50k.csv.gz"
    done = await gateway.replay(vessels, "--admit", "--batch", 10_000, "--limit", 20_000)
    assert done["accepted"] == 20_000
    async with gateway.records.read() as connection:
        registry = await load_registry(connection)
    assert {"Vam-Kenh/salinity_g_l", "Maruteru/Brownplanthopper-Number-Light-trap", "Maruteru/rain_mm"} <= set(
        registry.datastream_id
    )
    assert all(key.startswith("mmsi-") for key in registry.mover_id)
