"""Tables of notices, and every statement on them.

`notices` is the outbox: a row is written in the transaction of what it tells of. The sending part makes of each
one a row of `notice_deliveries` for every person and channel, and of each try a row of `notice_attempts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.policy import Policy, Who
from thap.kernel.records import metadata
from thap.kernel.store import Transaction
from thap.kernel.units import PROVINCE_CODE

__all__ = [
    "OutboxRows",
    "attempts_of",
    "counts",
    "deliveries_of",
    "due_count",
    "notice_attempts",
    "notice_channels",
    "notice_deliveries",
    "notice_preferences",
    "notice_rows",
    "notices",
    "seen_by",
    "work_waits",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("created", sa.BigInteger, nullable=False, index=True),
    sa.Column("to_kind", sa.String(8), nullable=False),  # person, duty, address
    sa.Column("to_name", sa.String(512), nullable=False),  # login or URL; '' for a duty
    sa.Column("to_unit", sa.String(32), nullable=False),
    sa.Column("to_role", sa.String(32), nullable=False),
    sa.Column("language", sa.String(2), nullable=False),  # of an address
    sa.Column("template", sa.String(64), nullable=False),
    sa.Column("params", sa.Text, nullable=False),  # JSON
    sa.Column("incident", sa.BigInteger, index=True),
    sa.Column("dedup", sa.String(160), nullable=False),
    sa.Column("urgent", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),  # waiting, taken, unreachable
    sa.Column("repeats", sa.Integer, nullable=False),  # how many equal ones it stands for besides itself
    sqlite_autoincrement=True,
)
sa.Index(
    "ix_notices_waiting",
    notices.c.id,
    sqlite_where=sa.text("state = 'waiting'"),
    postgresql_where=sa.text("state = 'waiting'"),
)
sa.Index(
    "ix_notices_dedup",
    notices.c.dedup,
    notices.c.created,
    sqlite_where=notices.c.dedup != "",
    postgresql_where=notices.c.dedup != "",
)
notice_deliveries = sa.Table(
    "notice_deliveries",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("notice_id", sa.ForeignKey("notices.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("login", sa.String(64), nullable=False),  # '' for an address
    sa.Column("channel", sa.String(32), nullable=False),  # '' for an Apprise URL
    sa.Column("address", sa.String(512), nullable=False),
    sa.Column("language", sa.String(2), nullable=False),
    sa.Column("urgent", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),  # waiting, held, sending, sent, failed
    sa.Column("due", sa.BigInteger, nullable=False),  # next try; while sending, when the claim ends
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.String(512), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("sent", sa.BigInteger),
    sa.Column("digest", sa.BigInteger),  # the delivery whose message carried it
    sqlite_autoincrement=True,
)
_D = notice_deliveries.c
_OPEN = sa.text("state IN ('waiting', 'held', 'sending')")  # in the statements as in the index, so that it serves
sa.Index("ix_notice_deliveries_due", _D.due, sqlite_where=_OPEN, postgresql_where=_OPEN)
sa.Index("ix_notice_deliveries_open", _D.channel, _D.address, _D.due, sqlite_where=_OPEN, postgresql_where=_OPEN)
sa.Index("ix_notice_deliveries_channel_address_sent", _D.channel, _D.address, _D.sent)

notice_attempts = sa.Table(
    "notice_attempts",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("delivery_id", sa.ForeignKey("notice_deliveries.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("took_ms", sa.Integer, nullable=False),
    sa.Column("ok", sa.Boolean, nullable=False),
    sa.Column("error", sa.String(512), nullable=False),
    sqlite_autoincrement=True,
)
notice_channels = sa.Table(
    "notice_channels",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("login", sa.String(64), nullable=False),
    sa.Column("channel", sa.String(32), nullable=False),
    sa.Column("address", sa.String(256), nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("urgent_only", sa.Boolean, nullable=False),
    sa.UniqueConstraint("login", "channel", "address"),
)
notice_preferences = sa.Table(
    "notice_preferences",
    metadata,
    sa.Column("login", sa.String(64), primary_key=True),
    sa.Column("language", sa.String(2), nullable=False),
    sa.Column("quiet_from", sa.SmallInteger),  # minutes after midnight
    sa.Column("quiet_until", sa.SmallInteger),
    sa.Column("changed", sa.BigInteger, nullable=False),
)

_N, _A = notices.c, notice_attempts.c
_NOTICE_COLUMNS = tuple(column.name for column in notices.columns)
_COLUMNS = tuple(column.name for column in notice_deliveries.columns)
_Row = dict[str, Any]

_WAITING = (
    sa.select(notices).where(sa.text("state = 'waiting'")).order_by(_N.id).limit(sa.bindparam("most"))
).with_for_update(skip_locked=True)
_NOTICE_STATE = sa.update(notices).where(_N.id == sa.bindparam("row_id"))
_NOTICE = sa.select(notices).where(_N.id == sa.bindparam("id"))
_ADD = sa.insert(notice_deliveries)
_TWIN = (
    sa.select(_D.id)
    .join(notices, _D.notice_id == _N.id)
    .where(
        _N.dedup == sa.bindparam("dedup"),
        sa.text("notices.dedup != ''"),  # as in the index, so that it serves
        _N.created > sa.bindparam("since"),
        _D.channel == sa.bindparam("channel"),
        _D.address == sa.bindparam("address"),
    )
    .limit(1)
)
_GROUPS = (
    sa.select(_D.channel, _D.address)
    .where(_OPEN, _D.due <= sa.bindparam("now"))
    .order_by(_D.due)
    .limit(sa.bindparam("most"))
)
_TO = (_D.channel == sa.bindparam("channel"), _D.address == sa.bindparam("address"))
_DUE = (
    sa.select(notice_deliveries)
    .where(_OPEN, _D.due <= sa.bindparam("now"), *_TO)
    .order_by(_D.urgent.desc(), _D.id)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)
_HELD = (
    sa.select(notice_deliveries)
    .where(_OPEN, _D.state == "held", _D.due > sa.bindparam("now"), *_TO)
    .order_by(_D.id)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)
_SENT = (sa.select(sa.func.count()).select_from(notice_deliveries).where(*_TO, _D.sent > sa.bindparam("since"))).where(
    _D.digest.is_(None)
)
_UNDER_WAY = (
    sa.select(sa.func.count())
    .select_from(notice_deliveries)
    .where(_OPEN, _D.state == "sending", _D.due > sa.bindparam("now"), *_TO)
)
_BY_ID = sa.select(notice_deliveries).where(_D.id == sa.bindparam("id")).with_for_update()
_STUCK = (
    sa.select(notice_deliveries)
    .where(_D.notice_id == sa.bindparam("notice"), sa.or_(_D.state == "waiting", _D.state == "failed"))
    .order_by(_D.id)
    .with_for_update()
)
_SAVE = sa.update(notice_deliveries).where(_D.id == sa.bindparam("row_id"))
_TRY = sa.insert(notice_attempts)
_LEFT = (
    sa.select(_D.id)
    .join(notices, _D.notice_id == _N.id)
    .where(_N.dedup == sa.bindparam("dedup"), _N.incident == sa.bindparam("incident"), _D.state != "failed")
    .limit(1)
)
_NEWEST = (
    sa.select(_N.dedup)
    .where(_N.incident == sa.bindparam("incident"), _N.template == sa.bindparam("template"))
    .order_by(_N.id.desc())
    .limit(1)
)
_UNTAKEN = (
    sa.select(_N.id)
    .where(_N.dedup == sa.bindparam("dedup"), _N.incident == sa.bindparam("incident"), sa.text("state = 'waiting'"))
    .limit(1)
)
_OLD = sa.select(sa.func.max(_N.id)).where(
    _N.id.in_(sa.select(_N.id).where(_N.created < sa.bindparam("before")).order_by(_N.id).limit(sa.bindparam("most")))
)
_PRUNE = sa.delete(notices).where(_N.id <= sa.bindparam("upto"), _N.created < sa.bindparam("before"))
_ERASE = (
    sa.update(notices)
    .where(_N.to_kind == sa.bindparam("kind"), _N.to_name == sa.bindparam("was"))
    .values(to_name=sa.bindparam("name"), params=sa.bindparam("empty"))
)
_ERASE_DELIVERIES = (
    sa.update(notice_deliveries)
    .where(_D.login == sa.bindparam("nobody"), _D.address == sa.bindparam("was"))
    .values(address=sa.bindparam("name"))
)


class OutboxRows:
    """Notices and deliveries within one write transaction. Rows it returns are locked until the transaction ends;
    those that another process has are left out."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction

    def waiting(self, most: int) -> list[_Row]:
        """Notices nobody has taken yet, the first first."""
        return [dict(zip(_NOTICE_COLUMNS, row, strict=True)) for row in self._tx.rows(_WAITING, {"most": most})]

    def notice(self, number: int) -> _Row | None:
        """One notice."""
        rows = self._tx.rows(_NOTICE, {"id": number})
        return dict(zip(_NOTICE_COLUMNS, rows[0], strict=True)) if rows else None

    def set_states(self, states: Mapping[int, str]) -> None:
        """Write states of notices."""
        if states:
            self._tx.run(_NOTICE_STATE, [{"row_id": number, "state": state} for number, state in states.items()])

    def has_twin(self, dedup: str, since: int, channel: str, address: str) -> bool:
        """Whether a notice of this key goes to this address already."""
        asked = {"dedup": dedup, "since": since, "channel": channel, "address": address}
        return bool(self._tx.rows(_TWIN, asked))

    def add(self, rows: Sequence[_Row]) -> None:
        """Keep deliveries."""
        names = [name for name in _COLUMNS if name != "id"]
        if rows:
            self._tx.run(_ADD, [{name: row[name] for name in names} for row in rows])

    def groups(self, now: int, most: int) -> list[tuple[str, str]]:
        """(channel, address) of the `most` longest due, each once."""
        return list(dict.fromkeys((str(c), str(a)) for c, a in self._tx.rows(_GROUPS, {"now": now, "most": most})))

    def due(self, channel: str, address: str, now: int, most: int) -> list[_Row]:
        """What is due to one address, urgent ones first."""
        asked = {"channel": channel, "address": address, "now": now, "most": most}
        return [dict(zip(_COLUMNS, row, strict=True)) for row in self._tx.rows(_DUE, asked)]

    def held(self, channel: str, address: str, now: int, most: int) -> list[_Row]:
        """What gathers for the next digest to one address."""
        asked = {"channel": channel, "address": address, "now": now, "most": most}
        return [dict(zip(_COLUMNS, row, strict=True)) for row in self._tx.rows(_HELD, asked)]

    def sent_count(self, channel: str, address: str, since: int, now: int) -> int:
        """How many messages went to an address since, with those that are under way now."""
        to = {"channel": channel, "address": address}
        sent = int(self._tx.rows(_SENT, {**to, "since": since})[0][0])
        return sent + int(self._tx.rows(_UNDER_WAY, {**to, "now": now})[0][0])

    def delivery(self, number: int) -> _Row | None:
        """One delivery."""
        rows = self._tx.rows(_BY_ID, {"id": number})
        return dict(zip(_COLUMNS, rows[0], strict=True)) if rows else None

    def save(self, rows: Iterable[_Row]) -> None:
        """Write state, due, attempts, error, sent and digest of deliveries that were read."""
        kept = ("state", "due", "attempts", "error", "sent", "digest")
        values = [{"row_id": row["id"], **{name: row[name] for name in kept}} for row in rows]
        if values:
            self._tx.run(_SAVE, values)

    def log(self, rows: Sequence[_Row]) -> None:
        """Keep what tries came to."""
        self._tx.run(_TRY, rows)

    def again(self, notice: int, now: int) -> int:
        """Let what failed or waits of a notice be tried now; how many that is. An unreachable one is taken anew."""
        row = self.notice(notice)
        if row is not None and row["state"] == "unreachable":
            self.set_states({notice: "waiting"})
            return 1
        again = self._tx.rows(_STUCK, {"notice": notice})
        rows = [dict(zip(_COLUMNS, row, strict=True)) for row in again]
        self.save({**row, "state": "waiting", "due": now} for row in rows)
        return len(rows)

    def all_failed(self, incident: int, dedup: str, template: str) -> bool:
        """Whether nothing of the newest notices of an incident (of this key) reached or can still reach anybody."""
        newest = self._tx.rows(_NEWEST, {"incident": incident, "template": template})
        asked = {"dedup": dedup, "incident": incident}
        return (
            bool(newest)
            and newest[0][0] == dedup
            and not self._tx.rows(_UNTAKEN, asked)
            and not self._tx.rows(_LEFT, asked)
        )

    def prune(self, before: int, most: int) -> bool:
        """Forget notices kept before a time, with their deliveries; whether there were any."""
        upto = self._tx.rows(_OLD, {"before": before, "most": most})[0][0]
        if upto is None:
            return False
        self._tx.run(_PRUNE, [{"upto": int(upto), "before": before}])
        return True

    def erase(self, address: str, url: str) -> None:
        """Take an address that is nobody's of the centre, and what was told it, out of the log."""
        self._tx.run(_ERASE, [{"kind": "address", "was": url, "name": "", "empty": "{}"}])
        self._tx.run(_ERASE_DELIVERIES, [{"nobody": "", "was": address, "name": ""}])


