"""The gateway's side of the live view: one connection to the worker a camera, shared by all who look at it here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from thap.kernel.errors import UnavailableError

__all__ = ["Relay", "Relays", "Viewer"]

_log = structlog.get_logger(__name__)
_HEAD = struct.Struct(">BI")
_INFO, _HEADER, _KEY = 0, 1, 2
_FRAME_MOST = 32 << 20
_QUEUE_MOST = 4 << 20
"""Bytes that wait for one viewer; who has more is left until the next key picture."""
_GROUP_MOST = 16 << 20


@dataclass(eq=False)
class Viewer:
    """Somebody who looks at a camera: what waits for them."""

    waiting: deque[bytes] = field(default_factory=deque)
    size: int = 0
    flows: bool = False
    ended: bool = False
    skipped: int = 0
    """How often they were left behind."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, frame: bytes, kind: int) -> None:
        """Take a frame, or be left behind until the next key picture."""
        if kind >= _KEY:
            if kind == _KEY:
                if self.size > _QUEUE_MOST:
                    self._drop()
                self.flows = True
            elif not self.flows:
                return
            elif self.size > _QUEUE_MOST:
                self._drop()
                return
        self.waiting.append(frame)
        self.size += len(frame)
        self.wake.set()

    def _drop(self) -> None:
        """Let go of fragments; what describes the stream stays."""
        kept = [frame for frame in self.waiting if frame[0] < _KEY]
        self.waiting = deque(kept)
        self.size = sum(map(len, kept))
        self.flows = False
        self.skipped += 1

    async def take(self) -> list[bytes]:
        """Everything that waits; empty when the stream has ended."""
        while not self.waiting:
            if self.ended:
                return []
            self.wake.clear()
            await self.wake.wait()
        taken = list(self.waiting)
        self.waiting.clear()
        self.size = 0
        return taken

    def end(self) -> None:
        self.ended = True
        self.wake.set()


class Relay:
    """One camera's stream. Ends by itself when nobody looks any more, or the worker ends it."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name, self._reader, self._writer = name, reader, writer
        self._viewers: set[Viewer] = set()
        self._head: list[bytes] = []
        self._group: list[tuple[bytes, int]] = []
        self._group_size = 0
        self.over = False

    def join(self) -> Viewer:
        """A new viewer: begins with the last key picture there is."""
        viewer = Viewer()
        for frame in self._head:
            viewer.put(frame, frame[0])
        for frame, kind in self._group:
            viewer.put(frame, kind)
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        if not self._viewers:
            self.over = True
            self._writer.close()

    async def run(self) -> None:
        """Hand on what the worker sends."""
        try:
            while True:
                head = await self._reader.readexactly(_HEAD.size)
                kind, length = _HEAD.unpack(head)
                if length > _FRAME_MOST:
                    break
                self._spread(bytes((kind,)) + await self._reader.readexactly(length), kind)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.over = True
            self._writer.close()
            for viewer in self._viewers:
                viewer.end()

    def _spread(self, frame: bytes, kind: int) -> None:
        if kind == _INFO:
            self._head, self._group, self._group_size = [frame], [], 0
        elif kind == _HEADER:
            self._head = [*self._head[:1], frame]
        else:
            if kind == _KEY:
                self._group, self._group_size = [], 0
            if self._group_size < _GROUP_MOST:
                self._group.append((frame, kind))
                self._group_size += len(frame)
        for viewer in self._viewers:
            viewer.put(frame, kind)


class Relays:
    """All cameras somebody looks at through this gateway."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "vision.json"
        self._relays: dict[str, Relay] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, name: str) -> tuple[Relay, Viewer]:
        """Look at a camera.

        Raises:
            UnavailableError: no worker reads cameras at the moment.
        """
        async with self._turns.setdefault(name, asyncio.Lock()):
            relay = self._relays.get(name)
            if relay is None or relay.over:
                relay = self._relays[name] = await self._connect(name)
            return relay, relay.join()

    async def _connect(self, name: str) -> Relay:
        try:
            told: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
            async with asyncio.timeout(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(told["port"]), limit=1 << 20)
        except (OSError, ValueError, KeyError, TimeoutError):
            raise UnavailableError(
                "no camera is read at the moment", where=name, hint="`thap doctor` says whether the vision worker runs"
            ) from None
        writer.write(json.dumps({"secret": told["secret"], "camera": name}).encode() + b"\n")
        relay = Relay(name, reader, writer)
        task = asyncio.create_task(self._run(relay))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return relay

    async def _run(self, relay: Relay) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await relay.run()
        if self._relays.get(relay.name) is relay:
            del self._relays[relay.name]
