"""Registers of the demo province, imported as an office imports its own files."""

from __future__ import annotations

import httpx

from thap.cli.common import api_json
from thap.domains.sand.demo_register import register_files

__all__ = ["prepare_registers"]


def prepare_registers(client: httpx.Client) -> None:
    """Import licences, vessels, wharves and zones where there are none yet; what is there stays as somebody left it.

    Raises:
        ThapError: as the API answers.
    """
    for part, name, content in register_files():
        if api_json(client.get(f"/api/v1/sand/{part}", params={"retired": True}))["items"]:
            continue
        api_json(client.post(f"/api/v1/sand/import/{part}", params={"name": name}, content=content))
