"""The whole centre as `thap up` runs it: real processes, real doors, kill -9."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from bench.harness import CentreProcess, centre

RULES = """
[[rule]]
name = "test.high_water"
kind = "threshold"
title = { vi = "Nước cao", en = "High water" }
severity = "high"
select = { property = "water_level" }
above = 2.0
deadband = 0.1
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentreProcess]:
    data = tmp_path_factory.mktemp("e2e") / "centre"
    (data / "rules").mkdir(parents=True)
    (data / "rules" / "test.toml").write_text(RULES, "utf-8")
    with centre("--durability", "process", data=data) as made:
        with made.client() as client:
            client.post(
                "/api/v1/things",
                json={
                    "things": [
                        {
                            "name": "tram",
                            "domain": "water",
                            "lon": 105.6,
                            "lat": 10.4,
                            "datastreams": [{"name": "level", "property": "water_level", "unit": "m"}],
                        }
                    ]
                },
            ).raise_for_status()
        yield made


def thap(*words: str, data: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "thap", *words, "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.HTTPError, KeyError, RuntimeError):
            found = condition()
            if found:
                return found
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.1)


def alarms(up: CentreProcess, source: str) -> list[dict[str, Any]]:
    with up.client() as client:
        answer = client.get("/api/v1/alarms", params={"source": source})
        answer.raise_for_status()
        return list(answer.json()["items"])


def post(up: CentreProcess, *rows: tuple[str, float, float]) -> dict[str, Any]:
    with up.client() as client:
        answer = client.post(
            "/api/v1/observations", json=[{"datastream": key, "at": at, "result": result} for key, at, result in rows]
        )
        answer.raise_for_status()
        return dict(answer.json())


def mqtt_device(up: CentreProcess, user: str, password: str) -> paho.Client:
    assert up.run is not None
    host, _, port = up.run.mqtt.partition(":")
    device = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    device.username_pw_set(user, password)
    device.reconnect_delay_set(1, 1)
    device.connect(host, int(port))
    device.loop_start()
    until(device.is_connected)
    return device


def published(device: paho.Client, topic: str, payload: str) -> bool:
    """Whether a QoS 1 message is acknowledged within two seconds."""
    message = device.publish(topic, payload, qos=1)
    with contextlib.suppress(RuntimeError, ValueError):
        message.wait_for_publish(2)
        return bool(message.is_published())
    return False


def count(up: CentreProcess, key: str) -> int:
    return int(
        up.query(f"SELECT count(*) AS n FROM observations JOIN datastreams USING (datastream) WHERE key = '{key}'")[0][
            "n"
        ]
    )


def test_an_observation_raises_and_clears_an_alarm_and_lies_in_history(up: CentreProcess) -> None:
    now = time.time()
    assert post(up, ("tram/level", now - 60, 1.0), ("tram/level", now - 50, 2.5))["accepted"] == 2
    alarm = until(lambda: [a for a in alarms(up, "tram/level") if a["active"]])[0]
    assert (alarm["condition"], alarm["state"]) == ("test.high_water", "unacknowledged")
    post(up, ("tram/level", now - 40, 1.5))
    until(lambda: [a for a in alarms(up, "tram/level") if not a["active"]])
    until(lambda: count(up, "tram/level") == 3)
    assert post(up, ("tram/level", now - 40, 1.5))["accepted"] == 1  # said again: collapses
    with up.client() as client:
        latest = client.get("/api/v1/datastreams", params={"thing": "tram"}).json()
    assert latest["items"][0]["latest"]["result"] == 1.5


def test_an_alarm_is_seen_on_the_event_stream_after_an_mqtt_message(up: CentreProcess) -> None:
    made = json.loads(
        thap("tokens", "create", "e2e-device", "--mqtt", "--scope", "write", "--json", data=up.data).stdout
    )
    with up.client() as client, client.stream("GET", "/api/v1/stream", params={"kinds": "alarm"}) as stream:
        lines = stream.iter_lines()
        device = mqtt_device(up, "e2e-device", made["secret"])
        device.publish("thap/v1/tram/level", "3.5", qos=1).wait_for_publish(10)
        event = next(json.loads(line[5:]) for line in lines if line.startswith("data:") and "tram/level" in line)
        device.publish("thap/v1/tram/level", "1.0", qos=1).wait_for_publish(10)
        device.disconnect()
        device.loop_stop()
    assert (event["source"], event["action"], event["to_state"]) == ("tram/level", "raise", "unacknowledged")


@pytest.mark.parametrize("role", ["gateway", "engine", "history", "nats"])
def test_kill_9_of_a_process_loses_nothing_and_doubles_nothing(up: CentreProcess, role: str) -> None:
    key = f"killed-{role}/level"
    with up.client() as client:
        client.post(
            "/api/v1/things",
            json={
                "things": [{"name": f"killed-{role}", "datastreams": [{"name": "level", "property": "water_level"}]}]
            },
        ).raise_for_status()
    start = time.time() - 3600
    sent = 0
    for turn in range(30):
        if turn == 10:
            process = up.children()[role]
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        rows = [(key, start + turn * 10 + i, 3.0 if turn % 2 else 1.0) for i in range(10)]
        until(lambda rows=rows: post(up, *rows)["accepted"] == 10)
        sent += 10
    until(lambda: count(up, key) == sent, 60)
    alarm = until(lambda: alarms(up, key))[0]

    def transitions() -> list[str]:
        with up.client() as client:
            body = client.get(f"/api/v1/alarms/{alarm['id']}").json()
        return [t["action"] for t in body["transitions"] if t["action"] in ("raise", "clear")]

    until(lambda: len(transitions()) >= 29)
    assert sorted(transitions()) == ["clear"] * 14 + ["raise"] * 15


