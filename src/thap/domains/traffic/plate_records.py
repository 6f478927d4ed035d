"""Number plates as records: a watch list with legal basis and expiry, and hashed readings."""

from __future__ import annotations

import sqlalchemy as sa

from thap.kernel.records import metadata

__all__ = ["plate_reads", "plate_watch"]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
plate_watch = sa.Table(
    "plate_watch",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("sealed", sa.String(500), nullable=False),  # the plate, encrypted
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("legal_basis", sa.String(500), nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False, index=True),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sqlite_autoincrement=True,
)
plate_reads = sa.Table(
    "plate_reads",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("thing_id", sa.ForeignKey("things.id"), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False, index=True),
    sa.Column("hash", sa.String(64), nullable=False, index=True),  # salted; the salt changes every day
    sa.Column("confidence", sa.Float, nullable=False),
    sa.Column("watch_id", sa.BigInteger),
    sqlite_autoincrement=True,
)
