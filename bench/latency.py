"""From an MQTT message to its alarm on the event stream, with 100,000 observations/s behind it."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from typing import Any

import numpy as np
import orjson

from bench.harness import CentreProcess, centre
from bench.ingest import HEAD, bodies
from bench.mqtt import MqttSender, mqtt_account
from bench.rules import install_rules, put_rule, register_datastreams

__all__ = ["run"]


def _load(host: str, port: int, token: str, rate: int, seconds: float, tally: Any) -> None:
    """Batches of 1,000 at a steady rate, in a process of its own."""
    start = (int(time.time()) - 7200) * 1_000_000
    queue = bodies(200, 1000, 10_000, start)

    async def pump() -> None:
        links = [await asyncio.open_connection(host, port) for _ in range(4)]
        began = time.monotonic()
        number = 0

        async def one(index: int) -> None:
            nonlocal number
            reader, writer = links[index]
            while time.monotonic() - began < seconds:
                turn, number = number, number + 1
                delay = began + turn * 1000 / rate - time.monotonic()
                if delay > 0:
                    await asyncio.sleep(delay)
                body = queue[turn % len(queue)]
                if turn >= len(queue):  # later by the span of all bodies, once a round
                    span = 20_000_000 * (turn // len(queue))
                    first = start + (turn % len(queue)) // 10 * 1_000_000
                    body = body.replace(_moment(first), _moment(first + span))
                writer.write(HEAD.format(token=token, length=len(body)).encode() + body)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                tally.value += orjson.loads(await reader.readexactly(length))["accepted"]

        await asyncio.gather(*(one(i) for i in range(4)))

    asyncio.run(pump())


def _moment(us: int) -> bytes:
    return str(np.datetime64(us, "us").item().isoformat()).encode()


async def _probe(up: CentreProcess, password: str, seconds: float, per_second: float) -> list[float]:
    """Messages that raise and clear in turn; seconds from each to its event."""
    assert up.run is not None
    host, _, port = up.run.http.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**22)
    writer.write(
        f"GET /api/v1/stream?kinds=alarm&source=probe*/* HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {up.run.token}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.splitlines()[0]:
        raise RuntimeError(head.decode())
    sent: dict[str, float] = {}
    delays: list[float] = []

    async def hear() -> None:
        while True:
            line = await reader.readline()
            if line.startswith(b"data:"):
                event = orjson.loads(line[5:])
                if event.get("source") in sent:
                    delays.append(time.perf_counter() - sent.pop(event["source"]))

    hearing = asyncio.create_task(hear())
    sender = await MqttSender.connect(up.run.mqtt, "probe", "probe", password)
    began = time.monotonic()
    turn = 0
    while time.monotonic() - began < seconds:
        source = f"probe-{turn % 20:02d}/level"
        high = turn // 20 % 2 == 0
        sent[source] = time.perf_counter()
        sender.write(f"thap/v1/{source}", b"9" if high else b"1")
        await sender.acknowledged()
        turn += 1
        await asyncio.sleep(max(0.0, began + turn / per_second - time.monotonic()))
    await asyncio.sleep(1)
    hearing.cancel()
    missed = len(sent)
    if missed:
        raise RuntimeError(f"{missed} of {turn} messages raised or cleared nothing")
    return delays


def run(argv: list[str]) -> dict[str, Any]:
    """Run it; `--seconds`, `--rate`, `--probes` per second, `--durability`."""
    parser = argparse.ArgumentParser(prog="bench latency")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=100_000)
    parser.add_argument("--probes", type=float, default=20)
    parser.add_argument("--durability", default="power")
    given = parser.parse_args(argv)
    with centre("--durability", given.durability) as up:
        register_datastreams(up, 10_000)
        install_rules(up, 99)
        with up.client() as client:
            client.post(
                "/api/v1/things",
                json={
                    "things": [
                        {"name": f"probe-{i:02d}", "datastreams": [{"name": "level", "property": "probe"}]}
                        for i in range(20)
                    ]
                },
            ).raise_for_status()
        put_rule(
            up,
            '[[rule]]\nname = "bench.probe"\nkind = "threshold"\ntitle = { vi = "Probe", en = "Probe" }\n'
            'severity = "high"\nselect = { property = "probe" }\nabove = 5.0\n',
        )
        password = mqtt_account(up, "probe")
        assert up.run is not None
        host, _, port = up.run.http.removeprefix("http://").partition(":")
        tally = multiprocessing.get_context("spawn").Value("q", 0)
        load = multiprocessing.get_context("spawn").Process(
            target=_load, args=(host, int(port), up.run.token, given.rate, given.seconds + 6, tally)
        )
        load.start()
        while tally.value == 0:
            time.sleep(0.05)
        time.sleep(2)
        before, at = tally.value, time.monotonic()
        delays = asyncio.run(_probe(up, password, given.seconds, given.probes))
        rate = (tally.value - before) / (time.monotonic() - at)
        load.join()
    p50, p95, p99 = (float(np.percentile(delays, q)) * 1000 for q in (50, 95, 99))
    return {
        "bench": "latency",
        "figures": {
            "p50_ms": round(p50, 1),
            "p95_ms": round(p95, 1),
            "p99_ms": round(p99, 1),
            "max_ms": round(max(delays) * 1000, 1),
            "probes": len(delays),
            "observations_per_second_behind": round(rate),
        },
        "input": f"{given.probes:g} MQTT QoS 1 messages/s that raise or clear, {given.rate} observations/s over HTTP "
        f"behind, 100 rules, 10,000 datastreams, durability {given.durability}, load generator on the same 2 cores",
        "peer": None,
    }
