"""Admission: what becomes of records whose names nobody knew.

Admitting registers names, tells everybody, and hands the records that waited to the journal. Dropping sends
them to the dead-letter stream. Either ends with taking the names off the list, and a name on the list that
the registry knows is unfinished work: whatever is killed when, doing it again completes it, and records that
were handed over twice collapse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from thap.kernel.bus import QUARANTINE, Bus
from thap.kernel.clock import SECOND_US, now_us
from thap.kernel.errors import InputError, ThapError, UnavailableError
from thap.kernel.records import Records
from thap.observe.intake import Intake
from thap.observe.kinds import Kind
from thap.observe.quarantine import Waiting, forget, list_waiting, matching, registered
from thap.observe.registry import quarantined_keys, register_datastreams, register_movers

__all__ = ["Admission", "Outcome"]

_log = structlog.get_logger(__name__)
_REGISTER_AT_ONCE = 2_000
_ROUNDS = 20
_LISTED_WITHIN_US = 60 * SECOND_US
"""A door lists a name just after its record is in the stream; by then at the latest."""
Names = dict[tuple[str, str], int]


class _Held(msgspec.Struct):
    """A message of the quarantine stream."""

    kind: str
    door: str
    records: list[dict[str, Any]]
    received: int = 0


_held = msgspec.json.Decoder(_Held)


@dataclass(slots=True)
class Outcome:
    """What an admission or a drop did."""

    names: int = 0
    """How many names it concerned."""
    released: int = 0
    """Records handed to the journal."""
    rejected: int = 0
    """Records now among the dead letters."""
    unmatched: list[str] = field(default_factory=list)
    """Patterns that match no name in quarantine."""

    def as_dict(self) -> dict[str, Any]:
        return {"names": self.names, "released": self.released, "rejected": self.rejected, "unmatched": self.unmatched}


class Admission:
    """Decides about names in quarantine; one per gateway process."""

    def __init__(self, bus: Bus, records: Records, intake: Intake) -> None:
        self._bus, self._records, self._intake = bus, records, intake
        self._one_at_a_time = asyncio.Lock()

    async def waiting(
        self, *, limit: int = 100, offset: int = 0, pattern: str | None = None, kind: str | None = None
    ) -> tuple[list[Waiting], int]:
        """Names in quarantine, the last heard first, and how many there are in all."""
        async with self._records.read() as connection:
            return await list_waiting(connection, limit=limit, offset=offset, pattern=pattern, kind=kind)

    async def admit(self, patterns: Sequence[str], *, kind: str | None = None) -> Outcome:
        """Register the names that match and release their records.

        Raises:
            InputError: no pattern is given.
            UnavailableError, DiskFullError: it could not be finished now; do it again, or leave it to `settle`.
        """
        names, unmatched = await self._matching(patterns, kind)
        async with self._one_at_a_time:
            keys = {of: [key for kind_, key in names if kind_ == of] for of in ("observation", "position")}
            for of, register in (("observation", register_datastreams), ("position", register_movers)):
                for start in range(0, len(keys[of]), _REGISTER_AT_ONCE):
                    async with self._records.write() as connection:
                        await register(
                            connection, [{"key": key} for key in keys[of][start : start + _REGISTER_AT_ONCE]]
                        )
            outcome = await self._release(names)
        outcome.unmatched = unmatched
        return outcome

    async def drop(self, patterns: Sequence[str], by: str, *, kind: str | None = None) -> Outcome:
        """Send the records of names that match to the dead letters; a name that comes again waits again.

        Args:
            by: who decided, for the reason kept with each record.

        Raises:
            InputError: no pattern is given.
            UnavailableError, DiskFullError: it could not be finished now; do it again.
        """
        names, unmatched = await self._matching(patterns, kind)
        outcome = Outcome(unmatched=unmatched, names=len(names))

        async def bury(held: _Held) -> None:
            await self._intake.reject(held.door, Kind(held.kind), [(f"dropped by {by}", r) for r in held.records])
            outcome.rejected += len(held.records)

        async with self._one_at_a_time:
            await self._empty(names, bury)
            await self._intake.reload()
        return outcome

    async def settle(self) -> Outcome:
        """Finish admissions that were interrupted, and release records of names registered in another way.

        Call it after things were registered.
        """
        async with self._one_at_a_time:
            async with self._records.read() as connection:
                names = await registered(connection)
            return await self._release(names) if names else Outcome()

    async def keep_settled(self, every_s: float = 60) -> None:
        """Settle now and every so often, until cancelled; for the gateway."""
        while True:
            try:
                await self.settle()
            except ThapError as error:
                _log.warning("waiting records not released yet", reason=str(error))
            await asyncio.sleep(every_s)

    async def _matching(self, patterns: Sequence[str], kind: str | None) -> tuple[Names, list[str]]:
        if not patterns or not all(patterns):
            raise InputError(
                "no name or pattern is given",
                where="patterns",
                hint="name what to admit, as tram-01/level or tram-*; * means all",
            )
        async with self._records.read() as connection:
            return await matching(connection, patterns, kind)

    async def _release(self, names: Names) -> Outcome:
        """Hand over what waits under names that are registered by now."""
        outcome = Outcome(names=len(names))
        if not names:
            return outcome
        await self._intake.reload()  # from here on new records of these names are taken, not quarantined
        await self._bus.announce("centre.live.registry", {"by": "admission"})

        async def hand_over(held: _Held) -> None:
            records = held.records

            def raw(row: int) -> Any:
                return records[row]

            keys = [record["key"] for record in records]
            times = np.array([record["at"] for record in records], np.int64)
            if held.kind == Kind.OBSERVATION:
                receipt = await self._intake.observations(held.door, keys, times, _column(records, "result"), raw)
            else:
                receipt = await self._intake.positions(
                    held.door,
                    keys,
                    times,
                    _column(records, "lon"),
                    _column(records, "lat"),
                    _column(records, "speed"),
                    _column(records, "course"),
                    raw,
                )
            outcome.released += receipt.accepted
            outcome.rejected += len(receipt.rejected)

        await self._empty(names, hand_over)
        await self._intake.reload()
        _log.info("admitted", names=outcome.names, released=outcome.released, rejected=outcome.rejected)
        return outcome

    async def _empty(self, names: Names, take: Callable[[_Held], Awaitable[None]]) -> None:
        """Give every waiting record of `names` to `take`, then strike the names off the list.

        A door may still be adding a record it began to quarantine: the stream first, the list second. So a name
        is struck off only if its count is what it was before the stream was read, else the rest is read too.
        """
        after = 0
        needed: int | None = None
        for _ in range(_ROUNDS):
            async with self._records.read() as connection:
                listed = await quarantined_keys(connection)
                others = listed - names.keys()
            async for entries in self._bus.read(QUARANTINE, after, stop_at_end=True):
                for entry in entries:
                    after = entry.seq
                    held = _decode(entry.payload, entry.seq)
                    if held is None:
                        continue
                    if needed is None and self._is_needed(held, names, others):
                        needed = entry.seq
                    ours = [record for record in held.records if (held.kind, record["key"]) in names]
                    if ours:
                        held.records = ours
                        await take(held)
            async with self._records.write() as connection:
                await forget(connection, names)
            async with self._records.read() as connection:
                left = await self._left(connection, names)
            if not left:
                break
            names = left
        await self._trim(needed if needed is not None else after + 1)

    @staticmethod
    def _is_needed(held: _Held, names: Names, others: set[tuple[str, str]]) -> bool:
        """Whether a record of a message still waits: its name is listed, or may be about to be."""
        strangers = [record for record in held.records if (held.kind, record["key"]) not in names]
        recent = held.received > now_us() - _LISTED_WITHIN_US
        return any(recent or (held.kind, record["key"]) in others for record in strangers)

    async def _left(self, connection: Any, names: Names) -> Names:
        """Those of `names` still on the list, with their counts now."""
        listed = await quarantined_keys(connection)
        left = [name for name in names if name in listed]
        found: Names = {}
        for kind, key in left:
            counts, _ = await matching(connection, [key], kind)
            found.update(counts)
        return found

    async def _trim(self, seq: int) -> None:
        """Let the stream forget what lies before `seq`; none of it waits any more."""
        if seq <= 1:
            return
        try:
            await self._bus.js.purge_stream(QUARANTINE, seq=seq)
        except (APIError, NatsError, OSError) as error:
            raise UnavailableError(f"the stream did not answer: {type(error).__name__}") from None


def _decode(payload: bytes, seq: int) -> _Held | None:
    try:
        return _held.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.error("a message of the quarantine stream cannot be read", seq=seq, error=str(error))
        return None


def _column(records: list[dict[str, Any]], name: str) -> Any:
    return np.array([np.nan if record.get(name) is None else record[name] for record in records], np.float64)
