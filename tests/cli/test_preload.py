"""What roles are forked from must be safe to fork, and a start must not wait for what few centres ever use."""

from __future__ import annotations

import subprocess
import sys

_SAID = """
import sys, threading
import thap.cli.preload
print("duckdb" in sys.modules, threading.active_count(), "thap.web.api.incidents" in sys.modules)
"""


def test_no_duckdb_and_no_thread_is_there_when_roles_are_forked() -> None:
    said = subprocess.run([sys.executable, "-c", _SAID], capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout.split() == ["False", "1", "True"]


_HEAVY = (
    "alembic",
    "apprise",
    "authlib",
    "av",
    "cv2",
    "docx",
    "geopy",
    "gpxpy",
    "matplotlib",
    "onnxruntime",
    "openpyxl",
    "openvino",
    "pandas",
    "PIL",
    "polars",
    "pyhanko",
    "rapidocr",
    "requests",
    "scipy",
    "segno",
    "sklearn",
    "statsforecast",
    "statsmodels",
    "textual",
    "typst",
    "utide",
    "vietnamadminunits",
    "wsdiscovery",
)
"""Slow to load, and needed for single questions: they belong into the function that uses them."""

_STARTED = f"""
import importlib, sys
import thap.cli.preload, thap.cli.up, thap.cli.roles, thap.observe.historian
from thap.domains.domain import domains
from thap.kernel.tables import load_tables
from thap.web.app import _routers

load_tables()
_routers()
for one in domains().values():
    for part in one.parts:
        importlib.import_module(part.partition(":")[0])
print(*sorted(set(sys.modules) & set({_HEAVY!r})))
"""


def test_no_role_loads_at_its_start_what_is_slow_to_load_and_seldom_needed() -> None:
    said = subprocess.run([sys.executable, "-c", _STARTED], capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout.split() == []
