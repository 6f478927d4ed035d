"""What the background parts of reports share: a round of work again and again, until cancelled."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import structlog

from thap.kernel.errors import BusyError, UnavailableError
from thap.respond.parts import Context
from thap.services.reports.desk import ReportDesk

__all__ = ["Loop"]

_log = structlog.get_logger(__name__)


class Loop(ABC):
    """A part that does a round, waits, and does the next. What passes by itself is waited for."""

    name = "reports"
    pause_s = 60.0
    abroad: ClassVar[bool] = False
    """Whether its rounds wait for other systems: then work that waits is no standstill."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.desk = ReportDesk(context.settings, context.records, store=context.store)
        self.seq = self.lag = self.total = 0
        self._held = False
        self._wake = asyncio.Event()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            try:
                done = await self.round()
                self.total += done
                self._held = False
            except (BusyError, UnavailableError) as error:
                self._held = True
                _log.warning("reports wait", part=self.name, error=str(error))
            try:
                async with asyncio.timeout(self.pause_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def wake(self) -> None:
        """Do the next round now."""
        self._wake.set()

    @abstractmethod
    async def round(self) -> int:
        """One round; how much it did."""

    def stats(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "lag": self.lag,
            "total": self.total,
            "holding": self._held or (self.abroad and self.lag > 0),
        }
