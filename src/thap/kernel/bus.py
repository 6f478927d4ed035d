"""The stream: NATS with JetStream. Appending, reading on from a sequence, asking and announcing.

Streams of a centre:

| stream        | subjects              | what                                                       |
|---------------|-----------------------|------------------------------------------------------------|
| `JOURNAL`     | `journal.<kind>`      | blocks of accepted records, in the order they took effect  |
| `QUARANTINE`  | `quarantine.<kind>`   | records of names nobody admitted yet, JSON                 |
| `DEAD`        | `dead.<door or stage>`| records that could not be taken, with the reason, JSON     |
| `FOUND`       | `found.<domain>`      | what detectors found beside alarms, for a domain's records |
| `MARKS`       | `marks.<name>`        | how far a reader outside the journal came; one message each |
| `$MQTT_msgs`  | `$MQTT.msgs.>`        | the MQTT door's inbox: PUBACK is sent once a message is in it |

Subjects of core NATS (not kept): `centre.live.<what>` announcements, `centre.stats.<role>` heartbeats,
`centre.ask.<what>` requests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from thap.kernel.errors import DiskFullError, InputError, UnavailableError
from thap.kernel.settings import JournalSettings

__all__ = ["DEAD", "FOUND", "JOURNAL", "MARKS", "MQTT_INBOX", "QUARANTINE", "Bus", "Entry"]

JOURNAL, QUARANTINE, DEAD, FOUND, MARKS = "JOURNAL", "QUARANTINE", "DEAD", "FOUND", "MARKS"
MQTT_INBOX = "$MQTT_msgs"

_log = structlog.get_logger(__name__)
_NO_ROOM = (10023, 10047, 10077, 10122)  # insufficient resources, storage exceeded, stream store failed, max bytes


_take_apart = lru_cache(1024)(Client._parse_header_lines)


class _Client(Client):
    """The library's client, mended in two places.

    Headers that were taken apart are remembered: in a flood from devices they are all alike, and cost a third of
    reading it. And whoever is cancelled while an answer comes is cancelled: `asyncio.wait_for`, which the library asks
    with, gives the answer instead up to Python 3.11, and a task that asks in a loop would never end.
    """

    async def request(self, *arguments: Any, **options: Any) -> Msg:
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        try:
            return await super().request(*arguments, **options)
        finally:
            if task is not None and task.cancelling() > before:
                raise asyncio.CancelledError

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        return dict(_take_apart(bytes(raw))) if len(raw) < 128 else Client._parse_header_lines(raw)


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a stream."""

    seq: int
    subject: str
    payload: bytes
    headers: dict[str, str] | None
    time: int
    """When the stream took it, µs."""
    pending: int
    """How many messages of the stream came after it so far."""