def seen_by(policy: Policy, who: Who) -> sa.ColumnElement[bool]:
    """Which notices somebody may see: their own, those of incidents they may see, and, in the whole province, those
    of none."""
    from thap.respond.incidents.listing import RESOURCE
    from thap.respond.incidents.records import incidents

    if who.is_unlimited:
        return sa.true()
    visible = sa.select(incidents.c.id).where(policy.where(who, "notice.read", RESOURCE))
    own = sa.or_(
        sa.and_(_N.to_kind == "person", _N.to_name == who.name),
        _N.id.in_(sa.select(_D.notice_id).where(_D.login == who.name)),
    )
    tests: list[sa.ColumnElement[bool]] = [_N.incident.in_(visible)]
    if who.kind == "person":
        tests.append(own)
    if policy.may(who, "notice.read", PROVINCE_CODE):
        tests.append(_N.incident.is_(None))
    return sa.or_(*tests)


async def work_waits(connection: AsyncConnection, now: int) -> bool:
    """Whether a notice is to be taken or a delivery is due."""
    if await connection.scalar(sa.select(_N.id).where(sa.text("state = 'waiting'")).limit(1)):
        return True
    return bool(await connection.scalar(sa.select(_D.id).where(_OPEN, _D.due <= now).limit(1)))


