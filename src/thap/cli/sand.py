"""`thap sand`: licences, vessels and what they do on the river."""

from __future__ import annotations

import typer

from thap.cli.sand_detect import register as register_detect
from thap.cli.sand_ledger import register as register_ledger
from thap.cli.sand_register import register as register_register

__all__ = ["register"]

sand = typer.Typer(no_args_is_help=True, help="River-sand mining: licences, vessels, and what they do on the river.")


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    register_detect(sand)
    register_register(sand)
    register_ledger(sand)
    app.add_typer(sand, name="sand")