class Bus:
    """A connection to the stream of one centre. It reconnects by itself for as long as it is open."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=10)

    @classmethod
    async def connect(cls, url: str, name: str, *, patience_s: float = 15) -> Bus:
        """Connect.

        Raises:
            UnavailableError: nothing answered within `patience_s`.
        """
        client = _Client()

        async def quiet(_error: Exception) -> None:
            """Reconnection is reported by the stage that notices, not once a socket."""

        try:
            async with asyncio.timeout(patience_s):
                while True:
                    try:
                        await client.connect(
                            url,
                            name=name,
                            max_reconnect_attempts=-1,
                            reconnect_time_wait=1,
                            ping_interval=5,
                            max_outstanding_pings=3,
                            error_cb=quiet,
                            pending_size=64 * 1024 * 1024,
                            allow_reconnect=True,
                            connect_timeout=2,
                        )
                        break
                    except (TimeoutError, OSError, NatsError):
                        client = _Client()
                        await asyncio.sleep(0.1)
        except TimeoutError:
            raise UnavailableError(
                "the stream does not answer",
                where=url.rpartition("@")[2],
                hint="is the centre running? `thap up` starts it",
            ) from None
        return cls(client)

    async def close(self) -> None:
        """Send what waits and close."""
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.client.flush(), 2)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.client.close(), 2)

    async def ensure_streams(self, settings: JournalSettings) -> None:
        """Create the streams, or bring their limits up to date. Repeats cost nothing."""
        limit = int(settings.max_gib * 2**30)
        keep = settings.keep_hours * 3600
        wanted = [
            StreamConfig(
                name=JOURNAL,
                subjects=["journal.>"],
                max_bytes=limit,
                max_age=keep,
                discard=DiscardPolicy.OLD,
                duplicate_window=120,
                allow_direct=True,
            ),
            StreamConfig(
                name=QUARANTINE,
                subjects=["quarantine.>"],
                max_bytes=max(limit // 10, 2**26),
                discard=DiscardPolicy.NEW,
                allow_direct=True,
            ),
            StreamConfig(
                name=DEAD,
                subjects=["dead.>"],
                max_bytes=max(limit // 10, 2**26),
                discard=DiscardPolicy.OLD,
                allow_direct=True,
            ),
            StreamConfig(
                name=FOUND,
                subjects=["found.>"],
                max_bytes=max(limit // 20, 2**26),
                max_age=keep,
                discard=DiscardPolicy.OLD,
                duplicate_window=120,
                allow_direct=True,
            ),
            StreamConfig(
                name=MARKS,
                subjects=["marks.>"],
                max_msgs_per_subject=1,
                max_bytes=2**24,
                discard=DiscardPolicy.OLD,
                allow_direct=True,
            ),
            # The MQTT server would make its inbox forget what nobody subscribed to; made beforehand with
            # limits instead, it keeps every acknowledged message for the door to read by sequence.
            StreamConfig(
                name=MQTT_INBOX,
                subjects=["$MQTT.msgs.>"],
                max_bytes=max(limit // 5, 2**26),
                max_age=keep,
                discard=DiscardPolicy.NEW,  # full: no acknowledgement, rather than forgetting what was acknowledged
            ),
        ]

        async def ensure(config: StreamConfig) -> None:
            config.storage, config.retention = StorageType.FILE, RetentionPolicy.LIMITS
            try:
                await self.js.update_stream(config)
            except NotFoundError:
                await self.js.add_stream(config)

        try:
            async with asyncio.TaskGroup() as group:
                for config in wanted:
                    group.create_task(ensure(config))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def close_inbox(self, settings: JournalSettings, *, closed: bool) -> None:
        """Let the MQTT inbox refuse messages, which are then not acknowledged, or take them again.

        Raises:
            UnavailableError: the stream did not answer.
        """
        try:
            info = await self.js.stream_info(MQTT_INBOX)
            full = max(1, int(info.state.bytes))
            info.config.max_bytes = full if closed else max(int(settings.max_gib * 2**30) // 5, 2**26)
            await self.js.update_stream(info.config)
        except (NatsError, APIError, TimeoutError, OSError) as error:
            raise UnavailableError(f"the MQTT inbox did not answer: {type(error).__name__}") from None

    async def append(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> int:
        """Append durably; returns the sequence once the stream has it on disk.

        Raises:
            DiskFullError: the stream has no room.
            UnavailableError: it did not answer; the message may or may not have been kept.
        """
        try:
            ack = await self.js.publish(subject, payload, headers=headers, timeout=10)
        except APIError as error:
            if error.err_code in _NO_ROOM or "space" in str(error.description).lower():
                raise DiskFullError("the journal has no room left", hint="free disk space") from None
            raise UnavailableError(f"the stream refused: {error.description}") from None
        except MaxPayloadError:
            raise InputError(
                f"{len(payload)} bytes are more than one message can hold", hint="send smaller parts"
            ) from None
        except (TimeoutError, NatsError, NoRespondersError, OSError) as error:
            raise UnavailableError(
                f"the stream did not answer: {type(error).__name__}", hint="try again in a moment"
            ) from None
        return int(ack.seq)

    async def last_seq(self, stream: str) -> int:
        """The sequence of the newest message, 0 for an empty stream."""
        return int((await self.js.stream_info(stream)).state.last_seq)

    async def last_of(self, stream: str, subject: str) -> Entry | None:
        """The newest message on a subject."""
        try:
            raw = await self.js.get_last_msg(stream, subject, direct=True)
        except NotFoundError:
            return None
        return Entry(raw.seq or 0, raw.subject or subject, raw.data or b"", raw.headers, 0, 0)

    async def mark(self, name: str, value: int) -> None:
        """Remember durably how far a reader came. Raises as `append`."""
        await self.append(f"marks.{name}", str(value).encode())

    async def marked(self, name: str) -> int:
        """What `mark` last remembered, 0 at first."""
        entry = await self.last_of(MARKS, f"marks.{name}")
        return 0 if entry is None else int(entry.payload)

    async def read(
        self, stream: str, after: int, *, subject: str | None = None, stop_at_end: bool = False
    ) -> AsyncIterator[list[Entry]]:
        """Messages with a sequence above `after`, in order, each exactly once, in groups as they arrive.

        Goes on over reconnections and server restarts. Backpressure: the server sends no more than about
        32 MiB ahead of what was taken. With `stop_at_end` it ends at what is newest when it begins.
        """
        end = await self.last_seq(stream) if stop_at_end else None
        if end is not None and end <= after:
            return
        reader = _Reader(self, stream, subject)
        try:
            while True:
                entries = await reader.take(after)
                if entries:
                    after = entries[-1].seq
                    yield entries if end is None else [e for e in entries if e.seq <= end]
                if end is not None and (
                    after >= end
                    or (entries and entries[-1].pending == 0)
                    or (not entries and await reader.caught_up(after, end))
                ):
                    return
        finally:
            await reader.stop()

    async def announce(self, subject: str, body: Any) -> None:
        """Tell whoever listens; nothing is kept."""
        with contextlib.suppress(NatsError, OSError):
            await self.client.publish(subject, msgspec.json.encode(body))

    async def ask(self, subject: str, payload: bytes = b"", *, timeout_s: float = 5) -> bytes:
        """Ask a stage.

        Raises:
            UnavailableError: no stage answers this.
        """
        try:
            return bytes((await self.client.request(subject, payload, timeout=timeout_s)).data)
        except (TimeoutError, NatsError, OSError):
            raise UnavailableError(
                f"no part of the centre answers {subject.removeprefix('centre.ask.')}",
                hint="`thap doctor` says what is down",
            ) from None

    async def answer(self, subject: str, handler: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Answer requests on a subject for as long as the bus is open."""

        async def respond(message: Msg) -> None:
            try:
                await message.respond(await handler(message.data))
            except Exception:
                _log.exception("answering failed", subject=subject)

        await self.client.subscribe(subject, cb=respond)

    async def listen(self, subject: str, handler: Callable[[str, bytes], Awaitable[None]]) -> None:
        """Call `handler(subject, payload)` for every announcement."""

        async def hear(message: Msg) -> None:
            await handler(message.subject, message.data)

        await self.client.subscribe(subject, cb=hear)