async def due_count(connection: AsyncConnection, now: int) -> int:
    """How many notices are to be taken and deliveries are due; none of those that are held, put off or under way."""
    untaken = sa.select(sa.func.count()).select_from(notices).where(sa.text("state = 'waiting'"))
    due = sa.select(sa.func.count()).select_from(notice_deliveries).where(_OPEN, _D.due <= now)
    return int(await connection.scalar(untaken) or 0) + int(await connection.scalar(due) or 0)


async def counts(connection: AsyncConnection, where: sa.ColumnElement[bool] | None = None) -> dict[str, int]:
    """How many deliveries are open (of notices that meet `where`), and how many of them failed at least once."""
    statement = sa.select(sa.func.count(), sa.func.count().filter(_D.attempts > 0)).select_from(notice_deliveries)
    statement = statement.where(_OPEN)
    if where is not None:
        statement = statement.where(_D.notice_id.in_(sa.select(_N.id).where(where)))
    total, failing = (await connection.execute(statement)).one()
    return {"open": int(total), "failing": int(failing)}


async def notice_rows(
    connection: AsyncConnection,
    *,
    where: sa.ColumnElement[bool] | None = None,
    state: str = "",
    login: str = "",
    incident: int | None = None,
    template: str = "",
    limit: int = 50,
    before: int | None = None,
    only: int | None = None,
) -> list[_Row]:
    """Notices, the newest first, with `sent`, `open` and `failed`: how many of their deliveries are so.

    `state` may also be that of a delivery: sent, failed, held, open.
    """
    statement = sa.select(notices).order_by(_N.id.desc()).limit(limit)
    if where is not None:
        statement = statement.where(where)
    if before is not None:
        statement = statement.where(_N.id < before)
    if only is not None:
        statement = statement.where(_N.id == only)
    if state in ("waiting", "taken", "unreachable"):
        statement = statement.where(_N.state == state)
    elif state:
        having = _OPEN if state == "open" else _D.state == state
        statement = statement.where(_N.id.in_(sa.select(_D.notice_id).where(having)))
    if login:
        statement = statement.where(
            sa.or_(
                sa.and_(_N.to_kind == "person", _N.to_name == login),
                _N.id.in_(sa.select(_D.notice_id).where(_D.login == login)),
            )
        )
    if incident is not None:
        statement = statement.where(_N.incident == incident)
    if template:
        statement = statement.where(_N.template == template)
    found = [dict(row) for row in (await connection.execute(statement)).mappings()]
    how = {row["id"]: {"sent": 0, "open": 0, "failed": 0} for row in found}
    tallied = sa.select(_D.notice_id, _D.state, sa.func.count()).where(_D.notice_id.in_(how))
    for number, one, many in await connection.execute(tallied.group_by(_D.notice_id, _D.state)):
        how[number][one if one in ("sent", "failed") else "open"] += many
    return [{**row, **how[row["id"]]} for row in found]


async def deliveries_of(connection: AsyncConnection, notice: int) -> list[_Row]:
    """The deliveries of one notice."""
    statement = sa.select(notice_deliveries).where(_D.notice_id == notice).order_by(_D.id)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def attempts_of(connection: AsyncConnection, notice: int) -> list[_Row]:
    """The tries of one notice, in order."""
    statement = (
        sa.select(notice_attempts).join(notice_deliveries, _A.delivery_id == _D.id).where(_D.notice_id == notice)
    )
    return [dict(row) for row in (await connection.execute(statement.order_by(_A.id))).mappings()]
