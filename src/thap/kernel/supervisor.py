"""The process tree of a centre: starts children, restarts what ends or stalls, stops all in order.

A child tells how it fares by heartbeats on `centre.stats.<role>`. The watchdog restarts a child whose
heartbeat stopped, or one of whose stages stands still while work waits for it. Children end with the
supervisor, even when that is killed: the kernel signals them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
import structlog

from thap.kernel.bus import Bus
from thap.kernel.errors import BusyError, ThapError
from thap.kernel.nats import NatsServer
from thap.kernel.process import die_with_parent
from thap.kernel.settings import Settings

__all__ = ["Child", "Process", "Supervisor", "lock_data_directory", "python_child"]

_log = structlog.get_logger(__name__)
_ACCOUNTS_S = 60.0


def lock_data_directory(settings: Settings, role: str = "") -> IO[str]:
    """Take the data directory for this process; keep the returned file open for as long as it is needed.

    The lock is the kernel's own, so one left by a process that was killed does not exist.

    Args:
        settings: of the centre.
        role: takes only this role of the centre, in place of the centre as a whole.

    Raises:
        BusyError: another centre, or the same role, runs on it; the message names its process.
    """
    settings.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (settings.run_dir / (f"{role}.lock" if role else "lock")).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise BusyError(
            f"another {role or 'centre'} runs on this data directory (process {holder})",
            where=str(settings.data),
            hint="stop it, or choose another directory with --data",
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


class Process(Protocol):
    """What the supervisor needs of a process; as in `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


@dataclass
class Child:
    """One role in a process of its own."""

    role: str
    command: list[str]
    process: Process | None = None
    started: float = 0.0
    restarts: int = 0
    heard: float = 0.0
    """Monotonic time of the last heartbeat."""
    stats: dict[str, Any] = field(default_factory=dict)
    stuck: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Stage → (sequence, since when it stands there with work waiting)."""
    was_full: bool = False
    """Whether it said last that the disk is full."""
    once: bool = False
    """Not restarted when it ends by itself (the demo), only when it is killed."""
    slow_start_s: float = 0.0
    """What it may take longer than others until its first heartbeat: it loads large libraries by itself."""

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    def start(self, log_file: Path | None = None) -> None:
        """Start the process."""
        target: Any = log_file.open("ab") if log_file is not None else None
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock taken
            )
        finally:
            if target is not None:
                target.close()
        self.started = self.heard = time.monotonic()
        self.stuck.clear()

    def ended(self) -> int | None:
        """Its exit status, None while it runs."""
        return self.process.poll() if self.process is not None else None


class Supervisor:
    """Runs nats-server and the children until told to stop."""

    def __init__(
        self, settings: Settings, children: list[Child], reload_users: Callable[[], Any] | None = None
    ) -> None:
        self._settings = settings
        self.nats = NatsServer(settings)
        self.children = {child.role: child for child in children}
        self._stall_s = settings.engine.stall_s
        self.reload_users = reload_users
        """Called when the accounts of the MQTT door changed."""
        self.hears: dict[str, Callable[[], Any]] = {}
        """Subject → called, and awaited, when something is announced there."""
        self._stopping = False
        self._nats_turn = asyncio.Lock()
        """Held while the stream server is started anew or stopped for good: not both at once."""
        self._nats_restarts = 0
        self._nats_started = 0.0
        self._announced = 0.0
        self._room_again = False
        self.bus: Bus | None = None

    @property
    def url(self) -> str:
        """Where the stream is: of the settings, or the child server's."""
        return self._settings.journal.url or self.nats.url

    def _stream_alive(self) -> bool:
        return self._settings.journal.url is not None or self.nats.alive()

    def start_nats(self) -> None:
        """Start the stream server. Raises as `NatsServer.start`."""
        if self._settings.journal.url is None:
            self.nats.start()
        self._nats_started = time.monotonic()

    def start_children(self) -> None:
        """Start every child that does not run."""
        for child in self.children.values():
            if child.process is None:
                child.start()

    async def watch(self) -> None:
        """Keep everything running until `stop` is called."""
        self.bus = bus = await Bus.connect(self.url, "thap-supervisor")
        await bus.listen("centre.stats.*", self._hear)
        if self.reload_users is not None:
            await bus.listen("centre.live.tokens", self._tokens_changed)
        for subject in self.hears:
            await bus.listen(subject, self._hears)
        accounts_at = time.monotonic()
        while not await self._stops():
            if self._room_again:
                # What the stream server could not write it may refuse for ever: begin it anew.
                self._room_again = False
                if self._settings.journal.url is None:
                    _log.info("room again: the stream server is started anew")
                    await asyncio.to_thread(self.nats.stop)
            if not self._stream_alive():
                await self._revive_nats()
            if self.reload_users is not None and time.monotonic() - accounts_at > _ACCOUNTS_S:
                accounts_at = time.monotonic()  # accounts expire without anybody saying so
                try:
                    await self.reload_users()
                except Exception:  # a locked database or a full disk passes
                    _log.exception("accounts of the MQTT door not read")
            for child in self.children.values():
                self._look_after(child)
            self._announce_self(bus)

    async def _stops(self) -> bool:
        """Whether to stop, a moment later: what has ended by then was told to."""
        await asyncio.sleep(0.2)
        return self._stopping

    def _announce_self(self, bus: Bus) -> None:
        """The supervisor's own heartbeat: what it restarted."""
        now = time.monotonic()
        if now - self._announced < 1:
            return
        self._announced = now
        body = {
            "role": "supervisor",
            "pid": os.getpid(),
            "time_us": time.time_ns() // 1000,
            "stages": {},
            "counters": {
                "restarts.nats": self._nats_restarts,
                **{f"restarts.{c.role}": c.restarts for c in self.children.values()},
            },
            "pids": {"nats": self.nats.pid, **{c.role: c.pid for c in self.children.values()}},
        }
        self._task = asyncio.ensure_future(bus.announce("centre.stats.supervisor", body))

    async def _hear(self, subject: str, payload: bytes) -> None:
        child = self.children.get(subject.rpartition(".")[2])
        if child is None:
            return
        with contextlib.suppress(msgspec.DecodeError):
            child.stats = msgspec.json.decode(payload)
            if child.stats.get("pid") == child.pid:
                child.heard = time.monotonic()
                self._note_progress(child)

    def _note_progress(self, child: Child) -> None:
        now = time.monotonic()
        for name, stage in child.stats.get("stages", {}).items():
            seq, lag = int(stage.get("seq", 0)), int(stage.get("lag", 0))
            held = stage.get("disk_full") or stage.get("holding")
            before = child.stuck.get(name)
            if name == "doors":
                self._room_again |= child.was_full and not stage.get("disk_full")
                child.was_full = bool(stage.get("disk_full"))
            if lag == 0 or held or before is None or before[0] != seq:
                child.stuck[name] = (seq, now)

    async def _tokens_changed(self, _subject: str, _payload: bytes) -> None:
        if self.reload_users is not None:
            await self.reload_users()

    async def _hears(self, subject: str, _payload: bytes) -> None:
        await self.hears[subject]()

    async def _revive_nats(self) -> None:
        self._nats_restarts += 1
        if time.monotonic() - self._nats_started < 5:
            await asyncio.sleep(1)  # it does not stay up: do not spin
        async with self._nats_turn:
            if self._stopping:
                return
            _log.error("nats-server ended: starting it again", restarts=self._nats_restarts)
            try:
                await asyncio.to_thread(self.start_nats)
            except ThapError as error:
                _log.error("nats-server does not start", reason=str(error))
                self._nats_started = time.monotonic()

    def _look_after(self, child: Child) -> None:
        if self._stopping:
            return
        status = child.ended()
        now = time.monotonic()
        if status is not None:
            if child.once and status >= 0:
                return  # it ended by itself; one that was killed is started again
            if now - child.started < min(0.5 * 2 ** min(child.restarts, 6), 15):
                return  # it just ended after a short life: wait longer each time
            child.restarts += 1
            _log.error("a process ended: starting it again", role=child.role, status=status, restarts=child.restarts)
            child.start()
            return
        if child.restarts and now - child.started > 120:
            child.restarts = 0
        if child.once or not self._stream_alive() or now - self._nats_started < self._stall_s:
            return
        starting = child.slow_start_s if child.heard == child.started else 0.0
        silent = now - child.heard > self._stall_s + 10 + starting
        stalled = [name for name, (_, since) in child.stuck.items() if now - since > self._stall_s]
        if (silent or stalled) and child.process is not None:
            _log.error(
                "a process stands still: ending and starting it again", role=child.role, stages=stalled, silent=silent
            )
            child.process.kill()
            child.process.wait()

    async def stop(self) -> None:
        """Stop children first, doors before engines, then the stream server."""
        self._stopping = True
        for child in self.children.values():
            if child.process is not None and child.ended() is None:
                child.process.terminate()
        deadline = time.monotonic() + 15
        for child in self.children.values():
            if child.process is None:
                continue
            try:
                await asyncio.to_thread(child.process.wait, max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        if self.bus is not None:
            await self.bus.close()
        async with self._nats_turn:
            await asyncio.to_thread(self.nats.stop)


def python_child(role: str, *arguments: str) -> Child:
    """A child that runs `thap <arguments>` with this Python."""
    return Child(role, [sys.executable, "-m", "thap", *arguments])
