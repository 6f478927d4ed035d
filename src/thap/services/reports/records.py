"""Tables of citizens' reports, and every statement on them.

`reports` has what may be known of a report; who sent it stands apart in `report_senders`, one row each, which is
erased after its time. `report_events` keeps every step with its own number; what a citizen wrote stays in
`reports.text` as it was written, and `reports.public_text` is what moderation lets the public read.
`report_exchanges` says under which number a report is known at another Open311 endpoint, and `report_endpoints`
up to which moment such an endpoint has been asked. `report_limits` counts what one address sends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.records import metadata
from thap.kernel.store import Transaction
from thap.respond.notify.records import notices

__all__ = [
    "ReportRows",
    "due_senders",
    "endpoint_rows",
    "exchange_rows",
    "list_reports",
    "near_rows",
    "report_by",
    "report_endpoints",
    "report_events",
    "report_exchanges",
    "report_limits",
    "report_senders",
    "reports",
    "sender_of",
    "steps_of",
    "waiting_exchanges",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("id", _Id, primary_key=True),  # Open311's service_request_id
    sa.Column("receipt_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("submission", sa.String(128), unique=True),  # what makes sending twice one report
    sa.Column("source", sa.String(16), nullable=False),  # form, open311, endpoint, desk
    sa.Column("client", sa.String(64), nullable=False),  # token or endpoint it came by
    sa.Column("service", sa.String(64), nullable=False),
    sa.Column("domain", sa.String(32), nullable=False),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("unit", sa.String(32), nullable=False),
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("lon", sa.Float),
    sa.Column("lat", sa.Float),
    sa.Column("place", sa.String(300), nullable=False),  # where it is, in words
    sa.Column("address_id", sa.String(64), nullable=False),
    sa.Column("text", sa.Text, nullable=False),  # as it was written
    sa.Column("public_text", sa.Text, nullable=False),
    sa.Column("answers", sa.Text, nullable=False),  # JSON: attribute code to values
    sa.Column("media_url", sa.String(1000), nullable=False),  # as a machine gave it, never fetched
    sa.Column("shown_photos", sa.Text, nullable=False),  # JSON: numbers of attachments the public may see
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("note", sa.String(2000), nullable=False),  # the latest words to the sender
    sa.Column("published", sa.Boolean, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("closed", sa.BigInteger),
    sa.Column("expected", sa.BigInteger),
    sa.Column("incident", sa.BigInteger, index=True),
    sa.Column("duplicate_of", sa.BigInteger),
    sa.Column("same_as", sa.BigInteger),  # what the sender took it to be the same as
    sa.Column("satisfaction", sa.SmallInteger),
    sa.Column("opinion", sa.String(2000), nullable=False),
    sa.Column("erased", sa.BigInteger),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Index("ix_reports_received", "received", "id"),
    sa.Index("ix_reports_state_received", "state", "received"),
    sa.Index("ix_reports_commune_received", "commune", "received"),
    sa.Index("ix_reports_unit_received", "unit", "received"),
    sa.Index("ix_reports_lat_lon", "lat", "lon"),
    sqlite_autoincrement=True,
)
report_events = sa.Table(
    "report_events",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("report_id", sa.ForeignKey("reports.id"), nullable=False, index=True),
    sa.Column("action", sa.String(24), nullable=False),
    sa.Column("from_state", sa.String(16), nullable=False),
    sa.Column("to_state", sa.String(16), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False, index=True),
    sa.Column("by", sa.String(64), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("public", sa.Boolean, nullable=False),  # whether the sender and the public may read it
    sa.Column("detail", sa.Text, nullable=False),  # JSON
    sa.Column("external", sa.String(128)),  # its number at another endpoint
    sa.Column("version", sa.Integer, nullable=False),
    sa.UniqueConstraint("report_id", "external"),
    sqlite_autoincrement=True,
)
report_senders = sa.Table(
    "report_senders",
    metadata,
    sa.Column("report_id", sa.ForeignKey("reports.id"), primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("phone", sa.String(32), nullable=False),
    sa.Column("email", sa.String(254), nullable=False),
    sa.Column("address", sa.String(300), nullable=False),
    sa.Column("account", sa.String(128), nullable=False),
    sa.Column("device", sa.String(128), nullable=False),
    sa.Column("receipt", sa.String(16), nullable=False),
    sa.Column("consent", sa.BigInteger, nullable=False),  # µs when it was given
    sa.Column("erase_after", sa.BigInteger, nullable=False, index=True),
)
report_exchanges = sa.Table(
    "report_exchanges",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("report_id", sa.ForeignKey("reports.id"), nullable=False, index=True),
    sa.Column("endpoint", sa.String(64), nullable=False),
    sa.Column("direction", sa.String(8), nullable=False),  # out or in
    sa.Column("state", sa.String(16), nullable=False),  # waiting, token, known, failed
    sa.Column("remote_id", sa.String(128)),
    sa.Column("token", sa.String(128), nullable=False),
    sa.Column("remote_status", sa.String(16), nullable=False),
    sa.Column("told", sa.BigInteger, nullable=False),  # number of the latest event told to the other side
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("next_try", sa.BigInteger, nullable=False),
    sa.Column("error", sa.String(500), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("report_id", "endpoint"),
    sa.UniqueConstraint("endpoint", "remote_id"),
    sa.Index("ix_report_exchanges_state_next_try", "state", "next_try"),
    sqlite_autoincrement=True,
)
report_endpoints = sa.Table(
    "report_endpoints",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("asked", sa.BigInteger, nullable=False),  # when it last answered
    sa.Column("upto", sa.BigInteger, nullable=False),  # requests up to this moment have been read
    sa.Column("error", sa.String(500), nullable=False),
)
report_limits = sa.Table(
    "report_limits",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),  # keyed hash of the address: it cannot be read back
    sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Index("ix_report_limits_slot", "slot"),
)

_R, _E, _S, _X, _L = reports.c, report_events.c, report_senders.c, report_exchanges.c, report_limits.c
Row = dict[str, Any]
_NAMES = tuple(column.name for column in reports.columns)
_SENDER = tuple(column.name for column in report_senders.columns)
_EXCHANGE = tuple(column.name for column in report_exchanges.columns)

# Statements of the write path: made once, compiled once.
_BY_ID = sa.select(reports).where(_R.id == sa.bindparam("id")).with_for_update()
_BY_SUBMISSION = sa.select(reports).where(_R.submission == sa.bindparam("submission"))
_OF_INCIDENT = sa.select(reports).where(_R.incident == sa.bindparam("incident")).order_by(_R.id).with_for_update()
_INSERT = sa.insert(reports)
_UPDATE = sa.update(reports).where(_R.id == sa.bindparam("row_id"))
_LOG = sa.insert(report_events)
_SINCE = (
    sa.select(_E.action, _E.by, _E.time)
    .where(_E.report_id == sa.bindparam("report"), _E.version > sa.bindparam("version"))
    .order_by(_E.id)
)
_KNOWN_UPDATE = sa.select(_E.id).where(_E.report_id == sa.bindparam("report"), _E.external == sa.bindparam("external"))
_ADD_SENDER = sa.insert(report_senders)
_SENDER_OF = sa.select(report_senders).where(_S.report_id == sa.bindparam("report"))
_ERASE_SENDER = sa.delete(report_senders).where(_S.report_id == sa.bindparam("report"))
_DUPLICATES = sa.select(reports).where(_R.duplicate_of == sa.bindparam("of"), _R.state == "duplicate").order_by(_R.id)
_STEP_WORDS = sa.select(_E.id, _E.comment, _E.detail).where(_E.report_id == sa.bindparam("report"))
_SET_STEP_WORDS = (
    sa.update(report_events)
    .where(_E.id == sa.bindparam("row_id"))
    .values(comment=sa.bindparam("words"), detail=sa.bindparam("more"))
)
_SET_ERASE_AFTER = (
    sa.update(report_senders).where(_S.report_id == sa.bindparam("report")).values(erase_after=sa.bindparam("erase"))
)
_ADD_EXCHANGE = sa.insert(report_exchanges)
_SET_EXCHANGE = sa.update(report_exchanges).where(_X.id == sa.bindparam("row_id"))
_EXCHANGE_OF = (
    sa.select(report_exchanges)
    .where(_X.report_id == sa.bindparam("report"), _X.endpoint == sa.bindparam("endpoint"))
    .with_for_update()
)
_EXCHANGE_KNOWN = sa.select(report_exchanges).where(
    _X.endpoint == sa.bindparam("endpoint"), _X.remote_id == sa.bindparam("remote")
)
_STREAM_LOCK = sa.select(sa.func.pg_advisory_xact_lock(0x7265706F7274))  # "report"
_COUNTED = sa.select(sa.func.coalesce(sa.func.sum(_L.count), 0)).where(
    _L.key == sa.bindparam("key"), _L.slot >= sa.bindparam("since")
)
_FORGET_NOTICES = sa.delete(notices).where(notices.c.dedup.like(sa.bindparam("start")))
_PRUNE_LIMITS = sa.delete(report_limits).where(_L.slot < sa.bindparam("before"))


def _count_upsert(module: Any) -> Any:
    statement = module.insert(report_limits)
    return statement.on_conflict_do_update(
        index_elements=["key", "slot"], set_={"count": report_limits.c.count + statement.excluded.count}
    )


def _endpoint_upsert(module: Any) -> Any:
    statement = module.insert(report_endpoints)
    return statement.on_conflict_do_update(
        index_elements=["name"],
        set_={name: statement.excluded[name] for name in ("asked", "upto", "error")},
    )


_COUNT = {"sqlite": _count_upsert(sqlite), "postgresql": _count_upsert(postgresql)}
_SET_ENDPOINT = {"sqlite": _endpoint_upsert(sqlite), "postgresql": _endpoint_upsert(postgresql)}


class ReportRows:
    """The rows of reports within one write transaction. Rows it returns are locked until the transaction ends."""

    def __init__(self, transaction: Transaction) -> None:
        self.tx = transaction

    def _one(self, statement: Any, values: Mapping[str, Any], names: Sequence[str] = _NAMES) -> Row | None:
        rows = self.tx.rows(statement, values)
        return dict(zip(names, rows[0], strict=True)) if rows else None

    def by_id(self, number: int) -> Row | None:
        """One report."""
        return self._one(_BY_ID, {"id": number})

    def by_submission(self, submission: str) -> Row | None:
        """The report that this submission made already."""
        return self._one(_BY_SUBMISSION, {"submission": submission})

    def of_incident(self, incident: int) -> list[Row]:
        """The reports that an incident handles."""
        return [dict(zip(_NAMES, row, strict=True)) for row in self.tx.rows(_OF_INCIDENT, {"incident": incident})]

    def add(self, row: Row) -> int:
        """Insert a report (all columns but `id`); returns its number."""
        return self.tx.insert(_INSERT, _R.id, [row])[0]

    def update(self, row: Row) -> None:
        """Write a whole row back."""
        self.tx.run(_UPDATE, [{("row_id" if name == "id" else name): value for name, value in row.items()}])

    def log(self, event: Row) -> int:
        """Append a step; returns its number. In PostgreSQL no later number becomes visible before an earlier one."""
        if self.tx.dialect == "postgresql":
            self.tx.rows(_STREAM_LOCK, {})
        return self.tx.insert(_LOG, _E.id, [event])[0]

    def since_version(self, report: int, version: int) -> list[tuple[str, str, int]]:
        """What changed a report after a version: (action, who, when)."""
        rows = self.tx.rows(_SINCE, {"report": report, "version": version})
        return [(str(row[0]), str(row[1]), int(row[2])) for row in rows]

    def update_known(self, report: int, external: str) -> int | None:
        """The step that another endpoint's update made already."""
        rows = self.tx.rows(_KNOWN_UPDATE, {"report": report, "external": external})
        return int(rows[0][0]) if rows else None

    def add_sender(self, row: Row) -> None:
        """Keep who sent a report."""
        self.tx.run(_ADD_SENDER, [row])

    def sender(self, report: int) -> Row | None:
        """Who sent it; None where that was erased or never told."""
        return self._one(_SENDER_OF, {"report": report}, _SENDER)

    def erase_sender(self, report: int) -> None:
        """Remove who sent it."""
        self.tx.run(_ERASE_SENDER, [{"report": report}])

    def erase_sender_after(self, report: int, moment: int) -> None:
        """Say when the sender is erased."""
        self.tx.run(_SET_ERASE_AFTER, [{"report": report, "erase": moment}])

    def duplicates_of(self, report: int) -> list[Row]:
        """Reports closed as the same as this one."""
        return [dict(zip(_NAMES, row, strict=True)) for row in self.tx.rows(_DUPLICATES, {"of": report})]

    def redact_steps(self, report: int, words: Callable[[str], str], detail: Callable[[str], str]) -> None:
        """Take out of a report's steps what leads to people: from words, and from the JSON of details."""
        for number, comment, more in self.tx.rows(_STEP_WORDS, {"report": report}):
            kept = (words(comment), detail(more))
            if kept != (comment, more):
                self.tx.run(_SET_STEP_WORDS, [{"row_id": int(number), "words": kept[0], "more": kept[1]}])

    def forget_notices(self, report: int) -> None:
        """Remove what was sent to a report's sender from the outbox and its log, addresses with it."""
        self.tx.run(_FORGET_NOTICES, [{"start": f"report:{report}:%"}])

    def add_exchange(self, row: Row) -> int:
        """Note that a report is shared with an endpoint; returns the number of the exchange."""
        return self.tx.insert(_ADD_EXCHANGE, _X.id, [row])[0]

    def set_exchange(self, row: Row) -> None:
        """Write a whole exchange back."""
        self.tx.run(_SET_EXCHANGE, [{("row_id" if name == "id" else name): value for name, value in row.items()}])

    def exchange(self, report: int, endpoint: str) -> Row | None:
        """What is known of a report at an endpoint."""
        return self._one(_EXCHANGE_OF, {"report": report, "endpoint": endpoint}, _EXCHANGE)

    def exchange_known(self, endpoint: str, remote: str) -> Row | None:
        """The exchange of a request of the other side."""
        return self._one(_EXCHANGE_KNOWN, {"endpoint": endpoint, "remote": remote}, _EXCHANGE)

    def set_endpoint(self, name: str, asked: int, upto: int, error: str) -> None:
        """Say how far an endpoint has been read."""
        self.tx.run(_SET_ENDPOINT[self.tx.dialect], [{"name": name, "asked": asked, "upto": upto, "error": error}])

    def counted(self, key: str, since: int) -> int:
        """How much an address has sent since a window."""
        return int(self.tx.rows(_COUNTED, {"key": key, "since": since})[0][0])

    def count(self, key: str, slot: int) -> None:
        """Count one more."""
        self.tx.run(_COUNT[self.tx.dialect], [{"key": key, "slot": slot, "count": 1}])

    def prune_limits(self, before: int) -> None:
        """Forget what was counted before a window."""
        self.tx.run(_PRUNE_LIMITS, [{"before": before}])


