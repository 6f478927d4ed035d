"""What detectors find beside alarms, on its way to those it is for.

Findings wait here, in order, until the stream `FOUND` has them. What waits is part of the engine's checkpoint, so that
nothing is forgotten before it is kept; after a crash what was found since is found again, and told again under the same
identity. So each finding comes at least once, and its readers take one that they know as nothing new. Judging never
waits for any of it: while the stream is away or its disk full, findings gather up to a limit, and beyond that the
oldest fall out and are counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec
import structlog

from thap.detect.detector import Finding
from thap.kernel.bus import Bus
from thap.kernel.errors import InputError, ThapError

__all__ = ["Outbox", "read_findings"]

_log = structlog.get_logger(__name__)
_MANY = 64
"""Where more wait, several go in one message: each message costs the stream a write to its disk."""
_MOST_TOGETHER, _MOST_BYTES = 500, 256 * 1024
_PAUSE_S, _LONGEST_S = 0.5, 10.0

_Body = list[tuple[str, msgspec.Raw]]
_DECODER = msgspec.msgpack.Decoder(_Body)


def read_findings(payload: bytes) -> list[tuple[str, bytes]]:
    """The findings of one message of the stream: what each is, and its payload.

    Raises:
        ValueError: it is no such message.
    """
    try:
        return [(what, bytes(body)) for what, body in _DECODER.decode(payload)]
    except msgspec.DecodeError as error:
        raise ValueError(f"no message of findings: {error}") from None


class Outbox:
    """Findings that wait for the stream.

    Args:
        bus: where the stream is.
        limit: so many wait at most.
        limit_bytes: of so many bytes together.
    """

    def __init__(self, bus: Bus, limit: int = 200_000, limit_bytes: int = 64 * 2**20) -> None:
        self._bus, self._limit, self._limit_bytes = bus, limit, limit_bytes
        self._waiting: deque[Finding] = deque()
        self._bytes = 0
        self._first = 0
        """Number of the oldest that waits, counted since the start."""
        self._more = asyncio.Event()
        self.sent = 0
        """Findings that the stream took, since the start."""
        self.lost = 0
        """Findings that fell out, or that no message can hold, since the start."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, findings: Sequence[Finding]) -> None:
        """Let findings wait behind those there are."""
        for one in findings:
            self._waiting.append(one)
            self._bytes += len(one.payload)
        while len(self._waiting) > self._limit or self._bytes > self._limit_bytes:
            self._take(1)
            self.lost += 1
        if self._waiting:
            self._more.set()

    def dump(self) -> list[tuple[str, str, bytes]]:
        """What waits, with what is on its way; inverse of `load`."""
        return [(one.domain, one.what, one.payload) for one in self._waiting]

    def load(self, waiting: Sequence[tuple[str, str, bytes]]) -> None:
        """Let wait what waited when `dump` was asked."""
        self.put([Finding(*one) for one in waiting])

    async def run(self) -> None:
        """Append what waits, in order, until cancelled."""
        pause = _PAUSE_S
        while True:
            if not self._waiting:
                self._more.clear()
                await self._more.wait()
            group = self._group()
            end = self._first + len(group)
            try:
                await self._append(group)
                self.sent += len(group)
                fell = self._first - (end - len(group))
                self.lost -= min(fell, len(group))  # what fell out while it was on its way is not lost
            except InputError as error:
                _log.error("a finding is too large to be kept", domain=group[0].domain, reason=str(error))
                self.lost += len(group)
            except Exception as error:  # whatever it is: alarms do not wait for it
                reason = str(error) if isinstance(error, ThapError) else repr(error)
                _log.warning("findings wait for the stream", waiting=len(self._waiting), reason=reason)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_S)
                continue
            pause = _PAUSE_S
            self._take(end - self._first)  # fewer, where the oldest fell out meanwhile

    def stats(self) -> dict[str, Any]:
        """How many wait, were kept, and are lost."""
        return {"findings_waiting": len(self._waiting), "findings_sent": self.sent, "findings_lost": self.lost}

    def _group(self) -> list[Finding]:
        """What goes into the next message: the oldest, and where many wait those of its domain behind it."""
        most = _MOST_TOGETHER if len(self._waiting) > _MANY else 1
        group: list[Finding] = []
        size = 0
        for one in islice(self._waiting, most):
            size += len(one.payload)
            if group and (one.domain != group[0].domain or size > _MOST_BYTES):
                break
            group.append(one)
        return group

    async def _append(self, group: Sequence[Finding]) -> None:
        body: _Body = [(one.what, msgspec.Raw(one.payload)) for one in group]
        payload = msgspec.msgpack.encode(body)
        subject = f"found.{group[0].domain}"
        # What is found again after a crash has the same content, and so the same identity.
        once = blake2b(payload, key=subject.encode(), digest_size=16).hexdigest()
        await self._bus.append(subject, payload, {"Nats-Msg-Id": f"found-{once}"})

    def _take(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= len(self._waiting.popleft().payload)
            self._first += 1
