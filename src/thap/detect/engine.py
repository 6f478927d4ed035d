"""The engine: reads the journal, keeps latest values, runs detectors, hands their changes on.

Exactly-once effect. The engine reads by sequence, without acknowledging. Its state (latest values, detector
state) is checkpointed with the sequence it stands for. Changes are applied to the records in one transaction
with the sequence they were decided at. After a crash it loads the checkpoint and reads on from there; until
the sequence the records know, it decides the same changes again and drops them, after that it goes on. What
detectors find beside alarms goes to a stream of its own, at least once (`thap.detect.findings`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import structlog
from nats.errors import Error as NatsError

from thap.detect.detector import Change, Detector, Fault
from thap.detect.findings import Outbox
from thap.detect.judges import Judges
from thap.detect.latest import Latest
from thap.detect.places import area_resolver
from thap.detect.rules import Rule
from thap.detect.ruleset import RuleSet
from thap.kernel.bus import JOURNAL, Bus, Entry
from thap.kernel.clock import now_us
from thap.kernel.errors import CorruptError, ThapError
from thap.kernel.grid import Locator
from thap.kernel.places_records import load_locator
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.intake import dead_letter
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch, decode_block
from thap.observe.registry import DatastreamInfo, MoverInfo, Registry, load_registry

__all__ = ["Engine", "Sink"]

_log = structlog.get_logger(__name__)
_GATHER_S = 0.004
"""At the end of the journal, so long for more blocks to come: judging costs by the batch as well as by the row."""
_LONG_S = 0.5
"""Judging stands still while the registry is taken up: more than this is told."""
Batch = ObservationBatch | PositionBatch


class Sink(Protocol):
    """Where changes take effect (alarms); see `thap.respond.book.AlarmBook`."""

    def apply(self, changes: Sequence[Change], *, upto_seq: int | None = None) -> Awaitable[Sequence[Any]]:
        """Apply changes and remember the sequence, in one transaction; gives what happened, to be announced."""
        ...

    def applied_seq(self) -> Awaitable[int]:
        """The sequence remembered last."""
        ...

    def rewind(self, seq: int) -> Awaitable[None]:
        """Remember a smaller sequence: the journal began anew."""
        ...

    def expire(self, now: int) -> Awaitable[Sequence[Any]]:
        """End what ends by time (shelving)."""
        ...


class RuleLoader(Protocol):
    """Gives the rules in force."""

    def __call__(self) -> Awaitable[list[Rule]]: ...


class Engine:
    """One engine of one centre."""

    def __init__(
        self,
        bus: Bus,
        records: Records,
        settings: Settings,
        sink: Sink,
        load_rules: RuleLoader,
        detectors: Sequence[Detector] = (),
    ) -> None:
        self._bus, self._records, self._settings = bus, records, settings
        self._sink, self._load_rules = sink, load_rules
        self.latest = {Kind.OBSERVATION: Latest(Kind.OBSERVATION), Kind.POSITION: Latest(Kind.POSITION)}
        self._registry = Registry()
        self._datastreams: dict[str, DatastreamInfo] = {}
        self._movers: dict[str, MoverInfo] = {}
        self._rules = RuleSet([], self._registry, settings.engine)
        self._judges = Judges(self._rules, detectors)
        self._findings = Outbox(bus)
        self._rules_changed = asyncio.Event()
        self._registry_stale = False
        self._places_stale = False
        self._locator: Locator | None = None
        self._reload = asyncio.Lock()
        self.seq = 0
        """The journal is taken up to here."""
        self.applied = 0
        """Changes decided up to here are in the records already."""
        self._newest = 0
        self._door_time = 0
        self._halfway = False
        self._checkpointed = 0.0
        self._disk = threading.Lock()
        """One checkpoint is written at a time: the last one may meet another that was under way at the end."""
        self._announced = dict.fromkeys(self.latest, 0)
        self.totals: Counter[str] = Counter()
        self.ready = asyncio.Event()

    # ---- life

    async def run(self) -> None:
        """Until cancelled."""
        await self._load()
        await self._bus.listen("centre.live.registry", self._hear_registry)
        await self._bus.listen("centre.live.rules", self._hear_rules)
        await self._bus.listen("centre.live.places", self._hear_places)
        await self._bus.answer("centre.ask.latest", self._answer_latest)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._consume())
                group.create_task(self._ticks())
                group.create_task(self._look_ahead())
                group.create_task(self._announce_latest())
                group.create_task(self._findings.run())
        finally:
            if not self._halfway:  # else the state is ahead of what took effect: the last checkpoint stands
                await self.checkpoint()

    async def _load(self) -> None:
        await self._take_registry()
        self.applied = await self._sink.applied_seq()
        await self._take_places()
        self._judges.rebind(await self._load_rules(), self._registry)
        path = self._checkpoint_path
        lost: list[Change] = []
        if path.exists():
            try:
                state = msgspec.msgpack.decode(path.read_bytes(), type=_Checkpoint)
                for kind, latest in self.latest.items():
                    latest.load(
                        {name: np.frombuffer(data, type_) for name, (type_, data) in state.latest[kind].items()}
                    )
                lost = self._judges.load(state.judges)
                self.seq = state.seq
                self._findings.load(state.findings)
            except (msgspec.DecodeError, ValueError, KeyError) as error:
                _log.error("checkpoint unreadable: reading the journal from its beginning", reason=str(error))
                self.seq = 0
        self._newest = await self._bus.last_seq(JOURNAL)
        if max(self.seq, self.applied) > self._newest:
            _log.error(
                "the journal begins anew: it is shorter than what was judged before",
                newest=self._newest,
                seq=self.seq,
                applied=self.applied,
            )
            self.seq = self.applied = 0
            await self._sink.rewind(0)
        await self._apply(lost, None)  # of rules or sources that are gone
        self._checkpointed = time.monotonic()
        _log.info("engine starts", seq=self.seq, applied=self.applied, rules=self._rules.rule_count)

    @property
    def _checkpoint_path(self) -> Path:
        return self._settings.state_dir / "engine.checkpoint"

    async def checkpoint(self) -> None:
        """Write state and sequence to disk, whole or not at all."""
        state = _Checkpoint(
            self.seq,
            {
                kind: {name: (column.dtype.str, column.tobytes()) for name, column in latest.dump().items()}
                for kind, latest in self.latest.items()
            },
            self._judges.dump(),
            self._findings.dump(),
        )
        await asyncio.to_thread(self._write, msgspec.msgpack.encode(state))
        self._checkpointed = time.monotonic()

    def _write(self, state: bytes) -> None:
        with self._disk:
            _write_whole(self._checkpoint_path, state)

    # ---- registry and rules

    async def _hear_registry(self, _subject: str, _payload: bytes) -> None:
        self._registry_stale = True

    async def _hear_places(self, _subject: str, _payload: bytes) -> None:
        self._places_stale = True
        self._rules_changed.set()

    async def _hear_rules(self, _subject: str, _payload: bytes) -> None:
        self._rules_changed.set()

    async def _take_registry(self) -> None:
        async with self._records.read() as connection:
            self._registry = await load_registry(connection)
            await self._judges.refresh(connection)
        self._datastreams = {info.key: info for info in self._registry.datastreams}
        self._movers = {info.key: info for info in self._registry.movers}
        self._registry_stale = False

    async def _take_rules(self) -> None:
        self._rules_changed.clear()
        if self._places_stale:
            await self._take_places()
        await self._apply(self._judges.rebind(await self._load_rules(), self._registry), None)

    async def _take_places(self) -> None:
        self._places_stale = False
        async with self._records.read() as connection:
            self._rules.resolve_area = await area_resolver(connection)
            self._locator = await load_locator(connection, cells=10_000)  # a few points at a time: coarse will do

    async def _refresh(self, batches: Sequence[Batch] = ()) -> None:
        """Take up registry and rules if they changed, or if records name something not known yet."""
        for batch in batches:
            if isinstance(batch, ObservationBatch):
                self._registry_stale |= int(batch.datastream.max()) > self._registry.max_datastream
            else:
                self._registry_stale |= int(batch.mover.max()) > self._registry.max_mover
        if self._registry_stale or self._rules_changed.is_set():
            began = time.monotonic()
            try:
                await self._take_registry()
                await self._take_rules()
            except BaseException:
                self._registry_stale = True  # neither is taken up before both are
                raise
            if (took := time.monotonic() - began) > _LONG_S:
                _log.warning("taking up registry and rules held up judging", seconds=round(took, 2))

    # ---- the journal

    async def _consume(self) -> None:
        if not self._behind():
            self.ready.set()
        async for entries in self._bus.read(JOURNAL, self.seq):
            self._newest = max(self._newest, entries[-1].seq + entries[-1].pending)
            await self._take(entries)
            if not self._behind() and not self.ready.is_set():
                self.ready.set()
                self._checkpointed = 0.0  # the catching up need not be done again
            if not entries[-1].pending:
                await asyncio.sleep(_GATHER_S)

    def _behind(self) -> int:
        """How many blocks of the journal are still to be judged."""
        return max(0, self._newest - self.seq)

    async def _look_ahead(self) -> None:
        """Ask where the journal ends, so that a reader that stopped shows as lag."""
        while True:
            await asyncio.sleep(1)
            with contextlib.suppress(Exception):  # while the stream restarts, the newest known will do
                async with asyncio.timeout(2):
                    self._newest = max(self._newest, await self._bus.last_seq(JOURNAL))

    async def _take(self, entries: list[Entry]) -> None:
        """One micro-batch after another out of a group of journal messages."""
        start = 0
        while start < len(entries):
            rows, stop = 0, start
            gathered: dict[Kind, list[Batch]] = {Kind.OBSERVATION: [], Kind.POSITION: []}
            while stop < len(entries) and rows < self._settings.engine.batch_rows:
                # A batch never straddles the sequence up to which changes were applied before a crash.
                if stop > start and entries[stop - 1].seq <= self.applied < entries[stop].seq:
                    break
                batch = await self._decode(entries[stop])
                if batch is not None and len(batch):
                    rows += len(batch)
                    gathered[Kind.OBSERVATION if isinstance(batch, ObservationBatch) else Kind.POSITION].append(batch)
                stop += 1
            await self._judge(gathered, entries[stop - 1].seq)
            start = stop
            if start < len(entries):
                await asyncio.sleep(0)

    async def _decode(self, entry: Entry) -> Batch | None:
        kind = entry.subject.split(".")[1]
        try:
            received = int((entry.headers or {}).get("Thap-Received", entry.time))
            if kind == Kind.OBSERVATION:
                return ObservationBatch.of(decode_block(Kind.OBSERVATION, entry.payload), received, entry.seq)
            if kind == Kind.POSITION:
                return PositionBatch.of(decode_block(Kind.POSITION, entry.payload), received, entry.seq)
        except (CorruptError, ValueError) as error:
            await self._dead("block", str(error), entry.seq, base64.b64encode(entry.payload).decode())
        return None

    async def _judge(self, gathered: dict[Kind, list[Batch]], seq: int) -> None:
        changes: list[Change] = []
        joined: list[Batch] = []
        if gathered[Kind.OBSERVATION]:
            joined.append(ObservationBatch.join(gathered[Kind.OBSERVATION]))  # type: ignore[arg-type]
        if gathered[Kind.POSITION]:
            joined.append(PositionBatch.join(gathered[Kind.POSITION]))  # type: ignore[arg-type]
        async with self._reload:
            self._halfway = True
            await self._refresh(joined)
            for batch in joined:
                outcome = self._judges.update(batch)
                kind = Kind.OBSERVATION if isinstance(batch, ObservationBatch) else Kind.POSITION
                self.latest[kind].update(batch)
                self.totals[kind] += len(batch)
                self._door_time = max(self._door_time, int(batch.received[-1]))
                changes += outcome.changes
                # Unlike changes they are told again up to `applied`: nothing else says whether the stream has them.
                self._findings.put(outcome.findings)
                for fault in outcome.faults:
                    await self._fault(batch, fault)
            if seq > self.applied:
                await self._apply(changes, seq)
            self.seq = seq
            self._halfway = False

    async def _apply(self, changes: list[Change], seq: int | None) -> None:
        """Into the records, retried until they take it: nothing after it is judged before."""
        if not changes:
            return
        changes = [self._placed(change) for change in sorted(changes, key=lambda c: (c.seq, c.time))]
        while True:
            try:
                events = await self._sink.apply(changes, upto_seq=seq)
                break
            except ThapError as error:
                _log.error("alarms cannot be written; trying again", reason=str(error))
            except Exception:
                _log.exception("alarms cannot be written; trying again")
            await asyncio.sleep(0.5)
        self.totals["changes"] += len(changes)
        for event in events:
            await self._bus.announce("centre.live.alarm", event)

    def _placed(self, change: Change) -> Change:
        """With domain, place and commune of its source where the detector left them open."""
        domain, lon, lat, commune = change.domain, change.lon, change.lat, change.commune
        info, mover = self._datastreams.get(change.source), self._movers.get(change.source)
        if info is not None:
            domain, commune = domain or info.domain, commune or info.commune
            if lon is None:
                lon, lat = info.lon, info.lat
        elif mover is not None:
            domain = domain or mover.domain
            place = self.latest[Kind.POSITION].place(mover.id)
            if lon is None and place is not None:
                lon, lat = place
        if not commune and lon is not None and lat is not None and self._locator is not None:
            found = int(self._locator.commune_of(lon, lat)[0])
            commune = self._locator.communes[found].code if found >= 0 else ""
        return replace(change, domain=domain, lon=lon, lat=lat, commune=commune)

    async def _fault(self, batch: Batch, fault: Fault) -> None:
        row = batch.take(np.array([fault.row]))
        record = {name: getattr(row, name).tolist()[0] for name in row.__slots__}
        await self._dead(fault.condition, fault.reason, int(row.seq[0]), record)

    async def _dead(self, what: str, reason: str, seq: int, record: Any) -> None:
        self.totals["faults"] += 1
        while True:
            # The same record judged again after a crash must not be listed twice.
            once = {"Nats-Msg-Id": f"engine-{seq}-{what}-{zlib.crc32(str(record).encode()):x}"}
            try:
                await self._bus.append("dead.engine", dead_letter("engine", what, reason, record, seq=seq), once)
                return
            except ThapError as error:
                _log.error("a dead letter waits to be kept", reason=reason, seq=seq, error=str(error))
            await asyncio.sleep(1)

    # ---- time

    async def _ticks(self) -> None:
        """Timers of rules, ends of shelving, checkpoints."""
        while True:
            await asyncio.sleep(0.2)
            try:
                async with self._reload:
                    await self._tick()
            except Exception:  # a full disk or a locked database passes; timers must go on after it
                self._halfway = False  # changes are applied or not decided: nothing raises between the two
                _log.exception("timers of rules put off")
                await asyncio.sleep(1)

    async def _tick(self) -> None:
        self._halfway = True
        await self._refresh()
        if self.seq >= self.applied:
            # Behind the journal, time is what it was at the doors when they took what was read last.
            outcome = self._judges.tick(self._door_time if self._behind() else now_us())
            self._findings.put(outcome.findings)
            await self._apply(outcome.changes, None)
            for fault in outcome.faults:
                await self._dead(fault.condition, fault.reason, self.seq, None)
        self._halfway = False
        for event in await self._sink.expire(now_us()):
            await self._bus.announce("centre.live.alarm", event)
        if time.monotonic() - self._checkpointed >= self._settings.engine.checkpoint_s:
            await self.checkpoint()

    # ---- latest values

    async def _answer_latest(self, payload: bytes) -> bytes:
        kind = Kind(payload.decode() or Kind.OBSERVATION)
        return await asyncio.to_thread(self.latest[kind].ipc)

    async def _announce_latest(self) -> None:
        """Changed values, conflated, a few times a second."""
        while True:
            await asyncio.sleep(0.25)
            for kind, latest in self.latest.items():
                if latest.version > self._announced[kind]:
                    since, self._announced[kind] = self._announced[kind], latest.version
                    with contextlib.suppress(NatsError):  # whoever misses it asks again
                        await self._bus.client.publish("centre.live.latest", latest.ipc(since))

    def stats(self) -> dict[str, Any]:
        """What the heartbeat says."""
        return {
            "detect": {
                "seq": self.seq,
                "lag": self._behind(),
                "total": self.totals["observation"] + self.totals["position"],
                "rules": self._rules.rule_count,
                "changes": self.totals["changes"],
                "faults": self.totals["faults"],
                "ready": self.ready.is_set(),
                "datastreams": self.latest[Kind.OBSERVATION].count,
                "movers": self.latest[Kind.POSITION].count,
                **self._findings.stats(),
            }
        }


class _Checkpoint(msgspec.Struct, array_like=True):
    seq: int
    latest: dict[str, dict[str, tuple[str, bytes]]]
    judges: bytes
    findings: list[tuple[str, str, bytes]] = []


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
