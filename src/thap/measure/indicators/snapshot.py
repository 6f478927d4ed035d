"""What is known of the moment: the registry, latest values, heartbeats, streams, room on the disk."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from thap.detect.catalogue import Catalogue
from thap.detect.records import load_rules
from thap.detect.rules import Rule
from thap.kernel.bus import Bus
from thap.kernel.clock import now_us
from thap.kernel.errors import UnavailableError
from thap.kernel.grid import Locator
from thap.kernel.metrics import Board
from thap.kernel.places import load_locator, polygons_version
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.dead_letters import DeadLetters
from thap.observe.listing import ThingInfo, load_things
from thap.observe.registry import DatastreamInfo, MoverInfo, load_registry

__all__ = ["Heard", "Moment", "Moved", "Snapshots"]

_FRESH_S = 15.0


@dataclass(frozen=True, slots=True)
class Heard:
    """A datastream and the newest it said."""

    info: DatastreamInfo
    time: int | None
    """Of the phenomenon, µs; None where nothing was ever heard."""
    received: int | None
    result: float | None


@dataclass(frozen=True, slots=True)
class Moved:
    """A mover and where it was last; it counts to the commune it is in."""

    info: MoverInfo
    time: int | None
    received: int | None
    lon: float | None
    lat: float | None
    speed_kn: float | None
    commune: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """All of it at one moment."""

    now: int
    heard: tuple[Heard, ...]
    moved: tuple[Moved, ...]
    things: dict[str, ThingInfo]
    rules: tuple[Rule, ...]
    catalogue: Catalogue
    board: Board
    disk: tuple[int, int, int]
    """Total, free, and kept in reserve, bytes."""

    def of(self, *properties: str) -> Iterator[Heard]:
        """What was heard of observed properties."""
        return (heard for heard in self.heard if heard.info.property in properties)

    def title(self, thing: str) -> str:
        """What a thing is called."""
        found = self.things.get(thing)
        return found.title or thing if found else thing


class Snapshots:
    """Moments, each kept for some seconds and shared by all who ask meanwhile.

    Args:
        records, bus, settings: of the centre.
        board: with the heartbeats heard by this process.
    """

    def __init__(self, records: Records, bus: Bus, settings: Settings, board: Board) -> None:
        self._records, self._bus, self._settings, self._board = records, bus, settings, board
        self.letters = DeadLetters(bus, records)
        self._lock = asyncio.Lock()
        self._kept: tuple[float, Moment | UnavailableError] | None = None
        self._locator: tuple[int, Locator] | None = None

    async def moment(self) -> Moment:
        """What is known now, at most fifteen seconds old.

        Raises:
            UnavailableError: the engine or the stream does not answer.
        """
        async with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > _FRESH_S:
                found: Moment | UnavailableError
                try:
                    found = await self._read()
                except UnavailableError as error:
                    found = error  # who asks next need not wait as long
                self._kept = (time.monotonic(), found)
            found = self._kept[1]
        if isinstance(found, UnavailableError):
            raise UnavailableError(found.message, where=found.where, hint=found.hint)
        return found

    async def _read(self) -> Moment:
        heard, moved = await self._latest("observation"), await self._latest("position")
        async with self._records.read() as connection:
            registry, things = await load_registry(connection), await load_things(connection)
            rules = await load_rules(self._settings, connection)
            version = await polygons_version(connection)
            if self._locator is None or self._locator[0] != version:
                self._locator = (version, await load_locator(connection))
        usage = shutil.disk_usage(self._settings.data)
        return Moment(
            now=now_us(),
            heard=tuple(_heard(info, heard) for info in registry.datastreams),
            moved=_placed([_moved(info, moved) for info in registry.movers], self._locator[1]),
            things={info.name: info for info in things},
            rules=tuple(rules),
            catalogue=Catalogue(registry),
            board=self._board,
            disk=(usage.total, usage.free, self._settings.journal.reserve_mib * 2**20),
        )

    async def _latest(self, kind: str) -> dict[int, dict[str, Any]]:
        answer = await self._bus.ask("centre.ask.latest", kind.encode())
        return await asyncio.to_thread(_by_number, answer, "datastream" if kind == "observation" else "mover")


def _by_number(answer: bytes, number: str) -> dict[int, dict[str, Any]]:
    try:
        with pa.ipc.open_stream(pa.py_buffer(answer)) as reader:
            return {row[number]: row for row in reader.read_all().to_pylist()}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise UnavailableError(f"what the engine says of the moment cannot be read: {error}") from None


def _heard(info: DatastreamInfo, latest: dict[int, dict[str, Any]]) -> Heard:
    row = latest.get(info.id)
    return Heard(info, None, None, None) if row is None else Heard(info, row["time"], row["received"], row["result"])


def _moved(info: MoverInfo, latest: dict[int, dict[str, Any]]) -> Moved:
    row = latest.get(info.id)
    if row is None:
        return Moved(info, None, None, None, None, None)
    return Moved(info, row["time"], row["received"], row["lon"], row["lat"], row["speed_kn"])


def _placed(found: list[Moved], locator: Locator) -> tuple[Moved, ...]:
    known = [(one, one.lon, one.lat) for one in found if one.lon is not None and one.lat is not None]
    codes = locator.codes_of([lon for _, lon, _ in known], [lat for _, _, lat in known]).tolist() if known else []
    placed = {
        one.info.id: Moved(one.info, one.time, one.received, one.lon, one.lat, one.speed_kn, str(code or ""))
        for (one, _, _), code in zip(known, codes, strict=True)
    }
    return tuple(placed.get(one.info.id, one) for one in found)