# Reading.


async def report_by(connection: AsyncConnection, **key: Any) -> Row | None:
    """One report by one of its unique columns."""
    [(name, value)] = key.items()
    row = (await connection.execute(sa.select(reports).where(_R[name] == value))).mappings().first()
    return None if row is None else dict(row)


async def list_reports(
    connection: AsyncConnection,
    tests: Sequence[sa.ColumnElement[bool]],
    limit: int,
    after: tuple[int, int] | None = None,
    offset: int = 0,
) -> list[Row]:
    """Reports, the latest received first, beginning after the given (received, id)."""
    tests = list(tests)
    if after is not None:
        there = sa.tuple_(sa.literal(after[0], _R.received.type), sa.literal(after[1], _R.id.type))
        tests.append(sa.tuple_(_R.received, _R.id) < there)
    chosen = sa.select(reports).where(*tests).order_by(_R.received.desc(), _R.id.desc()).limit(limit).offset(offset)
    return [dict(row) for row in (await connection.execute(chosen)).mappings()]


def chosen_tests(chosen: Any) -> list[sa.ColumnElement[bool]]:
    """A `ReportFilter` as tests, its states left aside."""
    tests: list[sa.ColumnElement[bool]] = []
    if chosen.services:
        tests.append(_R.service.in_(sorted(chosen.services)))
    if chosen.domains:
        tests.append(_R.domain.in_(sorted(chosen.domains)))
    if chosen.units:
        tests.append(sa.or_(_R.unit.in_(sorted(chosen.units)), _R.commune.in_(sorted(chosen.units))))
    if chosen.incident is not None:
        tests.append(_R.incident == chosen.incident)
    if chosen.unhappy:
        tests.append(_R.satisfaction <= 2)
    if chosen.text:
        tests.append(sa.or_(*(_holds(column, chosen.text) for column in (_R.text, _R.public_text, _R.place))))
    return tests


