"""Number plates: off unless the centre turns them on, and then no more than its legal ground lets it keep.

A plate is hashed at once, with a salt that is another every day and is kept nowhere but in the key file: readings of
one day can be told to be of one vehicle, those of two days cannot. In clear a plate exists only on the watch list, with
a legal basis and an end; a reading that is on the list raises an alarm, and is written into the audit log like every
look-up.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.detect.detector import Action, Change, Severity
from thap.domains.traffic.plate_records import plate_reads, plate_watch
from thap.kernel.audit import Entry, append, append_async
from thap.kernel.clock import iso, now_us
from thap.kernel.errors import InputError, NotFoundError, UnavailableError
from thap.kernel.policy import Who
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store, Transaction
from thap.observe.cameras.credentials import Vault
from thap.observe.cameras.records import Camera
from thap.respond.book import AlarmBook

if TYPE_CHECKING:
    from thap.detect.vision.found import Said
    from thap.observe.cameras.reader import Picture

__all__ = ["PlateReader", "Recogniser", "Watched", "add_watch", "clean_plate", "drop_watch", "hash_of", "list_watch"]
__all__ += ["forget_old", "lookup", "make_recogniser", "plate_reader"]

_log = structlog.get_logger(__name__)
_W, _R = plate_watch.c, plate_reads.c
_PLATE = re.compile(r"\d{2}[A-Z]{1,2}\d?\d{4,6}")
"""Vietnamese plates without their marks: province, series, number (TT 79/2024/TT-BCA); 67L12345, 66AB12345."""
_DAY_US = 86_400_000_000
_VEHICLES = ("motorcycle", "car", "bus", "truck", "vehicle")
_REREAD_S = 30.0
_WAITING_MOST = 32
"""Vehicles that may wait to be read; their pictures are held meanwhile."""
_WRITING_MOST = 256
"""Readings that may wait to be written."""
_INSERT = sa.insert(plate_reads)

Text = tuple[str, float]
"""What was read, and how sure, 0 to 1."""


class Recogniser(Protocol):
    """Reads text in a picture."""

    def __call__(self, picture: npt.NDArray[np.uint8]) -> Sequence[Text]: ...


def make_recogniser() -> Recogniser:
    """rapidocr, on ONNX Runtime.

    Raises:
        UnavailableError: the extra is not installed.
    """
    try:
        from rapidocr import RapidOCR
    except ImportError:
        raise UnavailableError(
            "plates cannot be read: rapidocr is not installed",
            hint='pip install "thap[plates]", or turn plates.enabled off',
        ) from None
    engine = RapidOCR(params={"Global.log_level": "error"})

    def read(picture: npt.NDArray[np.uint8]) -> Sequence[Text]:
        found: Any = engine(picture[:, :, ::-1])  # it takes BGR
        return [(str(text), float(score)) for text, score in zip(found.txts or (), found.scores or (), strict=True)]

    return read


def clean_plate(text: str) -> str:
    """A plate without its marks and spaces, in capitals; '' where it is none."""
    plain = re.sub(r"[^0-9A-ZĐ]", "", text.upper()).replace("Đ", "D")
    return plain if _PLATE.fullmatch(plain) else ""


def plates_in(texts: Sequence[Text], least: float) -> list[Text]:
    """Plates among what was read; the two rows of a motorbike's plate are put together."""
    sure = [(re.sub(r"[^0-9A-ZĐ]", "", text.upper()), score) for text, score in texts if score >= least]
    found: dict[str, float] = {}
    for text, score in sure:
        if plate := clean_plate(text):
            found[plate] = max(score, found.get(plate, 0.0))
    for (upper, one), (lower, other) in pairwise(sure):
        if plate := clean_plate(upper + lower):
            found.setdefault(plate, min(one, other))
    return list(found.items())


