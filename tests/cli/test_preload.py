"""What roles are forked from must be safe to fork."""

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
