"""The MQTT door: 3.1.1 devices publish to the child nats-server, this door reads what they sent.

    thap/v1/{thing}/{datastream}    12.5   or   {"at": "2026-11-22T08:00:00Z", "result": 12.5}
    thap/v1/{mover}/position        {"at": …, "lon": 105.6, "lat": 10.4, "speed_kn": 4, "course_deg": 120}

QoS 1: the server acknowledges (PUBACK) once the message is in its inbox stream on disk. This door reads the
inbox by sequence and remembers how far it came only after the journal has the records, so a message that was
acknowledged takes effect whatever is killed in between. A message without `at` gets the time the inbox took
it, so reading it twice yields the same record, which collapses. QoS 0 is heard as it passes, and promised
nothing, as the protocol says.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
import numpy as np
import structlog
from nats.aio.msg import Msg
from sqlalchemy.exc import SQLAlchemyError

from thap.kernel.bus import MQTT_INBOX, Bus
from thap.kernel.clock import now_us, parse_time_us
from thap.kernel.errors import InputError, ThapError, UnavailableError
from thap.observe.intake import Intake
from thap.observe.kinds import Kind

__all__ = ["MqttDoor"]

_log = structlog.get_logger(__name__)
_PREFIX = "thap.v1."
_INBOX_PREFIX = "$MQTT.msgs."
_MARK = "mqtt"


class _ResultIn(msgspec.Struct, gc=False):
    result: float | bool
    at: str | float | None = None


class _PlaceIn(msgspec.Struct, gc=False):
    lon: float
    lat: float
    at: str | float | None = None
    speed_kn: float | None = None
    course_deg: float | None = None


_result = msgspec.json.Decoder(_ResultIn)
_place = msgspec.json.Decoder(_PlaceIn)
_NAN = float("nan")


class _Gathered:
    """Messages of one batch, decoded into columns by kind."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.times: list[int] = []
        self.results: list[float] = []
        self.movers: list[str] = []
        self.mover_times: list[int] = []
        self.places: list[tuple[float, float, float, float]] = []
        self.bad: list[tuple[str, Any]] = []

    def add(self, subject: str, payload: bytes, taken: int) -> None:
        """Decode one message; what cannot be decoded is kept with its reason."""
        parts = subject[len(_PREFIX) :].replace("//", "\0").split(".")
        if len(parts) != 2 or not subject.startswith(_PREFIX):
            self._refuse("the topic is not thap/v1/{thing}/{datastream}", subject, payload)
            return
        thing, name = (part.replace("\0", ".") for part in parts)
        try:
            if name == "position":
                place = _place.decode(payload)
                time = taken if place.at is None else parse_time_us(place.at)
                self.movers.append(thing)
                self.mover_times.append(time)
                self.places.append(
                    (
                        place.lon,
                        place.lat,
                        _NAN if place.speed_kn is None else place.speed_kn,
                        _NAN if place.course_deg is None else place.course_deg,
                    )
                )
                return
            try:
                result, time = float(payload), taken
            except ValueError:
                message = _result.decode(payload)
                result = float(message.result)
                time = taken if message.at is None else parse_time_us(message.at)
        except (msgspec.DecodeError, UnicodeDecodeError, InputError, OverflowError) as error:
            reason = (
                str(error)
                if isinstance(error, (msgspec.ValidationError, InputError))
                else f"neither a number nor valid JSON: {error}"
            )
            self._refuse(reason, subject, payload)
            return
        self.keys.append(f"{thing}/{name}")
        self.times.append(time)
        self.results.append(result)

    def _refuse(self, reason: str, subject: str, payload: bytes) -> None:
        self.bad.append(
            (
                reason,
                {
                    "topic": subject.replace("//", "\0").replace(".", "/").replace("\0", "."),
                    "payload": payload[:4096].decode("utf-8", "backslashreplace"),
                },
            )
        )

    async def hand_in(self, intake: Intake, door: str) -> None:
        """Everything into the intake; returns once it is durable."""
        if self.bad:
            await intake.reject(door, Kind.OBSERVATION, self.bad)
            self.bad = []
        if self.keys:
            await intake.observations(
                door, self.keys, np.array(self.times, np.int64), np.array(self.results, np.float64), self._raw
            )
        if self.movers:
            lons, lats, speeds, courses = np.array(self.places, np.float64).T
            await intake.positions(
                door, self.movers, np.array(self.mover_times, np.int64), lons, lats, speeds, courses, self._raw_place
            )

    def _raw(self, row: int) -> dict[str, Any]:
        result = self.results[row]
        return {
            "datastream": self.keys[row],
            "at": self.times[row],
            "result": result if np.isfinite(result) else str(result),
        }

    def _raw_place(self, row: int) -> dict[str, Any]:
        lon, lat, speed, course = (value if np.isfinite(value) else None for value in self.places[row])
        return {
            "mover": self.movers[row],
            "at": self.mover_times[row],
            "lon": lon,
            "lat": lat,
            "speed_kn": speed,
            "course_deg": course,
        }


