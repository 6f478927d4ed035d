"""Reading reports: one, lists, what happened to one, who sent it, what lies nearby."""

from __future__ import annotations

import base64
import binascii
import builtins
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import sqlalchemy as sa

from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.respond.incidents import attachments
from thap.respond.incidents.attachments import Attachment
from thap.respond.incidents.duplicates import Closeness, Sketch, most_like
from thap.services.reports import records as rows_of
from thap.services.reports.catalogue import Catalogue
from thap.services.reports.life import OPEN, State
from thap.services.reports.model import Near, Report, ReportEvent, ReportFilter, ReportPage, report_of, step_of
from thap.services.reports.privacy import Sender
from thap.services.reports.receipts import clean_receipt, hash_receipt
from thap.services.reports.records import Row

__all__ = ["KIND", "ReportReader"]

KIND = "report"
"""Kind under which photos are kept among attachments, and reports linked to incidents."""

_ALL = ReportFilter()
_EXCHANGE = ("endpoint", "direction", "state", "remote_id", "remote_status", "tries", "error", "changed")
_R = rows_of.reports.c


class ReportReader:
    """Reads the reports of one centre.

    Args:
        settings: limits, and where the centre's own kinds are.
        records: where reports are.
    """

    def __init__(self, settings: Settings, records: Records) -> None:
        self.settings, self._records = settings, records
        self.catalogue = Catalogue(settings)

    async def get(self, number: int) -> Report:
        """One report.

        Raises:
            NotFoundError: there is none of this number.
        """
        async with self._records.read() as connection:
            row = await rows_of.report_by(connection, id=number)
        if row is None:
            raise NotFoundError(f"there is no report {number}", hint="`thap reports list` shows those there are")
        return report_of(row)

    async def by_receipt(self, receipt: str) -> Report:
        """The report with a receipt code, however it was typed.

        Raises:
            NotFoundError: no report has it.
        """
        code = clean_receipt(receipt)
        async with self._records.read() as connection:
            row = await rows_of.report_by(connection, receipt_hash=hash_receipt(code)) if code else None
        if row is None:
            raise NotFoundError("no report has this receipt code", where="receipt", hint="check what you typed")
        return report_of(row)

    async def list(
        self,
        chosen: ReportFilter = _ALL,
        *,
        where: Sequence[sa.ColumnElement[bool]] = (),
        limit: int = 50,
        after: str | None = None,
    ) -> ReportPage:
        """A page of reports, the latest first.

        Args:
            chosen: which.
            where: further tests, as policy makes them; counts are under them too.
            limit: how many, 1 to 1,000.
            after: `next` of the page before.

        Raises:
            InputError: limit or `after` is not one.
        """
        if not 1 <= limit <= 1000:
            raise InputError("a page has 1 to 1000 reports", where="limit")
        position = None if after is None else _position(after)
        narrowed: builtins.list[sa.ColumnElement[bool]] = [*where, *rows_of.chosen_tests(chosen)]
        states = [_R.state.in_(sorted(chosen.states))] if chosen.states else []
        async with self._records.read() as connection:
            rows = await rows_of.list_reports(connection, [*narrowed, *states], limit + 1, position)
            counts = await rows_of.count_by_state(connection, narrowed)
        more, rows = len(rows) > limit, rows[:limit]
        return ReportPage(
            items=[report_of(row) for row in rows],
            states=counts,
            total=sum(number for state, number in counts.items() if not chosen.states or state in chosen.states),
            next=_cursor(rows[-1]) if more else None,
        )

    async def window(self, tests: Sequence[sa.ColumnElement[bool]], limit: int, offset: int = 0) -> Sequence[Report]:
        """Reports that pass tests, the latest first, as Open311 pages them: by number of page."""
        async with self._records.read() as connection:
            return [report_of(row) for row in await rows_of.list_reports(connection, tests, limit, offset=offset)]

    async def public_steps(self, since: int, until: int, limit: int) -> Sequence[ReportEvent]:
        """Steps the public may read, of published reports, in a span of time (µs)."""
        async with self._records.read() as connection:
            return [step_of(row) for row in await rows_of.public_steps(connection, since, until, limit)]

    async def steps(self, number: int, *, public: bool = False) -> Sequence[ReportEvent]:
        """The steps of a report in order; with `public` those its sender may read."""
        async with self._records.read() as connection:
            return [step_of(row) for row in await rows_of.steps_of(connection, number, public=public)]

    async def sender(self, number: int) -> tuple[Sender, str] | None:
        """Who sent a report, and the receipt code; None where that was erased."""
        async with self._records.read() as connection:
            row = await rows_of.sender_of(connection, number)
        if row is None:
            return None
        return Sender(**{name: row[name] for name in asdict(Sender())}), str(row["receipt"])

    async def exchanges(self, number: int) -> Sequence[dict[str, Any]]:
        """Where else a report is known."""
        async with self._records.read() as connection:
            found = await rows_of.exchange_rows(connection, number)
        return [{name: row[name] for name in _EXCHANGE} for row in found]

    async def photos(self, number: int) -> Sequence[Attachment]:
        """The photos of a report."""
        return await attachments.list_of(self._records, KIND, str(number))

    async def near(
        self,
        lon: float,
        lat: float,
        *,
        service: str = "",
        text: str = "",
        public: bool = False,
        but: int | None = None,
        limit: int = 5,
        where: Sequence[sa.ColumnElement[bool]] = (),
    ) -> builtins.list[Near]:
        """Reports nearby that may be the same, the likest first.

        Args:
            lon, lat: where.
            service: of this kind or its group only.
            text: what it says.
            public: only what the public may read, and what is still open.
            but: leave this one out.
            limit: how many.
            where: further tests, as policy makes them.
        """
        limits = self.settings.reports
        if not (-90 <= lat <= 90 and -180 <= lon <= 180):
            raise InputError("this is not a point", where="place")
        reach = 2 * limits.near_m
        high, wide = reach / 110_600, reach / (111_300 * max(math.cos(math.radians(lat)), 0.01))
        now = now_us()
        tests: builtins.list[sa.ColumnElement[bool]] = [
            _R.state.in_([state.value for state in State if state not in (State.REJECTED, State.DUPLICATE)])
        ]
        tests += [*where, *([_R.published, _R.state.in_([state.value for state in OPEN])] if public else [])]
        async with self._records.read() as connection:
            rows = await rows_of.near_rows(
                connection,
                (lon - wide, lat - high, lon + wide, lat + high),
                now - round(limits.near_days * DAY_US),
                tests,
            )
        kinds = self._akin(service)
        around = {int(row["id"]): row for row in rows if row["id"] != but and (not kinds or row["service"] in kinds)}
        near = Closeness(
            metres=max(limits.near_m, 1),
            farthest_m=max(reach, 1),
            hours=max(limits.near_days * 8, 1),
            longest_h=max(limits.near_days * 24, 1),
            least=0.15,
        )
        found = most_like(
            Sketch(text, now, lon=lon, lat=lat),
            [
                (number, Sketch(row["text"], int(row["received"]), lon=row["lon"], lat=row["lat"]))
                for number, row in around.items()
            ],
            limit=limit,
            near=near,
        )
        return [
            Near(report=report_of(around[one.key]), metres=one.distance_m or 0.0, likeness=one.score) for one in found
        ]

    def _akin(self, service: str) -> set[str]:
        """A service and those of its group."""
        if not service:
            return set()
        group = next((one.group for one in self.catalogue.all(hidden=True) if one.code == service), None)
        return {service} | {one.code for one in self.catalogue.all(hidden=True) if one.group == group}


def _cursor(row: Row) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([row["received"], row["id"]])).decode().rstrip("=")


def _position(cursor: str) -> tuple[int, int]:
    try:
        body = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        received, number = msgspec.json.decode(body, type=tuple[int, int])
        if max(abs(received), abs(number)) >= 2**63:
            raise ValueError
    except (binascii.Error, msgspec.MsgspecError, UnicodeError, ValueError):
        raise InputError(
            "this is not where a page ended", where="after", hint="give `next` of the page before"
        ) from None
    return received, number
