"""Server-sent events: alarms without gaps or doubles, latest values conflated.

    centre.live.alarm ─▶ Hub ─ in order, gaps filled from the store ─▶ Console ─▶ socket
    latest values     ─▶ Hub ─ a tick at most 4 times a second      ─▶ Console ─▶ socket

An event's id is `<alarm transition>.<version of latest values>`: where to go on from after a break. A console
that cannot keep up misses intermediate latest values, never an alarm: its queue is bounded, and what
overflows is read from the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from thap.kernel.errors import DeniedError, InputError, UnavailableError
from thap.kernel.metrics import Beat
from thap.respond.alarm import AlarmEvent
from thap.respond.book import AlarmBook
from thap.respond.incidents.sources import things_of
from thap.web.answers import to_json
from thap.web.auth import may
from thap.web.deps import Centre, policy_of
from thap.web.directory import Filter
from thap.web.live import Live, stop_tasks
from thap.web.sight import Sight

__all__ = ["KINDS", "Console", "EventStream", "Hub", "parse_event_id"]

RELAYED = ("incident", "report", "warning", "duty", "quarantine", "registry", "rules")
"""Announcements passed on: `centre.live.<kind>`, as they are or, of `_TOLD`, in these fields only."""
KINDS = ("alarm", "observation", "position", "stage", *RELAYED)
"""What a stream can carry; `stage` is the heartbeat of a process."""

_TICK_S = 0.25
_GATHER_S = 0.04
_HEARTBEAT_S = 10.0
_POLL_S = 2.0
_HOPELESS_S = 30.0
_QUEUE = 1000
_PAGE = 500
_CONSOLES = 1000
_ROWS_PER_TICK = 5000

_TOLD = {
    "report": (
        *("report", "action", "from_state", "to_state", "version", "service", "domain", "unit", "commune", "incident"),
    ),
    "warning": (
        *("warning", "action", "from_state", "to_state", "version", "headline", "message_type", "status", "severity"),
        *("unit", "domain", "incident"),
    ),
    "duty": ("what",),
}
"""What consoles hear of a change, to read the rest by policy: words to and of people go nowhere unasked."""

_log = structlog.get_logger(__name__)
_decode = msgspec.json.Decoder(AlarmEvent).decode


@dataclass(slots=True)
class _Alarm:
    """An alarm event as it goes to sockets."""

    event: AlarmEvent
    frame: bytes
    """All lines but the id."""
    version: int = -1
    """Of the latest values, in the id of `whole`."""
    whole: bytes = b""

    def with_id(self, version: int) -> bytes:
        """The frame with its id, made once for all consoles that have the same latest values."""
        if version != self.version:
            self.version, self.whole = version, b"id: %d.%d\n" % (self.event.id, version) + self.frame
        return self.whole

    @classmethod
    def of(cls, event: AlarmEvent) -> _Alarm:
        return cls(event, b"event: alarm\ndata: " + msgspec.json.encode(event) + b"\n\n")


@dataclass(eq=False, slots=True)
class Console:
    """One listener: what it wants, how far it is, what waits for it."""

    kinds: frozenset[str]
    wanted: Filter
    alarm: int
    """The last alarm transition it has had, or that was none of its business."""
    version: int
    """The version of latest values it has."""
    behind: bool = False
    """Whether alarms after `alarm` are to be read from the store before the queue is looked at."""
    alarms: deque[_Alarm] = field(default_factory=deque)
    others: deque[bytes] = field(default_factory=lambda: deque(maxlen=_QUEUE))
    stale: bool = False
    """Whether latest values may have changed since `version`."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    doubted: bool = False
    """Whether its credential may have ended, or what it may see have changed."""
    sight: Sight | None = None
    """What its listener may see; None for everything."""

    def look(self, sight: Sight) -> None:
        """From now on the listener sees by this; where it may see other things than before, all of them anew."""
        if self.sight is not None and (sight.key, sight.policy) != (self.sight.key, self.sight.policy):
            self.version = self.version if sight.whole and self.sight.whole else 0
            self.stale = True
        self.sight = sight

    def offer(self, alarm: _Alarm) -> None:
        """Queue an alarm event; over the bound it is left to the store."""
        if self.behind:
            return
        if len(self.alarms) >= _QUEUE:
            self.alarms.clear()
            self.behind = True
        else:
            self.alarms.append(alarm)
        self.wake.set()

    def wants(self, event: AlarmEvent) -> bool:
        """Whether the filter lets an alarm event through, and the listener may see it."""
        if (
            self.sight is not None
            and not self.sight.whole
            and not self.sight.alarm(event.commune, event.domain, event.source)
        ):
            return False
        wanted = self.wanted
        if wanted.domains and event.domain not in wanted.domains:
            return False
        if wanted.communes and event.commune not in wanted.communes:
            return False
        if wanted.bbox is not None and (
            event.lon is None or event.lat is None or not wanted.inside(np.array([event.lon]), np.array([event.lat]))[0]
        ):
            return False
        return wanted.matches(event.source)


