"""Duty, escalation, notices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "duty_handovers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("from_login", sa.String(length=64), nullable=False),
        sa.Column("to_login", sa.String(length=64), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=True),
        sa.Column("taken_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duty_handovers")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("duty_handovers", schema=None) as batch_op:
        batch_op.create_index("ix_duty_handovers_unit_time", ["unit", "time"], unique=False)

    op.create_table(
        "duty_rotas",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=300), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("length_us", sa.BigInteger(), nullable=False),
        sa.Column("turns", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duty_rotas")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_duty_rotas_name_version")),
    )
    with op.batch_alter_table("duty_rotas", schema=None) as batch_op:
        batch_op.create_index("ix_duty_rotas_unit_valid_until", ["unit", "valid_until"], unique=False)

    op.create_table(
        "duty_shifts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("rota", sa.String(length=64), nullable=False),
        sa.Column("instead_of", sa.String(length=64), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=True),
        sa.Column("removed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duty_shifts")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("duty_shifts", schema=None) as batch_op:
        batch_op.create_index("ix_duty_shifts_unit_until", ["unit", "until"], unique=False)

    op.create_table(
        "escalation_chains",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("domain", sa.String(length=32), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=True),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("rounds", sa.SmallInteger(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_escalation_chains")),
    )
    op.create_table(
        "escalation_suppressions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("domain", sa.String(length=32), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=True),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("rule", sa.String(length=300), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("length_us", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=True),
        sa.Column("removed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalation_suppressions")),
    )
    op.create_table(
        "escalations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("incident", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.String(length=64), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("rounds", sa.SmallInteger(), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("domain", sa.String(length=32), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("commune", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("time", sa.SmallInteger(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalations")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("escalations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_escalations_incident"), ["incident"], unique=False)
        batch_op.create_index(
            "ix_escalations_troubled",
            ["unit"],
            unique=False,
            sqlite_where=sa.text("state = 'running' AND reason != ''"),
            postgresql_where=sa.text("state = 'running' AND reason != ''"),
        )
        batch_op.create_index(
            "uq_escalations_incident_running",
            ["incident"],
            unique=True,
            sqlite_where=sa.text("state = 'running'"),
            postgresql_where=sa.text("state = 'running'"),
        )

    op.create_table(
        "notice_channels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("address", sa.String(length=256), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("urgent_only", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_channels")),
        sa.UniqueConstraint("login", "channel", "address", name=op.f("uq_notice_channels_login_channel_address")),
    )
    op.create_table(
        "notice_preferences",
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("quiet_from", sa.SmallInteger(), nullable=True),
        sa.Column("quiet_until", sa.SmallInteger(), nullable=True),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("login", name=op.f("pk_notice_preferences")),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("to_kind", sa.String(length=8), nullable=False),
        sa.Column("to_name", sa.String(length=512), nullable=False),
        sa.Column("to_unit", sa.String(length=32), nullable=False),
        sa.Column("to_role", sa.String(length=32), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("template", sa.String(length=64), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("incident", sa.BigInteger(), nullable=True),
        sa.Column("dedup", sa.String(length=160), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notices_created"), ["created"], unique=False)
        batch_op.create_index(
            "ix_notices_dedup",
            ["dedup", "created"],
            unique=False,
            sqlite_where=sa.text("dedup != ''"),
            postgresql_where=sa.text("dedup != ''"),
        )
        batch_op.create_index(batch_op.f("ix_notices_incident"), ["incident"], unique=False)
        batch_op.create_index(
            "ix_notices_waiting",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state = 'waiting'"),
            postgresql_where=sa.text("state = 'waiting'"),
        )

    op.create_table(
        "notice_deliveries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("notice_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("address", sa.String(length=512), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=512), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notices.id"], name=op.f("fk_notice_deliveries_notice_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_deliveries")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("notice_deliveries", schema=None) as batch_op:
        batch_op.create_index("ix_notice_deliveries_channel_address_sent", ["channel", "address", "sent"], unique=False)
        batch_op.create_index(
            "ix_notice_deliveries_due",
            ["due"],
            unique=False,
            sqlite_where=sa.text("state IN ('waiting', 'held', 'sending')"),
            postgresql_where=sa.text("state IN ('waiting', 'held', 'sending')"),
        )
        batch_op.create_index(batch_op.f("ix_notice_deliveries_notice_id"), ["notice_id"], unique=False)
        batch_op.create_index(
            "ix_notice_deliveries_open",
            ["channel", "address", "due"],
            unique=False,
            sqlite_where=sa.text("state IN ('waiting', 'held', 'sending')"),
            postgresql_where=sa.text("state IN ('waiting', 'held', 'sending')"),
        )

    op.create_table(
        "notice_attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("delivery_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("error", sa.String(length=512), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["notice_deliveries.id"], name=op.f("fk_notice_attempts_delivery_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_attempts")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("notice_attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notice_attempts_delivery_id"), ["delivery_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("notice_attempts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_notice_attempts_delivery_id"))

    op.drop_table("notice_attempts")
    with op.batch_alter_table("notice_deliveries", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_notice_deliveries_open",
            sqlite_where=sa.text("state IN ('waiting', 'held', 'sending')"),
            postgresql_where=sa.text("state IN ('waiting', 'held', 'sending')"),
        )
        batch_op.drop_index(batch_op.f("ix_notice_deliveries_notice_id"))
        batch_op.drop_index(
            "ix_notice_deliveries_due",
            sqlite_where=sa.text("state IN ('waiting', 'held', 'sending')"),
            postgresql_where=sa.text("state IN ('waiting', 'held', 'sending')"),
        )
        batch_op.drop_index("ix_notice_deliveries_channel_address_sent")

    op.drop_table("notice_deliveries")
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_notices_waiting",
            sqlite_where=sa.text("state = 'waiting'"),
            postgresql_where=sa.text("state = 'waiting'"),
        )
        batch_op.drop_index(batch_op.f("ix_notices_incident"))
        batch_op.drop_index(
            "ix_notices_dedup", sqlite_where=sa.text("dedup != ''"), postgresql_where=sa.text("dedup != ''")
        )
        batch_op.drop_index(batch_op.f("ix_notices_created"))

    op.drop_table("notices")
    op.drop_table("notice_preferences")
    op.drop_table("notice_channels")
    with op.batch_alter_table("escalations", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_escalations_incident_running",
            sqlite_where=sa.text("state = 'running'"),
            postgresql_where=sa.text("state = 'running'"),
        )
        batch_op.drop_index(
            "ix_escalations_troubled",
            sqlite_where=sa.text("state = 'running' AND reason != ''"),
            postgresql_where=sa.text("state = 'running' AND reason != ''"),
        )
        batch_op.drop_index(batch_op.f("ix_escalations_incident"))

    op.drop_table("escalations")
    op.drop_table("escalation_suppressions")
    op.drop_table("escalation_chains")
    with op.batch_alter_table("duty_shifts", schema=None) as batch_op:
        batch_op.drop_index("ix_duty_shifts_unit_until")

    op.drop_table("duty_shifts")
    with op.batch_alter_table("duty_rotas", schema=None) as batch_op:
        batch_op.drop_index("ix_duty_rotas_unit_valid_until")

    op.drop_table("duty_rotas")
    with op.batch_alter_table("duty_handovers", schema=None) as batch_op:
        batch_op.drop_index("ix_duty_handovers_unit_time")

    op.drop_table("duty_handovers")
