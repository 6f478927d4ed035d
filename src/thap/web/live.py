"""What this process knows of the moment: registry, latest values, heartbeats; fed by announcements.

Nothing here is kept: after a start, a gap or an engine restart it is asked for again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import structlog

from thap.kernel.errors import CorruptError, ThapError
from thap.kernel.metrics import Beat, Board
from thap.observe.listing import load_things
from thap.observe.registry import Registry, load_registry
from thap.web.api.places import locator_of
from thap.web.auth import doubt_credentials, flush_credentials
from thap.web.deps import Centre
from thap.web.directory import Directory, Filter
from thap.web.latest import Delta, Mirror, Rows, read_delta
from thap.web.sight import Sight

__all__ = ["Live", "stop_tasks"]

_log = structlog.get_logger(__name__)
_HOUSEKEEPING_S = 5.0
_RELOAD_S = 1.0
_MUCH = 20_000


async def stop_tasks(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end. Cancelled again where it is lost: `asyncio.wait_for` of Python 3.11
    swallows a cancellation that meets its result."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.2)


class Live:
    """The moment as one gateway process sees it. Start it with `async with live.running()`."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        self.board = Board()
        self.directory = Directory(Registry())
        self.observations, self.positions = Mirror("observation"), Mirror("position")
        self.version = 0
        """Counts changes of latest values. It is taken from the wall clock (milliseconds, always rising), so that
        one a console was given before a restart orders before those after it."""
        self.asked = 0
        """How often all latest values were asked for; more than twice means gaps or engine restarts."""
        self.changed: list[Callable[[], None]] = []
        """Called whenever latest values changed."""
        self.beaten: list[Callable[[Beat], None]] = []
        """Called at each heartbeat."""
        self.doubted: list[Callable[[], None]] = []
        """Called when a credential may have ended."""
        self._versions: dict[str, int] = {}
        self._engine = 0
        self._reconnects = 0
        self._reload_took = 0.0
        self._registry_dirty, self._latest_dirty = asyncio.Event(), asyncio.Event()
        self._registry_lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen and keep everything current until the block ends."""
        bus = self._centre.bus
        await bus.listen("centre.live.registry", self._hear_registry)
        for kind in ("tokens", "sessions", "people"):
            await bus.listen(f"centre.live.{kind}", self._hear_credentials)
        await bus.listen("centre.live.latest", self._hear_latest)
        await bus.listen("centre.stats.>", self._hear_stats)
        await self.reload()
        self._latest_dirty.set()
        tasks = [asyncio.create_task(work()) for work in (self._follow_registry, self._follow_latest, self._keep_house)]
        try:
            yield
        finally:
            await stop_tasks(tasks)
            with contextlib.suppress(Exception):
                await flush_credentials(self._centre)

    def mirror(self, kind: str) -> Mirror:
        """The latest values of a kind of record."""
        return self.observations if kind == "observation" else self.positions

    async def reload(self) -> None:
        """Take the registry as it now stands. Values that came before their source was known here count as
        changed now."""
        async with self._registry_lock:
            began = time.monotonic()
            async with self._centre.records.read() as connection:
                registry, things = await load_registry(connection), await load_things(connection)
            fresh = await asyncio.to_thread(Directory, registry, things)
            before, self.directory = self.directory, fresh
            for mirror, old, new in (
                (self.observations, before.known_datastream, fresh.known_datastream),
                (self.positions, before.known_mover, fresh.known_mover),
            ):
                known = new.copy()
                known[: len(old)] &= ~old[: len(new)]
                numbers = np.flatnonzero(known[: len(mirror.changed)] & (mirror.changed[: len(known)] > 0))
                if len(numbers):
                    mirror.changed[numbers] = self._next_version()
                    self._tell()
            self._reload_took = time.monotonic() - began

    async def registry_changed(self) -> None:
        """Take a change made in this process: at once, or where very much exists within seconds."""
        if len(self.directory.datastreams) + len(self.directory.movers) < _MUCH:
            await self.reload()
        else:
            self._registry_dirty.set()

    async def rows(self, kind: str, wanted: Filter, since: int = 0, sight: Sight | None = None) -> Rows:
        """Registry numbers, rising, of the latest values of a kind that a filter wants and that changed after
        version `since`; with `sight`, only of what may be seen by it."""
        mirror = self.mirror(kind)
        mask = (self.directory.datastream_mask if kind == "observation" else self.directory.mover_mask)(wanted)
        size = min(len(mask), len(mirror.changed))
        rows: Rows = np.flatnonzero(mask[:size] & (mirror.changed[:size] > since))
        if kind == "position" and len(rows):
            if wanted.bbox is not None:
                rows = rows[wanted.inside(mirror["lon"][rows], mirror["lat"][rows])]
            if wanted.communes and len(rows):
                codes = (await locator_of(self._centre)).codes_of(mirror["lon"][rows], mirror["lat"][rows])
                rows = rows[np.isin(codes, list(wanted.communes))]
        return rows if sight is None else await self.visible(kind, rows, sight)

    async def visible(self, kind: str, rows: Rows, sight: Sight) -> Rows:
        """Those of these registry numbers that may be seen: datastreams by where their thing stands, movers by where
        they are now (one without a position is nowhere)."""
        if sight.whole or not len(rows):
            return rows
        if kind == "observation":
            mask = sight.datastreams(self.directory)
            rows = rows[rows < len(mask)]
            return rows[mask[rows]]
        mirror = self.positions
        placed = np.zeros(len(rows), np.bool_)
        inside = rows < len(mirror.changed)
        placed[inside] = mirror.changed[rows[inside]] > 0
        codes: list[str] = [""] * len(rows)
        there = np.flatnonzero(placed)
        if len(there):
            found = (await locator_of(self._centre)).codes_of(mirror["lon"][rows[there]], mirror["lat"][rows[there]])
            for index, code in zip(there.tolist(), found.tolist(), strict=True):
                codes[index] = code
        return rows[sight.movers(self.directory, rows, codes)]

    def values(self, kind: str, numbers: Sequence[int]) -> list[dict[str, Any] | None]:
        """The latest value of each of these sources as a JSON-able object, None where there is none."""
        mirror = self.mirror(kind)
        there = [number for number in numbers if number < len(mirror.changed) and mirror.changed[number]]
        columns = self.columns(kind, np.array(there, np.int64))
        del columns["source"]
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        found = {number: dict(zip(columns, row, strict=True)) for number, row in zip(there, rows, strict=True)}
        return [found.get(number) for number in numbers]

    def columns(self, kind: str, rows: Rows) -> dict[str, Any]:
        """These latest values as JSON-able columns: `source` keys, `time` and `received` in µs, and the values."""
        mirror, observed = self.mirror(kind), kind == "observation"
        body: dict[str, Any] = {
            "source": (self.directory.datastream_key if observed else self.directory.mover_key)[rows].tolist(),
            "time": mirror["time"][rows],
        }
        if observed:
            body["result"] = mirror["result"][rows]
        else:
            body["lon"], body["lat"] = np.round(mirror["lon"][rows], 6), np.round(mirror["lat"][rows], 6)
            body["speed_kn"] = np.round(mirror["speed_kn"][rows].astype(np.float64), 1)
            body["course_deg"] = np.round(mirror["course_deg"][rows].astype(np.float64), 1)
        body["received"] = mirror["received"][rows]
        return body

    # ---- hearing

    async def _hear_registry(self, _subject: str, _payload: bytes) -> None:
        self._registry_dirty.set()

    async def _hear_credentials(self, _subject: str, _payload: bytes) -> None:
        self._doubt()

    def _doubt(self) -> None:
        """Tokens, sessions or people may have changed."""
        doubt_credentials(self._centre)
        for call in self.doubted:
            call()

    async def _hear_stats(self, _subject: str, payload: bytes) -> None:
        beat = self.board.hear(payload)
        if beat is None:
            return
        if beat.role == "engine" and beat.pid != self._engine:
            if self._engine:
                self._latest_dirty.set()
            self._engine = beat.pid
        for call in self.beaten:
            call(beat)

    async def _hear_latest(self, _subject: str, payload: bytes) -> None:
        try:
            delta = read_delta(payload)
        except CorruptError as error:
            _log.warning("latest values ignored", error=str(error))
            return
        if self._missed(delta):
            self._latest_dirty.set()
        self._take(delta, whole=False)

    def _missed(self, delta: Delta) -> bool:
        """Whether an announcement before this one was missed, or the engine began anew."""
        known = self._versions.get(delta.kind, 0)
        self._versions[delta.kind] = delta.version
        return delta.since > known or delta.version < known

    def _take(self, delta: Delta, *, whole: bool) -> None:
        if self.mirror(delta.kind).apply(delta, self._next_version(), whole=whole):
            self._tell()

    def _next_version(self) -> int:
        self.version = max(self.version + 1, time.time_ns() // 1_000_000)
        return self.version

    def _tell(self) -> None:
        for call in self.changed:
            call()

    # ---- keeping current

    async def _follow_registry(self) -> None:
        while True:
            await self._registry_dirty.wait()
            self._registry_dirty.clear()
            try:
                await self.reload()
            except Exception:
                _log.exception("reading the registry failed")
                self._registry_dirty.set()
            # Vessels are admitted one by one when a receiver starts; a large registry must not keep this busy.
            await asyncio.sleep(max(_RELOAD_S, 10 * self._reload_took))

    async def _follow_latest(self) -> None:
        while True:
            await self._latest_dirty.wait()
            self._latest_dirty.clear()
            try:
                for kind in ("observation", "position"):
                    answer = await self._centre.bus.ask("centre.ask.latest", kind.encode())
                    delta = await asyncio.to_thread(read_delta, answer, kind)
                    self._versions[kind] = delta.version
                    self._take(delta, whole=True)
                self.asked += 1
            except ThapError as error:
                _log.debug("latest values not there yet", error=str(error))
                self._latest_dirty.set()
            await asyncio.sleep(_RELOAD_S)

    async def _keep_house(self) -> None:
        """Write token counters down; after a reconnection ask anew, for announcements may be missing."""
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            try:
                await flush_credentials(self._centre)
            except Exception:
                _log.exception("writing down the use of tokens and sessions failed")
            reconnects = int(self._centre.bus.client.stats.get("reconnects", 0))
            if reconnects != self._reconnects:
                self._reconnects = reconnects
                self._registry_dirty.set()
                self._latest_dirty.set()
                self._doubt()