def parse_event_id(text: str | None) -> tuple[int, int] | None:
    """`<alarm transition>.<version>`, as in the id of an event; None for none.

    Raises:
        InputError: it is not one.
    """
    if not text:
        return None
    alarm, _, version = text.partition(".")
    if not alarm.isdecimal() or (version and not version.isdecimal()) or len(text) > 40:
        raise InputError(
            f"{text[:60]!r} is not the id of an event",
            where="last_event_id",
            hint="give the id of the last event you had",
        )
    return int(alarm), int(version or 0)


class Hub:
    """All consoles of one process. Start it with `async with hub.running()`."""

    def __init__(self, centre: Centre, live: Live) -> None:
        self._centre, self._live = centre, live
        self.book = AlarmBook(centre.records)
        self.consoles: set[Console] = set()
        self.last = 0
        """The newest alarm transition handed out."""
        self.delivered = 0
        """Alarm events handed out since the start."""
        self.filled = 0
        """Those of them that came from the store because their announcement did not arrive in order."""
        self._gap, self._dirty = asyncio.Event(), asyncio.Event()
        self._frames: dict[tuple[str, Filter, int, object], tuple[bytes, int]] = {}
        self._frames_version = -1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hand out events until the block ends; then end all streams."""
        self.last = await self.book.last_event_id()
        bus = self._centre.bus
        await bus.listen("centre.live.alarm", self._hear_alarm)
        for kind in RELAYED:
            await bus.listen(f"centre.live.{kind}", self._hear_other)
        self._live.changed.append(self._dirty.set)
        self._live.beaten.append(self._hear_beat)
        self._live.doubted.append(self._doubt)
        tasks = [asyncio.create_task(work()) for work in (self._fill_gaps, self._tick)]
        try:
            yield
        finally:
            self.close()
            await stop_tasks(tasks)
            await self.book.close()

    def close(self) -> None:
        """End all streams; their consoles reconnect and go on where they were."""
        for console in self.consoles:
            console.closed = True
            console.wake.set()

    async def join(
        self,
        kinds: frozenset[str],
        wanted: Filter,
        resume: tuple[int, int] | None,
        sight: Sight | None = None,
    ) -> Console:
        """A new console.

        Args:
            kinds: of `KINDS`.
            wanted: narrows alarms, observations and positions.
            resume: (alarm transition, version) it had last; None begins now.
            sight: what its listener may see; None for everything.

        Raises:
            InputError: a kind does not exist.
            UnavailableError: there are too many.
        """
        unknown = kinds - set(KINDS)
        if unknown:
            raise InputError(
                f"{sorted(unknown)[0]!r} is not a kind of event", where="kinds", hint=f"choose of {', '.join(KINDS)}"
            )
        if len(self.consoles) >= _CONSOLES:
            raise UnavailableError(f"{_CONSOLES} streams are open already", hint="close some, or try again later")
        alarm, version = resume if resume is not None else (self.last, self._live.version)
        if alarm > self.last:
            if alarm > await self.book.last_event_id():
                alarm = 0  # of another store: nothing it had is here
            self._gap.set()
        console = Console(
            kinds,
            wanted,
            alarm,
            version,
            behind="alarm" in kinds and alarm < self.last,
            stale=version != self._live.version,
            sight=sight,
        )
        self.consoles.add(console)
        return console

    def leave(self, console: Console) -> None:
        """A console has gone."""
        self.consoles.discard(console)

    # ---- alarms

    async def _hear_alarm(self, _subject: str, payload: bytes) -> None:
        try:
            event = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("announcement of an alarm not understood", error=str(error))
            return
        if event.id == self.last + 1:
            self._hand_out(event)
        elif event.id > self.last:
            self._gap.set()

    def _hand_out(self, event: AlarmEvent) -> None:
        self.last = event.id
        self.delivered += 1
        alarm = _Alarm.of(event)
        for console in self.consoles:
            if "alarm" in console.kinds:
                console.offer(alarm)

    async def _fill_gaps(self) -> None:
        """Read from the store what was not announced in order, and now and then whether the newest was not
        announced at all."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._gap.wait()
            self._gap.clear()
            try:
                while events := await self.book.events_after(self.last, _PAGE):
                    for event in events:
                        if event.id > self.last:
                            self._hand_out(event)
                            self.filled += 1
            except Exception as error:
                _log.warning("alarm events cannot be read; trying again", error=str(error))
                await asyncio.sleep(_POLL_S / 4)
                self._gap.set()

    # ---- the rest

    def _doubt(self) -> None:
        """A credential may have ended: every console proves anew that it may listen."""
        for console in self.consoles:
            console.doubted = True
            console.wake.set()

    async def _hear_other(self, subject: str, payload: bytes) -> None:
        kind = subject.rpartition(".")[2]
        told = _told(payload) if kind == "incident" or kind in _TOLD else {}
        if kind in _TOLD:
            told = {name: told[name] for name in _TOLD[kind] if name in told}
            payload = to_json(told)
        if kind in ("incident", "warning") and any(
            kind in console.kinds and console.sight is not None and console.sight.lacks_things
            for console in self.consoles
        ):
            try:
                told["things"] = await self._things(told.get("id") if kind == "incident" else told.get("incident"))
            except Exception as error:  # then nobody hears of it from whom something may be hidden
                _log.warning("what an incident has to do with cannot be read", error=str(error))
                told["hidden"] = True
        self._relay(kind, payload, told=told)

    async def _things(self, number: object) -> tuple[str, ...]:
        """What an incident has to do with, as far as it matters who sees it."""
        policy = await policy_of(self._centre).current()
        if not isinstance(number, int):
            return ()
        async with self._centre.records.read() as connection:
            return (await things_of(connection, policy, [number])).get(number, ())

    def _hear_beat(self, beat: Beat) -> None:
        self._relay("stage", None, beat)

    def _relay(
        self, kind: str, payload: bytes | None, beat: Beat | None = None, told: dict[str, Any] | None = None
    ) -> None:
        listeners = [console for console in self.consoles if kind in console.kinds]
        if not listeners:
            return
        body = to_json(beat.as_dict()) if beat is not None else (payload or b"{}").replace(b"\n", b" ")
        frame = b"event: %s\ndata: %s\n\n" % (kind.encode(), body)
        for console in listeners:
            if console.sight is not None and not _hears(console.sight, kind, told or {}):
                continue
            console.others.append(frame)
            console.wake.set()

    async def _tick(self) -> None:
        """Tell consoles together that latest values changed, so that those who want the same share the work."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            for console in self.consoles:
                if not console.kinds.isdisjoint(("observation", "position")):
                    console.stale = True
                    console.wake.set()
            await asyncio.sleep(_TICK_S)

    async def latest_frame(
        self, kind: str, wanted: Filter, since: int, sight: Sight | None = None
    ) -> tuple[bytes, int]:
        """The event with latest values changed after a version, and how many rows; empty for none."""
        version = self._live.version
        if version != self._frames_version:
            self._frames.clear()
            self._frames_version = version
        key = None if sight is None or sight.whole else (sight.policy.version, sight.key)
        found = self._frames.get((kind, wanted, since, key))
        if found is None:
            rows = await self._live.rows(kind, wanted, since, sight)
            body = to_json(self._live.columns(kind, rows)) if len(rows) else b""
            found = (b"event: %s\ndata: %s\n\n" % (kind.encode(), body) if body else b"", len(rows))
            if version == self._live.version:
                self._frames[kind, wanted, since, key] = found
        return found


class EventStream(Response):
    """The answer that a console listens to."""

    media_type = "text/event-stream"

    def __init__(
        self, hub: Hub, live: Live, console: Console, prove: Callable[[], Awaitable[Sight]] | None = None
    ) -> None:
        """
        Args:
            hub: what the console has joined.
            live: the moment.
            console: who listens.
            prove: raises DeniedError once the listener's credential has ended, else says what the listener may
                see; asked with every heartbeat and after each change of credentials. None for no such check.
        """
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub, self._live, self._console, self._prove = hub, live, console, prove

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        console = self._console
        gone = asyncio.create_task(_until_gone(receive, console))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._run(console, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            _log.info("a console took nothing for too long and was let go", kinds=sorted(console.kinds))
        except OSError:
            pass
        finally:
            self._hub.leave(console)
            gone.cancel()

    async def _run(self, console: Console, send: Send) -> None:
        async def write(data: bytes | bytearray) -> None:
            async with asyncio.timeout(_HOPELESS_S):
                await send({"type": "http.response.body", "body": bytes(data), "more_body": True})

        loop = asyncio.get_running_loop()
        await write(b"retry: 1000\n" + _id(console) + b"\n")
        beat_at, latest_at = loop.time() + _HEARTBEAT_S, 0.0
        while not console.closed:
            console.wake.clear()
            if (console.doubted or loop.time() >= beat_at) and not await self._may_listen(console):
                return
            if console.behind:
                await self._catch_up(console, write)
            if await self._write_queued(console, write):
                await asyncio.sleep(_GATHER_S)  # what comes meanwhile goes out in one piece
            now = loop.time()
            if console.stale and now >= latest_at:
                rows = await self._write_latest(console, write)
                # The more rows, the longer until the next: 4 times a second up to 5,000 rows.
                latest_at = now + (rows / _ROWS_PER_TICK - 1) * _TICK_S if rows > _ROWS_PER_TICK else 0.0
            if now >= beat_at:
                await write(b": %d\n" % int(time.time()) + _id(console) + b"\n")
                beat_at = now + _HEARTBEAT_S
            until = min(beat_at, latest_at) if console.stale else beat_at
            timer = loop.call_later(max(0.0, until - loop.time()), console.wake.set)
            await console.wake.wait()
            timer.cancel()

    async def _may_listen(self, console: Console) -> bool:
        console.doubted = False
        try:
            if self._prove is not None:
                console.look(await self._prove())
        except DeniedError:
            return False
        except Exception as error:  # the records do not answer: that is nobody's end
            _log.warning("the credential of a stream cannot be checked", error=str(error))
        return True

    async def _catch_up(self, console: Console, write: Callable[[bytes | bytearray], Any]) -> None:
        """Alarms from the store, until what is newer is in the queue again."""
        while console.behind and not console.closed:
            if console.alarm >= self._hub.last:
                console.behind = False
                return
            events = await self._hub.book.events_after(console.alarm, _PAGE)
            if not events:  # of this console's past nothing is left
                console.alarm = self._hub.last
                continue
            chunk = bytearray()
            for event in events:
                console.alarm = event.id
                if console.wants(event):
                    chunk += _id(console) + _Alarm.of(event).frame
            if chunk:
                await write(chunk)

    async def _write_queued(self, console: Console, write: Callable[[bytes | bytearray], Any]) -> bool:
        """Whether anything was written."""
        chunk: list[bytes] = []
        while console.alarms:
            alarm = console.alarms.popleft()
            if alarm.event.id <= console.alarm:
                continue
            console.alarm = alarm.event.id
            if console.wants(alarm.event):
                chunk.append(alarm.with_id(console.version))
        chunk += console.others
        console.others.clear()
        if chunk:
            await write(b"".join(chunk))
        return bool(chunk)

    async def _write_latest(self, console: Console, write: Callable[[bytes | bytearray], Any]) -> int:
        console.stale = False
        version, rows = self._live.version, 0
        frames: list[bytes] = []
        for kind in ("observation", "position"):
            if kind in console.kinds:
                frame, count = await self._hub.latest_frame(kind, console.wanted, console.version, console.sight)
                rows += count
                if frame:
                    frames.append(frame)
        # Only the last one says that the console is at the new version: a break between them loses nothing.
        chunk = b"".join(_id(console) + frame for frame in frames[:-1])
        console.version = version
        if frames:
            await write(chunk + _id(console) + frames[-1])
        return rows


_HEARS = {
    "duty": "duty.read",
    "quarantine": "quarantine.act",
    "registry": "thing.read",
    "rules": "rule.read",
    "stage": "system.read",
}
"""The action that each announcement passed on asks for, wherever it is granted."""


def _told(body: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return told if isinstance(told, dict) else {}


def _hears(sight: Sight, kind: str, told: dict[str, Any]) -> bool:
    if kind == "incident":
        return sight.whole or (not told.get("hidden") and sight.incident(told))
    if kind == "report":
        return sight.report(told)
    if kind == "warning":
        if told.get("to_state") == "published" and may(sight.who, "warning.read"):
            return True
        return not told.get("hidden") and sight.warning(told)
    return may(sight.who, _HEARS[kind])


def _id(console: Console) -> bytes:
    return b"id: %d.%d\n" % (console.alarm, console.version)


async def _until_gone(receive: Receive, console: Console) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    console.closed = True
    console.wake.set()
