"""Brings the tables of every package into being, and up to date.

The packages that own tables are named here as text: the kernel stands below them and does not import them. Domains
name theirs in `Domain.tables`.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from thap.kernel.records import Records

_log = structlog.get_logger(__name__)

__all__ = ["alembic_config", "create_tables", "load_tables"]

OWNERS = (
    "thap.kernel.tokens",
    "thap.kernel.places_records",
    "thap.observe.registry",
    "thap.detect.records",
    "thap.respond.records",
    "thap.kernel.policy.records",
    "thap.kernel.audit",
    "thap.kernel.once",
    "thap.kernel.accounts",
    "thap.kernel.sessions",
    "thap.respond.incidents.records",
    "thap.respond.incidents.attachments",
    "thap.respond.timers_records",
    "thap.respond.procedures.records",
    "thap.respond.duty.records",
    "thap.respond.escalation.records",
    "thap.respond.notify.records",
    "thap.respond.warnings.records",
    "thap.services.reports.records",
    "thap.measure.indicators.records",
    "thap.domains.parameter_records",
)
_DOMAINS = "thap.domains"


def load_tables() -> None:
    """Import every module that declares tables, so that `metadata` knows them all."""
    names = list(OWNERS)
    for point in entry_points(group=_DOMAINS):
        try:
            names += getattr(point.load(), "tables", ())
        except Exception as error:  # whatever a foreign package raises while it is imported
            _log.error("domain cannot be loaded", domain=point.name, where=point.value, reason=repr(error))
    for name in names:
        importlib.import_module(name)


def alembic_config(connection: Connection) -> Config:
    """Alembic on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


async def create_tables(records: Records) -> None:
    """Bring an empty or older store to the newest migration; repeats cost little."""

    def upgrade(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), "head")

    load_tables()
    async with records.write() as connection:
        await connection.run_sync(upgrade)
