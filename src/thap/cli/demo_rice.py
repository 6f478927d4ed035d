"""The rice office of the demo province: its files through the import route, and the nights before the demo began."""

from __future__ import annotations

import httpx

from thap.cli.common import api_json
from thap.domains.rice.demo_files import files, past_nights
from thap.domains.world import World

__all__ = ["prepare_rice"]

_AT_ONCE = 5000


def prepare_rice(client: httpx.Client, world: World) -> None:
    """Bring zones, crops, surveys and weather, and the counts of the nights before. What is there stays as it is.

    Raises:
        ThapError: as the API answers.
    """
    if api_json(client.get("/api/v1/rice/zones"))["items"]:
        return
    for kind, name, content in files(world):
        query = {"name": name, "keep": "true"}
        api_json(client.post(f"/api/v1/rice/import/{kind}", params=query, content=content.encode()))
    rows = [{"datastream": key, "time": time, "result": result} for key, time, result in past_nights(world)]
    for first in range(0, len(rows), _AT_ONCE):
        client.post("/api/v1/observations", json=rows[first : first + _AT_ONCE]).raise_for_status()
