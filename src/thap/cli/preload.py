"""What roles have in common, loaded once: importing this module imports it.

`thap up` forks its roles from a process that has done so. DuckDB is left out: it starts a thread as it is loaded.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil

import thap.web.api
from thap.domains.domain import domains
from thap.kernel.units import communes
from thap.respond.parts import PARTS

__all__: list[str] = []

_WITH_DUCKDB = ("history", "opening_rules", "replay", "rules", "sources")
_MODULES = (
    "thap.cli.roles",
    "thap.web.app",
    "thap.web.auth",
    "thap.detect.engine",
    "thap.detect.records",
    "thap.observe.doors.ais",
    "thap.observe.doors.http",
    "thap.observe.doors.mqtt",
    "thap.observe.doors.trackers",
    "thap.respond.book",
    *(
        f"thap.web.api.{module.name}"
        for module in pkgutil.iter_modules(thap.web.api.__path__)
        if module.name not in _WITH_DUCKDB
    ),
    *(part.partition(":")[0] for part in PARTS),
)

gc.disable()  # nothing loaded here is ever given back
for _name in _MODULES:
    importlib.import_module(_name)
domains()
communes()  # read from a large table, by several roles
gc.enable()
gc.freeze()  # nor looked at again in a child, which would copy its pages
