"""How the devices of the demo province reach the centre: by its real doors, with credentials of their own."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from pyais.encode import encode_dict

from thap.domains.world import Mover, Observations, Positions, World
from thap.kernel.clock import HOUR_US, SECOND_US, iso
from thap.kernel.errors import UnavailableError
from thap.kernel.units import fold
from thap.observe.nmea import checksum

__all__ = ["Doors", "sentences"]

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_PATIENCE_S = 60.0
_BATCH = 1000


class Doors:
    """Connections to the four doors the demo uses; a context manager.

    Each `send_…` returns once the centre has what was sent. When a door does not take it (the centre restarts,
    the disk is full), it is sent again until it does or a minute has passed.

    Args:
        http: base URL of the centre.
        mqtt_address: host:port.
        ais_port: TCP port of the AIS door on the host of `http`; 0 where it is closed.
        user: name and password of the MQTT account.
        token: API token that may write.
    """

    def __init__(self, http: str, mqtt_address: str, ais_port: int, user: tuple[str, str], token: str) -> None:
        self._client = httpx.Client(
            base_url=http, timeout=30, trust_env=False, headers={"Authorization": f"Bearer {token}"}
        )
        self._ais_address = (httpx.URL(http).host, ais_port)
        self._ais: socket.socket | None = None
        self._mqtt_address = mqtt_address
        self._mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, "thap-demo", protocol=mqtt.MQTTv311)
        self._mqtt.username_pw_set(*user)
        self._mqtt.max_inflight_messages_set(200)
        self._static_sent: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Connect; a fresh MQTT account is known to the server after a moment.

        Raises:
            UnavailableError: a door does not open within a minute.
        """
        host, _, port = self._mqtt_address.rpartition(":")
        _until("mqtt", lambda: self._mqtt.connect(host, int(port), keepalive=30))
        self._mqtt.loop_start()
        deadline = time.monotonic() + _PATIENCE_S
        while not self._mqtt.is_connected():
            if time.monotonic() > deadline:
                raise UnavailableError("the MQTT door does not let the demo in", where=self._mqtt_address)
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()
        self._client.close()
        self._close_ais()

    def send_mqtt(self, rows: Observations) -> None:
        """Stations: QoS 1, one message an observation."""
        sent = [
            self._mqtt.publish(f"thap/v1/{key}", json.dumps({"at": iso(time_us), "result": result}), qos=1)
            for key, time_us, result in zip(rows.keys, rows.times.tolist(), rows.results.tolist(), strict=True)
        ]
        for message in sent:
            message.wait_for_publish(_PATIENCE_S)
            if not message.is_published():
                raise UnavailableError("the MQTT door does not acknowledge", where=self._mqtt_address)

    def send_http(self, rows: Observations) -> None:
        """Cameras: JSON in batches."""
        body = [
            {"datastream": key, "at": iso(time_us), "result": result}
            for key, time_us, result in zip(rows.keys, rows.times.tolist(), rows.results.tolist(), strict=True)
        ]
        for start in range(0, len(body), _BATCH):
            part = body[start : start + _BATCH]
            answer = self._ask("http", "POST", "/api/v1/observations", json=part)
            if answer.get("rejected"):
                _log.warning("the HTTP door rejected records", reason=answer["rejected"][0])

    def send_osmand(self, rows: Positions) -> None:
        """Ferries: one request a position, as a tracker does."""
        columns = (
            rows.times.tolist(),
            rows.lons.tolist(),
            rows.lats.tolist(),
            rows.speeds_kn.tolist(),
            rows.courses_deg.tolist(),
        )
        for key, time_us, lon, lat, speed, course in zip(rows.keys, *columns, strict=True):
            query = {
                "id": key,
                "lat": lat,
                "lon": lon,
                "timestamp": time_us // SECOND_US,
                "speed": speed,
                "bearing": course,
            }
            self._ask("trackers", "GET", "/api/v1/trackers/osmand", params=query)

    def send_ais(self, rows: Positions, world: World) -> None:
        """Vessels: NMEA over one TCP connection, as from a receiver; static data each hour of event time."""
        if not rows.keys:
            return
        lines: list[str] = []
        columns = (
            rows.times.tolist(),
            rows.lons.tolist(),
            rows.lats.tolist(),
            rows.speeds_kn.tolist(),
            rows.courses_deg.tolist(),
        )
        for key, time_us, lon, lat, speed, course in zip(rows.keys, *columns, strict=True):
            mover = world.movers[key]
            with_static = time_us - self._static_sent.get(key, -HOUR_US) >= HOUR_US
            if with_static:
                self._static_sent[key] = time_us
            lines += sentences(mover, time_us, lon, lat, speed, course, with_static)
        data = "".join(f"{line}\r\n" for line in lines).encode("ascii")
        _until("ais", lambda: self._push(data))

    def _push(self, data: bytes) -> None:
        try:
            if self._ais is None:
                self._ais = socket.create_connection(self._ais_address, timeout=30)
            self._ais.sendall(data)
        except OSError:
            self._close_ais()
            raise

    def _close_ais(self) -> None:
        if self._ais is not None:
            self._ais.close()
            self._ais = None

    def _ask(self, door: str, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        def once() -> dict[str, Any]:
            answer = self._client.request(method, path, **arguments)
            if answer.status_code >= 500:
                raise ConnectionError(f"{answer.status_code}: {answer.text[:200]}")
            answer.raise_for_status()
            return dict(answer.json()) if answer.content else {}

        return _until(door, once)


def _until(door: str, work: Callable[[], T]) -> T:
    """Try until it works.

    Raises:
        UnavailableError: it did not within a minute.
    """
    deadline = time.monotonic() + _PATIENCE_S
    wait = 0.1
    while True:
        try:
            return work()
        except (OSError, httpx.TransportError) as error:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the {door} door does not take the demo's records: {error}",
                    hint="`thap doctor` says what is wrong",
                ) from None
            time.sleep(wait)
            wait = min(2 * wait, 2.0)


def _plain(name: str) -> str:
    """As AIS can carry it: capital letters without marks, at most 20."""
    return fold(name).upper()[:20]


def sentences(
    mover: Mover, time_us: int, lon: float, lat: float, speed_kn: float, course_deg: float, with_static: bool
) -> Sequence[str]:
    """A position of a vessel as AIS sentences, each with the time in a tag block; with its static data if asked."""
    mmsi = int(mover.key.removeprefix("mmsi-"))
    second = time_us // SECOND_US
    tag = f"s:demo,c:{second}"
    stamp = f"\\{tag}*{checksum(tag.encode()):02X}\\"
    position = {
        "type": 18,
        "mmsi": mmsi,
        "lon": lon,
        "lat": lat,
        "speed": speed_kn,
        "course": course_deg,
        "second": second % 60,
    }
    messages: list[dict[str, Any]] = [position]
    if with_static:
        messages += [
            {"type": 24, "mmsi": mmsi, "partno": 0, "shipname": _plain(mover.name)},
            {"type": 24, "mmsi": mmsi, "partno": 1, "ship_type": mover.ship_type},
        ]
    return [
        stamp + line
        for message in messages
        for line in encode_dict(message, talker_id="AI", sentence_type="VDM", radio_channel="B")
    ]
