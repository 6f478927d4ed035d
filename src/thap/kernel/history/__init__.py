"""History: the lake every record ends in, and how it is asked."""

from __future__ import annotations

from thap.kernel.history.ask import Answer, Asker
from thap.kernel.history.lake import Appended, Lake
from thap.kernel.history.reading import Bucket, Fix, Sample
from thap.kernel.history.tables import TABLES, Table
from thap.kernel.history.tidying import upkeep

__all__ = ["TABLES", "Answer", "Appended", "Asker", "Bucket", "Fix", "Lake", "Sample", "Table", "upkeep"]
