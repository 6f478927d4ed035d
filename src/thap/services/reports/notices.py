"""Words to the sender of a report: what became of it, and the question how satisfied they are."""

from __future__ import annotations

from typing import Any

from thap.kernel.settings import Settings
from thap.kernel.store import Transaction
from thap.respond.notify import Address, Notice, enqueue
from thap.services.reports.catalogue import Catalogue
from thap.services.reports.life import Act
from thap.services.reports.model import ReportEvent
from thap.services.reports.records import Row

__all__ = ["follow_url", "tell_sender"]

_TEMPLATE = {
    Act.RECEIVE: "report.received",
    Act.ACCEPT: "report.accepted",
    Act.START: "report.started",
    Act.ANSWER: "report.answered",
    Act.REJECT: "report.rejected",
    Act.DUPLICATE: "report.duplicate",
    Act.REOPEN: "report.reopened",
    Act.COMMENT: "report.comment",
    Act.UPDATE: "report.comment",
}


def follow_url(settings: Settings, receipt: str) -> str:
    """Where a sender follows their report; only the path where the centre does not know its own address."""
    return f"{settings.reports.url.rstrip('/')}/reports/{receipt}"


def tell_sender(
    tx: Transaction, settings: Settings, catalogue: Catalogue, row: Row, event: ReportEvent, sender: Row | None
) -> None:
    """Put a notice to the sender into the outbox, where they left an e-mail address and the step is theirs to read."""
    template = _TEMPLATE.get(Act(event.action))
    if sender is None or not sender["email"] or not event.public or template is None:
        return
    params: dict[str, Any] = {
        "service": catalogue.name(row["service"], row["language"]),
        "receipt": sender["receipt"],
        "comment": event.comment,
        "url": follow_url(settings, sender["receipt"]),
    }
    to = Address(f"email:{sender['email']}", row["language"])
    # The key, unlike for any other step, is how erasing the sender finds what was sent to them.
    enqueue(tx, [Notice(to, template, params, dedup=f"report:{sender['report_id']}:{event.id}")])
