"""Lets reports share the life of the incident that handles them: work begun, resolved, reopened, merged, rejected.

Goes through the incidents' events by number; how far is kept with what it did in one transaction, so each counts
once. An operator's words on an incident are for colleagues and do not go to the sender.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from thap.kernel.store import Transaction
from thap.respond.incidents import records as incident_rows
from thap.respond.incidents.model import LIVE_SUBJECT, IncidentEvent
from thap.respond.parts import Context
from thap.respond.records import AlarmRows, read_offset
from thap.services.reports.life import Act, State, step
from thap.services.reports.loop import Loop
from thap.services.reports.model import ReportEvent
from thap.services.reports.records import ReportRows, Row

__all__ = ["OFFSET", "Following", "part"]

OFFSET = "reports.incidents"
_MANY = 500
_ACTS = {"start": Act.START, "resolve": Act.ANSWER, "close": Act.ANSWER, "reopen": Act.REOPEN}


class Following(Loop):
    """A round when incidents change, and every five seconds."""

    name = "report_incidents"
    pause_s = 5.0

    async def run(self) -> None:
        async def heard(_subject: str, _payload: bytes) -> None:
            self.wake()

        await self.context.bus.listen(LIVE_SUBJECT, heard)
        await super().run()

    async def round(self) -> int:
        done = 0
        while True:
            async with self.context.records.read() as connection:
                at = await read_offset(connection, OFFSET)
                events = await incident_rows.events_after(connection, at, _MANY, None)
            if not events:
                self.seq, self.lag = at, 0
                return done
            told = await self.context.store.transact(partial(self._apply, at, events))
            for event in told:
                await self.context.bus.announce("centre.live.report", event)
            self.seq, self.lag, done = events[-1].id, len(events), done + len(events)

    def _apply(self, at: int, events: Sequence[IncidentEvent], tx: Transaction) -> list[ReportEvent]:
        offsets = AlarmRows(tx)
        if offsets.offset(OFFSET) != at:  # another process was first
            return []
        offsets.set_offset(OFFSET, events[-1].id)
        rows, told = ReportRows(tx), []
        for event in events:
            for row in rows.of_incident(event.incident):
                told += self._one(tx, row, event)
            told += self._linked(tx, rows, event)
        return told

    def _one(self, tx: Transaction, row: Row, event: IncidentEvent) -> list[ReportEvent]:
        number = int(row["id"])
        if event.action == "merge":
            return [self.desk.step(tx, number, Act.LINK, event.by, change=_now_of(event.detail.get("into")))]
        if event.action == "reject":
            return [self.desk.step(tx, number, Act.UNLINK, event.by, event.comment, change=_now_of(None))]
        act = _ACTS.get(event.action)
        if act is None or step(State(row["state"]), act) is None:
            return []
        return [self.desk.step(tx, number, act, event.by)]

    def _linked(self, tx: Transaction, rows: ReportRows, event: IncidentEvent) -> list[ReportEvent]:
        """A report that was linked to, or taken from, an incident on the incident's side."""
        ref = str(event.detail.get("ref", ""))
        if event.action not in ("link", "unlink") or event.detail.get("kind") != "report" or not ref.isdecimal():
            return []
        row = rows.by_id(int(ref)) if len(ref) <= 18 else None
        if row is None:
            return []
        if event.action == "link" and row["incident"] is None:
            return [self.desk.step(tx, int(ref), Act.LINK, event.by, change=_now_of(event.incident))]
        if event.action == "unlink" and row["incident"] == event.incident:
            return [self.desk.step(tx, int(ref), Act.UNLINK, event.by, change=_now_of(None))]
        return []


def _now_of(incident: Any) -> Any:
    def change(_rows: ReportRows, row: Row) -> dict[str, Any]:
        before, row["incident"] = row["incident"], incident
        return {"incident": incident, "before": before}

    return change


def part(context: Context) -> Following:
    """The part."""
    return Following(context)
