"""The rice office's round in the background: every ten minutes, and when somebody changed what it works on.

After it the alarms of zones, a confirmed flight and an expected catch, are made to stand as the round found.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
import structlog

from thap.domains.rice.alarms import is_mine
from thap.domains.rice.office import open_lake, recompute
from thap.domains.rice.registers import has_zones
from thap.kernel.errors import BusyError, UnavailableError
from thap.kernel.history.lake import Lake
from thap.respond.parts import Context
from thap.respond.standing import StandingAlarms

__all__ = ["SUBJECT", "Office", "part"]

SUBJECT = "centre.live.rice"
"""Announced with `{"what": …}` by whoever changed zones, crops, weather or counts, or by the office itself."""
_PAUSE_S, _SETTLE_S = 600.0, 2.0
_OWN = "office"
_log = structlog.get_logger(__name__)


class Office:
    """The part."""

    name = "rice_office"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._alarms = StandingAlarms(context.records, context.bus, "rice")
        self._wake = asyncio.Event()
        self._lake: Lake | None = None
        self._held = self._listening = False
        self.seq = self.total = 0

    async def run(self) -> None:
        """Until cancelled."""
        if not self._listening:
            await self._context.bus.listen(SUBJECT, self._hear)
            self._listening = True
        while True:
            self._wake.clear()
            try:
                await self._round()
                self._held = False
            except (BusyError, UnavailableError) as error:
                self._held = True
                _log.warning("the rice office waits", error=str(error))
            try:
                async with asyncio.timeout(_PAUSE_S):
                    await self._wake.wait()
                await asyncio.sleep(_SETTLE_S)  # a file of many rows is one change
            except TimeoutError:
                continue

    async def _round(self) -> None:
        async with self._context.records.read() as connection:
            known = await has_zones(connection)
        if not known:
            await self._alarms.settle((), is_mine)
            return
        if self._lake is None:
            self._lake = await asyncio.to_thread(open_lake, self._context.settings)
        if self._lake is None:
            return
        done = await recompute(self._context.records, self._lake)
        await self._alarms.settle(done.alarms, is_mine)
        self.seq += 1
        self.total += done.new_flights + done.drafts
        if done.new_flights or done.drafts:
            await self._context.bus.announce(
                SUBJECT, {"what": _OWN, "flights": done.new_flights, "drafts": done.drafts}
            )

    async def _hear(self, _subject: str, payload: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            told = msgspec.json.decode(payload)
            if isinstance(told, dict) and told.get("what") == _OWN:
                return
        self._wake.set()

    def stats(self) -> dict[str, Any]:
        """`seq` counts rounds."""
        return {"seq": self.seq, "lag": 0, "total": self.total, "holding": self._held}


def part(context: Context) -> Office:
    """The part."""
    return Office(context)
