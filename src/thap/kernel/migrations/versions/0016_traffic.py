"""Traffic: cameras, lines, zones, clips, plates, corridors with their forecasts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "cameras",
        sa.Column("thing_id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=1000), nullable=False),
        sa.Column("secret", sa.String(length=2000), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("transport", sa.String(length=8), nullable=False),
        sa.Column("loop", sa.Boolean(), nullable=False),
        sa.Column("fps", sa.Float(), nullable=False),
        sa.Column("onvif", sa.String(length=500), nullable=False),
        sa.Column("before_s", sa.Float(), nullable=False),
        sa.Column("after_s", sa.Float(), nullable=False),
        sa.Column("keep_days", sa.Integer(), nullable=False),
        sa.Column("disk_mib", sa.Integer(), nullable=False),
        sa.Column("scene", sa.JSON(), nullable=False),
        sa.Column("plates", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["thing_id"], ["things.id"], name=op.f("fk_cameras_thing_id_things")),
        sa.PrimaryKeyConstraint("thing_id", name=op.f("pk_cameras")),
    )
    op.create_index(op.f("ix_cameras_enabled"), "cameras", ["enabled"])
    op.create_table(
        "camera_clips",
        sa.Column("id", _ID, nullable=False),
        sa.Column("thing_id", sa.Integer(), nullable=False),
        sa.Column("begins", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("condition", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=257), nullable=False),
        sa.Column("alarm_id", sa.BigInteger(), nullable=True),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("attachment_id", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("encoded", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["thing_id"], ["things.id"], name=op.f("fk_camera_clips_thing_id_things")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_camera_clips")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_camera_clips_incident_id"), "camera_clips", ["incident_id"])
    op.create_index("ix_camera_clips_thing_id_event", "camera_clips", ["thing_id", "event"])
    op.create_table(
        "plate_watch",
        sa.Column("id", _ID, nullable=False),
        sa.Column("sealed", sa.String(length=500), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("legal_basis", sa.String(length=500), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plate_watch")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_plate_watch_until"), "plate_watch", ["until"])
    op.create_table(
        "plate_reads",
        sa.Column("id", _ID, nullable=False),
        sa.Column("thing_id", sa.Integer(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("watch_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["thing_id"], ["things.id"], name=op.f("fk_plate_reads_thing_id_things")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plate_reads")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_plate_reads_hash"), "plate_reads", ["hash"])
    op.create_index(op.f("ix_plate_reads_time"), "plate_reads", ["time"])
    op.create_table(
        "traffic_corridors",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("datastreams", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_traffic_corridors")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_traffic_corridors_name_version")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "traffic_forecasts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("corridor", sa.String(length=64), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("inputs_until", sa.BigInteger(), nullable=False),
        sa.Column("parameters", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_traffic_forecasts")),
        sa.UniqueConstraint("corridor", "inputs_until", name=op.f("uq_traffic_forecasts_corridor_inputs_until")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    for name in ("traffic_forecasts", "traffic_corridors", "plate_reads", "plate_watch", "camera_clips", "cameras"):
        op.drop_table(name)
