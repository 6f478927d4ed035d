"""Warnings to the public, and those of others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cap_feeds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("url", sa.String(length=1000), nullable=False),
        sa.Column("domain", sa.String(length=32), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("hosts", sa.String(length=500), nullable=False),
        sa.Column("every_s", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("etag", sa.String(length=300), nullable=False),
        sa.Column("modified", sa.String(length=100), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("visited", sa.BigInteger(), nullable=True),
        sa.Column("answered", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=500), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cap_feeds")),
        sa.UniqueConstraint("name", name=op.f("uq_cap_feeds_name")),
    )
    with op.batch_alter_table("cap_feeds", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_cap_feeds_due"), ["due"], unique=False)

    op.create_table(
        "warning_subscribers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(length=500), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("secret", sa.String(length=128), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_warning_subscribers")),
    )
    op.create_table(
        "warnings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("series", sa.BigInteger(), nullable=False),
        sa.Column("follows", sa.BigInteger(), nullable=True),
        sa.Column("replaced_by", sa.BigInteger(), nullable=True),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("message_type", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("domain", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("severity", sa.String(length=8), nullable=False),
        sa.Column("headline", sa.String(length=200), nullable=False),
        sa.Column("draft", sa.Text(), nullable=False),
        sa.Column("identifier", sa.String(length=200), nullable=False),
        sa.Column("sender", sa.String(length=100), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=True),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=128), nullable=False),
        sa.Column("submitted", sa.BigInteger(), nullable=True),
        sa.Column("submitted_by", sa.String(length=128), nullable=False),
        sa.Column("decided", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(length=128), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_warnings")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("warnings", schema=None) as batch_op:
        batch_op.create_index(
            "ix_warnings_identifier",
            ["identifier"],
            unique=True,
            sqlite_where=sa.text("identifier != ''"),
            postgresql_where=sa.text("identifier != ''"),
        )
        batch_op.create_index(batch_op.f("ix_warnings_incident_id"), ["incident_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_warnings_sent"), ["sent"], unique=False)
        batch_op.create_index(batch_op.f("ix_warnings_series"), ["series"], unique=False)
        batch_op.create_index(batch_op.f("ix_warnings_state"), ["state"], unique=False)

    op.create_table(
        "cap_messages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("feed_id", sa.Integer(), nullable=False),
        sa.Column("sender", sa.String(length=200), nullable=False),
        sa.Column("identifier", sa.String(length=300), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.String(length=64), nullable=False),
        sa.Column("message_type", sa.String(length=8), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=257), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("event", sa.String(length=200), nullable=False),
        sa.Column("headline", sa.String(length=500), nullable=False),
        sa.Column("area", sa.String(length=500), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=True),
        sa.Column("lat", sa.Float(), nullable=True),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.String(length=8), nullable=False),
        sa.Column("signer", sa.String(length=300), nullable=False),
        sa.Column("remarks", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["feed_id"], ["cap_feeds.id"], name=op.f("fk_cap_messages_feed_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cap_messages")),
        sa.UniqueConstraint(
            "feed_id", "sender", "identifier", "sent", name=op.f("uq_cap_messages_feed_id_sender_identifier_sent")
        ),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("cap_messages", schema=None) as batch_op:
        batch_op.create_index(
            "ix_cap_messages_active",
            ["expires"],
            unique=False,
            sqlite_where=sa.text("state = 'active'"),
            postgresql_where=sa.text("state = 'active'"),
        )
        batch_op.create_index("ix_cap_messages_entry", ["feed_id", "entry"], unique=False)
        batch_op.create_index(batch_op.f("ix_cap_messages_received"), ["received"], unique=False)
        batch_op.create_index(
            "ix_cap_messages_untold",
            ["id"],
            unique=False,
            sqlite_where=sa.text("told IS 0"),
            postgresql_where=sa.text("told IS false"),
        )

    op.create_table(
        "warning_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("warning_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("from_state", sa.String(length=12), nullable=False),
        sa.Column("to_state", sa.String(length=12), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("draft", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["warning_id"], ["warnings.id"], name=op.f("fk_warning_events_warning_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_warning_events")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("warning_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_warning_events_warning_id"), ["warning_id"], unique=False)

    op.create_table(
        "warning_pushes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("warning_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(length=300), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["warning_subscribers.id"], name=op.f("fk_warning_pushes_subscriber_id")
        ),
        sa.ForeignKeyConstraint(["warning_id"], ["warnings.id"], name=op.f("fk_warning_pushes_warning_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_warning_pushes")),
        sa.UniqueConstraint("warning_id", "subscriber_id", name=op.f("uq_warning_pushes_warning_id_subscriber_id")),
    )
    with op.batch_alter_table("warning_pushes", schema=None) as batch_op:
        batch_op.create_index(
            "ix_warning_pushes_waiting",
            ["due"],
            unique=False,
            sqlite_where=sa.text("state = 'waiting'"),
            postgresql_where=sa.text("state = 'waiting'"),
        )
        batch_op.create_index(batch_op.f("ix_warning_pushes_warning_id"), ["warning_id"], unique=False)

    op.create_table(
        "cap_references",
        sa.Column("message_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sender", sa.String(length=200), nullable=False),
        sa.Column("identifier", sa.String(length=300), nullable=False),
        sa.Column("sent", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["cap_messages.id"], name=op.f("fk_cap_references_message_id")),
        sa.PrimaryKeyConstraint("message_id", "sender", "identifier", "sent", name=op.f("pk_cap_references")),
    )
    with op.batch_alter_table("cap_references", schema=None) as batch_op:
        batch_op.create_index("ix_cap_references_about", ["sender", "identifier"], unique=False)
