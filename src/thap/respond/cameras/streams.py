"""The worker's side of the live view: a gateway on this machine asks for a camera and is sent its fragments.

One connection carries one camera. The gateway says who it is with the secret of `run/vision.json` (mode 0600); then
frames follow: one byte of type, four of length, the content.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thap.observe.cameras.packets import Track
from thap.observe.cameras.reader import Reader
from thap.observe.cameras.remux import Fragment

__all__ = ["HEADER", "INFO", "KEY", "REST", "StreamServer", "frame", "info_of"]

INFO, HEADER, KEY, REST = 0, 1, 2, 3
"""Types of frames: JSON about the stream, the MP4 header, a fragment that begins with a key picture, any other."""
_HEAD = struct.Struct(">BI")
_MOST_WAITING = 8 << 20
_GROUP_MOST = 16 << 20


def frame(kind: int, content: bytes) -> bytes:
    """One frame."""
    return _HEAD.pack(kind, len(content)) + content


def info_of(track: Track) -> bytes:
    """What a player must know first."""
    return json.dumps({"mime": track.mime, "codec": track.codec, "width": track.width, "height": track.height}).encode()


class _Channel:
    """Everybody who looks at one camera. Fragments since the last key picture are held, so that who comes begins at
    once; who cannot keep up is left until the next key picture."""

    def __init__(self, reader: Reader, loop: asyncio.AbstractEventLoop) -> None:
        self._reader, self._loop = reader, loop
        self._track: Track | None = None
        self._group: list[Fragment] = []
        self._viewers: dict[asyncio.StreamWriter, bool] = {}

    def join(self, writer: asyncio.StreamWriter) -> None:
        first = not self._viewers
        self._viewers[writer] = True
        if first:
            self._track, self._group = None, []
            self._reader.listen(self._hear)
        elif self._track is not None:
            self._begin(writer)

    def leave(self, writer: asyncio.StreamWriter) -> None:
        self._viewers.pop(writer, None)
        if not self._viewers:
            self._reader.listen(None)

    def _hear(self, track: Track, fragments: list[Fragment]) -> None:
        """In the reader's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._spread, track, fragments)

    def _begin(self, writer: asyncio.StreamWriter) -> None:
        assert self._track is not None
        writer.write(frame(INFO, info_of(self._track)) + frame(HEADER, self._track.header))
        for content, key in self._group:
            writer.write(frame(KEY if key else REST, content))
        self._viewers[writer] = bool(self._group)

    def _spread(self, track: Track, fragments: list[Fragment]) -> None:
        if track is not self._track:
            self._track, self._group = track, []
            for writer in self._viewers:
                self._begin(writer)
        for content, key in fragments:
            if key:
                self._group = []
            if sum(len(one) for one, _ in self._group) < _GROUP_MOST:
                self._group.append((content, key))
            made = frame(KEY if key else REST, content)
            for writer, flows in self._viewers.items():
                full = writer.transport.get_write_buffer_size() > _MOST_WAITING
                if full or not (flows or key):
                    self._viewers[writer] = False
                    continue
                self._viewers[writer] = True
                writer.write(made)


class StreamServer:
    """Serves fragments on loopback.

    Args:
        run_dir: where `vision.json` says how to reach it.
        reader_of: gives the reader of a camera by name, None for none.
    """

    def __init__(self, run_dir: Path, reader_of: Callable[[str], Reader | None]) -> None:
        self._path, self._reader_of = run_dir / "vision.json", reader_of
        self._secret = secrets.token_urlsafe(32)
        self._channels: dict[str, tuple[Reader, _Channel]] = {}
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def viewers(self) -> int:
        """Connections that look at a camera."""
        return len(self._open)

    async def start(self) -> None:
        """Listen, and say where."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=65_536)
        port = self._server.sockets[0].getsockname()[1]
        draft = self._path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w") as file:
            json.dump({"port": port, "secret": self._secret, "pid": os.getpid()}, file)
        draft.replace(self._path)

    async def stop(self) -> None:
        """Close everything."""
        self._path.unlink(missing_ok=True)
        for writer in list(self._open):
            writer.close()
        if self._server is not None:
            self._server.close()

    def gone(self, name: str) -> None:
        """A camera's reader ended: its viewers are told by the end of their connection."""
        _, channel = self._channels.pop(name, (None, None))
        if channel is not None:
            for writer in list(channel._viewers):
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel: _Channel | None = None
        try:
            async with asyncio.timeout(5):
                asked: dict[str, Any] = json.loads(await reader.readline())
            if not hmac.compare_digest(str(asked.get("secret", "")).encode(), self._secret.encode()):
                return
            name = str(asked.get("camera", ""))
            source = self._reader_of(name)
            if source is None:
                return
            kept = self._channels.get(name)
            if kept is None or kept[0] is not source:
                kept = self._channels[name] = (source, _Channel(source, asyncio.get_running_loop()))
            channel = kept[1]
            self._open.add(writer)
            channel.join(writer)
            await reader.read()  # until the gateway has gone
        except (TimeoutError, OSError, ValueError):
            pass
        finally:
            self._open.discard(writer)
            if channel is not None:
                channel.leave(writer)
            writer.close()
