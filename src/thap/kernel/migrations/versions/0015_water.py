"""Water and air: stations with their limits, tides, forecasts, the index of the air, ten-day salinity."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "water_air",
        sa.Column("thing", sa.String(length=128), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("aqi", sa.Integer(), nullable=True),
        sa.Column("pollutant", sa.String(length=16), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("thing", name=op.f("pk_water_air")),
    )
    op.create_table(
        "water_forecasts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("datastream", sa.String(length=257), nullable=False),
        sa.Column("property", sa.String(length=64), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("inputs_until", sa.BigInteger(), nullable=False),
        sa.Column("parameters", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_water_forecasts")),
        sa.UniqueConstraint("datastream", "inputs_until", name=op.f("uq_water_forecasts_datastream_inputs_until")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "water_ruled",
        sa.Column("datastream", sa.String(length=257), nullable=False),
        sa.PrimaryKeyConstraint("datastream", name=op.f("pk_water_ruled")),
    )
    op.create_table(
        "water_salinity",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("station", sa.String(length=128), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("river", sa.String(length=100), nullable=False),
        sa.Column("km", sa.Float(), nullable=True),
        sa.Column("begin", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("g_l", sa.Float(), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("imported", sa.BigInteger(), nullable=False),
        sa.Column("imported_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_water_salinity")),
        sa.UniqueConstraint("station", "begin", name=op.f("uq_water_salinity_station_begin")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "water_stations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("thing", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("river", sa.String(length=100), nullable=False),
        sa.Column("level_1", sa.Float(), nullable=True),
        sa.Column("level_2", sa.Float(), nullable=True),
        sa.Column("level_3", sa.Float(), nullable=True),
        sa.Column("km", sa.Float(), nullable=True),
        sa.Column("source", sa.String(length=300), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_water_stations")),
        sa.UniqueConstraint("thing", "version", name=op.f("uq_water_stations_thing_version")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "water_tides",
        sa.Column("datastream", sa.String(length=257), nullable=False),
        sa.Column("fitted", sa.BigInteger(), nullable=False),
        sa.Column("origin_h", sa.Float(), nullable=False),
        sa.Column("stage", sa.Float(), nullable=False),
        sa.Column("sigma", sa.Float(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("datastream", name=op.f("pk_water_tides")),
    )


def downgrade() -> None:
    op.drop_table("water_tides")
    op.drop_table("water_stations")
    op.drop_table("water_salinity")
    op.drop_table("water_ruled")
    op.drop_table("water_forecasts")
    op.drop_table("water_air")
