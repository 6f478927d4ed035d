"""The stage that writes history: journal → lake.

It reads the journal by sequence from where the lake stands, gathers blocks for about a second, and writes
them together with the sequence they bring the lake to in one transaction. So whatever ends it, and whenever,
it reads on from what is written: nothing is lost, nothing is there twice.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import structlog

from thap.kernel.bus import JOURNAL, Bus, Entry
from thap.kernel.clock import iso, now_us
from thap.kernel.errors import BusyError, CorruptError, DiskFullError, InputError, ThapError, UnavailableError
from thap.kernel.history import Lake, upkeep
from thap.kernel.settings import Settings
from thap.observe.intake import dead_letter
from thap.observe.kinds import BLOCK_VERSION, Kind, decode_block

__all__ = ["Historian"]

_log = structlog.get_logger(__name__)
_SAY_AGAIN_S = 30.0
_LONGEST_STEP_S = 600.0


@dataclass(slots=True)
class _Poison:
    """Something that cannot be written: a block, or one row of a block."""

    kind: str
    seq: int
    reason: str
    record: Any


@dataclass(slots=True)
class _Batch:
    """Decoded blocks on their way to the lake."""

    seq: int
    """The sequence the lake reaches with it."""
    tables: dict[str, pa.Table] = field(default_factory=dict)
    seqs: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = field(default_factory=dict)
    """Journal sequence of each row."""
    poison: list[_Poison] = field(default_factory=list)


class Historian:
    """The history stage of one centre."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self._bus, self._settings = bus, settings
        self._lake: Lake | None = None
        self._waiting: list[Entry] = []
        self._waiting_rows = 0
        self._since = 0.0
        self._work, self._room, self._enough = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._turn = asyncio.Lock()
        self._upkeep_began: float | None = None
        self.seq = 0
        """Everything up to this journal sequence is in the lake."""
        self.total = 0
        """Rows written since the start."""
        self.flush_ms = 0.0
        """How long the latest write took."""
        self.disk_full = False
        self.counters: Counter[str] = Counter()
        """duplicates, dead, lost, flushes, tidied: how often since the start."""
        self.ready = asyncio.Event()
        """Set once the lake is open."""

    async def run(self) -> None:
        """Write history until cancelled; what is being written then is finished first.

        Raises:
            BusyError: another process writes to this lake.
        """
        self._lake = lake = await self._open()
        self.seq = lake.offset()
        self.ready.set()
        tasks = [asyncio.create_task(work()) for work in (self._gather, self._flush, self._tidy, self._heartbeat)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _stop(tasks)
            await _finish(lake.close)

    async def _open(self) -> Lake:
        """The lake, as soon as a predecessor that is ending has let go of it, and the disk has room."""
        patience = time.monotonic() + 15
        while True:
            try:
                return await asyncio.to_thread(Lake.open, self._settings)
            except DiskFullError as error:
                _log.error("history waits for room on the disk", reason=str(error))
                await asyncio.sleep(2)
            except BusyError:
                if time.monotonic() > patience:
                    raise
                await asyncio.sleep(0.2)

    # Gathering.
    async def _gather(self) -> None:
        start = await self._starting_point()
        expected = start + 1
        async for entries in self._bus.read(JOURNAL, start):
            if entries and entries[0].seq > expected:
                lost = entries[0].seq - expected
                self.counters["lost"] += lost
                _log.error(
                    "HISTORY HAS A GAP: the journal no longer holds records that were not written yet",
                    messages=lost,
                    first=expected,
                    last=entries[0].seq - 1,
                    hint="raise journal.keep_hours or journal.max_gib",
                )
            if not entries:
                continue
            expected = entries[-1].seq + 1
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting += entries
            self._waiting_rows += sum(len(entry.payload) for entry in entries) // 20  # an observation takes 20 bytes
            self._work.set()
            if self._waiting_rows >= self._settings.history.flush_rows:
                self._enough.set()
            while self._waiting_rows >= 2 * self._settings.history.flush_rows:
                self._room.clear()
                await self._room.wait()

    async def _starting_point(self) -> int:
        """Where to read on: after the lake's offset, unless the journal was begun anew since."""
        while True:
            try:
                newest = await self._bus.last_seq(JOURNAL)
                break
            except Exception as error:  # whatever the stream says while it starts
                _log.warning("the journal does not answer yet", reason=repr(error))
                await asyncio.sleep(0.5)
        if newest < self.seq:
            _log.error(
                "the journal is shorter than what history has read of it: it was begun anew; reading it from "
                "its beginning",
                newest=newest,
                read=self.seq,
            )
            return 0
        return self.seq

    # Writing.
    async def _flush(self) -> None:
        wait_s = self._settings.history.flush_ms / 1000
        while True:
            await self._work.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._since + wait_s - time.monotonic())):
                    await self._enough.wait()
            entries, self._waiting, self._waiting_rows = self._waiting, [], 0
            self._since = time.monotonic()
            self._work.clear()
            self._enough.clear()
            self._room.set()
            batch = await asyncio.to_thread(_decode, entries)
            await self._bury(batch.poison)
            await self._write(batch)

    async def _write(self, batch: _Batch) -> None:
        """Into the lake, tried until it is there."""
        assert self._lake is not None
        said = 0.0
        pause = 0.1
        while True:
            try:
                async with self._turn:
                    done = await _finish(self._lake.append, batch.tables, batch.seq)
                break
            except InputError:
                await self._write_around(batch)
                return
            except ThapError as error:
                self.disk_full = isinstance(error, DiskFullError)
                if isinstance(error, CorruptError) and await self._only_these_fail():
                    await self._write_around(batch)
                    return
                if time.monotonic() - said > _SAY_AGAIN_S:
                    said = time.monotonic()
                    _log.error(
                        "history cannot be written; records wait in the journal, trying again",
                        reason=str(error),
                        waiting=batch.seq - self.seq,
                    )
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 2.0)
        if self.disk_full:
            _log.info("the disk has room again: history goes on")
        self._wrote(batch, sum(done.rows.values()), done.duplicates, done.seconds)

    def _wrote(self, batch: _Batch, rows: int, duplicates: int, seconds: float) -> None:
        self.disk_full = False
        self.seq = batch.seq
        self.total += rows
        self.flush_ms = round(seconds * 1000, 1)
        self.counters["duplicates"] += duplicates
        self.counters["flushes"] += 1

    async def _only_these_fail(self) -> bool:
        """Whether the lake takes anything at all."""
        assert self._lake is not None
        try:
            async with self._turn:
                await _finish(self._lake.append, {}, self.seq)
        except ThapError:
            return False
        return True

    async def _write_around(self, batch: _Batch) -> None:
        """Write a batch the lake refused, less the rows that are the reason: those go to the dead letters."""
        began = time.monotonic()
        rows = duplicates = 0
        poison: list[_Poison] = []
        for name, table in batch.tables.items():
            parts = [(table, batch.seqs[name])]
            while parts:
                part, seqs = parts.pop()
                try:
                    assert self._lake is not None
                    async with self._turn:
                        done = await _finish(self._lake.append, {name: part}, self.seq)
                    rows += done.rows[name]
                    duplicates += done.duplicates
                except (InputError, CorruptError) as error:
                    if part.num_rows > 1:
                        half = part.num_rows // 2
                        parts += [(part.slice(half), seqs[half:]), (part.slice(0, half), seqs[:half])]
                    elif isinstance(error, InputError) or await self._only_these_fail():
                        poison.append(_Poison(name, int(seqs[0]), error.message, _readable(part)))
                    else:
                        parts.append((part, seqs))
                        await asyncio.sleep(1)
                except ThapError as error:
                    self.disk_full = isinstance(error, DiskFullError)
                    parts.append((part, seqs))
                    _log.error("history cannot be written; trying again", reason=str(error))
                    await asyncio.sleep(1)
        await self._bury(poison)
        await self._write(_Batch(batch.seq))  # the offset alone
        self._wrote(batch, rows, duplicates, time.monotonic() - began)

    async def _bury(self, poison: list[_Poison]) -> None:
        """Into the dead-letter stream, tried until it is there."""
        for thing in poison:
            body = dead_letter("history", thing.kind, thing.reason, thing.record, stage="history", seq=thing.seq)
            once = {"Nats-Msg-Id": f"history-{thing.seq}-{zlib.crc32(str(thing.record).encode()):x}"}
            while True:
                try:
                    await self._bus.append("dead.history", body, once)
                    break
                except UnavailableError as error:
                    _log.error("a dead letter waits", reason=str(error), seq=thing.seq)
                    await asyncio.sleep(1)
            self.counters["dead"] += 1
            _log.warning(
                "not written to history: see `thap dead-letters list`",
                kind=thing.kind,
                seq=thing.seq,
                reason=thing.reason,
            )

    # Upkeep.
    async def _tidy(self) -> None:
        """Compaction, retention and clearing up, in steps that take turns with the writing."""
        assert self._lake is not None
        while True:
            await asyncio.sleep(self._settings.history.compact_minutes * 60)
            steps = upkeep(self._lake)
            try:
                while True:
                    async with self._turn:
                        self._upkeep_began = time.monotonic()
                        try:
                            step = await _finish(next, steps, None)
                        finally:
                            self._upkeep_began = None
                    if step is None:
                        break
                    self.counters[f"tidied.{step}"] += 1
            except ThapError as error:
                _log.warning("upkeep of history put off", reason=str(error))

    # Heartbeat.
    async def _heartbeat(self) -> None:
        newest, before, then = self.seq, self.total, time.monotonic()
        while True:
            with contextlib.suppress(Exception):  # while the stream restarts, the newest known will do
                async with asyncio.timeout(2):
                    newest = await self._bus.last_seq(JOURNAL)
            now = time.monotonic()
            rate, before, then = (self.total - before) / max(now - then, 0.1), self.total, now
            began = self._upkeep_began
            await self._bus.announce(
                "centre.stats.history",
                {
                    "role": "history",
                    "pid": os.getpid(),
                    "time_us": now_us(),
                    "stages": {
                        "history": {
                            "seq": self.seq,
                            "lag": max(0, newest - self.seq),
                            "rate": round(rate, 1),
                            "total": self.total,
                            "flush_ms": self.flush_ms,
                            "disk_full": self.disk_full,
                            "holding": began is not None and now - began < _LONGEST_STEP_S,
                        }
                    },
                    "counters": dict(self.counters),
                },
            )
            await asyncio.sleep(1)


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end; again where a library loses a cancellation, as `asyncio.wait_for` of
    Python 3.11 may."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.5)


