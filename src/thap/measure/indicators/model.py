"""What an indicator is, and what it says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from thap.kernel.errors import InputError, SettingsError

if TYPE_CHECKING:
    from thap.kernel.settings import Settings
    from thap.measure.indicators.sources import Rows

__all__ = [
    "COUNT",
    "NO_TARGET",
    "THEMES",
    "Column",
    "Direction",
    "Indicator",
    "Light",
    "Reading",
    "Reduce",
    "Target",
    "Text",
    "highest",
    "light_of",
    "lowest",
    "quantile",
    "share",
    "total",
]

Text = Mapping[str, str]
"""By language: `vi` and `en`."""
Direction = Literal["lower", "higher", "band", "none"]
"""What is better; `none`: the number is neither good nor bad by itself."""
Light = Literal["good", "warn", "bad", "unknown", "none"]
"""`none`: there is no target, so nothing is judged; `unknown`: there is no value, the reason says why."""
ColumnKind = Literal[
    "text", "number", "time", "length", "severity", "commune", "domain", "state", "yes", "alarm", "incident", "report",
    "task", "thing", "mover"
]  # fmt: skip
"""How a column is shown; `length` is in seconds, the last six name a record that has a page of its own."""
_ID = re.compile(r"[a-z]+\.[a-z0-9_]{1,48}")

THEMES: dict[str, Text] = {
    "alarms": {"vi": "Báo động", "en": "Alarms"},
    "incidents": {"vi": "Vụ việc và việc phải làm", "en": "Incidents and tasks"},
    "reports": {"vi": "Phản ánh của người dân", "en": "Citizens' reports"},
    "water": {"vi": "Nước, không khí, thời tiết", "en": "Water, air, weather"},
    "sand": {"vi": "Cát sông", "en": "River sand"},
    "traffic": {"vi": "Giao thông", "en": "Traffic"},
    "rice": {"vi": "Lúa và sâu bệnh", "en": "Rice and pests"},
    "system": {"vi": "Dữ liệu và hệ thống", "en": "Data and system"},
}
"""Themes in the order of the wall. A domain from outside brings one by its name and title."""


@dataclass(frozen=True, slots=True)
class Target:
    """Bounds of good, and of what is still only a warning. Wider bounds are optional: without them what is not good
    is bad."""

    low: float | None = None
    high: float | None = None
    warn_low: float | None = None
    warn_high: float | None = None
    source: str = ""
    """Where the numbers are from; shown beside them."""

    @property
    def given(self) -> bool:
        """Whether there is any bound."""
        return not (self.low is None and self.high is None)

    def check(self, direction: Direction) -> None:
        """See that the bounds make sense for what is better.

        Raises:
            InputError: they do not.
        """
        bounds = {name: getattr(self, name) for name in ("low", "high", "warn_low", "warn_high")}
        for name, bound in bounds.items():
            if bound is not None and not math.isfinite(bound):
                raise InputError("a bound is a finite number", where=name)
        if self.warn_low is not None and (self.low is None or self.warn_low > self.low):
            raise InputError("the warning ends below the lower bound of good", where="warn_low")
        if self.warn_high is not None and (self.high is None or self.warn_high < self.high):
            raise InputError("the warning ends above the upper bound of good", where="warn_high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InputError("the lower bound is above the upper one", where="low")
        if direction == "lower" and self.low is not None:
            raise InputError("lower is better here: give the upper bound only", where="low")
        if direction == "higher" and self.high is not None:
            raise InputError("higher is better here: give the lower bound only", where="high")
        if self.given and not self.source.strip():
            raise InputError(
                "a target says where it is from", where="source", hint="as a decision's number and article"
            )


NO_TARGET = Target()


def light_of(value: float | None, target: Target) -> Light:
    """The traffic light: good within the bounds (which count as good), warn within the wider ones, else bad."""
    if value is None:
        return "unknown"
    if not target.given:
        return "none"
    if _within(value, target.low, target.high):
        return "good"
    wide_low = target.low if target.warn_low is None else target.warn_low
    wide_high = target.high if target.warn_high is None else target.warn_high
    return "warn" if _within(value, wide_low, wide_high) else "bad"


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


@dataclass(frozen=True, slots=True)
class Reduce:
    """How rows become one number: how many, the share of those that a column marks, a column's sum or quantile."""

    kind: Literal["count", "share", "sum", "quantile"] = "count"
    column: str = ""
    q: float = 0.5
    """0 the lowest, 1 the highest; between two rows it is interpolated."""


COUNT = Reduce()


def share(column: str) -> Reduce:
    """Of the rows, those whose column is true; between 0 and 1."""
    return Reduce("share", column)


def total(column: str) -> Reduce:
    """The sum of a column; none where there are no rows."""
    return Reduce("sum", column)


def quantile(column: str, q: float) -> Reduce:
    """The value that a share `q` of the rows does not exceed."""
    return Reduce("quantile", column, q)


def highest(column: str) -> Reduce:
    """The highest value of a column."""
    return Reduce("quantile", column, 1.0)


def lowest(column: str) -> Reduce:
    """The lowest value of a column."""
    return Reduce("quantile", column, 0.0)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the rows behind a number."""

    name: str
    title: Text
    kind: ColumnKind = "text"
    unit: str = ""
    ref: str = ""
    """For kinds that name a record: the column with its number or name, by default this one."""


@dataclass(frozen=True, slots=True)
class Indicator:
    """A named number. Its id is `theme.name`."""

    id: str
    title: Text
    meaning: Text
    """What is counted and how, in a sentence or two a leader understands."""
    rows: Rows
    action: str
    """What somebody must be allowed to read to see it (`thap.kernel.policy.ACTIONS`)."""
    source: Text
    """Where the rows are from."""
    reduce: Reduce = COUNT
    unit: str = ""
    """`%` for a share, `s` for a length of time; else as it is measured."""
    digits: int = 0
    """Decimals that mean something."""
    direction: Direction = "lower"
    target: Target | Callable[[Settings], Target] = NO_TARGET
    every_s: int = 60
    domain: str = ""
    """Only of this domain; '' of all."""
    whole: bool = False
    """Only for those who may do the action in the whole province: it tells of the centre, not of units."""
    theme: str = field(init=False)

    def __post_init__(self) -> None:
        if _ID.fullmatch(self.id) is None:
            raise SettingsError(f"{self.id!r} is no id of an indicator", hint="write theme.name in lower case")
        for text in (self.title, self.meaning, self.source):
            if not {"vi", "en"} <= text.keys():
                raise SettingsError(f"indicator {self.id}: its texts need `vi` and `en`")
        if self.every_s < 10:
            raise SettingsError(f"indicator {self.id}: computed every ten seconds at most")
        if isinstance(self.target, Target):
            self.target.check(self.direction)
        object.__setattr__(self, "theme", self.id.partition(".")[0])

    def own_target(self, settings: Settings) -> Target:
        """The target it comes with."""
        return self.target if isinstance(self.target, Target) else self.target(settings)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What an indicator says to one audience at one moment."""

    value: float | None
    rows: int
    """How many rows are behind it."""
    time: int
    """When it was computed, µs."""
    reason: str = ""
    """Why there is no value: `no_rows`, or what failed, in English."""


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON has it: no NaN."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
