"""Alarms that background work keeps true: what should stand is compared with what stands, and the rest is changed.

For work that looks at everything anew each time, as forecasts and the rice office do. Nothing is remembered between two
looks, so nothing is forgotten by a restart, and a look that finds the same again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thap.detect.detector import Action, Change, Severity
from thap.kernel.bus import Bus
from thap.kernel.clock import now_us
from thap.kernel.records import Records
from thap.respond.alarm import AlarmEvent
from thap.respond.book import AlarmBook

__all__ = ["Standing", "StandingAlarms", "changes_to"]


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm that should stand."""

    source: str
    condition: str
    severity: Severity
    value: float | None = None
    domain: str = ""
    lon: float | None = None
    lat: float | None = None
    commune: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    """JSON-able. Told when the alarm is raised or its severity changes."""


def changes_to(
    wanted: Iterable[Standing],
    active: Mapping[tuple[str, str], int],
    mine: Callable[[str, str], bool],
    domain: str,
    now: int,
) -> list[Change]:
    """What has to change for the wanted alarms, and no others of ours, to stand.

    Args:
        wanted: alarms that should stand; of several with one source and condition the severest.
        active: severity by source and condition, of all that stand.
        mine: whether an alarm, by source and condition, is ours to clear.
        domain: of what is cleared.
        now: µs.
    """
    found: dict[tuple[str, str], Standing] = {}
    for one in wanted:
        key = one.source, one.condition
        if key not in found or one.severity > found[key].severity:
            found[key] = one
    standing = {key: level for key, level in active.items() if key in found or mine(*key)}
    changes = [
        Change(source, condition, Action.CLEAR, Severity(level), now, 0, domain=domain)
        for (source, condition), level in standing.items()
        if (source, condition) not in found
    ]
    for key, one in found.items():
        level = standing.get(key)
        if level == one.severity:
            continue
        action = Action.RAISE if level is None else Action.ESCALATE if one.severity > level else Action.DOWNGRADE
        changes.append(
            Change(
                one.source,
                one.condition,
                action,
                one.severity,
                now,
                0,
                value=one.value,
                domain=one.domain or domain,
                lon=one.lon,
                lat=one.lat,
                commune=one.commune,
                evidence=one.evidence,
            )
        )
    return changes


class StandingAlarms:
    """Keeps alarms of some conditions what a look says."""

    def __init__(self, records: Records, bus: Bus, domain: str) -> None:
        self._records, self._bus, self._domain = records, bus, domain
        self._book: AlarmBook | None = None

    async def settle(
        self, wanted: Iterable[Standing], mine: Callable[[str, str], bool], now: int | None = None
    ) -> Sequence[AlarmEvent]:
        """Raise, escalate, downgrade and clear what has changed; announces what it led to.

        Args:
            wanted: alarms that should stand.
            mine: whether an alarm, by source and condition, is ours to clear.
            now: µs; the clock's where None.

        Raises:
            BusyError, UnavailableError: nothing was changed.
        """
        if self._book is None:
            self._book = AlarmBook(self._records)
        active = await self._book.active()
        changes = changes_to(wanted, active, mine, self._domain, now_us() if now is None else now)
        events = await self._book.apply(changes) if changes else []
        for event in events:
            await self._bus.announce("centre.live.alarm", event)
        return events
