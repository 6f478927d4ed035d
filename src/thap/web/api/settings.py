"""/api/v1/settings: the settings in force, and where each is from; for administrators, to be read only."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from thap.kernel.settings_info import describe, origins
from thap.web.deps import Caller, CentreDep, require

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/settings", tags=["system"])
Admin = Annotated[Caller, Depends(require("admin"))]


class Setting(BaseModel):
    """One setting. What is secret in a value is shown as `…`."""

    name: str = Field(description="As in thap.toml, sections with dots.")
    variable: str = Field(description="Environment variable that sets it.")
    type: str
    default: Any
    bounds: str
    description: str
    value: Any = Field(description="In force.")
    origin: Literal["default", "file", "environment", "command line"]


class SettingList(BaseModel):
    """In the order of the documentation."""

    file: str = Field(description="The file that is read at the start.")
    items: list[Setting]


@router.get("", summary="The settings in force, and where each is from")
async def read_settings(centre: CentreDep, _caller: Admin) -> SettingList:
    """They are changed in `thap.toml` and hold from the next start."""
    settings = centre.settings
    found = await asyncio.to_thread(origins, settings)
    items = [Setting(**asdict(info), origin=found[info.name]) for info in describe(settings)]
    return SettingList(file=str(settings.data / "thap.toml"), items=items)