def hash_of(settings: Settings, plate: str, time_us: int) -> str:
    """HMAC-SHA256 of a plate with the salt of its day (UTC)."""
    key = Vault(settings).derive(f"plates {time_us // _DAY_US}")
    return hmac.new(key, plate.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Watched:
    """A plate that may be looked for, why, and until when."""

    id: int
    plate: str
    reason: str
    legal_basis: str
    until: int
    created: int
    created_by: str


async def add_watch(
    connection: AsyncConnection, settings: Settings, row: dict[str, Any], by: Who, address: str = ""
) -> Watched:
    """Put a plate on the watch list.

    Raises:
        InputError: it is no plate, or legal basis, reason or a future end is missing.
    """
    plate = clean_plate(str(row.get("plate", "")))
    if not plate:
        raise InputError("this is no Vietnamese plate", where="plate", hint="as 66A-123.45")
    for name in ("legal_basis", "reason"):
        if not str(row.get(name, "")).strip():
            raise InputError("this must be told", where=name, hint="name the decision that allows looking for it")
    if not now_us() < int(row.get("until", 0)) <= now_us() + 366 * _DAY_US:
        raise InputError("the end must lie ahead, within a year", where="until")
    kept = {
        "sealed": Vault(settings).seal_text(plate),
        "reason": str(row["reason"]).strip()[:500],
        "legal_basis": str(row["legal_basis"]).strip()[:500],
        "until": int(row["until"]),
        "created": now_us(),
        "created_by": by.name[:64],
    }
    number = int((await connection.execute(sa.insert(plate_watch).values(kept).returning(_W.id))).scalar_one())
    detail = {"legal_basis": kept["legal_basis"], "until": iso(int(row["until"]))}
    await append_async(connection, [Entry(by, "plate.watch", f"plate:{number}", detail, address)])
    return (await _watched(connection, settings, _W.id == number))[0]


async def drop_watch(connection: AsyncConnection, number: int, by: Who, address: str = "") -> None:
    """Take a plate off the list.

    Raises:
        NotFoundError: there is none of this number.
    """
    done = await connection.execute(sa.delete(plate_watch).where(_W.id == number))
    if not done.rowcount:
        raise NotFoundError(f"the watch list has no entry {number}")
    await append_async(connection, [Entry(by, "plate.unwatch", f"plate:{number}", {}, address)])


async def list_watch(connection: AsyncConnection, settings: Settings, by: Who, address: str = "") -> list[Watched]:
    """The list as it is in force; that it was read is written into the audit log."""
    found = await _watched(connection, settings, _W.until > now_us())
    await append_async(connection, [Entry(by, "plate.read", "plates", {"listed": len(found)}, address)])
    return found


async def _watched(connection: AsyncConnection, settings: Settings, chosen: sa.ColumnElement[bool]) -> list[Watched]:
    vault = Vault(settings)
    rows = (await connection.execute(sa.select(plate_watch).where(chosen).order_by(_W.id))).mappings()
    return [
        Watched(plate=vault.open_text(row["sealed"]), **{key: row[key] for key in row if key != "sealed"})
        for row in rows
    ]


async def lookup(
    connection: AsyncConnection, settings: Settings, plate: str, basis: str, by: Who, address: str = ""
) -> list[dict[str, Any]]:
    """Where a plate was read within the days that readings are kept: camera's thing and time.

    Args:
        connection: in a write transaction: the look-up is written into the audit log before it is answered.
        settings: of the centre.
        plate: in clear.
        basis: the legal basis of this look-up.
        by: who asks.
        address: from where.

    Raises:
        InputError: it is no plate, or no basis is given.
    """
    cleaned = clean_plate(plate)
    if not cleaned:
        raise InputError("this is no Vietnamese plate", where="plate", hint="as 66A-123.45")
    if not basis.strip():
        raise InputError("the legal basis must be told", where="basis")
    today = now_us() // _DAY_US
    hashes = [hash_of(settings, cleaned, day * _DAY_US) for day in range(today - settings.plates.keep_days, today + 1)]
    rows = await connection.execute(
        sa.select(_R.thing_id, _R.time, _R.confidence).where(_R.hash.in_(hashes)).order_by(_R.time.desc()).limit(1000)
    )
    found = [dict(row) for row in rows.mappings()]
    detail = {"hash": hashes[-1], "basis": basis.strip()[:500], "found": len(found)}
    await append_async(connection, [Entry(by, "plate.read", "plates", detail, address)])
    return found


async def forget_old(connection: AsyncConnection, settings: Settings) -> int:
    """Erase readings beyond the days they are kept, and ended entries of the list."""
    now = now_us()
    gone = await connection.execute(sa.delete(plate_reads).where(_R.time < now - settings.plates.keep_days * _DAY_US))
    ended = await connection.execute(sa.delete(plate_watch).where(_W.until <= now))
    return int(gone.rowcount) + int(ended.rowcount)


class PlateReader:
    """Reads the plates of vehicles that cross a line, in a thread of its own; writes in the event loop.

    Vehicles that cross while as many as `_WAITING_MOST` wait to be read are not read, and counted as `missed`.
    """

    def __init__(
        self, settings: Settings, records: Records, store: Store, recogniser: Recogniser, book: AlarmBook | None = None
    ) -> None:
        self._settings, self._records, self._store, self._read = settings, records, store, recogniser
        self._book = book or AlarmBook(records)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: list[Watched] = []
        self._read_at = 0.0
        self._rereading = asyncio.Lock()
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="plates")
        self._waiting = threading.BoundedSemaphore(_WAITING_MOST)
        self.read = self.missed = self.failures = 0

    def __call__(self, camera: Camera, picture: Picture, said: Sequence[Said]) -> None:
        """Have plates read where a vehicle crossed a line in this picture; returns at once. In the analysis thread."""
        for one in said:
            box = getattr(one, "box", None)
            if getattr(one, "line", None) is None or box is None or getattr(one, "cls", "") not in _VEHICLES:
                continue
            if not self._waiting.acquire(blocking=False):
                self.missed += 1
                continue
            self._reading.submit(self._look, camera, _part(picture.rgb, box).copy(), picture.time_us)

    def _look(self, camera: Camera, part: npt.NDArray[np.uint8], time_us: int) -> None:
        """In the thread that reads."""
        try:
            found = plates_in(self._read(part), self._settings.plates.least)
            if found:
                self._loop.call_soon_threadsafe(self._begin, camera, found, time_us)
        except Exception:
            self.failures += 1
            _log.exception("a plate could not be read", camera=camera.name)
        finally:
            self._waiting.release()

    def totals(self) -> dict[str, int]:
        """Counters for the heartbeat: plates kept, vehicles not looked at, what went wrong."""
        return {"plates.read": self.read, "plates.missed": self.missed, "plates.failures": self.failures}

    def close(self) -> None:
        """Read no further."""
        self._reading.shutdown(wait=False, cancel_futures=True)

    def _begin(self, camera: Camera, found: Sequence[Text], time_us: int) -> None:
        if len(self._tasks) >= _WRITING_MOST:  # the database is locked or away
            self.missed += 1
            return
        task = asyncio.create_task(self.note(camera, found, time_us))
        self._tasks.add(task)
        task.add_done_callback(self._noted)

    def _noted(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures += 1
            _log.error("a reading of plates is lost", reason=str(error), kind=type(error).__name__)

    async def note(self, camera: Camera, found: Sequence[Text], time_us: int) -> None:
        """Keep the hashes; a plate of the list raises an alarm and an entry in the audit log."""
        watch = {one.plate: one for one in await self._watching() if one.until > now_us()}
        rows, changes, entries = [], [], []
        for plate, score in found:
            listed = watch.get(plate)
            hashed = hash_of(self._settings, plate, time_us)
            number = listed.id if listed else None
            rows.append(
                {"thing_id": camera.thing_id, "time": time_us, "hash": hashed, "confidence": score, "watch_id": number}
            )
            if listed is not None:
                detail = {"camera": camera.name, "legal_basis": listed.legal_basis}
                entries.append(Entry("", "plate.read", f"plate:{listed.id}", detail))
                changes += _changes(camera, listed, time_us)

        def work(tx: Transaction) -> None:
            tx.run(_INSERT, rows)
            append(tx, entries)

        await self._store.transact(work)
        self.read += len(rows)
        if changes:
            await self._book.apply(changes)

    async def _watching(self) -> list[Watched]:
        async with self._rereading:  # nobody is judged by a list that is still being read
            if time.monotonic() - self._read_at > _REREAD_S or not self._read_at:
                async with self._records.write() as connection:
                    await forget_old(connection, self._settings)
                    self._watch = await _watched(connection, self._settings, _W.until > now_us())
                self._read_at = time.monotonic()
        return self._watch


def _changes(camera: Camera, listed: Watched, time_us: int) -> list[Change]:
    """A moment, not a state: the alarm is raised and returns to normal at once, and waits to be acknowledged."""
    return [
        Change(
            camera.name,
            "traffic.plate",
            action,
            Severity.HIGH,
            time_us,
            0,
            domain=camera.domain,
            lon=camera.lon,
            lat=camera.lat,
            commune=camera.commune,
            evidence={"camera": camera.name, "watch": listed.id, "legal_basis": listed.legal_basis},
        )
        for action in (Action.RAISE, Action.CLEAR)
    ]


def _part(rgb: npt.NDArray[np.uint8], box: tuple[float, float, float, float]) -> npt.NDArray[np.uint8]:
    high, wide = rgb.shape[:2]
    x1, y1, x2, y2 = (max(0.0, min(1.0, float(value))) for value in box)
    return rgb[
        int(y1 * high) : max(int(y2 * high), int(y1 * high) + 1),
        int(x1 * wide) : max(int(x2 * wide), int(x1 * wide) + 1),
    ]


async def plate_reader(
    settings: Settings, records: Records, store: Store, make: Callable[[], Recogniser] = make_recogniser
) -> PlateReader | None:
    """A reader where the centre reads plates; None where it does not, or cannot: then the log says why."""
    if not settings.plates.enabled:
        return None
    try:
        return PlateReader(settings, records, store, await asyncio.to_thread(make))
    except UnavailableError as error:
        _log.error("plates are not read", reason=str(error))
        return None
