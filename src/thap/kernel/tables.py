"""Brings the tables of every package into being.

The packages that own tables are named here as text: the kernel stands below them and does not import them.
"""

from __future__ import annotations

import importlib
import importlib.util

from thap.kernel.records import Records, metadata

__all__ = ["create_tables", "load_tables"]

OWNERS = (
    "thap.kernel.tokens",
    "thap.kernel.places_records",
    "thap.observe.registry",
    "thap.detect.records",
    "thap.respond.records",
)


def load_tables() -> None:
    """Import every module that declares tables, so that `metadata` knows them all."""
    for name in OWNERS:
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)


async def create_tables(records: Records) -> None:
    """Create the tables that do not exist yet."""
    load_tables()
    async with records.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
