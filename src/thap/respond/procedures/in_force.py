"""The procedures and the calendar in force, as a transaction sees them.

They are read again only when one was put in. What installed packages bring is put into the records then too: a new
text of a package is a new version, unless a person has written the newest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from thap.kernel.clock import now_us
from thap.kernel.errors import InputError
from thap.kernel.store import Transaction
from thap.kernel.working_calendar import ROUND_THE_CLOCK, Calendar, WorkingCalendar, packaged, parse_calendar
from thap.respond.procedures.model import StoredProcedure
from thap.respond.procedures.records import ProcedureRows
from thap.respond.procedures.templates import choose, shipped

__all__ = ["InForce", "in_force"]

_log = structlog.get_logger(__name__)
_known: dict[tuple[int, ...], InForce] = {}


@dataclass(frozen=True, slots=True)
class InForce:
    """What is in force."""

    procedures: dict[str, StoredProcedure]
    """By name, also those that are switched off."""
    calendar: WorkingCalendar

    def clock(self, name: str) -> Calendar:
        """The calendar that a clock counts by: `working` or `round`."""
        return self.calendar if name == "working" else ROUND_THE_CLOCK

    def choose(self, domain: str, severity: int, cause: str) -> StoredProcedure | None:
        """The procedure for an incident."""
        found = choose(
            (one.procedure for one in self.procedures.values()), domain=domain, severity=severity, cause=cause
        )
        return None if found is None else self.procedures[found.name]


def in_force(tx: Transaction) -> InForce:
    """What is in force in this transaction."""
    rows = ProcedureRows(tx)
    found = _known.get(rows.marks())
    if found is None:
        rows.lock()
        _bring_in(rows)
        procedures = {one.procedure.name: one for one in rows.latest()}
        found = InForce(procedures, _calendar(rows.calendar()))
        while len(_known) > 8:
            _known.pop(next(iter(_known)), None)
        _known[rows.marks()] = found
    return found


def _bring_in(rows: ProcedureRows) -> None:
    """Put in what packages bring and the records do not have."""
    now = now_us()
    stored = {one.procedure.name: one for one in rows.latest()}
    for package, procedures in shipped().items():
        for name, procedure in procedures.items():
            before = stored.get(name)
            if before is None:
                rows.put(procedure, 1, package, "", now)
            elif before.origin == package and before.procedure != procedure:
                rows.put(procedure, before.version + 1, package, "", now)


def _calendar(text: str | None) -> WorkingCalendar:
    if text is None:
        return packaged()
    try:
        return parse_calendar(text)
    except InputError as error:  # was checked when it was put in; an older version may have known other keys
        _log.error("the calendar in the records cannot be read, the packaged one is used", reason=str(error))
        return packaged()
