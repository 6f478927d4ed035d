"""Tables of units, people, grants, restrictions and clearances."""

from __future__ import annotations

import sqlalchemy as sa

from thap.kernel.records import metadata

__all__ = ["clearances", "grants", "people", "policy_versions", "restrictions", "units"]

units = sa.Table(
    "units",
    metadata,
    sa.Column("code", sa.String(32), primary_key=True),
    sa.Column("parent", sa.ForeignKey("units.code"), index=True),  # NULL for the province alone
    sa.Column("kind", sa.String(16), nullable=False),  # province, department, commune
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("email", sa.String(254), nullable=False, server_default=""),
    sa.Column("phone", sa.String(32), nullable=False, server_default=""),
    sa.Column("changed", sa.BigInteger, nullable=False),  # µs
)
people = sa.Table(
    "people",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("login", sa.String(64), nullable=False, unique=True),
    sa.Column("name", sa.String(128), nullable=False, server_default=""),
    sa.Column("unit", sa.ForeignKey("units.code"), nullable=False, index=True),
    sa.Column("email", sa.String(254), nullable=False, server_default=""),
    sa.Column("phone", sa.String(32), nullable=False, server_default=""),
    sa.Column("language", sa.String(8), nullable=False, server_default="vi"),
    sa.Column("disabled", sa.BigInteger),  # µs
    sa.Column("created", sa.BigInteger, nullable=False),  # µs
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),  # µs
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sqlite_autoincrement=True,
)
grants = sa.Table(
    "grants",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("person_id", sa.ForeignKey("people.id"), nullable=False),
    sa.Column("role", sa.String(32), nullable=False),
    sa.Column("unit", sa.ForeignKey("units.code"), nullable=False),
    sa.Column("domain", sa.String(32), nullable=False, server_default=""),
    sa.Column("until", sa.BigInteger),  # µs
    sa.Column("created", sa.BigInteger, nullable=False),  # µs
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.UniqueConstraint("person_id", "role", "unit", "domain"),
)
restrictions = sa.Table(
    "restrictions",
    metadata,
    sa.Column("kind", sa.String(8), primary_key=True),  # thing, domain, unit
    sa.Column("ref", sa.String(128), primary_key=True),
    sa.Column("reason", sa.String(256), nullable=False, server_default=""),
    sa.Column("created", sa.BigInteger, nullable=False),  # µs
    sa.Column("created_by", sa.String(64), nullable=False),
)
clearances = sa.Table(
    "clearances",
    metadata,
    sa.Column("person_id", sa.ForeignKey("people.id"), primary_key=True),
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("ref", sa.String(128), primary_key=True),
    sa.Column("until", sa.BigInteger),  # µs
    sa.Column("created", sa.BigInteger, nullable=False),  # µs
    sa.Column("created_by", sa.String(64), nullable=False),
)
# One row, counted up by every change of the tables above: who keeps a policy in memory looks only there, and
# in PostgreSQL its lock lets one change wait for the other.
policy_versions = sa.Table(
    "policy_versions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)
