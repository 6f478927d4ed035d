"""The background work of the role `respond`, part by part.

Each part is named here as text: parts stand in packages that this module must not import. Domains name theirs in
`Domain.parts`.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from thap.kernel.bus import Bus
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store

__all__ = ["PARTS", "Context", "Keeper", "Part", "make_parts"]

_log = structlog.get_logger(__name__)
_PAUSE_S, _LONGEST_S = 0.5, 60.0


PARTS = (
    "thap.respond.incidents.opening:part",
    "thap.respond.timers:part",
    "thap.respond.notify.sending:part",
    "thap.respond.warnings.feeds:part",
    "thap.services.reports.retention:part",
    "thap.services.reports.following:part",
    "thap.services.reports.exchange:part",
    "thap.respond.audit_retention:part",
    "thap.measure.indicators.counting:part",
)


@dataclass(frozen=True, slots=True)
class Context:
    """What a part works on."""

    settings: Settings
    records: Records
    bus: Bus
    store: Store
    """For short write transactions; shared by all parts."""


class Part(Protocol):
    """One piece of background work."""

    name: str
    """The stage's name in heartbeats."""

    async def run(self) -> None:
        """Work until cancelled. What passes by itself (a locked database, a full disk, a stream that is away) is
        waited for; anything else may be raised: the part is then begun again, the others go on."""
        ...

    def stats(self) -> dict[str, Any]:
        """`seq`: how far it is, `lag`: how much waits, `total`: how much it has done since the start."""
        ...


def make_parts(context: Context, more: Sequence[str] = ()) -> list[Part]:
    """All parts, in the order they are named; those of domains are `more`."""
    made = []
    for name in (*PARTS, *more):
        module, _, attribute = name.partition(":")
        make: Callable[[Context], Part] = getattr(importlib.import_module(module), attribute)
        made.append(make(context))
    return made


class Keeper:
    """Runs parts side by side; one that fails is begun again, after a pause that grows, and says so.

    Args:
        parts: each in a task of its own.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self.failures: Counter[str] = Counter()
        """`<part>.failed` → how often, since the start."""

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(self._keep(part), name=part.name)

    def stats(self) -> dict[str, Any]:
        """What the heartbeat says, by part."""
        return {part.name: part.stats() for part in self._parts}

    async def _keep(self, part: Part) -> None:
        pause = _PAUSE_S
        while True:
            began = time.monotonic()
            try:
                await part.run()
                return
            except Exception:
                self.failures[f"{part.name}.failed"] += 1
                if time.monotonic() - began > _LONGEST_S:
                    pause = _PAUSE_S
                _log.exception("a part failed: beginning it again", part=part.name, pause_s=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_S)
