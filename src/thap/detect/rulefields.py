"""The parts of a rule: how lengths of time, patterns, severities and areas are written, and its inner tables."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from thap.detect.areas import Area
from thap.detect.detector import Severity
from thap.detect.expression import Expression
from thap.detect.schedule import WEEKDAYS, Schedule, parse_hours, parse_season
from thap.kernel.clock import parse_duration_us
from thap.kernel.errors import InputError

__all__ = [
    "Ages",
    "Areas",
    "Condition",
    "Duration",
    "Level",
    "Listed",
    "Pair",
    "Part",
    "ScheduleSpec",
    "Select",
    "SeverityName",
    "Span",
    "Title",
    "Word",
    "wrong",
]


def wrong(field: str, message: str) -> PydanticCustomError:
    """A mistake between fields, to be shown at the position of `field`."""
    return PydanticCustomError("rule", "{message}", {"message": message, "field": field})


def _duration(value: Any) -> int:
    if not isinstance(value, str):
        raise PydanticCustomError("rule", 'a length of time is written in quotes, as "90s", "15m" or "2h"')
    try:
        return parse_duration_us(value)
    except InputError as error:
        raise PydanticCustomError("rule", "{message}", {"message": f"{error.message}; {error.hint}"}) from None


def _positive(value: Any) -> int:
    length = _duration(value)
    if length <= 0:
        raise PydanticCustomError("rule", "must be longer than nothing")
    return length


def _severity(value: Any) -> Severity:
    if isinstance(value, str) and value.upper() in Severity.__members__:
        return Severity[value.upper()]
    raise PydanticCustomError(
        "choice", "{value} is not a severity", {"value": repr(value), "allowed": [s.name.lower() for s in Severity]}
    )


def _globs(value: Any) -> Any:
    patterns = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    if not isinstance(patterns, tuple) or not patterns or not all(isinstance(p, str) and p for p in patterns):
        raise PydanticCustomError("rule", 'must be a pattern, or a list of patterns, as "tien-*"')
    return patterns


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _expression(value: Any) -> Expression:
    if not isinstance(value, str):
        raise PydanticCustomError("rule", 'must be a text, as "level > 1.8 and rain_1h > 20"')
    try:
        return Expression(value)
    except ValueError as error:
        raise PydanticCustomError("rule", "{message}", {"message": str(error)}) from None


def _areas(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    try:
        return tuple(Area.parse(item) for item in items)
    except ValueError as error:
        raise PydanticCustomError("rule", "{message}", {"message": str(error)}) from None


def _ages(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _positive(age) for key, age in value.items()}
    return {"": _positive(value)}


def _as(**schema: Any) -> WithJsonSchema:
    """How a value is written, for `ruleschema`; `format` is a word that forms know."""
    return WithJsonSchema(schema)


_TEXTS = {"type": "array", "items": {"type": "string"}}
Duration = Annotated[int, BeforeValidator(_duration), _as(type="string", format="duration")]
Span = Annotated[int, BeforeValidator(_positive), _as(type="string", format="span")]
Globs = Annotated[tuple[str, ...], BeforeValidator(_globs), _as(anyOf=[{"type": "string"}, _TEXTS], format="patterns")]
Listed = BeforeValidator(_listed)
Pair = Annotated[
    tuple[FiniteFloat, FiniteFloat],
    Listed,
    _as(type="array", items={"type": "number"}, minItems=2, maxItems=2, format="pair"),
]
SeverityName = Annotated[
    Severity, BeforeValidator(_severity), _as(type="string", enum=[s.name.lower() for s in Severity], format="severity")
]
Condition = Annotated[Expression, BeforeValidator(_expression), _as(type="string", format="condition")]
Areas = Annotated[tuple[Area, ...], BeforeValidator(_areas), _as(format="areas")]
Ages = Annotated[dict[str, int], BeforeValidator(_ages), _as(format="ages")]
Word = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
"""Text, which may be written as a whole number."""


class Part(BaseModel):
    """A table of a rule: nothing but its fields is allowed in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


class Title(Part):
    """What people read."""

    vi: str = Field(min_length=1, max_length=200)
    en: str = Field(min_length=1, max_length=200)


class Select(Part):
    """Which sources a rule watches: all patterns given must match, any of a list. `*`, `?`, `[…]` as in file names."""

    datastream: Globs = ()
    """Key, `thing/name`."""
    mover: Globs = ()
    property: Globs = ()
    """Observed property of the datastream."""
    thing: Globs = ()
    kind: Globs = ()
    """Kind of the thing or mover."""
    domain: Globs = ()
    commune: Globs = ()

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise wrong("", 'selects nothing; write { property = "water_level" }, or { thing = "*" } for all')
        return self


class ScheduleSpec(Part):
    """When a rule is in force; outside, it raises nothing and its active conditions clear."""

    hours: Annotated[tuple[str, ...], Listed] = ()
    """Spans on Vietnamese clocks, as "19:00-05:00"."""
    weekdays: Annotated[tuple[str, ...], Listed] = ()
    months: Annotated[tuple[Annotated[int, Field(ge=1, le=12)], ...], Listed] = ()
    season: Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else _listed(v))] = ()
    """Spans of dates, as "08-15..11-30"."""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        for field, parse in (("hours", parse_hours), ("season", parse_season)):
            for text in getattr(self, field):
                try:
                    parse(text)
                except ValueError as error:
                    raise wrong(field, str(error)) from None
        for day in self.weekdays:
            if day not in WEEKDAYS:
                raise wrong("weekdays", f"{day!r} is not a day of the week; write {', '.join(WEEKDAYS)}")
        if self.months and self.season:
            raise wrong("months", "give either months or season")
        return self

    def build(self) -> Schedule:
        """The schedule itself."""
        months = tuple(
            f"{month:02}-01..{month:02}-{29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31}"
            for month in self.months
        )
        return Schedule(self.hours, self.weekdays, self.season or months)


class Level(Part):
    """A further step of the severity ladder, reached by a stricter limit or by time since the raise."""

    severity: SeverityName
    above: FiniteFloat | None = None
    below: FiniteFloat | None = None
    outside: Pair | None = None
    inside: Pair | None = None
    rise: FiniteFloat | None = None
    fall: FiniteFloat | None = None
    change: FiniteFloat | None = None
    no_data_for: Span | None = None
    n: int | None = Field(None, ge=1)
    after: Span | None = None
