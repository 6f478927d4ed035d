"""Whom a comment calls: `@login` in its words; those who may see what it is about get a notice."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from thap.kernel.policy import Policy, Subject
from thap.kernel.store import Transaction
from thap.respond.incidents.model import Incident
from thap.respond.notify import Notice, Person, enqueue

__all__ = ["MOST", "Call", "called", "mentioned"]

MOST = 20
"""Persons one comment can call; a longer list is not a call to anybody in particular."""

_MENTION = re.compile(r"(?<![\w@./+-])@([A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?)(?![\w@])")


def mentioned(text: str) -> list[str]:
    """The logins a text calls, in its order, each once, in lower case, at most `MOST`.

    An e-mail address calls nobody. Whether such persons exist, and may see what the comment is about, is for
    the caller to ask.
    """
    found = dict.fromkeys(match.group(1).lower() for match in _MENTION.finditer(text))
    return list(found)[:MOST]


@dataclass(frozen=True, slots=True)
class Call:
    """What becomes of the calls in a comment."""

    logins: list[str] = field(default_factory=list)
    """Who gets a notice."""
    unknown: list[str] = field(default_factory=list)
    """Nobody of this login may see what the comment is about: nobody is told."""
    notices: tuple[Notice, ...] = ()

    def tell(self, tx: Transaction) -> None:
        """Put the notices into the outbox, in the transaction that keeps the comment and before it is kept: the
        lock of the stream of events is the last that a transaction takes."""
        if self.notices:
            enqueue(tx, self.notices)


def called(policy: Policy, subject: Subject, incident: Incident, by: str, comment: str) -> Call:
    """Whom a comment on an incident calls, of those who may see it. Nobody calls himself."""
    known, unknown = [], []
    for login in mentioned(comment):
        who = policy.person(login)
        if who is not None and policy.decide(who, "incident.read", subject).allowed:
            known.append(login)
        else:
            unknown.append(login)
    params = {
        "incident": incident.id,
        "title": incident.title,
        "severity": incident.severity,
        "commune": incident.commune,
        "by": by,
        "comment": comment[:2000],
        "url": f"/incidents/{incident.id}",
    }
    notices = tuple(Notice(Person(login), "incident.mention", params, incident.id) for login in known if login != by)
    return Call(known, unknown, notices)
