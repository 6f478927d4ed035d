"""Erases senders whose time has come, and what was counted of addresses.

Source: personal data is kept no longer than its purpose needs (Law 91/2025/QH15, Decree 356/2025/NĐ-CP); how long
that is, `reports.sender_days` and `reports.sender_days_at_most` say.
"""

from __future__ import annotations

from thap.kernel.clock import now_us
from thap.respond.incidents import attachments
from thap.respond.parts import Context
from thap.services.reports import records as rows_of
from thap.services.reports.guard import prune_limits
from thap.services.reports.loop import Loop

__all__ = ["Retention", "part"]

_MANY = 200


class Retention(Loop):
    """A round every ten minutes."""

    name = "report_retention"
    pause_s = 600.0

    async def round(self) -> int:
        done = 0
        while True:
            async with self.context.records.read() as connection:
                due = await rows_of.due_senders(connection, now_us(), _MANY)
            self.lag = len(due)
            for number in due:
                event = await self.desk.erase(number)
                if event is not None:
                    await self.context.bus.announce("centre.live.report", event)
                self.seq, self.lag = number, self.lag - 1
                done += 1
            if len(due) < _MANY:
                break
        await self.context.store.transact(lambda tx: prune_limits(tx, now_us()))
        if done:
            await attachments.sweep(self.context.settings, self.context.records)
        return done


def part(context: Context) -> Retention:
    """The part."""
    return Retention(context)
