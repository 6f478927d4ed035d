"""Whether a rule was tried before it was put in force: what the audit log says of backtests and of arming.

A backtest is noted under each rule it ran, with the rule's fingerprint, which changes with anything that changes its
judgement. Whoever puts a rule in force has the newest backtest of just that fingerprint noted with it, or that there
was none, and their reason. Nothing is refused here: in an emergency a rule may have to be armed untried, but the
history says that it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from thap.detect.backtest import BacktestReport
from thap.detect.rules import Rule
from thap.kernel.audit import AuditFilter, Entry, entries_before
from thap.kernel.policy.model import Who

__all__ = ["armed_detail", "arming_notes", "backtest_entries", "last_backtest"]

_LOOKED_AT = 200
_REASON = 500


def _object(name: str) -> str:
    return f"rule:{name}"


def backtest_entries(
    rules: Iterable[Rule], since: int, until: int, report: BacktestReport, who: Who | str, address: str = ""
) -> list[Entry]:
    """What to write into the audit log after a backtest that ran to its end."""
    counts = report.per_rule()
    told = {"since": since, "until": until, "rows": report.rows}
    return [
        Entry(
            who,
            "backtest.run",
            _object(rule.name),
            {**told, "fingerprint": rule.fingerprint, "alarms": counts.get(rule.name, 0)},
            address,
        )
        for rule in rules
        if rule.name not in report.problems
    ]


async def last_backtest(connection: AsyncConnection, rule: Rule) -> dict[str, Any] | None:
    """The newest backtest of a rule as it is: {since, until, rows, alarms, ran, by}, times µs; None if it was never
    tried so."""
    chosen = AuditFilter(action="backtest.run", object=_object(rule.name))
    for entry in await entries_before(connection, None, _LOOKED_AT, chosen):
        detail = entry["detail"]
        if detail.get("fingerprint") == rule.fingerprint:
            kept = {name: detail[name] for name in ("since", "until", "rows", "alarms")}
            return {**kept, "ran": entry["time"], "by": entry["who"]}
    return None


async def armed_detail(connection: AsyncConnection, rule: Rule, reason: str = "") -> dict[str, Any]:
    """What to write into the audit log with a rule put in force: the backtest before it, and why without."""
    return {"armed": True, "backtest": await last_backtest(connection, rule), "reason": reason.strip()[:_REASON]}


async def arming_notes(connection: AsyncConnection, name: str) -> dict[int, dict[str, Any]]:
    """For each version of a rule that was put in force: {backtest, reason}, as far as the audit log goes back."""
    chosen = AuditFilter(action="rule.*", object=_object(name))
    entries: Sequence[dict[str, Any]] = await entries_before(connection, None, 10 * _LOOKED_AT, chosen)
    notes: dict[int, dict[str, Any]] = {}
    for entry in entries:
        detail = entry["detail"]
        if detail.get("armed"):
            notes.setdefault(int(detail["version"]), {name: detail.get(name) for name in ("backtest", "reason")})
    return notes
