"""The `thap` command, a file per noun."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `thap` command."""
    if sys.argv[1:2] == ["up"] and "--help" not in sys.argv:
        from thap.kernel.forkserver import start_server

        start_server(("thap.cli.preload",))  # it loads while this process does
    from thap.cli.app import run

    run()
