"""Tables of the rice office: zones, crops, weather, surveys, counts by people, flights, forecasts, advice, bulletins.

What a trap sends is no row here: it lies in the history as any observation does. `rice_trap_counts` keeps what people
or pictures say of a night beside it. Days are text, as 2026-11-22, in Việt Nam's calendar.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from thap.kernel.policy import Resource
from thap.kernel.records import metadata

__all__ = [
    "ADVICE",
    "BULLETIN",
    "COUNT",
    "DOMAIN_NAME",
    "SURVEY",
    "ZONE",
    "advice",
    "bulletins",
    "crops",
    "events",
    "flights",
    "predictions",
    "surveys",
    "trap_counts",
    "weather",
    "zones",
]

DOMAIN_NAME = "rice"
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _day(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(10), nullable=nullable)


def _made() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
    )


zones = sa.Table(
    "rice_zones",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("code", sa.String(32), nullable=False, unique=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("commune", sa.String(16), nullable=False, index=True),  # the one it counts to
    sa.Column("communes", sa.JSON, nullable=False),  # all it lies in
    sa.Column("lon", sa.Float, nullable=False),
    sa.Column("lat", sa.Float, nullable=False),
    sa.Column("area_ha", sa.Float, nullable=False),
    sa.Column("stations", sa.JSON, nullable=False),  # names of water stations that speak for it
    sa.Column("saline_from", sa.String(5), nullable=False),  # as 02-15; '' where salt water never comes
    sa.Column("saline_to", sa.String(5), nullable=False),
    sa.Column("flood_from", sa.String(5), nullable=False),
    sa.Column("flood_to", sa.String(5), nullable=False),
    sa.Column("source", sa.String(300), nullable=False),
    *_made(),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)
crops = sa.Table(
    "rice_crops",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("zone_id", sa.ForeignKey("rice_zones.id"), nullable=False),
    sa.Column("season", sa.String(64), nullable=False),
    sa.Column("variety", sa.String(64), nullable=False),
    _day("sown"),
    sa.Column("area_ha", sa.Float, nullable=False),
    sa.Column("days", sa.Integer, nullable=False),  # from sowing to harvest
    sa.Column("note", sa.String(500), nullable=False),
    sa.Column("source", sa.String(300), nullable=False),
    *_made(),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
    sa.UniqueConstraint("zone_id", "season", "variety", "sown"),
    sqlite_autoincrement=True,
)
weather = sa.Table(
    "rice_weather",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("place", sa.String(32), nullable=False),  # code of a zone; '' the province
    _day("day"),
    sa.Column("kind", sa.String(8), nullable=False),  # observed, forecast
    sa.Column("low_c", sa.Float),
    sa.Column("high_c", sa.Float),
    sa.Column("rain_mm", sa.Float),
    sa.Column("humidity", sa.Float),  # %
    sa.Column("wind_kmh", sa.Float),
    sa.Column("wind_from_deg", sa.Float),
    sa.Column("source", sa.String(300), nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
    sa.UniqueConstraint("place", "day", "kind"),
    sqlite_autoincrement=True,
)
surveys = sa.Table(
    "rice_surveys",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    _day("surveyed"),
    sa.Column("week", sa.String(10), nullable=False, index=True),  # its Monday
    sa.Column("commune", sa.String(16), nullable=False, index=True),
    sa.Column("zone_id", sa.ForeignKey("rice_zones.id")),
    sa.Column("pest", sa.String(32), nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("common", sa.Float),  # density: phổ biến
    sa.Column("high", sa.Float),  # cao
    sa.Column("exceptional", sa.Float),  # cá biệt
    sa.Column("light_ha", sa.Float, nullable=False),
    sa.Column("medium_ha", sa.Float, nullable=False),
    sa.Column("heavy_ha", sa.Float, nullable=False),
    sa.Column("note", sa.String(1000), nullable=False),
    sa.Column("lon", sa.Float),
    sa.Column("lat", sa.Float),
    sa.Column("accuracy_m", sa.Float),
    sa.Column("origin", sa.String(8), nullable=False),  # form, import
    sa.Column("source", sa.String(300), nullable=False),  # file and line
    sa.Column("digest", sa.String(64), nullable=False, index=True),  # of what it says, so that no row comes in twice
    *_made(),
    sa.Column("replaced_by", sa.BigInteger),  # the row that corrects it
    sa.Column("replaces", sa.BigInteger),
    sa.Column("reason", sa.String(500), nullable=False),  # of a correction
    sqlite_autoincrement=True,
)
trap_counts = sa.Table(
    "rice_trap_counts",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("trap", sa.String(128), nullable=False),  # things.name
    sa.Column("commune", sa.String(16), nullable=False),
    _day("night"),  # the evening it began on
    sa.Column("species", sa.String(32), nullable=False),
    sa.Column("origin", sa.String(8), nullable=False),  # person, image
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("before", sa.Float),  # what held until then
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),  # of a picture: size classes, boxes
    sa.Column("attachment", sa.BigInteger),  # attachments.id
    *_made(),
    sa.Index("ix_rice_trap_counts_trap_night", "trap", "night"),
    sqlite_autoincrement=True,
)
flights = sa.Table(
    "rice_flights",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("zone_id", sa.ForeignKey("rice_zones.id"), nullable=False),
    sa.Column("pest", sa.String(32), nullable=False),
    _day("peak"),
    _day("first"),
    _day("last"),
    sa.Column("highest", sa.Float, nullable=False),
    sa.Column("common", sa.Float, nullable=False),
    sa.Column("traps", sa.JSON, nullable=False),
    sa.Column("counted", sa.Integer, nullable=False),
    sa.Column("origin", sa.String(12), nullable=False),
    sa.Column("confounders", sa.JSON, nullable=False),
    sa.Column("found", sa.BigInteger, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("zone_id", "pest", "peak"),
    sqlite_autoincrement=True,
)
predictions = sa.Table(
    "rice_predictions",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("zone_id", sa.ForeignKey("rice_zones.id"), nullable=False),
    sa.Column("pest", sa.String(32), nullable=False),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("horizon_weeks", sa.Integer, nullable=False),
    _day("target"),  # first day of the week
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("low", sa.Float, nullable=False),
    sa.Column("high", sa.Float, nullable=False),
    sa.UniqueConstraint("zone_id", "pest", "horizon_weeks"),
    sqlite_autoincrement=True,
)
advice = sa.Table(
    "rice_advice",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("zone_id", sa.ForeignKey("rice_zones.id"), nullable=False, index=True),
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("flight_id", sa.BigInteger),
    _day("peak"),
    _day("sow_from"),
    _day("sow_to"),
    sa.Column("state", sa.String(12), nullable=False, index=True),
    sa.Column("reason", sa.JSON, nullable=False),  # vi, en
    sa.Column("conflicts", sa.JSON, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),  # those it was reckoned with
    *_made(),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("approved", sa.BigInteger),
    sa.Column("approved_by", sa.String(64), nullable=False),
    sa.Column("published", sa.BigInteger),
    sa.Column("withdrawn", sa.BigInteger),
    sa.Column("version", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)
bulletins = sa.Table(
    "rice_bulletins",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),  # of the year
    sa.Column("year", sa.Integer, nullable=False),
    _day("week"),  # its Monday
    sa.Column("state", sa.String(12), nullable=False, index=True),
    sa.Column("content", sa.Text, nullable=False),  # JSON: what a person may edit
    sa.Column("data", sa.Text, nullable=False),  # JSON: what the system drew from the records
    sa.Column("digest", sa.String(64), nullable=False),  # SHA-256 of what was approved; '' before
    sa.Column("archive", sa.LargeBinary),  # what was approved, canonical JSON
    sa.Column("pdf", sa.LargeBinary),
    sa.Column("docx", sa.LargeBinary),
    *_made(),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("approved", sa.BigInteger),
    sa.Column("approved_by", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.UniqueConstraint("year", "number"),
    sqlite_autoincrement=True,
)
events = sa.Table(
    "rice_events",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("kind", sa.String(12), nullable=False),  # advice, bulletin
    sa.Column("ref", sa.BigInteger, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("from_state", sa.String(12), nullable=False),
    sa.Column("to_state", sa.String(12), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("by", sa.String(64), nullable=False),
    sa.Column("comment", sa.String(1000), nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),  # what it said, where that changed
    sa.Column("version", sa.Integer, nullable=False),
    sa.Index("ix_rice_events_kind_ref", "kind", "ref"),
    sqlite_autoincrement=True,
)

_RICE = sa.literal(DOMAIN_NAME)
ZONE = Resource((zones.c.commune,), _RICE)
SURVEY = Resource((surveys.c.commune,), _RICE)
COUNT = Resource((trap_counts.c.commune,), _RICE, trap_counts.c.trap)
ADVICE = Resource((advice.c.commune,), _RICE)
BULLETIN = Resource((sa.literal(""),), _RICE)
"""The province's: those of a unit alone see what was approved."""
