"""A chain that can reach nobody, or that came to its end unanswered, is itself an alarm."""

from __future__ import annotations

from collections.abc import Sequence

from thap.detect.detector import Action, Change, Severity
from thap.kernel.bus import Bus
from thap.kernel.clock import now_us
from thap.kernel.records import Records
from thap.kernel.units import PROVINCE_CODE
from thap.respond.alarm import AlarmEvent
from thap.respond.book import AlarmBook
from thap.respond.escalation.records import troubled

__all__ = ["CONDITIONS", "Trouble"]

CONDITIONS = {"unreachable": "system.unreachable", "unanswered": "system.unanswered"}
"""The alarm's condition by the chain's reason."""


class Trouble:
    """Keeps the alarms what the chains are: one for each unit and reason, so that a chain for the incident such an
    alarm opens cannot raise another. It compares the two each time, so nothing is forgotten by a restart."""

    def __init__(self, records: Records, bus: Bus | None = None, book: AlarmBook | None = None) -> None:
        self._records, self._bus, self._book = records, bus, book
        self._before: dict[tuple[str, str], tuple[int, int]] | None = None

    async def settle(self) -> Sequence[AlarmEvent]:
        """Raise and clear what has changed; announces what it led to.

        Raises:
            BusyError, UnavailableError: nothing was changed.
        """
        async with self._records.read() as connection:
            found = {
                (f"duty/{unit or PROVINCE_CODE}", CONDITIONS[reason]): (severity, many)
                for reason, unit, severity, many in await troubled(connection)
            }
        if found == self._before:
            return []
        if self._book is None:
            self._book = AlarmBook(self._records)
        standing = {key: level for key, level in (await self._book.active()).items() if key[1] in CONDITIONS.values()}
        changes = [_change(key, Action.CLEAR, 1, 0) for key in standing.keys() - found.keys()]
        for key, (severity, many) in found.items():
            level = standing.get(key)
            action = Action.RAISE if level is None else Action.ESCALATE if severity > level else None
            if action is not None:
                changes.append(_change(key, action, severity, many))
        events = await self._book.apply(changes) if changes else []
        self._before = found
        if self._bus is not None:
            for event in events:
                await self._bus.announce("centre.live.alarm", event)
        return events


def _change(key: tuple[str, str], action: Action, severity: int, many: int) -> Change:
    source, condition = key
    return Change(
        source,
        condition,
        action,
        Severity(max(severity, Severity.HIGH)) if action is not Action.CLEAR else Severity.LOW,
        now_us(),
        0,
        domain="system",
        evidence={"chains": many} if many else {},
    )
