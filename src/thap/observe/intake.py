"""The intake: where every door hands its records in.

It checks values, gives names their registry numbers, gathers records of many requests for a few
milliseconds into one block, appends the block to the journal, and answers once that is durable. What
cannot be taken goes to the dead-letter stream with its reason; what nobody admitted yet goes to
quarantine.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from thap.kernel.bus import Bus
from thap.kernel.clock import DAY_US, iso, now_us, parse_time_us
from thap.kernel.errors import DiskFullError, ThapError, UnavailableError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.kinds import BLOCK_VERSION, Floats, Ints, Kind, Longs, encode_block
from thap.observe.registry import (
    load_numbers,
    note_quarantined,
    numbers_of,
    quarantined_keys,
    register_datastreams,
    register_movers,
    update_movers,
    valid_name,
)

__all__ = ["Intake", "Receipt", "Rejected", "dead_letter"]

_log = structlog.get_logger(__name__)
Raw = Callable[[int], Any]
"""Gives record `i` as it was sent (JSON-able), for the dead-letter and quarantine streams."""

_TELL_S = 0.3
_GATHER_S = 0.002
_BLOCK_ROWS = 20_000
_IN_FLIGHT = 4
_LETTER_MOST = 256 * 1024


class Rejected(NamedTuple):
    """A record that was not taken: its place in what was handed in, and why."""

    row: int
    reason: str


@dataclass(slots=True)
class Receipt:
    """What became of a batch. Everything in it is durable."""

    accepted: int = 0
    quarantined: list[int] = field(default_factory=list)
    """Indices of records whose name waits to be admitted."""
    rejected: list[Rejected] = field(default_factory=list)
    """Records in the dead-letter stream."""

    def as_dict(self) -> dict[str, Any]:
        """As the HTTP doors answer it."""
        body: dict[str, Any] = {"accepted": self.accepted}
        if self.quarantined:
            body["quarantined"] = self.quarantined
        body["rejected"] = [{"index": row, "reason": reason} for row, reason in self.rejected]
        return body


def dead_letter(door: str, kind: str, reason: str, record: Any, **more: Any) -> bytes:
    """A message of the dead-letter stream: JSON with id, door, kind, reason, received (µs) and the record as sent."""
    body = {
        "id": secrets.token_hex(8),
        "door": door,
        "kind": kind,
        "reason": reason,
        "received": now_us(),
        **more,
        "record": record,
    }
    letter = msgspec.json.encode(body, enc_hook=str)
    if len(letter) > _LETTER_MOST:  # a letter must be small enough to be kept at all
        shown = msgspec.json.encode(record, enc_hook=str)[: _LETTER_MOST // 2].decode("utf-8", "replace")
        body["record"] = {"cut": True, "bytes": len(letter), "begins": shown}
        letter = msgspec.json.encode(body)
    return letter


class _Ids(dict[str, int]):
    """Registry numbers by key; 0 for a key that is not there."""

    def __missing__(self, key: str) -> int:
        return 0


@dataclass(slots=True)
class _Pending:
    """Columns of one kind that wait for the next block."""

    columns: list[tuple[npt.NDArray[Any], ...]] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    rows: int = 0


class Intake:
    """One per gateway process; shared by its doors.

    Use as `async with Intake(bus, records, settings) as intake`.
    """

    def __init__(self, bus: Bus, records: Records, settings: Settings) -> None:
        self._bus, self._records, self._settings = bus, records, settings
        self._doors = settings.doors
        self._earliest = parse_time_us(settings.doors.earliest)
        self._future_us = round(settings.doors.future_s * 1e6)
        self._reserve = settings.journal.reserve_mib * 2**20
        self._datastreams, self._movers = _Ids(), _Ids()
        self._quarantined: set[tuple[str, str]] = set()
        self._own_mark = secrets.token_hex(8).encode()
        self._pending = {Kind.OBSERVATION: _Pending(), Kind.POSITION: _Pending()}
        self._work = asyncio.Event()
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._sending: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._admitting = asyncio.Lock()
        self._to_tell = False
        self.disk_full = False
        self.counters: Counter[str] = Counter()
        """`<door>.<what>` → how often: accepted, rejected, quarantined and what doors count themselves."""

    async def __aenter__(self) -> Intake:
        await self.reload()
        self._check_disk()
        await self._bus.listen("centre.live.registry", self._registry_changed)
        self._tasks = [asyncio.create_task(self._send_blocks()), asyncio.create_task(self._watch_disk())]
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):  # what waits for its block gets its answer
                while any(pending.rows for pending in self._pending.values()):  # noqa: ASYNC110  nothing tells
                    await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        if self._sending:
            await asyncio.wait(self._sending, timeout=5)

    # ---- names

    async def reload(self) -> None:
        """Take the registry as it now stands."""
        async with self._records.read() as connection:
            series, moving = await load_numbers(connection)
            self._quarantined = await quarantined_keys(connection)
        self._datastreams, self._movers = _Ids(series), _Ids(moving)

    async def _registry_changed(self, _subject: str, payload: bytes) -> None:
        # Static data changes no number, and what this process admitted it knows already: a port full of vessels
        # would otherwise make it read the whole registry several times a second.
        if b'"static data"' not in payload and self._own_mark not in payload:
            await self.reload()

    def _known(self, kind: Kind) -> _Ids:
        return self._datastreams if kind is Kind.OBSERVATION else self._movers

    async def _admit(self, kind: Kind, keys: set[str]) -> None:
        """Register the unknown names that the policy admits at once."""
        wanted = [key for key in keys if any(fnmatchcase(key, pattern) for pattern in self._doors.admit)]
        if not wanted:
            return
        async with self._admitting:
            wanted = [key for key in wanted if not self._known(kind)[key] and _valid_key(kind, key)]
            if not wanted:
                return
            register = register_datastreams if kind is Kind.OBSERVATION else register_movers
            async with self._records.write() as connection:
                await register(connection, [{"key": key} for key in wanted])
                numbers = await numbers_of(connection, str(kind), wanted)
            _log.info("admitted by policy", kind=str(kind), names=wanted[:20], count=len(wanted))
            self._known(kind).update(numbers)
            await self._bus.announce("centre.live.registry", {"by": "policy", "from": self._own_mark.decode()})

    # ---- doors call these

    async def observations(self, door: str, keys: Sequence[str], times: Longs, results: Floats, raw: Raw) -> Receipt:
        """Take observations.

        Args:
            door: the door's name, as `http`, `mqtt`, `ais`; counted and shown by it.
            keys: datastream keys, `thing/name`.
            times: phenomenon times, µs.
            results: in the datastreams' units.
            raw: gives a record as it was sent.

        Raises:
            DiskFullError: no room; nothing of the batch was taken.
            UnavailableError: the journal does not answer; the batch may or may not have been taken, and
                sending it again does no harm.
        """
        finite = np.isfinite(results)
        wrong = [] if finite.all() else [(~finite, "result is not a finite number")]
        return await self._take(Kind.OBSERVATION, door, keys, times, (results,), wrong, raw)

    async def positions(
        self,
        door: str,
        keys: Sequence[str],
        times: Longs,
        lons: Floats,
        lats: Floats,
        speeds_kn: Floats,
        courses_deg: Floats,
        raw: Raw,
    ) -> Receipt:
        """Take positions; `keys` are mover keys, unknown speed or course is NaN. Raises as `observations`."""
        wrong = [
            (~(np.abs(lats) <= 90), "lat is not within -90 and 90"),
            (~(np.abs(lons) <= 180), "lon is not within -180 and 180"),
            ((lons == 0) & (lats == 0), "position (0, 0): the receiver has no fix"),
        ]
        columns = (lons, lats, speeds_kn.astype(np.float32), courses_deg.astype(np.float32))
        return await self._take(Kind.POSITION, door, keys, times, columns, wrong, raw)

    async def reject(self, door: str, kind: Kind, rejected: Sequence[tuple[str, Any]]) -> None:
        """Send records that a door could not even decode to the dead-letter stream: (reason, record)."""
        for start in range(0, len(rejected), 256):
            await asyncio.gather(
                *(
                    self._bus.append(f"dead.{door}", dead_letter(door, kind, reason, record))
                    for reason, record in rejected[start : start + 256]
                )
            )
        self.count(door, "rejected", len(rejected))

    async def describe_movers(self, rows: Sequence[dict[str, Any]]) -> None:
        """Static data of movers (`key` and any of `name`, `kind`, `properties`): kept for admitted movers."""
        known = [row for row in rows if self._movers[row["key"]]]
        if known:
            async with self._records.write() as connection:
                changed = await update_movers(connection, known)
            if changed:
                await self._bus.announce("centre.live.registry", {"by": "static data"})

    def count(self, door: str, what: str, number: int = 1) -> None:
        """Count an event of a door for /metrics and `thap doctor`, as `bad_checksum`."""
        self.counters[f"{door}.{what}"] += number

    # ---- the way in

    async def _take(
        self,
        kind: Kind,
        door: str,
        keys: Sequence[str],
        times: Longs,
        columns: tuple[npt.NDArray[Any], ...],
        wrong: list[tuple[npt.NDArray[np.bool_], str]],
        raw: Raw,
    ) -> Receipt:
        if self.disk_full:
            raise DiskFullError(
                "the disk is full: nothing was taken",
                hint="send again later; the centre takes records as soon as there is room",
            )
        receipt = Receipt()
        rows = len(keys)
        if rows == 0:
            return receipt
        now = now_us()
        wrong = [
            *wrong,
            (times > now + self._future_us, f"time is ahead of the clock ({iso(now)})"),
            ((times >= 0) & (times < 2 * DAY_US), "time is 1970-01-01: the device's clock was never set"),
            (times < self._earliest, f"time is before {self._doors.earliest}"),
        ]
        reasons: dict[int, str] = {}
        for mask, reason in wrong:
            if mask.any():
                for row in np.flatnonzero(mask).tolist():
                    reasons.setdefault(row, _ahead(reason, int(times[row]), now))
        ids = self._number(kind, keys)
        if not ids.all():
            unknown = {keys[row] for row in np.flatnonzero(ids == 0).tolist() if row not in reasons}
            await self._admit(kind, unknown)
            ids = self._number(kind, keys)
        waiting: list[int] = []
        if not ids.all():
            waiting = self._sort_unknown(kind, keys, ids, reasons)
        if waiting:
            try:
                await self._quarantine(kind, door, waiting, keys, times, columns, now)
                self.count(door, "quarantined", len(waiting))
            except DiskFullError:
                if self.disk_full:
                    raise
                reasons |= dict.fromkeys(waiting, "unknown name, and quarantine is full")  # the others go on
                waiting = []
            receipt.quarantined = waiting
        if reasons:
            receipt.rejected = [Rejected(row, reasons[row]) for row in sorted(reasons)]
            await self.reject(door, kind, [(reason, raw(row)) for row, reason in receipt.rejected])
        good: npt.NDArray[Any] | None = None
        if reasons or waiting:
            keep = np.ones(rows, np.bool_)
            keep[list(reasons)] = False
            keep[waiting] = False
            good = np.flatnonzero(keep)
        receipt.accepted = rows if good is None else len(good)
        if receipt.accepted:
            block: tuple[npt.NDArray[Any], ...] = (ids, times, *columns)
            await self._append(kind, block if good is None else tuple(column[good] for column in block))
            self.count(door, "accepted", receipt.accepted)
        return receipt

    def _number(self, kind: Kind, keys: Sequence[str]) -> Ints:
        return np.fromiter(map(self._known(kind).__getitem__, keys), np.int32, len(keys))

    def _sort_unknown(self, kind: Kind, keys: Sequence[str], ids: Ints, reasons: dict[int, str]) -> list[int]:
        """Rows whose name may wait in quarantine; the others of unknown names are added to `reasons`."""
        waiting = []
        listed, limit = self._quarantined, self._doors.unknown_names
        for row in np.flatnonzero(ids == 0).tolist():
            if row in reasons:
                continue
            key = keys[row]
            if not _valid_key(kind, key):
                reasons[row] = (
                    f"{key[:80]!r} is not a datastream; write thing/datastream"
                    if kind is Kind.OBSERVATION
                    else f"{key[:80]!r} is not a name for a mover"
                )
            elif (str(kind), key) in listed or len(listed) < limit:
                listed.add((str(kind), key))
                waiting.append(row)
            else:
                reasons[row] = f"unknown name, and quarantine already lists {limit} of them"
        return waiting

    async def _quarantine(
        self,
        kind: Kind,
        door: str,
        rows: list[int],
        keys: Sequence[str],
        times: Longs,
        columns: tuple[npt.NDArray[Any], ...],
        now: int,
    ) -> None:
        """Keep records of unknown names durably and list the names."""
        names = ("result",) if kind is Kind.OBSERVATION else ("lon", "lat", "speed", "course")
        kept: list[dict[str, Any]] = []
        for row in rows:
            record: dict[str, Any] = {"key": keys[row], "at": int(times[row])}
            for name, column in zip(names, columns, strict=True):
                value = float(column[row])
                record[name] = value if value == value else None  # noqa: PLR0124  NaN has no JSON
            kept.append(record)
        for start in range(0, len(kept), 5000):
            await self._bus.append(
                f"quarantine.{kind}",
                msgspec.json.encode(
                    {"kind": str(kind), "door": door, "received": now, "records": kept[start : start + 5000]}
                ),
            )
        async with self._records.write() as connection:
            await note_quarantined(connection, str(kind), door, kept, now)
        if not self._to_tell:
            self._to_tell = True
            task = asyncio.create_task(self._tell_waiting())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _tell_waiting(self) -> None:
        """Say that names wait, a few times a second at most; which ones is for those to read who may."""
        await asyncio.sleep(_TELL_S)
        self._to_tell = False
        await self._bus.announce("centre.live.quarantine", {})

    async def _append(self, kind: Kind, columns: tuple[npt.NDArray[Any], ...]) -> None:
        """Into the next block; returns once it is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        pending = self._pending[kind]
        pending.columns.append(columns)
        pending.waiting.append(done)
        pending.rows += len(columns[0])
        self._work.set()
        await done

    async def _send_blocks(self) -> None:
        """Cut what waits into blocks, a few in flight at once."""
        while True:
            await self._work.wait()
            if all(pending.rows < _BLOCK_ROWS for pending in self._pending.values()):
                await asyncio.sleep(_GATHER_S)
            self._work.clear()
            for kind, pending in self._pending.items():
                if pending.rows:
                    self._pending[kind] = _Pending()
                    await self._slots.acquire()
                    task = asyncio.create_task(self._send(kind, pending))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)

    async def _send(self, kind: Kind, pending: _Pending) -> None:
        try:
            joined = [
                np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*pending.columns, strict=True)
            ]
            names = (
                ("datastream", "time", "result")
                if kind is Kind.OBSERVATION
                else ("mover", "time", "lon", "lat", "speed_kn", "course_deg")
            )
            for start in range(0, pending.rows, 5 * _BLOCK_ROWS):
                part = [column[start : start + 5 * _BLOCK_ROWS] for column in joined]
                payload = encode_block(kind, dict(zip(names, part, strict=True)))
                await self._bus.append(
                    f"journal.{kind}", payload, {"Thap-Block": BLOCK_VERSION, "Thap-Received": str(now_us())}
                )
        except ThapError as error:
            if isinstance(error, DiskFullError):
                self.disk_full = True
            for future in pending.waiting:
                if not future.done():
                    future.set_exception(error)
        except BaseException as error:
            for future in pending.waiting:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else RuntimeError("stopping"))
            raise
        else:
            for future in pending.waiting:
                if not future.done():
                    future.set_result(None)
        finally:
            self._slots.release()

    # ---- room

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self._settings.data).free
        full = free < self._reserve
        if full != self.disk_full:
            (_log.error if full else _log.info)(
                "disk full: doors closed" if full else "room again: doors open",
                free_mib=free // 2**20,
                reserve_mib=self._reserve // 2**20,
            )
        self.disk_full = full

    async def _watch_disk(self) -> None:
        closed: bool | None = None
        while True:
            await asyncio.sleep(0.25)
            self._check_disk()
            if closed is not self.disk_full and self._doors.mqtt:
                with contextlib.suppress(UnavailableError):  # tried again at the next turn
                    await self._bus.close_inbox(self._settings.journal, closed=self.disk_full)
                    closed = self.disk_full


def _valid_key(kind: Kind, key: str) -> bool:
    if kind is Kind.POSITION:
        return valid_name(key)
    thing, slash, name = key.partition("/")
    return bool(slash) and valid_name(thing) and valid_name(name)


def _ahead(reason: str, time: int, now: int) -> str:
    """Say by how much a clock is wrong, and the likeliest cause for seven hours."""
    if not reason.startswith("time is ahead"):
        return reason
    hours = (time - now) / 3.6e9
    text = f"time {iso(time)} is {hours:.1f} h ahead of the clock ({iso(now)})"
    return text + ": local time sent as UTC?" if abs(hours - 7) < 0.2 else text
