"""Builds the console and the detectors' weights into the wheel, so that `pip install` needs Python alone."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleHook(BuildHookInterface[Any]):
    """Runs console/build.py and models/build.py before a wheel is made; an editable install has `make setup`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, unless the install only points here or a source archive brought the files built."""
        root = Path(self.root)
        if version == "editable" or not (root / "console" / "build.py").exists():
            return
        for part, made in (("console", "src/thap/web/console/dist/**"), ("models", "src/thap/detect/vision/weights/*")):
            runpy.run_path(str(root / part / "build.py"))["main"]()
            build_data["artifacts"].append(made)