class _Reader:
    """A push consumer without acknowledgements, rebuilt from the last sequence whenever it breaks.

    The client library's own ordered consumer does the same but hands messages one callback at a time and
    does not survive a server restart.
    """

    _quiet_s = 3.0

    def __init__(self, bus: Bus, stream: str, subject: str | None) -> None:
        self._bus, self._stream, self._subject = bus, stream, subject
        self._queue: deque[Msg] = deque()
        self._ready = asyncio.Event()
        self._subscription: Any = None
        self._consumer = ""
        self._delivered = 0

    async def stop(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()
            with contextlib.suppress(Exception):
                await self._bus.js.delete_consumer(self._stream, self._consumer)
        self._queue.clear()
        self._delivered = 0

    async def _start(self, after: int) -> None:
        await self.stop()
        inbox = self._bus.client.new_inbox()

        async def hear(message: Msg) -> None:
            self._queue.append(message)
            self._ready.set()

        self._subscription = await self._bus.client.subscribe(
            inbox, cb=hear, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        info = await self._bus.js.add_consumer(
            self._stream,
            ConsumerConfig(
                deliver_subject=inbox,
                ack_policy=AckPolicy.NONE,
                filter_subject=self._subject,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=after + 1,
                mem_storage=True,
                flow_control=True,
                idle_heartbeat=1.0,
                max_deliver=1,
                num_replicas=1,
                inactive_threshold=30,
            ),
        )
        self._consumer = info.name

    async def caught_up(self, after: int, end: int) -> bool:
        """Whether nothing on the subject lies between `after` and `end`."""
        try:
            info = await self._bus.js.consumer_info(self._stream, self._consumer)
        except (TimeoutError, NatsError):
            return False
        return info.num_pending == 0 and not self._queue

    async def take(self, after: int) -> list[Entry]:
        """What arrived since; empty after about half a second of silence."""
        try:
            if self._subscription is None:
                await self._start(after)
                self._heard = asyncio.get_running_loop().time()
            if not self._queue:
                self._ready.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):  # wait_for of Python 3.11 may lose a cancellation
                        await self._ready.wait()
            return await self._drain(after)
        except (TimeoutError, NatsError, OSError) as error:
            _log.debug("reading paused", stream=self._stream, error=repr(error))
            await self.stop()
            await asyncio.sleep(0.2)
            return []

    async def _drain(self, after: int) -> list[Entry]:
        loop = asyncio.get_running_loop()
        if not self._queue:
            if loop.time() - self._heard > self._quiet_s:  # heartbeats stopped: the consumer is gone
                await self.stop()
            return []
        self._heard = loop.time()
        entries: list[Entry] = []
        while self._queue:
            message = self._queue.popleft()
            tokens = message.reply.split(".")
            if tokens[0] == "$JS" and tokens[1] == "ACK":
                seq, delivered = int(tokens[-4]), int(tokens[-3])
                self._delivered += 1
                if delivered != self._delivered:  # a message went missing on the way
                    await self.stop()
                    break
                entries.append(
                    Entry(seq, message.subject, message.data, message.headers, int(tokens[-2]) // 1000, int(tokens[-1]))
                )
            elif message.reply:  # flow control: the server waits until we got this far
                await self._bus.client.publish(message.reply)
        return entries