def test_unknown_names_are_admitted_with_one_command(up: CentreProcess) -> None:
    body = post(up, ("fresh/level", time.time() - 5, 1.0), ("fresh/level", time.time() - 4, 1.1))
    assert (body["accepted"], body["quarantined"]) == (0, [0, 1])
    listed = json.loads(thap("quarantine", "list", "--json", data=up.data).stdout)
    assert any(item["key"] == "fresh/level" and item["count"] == 2 for item in listed["items"])
    thap("quarantine", "admit", "fresh/*", data=up.data)
    until(lambda: count(up, "fresh/level") == 2)
    assert post(up, ("fresh/level", time.time() - 3, 1.2))["accepted"] == 1


def test_a_second_centre_on_the_same_directory_or_port_says_why_not(up: CentreProcess, tmp_path: Path) -> None:
    done = thap("up", "--port", "0", "--mqtt-port", "0", data=up.data, check=False)
    assert done.returncode == 1
    assert "another centre runs on this data directory" in done.stderr
    assert up.run is not None
    port = up.run.http.rpartition(":")[2]
    done = thap("up", "--port", port, "--mqtt-port", "0", data=tmp_path / "other", check=False)
    assert done.returncode == 1
    assert f"HTTP port {port}" in done.stderr and "--port" in done.stderr


def test_two_centres_run_beside_each_other(up: CentreProcess, tmp_path: Path) -> None:
    with centre("--durability", "process", data=tmp_path / "second") as second:
        with second.client() as client:
            assert client.get("/api/v1/things").json()["items"] == []
        assert second.run is not None and up.run is not None
        with httpx.Client(
            base_url=second.run.http, headers={"Authorization": f"Bearer {up.run.token}"}, trust_env=False
        ) as stranger:
            assert stranger.get("/api/v1/things").status_code == 401


def test_after_kill_9_of_everything_it_starts_again_with_all_it_had(tmp_path: Path) -> None:
    with centre("--durability", "process", data=tmp_path / "centre") as made:
        with made.client() as client:
            client.post(
                "/api/v1/things", json={"things": [{"name": "tram", "datastreams": [{"name": "level"}]}]}
            ).raise_for_status()
        now = time.time()
        post(made, *[("tram/level", now - 100 + i, float(i)) for i in range(50)])
        children = made.children()
        for process in children.values():
            with contextlib.suppress(Exception):
                process.kill()
        for process in children.values():
            with contextlib.suppress(Exception):
                process.wait(10)
        assert made.process is not None
        made.process.wait()
        made.start()
        until(lambda: count(made, "tram/level") == 50)


def test_no_role_outlives_a_supervisor_that_was_killed_and_all_outlive_what_they_were_forked_from(
    tmp_path: Path,
) -> None:
    with centre("--durability", "process", data=tmp_path / "centre") as made:
        until(lambda: {"gateway", "engine", "history", "respond"} <= made.children().keys())
        assert made.process is not None
        roles = made.children()
        server = roles["gateway"].parent()
        assert server is not None and server.pid != made.process.pid
        server.kill()
        until(lambda: made.children().keys() >= roles.keys() and made.children()["gateway"].pid != roles["gateway"].pid)
        with made.client() as client:
            until(lambda: client.get("/readyz").status_code == 200)
        roles = made.children()
        made.process.kill()
        made.process.wait()
        until(lambda: not any(process.is_running() for process in roles.values()), 10)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="a small disk needs root to mount one")
def test_a_full_disk_closes_the_doors_and_room_opens_them_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    filler = disk / "filler"
    try:
        env = {"THAP_JOURNAL__RESERVE_MIB": "32", "THAP_JOURNAL__MAX_GIB": "0.05"}
        with centre("--durability", "process", data=disk / "centre", env=env) as made:
            with made.client() as client:
                client.post(
                    "/api/v1/things", json={"things": [{"name": "tram", "datastreams": [{"name": "level"}]}]}
                ).raise_for_status()
            start = time.time() - 3600
            assert post(made, ("tram/level", start, 1.0))["accepted"] == 1
            made_token = json.loads(
                thap("tokens", "create", "dev", "--mqtt", "--scope", "write", "--json", data=made.data).stdout
            )
            device = mqtt_device(made, "dev", made_token["secret"])
            assert published(device, "thap/v1/tram/level", "7.0")
            room = shutil.disk_usage(disk).free - 8 * 2**20
            filler.write_bytes(b"\0" * room)

            def refused() -> httpx.Response | None:
                with made.client() as client:
                    answer = client.post(
                        "/api/v1/observations", json=[{"datastream": "tram/level", "at": start + 1, "result": 2.0}]
                    )
                return answer if answer.status_code == 503 else None

            error = until(refused).json()["error"]
            assert error["code"] == "disk_full"
            until(lambda: not published(device, "thap/v1/tram/level", "8.0"), 60)  # not acknowledged
            filler.unlink()
            until(lambda: published(device, "thap/v1/tram/level", "9.0"), 60)
            device.disconnect()
            device.loop_stop()
            until(lambda: post(made, ("tram/level", start + 2, 3.0))["accepted"] == 1)
            kept = {1.0, 3.0, 7.0, 9.0}  # what was acknowledged; 2 and 8 may have come through later
            until(lambda: kept <= {row["result"] for row in made.query("SELECT result FROM observations")})
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
