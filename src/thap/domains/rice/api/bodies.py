"""What the routes of the rice office take and give."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ActBody",
    "AdviceBody",
    "BulletinBegin",
    "BulletinEdit",
    "Catalogue",
    "CorrectionBody",
    "CountBody",
    "ImportAnswer",
    "PlanBody",
    "SurveyBody",
]

Words = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
Short = Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")]
Hectares = Annotated[float, Field(ge=0, le=200_000)]
Density = Annotated[float, Field(ge=0, le=1_000_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class SurveyBody(_Body):
    """A field survey, as the phone's form has it."""

    surveyed: date = Field(ge=date(2000, 1, 1), le=date(2100, 1, 1), description="The day.")
    commune: Short = Field(min_length=1, description="Code of the commune.")
    pest: Short = Field(min_length=1, description="Key, of the catalogue.")
    stage: Short = Field("", description="Of the crop; key, of the catalogue.")
    zone: Short = Field("", description="Code of the zone, where known.")
    common: Density | None = Field(None, description="Common density, in the pest's unit.")
    high: Density | None = None
    exceptional: Density | None = None
    light_ha: Hectares = Field(0, description="Infested lightly, ha.")
    medium_ha: Hectares = 0
    heavy_ha: Hectares = 0
    note: Words = ""
    lon: float | None = Field(None, ge=-180, le=180)
    lat: float | None = Field(None, ge=-90, le=90)
    accuracy_m: float | None = Field(None, ge=0, le=1e7)


class CorrectionBody(_Body):
    """A survey as it should have been, and why."""

    survey: SurveyBody
    reason: Words = Field(min_length=1)


class CountBody(_Body):
    """A person's count of a night."""

    night: date = Field(ge=date(2000, 1, 1), le=date(2100, 1, 1), description="The evening it began on.")
    species: Short = "bph"
    value: float = Field(ge=0, le=1e7)
    reason: Words = Field(min_length=1, description="Why it is corrected.")


class PlanBody(_Body):
    """A window to be tried."""

    zone: Short = Field(min_length=1, description="Code of the zone.")
    peak: date = Field(ge=date(2000, 1, 1), le=date(2100, 1, 1), description="Night of the flight's peak.")
    sow_from: date | None = Field(None, ge=date(2000, 1, 1), le=date(2100, 12, 1))
    sow_to: date | None = Field(None, ge=date(2000, 1, 1), le=date(2100, 12, 1))


class AdviceBody(_Body):
    """Other days, and other words, for advice."""

    sow_from: date = Field(ge=date(2000, 1, 1), le=date(2100, 12, 1))
    sow_to: date = Field(ge=date(2000, 1, 1), le=date(2100, 12, 1))
    reason: dict[Literal["vi", "en"], Annotated[str, Field(max_length=3000, pattern=r"^[^\x00]*$")]] | None = Field(
        None, description="In both languages; without it, the words follow from the days."
    )
    version: int | None = Field(None, description="The version the person saw; refused with 409 where it changed.")


class ActBody(_Body):
    """What a person does, and why."""

    comment: Words = ""
    version: int | None = Field(None, description="The version the person saw; refused with 409 where it changed.")


class BulletinBegin(_Body):
    """A bulletin to draft."""

    week: date | None = Field(
        None, ge=date(2000, 1, 1), le=date(2100, 1, 1), description="A day of the week; by default the last whole week."
    )


class BulletinEdit(_Body):
    """Words of sections."""

    content: dict[Short, Annotated[str, Field(max_length=6000, pattern=r"^[^\x00]*$")]] = Field(
        description="By section: weather, crops, traps, pests, forecast, advice; those left out stay."
    )
    version: int | None = Field(None, description="The version the person saw; refused with 409 where it changed.")


class Named(BaseModel):
    """Something with a key and a name in both languages."""

    key: str
    title: dict[str, str]
    unit: str = ""


class Catalogue(BaseModel):
    """What forms choose from."""

    pests: list[Named]
    stages: list[Named]
    zones: list[dict[str, Any]]
    communes: list[dict[str, str]]


class ImportAnswer(BaseModel):
    """What a file says, and what became of it."""

    kind: str
    name: str
    read: int = Field(description="Rows of the table.")
    good: int = Field(description="Rows that can be kept.")
    kept: bool = Field(description="false: this was a preview.")
    new: int
    changed: int
    same: int
    faults: list[dict[str, Any]]
    unknown: list[str] = Field(description="Headings of columns that were not read.")
    rows: list[dict[str, Any]] = Field(description="The first 200, as they are understood.")
