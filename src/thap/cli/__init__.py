"""The `thap` command, a file per noun."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `thap` command."""
    from thap.cli.app import run

    run()
