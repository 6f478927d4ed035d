"""What /api/v1/water takes and answers. Times are µs since 1970 UTC."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AirBoard",
    "AirDay",
    "AirHour",
    "AirShown",
    "BadCell",
    "Coming",
    "ForecastShown",
    "ImportedSheet",
    "Line",
    "OpenWindow",
    "RainBoard",
    "RainShown",
    "RainSpan",
    "SheetRow",
    "SheetRows",
    "SkillShown",
    "StationBody",
    "StationList",
    "StationShown",
    "StationVersion",
    "StationVersions",
    "Value",
]


class Value(BaseModel):
    """The newest value of a datastream."""

    datastream: str
    time: int | None = Field(description="µs; None where nothing came yet.")
    value: float | None


class Coming(BaseModel):
    """What the newest forecast says in one line."""

    made: int
    inputs_until: int
    highest: float
    highest_at: int
    reaches: int = Field(description="Highest alarm level (1…3) or line of salinity (1, 2) reached; 0 none.")
    reaches_at: int | None


class StationShown(BaseModel):
    """A station with its limits and what it says."""

    thing: str
    title: str
    river: str
    km: float | None
    lon: float | None
    lat: float | None
    commune: str
    levels: list[float | None] = Field(description="Flood alarm levels I, II, III in metres.")
    source: str
    confidence: str
    version: int
    changed: int | None
    changed_by: str
    level: Value | None
    level_class: int = Field(description="Alarm level reached: 0…3.")
    salinity: Value | None
    level_coming: Coming | None
    salinity_coming: Coming | None
    ruled_by: list[str] = Field(description="Rules in force that watch its level by limits of their own.")
    writable: bool


class StationList(BaseModel):
    """Stations the caller may see."""

    items: list[StationShown]


class StationBody(BaseModel):
    """Limits to set."""

    model_config = ConfigDict(extra="forbid")

    levels: list[float | None] = Field(min_length=3, max_length=3, description="I, II, III; null where not known.")
    source: str = Field(max_length=300)
    version: int = Field(ge=0, description="The version that was seen in force.")
    km: float | None = Field(None, ge=0, le=600)
    title: str = Field("", max_length=200)
    river: str = Field("", max_length=100)


class StationVersion(BaseModel):
    """Limits as they were set."""

    version: int
    levels: list[float | None]
    source: str
    changed: int | None
    changed_by: str


class StationVersions(BaseModel):
    """Newest first; the last is what was shipped, where there was something."""

    items: list[StationVersion]


class OpenWindow(BaseModel):
    """When a sluice may open."""

    begin: int
    end: int
    highest_g_l: float
    open_end: bool = Field(description="Whether it goes on beyond the forecast.")


class Line(BaseModel):
    """A line of salinity with the windows under it."""

    g_l: float
    windows: list[OpenWindow]


class SkillShown(BaseModel):
    """Errors of past forecasts at one lead."""

    lead_h: int
    runs: int
    rmse: float
    bias: float
    covered: float


class ForecastShown(BaseModel):
    """The newest forecast of a datastream."""

    datastream: str
    property: str
    unit: str
    made: int
    inputs_until: int
    times: list[int] = Field(description="µs.")
    mean: list[float]
    low: list[float]
    high: list[float]
    tide: list[float] = Field(description="Tide on the slow stage alone.")
    tide_range: float
    tried: dict[str, float] = Field(description="Error by lead in hours, of forecasts of the record's last quarter.")
    skill: list[SkillShown] = Field(description="Errors of the runs of the last seven days.")
    lines: list[Line]


class SheetRow(BaseModel):
    """Salinity over ten days, of a sheet."""

    station: str
    title: str
    river: str
    km: float | None
    begin: int
    end: int
    g_l: float
    source: str


class SheetRows(BaseModel):
    """All that was imported."""

    items: list[SheetRow]


class BadCell(BaseModel):
    """A cell of a sheet that cannot be taken."""

    line: int
    column: str
    reason: str


class ImportedSheet(BaseModel):
    """What a sheet holds, and what came of it."""

    rows: int
    empty: int
    stations: list[str]
    faults: list[BadCell]
    imported: bool
    added: int
    replaced: int
    same: int
    preview: list[SheetRow] = Field(description="The first rows.")


class AirHour(BaseModel):
    """The index of an hour."""

    hour: int
    aqi: int | None
    pollutant: str
    complete: bool


class AirDay(BaseModel):
    """The index of a day, counted from 1970 on Vietnamese clocks."""

    day: int
    hours: int
    aqi: int | None
    pollutant: str
    complete: bool


class AirShown(BaseModel):
    """A station of the air."""

    thing: str
    title: str
    lon: float | None
    lat: float | None
    commune: str
    hour: int
    aqi: int | None
    pollutant: str
    level: int = Field(description="1 good … 6 hazardous, 0 unknown.")
    colour: str
    class_title: dict[str, str]
    parts: dict[str, int]
    complete: bool
    hours: list[AirHour]
    days: list[AirDay]


class AirBoard(BaseModel):
    """The index of every station, the worst first."""

    source: str
    items: list[AirShown]


class RainSpan(BaseModel):
    """Rain of the hours up to the newest reading."""

    hours: int
    mm: float
    share: float = Field(description="How much of the span was measured, 0…1.")


class RainShown(BaseModel):
    """A rain gauge."""

    datastream: str
    thing: str
    title: str
    until: int
    spans: list[RainSpan]


class RainBoard(BaseModel):
    """Every gauge heard within three days, the most rain in 24 hours first."""

    items: list[RainShown]
