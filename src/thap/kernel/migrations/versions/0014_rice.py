"""Rice: zones, crops, weather, surveys, counts, flights, predictions, advice, bulletins and their steps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rice_zones",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("commune", sa.String(length=16), nullable=False),
        sa.Column("communes", sa.JSON(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("area_ha", sa.Float(), nullable=False),
        sa.Column("stations", sa.JSON(), nullable=False),
        sa.Column("saline_from", sa.String(length=5), nullable=False),
        sa.Column("saline_to", sa.String(length=5), nullable=False),
        sa.Column("flood_from", sa.String(length=5), nullable=False),
        sa.Column("flood_to", sa.String(length=5), nullable=False),
        sa.Column("source", sa.String(length=300), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rice_zones")),
        sa.UniqueConstraint("code", name=op.f("uq_rice_zones_code")),
    )
    op.create_index(op.f("ix_rice_zones_commune"), "rice_zones", ["commune"])
    op.create_table(
        "rice_crops",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.Integer(), nullable=False),
        sa.Column("season", sa.String(length=64), nullable=False),
        sa.Column("variety", sa.String(length=64), nullable=False),
        sa.Column("sown", sa.String(length=10), nullable=False),
        sa.Column("area_ha", sa.Float(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("source", sa.String(length=300), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["rice_zones.id"], name=op.f("fk_rice_crops_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rice_crops")),
        sa.UniqueConstraint(
            "zone_id", "season", "variety", "sown", name=op.f("uq_rice_crops_zone_id_season_variety_sown")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "rice_weather",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("place", sa.String(length=32), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("low_c", sa.Float(), nullable=True),
        sa.Column("high_c", sa.Float(), nullable=True),
        sa.Column("rain_mm", sa.Float(), nullable=True),
        sa.Column("humidity", sa.Float(), nullable=True),
        sa.Column("wind_kmh", sa.Float(), nullable=True),
        sa.Column("wind_from_deg", sa.Float(), nullable=True),
        sa.Column("source", sa.String(length=300), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rice_weather")),
        sa.UniqueConstraint("place", "day", "kind", name=op.f("uq_rice_weather_place_day_kind")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "rice_surveys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("surveyed", sa.String(length=10), nullable=False),
        sa.Column("week", sa.String(length=10), nullable=False),
        sa.Column("commune", sa.String(length=16), nullable=False),
        sa.Column("zone_id", sa.Integer(), nullable=True),
        sa.Column("pest", sa.String(length=32), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("common", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("exceptional", sa.Float(), nullable=True),
        sa.Column("light_ha", sa.Float(), nullable=False),
        sa.Column("medium_ha", sa.Float(), nullable=False),
        sa.Column("heavy_ha", sa.Float(), nullable=False),
        sa.Column("note", sa.String(length=1000), nullable=False),
        sa.Column("lon", sa.Float(), nullable=True),
        sa.Column("lat", sa.Float(), nullable=True),
        sa.Column("accuracy_m", sa.Float(), nullable=True),
        sa.Column("origin", sa.String(length=8), nullable=False),
        sa.Column("source", sa.String(length=300), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("replaced_by", sa.BigInteger(), nullable=True),
        sa.Column("replaces", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["rice_zones.id"], name=op.f("fk_rice_surveys_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rice_surveys")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rice_surveys_commune"), "rice_surveys", ["commune"])
    op.create_index(op.f("ix_rice_surveys_digest"), "rice_surveys", ["digest"])
    op.create_index(op.f("ix_rice_surveys_week"), "rice_surveys", ["week"])
    op.create_table(
        "rice_trap_counts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("trap", sa.String(length=128), nullable=False),
        sa.Column("commune", sa.String(length=16), nullable=False),
        sa.Column("night", sa.String(length=10), nullable=False),
        sa.Column("species", sa.String(length=32), nullable=False),
        sa.Column("origin", sa.String(length=8), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("before", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("attachment", sa.BigInteger(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rice_trap_counts")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rice_trap_counts_trap_night"), "rice_trap_counts", ["trap", "night"])
    op.create_table(
        "rice_flights",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.Integer(), nullable=False),
        sa.Column("pest", sa.String(length=32), nullable=False),
        sa.Column("peak", sa.String(length=10), nullable=False),
        sa.Column("first", sa.String(length=10), nullable=False),
        sa.Column("last", sa.String(length=10), nullable=False),
        sa.Column("highest", sa.Float(), nullable=False),
        sa.Column("common", sa.Float(), nullable=False),
        sa.Column("traps", sa.JSON(), nullable=False),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(length=12), nullable=False),
        sa.Column("confounders", sa.JSON(), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["rice_zones.id"], name=op.f("fk_rice_flights_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rice_flights")),
        sa.UniqueConstraint("zone_id", "pest", "peak", name=op.f("uq_rice_flights_zone_id_pest_peak")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "rice_predictions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.Integer(), nullable=False),
        sa.Column("pest", sa.String(length=32), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("horizon_weeks", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(length=10), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["rice_zones.id"], name=op.f("fk_rice_predictions_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rice_predictions")),
        sa.UniqueConstraint(
            "zone_id", "pest", "horizon_weeks", name=op.f("uq_rice_predictions_zone_id_pest_horizon_weeks")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "rice_advice",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.Integer(), nullable=False),
        sa.Column("commune", sa.String(length=16), nullable=False),
        sa.Column("flight_id", sa.BigInteger(), nullable=True),
        sa.Column("peak", sa.String(length=10), nullable=False),
        sa.Column("sow_from", sa.String(length=10), nullable=False),
        sa.Column("sow_to", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.JSON(), nullable=False),
        sa.Column("conflicts", sa.JSON(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("approved", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.String(length=64), nullable=False),
        sa.Column("published", sa.BigInteger(), nullable=True),
        sa.Column("withdrawn", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["rice_zones.id"], name=op.f("fk_rice_advice_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rice_advice")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rice_advice_state"), "rice_advice", ["state"])
    op.create_index(op.f("ix_rice_advice_zone_id"), "rice_advice", ["zone_id"])
    op.create_table(
        "rice_bulletins",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("week", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("archive", sa.LargeBinary(), nullable=True),
        sa.Column("pdf", sa.LargeBinary(), nullable=True),
        sa.Column("docx", sa.LargeBinary(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("approved", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rice_bulletins")),
        sa.UniqueConstraint("year", "number", name=op.f("uq_rice_bulletins_year_number")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rice_bulletins_state"), "rice_bulletins", ["state"])
    op.create_table(
        "rice_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("ref", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("from_state", sa.String(length=12), nullable=False),
        sa.Column("to_state", sa.String(length=12), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("comment", sa.String(length=1000), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rice_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rice_events_kind_ref"), "rice_events", ["kind", "ref"])


def downgrade() -> None:
    for name in (
        "rice_events",
        "rice_bulletins",
        "rice_advice",
        "rice_predictions",
        "rice_flights",
        "rice_trap_counts",
        "rice_surveys",
        "rice_weather",
        "rice_crops",
        "rice_zones",
    ):
        op.drop_table(name)