async def _finish(function: Any, *arguments: Any) -> Any:
    """Run in a thread; when cancelled, let it end first, so that nothing is closed under it."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    cancelled = False
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            cancelled = True
        except Exception:
            break
    if cancelled:
        work.exception()
        raise asyncio.CancelledError
    return work.result()


def _decode(entries: list[Entry]) -> _Batch:
    """Blocks as tables by kind; blocks that cannot be read as poison."""
    batch = _Batch(entries[-1].seq)
    found: dict[Kind, list[tuple[pa.RecordBatch, int, int]]] = {}
    for entry in entries:
        name = entry.subject.partition(".")[2]
        headers = entry.headers or {}
        try:
            if headers.get("Thap-Block", BLOCK_VERSION) != BLOCK_VERSION:
                raise CorruptError(f"a block of version {headers['Thap-Block']!r}; this program reads {BLOCK_VERSION}")
            rows = decode_block(Kind(name), entry.payload)
            found.setdefault(Kind(name), []).append((rows, int(headers.get("Thap-Received", entry.time)), entry.seq))
        except (CorruptError, ValueError, pa.ArrowException) as error:
            batch.poison.append(_Poison(name, entry.seq, str(error), base64.b64encode(entry.payload).decode()))
    for kind, blocks in found.items():
        sizes = [rows.num_rows for rows, _, _ in blocks]
        received = np.repeat(np.array([at for _, at, _ in blocks], np.int64), sizes)
        table = pa.Table.from_batches([rows for rows, _, _ in blocks])
        batch.tables[str(kind)] = table.append_column(
            pa.field("received", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.array(received.view("datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC")),
        )
        batch.seqs[str(kind)] = np.repeat(np.array([seq for _, _, seq in blocks], np.int64), sizes)
    return batch


def _readable(row: pa.Table) -> dict[str, Any]:
    """One row as JSON-able values; what cannot even be read is named as such."""
    shown: dict[str, Any] = {}
    for name in row.column_names:
        try:
            if pa.types.is_timestamp(row.schema.field(name).type):
                us = row.column(name).cast(pa.int64())[0].as_py()
                shown[name] = us if us is None or name != "received" else iso(us)
            else:
                shown[name] = row.column(name)[0].as_py()
        except (ValueError, OverflowError):
            shown[name] = "unreadable"
    return shown