def publicly_says(text: str) -> sa.ColumnElement[bool]:
    """Whether words are in what moderation lets the public read."""
    return _holds(_R.public_text, text)


def _holds(column: sa.ColumnElement[Any], text: str) -> sa.ColumnElement[bool]:
    wanted = text.lower()
    for special in "|%_":
        wanted = wanted.replace(special, "|" + special)
    return sa.func.lower(column).like(f"%{wanted}%", escape="|")


async def count_by_state(connection: AsyncConnection, tests: Sequence[sa.ColumnElement[bool]]) -> dict[str, int]:
    """How many reports are in each state."""
    chosen = sa.select(_R.state, sa.func.count()).where(*tests).group_by(_R.state)
    return {str(state): int(number) for state, number in await connection.execute(chosen)}


async def steps_of(connection: AsyncConnection, report: int, *, public: bool = False) -> list[Row]:
    """The steps of a report in order."""
    tests = [_E.report_id == report] + ([_E.public] if public else [])
    rows = await connection.execute(sa.select(report_events).where(*tests).order_by(_E.id))
    return [dict(row) for row in rows.mappings()]


async def public_steps(connection: AsyncConnection, since: int, until: int, limit: int) -> list[Row]:
    """Steps that the public may read, of published reports, by time."""
    rows = await connection.execute(
        sa.select(report_events)
        .join_from(report_events, reports)
        .where(_E.public, _R.published, _E.time >= since, _E.time <= until)
        .order_by(_E.id)
        .limit(limit)
    )
    return [dict(row) for row in rows.mappings()]


