"""Incidents, their events and links."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("domain", sa.String(length=32), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("commune", sa.String(length=16), nullable=False),
        sa.Column("lon", sa.Float(), nullable=True),
        sa.Column("lat", sa.Float(), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("opened_by", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=8), nullable=False),
        sa.Column("cause", sa.String(length=64), nullable=False),
        sa.Column("acknowledged", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=64), nullable=False),
        sa.Column("resolved", sa.BigInteger(), nullable=True),
        sa.Column("closed", sa.BigInteger(), nullable=True),
        sa.Column("reopened", sa.Integer(), nullable=False),
        sa.Column("merged_into", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=True),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("latest", sa.BigInteger(), nullable=True),
        sa.Column("place", sa.String(length=260), nullable=False),
        sa.Column("cell", sa.Integer(), nullable=True),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["merged_into"], ["incidents.id"], name=op.f("fk_incidents_merged_into")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("incidents", schema=None) as batch_op:
        batch_op.create_index(
            "ix_incidents_cell",
            ["domain", "cause", "cell", "latest"],
            unique=False,
            sqlite_where=sa.text("latest IS NOT NULL"),
            postgresql_where=sa.text("latest IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_incidents_commune",
            ["commune", "opened", "id", "unit", "domain", "state", "severity"],
            unique=False,
        )
        batch_op.create_index("ix_incidents_opened", ["opened", "id"], unique=False)
        batch_op.create_index(
            "ix_incidents_place",
            ["domain", "cause", "place", "latest"],
            unique=False,
            sqlite_where=sa.text("latest IS NOT NULL"),
            postgresql_where=sa.text("latest IS NOT NULL"),
        )
        batch_op.create_index("ix_incidents_state", ["state", "opened", "id"], unique=False)
        batch_op.create_index(
            "ix_incidents_unit",
            ["unit", "opened", "id", "commune", "domain", "state", "severity"],
            unique=False,
        )

    op.create_table(
        "opening_rules",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_opening_rules")),
    )
    op.create_table(
        "incident_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=24), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=False),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_incident_events_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_events")),
        sa.UniqueConstraint("incident_id", "nth", name=op.f("uq_incident_events_incident_id_nth")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("incident_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_incident_events_time"), ["time"], unique=False)

    op.create_table(
        "incident_links",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("ref", sa.String(length=128), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("added_by", sa.String(length=64), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=True),
        sa.Column("removed_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_incident_links_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_links")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("incident_links", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_incident_links_incident_id"), ["incident_id"], unique=False)
        batch_op.create_index(
            "uq_incident_links_there",
            ["kind", "ref", "incident_id"],
            unique=True,
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )
        batch_op.create_index(
            "ix_incident_links_gone",
            ["kind", "ref", "incident_id"],
            unique=False,
            sqlite_where=sa.text("removed IS NOT NULL"),
            postgresql_where=sa.text("removed IS NOT NULL"),
        )


def downgrade() -> None:
    with op.batch_alter_table("incident_links", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_incident_links_gone",
            sqlite_where=sa.text("removed IS NOT NULL"),
            postgresql_where=sa.text("removed IS NOT NULL"),
        )
        batch_op.drop_index(
            "uq_incident_links_there",
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_incident_links_incident_id"))

    op.drop_table("incident_links")
    with op.batch_alter_table("incident_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_incident_events_time"))

    op.drop_table("incident_events")
    op.drop_table("opening_rules")
    with op.batch_alter_table("incidents", schema=None) as batch_op:
        batch_op.drop_index("ix_incidents_unit")
        batch_op.drop_index("ix_incidents_state")
        batch_op.drop_index(
            "ix_incidents_place",
            sqlite_where=sa.text("latest IS NOT NULL"),
            postgresql_where=sa.text("latest IS NOT NULL"),
        )
        batch_op.drop_index("ix_incidents_opened")
        batch_op.drop_index("ix_incidents_commune")
        batch_op.drop_index(
            "ix_incidents_cell",
            sqlite_where=sa.text("latest IS NOT NULL"),
            postgresql_where=sa.text("latest IS NOT NULL"),
        )

    op.drop_table("incidents")