class MqttDoor:
    """Reads the MQTT inbox into the intake for as long as `run` runs."""

    name = "mqtt"

    def __init__(self, bus: Bus, intake: Intake) -> None:
        self._bus, self._intake = bus, intake
        self._passing: list[tuple[str, bytes, int]] = []
        self._passed = asyncio.Event()
        self.seq = 0
        """The inbox is taken up to here."""
        self.total = 0
        self._newest = 0

    async def run(self) -> None:
        """Until cancelled."""
        subscription = await self._bus.client.subscribe(_PREFIX + ">", cb=self._hear)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read_inbox())
                group.create_task(self._take_passing())
                group.create_task(self._look_ahead())
        finally:
            await subscription.unsubscribe()

    async def _read_inbox(self) -> None:
        after = marked = self.seq = await self._bus.marked(_MARK)
        next_mark = 0.0
        loop = asyncio.get_running_loop()
        async for entries in self._bus.read(MQTT_INBOX, after):
            gathered = _Gathered()
            for entry in entries:
                gathered.add(entry.subject[len(_INBOX_PREFIX) :], entry.payload, entry.time)
            await self._hand_in(gathered)
            after = self.seq = entries[-1].seq
            self.total += len(entries)
            if loop.time() >= next_mark or not entries[-1].pending:
                try:
                    await self._bus.mark(_MARK, after)
                    marked, next_mark = after, loop.time() + 0.25
                except UnavailableError:
                    _log.debug("mark put off", marked=marked)

    async def _look_ahead(self) -> None:
        """Ask where the inbox ends, so that a reader that stopped shows as lag."""
        while True:
            with contextlib.suppress(Exception):  # while the stream restarts, the newest known will do
                async with asyncio.timeout(2):
                    self._newest = await self._bus.last_seq(MQTT_INBOX)
            await asyncio.sleep(1)

    def stats(self) -> dict[str, Any]:
        """What the heartbeat says of this door."""
        lag = max(0, self._newest - self.seq)
        return {"seq": self.seq, "lag": lag, "total": self.total, "holding": self._intake.disk_full}

    async def _hand_in(self, gathered: _Gathered) -> None:
        """Until the journal has it: the inbox keeps the messages meanwhile."""
        while True:
            try:
                await gathered.hand_in(self._intake, self.name)
                return
            except (ThapError, SQLAlchemyError) as error:
                self._intake.count(self.name, f"waits_{getattr(error, 'code', '') or type(error).__name__}")
                await asyncio.sleep(0.5)

    async def _hear(self, message: Msg) -> None:
        """A message as it passes; QoS 1 and 2 come through the inbox."""
        headers = message.headers
        if headers and not headers.get("Nmqtt-Pub", "0").startswith("0"):
            return
        if len(self._passing) >= 100_000:
            self._intake.count(self.name, "qos0_dropped")
            return
        self._passing.append((message.subject, message.data, now_us()))
        self._passed.set()

    async def _take_passing(self) -> None:
        while True:
            await self._passed.wait()
            await asyncio.sleep(0.005)
            self._passed.clear()
            messages, self._passing = self._passing, []
            gathered = _Gathered()
            for subject, payload, taken in messages:
                gathered.add(subject, payload, taken)
            try:
                await gathered.hand_in(self._intake, self.name)
            except ThapError as error:
                _log.warning("QoS 0 messages lost", count=len(messages), reason=str(error))
                self._intake.count(self.name, "qos0_dropped", len(messages))
