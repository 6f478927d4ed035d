"""Counts indicators in the background: the province's each at its own pace, those of other audiences every fifteen
minutes, and thins series once an hour. When a value was counted last is in the records, so a start goes on from there.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from thap.kernel.clock import HOUR_US, SECOND_US, now_us
from thap.kernel.errors import BusyError, UnavailableError
from thap.kernel.metrics import Board
from thap.kernel.policy import Policies, Policy, Who
from thap.measure.indicators.catalogue import indicators
from thap.measure.indicators.compute import PROVINCE, Computer, audiences
from thap.measure.indicators.records import keep, thin, values_of
from thap.measure.indicators.snapshot import Snapshots
from thap.respond.parts import Context

__all__ = ["Counting", "part"]

_log = structlog.get_logger(__name__)
_ROUND_S, _AGAIN_S = 5.0, 30.0
_OTHERS_US = 900 * SECOND_US


class Counting:
    """A round every five seconds, in which what is due is counted."""

    name = "indicators"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._policies = Policies(context.records)
        self.board = Board()
        snapshots = Snapshots(context.records, context.bus, context.settings, self.board)
        self._computer = Computer(context.records, context.settings, snapshots)
        self._listening = False
        self._total = self._lag = 0
        self._counted = self._thinned = 0
        self._unknown = 0

    async def run(self) -> None:
        """Until cancelled; what passes by itself is waited for."""
        if not self._listening:
            await self._context.bus.listen("centre.stats.>", self._hear)
            self._listening = True
            await asyncio.sleep(1.5)  # heartbeats come once a second
        while True:
            try:
                await self.round()
                await asyncio.sleep(_ROUND_S)
            except (BusyError, UnavailableError) as error:
                _log.warning("indicators are counted later", error=str(error))
                await asyncio.sleep(_AGAIN_S)

    async def round(self, now: int | None = None) -> int:
        """Count what is due; gives how many values that were."""
        moment = now_us() if now is None else now
        policy = await self._policies.current()
        done = await self._count(PROVINCE, Who.system(), policy, moment)
        others = audiences(policy)
        for audience, who in others.items():
            done += await self._count(audience, who, policy, moment)
        if moment - self._thinned >= HOUR_US:
            async with self._context.records.write() as connection:
                await thin(connection, moment, others)
            self._thinned = moment
        self._total += done
        self._counted = moment
        return done

    async def _count(self, audience: str, who: Who, policy: Policy, now: int) -> int:
        async with self._context.records.read() as connection:
            kept = await values_of(connection, audience)
        due = [
            one
            for name, one in indicators().items()
            if name not in kept
            or not 0 <= now - kept[name].time < (one.every_s * SECOND_US if audience == PROVINCE else _OTHERS_US)
        ]
        self._lag = len(due)
        read = await self._computer.read_all(due, policy, who)
        if read:
            async with self._context.records.write() as connection:
                await keep(connection, audience, read)
        if audience == PROVINCE and read:
            self._unknown = sum(bool(one.reason) and one.reason != "no_rows" for one in read.values())
        self._lag = 0
        return len(read)

    async def _hear(self, _subject: str, payload: bytes) -> None:
        self.board.hear(payload)

    def stats(self) -> dict[str, Any]:
        """`seq`: when the last round ended, `lag`: how many are due, `total`: values counted, `unknown`: those of the
        province that could not be."""
        return {"seq": self._counted, "lag": self._lag, "total": self._total, "unknown": self._unknown}


def part(context: Context) -> Counting:
    """The part."""
    return Counting(context)
