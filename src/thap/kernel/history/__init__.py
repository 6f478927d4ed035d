"""History: the lake every record ends in, and how it is asked."""

from __future__ import annotations

from thap.kernel.history.lake import Appended, Lake
from thap.kernel.history.tables import TABLES, Table
from thap.kernel.history.upkeep import upkeep

__all__ = ["TABLES", "Appended", "Lake", "Table", "upkeep"]
