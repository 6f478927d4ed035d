"""Cameras of the demo: two drawn films, read like any camera's stream."""

from __future__ import annotations

import asyncio

from thap.domains.traffic.demo_film import DEMO_CAMERAS, SCENE, write_film
from thap.kernel.errors import ConflictError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.cameras.records import add_camera

__all__ = ["add_demo_cameras"]


async def add_demo_cameras(settings: Settings, records: Records) -> None:
    """Draw the films where they are missing, and register their cameras."""
    folder = settings.data / "cameras"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, title, lon, lat) in enumerate(DEMO_CAMERAS, 1):
        path = folder / f"{name}.mp4"
        if not path.exists():
            draft = path.with_suffix(".draft")
            await asyncio.to_thread(write_film, draft, seed)
            draft.replace(path)
        row = {"name": name, "title": title, "lon": lon, "lat": lat, "address": str(path.resolve()), "loop": True}
        try:
            async with records.write() as connection:
                await add_camera(connection, {**row, "trusted": True, "fps": 2.0, "scene": SCENE}, "demo")
        except ConflictError:
            continue  # of a former run
