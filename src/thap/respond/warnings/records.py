"""Tables of warnings, of who is pushed to, and of others' feeds; and every statement on them.

`warning_events` keeps every step, and its number is the event stream's. A warning that went out keeps its document
as signed, byte for byte.
"""

from __future__ import annotations

import sqlalchemy as sa

from thap.kernel.records import metadata

__all__ = [
    "cap_feeds",
    "cap_messages",
    "cap_references",
    "warning_events",
    "warning_pushes",
    "warning_subscribers",
    "warnings",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

warnings = sa.Table(
    "warnings",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("series", sa.BigInteger, nullable=False, index=True),  # id of the first of its chain; 0 for the first
    sa.Column("follows", sa.BigInteger),  # id of the one it updates or cancels
    sa.Column("replaced_by", sa.BigInteger),  # id of the one that updated or cancelled it
    sa.Column("incident_id", sa.BigInteger, index=True),  # incidents.id
    sa.Column("message_type", sa.String(8), nullable=False),
    sa.Column("state", sa.String(12), nullable=False, index=True),
    sa.Column("unit", sa.String(32), nullable=False),  # '' is the province
    sa.Column("domain", sa.String(32), nullable=False),
    sa.Column("status", sa.String(8), nullable=False),  # Actual, Exercise, Test
    sa.Column("severity", sa.String(8), nullable=False),
    sa.Column("headline", sa.String(200), nullable=False),  # Vietnamese
    sa.Column("draft", sa.Text, nullable=False),  # JSON
    sa.Column("identifier", sa.String(200), nullable=False),  # '' until it goes out
    sa.Column("sender", sa.String(100), nullable=False),
    sa.Column("sent", sa.BigInteger, index=True),
    sa.Column("expires", sa.BigInteger),
    sa.Column("document", sa.LargeBinary),  # as signed
    sa.Column("digest", sa.String(64), nullable=False),  # SHA-256 of the document
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("submitted", sa.BigInteger),
    sa.Column("submitted_by", sa.String(128), nullable=False),
    sa.Column("decided", sa.BigInteger),
    sa.Column("decided_by", sa.String(128), nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index(
    "ix_warnings_identifier",
    warnings.c.identifier,
    unique=True,
    sqlite_where=warnings.c.identifier != "",
    postgresql_where=warnings.c.identifier != "",
)
warning_events = sa.Table(
    "warning_events",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("warning_id", sa.ForeignKey("warnings.id"), nullable=False, index=True),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("from_state", sa.String(12), nullable=False),
    sa.Column("to_state", sa.String(12), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("by", sa.String(128), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("draft", sa.Text, nullable=False),  # JSON, where the text changed: the original is kept
    sa.Column("version", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)
warning_subscribers = sa.Table(
    "warning_subscribers",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("url", sa.String(500), nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("secret", sa.String(128), nullable=False),  # signs what is pushed; '' for none
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("removed", sa.BigInteger),
)
warning_pushes = sa.Table(
    "warning_pushes",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("warning_id", sa.ForeignKey("warnings.id"), nullable=False, index=True),
    sa.Column("subscriber_id", sa.ForeignKey("warning_subscribers.id"), nullable=False),
    sa.Column("state", sa.String(8), nullable=False),  # waiting, sent, failed
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("due", sa.BigInteger, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("answer", sa.String(300), nullable=False),  # of the latest try
    sa.Column("done", sa.BigInteger),
    sa.UniqueConstraint("warning_id", "subscriber_id"),
)
sa.Index(
    "ix_warning_pushes_waiting",
    warning_pushes.c.due,
    sqlite_where=warning_pushes.c.state == "waiting",
    postgresql_where=warning_pushes.c.state == "waiting",
)
cap_feeds = sa.Table(
    "cap_feeds",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("url", sa.String(1000), nullable=False),
    sa.Column("domain", sa.String(32), nullable=False),  # of its alarms
    sa.Column("language", sa.String(16), nullable=False),  # preferred
    sa.Column("hosts", sa.String(500), nullable=False),  # besides its own, that its entries may link to
    sa.Column("every_s", sa.Integer, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("etag", sa.String(300), nullable=False),
    sa.Column("modified", sa.String(100), nullable=False),
    sa.Column("due", sa.BigInteger, nullable=False, index=True),
    sa.Column("visited", sa.BigInteger),
    sa.Column("answered", sa.BigInteger),  # last visit without an error
    sa.Column("failures", sa.Integer, nullable=False),  # in a row
    sa.Column("error", sa.String(500), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
)
cap_messages = sa.Table(
    "cap_messages",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("feed_id", sa.ForeignKey("cap_feeds.id"), nullable=False),
    sa.Column("sender", sa.String(200), nullable=False),
    sa.Column("identifier", sa.String(300), nullable=False),
    sa.Column("sent", sa.BigInteger, nullable=False),
    sa.Column("entry", sa.String(64), nullable=False),  # digest of where it was found; '' for one within a feed
    sa.Column("message_type", sa.String(8), nullable=False),
    sa.Column("status", sa.String(8), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),  # active, replaced, cancelled, expired, ignored
    sa.Column("reason", sa.String(200), nullable=False),  # why it is ignored
    sa.Column("source", sa.String(257), nullable=False),  # of its alarm; '' for none
    sa.Column("told", sa.Boolean, nullable=False),  # whether the alarms know of its state
    sa.Column("event", sa.String(200), nullable=False),
    sa.Column("headline", sa.String(500), nullable=False),
    sa.Column("area", sa.String(500), nullable=False),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("lon", sa.Float),
    sa.Column("lat", sa.Float),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("signature", sa.String(8), nullable=False),
    sa.Column("signer", sa.String(300), nullable=False),
    sa.Column("remarks", sa.Text, nullable=False),  # what the schema says of it
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False, index=True),
    sa.UniqueConstraint("feed_id", "sender", "identifier", "sent"),
    sqlite_autoincrement=True,
)
sa.Index("ix_cap_messages_entry", cap_messages.c.feed_id, cap_messages.c.entry)
sa.Index(
    "ix_cap_messages_active",
    cap_messages.c.expires,
    sqlite_where=cap_messages.c.state == "active",
    postgresql_where=cap_messages.c.state == "active",
)
sa.Index(
    "ix_cap_messages_untold",
    cap_messages.c.id,
    sqlite_where=cap_messages.c.told.is_(sa.false()),
    postgresql_where=cap_messages.c.told.is_(sa.false()),
)
cap_references = sa.Table(
    "cap_references",
    metadata,
    sa.Column("message_id", sa.ForeignKey("cap_messages.id"), primary_key=True),
    sa.Column("sender", sa.String(200), primary_key=True),
    sa.Column("identifier", sa.String(300), primary_key=True),
    sa.Column("sent", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Index("ix_cap_references_about", "sender", "identifier"),
)
