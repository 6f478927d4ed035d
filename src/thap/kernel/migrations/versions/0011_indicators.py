"""Indicators: targets, newest values, series."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "indicator_targets",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("indicator", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("warn_low", sa.Float(), nullable=True),
        sa.Column("warn_high", sa.Float(), nullable=True),
        sa.Column("source", sa.String(length=300), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_indicator_targets")),
        sa.UniqueConstraint("indicator", "version", name=op.f("uq_indicator_targets_indicator_version")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "indicator_values",
        sa.Column("indicator", sa.String(length=64), nullable=False),
        sa.Column("audience", sa.String(length=16), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.PrimaryKeyConstraint("indicator", "audience", name=op.f("pk_indicator_values")),
    )
    op.create_table(
        "indicator_points",
        sa.Column("indicator", sa.String(length=64), nullable=False),
        sa.Column("audience", sa.String(length=16), nullable=False),
        sa.Column("time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("indicator", "audience", "time", name=op.f("pk_indicator_points")),
    )
    with op.batch_alter_table("indicator_points", schema=None) as batch_op:
        batch_op.create_index("ix_indicator_points_time", ["time"], unique=False)


def downgrade() -> None:
    op.drop_table("indicator_points")
    op.drop_table("indicator_values")
    op.drop_table("indicator_targets")