async def sender_of(connection: AsyncConnection, report: int) -> Row | None:
    """Who sent a report."""
    row = (await connection.execute(_SENDER_OF, {"report": report})).mappings().first()
    return None if row is None else dict(row)


async def near_rows(
    connection: AsyncConnection,
    box: tuple[float, float, float, float],
    since: int,
    tests: Sequence[sa.ColumnElement[bool]] = (),
    limit: int = 200,
) -> list[Row]:
    """Reports within (west, south, east, north) received since a moment."""
    west, south, east, north = box
    chosen = (
        sa.select(reports)
        .where(_R.lat.between(south, north), _R.lon.between(west, east), _R.received >= since, *tests)
        .order_by(_R.received.desc())
        .limit(limit)
    )
    return [dict(row) for row in (await connection.execute(chosen)).mappings()]


async def due_senders(connection: AsyncConnection, now: int, limit: int) -> list[int]:
    """Numbers of reports whose sender is to be erased."""
    chosen = sa.select(_S.report_id).where(_S.erase_after <= now).order_by(_S.erase_after).limit(limit)
    return [int(number) for number in await connection.scalars(chosen)]


async def count_senders(connection: AsyncConnection) -> int:
    """How many reports still have a sender."""
    return int(await connection.scalar(sa.select(sa.func.count()).select_from(report_senders)) or 0)


