"""Single QoS 1 messages from 50 MQTT clients, until every acknowledged one is in history.

Each client keeps a window of messages unacknowledged, as devices behind a gateway do. The clients speak plain
MQTT 3.1.1 on sockets, so that the load generator takes as little of the two cores as it can.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import time
from typing import Any

from bench.harness import CentreProcess, centre
from bench.rules import install_rules, register_datastreams

__all__ = ["MqttSender", "mqtt_account", "run"]


def mqtt_account(up: CentreProcess, name: str) -> str:
    """A new MQTT account; its password."""
    with up.client() as client:
        answer = client.post("/api/v1/tokens", json={"name": name, "kind": "mqtt", "scopes": ["write"]})
        answer.raise_for_status()
        return str(answer.json()["secret"])


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def _length(number: int) -> bytes:
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit | (128 if number else 0))
        if not number:
            return bytes(out)


class MqttSender:
    """One MQTT connection that publishes with QoS 1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._packet = 0
        self._rest = b""

    @classmethod
    async def connect(cls, address: str, client: str, user: str, password: str) -> MqttSender:
        """Connect and wait for CONNACK; accounts just made may need a moment."""
        host, _, port = address.partition(":")
        body = _text("MQTT") + bytes([4, 0xC2]) + struct.pack(">H", 120) + _text(client) + _text(user) + _text(password)
        for _ in range(100):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"\x10" + _length(len(body)) + body)
            answer = await reader.read(4)
            if len(answer) == 4 and answer[3] == 0:
                return cls(reader, writer)
            writer.close()
            await asyncio.sleep(0.1)
        raise RuntimeError(f"MQTT refused {user}: {answer!r}")

    def write(self, topic: str, payload: bytes) -> None:
        """Publish; the acknowledgement is counted by `acknowledged`."""
        self._packet = self._packet % 65535 + 1
        body = _text(topic) + struct.pack(">H", self._packet) + payload
        self._writer.write(b"\x32" + _length(len(body)) + body)

    async def acknowledged(self) -> int:
        """Wait for acknowledgements; how many came."""
        data = await self._reader.read(65536)
        if not data:
            raise RuntimeError("the MQTT server closed the connection")
        data = self._rest + data
        number = len(data) // 4
        self._rest = data[number * 4 :]
        return number

    def close(self) -> None:
        self._writer.close()


async def _client(up: CentreProcess, number: int, password: str, messages: int, window: int, start_us: int) -> int:
    assert up.run is not None
    sender = await MqttSender.connect(up.run.mqtt, f"bench-{number}", "bench", password)
    sent = acked = 0
    while acked < messages:
        while sent < messages and sent - acked < window:
            series = number * 20 + sent % 20
            at = start_us + sent * 1000
            sender.write(f"thap/v1/tram-{series:05d}/level", b'{"at":%d,"result":%.2f}' % (at, 1 + sent % 100 / 100))
            sent += 1
        acked += await sender.acknowledged()
    sender.close()
    return acked


def measure(durability: str, messages: int, clients: int, window: int) -> dict[str, float]:
    """One run; messages are divided among the clients."""
    with centre("--durability", durability) as up:
        register_datastreams(up, 1000)
        install_rules(up, 100)
        password = mqtt_account(up, "bench")
        each = messages // clients
        start = (int(time.time()) - 3600) * 1_000_000

        async def everybody() -> int:
            return sum(await asyncio.gather(*(_client(up, i, password, each, window, start) for i in range(clients))))

        began = time.monotonic()
        acked = asyncio.run(everybody())
        sending = time.monotonic() - began
        rows = 0
        while rows < acked and time.monotonic() - began < sending + 60:
            rows = int(up.query("SELECT count(*) AS n FROM observations")[0]["n"])
        whole = time.monotonic() - began
    return {"acked": acked, "rows": rows, "per_second": acked / sending, "until_in_history_per_second": rows / whole}


def run(argv: list[str]) -> dict[str, Any]:
    """Run it; `--messages`, `--clients`, `--window`."""
    parser = argparse.ArgumentParser(prog="bench mqtt")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--window", type=int, default=20)
    given = parser.parse_args(argv)
    kill = measure("process", given.messages, given.clients, given.window)
    power = measure("power", max(given.messages // 20, 1000), given.clients, given.window)
    return {
        "bench": "mqtt",
        "figures": {
            "messages_per_second": round(kill["per_second"]),
            "until_in_history_per_second": round(kill["until_in_history_per_second"]),
            "lost": int(kill["acked"] - kill["rows"]) + int(power["acked"] - power["rows"]),
            "power_loss_messages_per_second": round(power["per_second"]),
            "power_loss_until_in_history_per_second": round(power["until_in_history_per_second"]),
        },
        "input": f"{given.messages} QoS 1 messages, {given.clients} clients, window {given.window}, 100 rules; "
        "durability process, then power with a twentieth of them; load generator on the same 2 cores",
        "peer": None,
    }
