"""River sand: the register, quantities, trips, violations, evidence."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sand_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("noun", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("commune", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sand_entries")),
        sa.UniqueConstraint("noun", "key", name=op.f("uq_sand_entries_noun_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sand_state",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sand_state")),
    )
    op.create_table(
        "sand_stays",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("vessel", sa.String(length=257), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("begin", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("commune", sa.String(length=16), nullable=False),
        sa.Column("licence_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("wharf_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("beside", sa.String(length=257), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sand_stays")),
        sa.UniqueConstraint("vessel", "begin", name=op.f("uq_sand_stays_vessel_begin")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sand_stays_end"), "sand_stays", ["end"], unique=False)
    op.create_index(op.f("ix_sand_stays_licence_id"), "sand_stays", ["licence_id"], unique=False)
    op.create_table(
        "sand_trips",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("vessel", sa.String(length=257), nullable=False),
        sa.Column("licence_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("load_begin", sa.BigInteger(), nullable=False),
        sa.Column("load_end", sa.BigInteger(), nullable=False),
        sa.Column("unload_begin", sa.BigInteger(), nullable=False),
        sa.Column("unload_end", sa.BigInteger(), nullable=True),
        sa.Column("wharf_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("commune", sa.String(length=16), nullable=False),
        sa.Column("dredger", sa.String(length=257), nullable=False),
        sa.Column("hold_m3", sa.Float(), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sand_trips")),
        sa.UniqueConstraint("vessel", "load_begin", name=op.f("uq_sand_trips_vessel_load_begin")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sand_trips_day"), "sand_trips", ["day"], unique=False)
    op.create_index(op.f("ix_sand_trips_licence_id"), "sand_trips", ["licence_id"], unique=False)
    op.create_table(
        "sand_violations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("vessel", sa.String(length=257), nullable=False),
        sa.Column("begin", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=True),
        sa.Column("noticed", sa.BigInteger(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("commune", sa.String(length=16), nullable=False),
        sa.Column("licence_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("positions", sa.Text(), nullable=False),
        sa.Column("book_version", sa.Integer(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sand_violations")),
        sa.UniqueConstraint("kind", "vessel", "begin", name=op.f("uq_sand_violations_kind_vessel_begin")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sand_violations_licence_id"), "sand_violations", ["licence_id"], unique=False)
    op.create_index(op.f("ix_sand_violations_noticed"), "sand_violations", ["noticed"], unique=False)
    op.create_table(
        "sand_declared",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("licence_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("period", sa.String(length=10), nullable=False),
        sa.Column("m3", sa.Float(), nullable=False),
        sa.Column("trips", sa.Integer(), nullable=True),
        sa.Column("source", sa.String(length=300), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["licence_id"], ["sand_entries.id"], name=op.f("fk_sand_declared_licence_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sand_declared")),
        sa.UniqueConstraint("licence_id", "period", name=op.f("uq_sand_declared_licence_id_period")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sand_entry_versions",
        sa.Column("entry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["sand_entries.id"], name=op.f("fk_sand_entry_versions_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", "version", name=op.f("pk_sand_entry_versions")),
    )
    op.create_table(
        "sand_evidence",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("violation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("signed", sa.Boolean(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["violation_id"], ["sand_violations.id"], name=op.f("fk_sand_evidence_violation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sand_evidence")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sand_evidence_violation_id"), "sand_evidence", ["violation_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_sand_evidence_violation_id"), table_name="sand_evidence")
    op.drop_table("sand_evidence")
    op.drop_table("sand_entry_versions")
    op.drop_table("sand_declared")
    op.drop_index(op.f("ix_sand_violations_noticed"), table_name="sand_violations")
    op.drop_index(op.f("ix_sand_violations_licence_id"), table_name="sand_violations")
    op.drop_table("sand_violations")
    op.drop_index(op.f("ix_sand_trips_licence_id"), table_name="sand_trips")
    op.drop_index(op.f("ix_sand_trips_day"), table_name="sand_trips")
    op.drop_table("sand_trips")
    op.drop_index(op.f("ix_sand_stays_licence_id"), table_name="sand_stays")
    op.drop_index(op.f("ix_sand_stays_end"), table_name="sand_stays")
    op.drop_table("sand_stays")
    op.drop_table("sand_state")
    op.drop_table("sand_entries")
