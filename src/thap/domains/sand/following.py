"""Follows the journal's positions and keeps what vessels did: trips, stays, violations, and the quantities of sand.

A part of the role `respond` that reads the journal from its own place. What behaviour finds, its state and the
sequence they stand for are written in one transaction: after kill -9 it goes on from there and repeats nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
import structlog

from thap.domains.domain import domain
from thap.domains.parameter_records import load_parameters
from thap.domains.sand.behaviour import Behaviour, Findings, Rows
from thap.domains.sand.detectors import watches_mover
from thap.domains.sand.ledger import Factors
from thap.domains.sand.ledger_records import accounts, write_found
from thap.domains.sand.model import Book, Stay, Trip, Violation, local_day
from thap.domains.sand.over import over_changes
from thap.domains.sand.records import book_version, load_book, sand_state
from thap.kernel.bus import JOURNAL, Bus, Entry
from thap.kernel.clock import now_us
from thap.kernel.errors import BusyError, CorruptError, UnavailableError
from thap.kernel.grid import Locator
from thap.kernel.places_records import load_locator
from thap.kernel.records import Records
from thap.kernel.store import Store, Transaction
from thap.observe.kinds import Kind, PositionBatch, decode_block
from thap.observe.registry import MoverInfo, Registry, load_registry
from thap.respond.book import AlarmBook
from thap.respond.parts import Context

__all__ = ["Follower", "part"]

_log = structlog.get_logger(__name__)
_NAME = "behaviour"
_SUBJECT = f"journal.{Kind.POSITION}"
_S = sand_state.c
_READ = sa.select(_S.seq, _S.state).where(_S.name == sa.bindparam("which"))


class Follower:
    """Behaviour over the journal, with its place in it.

    Args:
        records: where the register is and findings go.
        store: for the transactions.
        bus: the journal.
    """

    name = "sand"
    flush_s = 5.0
    """Findings wait so long for others at most."""
    rest_s = 60.0
    """Without findings, the place is written down so often."""
    look_s = 15.0
    """So often it is asked whether quantities moved without a trip: days end by themselves."""

    def __init__(self, records: Records, store: Store, bus: Bus) -> None:
        self._records, self._store, self._bus = records, store, bus
        self._alarms = AlarmBook(records)
        self._registry = Registry()
        self._movers: dict[int, MoverInfo] = {}
        self._slots: np.ndarray[Any, np.dtype[np.intp]] = np.zeros(0, np.intp)
        self._behaviour: Behaviour | None = None
        self._book = Book()
        self._parameters: dict[str, float] = {}
        self._locator: Locator | None = None
        self._changed = True
        self._trips: list[Trip] = []
        self._stays: list[Stay] = []
        self._violations: list[Violation] = []
        self.seq = self.kept = self.lag = self.total = 0
        self._flushed = 0.0
        self._looked: tuple[Any, ...] = ()
        """Day, version of the register and parameters that all licences were last looked at by."""

    async def run(self) -> None:
        """Until cancelled."""

        async def changed(_subject: str, _payload: bytes) -> None:
            self._changed = True

        for subject in ("centre.live.rules", "centre.live.registry", "centre.live.places"):
            await self._bus.listen(subject, changed)
        await self.load()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_at_times())
            async for entries in self._bus.read(JOURNAL, self.seq, subject=_SUBJECT):
                await self.take(entries)

    def stats(self) -> dict[str, Any]:
        """As parts tell it; total counts positions."""
        return {"seq": self.seq, "lag": self.lag, "total": self.total}

    async def load(self) -> None:
        """Take up the state that was written down last."""
        await self.refresh()
        assert self._behaviour is not None
        async with self._records.read() as connection:
            row = (await connection.execute(_READ, {"which": _NAME})).one_or_none()
        newest = await self._bus.last_seq(JOURNAL)
        if row is not None and row.seq <= newest:
            try:
                self._behaviour.load(msgspec.msgpack.decode(row.state))
                self.seq = self.kept = int(row.seq)
            except (msgspec.DecodeError, KeyError, ValueError, TypeError) as error:
                _log.error("state of behaviour unreadable: reading the journal from its beginning", reason=repr(error))
                self._behaviour = Behaviour(self._book, self._parameters)
        elif row is not None:
            _log.error("the journal begins anew: it is shorter than what was judged before", newest=newest, seq=row.seq)
        self._flushed = time.monotonic()

    async def refresh(self) -> None:
        """Take register, parameters, movers and outlines of communes anew."""
        self._changed = False
        async with self._records.read() as connection:
            self._book = await load_book(connection)
            self._parameters = dict(await load_parameters(connection, domain("sand")))
            self._registry = await load_registry(connection)
            self._locator = await load_locator(connection, cells=10_000)
        if self._behaviour is None:
            self._behaviour = Behaviour(self._book, self._parameters)
        else:
            self._behaviour.take_book(self._book, self._parameters)
        self._slots = np.full(self._registry.max_mover + 1, -1, np.intp)
        self._movers = {info.id: info for info in self._registry.movers}

    async def take(self, entries: Sequence[Entry]) -> None:
        """Judge blocks of the journal, and write down what they led to when it is time."""
        batches = []
        for entry in entries:
            try:
                received = int((entry.headers or {}).get("Thap-Received", entry.time))
                batches.append(PositionBatch.of(decode_block(Kind.POSITION, entry.payload), received, entry.seq))
            except (CorruptError, ValueError):
                continue  # the engine tells of it
        if batches:
            batch = PositionBatch.join(batches)
            if self._changed or (len(batch) and int(batch.mover.max()) > self._registry.max_mover):
                await self.refresh()
            self._judge(batch)
        if entries:
            self.seq, self.lag = entries[-1].seq, entries[-1].pending
        waited = time.monotonic() - self._flushed
        if (self._found and waited >= self.flush_s) or waited >= self.rest_s:
            await self.flush()

    @property
    def _found(self) -> bool:
        return bool(self._trips or self._stays or self._violations)

    def _judge(self, batch: PositionBatch) -> None:
        assert self._behaviour is not None
        self.total += len(batch)
        known = batch.mover <= self._registry.max_mover
        if not known.all():
            batch = batch.take(known)
        for number in np.unique(batch.mover[self._slots[batch.mover] < 0]).tolist():
            self._slots[number] = self._slot_of(number)
        slots = self._slots[batch.mover]
        if (slots < 0).any():
            batch, slots = batch.take(slots >= 0), slots[slots >= 0]
        rows = Rows(
            slots, batch.time, batch.lon, batch.lat, batch.speed_kn.astype(np.float64), batch.received, batch.seq
        )
        self._gather(self._behaviour.update(rows))

    def _slot_of(self, number: int) -> int:
        assert self._behaviour is not None
        info = self._movers.get(number)
        if info is None or not watches_mover(info, self._book):
            return -1
        return self._behaviour.slot_of(info.key, info.kind, info.name)

    def _gather(self, found: Findings) -> None:
        self._trips += found.trips
        self._stays += found.stays
        self._violations += [told.violation for told in found.changes]

    async def flush(self) -> None:
        """Write findings, state and place in one transaction; then look at quantities."""
        assert self._behaviour is not None and self._locator is not None
        trips, stays, violations = _newest(self._trips), _newest(self._stays), _newest(self._violations)
        places = {(one.lon, one.lat) for one in (*trips, *stays, *violations)}
        communes = self._communes(sorted(places))
        state = msgspec.msgpack.encode(self._behaviour.dump())
        seq, version, parameters = self.seq, self._book.version, self._parameters

        def write(tx: Transaction) -> None:
            write_found(
                tx, trips=trips, stays=stays, violations=violations, communes=communes, book_version=version,
                parameters=parameters,
            )  # fmt: skip
            _keep_state(tx, seq, state)

        while True:
            try:
                await self._store.transact(write)
                break
            except (BusyError, UnavailableError) as error:
                _log.warning("trips wait for the records", reason=str(error))
                await asyncio.sleep(1)
        self._trips, self._stays, self._violations = [], [], []
        self.kept, self._flushed = seq, time.monotonic()
        if licences := {one.licence for one in trips if one.licence is not None}:
            await self.look(licences)
        if trips or violations:
            await self._bus.announce("centre.live.sand", {"trips": len(trips), "violations": len(violations)})

    def _communes(self, places: Sequence[tuple[float, float]]) -> dict[tuple[float, float], str]:
        if not places or self._locator is None:
            return {}
        lon, lat = (list(values) for values in zip(*places, strict=True))
        indices = self._locator.commune_of(lon, lat).tolist()
        codes = [self._locator.communes[index].code if index >= 0 else "" for index in indices]
        return dict(zip(places, codes, strict=True))

    async def look(self, only: Collection[int] | None = None) -> None:
        """Compare quantities with licences, and tell the alarm book what changed.

        Args:
            only: ids of the licences to look at; None for all.
        """
        factors = Factors.of(self._parameters)
        now = self._event_time()
        async with self._records.read() as connection:
            found = await accounts(connection, factors, only=only, now=now, days=1)
        active = await self._alarms.active()
        changes = over_changes(found, active, factors, now, self._book.version, whole=only is None)
        if not changes:
            return
        for event in await self._alarms.apply(changes):
            await self._bus.announce("centre.live.alarm", event)

    def _event_time(self) -> int:
        """The time of the stream where it lags behind the clock, as while old records are read."""
        assert self._behaviour is not None
        now = now_us()
        return min(now, self._behaviour.now) if self.lag and self._behaviour.now > 0 else now

    async def look_again(self) -> None:
        """Look at all licences if something but a trip moved their quantities: the day, the register, a parameter."""
        if self._changed:
            await self.refresh()
        async with self._records.read() as connection:
            version = await book_version(connection)
        state = (local_day(self._event_time()), version, tuple(sorted(self._parameters.items())))
        if state != self._looked:
            await self.look()
            self._looked = state

    async def _look_at_times(self) -> None:
        while True:
            await asyncio.sleep(self.look_s)
            try:
                await self.look_again()
            except (BusyError, UnavailableError) as error:
                _log.warning("quantities wait for the records", reason=str(error))


def _newest(found: Sequence[Any]) -> list[Any]:
    """Of findings that were told twice (begun, then ended) the last, in order: a row is written once in a batch."""
    kept: dict[tuple[Any, ...], Any] = {}
    for one in found:
        if isinstance(one, Trip):
            key: tuple[Any, ...] = (one.vessel, one.load_begin)
        else:
            key = (one.vessel, one.begin, getattr(one, "kind", "") if isinstance(one, Violation) else "")
        kept[key] = one
    return list(kept.values())


def _keep_state(tx: Transaction, seq: int, state: bytes) -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    make = sqlite.insert if tx.dialect == "sqlite" else postgresql.insert
    statement = make(sand_state)
    kept = {name: statement.excluded[name] for name in ("seq", "state", "changed")}
    values = {"name": _NAME, "seq": seq, "state": state, "changed": now_us()}
    tx.run(statement.on_conflict_do_update(index_elements=["name"], set_=kept), [values])


def part(context: Context) -> Follower:
    """For `thap.respond.parts`."""
    return Follower(context.records, context.store, context.bus)
