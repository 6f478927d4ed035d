"""The one way a report changes: its row locked, judged, written, its step and its notices in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from thap.kernel.audit import Entry
from thap.kernel.audit import append as audit
from thap.kernel.clock import DAY_US, iso, now_us
from thap.kernel.errors import ConflictError, NotFoundError
from thap.kernel.policy import Who
from thap.kernel.store import Transaction
from thap.services.reports.life import CLOSED, OPEN, Act, State, step
from thap.services.reports.model import ReportEvent, step_of
from thap.services.reports.notices import tell_sender
from thap.services.reports.privacy import redact
from thap.services.reports.reading import ReportReader
from thap.services.reports.records import ReportRows, Row

__all__ = ["By", "Change", "ReportWriter", "log_step", "name_of", "new_exchange"]

By = str | Who
"""Who does it: as policy knows them, or a login; '' is the centre itself."""

Change = Callable[[ReportRows, Row], dict[str, Any]]
"""Changes a row, and returns what the step keeps as its detail."""


class ReportWriter(ReportReader):
    """Changes reports within transactions."""

    def step(
        self,
        tx: Transaction,
        number: int,
        act: Act,
        by: By,
        comment: str = "",
        version: int | None = None,
        *,
        public: bool | None = None,
        external: str | None = None,
        change: Change | None = None,
    ) -> ReportEvent:
        """One step within a caller's transaction; the sender's notice goes out with it. See `accept` for errors."""
        rows = ReportRows(tx)
        row = self._current(rows, number, version)
        event = self._moved(rows, row, act, by, comment, public=public, external=external, change=change)
        tell_sender(tx, self.settings, self.catalogue, row, event, rows.sender(number))
        for twin in rows.duplicates_of(number) if event.public else ():
            tell_sender(tx, self.settings, self.catalogue, row, event, rows.sender(int(twin["id"])))
        return event

    @staticmethod
    def _current(rows: ReportRows, number: int, version: int | None = None) -> Row:
        """A row, locked, at the version somebody saw."""
        row = rows.by_id(number) if 0 < number < 2**63 else None
        if row is None:
            raise NotFoundError(f"there is no report {number}", hint="`thap reports list` shows those there are")
        if version is not None and version != row["version"]:
            raise ConflictError(_changed_since(rows, row, version), where=f"report {number}", hint="read it again")
        return row

    def _moved(
        self,
        rows: ReportRows,
        row: Row,
        act: Act,
        by: By,
        comment: str = "",
        *,
        public: bool | None = None,
        external: str | None = None,
        change: Change | None = None,
    ) -> ReportEvent:
        before = State(row["state"])
        after = step(before, act)
        if after is None:
            raise ConflictError(
                f"a report that is {before.replace('_', ' ')} cannot be changed by {act}", where=f"report {row['id']}"
            )
        detail = change(rows, row) if change is not None else {}
        moment = max(now_us(), int(row["received"]))
        row.update(state=after.value, changed=moment, version=int(row["version"]) + 1)
        seen = after != before if public is None else public
        if seen and comment and act is not Act.RATE:
            row["note"] = comment
        if after in CLOSED and before in OPEN:
            row["closed"] = moment
            rows.erase_sender_after(int(row["id"]), moment + self.settings.reports.sender_days * DAY_US)
        elif after in OPEN and before in CLOSED:
            row["closed"] = None
            rows.erase_sender_after(int(row["id"]), moment + self.settings.reports.sender_days_at_most * DAY_US)
        if act is Act.ACCEPT:
            row["published"] = True
            row["public_text"] = row["public_text"] or redact(row["text"])
        rows.update(row)
        if act is Act.ACCEPT:
            self._refer(rows, row)
        if by:
            audit(rows.tx, [Entry(by, f"report.{act.value}", f"report:{row['id']}", {"version": row["version"]})])
        return log_step(
            rows,
            row,
            act,
            by=by,
            public=seen,
            from_state=before.value,
            comment=comment,
            detail=detail,
            external=external,
        )

    def _refer(self, rows: ReportRows, row: Row) -> None:
        """Line it up for the endpoints its kind is sent on to; never back to where it came from."""
        for endpoint in self.settings.reports.endpoints:
            if row["service"] in endpoint.push and rows.exchange(int(row["id"]), endpoint.name) is None:
                rows.add_exchange(new_exchange(int(row["id"]), endpoint.name, "out", "waiting", now_us()))


def name_of(by: By) -> str:
    return by if isinstance(by, str) else by.name


def new_exchange(report: int, endpoint: str, direction: str, state: str, moment: int) -> Row:
    """A row of `report_exchanges`."""
    return {
        "report_id": report,
        "endpoint": endpoint,
        "direction": direction,
        "state": state,
        "remote_id": None,
        "token": "",
        "remote_status": "",
        "told": 0,
        "tries": 0,
        "next_try": moment,
        "error": "",
        "created": moment,
        "changed": moment,
    }


def log_step(
    rows: ReportRows,
    row: Row,
    act: Act,
    *,
    by: By,
    public: bool,
    from_state: str,
    comment: str = "",
    detail: dict[str, Any] | None = None,
    external: str | None = None,
) -> ReportEvent:
    event = {
        "report_id": row["id"],
        "action": act.value,
        "from_state": from_state,
        "to_state": row["state"],
        "time": row["changed"],
        "by": name_of(by)[:64],
        "comment": comment,
        "public": public,
        "detail": orjson.dumps(detail or {}).decode(),
        "external": external,
        "version": row["version"],
    }
    return step_of({**event, "id": rows.log(event)}, row)


def _changed_since(rows: ReportRows, row: Row, version: int) -> str:
    steps = rows.since_version(int(row["id"]), version)
    if not steps:
        return f"there is no version {version} of it yet, it is at {row['version']}"
    told = [f"{action}{f' by {who}' if who else ''} at {iso(when)}" for action, who, when in steps[-3:]]
    earlier = f"{len(steps) - 3} earlier changes, then " if len(steps) > 3 else ""
    return f"it changed since version {version}: {earlier}{', '.join(told)}"
