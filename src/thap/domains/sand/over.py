"""Alarms of quantities: more left a mine than its licence lets out in a day, a month, a year, or in all.

A day's limit is crossed once, however often the ledger is looked at: the alarm book takes a change that says what it
knows already as nothing. It is high where even the lower end of the band is above the limit, medium where only the
estimate is. It clears when the next day, month or year begins, or when the limit or the estimate changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import shapely

from thap.detect.detector import Action, Change, Severity
from thap.domains.sand.ledger import Factors
from thap.domains.sand.ledger_records import Account
from thap.domains.sand.model import Kind

__all__ = ["CONDITIONS", "over_changes", "source_of"]

CONDITIONS = {
    "day": Kind.OVER_DAY,
    "month": Kind.OVER_MONTH,
    "year": Kind.OVER_YEAR,
    "total": Kind.OVER_TOTAL,
}


def source_of(account: Account) -> str:
    """What the alarm is about."""
    return f"licence:{account.licence.key}"


def over_changes(
    found: Sequence[Account],
    active: Mapping[tuple[str, str], int],
    factors: Factors,
    now: int,
    book: int,
    whole: bool = True,
) -> list[Change]:
    """What changes in the alarm book.

    Args:
        found: the ledgers of licences in force.
        active: severity of every active alarm by (source, condition).
        factors: what trips were multiplied by.
        now: event time, µs.
        book: version of the register.
        whole: `found` are all of them, so that alarms of others end.
    """
    changes = []
    known = {source_of(account) for account in found}
    for account in found:
        for period, condition in CONDITIONS.items():
            limit, used = account.limits[period], account.used[period]
            stands = active.get((source_of(account), condition))
            over = limit is not None and used.m3 > limit
            severity = Severity.HIGH if limit is not None and used.low_m3 > limit else Severity.MEDIUM
            if over and stands != severity:
                action = Action.RAISE
                if stands is not None:
                    action = Action.ESCALATE if severity > stands else Action.DOWNGRADE
                evidence = _evidence(account, period, factors, book)
                changes.append(_change(account, condition, action, severity, now, evidence))
            elif not over and stands is not None:
                changes.append(_change(account, condition, Action.CLEAR, Severity(stands), now, {}))
    for (source, name), level in active.items() if whole else ():  # licences that are no longer in force
        if name in CONDITIONS.values() and source not in known:
            changes.append(Change(source, name, Action.CLEAR, Severity(level), now, 0, domain="sand"))
    return changes


def _change(
    account: Account, condition: str, action: Action, severity: Severity, now: int, evidence: dict[str, Any]
) -> Change:
    shape = account.licence.entry.shape
    middle = None if shape is None else shapely.point_on_surface(shape)
    return Change(
        source=source_of(account),
        condition=str(condition),
        action=action,
        severity=severity,
        time=now,
        seq=0,
        value=evidence.get("m3"),
        domain="sand",
        lon=None if middle is None else float(middle.x),
        lat=None if middle is None else float(middle.y),
        commune=account.licence.commune,
        evidence=evidence,
    )


def _evidence(account: Account, period: str, factors: Factors, book: int) -> dict[str, Any]:
    limit = account.limits[period]
    return {
        "licence": account.licence.body["number"],
        "mine": account.licence.body.get("name", ""),
        "period": period,
        "of": {"day": account.today, "month": account.today[:7], "year": account.today[:4]}.get(period, ""),
        "limit_m3": limit,
        **account.used[period].as_dict(),
        "fill_factor": factors.fill,
        "book_version": book,
    }
