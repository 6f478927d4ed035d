"""Keeps what the detector of the live centre found: trips, stays, violations, and the quantities of sand.

A part of the role `respond` that reads the stream of findings from its own place. Findings come at least once; they are
brought up to date under their unique keys, in one transaction with the place they stand for. So after kill -9 it goes
on from there, and keeps each exactly once. Vessels are judged in the engine alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
import structlog

from thap.domains.domain import domain
from thap.domains.parameter_records import load_parameters
from thap.domains.sand.found import Found, read_found
from thap.domains.sand.ledger import Factors
from thap.domains.sand.ledger_records import accounts, write_found
from thap.domains.sand.model import Stay, Trip, Violation, local_day
from thap.domains.sand.over import over_changes
from thap.domains.sand.records import book_version, sand_state
from thap.kernel.bus import FOUND, Bus, Entry
from thap.kernel.clock import MINUTE_US, now_us
from thap.kernel.errors import BusyError, UnavailableError
from thap.kernel.grid import Locator
from thap.kernel.places_records import load_locator
from thap.kernel.records import Records
from thap.kernel.store import Store, Transaction
from thap.respond.book import AlarmBook
from thap.respond.parts import Context

__all__ = ["Follower", "part"]

_log = structlog.get_logger(__name__)
_NAME = "found"
_SUBJECT = "found.sand"
_MOST = 2000
"""So many findings wait for others at most."""
_BEHIND_US = 10 * MINUTE_US
"""Findings whose clock is so far behind are of old records, which the engine is reading."""
_S = sand_state.c
_READ = sa.select(_S.seq).where(_S.name == sa.bindparam("which"))


class Follower:
    """Findings as they come, into the records.

    Args:
        records: where findings go, and the register is.
        store: for the transactions.
        bus: the stream of findings.
    """

    name = "sand"
    flush_s = 3.0
    """Findings wait so long for others at most."""
    look_s = 15.0
    """So often it is asked whether quantities moved without a trip: days end by themselves."""

    def __init__(self, records: Records, store: Store, bus: Bus) -> None:
        self._records, self._store, self._bus = records, store, bus
        self._alarms = AlarmBook(records)
        self._parameters: dict[str, float] = {}
        self._locator: Locator | None = None
        self._changed = True
        self._waiting: list[Found] = []
        self._writing = asyncio.Lock()
        self.seq = self.kept = self.lag = self.total = 0
        self._clock = self._told = 0
        """Of the stream of positions when the newest finding was found, and when the stream of findings took it."""
        self._looked: tuple[Any, ...] = ()
        """Day, version of the register and parameters that all licences were last looked at by."""

    async def run(self) -> None:
        """Until cancelled."""

        async def changed(_subject: str, _payload: bytes) -> None:
            self._changed = True

        for subject in ("centre.live.rules", "centre.live.places"):
            await self._bus.listen(subject, changed)
        await self.load()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_at_times())
            group.create_task(self._flush_at_times())
            async for entries in self._bus.read(FOUND, self.seq, subject=_SUBJECT):
                await self.take(entries)

    def stats(self) -> dict[str, Any]:
        """As parts tell it; total counts findings."""
        return {"seq": self.seq, "lag": self.lag, "total": self.total}

    async def load(self) -> None:
        """Go back to the place that was written down last. Raises what `Bus.last_seq` raises."""
        await self.refresh()
        async with self._records.read() as connection:
            seq = int(await connection.scalar(_READ, {"which": _NAME}) or 0)
        newest = await self._bus.last_seq(FOUND)
        if seq > newest:
            _log.error("findings begin anew: their stream is shorter than what was kept", newest=newest, seq=seq)
            seq = 0
        self.seq = self.kept = seq
        self._waiting, self._looked = [], ()

    async def refresh(self) -> None:
        """Take parameters and outlines of communes anew."""
        self._changed = False
        async with self._records.read() as connection:
            self._parameters = dict(await load_parameters(connection, domain("sand")))
            self._locator = await load_locator(connection, cells=10_000)

    async def take(self, entries: Sequence[Entry]) -> None:
        """Take messages of the stream; they are written down when it is time, or where they are many."""
        for entry in entries:
            try:
                found = read_found(entry.payload)
            except ValueError as error:
                _log.error("a message of findings cannot be read and is left out", seq=entry.seq, reason=str(error))
                found = []
            self._waiting += found
            self.total += len(found)
            if found:
                self._clock, self._told = found[-1].clock, entry.time
            self.seq, self.lag = entry.seq, entry.pending
            if len(self._waiting) >= _MOST:
                await self.flush()

    async def flush(self) -> None:
        """Write findings and place in one transaction; then look at quantities."""
        async with self._writing:
            found, seq = self._waiting, self.seq
            if seq == self.kept:
                return
            self._waiting = []
            await self._write(found, seq)
            self.kept = seq
        trips = [one.one for one in found if isinstance(one.one, Trip)]
        violations = sum(isinstance(one.one, Violation) for one in found)
        if licences := {one.licence for one in trips if one.licence is not None}:
            before, self._looked = self._looked, ()  # unless this goes well, all of them, next time
            try:
                await self.look(licences)
                self._looked = before
            except (BusyError, UnavailableError) as error:  # a full disk among them
                _log.warning("quantities wait for the records", reason=str(error))
        if trips or violations:
            await self._bus.announce("centre.live.sand", {"trips": len(trips), "violations": violations})

    async def _write(self, found: Sequence[Found], seq: int) -> None:
        if self._changed:
            await self.refresh()
        communes = self._communes(sorted({(one.one.lon, one.one.lat) for one in found}))
        groups = _by_judge(found)

        def write(tx: Transaction) -> None:
            for group in groups:
                write_found(
                    tx,
                    trips=[one.one for one in group if isinstance(one.one, Trip)],
                    stays=[one.one for one in group if isinstance(one.one, Stay)],
                    violations=[one.one for one in group if isinstance(one.one, Violation)],
                    communes=communes,
                    book_version=group[0].book_version,
                    parameters=group[0].parameters,
                )
            _keep_place(tx, seq)

        while True:
            try:
                await self._store.transact(write)
                return
            except (BusyError, UnavailableError) as error:
                _log.warning("trips wait for the records", reason=str(error))
                await asyncio.sleep(1)

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
            version = await book_version(connection)
        active = await self._alarms.active()
        changes = over_changes(found, active, factors, now, version, whole=only is None)
        if not changes:
            return
        for event in await self._alarms.apply(changes):
            await self._bus.announce("centre.live.alarm", event)

    def _event_time(self) -> int:
        """The time of the stream of positions where it lags behind the clock, as while old records are read."""
        now = now_us()
        late = self._told - self._clock > _BEHIND_US and now - self._told < _BEHIND_US
        return min(now, self._clock) if self._clock and (self.lag or late) else now

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

    async def _flush_at_times(self) -> None:
        while True:
            await asyncio.sleep(self.flush_s)
            await self.flush()


def _by_judge(found: Sequence[Found]) -> list[list[Found]]:
    """Findings by the register and the parameters that judged them, each group in the order of the stream."""
    groups: dict[tuple[Any, ...], list[Found]] = {}
    for one in found:
        groups.setdefault((one.book_version, *sorted(one.parameters.items())), []).append(one)
    return list(groups.values())


def _keep_place(tx: Transaction, seq: int) -> None:
    tx.run(_place(tx.dialect), [{"name": _NAME, "seq": seq, "changed": now_us()}])


@cache
def _place(dialect: str) -> Any:
    """The upsert; made once: what runs it keeps it."""
    from sqlalchemy.dialects import postgresql, sqlite

    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(sand_state)
    kept = {name: statement.excluded[name] for name in ("seq", "changed")}
    return statement.on_conflict_do_update(index_elements=["name"], set_=kept)


def part(context: Context) -> Follower:
    """For `thap.respond.parts`."""
    return Follower(context.records, context.store, context.bus)
