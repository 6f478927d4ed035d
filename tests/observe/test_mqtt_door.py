"""The MQTT door with a real client and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import paho.mqtt.client as paho
import pytest

from thap.kernel.bus import DEAD, JOURNAL, Bus
from thap.kernel.nats import NatsServer
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.tokens import create_token, mqtt_users
from thap.observe.doors.mqtt import MqttDoor
from thap.observe.intake import Intake
from thap.observe.kinds import Kind, ObservationBatch, decode_block
from thap.observe.registry import register_datastreams, register_movers


@pytest.fixture
async def device(
    nats_server: NatsServer, bus: Bus, records: Records, settings: Settings
) -> AsyncIterator[SimpleNamespace]:
    async with records.write() as connection:
        await register_datastreams(connection, [{"key": "tram/level"}, {"key": "tram.2/level"}])
        await register_movers(connection, [{"key": "ghe-1"}])
        _, secret = await create_token(connection, "device", ["write"], kind="mqtt")
        nats_server.set_mqtt_users(await mqtt_users(connection))
    async with Intake(bus, records, settings) as intake:
        door = asyncio.create_task(MqttDoor(bus, intake).run())
        yield SimpleNamespace(server=nats_server, secret=secret, bus=bus, intake=intake, door=door, records=records)
        door.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await door


def _connect(server: NatsServer, user: str, password: str) -> paho.Client:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.username_pw_set(user, password)
    client.connect("127.0.0.1", server.mqtt_port)
    client.loop_start()
    return client


@contextlib.contextmanager
def _connected(device: SimpleNamespace) -> Any:
    client = _connect(device.server, "device", device.secret)
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


async def _observations(bus: Bus) -> list[tuple[int, int, float]]:
    rows: list[tuple[int, int, float]] = []
    async for entries in bus.read(JOURNAL, 0, stop_at_end=True):
        for entry in entries:
            if entry.subject == "journal.observation":
                batch = ObservationBatch.of(decode_block(Kind.OBSERVATION, entry.payload), 0, entry.seq)
                rows += zip(batch.datastream.tolist(), batch.time.tolist(), batch.result.tolist(), strict=True)
    return rows


async def _until(condition: Callable[[], Any], seconds: float = 15) -> Any:
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.05)


def _publish(client: paho.Client, topic: str, payload: Any, qos: int) -> None:
    message = client.publish(topic, payload if isinstance(payload, (str, bytes)) else json.dumps(payload), qos=qos)
    message.wait_for_publish(10)


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_number_and_a_dated_result_arrive(device: SimpleNamespace, qos: int) -> None:
    with _connected(device) as client:

        def send() -> None:
            _publish(client, "thap/v1/tram/level", "1.5", qos)
            _publish(client, "thap/v1/tram.2/level", {"at": "2026-11-22T08:00:00Z", "result": 2.5}, qos)

        await asyncio.to_thread(send)

        async def both() -> Any:
            rows = await _observations(device.bus)
            return rows if len(rows) >= 2 else None

        rows = await _until(both)
    assert sorted((number, result) for number, _, result in rows) == [(1, 1.5), (2, 2.5)]
    assert (2, 1795334400_000000, 2.5) in rows


async def test_positions_arrive_and_rubbish_becomes_dead_letters(device: SimpleNamespace) -> None:
    with _connected(device) as client:

        def send() -> None:
            _publish(client, "thap/v1/ghe-1/position", {"lon": 105.6, "lat": 10.4, "speed_kn": 3}, 1)
            _publish(client, "thap/v1/tram/level", b"\xff\xfe rubbish", 1)
            _publish(client, "thap/v1/tram/level", "nan", 1)
            _publish(client, "thap/v1/only-one", "1", 1)
            _publish(client, "home/kitchen/temp.1", "21.5", 1)

        await asyncio.to_thread(send)
        await _until(lambda: device.intake.counters["mqtt.rejected"] >= 4)
        await _until(lambda: device.intake.counters["mqtt.accepted"] >= 1)
    letters = []
    async for entries in device.bus.read(DEAD, 0, stop_at_end=True):
        letters += [json.loads(entry.payload) for entry in entries]
    reasons = [letter["reason"] for letter in letters]
    assert len(reasons) == 4
    assert {"topic": "home/kitchen/temp.1", "payload": "21.5"} in [letter["record"] for letter in letters]
    assert any("neither a number" in reason for reason in reasons)
    assert any("not a finite number" in reason for reason in reasons)
    assert any("topic" in reason for reason in reasons)


async def test_acknowledged_messages_survive_the_door_being_away(device: SimpleNamespace) -> None:
    device.door.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await device.door
    with _connected(device) as client:
        await asyncio.to_thread(lambda: [_publish(client, "thap/v1/tram/level", str(i), 1) for i in range(20)])
    assert await _observations(device.bus) == []
    device.door = asyncio.create_task(MqttDoor(device.bus, device.intake).run())

    async def all_there() -> Any:
        rows = await _observations(device.bus)
        return rows if len(rows) >= 20 else None

    rows = await _until(all_there)
    assert sorted(result for _, _, result in rows) == [float(i) for i in range(20)]
    assert len({time for _, time, _ in rows}) == 20


async def test_a_wrong_password_and_a_foreign_topic_are_refused(device: SimpleNamespace) -> None:
    refused: list[Any] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.on_connect = lambda _c, _u, _f, code, _p: refused.append(code)
    client.username_pw_set("device", "wrong")
    client.connect("127.0.0.1", device.server.mqtt_port)
    client.loop_start()
    await _until(lambda: refused)
    client.disconnect()
    client.loop_stop()
    assert refused[0].is_failure
    before = await device.bus.last_seq(JOURNAL)
    with _connected(device) as client:
        for topic in (
            "journal/observation",
            "centre/live/alarm",
            "$JS/API/STREAM/PURGE/JOURNAL",
            "dead/mqtt",
            "$SYS/x",
            "$MQTT/msgs/thap/v1/a/b",
        ):
            client.publish(topic, b"forged", qos=0)
            client.publish(topic, b"forged", qos=1)
        await asyncio.to_thread(_publish, client, "thap/v1/tram/level", "1", 0)
        await _until(lambda: device.intake.counters["mqtt.accepted"])
    assert await device.bus.last_seq(JOURNAL) == before + 1
    forged = [e.payload async for entries in device.bus.read(DEAD, 0, stop_at_end=True) for e in entries]
    assert forged == []
