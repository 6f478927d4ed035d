"""/api/v1/demo: whether what the centre shows is simulated, and which moment the simulation has reached."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from pydantic import BaseModel, Field

from thap.kernel.clock import now_us
from thap.kernel.simulated import Simulated
from thap.web.deps import CallerDep, CentreDep

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/demo", tags=["system"])


class DemoState(BaseModel):
    """Where the demo stands. Moments are microseconds since 1970 UTC; null where none runs."""

    running: bool
    until: int | None = Field(None, description="The simulated moment it has reached.")
    speed: float | None = Field(None, description="Simulated time in a unit of time.")


@router.get("", summary="Whether a demo runs")
async def read_demo(centre: CentreDep, caller: CallerDep) -> DemoState:
    found = await asyncio.to_thread(Simulated.read, centre.settings.data)
    if found is None:
        return DemoState(running=False)
    now = now_us()
    until = min(now, found.until + round((now - found.at) * found.speed))
    return DemoState(running=True, until=until, speed=found.speed)
