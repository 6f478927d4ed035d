"""The demo's commands: what is sent can be read again, and a real run scores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from thap.cli.demo import demo
from thap.cli.demo_doors import sentences
from thap.cli.demo_run import Ledger, build_world, open_ledger, read_ledger, scaled_rules
from thap.detect.ruletext import read_rules
from thap.domains.domain import domains
from thap.domains.score import Segment
from thap.kernel.clock import DAY_US, HOUR_US, SECOND_US, now_us, parse_time_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError, ThapError
from thap.kernel.settings import Settings, load_settings
from thap.kernel.simulated import Simulated
from thap.observe.nmea import AisDecoder

START = parse_time_us("2026-11-19T11:40:00Z")
WORLD = build_world(1, START)
VESSELS = [mover for mover in WORLD.movers.values() if mover.door == "ais"]


@given(
    st.sampled_from(VESSELS),
    st.integers(0, 10**6),
    st.floats(105, 107),
    st.floats(10, 11),
    st.floats(0, 20),
    st.floats(0, 359.9),
)
def test_the_ais_door_reads_what_the_demo_sends(
    mover: Any, second: int, lon: float, lat: float, speed: float, course: float
) -> None:
    time_us = START + second * SECOND_US
    lines = sentences(mover, time_us, lon, lat, speed, course, with_static=True)
    batch = AisDecoder().feed("".join(f"{line}\r\n" for line in lines).encode(), now_us())
    assert (batch.keys, batch.times) == ([mover.key], [time_us])
    assert abs(batch.lons[0] - lon) < 1e-5 and abs(batch.lats[0] - lat) < 1e-5
    assert abs(batch.speeds_kn[0] - speed) <= 0.1 and abs(batch.courses_deg[0] - course) <= 0.1
    assert {row.get("kind") for row in batch.statics} == {None, mover.kind}


@pytest.mark.parametrize("name", list(domains()))
def test_only_silences_are_scaled_with_the_speed(name: str) -> None:
    text = domains()[name].rules_text()
    for before, after in zip(read_rules(text), read_rules(scaled_rules(text, 60)), strict=True):
        if before.kind == "silence":
            assert after.limit * 60 == pytest.approx(before.limit, rel=1e-3)
        else:
            assert after.fingerprint == before.fingerprint
    assert [rule.fingerprint for rule in read_rules(scaled_rules(text, 1))] == [
        rule.fingerprint for rule in read_rules(text)
    ]


def test_an_accelerated_run_begins_before_nightfall_two_to_four_days_ago(settings: Settings) -> None:
    ledger = open_ledger(settings, 1, 60)
    assert 2 * DAY_US < now_us() - ledger.start < 4 * DAY_US
    assert (ledger.start + 7 * HOUR_US) % DAY_US == 18 * HOUR_US + 40 * 60 * SECOND_US


def test_a_run_goes_on_where_it_stopped_but_not_with_another_seed(settings: Settings) -> None:
    segments = [Segment(START + DAY_US, START, 60.0, START + DAY_US + SECOND_US)]
    kept = Ledger(7, START, START + HOUR_US, segments, WORLD.truth(START, START + HOUR_US))
    kept.save(settings.data / "demo" / "truth.json")
    assert open_ledger(settings, 7, 60) == kept
    with pytest.raises(ConflictError, match="seed 7"):
        open_ledger(settings, 8, 60)


def test_a_directory_without_a_demo_says_how_to_start_one(settings: Settings) -> None:
    with pytest.raises(NotFoundError) as caught:
        read_ledger(settings)
    assert "--demo" in str(caught.value)


@pytest.mark.parametrize("body", ["", "{}", '{"seed": 1', '{"seed":1,"start":0,"until":0,"segments":[{}],"events":[]}'])
def test_a_broken_truth_file_is_named(settings: Settings, body: str) -> None:
    path = settings.data / "demo" / "truth.json"
    path.parent.mkdir()
    path.write_text(body, "utf-8")
    with pytest.raises(InputError, match=r"truth\.json"):
        read_ledger(settings)


def test_events_lists_what_was_planted(settings: Settings) -> None:
    Ledger(1, START, START + 6 * HOUR_US).save(settings.data / "demo" / "truth.json")
    result = CliRunner().invoke(demo, ["events", "--data", str(settings.data), "--json"])
    listed = json.loads(result.stdout)
    assert [event["condition"] for event in listed] == [
        event.condition for event in WORLD.truth(START, START + 6 * HOUR_US)
    ]


def test_a_run_without_a_centre_says_so(settings: Settings) -> None:
    result = CliRunner().invoke(demo, ["run", "--data", str(settings.data)])
    assert isinstance(result.exception, ThapError)
    assert "no centre is running" in str(result.exception)


@pytest.mark.slow
def test_a_real_run_raises_alarms_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty seconds at 600 times, more than three hours of the province, through MQTT, HTTP, AIS and OsmAnd."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from bench.harness import CentreProcess

    data = tmp_path / "centre"
    centre = CentreProcess(data, env={"THAP_DOORS__AIS__TCP_PORT": "0", "THAP_JOURNAL__DURABILITY": "process"})
    centre.start()

    def command(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "thap", "demo", *words, "--json", "--data", str(data)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr + centre.tail()
        return json.loads(done.stdout)

    try:
        ran = command("run", "--speed", "300", "--minutes", "0.68", "--seed", "3")
        score = command("score")
        with centre.client() as client:
            quarantine = client.get("/api/v1/quarantine").json()
            dead = client.get("/api/v1/dead-letters").json()
        ledger = read_ledger(load_settings(data))
        ledger.until = now_us() - 20 * 60 * SECOND_US
        ledger.save(data / "demo" / "truth.json")
        command("run", "--speed", "600", "--minutes", "0.1", "--seed", "3")
        caught_up = read_ledger(load_settings(data))
    finally:
        centre.stop()
    assert ran["until"] - ran["start"] >= 3 * HOUR_US
    assert score["events"] >= 4, score
    assert score["recall"] >= 0.75 and score["precision"] >= 0.75, score
    assert not quarantine["items"] and not dead["items"], (quarantine, dead)
    # It caught up with the clock, went on at its pace, and put the silences back to their lengths.
    assert [segment.speed for segment in caught_up.segments] == [300, 600, 1]
    assert 0 <= now_us() - caught_up.until < 60 * SECOND_US
    told = Simulated.read(data)
    assert told is not None and told.speed == 1 and told.until <= told.at
    installed = read_rules((data / "rules" / "demo-sand.toml").read_text("utf-8"))
    assert [rule.fingerprint for rule in installed] == [
        rule.fingerprint for rule in domains()["sand"].read_rules().values()
    ]
