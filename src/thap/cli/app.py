"""The command line: one module of this package per noun, each with `register(app)`."""

from __future__ import annotations

import importlib
import sys

import typer

from thap.cli.common import fail
from thap.kernel.errors import ThapError

__all__ = ["build", "run"]

NOUNS = (
    "up",
    "replay",
    "query",
    "rules",
    "backtest",
    "alarms",
    "things",
    "quarantine",
    "dead_letters",
    "places",
    "demo",
    "tokens",
    "watch",
    "doctor",
    "settings",
    "roles",
)


def build() -> typer.Typer:
    """The whole command tree."""
    app = typer.Typer(
        name="thap",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Tháp, an open operations centre for a province.",
        rich_markup_mode="rich",
    )
    for noun in NOUNS:
        try:
            module = importlib.import_module(f"thap.cli.{noun}")
        except ModuleNotFoundError as error:
            if error.name != f"thap.cli.{noun}":
                raise
            continue
        module.register(app)
    return app


def run() -> None:
    """Entry point: a deliberate error is printed as one line, with what to do next, and ends with status 1."""
    try:
        build()()
    except ThapError as error:
        fail(error, "--json" in sys.argv)
