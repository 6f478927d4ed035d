"""Forgets audit entries and kept answers past their time, and writes the newest number and hash of the audit log into
the log of the process.

That line is an anchor outside the database: `thap audit verify --anchor NUMBER:HASH` holds the log against it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from thap.kernel.audit import newest, prune
from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import BusyError, UnavailableError
from thap.kernel.once import prune as prune_answers
from thap.respond.parts import Context

__all__ = ["AuditRetention", "part"]

_log = structlog.get_logger(__name__)
_ROUND_S, _AGAIN_S = 3600.0, 30.0


class AuditRetention:
    """A round every hour."""

    name = "audit_retention"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seq = self._total = 0

    async def run(self) -> None:
        """Until cancelled; what passes by itself is waited for."""
        while True:
            try:
                await self.round()
                await asyncio.sleep(_ROUND_S)
            except (BusyError, UnavailableError) as error:
                _log.warning("audit entries past their time stay for now", error=str(error))
                await asyncio.sleep(_AGAIN_S)

    async def round(self) -> int:
        """Forget what is past its time; gives how many entries that were."""
        before = now_us() - self._context.settings.audit.keep_days * DAY_US
        async with self._context.records.write() as connection:
            gone = await prune(connection, before)
            await prune_answers(connection, now_us())
            anchor = await newest(connection)
        self._total += gone
        if anchor is not None and anchor[0] != self._seq:
            self._seq = anchor[0]
            _log.info("audit anchor", anchor=f"{anchor[0]}:{anchor[1]}")
        return gone

    def stats(self) -> dict[str, Any]:
        """`seq`: the newest entry at the last round, `total`: entries forgotten."""
        return {"seq": self._seq, "lag": 0, "total": self._total}


def part(context: Context) -> AuditRetention:
    """The part."""
    return AuditRetention(context)
