"""Brings the tables of every package into being, and up to date.

The packages that own tables are named here as text: the kernel stands below them and does not import them. Domains
name theirs in `Domain.tables`.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from thap.kernel.records import Records

if TYPE_CHECKING:
    from alembic.config import Config

_log = structlog.get_logger(__name__)

__all__ = ["alembic_config", "create_tables", "load_tables"]

OWNERS = (
    "thap.kernel.tokens",
    "thap.kernel.places_records",
    "thap.observe.registry",
    "thap.observe.cameras.records",
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
_MIGRATIONS = Path(__file__).parent / "migrations"


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


def alembic_config(connection: sa.Connection) -> Config:
    """Alembic on an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


async def create_tables(records: Records) -> None:
    """Bring an empty or older store to the newest migration.

    A store that has it, as at nearly every start, costs one question: neither Alembic nor the packages that own tables
    are loaded for it.
    """

    def upgrade(connection: sa.Connection) -> None:
        if _reached(connection) == _newest():
            return
        from alembic import command

        load_tables()
        command.upgrade(alembic_config(connection), "head")

    async with records.write() as connection:
        await connection.run_sync(upgrade)


def _newest() -> str:
    """The last migration; its file begins with its number (a test holds them to that)."""
    return max(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _reached(connection: sa.Connection) -> str | None:
    """The migration that a store is at, None for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all()
    return found[0] if len(found) == 1 else None