async def waiting_exchanges(connection: AsyncConnection, endpoint: str, now: int, limit: int) -> list[Row]:
    """Exchanges whose next attempt is due."""
    chosen = (
        sa.select(report_exchanges)
        .where(_X.state.in_(("waiting", "token")), _X.next_try <= now, _X.endpoint == endpoint)
        .order_by(_X.next_try)
        .limit(limit)
    )
    return [dict(row) for row in (await connection.execute(chosen)).mappings()]


async def exchange_rows(
    connection: AsyncConnection, report: int | None = None, endpoint: str | None = None, direction: str | None = None
) -> list[Row]:
    """Exchanges of a report, or with an endpoint."""
    chosen = sa.select(report_exchanges).order_by(_X.id)
    for column, value in ((_X.report_id, report), (_X.endpoint, endpoint), (_X.direction, direction)):
        if value is not None:
            chosen = chosen.where(column == value)
    return [dict(row) for row in (await connection.execute(chosen)).mappings()]


async def remote_known(connection: AsyncConnection, endpoint: str, remote: str) -> bool:
    """Whether a request of the other side is known here."""
    chosen = sa.select(_X.id).where(_X.endpoint == endpoint, _X.remote_id == remote).limit(1)
    return await connection.scalar(chosen) is not None


async def untold_exchanges(connection: AsyncConnection, endpoint: str, limit: int) -> list[Row]:
    """Exchanges the other side waits on: public steps came after the latest it was told; with the report's
    latest public step as `latest`."""
    latest = (
        sa.select(sa.func.max(_E.id))
        .where(_E.report_id == _X.report_id, _E.public, _E.external.is_(None))
        .scalar_subquery()
    )
    chosen = (
        sa.select(report_exchanges, latest.label("latest"))
        .where(_X.endpoint == endpoint, _X.state == "known", latest > _X.told)
        .order_by(_X.id)
        .limit(limit)
    )
    return [dict(row) for row in (await connection.execute(chosen)).mappings()]


async def endpoint_rows(connection: AsyncConnection) -> dict[str, Row]:
    """How far each endpoint has been read."""
    rows = await connection.execute(sa.select(report_endpoints))
    return {str(row["name"]): dict(row) for row in rows.mappings()}


async def numbers_in(connection: AsyncConnection, numbers: Collection[int]) -> list[Row]:
    """Reports by their numbers, in order."""
    chosen = sa.select(reports).where(_R.id.in_(sorted(numbers))).order_by(_R.id)
    return [dict(row) for row in (await connection.execute(chosen)).mappings()]
