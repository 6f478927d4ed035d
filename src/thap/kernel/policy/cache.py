"""The policy, kept in memory by each process."""

from __future__ import annotations

import asyncio
import time

from thap.kernel.policy.rules import Policy, read_version
from thap.kernel.records import Records

__all__ = ["Policies"]

_FRESH_S = 5.0


class Policies:
    """Gives a process its policy.

    A change made by another process holds here after `changed()` (call it on `centre.live.people`), and in any
    case within five seconds.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._policy: Policy | None = None
        self._looked_at = float("-inf")
        self._stale = True
        self._reading = asyncio.Lock()

    async def current(self) -> Policy:
        """The policy as it stands."""
        if not self._fresh():
            async with self._reading:
                if not self._fresh():
                    await self._read()
        assert self._policy is not None
        return self._policy

    def changed(self) -> None:
        """Look again at the next question."""
        self._stale = True

    def _fresh(self) -> bool:
        return self._policy is not None and not self._stale and time.monotonic() - self._looked_at < _FRESH_S

    async def _read(self) -> None:
        began, self._stale = time.monotonic(), False
        try:
            async with self._records.read() as connection:
                if self._policy is None or await read_version(connection) != self._policy.version:
                    self._policy = await Policy.load(connection)
        except BaseException:
            self._stale = True
            raise
        self._looked_at = began
