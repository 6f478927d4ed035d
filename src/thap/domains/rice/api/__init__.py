"""/api/v1/rice: zones, crops, surveys, traps and their counts, flights, sowing advice, risk, bulletins."""

from __future__ import annotations

from fastapi import APIRouter

from thap.domains.rice.api import advice, bulletins, registers, surveys, traps
from thap.domains.rice.api.advice import risk_layer

__all__ = ["risk_layer", "router"]

router = APIRouter(prefix="/api/v1/rice", tags=["rice"])
for _part in (registers, surveys, traps, advice, bulletins):
    router.include_router(_part.router)
