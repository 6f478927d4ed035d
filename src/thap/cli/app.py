"""The command line: one module of this package per noun, each with `register(app)`."""

from __future__ import annotations

import importlib
import sys

import typer

from thap.cli.common import fail
from thap.kernel.errors import CorruptError, InputError, ThapError

__all__ = ["build", "run"]

MODULES = (
    "up",
    "replay",
    "query",
    "rules",
    "backtest",
    "alarms",
    "incidents",
    "tasks",
    "procedures",
    "timers",
    "duty",
    "notices",
    "warnings",
    "reports",
    "figures",
    "indicators",
    "things",
    "camera",
    "quarantine",
    "dead_letters",
    "places",
    "demo",
    "people",
    "policy",
    "audit",
    "tokens",
    "rice",
    "traffic",
    "watch",
    "doctor",
    "parameters",
    "water",
    "settings",
    "sand",
    "roles",
    "traffic",
)
_ROLES = ("gateway", "engine", "history", "respond", "vision")


def build(command: str | None = None) -> typer.Typer:
    """The command tree: all of it, or the part that `command` needs, which starts sooner and takes less memory."""
    app = typer.Typer(
        name="thap",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Tháp, an open operations centre for a province.",
        rich_markup_mode="rich",
    )

    @app.callback()
    def _top() -> None:
        """Keeps a tree of one command a tree."""

    wanted = "roles" if command in _ROLES else (command or "").replace("-", "_")
    wanted = {"units": "people"}.get(wanted, wanted)
    for name in (wanted,) if wanted in MODULES else MODULES:
        importlib.import_module(f"thap.cli.{name}").register(app)
    return app


def run() -> None:
    """Entry point: a deliberate error is printed as one line, with what to do next, and ends with status 1."""
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except ThapError as error:
        fail(error, "--json" in sys.argv)
    except OSError as error:
        if error.filename is None:
            raise
        hint = "check the path, and who may read and write there"
        fail(InputError(str(error.strerror), where=str(error.filename), hint=hint), "--json" in sys.argv)
    except Exception as error:
        if type(error).__name__ != "DatabaseError":  # SQLAlchemy's, which most commands never load
            raise
        said = str(getattr(error, "orig", error))
        fail(
            CorruptError(f"the records cannot be read: {said}", hint="restore records.sqlite from a backup"),
            "--json" in sys.argv,
        )
